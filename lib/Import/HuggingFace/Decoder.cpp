//===- Decoder.cpp - The IR of a decoder ----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "HuggingFace/HuggingFace.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "moe/Dialect/NN/IR/NN.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::hf;

/// Parameters before those of the layers, and of each layer.
enum { kEmbedding, kFinalNorm, kNumShared };
enum {
  kAttentionNorm,
  kQuery,
  kKey,
  kValue,
  kOutput,
  kExpertsNorm,
  kRouter,
  kGate,
  kUp,
  kDown,
  kNumPerLayer
};

static std::string fillIn(StringRef pattern, StringRef hole, int64_t number) {
  auto [front, back] = pattern.split(hole);
  return front.size() == pattern.size()
             ? pattern.str()
             : front.str() + std::to_string(number) + back.str();
}

LogicalResult hf::addParameters(const Decoder &decoder,
                                const TensorNames &names, bool hasHeadTensor,
                                Parameters &parameters) {
  int64_t h = decoder.hiddenSize, v = decoder.vocabSize;
  int64_t i = decoder.expert.intermediateSize, e = decoder.numExperts;
  int64_t q = decoder.numHeads * decoder.headDim;
  int64_t kv = decoder.numKVHeads * decoder.headDim;
  auto add = [&](StringRef name, SmallVector<int64_t> shape, StringRef tensor) {
    return parameters.add({name.str(), std::move(shape), {tensor.str()}});
  };
  if (failed(add("embedding", {v, h}, names.embedding)) ||
      failed(add("final_norm", {h}, names.finalNorm)))
    return failure();
  for (int64_t l = 0; l < decoder.numLayers; ++l) {
    std::string prefix = "layers." + std::to_string(l) + ".";
    auto addOfLayer = [&](StringRef name, SmallVector<int64_t> shape,
                          StringRef pattern) {
      return add(prefix + name.str(), std::move(shape),
                 fillIn(pattern, "{l}", l));
    };
    auto addStack = [&](StringRef name, SmallVector<int64_t> shape,
                        StringRef pattern) {
      Parameter stack;
      stack.name = prefix + "experts." + name.str();
      stack.shape = std::move(shape);
      stack.stacked = true;
      std::string ofLayer = fillIn(pattern, "{l}", l);
      for (int64_t expert = 0; expert < e; ++expert)
        stack.tensors.push_back(fillIn(ofLayer, "{e}", expert));
      return parameters.add(std::move(stack));
    };
    // In the order of the enumeration above.
    if (failed(addOfLayer("attention_norm", {h}, names.attentionNorm)) ||
        failed(addOfLayer("query", {q, h}, names.query)) ||
        failed(addOfLayer("key", {kv, h}, names.key)) ||
        failed(addOfLayer("value", {kv, h}, names.value)) ||
        failed(addOfLayer("output", {h, q}, names.output)) ||
        failed(addOfLayer("experts_norm", {h}, names.expertsNorm)) ||
        failed(addOfLayer("router", {e, h}, names.router)) ||
        failed(addStack("gate", {e, i, h}, names.gate)) ||
        failed(addStack("up", {e, i, h}, names.up)) ||
        failed(addStack("down", {e, h, i}, names.down)))
      return failure();
  }
  return hasHeadTensor ? add("head", {v, h}, names.head) : success();
}

namespace {
class DecoderBuilder {
public:
  DecoderBuilder(MLIRContext *context, const Decoder &decoder,
                 const Parameters &parameters)
      : b(context), loc(NameLoc::get(b.getStringAttr("decoder"))),
        decoder(decoder), parameters(parameters) {}

  OwningOpRef<ModuleOp> build();

private:
  /// One decoder layer. Arguments: x [B S, H], cos, sin [B S, D / 2], lengths
  /// [B], layer, key and value caches, destination of the router logits
  /// [B S, E], weights. Results: x, both caches, router logits.
  func::FuncOp getLayer(unsigned l);
  /// Final norm and logits of some rows. Arguments: x [M, H], norm, head,
  /// destination [M, V].
  void buildHead();
  void buildForward();
  /// The function that continues sequences: `numTokens` new ones per row.
  void buildExtend(StringRef name, ShapeEntry numTokens);

  /// The decoder without its head. Updates x and the caches; returns the
  /// router logits of every layer. All layers may share caches of one layer.
  SmallVector<Value> buildLayers(Value ids, Value rows, Value lengths,
                                 bool sharesCache, Value &x, Value &keys,
                                 Value &values);
  Value buildLogits(Value x, Value rows);

  func::FuncOp buildPrivate(StringRef name, TypeRange arguments,
                            TypeRange results);
  Value buildIndex(int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  }
  Value buildDim(Value tensor, int64_t i) {
    return tensor::DimOp::create(b, loc, tensor, i);
  }
  Value buildEmpty(RankedTensorType type, ValueRange sizes) {
    return tensor::EmptyOp::create(b, loc, type, sizes);
  }
  PublicValue getIds(ShapeEntry numTokens);
  Type f32(ArrayRef<int64_t> shape) { return f32Tensor(b, shape); }
  size_t getIndexOf(unsigned l, unsigned kind) const {
    return kNumShared + l * kNumPerLayer + kind;
  }

  size_t getHeadIndex() const {
    return decoder.hasTiedHead ? size_t(kEmbedding) : parameters.size() - 1;
  }

  OpBuilder b;
  Location loc;
  const Decoder &decoder;
  const Parameters &parameters;
  ModuleOp module;
  RankedTensorType idsType, lengthsType, cacheType;
  func::FuncOp head;
  /// Layers whose weights have the same types share a function.
  SmallVector<std::pair<SmallVector<Type>, func::FuncOp>> layers;
};
} // namespace

func::FuncOp DecoderBuilder::buildPrivate(StringRef name, TypeRange arguments,
                                          TypeRange results) {
  auto function =
      func::FuncOp::create(b, loc, name, b.getFunctionType(arguments, results));
  function.setPrivate();
  b.setInsertionPointToStart(function.addEntryBlock());
  return function;
}

func::FuncOp DecoderBuilder::getLayer(unsigned l) {
  SmallVector<Type> weights;
  for (unsigned kind = 0; kind < kNumPerLayer; ++kind)
    weights.push_back(parameters.getType(getIndexOf(l, kind)));
  for (auto &[types, function] : layers)
    if (types == weights)
      return function;

  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  int64_t h = decoder.hiddenSize, d = decoder.headDim, e = decoder.numExperts;
  Type xType = f32({-1, h}), angles = f32({-1, d / 2}), logits = f32({-1, e});
  SmallVector<Type> arguments{
      xType,     angles,    angles, lengthsType, b.getIndexType(),
      cacheType, cacheType, logits};
  unsigned firstWeight = arguments.size();
  llvm::append_range(arguments, weights);
  std::string name = "decoder_layer";
  if (!layers.empty())
    name += "_" + std::to_string(layers.size());
  func::FuncOp function =
      buildPrivate(name, arguments, {xType, cacheType, cacheType, logits});
  layers.emplace_back(weights, function);

  Block &block = function.front();
  auto weight = [&](unsigned kind) {
    return block.getArgument(firstWeight + kind);
  };
  Value x = block.getArgument(0), cos = block.getArgument(1),
        sin = block.getArgument(2), lengths = block.getArgument(3),
        index = block.getArgument(4), keys = block.getArgument(5),
        values = block.getArgument(6), router = block.getArgument(7);
  auto norm = [&](Value from, unsigned kind) {
    return nn::RMSNormOp::create(b, loc, TypeRange(xType), from, weight(kind),
                                 b.getF64FloatAttr(decoder.normEps),
                                 ValueRange())
        ->getResult(0);
  };
  auto rotate = [&](Value from, int64_t heads) {
    return nn::RotaryOp::create(b, loc, TypeRange(from.getType()), from, cos,
                                sin, heads, ValueRange())
        ->getResult(0);
  };
  auto append = [&](Value from, Value cache) {
    return nn::CacheAppendOp::create(b, loc, TypeRange(cacheType), from,
                                     lengths, index, ValueRange(cache))
        ->getResult(0);
  };

  Value attended = norm(x, kAttentionNorm);
  Value q =
      rotate(buildLinear(b, loc, attended, weight(kQuery)), decoder.numHeads);
  Value k =
      rotate(buildLinear(b, loc, attended, weight(kKey)), decoder.numKVHeads);
  Value v = buildLinear(b, loc, attended, weight(kValue));
  keys = append(k, keys);
  values = append(v, values);
  IntegerAttr window =
      decoder.window ? b.getI64IntegerAttr(*decoder.window) : IntegerAttr();
  Value o = nn::AttentionOp::create(
                b, loc, TypeRange(q.getType()), q, keys, values, lengths, index,
                b.getI64IntegerAttr(decoder.numHeads),
                b.getF64FloatAttr(decoder.attentionScale), window, ValueRange())
                ->getResult(0);
  x = buildLinear(b, loc, o, weight(kOutput), /*bias=*/{}, /*residual=*/x);

  Value y = norm(x, kExpertsNorm);
  router = RouterLogitsOp::create(b, loc, TypeRange(logits), y, weight(kRouter),
                                  /*bias=*/Value(), ValueRange(router))
               ->getResult(0);
  Value scores = ScoreOp::create(b, loc, TypeRange(logits), ScoreFn::Softmax,
                                 router, /*indices=*/Value(), ValueRange())
                     ->getResult(0);
  RankedTensorType chosen = f32Tensor(b, {-1, decoder.topK});
  auto topK =
      TopKOp::create(b, loc, TypeRange{chosen.clone(b.getI32Type()), chosen},
                     scores, decoder.topK, ValueRange());
  Value combine = topK.getWeights();
  if (decoder.renormalize)
    combine = RenormalizeOp::create(
                  b, loc, TypeRange(chosen), combine, b.getI64IntegerAttr(1),
                  b.getF64FloatAttr(0), b.getF64FloatAttr(0), ValueRange())
                  ->getResult(0);
  Value assignment = AssignOp::create(
      b, loc, AssignmentType::get(b.getContext(), e, decoder.topK),
      topK.getIndices(), combine);
  x = buildLayer(b, loc, decoder.expert, y, assignment, x,
                 {weight(kGate), weight(kUp), weight(kDown)}, Apply::Output);
  func::ReturnOp::create(b, loc, {x, keys, values, router});
  return function;
}

void DecoderBuilder::buildHead() {
  OpBuilder::InsertionGuard guard(b);
  int64_t h = decoder.hiddenSize, v = decoder.vocabSize;
  size_t weight = getHeadIndex();
  Type xType = f32({-1, h}), logits = f32({-1, v});
  head = buildPrivate("decoder_head",
                      {xType, parameters.getType(kFinalNorm),
                       parameters.getType(weight), logits},
                      {logits});
  Block &block = head.front();
  Value x =
      nn::RMSNormOp::create(b, loc, TypeRange(xType), block.getArgument(0),
                            block.getArgument(1),
                            b.getF64FloatAttr(decoder.normEps), ValueRange())
          ->getResult(0);
  Value result = nn::LinearOp::create(b, loc, TypeRange(logits), x,
                                      block.getArgument(2), /*bias=*/Value(),
                                      /*accumulate=*/false,
                                      ValueRange(block.getArgument(3)))
                     ->getResult(0);
  func::ReturnOp::create(b, loc, result);
}

/// theta^(-2 i / D), with the roundings of the float32 arithmetic that models
/// are trained with.
static SmallVector<float> getInverseFrequencies(double theta, int64_t dim) {
  SmallVector<float> result;
  for (int64_t i = 0; i < dim; i += 2)
    result.push_back(1.0f / std::pow(float(theta), float(i) / float(dim)));
  return result;
}

SmallVector<Value> DecoderBuilder::buildLayers(Value ids, Value rows,
                                               Value lengths, bool sharesCache,
                                               Value &x, Value &keys,
                                               Value &values) {
  x = nn::EmbeddingOp::create(
          b, loc, TypeRange(f32({-1, decoder.hiddenSize})), ids,
          parameters.buildReference(b, loc, kEmbedding), ValueRange())
          ->getResult(0);
  Type angles = f32({-1, decoder.headDim / 2});
  auto table =
      nn::RotaryTableOp::create(b, loc, TypeRange{angles, angles}, ids, lengths,
                                b.getDenseF32ArrayAttr(getInverseFrequencies(
                                    decoder.ropeTheta, decoder.headDim)),
                                ValueRange());
  SmallVector<Value> routerLogits;
  for (int64_t l = 0; l < decoder.numLayers; ++l) {
    func::FuncOp layer = getLayer(l);
    Value index = buildIndex(sharesCache ? 0 : l);
    SmallVector<Value> operands{
        x,     table->getResult(0), table->getResult(1), lengths, index, keys,
        values};
    operands.push_back(
        buildEmpty(f32Tensor(b, {-1, decoder.numExperts}), rows));
    for (unsigned kind = 0; kind < kNumPerLayer; ++kind)
      operands.push_back(
          parameters.buildReference(b, loc, getIndexOf(l, kind)));
    auto call = func::CallOp::create(b, loc, layer, operands);
    x = call.getResult(0);
    keys = call.getResult(1);
    values = call.getResult(2);
    routerLogits.push_back(call.getResult(3));
  }
  return routerLogits;
}

Value DecoderBuilder::buildLogits(Value x, Value rows) {
  Value out = buildEmpty(f32Tensor(b, {-1, decoder.vocabSize}), rows);
  return func::CallOp::create(
             b, loc, head,
             ValueRange{x, parameters.buildReference(b, loc, kFinalNorm),
                        parameters.buildReference(b, loc, getHeadIndex()), out})
      .getResult(0);
}

PublicValue DecoderBuilder::getIds(ShapeEntry numTokens) {
  return {"input_ids",
          idsType,
          {"B", numTokens},
          {b.getNamedAttr(MoEDialect::kLimitAttr,
                          b.getI64IntegerAttr(decoder.vocabSize))}};
}

/// Whole sequences at once, with caches of its own that hold one layer.
void DecoderBuilder::buildForward() {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  int64_t e = decoder.numExperts, v = decoder.vocabSize;
  SmallVector<PublicValue> results{{"logits", f32({-1, v}), {"B", "S", v}, {}}};
  for (int64_t l = 0; l < decoder.numLayers; ++l)
    results.push_back(
        {"router_logits." + std::to_string(l),
         f32({-1, e}),
         {"B*S", e},
         {b.getNamedAttr(MoEDialect::kOptionalAttr, b.getUnitAttr())}});
  func::FuncOp function =
      buildPublicFunction(b, loc, "forward", getIds("S"), results);
  Value ids = function.getArgument(0);
  Value batch = buildDim(ids, 0), tokens = buildDim(ids, 1);
  Value rows = arith::MulIOp::create(b, loc, batch, tokens);
  Value zero = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
  Value lengths =
      linalg::FillOp::create(b, loc, zero, buildEmpty(lengthsType, batch))
          .getResult(0);
  Value one = buildIndex(1);
  Value keys = buildEmpty(cacheType, {one, batch, tokens});
  Value values = buildEmpty(cacheType, {one, batch, tokens});
  Value x;
  SmallVector<Value> routerLogits =
      buildLayers(ids, rows, lengths, /*sharesCache=*/true, x, keys, values);
  SmallVector<Value> returned{buildLogits(x, rows)};
  llvm::append_range(returned, routerLogits);
  func::ReturnOp::create(b, loc, returned);
}

void DecoderBuilder::buildExtend(StringRef name, ShapeEntry numTokens) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<ShapeEntry> cacheShape{decoder.numLayers, "B", "N",
                                     decoder.numKVHeads, decoder.headDim};
  NamedAttribute state =
      b.getNamedAttr(MoEDialect::kStateAttr, b.getUnitAttr());
  PublicValue keyCache{"k_cache", cacheType, cacheShape, {}};
  PublicValue valueCache{"v_cache", cacheType, cacheShape, {}};
  PublicValue logits{
      "logits", f32({-1, decoder.vocabSize}), {"B", decoder.vocabSize}, {}};
  SmallVector<PublicValue> results{logits, keyCache, valueCache};
  keyCache.attributes = valueCache.attributes = {state};
  PublicValue lengths{
      "lengths",
      lengthsType,
      {"B"},
      {b.getNamedAttr(MoEDialect::kLengthsAttr, b.getUnitAttr())}};
  func::FuncOp function = buildPublicFunction(
      b, loc, name, {getIds(numTokens), keyCache, valueCache, lengths},
      results);
  Value ids = function.getArgument(0), keys = function.getArgument(1),
        values = function.getArgument(2), x;
  Value batch = buildDim(ids, 0);
  Value rows = arith::MulIOp::create(b, loc, batch, buildDim(ids, 1));
  buildLayers(ids, rows, function.getArgument(3), /*sharesCache=*/false, x,
              keys, values);
  x = nn::LastRowsOp::create(b, loc, TypeRange(f32({-1, decoder.hiddenSize})),
                             x, ids, ValueRange())
          ->getResult(0);
  Value result = buildLogits(x, batch);
  func::ReturnOp::create(b, loc, {result, keys, values});
}

OwningOpRef<ModuleOp> DecoderBuilder::build() {
  OwningOpRef<ModuleOp> owner = ModuleOp::create(loc);
  module = *owner;
  module->setAttr(MoEDialect::kModelAttr, b.getStringAttr(decoder.modelType));
  module->setAttr(MoEDialect::kMaxLengthAttr,
                  b.getI64IntegerAttr(decoder.maxLength));
  module->setAttr(MoEDialect::kVocabSizeAttr,
                  b.getI64IntegerAttr(decoder.vocabSize));
  constexpr int64_t any = ShapedType::kDynamic;
  idsType = RankedTensorType::get({any, any}, b.getI64Type());
  lengthsType = RankedTensorType::get({any}, b.getI64Type());
  cacheType = f32Tensor(b, {-1, -1, -1, decoder.numKVHeads, decoder.headDim});
  b.setInsertionPointToEnd(module.getBody());
  parameters.build(b, loc);
  for (int64_t l = 0; l < decoder.numLayers; ++l)
    getLayer(l);
  buildHead();
  buildForward();
  buildExtend("prefill", "S");
  buildExtend("decode", int64_t(1));
  return owner;
}

OwningOpRef<ModuleOp> hf::buildDecoder(MLIRContext *context,
                                       const Decoder &decoder,
                                       const Parameters &parameters) {
  return DecoderBuilder(context, decoder, parameters).build();
}
