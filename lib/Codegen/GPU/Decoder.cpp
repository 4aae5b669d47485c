//===- Decoder.cpp - Kernels of the rest of a decoder --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Rows.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/TypeUtilities.h"
#include "moe/Conversion/SinCos.h"
#include "moe/Dialect/NN/IR/NN.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kWarps = 4, kWarp = 32;
/// Interleaved chains of a sum, as in Conversion/MoEToLoops.
static constexpr int64_t kChains = 16;

template <typename T> static std::string getText(T value) {
  std::string text;
  llvm::raw_string_ostream(text) << value;
  return text;
}

//===----------------------------------------------------------------------===//
// nn.rms_norm
//===----------------------------------------------------------------------===//

namespace {
/// A warp for two rows: each half of it sums the squares of one in the 16
/// chains of the canonical order, then all lanes scale the one and the other.
class RMSNormKernel {
public:
  enum : unsigned { kX, kWeight, kOut, kRows, kColumns };

  RMSNormKernel(KernelBuilder &b, Type weightType, double eps)
      : b(b), f32(b.getF32Type()), weightType(weightType), eps(eps) {}

  void build() {
    Value lane = b.laneId(), rows = b.argument(kRows);
    Value pair =
        b.add(b.mul(b.toI64(b.blockId()), b.i64(kWarps)), b.toI64(b.warpId()));
    Value first = b.shl(pair, 1);
    b.when(b.less(first, rows), [&] {
      Value second = b.add(first, b.i64(1));
      // An odd last row is summed by both halves: all lanes shuffle.
      Value last = b.sub(rows, b.i64(1));
      Value own = b.min(b.add(first, b.toI64(b.shr(lane, 4))), last);
      Value scale =
          buildScale(b.toI64(b.bitAnd(lane, b.i32(kChains - 1))), startOf(own));
      Value scales[] = {b.shuffle(scale, b.i32(0)),
                        b.shuffle(scale, b.i32(kChains))};
      buildRow(lane, first, scales[0]);
      b.when(b.less(second, rows), [&] { buildRow(lane, second, scales[1]); });
    });
  }

private:
  /// Loads in flight per lane.
  static constexpr int64_t kUnroll = 8;

  Value startOf(Value row) { return b.mul(row, b.argument(kColumns)); }

  Value buildScale(Value chain, Value start) {
    Value size = b.argument(kColumns);
    Value place = b.at(f32, b.argument(kX), b.add(start, chain));
    Value step = b.i64(kUnroll * kChains);
    Value whole = b.sub(size, b.rem(size, step));
    Value sum =
        b.reduce(b.i64(0), whole, step, b.f32(0),
                 [&](Value column, ValueRange sum) -> SmallVector<Value> {
                   Value from = b.at(f32, place, column);
                   SmallVector<Value> values;
                   for (int64_t i = 0; i < kUnroll; ++i)
                     values.push_back(
                         b.load(f32, b.at(f32, from, b.i64(i * kChains)), 4));
                   Value next = sum[0];
                   for (Value value : values)
                     next = b.fma(value, value, next);
                   return {next};
                 })[0];
    sum = b.reduce(whole, size, b.i64(kChains), sum,
                   [&](Value column, ValueRange sum) -> SmallVector<Value> {
                     Value value = b.pick(
                         b.less(b.add(column, chain), size), f32,
                         [&] {
                           return SmallVector<Value>{
                               b.load(f32, b.at(f32, place, column), 4)};
                         },
                         [&] { return SmallVector<Value>{b.f32(0)}; })[0];
                     return {b.fma(value, value, sum[0])};
                   })[0];
    for (int64_t mask = kChains / 2; mask > 0; mask /= 2)
      sum = b.addF(sum, b.shuffleXor(sum, mask));
    Value count = arith::UIToFPOp::create(b, f32, size);
    Value root =
        math::SqrtOp::create(b, b.addF(b.divF(sum, count), b.f32(eps)));
    return b.divF(b.f32(1), root);
  }

  void buildRow(Value lane, Value row, Value scale) {
    Value start = startOf(row);
    b.loop(b.toI64(lane), b.argument(kColumns), b.i64(kWarp),
           [&](Value column) {
             Value at = b.add(start, column);
             Value x = b.load(f32, b.at(f32, b.argument(kX), at), 4);
             Value weight = b.widen(b.load(
                 weightType, b.at(weightType, b.argument(kWeight), column)));
             b.store(b.mulF(b.mulF(x, scale), weight),
                     b.at(f32, b.argument(kOut), at), 4);
           });
  }

  KernelBuilder &b;
  Type f32, weightType;
  double eps;
};
} // namespace

static LogicalResult select(nn::RMSNormOp op, KernelModule &kernels) {
  OpBuilder b(op);
  Location loc = op->getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type weightType = getElementTypeOrSelf(op.getWeight());
  std::string key;
  llvm::raw_string_ostream(key) << weightType << " " << op.getEpsAttr();
  KernelShape shape;
  shape.threads = kWarps * kWarp;
  Type i64 = b.getI64Type();
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      kernels.getName("rms_norm", key), {pointer, pointer, pointer, i64, i64},
      shape, [&](KernelBuilder &body) {
        RMSNormKernel(body, weightType, op.getEps().convertToDouble()).build();
      });
  Value rows = memref::DimOp::create(b, loc, op.getX(), 0);
  Value columns = memref::DimOp::create(b, loc, op.getX(), 1);
  Value perBlock = arith::ConstantIndexOp::create(b, loc, 2 * kWarps);
  Value grid = arith::CeilDivUIOp::create(b, loc, rows, perBlock);
  buildLaunch(b, loc, kernel, grid,
              {op.getX(), op.getWeight(), op.getOuts()[0], rows, columns});
  op->erase();
  return success();
}

//===----------------------------------------------------------------------===//
// nn.embedding
//===----------------------------------------------------------------------===//

static LogicalResult select(nn::EmbeddingOp op, KernelModule &kernels) {
  auto tableType = cast<MemRefType>(op.getTable().getType());
  int64_t columns = tableType.getDimSize(1);
  if (!canLaunchPerColumn(columns))
    return failure();
  Type element = tableType.getElementType();
  OpBuilder b(op);
  Location loc = op->getLoc();
  Value rows = arith::MulIOp::create(
      b, loc, memref::DimOp::create(b, loc, op.getIds(), 0),
      memref::DimOp::create(b, loc, op.getIds(), 1));
  launchPerColumn(
      b, loc, kernels, "embedding", getText(element), rows, columns,
      {op.getIds(), op.getTable(), op.getOuts()[0]},
      [&](KernelBuilder &b, Value row, Value column) {
        Type i64 = b.getI64Type(), f32 = b.getF32Type();
        Value size = b.i64(columns);
        Value id = b.load(i64, b.at(i64, b.argument(0), row));
        Value from = b.add(b.mul(id, size), column),
              to = b.add(b.mul(row, size), column);
        b.store(b.widen(b.load(element, b.at(element, b.argument(1), from))),
                b.at(f32, b.argument(2), to), 4);
      });
  op->erase();
  return success();
}

//===----------------------------------------------------------------------===//
// nn.rotary_table
//===----------------------------------------------------------------------===//

/// Address of `frequencies` in the device's memory: neighbouring threads read
/// neighbours, for which constant memory would take turns.
static Value getTable(KernelBuilder &b, ArrayRef<float> frequencies) {
  static constexpr unsigned kGlobal = 1;
  LLVM::LLVMFuncOp kernel = b.getKernel();
  std::string name = (kernel.getName() + ".frequencies").str();
  OpBuilder outside(kernel);
  auto size = int64_t(frequencies.size());
  LLVM::GlobalOp::create(
      outside, b.getLoc(), LLVM::LLVMArrayType::get(b.getF32Type(), size),
      /*isConstant=*/true, LLVM::Linkage::Internal, name,
      DenseElementsAttr::get(RankedTensorType::get({size}, b.getF32Type()),
                             frequencies),
      /*alignment=*/4, kGlobal);
  return LLVM::AddressOfOp::create(b, b.pointer(kGlobal), name);
}

/// A thread per position and frequency.
static LogicalResult select(nn::RotaryTableOp op, KernelModule &kernels) {
  enum : unsigned { kLengths, kCos, kSin, kTokens };
  ArrayRef<float> frequencies = op.getInvFreq();
  auto columns = int64_t(frequencies.size());
  if (!canLaunchPerColumn(columns))
    return failure();
  OpBuilder b(op);
  Location loc = op->getLoc();
  Value tokens = memref::DimOp::create(b, loc, op.getIds(), 1);
  Value rows = arith::MulIOp::create(
      b, loc, memref::DimOp::create(b, loc, op.getIds(), 0), tokens);
  auto build = [&](KernelBuilder &b, Value row, Value column) {
    Type f32 = b.getF32Type(), i64 = b.getI64Type();
    Value numTokens = b.argument(kTokens);
    Value length =
        b.load(i64, b.at(i64, b.argument(kLengths), b.div(row, numTokens)), 8);
    Value position =
        arith::SIToFPOp::create(b, f32, b.add(length, b.rem(row, numTokens)));
    Value frequency =
        b.load(f32, b.at(f32, getTable(b, frequencies), column), 4);
    Value angle = b.mulF(position, frequency);
    auto [sin, cos] =
        buildSinCos(b, arith::ExtFOp::create(b, b.getF64Type(), angle));
    Value place = b.add(b.mul(row, b.i64(columns)), column);
    for (auto [value, out] : {std::pair(cos, kCos), {sin, kSin}})
      b.store(arith::TruncFOp::create(b, f32, value),
              b.at(f32, b.argument(out), place), 4);
  };
  launchPerColumn(b, loc, kernels, "rotary_table", getText(op.getInvFreqAttr()),
                  rows, columns,
                  {op.getLengths(), op.getOuts()[0], op.getOuts()[1], tokens},
                  build);
  op->erase();
  return success();
}

//===----------------------------------------------------------------------===//
// nn.rotary
//===----------------------------------------------------------------------===//

/// A thread per pair of columns that turn together.
static LogicalResult select(nn::RotaryOp op, KernelModule &kernels) {
  enum : unsigned { kX, kCos, kSin, kOut };
  int64_t half = cast<MemRefType>(op.getCos().getType()).getDimSize(1);
  int64_t heads = op.getHeads();
  if (!canLaunchPerColumn(half) || !canLaunchPerColumn(heads) ||
      !canLaunchPerColumn(heads * half))
    return failure();
  int64_t pairs = heads * half;
  OpBuilder b(op);
  Location loc = op->getLoc();
  std::string key = std::to_string(half);
  auto build = [&](KernelBuilder &b, Value row, Value pair) {
    Type f32 = b.getF32Type();
    Value size = b.i64(half);
    Value head = b.div(pair, size), i = b.rem(pair, size);
    Value low =
        b.add(b.mul(row, b.i64(2 * pairs)), b.add(b.mul(head, size), pair));
    Value high = b.add(low, size), angle = b.add(b.mul(row, size), i);
    auto load = [&](unsigned argument, Value at) {
      return b.load(f32, b.at(f32, b.argument(argument), at), 4);
    };
    Value u = load(kX, low), v = load(kX, high), cos = load(kCos, angle),
          sin = load(kSin, angle);
    b.store(b.subF(b.mulF(u, cos), b.mulF(v, sin)),
            b.at(f32, b.argument(kOut), low), 4);
    b.store(b.addF(b.mulF(v, cos), b.mulF(u, sin)),
            b.at(f32, b.argument(kOut), high), 4);
  };
  launchPerColumn(b, loc, kernels, "rotary", key,
                  memref::DimOp::create(b, loc, op.getX(), 0), pairs,
                  {op.getX(), op.getCos(), op.getSin(), op.getOuts()[0]},
                  build);
  op->erase();
  return success();
}

//===----------------------------------------------------------------------===//
// nn.cache_append and nn.last_rows
//===----------------------------------------------------------------------===//

/// a / max(b, 1).
static Value divideByAtLeastOne(KernelBuilder &b, Value dividend,
                                Value divisor) {
  Value one = b.i64(1);
  return b.div(dividend, b.select(b.less(divisor, one), one, divisor));
}

static LogicalResult select(nn::CacheAppendOp op, KernelModule &kernels) {
  enum : unsigned { kX, kLengths, kCache, kLayer, kRows, kBatch, kCapacity };
  auto cacheType = cast<MemRefType>(op.getOuts()[0].getType());
  int64_t heads = cacheType.getDimSize(3), headSize = cacheType.getDimSize(4);
  if (!canLaunchPerColumn(heads) || !canLaunchPerColumn(headSize) ||
      !canLaunchPerColumn(heads * headSize))
    return failure();
  int64_t columns = heads * headSize;
  OpBuilder b(op);
  Location loc = op->getLoc();
  Value rows = memref::DimOp::create(b, loc, op.getX(), 0);
  Value batch = memref::DimOp::create(b, loc, op.getOuts()[0], 1);
  Value capacity = memref::DimOp::create(b, loc, op.getOuts()[0], 2);
  auto build = [&](KernelBuilder &b, Value row, Value column) {
    Type f32 = b.getF32Type(), i64 = b.getI64Type();
    Value batch = b.argument(kBatch), size = b.i64(columns);
    Value numTokens = divideByAtLeastOne(b, b.argument(kRows), batch);
    Value sequence = b.div(row, numTokens), token = b.rem(row, numTokens);
    Value length = b.load(i64, b.at(i64, b.argument(kLengths), sequence), 8);
    Value place = b.add(b.mul(b.argument(kLayer), batch), sequence);
    place = b.add(b.mul(place, b.argument(kCapacity)), b.add(length, token));
    Value x = b.load(
        f32, b.at(f32, b.argument(kX), b.add(b.mul(row, size), column)), 4);
    b.store(x, b.at(f32, b.argument(kCache), b.add(b.mul(place, size), column)),
            4);
  };
  launchPerColumn(b, loc, kernels, "cache_append", "", rows, columns,
                  {op.getX(), op.getLengths(), op.getOuts()[0], op.getLayer(),
                   rows, batch, capacity},
                  build);
  op->erase();
  return success();
}

static LogicalResult select(nn::LastRowsOp op, KernelModule &kernels) {
  enum : unsigned { kX, kOut, kTokens };
  int64_t columns = cast<MemRefType>(op.getX().getType()).getDimSize(1);
  if (!canLaunchPerColumn(columns))
    return failure();
  OpBuilder b(op);
  Location loc = op->getLoc();
  Value sequences = memref::DimOp::create(b, loc, op.getIds(), 0);
  Value tokens = memref::DimOp::create(b, loc, op.getIds(), 1);
  auto build = [&](KernelBuilder &b, Value sequence, Value column) {
    Type f32 = b.getF32Type();
    Value size = b.i64(columns), one = b.i64(1);
    Value tokens = b.argument(kTokens);
    // Callers refuse S = 0; there is no row before the first one.
    Value some = b.compare(arith::CmpIPredicate::ne, tokens, b.i64(0));
    b.when(some, [&] {
      Value row = b.sub(b.mul(b.add(sequence, one), tokens), one);
      Value x = b.load(
          f32, b.at(f32, b.argument(kX), b.add(b.mul(row, size), column)), 4);
      Value to = b.add(b.mul(sequence, size), column);
      b.store(x, b.at(f32, b.argument(kOut), to), 4);
    });
  };
  launchPerColumn(b, loc, kernels, "last_rows", "", sequences, columns,
                  {op.getX(), op.getOuts()[0], tokens}, build);
  op->erase();
  return success();
}

LogicalResult moe::selectDecoder(Operation *op, KernelModule &kernels) {
  if (!hasDenseOperands(op))
    return failure();
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<nn::RMSNormOp, nn::EmbeddingOp, nn::RotaryTableOp, nn::RotaryOp,
            nn::CacheAppendOp, nn::LastRowsOp>(
          [&](auto decoder) { return select(decoder, kernels); })
      .Default([](Operation *) { return failure(); });
}
