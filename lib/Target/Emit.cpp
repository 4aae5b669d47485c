//===- Emit.cpp - From the llvm dialect to object code --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Emit.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "moe_abi.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"
#include <mutex>
#include <unistd.h>

using namespace mlir;
using namespace mlir::moe;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;

static constexpr StringLiteral kTriple = "x86_64-unknown-linux-gnu";
/// What runs before any feature is known.
static constexpr StringLiteral kBaseline = "x86-64";

//===----------------------------------------------------------------------===//
// The process
//===----------------------------------------------------------------------===//

static void printError(ArrayRef<StringRef> parts) {
  // raw_fd_ostream may be the thing that failed.
  for (StringRef part : parts)
    if (::write(STDERR_FILENO, part.data(), part.size()) < 0)
      break;
}

/// Where LLVM gives up and there is no way to return.
static void onFatalError(void *, const char *reason, bool) {
  // What follows the first line is a picture of the code.
  printError({"error: internal: ", StringRef(reason).split('\n').first, "\n"});
  llvm::sys::RunInterruptHandlers(); // removes temporaries
  ::_exit(70);
}

static void onBadAlloc(void *, const char *, bool) {
  printError({"error: out of memory\n"});
  llvm::sys::RunInterruptHandlers();
  ::_exit(4);
}

void moe::initializeCodeGeneration() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::install_fatal_error_handler(onFatalError);
    llvm::install_bad_alloc_error_handler(onBadAlloc);
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    // A fatal error of the linker comes back only when this is on.
    llvm::CrashRecoveryContext::Enable();
  });
}

namespace {
/// Errors of the back end arrive here instead of on stderr with exit(1).
struct BackendDiagnostics : llvm::DiagnosticHandler {
  explicit BackendDiagnostics(std::string &text) : text(text) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo &info) override {
    if (info.getSeverity() != llvm::DS_Error)
      return true;
    llvm::raw_string_ostream os(text);
    llvm::DiagnosticPrinterRawOStream printer(os);
    if (!text.empty())
      os << "; ";
    info.print(printer);
    return true;
  }
  std::string &text;
};
} // namespace

std::unique_ptr<llvm::DiagnosticHandler>
moe::createBackendDiagnostics(std::string &text) {
  return std::make_unique<BackendDiagnostics>(text);
}

//===----------------------------------------------------------------------===//
// One module to code
//===----------------------------------------------------------------------===//

/// 0: nothing; 1: little; from 2 on: everything.
static std::unique_ptr<llvm::TargetMachine>
createMachine(StringRef cpu, StringRef features, unsigned optLevel) {
  std::string error;
  llvm::Triple triple(kTriple);
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return nullptr;
  llvm::TargetOptions options;
  options.FunctionSections = options.DataSections = true;
  options.UniqueSectionNames = false; // shorter string tables
  auto level = optLevel >= 2   ? llvm::CodeGenOptLevel::Aggressive
               : optLevel == 1 ? llvm::CodeGenOptLevel::Default
                               : llvm::CodeGenOptLevel::Less;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, cpu, features, options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
      level));
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine,
                     unsigned optLevel) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  // No loop turns into a call that we cannot link.
  llvm::TargetLibraryInfoImpl library(machine.getTargetTriple());
  library.disableAllFunctions();
  for (llvm::LibFunc function :
       {llvm::LibFunc_memcpy, llvm::LibFunc_memmove, llvm::LibFunc_memset})
    library.setAvailable(function);
  functions.registerPass( // before the defaults
      [&] { return llvm::TargetLibraryAnalysis(library); });
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  builder
      .buildPerModuleDefaultPipeline(optLevel >= 2
                                         ? llvm::OptimizationLevel::O3
                                         : llvm::OptimizationLevel::O1)
      .run(module, modules);
}

/// Sums are added in the order that is written.
static void forbidReassociation(llvm::Function &function) {
  for (llvm::Instruction &instruction : llvm::instructions(function)) {
    if (!isa<llvm::FPMathOperator>(instruction))
      continue;
    llvm::FastMathFlags flags = instruction.getFastMathFlags();
    flags.setAllowReassoc(false);
    flags.setAllowReciprocal(false);
    flags.setAllowContract(false);
    flags.setApproxFunc(false);
    instruction.copyFastMathFlags(flags);
  }
}

static Error compileTo(llvm::Module &module, StringRef cpu, StringRef features,
                       unsigned optLevel, CodeFormat format,
                       SmallVectorImpl<char> &output) {
  std::unique_ptr<llvm::TargetMachine> machine =
      createMachine(cpu, features, optLevel);
  if (!machine)
    return llvm::make_error<CompileError>(CompileError::Internal,
                                          "no code generator for " + cpu);
  module.setTargetTriple(llvm::Triple(kTriple));
  module.setDataLayout(machine->createDataLayout());
  module.setPICLevel(llvm::PICLevel::BigPIC);
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    // What the cost models and the inliner look at.
    function.addFnAttr("target-cpu", cpu);
    if (!features.empty())
      function.addFnAttr("target-features", features);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    forbidReassociation(function);
  }
  optimize(module, *machine, optLevel);
  llvm::raw_svector_ostream os(output);
  if (format == CodeFormat::LLVM) {
    module.print(os, nullptr);
    return Error::success();
  }
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, os, nullptr,
                                   format == CodeFormat::Obj
                                       ? llvm::CodeGenFileType::ObjectFile
                                       : llvm::CodeGenFileType::AssemblyFile,
                                   /*DisableVerify=*/true))
    return llvm::make_error<CompileError>(CompileError::Internal,
                                          "cannot emit code for " + cpu);
  passes.run(module);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// A level
//===----------------------------------------------------------------------===//

ArrayRef<LibraryFunction> moe::getLibraryFunctions() {
  // By version, then name.
  static constexpr LibraryFunction functions[] = {{"memcpy", "GLIBC_2.14"},
                                                  {"memmove", "GLIBC_2.2.5"},
                                                  {"memset", "GLIBC_2.2.5"}};
  return functions;
}

LevelCode::LevelCode(const CPULevel &level, unsigned optLevel)
    : level(level), optLevel(optLevel) {
  context.setDiagnosticHandler(createBackendDiagnostics(errors));
}

/// Names what the library would import.
static Error checkDeclarations(llvm::Module &module) {
  for (llvm::GlobalValue &value : module.global_values()) {
    if (!value.isDeclaration() || value.use_empty())
      continue;
    auto *function = dyn_cast<llvm::Function>(&value);
    // Intrinsics of another target would end the process later on.
    if (function && function->isIntrinsic() &&
        (!function->isTargetIntrinsic() ||
         function->getName().starts_with("llvm.x86.")))
      continue;
    if (function && llvm::any_of(getLibraryFunctions(), [&](auto &known) {
          return known.name == function->getName();
        }))
      continue;
    return createStringError(
        "generated code needs '" + value.getName() +
        "', which neither the runtime nor the C library gives it");
  }
  return Error::success();
}

/// A constant { level, number of functions, functions... } as in moe_abi.h.
static void addTable(llvm::Module &module, unsigned level,
                     ArrayRef<llvm::Constant *> functions) {
  llvm::IRBuilder<> b(module.getContext());
  auto *arrayType = llvm::ArrayType::get(b.getPtrTy(), functions.size());
  llvm::Constant *table = llvm::ConstantStruct::getAnon(
      {b.getInt32(level), b.getInt32(functions.size()),
       llvm::ConstantArray::get(arrayType, functions)});
  auto *global =
      new llvm::GlobalVariable(module, table->getType(), /*isConstant=*/true,
                               llvm::GlobalValue::ExternalLinkage, table,
                               "moe.v" + Twine(level) + ".library");
  global->setVisibility(llvm::GlobalValue::HiddenVisibility);
}

Error LevelCode::translate(ModuleOp op, ArrayRef<std::string> entries) {
  registerBuiltinDialectTranslation(*op.getContext());
  registerLLVMDialectTranslation(*op.getContext());
  module = translateModuleToLLVMIR(op, context);
  if (!module)
    return llvm::make_error<CompileError>(CompileError::Reported);
  // No path gets into the output.
  module->setModuleIdentifier("moe");
  module->setSourceFileName("moe");
  if (Error error = checkDeclarations(*module))
    return error;
  for (llvm::GlobalValue &value : module->global_values())
    if (!value.isDeclaration())
      value.setLinkage(llvm::GlobalValue::InternalLinkage);
  for (llvm::GlobalVariable &global : module->globals())
    if (!global.isDeclaration() && !global.isConstant())
      return createStringError("generated code has the writable variable '" +
                               global.getName() + "'");
  SmallVector<llvm::Constant *> functions;
  for (const std::string &entry : entries)
    functions.push_back(module->getFunction(entry));
  addTable(*module, level.level, functions);
  return Error::success();
}

Error LevelCode::emit(CodeFormat format, SmallVectorImpl<char> &output) {
  Error result = Error::success();
  llvm::CrashRecoveryContext guard;
  bool survived = guard.RunSafely([&] {
    if (Error error = compileTo(*module, level.cpu, level.features, optLevel,
                                format, output))
      result = llvm::joinErrors(std::move(result), std::move(error));
  });
  if (!survived)
    return llvm::joinErrors(std::move(result), llvm::make_error<CompileError>(
                                                   CompileError::Internal,
                                                   "code generation for " +
                                                       level.cpu + " crashed"));
  if (!result && !errors.empty())
    return createStringError("code generation for " + level.cpu + ": " +
                             errors);
  return result;
}

//===----------------------------------------------------------------------===//
// Query and stub
//===----------------------------------------------------------------------===//

static void addNote(llvm::Module &module, StringRef manifest) {
  llvm::LLVMContext &context = module.getContext();
  llvm::IRBuilder<> b(context);
  constexpr StringLiteral owner = MOE_ABI_NOTE_OWNER;
  static_assert(sizeof(MOE_ABI_NOTE_OWNER) == 4, "the descriptor is aligned");
  llvm::Constant *note = llvm::ConstantStruct::getAnon(
      {b.getInt32(owner.size() + 1), b.getInt32(manifest.size()),
       b.getInt32(MOE_ABI_NOTE_TYPE),
       llvm::ConstantDataArray::getString(context, owner, /*AddNull=*/true),
       llvm::ConstantDataArray::getString(context, manifest,
                                          /*AddNull=*/false)});
  auto *global = new llvm::GlobalVariable(
      module, note->getType(), /*isConstant=*/true,
      llvm::GlobalValue::PrivateLinkage, note, "moe.note");
  // This prefix makes a note of the section and the linker a note segment.
  global->setSection(MOE_ABI_NOTE_SECTION);
  global->setAlignment(llvm::Align(4));
  llvm::appendToCompilerUsed(module, {global});
}

/// Levels from here on are devices'.
constexpr unsigned kFirstDeviceLevel = 80;

static void addQuery(llvm::Module &module, ArrayRef<unsigned> levels) {
  llvm::IRBuilder<> b(module.getContext());
  auto *type = llvm::FunctionType::get(
      b.getPtrTy(), {b.getInt32Ty(), b.getInt32Ty()}, /*isVarArg=*/false);
  auto *query = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage,
                                       MOE_ABI_QUERY, module);
  b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "", query));
  auto *none = llvm::ConstantPointerNull::get(b.getPtrTy());
  llvm::Value *result = none;
  llvm::Value *asked = query->getArg(1);
  llvm::Value *isCPU = b.CreateICmpULT(asked, b.getInt32(kFirstDeviceLevel));
  for (unsigned level : levels) { // ascending: the best one wins
    auto *table = new llvm::GlobalVariable(
        module, b.getInt32Ty(), /*isConstant=*/true,
        llvm::GlobalValue::ExternalLinkage, /*Initializer=*/nullptr,
        "moe.v" + Twine(level) + ".library");
    table->setVisibility(llvm::GlobalValue::HiddenVisibility);
    llvm::Value *number = b.getInt32(level);
    llvm::Value *runs = level < kFirstDeviceLevel
                            ? b.CreateAnd(isCPU, b.CreateICmpUGE(asked, number))
                            : b.CreateICmpEQ(asked, number);
    result = b.CreateSelect(runs, table, result);
  }
  llvm::Value *understood =
      b.CreateICmpEQ(query->getArg(0), b.getInt32(MOE_ABI_MAJOR));
  b.CreateRet(b.CreateSelect(understood, result, none));
}

static Expected<Object> compileBaseline(llvm::Module &module, StringRef name) {
  Object object;
  object.name = name.str();
  if (Error error = compileTo(module, kBaseline, "", /*optLevel=*/1,
                              CodeFormat::Obj, object.bytes))
    return std::move(error);
  return object;
}

Expected<Object> moe::emitQuery(ArrayRef<unsigned> levels, StringRef manifest) {
  llvm::LLVMContext context;
  llvm::Module module("moe", context);
  addQuery(module, levels);
  addNote(module, manifest);
  return compileBaseline(module, "query.o");
}

Expected<Object> moe::emitStubCode(ArrayRef<LibraryFunction> functions) {
  llvm::LLVMContext context;
  llvm::Module module("stub", context);
  for (const LibraryFunction &function : functions)
    module.appendModuleInlineAsm((".globl " + function.name + "\n.type " +
                                  function.name + ",@function\n" +
                                  function.name + ":\n  ret\n")
                                     .str());
  return compileBaseline(module, "stub.o");
}
