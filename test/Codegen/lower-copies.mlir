// RUN: moe-opt %s --split-input-file --pass-pipeline="builtin.module(func.func(moe-lower-copies))" | FileCheck %s
// RUN: moe-opt %s --split-input-file --pass-pipeline="builtin.module(func.func(moe-lower-copies,moe-lower-copies))" | FileCheck %s
// Nothing is left that needs a library, and upstream can lower all of it.
// RUN: moe-opt %s --split-input-file --pass-pipeline="builtin.module(func.func(moe-lower-copies,convert-linalg-to-loops),expand-strided-metadata,lower-affine,convert-scf-to-cf,convert-to-llvm,reconcile-unrealized-casts,moe-verify-buffers)" | FileCheck %s --check-prefix=LLVM
// LLVM-NOT: memrefCopy
// LLVM-NOT: memref.
// LLVM-NOT: unrealized_conversion_cast

// CHECK-LABEL: func.func @strided(
// CHECK-SAME:    %[[A:.+]]: memref<?x8xf32>, %[[B:.+]]: memref<?x8xf32, strided<[16, 1], offset: ?>>)
// CHECK-NEXT:    linalg.copy ins(%[[A]] : memref<?x8xf32>) outs(%[[B]] : memref<?x8xf32, strided<[16, 1], offset: ?>>)
// CHECK-NEXT:    return
func.func @strided(%a: memref<?x8xf32>, %b: memref<?x8xf32, strided<[16, 1], offset: ?>>) {
  memref.copy %a, %b : memref<?x8xf32> to memref<?x8xf32, strided<[16, 1], offset: ?>>
  return
}

// -----

// Static against dynamic, every element type, rank 0.
// CHECK-LABEL: func.func @types(
// CHECK-COUNT-5: linalg.copy
// CHECK-NOT:     memref.copy
func.func @types(%a: memref<?x8xf16>, %b: memref<4x8xf16>, %c: memref<4xindex>, %d: memref<4xindex>,
                 %e: memref<i64>, %f: memref<i64>, %g: memref<2xi1>, %h: memref<2xi1>, %i: memref<2xbf16>, %j: memref<2xbf16>) {
  memref.copy %a, %b : memref<?x8xf16> to memref<4x8xf16>
  memref.copy %c, %d : memref<4xindex> to memref<4xindex>
  memref.copy %e, %f : memref<i64> to memref<i64>
  memref.copy %g, %h : memref<2xi1> to memref<2xi1>
  memref.copy %i, %j : memref<2xbf16> to memref<2xbf16>
  return
}

// -----

// CHECK-LABEL: func.func @self(
// CHECK-NEXT:    return
func.func @self(%a: memref<?xf32>) {
  memref.copy %a, %a : memref<?xf32> to memref<?xf32>
  return
}

// -----

// T -> B x S: the stride of B is the size S, times 8.
// CHECK-LABEL: func.func @two_dynamic_sizes(
// CHECK-SAME:    %[[X:.+]]: memref<?x8xf32>, %[[B:.+]]: index, %[[S:.+]]: index)
// CHECK:         %[[C8:.+]] = arith.constant 8 : index
// CHECK:         %[[STRIDE:.+]] = arith.muli %[[C8]], %[[S]]
// CHECK:         memref.reinterpret_cast %[[X]] to offset: [0], sizes: [%[[B]], %[[S]], 8], strides: [%[[STRIDE]], 8, 1]
// CHECK-SAME:      memref<?x8xf32> to memref<?x?x8xf32>
func.func @two_dynamic_sizes(%x: memref<?x8xf32>, %b: index, %s: index) -> index {
  %c0 = arith.constant 0 : index
  %0 = memref.expand_shape %x [[0, 1], [2]] output_shape [%b, %s, 8] : memref<?x8xf32> into memref<?x?x8xf32>
  %1 = memref.dim %0, %c0 : memref<?x?x8xf32>
  return %1 : index
}

// -----

// Three sizes in the group, and a source with strides of its own.
// CHECK-LABEL: func.func @strided_source(
// CHECK-SAME:    %[[X:.+]]: memref<?x8xf32, strided<[?, 1], offset: ?>>, %[[B:.+]]: index, %[[S:.+]]: index)
// CHECK:         %{{.+}}, %[[OFFSET:.+]], %{{.+}}:2, %[[STRIDES:.+]]:2 = memref.extract_strided_metadata %[[X]]
// CHECK:         %[[S1:.+]] = arith.muli %[[STRIDES]]#0, %[[S]]
// CHECK:         %[[C3:.+]] = arith.constant 3 : index
// CHECK:         %[[S0:.+]] = arith.muli %[[S1]], %[[C3]]
// CHECK:         memref.reinterpret_cast %[[X]] to offset: [%[[OFFSET]]], sizes: [%[[B]], 3, %[[S]], 8], strides: [%[[S0]], %[[S1]], %[[STRIDES]]#0, 1]
func.func @strided_source(%x: memref<?x8xf32, strided<[?, 1], offset: ?>>, %b: index, %s: index) -> f32 {
  %c0 = arith.constant 0 : index
  %0 = memref.expand_shape %x [[0, 1, 2], [3]] output_shape [%b, 3, %s, 8] : memref<?x8xf32, strided<[?, 1], offset: ?>> into memref<?x3x?x8xf32, strided<[?, ?, ?, 1], offset: ?>>
  %1 = memref.load %0[%c0, %c0, %c0, %c0] : memref<?x3x?x8xf32, strided<[?, ?, ?, 1], offset: ?>>
  return %1 : f32
}

// -----

// One dynamic size per group is upstream's affair.
// CHECK-LABEL: func.func @one_dynamic_size(
// CHECK:         memref.expand_shape
// CHECK-NOT:     memref.reinterpret_cast
func.func @one_dynamic_size(%x: memref<?x8xf32>, %b: index) -> index {
  %c0 = arith.constant 0 : index
  %0 = memref.expand_shape %x [[0, 1], [2]] output_shape [%b, 4, 8] : memref<?x8xf32> into memref<?x4x8xf32>
  %1 = memref.dim %0, %c0 : memref<?x4x8xf32>
  return %1 : index
}
