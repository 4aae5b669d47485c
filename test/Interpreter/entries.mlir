// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s

// Sorted by token, then expert, then slot; -1 and 4 are no experts. Behind the
// count (5 of 8) the lists hold what marks values that nobody set.
// CHECK:      dense<[0, 0, 1, 2, 2, 1515870810, 1515870810, 1515870810]> : tensor<8xi64>
// CHECK-NEXT: {{.*}}dense<[1, 3, 2, 0, 0, 1515870810, 1515870810, 1515870810]> : tensor<8xi64>
// CHECK-NEXT: {{.*}}dense<[2.000000e+00, 1.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 0x7FC00000, 0x7FC00000, 0x7FC00000]> : tensor<8xf32>
// CHECK-NEXT: {{.*}}dense<5> : tensor<1xi64>
// CHECK-NEXT: {{.*}}tensor.cast
// CHECK-NEXT: return
func.func @main() -> (tensor<?xi64>, tensor<8xi64>, tensor<8xf32>, tensor<1xi64>) {
  %i = arith.constant dense<[[3, 1], [4, 2], [0, 0], [-1, -7]]> : tensor<4x2xi32>
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32>
  %a = moe.assign %i, %w : tensor<4x2xi32>, tensor<4x2xf32>
      -> !moe.assignment<experts = 4, max_per_token = 2>
  %t, %e, %v, %n = moe.assignment_entries %a
      : !moe.assignment<experts = 4, max_per_token = 2>
      -> tensor<?xi64>, tensor<8xi64>, tensor<8xf32>, tensor<1xi64>
  return %t, %e, %v, %n : tensor<?xi64>, tensor<8xi64>, tensor<8xf32>, tensor<1xi64>
}

// -----

// The same on the two tensors; what a destination held stays behind the count.
// CHECK:      dense<[0, 1, 42, 42]> : tensor<4xi64>
// CHECK-NEXT: {{.*}}dense<[1, 0, 42, 42]> : tensor<4xi64>
// CHECK-NEXT: {{.*}}dense<[2.000000e+00, 3.000000e+00, 9.000000e+00, 9.000000e+00]> : tensor<4xf32>
// CHECK-NEXT: {{.*}}dense<2> : tensor<1xi64>
// CHECK-NEXT: return
func.func @main() -> (tensor<4xi64>, tensor<4xi64>, tensor<4xf32>, tensor<1xi64>) {
  %i = arith.constant dense<[[-1, 1], [0, 2]]> : tensor<2x2xi32>
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %t0 = arith.constant dense<42> : tensor<4xi64>
  %w0 = arith.constant dense<9.0> : tensor<4xf32>
  %n0 = arith.constant dense<0> : tensor<1xi64>
  %r:4 = moe.list_entries %i, %w experts = 2
      outs(%t0, %t0, %w0, %n0 : tensor<4xi64>, tensor<4xi64>, tensor<4xf32>, tensor<1xi64>)
      : tensor<2x2xi32>, tensor<2x2xf32>
      -> tensor<4xi64>, tensor<4xi64>, tensor<4xf32>, tensor<1xi64>
  return %r#0, %r#1, %r#2, %r#3 : tensor<4xi64>, tensor<4xi64>, tensor<4xf32>, tensor<1xi64>
}

// -----

// No tokens.
// CHECK:      dense<> : tensor<0xi64>
// CHECK-NEXT: {{.*}}dense<0> : tensor<1xi64>
// CHECK-NEXT: return
func.func @main() -> (tensor<0xi64>, tensor<1xi64>) {
  %i = arith.constant dense<> : tensor<0x2xi32>
  %w = arith.constant dense<> : tensor<0x2xf32>
  %r:4 = moe.list_entries %i, %w experts = 2 : tensor<0x2xi32>, tensor<0x2xf32>
      -> tensor<0xi64>, tensor<0xi64>, tensor<0xf32>, tensor<1xi64>
  return %r#0, %r#3 : tensor<0xi64>, tensor<1xi64>
}
