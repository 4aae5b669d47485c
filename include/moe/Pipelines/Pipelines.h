//===- Pipelines.h - The order of passes ------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_PIPELINES_PIPELINES_H
#define MOE_PIPELINES_PIPELINES_H
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// What moe-to-cpu is asked for.
struct CPUPipelineOptions {
  /// x86-64 level whose register file shapes the kernels: 3 or 4.
  unsigned level = 3;
  /// 0: no fusion, no packing, plain loops.
  unsigned optLevel = 2;
};

/// From a level-1 module to the llvm dialect with entry points.
void buildCPUPipeline(OpPassManager &pm, const CPUPipelineOptions &options);

/// The same as text, for people and for `--pass-pipeline`.
std::string getCPUPipelineText(const CPUPipelineOptions &options);

/// Registers `moe-to-cpu`.
void registerMoEPipelines();

} // namespace mlir::moe
#endif // MOE_PIPELINES_PIPELINES_H
