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

// -----

// What is captured may be a vector or of the llvm dialect.
// CHECK-LABEL: func @captures
// CHECK:         llvm.alloca {{.*}} x !llvm.struct<(array<2 x vector<4xf32>>, struct<{{.*}}>, i1, ptr)>
// CHECK-LABEL: llvm.func internal @captures.parallel.0
// CHECK:         builtin.unrealized_conversion_cast %{{.+}} : !llvm.array<2 x vector<4xf32>> to vector<2x4xf32>
func.func @captures(%n: index, %v: vector<2x4xf32>, %c: i1, %p: !llvm.ptr, %m: memref<4xf32>) {
  moe.parallel (%b, %e) in %n {
    %c0 = arith.constant 0 : index
    %x = vector.extract %v[1] : vector<4xf32> from vector<2x4xf32>
    scf.if %c {
      vector.store %x, %m[%c0] : memref<4xf32>, vector<4xf32>
      llvm.store %c, %p : i1, !llvm.ptr
    }
  }
  return
}

// -----

func.func @tensor(%n: index, %x: tensor<8xf32>) {
  // expected-error@+1 {{uses a value of type 'tensor<8xf32>', which has no form in memory}}
  moe.parallel (%b, %e) in %n {
    %y = tensor.extract %x[%b] : tensor<8xf32>
  }
  return
}

// -----

moe.parameter @w : tensor<4xf32> from [#moe.source<"w", tensor<4xf32>, first = 0, count = 4, part = 0>]
func.func private @tensor_parameter() -> tensor<4xf32> {
  // expected-error@+1 {{must be a memref: run one-shot-bufferize first}}
  %w = moe.parameter_ref @w : tensor<4xf32>
  return %w : tensor<4xf32>
}

// -----

// A name that is taken.
// CHECK-LABEL: func @taken
// CHECK:         llvm.mlir.addressof @taken.parallel.1
func.func @taken(%n: index, %m: memref<4xf32>) {
  %f = arith.constant 1.0 : f32
  moe.parallel (%b, %e) in %n {
    memref.store %f, %m[%b] : memref<4xf32>
  }
  return
}
func.func private @taken.parallel.0() {
  return
}
