//===- ExpandRouting.cpp - Routing policies to stage ops ------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEEXPANDROUTING
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// Replaces one policy of another dialect. Fails if its reference is unusable.
static LogicalResult expandPolicy(RoutingOpInterface op) {
  IRRewriter rewriter(op);
  auto opts = remark::RemarkOpts::name(op->getName().getStringRef())
                  .category("moe-expand-routing");
  FailureOr<SmallVector<Value>> reference = op.buildReference(rewriter);
  if (failed(reference)) {
    remark::missed(op.getLoc(), opts) << remark::reason("no reference");
    return success();
  }
  if (ValueRange(*reference).getTypes() != op->getResultTypes())
    return op->emitOpError("has a reference of types (")
           << ValueRange(*reference).getTypes() << "), expected ("
           << op->getResultTypes() << ")";
  remark::passed(op.getLoc(), opts)
      << remark::metric("MaxExpertsPerToken", op.getMaxExpertsPerToken());
  rewriter.replaceOp(op, *reference);
  return success();
}

namespace {
struct ExpandRoutingPass : moe::impl::MoEExpandRoutingBase<ExpandRoutingPass> {
  void runOnOperation() override {
    SmallVector<RoutingOpInterface> policies;
    getOperation().walk([&](RoutingOpInterface op) {
      if (!isa<MoEDialect>(op->getDialect()))
        policies.push_back(op);
    });
    for (RoutingOpInterface op : policies)
      if (failed(expandPolicy(op)))
        return signalPassFailure();
  }
};
} // namespace
