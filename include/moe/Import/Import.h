//===- Import.h - Checkpoints and layer descriptions to IR ------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_IMPORT_IMPORT_H
#define MOE_IMPORT_IMPORT_H
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <string>

namespace mlir::moe {

/// What the importer may look at beside config.json.
enum class ImportWeights {
  /// The headers of the checkpoint; every tensor is checked.
  Reference,
  /// Nothing: names and shapes follow from config.json.
  None,
  /// As None; the runtime makes the values from a seed.
  Synthetic
};

struct ImportOptions {
  ImportWeights weights = ImportWeights::Reference;
};

/// "reference", "none" or "synthetic:SEED"; fails with `error` on another text.
FailureOr<ImportWeights> parseImportWeights(StringRef text, std::string &error);

/// Reads the model in the directory `path`: a Hugging Face checkpoint or a
/// layer description. The module holds level-1 IR. On failure `error` is one
/// line that names file and field or tensor, what was found and what was
/// wanted. Needs no dialect to be loaded.
FailureOr<OwningOpRef<ModuleOp>> importModel(MLIRContext *context,
                                             StringRef path,
                                             const ImportOptions &options,
                                             std::string &error);

/// Whether writing `output` would overwrite a file that an import of `path`
/// reads.
bool isImportInput(StringRef path, StringRef output);

/// What is in an imported module, for people.
void printImportSummary(ModuleOp module, raw_ostream &os);
/// One line (or JSON object) per checkpoint tensor: name, type, parameter.
void printImportTensors(ModuleOp module, raw_ostream &os, bool json);
/// What can be imported.
void printImportModels(raw_ostream &os, bool json);

} // namespace mlir::moe
#endif // MOE_IMPORT_IMPORT_H
