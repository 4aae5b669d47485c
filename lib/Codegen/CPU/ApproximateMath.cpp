//===- ApproximateMath.cpp - Polynomials instead of a math library --------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "moe/Codegen/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_APPROXIMATEMATH
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;

namespace {
struct ApproximateMathPass
    : moe::impl::ApproximateMathBase<ApproximateMathPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialApproximationPatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
