// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-lower-launches --canonicalize | FileCheck %s

module attributes {gpu.container_module} {
  moe.parameter @a : tensor<4xf32> from [#moe.source<"a", tensor<4xf32>, first = 0, count = 4, part = 0>]

  // CHECK-LABEL: func @launch
  // CHECK-SAME:    (%[[CONTEXT:.+]]: !llvm.ptr, %[[X:.+]]: memref<?x8xf32>, %[[N:.+]]: index)
  // CHECK-DAG:     %[[NUMBER:.+]] = llvm.mlir.constant(1 : i32)
  // CHECK-DAG:     %[[COUNT:.+]] = llvm.mlir.constant(3 : i32)
  // CHECK-DAG:     %[[LAUNCH:.+]] = llvm.alloca {{.+}} x !llvm.struct<(i32, i32, array<3 x i64>, ptr, ptr)>
  // CHECK-DAG:     %[[VALUES:.+]] = llvm.alloca {{.+}} x !llvm.array<3 x ptr>
  // The number of the kernel counts kernels only.
  // CHECK:         %[[NUMBER_AT:.+]] = llvm.getelementptr %[[LAUNCH]][0, 0]
  // CHECK:         llvm.store %[[NUMBER]], %[[NUMBER_AT]]
  // CHECK:         %[[COUNT_AT:.+]] = llvm.getelementptr %[[LAUNCH]][0, 1]
  // CHECK:         llvm.store %[[COUNT]], %[[COUNT_AT]]
  // CHECK:         %[[FIELD:.+]] = llvm.getelementptr %[[CONTEXT]][2]
  // CHECK:         %[[CALLEE:.+]] = llvm.load %[[FIELD]]
  // CHECK:         llvm.call %[[CALLEE]](%[[CONTEXT]], %[[LAUNCH]]) : !llvm.ptr, (!llvm.ptr, !llvm.ptr) -> ()
  // CHECK-NOT:     gpu.launch_func
  func.func @launch(%x: memref<?x8xf32>, %n: index) {
    %c1 = arith.constant 1 : index
    %c128 = arith.constant 128 : index
    %p = moe.parameter_ref @a : memref<4xf32>
    gpu.launch_func @kernels::@second blocks in (%n, %c1, %c1) threads in (%c128, %c1, %c1) args(%x : memref<?x8xf32>, %n : index, %p : memref<4xf32>)
    return
  }
  // CHECK-LABEL: func @caller
  // CHECK-SAME:    (%[[C:.+]]: !llvm.ptr,
  // CHECK:         call @launch(%[[C]],
  func.func @caller(%x: memref<?x8xf32>, %n: index) {
    call @launch(%x, %n) : (memref<?x8xf32>, index) -> ()
    return
  }
  gpu.module @kernels {
    llvm.func @first() attributes {gpu.kernel, nvvm.kernel} {
      llvm.return
    }
    llvm.func internal @helper() {
      llvm.return
    }
    llvm.func @second(%x: !llvm.ptr, %n: i64, %p: !llvm.ptr) attributes {gpu.kernel, nvvm.kernel} {
      llvm.return
    }
  }
}

// -----

// A tensor map: dimensions from the innermost on, strides in bytes.
module attributes {gpu.container_module} {
  // CHECK-LABEL: func @map
  // CHECK-DAG:     %[[F16:.+]] = llvm.mlir.constant(1 : i32)
  // CHECK-DAG:     %[[RANK:.+]] = llvm.mlir.constant(2 : i32)
  // CHECK-DAG:     %[[SWIZZLE:.+]] = llvm.mlir.constant(128 : i32)
  // CHECK-DAG:     %[[MAP:.+]] = llvm.alloca {{.+}} x !llvm.struct<(i64, i32, i32, array<5 x i64>, array<4 x i64>, array<5 x i32>, i32)>
  // CHECK:         %[[DTYPE_AT:.+]] = llvm.getelementptr %[[MAP]][0, 1]
  // CHECK:         llvm.store %[[F16]], %[[DTYPE_AT]]
  // CHECK:         %[[STRIDE_AT:.+]] = llvm.getelementptr %[[MAP]][0, 4, 0]
  // CHECK:         %[[SWIZZLE_AT:.+]] = llvm.getelementptr %[[MAP]][0, 6]
  // CHECK:         llvm.store %[[SWIZZLE]], %[[SWIZZLE_AT]]
  func.func @map(%x: memref<?x64xf16>) {
    %c1 = arith.constant 1 : index
    %c64 = arith.constant 64 : index
    %c128 = arith.constant 128 : index
    %u = memref.cast %x : memref<?x64xf16> to memref<*xf16>
    %m = nvgpu.tma.create.descriptor %u box[%c128, %c64] : memref<*xf16> -> !nvgpu.tensormap.descriptor<tensor = memref<128x64xf16, 3>, swizzle = swizzle_128b, l2promo = none, oob = zero, interleave = none>
    gpu.launch_func @kernels::@k blocks in (%c1, %c1, %c1) threads in (%c128, %c1, %c1) args(%m : !nvgpu.tensormap.descriptor<tensor = memref<128x64xf16, 3>, swizzle = swizzle_128b, l2promo = none, oob = zero, interleave = none>)
    return
  }
  gpu.module @kernels {
    llvm.func @k(%m: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}) attributes {gpu.kernel, nvvm.kernel} {
      llvm.return
    }
  }
}

// -----

module attributes {gpu.container_module} {
  func.func @count(%x: memref<4xf32>) {
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{passes 1 arguments, but @kernels::@k takes 0}}
    gpu.launch_func @kernels::@k blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%x : memref<4xf32>)
    return
  }
  gpu.module @kernels {
    llvm.func @k() attributes {gpu.kernel, nvvm.kernel} {
      llvm.return
    }
  }
}

// -----

module attributes {gpu.container_module} {
  func.func @type(%x: f64) {
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{cannot pass a value of type 'f64'}}
    gpu.launch_func @kernels::@k blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%x : f64)
    return
  }
  gpu.module @kernels {
    llvm.func @k(%x: f64) attributes {gpu.kernel, nvvm.kernel} {
      llvm.return
    }
  }
}
