//===- DepthGuard.h - Refuse text that nests too deeply ---------*- C++ -*-===//
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

/// Scans MLIR text before it is parsed: brackets outside of strings and
/// comments, and runs of unary minus. Nothing if parsing is safe, else an error
/// message with file, line and limit. Bytecode passes.
std::optional<std::string> findTooDeepNesting(llvm::MemoryBufferRef buffer);

} // namespace mlir::moe
#endif // MOE_SUPPORT_DEPTHGUARD_H
