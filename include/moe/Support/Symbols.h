//===- Symbols.h - Sizes that differ from call to call ----------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_SUPPORT_SYMBOLS_H
#define MOE_SUPPORT_SYMBOLS_H
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::moe {

/// One entry of `moe.shape`: `value`, or `value` times a symbol.
struct SymbolicSize {
  int64_t value = 0;
  /// Empty: `value` alone. "B*S" is a symbol of its own, the product of two.
  StringRef symbol;
};

/// 7, "T", "2*T" or "B*S". Fails on anything else.
FailureOr<SymbolicSize> parseSymbolicSize(Attribute entry);

/// The symbols of a module's public functions by first appearance: functions in
/// module order, arguments before results.
FailureOr<llvm::SetVector<StringRef>> collectSymbols(ModuleOp module);

} // namespace mlir::moe
#endif // MOE_SUPPORT_SYMBOLS_H
