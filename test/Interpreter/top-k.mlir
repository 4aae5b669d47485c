// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// Row 0: ties keep the lower index first, and -0 = +0. Row 1: NaN comes after
// every number. Row 2: -inf is never chosen, so there is no second expert.
// Row 3: +inf first, then the only other candidate, a NaN.
// CHECK:      dense<{{\[\[}}1, 2], [2, 0], [3, -1], [1, 0]]> : tensor<4x2xi32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}0.000000e+00, -0.000000e+00], [5.000000e-01, -1.000000e+00], [1.000000e+00, 0.000000e+00], [0x7F800000, 0x7FC00000]]> : tensor<4x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<4x2xi32>, tensor<4x2xf32>) {
  %s = arith.constant dense<[[-1.0, 0.0, -0.0, 0.0],
                             [-1.0, 0x7FC00000, 0.5, -1.0],
                             [0xFF800000, 0xFF800000, 0xFF800000, 1.0],
                             [0x7FC00000, 0x7F800000, 0xFF800000, 0xFF800000]]> : tensor<4x4xf32>
  %i, %w = moe.top_k %s, k = 2 : tensor<4x4xf32> -> tensor<4x2xi32>, tensor<4x2xf32>
  return %i, %w : tensor<4x2xi32>, tensor<4x2xf32>
}

// -----

// k = E sorts, and T may be 0.
// CHECK:      dense<{{\[\[}}2, 0, 1]]> : tensor<1x3xi32>
// CHECK-NEXT: {{.*}}dense<> : tensor<0x1xi32>
// CHECK-NEXT: return
func.func @main() -> (tensor<1x3xi32>, tensor<0x1xi32>) {
  %s = arith.constant dense<[[1.0, 1.0, 2.0]]> : tensor<1x3xf32>
  %none = arith.constant dense<> : tensor<0x3xf32>
  %i, %w = moe.top_k %s, k = 3 : tensor<1x3xf32> -> tensor<1x3xi32>, tensor<1x3xf32>
  %j, %v = moe.top_k %none, k = 1 : tensor<0x3xf32> -> tensor<0x1xi32>, tensor<0x1xf32>
  return %i, %j : tensor<1x3xi32>, tensor<0x1xi32>
}
