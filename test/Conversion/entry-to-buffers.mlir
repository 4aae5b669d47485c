// RUN: moe-opt %s --split-input-file --verify-diagnostics \
// RUN:   --moe-convert-entry-to-buffers --canonicalize | FileCheck %s

// Without its optional result, and with it. B and S are merged inside.
// CHECK-LABEL: func @f(
// CHECK-SAME:    %[[X:[^:]+]]: memref<?x?x3xf32> {moe.name = "x", moe.shape = ["B", "S", 3]},
// CHECK-SAME:    %[[Y:[^:]+]]: memref<?x?x3xf32> {moe.name = "y", moe.shape = ["B", "S", 3]},
// CHECK-SAME:    %[[Z:[^:]+]]: memref<?x3xf32> {moe.name = "z", moe.shape = ["B*S", 3]})
// CHECK:         %[[YM:.+]] = memref.collapse_shape %[[Y]] {{\[}}[0, 1], [2]]
// CHECK:         %[[XM:.+]] = memref.collapse_shape %[[X]] {{\[}}[0, 1], [2]]
// CHECK:         bufferization.to_tensor %[[XM]] restrict :
// CHECK-NOT:     nn.relu
// CHECK:         bufferization.materialize_in_destination %{{.+}} in restrict writable %[[YM]]
// CHECK-NOT:     %[[Z]]
// CHECK-LABEL: func @f.full(
// CHECK-SAME:    %[[Z:[^:]+]]: memref<?x3xf32> {moe.name = "z", moe.shape = ["B*S", 3]})
// CHECK:         %[[R:.+]] = nn.relu
// CHECK:         bufferization.materialize_in_destination %[[R]] in restrict writable %[[Z]]
func.func @f(%x: tensor<?x3xf32> {moe.name = "x", moe.shape = ["B", "S", 3]})
    -> (tensor<?x3xf32> {moe.name = "y", moe.shape = ["B", "S", 3]},
        tensor<?x3xf32> {moe.name = "z", moe.shape = ["B*S", 3], moe.optional}) {
  %y = nn.silu %x : tensor<?x3xf32>
  %z = nn.relu %x : tensor<?x3xf32>
  return %y, %z : tensor<?x3xf32>, tensor<?x3xf32>
}

// -----

// A state is updated where it lies.
// CHECK-LABEL: func @state
// CHECK-SAME:    %[[C:[^:]+]]: memref<2x?x?x1x4xf32> {moe.name = "cache", moe.shape = [2, "B", "N", 1, 4], moe.state}, %{{[^:]+}}: memref<?xi64> {moe.name = "lengths", moe.shape = ["B"]})
// CHECK:         %[[T:.+]] = bufferization.to_tensor %[[C]] restrict writable
// CHECK:         %[[R:.+]] = nn.cache_append %{{.+}} outs(%[[T]]
// CHECK:         bufferization.materialize_in_destination %[[R]] in restrict writable %[[C]]
func.func @state(%x: tensor<?x4xf32> {moe.name = "x", moe.shape = ["B*S", 4]},
                 %c: tensor<2x?x?x1x4xf32> {moe.name = "cache", moe.shape = [2, "B", "N", 1, 4], moe.state},
                 %l: tensor<?xi64> {moe.name = "lengths", moe.shape = ["B"], moe.lengths})
    -> (tensor<2x?x?x1x4xf32> {moe.name = "cache", moe.shape = [2, "B", "N", 1, 4]}) {
  %c1 = arith.constant 1 : index
  %r = nn.cache_append %x, %l layer(%c1) outs(%c : tensor<2x?x?x1x4xf32>)
      : tensor<?x4xf32>, tensor<?xi64> -> tensor<2x?x?x1x4xf32>
  return %r : tensor<2x?x?x1x4xf32>
}

// -----

// expected-error@+1 {{needs moe.shape on every argument and result}}
func.func @no_shape(%x: tensor<?x3xf32>) -> (tensor<?x3xf32> {moe.name = "y", moe.shape = ["T", 3]}) {
  return %x : tensor<?x3xf32>
}

// -----

// expected-error@+1 {{public functions take and return tensors, got 'index'}}
func.func @no_tensor(%x: index) {
  return
}

// -----

// expected-error@+1 {{state argument 0 needs moe.name}}
func.func @nameless(%x: tensor<?x3xf32> {moe.shape = ["T", 3], moe.state}) {
  return
}

// -----

// expected-error@+1 {{is public, so it must have a single block: branches belong into private functions or scf}}
func.func @blocks(%c: tensor<i1> {moe.name = "c", moe.shape = []}) {
  cf.br ^end
^end:
  return
}

// -----

// expected-error@+1 {{is public, so it must not be used inside the module: its signature changes}}
func.func @called() {
  return
}
func.func private @caller() {
  call @called() : () -> ()
  return
}

// -----

func.func private @f.full() {
  return
}
// expected-error@+1 {{has optional results, but @f.full exists already}}
func.func @f(%x: tensor<?xf32> {moe.name = "x", moe.shape = ["T"]})
    -> (tensor<?xf32> {moe.name = "y", moe.shape = ["T"], moe.optional}) {
  return %x : tensor<?xf32>
}

// -----

// expected-error@+1 {{moe.shape [1] does not describe 'tensor<f32>'}}
func.func @rank_zero(%x: tensor<f32> {moe.name = "x", moe.shape = [1]}) {
  return
}
