// RUN: moe-opt %s --split-input-file --moe-lower-packed-matmul --canonicalize --cse | FileCheck %s

// One group: row tiles differ by at most one row, and the kernel is chosen by
// the row count.
// CHECK-LABEL: func @linear
// CHECK-SAME:    (%[[X:.+]]: memref<?x10xf32>, %[[W:.+]]: memref<1x2x10x8xf32>, %[[Y:.+]]: memref<?x16xf32>)
// CHECK:         moe.parallel (%[[BEGIN:.+]], %[[END:.+]]) in %c2
// CHECK:           %[[M:.+]] = memref.dim %[[X]], %c0
// CHECK:           %[[N:.+]] = arith.ceildivui %[[M]], %c3
// CHECK:           scf.for %[[P:.+]] = %[[BEGIN]] to %[[END]]
// CHECK:             scf.for %[[T:.+]] = %c0 to %[[N]]
// CHECK:               scf.if
// CHECK:                 func.call @matmul.0.1.ahead
// CHECK:                 func.call @matmul.0.3.ahead
// CHECK:               } else {
// CHECK:                 func.call @matmul.0.1(
// CHECK:                 func.call @matmul.0.2(
// CHECK:                 func.call @matmul.0.3(%[[X]], %[[W]], %[[Y]], %c0, %[[P]],
func.func @linear(%x: memref<?x10xf32>, %w: memref<1x2x10x8xf32>, %y: memref<?x16xf32>) {
  moe.packed_matmul %x, %w panels<columns = 16, parts = 1, lanes = 4, vectors = 2> tile_rows = 3
      outs(%y : memref<?x16xf32>) : memref<?x10xf32>, memref<1x2x10x8xf32> {
  ^bb0(%s: f32):
    moe.yield %s : f32
  }
  return
}

// K = 10: two steps of four and a rest of two, one chain in ascending k.
// CHECK-LABEL: func private @matmul.0.1(
// CHECK:         scf.for {{.*}} = %c0 to %c8 step %c4
// CHECK-COUNT-8:   vector.fma
// CHECK:         scf.for {{.*}} = %c8 to %c10 step %c1
// CHECK-COUNT-2:   vector.fma
// CHECK-COUNT-2: vector.store
// CHECK-NOT:     vector.maskedstore

// -----

// Columns that do not fill the last panel are masked there and only there.
// CHECK-LABEL: func @tail
// CHECK-LABEL: func private @matmul.0.1(
// CHECK:         %[[WHOLE:.+]] = arith.cmpi ult, %{{.+}}, %c1
// CHECK:         scf.if %[[WHOLE]] {
// CHECK-NOT:       maskedstore
// CHECK:           vector.load
// CHECK:           arith.addf
// CHECK:           vector.store
// CHECK:         } else {
// CHECK:           vector.create_mask
// CHECK:           vector.maskedload
// CHECK:           arith.addf
// CHECK:           vector.maskedstore
func.func @tail(%x: memref<?x4xf32>, %w: memref<1x2x4x8xf32>, %y: memref<?x13xf32>) {
  moe.packed_matmul %x, %w panels<columns = 13, parts = 1, lanes = 4, vectors = 2> tile_rows = 1 accumulate
      outs(%y : memref<?x13xf32>) : memref<?x4xf32>, memref<1x2x4x8xf32> {
  ^bb0(%s: f32):
    moe.yield %s : f32
  }
  return
}

// -----

// Groups: all tiles of one expert, panel after panel. Gate and up share a
// panel; the epilogue runs on vectors. bf16 pairs are taken apart by shifts.
// CHECK-LABEL: func @experts
// CHECK:         scf.while
// CHECK:           %[[E:.+]] = arith.index_cast
// CHECK:           %[[LEFT:.+]] = arith.index_cast
// CHECK:           scf.for
// CHECK:             scf.for {{.*}} to %[[LEFT]]
// CHECK-LABEL: func private @matmul.0.1(
// CHECK-SAME:    %{{[^,]+}}: memref<?x4xf32>, %{{[^,]+}}: memref<8x3x4x8xbf16>, %{{[^,]+}}: memref<?x12xf32>, %[[ROWS:.+]]: memref<?xi32>, %{{.+}}: index
// CHECK:         memref.load %[[ROWS]]
// CHECK:         vector.bitcast %{{.+}} : vector<8xbf16> to vector<4xi32>
// CHECK:         arith.shli
// CHECK:         arith.andi
// CHECK:         vector.fma
// CHECK:         math.exp %{{.+}} : vector<4xf32>
// CHECK:         vector.store
func.func @experts(%x: memref<?x4xf32>, %w: memref<8x3x4x8xbf16>, %tiles: memref<?x4xi32>, %n: memref<1xi32>,
                   %rows: memref<?xi32>, %y: memref<?x12xf32>) {
  moe.packed_matmul %x, %w panels<columns = 12, parts = 2, lanes = 4, vectors = 1> tile_rows = 1
      tiles(%tiles, %n : memref<?x4xi32>, memref<1xi32>) gather(%rows : memref<?xi32>)
      outs(%y : memref<?x12xf32>) : memref<?x4xf32>, memref<8x3x4x8xbf16> {
  ^bb0(%g: f32, %u: f32):
    %0 = nn.silu %g : f32
    %1 = nn.mul %0, %u : f32
    moe.yield %1 : f32
  }
  return
}

// -----

// Scattered rows add weight * value to their token, one FMA per element. Ops of
// one form share their kernels.
// CHECK-LABEL: func @scatter
// CHECK-COUNT-2: moe.parallel
// CHECK-LABEL: func private @matmul.0.1(
// CHECK:         %[[TOKEN:.+]] = arith.index_cast
// CHECK:         %[[WEIGHT:.+]] = vector.broadcast
// CHECK:         %[[OLD:.+]] = vector.load %{{.+}}[%[[TOKEN]],
// CHECK:         %[[NEW:.+]] = vector.fma %[[WEIGHT]], %{{.+}}, %[[OLD]]
// CHECK:         vector.store %[[NEW]], %{{.+}}[%[[TOKEN]],
// CHECK-NOT:   @matmul.1
func.func @scatter(%x: memref<?x4xf32>, %w: memref<8x1x4x4xf32>, %tiles: memref<?x4xi32>, %n: memref<1xi32>,
                   %rows: memref<?xi32>, %weights: memref<?xf32>, %y: memref<?x4xf32>) {
  moe.packed_matmul %x, %w panels<columns = 4, parts = 1, lanes = 4, vectors = 1> tile_rows = 1
      tiles(%tiles, %n : memref<?x4xi32>, memref<1xi32>) scatter(%rows, %weights : memref<?xi32>, memref<?xf32>)
      outs(%y : memref<?x4xf32>) : memref<?x4xf32>, memref<8x1x4x4xf32> {
  ^bb0(%s: f32):
    moe.yield %s : f32
  }
  moe.packed_matmul %x, %w panels<columns = 4, parts = 1, lanes = 4, vectors = 1> tile_rows = 1
      tiles(%tiles, %n : memref<?x4xi32>, memref<1xi32>) scatter(%rows, %weights : memref<?xi32>, memref<?xf32>)
      outs(%y : memref<?x4xf32>) : memref<?x4xf32>, memref<8x1x4x4xf32> {
  ^bb0(%s: f32):
    moe.yield %s : f32
  }
  return
}
