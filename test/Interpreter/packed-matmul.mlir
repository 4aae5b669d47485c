// RUN: moe-opt %s --moe-interpret --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-interpret=f64 --split-input-file | FileCheck %s

// Two parts, N = 3 columns in panels of 2 (one lane, two vectors), K = 1:
// part 0 has columns 1, 2, 3, part 1 has 10, 20, 30; a panel's row is
// [p0 c0, p0 c1, p1 c0, p1 c1]. The epilogue adds: a * 11, a * 22, a * 33.
// CHECK:      dense<{{\[\[}}1.100000e+01, 2.200000e+01, 3.300000e+01], [2.200000e+01, 4.400000e+01, 6.600000e+01]]> : tensor<2x3xf32>
// accumulate: out = out + value.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.110000e+02, 1.220000e+02, 1.330000e+02], [1.220000e+02, 1.440000e+02, 1.660000e+02]]> : tensor<2x3xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %a = arith.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %b = arith.constant dense<[[[[1.0, 2.0, 10.0, 20.0]], [[3.0, 0.0, 30.0, 0.0]]]]> : tensor<1x2x1x4xf32>
  %old = arith.constant dense<100.0> : tensor<2x3xf32>
  %x = moe.packed_matmul %a, %b
      panels<columns = 3, parts = 2, lanes = 1, vectors = 2> tile_rows = 6
      : tensor<2x1xf32>, tensor<1x2x1x4xf32> -> tensor<2x3xf32> {
  ^bb0(%p: f32, %q: f32):
    %m = nn.add %p, %q : f32
    moe.yield %m : f32
  }
  %y = moe.packed_matmul %a, %b
      panels<columns = 3, parts = 2, lanes = 1, vectors = 2> tile_rows = 6 accumulate
      outs(%old : tensor<2x3xf32>)
      : tensor<2x1xf32>, tensor<1x2x1x4xf32> -> tensor<2x3xf32> {
  ^bb0(%p: f32, %q: f32):
    %m = nn.add %p, %q : f32
    moe.yield %m : f32
  }
  return %x, %y : tensor<2x3xf32>, tensor<2x3xf32>
}

// -----

// bf16, four vectors of two lanes: lane j of vectors 0 and 1 side by side, then
// of 2 and 3. Part 0 is columns 1 2 3 4 = vectors (1 2) (3 4), so 1 3 2 4;
// part 1 is 10 20 30 40, so 10 30 20 40. One part minus nothing: p + q.
// CHECK:      dense<{{\[\[}}1.100000e+01, 2.200000e+01, 3.300000e+01, 4.400000e+01]]> : tensor<1x4xf32>
// An odd number of vectors (3 of one lane) is not interleaved.
// CHECK-NEXT: {{.*}}dense<{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]> : tensor<1x3xf32>
// CHECK-NEXT: return
func.func @main() -> (tensor<1x4xf32>, tensor<1x3xf32>) {
  %a = arith.constant dense<1.0> : tensor<1x1xf32>
  %b = arith.constant dense<[[[[1.0, 3.0, 2.0, 4.0, 10.0, 30.0, 20.0, 40.0]]]]> : tensor<1x1x1x8xbf16>
  %c = arith.constant dense<[[[[1.0, 2.0, 3.0]]]]> : tensor<1x1x1x3xbf16>
  %x = moe.packed_matmul %a, %b
      panels<columns = 4, parts = 2, lanes = 2, vectors = 2> tile_rows = 1
      : tensor<1x1xf32>, tensor<1x1x1x8xbf16> -> tensor<1x4xf32> {
  ^bb0(%p: f32, %q: f32):
    %m = nn.add %p, %q : f32
    moe.yield %m : f32
  }
  %y = moe.packed_matmul %a, %c
      panels<columns = 3, parts = 1, lanes = 1, vectors = 3> tile_rows = 1
      : tensor<1x1xf32>, tensor<1x1x1x3xbf16> -> tensor<1x3xf32> {
  ^bb0(%p: f32):
    moe.yield %p : f32
  }
  return %x, %y : tensor<1x4xf32>, tensor<1x3xf32>
}

// -----

// Tiles: expert 1 on row 1, expert 0 on row 0; the third tile is not counted.
// gather swaps the rows, scatter sends both to token 0 of two.
// 100 + 2 * (10 * 5 + 3) + 1 * (20 * 4 + 1).
// CHECK:      dense<{{\[\[}}2.870000e+02], [1.000000e+02]]> : tensor<2x1xf32>
// CHECK-NEXT: return
func.func @main() -> tensor<2x1xf32> {
  %a = arith.constant dense<[[10.0], [20.0]]> : tensor<2x1xf32>
  %b = arith.constant dense<[[[[4.0]]], [[[5.0]]]]> : tensor<2x1x1x1xf32>
  %c = arith.constant dense<[[1.0], [3.0]]> : tensor<2x1xf32>
  %tiles = arith.constant dense<[[0, 0, 1, 1], [1, 1, 1, 1], [7, 7, 7, 7]]> : tensor<3x4xi32>
  %n = arith.constant dense<2> : tensor<1xi32>
  %g = arith.constant dense<[1, 0]> : tensor<2xi32>
  %t = arith.constant dense<0> : tensor<2xi32>
  %w = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %old = arith.constant dense<100.0> : tensor<2x1xf32>
  %x = moe.packed_matmul %a, %b
      panels<columns = 1, parts = 1, lanes = 1, vectors = 1> tile_rows = 1
      tiles(%tiles, %n : tensor<3x4xi32>, tensor<1xi32>)
      biases(%c : tensor<2x1xf32>) gather(%g : tensor<2xi32>)
      scatter(%t, %w : tensor<2xi32>, tensor<2xf32>) outs(%old : tensor<2x1xf32>)
      : tensor<2x1xf32>, tensor<2x1x1x1xf32> -> tensor<2x1xf32> {
  ^bb0(%p: f32):
    moe.yield %p : f32
  }
  return %x : tensor<2x1xf32>
}
