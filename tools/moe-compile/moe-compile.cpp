//===- moe-compile.cpp - Models to native libraries -----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/AsmState.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/Timing.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "moe/Import/Import.h"
#include "moe/RegisterAll.h"
#include "moe/Support/CommandLine.h"
#include "moe/Support/SafeErrors.h"
#include "moe/Support/SourceText.h"
#include "moe/Target/AtomicFile.h"
#include "moe/Target/Compile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/SourceMgr.h"
#include <unistd.h>

using namespace mlir;
using namespace mlir::moe;
namespace cl = llvm::cl;
namespace fs = llvm::sys::fs;

namespace {
enum ExitCode {
  kDone = 0,
  kFailed = 1,
  kBadUsage = 2,
  kEnvironment = 4,
  kInternal = 70
};

/// What the command line says. The linker resets every cl::opt of the process,
/// so none is read after parsing.
struct Command {
  std::string model, output;
  std::vector<std::string> dialectPlugins, passPlugins;
  ImportOptions import;
  CompileOptions compile;
  bool isVerbose = false;
  std::optional<std::string> remarks;
  /// Where the kernels' figures go; empty: nowhere.
  std::string kernelReport;
};
} // namespace

static cl::OptionCategory category("moe-compile options");

static cl::opt<std::string> model(cl::Positional, cl::desc("MODEL"),
                                  cl::cat(category));
static cl::opt<std::string> output("o",
                                   cl::desc("Where to write; - is "
                                            "standard output"),
                                   cl::value_desc("OUT"), cl::cat(category));
static cl::opt<std::string>
    emit("emit",
         cl::desc("lib (default): a shared library\n"
                  "exe: a program that does what moe-run does\n"
                  "mlir, llvm, asm: the llvm dialect, LLVM IR,\n"
                  "assembly, as text, one part per CPU level\n"
                  "obj: a relocatable object\n"
                  "ptx: the devices' code as text\n"
                  "cubin: the same from ptxas, of one device"),
         cl::value_desc("KIND"), cl::init("lib"), cl::cat(category));
static cl::list<std::string>
    targets("target",
            cl::desc("cpu (default): code for x86-64-v3 and -v4,\n"
                     "chosen when the file is loaded\n"
                     "cpu:x86-64-v3, cpu:x86-64-v4: one of them\n"
                     "cpu:host: for this machine alone\n"
                     "cuda:sm_80: GPUs from Ampere on\n"
                     "cuda:sm_90a: Hopper GPUs\n"
                     "May be given several times"),
            cl::value_desc("NAME"), cl::cat(category));
static cl::opt<std::string>
    optLevel("O", cl::Prefix,
             cl::desc("0: plain loops, nothing fused or packed\n"
                      "1: all passes, quick code generation\n"
                      "2 (default), 3: everything"),
             cl::value_desc("LEVEL"), cl::init("2"), cl::cat(category));
static cl::opt<std::string>
    weights("weights",
            cl::desc("What to look at in a model directory beside\n"
                     "config.json: reference (default; headers of\n"
                     "the checkpoint, every tensor is checked),\n"
                     "none, or synthetic:SEED (none; give moe-run\n"
                     "the same --params)"),
            cl::value_desc("SOURCE"), cl::init("reference"), cl::cat(category));
static cl::opt<std::string>
    precision("precision",
              cl::desc("What f32 products multiply in on a GPU: f32\n"
                       "(default, exact), tf32, bf16 or f16"),
              cl::value_desc("TYPE"), cl::init("f32"), cl::cat(category));
static cl::opt<bool>
    deterministic("deterministic",
                  cl::desc("Equal inputs give equal bits (default)"),
                  cl::init(true), cl::cat(category));
static cl::opt<bool>
    noDeterministic("no-deterministic",
                    cl::desc("Let a GPU add experts' outputs in no fixed\n"
                             "order; code for CPUs and -O0 keep it"),
                    cl::cat(category));
static cl::opt<std::string>
    ptxas("ptxas",
          cl::desc("The assembler for GPUs. Default: MOE_PTXAS or\n"
                   "the first in PATH, CUDA_HOME, /usr/local/cuda.\n"
                   "none: leave assembling to the driver"),
          cl::value_desc("PATH"), cl::cat(category));
static cl::opt<std::string>
    kernelReport("kernel-report",
                 cl::desc("Write the kernels' registers, shared memory,\n"
                          "stack and spills as JSON; - is stdout"),
                 cl::value_desc("FILE"), cl::cat(category));
static cl::list<std::string>
    dialectPlugins("load-dialect-plugin",
                   cl::desc("Load dialects from a library first"),
                   cl::value_desc("FILE"), cl::cat(category));
static cl::list<std::string>
    passPlugins("load-pass-plugin",
                cl::desc("Load passes from a library first"),
                cl::value_desc("FILE"), cl::cat(category));
static cl::opt<std::string>
    remarks("remarks", cl::ValueOptional,
            cl::desc("Print what passes did, or why they did not;\n"
                     "REGEX: whole categories (default: all),\n"
                     "such as moe-fuse.*"),
            cl::value_desc("REGEX"), cl::cat(category));
static cl::opt<bool> verbose("v", cl::desc("Print each step and its seconds"),
                             cl::cat(category));

// For tests and for those who work on the compiler.
static cl::opt<std::string>
    tile("tile", cl::Hidden,
         cl::desc("Kernel shapes: auto, x86-64-v3 or x86-64-v4 whatever the "
                  "features"),
         cl::init("auto"), cl::cat(category));
static cl::opt<bool>
    lowered("lowered", cl::Hidden,
            cl::desc("The module holds a module @lowered in the llvm dialect"),
            cl::cat(category));
static cl::opt<std::string>
    programArchive("program-archive", cl::Hidden,
                   cl::desc("What --emit=exe links, instead of the "
                            "libmoe_main.a beside libMoE.so"),
                   cl::cat(category));
static cl::opt<std::string>
    pipeline("pipeline", cl::Hidden,
             cl::desc("Passes instead of those of moe-to-cpu or moe-to-gpu"),
             cl::cat(category));
static cl::opt<unsigned> ptxasTimeout("ptxas-timeout", cl::Hidden,
                                      cl::desc("Seconds that ptxas may take"),
                                      cl::init(600), cl::cat(category));

static constexpr char kOverview[] =
    "moe-compile - models to native libraries\n\n"
    "MODEL is a Hugging Face directory, a layer directory or a .mlir file "
    "(- is\nstandard input). Weights stay outside: moe-run reads them with "
    "--params.\n\n"
    "  moe-compile models/demo -o demo.so\n"
    "  moe-run demo.so --params=models/demo --prompt='The '\n"
    "  moe-compile layer.mlir --emit=asm --target=cpu:x86-64-v3 -o -\n"
    "  moe-compile layer.mlir --target=cpu --target=cuda:sm_90a -o layer.so\n\n"
    "Passes can be watched with --mlir-print-ir-after-all, --mlir-timing and\n"
    "their like (--help-hidden). Exit code: 0 done, 1 an error in the input, "
    "2 a\nwrong command line, 4 the machine lacks something, 70 our own "
    "fault.\n";

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

static int fail(const Twine &text, ExitCode code = kFailed) {
  printError(text);
  return code;
}

static int fail(llvm::Error error) {
  int code = kFailed;
  llvm::handleAllErrors(
      std::move(error),
      [&](const CompileError &error) {
        bool isInternal = error.getKind() == CompileError::Internal;
        if (isInternal)
          code = fail("internal: " + error.getText(), kInternal);
        else if (error.getKind() == CompileError::Environment)
          code = fail(error.getText(), kEnvironment);
      },
      [&](const llvm::ErrorInfoBase &error) { code = fail(error.message()); });
  return code;
}

static void printVersion(raw_ostream &os) {
  os << "moe-compile: " << getCompilerVersion() << ", commit " MOE_COMMIT "\n";
}

//===----------------------------------------------------------------------===//
// Command line
//===----------------------------------------------------------------------===//

/// What goes with a target cuda:... alone.
static int readDeviceFlags(Command &command) {
  CompileOptions &compile = command.compile;
  bool isCubin = compile.emit == EmitKind::Cubin;
  if (compile.devices.empty()) {
    std::string flag;
    if (compile.emit == EmitKind::PTX || isCubin)
      flag = "--emit=" + emit;
    else if (precision.getNumOccurrences())
      flag = "--precision=" + precision;
    else if (ptxas.getNumOccurrences())
      flag = "--ptxas=" + ptxas;
    else if (kernelReport.getNumOccurrences())
      flag = "--kernel-report=" + kernelReport;
    if (flag.empty())
      return kDone;
    return fail(flag + " is for GPUs, expected --target=cuda:sm_80 or "
                       "--target=cuda:sm_90a as well",
                kBadUsage);
  }
  if (!llvm::is_contained({"f32", "tf32", "bf16", "f16"}, StringRef(precision)))
    return fail("--precision: no type '" + precision +
                    "', expected f32, tf32, bf16 or f16",
                kBadUsage);
  compile.precision = precision;
  if (isCubin && compile.devices.size() != 1)
    return fail("--emit=cubin: a cubin is for one device, expected one "
                "--target=cuda:...",
                kBadUsage);
  command.kernelReport = kernelReport;
  if (kernelReport.getNumOccurrences()) {
    if (kernelReport.empty())
      return fail("--kernel-report: no file, expected FILE or -", kBadUsage);
    if (kernelReport == command.output)
      return fail("--kernel-report and -o are both '" + kernelReport + "'",
                  kBadUsage);
    if (compile.emit == EmitKind::MLIR || compile.emit == EmitKind::LLVM)
      return fail("--kernel-report needs PTX, --emit=" + emit +
                      " stops before it",
                  kBadUsage);
  }
  llvm::Expected<std::string> program = findPtxas(ptxas);
  if (!program)
    return fail(llvm::toString(program.takeError()), kEnvironment);
  compile.ptxas = *program;
  compile.ptxasTimeoutSeconds = ptxasTimeout;
  if (!compile.ptxas.empty())
    return kDone;
  if (isCubin)
    return fail("--emit=cubin: there is no ptxas: install the CUDA toolkit or "
                "say --ptxas=PATH",
                kEnvironment);
  if (compile.emit == EmitKind::Lib || compile.emit == EmitKind::Exe ||
      compile.emit == EmitKind::Obj)
    llvm::errs() << "note: there is no ptxas: the GPU code is PTX alone, which "
                    "the driver assembles when it is loaded\n";
  return kDone;
}

/// Sets `command` or returns an exit code.
static int readCommand(Command &command) {
  if (model.empty())
    return fail("no model, see moe-compile --help", kBadUsage);
  command.model = model;
  command.dialectPlugins.assign(dialectPlugins.begin(), dialectPlugins.end());
  command.passPlugins.assign(passPlugins.begin(), passPlugins.end());
  command.isVerbose = verbose;
  if (remarks.getNumOccurrences())
    command.remarks = remarks.empty() ? ".*" : remarks.getValue();

  CompileOptions &compile = command.compile;
  auto kind = llvm::StringSwitch<std::optional<EmitKind>>(emit)
                  .Case("lib", EmitKind::Lib)
                  .Case("exe", EmitKind::Exe)
                  .Case("mlir", EmitKind::MLIR)
                  .Case("llvm", EmitKind::LLVM)
                  .Case("asm", EmitKind::Asm)
                  .Case("obj", EmitKind::Obj)
                  .Case("ptx", EmitKind::PTX)
                  .Case("cubin", EmitKind::Cubin)
                  .Default(std::nullopt);
  if (!kind)
    return fail("--emit: no kind '" + emit +
                    "', expected lib, exe, mlir, llvm, asm, obj, ptx or cubin",
                kBadUsage);
  compile.emit = *kind;
  bool isText = *kind != EmitKind::Lib && *kind != EmitKind::Exe &&
                *kind != EmitKind::Obj && *kind != EmitKind::Cubin;
  command.output = output;
  if (output.empty()) {
    if (!isText)
      return fail("no output, expected -o OUT", kBadUsage);
    command.output = "-";
  }

  StringRef level = optLevel.getValue();
  if (level.size() != 1 || level[0] < '0' || level[0] > '3')
    return fail("no optimisation level '-O" + level +
                    "', expected -O0, -O1, -O2 or -O3",
                kBadUsage);
  compile.optLevel = level[0] - '0';
  if (deterministic.getNumOccurrences() && noDeterministic.getNumOccurrences())
    return fail("--deterministic and --no-deterministic: expected one of them",
                kBadUsage);
  compile.deterministic = deterministic && !noDeterministic;

  SmallVector<std::string> names(targets.begin(), targets.end());
  if (names.empty())
    names.push_back("cpu");
  for (StringRef name : names) {
    if (name == "cpu:host" && !isHostSupported())
      return fail("--target=cpu:host: this CPU is less than x86-64-v3",
                  kEnvironment);
    if (llvm::Error error = addTarget(name, compile))
      return fail("--target: " + llvm::toString(std::move(error)), kBadUsage);
  }
  if (int code = readDeviceFlags(command))
    return code;
  if (tile != "auto") {
    if (tile != "x86-64-v3" && tile != "x86-64-v4")
      return fail("--tile: no level '" + tile +
                      "', expected auto, x86-64-v3 or x86-64-v4",
                  kBadUsage);
    for (CPULevel &cpu : compile.levels)
      cpu.tile = tile == "x86-64-v3" ? 3 : 4;
  }

  std::string error;
  FailureOr<ImportWeights> source = parseImportWeights(weights, error);
  if (failed(source))
    return fail("--weights: " + error, kBadUsage);
  command.import.weights = *source;
  if (weights.getNumOccurrences() && !fs::is_directory(command.model))
    return fail("--weights goes with a model directory, '" + command.model +
                    "' is none",
                kBadUsage);

  compile.programArchive = programArchive;
  compile.lowered = lowered;
  if (pipeline.getNumOccurrences())
    compile.pipeline = pipeline;
  if (!isWrittenInPlace(command.output))
    compile.reproducerPath = command.output + ".reproducer.mlir";
  return kDone;
}

/// Fails if the output would replace what is read.
static int checkOutput(const Command &command) {
  bool isInput = fs::is_directory(command.model)
                     ? isImportInput(command.model, command.output)
                     : command.model != "-" && command.output != "-" &&
                           fs::equivalent(command.model, command.output);
  if (isInput)
    return fail("'" + command.output +
                "' is part of the model, expected another output file");
  if (llvm::Error error = checkOutputPath(command.output))
    return fail(std::move(error));
  if (!command.kernelReport.empty())
    if (llvm::Error error = checkOutputPath(command.kernelReport))
      return fail(std::move(error));
  return kDone;
}

//===----------------------------------------------------------------------===//
// Input
//===----------------------------------------------------------------------===//

static int loadPlugins(const Command &command, DialectRegistry &registry) {
  for (const std::string &file : command.dialectPlugins) {
    llvm::Expected<DialectPlugin> plugin = DialectPlugin::load(file);
    if (!plugin)
      return fail("--load-dialect-plugin: " +
                  llvm::toString(plugin.takeError()));
    plugin->registerDialectRegistryCallbacks(registry);
  }
  for (const std::string &file : command.passPlugins) {
    llvm::Expected<PassPlugin> plugin = PassPlugin::load(file);
    if (!plugin)
      return fail("--load-pass-plugin: " + llvm::toString(plugin.takeError()));
    plugin->registerPassRegistryCallbacks();
  }
  return kDone;
}

static int readModel(const Command &command, MLIRContext &context,
                     llvm::SourceMgr &sources, OwningOpRef<ModuleOp> &module) {
  if (fs::is_directory(command.model)) {
    std::string error;
    FailureOr<OwningOpRef<ModuleOp>> imported =
        importModel(&context, command.model, command.import, error);
    if (failed(imported))
      return fail(error);
    module = std::move(*imported);
    return kDone;
  }
  llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>> buffer =
      readSourceText(command.model);
  if (!buffer)
    return fail(buffer.takeError());
  sources.AddNewSourceBuffer(std::move(*buffer), llvm::SMLoc());
  module = parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
  return module ? kDone : kFailed; // the reason was printed
}

//===----------------------------------------------------------------------===//
// Compilation
//===----------------------------------------------------------------------===//

static int enableRemarks(const Command &command, MLIRContext &context) {
  if (!command.remarks)
    return kDone;
  std::string error;
  if (!llvm::Regex(*command.remarks).isValid(error))
    return fail("--remarks: " + error, kBadUsage);
  // `all` alone enables nothing.
  remark::RemarkCategories categories;
  categories.passed = categories.missed = categories.analysis =
      categories.failed = command.remarks;
  // Without a streamer they are emitted as diagnostics.
  if (failed(remark::enableOptimizationRemarks(
          context, nullptr, std::make_unique<remark::RemarkEmittingPolicyAll>(),
          categories, /*printAsEmitRemarks=*/true)))
    return fail("--remarks: cannot be enabled", kInternal);
  return kDone;
}

/// A list with a line per kernel. Without ptxas its figures are null.
static std::string formatKernels(ArrayRef<KernelFigures> kernels,
                                 bool isAssembled) {
  std::string text = "[";
  llvm::raw_string_ostream os(text);
  llvm::ListSeparator separator(",");
  for (const KernelFigures &kernel : kernels) {
    os << separator << "\n  ";
    llvm::json::OStream json(os);
    json.object([&] {
      json.attribute("kernel", kernel.name);
      json.attribute("target", "cuda:" + kernel.device);
      json.attribute("arguments", kernel.numArguments);
      json.attribute("threads", llvm::json::Array(kernel.block));
      json.attribute("cluster", llvm::json::Array(kernel.cluster));
      json.attribute("dynamic_shared_bytes", kernel.dynamicShared);
      for (auto [name, value] :
           {std::pair("static_shared_bytes", kernel.staticShared),
            {"registers", kernel.registers},
            {"stack_bytes", kernel.stack},
            {"spill_store_bytes", kernel.spillStores},
            {"spill_load_bytes", kernel.spillLoads}})
        json.attribute(name, isAssembled ? llvm::json::Value(value)
                                         : llvm::json::Value(nullptr));
    });
  }
  os << "\n]\n";
  return text;
}

static int compile(Command &command, DialectRegistry &registry) {
  MLIRContext context(registry);
  if (int code = enableRemarks(command, context))
    return code;
  llvm::SourceMgr sources;
  SafeErrors errors;
  SourceMgrDiagnosticHandler diagnostics(sources, &context, errors);
  OwningOpRef<ModuleOp> module;
  if (int code = readModel(command, context, sources, module))
    return code;
  std::string report;
  if (!command.kernelReport.empty())
    command.compile.reportKernels = [&](ArrayRef<KernelFigures> kernels) {
      report = formatKernels(kernels, !command.compile.ptxas.empty());
    };
  SmallVector<char, 0> bytes;
  if (llvm::Error error = compileModule(*module, command.compile, bytes))
    return fail(std::move(error));
  if (!flushStandardOutput()) // what passes printed
    return kFailed;
  if (llvm::Error error =
          writeFileAtomically(command.output, bytes,
                              command.compile.emit == EmitKind::Lib ||
                                  command.compile.emit == EmitKind::Exe))
    return fail(std::move(error));
  if (!command.kernelReport.empty())
    if (llvm::Error error = writeFileAtomically(command.kernelReport, report,
                                                /*executable=*/false))
      return fail(std::move(error));
  return kDone;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  // Variables that the linker obeys: one would write files, another would
  // change the output.
  for (const char *name : {"LLD_REPRODUCE", "LLD_VERSION", "LLD_IN_TEST"})
    unsetenv(name);
  initializeCodeGeneration();
  registerAllMoEPasses();
  registerAsmPrinterCLOptions();
  registerMLIRContextCLOptions();
  registerPassManagerCLOptions();
  registerDefaultTimingManagerCLOptions();
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter(printVersion);
  std::string error;
  if (!parseCommandLine(argc, argv, kOverview, error))
    return fail(error, kBadUsage);

  Command command;
  if (int code = readCommand(command))
    return code;
  if (int code = checkOutput(command))
    return code;
  command.compile.configure = [](PassManager &passes) {
    applyDefaultTimingPassManagerCLOptions(passes);
    return applyPassManagerCLOptions(passes);
  };
  if (command.isVerbose)
    command.compile.progress = [](StringRef step, double seconds) {
      llvm::errs() << step << ": " << llvm::format("%.3f s", seconds) << "\n";
    };
  DialectRegistry registry;
  registerAllMoE(registry);
  if (int code = loadPlugins(command, registry))
    return code;
  return compile(command, registry);
}
