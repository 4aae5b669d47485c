//===- ExpandLayer.cpp - moe.layer to dispatch, experts, combine ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/PatternMatch.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEEXPANDLAYER
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

static void expandLayer(LayerOp op) {
  IRRewriter rewriter(op);
  Location loc = op.getLoc();
  AssignmentType type = op.getAssignment().getType();
  RankedTensorType xType = op.getX().getType();
  // [T * max_per_token, H]; the bound stays dynamic, as expert bodies have it.
  auto rowsType = xType.clone({ShapedType::kDynamic, xType.getDimSize(1)});
  auto offsetsType = tensorOf({type.getExperts() + 1}, rewriter.getI32Type());
  auto dispatch =
      DispatchOp::create(rewriter, loc, TypeRange{rowsType, offsetsType},
                         op.getX(), op.getAssignment(), op.getApply());
  auto experts = ExpertsOp::create(rewriter, loc, rowsType, dispatch.getRows(),
                                   dispatch.getOffsets(), op.getWeights(),
                                   op.getWeightsPerKindAttr(),
                                   op.getKindsAttr(), op.getExperts().size());
  for (auto [source, target] : llvm::zip(op.getExperts(), experts.getExperts()))
    rewriter.inlineRegionBefore(source, target, target.end());
  rewriter.replaceOpWithNewOp<CombineOp>(op, op.getType(), experts.getResult(),
                                         op.getAssignment(), op.getInit(),
                                         op.getApply());
}

namespace {
struct ExpandLayerPass : moe::impl::MoEExpandLayerBase<ExpandLayerPass> {
  void runOnOperation() override {
    SmallVector<LayerOp> layers;
    getOperation().walk([&](LayerOp op) { layers.push_back(op); });
    llvm::for_each(layers, expandLayer);
  }
};
} // namespace
