//===- OutlineParallel.cpp - Parallel loops as calls of the executor ------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "../Context.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"

namespace mlir::moe {
#define GEN_PASS_DEF_OUTLINEPARALLEL
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
class Outliner {
public:
  explicit Outliner(ModuleOp module)
      : module(module), converter(module.getContext()) {}

  LogicalResult run() {
    if (failed(check()))
      return failure();
    addContextArguments(module,
                        [](Operation *op) { return isa<ParallelOp>(op); });
    lowerParameterRefs(module, converter);
    for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (func.isExternal())
        continue;
      // Innermost first; an inner loop of an outlined body is gone by then.
      SmallVector<ParallelOp> loops;
      func.walk<WalkOrder::PostOrder>(
          [&](ParallelOp op) { loops.push_back(op); });
      for (auto [i, loop] : llvm::enumerate(loops)) {
        outline(loop, func, i);
      }
    }
    return success();
  }

private:
  /// Everything that could fail, before the IR changes.
  LogicalResult check() {
    if (failed(checkParameterRefs(module)))
      return failure();
    WalkResult walk = module.walk(
        [&](ParallelOp loop) { return WalkResult(checkLoop(loop)); });
    return failure(walk.wasInterrupted());
  }

  LogicalResult checkLoop(ParallelOp op) {
    if (op->getParentOfType<ParallelOp>())
      return op.emitOpError("is inside another one");
    if (!op->getParentOfType<func::FuncOp>())
      return op.emitOpError("must be in a func.func");
    llvm::SetVector<Value> captures;
    getUsedValuesDefinedAbove(op.getBody(), captures);
    for (Value capture : captures) {
      Type type = converter.convertType(capture.getType());
      if (!type || !LLVM::isCompatibleType(type))
        return op.emitOpError("uses a value of type ")
               << capture.getType() << ", which has no form in memory";
    }
    return success();
  }

  void outline(ParallelOp op, func::FuncOp func, unsigned number) {
    MLIRContext *context = op.getContext();
    Location loc = op.getLoc();
    Type pointer = LLVM::LLVMPointerType::get(context);
    Type i64 = IntegerType::get(context, 64);
    Type voidType = LLVM::LLVMVoidType::get(context);
    Region &body = op.getBody();

    // Constants move in; everything else travels through a struct.
    llvm::SetVector<Value> captures;
    getUsedValuesDefinedAbove(body, captures);
    SmallVector<Value> travelling;
    SmallVector<Type> fields;
    for (Value capture : captures) {
      Operation *producer = capture.getDefiningOp();
      if (producer && producer->hasTrait<OpTrait::ConstantLike>())
        continue;
      travelling.push_back(capture);
      fields.push_back(converter.convertType(capture.getType()));
    }
    Type data = LLVM::LLVMStructType::getLiteral(context, fields);

    OpBuilder b(context);
    b.setInsertionPointAfter(func);
    std::string name;
    do
      name = (func.getName() + ".parallel." + Twine(number++)).str();
    while (SymbolTable::lookupSymbolIn(module, name));
    auto outlined = LLVM::LLVMFuncOp::create(
        b, loc, name,
        LLVM::LLVMFunctionType::get(voidType, {pointer, pointer, i64, i64}),
        LLVM::Linkage::Internal);
    Block *entry = outlined.addEntryBlock(b);
    b.setInsertionPointToStart(entry);
    IRMapping mapping;
    for (auto [i, capture] : llvm::enumerate(travelling)) {
      Value address =
          LLVM::GEPOp::create(b, loc, pointer, data, entry->getArgument(1),
                              ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
      Value field = LLVM::LoadOp::create(b, loc, fields[i], address);
      mapping.map(capture, castTo(b, loc, capture.getType(), field));
    }
    for (Value capture : captures)
      if (!mapping.contains(capture))
        mapping.map(capture,
                    b.clone(*capture.getDefiningOp())
                        ->getResult(cast<OpResult>(capture).getResultNumber()));
    // The context of the enclosing function is this function's own.
    if (func.getNumArguments() && func.getArgument(0).getType() == pointer)
      mapping.map(func.getArgument(0), entry->getArgument(0));
    Type index = b.getIndexType();
    mapping.map(op.getBegin(), castTo(b, loc, index, entry->getArgument(2)));
    mapping.map(op.getEnd(), castTo(b, loc, index, entry->getArgument(3)));
    for (Operation &inner : body.front().without_terminator())
      b.clone(inner, mapping);
    LLVM::ReturnOp::create(b, loc, ValueRange());

    // Stack slots belong at the entry: in a loop they would pile up.
    b.setInsertionPointToStart(&func.getBody().front());
    Value one = LLVM::ConstantOp::create(b, loc, i64, b.getI64IntegerAttr(1));
    Value stack = LLVM::AllocaOp::create(b, loc, pointer, data, one);
    b.setInsertionPoint(op);
    for (auto [i, capture] : llvm::enumerate(travelling)) {
      Value address = LLVM::GEPOp::create(
          b, loc, pointer, data, stack, ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
      LLVM::StoreOp::create(b, loc, castTo(b, loc, fields[i], capture),
                            address);
    }
    Value self = func.getArgument(0);
    Value parallelFor =
        loadContextField(b, loc, self, ContextField::ParallelFor);
    Value bodyAddress = LLVM::AddressOfOp::create(b, loc, pointer, name);
    Value size = castTo(b, loc, i64, op.getSize());
    auto type =
        LLVM::LLVMFunctionType::get(voidType, {pointer, pointer, pointer, i64});
    LLVM::CallOp::create(
        b, loc, type, ValueRange{parallelFor, self, bodyAddress, stack, size});
    op.erase();
  }

  ModuleOp module;
  LLVMTypeConverter converter;
};

struct OutlineParallelPass
    : moe::impl::OutlineParallelBase<OutlineParallelPass> {
  void runOnOperation() override {
    if (failed(Outliner(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
