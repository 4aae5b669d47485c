// RUN: moe-opt %s --moe-add-destinations | FileCheck %s
// RUN: moe-opt %s --moe-add-destinations | moe-opt --moe-add-destinations | FileCheck %s

// CHECK-LABEL: func @one_for_each_result
// CHECK-SAME:    (%[[S:.+]]: tensor<?x8xf32>)
// CHECK:         %[[T:.+]] = tensor.dim %[[S]]
// CHECK:         %[[I:.+]] = tensor.empty(%[[T]]) : tensor<?x2xi32>
// CHECK:         %[[W:.+]] = tensor.empty(%[[T]]) : tensor<?x2xf32>
// CHECK:         moe.top_k %[[S]], k = 2 outs(%[[I]], %[[W]] :
func.func @one_for_each_result(%s: tensor<?x8xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %i, %w = moe.top_k %s, k = 2 : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// CHECK-LABEL: func @keep_destination
// CHECK-SAME:    (%[[X:.+]]: tensor<?x3xf32>, %[[W:.+]]: tensor<5x3xf32>, %[[R:.+]]: tensor<?x5xf32>)
// CHECK-NOT:     tensor.empty
// CHECK:         nn.linear %[[X]], %[[W]] outs(%[[R]] : tensor<?x5xf32>) accumulate
func.func @keep_destination(%x: tensor<?x3xf32>, %w: tensor<5x3xf32>, %r: tensor<?x5xf32>) -> tensor<?x5xf32> {
  %y = nn.linear %x, %w outs(%r : tensor<?x5xf32>) accumulate
      : tensor<?x3xf32>, tensor<5x3xf32> -> tensor<?x5xf32>
  return %y : tensor<?x5xf32>
}

// Two products must not share a buffer, nor one zero fill.
// CHECK-LABEL: func @split_shared
// CHECK-DAG:     %[[E0:.+]] = tensor.empty
// CHECK-DAG:     %[[E1:.+]] = tensor.empty
// CHECK-DAG:     %[[F0:.+]] = linalg.fill ins(%{{.+}} : f32) outs(%[[E0]]
// CHECK-DAG:     %[[F1:.+]] = linalg.fill ins(%{{.+}} : f32) outs(%[[E1]]
// CHECK-DAG:     nn.linear %{{.+}}, %{{.+}} outs(%[[F0]]
// CHECK-DAG:     nn.linear %{{.+}}, %{{.+}} outs(%[[F1]]
func.func @split_shared(%x: tensor<4x3xf32>, %w: tensor<5x3xf32>) -> (tensor<4x5xf32>, tensor<4x5xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x5xf32>) -> tensor<4x5xf32>
  %a = nn.linear %x, %w outs(%f : tensor<4x5xf32>) accumulate
      : tensor<4x3xf32>, tensor<5x3xf32> -> tensor<4x5xf32>
  %b = nn.linear %x, %w outs(%f : tensor<4x5xf32>) accumulate
      : tensor<4x3xf32>, tensor<5x3xf32> -> tensor<4x5xf32>
  return %a, %b : tensor<4x5xf32>, tensor<4x5xf32>
}

// What nothing uses stays as it is.
// CHECK-LABEL: func @unused
// CHECK:         tensor.empty
// CHECK:         linalg.fill
// CHECK-NEXT:    return
func.func @unused() {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return
}
