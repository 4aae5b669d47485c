// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-outline-parallel --canonicalize | FileCheck %s

moe.parameter @a : tensor<4xf32> from [#moe.source<"a", tensor<4xf32>, first = 0, count = 4, part = 0>]
moe.parameter @b : tensor<4xf32> from [#moe.source<"b", tensor<4xf32>, first = 0, count = 4, part = 0>]

// The body gets context, captures, begin and end; constants are not captured.
// CHECK-LABEL: func @f
// CHECK-SAME:    (%[[CONTEXT:.+]]: !llvm.ptr, %[[X:.+]]: memref<?xf32>, %[[N:.+]]: index)
// CHECK:         %[[BODY:.+]] = llvm.mlir.addressof @f.parallel.0
// CHECK:         %[[DATA:.+]] = llvm.alloca {{.*}} x !llvm.struct<(f32, struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>)>
// Parameter 1 of the table at field 1 of the context.
// CHECK:         %[[FIELD:.+]] = llvm.getelementptr %[[CONTEXT]][1]
// CHECK:         %[[TABLE:.+]] = llvm.load %[[FIELD]]
// CHECK:         %[[B:.+]] = llvm.getelementptr %[[TABLE]][1]
// CHECK:         llvm.store
// CHECK:         llvm.call %{{.+}}(%[[CONTEXT]], %[[BODY]], %[[DATA]], %{{.+}}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64) -> ()
// CHECK-NOT:     moe.parallel
func.func @f(%x: memref<?xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = moe.parameter_ref @b : memref<4xf32>
  %v = memref.load %b[%c0] : memref<4xf32>
  moe.parallel (%begin, %end) in %n {
    scf.for %i = %begin to %end step %c1 {
      memref.store %v, %x[%i] : memref<?xf32>
    }
  }
  return
}
// CHECK-LABEL: llvm.func internal @f.parallel.0
// CHECK-SAME:    (%{{.+}}: !llvm.ptr, %[[D:.+]]: !llvm.ptr, %[[B:.+]]: i64, %[[E:.+]]: i64)
// CHECK:         llvm.getelementptr %[[D]][0, 1]
// CHECK:         scf.for
// CHECK:           memref.store

// A caller hands its context on; a function that needs none gets none.
// CHECK-LABEL: func @g
// CHECK-SAME:    (%[[C:.+]]: !llvm.ptr,
// CHECK:         call @f(%[[C]],
func.func @g(%x: memref<?xf32>, %n: index) {
  call @f(%x, %n) : (memref<?xf32>, index) -> ()
  return
}
// CHECK-LABEL: func @h
// CHECK-SAME:    (%{{.+}}: index)
func.func @h(%n: index) {
  return
}

// -----

func.func @nested(%n: index) {
  moe.parallel (%b, %e) in %n {
    // expected-error@+1 {{is inside another one}}
    moe.parallel (%b2, %e2) in %n {
    }
  }
  return
}
