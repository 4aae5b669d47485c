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
  /// Null, or the token and the weight of each row: its results are added to
  /// the token's row, in no fixed order.
  Value rowToken, rowWeight;
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
  /// "scatter", "gather", "grouped" or "linear".
  StringRef getKind() const {
    return rowToken  ? "scatter"
           : gather  ? "gather"
           : offsets ? "grouped"
                     : "linear";
  }
  /// What a kernel takes behind `operands`, which are a and each b: see
  /// ProductArguments.
  SmallVector<Value> getArguments(ImplicitLocOpBuilder &b,
                                  ArrayRef<Value> operands, Value rows) const;
};

/// The product that `op` is; fails on other ops, on scatter where the target is
/// deterministic, on weights of unknown size and on memrefs that are not dense.
FailureOr<Product> readProduct(Operation *op, const GPUTarget &target);

/// Places of a kernel's arguments: pointers, from `m` on sizes (i64).
struct ProductArguments {
  ProductArguments(unsigned parts, bool bias, bool grouped, bool gather,
                   bool scatter);
  /// `scatter`: row_token, then row_weight.
  unsigned a = 0, b, out, bias, offsets, gather, scatter, m, n, k, experts,
           count;

  SmallVector<Type> getTypes(MLIRContext *context) const;
};

/// The epilogue in a kernel, of one value per matrix.
Value applyEpilogue(KernelBuilder &b, Region *epilogue, ValueRange values);

/// What a product with scatter does with a row: i32 and f32.
struct ScatteredRow {
  Value token, weight;

  /// `argument`: the kernel's row_token, before row_weight.
  static ScatteredRow load(KernelBuilder &b, unsigned argument, Value row);
  /// Adds `weight` times each of the neighbours `values` to what is at
  /// `address`, in no order among all that add there; `pairs`: two at a time,
  /// on sm_90 and where they are aligned.
  void add(KernelBuilder &b, ValueRange values, Value address,
           bool pairs) const;
};
/// Whether ScatteredRow::add() may take pairs of columns of rows of `n`.
bool canAddPairs(const GPUTarget &target, int64_t n);
/// Says of a kernel that it adds in no fixed order.
void setUnordered(LLVM::LLVMFuncOp kernel);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_PRODUCT_H
