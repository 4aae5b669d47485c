//===- NarrowOperands.cpp - Round what products multiply ------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"
#include "mlir/IR/SymbolTable.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"
#include "moe/Dialect/NN/IR/NN.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOENARROWOPERANDS
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// The rows that `op` multiplies; null if it is no product that can be narrow.
static OpOperand *getRows(Operation *op) {
  if (op->getNumResults() != 1) // on memrefs
    return nullptr;
  if (auto matmul = dyn_cast<GroupedMatmulOp>(op))
    return &matmul.getAMutable();
  if (auto linear = dyn_cast<nn::LinearOp>(op))
    return &linear.getXMutable();
  return nullptr;
}

static SmallVector<Value> getMatrices(Operation *op) {
  if (auto matmul = dyn_cast<GroupedMatmulOp>(op))
    return llvm::to_vector(matmul.getBs());
  return {cast<nn::LinearOp>(op).getWeight()};
}

/// Whether `op` may round what it stores: nobody adds to it.
static bool canStoreNarrow(Operation *op) {
  if (auto matmul = dyn_cast<GroupedMatmulOp>(op))
    return matmul.getScatter().empty() && matmul.getOuts().empty();
  auto linear = dyn_cast<nn::LinearOp>(op);
  return linear && !linear.getAccumulate() && linear.getOuts().empty();
}

/// Name of the parameter that `matrix` is, also where a private function gets
/// it as an argument; empty if it is none.
static StringRef findParameter(Value matrix, ModuleOp module) {
  // A call cycle ends the search: functions do not recurse.
  for (int64_t depth = 0; depth < 64; ++depth) {
    if (auto reference = matrix.getDefiningOp<ParameterRefOp>())
      return reference.getParameter();
    auto argument = dyn_cast<BlockArgument>(matrix);
    auto func = argument
                    ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp())
                    : func::FuncOp();
    if (!func || func.isPublic())
      return "";
    std::optional<SymbolTable::UseRange> uses = func.getSymbolUses(module);
    func::CallOp call;
    if (uses)
      for (SymbolTable::SymbolUse use : *uses)
        if (auto found = dyn_cast<func::CallOp>(use.getUser()); found && !call)
          call = found;
    if (!call)
      return "";
    matrix = call.getOperand(argument.getArgNumber());
  }
  return "";
}

namespace {
struct NarrowOperandsPass
    : moe::impl::MoENarrowOperandsBase<NarrowOperandsPass> {
  using MoENarrowOperandsBase::MoENarrowOperandsBase;

  void runOnOperation() override {
    if (type == "bf16")
      narrow = BFloat16Type::get(&getContext());
    else if (type == "f16")
      narrow = Float16Type::get(&getContext());
    else {
      getOperation().emitError("no narrow type '")
          << type << "', expected bf16 or f16";
      return signalPassFailure();
    }
    SmallVector<OpOperand *> worklist;
    WalkResult result = getOperation().walk([&](Operation *op) {
      OpOperand *rows = getRows(op);
      if (!rows || !cast<RankedTensorType>(rows->get().getType())
                        .getElementType()
                        .isF32())
        return WalkResult::advance();
      if (failed(checkWeights(op)))
        return WalkResult::interrupt();
      worklist.push_back(rows);
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      return signalPassFailure();
    llvm::for_each(worklist, [&](OpOperand *rows) { narrowRows(*rows); });
  }

private:
  LogicalResult checkWeights(Operation *op) {
    for (Value matrix : getMatrices(op)) {
      auto weights = cast<RankedTensorType>(matrix.getType());
      if (weights.getElementType() == narrow)
        continue;
      InFlightDiagnostic diagnostic = op->emitOpError("cannot multiply in ");
      diagnostic << narrow << ": ";
      if (StringRef name = findParameter(matrix, getOperation()); !name.empty())
        diagnostic << "parameter '" << name << "'";
      else
        diagnostic << "a matrix";
      return diagnostic << " is " << weights << ", expected elements of "
                        << narrow;
    }
    return success();
  }

  void narrowRows(OpOperand &rows) {
    Value value = rows.get();
    Location loc = rows.getOwner()->getLoc();
    auto opts = remark::RemarkOpts::name("NarrowOperands")
                    .category("moe-narrow-operands");
    auto type = cast<RankedTensorType>(value.getType());
    Operation *producer = value.getDefiningOp();
    if (Value known = rounded.lookup(value)) {
      rows.set(known);
    } else if (!type.getElementType().isF32()) {
      // Its producer is narrow since another product was visited.
    } else if (producer && canStoreNarrow(producer) &&
               llvm::all_of(value.getUses(), [](OpOperand &use) {
                 return getRows(use.getOwner()) == &use;
               })) {
      value.setType(type.clone(narrow));
    } else if (auto matmul = dyn_cast<GroupedMatmulOp>(rows.getOwner());
               matmul && !matmul.getGather()) {
      // arith.truncf would read them.
      remark::missed(loc, opts)
          << remark::reason("rows behind those of all experts are undefined");
      return;
    } else {
      OpBuilder b(&getContext());
      b.setInsertionPointAfterValue(value);
      Value known =
          arith::TruncFOp::create(b, value.getLoc(), type.clone(narrow), value);
      rounded[value] = known;
      rows.set(known);
    }
    remark::passed(loc, opts);
  }

  Type narrow;
  DenseMap<Value, Value> rounded;
};
} // namespace
