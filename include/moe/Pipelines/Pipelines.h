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

/// What moe-to-gpu is asked for.
struct GPUPipelineOptions {
  /// Compute capability times ten: 80, or 90 for sm_90a.
  unsigned arch = 80;
  /// 0: no fusion, kernels of plain loops.
  unsigned optLevel = 2;
  /// What products multiply in: "f32", "tf32", "bf16" or "f16".
  std::string precision = "f32";
  /// If not, experts' outputs are added to their tokens where they are
  /// computed, in no fixed order.
  bool deterministic = true;
};

/// From a level-1 module to kernels in a nested gpu.module and host code that
/// launches them, both in the llvm dialect.
void buildGPUPipeline(OpPassManager &pm, const GPUPipelineOptions &options);
std::string getGPUPipelineText(const GPUPipelineOptions &options);

/// Registers `moe-to-cpu` and `moe-to-gpu`.
void registerMoEPipelines();

} // namespace mlir::moe
#endif // MOE_PIPELINES_PIPELINES_H
