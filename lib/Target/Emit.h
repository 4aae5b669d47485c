//===- Emit.h - From the llvm dialect to object code ------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_TARGET_EMIT_H
#define MOE_LIB_TARGET_EMIT_H
#include "moe/Target/Compile.h"
#include "llvm/IR/DiagnosticHandler.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include <memory>

namespace mlir::moe {

enum class CodeFormat { LLVM, Asm, Obj };

/// A file that exists only in memory.
struct Object {
  /// What the linker prints for it.
  std::string name;
  SmallVector<char, 0> bytes;
};

/// The C library functions that generated code may call, with the versions
/// that every glibc on x86-64 has.
struct LibraryFunction {
  StringLiteral name, version;
};
ArrayRef<LibraryFunction> getLibraryFunctions();

/// Collects errors of a back end in `text`, which outlives it.
std::unique_ptr<llvm::DiagnosticHandler>
createBackendDiagnostics(std::string &text);

/// One level's code. Has an LLVMContext of its own, so that levels can be
/// compiled at the same time.
class LevelCode {
public:
  LevelCode(const CPULevel &level, unsigned optLevel);

  /// Translates a module in the llvm dialect. `entries` are the functions of
  /// the hidden table "moe.vN.library", in order; all else becomes internal.
  /// Not to be called from two threads for one MLIRContext.
  llvm::Error translate(ModuleOp module, ArrayRef<std::string> entries);

  /// Optimises and emits, on any thread.
  llvm::Error emit(CodeFormat format, SmallVectorImpl<char> &output);

private:
  CPULevel level;
  unsigned optLevel;
  /// What the back end complained about.
  std::string errors;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module;
};

/// moe_library_query() and the note, as code that every x86-64 runs. `levels`
/// are in ascending order, devices' among them.
llvm::Expected<Object> emitQuery(ArrayRef<unsigned> levels, StringRef manifest);

/// A library that only says which symbol has which version, for the linker.
llvm::Expected<Object> emitStubCode(ArrayRef<LibraryFunction> functions);

} // namespace mlir::moe
#endif // MOE_LIB_TARGET_EMIT_H
