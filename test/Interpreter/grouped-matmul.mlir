// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// Groups: row 0 to expert 0, rows 1 and 2 to expert 2, row 3 to none.
// out = g * u with g = a . b0[e, n] + bias0, u = a . b1[e, n] + bias1.
// Row 0: g = [1 * 1 + 1, 1 * 2], u = [1 * 1, 1 * 1 + 2]: [2, 6].
// Row 1: a = 2: g = [2 * 5 + 0, 2 * 6 - 1], u = [2, 2]: [20, 22].
// Row 2: a = 3: g = [15, 17], u = [3, 3]: [45, 51].
// CHECK:      dense<{{\[\[}}2.000000e+00, 6.000000e+00], [2.000000e+01, 2.200000e+01], [4.500000e+01, 5.100000e+01], [0x7FC00000, 0x7FC00000]]> : tensor<4x2xf32>
// gather: rows 0, 1, 2 of the result come from rows 2, 0, 1 of a.
// Row 0: a = 3, expert 0: [4 * 3, 6 * 5]; row 1: a = 1, expert 2: [5, 5];
// row 2: a = 2: [20, 22]. Row 3 keeps what the destination held.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.200000e+01, 3.000000e+01], [5.000000e+00, 5.000000e+00], [2.000000e+01, 2.200000e+01], [-1.000000e+00, -1.000000e+00]]> : tensor<4x2xf32>
// scatter: out[1] = -1 + 0.5 * [2, 6] + 2 * [20, 22]; out[0] = -1 + [45, 51].
// CHECK-NEXT: {{.*}}dense<{{\[\[}}4.400000e+01, 5.000000e+01], [4.000000e+01, 4.600000e+01]]> : tensor<2x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<4x2xf32>, tensor<4x2xf32>, tensor<2x2xf32>) {
  %a = arith.constant dense<[[1.0], [2.0], [3.0], [4.0]]> : tensor<4x1xf32>
  %o = arith.constant dense<[0, 1, 1, 3]> : tensor<4xi32>
  %b0 = arith.constant dense<[[[1.0], [2.0]], [[0x7FC0], [0x7FC0]], [[5.0], [6.0]]]> : tensor<3x2x1xbf16>
  %b1 = arith.constant dense<1.0> : tensor<3x2x1xbf16>
  %c0 = arith.constant dense<[[1.0, 0.0], [0.0, 0.0], [0.0, -1.0]]> : tensor<3x2xf32>
  %c1 = arith.constant dense<[[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]> : tensor<3x2xf32>
  %g = arith.constant dense<[2, 0, 1, -9]> : tensor<4xi32>
  %t = arith.constant dense<[1, 1, 0, -9]> : tensor<4xi32>
  %w = arith.constant dense<[0.5, 2.0, 1.0, 7.0]> : tensor<4xf32>
  %old = arith.constant dense<-1.0> : tensor<4x2xf32>
  %sum = arith.constant dense<-1.0> : tensor<2x2xf32>
  %x = moe.grouped_matmul %a groups(%o : tensor<4xi32>)
      weights(%b0, %b1 : tensor<3x2x1xbf16>, tensor<3x2x1xbf16>)
      biases(%c0, %c1 : tensor<3x2xf32>, tensor<3x2xf32>)
      : tensor<4x1xf32> -> tensor<4x2xf32> {
  ^bb0(%p: f32, %q: f32):
    %m = nn.mul %p, %q : f32
    moe.yield %m : f32
  }
  %y = moe.grouped_matmul %a groups(%o : tensor<4xi32>)
      weights(%b0, %b1 : tensor<3x2x1xbf16>, tensor<3x2x1xbf16>)
      biases(%c0, %c1 : tensor<3x2xf32>, tensor<3x2xf32>)
      gather(%g : tensor<4xi32>) outs(%old : tensor<4x2xf32>)
      : tensor<4x1xf32> -> tensor<4x2xf32> {
  ^bb0(%p: f32, %q: f32):
    %m = nn.mul %p, %q : f32
    moe.yield %m : f32
  }
  %z = moe.grouped_matmul %a groups(%o : tensor<4xi32>)
      weights(%b0, %b1 : tensor<3x2x1xbf16>, tensor<3x2x1xbf16>)
      biases(%c0, %c1 : tensor<3x2xf32>, tensor<3x2xf32>)
      scatter(%t, %w : tensor<4xi32>, tensor<4xf32>) outs(%sum : tensor<2x2xf32>)
      : tensor<4x1xf32> -> tensor<2x2xf32> {
  ^bb0(%p: f32, %q: f32):
    %m = arith.mulf %p, %q : f32
    moe.yield %m : f32
  }
  return %x, %y, %z : tensor<4x2xf32>, tensor<4x2xf32>, tensor<2x2xf32>
}

// -----

// A constant in the epilogue meets every element, and may be all it yields.
// CHECK:      dense<{{\[\[}}3.000000e+00], [5.000000e+00]]> : tensor<2x1xf32>
// CHECK-NEXT: {{.*}}dense<1.000000e+00> : tensor<2x1xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2x1xf32>, tensor<2x1xf32>) {
  %a = arith.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %o = arith.constant dense<[0, 2]> : tensor<2xi32>
  %b = arith.constant dense<2.0> : tensor<1x1x1xf32>
  %x = moe.grouped_matmul %a groups(%o : tensor<2xi32>) weights(%b : tensor<1x1x1xf32>)
      : tensor<2x1xf32> -> tensor<2x1xf32> {
  ^bb0(%p: f32):
    %one = arith.constant 1.0 : f32
    %m = arith.addf %one, %p : f32
    moe.yield %m : f32
  }
  %y = moe.grouped_matmul %a groups(%o : tensor<2xi32>) weights(%b : tensor<1x1x1xf32>)
      : tensor<2x1xf32> -> tensor<2x1xf32> {
  ^bb0(%p: f32):
    %one = arith.constant 1.0 : f32
    moe.yield %one : f32
  }
  return %x, %y : tensor<2x1xf32>, tensor<2x1xf32>
}
