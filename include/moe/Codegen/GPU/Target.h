//===- Target.h - What GPU code is made for ---------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_CODEGEN_GPU_TARGET_H
#define MOE_CODEGEN_GPU_TARGET_H

namespace mlir::moe {

/// Type in which products multiply; they always add in f32.
enum class Precision {
  F32,  ///< fused multiply-adds in the order of the CPU: the exact mode
  TF32, ///< tensor cores, operands rounded to ten bits
  BF16, ///< tensor cores
  F16   ///< tensor cores
};

struct GPUTarget {
  /// Compute capability times ten: 80 or 90 (sm_90a).
  unsigned arch = 80;
  Precision precision = Precision::F32;
  /// Whether equal inputs must give equal bits. If not, products with scatter
  /// add to their destination in the order in which they get there.
  bool deterministic = true;
};

} // namespace mlir::moe
#endif // MOE_CODEGEN_GPU_TARGET_H
