// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-outline-kernels --canonicalize | FileCheck %s

// One thread per iteration; sizes travel as numbers, constants move in.
// CHECK-LABEL: func @parallel
// CHECK-SAME:    (%[[X:.+]]: memref<?xf32>, %[[N:.+]]: index)
// CHECK-DAG:     %[[C128:.+]] = arith.constant 128 : index
// CHECK-DAG:     %[[SIZE:.+]] = memref.dim %[[X]], %{{.+}}
// CHECK-DAG:     %[[BLOCKS:.+]] = arith.ceildivui %[[N]], %[[C128]]
// CHECK:         gpu.launch_func @kernels::@parallel_0 blocks in (%[[BLOCKS]], %{{[^ ]+}}, %{{[^ ]+}}) threads in (%[[C128]], %{{[^ ]+}}, %{{[^ ]+}})
// CHECK-SAME:      args(%[[X]] : memref<?xf32>, %[[SIZE]] : index, %[[N]] : index)
// CHECK-NOT:     moe.parallel
func.func @parallel(%x: memref<?xf32>, %n: index) {
  %c1 = arith.constant 1 : index
  %v = arith.constant 2.0 : f32
  moe.parallel (%begin, %end) in %n {
    scf.for %i = %begin to %end step %c1 {
      memref.store %v, %x[%i] : memref<?xf32>
    }
  }
  return
}
// CHECK:      gpu.module @kernels
// CHECK:        llvm.func @parallel_0(%{{.+}}: !llvm.ptr, %{{.+}}: i64, %{{.+}}: i64) attributes {gpu.kernel, nvvm.kernel, nvvm.reqntid = array<i32: 128, 1, 1>}
// CHECK:          nvvm.read.ptx.sreg.ctaid.x
// CHECK:          nvvm.read.ptx.sreg.tid.x
// CHECK:          scf.if
// CHECK:            memref.store

// -----

// The host cannot read what is in the device's memory: a single thread does.
// CHECK-LABEL: func @serial
// CHECK:         %[[C1:.+]] = arith.constant 1 : index
// CHECK:         gpu.launch_func @kernels::@serial_0 blocks in (%[[C1]], %[[C1]], %[[C1]]) threads in (%[[C1]], %[[C1]], %[[C1]])
// CHECK-NOT:     gpu.launch_func
// CHECK:         return
func.func @serial(%counts: memref<4xi32>, %out: memref<?xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %count = memref.load %counts[%c0] : memref<4xi32>
  %n = arith.index_cast %count : i32 to index
  scf.for %i = %c0 to %n step %c1 {
    memref.store %count, %out[%i] : memref<?xi32>
  }
  // A size that only the device knows.
  moe.parallel (%begin, %end) in %n {
    scf.for %i = %begin to %end step %c1 {
      memref.store %count, %out[%i] : memref<?xi32>
    }
  }
  return
}
// CHECK:      llvm.func @serial_0
// CHECK-SAME:   nvvm.reqntid = array<i32: 1, 1, 1>

// -----

// Equal bodies are one kernel. The last dimension is that of neighbours.
// CHECK-LABEL: func @twice
// CHECK:         gpu.launch_func @kernels::@twice_0
// CHECK:         gpu.launch_func @kernels::@twice_0
// CHECK:       llvm.func @twice_0
// CHECK-NOT:   llvm.func
func.func @twice(%x: memref<?x8xf32>, %y: memref<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %v = arith.constant 0.0 : f32
  %n = memref.dim %x, %c0 : memref<?x8xf32>
  scf.parallel (%i, %j) = (%c0, %c0) to (%n, %c8) step (%c1, %c1) {
    memref.store %v, %x[%i, %j] : memref<?x8xf32>
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%n, %c8) step (%c1, %c1) {
    memref.store %v, %y[%i, %j] : memref<?x8xf32>
  }
  return
}

// -----

// Strides that the type does not tell travel too; stack buffers move in.
// CHECK-LABEL: func @strided
// CHECK:         %{{.+}}, %{{.+}}, %{{.+}}, %[[STRIDES:.+]]:2 = memref.extract_strided_metadata
// CHECK:         gpu.launch_func @kernels::@strided_0
// CHECK-SAME:      %[[STRIDES]]#0 : index
// CHECK:       llvm.func @strided_0
// CHECK:         memref.alloca
// CHECK:         scf.if
func.func @strided(%x: memref<4x8xf32, strided<[?, 1], offset: ?>>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  moe.parallel (%begin, %end) in %c4 {
    %slot = memref.alloca() : memref<1xf32>
    scf.for %i = %begin to %end step %c1 {
      %v = memref.load %x[%i, %c0] : memref<4x8xf32, strided<[?, 1], offset: ?>>
      memref.store %v, %slot[%c0] : memref<1xf32>
      %w = memref.load %slot[%c0] : memref<1xf32>
      memref.store %w, %x[%i, %c1] : memref<4x8xf32, strided<[?, 1], offset: ?>>
    }
  }
  return
}

// -----

// Sizes of memory and lay-out of weights stay on the host.
// CHECK-LABEL: func @f.arena_size
// CHECK-NOT:   gpu.launch_func
func.func @f.arena_size(%n: index) -> index attributes {moe.arena_leaves = [array<i64: 0, 0>]} {
  return %n : index
}

// -----

func.func @callee(%n: index) {
  return
}
func.func @unreadable(%counts: memref<4xi32>) {
  %c0 = arith.constant 0 : index
  %count = memref.load %counts[%c0] : memref<4xi32>
  %n = arith.index_cast %count : i32 to index
  // expected-error@+1 {{depends on the device's memory, which the host cannot read}}
  call @callee(%n) : (index) -> ()
  return
}

// -----

func.func @type(%x: memref<4xf32>, %v: f64) {
  %c4 = arith.constant 4 : index
  // expected-error@+1 {{uses a value of type 'f64', which no kernel takes}}
  moe.parallel (%begin, %end) in %c4 {
    %w = arith.truncf %v : f64 to f32
    memref.store %w, %x[%begin] : memref<4xf32>
  }
  return
}

// -----

func.func @reduction(%x: memref<4xf32>) -> f32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f32
  // expected-error@+1 {{reduces, which no kernel is made for}}
  %sum = scf.parallel (%i) = (%c0) to (%c4) step (%c1) init (%zero) -> f32 {
    %v = memref.load %x[%i] : memref<4xf32>
    scf.reduce(%v : f32) {
    ^bb0(%a: f32, %b: f32):
      %r = arith.addf %a, %b : f32
      scf.reduce.return %r : f32
    }
  }
  return %sum : f32
}
