//===- Import.cpp - Which importer a directory is for ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Import/Import.h"
#include "Config.h"
#include "HuggingFace/HuggingFace.h"
#include "Layer/Layer.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "moe/Dialect/NN/IR/NN.h"
#include "synthetic.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::moe;

FailureOr<ImportWeights> moe::parseImportWeights(StringRef text,
                                                 std::string &error) {
  if (text == "reference")
    return ImportWeights::Reference;
  if (text == "none")
    return ImportWeights::None;
  uint64_t seed;
  moe_error reason = {};
  if (moe_synthetic_seed(text.str().c_str(), &seed, &reason))
    return ImportWeights::Synthetic;
  error = "weights are '" + quote(text) +
          "', expected reference, none or synthetic:SEED with a 64-bit number";
  return failure();
}

/// "mixtral, moe_layer".
static std::string listModelTypes() {
  std::string list;
  for (const hf::Family *family : hf::getFamilies())
    list += family->modelType.str() + ", ";
  return list + "moe_layer";
}

static void refuseModelType(ConfigObject &config, StringRef modelType) {
  // Only a checkpoint names its architecture.
  bool isCheckpoint = config.has("architectures");
  StringRef nearest = isCheckpoint ? "" : "moe_layer";
  unsigned best = isCheckpoint ? ~0u : modelType.edit_distance(nearest);
  for (const hf::Family *family : hf::getFamilies())
    if (unsigned distance = modelType.edit_distance(family->modelType);
        distance < best) {
      best = distance;
      nearest = family->modelType;
    }
  config.failText("model_type",
                  "is \"" + quote(modelType) +
                      "\", which is not supported, expected one of " +
                      listModelTypes() + "; nearest is " + nearest);
}

static OwningOpRef<ModuleOp>
importConfig(MLIRContext *context, const ConfigFile &file, StringRef directory,
             const ImportOptions &options, std::string &error) {
  const moe_json *root = file.getRoot();
  ConfigObject config(root, file.getPath(), "", error);
  StringRef modelType = config.string("model_type", "");
  if (config.failed())
    return {};
  for (const hf::Family *family : hf::getFamilies())
    if (family->modelType == modelType)
      return hf::importFamily(context, *family, config, directory, options);
  // A description with another model_type breaks a rule of its format; only
  // the fields tell it from a checkpoint.
  bool isDescription =
      !moe_json_find(root, "architectures") &&
      (moe_json_find(root, "expert") || moe_json_find(root, "router"));
  if (modelType == "moe_layer" || isDescription) {
    ConfigObject description(root, file.getPath(), "", error, "L2");
    return layer::importLayer(context, description, directory, options);
  }
  if (modelType.empty())
    config.failText("model_type",
                    "is missing, expected one of " + listModelTypes());
  refuseModelType(config, modelType);
  return {};
}

FailureOr<OwningOpRef<ModuleOp>> moe::importModel(MLIRContext *context,
                                                  StringRef path,
                                                  const ImportOptions &options,
                                                  std::string &error) {
  error.clear();
  context->loadDialect<MoEDialect, nn::NNDialect, arith::ArithDialect,
                       func::FuncDialect, linalg::LinalgDialect,
                       tensor::TensorDialect>();
  bool isDirectory = false;
  if (std::error_code code = llvm::sys::fs::is_directory(path, isDirectory);
      code || !isDirectory) {
    error = quotePath(path) + ": " +
            (code ? code.message() : std::string("is not a directory")) +
            ", expected a directory with config.json";
    return failure();
  }
  SmallString<128> configPath(path);
  llvm::sys::path::append(configPath, "config.json");
  std::optional<ConfigFile> config =
      ConfigFile::open(configPath.str().str(), error);
  if (!config)
    return failure();
  OwningOpRef<ModuleOp> module =
      importConfig(context, *config, path, options, error);
  if (!error.empty() || !module)
    return failure();

  // What is built is valid for every accepted description; a failure here is a
  // mistake of the importer.
  ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
    if (error.empty())
      error = config->getPath().str() +
              ": internal error in the importer: " + diagnostic.str();
    return success();
  });
  if (failed(verify(*module)))
    return failure();
  return module;
}

bool moe::isImportInput(StringRef path, StringRef output) {
  if (output == "-" || !llvm::sys::fs::exists(output))
    return false;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator entry(path, code), end;
       !code && entry != end; entry.increment(code)) {
    StringRef extension = llvm::sys::path::extension(entry->path());
    if ((extension == ".json" || extension == ".safetensors") &&
        llvm::sys::fs::equivalent(entry->path(), output))
      return true;
  }
  return false;
}
