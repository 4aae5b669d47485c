//===- WarpgroupProducts.h - Kernels of products on sm_90a ------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_WARPGROUPPRODUCTS_H
#define MOE_LIB_CODEGEN_GPU_WARPGROUPPRODUCTS_H
#include "Product.h"

namespace mlir::moe {

/// Bytes of what TMA and cp.async move at a time, and the 16-bit elements in
/// them: rows of K elements are multiples of it.
constexpr int64_t kChunk = 16, kChunkElements = 8;

/// Whether there is a kernel that streams the weights once per eight rows.
bool canStream(const Product &product);
/// Launches it. `rows` (index) bounds the rows.
void launchStreamed(ImplicitLocOpBuilder &b, const Product &product, Value rows,
                    KernelModule &kernels);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_WARPGROUPPRODUCTS_H
