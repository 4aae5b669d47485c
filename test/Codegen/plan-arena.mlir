// RUN: moe-opt %s --split-input-file --moe-plan-arena | FileCheck %s
// RUN: moe-opt %s --split-input-file --moe-plan-arena -o %t.once
// RUN: moe-opt %t.once --split-input-file --moe-plan-arena -o %t.twice
// RUN: diff %t.once %t.twice

// A buffer of size [n, 8] f32, and the function that says how large the arena
// must be: 32 n rounded up to 64.
// CHECK-LABEL: func.func @one.arena_size(
// CHECK-SAME:    %[[N:.+]]: index) -> index
// CHECK-SAME:    moe.arena_leaves = [array<i64: 0, 0>]
// CHECK:         %[[C32:.+]] = arith.constant 32 : index
// CHECK:         %[[BYTES:.+]] = arith.muli %[[C32]], %[[N]]
// CHECK:         %[[C63:.+]] = arith.constant 63 : index
// CHECK:         %[[UP:.+]] = arith.addi %[[BYTES]], %[[C63]]
// CHECK:         %[[CM:.+]] = arith.constant -64 : index
// CHECK:         %[[SIZE:.+]] = arith.andi %[[UP]], %[[CM]]
// CHECK:         return %[[SIZE]]
// CHECK-LABEL: func.func @one(
// CHECK-SAME:    %[[X:.+]]: memref<?x8xf32>, %[[ARENA:.+]]: memref<?xi8>)
// CHECK:         %[[OFFSET:.+]] = arith.constant 0 : index
// CHECK:         %[[ROWS:.+]] = memref.dim %[[X]]
// CHECK:         %[[B:.+]] = memref.view %[[ARENA]][%[[OFFSET]]][%[[ROWS]]] : memref<?xi8> to memref<?x8xf32>
// CHECK:         linalg.copy ins(%[[X]] {{.*}}) outs(%[[B]]
// CHECK-NOT:     memref.alloc
func.func @one(%x: memref<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?x8xf32>
  %b = memref.alloc(%n) {alignment = 64 : i64} : memref<?x8xf32>
  linalg.copy ins(%x : memref<?x8xf32>) outs(%b : memref<?x8xf32>)
  return
}

// -----

// No buffer, no arena.
// CHECK-LABEL: func.func @none(
// CHECK-SAME:    %{{.+}}: memref<?xf32>) {
// CHECK-NOT:   arena
func.func @none(%x: memref<?xf32>) {
  %c = arith.constant 1.0 : f32
  linalg.fill ins(%c : f32) outs(%x : memref<?xf32>)
  return
}

// -----

// a dies before c is born, so they share; b is alive together with both. All
// sizes are static: 64, 128 and 64 bytes at 0, 64 and 0.
// CHECK-LABEL: func.func @reuse.arena_size() -> index
// CHECK:         %[[S:.+]] = arith.constant 192 : index
// CHECK:         return %[[S]]
// CHECK-LABEL: func.func @reuse(
// CHECK-SAME:    %[[ARENA:.+]]: memref<?xi8>)
// CHECK-DAG:     %[[C0:.+]] = arith.constant 0 : index
// CHECK-DAG:     %[[C64:.+]] = arith.constant 64 : index
// CHECK:         memref.view %[[ARENA]][%[[C0]]][] : memref<?xi8> to memref<16xf32>
// CHECK:         memref.view %[[ARENA]][%[[C64]]][] : memref<?xi8> to memref<17xf32>
// CHECK:         memref.view %[[ARENA]][%[[C0]]][] : memref<?xi8> to memref<16xi32>
func.func @reuse() {
  %c = arith.constant 1.0 : f32
  %i = arith.constant 1 : i32
  %a = memref.alloc() : memref<16xf32>
  linalg.fill ins(%c : f32) outs(%a : memref<16xf32>)
  %b = memref.alloc() : memref<17xf32>
  linalg.fill ins(%c : f32) outs(%b : memref<17xf32>)
  linalg.copy ins(%a : memref<16xf32>) outs(%a : memref<16xf32>)
  %d = memref.alloc() : memref<16xi32>
  linalg.fill ins(%i : i32) outs(%d : memref<16xi32>)
  linalg.fill ins(%c : f32) outs(%b : memref<17xf32>)
  return
}

// -----

// A use of a subview keeps the buffer alive.
// CHECK-LABEL: func.func @alias.arena_size() -> index
// CHECK:         arith.constant 128 : index
func.func @alias() {
  %c = arith.constant 1.0 : f32
  %a = memref.alloc() : memref<16xf32>
  %s = memref.subview %a[4] [8] [1] : memref<16xf32> to memref<8xf32, strided<[1], offset: 4>>
  %b = memref.alloc() : memref<16xf32>
  linalg.fill ins(%c : f32) outs(%b : memref<16xf32>)
  linalg.fill ins(%c : f32) outs(%s : memref<8xf32, strided<[1], offset: 4>>)
  return
}

// -----

// Two sizes that cannot be compared here share a colour as large as both.
// CHECK-LABEL: func.func @unlike.arena_size(
// CHECK-SAME:    %[[N:.+]]: index, %[[M:.+]]: index) -> index
// CHECK-SAME:    moe.arena_leaves = [array<i64: 0, -1>, array<i64: 1, -1>]
// CHECK:         %[[A:.+]] = arith.andi
// CHECK:         %[[B:.+]] = arith.andi
// CHECK:         %[[MAX:.+]] = arith.maxui %[[A]], %[[B]]
// CHECK:         return %[[MAX]]
// CHECK-LABEL: func.func @unlike(
// CHECK-SAME:    %[[N:.+]]: index, %[[M:.+]]: index, %[[ARENA:.+]]: memref<?xi8>)
// CHECK:         %[[C0:.+]] = arith.constant 0
// CHECK:         memref.view %[[ARENA]][%[[C0]]][%[[N]]]
// CHECK:         memref.view %[[ARENA]][%[[C0]]][%[[M]]]
func.func @unlike(%n: index, %m: index) {
  %c = arith.constant 1.0 : f32
  %a = memref.alloc(%n) : memref<?xf32>
  linalg.fill ins(%c : f32) outs(%a : memref<?xf32>)
  %b = memref.alloc(%m) : memref<?xf32>
  linalg.fill ins(%c : f32) outs(%b : memref<?xf32>)
  return
}

// -----

// Of two free colours, the one of this very size.
// CHECK-LABEL: func.func @same(
// CHECK-SAME:    %[[N:.+]]: index, %[[ARENA:.+]]: memref<?xi8>)
// CHECK:         %[[SECOND:.+]] = arith.andi
// CHECK:         memref.view %[[ARENA]][%{{.+}}][%[[N]]] : memref<?xi8> to memref<?xf32>
// CHECK:         memref.view %[[ARENA]][%[[SECOND]]][%[[N]]] : memref<?xi8> to memref<?x2xf32>
// CHECK:         memref.view %[[ARENA]][%[[SECOND]]][%[[N]]] : memref<?xi8> to memref<?xf64>
func.func @same(%n: index) {
  %c = arith.constant 1.0 : f32
  %d = arith.constant 1.0 : f64
  %a = memref.alloc(%n) : memref<?xf32>
  %b = memref.alloc(%n) : memref<?x2xf32>
  linalg.fill ins(%c : f32) outs(%a : memref<?xf32>)
  linalg.fill ins(%c : f32) outs(%b : memref<?x2xf32>)
  %e = memref.alloc(%n) : memref<?xf64>
  linalg.fill ins(%d : f64) outs(%e : memref<?xf64>)
  return
}

// -----

// A buffer from outside lives for the whole loop, one inside for its part of an
// iteration: a at 0; b and d share what follows.
// CHECK-LABEL: func.func @loop.arena_size() -> index
// CHECK:         arith.constant 128 : index
// CHECK-LABEL: func.func @loop(
// CHECK-SAME:    %{{.+}}: index, %[[ARENA:.+]]: memref<?xi8>)
// CHECK-DAG:     %[[C0:.+]] = arith.constant 0 : index
// CHECK-DAG:     %[[C64:.+]] = arith.constant 64 : index
// CHECK:         memref.view %[[ARENA]][%[[C0]]][] : memref<?xi8> to memref<16xf32>
// CHECK:         scf.for
// CHECK:         memref.view %[[ARENA]][%[[C64]]][] : memref<?xi8> to memref<15xf32>
// CHECK:         memref.view %[[ARENA]][%[[C64]]][] : memref<?xi8> to memref<14xf32>
func.func @loop(%n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %c = arith.constant 1.0 : f32
  %a = memref.alloc() : memref<16xf32>
  scf.for %i = %zero to %n step %one {
    linalg.fill ins(%c : f32) outs(%a : memref<16xf32>)
    %b = memref.alloc() : memref<15xf32>
    linalg.fill ins(%c : f32) outs(%b : memref<15xf32>)
    %d = memref.alloc() : memref<14xf32>
    linalg.fill ins(%c : f32) outs(%d : memref<14xf32>)
  }
  return
}

// -----

// Branches share memory, and what a branch yields lives on: the last buffer may
// not take the place of either.
// CHECK-LABEL: func.func @branches.arena_size() -> index
// CHECK:         arith.constant 256 : index
// CHECK-LABEL: func.func @branches(
// CHECK-SAME:    %{{.+}}: i1, %[[ARENA:.+]]: memref<?xi8>)
// CHECK-DAG:     %[[C0:.+]] = arith.constant 0 : index
// CHECK-DAG:     %[[C64:.+]] = arith.constant 64 : index
// CHECK-DAG:     %[[C128:.+]] = arith.constant 128 : index
// CHECK:         memref.view %[[ARENA]][%[[C0]]][] : memref<?xi8> to memref<16xi32>
// CHECK:         memref.view %[[ARENA]][%[[C64]]][] : memref<?xi8> to memref<16xf32>
// CHECK:         else
// CHECK:         memref.view %[[ARENA]][%[[C0]]][] : memref<?xi8> to memref<16xi32>
// CHECK:         memref.view %[[ARENA]][%[[C0]]][] : memref<?xi8> to memref<16xf32>
// CHECK:         memref.view %[[ARENA]][%[[C128]]][] : memref<?xi8> to memref<32xf32>
func.func @branches(%p: i1) {
  %c = arith.constant 1.0 : f32
  %i = arith.constant 1 : i32
  %r = scf.if %p -> memref<16xf32> {
    %t = memref.alloc() : memref<16xi32>
    linalg.fill ins(%i : i32) outs(%t : memref<16xi32>)
    %a = memref.alloc() : memref<16xf32>
    linalg.fill ins(%c : f32) outs(%a : memref<16xf32>)
    linalg.fill ins(%i : i32) outs(%t : memref<16xi32>)
    scf.yield %a : memref<16xf32>
  } else {
    %t = memref.alloc() : memref<16xi32>
    linalg.fill ins(%i : i32) outs(%t : memref<16xi32>)
    %b = memref.alloc() : memref<16xf32>
    scf.yield %b : memref<16xf32>
  }
  %d = memref.alloc() : memref<32xf32>
  linalg.fill ins(%c : f32) outs(%d : memref<32xf32>)
  linalg.fill ins(%c : f32) outs(%r : memref<16xf32>)
  return
}

// -----

// A buffer that a parallel loop reads lives until the loop ends: b may not take
// its place although it is born after the last use inside.
// CHECK-LABEL: func.func @parallel.arena_size() -> index
// CHECK:         arith.constant 128 : index
// CHECK-LABEL: func.func @parallel(
func.func @parallel(%n: index) {
  %c = arith.constant 1.0 : f32
  %a = memref.alloc() : memref<16xf32>
  linalg.fill ins(%c : f32) outs(%a : memref<16xf32>)
  %b = memref.alloc() : memref<16xf32>
  moe.parallel (%begin, %end) in %n {
    %s = memref.alloca() : memref<4xf32>
    linalg.fill ins(%c : f32) outs(%s : memref<4xf32>)
    %x = memref.load %a[%begin] : memref<16xf32>
    memref.store %x, %b[%begin] : memref<16xf32>
  }
  return
}

// -----

// Callees first. A call is a buffer of its callee's arena size, alive during
// the call: both calls and the buffer after them share the place behind a. The
// sizes of the callee's leaves are followed through views.
// CHECK-LABEL: func.func @caller.arena_size(
// CHECK-SAME:    %[[B:.+]]: index, %[[S:.+]]: index) -> index
// CHECK-SAME:    moe.arena_leaves = [array<i64: 0, 0>, array<i64: 0, 1>]
// CHECK:         %[[T:.+]] = arith.muli %[[B]], %[[S]]
// CHECK:         %[[PART:.+]] = call @callee.arena_size(%[[T]], %[[B]]) : (index, index) -> index
// CHECK:         arith.maxui %[[PART]], %
// CHECK-LABEL: func.func @caller(
// CHECK-SAME:    %[[X:.+]]: memref<?x?x8xf32>, %[[ARENA:.+]]: memref<?xi8>)
// CHECK:         %[[PART:.+]] = call @callee.arena_size(
// CHECK:         %[[V0:.+]] = memref.view %[[ARENA]][%[[OFF:.+]]][%[[PART]]] : memref<?xi8> to memref<?xi8>
// CHECK:         call @callee(%{{.+}}, %{{.+}}, %[[V0]])
// CHECK:         %[[V1:.+]] = memref.view %[[ARENA]][%[[OFF]]][%[[PART]]] : memref<?xi8> to memref<?xi8>
// CHECK:         call @callee(%{{.+}}, %{{.+}}, %[[V1]])
// CHECK:         memref.view %[[ARENA]][%[[OFF]]][%{{.+}}] : memref<?xi8> to memref<?xf32>
// CHECK-LABEL: func.func private @callee.arena_size(
// CHECK-SAME:    index, %{{.+}}: index) -> index
// CHECK-SAME:    moe.arena_leaves = [array<i64: 0, 0>, array<i64: 1, -1>]
// CHECK:         func.func private @callee(
// CHECK-SAME:    memref<?x8xf32>, %{{.+}}: index, %{{.+}}: memref<?xi8>)
func.func @caller(%x: memref<?x?x8xf32>) {
  %c0 = arith.constant 0 : index
  %c = arith.constant 1.0 : f32
  %b = memref.dim %x, %c0 : memref<?x?x8xf32>
  %rows = memref.collapse_shape %x [[0, 1], [2]] : memref<?x?x8xf32> into memref<?x8xf32>
  %t = memref.dim %rows, %c0 : memref<?x8xf32>
  %a = memref.alloc(%t) : memref<?x8xf32>
  linalg.copy ins(%rows : memref<?x8xf32>) outs(%a : memref<?x8xf32>)
  call @callee(%a, %b) : (memref<?x8xf32>, index) -> ()
  call @callee(%a, %b) : (memref<?x8xf32>, index) -> ()
  %d = memref.alloc(%b) : memref<?xf32>
  linalg.fill ins(%c : f32) outs(%d : memref<?xf32>)
  linalg.fill ins(%c : f32) outs(%a : memref<?x8xf32>)
  return
}
func.func private @callee(%x: memref<?x8xf32>, %k: index) {
  %c0 = arith.constant 0 : index
  %c = arith.constant 1.0 : f32
  %n = memref.dim %x, %c0 : memref<?x8xf32>
  %m = arith.maxui %n, %k : index
  %a = memref.alloc(%m) : memref<?xi64>
  %z = arith.constant 0 : i64
  linalg.fill ins(%z : i64) outs(%a : memref<?xi64>)
  return
}

// -----

// Sizes through every kind of view; index elements have 8 bytes, i1 has 1.
// CHECK-LABEL: func.func @views.arena_size(
// CHECK-SAME:    %[[N:.+]]: index, %[[M:.+]]: index) -> index
// CHECK-SAME:    moe.arena_leaves = [array<i64: 0, 0>, array<i64: 1, -1>]
// CHECK:         arith.maxui %[[N]], %[[M]]
// CHECK:         %[[C8:.+]] = arith.constant 8 : index
// CHECK:         arith.muli %[[C8]], %
// CHECK-NOT:     memref.
// CHECK:       func.func @views(
func.func @views(%x: memref<?x16xf32>, %m: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0 : index
  %f = arith.constant false
  %n = memref.dim %x, %c0 : memref<?x16xf32>
  %cast = memref.cast %x : memref<?x16xf32> to memref<?x?xf32>
  %most = arith.maxui %n, %m : index
  %sub = memref.subview %cast[0, 0] [%n, 8] [1, 1] : memref<?x?xf32> to memref<?x8xf32, strided<[?, 1]>>
  %re = memref.reinterpret_cast %x to offset: [0], sizes: [%most, 4], strides: [4, 1] : memref<?x16xf32> to memref<?x4xf32>
  %ex = memref.expand_shape %re [[0, 1], [2]] output_shape [1, %most, 4] : memref<?x4xf32> into memref<1x?x4xf32>
  %tr = memref.transpose %ex (i, j, k) -> (j, i, k) : memref<1x?x4xf32> to memref<?x1x4xf32, strided<[4, ?, 1]>>
  %n1 = memref.dim %tr, %c0 : memref<?x1x4xf32, strided<[4, ?, 1]>>
  %n2 = memref.dim %sub, %c0 : memref<?x8xf32, strided<[?, 1]>>
  %a = memref.alloc(%n1) : memref<?xindex>
  linalg.fill ins(%z : index) outs(%a : memref<?xindex>)
  %b = memref.alloc(%n2) : memref<?xi1>
  linalg.fill ins(%f : i1) outs(%b : memref<?xi1>)
  return
}

// -----

// The size function always runs, so it never divides by 0.
// CHECK-LABEL: func.func @divide.arena_size(
// CHECK-SAME:    %[[N:.+]]: index, %[[M:.+]]: index) -> index
// CHECK:         %[[C1:.+]] = arith.constant 1 : index
// CHECK:         %[[D:.+]] = arith.maxsi %[[M]], %[[C1]]
// CHECK:         arith.divui %[[N]], %[[D]]
// CHECK-LABEL: func.func @divide(
// CHECK:         arith.divui %{{.+}}, %{{.+}}
func.func @divide(%n: index, %m: index) {
  %q = arith.divui %n, %m : index
  %a = memref.alloc(%q) : memref<?xf32>
  %c = arith.constant 1.0 : f32
  linalg.fill ins(%c : f32) outs(%a : memref<?xf32>)
  return
}

// -----

// Sizes in other integer types keep their ops.
// CHECK-LABEL: func.func @casts.arena_size(
// CHECK:         arith.index_cast %{{.+}} : index to i64
// CHECK:         arith.constant 3 : i64
// CHECK:         arith.addi %{{.+}}, %{{.+}} : i64
// CHECK:         arith.index_cast %{{.+}} : i64 to index
func.func @casts(%n: index) {
  %three = arith.constant 3 : i64
  %0 = arith.index_cast %n : index to i64
  %1 = arith.addi %0, %three : i64
  %2 = arith.index_cast %1 : i64 to index
  %a = memref.alloc(%2) : memref<?xf32>
  %c = arith.constant 1.0 : f32
  linalg.fill ins(%c : f32) outs(%a : memref<?xf32>)
  return
}

// -----

// The address of a hides its uses, so a lives to the end of the block; what
// frees a buffer goes away.
// CHECK-LABEL: func.func @address.arena_size() -> index
// CHECK:         arith.constant 128 : index
// CHECK-LABEL: func.func @address(
// CHECK-NOT:     memref.dealloc
// CHECK:         return
func.func @address() -> index {
  %c = arith.constant 1.0 : f32
  %a = memref.alloc() : memref<16xf32>
  %p = memref.extract_aligned_pointer_as_index %a : memref<16xf32> -> index
  %b = memref.alloc() : memref<16xf32>
  linalg.fill ins(%c : f32) outs(%b : memref<16xf32>)
  memref.dealloc %b : memref<16xf32>
  memref.dealloc %a : memref<16xf32>
  return %p : index
}
