// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// Token 0: experts 1 and 0; token 1: expert 1 in its second slot; token 2 none.
// Rows: (0, t0), (1, t0), (1, t1).
// CHECK:      dense<[0, 0, 1, -5, -5, -5]> : tensor<6xi32>
// CHECK-NEXT: {{.*}}dense<[2.000000e+00, 1.000000e+00, 4.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00]> : tensor<6xf32>
// CHECK-NEXT: {{.*}}dense<[0, 1, 3]> : tensor<3xi32>
// CHECK-NEXT: {{.*}}dense<[0, 2, 3, 3]> : tensor<4xi32>
// CHECK-NEXT: {{.*}}dense<[0, 1, 2, -5, -5, -5]> : tensor<6xi32>
// CHECK-NEXT: return
func.func @main() -> (tensor<6xi32>, tensor<6xf32>, tensor<3xi32>, tensor<4xi32>, tensor<6xi32>) {
  %i = arith.constant dense<[[1, 0], [2, 1], [-1, -1]]> : tensor<3x2xi32>
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %rt = arith.constant dense<-5> : tensor<6xi32>
  %rw = arith.constant dense<0.0> : tensor<6xf32>
  %eo = arith.constant dense<-5> : tensor<3xi32>
  %to = arith.constant dense<-5> : tensor<4xi32>
  %r:5 = moe.plan %i, %w experts = 2
      outs(%rt, %rw, %eo, %to, %rt : tensor<6xi32>, tensor<6xf32>, tensor<3xi32>, tensor<4xi32>, tensor<6xi32>)
      : tensor<3x2xi32>, tensor<3x2xf32>
      -> tensor<6xi32>, tensor<6xf32>, tensor<3xi32>, tensor<4xi32>, tensor<6xi32>
  return %r#0, %r#1, %r#2, %r#3, %r#4 : tensor<6xi32>, tensor<6xf32>, tensor<3xi32>, tensor<4xi32>, tensor<6xi32>
}

// -----

// 7 rows by 3: tiles of 2, 2 and 3 rows; expert 1 has none; 1 row of expert 2.
// CHECK:      dense<{{\[\[}}0, 0, 2, 3], [0, 2, 2, 2], [0, 4, 3, 1], [2, 7, 1, 1], {{.*}}> : tensor<9x4xi32>
// CHECK-NEXT: {{.*}}dense<4> : tensor<1xi32>
// CHECK-NEXT: {{.*}}tensor.cast
// CHECK-NEXT: return
func.func @main() -> (tensor<?x4xi32>, tensor<1xi32>) {
  %o = arith.constant dense<[0, 7, 7, 8]> : tensor<4xi32>
  %m = arith.constant 9 : index
  %t, %n = moe.row_tiles %o, tile = 3, max_rows = %m : tensor<4xi32> -> tensor<?x4xi32>, tensor<1xi32>
  return %t, %n : tensor<?x4xi32>, tensor<1xi32>
}

// -----

// Two of three rows are defined; the third index is never read.
// CHECK:      dense<{{\[\[}}3.000000e+00, 4.000000e+00], [1.000000e+00, 2.000000e+00], [8.000000e+00, 8.000000e+00]]> : tensor<3x2xf32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}6.000000e+00, 8.000000e+00], [5.000000e-01, 1.000000e+00], [8.000000e+00, 8.000000e+00]]> : tensor<3x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<3x2xf32>, tensor<3x2xf32>) {
  %x = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %t = arith.constant dense<[1, 0, 77]> : tensor<3xi32>
  %o = arith.constant dense<[0, 1, 2]> : tensor<3xi32>
  %w = arith.constant dense<[2.0, 0.5, 1.0]> : tensor<3xf32>
  %old = arith.constant dense<8.0> : tensor<3x2xf32>
  %a = moe.gather_rows %x[%t] groups(%o) outs(%old : tensor<3x2xf32>)
      : tensor<2x2xf32>, tensor<3xi32>, tensor<3xi32> -> tensor<3x2xf32>
  %b = moe.gather_rows %x[%t] groups(%o) weights(%w : tensor<3xf32>) outs(%old : tensor<3x2xf32>)
      : tensor<2x2xf32>, tensor<3xi32>, tensor<3xi32> -> tensor<3x2xf32>
  return %a, %b : tensor<3x2xf32>, tensor<3x2xf32>
}

// -----

// y[0] = 1 + 2 * 10 + 3 * 20 (in this order), y[1] = 1, y[2] = 1 + 4 * 30.
// CHECK:      dense<{{\[\[}}8.100000e+01], [1.000000e+00], [1.210000e+02]]> : tensor<3x1xf32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}3.100000e+01], [1.000000e+00], [3.100000e+01]]> : tensor<3x1xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<3x1xf32>, tensor<3x1xf32>) {
  %r = arith.constant dense<[[10.0], [30.0], [20.0]]> : tensor<3x1xf32>
  %w = arith.constant dense<[2.0, 4.0, 3.0]> : tensor<3xf32>
  %o = arith.constant dense<[0, 2, 2, 3]> : tensor<4xi32>
  %t = arith.constant dense<[0, 2, 1]> : tensor<3xi32>
  %one = arith.constant dense<1.0> : tensor<3x1xf32>
  %a = moe.combine_rows %r weights(%w : tensor<3xf32>) tokens(%o, %t) outs(%one : tensor<3x1xf32>)
      : tensor<3x1xf32>, tensor<4xi32>, tensor<3xi32> -> tensor<3x1xf32>
  %b = moe.combine_rows %r tokens(%o, %t) outs(%one : tensor<3x1xf32>)
      : tensor<3x1xf32>, tensor<4xi32>, tensor<3xi32> -> tensor<3x1xf32>
  return %a, %b : tensor<3x1xf32>, tensor<3x1xf32>
}
