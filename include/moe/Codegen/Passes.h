//===- Passes.h - Code generation -------------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_CODEGEN_PASSES_H
#define MOE_CODEGEN_PASSES_H
#include "mlir/Pass/Pass.h"

namespace mlir::moe {
#define GEN_PASS_DECL
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe
#endif // MOE_CODEGEN_PASSES_H
