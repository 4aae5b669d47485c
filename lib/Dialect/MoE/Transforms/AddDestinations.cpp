//===- AddDestinations.cpp - A buffer of its own for every result ---------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEADDDESTINATIONS
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

static void addDestinations(DestinationOpInterface op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  SmallVector<Value> outs;
  for (auto [result, sizes] :
       llvm::zip(op->getResults(), op.buildOutputSizes(b))) {
    auto type = cast<RankedTensorType>(result.getType());
    SmallVector<Value> dynamicSizes;
    for (auto [i, size] : llvm::enumerate(sizes))
      if (type.isDynamicDim(i))
        dynamicSizes.push_back(getValueOrCreateConstantIndexOp(b, loc, size));
    outs.push_back(tensor::EmptyOp::create(b, loc, type, dynamicSizes));
  }
  op.getOutsMutable().assign(outs);
}

/// A clone of `op` for each use but the first, so that no two results share a
/// destination.
static void splitUses(Operation *op) {
  if (op->use_empty())
    return;
  OpBuilder b(op);
  SmallVector<OpOperand *> uses;
  for (OpOperand &use : op->getUses())
    uses.push_back(&use);
  for (OpOperand *use : llvm::drop_begin(uses))
    use->set(b.clone(*op)->getResult(0));
}

namespace {
struct AddDestinationsPass
    : moe::impl::MoEAddDestinationsBase<AddDestinationsPass> {
  void runOnOperation() override {
    SmallVector<DestinationOpInterface> missing;
    getOperation().walk([&](DestinationOpInterface op) {
      if (op->getNumResults() &&
          static_cast<OperandRange>(op.getOutsMutable()).empty())
        missing.push_back(op);
    });
    llvm::for_each(missing, addDestinations);
    // Users before producers: a fill's destination is split after the fill.
    SmallVector<Operation *> fills, empties;
    getOperation().walk([&](linalg::FillOp op) {
      if (op.hasPureTensorSemantics())
        fills.push_back(op);
    });
    llvm::for_each(fills, splitUses);
    getOperation().walk([&](tensor::EmptyOp op) { empties.push_back(op); });
    llvm::for_each(empties, splitUses);
  }
};
} // namespace
