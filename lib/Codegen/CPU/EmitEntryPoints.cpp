//===- EmitEntryPoints.cpp - The runtime's calling convention -------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Support/Symbols.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::moe {
#define GEN_PASS_DEF_EMITENTRYPOINTS
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Emits @moe.entry.NAME(context, slots) for one function.
class Wrapper {
public:
  Wrapper(ModuleOp module, StringRef name)
      : b(module.getContext()), converter(module.getContext()),
        loc(module.getLoc()),
        pointer(LLVM::LLVMPointerType::get(module.getContext())),
        i64(b.getI64Type()) {
    b.setInsertionPointToEnd(module.getBody());
    auto func = LLVM::LLVMFuncOp::create(
        b, loc, ("moe.entry." + name).str(),
        LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                    {pointer, pointer}));
    Block *entry = func.addEntryBlock(b);
    context = entry->getArgument(0);
    slots = entry->getArgument(1);
    b.setInsertionPointToStart(entry);
  }

  Value slotAddress(unsigned number) {
    return LLVM::GEPOp::create(b, loc, pointer, i64, slots,
                               ArrayRef<LLVM::GEPArg>{int32_t(number)});
  }
  Value loadNumber(unsigned slot) {
    return LLVM::LoadOp::create(b, loc, i64, slotAddress(slot));
  }
  Value loadPointer(unsigned slot) {
    return LLVM::LoadOp::create(b, loc, pointer, slotAddress(slot));
  }
  Value constant(int64_t value) {
    return LLVM::ConstantOp::create(b, loc, i64, b.getI64IntegerAttr(value));
  }
  Value toIndex(Value number) {
    return UnrealizedConversionCastOp::create(b, loc, b.getIndexType(), number)
        .getResult(0);
  }
  /// A dense memref of these sizes at the pointer in `slot`.
  Value buildMemRef(MemRefType type, unsigned slot, ArrayRef<Value> sizes) {
    Value data = loadPointer(slot);
    auto descriptor =
        MemRefDescriptor::poison(b, loc, converter.convertType(type));
    descriptor.setAllocatedPtr(b, loc, data);
    descriptor.setAlignedPtr(b, loc, data);
    descriptor.setOffset(b, loc, constant(0));
    Value stride = constant(1);
    for (int64_t i = type.getRank() - 1; i >= 0; --i) {
      descriptor.setSize(b, loc, i, sizes[i]);
      descriptor.setStride(b, loc, i, stride);
      if (i)
        stride = LLVM::MulOp::create(b, loc, stride, sizes[i]);
    }
    return UnrealizedConversionCastOp::create(b, loc, type, Value(descriptor))
        .getResult(0);
  }
  func::CallOp call(func::FuncOp func, ArrayRef<Value> arguments) {
    SmallVector<Value> operands;
    if (func.getNumArguments() && func.getArgumentTypes()[0] == pointer)
      operands.push_back(context);
    llvm::append_range(operands, arguments);
    return func::CallOp::create(b, loc, func, operands);
  }
  void finish() { LLVM::ReturnOp::create(b, loc, ValueRange()); }

  OpBuilder b;
  LLVMTypeConverter converter;
  Location loc;
  Type pointer, i64;
  Value context, slots;
};

class EntryPoints {
public:
  explicit EntryPoints(ModuleOp module) : module(module), table(module) {}

  LogicalResult run() {
    FailureOr<llvm::SetVector<StringRef>> found = collectSymbols(module);
    if (failed(found))
      return failure();
    symbols = std::move(*found);
    SmallVector<func::FuncOp> entries;
    for (auto func : module.getOps<func::FuncOp>())
      if (func.isPublic() && !func->hasAttr(MoEDialect::kArenaLeavesAttr))
        entries.push_back(func);
    for (func::FuncOp func : entries)
      if (failed(wrap(func)))
        return failure();
    if (failed(wrapPackFunctions()))
      return failure();
    return makeInternal();
  }

private:
  /// One size of moe.shape as a number in the wrapper.
  Value buildSize(Wrapper &w, Attribute entry) {
    SymbolicSize size = *parseSymbolicSize(entry);
    if (size.symbol.empty())
      return w.constant(size.value);
    Value value =
        w.loadNumber(llvm::find(symbols, size.symbol) - symbols.begin());
    return size.value == 1
               ? value
               : LLVM::MulOp::create(w.b, w.loc, value, w.constant(size.value))
                     .getResult();
  }

  LogicalResult wrap(func::FuncOp func) {
    bool hasContext = func.getNumArguments() &&
                      isa<LLVM::LLVMPointerType>(func.getArgumentTypes()[0]);
    auto sizeFunc =
        table.lookup<func::FuncOp>((func.getName() + ".arena_size").str());
    unsigned first = hasContext ? 1 : 0;
    unsigned count = func.getNumArguments() - first - (sizeFunc ? 1 : 0);
    unsigned arenaSlot = symbols.size() + count;
    auto getShape = [&](unsigned i) {
      return func.getArgAttrOfType<ArrayAttr>(first + i,
                                              MoEDialect::kShapeAttr);
    };
    for (unsigned i = 0; i < count; ++i) {
      auto type = dyn_cast<MemRefType>(func.getArgumentTypes()[first + i]);
      ArrayAttr shape = getShape(i);
      if (!shape || !type || type.getRank() != int64_t(shape.size()))
        return func.emitError("argument ")
               << i << " has no moe.shape of its own rank: run "
               << "moe-convert-entry-to-buffers";
    }
    if (sizeFunc) {
      Wrapper w(module, sizeFunc.getName());
      auto attributes =
          sizeFunc->getAttrOfType<ArrayAttr>(MoEDialect::kArenaLeavesAttr);
      if (!attributes || attributes.size() != sizeFunc.getNumArguments())
        return sizeFunc.emitError("is not the work of moe-plan-arena");
      SmallVector<Value> leaves;
      for (Attribute attribute : attributes) {
        ArrayRef<int64_t> leaf = cast<DenseI64ArrayAttr>(attribute);
        // Numbers count from before the context was added.
        if (leaf[0] < 0 || leaf[0] >= int64_t(count) || leaf[1] < 0 ||
            leaf[1] >= int64_t(getShape(leaf[0]).size()))
          return func.emitError("arena size depends on more than sizes");
        leaves.push_back(w.toIndex(buildSize(w, getShape(leaf[0])[leaf[1]])));
      }
      Value size = w.call(sizeFunc, leaves).getResult(0);
      Value number = UnrealizedConversionCastOp::create(w.b, w.loc, w.i64, size)
                         .getResult(0);
      LLVM::StoreOp::create(w.b, w.loc, number, w.slotAddress(arenaSlot));
      w.finish();
    }
    Wrapper w(module, func.getName());
    SmallVector<Value> arguments;
    for (unsigned i = 0; i < count; ++i) {
      auto type = cast<MemRefType>(func.getArgumentTypes()[first + i]);
      SmallVector<Value> sizes;
      for (Attribute entry : getShape(i))
        sizes.push_back(buildSize(w, entry));
      arguments.push_back(w.buildMemRef(type, symbols.size() + i, sizes));
    }
    if (sizeFunc) {
      // Nothing reads the arena's size.
      auto type = cast<MemRefType>(func.getArgumentTypes().back());
      arguments.push_back(w.buildMemRef(type, arenaSlot, {w.constant(0)}));
    }
    w.call(func, arguments);
    w.finish();
    return success();
  }

  /// The table of parameters, and an entry point for each pack function.
  LogicalResult wrapPackFunctions() {
    Builder b(module.getContext());
    SmallVector<Attribute> params;
    llvm::StringSet<> done;
    for (auto parameter :
         llvm::make_early_inc_range(module.getOps<ParameterOp>())) {
      NamedAttrList entry;
      entry.set("name", parameter.getSymNameAttr());
      entry.set("type", parameter.getTypeAttr());
      entry.set("sources", parameter.getSourcesAttr());
      if (parameter.getPanelsAttr())
        entry.set("panels", parameter.getPanelsAttr());
      if (FlatSymbolRefAttr pack = parameter.getPackAttr()) {
        entry.set("pack", pack.getAttr());
        if (done.insert(pack.getValue()).second &&
            failed(wrapPack(parameter, pack.getValue())))
          return failure();
      }
      params.push_back(entry.getDictionary(b.getContext()));
      parameter.erase();
    }
    module->setAttr(MoEDialect::kParamsAttr, b.getArrayAttr(params));
    return success();
  }

  /// Slots: parameter, source, first, count, part.
  LogicalResult wrapPack(ParameterOp parameter, StringRef name) {
    auto func = table.lookup<func::FuncOp>(name);
    TypeRange types = func ? TypeRange(func.getArgumentTypes()) : TypeRange();
    unsigned first = !types.empty() && isa<LLVM::LLVMPointerType>(types[0]);
    if (!func || types.size() != first + 4 || func.getNumResults() ||
        !llvm::all_of(types.slice(first, 2), llvm::IsaPred<MemRefType>) ||
        !llvm::all_of(types.take_back(2), llvm::IsaPred<IndexType>))
      return parameter.emitOpError("is packed by '")
             << name << "', which must be a func.func that takes "
             << "(memref, memref, index, index)";
    Wrapper w(module, name);
    SmallVector<Value> arguments;
    for (unsigned slot : {0, 1}) {
      auto type = cast<MemRefType>(func.getArgumentTypes()[first + slot]);
      SmallVector<Value> sizes;
      for (int64_t size : type.getShape())
        sizes.push_back(ShapedType::isDynamic(size) ? w.loadNumber(3)
                                                    : w.constant(size));
      arguments.push_back(w.buildMemRef(type, slot, sizes));
    }
    arguments.push_back(w.toIndex(w.loadNumber(2)));
    arguments.push_back(w.toIndex(w.loadNumber(4)));
    w.call(func, arguments);
    w.finish();
    return success();
  }

  /// A private function would otherwise be exported all the same.
  LogicalResult makeInternal() {
    auto linkage =
        LLVM::LinkageAttr::get(module.getContext(), LLVM::Linkage::Internal);
    for (auto func : module.getOps<func::FuncOp>()) {
      if (func.isExternal())
        return func.emitError("has no body, and a compiled library takes code "
                              "from nowhere else");
      func->setAttr("llvm.linkage", linkage);
      func.setPrivate();
      func.removeArgAttrsAttr();
      func->removeAttr(MoEDialect::kArenaLeavesAttr);
    }
    for (StringRef name : {MoEDialect::kModelAttr, MoEDialect::kMaxLengthAttr,
                           MoEDialect::kVocabSizeAttr})
      module->removeAttr(name);
    return success();
  }

  ModuleOp module;
  SymbolTable table;
  llvm::SetVector<StringRef> symbols;
};

struct EmitEntryPointsPass
    : moe::impl::EmitEntryPointsBase<EmitEntryPointsPass> {
  void runOnOperation() override {
    if (failed(EntryPoints(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
