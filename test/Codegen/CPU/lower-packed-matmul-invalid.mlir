// RUN: moe-opt %s --verify-diagnostics --moe-lower-packed-matmul

func.func @tensors(%x: tensor<?x4xf32>, %w: tensor<1x1x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{must be on memrefs with static weights: run one-shot-bufferize first}}
  %y = moe.packed_matmul %x, %w panels<columns = 4, parts = 1, lanes = 4, vectors = 1> tile_rows = 1
      : tensor<?x4xf32>, tensor<1x1x4x4xf32> -> tensor<?x4xf32> {
  ^bb0(%s: f32):
    moe.yield %s : f32
  }
  return %y : tensor<?x4xf32>
}
