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
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "moe/Interpreter/Driver.h"
#include "moe/RegisterAll.h"
#include "moe/Support/DepthGuard.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

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
static cl::opt<double>
    relativeTolerance("rtol", cl::init(1e-4), cl::cat(interpretCategory),
                      cl::desc("Relative tolerance of --expect"));
static cl::opt<double>
    absoluteTolerance("atol", cl::init(1e-4), cl::cat(interpretCategory),
                      cl::desc("Absolute tolerance of --expect"));
enum class Real { F32, F64 };
static cl::opt<Real>
    interpretReal("interpret-real", cl::cat(interpretCategory),
                  cl::init(Real::F32),
                  cl::desc("Arithmetic of the interpreter:"),
                  cl::values(clEnumValN(Real::F32, "f32", "single precision"),
                             clEnumValN(Real::F64, "f64", "double precision")));

static int fail(const Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return 1;
}

/// Parses, runs the passes, then interprets.
static int runInterpreter(std::unique_ptr<llvm::MemoryBuffer> buffer,
                          DialectRegistry &registry,
                          const MlirOptMainConfig &config) {
  MLIRContext context(registry);
  context.allowUnregisteredDialects(config.shouldAllowUnregisteredDialects());
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  SourceMgrDiagnosticHandler handler(sources, &context);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
  if (!module)
    return 1;
  PassManager pm(&context);
  if (failed(applyPassManagerCLOptions(pm)) ||
      failed(config.setupPassPipeline(pm)) || failed(pm.run(*module)))
    return 1;
  moe::InterpretOptions options;
  options.function = interpret;
  options.input = input;
  options.params = params;
  options.output = output;
  options.expect = expect;
  options.rtol = relativeTolerance;
  options.atol = absoluteTolerance;
  options.useDouble = interpretReal == Real::F64;
  return moe::interpretModule(*module, options);
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  DialectRegistry registry;
  moe::registerAllMoE(registry);
  moe::registerAllMoEPasses();
  std::string header =
      registerCLIOptions("moe-mlir optimizer driver\n", registry);
  if (!cl::ParseCommandLineOptions(argc, argv, header, &llvm::errs()))
    return 2;
  if (interpret.empty()) {
    for (cl::Option *option : std::initializer_list<cl::Option *>{
             &input, &params, &output, &expect, &relativeTolerance,
             &absoluteTolerance, &interpretReal})
      if (option->getNumOccurrences()) {
        fail("--" + option->ArgStr + " needs --interpret=FUNCTION");
        return 2;
      }
  }
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
  std::string error;
  std::unique_ptr<llvm::MemoryBuffer> buffer = openInputFile(inputFile, &error);
  if (!buffer)
    return fail(error);
  if (std::optional<std::string> message =
          moe::findTooDeepNesting(buffer->getMemBufferRef()))
    return fail(*message);
  if (!interpret.empty())
    return runInterpreter(std::move(buffer), registry, config);
  std::unique_ptr<llvm::ToolOutputFile> out =
      openOutputFile(outputFile, &error);
  if (!out)
    return fail(error);
  if (failed(MlirOptMain(out->os(), std::move(buffer), registry, config)))
    return 1;
  out->os().flush();
  if (out->os().has_error()) {
    out->os().clear_error();
    return fail("cannot write '" + outputFile + "'");
  }
  out->keep();
  return 0;
}
