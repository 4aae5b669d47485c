//===- FuseCombine.cpp - Add expert outputs where they are computed -------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEFUSECOMBINE
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// The plan with `value` as its result `number`, if any.
static PlanOp getPlan(Value value, unsigned number) {
  auto plan = value.getDefiningOp<PlanOp>();
  return plan && plan->getResult(number) == value ? plan : PlanOp();
}

/// Why `op` must stay; empty if it may become the scatter of its product.
static StringRef findObstacle(CombineRowsOp op) {
  auto matmul = op.getRows().getDefiningOp<GroupedMatmulOp>();
  if (!matmul)
    return "the rows do not come from a product";
  if (!op.getRows().hasOneUse())
    return "the rows have another use";
  if (!matmul.getScatter().empty())
    return "the product already scatters its rows";
  if (matmul->getBlock() != op->getBlock())
    return "the product is in another block";
  // Without weights the factor is 1, and no tensor holds that.
  if (!op.getRowWeight())
    return "no weights are applied to the output";
  PlanOp plan = getPlan(op.getTokenRows(), 4);
  if (!plan || getPlan(op.getTokenOffsets(), 3) != plan ||
      getPlan(op.getRowWeight(), 1) != plan ||
      getPlan(matmul.getOffsets(), 2) != plan)
    return "the index maps are not of one plan";
  return "";
}

/// Both walk a token's rows in ascending order, one FMA each.
static void fuse(CombineRowsOp op) {
  IRRewriter rewriter(op);
  auto matmul = op.getRows().getDefiningOp<GroupedMatmulOp>();
  PlanOp plan = getPlan(op.getTokenRows(), 4);
  // At the place of the combine: its destination may be defined in between.
  auto fused = GroupedMatmulOp::create(
      rewriter, matmul.getLoc(), op->getResultTypes(), matmul.getA(),
      matmul.getOffsets(), matmul.getBs(), matmul.getBiases(),
      matmul.getGather(), ValueRange{plan->getResult(0), plan->getResult(1)},
      op.getOuts());
  rewriter.inlineRegionBefore(matmul.getEpilogue(), fused.getEpilogue(),
                              fused.getEpilogue().end());
  rewriter.replaceOp(op, fused);
  rewriter.eraseOp(matmul);
}

namespace {
struct FuseCombinePass : moe::impl::MoEFuseCombineBase<FuseCombinePass> {
  void runOnOperation() override {
    SmallVector<CombineRowsOp> worklist;
    getOperation().walk([&](CombineRowsOp op) {
      if (op->getNumResults() == 1) // not yet on memrefs
        worklist.push_back(op);
    });
    auto opts =
        remark::RemarkOpts::name("FuseCombine").category("moe-fuse-combine");
    for (CombineRowsOp op : worklist) {
      if (StringRef why = findObstacle(op); !why.empty()) {
        remark::missed(op.getLoc(), opts) << remark::reason("{0}", why);
        continue;
      }
      remark::passed(op.getLoc(), opts);
      fuse(op);
    }
  }
};
} // namespace
