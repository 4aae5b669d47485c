//===- Driver.h - Run a function on tensors in files ------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_INTERPRETER_DRIVER_H
#define MOE_INTERPRETER_DRIVER_H
#include "mlir/IR/BuiltinOps.h"
#include <string>

namespace mlir::moe {

/// What to run, on what, and what to expect. Empty strings: not asked for.
struct InterpretOptions {
  std::string function;
  /// FILE.safetensors[,NAME=TENSOR...]: argument NAME takes tensor TENSOR.
  std::string input;
  /// A checkpoint (directory, index or file), or "synthetic:SEED".
  std::string params;
  std::string output;
  std::string expect;
  double rtol = 1e-4, atol = 1e-4;
  bool useDouble = false;
};

/// Exit codes of every tool.
enum InterpretResult {
  kInterpretDone = 0,
  kInterpretError = 1,  ///< after one `error:` line or diagnostic
  kInterpretDiffers = 3 ///< --expect does not hold; said on the error stream
};

/// Runs a function of `module` in the interpreter. Arguments and results are
/// matched with tensors by `moe.name` (else arg0, result0, ...), symbols of
/// `moe.shape` are bound by the inputs, values checked against `moe.limit`, and
/// bounded results cut to their count. State starts as zeros.
InterpretResult interpretModule(ModuleOp module,
                                const InterpretOptions &options);

} // namespace mlir::moe
#endif // MOE_INTERPRETER_DRIVER_H
