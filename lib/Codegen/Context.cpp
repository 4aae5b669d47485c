//===- Context.cpp - The runtime's context in generated code --------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Context.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "moe/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

Value moe::castTo(OpBuilder &b, Location loc, Type type, Value value) {
  if (value.getType() == type)
    return value;
  return UnrealizedConversionCastOp::create(b, loc, type, value).getResult(0);
}

Value moe::loadContextField(OpBuilder &b, Location loc, Value context,
                            ContextField field) {
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value address = LLVM::GEPOp::create(b, loc, pointer, pointer, context,
                                      ArrayRef<LLVM::GEPArg>{int32_t(field)});
  return LLVM::LoadOp::create(b, loc, pointer, address);
}

void moe::addContextArguments(ModuleOp module,
                              function_ref<bool(Operation *)> needs) {
  llvm::SmallPtrSet<Operation *, 16> needing;
  SymbolTable symbols(module);
  auto funcs = llvm::to_vector(module.getOps<func::FuncOp>());
  for (bool changed = true; changed;) {
    changed = false;
    for (func::FuncOp func : funcs) {
      if (needing.contains(func))
        continue;
      WalkResult found = func.walk([&](Operation *op) {
        auto call = dyn_cast<func::CallOp>(op);
        bool reaches =
            isa<ParameterRefOp>(op) || needs(op) ||
            (call && needing.contains(symbols.lookup(call.getCallee())));
        return reaches ? WalkResult::interrupt() : WalkResult::advance();
      });
      if (found.wasInterrupted()) {
        needing.insert(func);
        changed = true;
      }
    }
  }
  Type pointer = LLVM::LLVMPointerType::get(module.getContext());
  for (func::FuncOp func : funcs)
    if (needing.contains(func))
      (void)func.insertArgument(0, pointer, {}, func.getLoc());
  for (func::FuncOp func : funcs)
    func.walk([&](func::CallOp call) {
      if (needing.contains(symbols.lookup(call.getCallee())))
        call->insertOperands(0, func.getArgument(0));
    });
}

LogicalResult moe::checkParameterRefs(ModuleOp module) {
  WalkResult walk = module.walk([&](ParameterRefOp reference) {
    if (isa<MemRefType>(reference.getResult().getType()))
      return WalkResult::advance();
    reference.emitOpError("must be a memref: run one-shot-bufferize first");
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}

void moe::lowerParameterRefs(ModuleOp module, LLVMTypeConverter &converter) {
  llvm::DenseMap<StringAttr, int64_t> parameters;
  for (auto parameter : module.getOps<ParameterOp>())
    parameters.try_emplace(parameter.getSymNameAttr(), parameters.size());
  Type pointer = LLVM::LLVMPointerType::get(module.getContext());
  module.walk([&](ParameterRefOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    Value context = op->getParentOfType<func::FuncOp>().getArgument(0);
    Value table = loadContextField(b, loc, context, ContextField::Params);
    int64_t number = parameters.lookup(op.getParameterAttr().getAttr());
    Value address = LLVM::GEPOp::create(b, loc, pointer, pointer, table,
                                        ArrayRef<LLVM::GEPArg>{number});
    Value data = LLVM::LoadOp::create(b, loc, pointer, address);
    auto type = cast<MemRefType>(op.getResult().getType());
    Value descriptor =
        MemRefDescriptor::fromStaticShape(b, loc, converter, type, data);
    op.replaceAllUsesWith(castTo(b, loc, type, descriptor));
    op.erase();
  });
}
