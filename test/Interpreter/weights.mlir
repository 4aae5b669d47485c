// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// add_selection_bias: one bias per column.
// CHECK:      dense<{{\[\[}}1.500000e+00, 0.000000e+00], [3.500000e+00, 2.000000e+00]]> : tensor<2x2xf32>
// take: 0 where the index is outside [0, E).
// CHECK-NEXT: {{.*}}dense<{{\[\[}}2.000000e+00, 0.000000e+00, 1.000000e+00], [0.000000e+00, 3.000000e+00, 3.000000e+00]]> : tensor<2x3xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2x2xf32>, tensor<2x3xf32>) {
  %s = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = arith.constant dense<[0.5, -2.0]> : tensor<2xf32>
  %i = arith.constant dense<[[1, -1, 0], [2, 0, 0]]> : tensor<2x3xi32>
  %q = moe.add_selection_bias %s, %b : tensor<2x2xf32>, tensor<2xf32> -> tensor<2x2xf32>
  %w = moe.take %s, %i : tensor<2x2xf32>, tensor<2x3xi32> -> tensor<2x3xf32>
  return %q, %w : tensor<2x2xf32>, tensor<2x3xf32>
}

// -----

// renormalize. Sum of absolute values: 1/4, 3/4; then 0: the row becomes 0;
// then -1 / 4, 3 / 4.
// CHECK:      dense<{{\[\[}}2.500000e-01, 7.500000e-01], [0.000000e+00, 0.000000e+00], [-2.500000e-01, 7.500000e-01]]> : tensor<3x2xf32>
// p = 2: 3 / 5 and 4 / 5 are not exact, so 6, 8 over 10 * 2 with eps 10.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.500000e-01, 2.000000e-01]]> : tensor<1x2xf32>
// floor = 8 is more than 1 + 3.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.250000e-01, 3.750000e-01], [0.000000e+00, 0.000000e+00], [-1.250000e-01, 3.750000e-01]]> : tensor<3x2xf32>
// eps alone is a divisor: 0 / eps = 0.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}2.000000e-01, 6.000000e-01], [0.000000e+00, 0.000000e+00], [-2.000000e-01, 6.000000e-01]]> : tensor<3x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<3x2xf32>, tensor<1x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>) {
  %w = arith.constant dense<[[1.0, 3.0], [0.0, 0.0], [-1.0, 3.0]]> : tensor<3x2xf32>
  %v = arith.constant dense<[[3.0, 4.0]]> : tensor<1x2xf32>
  %a = moe.renormalize %w : tensor<3x2xf32> -> tensor<3x2xf32>
  %b = moe.renormalize %v {p = 2 : i64, eps = 15.0 : f64} : tensor<1x2xf32> -> tensor<1x2xf32>
  %c = moe.renormalize %w {floor = 8.0 : f64} : tensor<3x2xf32> -> tensor<3x2xf32>
  %d = moe.renormalize %w {eps = 1.0 : f64} : tensor<3x2xf32> -> tensor<3x2xf32>
  return %a, %b, %c, %d : tensor<3x2xf32>, tensor<1x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>
}

// -----

// CHECK:      dense<{{\[\[}}2.500000e+00, -5.000000e+00]]> : tensor<1x2xf32>
// scale_by_expert: 0 where there is no expert, even for NaN weights.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}8.000000e+00, 0.000000e+00, 0.000000e+00]]> : tensor<1x3xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<1x2xf32>, tensor<1x3xf32>) {
  %w = arith.constant dense<[[1.0, -2.0]]> : tensor<1x2xf32>
  %v = arith.constant dense<[[2.0, 0x7FC00000, 1.0]]> : tensor<1x3xf32>
  %i = arith.constant dense<[[1, -1, 2]]> : tensor<1x3xi32>
  %f = arith.constant dense<[3.0, 4.0]> : tensor<2xbf16>
  %a = moe.scale %w by 2.5 : tensor<1x2xf32> -> tensor<1x2xf32>
  %b = moe.scale_by_expert %v, %i, %f
      : tensor<1x3xf32>, tensor<1x3xi32>, tensor<2xbf16> -> tensor<1x3xf32>
  return %a, %b : tensor<1x2xf32>, tensor<1x3xf32>
}
