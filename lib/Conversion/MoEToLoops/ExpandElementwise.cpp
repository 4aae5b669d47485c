//===- ExpandElementwise.cpp - nn elementwise ops as arithmetic -----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Conversion/ExpandElementwise.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "moe/Dialect/NN/IR/NN.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

bool moe::isElementwiseNN(Operation *op) {
  return isa<nn::SiluOp, nn::GeluOp, nn::GeluTanhOp, nn::ReluOp,
             nn::SquaredReluOp, nn::MulOp, nn::AddOp>(op);
}

LogicalResult moe::expandElementwise(RewriterBase &rewriter, Operation *op) {
  if (!isElementwiseNN(op))
    return failure();
  Type type = op->getResult(0).getType();
  if (!getElementTypeOrSelf(type).isF32() ||
      !(isa<FloatType>(type) || isa<VectorType>(type)))
    return failure();

  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  ImplicitLocOpBuilder b(op->getLoc(), rewriter);
  auto constant = [&](double value) -> Value {
    FloatAttr scalar = b.getF32FloatAttr(value);
    if (auto vector = dyn_cast<VectorType>(type))
      return arith::ConstantOp::create(b,
                                       SplatElementsAttr::get(vector, scalar));
    return arith::ConstantOp::create(b, scalar);
  };
  auto add = [&](Value x, Value y) -> Value {
    return arith::AddFOp::create(b, x, y);
  };
  auto mul = [&](Value x, Value y) -> Value {
    return arith::MulFOp::create(b, x, y);
  };
  Value x = op->getOperand(0);
  auto relu = [&]() -> Value {
    return arith::MaximumFOp::create(b, x, constant(0));
  };
  Value result =
      TypeSwitch<Operation *, Value>(op)
          .Case([&](nn::MulOp) { return mul(x, op->getOperand(1)); })
          .Case([&](nn::AddOp) { return add(x, op->getOperand(1)); })
          .Case([&](nn::ReluOp) { return relu(); })
          .Case([&](nn::SquaredReluOp) {
            Value positive = relu();
            return mul(positive, positive);
          })
          .Case([&](nn::SiluOp) -> Value {
            Value exp = math::ExpOp::create(b, arith::NegFOp::create(b, x));
            return arith::DivFOp::create(b, x, add(constant(1), exp));
          })
          .Case([&](nn::GeluOp) -> Value {
            // 1 / sqrt 2
            Value erf = math::ErfOp::create(
                b, mul(x, constant(0.70710678118654752440)));
            return mul(mul(x, constant(0.5)), add(constant(1), erf));
          })
          .Case([&](nn::GeluTanhOp) -> Value {
            // x + 0.044715 x^3 = x (1 + 0.044715 x^2), times sqrt(2 / pi)
            Value poly = math::FmaOp::create(b, mul(x, x), constant(0.044715),
                                             constant(1));
            Value inner = mul(mul(x, constant(0.79788456080286535588)), poly);
            Value tanh = math::TanhOp::create(b, inner);
            return mul(mul(x, constant(0.5)), add(constant(1), tanh));
          });
  rewriter.replaceOp(op, result);
  return success();
}
