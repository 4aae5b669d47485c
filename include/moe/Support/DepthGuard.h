//===- DepthGuard.h - Refuse text that a parser cannot bear -----*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_SUPPORT_DEPTHGUARD_H
#define MOE_SUPPORT_DEPTHGUARD_H
#include "mlir/Support/LLVM.h"
#include "llvm/Support/MemoryBufferRef.h"
#include <string>

namespace mlir::moe {

/// Deepest nesting of `{` and of all other brackets together. MLIR's parser is
/// recursive and overflows the stack from some 2000 and 4000 on.
inline constexpr int64_t kMaxBraceDepth = 256, kMaxBracketDepth = 1000;

/// Most digits in a row; the parser's time grows with the square of it.
inline constexpr size_t kMaxNumberLength = 1024;

/// Scans MLIR text before it is parsed: for brackets, outside of strings and
/// comments, and runs of unary minus that nest too deeply; for numbers that are
/// too long; for control characters, which a diagnostic would print; and for
/// `array<index: ...>`, at which MLIR's parser crashes. Nothing if parsing is
/// safe, else an error message with file and line. Bytecode passes.
std::optional<std::string> findUnsafeText(llvm::MemoryBufferRef buffer);

} // namespace mlir::moe
#endif // MOE_SUPPORT_DEPTHGUARD_H
