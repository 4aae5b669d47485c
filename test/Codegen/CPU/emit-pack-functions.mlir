// RUN: moe-opt %s --moe-emit-pack-functions | FileCheck %s
// RUN: moe-opt %s --moe-emit-pack-functions | moe-opt --moe-emit-pack-functions | FileCheck %s

// One function for each packed type; a plain parameter needs none.
// CHECK: moe.parameter @norm {{.*}} first = 0, count = 4, part = 0>]{{$}}
// CHECK: moe.parameter @a {{.*}} pack = @pack.0
// CHECK: moe.parameter @b {{.*}} pack = @pack.0
// CHECK: moe.parameter @c {{.*}} pack = @pack.1
moe.parameter @norm : tensor<4xf32> from [#moe.source<"norm", tensor<4xf32>, first = 0, count = 4, part = 0>]
moe.parameter @a : tensor<1x2x3x4xf32> from [#moe.source<"a", tensor<7x3xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 7, parts = 1, lanes = 4, vectors = 1>
moe.parameter @b : tensor<1x2x3x4xf32> from [#moe.source<"b", tensor<7x3xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 7, parts = 1, lanes = 4, vectors = 1>
moe.parameter @c : tensor<2x1x3x8xbf16> from [#moe.source<"g", tensor<2x4x3xbf16>, first = 0, count = 2, part = 0>,
                                              #moe.source<"u", tensor<2x4x3xbf16>, first = 0, count = 2, part = 1>]
    panels<columns = 4, parts = 2, lanes = 4, vectors = 1>

// A name that is taken.
// CHECK: func private @pack.2()
// CHECK: moe.parameter @d {{.*}} pack = @pack.3
func.func private @pack.2() {
  return
}
moe.parameter @d : tensor<1x3x3x4xf32> from [#moe.source<"d", tensor<9x3xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 9, parts = 1, lanes = 4, vectors = 1>

// Columns behind the last one become zero.
// CHECK-LABEL: func private @pack.0
// CHECK-SAME:    (%[[DST:.+]]: memref<1x2x3x4xi32>, %[[SRC:.+]]: memref<?x7x3xi32>, %[[FIRST:.+]]: index, %[[PART:.+]]: index)
// CHECK:         moe.parallel
// CHECK:           %[[EXISTS:.+]] = arith.cmpi ult, %[[COLUMN:.+]], %c7
// CHECK:           scf.if %[[EXISTS]] {
// CHECK:             %[[VALUE:.+]] = memref.load %[[SRC]][%{{.+}}, %[[COLUMN]], %[[K:.+]]]
// CHECK:             memref.store %[[VALUE]], %[[DST]][%{{.+}}, %{{.+}}, %[[K]], %{{.+}}]
// CHECK:           } else {
// CHECK:             memref.store %c0_i32{{.*}}, %[[DST]]

// bf16 moves as i16, and two vectors share words.
// CHECK-LABEL: func private @pack.1
// CHECK-SAME:    memref<2x1x3x8xi16>
// CHECK:         arith.remui %{{.+}}, %c2
// CHECK:         arith.muli %{{.+}}, %c8
