//===- HuggingFace.cpp - Registry and fields that families share ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "HuggingFace/HuggingFace.h"
#include "moe/Import/Limits.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::hf;

ArrayRef<const Family *> hf::getFamilies() {
  static const Family *const families[] = {&mixtral};
  return families;
}

//===----------------------------------------------------------------------===//
// Fields that would change the mathematics
//===----------------------------------------------------------------------===//

namespace {
/// A field of some family of the hub. Where it is not one of the family at
/// hand, it may only have a value that changes nothing: null, false, an empty
/// list, or the one given here.
struct MathsField {
  enum Neutral { OnlyAbsent, Number, True, Text };
  StringRef key;
  Neutral neutral = OnlyAbsent;
  double number = 0;
  StringRef text = {};
};
} // namespace

static const MathsField mathsFields[] = {
    // Weights that are not what they seem.
    {"compression_config"},
    {"quantization"},
    {"quantization_config"},
    {"pruned_heads"},
    // Other kinds of model.
    {"add_cross_attention"},
    {"is_encoder_decoder"},
    {"tie_encoder_decoder"},
    {"use_parallel_residual"},
    {"parallel_attn"},
    // Attention.
    {"alibi"},
    {"attention_bias"},
    {"attention_chunk_size"},
    {"attention_multiplier"},
    {"attention_out_bias"},
    {"attention_sink"},
    {"attn_config"},
    {"attn_logit_softcapping"},
    {"attn_output_gate"},
    {"attn_scale"},
    {"attn_temperature_tuning"},
    {"clip_qkv"},
    {"kv_lora_rank"},
    {"no_rope_layer_interval"},
    {"no_rope_layers"},
    {"q_lora_rank"},
    {"qk_layernorm"},
    {"qk_norm"},
    {"qkv_bias"},
    {"query_pre_attn_scalar"},
    {"sliding_window_pattern"},
    {"use_attention_sinks"},
    {"use_bias"},
    {"use_qk_norm"},
    {"use_qkv_bias"},
    // Positions.
    {"position_embedding_type", MathsField::Text, 0, "rope"},
    {"rope_interleaved"},
    {"rope_interleave"},
    {"rotary_emb_base"},
    {"rotary_pct", MathsField::Number, 1},
    {"partial_rotary_factor", MathsField::Number, 1},
    {"use_mrope"},
    // Around the layers.
    {"embedding_multiplier", MathsField::Number, 1},
    {"embedding_scale", MathsField::Number, 1},
    {"final_logit_softcapping"},
    {"lm_head_bias"},
    {"lm_head_multiplier", MathsField::Number, 1},
    {"logit_scale", MathsField::Number, 1},
    {"logits_scaling", MathsField::Number, 1},
    {"mup_enabled"},
    {"residual_multiplier", MathsField::Number, 1},
    {"scale_depth"},
    {"scale_emb", MathsField::Number, 1},
    {"zero_centered_gamma"},
    // Which layers have experts.
    {"decoder_sparse_step", MathsField::Number, 1},
    {"dense_intermediate_size"},
    {"expert_layer_offset", MathsField::Number, 0},
    {"expert_layer_period", MathsField::Number, 1},
    {"first_k_dense_replace", MathsField::Number, 0},
    {"interleave_moe_layer_step", MathsField::Number, 1},
    {"mlp_only_layers"},
    {"moe_layer_freq", MathsField::Number, 1},
    {"moe_layers"},
    // Experts and routing.
    {"capacity_factor"},
    {"expert_capacity"},
    {"ffn_config"},
    {"mlp_bias"},
    {"moe_capacity_factor"},
    {"moe_num_shared_experts", MathsField::Number, 0},
    {"moe_router_enable_expert_bias"},
    {"n_group", MathsField::Number, 1},
    {"n_shared_experts", MathsField::Number, 0},
    {"norm_topk_prob", MathsField::True},
    {"num_expert_group", MathsField::Number, 1},
    {"num_shared_experts", MathsField::Number, 0},
    {"num_zero_experts", MathsField::Number, 0},
    {"zero_expert_num", MathsField::Number, 0},
    {"routed_scaling_factor", MathsField::Number, 1},
    {"router_bias"},
    {"router_logit_softcapping"},
    {"scoring_func", MathsField::Text, 0, "softmax"},
    {"shared_expert_intermediate_size", MathsField::Number, 0},
    {"shared_intermediate_size", MathsField::Number, 0},
    {"swiglu_alpha", MathsField::Number, 1},
    {"swiglu_limit"},
    {"topk_group", MathsField::Number, 1},
    {"topk_method", MathsField::Text, 0, "greedy"},
    {"use_grouped_topk"},
    {"use_routing_bias"},
    {"use_shared_expert"},
};

static bool isNeutral(const MathsField &field, const moe_json *value) {
  bool flag;
  if (moe_json_bool(value, &flag))
    return flag == (field.neutral == MathsField::True);
  if (moe_json_is(value, MOE_JSON_ARRAY) || moe_json_is(value, MOE_JSON_OBJECT))
    return moe_json_size(value) == 0;
  double number;
  if (moe_json_double(value, &number))
    return field.neutral == MathsField::Number && number == field.number;
  return field.neutral == MathsField::Text &&
         moe_json_equals(value, field.text.data());
}

static void refuseMathsFields(ConfigObject &config) {
  for (const MathsField &field : mathsFields) {
    if (config.failed() || config.wasAsked(field.key))
      continue;
    const moe_json *value = config.find(field.key);
    if (!value || isNeutral(field, value))
      continue;
    std::string neutral = "null";
    switch (field.neutral) {
    case MathsField::OnlyAbsent:
      break;
    case MathsField::Number:
      neutral = std::to_string(int64_t(field.number));
      break;
    case MathsField::True:
      neutral = "true";
      break;
    case MathsField::Text:
      neutral = ("\"" + field.text + "\"").str();
      break;
    }
    config.failText(field.key, "is " + describe(value) +
                                   ", which is not supported for this model "
                                   "family, expected " +
                                   neutral);
  }
}

//===----------------------------------------------------------------------===//
// Fields that families share
//===----------------------------------------------------------------------===//

static double readPositive(ConfigObject &config, StringRef key,
                           double otherwise) {
  double value = config.number(key, otherwise);
  if (!(value > 0))
    config.fail(key, "a positive number");
  return value;
}

static void checkRopeType(ConfigObject &rope) {
  // Both generations' name of it.
  for (StringRef key : {"rope_type", "type"})
    if (rope.string(key, "default") != "default")
      rope.failText(key, "is " + describe(rope.find(key)) +
                             ", which is not supported, expected \"default\"");
  if (rope.number("partial_rotary_factor", 1) != 1)
    rope.fail("partial_rotary_factor", "1");
  // Of use to other types only.
  rope.find("original_max_position_embeddings");
  if (rope.failed())
    return;
  for (size_t i = 0, n = moe_json_size(rope.getJson()); i < n; ++i) {
    const moe_json_member *member = moe_json_member_at(rope.getJson(), i);
    StringRef key(member->key, member->key_size);
    if (!rope.wasAsked(key) && !moe_json_is(&member->value, MOE_JSON_NULL))
      return rope.failText(key, "is " + describe(&member->value) +
                                    ", which is not supported, expected null");
  }
}

/// rope_theta and rope_scaling, or rope_parameters with both.
static double readRope(ConfigObject &config, const Defaults &defaults) {
  double theta = readPositive(config, "rope_theta", defaults.ropeTheta);
  ConfigObject scaling = config.child("rope_scaling");
  ConfigObject parameters = config.child("rope_parameters");
  bool isNested = false;
  for (ConfigObject *rope : {&scaling, &parameters}) {
    if (!rope->has("rope_theta"))
      continue;
    double nested = readPositive(*rope, "rope_theta", theta);
    if ((isNested || config.has("rope_theta")) && nested != theta)
      rope->fail("rope_theta",
                 "the other value of it (" + std::to_string(theta) + ")");
    theta = nested;
    isNested = true;
  }
  checkRopeType(scaling);
  checkRopeType(parameters);
  return theta;
}

static Activation readActivation(ConfigObject &config, StringRef key,
                                 StringRef otherwise) {
  static const std::pair<StringRef, Activation> names[] = {
      {"silu", Activation::Silu},
      {"swish", Activation::Silu},
      {"gelu", Activation::Gelu},
      {"gelu_python", Activation::Gelu},
      {"gelu_new", Activation::GeluTanh},
      {"gelu_pytorch_tanh", Activation::GeluTanh},
      {"relu", Activation::Relu},
      {"relu2", Activation::SquaredRelu},
  };
  StringRef name = config.string(key, otherwise);
  std::string known;
  for (auto [candidate, activation] : names) {
    if (candidate == name)
      return activation;
    known += (known.empty() ? "" : ", ") + candidate.str();
  }
  config.fail(key, "one of " + known);
  return Activation::Silu;
}

static Type readElementType(ConfigObject &config, MLIRContext *context) {
  StringRef key = config.has("dtype") ? "dtype" : "torch_dtype";
  StringRef name = config.string(key, "float32");
  name.consume_front("torch.");
  if (name == "float32")
    return Float32Type::get(context);
  if (name == "bfloat16")
    return BFloat16Type::get(context);
  if (name == "float16")
    return Float16Type::get(context);
  config.fail(key, "float32, bfloat16 or float16");
  return Float32Type::get(context);
}

/// sliding_window, and the fields of other families that say where it holds.
static std::optional<int64_t> readWindow(ConfigObject &config) {
  std::optional<int64_t> window;
  if (config.has("sliding_window"))
    window = config.integer("sliding_window", 1, kMaxDimension, std::nullopt);
  if (window && !config.flag("use_sliding_window", true))
    config.fail("use_sliding_window",
                "true or null, as 'sliding_window' is " + Twine(*window));
  StringRef wanted = window ? "sliding_attention" : "full_attention";
  const moe_json *types = config.array("layer_types");
  for (size_t i = 0, n = moe_json_size(types); i < n; ++i)
    if (!moe_json_equals(moe_json_at(types, i), wanted.data()))
      config.failText("layer_types", "has " + describe(moe_json_at(types, i)) +
                                         ", expected \"" + wanted +
                                         "\" for every layer");
  return window;
}

static void readDecoder(ConfigObject &config, const Family &family,
                        Decoder &decoder, MLIRContext *context) {
  const Defaults &defaults = family.defaults;
  auto size = [&](StringRef key) {
    return config.integer(key, 1, kMaxDimension, std::nullopt);
  };
  decoder.modelType = family.modelType;
  decoder.vocabSize = size("vocab_size");
  decoder.hiddenSize = size("hidden_size");
  decoder.numLayers =
      config.integer("num_hidden_layers", 1, kMaxLayers, std::nullopt);
  decoder.maxLength = config.integer("max_position_embeddings", 1,
                                     kMaxDimension, defaults.maxLength);
  decoder.normEps = config.number("rms_norm_eps", defaults.normEps);
  if (!(decoder.normEps >= 0))
    config.fail("rms_norm_eps", "a number that is not negative");

  int64_t heads = decoder.numHeads = size("num_attention_heads");
  // An explicit null means one for each head. The family's own default may not
  // divide the heads of a small model; that also means one for each.
  bool isNull = moe_json_find(config.getJson(), "num_key_value_heads");
  decoder.numKVHeads = config.integer(
      "num_key_value_heads", 1, kMaxDimension,
      isNull || heads % defaults.numKVHeads ? heads : defaults.numKVHeads);
  if (heads % decoder.numKVHeads)
    config.fail("num_key_value_heads",
                "a divisor of 'num_attention_heads' (" + Twine(heads) + ")");
  if (!config.has("head_dim") && decoder.hiddenSize % heads)
    config.fail("num_attention_heads", "a divisor of 'hidden_size' (" +
                                           Twine(decoder.hiddenSize) +
                                           "), as 'head_dim' is not given");
  decoder.headDim =
      config.integer("head_dim", 1, kMaxHeadDim, decoder.hiddenSize / heads);
  if (decoder.headDim > kMaxHeadDim)
    config.fail("num_attention_heads",
                "a head size (hidden_size / heads = " + Twine(decoder.headDim) +
                    ") of at most " + Twine(kMaxHeadDim));
  if (decoder.headDim % 2)
    config.fail(config.has("head_dim") ? "head_dim" : "num_attention_heads",
                "an even head size for rotary positions, not " +
                    Twine(decoder.headDim));
  // The columns of the query projection, and a row of the caches.
  if (boundedProduct({heads, decoder.headDim}) > kMaxDimension)
    config.fail("num_attention_heads",
                "at most " + Twine(kMaxDimension) + " columns in all heads");
  if (boundedProduct({decoder.numLayers, decoder.numKVHeads, decoder.headDim}) <
      0)
    config.fail("num_hidden_layers", "a smaller number for " +
                                         Twine(decoder.numKVHeads) +
                                         " heads of " + Twine(decoder.headDim));
  decoder.attentionScale = std::pow(double(decoder.headDim), -0.5);
  decoder.ropeTheta = readRope(config, defaults);
  decoder.window = readWindow(config);
  decoder.hasTiedHead = config.flag("tie_word_embeddings", false);
  decoder.elementType = readElementType(config, context);

  decoder.expert.hiddenSize = decoder.hiddenSize;
  decoder.expert.intermediateSize = size("intermediate_size");
  for (StringRef key : {"moe_intermediate_size", "ffn_hidden_size"})
    if (config.has(key) && config.integer(key, 1, kMaxDimension, {}) !=
                               decoder.expert.intermediateSize)
      config.fail(key, "the value of 'intermediate_size' (" +
                           Twine(decoder.expert.intermediateSize) + ")");
  decoder.expert.activation =
      readActivation(config, "hidden_act", defaults.activation);

  family.read(config, decoder);
  // Per layer: two norms, four projections, the router, the experts' matrices.
  int64_t tensors =
      boundedProduct({decoder.numLayers, 7 + 3 * decoder.numExperts});
  if (tensors < 0 || tensors > kMaxTensors)
    config.failText("num_hidden_layers",
                    "is " + Twine(decoder.numLayers) + " with " +
                        Twine(decoder.numExperts) +
                        " experts each, expected at most " +
                        Twine(kMaxTensors) + " tensors in all");
  refuseMathsFields(config);
}

static void checkArchitecture(ConfigObject &config, const Family &family) {
  const moe_json *list = config.array("architectures");
  for (size_t i = 0, n = moe_json_size(list); i < n; ++i)
    if (!moe_json_equals(moe_json_at(list, i), family.architecture.data()))
      config.failText("architectures",
                      "names " + describe(moe_json_at(list, i)) +
                          ", expected \"" + family.architecture + "\" for '" +
                          family.modelType + "'");
}

/// Whether a tensor that is not used says that the model is another one. What
/// is outside the decoder is somebody's extra, and frequencies are computed.
static bool isTensorOfDecoder(StringRef name) {
  return (name.starts_with("model.") || name.starts_with("lm_head.")) &&
         !name.ends_with(".rotary_emb.inv_freq");
}

OwningOpRef<ModuleOp> hf::importFamily(MLIRContext *context,
                                       const Family &family,
                                       ConfigObject &config,
                                       StringRef directory,
                                       const ImportOptions &options) {
  std::string &error = config.getError();
  Decoder decoder;
  checkArchitecture(config, family);
  readDecoder(config, family, decoder, context);
  if (config.failed())
    return {};
  std::optional<Checkpoint> checkpoint;
  if (options.weights == ImportWeights::Reference) {
    checkpoint = Checkpoint::open(directory, {}, error);
    if (!checkpoint)
      return {};
  }
  Parameters parameters(checkpoint ? &*checkpoint : nullptr,
                        decoder.elementType, config.getFile(), error);
  // A checkpoint that has a head of its own is not tied, whatever it says.
  bool hasHead = checkpoint && checkpoint->has(family.names.head);
  if (failed(addParameters(decoder, family.names,
                           hasHead || !decoder.hasTiedHead, parameters)))
    return {};
  if (checkpoint && failed(checkpoint->checkUnused(isTensorOfDecoder, error)))
    return {};
  decoder.hasTiedHead &= !hasHead;
  return buildDecoder(context, decoder, parameters);
}
