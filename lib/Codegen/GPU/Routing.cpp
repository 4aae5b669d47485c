//===- Routing.cpp - Kernels of the stages of routing ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Stages with work for a whole warp per token; the others are loops over slots,
// which the outliner gives a thread per token.
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include <limits>

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kWarp = 32, kWarps = 4;
/// Ranks that a lane keeps in registers: 32 * 32 experts.
static constexpr int64_t kMaxRanks = 32;

/// An unsigned integer that orders f32 values as moe.top_k does: NaN sorts
/// after every number but before -infinity, which is 0 and is never chosen.
static Value buildRank(KernelBuilder &b, Value value) {
  Value isNaN =
      arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, value, value);
  Value isLowest =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, value,
                            b.f32(-std::numeric_limits<double>::infinity()));
  // Adding +0 makes +0 of -0. Negative floats ascend where their bits descend.
  Value bits =
      arith::BitcastOp::create(b, b.getI32Type(), b.addF(value, b.f32(0)));
  Value isNegative = b.compare(arith::CmpIPredicate::slt, bits, b.i32(0));
  Value sign = b.i32(std::numeric_limits<int32_t>::min());
  Value rank =
      b.select(isNegative, b.bitXor(bits, b.i32(-1)), b.bitXor(bits, sign));
  return b.select(isLowest, b.i32(0), b.select(isNaN, b.i32(1), rank));
}

namespace {
/// Arguments of the kernel.
enum : unsigned { kScores, kIndices, kWeights, kTokens, kNumArguments };
} // namespace

/// A warp per token. Each of the k rounds takes the highest rank of all lanes,
/// then the lowest expert that has it: two redux.sync.
static void buildTopK(KernelBuilder &b, int64_t numExperts, int64_t k) {
  Value lane = b.laneId();
  Value token = b.add(b.mul(b.blockId(), b.i32(kWarps)), b.warpId());
  b.when(b.less(token, b.toI32(b.argument(kTokens))), [&] {
    Type f32 = b.getF32Type(), i32 = b.getI32Type();
    Value row = b.at(f32, b.argument(kScores),
                     b.mul(b.toI64(token), b.i64(numExperts)));
    int64_t perLane = llvm::divideCeil(numExperts, kWarp);
    SmallVector<Value> ranks;
    for (int64_t i = 0; i < perLane; ++i) {
      Value e = b.add(lane, b.i32(i * kWarp));
      auto read = [&] {
        return buildRank(b, b.load(f32, b.at(f32, row, e), 4));
      };
      if ((i + 1) * kWarp <= numExperts)
        ranks.push_back(read());
      else
        ranks.push_back(b.pick(
            b.less(e, b.i32(numExperts)), i32,
            [&] { return SmallVector<Value>{read()}; },
            [&] { return SmallVector<Value>{b.i32(0)}; })[0]);
    }
    Value firstOut = b.mul(b.toI64(token), b.i64(k));
    Value all = b.i32(-1), zero = b.i32(0);
    auto reduceWarp = [&](Value value, NVVM::ReduxKind kind) -> Value {
      return NVVM::ReduxOp::create(b, i32, value, kind, all);
    };
    b.reduce(b.i32(0), b.i32(k), b.i32(1), ranks,
             [&](Value j, ValueRange ranks) -> SmallVector<Value> {
               Value mine = zero, place = all;
               for (auto [i, rank] : llvm::enumerate(ranks)) {
                 // Ascending experts: only what is higher takes the place.
                 Value isHigher = b.less(mine, rank);
                 mine = b.select(isHigher, rank, mine);
                 place =
                     b.select(isHigher, b.add(lane, b.i32(i * kWarp)), place);
               }
               Value best = reduceWarp(mine, NVVM::ReduxKind::UMAX);
               Value isMine = b.compare(arith::CmpIPredicate::eq, mine, best);
               Value chosen = reduceWarp(b.select(isMine, place, all),
                                         NVVM::ReduxKind::UMIN);
               Value isFound = b.compare(arith::CmpIPredicate::ne, best, zero);
               chosen = b.select(isFound, chosen, all);
               b.when(b.compare(arith::CmpIPredicate::eq, lane, zero), [&] {
                 Value weight = b.pick(
                     isFound, f32,
                     [&] {
                       return SmallVector<Value>{
                           b.load(f32, b.at(f32, row, chosen), 4)};
                     },
                     [&] { return SmallVector<Value>{b.f32(0)}; })[0];
                 Value at = b.add(firstOut, b.toI64(j));
                 b.store(chosen, b.at(i32, b.argument(kIndices), at), 4);
                 b.store(weight, b.at(f32, b.argument(kWeights), at), 4);
               });
               SmallVector<Value> rest;
               for (auto [i, rank] : llvm::enumerate(ranks)) {
                 Value isChosen = b.compare(arith::CmpIPredicate::eq, chosen,
                                            b.add(lane, b.i32(i * kWarp)));
                 rest.push_back(b.select(isChosen, zero, rank));
               }
               return rest;
             });
  });
}

LogicalResult moe::selectRouting(Operation *op, KernelModule &kernels) {
  auto topK = dyn_cast<TopKOp>(op);
  if (!topK)
    return failure();
  auto scores = cast<MemRefType>(topK.getScores().getType());
  int64_t numExperts = scores.getDimSize(1), k = topK.getK();
  if (ShapedType::isDynamic(numExperts) || numExperts > kMaxRanks * kWarp ||
      !scores.getElementType().isF32() || !hasDenseOperands(op))
    return failure();

  OpBuilder b(op);
  Location loc = op->getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  KernelShape shape;
  shape.threads = kWarps * kWarp;
  std::string name = ("top_k_e" + Twine(numExperts) + "_k" + Twine(k)).str();
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      name, {pointer, pointer, pointer, b.getI64Type()}, shape,
      [&](KernelBuilder &body) { buildTopK(body, numExperts, k); });
  Value tokens = memref::DimOp::create(b, loc, topK.getScores(), 0);
  Value grid = arith::CeilDivUIOp::create(
      b, loc, tokens, arith::ConstantIndexOp::create(b, loc, kWarps));
  SmallVector<Value> arguments(kNumArguments);
  arguments[kScores] = topK.getScores();
  arguments[kIndices] = topK.getOuts()[0];
  arguments[kWeights] = topK.getOuts()[1];
  arguments[kTokens] = tokens;
  buildLaunch(b, loc, kernel, grid, arguments);
  op->erase();
  return success();
}
