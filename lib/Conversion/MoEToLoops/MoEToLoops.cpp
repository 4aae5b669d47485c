//===- MoEToLoops.cpp - Kernels on memrefs to scf loops -------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "LoopBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/PatternMatch.h"
#include "moe/Conversion/ExpandElementwise.h"
#include "moe/Conversion/Passes.h"
#include "moe/Dialect/NN/IR/NN.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTKERNELSTOLOOPS
#include "moe/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
struct ConvertKernelsToLoops
    : moe::impl::ConvertKernelsToLoopsBase<ConvertKernelsToLoops> {
  using ConvertKernelsToLoopsBase::ConvertKernelsToLoopsBase;

  void runOnOperation() override {
    SmallVector<DestinationOpInterface> kernels;
    getOperation().walk([&](DestinationOpInterface op) {
      if (!isa<PackedMatmulOp>(op))
        kernels.push_back(op);
    });
    for (DestinationOpInterface op : kernels) {
      if (failed(lowerKernel(op)))
        return signalPassFailure();
    }
    // Epilogues have been cloned into the loops by now.
    SmallVector<Operation *> elementwise;
    getOperation().walk([&](Operation *op) {
      if (isElementwiseNN(op) && !isa<PackedMatmulOp>(op->getParentOp()))
        elementwise.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (Operation *op : elementwise)
      if (failed(expandElementwise(rewriter, op))) {
        op->emitOpError("must be on f32 scalars or vectors, got ")
            << op->getResult(0).getType();
        return signalPassFailure();
      }
  }

private:
  LogicalResult lowerKernel(DestinationOpInterface op) {
    if (op->getNumResults())
      return op->emitOpError(
          "must be on memrefs: run one-shot-bufferize first");
    LoopBuilder b(op, threads);
    if (failed(lowerRouting(op, b)) && failed(lowerRagged(op, b)) &&
        failed(lowerNN(op, b)) && failed(lowerAttention(op, b)))
      return op->emitOpError("has no lowering to loops");
    op->erase();
    return success();
  }
};
} // namespace
