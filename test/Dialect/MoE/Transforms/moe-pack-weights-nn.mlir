// RUN: moe-opt %s --moe-pack-weights | FileCheck %s

// A module without one moe op or attribute.
// CHECK-LABEL: func @linear
// CHECK:         nn.linear
func.func @linear(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x8xf32> {
  %y = nn.linear %x, %w : tensor<?x8xf32>, tensor<8x8xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
