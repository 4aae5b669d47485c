//===- Description.cpp - Fields and rules of a layer description ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// The rules L1 to L19 of docs/LayerFormat.md. A description is read and checked
// as a whole, the parts that have no IR yet included; only then is what has no
// IR refused.
//===----------------------------------------------------------------------===//
#include "Layer/Layer.h"
#include "moe/Import/Limits.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::layer;

namespace {

struct Network {
  FeedForward shape;
  StringRef kind, activation, gate;
  /// One entry, or a list of them.
  SmallVector<int64_t> widths;
  bool hasWidthList = false;
  double alpha = 1, upOffset = 0;
};

/// Reads a description field by field; each function checks what its fields say
/// alone, checkRules() what they say together.
class Reader {
public:
  Reader(ConfigObject &top)
      : top(top), router(top.child("router")), expert(top.child("expert")),
        shared(top.child("shared_expert")), groups(router.child("groups")),
        normalize(router.child("normalize")),
        capacity(router.child("capacity")) {}

  void read();
  void checkRules();
  void refuseUnsupported();
  Layer getLayer();

private:
  void readTop();
  void readNetwork(ConfigObject &object, Network &network, bool isShared);
  void readRouter();
  void readLosses();
  void readKinds();
  void readMap();
  void refuseUnknownFields();
  void checkChoice();
  void checkGroups();
  void checkLosses();
  void checkDefault(ConfigObject &object, StringRef key, bool isDefault);

  bool isChoice(std::initializer_list<StringRef> choices) const {
    return llvm::is_contained(choices, choice);
  }
  bool hasFFN() const {
    return kinds.empty() || llvm::is_contained(kinds, StringRef("ffn"));
  }
  /// Networks that are stored: L5.
  int64_t getNumStored() const { return hasMap ? mapMax + 1 : numExperts; }
  void unsupported(ConfigObject &object, StringRef key, bool isUnsupported);

  ConfigObject &top;
  ConfigObject router, expert, shared, groups, normalize, capacity;
  std::vector<ConfigObject> losses;

  int64_t hiddenSize = 0, numExperts = 1, topK = 1;
  StringRef storage;
  Network network, sharedNetwork;
  SmallVector<StringRef> kinds;
  bool hasMap = false;
  int64_t mapMax = -1;

  bool hasBias = false, hasSelectBias = false, hasExpertScale = false;
  StringRef noise, score, select, choice, weight, pruned, apply, over;
  double softcap = 0, noiseScale = 1, noiseEpsilon = 0.01, jitter = 0.01;
  double topP = 0, scale = 1, factor = 0;
  int64_t slots = 1, groupCount = 1, groupTop = 1;
  StringRef groupScore, groupMask;
  Normalize norm;
};

} // namespace

constexpr int64_t kAnyInt = kMaxDimension;

void Reader::readTop() {
  if (top.string("model_type", "") != "moe_layer")
    top.fail("model_type", "\"moe_layer\"", "L3");
  top.integer("format_version", 1, 1, 1, "L3");
  hiddenSize = top.integer("hidden_size", 1, kMaxDimension, {}, "L4");
  numExperts = top.integer("num_experts", 1, kMaxExperts, {}, "L4");
  topK = top.integer("top_k", 1, kAnyInt, 1, "L10");
  storage = top.word("expert_weights", {"per_expert", "stacked"}, "per_expert");
}

void Reader::readNetwork(ConfigObject &object, Network &network,
                         bool isShared) {
  network.kind = object.word("kind", {"glu", "mlp2"}, "glu");
  network.activation = object.word(
      "activation", {"silu", "gelu", "gelu_tanh", "relu", "relu2", "identity"},
      "silu");
  network.shape.hasBias = object.flag("bias", false);
  network.shape.isGLU = network.kind == "glu";
  network.shape.activation = llvm::StringSwitch<Activation>(network.activation)
                                 .Case("gelu", Activation::Gelu)
                                 .Case("gelu_tanh", Activation::GeluTanh)
                                 .Case("relu", Activation::Relu)
                                 .Case("relu2", Activation::SquaredRelu)
                                 .Case("identity", Activation::Identity)
                                 .Default(Activation::Silu);
  network.alpha = object.number("alpha", 1, "L19");
  network.upOffset = object.number("up_offset", 0, "L19");
  double limit = object.number("limit", 1, "L19");
  // L6
  if (!network.shape.isGLU && object.has("limit"))
    object.fail("limit", "null, as 'kind' is not glu", "L6");
  if (!network.shape.isGLU && network.upOffset != 0)
    object.fail("up_offset", "0, as 'kind' is not glu", "L6");
  if (network.activation != "silu" && network.alpha != 1)
    object.fail("alpha", "1, as 'activation' is not silu", "L6");
  // L19
  if (!(limit > 0))
    object.fail("limit", "a positive number", "L19");
  if (!(network.alpha > 0))
    object.fail("alpha", "a positive number", "L19");
  network.gate = "none";
  if (isShared)
    network.gate = object.word("gate", {"none", "sigmoid"}, "none");
  // L5
  const moe_json *width = object.find("intermediate_size");
  network.hasWidthList =
      !isShared && width && moe_json_is(width, MOE_JSON_ARRAY);
  if (!network.hasWidthList) {
    if (width || isShared || hasFFN())
      network.widths.push_back(
          object.integer("intermediate_size", 1, kMaxDimension, {}, "L5"));
    return;
  }
  int64_t count = moe_json_size(width);
  if (count != getNumStored())
    return object.failText("intermediate_size",
                           "has " + Twine(count) + " entries, expected " +
                               Twine(getNumStored()),
                           "L5");
  for (int64_t i = 0; i < count; ++i) {
    const moe_json *entry = moe_json_at(width, i);
    int64_t value;
    if (!moe_json_is_integer(entry) || !moe_json_int64(entry, &value) ||
        value < 1 || value > kMaxDimension)
      return object.failText(
          "intermediate_size",
          "has " + describe(entry) + " as entry " + Twine(i) +
              ", expected a whole number from 1 to " + Twine(kMaxDimension),
          "L5");
    network.widths.push_back(value);
  }
}

void Reader::readKinds() {
  const moe_json *list = top.array("expert_kinds");
  if (!list)
    return;
  int64_t count = moe_json_size(list);
  if (count != numExperts)
    return top.failText("expert_kinds",
                        "has " + Twine(count) + " entries, expected " +
                            Twine(numExperts),
                        "L7");
  for (int64_t i = 0; i < count; ++i) {
    const moe_json *entry = moe_json_at(list, i);
    StringRef kind;
    for (StringRef known : {"ffn", "zero", "identity", "constant"})
      if (moe_json_equals(entry, known.data()))
        kind = known;
    if (kind.empty())
      return top.failText("expert_kinds",
                          "has " + describe(entry) + " as entry " + Twine(i) +
                              ", expected ffn, zero, identity or constant",
                          "L2");
    kinds.push_back(kind);
  }
}

void Reader::readMap() {
  const moe_json *list = top.array("expert_map");
  if (!list)
    return;
  hasMap = true;
  int64_t count = moe_json_size(list);
  if (count != numExperts)
    return top.failText("expert_map",
                        "has " + Twine(count) + " entries, expected " +
                            Twine(numExperts),
                        "L8");
  llvm::BitVector used(numExperts);
  for (int64_t i = 0; i < count; ++i) {
    const moe_json *entry = moe_json_at(list, i);
    int64_t value;
    // More stored networks than experts cannot all be used.
    if (!moe_json_is_integer(entry) || !moe_json_int64(entry, &value) ||
        value < -1 || value >= numExperts)
      return top.failText("expert_map",
                          "has " + describe(entry) + " as entry " + Twine(i) +
                              ", expected a whole number from -1 to " +
                              Twine(numExperts - 1),
                          "L8");
    if (value >= 0)
      used.set(value);
    mapMax = std::max(mapMax, value);
  }
  if (mapMax < 0)
    return top.failText(
        "expert_map",
        "prunes every expert, expected at most " + Twine(numExperts - 1), "L8");
  if (int hole = used.find_first_unset(); hole >= 0 && hole < mapMax)
    top.failText("expert_map",
                 "does not use " + Twine(hole) +
                     ", expected every index from 0 to " + Twine(mapMax),
                 "L8");
}

void Reader::readRouter() {
  hasBias = router.flag("bias", false);
  softcap = router.number("softcap", 1, "L19");
  noise = router.word("noise", {"none", "additive", "softplus"}, "none");
  noiseScale = router.number("noise_scale", 1, "L19");
  noiseEpsilon = router.number("noise_epsilon", 0.01, "L19");
  score = router.word(
      "score", {"softmax", "sigmoid", "sqrt_softplus", "identity"}, "softmax");
  select = router.word("select", {"score", "logit"}, "score");
  hasSelectBias = router.flag("select_bias", false);
  choice = router.word("choice",
                       {"top_k", "all", "top_p", "threshold", "table",
                        "sparsemixer", "hierarchical", "expert_choice", "soft"},
                       "top_k");
  topP = router.number("top_p", 0, choice == "top_p" ? "L12" : "L19");
  router.number("threshold", 0, choice == "threshold" ? "L12" : "L19");
  slots = router.integer("slots_per_expert", 1, kAnyInt, 1, "L19");
  jitter = router.number("jitter_epsilon", 0.01, "L19");
  if (router.has("vocab_size"))
    router.integer("vocab_size", 1, kAnyInt, {}, "L12");
  weight = router.word("weight", {"score", "softmax_selected", "one"}, "score");
  scale = router.number("scale", 1, "L19");
  hasExpertScale = router.flag("expert_scale", false);
  pruned = router.word("pruned", {"mask", "drop"}, "mask");
  apply = router.word("apply", {"output", "input"}, "output");

  groupCount = groups.integer("count", 1, kAnyInt, 1, "L11");
  groupTop = groups.integer("top", 1, kAnyInt, 1, "L11");
  groupScore = groups.word("score", {"max", "sum_top_2"}, "max");
  groupMask = groups.word("mask", {"-inf", "zero"}, "-inf");

  double p = normalize.number("p", 1, "L15");
  if (p != 1 && p != 2)
    normalize.fail("p", "1 or 2", "L15");
  norm.p = p == 2 ? 2 : 1;
  norm.eps = normalize.number("eps", 0, "L19");
  norm.floor = normalize.number("floor", 0, "L19");
  over = normalize.word("over", {"all", "nonzero"}, "all");

  if (capacity.isPresent() && capacity.has("count") == capacity.has("factor"))
    router.failText("capacity",
                    capacity.has("count")
                        ? "has 'count' and 'factor', expected one of them"
                        : "has neither 'count' nor 'factor', expected one of "
                          "them",
                    "L16");
  capacity.integer("count", 1, INT64_MAX, 1, "L16");
  factor = capacity.number("factor", 1, "L19");
  capacity.word("per", {"token", "assignment"}, "token");
  capacity.word("rounding", {"floor", "ceil", "nearest"}, "floor");
  capacity.integer("min", 0, INT64_MAX, 0, "L16");
  capacity.word("priority", {"token", "choice", "batch", "weight"}, "token");

  // L19
  if (!(softcap > 0))
    router.fail("softcap", "a positive number", "L19");
  if (!(noiseEpsilon >= 0))
    router.fail("noise_epsilon", "a number that is not negative", "L19");
  if (!(jitter >= 0))
    router.fail("jitter_epsilon", "a number that is not negative", "L19");
  if (!(norm.eps >= 0))
    normalize.fail("eps", "a number that is not negative", "L19");
  if (!(norm.floor >= 0))
    normalize.fail("floor", "a number that is not negative", "L19");
  if (!(factor > 0))
    capacity.fail("factor", "a positive number", "L19");
}

void Reader::readLosses() {
  const moe_json *list = top.array("losses");
  for (size_t i = 0, n = moe_json_size(list); i < n && !top.failed(); ++i) {
    const moe_json *entry = moe_json_at(list, i);
    if (!moe_json_is(entry, MOE_JSON_OBJECT))
      return top.failText("losses",
                          "has " + describe(entry) + " as entry " + Twine(i) +
                              ", expected an object",
                          "L2");
    ConfigObject &loss =
        losses.emplace_back(entry, top.getFile(), "losses[" + Twine(i) + "].",
                            top.getError(), "L2");
    static const StringRef known[] = {"switch",
                                      "gshard",
                                      "top_k",
                                      "importance",
                                      "load",
                                      "z",
                                      "expert_balance",
                                      "device_balance",
                                      "communication_balance",
                                      "sequence_balance",
                                      "entropy",
                                      "expert_consistency",
                                      "router_consistency"};
    if (!loss.has("kind"))
      loss.fail("kind", "the kind of a loss", "L2");
    loss.word("kind", known, "switch");
    loss.string("name", "");
    loss.number("coefficient", 1, "L19");
    loss.word("counts", {"selected", "unbiased"}, "selected");
    loss.word("probs", {"softmax", "score", "normalized_score"}, "softmax");
    loss.flag("divide_by_top_k", false);
    loss.integer("devices", 1, kAnyInt, 1, "L18");
    loss.integer("max_devices", 1, kAnyInt, 1, "L18");
    loss.integer("sequence_length", 1, kAnyInt, 1, "L18");
    loss.word("distance", {"squared", "symmetric_kl", "cross_entropy"},
              "squared");
  }
}

void Reader::refuseUnknownFields() {
  for (ConfigObject *object :
       {&top, &expert, &shared, &router, &groups, &normalize, &capacity})
    object->refuseOthers("L1");
  for (ConfigObject &loss : losses)
    loss.refuseOthers("L1");
}

void Reader::read() {
  readTop();
  // Later checks divide by sizes and walk lists of their length.
  if (top.failed())
    return;
  readKinds();
  readMap();
  readNetwork(expert, network, /*isShared=*/false);
  if (shared.isPresent())
    readNetwork(shared, sharedNetwork, /*isShared=*/true);
  readRouter();
  readLosses();
  refuseUnknownFields();
}

void Reader::checkDefault(ConfigObject &object, StringRef key, bool isDefault) {
  if (!isDefault)
    object.fail(key, "its default, as 'router.choice' is " + choice, "L13");
}

void Reader::checkGroups() {
  if (!groups.isPresent())
    return;
  if (!isChoice({"top_k", "hierarchical"}))
    return router.failText("groups",
                           "is given, expected 'router.choice' to be top_k or "
                           "hierarchical, not " +
                               choice,
                           "L11");
  if (numExperts % groupCount)
    return groups.fail("count",
                       "a divisor of 'num_experts' (" + Twine(numExperts) + ")",
                       "L11");
  int64_t size = numExperts / groupCount;
  if (groupTop > groupCount)
    groups.fail("top", "at most 'count' (" + Twine(groupCount) + ")", "L11");
  if (groupScore == "sum_top_2" && size < 2)
    groups.fail("score", "max, as a group has one expert", "L11");
  // groupTop is at most groupCount here, so the product is at most E.
  int64_t most = choice == "hierarchical" ? size : groupTop * size;
  if (!top.failed() && (choice == "hierarchical" || groupMask == "-inf") &&
      topK > most)
    top.fail("top_k", "at most " + Twine(most) + " with these groups", "L11");
}

void Reader::checkChoice() {
  // L12
  if (choice == "hierarchical" && !groups.isPresent())
    router.fail("groups", "an object, as 'choice' is hierarchical", "L12");
  if (choice == "top_p" && (!router.has("top_p") || !(topP >= 0 && topP <= 1)))
    router.fail("top_p", "a number from 0 to 1", "L12");
  if (choice == "top_p" && score != "softmax")
    router.fail("score", "softmax, as 'choice' is top_p", "L12");
  if (choice == "threshold" && !router.has("threshold"))
    router.fail("threshold", "a number", "L12");
  if (choice == "table" && !router.has("vocab_size"))
    router.fail("vocab_size", "a positive whole number", "L12");
  if (choice == "sparsemixer" && (topK != 2 || numExperts < 2))
    top.fail(topK != 2 ? "top_k" : "num_experts",
             "2 chosen of at least 2 experts for sparsemixer", "L12");
  if (isChoice({"sparsemixer", "hierarchical", "soft"}) && weight != "score")
    router.fail("weight", "its default, as 'choice' is " + choice, "L12");

  // L13
  if (isChoice({"expert_choice", "soft", "all"}))
    checkDefault(top, "top_k", topK == 1);
  if (isChoice({"sparsemixer", "hierarchical", "soft", "expert_choice", "all",
                "table"})) {
    checkDefault(router, "select", select == "score");
    checkDefault(router, "select_bias", !hasSelectBias);
  }
  if (isChoice({"sparsemixer", "hierarchical", "soft"}))
    checkDefault(router, "score", score == "softmax");
  if (choice == "expert_choice") {
    checkDefault(router, "normalize", !normalize.isPresent());
    checkDefault(router, "weight", weight != "softmax_selected");
  }
  if (choice == "soft") {
    checkDefault(router, "bias", !hasBias);
    for (StringRef key : {"softcap", "top_p", "threshold", "vocab_size",
                          "normalize", "capacity"})
      checkDefault(router, key, !router.has(key));
    checkDefault(router, "noise", noise == "none");
    checkDefault(router, "noise_scale", noiseScale == 1);
    checkDefault(router, "noise_epsilon", noiseEpsilon == 0.01);
    checkDefault(router, "jitter_epsilon", jitter == 0.01);
    checkDefault(router, "scale", scale == 1);
    checkDefault(router, "expert_scale", !hasExpertScale);
    checkDefault(router, "pruned", pruned == "mask");
    checkDefault(router, "apply", apply == "output");
    checkDefault(top, "expert_kinds", llvm::all_equal(kinds) && hasFFN());
  }
}

void Reader::checkLosses() {
  llvm::StringSet<> names;
  for (ConfigObject &loss : losses) {
    StringRef kind = loss.string("kind", "");
    if (!names.insert(loss.string("name", kind)).second)
      loss.fail(loss.has("name") ? "name" : "kind",
                "a name that no other loss has", "L17");
    // L18
    if (isChoice({"soft", "hierarchical"}))
      top.failText("losses", "is given, expected none for " + choice, "L18");
    if (kind == "load") {
      if (noise != "softplus")
        router.fail("noise", "softplus for the loss load", "L18");
      if (choice != "top_k")
        router.fail("choice", "top_k for the loss load", "L18");
      if (topK >= numExperts)
        top.fail("top_k", "less than 'num_experts' for the loss load", "L18");
    }
    if (numExperts % loss.integer("devices", 1, kAnyInt, 1, "L18"))
      loss.fail("devices",
                "a divisor of 'num_experts' (" + Twine(numExperts) + ")",
                "L18");
    if (kind == "communication_balance" && !loss.has("max_devices"))
      loss.fail("max_devices", "a positive whole number", "L18");
    StringRef distance = loss.string("distance", "");
    if (kind == "expert_consistency" && distance == "cross_entropy")
      loss.fail("distance", "squared or symmetric_kl", "L18");
    if (kind == "router_consistency") {
      if (distance.empty() || distance == "squared")
        loss.fail("distance", "cross_entropy or symmetric_kl", "L18");
      if (distance == "cross_entropy" && choice == "expert_choice")
        loss.fail("distance", "symmetric_kl, as 'router.choice' is " + choice,
                  "L18");
    }
  }
}

void Reader::checkRules() {
  if (hasMap) {
    if (llvm::any_of(kinds, [](StringRef kind) { return kind != "ffn"; }))
      top.failText("expert_kinds",
                   "has other kinds than ffn, expected none with 'expert_map'",
                   "L8");
    if (isChoice({"sparsemixer", "hierarchical", "soft"}))
      router.fail("choice", "another one with 'expert_map'", "L8");
    if (!losses.empty())
      top.failText("losses", "is given, expected none with 'expert_map'", "L8");
  }
  if (storage == "stacked" && network.hasWidthList)
    expert.failText("intermediate_size",
                    "is a list, expected one number for stacked weights", "L9");
  if (topK > numExperts)
    top.fail("top_k", "1 to 'num_experts' (" + Twine(numExperts) + ")", "L10");
  checkGroups();
  checkChoice();
  if (hasSelectBias && select != "score")
    router.fail("select", "score, as 'select_bias' is true", "L14");
  if (choice == "expert_choice" && !capacity.isPresent())
    router.fail("capacity", "an object, as 'choice' is expert_choice", "L16");
  checkLosses();
}

void Reader::unsupported(ConfigObject &object, StringRef key,
                         bool isUnsupported) {
  if (!isUnsupported)
    return;
  object.failText(key, "is " + describe(object.find(key)) +
                           ", which is not supported yet by this compiler");
}

void Reader::refuseUnsupported() {
  for (StringRef kind : kinds)
    if (kind != "ffn")
      top.failText("expert_kinds",
                   "has \"" + kind +
                       "\", which is not supported yet by this compiler");
  unsupported(top, "expert_map", hasMap);
  unsupported(router, "choice", choice != "top_k");
  unsupported(router, "softcap", router.has("softcap"));
  unsupported(router, "noise", noise != "none");
  unsupported(router, "score", score != "softmax" && score != "sigmoid");
  unsupported(router, "groups", groups.isPresent() && groupCount != 1);
  unsupported(router, "weight", weight == "one");
  unsupported(router, "capacity", capacity.isPresent());
  unsupported(expert, "limit", expert.has("limit"));
  unsupported(expert, "alpha", network.alpha != 1);
  unsupported(expert, "up_offset", network.upOffset != 0);
  if (!llvm::all_equal(network.widths))
    expert.failText("intermediate_size",
                    "is a list of different widths, which is not supported yet "
                    "by this compiler");
  if (shared.isPresent()) {
    unsupported(shared, "limit", shared.has("limit"));
    unsupported(shared, "alpha", sharedNetwork.alpha != 1);
    unsupported(shared, "up_offset", sharedNetwork.upOffset != 0);
    unsupported(shared, "gate", sharedNetwork.gate != "none");
  }
  for (ConfigObject &loss : losses)
    unsupported(loss, "kind", true);
}

Layer Reader::getLayer() {
  Layer layer;
  layer.numExperts = numExperts;
  layer.topK = topK;
  auto getShape = [&](Network &from) {
    FeedForward shape = from.shape;
    shape.hiddenSize = hiddenSize;
    shape.intermediateSize = from.widths.front();
    return shape;
  };
  layer.expert = getShape(network);
  if (shared.isPresent())
    layer.shared = getShape(sharedNetwork);
  layer.isStacked = storage == "stacked";
  layer.hasRouterBias = hasBias;
  layer.hasSelectBias = hasSelectBias;
  layer.hasExpertScale = hasExpertScale;
  layer.score = score == "sigmoid" ? ScoreFn::Sigmoid : ScoreFn::Softmax;
  layer.selectsByLogit = select == "logit";
  layer.isSoftmaxSelected = weight == "softmax_selected";
  if (normalize.isPresent())
    layer.normalize = norm;
  layer.scale = scale;
  layer.apply = apply == "input" ? Apply::Input : Apply::Output;
  return layer;
}

Layer layer::readDescription(ConfigObject &config) {
  Reader reader(config);
  reader.read();
  if (!config.failed())
    reader.checkRules();
  if (!config.failed())
    reader.refuseUnsupported();
  return config.failed() ? Layer() : reader.getLayer();
}
