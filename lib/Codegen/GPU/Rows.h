//===- Rows.h - Kernels with a thread per element of rows -------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_ROWS_H
#define MOE_LIB_CODEGEN_GPU_ROWS_H
#include "KernelBuilder.h"

namespace mlir::moe {

/// Whether launchPerColumn() takes so many columns; not if they are unknown.
bool canLaunchPerColumn(int64_t columns);

/// Launches a kernel with a thread for each of `columns` columns of `rows`
/// rows. A block has neighbouring columns of one row: warps access whole lines,
/// and what depends on the row alone is the same in all threads. `build` gets
/// row and column (i64); `name`, `key` and `columns` say all that it depends
/// on.
void launchPerColumn(OpBuilder &b, Location loc, KernelModule &kernels,
                     StringRef name, StringRef key, Value rows, int64_t columns,
                     ValueRange arguments,
                     function_ref<void(KernelBuilder &, Value, Value)> build);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_ROWS_H
