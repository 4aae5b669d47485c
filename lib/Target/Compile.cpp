//===- Compile.cpp - From level-1 IR to a file ----------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Target/Compile.h"
#include "Emit.h"
#include "Link.h"
#include "Manifest.h"
#include "Ptxas.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "moe/Pipelines/Pipelines.h"
#include "moe/Target/ModuleInterface.h"
#include "moe_abi.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/thread.h"
#include <chrono>

using namespace mlir;
using namespace mlir::moe;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;

char CompileError::ID = 0;

void CompileError::log(raw_ostream &os) const {
  os << (kind == Internal ? "internal: " : "") << text;
}

std::error_code CompileError::convertToErrorCode() const {
  return llvm::inconvertibleErrorCode();
}

StringRef moe::getCompilerVersion() {
  return "moe-mlir " MOE_VERSION " (LLVM " LLVM_VERSION_STRING ")";
}

static Error reported() {
  return llvm::make_error<CompileError>(CompileError::Reported);
}
static Error internalError(const Twine &text) {
  return llvm::make_error<CompileError>(CompileError::Internal, text);
}

/// The CPU that launches kernels: any that the runtime runs on.
static CPULevel getHostOf(const Device &device) {
  return {device.level, "x86-64-v3", /*features=*/"", /*tile=*/3};
}

namespace {
using Clock = std::chrono::steady_clock;

/// Whether an error was emitted in its lifetime. Diagnostics go on to the
/// handler below.
class ErrorWatch {
public:
  explicit ErrorWatch(MLIRContext *context)
      : handler(context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
            seen = true;
          return failure();
        }) {}
  bool hasSeenError() const { return seen; }

private:
  std::atomic<bool> seen = false;
  ScopedDiagnosticHandler handler;
};

/// One CPU level or one device on its way.
struct LevelState {
  LevelState(const CPULevel &level, unsigned optLevel)
      : name(level.cpu), level(level), code(level, optLevel) {}
  LevelState(const Device &device, unsigned optLevel)
      : name(device.name), level(getHostOf(device)), code(level, optLevel),
        device(device), kernels(std::in_place, device) {}
  ~LevelState() {
    if (thread.joinable())
      thread.join();
  }

  /// "x86-64-v3", "sm_80".
  std::string name;
  CPULevel level;
  OwningOpRef<ModuleOp> module;
  LevelManifest manifest;
  std::vector<FunctionCode> functions;
  /// Symbols behind moe_abi_library.functions.
  std::vector<std::string> entries;
  LevelCode code;
  SmallVector<char, 0> output;
  /// Of a device.
  std::optional<Device> device;
  std::optional<DeviceCode> kernels;
  SmallVector<char, 0> deviceOutput; // PTX or LLVM IR
  Assembly assembly;
  Error error = Error::success();
  double seconds = 0;
  llvm::thread thread;
};

class Compilation {
public:
  Compilation(ModuleOp module, const CompileOptions &options)
      : module(module), options(options) {}

  Error run(SmallVectorImpl<char> &output);

private:
  Error runLevels();
  template <typename Target> Error runLevel(const Target &target);
  Error generate(LevelState &state) const;
  Error lower(LevelState &state);
  Error runPipeline(LevelState &state);
  Error planTable(LevelState &state);
  Expected<uint32_t> addEntry(LevelState &state, const Twine &name,
                              bool required);
  Error checkSameInterface() const;
  void reportDevices();
  Error finish(SmallVectorImpl<char> &output);

  /// Whether the output has the devices' code alone.
  bool isForDevices() const {
    return options.emit == EmitKind::PTX || options.emit == EmitKind::Cubin;
  }
  /// Whether code that was made in different ways shares a table.
  bool isMixed() const {
    return !options.devices.empty() &&
           options.levels.size() + options.devices.size() > 1;
  }
  bool isText() const {
    return options.emit == EmitKind::LLVM || options.emit == EmitKind::Asm ||
           options.emit == EmitKind::PTX;
  }
  CodeFormat getFormat() const {
    return options.emit == EmitKind::LLVM  ? CodeFormat::LLVM
           : options.emit == EmitKind::Asm ? CodeFormat::Asm
                                           : CodeFormat::Obj;
  }
  void progress(const Twine &step, Clock::time_point start) const {
    if (options.progress)
      options.progress(step.str(), getSeconds(start));
  }
  static double getSeconds(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  ModuleOp module;
  const CompileOptions &options;
  ModuleInterface interface;
  /// Of a program.
  std::string programArchive;
  /// CPU levels, then devices.
  std::vector<std::unique_ptr<LevelState>> levels;
};
} // namespace

//===----------------------------------------------------------------------===//
// To the llvm dialect
//===----------------------------------------------------------------------===//

Error Compilation::runPipeline(LevelState &state) {
  state.module = module.clone();
  PassManager passes(module->getName());
  if (options.configure && failed(options.configure(passes)))
    return reported();
  if (options.pipeline) {
    std::string text;
    llvm::raw_string_ostream os(text);
    if (failed(parsePassPipeline(*options.pipeline, passes, os)))
      return createStringError("pipeline: " +
                               StringRef(text).split('\n').first);
  } else if (state.device) {
    GPUPipelineOptions gpu;
    gpu.arch = state.device->level;
    gpu.optLevel = options.optLevel;
    gpu.precision = options.precision;
    gpu.deterministic = options.deterministic;
    std::string text;
    llvm::raw_string_ostream os(text);
    if (failed(parsePassPipeline(getGPUPipelineText(gpu), passes, os)))
      return internalError("passes are not registered: " + text);
  } else {
    CPUPipelineOptions cpu;
    cpu.level = state.level.tile;
    cpu.optLevel = options.optLevel;
    buildCPUPipeline(passes, cpu);
  }
  ErrorWatch watch(module.getContext());
  LogicalResult result = failure();
  llvm::CrashRecoveryContext guard;
  bool survived = guard.RunSafely([&] { result = passes.run(*state.module); });
  if (survived && succeeded(result))
    return Error::success();
  if (survived && watch.hasSeenError())
    return reported();
  (void)makeReproducer(passes.getOpAnchorName(),
                       llvm::make_range(passes.begin(), passes.end()), module,
                       options.reproducerPath);
  return internalError(
      Twine(survived ? "a pass failed without a reason" : "a pass crashed") +
      "; to see it again: moe-opt --run-reproducer '" + options.reproducerPath +
      "'");
}

Error Compilation::lower(LevelState &state) {
  if (!options.lowered)
    return runPipeline(state);
  auto lowered = module.lookupSymbol<ModuleOp>("lowered");
  if (!lowered)
    return createStringError("no nested module @lowered");
  state.module = lowered.clone();
  state.module->setSymName(std::nullopt);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// The table of functions
//===----------------------------------------------------------------------===//

/// Number of @moe.entry.NAME in the table; MOE_ABI_NONE if it does not exist
/// and is not required.
Expected<uint32_t> Compilation::addEntry(LevelState &state, const Twine &name,
                                         bool required) {
  std::string symbol = ("moe.entry." + name).str();
  auto function = state.module->lookupSymbol<LLVM::LLVMFuncOp>(symbol);
  if (!function || function.isDeclaration()) {
    if (required)
      return internalError("no code '" + symbol + "' for " + state.name);
    return MOE_ABI_NONE;
  }
  auto pointer = LLVM::LLVMPointerType::get(module.getContext());
  auto expected = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(module.getContext()), {pointer, pointer});
  if (function.getFunctionType() != expected)
    return internalError("'" + symbol + "' has another type than entry points");
  state.entries.push_back(symbol);
  return state.entries.size() - 1;
}

/// Devices and CPUs share one table, so a function has an arena for all of them
/// or for none: one of no bytes, where `module` has none for `name`.
static void addEmptyArena(ModuleOp module, const Twine &name, unsigned slot) {
  std::string symbol = ("moe.entry." + name + ".arena_size").str();
  if (module.lookupSymbol(symbol))
    return;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  Location loc = module.getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {pointer, pointer});
  auto function = LLVM::LLVMFuncOp::create(b, loc, symbol, type);
  b.setInsertionPointToStart(function.addEntryBlock(b));
  Value place = LLVM::GEPOp::create(b, loc, pointer, b.getI64Type(),
                                    function.getArgument(1),
                                    ArrayRef<LLVM::GEPArg>{int32_t(slot)});
  Value zero = LLVM::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
  LLVM::StoreOp::create(b, loc, zero, place);
  LLVM::ReturnOp::create(b, loc, ValueRange());
}

Error Compilation::planTable(LevelState &state) {
  FailureOr<std::vector<ParameterLayout>> params =
      readParameterLayouts(*state.module);
  if (failed(params))
    return reported();
  state.manifest.level = state.level.level;
  state.manifest.params = std::move(*params);
  for (const InterfaceFunction &function : interface.functions) {
    StringRef name = function.name;
    if (isMixed()) {
      unsigned slot = interface.symbols.size() + function.arguments.size();
      addEmptyArena(*state.module, name, slot);
      if (function.hasOptional)
        addEmptyArena(*state.module, name + ".full", slot);
    }
    FunctionCode code = {MOE_ABI_NONE, MOE_ABI_NONE, MOE_ABI_NONE,
                         MOE_ABI_NONE};
    struct {
      std::string name;
      bool required;
      uint32_t &place;
    } wanted[] = {
        {name.str(), true, code.code},
        {(name + ".arena_size").str(), false, code.arena},
        {(name + ".full").str(), function.hasOptional, code.full},
        {(name + ".full.arena_size").str(), false, code.arenaFull},
    };
    for (auto &entry :
         ArrayRef(wanted).take_front(function.hasOptional ? 4 : 2)) {
      Expected<uint32_t> place = addEntry(state, entry.name, entry.required);
      if (!place)
        return place.takeError();
      entry.place = *place;
    }
    state.functions.push_back(code);
  }
  // Behind the functions: the levels may have different ones.
  llvm::StringMap<uint32_t> packs;
  for (const ParameterLayout &layout : state.manifest.params) {
    auto [pack, isNew] = packs.try_emplace(layout.pack, MOE_ABI_NONE);
    if (isNew && !layout.pack.empty()) {
      Expected<uint32_t> place = addEntry(state, layout.pack, true);
      if (!place)
        return place.takeError();
      pack->second = *place;
    }
    state.manifest.pack.push_back(pack->second);
  }
  return Error::success();
}

/// The manifest has one place for what all levels must agree on.
Error Compilation::checkSameInterface() const {
  const LevelState &first = *levels.front();
  for (const auto &state : levels) {
    for (auto [a, b, function] : llvm::zip_equal(
             first.functions, state->functions, interface.functions))
      if (a.code != b.code || a.full != b.full || a.arena != b.arena ||
          a.arenaFull != b.arenaFull)
        return internalError("code of '" + function.name +
                             "' differs between levels in its entry points");
    // A device has parameters of its own.
    if (state->device || first.device)
      continue;
    if (first.manifest.params.size() != state->manifest.params.size())
      return internalError("parameters differ between levels");
    for (auto [a, b] :
         llvm::zip_equal(first.manifest.params, state->manifest.params))
      if (a.name != b.name || a.sources != b.sources)
        return internalError("parameter '" + a.name +
                             "' differs between levels");
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Putting it together
//===----------------------------------------------------------------------===//

/// Output of one level, on a thread of its own.
Error Compilation::generate(LevelState &state) const {
  if (!isForDevices())
    if (Error error = state.code.emit(getFormat(), state.output))
      return error;
  if (!state.device)
    return Error::success();
  bool isIR = options.emit == EmitKind::LLVM;
  if (Error error = state.kernels->emit(
          isIR ? CodeFormat::LLVM : CodeFormat::Asm, state.deviceOutput))
    return error;
  bool isAssembled = !isText() || options.reportKernels;
  if (isIR || !isAssembled || options.ptxas.empty())
    return Error::success();
  Expected<Assembly> assembly = assemble(
      *state.device, {state.deviceOutput.data(), state.deviceOutput.size()},
      state.kernels->kernels, options);
  if (!assembly)
    return assembly.takeError();
  state.assembly = std::move(*assembly);
  return Error::success();
}

template <typename Target> Error Compilation::runLevel(const Target &target) {
  levels.push_back(std::make_unique<LevelState>(
      target, options.optLevel >= 2 ? 2u : options.optLevel));
  LevelState &state = *levels.back();
  auto start = Clock::now();
  if (Error error = lower(state))
    return error;
  progress(state.name + ": passes", start);
  if (options.emit == EmitKind::MLIR)
    return Error::success();
  start = Clock::now();
  if (state.kernels)
    if (Error error = state.kernels->translate(*state.module))
      return error;
  if (!isForDevices()) {
    if (Error error = planTable(state))
      return error;
    if (Error error = state.code.translate(*state.module, state.entries))
      return error;
  }
  state.module = nullptr;
  progress(state.name + ": translation", start);
  state.thread =
      llvm::thread(std::optional<unsigned>(8u << 20), [this, &state] {
        auto begin = Clock::now();
        if (Error error = generate(state))
          state.error =
              llvm::joinErrors(std::move(state.error), std::move(error));
        state.seconds = getSeconds(begin);
      });
  return Error::success();
}

Error Compilation::runLevels() {
  // Passes share a context, so levels are lowered one after another; code is
  // generated beside that.
  if (!isForDevices())
    for (const CPULevel &level : options.levels)
      if (Error error = runLevel(level))
        return error;
  for (const Device &device : options.devices)
    if (Error error = runLevel(device))
      return error;
  return Error::success();
}

/// Text of several levels after one another, with a line between that the
/// text's own tools skip or split at.
static void appendText(StringRef separator, StringRef text,
                       SmallVectorImpl<char> &output) {
  if (!output.empty())
    output.append(separator.begin(), separator.end());
  output.append(text.begin(), text.end());
}

void Compilation::reportDevices() {
  std::vector<KernelFigures> kernels;
  for (const auto &state : levels) {
    if (!state->device)
      continue;
    llvm::append_range(kernels, state->kernels->kernels);
    for (const std::string &warning : state->assembly.warnings)
      emitWarning(module.getLoc()) << warning;
  }
  if (options.reportKernels)
    options.reportKernels(kernels);
}

Error Compilation::finish(SmallVectorImpl<char> &output) {
  if (options.emit == EmitKind::MLIR) {
    for (const auto &state : levels) {
      std::string text = "// " + state->name + "\n";
      llvm::raw_string_ostream os(text);
      state->module->print(os);
      os << "\n";
      appendText("\n// -----\n\n", text, output);
    }
    return Error::success();
  }
  reportDevices();
  if (options.emit == EmitKind::Cubin) {
    output = std::move(levels.front()->assembly.cubin);
    return Error::success();
  }
  if (isText()) {
    StringRef comment = options.emit == EmitKind::LLVM ? "; " : "# ";
    auto append = [&](StringRef comment, const Twine &title,
                      ArrayRef<char> text) {
      appendText(
          "\n",
          (comment + title + "\n" + StringRef(text.data(), text.size())).str(),
          output);
    };
    for (const auto &state : levels) {
      StringRef host = state->device ? ": host" : "";
      if (!isForDevices())
        append(comment, state->name + host, state->output);
      if (state->device)
        append(options.emit == EmitKind::LLVM ? "; " : "// ",
               state->name + (isForDevices() ? "" : ": device"),
               state->deviceOutput);
    }
    return Error::success();
  }
  if (Error error = checkSameInterface())
    return error;
  std::vector<LevelManifest> manifests;
  std::vector<DeviceManifest> devices;
  std::vector<unsigned> numbers;
  std::vector<Object> objects;
  for (const auto &state : levels) {
    if (state->device)
      devices.push_back(
          {std::move(state->manifest), std::move(state->kernels->kernels),
           std::move(state->assembly.cubin), std::move(state->deviceOutput)});
    else
      manifests.push_back(std::move(state->manifest));
    numbers.push_back(state->level.level);
    objects.push_back({state->name + ".o", std::move(state->output)});
  }
  auto start = Clock::now();
  Expected<Object> query =
      emitQuery(numbers, buildManifest(interface, levels.front()->functions,
                                       manifests, devices));
  if (!query)
    return query.takeError();
  objects.push_back(std::move(*query));
  if (options.emit == EmitKind::Obj)
    return linkRelocatable(objects, output);
  if (Error error = options.emit == EmitKind::Exe
                        ? linkProgram(objects, programArchive, output)
                        : linkLibrary(objects, output))
    return error;
  if (Error error = sealManifest(output))
    return error;
  progress("linking", start);
  return Error::success();
}

Error Compilation::run(SmallVectorImpl<char> &output) {
  FailureOr<ModuleInterface> read = buildModuleInterface(module);
  if (failed(read))
    return reported();
  interface = std::move(*read);
  if (options.emit == EmitKind::Exe) {
    Expected<std::string> archive = findProgramArchive(options.programArchive);
    if (!archive)
      return archive.takeError();
    programArchive = std::move(*archive);
  }
  // Every thread has ended before anything is looked at.
  Error result = runLevels();
  for (const auto &state : levels) {
    if (!state->thread.joinable())
      continue;
    state->thread.join();
    if (options.progress)
      options.progress(state->name + ": code", state->seconds);
  }
  for (const auto &state : levels) {
    // One reason is enough.
    if (result)
      llvm::consumeError(std::move(state->error));
    else
      result = std::move(state->error);
  }
  if (result)
    return result;
  return finish(output);
}

Error moe::compileModule(ModuleOp module, const CompileOptions &options,
                         SmallVectorImpl<char> &output) {
  initializeCodeGeneration();
  SmallVector<char, 0> result;
  if (Error error = Compilation(module, options).run(result))
    return error;
  output.assign(result.begin(), result.end());
  return Error::success();
}
