//===- WarpgroupProducts.h - Kernels of products on sm_90a ------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_WARPGROUPPRODUCTS_H
#define MOE_LIB_CODEGEN_GPU_WARPGROUPPRODUCTS_H
#include "KernelBuilder.h"

namespace mlir::moe {

/// Bytes of what TMA and cp.async move at a time, and the 16-bit elements in
/// them: rows of K elements are multiples of it.
constexpr int64_t kChunk = 16, kChunkElements = 8;
/// The runtime does not tell how many multiprocessors there are; H100 SXM has
/// 132, and a persistent kernel is right on any number.
constexpr int64_t kMultiprocessors = 132;

/// grouped_matmul or linear on memrefs: out = epilogue(a b^T + bias, ...), of
/// one group if there are no offsets.
struct Product {
  Value a, out, offsets, gather;
  SmallVector<Value> bs, biases;
  bool accumulate = false;
  Region *epilogue = nullptr; // null: the sum
  int64_t n = 0, k = 0, experts = 1;

  Type getElementType(Value memref) const {
    return cast<MemRefType>(memref.getType()).getElementType();
  }
  /// Of the weights: what the tensor cores multiply.
  Type getElementType() const { return getElementType(bs[0]); }
  Type getBiasType() const {
    return biases.empty() ? Type() : getElementType(biases[0]);
  }
  /// As many row tiles as there can be: every expert may have one that is not
  /// full.
  Value getMaxRowTiles(ImplicitLocOpBuilder &b, Value rows,
                       int64_t tileRows) const;
  /// "gather", "grouped" or "linear".
  StringRef getKind() const {
    return gather ? "gather" : offsets ? "grouped" : "linear";
  }
};

/// The epilogue in a kernel, of one value per matrix.
Value applyEpilogue(KernelBuilder &b, Region *epilogue, ValueRange values);

/// Whether there is a kernel that streams the weights once per eight rows.
bool canStream(const Product &product);
/// Launches it. `rows` (index) bounds the rows.
void launchStreamed(ImplicitLocOpBuilder &b, const Product &product, Value rows,
                    KernelModule &kernels);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_WARPGROUPPRODUCTS_H
