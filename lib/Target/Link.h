//===- Link.h - The linker, in process --------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_TARGET_LINK_H
#define MOE_LIB_TARGET_LINK_H
#include "Emit.h"

namespace mlir::moe {

/// A shared library that exports nothing but moe_library_query(). Calls in
/// sequence; the linker has one state per process.
llvm::Error linkLibrary(ArrayRef<Object> objects, SmallVectorImpl<char> &file);

/// The objects as one.
llvm::Error linkRelocatable(ArrayRef<Object> objects,
                            SmallVectorImpl<char> &file);

} // namespace mlir::moe
#endif // MOE_LIB_TARGET_LINK_H
