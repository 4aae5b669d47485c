//===- Build.h - IR that importers share ------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_IMPORT_BUILD_H
#define MOE_LIB_IMPORT_BUILD_H
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include <variant>

namespace mlir::moe {

enum class Activation { Silu, Gelu, GeluTanh, Relu, SquaredRelu, Identity };

/// A feed-forward network: down(act(gate x) * (up x)), or down(act(up x)).
struct FeedForward {
  int64_t hiddenSize = 0, intermediateSize = 0;
  bool isGLU = true;
  Activation activation = Activation::Silu;
  bool hasBias = false;
};

/// Its matrices in the order of the functions below: gate (GLU only), up, down,
/// then their biases.
struct FeedForwardTensor {
  StringRef name;
  SmallVector<int64_t> shape;
};
SmallVector<FeedForwardTensor> getTensors(const FeedForward &network);

/// A tensor type of f32 with `?` for negative sizes.
RankedTensorType f32Tensor(OpBuilder &b, ArrayRef<int64_t> shape);

/// x * weight^T + bias. With `residual`, that is added to it.
Value buildLinear(OpBuilder &b, Location loc, Value x, Value weight,
                  Value bias = {}, Value residual = {});

/// The network on `x`; with `residual`, added to it.
Value buildFeedForward(OpBuilder &b, Location loc, const FeedForward &network,
                       Value x, ValueRange weights, Value residual = {});

/// moe.layer with one kind of expert.
Value buildLayer(OpBuilder &b, Location loc, const FeedForward &network,
                 Value x, Value assignment, Value init, ValueRange stacks,
                 Apply apply);

/// An entry of moe.shape.
using ShapeEntry = std::variant<int64_t, std::string>;

/// An argument or result of a public function.
struct PublicValue {
  std::string name;
  Type type;
  SmallVector<ShapeEntry> shape;
  /// Further attributes: moe.limit, moe.state, ...
  SmallVector<NamedAttribute> attributes;
};

/// A public function with an entry block; `b` then stands in it.
func::FuncOp buildPublicFunction(OpBuilder &b, Location loc, StringRef name,
                                 ArrayRef<PublicValue> arguments,
                                 ArrayRef<PublicValue> results);

} // namespace mlir::moe
#endif // MOE_LIB_IMPORT_BUILD_H
