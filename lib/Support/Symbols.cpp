//===- Symbols.cpp - Sizes that differ from call to call ------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Support/Symbols.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "moe/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

FailureOr<SymbolicSize> moe::parseSymbolicSize(Attribute entry) {
  if (auto number = dyn_cast<IntegerAttr>(entry))
    return SymbolicSize{number.getInt(), {}};
  auto text = dyn_cast<StringAttr>(entry);
  if (!text || text.getValue().empty())
    return failure();
  auto [left, right] = text.getValue().split('*');
  int64_t multiple;
  if (!right.empty() && !left.getAsInteger(10, multiple))
    return SymbolicSize{multiple, right};
  return SymbolicSize{1, text.getValue()};
}

FailureOr<llvm::SetVector<StringRef>> moe::collectSymbols(ModuleOp module) {
  llvm::SetVector<StringRef> symbols;
  auto collect = [&](FunctionOpInterface function,
                     Attribute shape) -> LogicalResult {
    if (!shape)
      return success();
    for (Attribute entry : cast<ArrayAttr>(shape)) {
      FailureOr<SymbolicSize> size = parseSymbolicSize(entry);
      if (failed(size))
        return function.emitError("cannot understand the size ")
               << entry << " in moe.shape";
      if (!size->symbol.empty())
        symbols.insert(size->symbol);
    }
    return success();
  };
  for (auto function : module.getOps<FunctionOpInterface>()) {
    if (!function.isPublic())
      continue;
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      if (failed(collect(function,
                         function.getArgAttr(i, MoEDialect::kShapeAttr))))
        return failure();
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      if (failed(collect(function,
                         function.getResultAttr(i, MoEDialect::kShapeAttr))))
        return failure();
  }
  return symbols;
}
