//===- moe-import.cpp - Checkpoints and layer descriptions to IR ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/MLIRContext.h"
#include "moe/Import/Import.h"
#include "moe/Support/CommandLine.h"
#include "moe/Target/AtomicFile.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;
namespace cl = llvm::cl;

namespace {
enum ExitCode { kDone = 0, kBadInput = 1, kBadUsage = 2 };
} // namespace

static cl::OptionCategory category("moe-import options");
static cl::opt<std::string> directory(cl::Positional, cl::desc("DIR"),
                                      cl::cat(category));
static cl::opt<std::string>
    outputFile("o", cl::desc("Where to write the IR; - is standard output"),
               cl::value_desc("FILE"), cl::cat(category));
static cl::opt<std::string>
    weights("weights",
            cl::desc("What to look at beside config.json: reference (headers "
                     "of the checkpoint, every tensor is checked), none, or "
                     "synthetic:SEED (none; give moe-run the same --params)"),
            cl::value_desc("reference|none|synthetic:SEED"),
            cl::init("reference"), cl::cat(category));
static cl::opt<bool> dryRun("dry-run",
                            cl::desc("Check everything and print a summary "
                                     "instead of writing the IR"),
                            cl::cat(category));

static cl::opt<std::string> listModels("list-models",
                                       cl::desc("Print what can be imported"),
                                       cl::value_desc("json"),
                                       cl::ValueOptional, cl::cat(category));
static cl::opt<std::string>
    listTensors("list-tensors",
                cl::desc("Print the checkpoint tensors that the model reads"),
                cl::value_desc("json"), cl::ValueOptional, cl::cat(category));

static int fail(const Twine &text, ExitCode code) {
  printError(text);
  return code;
}

/// Writes what `print` prints to the file, or to standard output for "-".
static int write(StringRef path, function_ref<void(raw_ostream &)> print) {
  std::string text;
  llvm::raw_string_ostream os(text);
  print(os);
  if (llvm::Error error = writeFileAtomically(path, text, /*executable=*/false))
    return fail(llvm::toString(std::move(error)), kBadInput);
  return kDone;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter([](raw_ostream &os) {
    os << "moe-import " MOE_VERSION " (commit " MOE_COMMIT ", LLVM "
       << LLVM_VERSION_STRING << ")\n";
  });
  std::string error;
  if (!parseCommandLine(
          argc, argv,
          "Turns a model directory into MLIR of the moe and nn dialects: a "
          "Hugging Face\ncheckpoint or a layer description. Weights are named, "
          "not copied.\n\n"
          "Example: moe-import models/demo -o demo.mlir\n",
          error))
    return fail(error, kBadUsage);
  for (const cl::opt<std::string> *list : {&listModels, &listTensors})
    if (!list->getValue().empty() && list->getValue() != "json")
      return fail("--" + list->ArgStr + " is '" + list->getValue() +
                      "', expected json or no value",
                  kBadUsage);
  if (listModels.getNumOccurrences())
    return write("-", [](raw_ostream &os) {
      printImportModels(os, listModels == "json");
    });
  if (directory.empty())
    return fail("no model directory, see moe-import --help", kBadUsage);
  bool onlyPrints = dryRun || listTensors.getNumOccurrences();
  if (outputFile.empty() && !onlyPrints)
    return fail("no output, expected -o FILE", kBadUsage);
  FailureOr<ImportWeights> source = parseImportWeights(weights, error);
  if (failed(source))
    return fail("--weights: " + error, kBadUsage);
  if (!onlyPrints && isImportInput(directory, outputFile))
    return fail("'" + outputFile +
                    "' is part of the model, expected another "
                    "output file",
                kBadInput);

  MLIRContext context(MLIRContext::Threading::DISABLED);
  FailureOr<OwningOpRef<ModuleOp>> module =
      importModel(&context, directory, {*source}, error);
  if (failed(module))
    return fail(error, kBadInput);
  if (onlyPrints)
    return write("-", [&](raw_ostream &os) {
      if (dryRun)
        printImportSummary(**module, os);
      if (listTensors.getNumOccurrences())
        printImportTensors(**module, os, listTensors == "json");
    });
  return write(outputFile, [&](raw_ostream &os) { (*module)->print(os); });
}
