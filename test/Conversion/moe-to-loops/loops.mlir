// RUN: moe-opt %s --pass-pipeline='builtin.module(func.func(convert-moe-to-loops))' \
// RUN:   | FileCheck %s
// RUN: moe-opt %s --pass-pipeline='builtin.module(func.func(convert-moe-to-loops{threads=none}))' \
// RUN:   | FileCheck %s --check-prefix=SEQ
// Nothing is left to do the second time.
// RUN: moe-opt %s --pass-pipeline='builtin.module(func.func(convert-moe-to-loops))' -o %t
// RUN: moe-opt %t --pass-pipeline='builtin.module(func.func(convert-moe-to-loops))' \
// RUN:   | diff %t -

// SEQ-NOT: moe.parallel

// One FMA chain per element; the epilogue is expanded in place.
// CHECK-LABEL: func @grouped_matmul
// CHECK-SAME:    (%[[A:.+]]: memref<?x4xf32>, %{{.+}}: memref<4xi32>, %[[W:.+]]: memref<3x6x4xbf16>
// CHECK:         moe.parallel (%[[BEGIN:.+]], %[[END:.+]]) in
// CHECK:           scf.for %[[N:.+]] = %[[BEGIN]] to %[[END]]
// CHECK:             %[[SUM:.+]] = scf.for %[[K:.+]] = {{.*}} iter_args(%[[ACC:.+]] = %{{.+}}) -> (f32)
// CHECK-DAG:           %[[L:.+]] = memref.load %[[A]][%{{.+}}, %[[K]]]
// CHECK-DAG:           %[[R:.+]] = memref.load %[[W]][%{{.+}}, %[[N]], %[[K]]]
// CHECK-DAG:           %[[X:.+]] = arith.extf %[[R]] : bf16 to f32
// CHECK:               %[[F:.+]] = math.fma %[[L]], %[[X]], %[[ACC]] : f32
// CHECK:               scf.yield %[[F]]
// CHECK:             arith.maximumf %[[SUM]]
// CHECK-NOT:         nn.
// SEQ-LABEL: func @grouped_matmul
func.func @grouped_matmul(%a: memref<?x4xf32>, %offsets: memref<4xi32>,
                          %w: memref<3x6x4xbf16>, %out: memref<?x6xf32>) {
  moe.grouped_matmul %a groups(%offsets : memref<4xi32>)
      weights(%w : memref<3x6x4xbf16>) outs(%out : memref<?x6xf32>)
      : memref<?x4xf32> {
  ^bb0(%x: f32):
    %0 = nn.relu %x : f32
    moe.yield %0 : f32
  }
  return
}

// Scratch belongs to the thread, so it is allocated once inside the region; a
// head of 20 is one vector and a masked rest in the dot product.
// CHECK-LABEL: func @attention
// CHECK-NOT:     memref.alloca
// CHECK:         moe.parallel (%[[BEGIN:.+]], %[[END:.+]]) in
// CHECK-COUNT-3:   memref.alloca
// CHECK:           scf.for %{{.+}} = %[[BEGIN]] to %[[END]]
// CHECK-NOT:         memref.alloca
// CHECK:             vector.load {{.*}}, vector<16xf32>
// CHECK:             vector.maskedload
// CHECK-COUNT-8:     vector.shuffle
// CHECK:             math.exp %{{.+}} : vector<16xf32>
// SEQ-LABEL: func @attention
// SEQ-COUNT-3:   memref.alloca
// SEQ:           scf.for
// SEQ-NOT:       memref.alloca
func.func @attention(%q: memref<?x40xf32>, %k: memref<1x?x?x1x20xf32>,
                     %v: memref<1x?x?x1x20xf32>, %n: memref<?xi64>,
                     %l: index, %out: memref<?x40xf32>) {
  nn.attention %q, %k, %v, %n layer(%l) outs(%out : memref<?x40xf32>)
      {heads = 2 : i64, scale = 0.5 : f64}
      : memref<?x40xf32>, memref<1x?x?x1x20xf32>, memref<1x?x?x1x20xf32>,
        memref<?xi64>
  return
}

// No vectors across elements that may not be neighbours in memory.
// CHECK-LABEL: func @strided_norm
// CHECK-NOT:     vector.maskedload
// CHECK:         scf.for
// CHECK:         return
// SEQ-LABEL: func @strided_norm
func.func @strided_norm(%x: memref<?x32xf32, strided<[?, ?], offset: ?>>,
                        %w: memref<32xf32>,
                        %out: memref<?x32xf32, strided<[?, ?], offset: ?>>) {
  nn.rms_norm %x, %w
      outs(%out : memref<?x32xf32, strided<[?, ?], offset: ?>>)
      {eps = 1.0e-5 : f64}
      : memref<?x32xf32, strided<[?, ?], offset: ?>>, memref<32xf32>
  return
}

// Elementwise ops are expanded wherever they are ...
// CHECK-LABEL: func @elementwise
// CHECK:         linalg.generic
// CHECK:         ^bb0(%[[X:.+]]: f32, %{{.+}}: f32):
// CHECK:           %[[M:.+]] = arith.negf %[[X]] : f32
// CHECK:           %[[E:.+]] = math.exp %[[M]] : f32
// CHECK:           %[[S:.+]] = arith.addf %{{.+}}, %[[E]] : f32
// CHECK:           %[[D:.+]] = arith.divf %[[X]], %[[S]] : f32
// CHECK:           linalg.yield %[[D]]
// CHECK:         arith.addf %{{.+}} : vector<8xf32>
// SEQ-LABEL: func @elementwise
#id = affine_map<(i) -> (i)>
func.func @elementwise(%x: memref<?xf32>, %a: vector<8xf32>) -> vector<8xf32> {
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : memref<?xf32>) outs(%x : memref<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = nn.silu %in : f32
    linalg.yield %0 : f32
  }
  %1 = nn.add %a, %a : vector<8xf32>
  return %1 : vector<8xf32>
}

// ... but not where another pass makes vectors of them.
// CHECK-LABEL: func @keep_packed_epilogue
// CHECK:         moe.packed_matmul
// CHECK:           nn.silu
func.func @keep_packed_epilogue(%a: memref<?x4xf32>, %w: memref<1x1x4x8xf32>,
                                %out: memref<?x6xf32>) {
  moe.packed_matmul %a, %w
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      outs(%out : memref<?x6xf32>) : memref<?x4xf32>, memref<1x1x4x8xf32> {
  ^bb0(%x: f32):
    %0 = nn.silu %x : f32
    moe.yield %0 : f32
  }
  return
}
