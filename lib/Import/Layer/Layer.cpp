//===- Layer.cpp - The IR of a layer description --------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Layer/Layer.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::layer;

namespace {
/// Where the parameters of each group are.
struct Indices {
  size_t router = 0;
  std::optional<size_t> routerBias, selectBias, expertScale;
  SmallVector<size_t> experts, shared;
};
} // namespace

static LogicalResult addParameters(const Layer &layer, Parameters &parameters,
                                   Indices &indices) {
  int64_t e = layer.numExperts;
  auto add = [&](StringRef name, SmallVector<int64_t> shape) {
    return parameters.add({name.str(), std::move(shape), {name.str()}});
  };
  indices.router = parameters.size();
  if (failed(add("router.weight", {e, layer.expert.hiddenSize})))
    return failure();
  auto addOptional = [&](bool isPresent, StringRef name,
                         std::optional<size_t> &index) -> LogicalResult {
    if (!isPresent)
      return success();
    index = parameters.size();
    return add(name, {e});
  };
  if (failed(addOptional(layer.hasRouterBias, "router.bias",
                         indices.routerBias)) ||
      failed(addOptional(layer.hasSelectBias, "router.select_bias",
                         indices.selectBias)) ||
      failed(addOptional(layer.hasExpertScale, "router.expert_scale",
                         indices.expertScale)))
    return failure();
  for (const FeedForwardTensor &tensor : getTensors(layer.expert)) {
    Parameter stack;
    stack.name = ("experts." + tensor.name).str();
    stack.shape = {e};
    llvm::append_range(stack.shape, tensor.shape);
    stack.stacked = !layer.isStacked;
    if (layer.isStacked)
      stack.tensors.push_back(stack.name);
    else
      for (int64_t i = 0; i < e; ++i)
        stack.tensors.push_back("experts." + std::to_string(i) + "." +
                                tensor.name.str());
    indices.experts.push_back(parameters.size());
    if (failed(parameters.add(std::move(stack))))
      return failure();
  }
  if (layer.shared)
    for (const FeedForwardTensor &tensor : getTensors(*layer.shared)) {
      indices.shared.push_back(parameters.size());
      if (failed(add(("shared." + tensor.name).str(), tensor.shape)))
        return failure();
    }
  return success();
}

/// The routing pipeline of LAYER_FORMAT.md on x [T, H], stage by stage.
static Value buildRouting(OpBuilder &b, Location loc, const Layer &layer,
                          const Parameters &parameters, const Indices &indices,
                          Value x) {
  int64_t e = layer.numExperts, k = layer.topK;
  RankedTensorType all = f32Tensor(b, {-1, e}), chosen = f32Tensor(b, {-1, k});
  auto weight = [&](size_t index) {
    return parameters.buildReference(b, loc, index);
  };
  Value logits = RouterLogitsOp::create(
                     b, loc, TypeRange(all), x, weight(indices.router),
                     indices.routerBias ? weight(*indices.routerBias) : Value(),
                     ValueRange())
                     ->getResult(0);
  // Scores that nothing uses are not computed.
  Value scores = logits;
  if (!layer.selectsByLogit || !layer.isSoftmaxSelected)
    scores = ScoreOp::create(b, loc, TypeRange(all), layer.score, logits,
                             /*indices=*/Value(), ValueRange())
                 ->getResult(0);
  Value ranking = layer.selectsByLogit ? logits : scores;
  if (indices.selectBias)
    ranking =
        AddSelectionBiasOp::create(b, loc, TypeRange(all), ranking,
                                   weight(*indices.selectBias), ValueRange())
            ->getResult(0);
  auto topK =
      TopKOp::create(b, loc, TypeRange{chosen.clone(b.getI32Type()), chosen},
                     ranking, k, ValueRange());
  Value source = layer.isSoftmaxSelected ? logits : scores;
  Value weights = topK.getWeights();
  if (source != ranking)
    weights = TakeOp::create(b, loc, TypeRange(chosen), source,
                             topK.getIndices(), ValueRange())
                  ->getResult(0);
  if (layer.isSoftmaxSelected)
    weights = ScoreOp::create(b, loc, TypeRange(chosen), ScoreFn::Softmax,
                              weights, topK.getIndices(), ValueRange())
                  ->getResult(0);
  if (const std::optional<Normalize> &normalize = layer.normalize)
    weights =
        RenormalizeOp::create(b, loc, TypeRange(chosen), weights,
                              b.getI64IntegerAttr(normalize->p),
                              b.getF64FloatAttr(normalize->eps),
                              b.getF64FloatAttr(normalize->floor), ValueRange())
            ->getResult(0);
  if (layer.scale != 1)
    weights = ScaleOp::create(b, loc, TypeRange(chosen), weights,
                              b.getF64FloatAttr(layer.scale), ValueRange())
                  ->getResult(0);
  if (indices.expertScale)
    weights = ScaleByExpertOp::create(
                  b, loc, TypeRange(chosen), weights, topK.getIndices(),
                  weight(*indices.expertScale), ValueRange())
                  ->getResult(0);
  return AssignOp::create(b, loc, AssignmentType::get(b.getContext(), e, k),
                          topK.getIndices(), weights);
}

static OwningOpRef<ModuleOp> build(MLIRContext *context, const Layer &layer,
                                   const Parameters &parameters,
                                   const Indices &indices) {
  OpBuilder b(context);
  Location loc = NameLoc::get(b.getStringAttr("layer"));
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  (*module)->setAttr(MoEDialect::kModelAttr, b.getStringAttr("moe_layer"));
  b.setInsertionPointToEnd(module->getBody());
  parameters.build(b, loc);

  int64_t h = layer.expert.hiddenSize, k = layer.topK;
  RankedTensorType type = f32Tensor(b, {-1, h});
  auto listOf = [](Type element) {
    return RankedTensorType::get({ShapedType::kDynamic}, element);
  };
  Type ints = listOf(b.getI64Type()), floats = listOf(b.getF32Type());
  Type count = RankedTensorType::get({1}, b.getI64Type());
  std::string bound = k == 1 ? "T" : std::to_string(k) + "*T";
  NamedAttribute optional =
      b.getNamedAttr(MoEDialect::kOptionalAttr, b.getUnitAttr());
  NamedAttribute counted =
      b.getNamedAttr(MoEDialect::kCountAttr, b.getStringAttr("num_entries"));
  func::FuncOp function = buildPublicFunction(
      b, loc, "layer", PublicValue{"hidden_states", type, {"T", h}, {}},
      {{"output", type, {"T", h}, {}},
       {"token_index", ints, {bound}, {optional, counted}},
       {"expert_index", ints, {bound}, {optional, counted}},
       {"expert_weight", floats, {bound}, {optional, counted}},
       {"num_entries", count, {int64_t(1)}, {optional}}});
  Value x = function.getArgument(0);
  Value assignment = buildRouting(b, loc, layer, parameters, indices, x);

  Value tokens = tensor::DimOp::create(b, loc, x, 0);
  Value empty = tensor::EmptyOp::create(b, loc, type, tokens);
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  Value output = linalg::FillOp::create(b, loc, zero, empty).getResult(0);
  auto references = [&](ArrayRef<size_t> group) {
    return llvm::map_to_vector(group, [&](size_t index) {
      return parameters.buildReference(b, loc, index);
    });
  };
  output = buildLayer(b, loc, layer.expert, x, assignment, output,
                      references(indices.experts), layer.apply);
  if (layer.shared)
    output = buildFeedForward(b, loc, *layer.shared, x,
                              references(indices.shared), output);
  auto entries = AssignmentEntriesOp::create(b, loc, ints, ints, floats, count,
                                             assignment);
  SmallVector<Value> results{output};
  llvm::append_range(results, entries.getResults());
  func::ReturnOp::create(b, loc, results);
  return module;
}

OwningOpRef<ModuleOp> layer::importLayer(MLIRContext *context,
                                         ConfigObject &config,
                                         StringRef directory,
                                         const ImportOptions &options) {
  std::string &error = config.getError();
  Layer layer = readDescription(config);
  if (config.failed())
    return {};
  std::optional<Checkpoint> checkpoint;
  if (options.weights == ImportWeights::Reference) {
    checkpoint = Checkpoint::open(directory, {"L20", "L21"}, error);
    if (!checkpoint)
      return {};
  }
  Parameters parameters(checkpoint ? &*checkpoint : nullptr,
                        Float32Type::get(context), config.getFile(), error);
  Indices indices;
  if (failed(addParameters(layer, parameters, indices)))
    return {};
  auto all = [](StringRef) { return true; };
  if (checkpoint && failed(checkpoint->checkUnused(all, error)))
    return {};
  return build(context, layer, parameters, indices);
}
