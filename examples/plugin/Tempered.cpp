//===- Tempered.cpp - A routing policy as a plugin ------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Interpreter/Interpreter.h"
#include <cmath>

using namespace mlir;

#include "TemperedDialect.h.inc"
#define GET_OP_CLASSES
#include "Tempered.h.inc"

#include "TemperedDialect.cpp.inc"
#define GET_OP_CLASSES
#include "Tempered.cpp.inc"

void tempered::TemperedDialect::initialize() {
  // The reference below builds ops of it.
  getContext()->loadDialect<moe::MoEDialect>();
  addOperations<
#define GET_OP_LIST
#include "Tempered.cpp.inc"
      >();
}

LogicalResult tempered::TopKOp::verify() {
  int64_t k = getK(), numExperts = getLogits().getType().getDimSize(1);
  if (k < 1 || (ShapedType::isStatic(numExperts) && k > numExperts))
    return emitOpError("k (") << k << ") must be in [1, experts]";
  if (!getTemperature().isFinite())
    return emitOpError("temperature must be finite");
  int64_t numTokens = getLogits().getType().getDimSize(0);
  for (OpResult result : (*this)->getResults()) {
    auto type = cast<RankedTensorType>(result.getType());
    RankedTensorType expected = type.clone({numTokens, k});
    if (failed(verifyCompatibleShape(type, expected)))
      return emitOpError("result ") << result.getResultNumber() << " must be "
                                    << expected << ", got " << type;
  }
  return success();
}

int64_t tempered::TopKOp::getMaxExpertsPerToken() { return getK(); }

/// The loops below divide once, the stages twice.
bool tempered::TopKOp::hasExactReference() { return false; }

FailureOr<SmallVector<Value>> tempered::TopKOp::buildReference(OpBuilder &b) {
  Location loc = getLoc();
  Type logitsType = getLogits().getType();
  auto scaled = moe::ScaleOp::create(b, loc, logitsType, getLogits(),
                                     getTemperature(), /*outs=*/ValueRange());
  auto scores = moe::ScoreOp::create(b, loc, logitsType, moe::ScoreFn::Softmax,
                                     scaled->getResult(0), /*indices=*/Value(),
                                     /*outs=*/ValueRange());
  auto topK = moe::TopKOp::create(b, loc, getResultTypes(),
                                  scores->getResult(0), getK(),
                                  /*outs=*/ValueRange());
  auto weights = moe::RenormalizeOp::create(
      b, loc, getWeights().getType(), topK.getWeights(), /*p=*/1,
      /*eps=*/APFloat(0.0), /*floor=*/APFloat(0.0), /*outs=*/ValueRange());
  return SmallVector<Value>{topK.getIndices(), weights->getResult(0)};
}

/// With the chosen experts alone: their exponentials, divided by their sum.
template <typename R>
static LogicalResult interpret(tempered::TopKOp op, moe::Interpreter &in) {
  const moe::HostTensor logits = in.get(op.getLogits());
  int64_t numTokens = logits.dim(0), numExperts = logits.dim(1), k = op.getK();
  R temperature = op.getTemperature().convertToDouble();
  if (k > numExperts)
    return op.emitOpError("k exceeds the number of experts");
  auto indices = in.allocate<int64_t>(op, {numTokens, k});
  auto weights = in.allocate<R>(op, {numTokens, k});
  if (failed(indices) || failed(weights))
    return failure();
  for (int64_t t = 0; t < numTokens; ++t) {
    SmallVector<R> scores;
    for (R logit : logits.row<R>(t))
      scores.push_back(temperature * logit);
    SmallVector<int64_t> order = llvm::to_vector(llvm::seq(numExperts));
    // Equal scores: the lower index first, as moe.top_k has it.
    llvm::sort(order, [&](int64_t a, int64_t b) {
      return scores[a] == scores[b] ? a < b : scores[a] > scores[b];
    });
    R sum = 0;
    for (int64_t j = 0; j < k; ++j)
      sum += std::exp(scores[order[j]] - scores[order[0]]);
    for (int64_t j = 0; j < k; ++j) {
      indices->template mutableRow<int64_t>(t)[j] = order[j];
      weights->template mutableRow<R>(t)[j] =
          std::exp(scores[order[j]] - scores[order[0]]) / sum;
    }
  }
  in.set(op.getIndices(), {*indices});
  in.set(op.getWeights(), {*weights});
  return success();
}

LogicalResult tempered::TopKOp::interpret(moe::Interpreter &in) {
  return in.usesDouble() ? ::interpret<double>(*this, in)
                         : ::interpret<float>(*this, in);
}

extern "C" __attribute__((visibility("default"))) DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "tempered", "0.1",
          [](DialectRegistry *registry) {
            registry->insert<tempered::TemperedDialect>();
          }};
}
