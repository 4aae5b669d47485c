// RUN: not moe-opt %s --moe-select-kernels="arch=75" 2>&1 | FileCheck %s --check-prefix=ARCH
// RUN: not moe-opt %s --moe-select-kernels="precision=f8" 2>&1 | FileCheck %s --check-prefix=PRECISION
// ARCH: error: no kernels for compute capability 75, expected 80 or 90
// PRECISION: error: no precision 'f8', expected f32, tf32, bf16 or f16
module {}
