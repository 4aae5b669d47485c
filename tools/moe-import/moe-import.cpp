//===- moe-import.cpp - Checkpoints and layer descriptions to IR ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/MLIRContext.h"
#include "moe/Import/Import.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;
namespace cl = llvm::cl;

namespace {
enum class Form { None, Text, JSON };
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

static cl::opt<Form>
    listModels("list-models", cl::desc("Print what can be imported:"),
               cl::ValueOptional, cl::init(Form::None),
               cl::values(clEnumValN(Form::Text, "", "a table"),
                          clEnumValN(Form::JSON, "json", "JSON")),
               cl::cat(category));
static cl::opt<Form>
    listTensors("list-tensors",
                cl::desc("Print the checkpoint tensors that the model reads:"),
                cl::ValueOptional, cl::init(Form::None),
                cl::values(clEnumValN(Form::Text, "", "one per line"),
                           clEnumValN(Form::JSON, "json", "JSON")),
                cl::cat(category));

static int fail(const Twine &text, ExitCode code) {
  llvm::errs() << "error: " << text << "\n";
  return code;
}

/// Runs `print` on the file, or on standard output; on failure nothing is left.
static int write(StringRef path, function_ref<void(raw_ostream &)> print) {
  llvm::Error error = llvm::writeToOutput(path, [&](raw_ostream &os) {
    print(os);
    os.flush();
    // A stream that failed ends the process unless somebody looked.
    if (auto *file = dyn_cast<llvm::raw_fd_ostream>(&os);
        file && file->has_error()) {
      llvm::Error reason = llvm::errorCodeToError(file->error());
      file->clear_error();
      return reason;
    }
    return llvm::Error::success();
  });
  if (!error)
    return kDone;
  std::string text = llvm::toString(std::move(error));
  return fail("cannot write '" + path + "': " + text, kBadInput);
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter([](raw_ostream &os) {
    os << "moe-import " MOE_VERSION " (commit " MOE_COMMIT ", LLVM "
       << LLVM_VERSION_STRING << ")\n";
  });
  std::string usage;
  llvm::raw_string_ostream usageStream(usage);
  if (!cl::ParseCommandLineOptions(
          argc, argv,
          "Turns a model directory into MLIR of the moe and nn dialects: a "
          "Hugging Face\ncheckpoint or a layer description. Weights are named, "
          "not copied.\n\n"
          "Example: moe-import models/demo -o demo.mlir\n",
          &usageStream)) {
    StringRef text(usage);
    text.consume_front(argv[0]);
    text.consume_front("moe-import");
    text.consume_front(": ");
    return fail(text.rtrim(), kBadUsage);
  }
  if (listModels != Form::None)
    return write("-", [](raw_ostream &os) {
      printImportModels(os, listModels == Form::JSON);
    });
  if (directory.empty())
    return fail("no model directory, see moe-import --help", kBadUsage);
  bool onlyPrints = dryRun || listTensors != Form::None;
  if (outputFile.empty() && !onlyPrints)
    return fail("no output, expected -o FILE", kBadUsage);
  std::string error;
  FailureOr<ImportWeights> source = parseImportWeights(weights, error);
  if (failed(source))
    return fail("--weights: " + error, kBadUsage);
  if (!onlyPrints && isImportInput(directory, outputFile))
    return fail("'" + outputFile +
                    "' is part of the model, expected another "
                    "output file",
                kBadInput);

  MLIRContext context;
  FailureOr<OwningOpRef<ModuleOp>> module =
      importModel(&context, directory, {*source}, error);
  if (failed(module))
    return fail(error, kBadInput);
  if (onlyPrints)
    return write("-", [&](raw_ostream &os) {
      if (dryRun)
        printImportSummary(**module, os);
      if (listTensors != Form::None)
        printImportTensors(**module, os, listTensors == Form::JSON);
    });
  return write(outputFile, [&](raw_ostream &os) { (*module)->print(os); });
}
