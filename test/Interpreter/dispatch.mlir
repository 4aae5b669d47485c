// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s

// Rows by expert, then token; expert 1 has none. Three of four rows are defined.
// CHECK:      dense<{{\[\[}}2.000000e+00], [1.000000e+00], [2.000000e+00], [0x7FC00000]]> : tensor<4x1xf32>
// CHECK-NEXT: {{.*}}dense<[0, 1, 1, 3]> : tensor<4xi32>
// apply = input multiplies rows by their weights.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}8.000000e+00], [5.000000e-01], [6.000000e+00], [0x7FC00000]]> : tensor<4x1xf32>
// y[0] = 1 + 0.5 * 1, y[1] = 1 + 4 * 2 + 3 * 2.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.500000e+00], [1.500000e+01]]> : tensor<2x1xf32>
// Rows already weighted: the factor is 1.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.500000e+00], [1.500000e+01]]> : tensor<2x1xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<4x1xf32>, tensor<4xi32>, tensor<4x1xf32>, tensor<2x1xf32>, tensor<2x1xf32>) {
  %x = arith.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %i = arith.constant dense<[[2, -1], [2, 0]]> : tensor<2x2xi32>
  %w = arith.constant dense<[[0.5, 9.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %one = arith.constant dense<1.0> : tensor<2x1xf32>
  %a = moe.assign %i, %w : tensor<2x2xi32>, tensor<2x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  %r, %o = moe.dispatch %x, %a : tensor<2x1xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<4x1xf32>, tensor<4xi32>
  %q, %p = moe.dispatch %x, %a apply = input : tensor<2x1xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<4x1xf32>, tensor<4xi32>
  %y = moe.combine %r, %a outs(%one)
      : tensor<4x1xf32>, !moe.assignment<experts = 3, max_per_token = 2> -> tensor<2x1xf32>
  %z = moe.combine %q, %a outs(%one) apply = input
      : tensor<4x1xf32>, !moe.assignment<experts = 3, max_per_token = 2> -> tensor<2x1xf32>
  return %r, %o, %q, %y, %z : tensor<4x1xf32>, tensor<4xi32>, tensor<4x1xf32>, tensor<2x1xf32>, tensor<2x1xf32>
}

// -----

// moe.experts: rows behind the last offset stay undefined.
// CHECK:      dense<{{\[\[}}1.000000e+00], [4.000000e+00], [6.000000e+00], [0x7FC00000]]> : tensor<4x1xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<4x1xf32> {
  %r = arith.constant dense<[[1.0], [2.0], [3.0], [4.0]]> : tensor<4x1xf32>
  %o = arith.constant dense<[0, 1, 3]> : tensor<3xi32>
  %s = arith.constant dense<[[[1.0]], [[2.0]]]> : tensor<2x1x1xf32>
  %y = moe.experts %r groups(%o) : tensor<4x1xf32>, tensor<3xi32>
  expert(%rows, %e, %w = %s: tensor<2x1x1xf32>) {
    %l = nn.linear %rows, %w : tensor<?x1xf32>, tensor<1x1xf32> -> tensor<?x1xf32>
    moe.yield %l : tensor<?x1xf32>
  }
  return %y : tensor<4x1xf32>
}
