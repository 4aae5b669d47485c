// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// Two query heads share one key/value head. All scores are 0, so the result is
// the mean of the values seen: token 0 sees 1; token 1 sees 1 and 5. Row 1 of
// the batch has one token behind it (7): it sees 7, 9 and then 7, 9, 11. Keys
// and values that are not there are NaN and reach nothing.
// CHECK:      dense<{{\[\[}}1.000000e+00, 1.000000e+00], [3.000000e+00, 3.000000e+00], [8.000000e+00, 8.000000e+00], [9.000000e+00, 9.000000e+00]]> : tensor<4x2xf32>
// A window of 1 is the token itself, of 2 also the one before.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.000000e+00, 1.000000e+00], [5.000000e+00, 5.000000e+00], [9.000000e+00, 9.000000e+00], [1.100000e+01, 1.100000e+01]]> : tensor<4x2xf32>
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.000000e+00, 1.000000e+00], [3.000000e+00, 3.000000e+00], [8.000000e+00, 8.000000e+00], [1.000000e+01, 1.000000e+01]]> : tensor<4x2xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<4x2xf32>, tensor<4x2xf32>, tensor<4x2xf32>) {
  %q = arith.constant dense<1.0> : tensor<4x2xf32>
  %k = arith.constant dense<[[[[[0x7FC00000]], [[0x7FC00000]], [[0x7FC00000]]],
                              [[[0x7FC00000]], [[0x7FC00000]], [[0x7FC00000]]]],
                             [[[[0.0]], [[0.0]], [[0x7FC00000]]],
                              [[[0.0]], [[0.0]], [[0.0]]]]]> : tensor<2x2x3x1x1xf32>
  %v = arith.constant dense<[[[[[0x7FC00000]], [[0x7FC00000]], [[0x7FC00000]]],
                              [[[0x7FC00000]], [[0x7FC00000]], [[0x7FC00000]]]],
                             [[[[1.0]], [[5.0]], [[0x7FC00000]]],
                              [[[7.0]], [[9.0]], [[11.0]]]]]> : tensor<2x2x3x1x1xf32>
  %n = arith.constant dense<[0, 1]> : tensor<2xi64>
  %l = arith.constant 1 : index
  %a = nn.attention %q, %k, %v, %n layer(%l) {heads = 2 : i64, scale = 1.0 : f64}
      : tensor<4x2xf32>, tensor<2x2x3x1x1xf32>, tensor<2x2x3x1x1xf32>, tensor<2xi64> -> tensor<4x2xf32>
  %b = nn.attention %q, %k, %v, %n layer(%l) {heads = 2 : i64, scale = 1.0 : f64, window = 1 : i64}
      : tensor<4x2xf32>, tensor<2x2x3x1x1xf32>, tensor<2x2x3x1x1xf32>, tensor<2xi64> -> tensor<4x2xf32>
  %c = nn.attention %q, %k, %v, %n layer(%l) {heads = 2 : i64, scale = 1.0 : f64, window = 2 : i64}
      : tensor<4x2xf32>, tensor<2x2x3x1x1xf32>, tensor<2x2x3x1x1xf32>, tensor<2xi64> -> tensor<4x2xf32>
  return %a, %b, %c : tensor<4x2xf32>, tensor<4x2xf32>, tensor<4x2xf32>
}

// -----

// Head h reads key/value head h div 2; scale 2 * ln 3 makes weights 9 : 1 of
// keys 1 and 0 (head 1 of q is -1: 1 : 9). Values 10 and 20 | 100 and 200.
// CHECK:      dense<{{\[\[}}{{1.100000e[+]01|10.99999[0-9]*|11.00000[0-9]*}}, {{1.900000e[+]01|18.99999[0-9]*|19.00000[0-9]*}}, {{1.100000e[+]02|109.9999[0-9]*|110.0000[0-9]*}}, {{1.900000e[+]02|189.9999[0-9]*|190.0000[0-9]*}}]]> : tensor<1x4xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<1x4xf32> {
  %q = arith.constant dense<[[1.0, -1.0, 1.0, -1.0]]> : tensor<1x4xf32>
  %k = arith.constant dense<[[[[[1.0], [1.0]], [[0.0], [0.0]]]]]> : tensor<1x1x2x2x1xf32>
  %v = arith.constant dense<[[[[[10.0], [100.0]], [[20.0], [200.0]]]]]> : tensor<1x1x2x2x1xf32>
  %n = arith.constant dense<1> : tensor<1xi64>
  %l = arith.constant 0 : index
  %a = nn.attention %q, %k, %v, %n layer(%l) {heads = 4 : i64, scale = 2.1972245773362196 : f64}
      : tensor<1x4xf32>, tensor<1x1x2x2x1xf32>, tensor<1x1x2x2x1xf32>, tensor<1xi64> -> tensor<1x4xf32>
  return %a : tensor<1x4xf32>
}

// -----

// Across blocks of 16 keys: key 16 has a score that is larger by 1000, so what
// came before is scaled to nothing, and does not overflow either.
// CHECK:      dense<4.200000e+01> : tensor<1x1xf32>
// No rows at all, and the destination form.
// CHECK-NEXT: {{.*}}dense<> : tensor<0x1xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<1x1xf32>, tensor<0x1xf32>) {
  %q = arith.constant dense<1.0> : tensor<1x1xf32>
  %zeros = arith.constant dense<0.0> : tensor<1x1x17x1x1xf32>
  %n = arith.constant dense<16> : tensor<1xi64>
  %l = arith.constant 0 : index
  %big = arith.constant dense<1000.0> : tensor<1x1xf32>
  %v16 = arith.constant dense<42.0> : tensor<1x1xf32>
  %k = nn.cache_append %big, %n layer(%l) outs(%zeros : tensor<1x1x17x1x1xf32>)
      : tensor<1x1xf32>, tensor<1xi64> -> tensor<1x1x17x1x1xf32>
  %v = nn.cache_append %v16, %n layer(%l) outs(%zeros : tensor<1x1x17x1x1xf32>)
      : tensor<1x1xf32>, tensor<1xi64> -> tensor<1x1x17x1x1xf32>
  %a = nn.attention %q, %k, %v, %n layer(%l) {heads = 1 : i64, scale = 1.0 : f64}
      : tensor<1x1xf32>, tensor<1x1x17x1x1xf32>, tensor<1x1x17x1x1xf32>, tensor<1xi64> -> tensor<1x1xf32>
  %q0 = arith.constant dense<> : tensor<0x1xf32>
  %k0 = arith.constant dense<> : tensor<1x0x17x1x1xf32>
  %n0 = arith.constant dense<> : tensor<0xi64>
  %a0 = nn.attention %q0, %k0, %k0, %n0 layer(%l) outs(%q0 : tensor<0x1xf32>) {heads = 1 : i64, scale = 1.0 : f64}
      : tensor<0x1xf32>, tensor<1x0x17x1x1xf32>, tensor<1x0x17x1x1xf32>, tensor<0xi64> -> tensor<0x1xf32>
  return %a, %a0 : tensor<1x1xf32>, tensor<0x1xf32>
}
