//===- AtomicFile.h - Whole files or none -----------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_TARGET_ATOMICFILE_H
#define MOE_TARGET_ATOMICFILE_H
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// True of what takes bytes and keeps none: "-", character devices, pipes, and
/// names such as /dev/stdout that lead to them. They are opened and written;
/// rename() would replace them, and nothing can be laid beside them.
bool isWrittenInPlace(llvm::StringRef path);

/// Fails where writeFileAtomically() would have to: `path` is something other
/// than a regular file, or lies in no directory. For tools that want to know
/// before an hour's work. "-" is always good.
llvm::Error checkOutputPath(llvm::StringRef path);

/// Writes a new file beside `path`, syncs it and renames it. On failure, or
/// when a signal ends the process, `path` is as before and nothing is left.
/// What is not a regular file is never replaced: see isWrittenInPlace(); all
/// else is refused. The mode is 0777 or 0666 less the umask. "-" is standard
/// output.
llvm::Error writeFileAtomically(llvm::StringRef path,
                                llvm::ArrayRef<char> bytes, bool executable);

} // namespace mlir::moe
#endif // MOE_TARGET_ATOMICFILE_H
