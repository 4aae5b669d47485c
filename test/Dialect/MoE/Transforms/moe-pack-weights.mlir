// RUN: moe-opt %s --moe-pack-weights="lanes=4 tile-rows=6" | FileCheck %s
// RUN: moe-opt %s --moe-pack-weights="lanes=4 tile-rows=6" \
// RUN:   | moe-opt --moe-pack-weights="lanes=4 tile-rows=6" | FileCheck %s
// RUN: moe-opt %s --moe-pack-weights="lanes=4 tile-rows=6" -o %t \
// RUN:   --remarks-filter=moe-pack-weights --remark-format=emitRemark 2>&1 \
// RUN:   | FileCheck %s --check-prefix=REMARK

// REMARK: remark: [Passed] PackWeights {{.*}} Matrices=1
// REMARK: remark: [Missed] PackWeights {{.*}} Reason="a matrix is an argument of a public function"
// REMARK: remark: [Missed] PackWeights {{.*}} Reason="a matrix is not a parameter"
// REMARK: remark: [Passed] PackWeights {{.*}} Matrices=2

// Two layers with one signature: one packed argument, two packed parameters.
// CHECK: moe.parameter @w0.packed : tensor<1x1x3x8xbf16> from [#moe.source<"w0", tensor<5x3xbf16>, first = 0, count = 1, part = 0>] panels<columns = 5, parts = 1, lanes = 4, vectors = 2>
// CHECK: moe.parameter @w1.packed
moe.parameter @w0 : tensor<5x3xbf16> from [#moe.source<"w0", tensor<5x3xbf16>, first = 0, count = 5, part = 0>]
moe.parameter @w1 : tensor<5x3xbf16> from [#moe.source<"w1", tensor<5x3xbf16>, first = 0, count = 5, part = 0>]

// CHECK-LABEL: func private @layer
// CHECK-SAME:    (%[[X:.+]]: tensor<?x3xf32>, %[[W:.+]]: tensor<1x1x3x8xbf16>)
// CHECK:         moe.packed_matmul %[[X]], %[[W]] panels<columns = 5, parts = 1, lanes = 4, vectors = 2> tile_rows = 6
func.func private @layer(%x: tensor<?x3xf32>, %w: tensor<5x3xbf16>) -> tensor<?x5xf32> {
  %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<5x3xbf16> -> tensor<?x5xf32>
  return %y : tensor<?x5xf32>
}

// CHECK-LABEL: func @two
// CHECK:         %[[W0:.+]] = moe.parameter_ref @w0.packed
// CHECK:         call @layer(%{{.+}}, %[[W0]])
// CHECK:         %[[W1:.+]] = moe.parameter_ref @w1.packed
// CHECK:         call @layer(%{{.+}}, %[[W1]])
func.func @two(%x: tensor<?x3xf32>) -> (tensor<?x5xf32>, tensor<?x5xf32>) {
  %0 = moe.parameter_ref @w0 : tensor<5x3xbf16>
  %1 = moe.parameter_ref @w1 : tensor<5x3xbf16>
  %a = call @layer(%x, %0) : (tensor<?x3xf32>, tensor<5x3xbf16>) -> tensor<?x5xf32>
  %b = call @layer(%x, %1) : (tensor<?x3xf32>, tensor<5x3xbf16>) -> tensor<?x5xf32>
  return %a, %b : tensor<?x5xf32>, tensor<?x5xf32>
}

// The caller outside would have to pack.
// CHECK-LABEL: func @public_argument
// CHECK:         nn.linear
func.func @public_argument(%x: tensor<?x3xf32>, %w: tensor<5x3xbf16>) -> tensor<?x5xf32> {
  %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<5x3xbf16> -> tensor<?x5xf32>
  return %y : tensor<?x5xf32>
}

// CHECK-LABEL: func @computed
// CHECK:         nn.linear
func.func @computed(%x: tensor<?x3xf32>) -> tensor<?x2xf32> {
  %w = arith.constant dense<1.0> : tensor<2x3xf32>
  %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<2x3xf32> -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

moe.parameter @gate : tensor<2x6x4xf32> from [#moe.source<"gate", tensor<2x6x4xf32>, first = 0, count = 2, part = 0>]
moe.parameter @up : tensor<2x6x4xf32> from [
  #moe.source<"up.0", tensor<6x4xf32>, first = 0, count = 1, part = 0>,
  #moe.source<"up.1", tensor<6x4xf32>, first = 1, count = 1, part = 0>]

// Gate and up share panels: one vector of each. The list of tiles is bounded by
// the rows of the index map.
// CHECK-LABEL: func @glu
// CHECK-SAME:    (%[[X:.+]]: tensor<?x4xf32>, %[[ROWS:.+]]: tensor<?xi32>, %[[OFFSETS:.+]]: tensor<3xi32>)
// CHECK:         %[[W:.+]] = moe.parameter_ref @gate.packed : tensor<2x2x4x8xf32>
// CHECK:         %[[M:.+]] = tensor.dim %[[ROWS]]
// CHECK:         %[[TILES:.+]]:2 = moe.row_tiles %[[OFFSETS]], tile = 6, max_rows = %[[M]]
// CHECK:         moe.packed_matmul %[[X]], %[[W]] panels<columns = 6, parts = 2, lanes = 4, vectors = 1> tile_rows = 6 tiles(%[[TILES]]#0, %[[TILES]]#1
// CHECK-SAME:      gather(%[[ROWS]]
// CHECK:           nn.silu
func.func @glu(%x: tensor<?x4xf32>, %rows: tensor<?xi32>, %offsets: tensor<3xi32>) -> tensor<?x6xf32> {
  %g = moe.parameter_ref @gate : tensor<2x6x4xf32>
  %u = moe.parameter_ref @up : tensor<2x6x4xf32>
  %h = moe.grouped_matmul %x groups(%offsets : tensor<3xi32>)
      weights(%g, %u : tensor<2x6x4xf32>, tensor<2x6x4xf32>)
      gather(%rows : tensor<?xi32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%a: f32, %b: f32):
    %0 = nn.silu %a : f32
    %1 = nn.mul %0, %b : f32
    moe.yield %1 : f32
  }
  return %h : tensor<?x6xf32>
}

// A table that is also looked up stays beside its packed form.
// CHECK: moe.parameter @tied : tensor<9x3xf32>
// CHECK: moe.parameter @tied.packed
moe.parameter @tied : tensor<9x3xf32> from [#moe.source<"tied", tensor<9x3xf32>, first = 0, count = 9, part = 0>]
// CHECK-LABEL: func @tied_embeddings
// CHECK:         nn.embedding %{{.+}}, %{{.+}} : tensor<?x?xi64>, tensor<9x3xf32>
// CHECK:         moe.packed_matmul
func.func @tied_embeddings(%ids: tensor<?x?xi64>) -> tensor<?x9xf32> {
  %w = moe.parameter_ref @tied : tensor<9x3xf32>
  %x = nn.embedding %ids, %w : tensor<?x?xi64>, tensor<9x3xf32> -> tensor<?x3xf32>
  %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<9x3xf32> -> tensor<?x9xf32>
  return %y : tensor<?x9xf32>
}

// The names of matrices may have any letters: these are two packings.
// CHECK: moe.parameter @"a+.packed"
// CHECK: moe.parameter @a.packed
moe.parameter @"a+" : tensor<1x4x4xf32> from [#moe.source<"a.0", tensor<4x4xf32>, first = 0, count = 1, part = 0>]
moe.parameter @b : tensor<1x4x4xf32> from [#moe.source<"b.0", tensor<4x4xf32>, first = 0, count = 1, part = 0>]
moe.parameter @a : tensor<1x4x4xf32> from [#moe.source<"a.1", tensor<4x4xf32>, first = 0, count = 1, part = 0>]
moe.parameter @"+b" : tensor<1x4x4xf32> from [#moe.source<"b.1", tensor<4x4xf32>, first = 0, count = 1, part = 0>]
// CHECK-LABEL: func @plus
// CHECK:         moe.parameter_ref @"a+.packed"
// CHECK:         moe.parameter_ref @a.packed
func.func @plus(%x: tensor<?x4xf32>, %o: tensor<2xi32>) -> tensor<?x4xf32> {
  %a0 = moe.parameter_ref @"a+" : tensor<1x4x4xf32>
  %b0 = moe.parameter_ref @b : tensor<1x4x4xf32>
  %a1 = moe.parameter_ref @a : tensor<1x4x4xf32>
  %b1 = moe.parameter_ref @"+b" : tensor<1x4x4xf32>
  %y = moe.grouped_matmul %x groups(%o : tensor<2xi32>)
      weights(%a0, %b0 : tensor<1x4x4xf32>, tensor<1x4x4xf32>)
      : tensor<?x4xf32> -> tensor<?x4xf32> {
  ^bb0(%p: f32, %q: f32):
    %r = nn.mul %p, %q : f32
    moe.yield %r : f32
  }
  %z = moe.grouped_matmul %y groups(%o : tensor<2xi32>)
      weights(%a1, %b1 : tensor<1x4x4xf32>, tensor<1x4x4xf32>)
      : tensor<?x4xf32> -> tensor<?x4xf32> {
  ^bb0(%p: f32, %q: f32):
    %r = nn.mul %p, %q : f32
    moe.yield %r : f32
  }
  return %z : tensor<?x4xf32>
}

// Products on memrefs and those of nested modules are left alone.
// CHECK-LABEL: func @memrefs
// CHECK:         nn.linear
func.func @memrefs(%x: memref<?x3xf32>, %w: memref<5x3xf32>, %o: memref<?x5xf32>) {
  nn.linear %x, %w outs(%o : memref<?x5xf32>) : memref<?x3xf32>, memref<5x3xf32>
  return
}
// CHECK-LABEL: module @nested
// CHECK:         nn.linear
module @nested {
  moe.parameter @w : tensor<5x3xf32> from [#moe.source<"w", tensor<5x3xf32>, first = 0, count = 5, part = 0>]
  func.func @linear(%x: tensor<?x3xf32>) -> tensor<?x5xf32> {
    %w = moe.parameter_ref @w : tensor<5x3xf32>
    %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<5x3xf32> -> tensor<?x5xf32>
    return %y : tensor<?x5xf32>
  }
}

// A function that calls itself hands its argument on: no parameter there.
// CHECK-LABEL: func private @recursive
// CHECK:         nn.linear
func.func private @recursive(%x: tensor<?x3xf32>, %w: tensor<3x3xf32>, %c: i1) -> tensor<?x3xf32> {
  %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<3x3xf32> -> tensor<?x3xf32>
  %z = scf.if %c -> tensor<?x3xf32> {
    %r = func.call @recursive(%y, %w, %c) : (tensor<?x3xf32>, tensor<3x3xf32>, i1) -> tensor<?x3xf32>
    scf.yield %r : tensor<?x3xf32>
  } else {
    scf.yield %y : tensor<?x3xf32>
  }
  return %z : tensor<?x3xf32>
}

// As many columns as one vector has lanes need no second one.
moe.parameter @narrow : tensor<4x3xf32> from [#moe.source<"narrow", tensor<4x3xf32>, first = 0, count = 4, part = 0>]

// CHECK-LABEL: func @one_vector
// CHECK:         moe.packed_matmul {{.*}} panels<columns = 4, parts = 1, lanes = 4, vectors = 1>
func.func @one_vector(%x: tensor<?x3xf32>) -> tensor<?x4xf32> {
  %w = moe.parameter_ref @narrow : tensor<4x3xf32>
  %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<4x3xf32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
