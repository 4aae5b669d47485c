// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s --check-prefix=F64

// The norm adds 16 lanes pairwise, not in sequence: column 0 is 4096 and columns
// 1 to 16 are 1. Lane 0 is 2^24 + 1 = 2^24 (column 16 is lost). The others meet
// among themselves first: lanes 8; 4 + 12; ... so 15 = 1 + 2 + 4 + 8 arrives as
// 1 (lost: 2^24 + 1 rounds to even), 2, 4 and 8, giving 2^24 + 14.
// mean = (2^24 + 14) / 17, and scaled by eps = 0: y^2 * mean = x^2.
// In sequence all ones would be lost: 4.12310563.
// CHECK: dense<{{\[\[}}4.1231041, {{.*}} : tensor<1x17xf32>
// F64:   dense<{{\[\[}}4.12310362, {{.*}} : tensor<1x17xf32>
func.func @main() -> tensor<1x17xf32> {
  %x = arith.constant dense<[[4096.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]> : tensor<1x17xf32>
  %w = arith.constant dense<1.0> : tensor<17xf32>
  %y = nn.rms_norm %x, %w {eps = 0.0 : f64} : tensor<1x17xf32>, tensor<17xf32> -> tensor<1x17xf32>
  return %y : tensor<1x17xf32>
}

// -----

// In f32 each op rounds to f32; in f64 none does until the result is printed.
// CHECK: dense<0.000000e+00> : tensor<1xf32>
// F64:   dense<1.000000e+00> : tensor<1xf32>
func.func @main() -> tensor<1xf32> {
  %x = arith.constant dense<16777216.0> : tensor<1xf32>
  %one = arith.constant dense<1.0> : tensor<1xf32>
  %minus = arith.constant dense<-16777216.0> : tensor<1xf32>
  %s = nn.add %x, %one : tensor<1xf32>
  %d = nn.add %s, %minus : tensor<1xf32>
  return %d : tensor<1xf32>
}

// -----

// Products and sums of rotary are rounded one by one, not fused: with
// a = b = c = s = 4097 the difference of equal products is 0, and a fused form
// would give the rounding error of 4097^2, which is 1.
// CHECK: dense<{{\[\[}}0.000000e+00, 0x4C001000]]> : tensor<1x2xf32>
// F64:   dense<{{\[\[}}0.000000e+00, 0x4C001000]]> : tensor<1x2xf32>
func.func @main() -> tensor<1x2xf32> {
  %x = arith.constant dense<4097.0> : tensor<1x2xf32>
  %c = arith.constant dense<4097.0> : tensor<1x1xf32>
  %y = nn.rotary %x, %c, %c {heads = 1 : i64}
      : tensor<1x2xf32>, tensor<1x1xf32>, tensor<1x1xf32> -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}
