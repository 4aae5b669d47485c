// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// logits[t, e] = x[t] . router[e] + bias[e]; bf16 weights are widened exactly.
// CHECK:      dense<{{\[\[}}1.150000e+01, -2.000000e+00], [5.000000e-01, -2.500000e-01]]> : tensor<2x2xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<2x2xf32> {
  %x = arith.constant dense<[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]> : tensor<2x3xf32>
  %r = arith.constant dense<[[1.0, 2.0, 2.0], [-1.0, 1.125, -1.0]]> : tensor<2x3xbf16>
  %b = arith.constant dense<[0.5, -0.25]> : tensor<2xf16>
  %z = moe.router_logits %x, %r bias(%b : tensor<2xf16>)
      : tensor<2x3xf32>, tensor<2x3xbf16> -> tensor<2x2xf32>
  return %z : tensor<2x2xf32>
}

// -----

// The sum is one FMA chain in ascending h: the first product is exact in the
// second step, so the small rest of 4097 * 4097 = 2^24 + 2^13 + 1 survives.
// CHECK:      dense<1.000000e+00> : tensor<1x1xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<1x1xf32> {
  %x = arith.constant dense<[[-1.0, 4097.0]]> : tensor<1x2xf32>
  %r = arith.constant dense<[[16785408.0, 4097.0]]> : tensor<1x2xf32>
  %z = moe.router_logits %x, %r : tensor<1x2xf32>, tensor<1x2xf32> -> tensor<1x1xf32>
  return %z : tensor<1x1xf32>
}

// -----

// No tokens; and a destination, whose old values do not matter.
// CHECK:      dense<> : tensor<0x2xf32>
// CHECK-NEXT: {{.*}}dense<4.000000e+00> : tensor<1x1xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<0x2xf32>, tensor<1x1xf32>) {
  %x = arith.constant dense<> : tensor<0x3xf32>
  %r = arith.constant dense<1.0> : tensor<2x3xf32>
  %z = moe.router_logits %x, %r : tensor<0x3xf32>, tensor<2x3xf32> -> tensor<0x2xf32>
  %x1 = arith.constant dense<2.0> : tensor<1x1xf32>
  %old = arith.constant dense<7.0> : tensor<1x1xf32>
  %z1 = moe.router_logits %x1, %x1 outs(%old : tensor<1x1xf32>)
      : tensor<1x1xf32>, tensor<1x1xf32> -> tensor<1x1xf32>
  return %z, %z1 : tensor<0x2xf32>, tensor<1x1xf32>
}
