// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s

// Softmax of [0, 0] and of [1000, 1000 - inf]: the maximum is subtracted first.
// CHECK:      dense<{{\[\[}}5.000000e-01, 5.000000e-01], [1.000000e+00, 0.000000e+00]]> : tensor<2x2xf32>
// sigmoid(0) = 1/2, sigmoid(-inf) = 0, sigmoid(1000) = 1, sigmoid(ln 3) = 3/4.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}5.000000e-01, 0.000000e+00], [1.000000e+00, {{0.7500000[0-9]*|7.500000e-01}}]]> : tensor<2x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %z = arith.constant dense<[[0.0, 0.0], [1000.0, 0xFF800000]]> : tensor<2x2xf32>
  %y = arith.constant dense<[[0.0, 0xFF800000], [1000.0, 1.09861231]]> : tensor<2x2xf32>
  %s = moe.score softmax %z : tensor<2x2xf32> -> tensor<2x2xf32>
  %g = moe.score sigmoid %y : tensor<2x2xf32> -> tensor<2x2xf32>
  return %s, %g : tensor<2x2xf32>, tensor<2x2xf32>
}

// -----

// Slots with a negative index take no part, whatever is in them; a row without
// any slot is 0; an index above all experts is no matter of this op.
// CHECK:      dense<{{\[\[}}5.000000e-01, 0.000000e+00, 5.000000e-01], [0.000000e+00, 0.000000e+00, 0.000000e+00]]> : tensor<2x3xf32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}5.000000e-01, 0.000000e+00, 5.000000e-01], [0.000000e+00, 0.000000e+00, 0.000000e+00]]> : tensor<2x3xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %z = arith.constant dense<[[0.0, 0x7FC00000, 0.0], [1.0, 2.0, 3.0]]> : tensor<2x3xf32>
  %i = arith.constant dense<[[0, -1, 99], [-1, -1, -2]]> : tensor<2x3xi32>
  %s = moe.score softmax %z slots(%i : tensor<2x3xi32>) : tensor<2x3xf32> -> tensor<2x3xf32>
  %old = tensor.empty() : tensor<2x3xf32>
  %g = moe.score sigmoid %z slots(%i : tensor<2x3xi32>) outs(%old : tensor<2x3xf32>)
      : tensor<2x3xf32> -> tensor<2x3xf32>
  return %s, %g : tensor<2x3xf32>, tensor<2x3xf32>
}

// -----

// One NaN among the logits spoils its own row and no other.
// CHECK:      dense<{{\[\[}}0x{{[7F]}}FC00000, 0x{{[7F]}}FC00000], [5.000000e-01, 5.000000e-01]]> : tensor<2x2xf32>
// CHECK-NEXT: {{.*}}dense<> : tensor<0x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2x2xf32>, tensor<0x2xf32>) {
  %z = arith.constant dense<[[0x7FC00000, 0.0], [1.0, 1.0]]> : tensor<2x2xf32>
  %none = arith.constant dense<> : tensor<0x2xf32>
  %s = moe.score softmax %z : tensor<2x2xf32> -> tensor<2x2xf32>
  %e = moe.score softmax %none : tensor<0x2xf32> -> tensor<0x2xf32>
  return %s, %e : tensor<2x2xf32>, tensor<0x2xf32>
}
