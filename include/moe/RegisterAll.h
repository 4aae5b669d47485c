//===- RegisterAll.h - Everything a tool needs ------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_REGISTERALL_H
#define MOE_REGISTERALL_H
namespace mlir {
class DialectRegistry;
namespace moe {
/// Adds our dialects, the upstream dialects that our passes use, and every
/// external model.
void registerAllMoE(DialectRegistry &registry);
/// Registers our passes by flag, and our pipelines.
void registerAllMoEPasses();
} // namespace moe
} // namespace mlir
#endif // MOE_REGISTERALL_H
