//===- InterpretPass.cpp - Replace a function by its value ----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Interpreter/Interpreter.h"
#include "moe/Interpreter/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEINTERPRET
#include "moe/Interpreter/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// A constant of `type` with the value of `tensor`.
static Value buildConstant(OpBuilder &b, Location loc, const HostTensor &tensor,
                           Type type) {
  auto tensorType = dyn_cast<RankedTensorType>(type);
  DenseElementsAttr elements =
      tensor.toAttr(tensorType ? tensorType.getElementType() : type);
  if (!tensorType)
    return arith::ConstantOp::create(
        b, loc, cast<TypedAttr>(*elements.value_begin<Attribute>()));
  Value value = arith::ConstantOp::create(b, loc, elements);
  if (value.getType() != type)
    value = tensor::CastOp::create(b, loc, type, value);
  return value;
}

namespace {
struct InterpretPass : moe::impl::MoEInterpretBase<InterpretPass> {
  using MoEInterpretBase::MoEInterpretBase;

  void runOnOperation() override {
    auto func = getOperation().lookupSymbol<func::FuncOp>(function);
    if (!func || func.isExternal() || func.getNumArguments() > 0) {
      getOperation().emitError("no function '")
          << function << "' with a body and without arguments";
      return signalPassFailure();
    }
    for (Type type : func.getResultTypes())
      if (!getElementTypeOrSelf(type).isIntOrIndexOrFloat()) {
        func.emitError("result type ") << type << " has no constants";
        return signalPassFailure();
      }
    FailureOr<SmallVector<HostValue>> results =
        Interpreter(useDouble).run(func, {});
    if (failed(results))
      return signalPassFailure();
    Operation *terminator = func.getBody().front().getTerminator();
    OpBuilder b(terminator);
    SmallVector<Value> constants;
    for (auto [result, type] : llvm::zip_equal(*results, func.getResultTypes()))
      constants.push_back(buildConstant(b, func.getLoc(), result[0], type));
    terminator->setOperands(constants);
  }
};
} // namespace
