// RUN: moe-opt %s --moe-interpret | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 | FileCheck %s
// RUN: moe-opt %s --moe-narrow-operands --moe-interpret | FileCheck %s

// Narrow rows are exact; sums and epilogues are f32. 255 + 2 = 257 is no bf16:
// halfway between 256 and 258, to even; 257 * 3 = 771, not 256 * 3 = 768, and
// 771 is nearest to 772. -257 likewise.
// CHECK:      dense<{{\[\[}}2.560000e+02, -2.560000e+02]]> : tensor<1x2xbf16>
// CHECK-NEXT: dense<{{\[\[}}7.720000e+02, -7.720000e+02]]> : tensor<1x2xbf16>
// f16 holds 257 and 771.
// CHECK-NEXT: dense<{{\[\[}}7.710000e+02, -7.710000e+02]]> : tensor<1x2xf16>
func.func @main() -> (tensor<1x2xbf16>, tensor<1x2xbf16>, tensor<1x2xf16>) {
  %x = arith.constant dense<[[255.0, 2.0]]> : tensor<1x2xbf16>
  %w = arith.constant dense<[[1.0, 1.0], [-1.0, -1.0]]> : tensor<2x2xbf16>
  %b = arith.constant dense<[[[1.0, 1.0], [-1.0, -1.0]]]> : tensor<1x2x2xbf16>
  %o = arith.constant dense<[0, 1]> : tensor<2xi32>
  %0 = nn.linear %x, %w : tensor<1x2xbf16>, tensor<2x2xbf16> -> tensor<1x2xbf16>
  %1 = moe.grouped_matmul %x groups(%o : tensor<2xi32>)
      weights(%b : tensor<1x2x2xbf16>) : tensor<1x2xbf16> -> tensor<1x2xbf16> {
  ^bb0(%s: f32):
    %three = arith.constant 3.0 : f32
    %y = nn.mul %s, %three : f32
    moe.yield %y : f32
  }
  %2 = moe.grouped_matmul %x groups(%o : tensor<2xi32>)
      weights(%b : tensor<1x2x2xbf16>) : tensor<1x2xbf16> -> tensor<1x2xf16> {
  ^bb0(%s: f32):
    %three = arith.constant 3.0 : f32
    %y = nn.mul %s, %three : f32
    moe.yield %y : f32
  }
  return %0, %1, %2 : tensor<1x2xbf16>, tensor<1x2xbf16>, tensor<1x2xf16>
}
