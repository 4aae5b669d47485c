//===- moe-opt.cpp - The optimiser and interpreter driver -----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "moe/Interpreter/Driver.h"
#include "moe/RegisterAll.h"
#include "moe/Support/CommandLine.h"
#include "moe/Support/SafeErrors.h"
#include "moe/Support/SourceText.h"
#include "moe/Target/AtomicFile.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include <cmath>

using namespace mlir;
namespace cl = llvm::cl;

static cl::opt<std::string> inputFile(cl::Positional, cl::desc("<input file>"),
                                      cl::init("-"));
static cl::opt<std::string> outputFile("o", cl::desc("Output filename"),
                                       cl::value_desc("filename"),
                                       cl::init("-"));

static cl::OptionCategory interpretCategory("moe-opt interpreter options");
static cl::opt<std::string>
    interpret("interpret", cl::value_desc("function"),
              cl::cat(interpretCategory),
              cl::desc("Run this function, after the passes that are given, "
                       "instead of printing the module"));
static cl::opt<std::string>
    input("input", cl::value_desc("file[,name=tensor...]"),
          cl::cat(interpretCategory),
          cl::desc("Safetensors file with the arguments, by name; argument "
                   "`name` takes `tensor`"));
static cl::opt<std::string>
    params("params", cl::value_desc("path|synthetic:seed"),
           cl::cat(interpretCategory),
           cl::desc("Checkpoint with the values of moe.parameter ops"));
static cl::opt<std::string>
    output("output", cl::value_desc("file"), cl::cat(interpretCategory),
           cl::desc("Write the results to this safetensors file"));
static cl::opt<std::string>
    expect("expect", cl::value_desc("file"), cl::cat(interpretCategory),
           cl::desc("Every tensor of this safetensors file that is not an "
                    "argument must be a result; exit 3 unless they agree"));
// Strings, so that a wrong value is an error of ours.
static cl::opt<std::string>
    relativeTolerance("rtol", cl::init("1e-4"), cl::value_desc("number"),
                      cl::cat(interpretCategory),
                      cl::desc("Relative tolerance of --expect (1e-4)"));
static cl::opt<std::string>
    absoluteTolerance("atol", cl::init("1e-4"), cl::value_desc("number"),
                      cl::cat(interpretCategory),
                      cl::desc("Absolute tolerance of --expect (1e-4)"));
static cl::opt<std::string>
    interpretReal("interpret-real", cl::init("f32"), cl::value_desc("f32|f64"),
                  cl::cat(interpretCategory),
                  cl::desc("Arithmetic of the interpreter: each operation "
                           "rounded to f32, or double precision"));

static int fail(const Twine &message, int code = 1) {
  moe::printError(message);
  return code;
}

/// Reads the interpreter's flags; false after an error.
static bool readOptions(moe::InterpretOptions &options) {
  options.function = interpret;
  options.input = input;
  options.params = params;
  options.output = output;
  options.expect = expect;
  for (auto [flag, value] : {std::pair(&relativeTolerance, &options.rtol),
                             {&absoluteTolerance, &options.atol}})
    if (StringRef(*flag).getAsDouble(*value) || !std::isfinite(*value) ||
        *value < 0) {
      fail("--" + flag->ArgStr + " is '" + *flag +
           "', expected a number that is not negative");
      return false;
    }
  options.useDouble = interpretReal == "f64";
  if (interpretReal == "f32" || interpretReal == "f64")
    return true;
  fail("--interpret-real is '" + interpretReal + "', expected f32 or f64");
  return false;
}

/// Parses, runs the passes, then interprets.
static int runInterpreter(std::unique_ptr<llvm::MemoryBuffer> buffer,
                          DialectRegistry &registry,
                          const MlirOptMainConfig &config,
                          const moe::InterpretOptions &options) {
  MLIRContext context(registry);
  context.allowUnregisteredDialects(config.shouldAllowUnregisteredDialects());
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  moe::SafeErrors errors;
  SourceMgrDiagnosticHandler handler(sources, &context, errors);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
  if (!module)
    return 1;
  PassManager pm(&context);
  if (failed(applyPassManagerCLOptions(pm)) ||
      failed(config.setupPassPipeline(pm)) || failed(pm.run(*module)))
    return 1;
  return moe::interpretModule(*module, options);
}

/// MlirOptMain() prints to the terminal what the input's names hold, and lines
/// of any length; so what does not parse ends here. What is meant not to parse,
/// or only in parts, passes.
static bool canParse(const llvm::MemoryBuffer &buffer,
                     DialectRegistry &registry,
                     const MlirOptMainConfig &config) {
  if (config.shouldVerifyDiagnostics() || config.shouldRunReproducer() ||
      !config.inputSplitMarker().empty() || !config.getIrdlFile().empty())
    return true;
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.allowUnregisteredDialects(config.shouldAllowUnregisteredDialects());
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(
      llvm::MemoryBuffer::getMemBuffer(buffer.getMemBufferRef()),
      llvm::SMLoc());
  // A warning of what parses comes once, from the parser proper.
  std::string text;
  llvm::raw_string_ostream os(text);
  SourceMgrDiagnosticHandler handler(sources, &context, os);
  ParserConfig parser(&context);
  if (config.shouldUseExplicitModule()
          ? bool(parseSourceFile(sources, parser))
          : bool(parseSourceFile<ModuleOp>(sources, parser)))
    return true;
  moe::SafeErrors() << text;
  return false;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  DialectRegistry registry;
  moe::registerAllMoE(registry);
  moe::registerAllMoEPasses();
  std::string header =
      registerCLIOptions("moe-mlir optimizer driver\n", registry);
  cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "moe-opt " MOE_VERSION " (commit " MOE_COMMIT ", LLVM "
       << LLVM_VERSION_STRING << ")\n";
  });
  std::string error;
  if (!moe::parseCommandLine(argc, argv, header, error))
    return fail(error, 2);
  if (interpret.empty()) {
    for (cl::Option *option : std::initializer_list<cl::Option *>{
             &input, &params, &output, &expect, &relativeTolerance,
             &absoluteTolerance, &interpretReal})
      if (option->getNumOccurrences())
        return fail("--" + option->ArgStr + " needs --interpret=FUNCTION", 2);
  }
  moe::InterpretOptions options;
  if (!readOptions(options))
    return 2;
  MlirOptMainConfig config = MlirOptMainConfig::createFromCLOptions();
  if (config.shouldShowDialects()) {
    for (StringRef name : registry.getDialectNames())
      llvm::outs() << name << "\n";
    return 0;
  }
  if (config.shouldListPasses()) {
    printRegisteredPasses();
    return 0;
  }
  llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>> source =
      moe::readSourceText(inputFile);
  if (!source)
    return fail(llvm::toString(source.takeError()));
  std::unique_ptr<llvm::MemoryBuffer> buffer = std::move(*source);
  if (!interpret.empty())
    return runInterpreter(std::move(buffer), registry, config, options);
  if (!canParse(*buffer, registry, config))
    return 1;
  if (outputFile == "-") {
    bool done = succeeded(
        MlirOptMain(llvm::outs(), std::move(buffer), registry, config));
    return moe::flushStandardOutput() && done ? 0 : 1;
  }
  // The whole file or none.
  std::string text;
  llvm::raw_string_ostream os(text);
  if (failed(MlirOptMain(os, std::move(buffer), registry, config)))
    return 1;
  if (llvm::Error failure = moe::writeFileAtomically(outputFile, text,
                                                     /*executable=*/false))
    return fail(llvm::toString(std::move(failure)));
  return 0;
}
