//===- Build.cpp - IR that importers share --------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Build.h"
#include "moe/Dialect/NN/IR/NN.h"

using namespace mlir;
using namespace mlir::moe;

SmallVector<FeedForwardTensor> moe::getTensors(const FeedForward &network) {
  int64_t h = network.hiddenSize, i = network.intermediateSize;
  SmallVector<FeedForwardTensor> tensors;
  if (network.isGLU)
    tensors.push_back({"gate.weight", {i, h}});
  tensors.push_back({"up.weight", {i, h}});
  tensors.push_back({"down.weight", {h, i}});
  if (network.hasBias) {
    if (network.isGLU)
      tensors.push_back({"gate.bias", {i}});
    tensors.push_back({"up.bias", {i}});
    tensors.push_back({"down.bias", {h}});
  }
  return tensors;
}

RankedTensorType moe::f32Tensor(OpBuilder &b, ArrayRef<int64_t> shape) {
  SmallVector<int64_t> sizes;
  for (int64_t size : shape)
    sizes.push_back(size < 0 ? ShapedType::kDynamic : size);
  return RankedTensorType::get(sizes, b.getF32Type());
}

Value moe::buildLinear(OpBuilder &b, Location loc, Value x, Value weight,
                       Value bias, Value residual) {
  RankedTensorType type = f32Tensor(b, {sizeOf(x, 0), sizeOf(weight, 0)});
  ValueRange outs = residual ? ValueRange(residual) : ValueRange();
  return nn::LinearOp::create(b, loc, TypeRange(type), x, weight, bias,
                              /*accumulate=*/bool(residual), outs)
      ->getResult(0);
}

static Value buildActivation(OpBuilder &b, Location loc, Activation activation,
                             Value x) {
  switch (activation) {
  case Activation::Silu:
    return nn::SiluOp::create(b, loc, x);
  case Activation::Gelu:
    return nn::GeluOp::create(b, loc, x);
  case Activation::GeluTanh:
    return nn::GeluTanhOp::create(b, loc, x);
  case Activation::Relu:
    return nn::ReluOp::create(b, loc, x);
  case Activation::SquaredRelu:
    return nn::SquaredReluOp::create(b, loc, x);
  case Activation::Identity:
    return x;
  }
  return x;
}

Value moe::buildFeedForward(OpBuilder &b, Location loc,
                            const FeedForward &network, Value x,
                            ValueRange weights, Value residual) {
  ValueRange matrices = weights.take_front(network.isGLU ? 3 : 2);
  ValueRange biases = weights.drop_front(matrices.size());
  auto linear = [&](unsigned i, Value from, Value to) {
    return buildLinear(b, loc, from, matrices[i],
                       biases.empty() ? Value() : biases[i], to);
  };
  unsigned next = 0;
  Value gate = network.isGLU ? linear(next++, x, {}) : Value();
  Value up = linear(next++, x, {});
  Value hidden = buildActivation(b, loc, network.activation, gate ? gate : up);
  if (gate)
    hidden = nn::MulOp::create(b, loc, hidden, up);
  return linear(next, hidden, residual);
}

Value moe::buildLayer(OpBuilder &b, Location loc, const FeedForward &network,
                      Value x, Value assignment, Value init, ValueRange stacks,
                      Apply apply) {
  int64_t count = stacks.size();
  auto layer = LayerOp::create(b, loc, init.getType(), x, assignment, init,
                               stacks, /*weights_per_kind=*/{count},
                               /*kinds=*/DenseI64ArrayAttr(), apply,
                               /*expertsCount=*/1);
  OpBuilder::InsertionGuard guard(b);
  SmallVector<Type> types{f32Tensor(b, {-1, network.hiddenSize}),
                          b.getIndexType()};
  for (Value stack : stacks) {
    auto type = cast<RankedTensorType>(stack.getType());
    types.push_back(type.clone(type.getShape().drop_front()));
  }
  Block *expert = b.createBlock(&layer.getExperts()[0], {}, types,
                                SmallVector<Location>(types.size(), loc));
  ValueRange weights = ValueRange(expert->getArguments()).drop_front(2);
  Value y = buildFeedForward(b, loc, network, expert->getArgument(0), weights);
  YieldOp::create(b, loc, y);
  return layer.getResult();
}

func::FuncOp moe::buildPublicFunction(OpBuilder &b, Location loc,
                                      StringRef name,
                                      ArrayRef<PublicValue> arguments,
                                      ArrayRef<PublicValue> results) {
  auto types = [](ArrayRef<PublicValue> values) {
    return llvm::map_to_vector(values,
                               [](const PublicValue &v) { return v.type; });
  };
  auto attributes = [&](const PublicValue &value) {
    SmallVector<Attribute> shape;
    for (const ShapeEntry &entry : value.shape)
      shape.push_back(
          std::holds_alternative<int64_t>(entry)
              ? Attribute(b.getI64IntegerAttr(std::get<int64_t>(entry)))
              : b.getStringAttr(std::get<std::string>(entry)));
    NamedAttrList list(value.attributes);
    list.set(MoEDialect::kNameAttr, b.getStringAttr(value.name));
    list.set(MoEDialect::kShapeAttr, b.getArrayAttr(shape));
    return list.getDictionary(b.getContext());
  };
  auto function = func::FuncOp::create(
      b, loc, name, b.getFunctionType(types(arguments), types(results)));
  for (auto [i, argument] : llvm::enumerate(arguments))
    function.setArgAttrs(i, attributes(argument));
  for (auto [i, result] : llvm::enumerate(results))
    function.setResultAttrs(i, attributes(result));
  b.setInsertionPointToStart(function.addEntryBlock());
  return function;
}
