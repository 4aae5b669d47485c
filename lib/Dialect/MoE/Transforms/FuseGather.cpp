//===- FuseGather.cpp - Read rows through the index map -------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEFUSEGATHER
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// Why `op` must stay; empty if it may go.
static StringRef findObstacle(GatherRowsOp op) {
  if (op.getRowWeight())
    return "weights are applied to the input";
  Value rows = op->getResult(0);
  if (rows.use_empty())
    return "the rows have no use";
  for (OpOperand &use : rows.getUses()) {
    auto matmul = dyn_cast<GroupedMatmulOp>(use.getOwner());
    if (!matmul || use.getOperandNumber() != 0)
      return "the rows have a use that is not the input of a product";
    if (matmul.getGather())
      return "the product already gathers its rows";
    // The index map is undefined behind the gather's own groups.
    if (matmul.getOffsets() != op.getOffsets())
      return "the product has other groups";
  }
  return "";
}

namespace {
struct FuseGatherPass : moe::impl::MoEFuseGatherBase<FuseGatherPass> {
  void runOnOperation() override {
    SmallVector<GatherRowsOp> worklist;
    getOperation().walk([&](GatherRowsOp op) {
      if (op->getNumResults() == 1) // not yet on memrefs
        worklist.push_back(op);
    });
    auto opts =
        remark::RemarkOpts::name("FuseGather").category("moe-fuse-gather");
    for (GatherRowsOp op : worklist) {
      if (StringRef why = findObstacle(op); !why.empty()) {
        remark::missed(op.getLoc(), opts) << remark::reason("{0}", why);
        continue;
      }
      int64_t products = 0;
      for (OpOperand &use :
           llvm::make_early_inc_range(op->getResult(0).getUses())) {
        auto matmul = cast<GroupedMatmulOp>(use.getOwner());
        matmul.getAMutable().assign(op.getX());
        matmul.getGatherMutable().assign(op.getRowToken());
        ++products;
      }
      remark::passed(op.getLoc(), opts) << remark::metric("Products", products);
      op.erase();
    }
  }
};
} // namespace
