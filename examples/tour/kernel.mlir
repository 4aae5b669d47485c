// What is left of `nn.linear` once weights are packed and tensors are buffers.
func.func @linear(%x: memref<?x32xf32>, %w: memref<1x2x32x16xf32>, %y: memref<?x32xf32>) {
  moe.packed_matmul %x, %w panels<columns = 32, parts = 1, lanes = 8, vectors = 2> tile_rows = 2
      outs(%y : memref<?x32xf32>) : memref<?x32xf32>, memref<1x2x32x16xf32> {
  ^bb0(%sum: f32):
    moe.yield %sum : f32
  }
  return
}
