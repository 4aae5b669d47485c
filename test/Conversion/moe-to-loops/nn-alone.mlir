// RUN: moe-opt %s --convert-moe-to-loops | FileCheck %s

// A module without one moe op: its loops are moe.parallel all the same.
// CHECK-LABEL: func @linear
// CHECK:         moe.parallel
func.func @linear(%x: memref<?x8xf32>, %w: memref<8x8xf32>, %out: memref<?x8xf32>) {
  nn.linear %x, %w outs(%out : memref<?x8xf32>) : memref<?x8xf32>, memref<8x8xf32>
  return
}
