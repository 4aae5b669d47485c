//===- Decoder.cpp - Kernels of the rest of a decoder --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moe/Dialect/NN/IR/NN.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kWarps = 4, kWarp = 32;
/// Interleaved chains of a sum, as in Conversion/MoEToLoops.
static constexpr int64_t kChains = 16;

static Type getElement(Value memref) {
  return cast<MemRefType>(memref.getType()).getElementType();
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
  Type weightType = getElement(op.getWeight());
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

LogicalResult moe::selectDecoder(Operation *op, KernelModule &kernels) {
  for (Value operand : op->getOperands())
    if (auto type = dyn_cast<MemRefType>(operand.getType());
        type && !type.getLayout().isIdentity())
      return failure();
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<nn::RMSNormOp>(
          [&](auto decoder) { return select(decoder, kernels); })
      .Default([](Operation *) { return failure(); });
}
