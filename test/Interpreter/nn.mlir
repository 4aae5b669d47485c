// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// linear: [1 * 3 + 2 * 4 + 0.5, ...] and, with accumulate, added to 100.
// CHECK:      dense<{{\[\[}}1.150000e+01, 0.000000e+00]]> : tensor<1x2xf32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.115000e+02, 1.000000e+02]]> : tensor<1x2xf32>
// CHECK-NEXT: {{.*}}dense<> : tensor<0x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<1x2xf32>, tensor<1x2xf32>, tensor<0x2xf32>) {
  %x = arith.constant dense<[[1.0, 2.0]]> : tensor<1x2xf32>
  %w = arith.constant dense<[[3.0, 4.0], [-1.0, 0.25]]> : tensor<2x2xf16>
  %b = arith.constant dense<0.5> : tensor<2xf32>
  %old = arith.constant dense<100.0> : tensor<1x2xf32>
  %none = arith.constant dense<> : tensor<0x2xf32>
  %y = nn.linear %x, %w bias(%b : tensor<2xf32>) : tensor<1x2xf32>, tensor<2x2xf16> -> tensor<1x2xf32>
  %z = nn.linear %x, %w bias(%b : tensor<2xf32>) outs(%old : tensor<1x2xf32>) accumulate
      : tensor<1x2xf32>, tensor<2x2xf16> -> tensor<1x2xf32>
  %e = nn.linear %none, %w : tensor<0x2xf32>, tensor<2x2xf16> -> tensor<0x2xf32>
  return %y, %z, %e : tensor<1x2xf32>, tensor<1x2xf32>, tensor<0x2xf32>
}

// -----

// Rows of the table, batch-major; row S - 1 of each sequence.
// CHECK:      dense<{{\[\[}}3.000000e+00], [1.000000e+00], [2.000000e+00], [3.000000e+00]]> : tensor<4x1xf32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.000000e+00], [3.000000e+00]]> : tensor<2x1xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<4x1xf32>, tensor<2x1xf32>) {
  %i = arith.constant dense<[[2, 0], [1, 2]]> : tensor<2x2xi64>
  %t = arith.constant dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xbf16>
  %x = nn.embedding %i, %t : tensor<2x2xi64>, tensor<3x1xbf16> -> tensor<4x1xf32>
  %l = nn.last_rows %x, %i : tensor<4x1xf32>, tensor<2x2xi64> -> tensor<2x1xf32>
  return %x, %l : tensor<4x1xf32>, tensor<2x1xf32>
}

// -----

// Mean of squares 16, eps 9: x / 5 * weight. A row of zeros stays zero.
// CHECK:      dense<{{\[\[}}8.000000e-01, 1.600000e+00], [0.000000e+00, 0.000000e+00]]> : tensor<2x2xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<2x2xf32> {
  %x = arith.constant dense<[[4.0, 4.0], [0.0, 0.0]]> : tensor<2x2xf32>
  %w = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = nn.rms_norm %x, %w {eps = 9.0 : f64} : tensor<2x2xf32>, tensor<2xf32> -> tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}

// -----

// Positions are lengths[b] + s = 0, 1 and 5, 6.
// CHECK:      dense<{{\[\[}}1.000000e+00, 1.000000e+00], [0.540302277, 0.995004177], [0.283662{{[0-9]*}}, 0.877582{{[0-9]*}}], [0.96017{{[0-9]*}}, 0.825335{{[0-9]*}}]]> : tensor<4x2xf32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}0.000000e+00, 0.000000e+00], [0.841470957, 0.099833{{[0-9]*}}], [-0.958924{{[0-9]*}}, 0.47942{{[0-9]*}}], [-0.27941{{[0-9]*}}, 0.56464{{[0-9]*}}]]> : tensor<4x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<4x2xf32>, tensor<4x2xf32>) {
  %i = arith.constant dense<0> : tensor<2x2xi64>
  %n = arith.constant dense<[0, 5]> : tensor<2xi64>
  %c, %s = nn.rotary_table %i, %n {inv_freq = array<f32: 1.0, 0.1>}
      : tensor<2x2xi64>, tensor<2xi64> -> tensor<4x2xf32>, tensor<4x2xf32>
  return %c, %s : tensor<4x2xf32>, tensor<4x2xf32>
}

// -----

// Two heads of width 4: pairs (a, b) = (1, 3), (2, 4) | (5, 7), (6, 8);
// cos = [2, 0], sin = [1, -1]: (a c - b s, b c + a s).
// CHECK:      dense<{{\[\[}}-1.000000e+00, 4.000000e+00, 7.000000e+00, -2.000000e+00, 3.000000e+00, 8.000000e+00, 1.900000e+01, -6.000000e+00]]> : tensor<1x8xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<1x8xf32> {
  %x = arith.constant dense<[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]> : tensor<1x8xf32>
  %c = arith.constant dense<[[2.0, 0.0]]> : tensor<1x2xf32>
  %s = arith.constant dense<[[1.0, -1.0]]> : tensor<1x2xf32>
  %y = nn.rotary %x, %c, %s {heads = 2 : i64}
      : tensor<1x8xf32>, tensor<1x2xf32>, tensor<1x2xf32> -> tensor<1x8xf32>
  return %y : tensor<1x8xf32>
}

// -----

// Layer 1 of 2; row 0 has 1 token and gets a second, row 1 gets its first.
// CHECK:      dense<{{\[\[\[\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]]], {{\[\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]]]], {{\[\[\[\[}}0.000000e+00]], {{\[\[}}5.000000e+00]]], {{\[\[\[}}6.000000e+00]], {{\[\[}}0.000000e+00]]]]]> : tensor<2x2x2x1x1xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<2x2x2x1x1xf32> {
  %x = arith.constant dense<[[5.0], [6.0]]> : tensor<2x1xf32>
  %n = arith.constant dense<[1, 0]> : tensor<2xi64>
  %l = arith.constant 1 : index
  %old = arith.constant dense<0.0> : tensor<2x2x2x1x1xf32>
  %c = nn.cache_append %x, %n layer(%l) outs(%old : tensor<2x2x2x1x1xf32>)
      : tensor<2x1xf32>, tensor<2xi64> -> tensor<2x2x2x1x1xf32>
  return %c : tensor<2x2x2x1x1xf32>
}

// -----

// Elementwise. exp(-inf) and NaN: silu(-inf) is NaN as the formula says.
// CHECK:      dense<[0.000000e+00, {{0.73105[0-9]*}}, {{-0.26894[0-9]*}}]> : tensor<3xf32>
// CHECK-NEXT: {{.*}}dense<[0.000000e+00, {{0.84134[0-9]*}}, {{-0.15865[0-9]*}}]> : tensor<3xf32>
// CHECK-NEXT: {{.*}}dense<[0.000000e+00, {{8.411920e-01|0.84119[0-9]*}}, {{-1.588080e-01|-0.15880[0-9]*}}]> : tensor<3xf32>
// CHECK-NEXT: {{.*}}dense<[0.000000e+00, 1.000000e+00, 0.000000e+00, 0x7FC00000]> : tensor<4xf32>
// CHECK-NEXT: {{.*}}dense<[0.000000e+00, 4.000000e+00, 0.000000e+00]> : tensor<3xf32>
// CHECK-NEXT: {{.*}}dense<[0.000000e+00, 4.000000e+00, 4.000000e+00]> : tensor<3xf32>
// CHECK-NEXT: {{.*}}dense<[0.000000e+00, 4.000000e+00, -4.000000e+00]> : tensor<3xf32>
// CHECK-NEXT: {{.*}}arith.constant 7.500000e-01 : f32
// CHECK-NEXT: return
func.func @main() -> (tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, f32) {
  %x = arith.constant dense<[0.0, 1.0, -1.0]> : tensor<3xf32>
  %y = arith.constant dense<[0.0, 2.0, -2.0]> : tensor<3xf32>
  %n = arith.constant dense<[-0.0, 1.0, -1.0, 0x7FC00000]> : tensor<4xf32>
  %a = nn.silu %x : tensor<3xf32>
  %b = nn.gelu %x : tensor<3xf32>
  %c = nn.gelu_tanh %x : tensor<3xf32>
  %d = nn.relu %n : tensor<4xf32>
  %e = nn.squared_relu %y : tensor<3xf32>
  %f = nn.mul %y, %y : tensor<3xf32>
  %g = nn.add %y, %y : tensor<3xf32>
  %p = arith.constant 0.5 : f32
  %q = arith.constant 1.5 : f32
  %h = nn.mul %p, %q : f32
  return %a, %b, %c, %d, %e, %f, %g, %h : tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<4xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, f32
}
