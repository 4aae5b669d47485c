//===- Attention.cpp - Attention over the cache ---------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// A warp for each row and query head, in the arithmetic of
// Conversion/MoEToLoops and bit for bit like it: online softmax over blocks of
// 16 keys (Milakov and Gimelshein 2018, algorithm 3), each score a sum of 16
// interleaved chains. Lanes 0 to 15 hold the chains of keys 0 to 7 of a block,
// one key at a time, lanes 16 to 31 those of keys 8 to 15.
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moe/Dialect/NN/IR/NN.h"
#include <limits>

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kWarps = 4, kWarp = 32, kBlock = 16, kHalf = 8;
/// Registers for the query and the sums: 2 * 512 / 16.
static constexpr int64_t kMaxHeadSize = 512;

namespace {
struct AttentionShape {
  int64_t heads, kvHeads, headSize;
  std::optional<int64_t> window;
  double scale;
};

/// Arguments of the kernel, in order.
enum : unsigned {
  kQ,
  kKeys,
  kValues,
  kLengths,
  kOut,
  kLayer,
  kRows,
  kBatch,
  kCapacity,
  kNumArguments
};

class AttentionKernel {
public:
  AttentionKernel(KernelBuilder &b, const AttentionShape &shape)
      : b(b), shape(shape) {}

  void build() {
    Value lane = b.laneId();
    Value item =
        b.add(b.mul(b.toI64(b.blockId()), b.i64(kWarps)), b.toI64(b.warpId()));
    Value heads = b.i64(shape.heads), rows = b.argument(kRows);
    b.when(b.less(item, b.mul(rows, heads)),
           [&] { run(lane, b.div(item, heads), b.rem(item, heads)); });
  }

private:
  int64_t chainColumns() const {
    return llvm::divideCeil(shape.headSize, kBlock);
  }
  int64_t laneColumns() const {
    return llvm::divideCeil(shape.headSize, kWarp);
  }

  /// f32 at `address` if `column` is one of the head, else 0. `isWhole`: it is
  /// for every lane.
  Value loadColumn(Value base, Value offset, Value column, bool isWhole,
                   Value also = Value()) {
    Type f32 = b.getF32Type();
    Value inside = also;
    if (!isWhole) {
      Value fits = b.less(column, b.i64(shape.headSize));
      inside = inside ? b.bitAnd(inside, fits) : fits;
    }
    auto read = [&] { return b.load(f32, b.at(f32, base, offset), 4); };
    if (!inside)
      return read();
    return b.pick(
        inside, f32, [&] { return SmallVector<Value>{read()}; },
        [&] { return SmallVector<Value>{b.f32(0)}; })[0];
  }

  /// Combines the sixteen keys of a block as the canonical tree does: (l, l +
  /// 8), (l, l + 4), (l, l + 2), (l, l + 1). Every lane gets the result.
  Value combineKeys(Value value, function_ref<Value(Value, Value)> combine) {
    for (int64_t mask : {16, 4, 2, 1})
      value = combine(value, b.shuffleXor(value, mask));
    return value;
  }

  /// Score of the key that `lane` stands for; -infinity where there is none.
  Value buildScores(Value lane, ArrayRef<Value> query, Value blockStart,
                    Value from, Value to, Value rowOfKey0, Value keyStride) {
    Value half = b.shr(lane, 4), chain = b.toI64(b.bitAnd(lane, b.i32(15)));
    Value own = b.bitAnd(lane, b.i32(kHalf - 1));
    Value lowest = b.f32(-std::numeric_limits<double>::infinity());
    Value firstKey = b.add(blockStart, b.toI64(b.shl(half, 3)));
    return b.reduce(
        b.i32(0), b.i32(kHalf), b.i32(1), lowest,
        [&](Value j, ValueRange carried) -> SmallVector<Value> {
          Value key = b.add(firstKey, b.toI64(j));
          Value exists =
              b.bitAnd(b.compare(arith::CmpIPredicate::sge, key, from),
                       b.compare(arith::CmpIPredicate::slt, key, to));
          Value row = b.add(rowOfKey0, b.mul(key, keyStride));
          Value sum = b.f32(0);
          for (int64_t i = 0; i < chainColumns(); ++i) {
            Value column = b.add(chain, b.i64(i * kBlock));
            bool isWhole = (i + 1) * kBlock <= shape.headSize;
            Value k = loadColumn(b.argument(kKeys), b.add(row, column), column,
                                 isWhole, exists);
            sum = b.fma(query[i], k, sum);
          }
          for (int64_t mask : {8, 4, 2, 1})
            sum = b.addF(sum, b.shuffleXor(sum, mask));
          Value score = b.mulF(sum, b.f32(shape.scale));
          Value isOwn =
              b.bitAnd(b.compare(arith::CmpIPredicate::eq, own, j), exists);
          return {b.select(isOwn, score, carried[0])};
        })[0];
  }

  void run(Value lane, Value row, Value head) {
    Value headSize = b.i64(shape.headSize), zero = b.i64(0);
    Value batch = b.argument(kBatch);
    // S of B * S rows, also for B = 0.
    Value one = b.i64(1);
    Value numTokens =
        b.div(b.argument(kRows), b.select(b.less(batch, one), one, batch));
    Value sequence = b.div(row, numTokens), token = b.rem(row, numTokens);
    Value length = b.load(b.getI64Type(),
                          b.at(b.getI64Type(), b.argument(kLengths), sequence));
    // This row sees keys [first, end).
    Value end = b.add(b.add(length, token), one), first = zero;
    if (shape.window) {
      Value start = b.sub(end, b.i64(*shape.window));
      first = b.select(b.compare(arith::CmpIPredicate::slt, start, zero), zero,
                       start);
    }
    Value kvHead = b.div(head, b.i64(shape.heads / shape.kvHeads));
    Value kvHeads = b.i64(shape.kvHeads);
    Value keyStride = b.mul(kvHeads, headSize);
    Value firstRow = b.mul(b.add(b.mul(b.argument(kLayer), batch), sequence),
                           b.argument(kCapacity));
    Value rowOfKey0 =
        b.add(b.mul(firstRow, keyStride), b.mul(kvHead, headSize));

    Value rowStart =
        b.mul(b.add(b.mul(row, b.i64(shape.heads)), head), headSize);
    Value chain = b.toI64(b.bitAnd(lane, b.i32(15)));
    SmallVector<Value> query;
    for (int64_t i = 0; i < chainColumns(); ++i) {
      Value column = b.add(chain, b.i64(i * kBlock));
      query.push_back(loadColumn(b.argument(kQ), b.add(rowStart, column),
                                 column, (i + 1) * kBlock <= shape.headSize));
    }

    // Maximum, sum, and this lane's columns of the weighted values.
    SmallVector<Value> state = {b.f32(-std::numeric_limits<double>::infinity()),
                                b.f32(0)};
    state.append(laneColumns(), b.f32(0));
    Value block = b.i64(kBlock);
    Value firstBlock = b.mul(b.div(first, block), block);
    state = b.reduce(firstBlock, end, block, state,
                     [&](Value blockStart, ValueRange carried) {
                       return buildBlock(lane, query, blockStart, first, end,
                                         rowOfKey0, keyStride, carried);
                     });
    for (int64_t i = 0; i < laneColumns(); ++i) {
      Value column = b.add(b.toI64(lane), b.i64(i * kWarp));
      auto write = [&] {
        b.store(b.divF(state[2 + i], state[1]),
                b.at(b.getF32Type(), b.argument(kOut), b.add(rowStart, column)),
                4);
      };
      if ((i + 1) * kWarp <= shape.headSize)
        write();
      else
        b.when(b.less(column, headSize), write);
    }
  }

  SmallVector<Value> buildBlock(Value lane, ArrayRef<Value> query,
                                Value blockStart, Value first, Value end,
                                Value rowOfKey0, Value keyStride,
                                ValueRange carried) {
    auto least = [&](Value x, Value y) {
      return b.select(b.compare(arith::CmpIPredicate::slt, x, y), x, y);
    };
    auto most = [&](Value x, Value y) {
      return b.select(b.compare(arith::CmpIPredicate::slt, x, y), y, x);
    };
    Value from = most(blockStart, first),
          to = least(b.add(blockStart, b.i64(kBlock)), end);
    Value score =
        buildScores(lane, query, blockStart, from, to, rowOfKey0, keyStride);
    Value max = b.maxF(carried[0], combineKeys(score, [&](Value x, Value y) {
                         return b.maxF(x, y);
                       }));
    Value weight = math::ExpOp::create(b, b.subF(score, max));
    Value rescale = math::ExpOp::create(b, b.subF(carried[0], max));
    Value total =
        combineKeys(weight, [&](Value x, Value y) { return b.addF(x, y); });
    SmallVector<Value> next = {max, b.fma(carried[1], rescale, total)};

    SmallVector<Value> sums;
    for (int64_t i = 0; i < laneColumns(); ++i)
      sums.push_back(b.mulF(carried[2 + i], rescale));
    Value firstInBlock = b.toI32(b.sub(from, blockStart)),
          lastInBlock = b.toI32(b.sub(to, blockStart));
    sums = b.reduce(
        firstInBlock, lastInBlock, b.i32(1), sums,
        [&](Value j, ValueRange sums) {
          // Key j is that of lane j, or of lane j + 8 for the second eight.
          Value holder = b.add(j, b.bitAnd(j, b.i32(kHalf)));
          Value w = b.shuffle(weight, holder);
          Value row =
              b.add(rowOfKey0, b.mul(b.add(blockStart, b.toI64(j)), keyStride));
          SmallVector<Value> next;
          for (int64_t i = 0; i < laneColumns(); ++i) {
            Value column = b.add(b.toI64(lane), b.i64(i * kWarp));
            bool isWhole = (i + 1) * kWarp <= shape.headSize;
            Value v = loadColumn(b.argument(kValues), b.add(row, column),
                                 column, isWhole);
            next.push_back(b.fma(w, v, sums[i]));
          }
          return next;
        });
    next.append(sums);
    return next;
  }

  KernelBuilder &b;
  const AttentionShape &shape;
};
} // namespace

LogicalResult moe::selectAttention(Operation *op, KernelModule &kernels) {
  auto attention = dyn_cast<nn::AttentionOp>(op);
  if (!attention)
    return failure();
  auto keys = cast<MemRefType>(attention.getKeys().getType());
  Value out = attention.getOuts()[0];
  AttentionShape shape = {int64_t(attention.getHeads()), keys.getDimSize(3),
                          keys.getDimSize(4), std::nullopt,
                          attention.getScale().convertToDouble()};
  if (attention.getWindow())
    shape.window = *attention.getWindow();
  if (ShapedType::isDynamic(shape.kvHeads) ||
      ShapedType::isDynamic(shape.headSize) || shape.headSize > kMaxHeadSize ||
      !hasDenseOperands(op))
    return failure();

  OpBuilder b(op);
  Location loc = op->getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  SmallVector<Type> types(kNumArguments, b.getI64Type());
  for (unsigned i : {kQ, kKeys, kValues, kLengths, kOut})
    types[i] = pointer;
  std::string key;
  llvm::raw_string_ostream(key)
      << shape.heads << " " << shape.kvHeads << " " << shape.headSize << " "
      << shape.window.value_or(-1) << " " << attention.getScaleAttr();
  KernelShape launch;
  launch.threads = kWarps * kWarp;
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      kernels.getName("attention", key), types, launch,
      [&](KernelBuilder &body) { AttentionKernel(body, shape).build(); });

  auto constant = [&](int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
  Value rows = memref::DimOp::create(b, loc, attention.getQ(), 0);
  Value batch = memref::DimOp::create(b, loc, attention.getKeys(), 1);
  Value capacity = memref::DimOp::create(b, loc, attention.getKeys(), 2);
  Value items = arith::MulIOp::create(b, loc, rows, constant(shape.heads));
  Value grid = arith::CeilDivUIOp::create(b, loc, items, constant(kWarps));
  SmallVector<Value> arguments(kNumArguments);
  arguments[kQ] = attention.getQ();
  arguments[kKeys] = attention.getKeys();
  arguments[kValues] = attention.getValues();
  arguments[kLengths] = attention.getLengths();
  arguments[kOut] = out;
  arguments[kLayer] = attention.getLayer();
  arguments[kRows] = rows;
  arguments[kBatch] = batch;
  arguments[kCapacity] = capacity;
  buildLaunch(b, loc, kernel, grid, arguments);
  op->erase();
  return success();
}
