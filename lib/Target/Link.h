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

/// A program of the objects and of what libmoe_main.a does with them. It needs
/// the C library and libm, in the versions that this process has loaded.
llvm::Error linkProgram(ArrayRef<Object> objects, StringRef archive,
                        SmallVectorImpl<char> &file);

/// `asked` or, where that is empty, the libmoe_main.a beside libMoE.so. Fails
/// if it cannot be read.
llvm::Expected<std::string> findProgramArchive(StringRef asked);

/// The objects as one.
llvm::Error linkRelocatable(ArrayRef<Object> objects,
                            SmallVectorImpl<char> &file);

} // namespace mlir::moe
#endif // MOE_LIB_TARGET_LINK_H
