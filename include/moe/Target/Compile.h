//===- Compile.h - From level-1 IR to a file --------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_TARGET_COMPILE_H
#define MOE_TARGET_COMPILE_H
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <string>

namespace mlir {
class PassManager;
namespace moe {

/// What is written.
enum class EmitKind {
  Lib,  ///< a shared library with its manifest
  Exe,  ///< a program that does what moe-run does with the library
  MLIR, ///< the llvm dialect
  LLVM, ///< optimised LLVM IR
  Asm,  ///< assembly text
  Obj,  ///< one relocatable object, its manifest without length and hash
  PTX,  ///< the devices' code as text
  Cubin ///< the same as ptxas makes it, of one device
};

/// Code for one kind of CPU.
struct CPULevel {
  /// 3 or 4: the runtime asks for code of x86-64-v`level`.
  unsigned level;
  /// "x86-64-v3", or the name of a CPU of at least that level.
  std::string cpu;
  /// "+avx2,...": beyond what `cpu` has.
  std::string features;
  /// Level whose register file shapes the kernels: 3 or 4.
  unsigned tile;
};

/// Code for one kind of GPU, launched by code of its own for the CPU.
struct Device {
  /// 80 or 90: the runtime asks for the code that launches by this number.
  unsigned level;
  /// "sm_80", "sm_90a".
  std::string name;
};

/// A kernel as ptxas reports it.
struct KernelFigures {
  std::string name, device;
  /// Threads per block, blocks per cluster.
  unsigned block[3] = {1, 1, 1}, cluster[3] = {1, 1, 1};
  unsigned numArguments = 0;
  /// Bytes that a launch asks for.
  unsigned dynamicShared = 0;
  bool overlaps = false;
  /// Adds in no fixed order.
  bool unordered = false;
  /// Blocks that a multiprocessor holds; 0: the grid is launched as it is.
  unsigned residentBlocks = 0;
  /// The rest is 0 where there is no ptxas.
  unsigned registers = 0;
  /// Bytes.
  unsigned staticShared = 0, stack = 0, spillStores = 0, spillLoads = 0;
};

struct CompileOptions {
  /// In ascending order, each at most once.
  SmallVector<CPULevel, 2> levels;
  /// The same.
  SmallVector<Device, 2> devices;
  /// What products multiply in on a device: "f32" (exact), "tf32", "bf16",
  /// "f16".
  std::string precision = "f32";
  /// If not, a device adds experts' outputs in no fixed order.
  bool deterministic = true;
  /// ptxas; empty: there is none, and a device's code is PTX alone.
  std::string ptxas;
  unsigned ptxasTimeoutSeconds = 600;
  /// 0: plain loops, light code generation. 1: the full pipeline, light code
  /// generation. From 2 on: everything.
  unsigned optLevel = 2;
  EmitKind emit = EmitKind::Lib;
  /// What a program is linked with; empty: the libmoe_main.a beside libMoE.so.
  std::string programArchive;
  /// The module is lowered already: its nested module @lowered, in the llvm
  /// dialect, stands for what the pipeline makes.
  bool lowered = false;
  /// Passes instead of those of the pipeline.
  std::optional<std::string> pipeline;
  /// Where the input of a pass that failed without saying why goes.
  std::string reproducerPath = "moe-compile.reproducer.mlir";
  /// Adds instrumentation to a pass manager.
  std::function<LogicalResult(PassManager &)> configure;
  /// Told of each step and its seconds.
  std::function<void(StringRef step, double seconds)> progress;
  /// Given every kernel, device by device, in the order of their numbers.
  std::function<void(ArrayRef<KernelFigures>)> reportKernels;
};

/// Why a compilation stopped, where that is more than a message for the user.
class CompileError : public llvm::ErrorInfo<CompileError> {
public:
  enum Kind {
    /// Diagnostics were emitted; there is no more to say.
    Reported,
    /// Our own fault.
    Internal,
    /// This machine lacks something.
    Environment
  };
  CompileError(Kind kind, const Twine &text = "")
      : kind(kind), text(text.str()) {}
  Kind getKind() const { return kind; }
  StringRef getText() const { return text; }
  void log(raw_ostream &os) const override;
  std::error_code convertToErrorCode() const override;
  static char ID;

private:
  Kind kind;
  std::string text;
};

/// Compiles a level-1 module; needs all passes registered. `output` is filled
/// on success only. One call at a time per context.
llvm::Error compileModule(ModuleOp module, const CompileOptions &options,
                          SmallVectorImpl<char> &output);

/// "cpu" (levels 3 and 4), "cpu:host", "cpu:x86-64-v3" or "cpu:x86-64-v4",
/// added to the levels, "cuda:sm_80" or "cuda:sm_90a", added to the devices.
/// Fails on another name and on two kinds of code for one level.
llvm::Error addTarget(StringRef name, CompileOptions &options);

/// The ptxas to use: `asked` or, where that is empty, the environment's
/// MOE_PTXAS, the one in PATH, CUDA_HOME or /usr/local/cuda, or the one that
/// scripts/ptxas.sh lays beside the build. Empty if there is none or "none" is
/// asked for. Fails if what was asked for is no program.
llvm::Expected<std::string> findPtxas(StringRef asked);

/// False where "cpu:host" is less than x86-64-v3.
bool isHostSupported();

/// Prepares LLVM's code generator and its error handlers for this process: no
/// error of a back end prints more than one line. Call first in main().
void initializeCodeGeneration();

/// "moe-mlir 0.1.0 (LLVM 22.1.8)".
StringRef getCompilerVersion();

} // namespace moe
} // namespace mlir
#endif // MOE_TARGET_COMPILE_H
