//===- Product.h - What kernels of products have in common ------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_PRODUCT_H
#define MOE_LIB_CODEGEN_GPU_PRODUCT_H
#include "KernelBuilder.h"

namespace mlir::moe {

/// grouped_matmul, linear or router_logits on memrefs: out = epilogue(a b^T +
/// bias, ...), of one group if there are no offsets.
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
  /// Bound on the rows, which only the device knows; index.
  Value getRows(ImplicitLocOpBuilder &b) const;
  /// As many row tiles as there can be: every expert may have one that is not
  /// full.
  Value getMaxRowTiles(ImplicitLocOpBuilder &b, Value rows,
                       int64_t tileRows) const;
  /// "gather", "grouped" or "linear".
  StringRef getKind() const {
    return gather ? "gather" : offsets ? "grouped" : "linear";
  }
  /// What a kernel takes behind `operands`, which are a and each b: see
  /// ProductArguments.
  SmallVector<Value> getArguments(ImplicitLocOpBuilder &b,
                                  ArrayRef<Value> operands, Value rows) const;
};

/// The product that `op` is; fails on other ops, on scatter, on weights of
/// unknown size and on memrefs that are not dense.
FailureOr<Product> readProduct(Operation *op);

/// Places of a kernel's arguments: pointers, from `m` on sizes (i64).
struct ProductArguments {
  ProductArguments(unsigned parts, bool bias, bool grouped, bool gather);
  unsigned a = 0, b, out, bias, offsets, gather, m, n, k, experts, count;

  SmallVector<Type> getTypes(MLIRContext *context) const;
};

/// The epilogue in a kernel, of one value per matrix.
Value applyEpilogue(KernelBuilder &b, Region *epilogue, ValueRange values);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_PRODUCT_H
