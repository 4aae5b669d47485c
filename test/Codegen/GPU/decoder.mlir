// RUN: moe-opt %s --moe-select-kernels="arch=80 precision=f32" -split-input-file | FileCheck %s

// Two rows per warp: each half sums one in 16 chains, 8 loads at a time, and
// adds the chains as a tree; then both halves scale the first and the second.
// CHECK-LABEL: func.func @rms_norm(
// CHECK-SAME:      %[[X:.*]]: memref<?x40xf32>, %[[W:.*]]: memref<40xbf16>, %[[OUT:.*]]: memref<?x40xf32>)
// CHECK:         %[[ROWS:.*]] = memref.dim %[[X]], %c0
// CHECK:         %[[GRID:.*]] = arith.ceildivui %[[ROWS]], %c8
// CHECK:         gpu.launch_func @kernels::@rms_norm_0 blocks in (%[[GRID]], %c1{{[^,]*}}, %c1{{[^,]*}}) threads in (%c128,
// CHECK-SAME:        args(%[[X]] : memref<?x40xf32>, %[[W]] : memref<40xbf16>, %[[OUT]] : memref<?x40xf32>, %[[ROWS]] : index, %{{.*}} : index)
// CHECK-NOT:     nn.rms_norm
// CHECK:       llvm.func @rms_norm_0(
// CHECK:         arith.minui
// CHECK:         scf.for
// CHECK-COUNT-8:   llvm.load %{{.*}} -> f32
// CHECK-COUNT-8:   math.fma
// CHECK:         scf.for
// CHECK:           scf.if
// CHECK:           math.fma
// CHECK-COUNT-4: nvvm.shfl.sync bfly
// CHECK:         math.sqrt
// CHECK-COUNT-2: nvvm.shfl.sync idx
// CHECK:         scf.for
// CHECK:           arith.extf %{{.*}} : bf16 to f32
// CHECK:           llvm.store
// CHECK:         scf.if
// CHECK:         scf.for
func.func @rms_norm(%x: memref<?x40xf32>, %w: memref<40xbf16>,
                    %out: memref<?x40xf32>) {
  nn.rms_norm %x, %w outs(%out : memref<?x40xf32>) {eps = 1.0e-5 : f64}
      : memref<?x40xf32>, memref<40xbf16>
  return
}

// -----

// One kernel for equal weights and eps, whatever the sizes.
// CHECK-LABEL: func.func @norms(
// CHECK:         gpu.launch_func @kernels::@[[FIRST:rms_norm_[0-9]+]]
// CHECK:         gpu.launch_func @kernels::@[[FIRST]] blocks
// CHECK:         gpu.launch_func @kernels::@[[SECOND:rms_norm_[0-9]+]]
// CHECK:         gpu.launch_func @kernels::@[[THIRD:rms_norm_[0-9]+]]
// CHECK:       llvm.func @[[FIRST]](
// CHECK:       llvm.func @[[SECOND]](
// CHECK:       llvm.func @[[THIRD]](
func.func @norms(%x: memref<?x40xf32>, %w: memref<40xf32>,
                 %y: memref<3x7xf32>, %v: memref<7xf32>, %u: memref<7xf16>) {
  nn.rms_norm %x, %w outs(%x : memref<?x40xf32>) {eps = 1.0e-5 : f64}
      : memref<?x40xf32>, memref<40xf32>
  nn.rms_norm %y, %v outs(%y : memref<3x7xf32>) {eps = 1.0e-5 : f64}
      : memref<3x7xf32>, memref<7xf32>
  nn.rms_norm %y, %v outs(%y : memref<3x7xf32>) {eps = 1.0e-6 : f64}
      : memref<3x7xf32>, memref<7xf32>
  nn.rms_norm %y, %u outs(%y : memref<3x7xf32>) {eps = 1.0e-5 : f64}
      : memref<3x7xf32>, memref<7xf16>
  return
}

// -----

// Rows that do not lie one behind the other are left to the outliner.
// CHECK-LABEL: func.func @strided(
// CHECK:         nn.rms_norm
func.func @strided(%x: memref<?x8xf32, strided<[16, 1]>>, %w: memref<8xf32>,
                   %out: memref<?x8xf32>) {
  nn.rms_norm %x, %w outs(%out : memref<?x8xf32>) {eps = 1.0e-5 : f64}
      : memref<?x8xf32, strided<[16, 1]>>, memref<8xf32>
  return
}

// -----

// A thread per column of a row, blocks along a row: 40 columns take two warps,
// 512 two blocks of eight.
// CHECK-LABEL: func.func @embedding(
// CHECK-SAME:      %[[IDS:.*]]: memref<?x?xi64>, %[[TABLE:.*]]: memref<101x40xf16>, %[[OUT:.*]]: memref<?x40xf32>,
// CHECK-SAME:      %[[WIDE:[^:]*]]: memref<9x512xf32>, %[[WIDE_OUT:[^:]*]]: memref<?x512xf32>)
// CHECK-DAG:     %[[BATCH:.*]] = memref.dim %[[IDS]], %c0{{.*}}
// CHECK-DAG:     %[[TOKENS:.*]] = memref.dim %[[IDS]], %c1{{.*}}
// CHECK:         %[[ROWS:.*]] = arith.muli %[[BATCH]], %[[TOKENS]]
// CHECK:         gpu.launch_func @kernels::@[[NARROW:embedding_[0-9]+]] blocks in (%[[ROWS]], %c1{{[^,]*}}, %c1{{[^,]*}}) threads in (%c64,
// CHECK-SAME:        args(%[[IDS]] : memref<?x?xi64>, %[[TABLE]] : memref<101x40xf16>, %[[OUT]] : memref<?x40xf32>)
// CHECK:         gpu.launch_func @kernels::@[[WHOLE:embedding_[0-9]+]] blocks in (%{{.*}}, %c2{{[^,]*}}, %c1{{[^,]*}}) threads in (%c256
// CHECK:       llvm.func @[[NARROW]](
// CHECK:         scf.if
// CHECK:           llvm.load %{{.*}} -> i64
// CHECK:           arith.extf %{{.*}} : f16 to f32
// CHECK:       llvm.func @[[WHOLE]](
// CHECK-NOT:     scf.if
func.func @embedding(%ids: memref<?x?xi64>, %table: memref<101x40xf16>,
                     %out: memref<?x40xf32>, %wide: memref<9x512xf32>,
                     %wide_out: memref<?x512xf32>) {
  nn.embedding %ids, %table outs(%out : memref<?x40xf32>)
      : memref<?x?xi64>, memref<101x40xf16>
  nn.embedding %ids, %wide outs(%wide_out : memref<?x512xf32>)
      : memref<?x?xi64>, memref<9x512xf32>
  return
}
