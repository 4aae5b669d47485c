//===- ExpandElementwise.h - nn elementwise ops as arithmetic ---*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_CONVERSION_EXPANDELEMENTWISE_H
#define MOE_CONVERSION_EXPANDELEMENTWISE_H
#include "mlir/Support/LLVM.h"

namespace mlir {
class Operation;
class RewriterBase;
namespace moe {
/// Whether `op` is an elementwise op of the nn dialect.
bool isElementwiseNN(Operation *op);
/// Replaces an elementwise nn op on f32 or vectors of f32 by arith and math
/// ops: the same ones for scalars and vectors, so that bits are equal. Fails,
/// leaving the IR alone, on any other op or type.
LogicalResult expandElementwise(RewriterBase &rewriter, Operation *op);
} // namespace moe
} // namespace mlir
#endif // MOE_CONVERSION_EXPANDELEMENTWISE_H
