//===- Passes.h - Passes that execute ---------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_INTERPRETER_PASSES_H
#define MOE_INTERPRETER_PASSES_H
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/Pass.h"

namespace mlir::moe {
#define GEN_PASS_DECL
#include "moe/Interpreter/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "moe/Interpreter/Passes.h.inc"
} // namespace mlir::moe
#endif // MOE_INTERPRETER_PASSES_H
