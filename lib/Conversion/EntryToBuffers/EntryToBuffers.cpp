//===- EntryToBuffers.cpp - Public functions as the runtime calls them ----===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "moe/Conversion/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Support/Symbols.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTENTRYTOBUFFERS
#include "moe/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// The type outside of a value whose type is `inside`, as moe.shape tells.
static FailureOr<MemRefType> getOuterType(func::FuncOp func, Type inside,
                                          Attribute shape) {
  auto tensor = dyn_cast<RankedTensorType>(inside);
  if (!tensor)
    return func.emitError("public functions take and return tensors, got ")
           << inside;
  if (!shape)
    return func.emitError("needs moe.shape on every argument and result");
  SmallVector<int64_t> sizes;
  for (Attribute entry : cast<ArrayAttr>(shape)) {
    FailureOr<SymbolicSize> size = parseSymbolicSize(entry);
    if (failed(size))
      return func.emitError("cannot understand the size ") << entry;
    sizes.push_back(size->symbol.empty() ? size->value : ShapedType::kDynamic);
  }
  return MemRefType::get(sizes, tensor.getElementType());
}

/// `memref` with its leading sizes merged to the rank of `inside`.
static Value buildMerge(OpBuilder &b, Location loc, Value memref,
                        RankedTensorType inside) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t merged = type.getRank() - inside.getRank();
  if (merged <= 0)
    return memref;
  SmallVector<ReassociationIndices> groups(inside.getRank());
  for (int64_t i = 0; i < type.getRank(); ++i)
    groups[std::max<int64_t>(0, i - merged)].push_back(i);
  return memref::CollapseShapeOp::create(b, loc, memref, groups);
}

/// `memref` with its leading sizes merged to the rank of `inside`, as a tensor.
static Value buildTensor(OpBuilder &b, Location loc, Value memref,
                         RankedTensorType inside, bool writable) {
  memref = buildMerge(b, loc, memref, inside);
  auto type = cast<MemRefType>(memref.getType());
  auto tensorType =
      RankedTensorType::get(type.getShape(), type.getElementType());
  Value tensor = bufferization::ToTensorOp::create(b, loc, tensorType, memref,
                                                   /*restrict=*/true, writable);
  if (tensorType != inside)
    tensor = tensor::CastOp::create(b, loc, inside, tensor);
  return tensor;
}

/// Rewrites `func` in place; leaves optional results out unless `full`.
static LogicalResult convert(func::FuncOp func, bool full) {
  Block &entry = func.getBody().front();
  auto ret = cast<func::ReturnOp>(entry.getTerminator());
  OpBuilder b(func.getContext());
  Location loc = func.getLoc();
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attributes;
  auto addType = [&](MemRefType type, Attribute name, Attribute shape,
                     bool isState) {
    types.push_back(type);
    NamedAttrList list;
    if (name)
      list.set(MoEDialect::kNameAttr, name);
    list.set(MoEDialect::kShapeAttr, shape);
    if (isState)
      list.set(MoEDialect::kStateAttr, b.getUnitAttr());
    attributes.push_back(list.getDictionary(b.getContext()));
  };

  // Arguments: the same ones, as memrefs.
  unsigned numArguments = func.getNumArguments();
  llvm::StringMap<Value> stateBuffers;
  b.setInsertionPointToStart(&entry);
  for (unsigned i = 0; i < numArguments; ++i) {
    BlockArgument argument = entry.getArgument(i);
    Attribute shape = func.getArgAttr(i, MoEDialect::kShapeAttr);
    auto name = func.getArgAttrOfType<StringAttr>(i, MoEDialect::kNameAttr);
    bool isState = bool(func.getArgAttr(i, MoEDialect::kStateAttr));
    FailureOr<MemRefType> type = getOuterType(func, argument.getType(), shape);
    if (failed(type))
      return failure();
    if (isState && !name)
      return func.emitError("state argument ") << i << " needs moe.name";
    auto inside = cast<RankedTensorType>(argument.getType());
    argument.setType(*type);
    Value tensor = buildTensor(b, loc, argument, inside, isState);
    argument.replaceUsesWithIf(tensor, [&](OpOperand &use) {
      return !isa<bufferization::ToTensorOp, memref::CollapseShapeOp>(
          use.getOwner());
    });
    if (isState)
      stateBuffers[name.getValue()] = argument;
    addType(*type, name, shape, isState);
  }

  // Results: written into states or into further arguments.
  SmallVector<std::pair<Value, Value>> writes;
  for (auto [i, result] : llvm::enumerate(ret.getOperands())) {
    Attribute shape = func.getResultAttr(i, MoEDialect::kShapeAttr);
    auto name = func.getResultAttrOfType<StringAttr>(i, MoEDialect::kNameAttr);
    if (name && stateBuffers.count(name.getValue())) {
      writes.emplace_back(result, stateBuffers[name.getValue()]);
      continue;
    }
    FailureOr<MemRefType> type = getOuterType(func, result.getType(), shape);
    if (failed(type))
      return failure();
    BlockArgument destination = entry.addArgument(*type, loc);
    addType(*type, name, shape, /*isState=*/false);
    if (full || !func.getResultAttr(i, MoEDialect::kOptionalAttr))
      writes.emplace_back(result, destination);
  }
  b.setInsertionPoint(ret);
  for (auto [result, destination] : writes) {
    Value memref;
    {
      // At the entry, so that the destination can move up to its producer.
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(&entry);
      memref = buildMerge(b, loc, destination,
                          cast<RankedTensorType>(result.getType()));
    }
    auto write = bufferization::MaterializeInDestinationOp::create(
        b, loc, /*result=*/Type(), result, memref);
    write.setRestrict(true);
    write.setWritable(true);
  }
  ret->setOperands({});
  func.removeResAttrsAttr();
  func.setFunctionType(b.getFunctionType(types, {}));
  func.setAllArgAttrs(attributes);
  return success();
}

namespace {
struct ConvertEntryToBuffersPass
    : moe::impl::ConvertEntryToBuffersBase<ConvertEntryToBuffersPass> {
  /// What no signature can make up for.
  LogicalResult checkEntry(func::FuncOp func) {
    if (!llvm::hasSingleElement(func.getBody()))
      return func.emitError("is public, so it must have a single block: "
                            "branches belong into private functions or scf");
    if (!func.symbolKnownUseEmpty(getOperation()))
      return func.emitError("is public, so it must not be used inside the "
                            "module: its signature changes");
    return success();
  }

  void runOnOperation() override {
    SmallVector<func::FuncOp> entries;
    SymbolTable symbols(getOperation());
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (func.isPublic() && !func.isExternal())
        entries.push_back(func);
    for (func::FuncOp func : entries) {
      if (failed(checkEntry(func)))
        return signalPassFailure();
      bool hasOptional = false;
      for (unsigned i = 0; i < func.getNumResults(); ++i)
        hasOptional |= bool(func.getResultAttr(i, MoEDialect::kOptionalAttr));
      if (hasOptional) {
        OpBuilder b(func);
        b.setInsertionPointAfter(func);
        auto full = cast<func::FuncOp>(b.clone(*func));
        full.setName((func.getName() + ".full").str());
        if (symbols.lookup(full.getName())) {
          func.emitError("has optional results, but @")
              << full.getName() << " exists already";
          return signalPassFailure();
        }
        if (failed(convert(full, /*full=*/true)))
          return signalPassFailure();
      }
      if (failed(convert(func, /*full=*/false)))
        return signalPassFailure();
    }
  }
};
} // namespace
