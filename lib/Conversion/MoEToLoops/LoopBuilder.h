//===- LoopBuilder.h - The words in which loops are written -----*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CONVERSION_MOETOLOOPS_LOOPBUILDER_H
#define MOE_LIB_CONVERSION_MOETOLOOPS_LOOPBUILDER_H
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "moe/Conversion/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"

namespace mlir::moe {
/// Interleaved chains of a reduction, and keys per block of attention. Spec:
/// canonical arithmetic; independent of the width of any machine.
constexpr int64_t kLanes = 16;

/// Builds loops over memrefs in place of an op. Floats are f32: narrower ones
/// are widened as they are loaded. Where code is built once for vectors and
/// once for the scalars of a remainder, `width` is kLanes or 1.
class LoopBuilder : public ImplicitLocOpBuilder {
public:
  LoopBuilder(Operation *op, Threads threads)
      : ImplicitLocOpBuilder(op->getLoc(), op), threads(threads) {}

  Threads getThreads() const { return threads; }

  // Constants.
  Value index(int64_t value);
  Value i32(int64_t value);
  Value f32(double value);
  /// `value` in every lane.
  Value splat(Value value, int64_t width);

  // Indices.
  Value dim(Value memref, int64_t i);
  Value add(Value a, Value b) { return createOrFold<arith::AddIOp>(a, b); }
  Value sub(Value a, Value b) { return createOrFold<arith::SubIOp>(a, b); }
  Value mul(Value a, Value b) { return createOrFold<arith::MulIOp>(a, b); }
  Value div(Value a, Value b) { return createOrFold<arith::DivUIOp>(a, b); }
  Value rem(Value a, Value b) { return createOrFold<arith::RemUIOp>(a, b); }
  Value min(Value a, Value b) { return createOrFold<arith::MinSIOp>(a, b); }
  Value max(Value a, Value b) { return createOrFold<arith::MaxSIOp>(a, b); }
  Value compare(arith::CmpIPredicate predicate, Value a, Value b) {
    return createOrFold<arith::CmpIOp>(predicate, a, b);
  }
  /// Whether 0 <= i < n.
  Value inside(Value i, Value n) {
    return compare(arith::CmpIPredicate::ult, i, n);
  }
  /// rows / max(sequences, 1): S of B * S rows, also for B = 0.
  Value rowsPerSequence(Value rows, Value sequences);

  // Floats, scalars or vectors.
  Value addF(Value a, Value b) { return arith::AddFOp::create(*this, a, b); }
  Value subF(Value a, Value b) { return arith::SubFOp::create(*this, a, b); }
  Value mulF(Value a, Value b) { return arith::MulFOp::create(*this, a, b); }
  Value divF(Value a, Value b) { return arith::DivFOp::create(*this, a, b); }
  Value maxF(Value a, Value b) {
    return arith::MaximumFOp::create(*this, a, b);
  }
  Value fma(Value a, Value b, Value c) {
    return math::FmaOp::create(*this, a, b, c);
  }
  Value exp(Value a) { return math::ExpOp::create(*this, a); }
  Value select(Value condition, Value a, Value b) {
    return arith::SelectOp::create(*this, condition, a, b);
  }

  // Memory.
  /// Whether neighbours in the last dimension are known to be neighbours in
  /// memory, so that vectors can be loaded and stored.
  static bool isContiguous(Value memref);
  Value load(Value memref, ValueRange at, int64_t width = 1);
  /// Loads an integer as an index.
  Value loadIndex(Value memref, ValueRange at);
  /// Stores a float, a vector, or an index as an integer.
  void store(Value value, Value memref, ValueRange at);
  /// A small buffer on the stack of the thread that runs the current point.
  Value scratch(ArrayRef<int64_t> shape);

  // Control flow.
  /// Runs `body` on [0, size): `moe.parallel`, or one loop without threads.
  void parallel(Value size, function_ref<void(Value)> body);
  /// The same for work that is not worth waking other cores for.
  void lightParallel(Value size, function_ref<void(Value)> body);
  void loop(Value from, Value to, Value step, function_ref<void(Value)> body);
  void loop(Value from, Value to, function_ref<void(Value)> body) {
    loop(from, to, index(1), body);
  }
  void loop(Value to, function_ref<void(Value)> body) {
    loop(index(0), to, body);
  }
  /// Runs `body` from `inits` on; it returns the values of the next iteration.
  SmallVector<Value>
  reduce(Value from, Value to, Value step, ValueRange inits,
         function_ref<SmallVector<Value>(Value, ValueRange)> body);
  Value reduce(Value from, Value to, Value init,
               function_ref<Value(Value, Value)> body);
  Value reduce(Value to, Value init, function_ref<Value(Value, Value)> body) {
    return reduce(index(0), to, init, body);
  }
  void when(Value condition, function_ref<void()> body);
  /// `condition ? body() : otherwise`; the body runs only if it holds.
  Value pick(Value condition, Value otherwise, function_ref<Value()> body);

  // Rows.
  /// Runs `body(column, width)` on all columns of a row: on vectors where the
  /// last dimension of each of `memrefs` is contiguous, then one at a time.
  void columns(Value size, ValueRange memrefs,
               function_ref<void(Value, int64_t)> body);
  /// The canonical sum of products of two f32 rows of length `size` that start
  /// at these places: chain l takes columns l, l + kLanes, ...
  Value dot(Value x, ArrayRef<Value> xAt, Value y, ArrayRef<Value> yAt,
            Value size);
  /// Lanes added (or else combined) pairwise: (l, l + 8), (l, l + 4), ...
  Value tree(Value lanes, function_ref<Value(Value, Value)> combine);
  Value sumTree(Value lanes) {
    return tree(lanes, [&](Value a, Value b) { return addF(a, b); });
  }

private:
  Threads threads;
};

/// out[m, n] = sum_k x[m, k] weight[n, k] + bias[n], added to what is there if
/// `accumulate`; `bias` may be null.
void buildMatmul(LoopBuilder &b, Value x, Value weight, Value bias,
                 bool accumulate, Value out);

/// Each lowers the ops that it knows, leaving the op itself in place; fails,
/// with the IR as it was, on any other.
LogicalResult lowerRouting(Operation *op, LoopBuilder &b);
LogicalResult lowerRagged(Operation *op, LoopBuilder &b);
LogicalResult lowerNN(Operation *op, LoopBuilder &b);
LogicalResult lowerAttention(Operation *op, LoopBuilder &b);
} // namespace mlir::moe
#endif // MOE_LIB_CONVERSION_MOETOLOOPS_LOOPBUILDER_H
