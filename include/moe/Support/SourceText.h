//===- SourceText.h - IR from a file or a stream ----------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_SUPPORT_SOURCETEXT_H
#define MOE_SUPPORT_SOURCETEXT_H
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>

namespace mlir::moe {

/// Reads the text or bytecode at `path`, all of it; "-" is standard input. What
/// a parser cannot bear is an error (see findUnsafeText()), and so is a device,
/// or a pipe other than one that was handed down (/dev/fd/N): those may never
/// end.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
readSourceText(llvm::StringRef path);

} // namespace mlir::moe
#endif // MOE_SUPPORT_SOURCETEXT_H
