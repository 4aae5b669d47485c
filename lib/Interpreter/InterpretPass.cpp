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

/// A constant with the value of `tensor`, for a result of `type`.
static Value buildConstant(OpBuilder &b, Location loc, const HostTensor &tensor,
                           Type type) {
  DenseElementsAttr elements = tensor.toAttr(getElementTypeOrSelf(type));
  if (isa<RankedTensorType>(type))
    return arith::ConstantOp::create(b, loc, elements);
  return arith::ConstantOp::create(
      b, loc, cast<TypedAttr>(*elements.value_begin<Attribute>()));
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
    Block &block = func.getBody().front();
    Operation *terminator = block.getTerminator();
    OpBuilder b(terminator);
    SmallVector<Value> constants;
    for (auto [result, type] : llvm::zip_equal(*results, func.getResultTypes()))
      constants.push_back(buildConstant(b, func.getLoc(), result[0], type));
    for (auto [constant, type] :
         llvm::zip_equal(constants, func.getResultTypes()))
      if (constant.getType() != type)
        constant = tensor::CastOp::create(b, func.getLoc(), type, constant);
    terminator->setOperands(constants);
    // Nothing that was executed is needed any more.
    SmallPtrSet<Operation *, 8> kept{terminator};
    for (Value constant : constants)
      for (Operation *op = constant.getDefiningOp(); op;
           op = op->getNumOperands() ? op->getOperand(0).getDefiningOp()
                                     : nullptr)
        kept.insert(op);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (!kept.contains(&op))
        op.erase();
  }
};
} // namespace
