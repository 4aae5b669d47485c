// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-emit-entry-points --canonicalize | FileCheck %s

// Symbols T, K, B, S, B*S have slots 0 to 4, then the two tensors, the arena.
// CHECK: module attributes {moe.params = [{name = "w", pack = "pack.0",
// CHECK-NOT: moe.parameter
moe.parameter @w : tensor<1x1x3x4xf32> from [#moe.source<"w", tensor<4x3xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 4, parts = 1, lanes = 4, vectors = 1> pack = @pack.0

// CHECK-LABEL: func private @f(
// CHECK-SAME:    attributes {llvm.linkage = #llvm.linkage<internal>}
func.func @f(%c: !llvm.ptr, %x: memref<?x4xf32> {moe.name = "x", moe.shape = ["T", 4]},
             %y: memref<?x?xf32> {moe.name = "y", moe.shape = ["2*T", "K"]}, %arena: memref<?xi8>) {
  return
}
func.func @f.arena_size(%t: index) -> index attributes {moe.arena_leaves = [array<i64: 1, 0>]} {
  return %t : index
}
func.func @g(%x: memref<?x?xf32> {moe.name = "x", moe.shape = ["B", "S"]},
             %y: memref<?xf32> {moe.name = "y", moe.shape = ["B*S"]}) {
  return
}
func.func private @pack.0(%c: !llvm.ptr, %d: memref<1x1x3x4xi32>, %s: memref<?x4x3xi32>, %first: index, %part: index) {
  return
}

// The size of the arena is that of y's first size, 2 T.
// CHECK-LABEL: llvm.func @moe.entry.f.arena_size
// CHECK-SAME:    (%{{.+}}: !llvm.ptr, %[[SLOTS:.+]]: !llvm.ptr)
// CHECK-DAG:     %[[TWO:.+]] = llvm.mlir.constant(2 : i64)
// CHECK:         %[[T:.+]] = llvm.load %[[SLOTS]]
// CHECK:         %[[SIZE:.+]] = llvm.mul %[[T]], %[[TWO]]
// CHECK:         call @f.arena_size
// CHECK:         %[[SLOT:.+]] = llvm.getelementptr %[[SLOTS]][7]
// CHECK:         llvm.store %{{.+}}, %[[SLOT]]

// CHECK-LABEL: llvm.func @moe.entry.f(
// CHECK-SAME:    %[[CONTEXT:.+]]: !llvm.ptr, %[[SLOTS:.+]]: !llvm.ptr)
// CHECK:         llvm.getelementptr %[[SLOTS]][5]
// CHECK:         llvm.getelementptr %[[SLOTS]][6]
// CHECK:         llvm.getelementptr %[[SLOTS]][7]
// CHECK:         call @f(%[[CONTEXT]],

// CHECK-LABEL: llvm.func @moe.entry.g
// CHECK:         llvm.getelementptr %{{.+}}[2]
// CHECK:         llvm.getelementptr %{{.+}}[3]
// CHECK:         llvm.getelementptr %{{.+}}[5]
// CHECK:         llvm.getelementptr %{{.+}}[4]
// CHECK:         llvm.getelementptr %{{.+}}[6]
// CHECK:         call @g

// CHECK-LABEL: llvm.func @moe.entry.pack.0

// -----

// expected-error@+1 {{argument 0 has no moe.shape of its own rank: run moe-convert-entry-to-buffers}}
func.func @f(%x: tensor<?x4xf32>) {
  return
}

// -----

// expected-error@+1 {{argument 0 has no moe.shape of its own rank}}
func.func @merged(%x: memref<?x4xf32> {moe.name = "x", moe.shape = ["B", "S", 4]}) {
  return
}

// -----

// expected-error@+1 {{has no body, and a compiled library takes code from nowhere else}}
func.func private @elsewhere(memref<?xf32>)

// -----

// expected-error@+1 {{is packed by 'pack', which must be a func.func that takes (memref, memref, index, index)}}
moe.parameter @w : tensor<1x1x3x4xf32> from [#moe.source<"w", tensor<4x3xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 4, parts = 1, lanes = 4, vectors = 1> pack = @pack
func.func private @pack(%d: memref<1x1x3x4xi32>, %first: index, %part: index) {
  return
}

// -----

func.func @g(%x: memref<?xf32> {moe.name = "x", moe.shape = ["T"]}, %arena: memref<?xi8>) {
  return
}
// expected-error@+1 {{is not the work of moe-plan-arena}}
func.func private @g.arena_size(%t: index) -> index {
  return %t : index
}

// -----

// expected-error@+1 {{arena size depends on more than sizes}}
func.func @h(%x: memref<?xf32> {moe.name = "x", moe.shape = ["T"]}, %arena: memref<?xi8>) {
  return
}
func.func private @h.arena_size(%t: index) -> index attributes {moe.arena_leaves = [array<i64: 0, 1>]} {
  return %t : index
}
