// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-expand-layer --moe-interpret --split-input-file | FileCheck %s

// Expert e multiplies by scale[e] = 1, 2, 4; expert 1 gets no token, and its NaN
// reaches nothing. Token 0: 10 + 0.5 * 4 * x + 0.25 * x; token 1 drops its
// second slot; token 2 has no expert; token 3 goes to expert 0 twice.
// CHECK:      dense<{{\[\[}}1.225000e+01, 1.450000e+01], [2.200000e+01, 2.600000e+01], [1.000000e+01, 1.000000e+01], [1.300000e+01, 7.000000e+00]]> : tensor<4x2xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<4x2xf32> {
  %x = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [1.0, -1.0]]> : tensor<4x2xf32>
  %init = arith.constant dense<10.0> : tensor<4x2xf32>
  %i = arith.constant dense<[[2, 0], [2, 3], [-1, -1], [0, 0]]> : tensor<4x2xi32>
  %w = arith.constant dense<[[0.5, 0.25], [1.0, 9.0], [9.0, 9.0], [1.0, 2.0]]> : tensor<4x2xf32>
  %scales = arith.constant dense<[[[1.0, 0.0], [0.0, 1.0]],
                                  [[0x7FC00000, 0.0], [0.0, 2.0]],
                                  [[4.0, 0.0], [0.0, 4.0]]]> : tensor<3x2x2xf32>
  %a = moe.assign %i, %w : tensor<4x2xi32>, tensor<4x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  %y = moe.layer %x, %a outs(%init)
      : tensor<4x2xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<4x2xf32>
  expert(%rows, %e, %s = %scales: tensor<3x2x2xf32>) {
    %o = nn.linear %rows, %s : tensor<?x2xf32>, tensor<2x2xf32> -> tensor<?x2xf32>
    moe.yield %o : tensor<?x2xf32>
  }
  return %y : tensor<4x2xf32>
}

// -----

// Kinds: experts 0 and 2 are of kind 1 (identity), expert 1 is the only one of
// kind 0 and owns slab 0 of its stack. apply = input squares the weight of
// relu^2: token 0 gets (2 * 3)^2 = 36, token 1 gets 2 * 1 from the identity.
// CHECK:      dense<{{\[\[}}3.600000e+01], [2.000000e+00]]> : tensor<2x1xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<2x1xf32> {
  %x = arith.constant dense<[[3.0], [1.0]]> : tensor<2x1xf32>
  %init = arith.constant dense<0.0> : tensor<2x1xf32>
  %i = arith.constant dense<[[1], [2]]> : tensor<2x1xi32>
  %w = arith.constant dense<2.0> : tensor<2x1xf32>
  %one = arith.constant dense<1.0> : tensor<1x1x1xf32>
  %a = moe.assign %i, %w : tensor<2x1xi32>, tensor<2x1xf32>
      -> !moe.assignment<experts = 3, max_per_token = 1>
  %y = moe.layer %x, %a outs(%init) kinds = [1, 0, 1] apply = input
      : tensor<2x1xf32>, !moe.assignment<experts = 3, max_per_token = 1>, tensor<2x1xf32>
  expert(%rows, %e, %s = %one: tensor<1x1x1xf32>) {
    %l = nn.linear %rows, %s : tensor<?x1xf32>, tensor<1x1xf32> -> tensor<?x1xf32>
    %o = nn.squared_relu %l : tensor<?x1xf32>
    moe.yield %o : tensor<?x1xf32>
  }
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x1xf32>
  }
  return %y : tensor<2x1xf32>
}

// -----

// All tokens on one expert; the index argument is the expert's number: every
// row becomes its element 3 of the table.
// CHECK:      dense<7.000000e+00> : tensor<3x1xf32>
// No tokens at all.
// CHECK-NEXT: {{.*}}dense<> : tensor<0x1xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<3x1xf32>, tensor<0x1xf32>) {
  %x = arith.constant dense<1.0> : tensor<3x1xf32>
  %init = arith.constant dense<0.0> : tensor<3x1xf32>
  %i = arith.constant dense<3> : tensor<3x1xi32>
  %w = arith.constant dense<1.0> : tensor<3x1xf32>
  %a = moe.assign %i, %w : tensor<3x1xi32>, tensor<3x1xf32>
      -> !moe.assignment<experts = 4, max_per_token = 1>
  %y = moe.layer %x, %a outs(%init)
      : tensor<3x1xf32>, !moe.assignment<experts = 4, max_per_token = 1>, tensor<3x1xf32>
  expert(%rows, %e) {
    %table = arith.constant dense<[4.0, 5.0, 6.0, 7.0]> : tensor<4xf32>
    %v = tensor.extract %table[%e] : tensor<4xf32>
    %o = linalg.fill ins(%v : f32) outs(%rows : tensor<?x1xf32>) -> tensor<?x1xf32>
    moe.yield %o : tensor<?x1xf32>
  }
  %x0 = arith.constant dense<> : tensor<0x1xf32>
  %i0 = arith.constant dense<> : tensor<0x1xi32>
  %a0 = moe.assign %i0, %x0 : tensor<0x1xi32>, tensor<0x1xf32>
      -> !moe.assignment<experts = 4, max_per_token = 1>
  %y0 = moe.layer %x0, %a0 outs(%x0)
      : tensor<0x1xf32>, !moe.assignment<experts = 4, max_per_token = 1>, tensor<0x1xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x1xf32>
  }
  return %y, %y0 : tensor<3x1xf32>, tensor<0x1xf32>
}

// -----

// Combine adds in ascending expert index, whatever the slots say: 2^24 + 1 + 1
// is 2^24, but 1 + 1 + 2^24 is 2^24 + 2 in f32. Slots are (2, 0, 1).
// (In f64 both are 2^24 + 2.)
// CHECK:      dense<0x4B800001> : tensor<1x1xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<1x1xf32> {
  %x = arith.constant dense<1.0> : tensor<1x1xf32>
  %init = arith.constant dense<0.0> : tensor<1x1xf32>
  %i = arith.constant dense<[[2, 0, 1]]> : tensor<1x3xi32>
  %w = arith.constant dense<[[16777216.0, 1.0, 1.0]]> : tensor<1x3xf32>
  %a = moe.assign %i, %w : tensor<1x3xi32>, tensor<1x3xf32>
      -> !moe.assignment<experts = 3, max_per_token = 3>
  %y = moe.layer %x, %a outs(%init)
      : tensor<1x1xf32>, !moe.assignment<experts = 3, max_per_token = 3>, tensor<1x1xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x1xf32>
  }
  return %y : tensor<1x1xf32>
}
