// RUN: moe-opt %s --canonicalize --split-input-file | FileCheck %s
// RUN: moe-opt %s --canonicalize --canonicalize --split-input-file | FileCheck %s

// The weights of the chosen experts are what top_k has returned.
// CHECK-LABEL: func @take_of_top_k
// CHECK:         %[[K:.+]]:2 = moe.top_k
// CHECK-NOT:     moe.take
// CHECK:         return %[[K]]#0, %[[K]]#1
func.func @take_of_top_k(%s: tensor<?x8xf32>)
    -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %i, %v = moe.top_k %s, k = 2
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %w = moe.take %s, %i : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<?x2xf32>
  return %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// Biased scores rank, so the weights are others.
// CHECK-LABEL: func @keep_take_of_unbiased_scores
// CHECK:         %[[W:.+]] = moe.take %arg0, %{{.+}}#0
// CHECK:         return %[[W]]
func.func @keep_take_of_unbiased_scores(%s: tensor<?x8xf32>, %b: tensor<8xf32>)
    -> tensor<?x2xf32> {
  %q = moe.add_selection_bias %s, %b
      : tensor<?x8xf32>, tensor<8xf32> -> tensor<?x8xf32>
  %i, %v = moe.top_k %q, k = 2
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %w = moe.take %s, %i : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<?x2xf32>
  return %w : tensor<?x2xf32>
}

// CHECK-LABEL: func @keep_take_of_other_indices
// CHECK:         moe.take
func.func @keep_take_of_other_indices(%s: tensor<?x8xf32>, %i: tensor<?x2xi32>)
    -> tensor<?x2xf32> {
  %w = moe.take %s, %i : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<?x2xf32>
  return %w : tensor<?x2xf32>
}

// The result lies in its destination; the weights lie elsewhere.
// CHECK-LABEL: func @keep_take_with_destination
// CHECK:         moe.take
func.func @keep_take_with_destination(%s: tensor<?x8xf32>,
                                      %out: tensor<?x2xf32>)
    -> tensor<?x2xf32> {
  %i, %v = moe.top_k %s, k = 2
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %w = moe.take %s, %i outs(%out : tensor<?x2xf32>)
      : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<?x2xf32>
  return %w : tensor<?x2xf32>
}

// CHECK-LABEL: func @keep_take_of_another_type
// CHECK:         moe.take
func.func @keep_take_of_another_type(%s: tensor<?x8xf32>) -> tensor<4x2xf32> {
  %i, %v = moe.top_k %s, k = 2
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %w = moe.take %s, %i : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<4x2xf32>
  return %w : tensor<4x2xf32>
}

// CHECK-LABEL: func @keep_take_on_memrefs
// CHECK:         moe.take
func.func @keep_take_on_memrefs(%s: memref<?x8xf32>, %i: memref<?x2xi32>,
                                %v: memref<?x2xf32>, %out: memref<?x2xf32>) {
  moe.top_k %s, k = 2 outs(%i, %v : memref<?x2xi32>, memref<?x2xf32>)
      : memref<?x8xf32>
  moe.take %s, %i outs(%out : memref<?x2xf32>)
      : memref<?x8xf32>, memref<?x2xi32>
  return
}

// CHECK-LABEL: func @scale_by_one
// CHECK-SAME:    (%[[W:.+]]: tensor<?x2xf32>)
// CHECK-NEXT:    return %[[W]]
func.func @scale_by_one(%w: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %0 = moe.scale %w by 1.0 : tensor<?x2xf32> -> tensor<?x2xf32>
  return %0 : tensor<?x2xf32>
}

// CHECK-LABEL: func @keep_scale_by_almost_one
// CHECK:         moe.scale
func.func @keep_scale_by_almost_one(%w: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %0 = moe.scale %w by 1.0000001 : tensor<?x2xf32> -> tensor<?x2xf32>
  return %0 : tensor<?x2xf32>
}

// CHECK-LABEL: func @keep_scale_with_destination
// CHECK:         moe.scale
func.func @keep_scale_with_destination(%w: tensor<?x2xf32>,
                                       %out: tensor<?x2xf32>)
    -> tensor<?x2xf32> {
  %0 = moe.scale %w by 1.0 outs(%out : tensor<?x2xf32>)
      : tensor<?x2xf32> -> tensor<?x2xf32>
  return %0 : tensor<?x2xf32>
}

// Two factors round twice, two divisions too: neither is one.
// CHECK-LABEL: func @keep_what_rounds
// CHECK:         moe.scale %{{.+}} by 3.0
// CHECK:         moe.scale %{{.+}} by 5.0
// CHECK:         moe.renormalize
// CHECK:         moe.renormalize
func.func @keep_what_rounds(%w: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %0 = moe.scale %w by 3.0 : tensor<?x2xf32> -> tensor<?x2xf32>
  %1 = moe.scale %0 by 5.0 : tensor<?x2xf32> -> tensor<?x2xf32>
  %2 = moe.renormalize %1 : tensor<?x2xf32> -> tensor<?x2xf32>
  %3 = moe.renormalize %2 : tensor<?x2xf32> -> tensor<?x2xf32>
  return %3 : tensor<?x2xf32>
}

// One clause: every expert is of its kind.
// CHECK-LABEL: func private @kinds_of_one_clause
// CHECK-NOT:     kinds
// CHECK:         return
func.func private @kinds_of_one_clause(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<3x4x4xf32>, %offsets: tensor<4xi32>)
    -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %y = moe.layer %x, %a outs(%x) kinds = [0, 0, 0]
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
        tensor<?x4xf32>
  expert(%rows, %e, %s = %w: tensor<3x4x4xf32>) {
    %0 = nn.linear %rows, %s
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  %z = moe.experts %x groups(%offsets) kinds = [0, 0, 0]
      : tensor<?x4xf32>, tensor<4xi32>
  expert(%rows, %e, %s = %w: tensor<3x4x4xf32>) {
    %0 = nn.linear %rows, %s
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return %y, %z : tensor<?x4xf32>, tensor<?x4xf32>
}

// CHECK-LABEL: func private @keep_kinds_of_two_clauses
// CHECK:         kinds = [0, 0, 1]
func.func private @keep_kinds_of_two_clauses(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>)
    -> tensor<?x4xf32> {
  %y = moe.layer %x, %a outs(%x) kinds = [0, 0, 1]
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
        tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  expert(%rows, %e) {
    %0 = nn.relu %rows : tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// A weight that an expert does not read goes, one that it has twice stays
// once; the clauses keep their own.
// CHECK-LABEL: func private @weights
// CHECK-SAME:    %[[V:[^:]+]]: tensor<2x4x4xf32>, %[[W:[^:]+]]: tensor<2x4x4xf32>, %{{.+}}: tensor<1x4xf32>, %[[B:[^:]+]]: tensor<1x4x4xf32>)
// CHECK:         moe.layer
// CHECK-NEXT:    expert(%[[R:.+]], %{{.+}}, %[[S:.+]] = %[[W]]: tensor<2x4x4xf32>) {
// CHECK-NEXT:      %[[L:.+]] = nn.linear %[[R]], %[[S]]
// CHECK-NEXT:      %[[M:.+]] = nn.linear %[[R]], %[[S]]
// CHECK-NEXT:      nn.mul %[[L]], %[[M]]
// CHECK:         expert(%[[R2:.+]], %{{.+}}, %[[T:.+]] = %[[B]]: tensor<1x4x4xf32>) {
// CHECK-NEXT:      nn.linear %[[R2]], %[[T]]
func.func private @weights(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %v: tensor<2x4x4xf32>, %w: tensor<2x4x4xf32>, %c: tensor<1x4xf32>,
    %b: tensor<1x4x4xf32>) -> tensor<?x4xf32> {
  %y = moe.layer %x, %a outs(%x) kinds = [0, 0, 1]
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
        tensor<?x4xf32>
  expert(%rows, %e, %s = %w: tensor<2x4x4xf32>, %u = %v: tensor<2x4x4xf32>,
         %t = %w: tensor<2x4x4xf32>) {
    %0 = nn.linear %rows, %s
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %1 = nn.linear %rows, %t
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %2 = nn.mul %0, %1 : tensor<?x4xf32>
    moe.yield %2 : tensor<?x4xf32>
  }
  expert(%rows, %e, %s = %c: tensor<1x4xf32>, %t = %b: tensor<1x4x4xf32>) {
    %0 = nn.linear %rows, %t
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// The first mention is unused, the second is not.
// CHECK-LABEL: func @second_mention
// CHECK:         moe.experts
// CHECK-NEXT:    expert(%[[R:.+]], %{{.+}}, %[[S:.+]] = %{{.+}}: tensor<3x4x4xf32>) {
// CHECK-NEXT:      nn.linear %[[R]], %[[S]]
func.func @second_mention(%x: tensor<?x4xf32>, %offsets: tensor<4xi32>,
                          %w: tensor<3x4x4xf32>) -> tensor<?x4xf32> {
  %z = moe.experts %x groups(%offsets) : tensor<?x4xf32>, tensor<4xi32>
  expert(%rows, %e, %s = %w: tensor<3x4x4xf32>, %t = %w: tensor<3x4x4xf32>) {
    %0 = nn.linear %rows, %t
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return %z : tensor<?x4xf32>
}

// A value that nobody reads takes no work with it, on tensors.
// CHECK-LABEL: func @unused
// CHECK-NEXT:    moe.score sigmoid
// CHECK-NEXT:    return
func.func @unused(%x: tensor<?x8xf32>, %out: tensor<?x8xf32>,
                  %xm: memref<?x8xf32>, %outm: memref<?x8xf32>) {
  %0 = moe.score softmax %x : tensor<?x8xf32> -> tensor<?x8xf32>
  %1 = moe.score softmax %x outs(%out : tensor<?x8xf32>)
      : tensor<?x8xf32> -> tensor<?x8xf32>
  moe.score sigmoid %xm outs(%outm : memref<?x8xf32>) : memref<?x8xf32>
  return
}
