//===- PTX.cpp - From nvvm kernels to PTX ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "PTX.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Operator.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::createStringError;
using llvm::Error;

static constexpr StringLiteral kTriple = "nvptx64-nvidia-cuda";

// Address spaces of LLVM's NVPTX target.
constexpr unsigned kShared = 3, kConstant = 4;

/// Threads of a block, on every device.
constexpr int64_t kMaxThreads = 1024;
/// What the runtime takes (runtime/src/manifest.h).
constexpr unsigned kMaxArguments = 256;

// Shared memory per block: CUDA C++ Programming Guide, "Technical
// Specifications per Compute Capability".
ArrayRef<DeviceFacts> moe::getDevices() {
  static constexpr DeviceFacts devices[] = {
      {"sm_80", 80, /*exact=*/false, "+ptx80", 163 << 10, /*maxCluster=*/1},
      // wgmma and setmaxnreg are in sm_90a alone, which no later device runs.
      {"sm_90a", 90, /*exact=*/true, "+ptx83", 227 << 10, /*maxCluster=*/8}};
  return devices;
}

const DeviceFacts &moe::getDevice(unsigned level) {
  return *llvm::find_if(getDevices(), [&](const DeviceFacts &facts) {
    return facts.level == level;
  });
}

static Error internalError(const Twine &text) {
  return llvm::make_error<CompileError>(CompileError::Internal, text);
}

//===----------------------------------------------------------------------===//
// The table of kernels
//===----------------------------------------------------------------------===//

/// Sizes of `func` in attribute `name`; those that are not given are 1.
static Error readSizes(LLVM::LLVMFuncOp func, StringRef name, int64_t limit,
                       unsigned (&sizes)[3]) {
  auto attribute = func->getAttrOfType<DenseI32ArrayAttr>(name);
  int64_t product = 1;
  constexpr unsigned kMaxThird = 64;
  if (!attribute || attribute.empty() || attribute.size() > 3)
    product = 0;
  else
    for (auto [place, size] : llvm::zip(sizes, attribute.asArrayRef())) {
      place = size;
      product = size < 1 || size > limit ? 0 : product * size;
    }
  if (product >= 1 && product <= limit && sizes[2] <= kMaxThird)
    return Error::success();
  return createStringError("kernel '" + func.getName() + "': " + name +
                           " must be 1 to 3 sizes with a product of at most " +
                           Twine(limit) + ", the third at most " +
                           Twine(kMaxThird));
}

/// Gives `func` a name that PTX has (PTX ISA, "Identifiers"): kernels are named
/// for functions of the model, which may be called anything.
static void makeIdentifier(LLVM::LLVMFuncOp func, Operation *module) {
  auto isLetter = [](char c) { return llvm::isAlnum(c) || c == '_'; };
  StringRef old = func.getName();
  if (llvm::all_of(old, isLetter) && !llvm::isDigit(old[0]))
    return;
  std::string base = "k_", name;
  for (char c : old)
    base += isLetter(c) ? c : '_';
  name = base;
  for (unsigned i = 1; SymbolTable::lookupSymbolIn(module, name); ++i)
    name = base + "_" + llvm::utostr(i);
  func.setSymName(name);
}

static llvm::Expected<Kernel> readKernel(LLVM::LLVMFuncOp func,
                                         const DeviceFacts &facts) {
  Kernel kernel;
  kernel.name = func.getName().str();
  kernel.device = facts.name.str();
  if (func.isExternal())
    return createStringError("kernel '" + kernel.name + "' has no body");
  kernel.numArguments = func.getNumArguments();
  if (kernel.numArguments > kMaxArguments)
    return createStringError(
        "kernel '" + kernel.name + "' has " + Twine(kernel.numArguments) +
        " arguments, at most " + Twine(kMaxArguments) + " are possible");
  if (Error error = readSizes(func, NVVM::NVVMDialect::getReqntidAttrName(),
                              kMaxThreads, kernel.block))
    return std::move(error);
  StringRef cluster = NVVM::NVVMDialect::getClusterDimAttrName();
  if (func->hasAttr(cluster))
    if (Error error =
            readSizes(func, cluster, facts.maxCluster, kernel.cluster))
      return std::move(error);
  if (auto bytes =
          func->getAttrOfType<IntegerAttr>(MoEDialect::kDynamicSharedAttr))
    kernel.dynamicShared = bytes.getInt();
  if (kernel.dynamicShared > facts.maxShared)
    return createStringError("kernel '" + kernel.name + "' for " + facts.name +
                             " wants " + Twine(kernel.dynamicShared) +
                             " bytes of shared memory, a block has " +
                             Twine(facts.maxShared));
  if (auto blocks =
          func->getAttrOfType<IntegerAttr>(MoEDialect::kResidentBlocksAttr))
    kernel.residentBlocks = blocks.getInt();
  kernel.overlaps = func->hasAttr(MoEDialect::kOverlapsAttr);
  kernel.unordered = func->hasAttr(MoEDialect::kUnorderedAttr);
  kernel.allowStack = func->hasAttr(MoEDialect::kAllowStackAttr);
  return kernel;
}

//===----------------------------------------------------------------------===//
// To LLVM IR
//===----------------------------------------------------------------------===//

static std::unique_ptr<llvm::TargetMachine>
createMachine(const DeviceFacts &facts) {
  std::string error;
  llvm::Triple triple(kTriple);
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, facts.name, facts.features, llvm::TargetOptions(), std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Default));
}

/// What ptxas or the back end would stop at, without a reason that helps.
static Error checkGlobals(llvm::Module &module) {
  for (llvm::GlobalVariable &global : module.globals()) {
    unsigned space = global.getAddressSpace();
    if (space == kShared) {
      // Declared: the memory that a launch asks for.
      if (global.isDeclaration() ||
          isa<llvm::UndefValue>(global.getInitializer()))
        continue;
      return createStringError("shared variable '" + global.getName() +
                               "' cannot have an initial value");
    }
    if (global.isDeclaration())
      return createStringError("kernels need the variable '" +
                               global.getName() + "', which is not there");
    if (space != kConstant && !global.isConstant())
      return createStringError("kernels have the writable variable '" +
                               global.getName() + "'");
  }
  for (llvm::Function &function : module) {
    if (!function.isDeclaration() || function.use_empty())
      continue;
    // Intrinsics of another target would end the process later on.
    if (function.isIntrinsic() &&
        (!function.isTargetIntrinsic() ||
         function.getName().starts_with("llvm.nvvm.")))
      continue;
    return createStringError("kernels call '" + function.getName() +
                             "', which is not there");
  }
  return Error::success();
}

DeviceCode::DeviceCode(const Device &device) : facts(getDevice(device.level)) {
  context.setDiagnosticHandler(createBackendDiagnostics(errors));
}

Error DeviceCode::translate(ModuleOp op) {
  auto modules = llvm::to_vector(op.getOps<gpu::GPUModuleOp>());
  if (modules.size() != 1)
    return internalError("expected one gpu.module for " + facts.name +
                         ", found " + Twine(modules.size()));
  OwningOpRef<gpu::GPUModuleOp> kernelsOp = modules.front();
  kernelsOp->getOperation()->remove();
  for (auto func : kernelsOp->getOps<LLVM::LLVMFuncOp>()) {
    bool isKernel = func->hasAttr(gpu::GPUDialect::getKernelFuncAttrName());
    if (isKernel != func->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
      return createStringError("kernel '" + func.getName() +
                               "' must be both gpu.kernel and nvvm.kernel");
    if (!isKernel)
      continue;
    makeIdentifier(func, *kernelsOp);
    llvm::Expected<Kernel> kernel = readKernel(func, facts);
    if (!kernel)
      return kernel.takeError();
    kernels.push_back(std::move(*kernel));
  }

  std::unique_ptr<llvm::TargetMachine> machine = createMachine(facts);
  if (!machine)
    return internalError("no code generator for " + facts.name);
  llvm::DataLayout layout = machine->createDataLayout();
  // Before translation: alignments come from it.
  (*kernelsOp)
      ->setAttr(
          LLVM::LLVMDialect::getDataLayoutAttrName(),
          StringAttr::get(op.getContext(), layout.getStringRepresentation()));
  (*kernelsOp)
      ->setAttr(LLVM::LLVMDialect::getTargetTripleAttrName(),
                StringAttr::get(op.getContext(), kTriple));
  registerBuiltinDialectTranslation(*op.getContext());
  registerGPUDialectTranslation(*op.getContext());
  registerLLVMDialectTranslation(*op.getContext());
  registerNVVMDialectTranslation(*op.getContext());
  module = translateModuleToLLVMIR(*kernelsOp, context);
  if (!module)
    return llvm::make_error<CompileError>(CompileError::Reported);
  // No path gets into the output.
  module->setModuleIdentifier("moe");
  module->setSourceFileName("moe");
  llvm::StripDebugInfo(*module);
  module->setTargetTriple(llvm::Triple(kTriple));
  module->setDataLayout(layout);
  return checkGlobals(*module);
}

//===----------------------------------------------------------------------===//
// To PTX
//===----------------------------------------------------------------------===//

/// Sums are added in the order that is written, and products rounded before
/// that. Approximate functions are the kernels' own choice. What a warp does
/// together is not put under a condition that its threads differ in; LLVM knows
/// that of intrinsics, not of assembly.
static void restrictOptimizer(llvm::Function &function) {
  function.addFnAttr(llvm::Attribute::Convergent);
  for (llvm::Instruction &instruction : llvm::instructions(function)) {
    if (auto *call = dyn_cast<llvm::CallBase>(&instruction);
        call && call->isInlineAsm())
      call->setConvergent();
    if (!isa<llvm::FPMathOperator>(instruction))
      continue;
    llvm::FastMathFlags flags = instruction.getFastMathFlags();
    flags.setAllowReassoc(false);
    flags.setAllowReciprocal(false);
    flags.setAllowContract(false);
    instruction.copyFastMathFlags(flags);
  }
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(module, modules);
}

/// A call would need a stack, and the registers of wgmma and setmaxnreg do not
/// survive one. A stack whose size ptxas does not know is one that it does not
/// report.
static Error checkCode(llvm::Module &module, StringRef device) {
  for (llvm::Function &function : module)
    for (llvm::Instruction &instruction : llvm::instructions(function)) {
      if (auto *alloca = dyn_cast<llvm::AllocaInst>(&instruction);
          alloca && !alloca->isStaticAlloca())
        return createStringError("kernel '" + function.getName() + "' for " +
                                 device + " has a stack of unknown size");
      auto *call = dyn_cast<llvm::CallBase>(&instruction);
      if (!call || call->isInlineAsm() ||
          (call->getCalledFunction() &&
           call->getCalledFunction()->isIntrinsic()))
        continue;
      return createStringError(
          "'" + function.getName() + "' for " + device + " calls " +
          (call->getCalledFunction()
               ? "'" + call->getCalledFunction()->getName() +
                     "', which cannot be inlined"
               : Twine("through a pointer")));
    }
  return Error::success();
}

/// The same for what the back end makes calls of.
static Error checkCallsInText(StringRef ptx, StringRef device) {
  StringRef function;
  while (!ptx.empty()) {
    StringRef line;
    std::tie(line, ptx) = ptx.split('\n');
    if (size_t at = line.find(".entry "); at != StringRef::npos)
      function =
          line.drop_front(at + 7).take_until([](char c) { return c == '('; });
    line = line.trim();
    if (line.starts_with("@")) // a predicate
      line = line.drop_until(llvm::isSpace).ltrim();
    if (line.consume_front("call") &&
        (line.starts_with(".") || line.starts_with(" ") ||
         line.starts_with("\t")))
      return createStringError("kernel '" + function + "' for " + device +
                               " needs a function that PTX has not: call" +
                               line);
  }
  return Error::success();
}

Error DeviceCode::compile(CodeFormat format, SmallVectorImpl<char> &output) {
  std::unique_ptr<llvm::TargetMachine> machine = createMachine(facts);
  for (llvm::Function &function : *module) {
    if (function.isDeclaration())
      continue;
    // What the cost models and the inliner look at.
    function.addFnAttr("target-cpu", facts.name);
    function.addFnAttr("target-features", facts.features);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    restrictOptimizer(function);
    if (function.getCallingConv() == llvm::CallingConv::PTX_Kernel)
      continue;
    function.setLinkage(llvm::GlobalValue::InternalLinkage);
    function.removeFnAttr(llvm::Attribute::NoInline);
    function.removeFnAttr(llvm::Attribute::OptimizeNone);
    function.addFnAttr(llvm::Attribute::AlwaysInline);
  }
  for (llvm::GlobalVariable &global : module->globals())
    if (!global.isDeclaration())
      global.setLinkage(llvm::GlobalValue::InternalLinkage);
  optimize(*module, *machine);
  if (Error error = checkCode(*module, facts.name))
    return error;
  llvm::raw_svector_ostream os(output);
  if (format == CodeFormat::LLVM) {
    module->print(os, nullptr);
    return Error::success();
  }
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, os, nullptr,
                                   llvm::CodeGenFileType::AssemblyFile,
                                   /*DisableVerify=*/true))
    return internalError("cannot emit code for " + facts.name);
  passes.run(*module);
  return checkCallsInText(os.str(), facts.name);
}

Error DeviceCode::emit(CodeFormat format, SmallVectorImpl<char> &output) {
  Error result = Error::success();
  llvm::CrashRecoveryContext guard;
  bool survived = guard.RunSafely([&] {
    if (Error error = compile(format, output))
      result = llvm::joinErrors(std::move(result), std::move(error));
  });
  if (!survived)
    return llvm::joinErrors(
        std::move(result),
        internalError("code generation for " + facts.name + " crashed"));
  if (!result && !errors.empty())
    return createStringError("code generation for " + facts.name + ": " +
                             errors);
  return result;
}
