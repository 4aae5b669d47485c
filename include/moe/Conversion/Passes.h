//===- Passes.h - Conversions -----------------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_CONVERSION_PASSES_H
#define MOE_CONVERSION_PASSES_H
#include "mlir/Pass/Pass.h"

namespace mlir {
class RewritePatternSet;
class TypeConverter;
namespace moe {
/// Maps `!moe.assignment` to expert [T, k] i32 and weight [T, k] f32.
void populateMoEToRaggedTypeConversions(TypeConverter &converter);
/// Lowers assign, dispatch and combine; share them with other pipelines.
void populateMoEToRaggedPatterns(const TypeConverter &converter,
                                 RewritePatternSet &patterns);
/// Who runs iterations that do not depend on one another.
enum class Threads {
  None,  ///< one loop
  Cores, ///< moe.parallel where the work is worth waking other cores
  Device ///< moe.parallel wherever there are independent rows
};
#define GEN_PASS_DECL
#include "moe/Conversion/Passes.h.inc"
} // namespace moe
} // namespace mlir
#endif // MOE_CONVERSION_PASSES_H
