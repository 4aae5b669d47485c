//===- HuggingFace.h - Decoder families of the hub --------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_IMPORT_HUGGINGFACE_H
#define MOE_LIB_IMPORT_HUGGINGFACE_H
#include "Build.h"
#include "Config.h"
#include "Weights.h"

namespace mlir::moe::hf {

/// A decoder whose layers are all alike: attention, then experts.
struct Decoder {
  StringRef modelType;
  int64_t vocabSize = 0, hiddenSize = 0, numLayers = 0, maxLength = 0;
  int64_t numHeads = 0, numKVHeads = 0, headDim = 0;
  double normEps = 0, ropeTheta = 0, attentionScale = 0;
  std::optional<int64_t> window;
  bool hasTiedHead = false;
  int64_t numExperts = 0, topK = 0;
  bool renormalize = false;
  FeedForward expert;
  /// Of weights that are not looked at.
  Type elementType;
};

/// Checkpoint names; `{l}` is the layer, `{e}` the expert.
struct TensorNames {
  StringRef embedding, finalNorm, head;
  StringRef attentionNorm, query, key, value, output;
  StringRef expertsNorm, router, gate, up, down;
};

/// Values of fields that a config.json may leave out.
struct Defaults {
  int64_t numKVHeads, maxLength;
  double normEps, ropeTheta;
  StringRef activation;
};

/// A model family: all that the rest of the importer knows about it.
struct Family {
  StringRef modelType, architecture, summary;
  Defaults defaults;
  TensorNames names;
  /// Reads the fields that are the family's own.
  void (*read)(ConfigObject &config, Decoder &decoder);
};

/// One line per family; each has a file of its own.
extern const Family mixtral;

ArrayRef<const Family *> getFamilies();

/// The module of a decoder whose parameters are those of addParameters().
OwningOpRef<ModuleOp> buildDecoder(MLIRContext *context, const Decoder &decoder,
                                   const Parameters &parameters);
/// The parameters of a decoder in the order that buildDecoder() expects.
LogicalResult addParameters(const Decoder &decoder, const TensorNames &names,
                            bool hasHeadTensor, Parameters &parameters);

/// Imports config.json, whose model_type is that of `family`.
OwningOpRef<ModuleOp> importFamily(MLIRContext *context, const Family &family,
                                   ConfigObject &config, StringRef directory,
                                   const ImportOptions &options);

} // namespace mlir::moe::hf
#endif // MOE_LIB_IMPORT_HUGGINGFACE_H
