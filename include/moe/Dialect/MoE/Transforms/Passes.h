//===- Passes.h - Passes on the MoE dialect ---------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_MOE_TRANSFORMS_PASSES_H
#define MOE_DIALECT_MOE_TRANSFORMS_PASSES_H
#include "mlir/Pass/Pass.h"

namespace mlir::moe {
#define GEN_PASS_DECL
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe
#endif // MOE_DIALECT_MOE_TRANSFORMS_PASSES_H
