//===- OutlineParallel.cpp - Parallel loops as calls of the executor ------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
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

// Fields of moe_abi_context.
static constexpr int64_t kParallelForField = 0, kParamsField = 1;

static Value castTo(OpBuilder &b, Location loc, Type type, Value value) {
  if (value.getType() == type)
    return value;
  return UnrealizedConversionCastOp::create(b, loc, type, value).getResult(0);
}

/// Field `number` (a pointer) of the context.
static Value loadContextField(OpBuilder &b, Location loc, Value context,
                              int64_t number) {
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value address = LLVM::GEPOp::create(b, loc, pointer, pointer, context,
                                      ArrayRef<LLVM::GEPArg>{number});
  return LLVM::LoadOp::create(b, loc, pointer, address);
}

namespace {
class Outliner {
public:
  explicit Outliner(ModuleOp module)
      : module(module), converter(module.getContext()) {}

  LogicalResult run() {
    if (failed(check()))
      return failure();
    for (auto parameter : module.getOps<ParameterOp>())
      parameters.try_emplace(parameter.getSymNameAttr(), parameters.size());
    addContexts();
    for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (func.isExternal())
        continue;
      func.walk([&](ParameterRefOp op) { lowerReference(op); });
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
    WalkResult walk = module.walk([&](Operation *op) {
      if (auto reference = dyn_cast<ParameterRefOp>(op)) {
        if (!isa<MemRefType>(reference.getResult().getType()))
          return reference.emitOpError(
                     "must be a memref: run one-shot-bufferize first"),
                 WalkResult::interrupt();
      } else if (auto loop = dyn_cast<ParallelOp>(op)) {
        if (failed(checkLoop(loop)))
          return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
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

  /// Gives the context as first argument to functions that need it.
  void addContexts() {
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
          bool needs =
              isa<ParallelOp, ParameterRefOp>(op) ||
              (call && needing.contains(symbols.lookup(call.getCallee())));
          return needs ? WalkResult::interrupt() : WalkResult::advance();
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

  /// parameter_ref -> the pointer in the context's table, as a memref.
  void lowerReference(ParameterRefOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    Value context = op->getParentOfType<func::FuncOp>().getArgument(0);
    Type pointer = LLVM::LLVMPointerType::get(b.getContext());
    Value table = loadContextField(b, loc, context, kParamsField);
    int64_t number = parameters.lookup(op.getParameterAttr().getAttr());
    Value address = LLVM::GEPOp::create(b, loc, pointer, pointer, table,
                                        ArrayRef<LLVM::GEPArg>{number});
    Value data = LLVM::LoadOp::create(b, loc, pointer, address);
    auto type = cast<MemRefType>(op.getResult().getType());
    Value descriptor =
        MemRefDescriptor::fromStaticShape(b, loc, converter, type, data);
    op.replaceAllUsesWith(castTo(b, loc, type, descriptor));
    op.erase();
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
    Value parallelFor = loadContextField(b, loc, self, kParallelForField);
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
  llvm::DenseMap<StringAttr, int64_t> parameters;
};

struct OutlineParallelPass
    : moe::impl::OutlineParallelBase<OutlineParallelPass> {
  void runOnOperation() override {
    if (failed(Outliner(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
