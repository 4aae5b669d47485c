//===- Layer.h - Layer descriptions -----------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_IMPORT_LAYER_H
#define MOE_LIB_IMPORT_LAYER_H
#include "Build.h"
#include "Config.h"
#include "Weights.h"

namespace mlir::moe::layer {

struct Normalize {
  int64_t p = 1;
  double eps = 0, floor = 0;
};

/// A layer description of the kinds that have level-1 IR.
struct Layer {
  int64_t numExperts = 0, topK = 1;
  FeedForward expert;
  std::optional<FeedForward> shared;
  bool isStacked = false;
  bool hasRouterBias = false, hasSelectBias = false, hasExpertScale = false;
  ScoreFn score = ScoreFn::Softmax;
  bool selectsByLogit = false;
  /// Softmax over the logits of the chosen experts; otherwise their scores.
  bool isSoftmaxSelected = false;
  std::optional<Normalize> normalize;
  double scale = 1;
  Apply apply = Apply::Output;
};

/// Reads and checks a description by the rules L1 to L19. What is valid but
/// has no IR yet is refused by name.
Layer readDescription(ConfigObject &config);

/// Imports config.json of a directory with a layer description.
OwningOpRef<ModuleOp> importLayer(MLIRContext *context, ConfigObject &config,
                                  StringRef directory,
                                  const ImportOptions &options);

} // namespace mlir::moe::layer
#endif // MOE_LIB_IMPORT_LAYER_H
