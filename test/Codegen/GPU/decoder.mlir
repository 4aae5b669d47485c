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

// -----

// A thread per pair of columns that turn together: 5 heads of 3 pairs.
// CHECK-LABEL: func.func @rotary(
// CHECK-SAME:      %[[X:.*]]: memref<?x30xf32>, %[[COS:.*]]: memref<?x3xf32>, %[[SIN:.*]]: memref<?x3xf32>)
// CHECK:         %[[ROWS:.*]] = memref.dim %[[X]], %c0
// CHECK:         gpu.launch_func @kernels::@[[TURN:rotary_[0-9]+]] blocks in (%[[ROWS]], %c1{{[^,]*}}, %c1{{[^,]*}}) threads in (%c32,
// CHECK-SAME:        args(%[[X]] : memref<?x30xf32>, %[[COS]] : memref<?x3xf32>, %[[SIN]] : memref<?x3xf32>, %[[X]] : memref<?x30xf32>)
// CHECK-NOT:     nn.rotary
// CHECK:       llvm.func @[[TURN]](
// CHECK:         arith.cmpi ult, %{{.*}}, %c15_i64
// Both columns are read before one is written: x may be the destination.
// CHECK-COUNT-4: llvm.load
// CHECK:         arith.subf
// CHECK-NEXT:    llvm.getelementptr
// CHECK-NEXT:    llvm.store
// CHECK-NOT:     llvm.load
// CHECK:         arith.addf
// CHECK:         llvm.store
func.func @rotary(%x: memref<?x30xf32>, %cos: memref<?x3xf32>,
                  %sin: memref<?x3xf32>) {
  nn.rotary %x, %cos, %sin outs(%x : memref<?x30xf32>) {heads = 5 : i64}
      : memref<?x30xf32>, memref<?x3xf32>, memref<?x3xf32>
  return
}

// -----

// CHECK-LABEL: func.func @cache_append(
// CHECK-SAME:      %[[X:.*]]: memref<?x24xf32>, %[[LENGTHS:.*]]: memref<?xi64>, %[[LAYER:.*]]: index, %[[CACHE:.*]]: memref<?x?x?x2x12xf32>)
// CHECK-DAG:     %[[ROWS:.*]] = memref.dim %[[X]], %c0
// CHECK-DAG:     %[[BATCH:.*]] = memref.dim %[[CACHE]], %c1
// CHECK-DAG:     %[[CAPACITY:.*]] = memref.dim %[[CACHE]], %c2
// CHECK:         gpu.launch_func @kernels::@[[APPEND:cache_append_[0-9]+]] blocks in (%[[ROWS]], %c1{{[^,]*}}, %c1{{[^,]*}}) threads in (%c32,
// CHECK-SAME:        args(%[[X]] : memref<?x24xf32>, %[[LENGTHS]] : memref<?xi64>, %[[CACHE]] : memref<?x?x?x2x12xf32>, %[[LAYER]] : index, %[[ROWS]] : index, %[[BATCH]] : index, %[[CAPACITY]] : index)
// CHECK-NOT:     nn.cache_append
// CHECK:       llvm.func @[[APPEND]](
// CHECK:         llvm.load %{{.*}} -> i64
// CHECK:         llvm.load %{{.*}} -> f32
// CHECK:         llvm.store
func.func @cache_append(%x: memref<?x24xf32>, %lengths: memref<?xi64>,
                        %layer: index, %cache: memref<?x?x?x2x12xf32>) {
  nn.cache_append %x, %lengths layer(%layer)
      outs(%cache : memref<?x?x?x2x12xf32>)
      : memref<?x24xf32>, memref<?xi64>
  return
}

// -----

// A thread per column of each sequence; nothing is read if there are no tokens.
// CHECK-LABEL: func.func @last_rows(
// CHECK-SAME:      %[[X:.*]]: memref<?x300xf32>, %[[IDS:.*]]: memref<?x?xi64>, %[[OUT:.*]]: memref<?x300xf32>)
// CHECK-DAG:     %[[BATCH:.*]] = memref.dim %[[IDS]], %c0
// CHECK-DAG:     %[[TOKENS:.*]] = memref.dim %[[IDS]], %c1
// CHECK:         gpu.launch_func @kernels::@[[LAST:last_rows_[0-9]+]] blocks in (%[[BATCH]], %c2{{[^,]*}}, %c1{{[^,]*}}) threads in (%c256,
// CHECK-SAME:        args(%[[X]] : memref<?x300xf32>, %[[OUT]] : memref<?x300xf32>, %[[TOKENS]] : index)
// CHECK-NOT:     nn.last_rows
// CHECK:       llvm.func @[[LAST]](
// CHECK:         arith.cmpi ult, %{{.*}}, %c300_i64
// CHECK:         %[[SOME:.*]] = arith.cmpi ne, %{{.*}}, %c0_i64
// CHECK-NEXT:    scf.if %[[SOME]]
// CHECK:           llvm.load
// CHECK:           llvm.store
func.func @last_rows(%x: memref<?x300xf32>, %ids: memref<?x?xi64>,
                     %out: memref<?x300xf32>) {
  nn.last_rows %x, %ids outs(%out : memref<?x300xf32>)
      : memref<?x300xf32>, memref<?x?xi64>
  return
}

// -----

// A thread per position and frequency, with sine and cosine of f64 scalars;
// frequencies are in the device's memory.
// CHECK-LABEL: func.func @rotary_table(
// CHECK-SAME:      %[[IDS:.*]]: memref<?x?xi64>, %[[LENGTHS:.*]]: memref<?xi64>, %[[COS:.*]]: memref<?x3xf32>, %[[SIN:.*]]: memref<?x3xf32>)
// CHECK-DAG:     %[[TOKENS:.*]] = memref.dim %[[IDS]], %c1{{.*}}
// CHECK-DAG:     %[[BATCH:.*]] = memref.dim %[[IDS]], %c0{{.*}}
// CHECK:         %[[ROWS:.*]] = arith.muli %[[BATCH]], %[[TOKENS]]
// CHECK:         gpu.launch_func @kernels::@[[TABLE:rotary_table_[0-9]+]] blocks in (%[[ROWS]], %c1{{[^,]*}}, %c1{{[^,]*}}) threads in (%c32,
// CHECK-SAME:        args(%[[LENGTHS]] : memref<?xi64>, %[[COS]] : memref<?x3xf32>, %[[SIN]] : memref<?x3xf32>, %[[TOKENS]] : index)
// CHECK-NOT:     nn.rotary_table
// CHECK:       llvm.mlir.global internal constant @[[FREQUENCIES:.*]](dense<[1.000000e+00, 1.000000e-01, 0.00999999977]>
// CHECK-SAME:      addr_space = 1
// CHECK:       llvm.func @[[TABLE]](
// CHECK:         arith.cmpi ult, %{{.*}}, %c3_i64
// CHECK:         %[[LENGTH:.*]] = llvm.load %{{.*}} -> i64
// CHECK:         %[[POSITION:.*]] = arith.addi %[[LENGTH]],
// CHECK:         %[[P:.*]] = arith.sitofp %[[POSITION]] : i64 to f32
// CHECK:         llvm.mlir.addressof @[[FREQUENCIES]] : !llvm.ptr<1>
// CHECK:         %[[ANGLE:.*]] = arith.mulf %[[P]], %{{.*}} : f32
// CHECK:         arith.extf %[[ANGLE]] : f32 to f64
// CHECK-COUNT-2: llvm.store
func.func @rotary_table(%ids: memref<?x?xi64>, %lengths: memref<?xi64>,
                        %cos: memref<?x3xf32>, %sin: memref<?x3xf32>) {
  nn.rotary_table %ids, %lengths outs(%cos, %sin : memref<?x3xf32>, memref<?x3xf32>)
      {inv_freq = array<f32: 1.0, 0.1, 0.01>} : memref<?x?xi64>, memref<?xi64>
  return
}

// -----

// Rows of a width that only the caller knows are left to the outliner.
// CHECK-LABEL: func.func @generic(
// CHECK:         nn.last_rows
// CHECK-NOT:     gpu.launch_func
func.func @generic(%ids: memref<?x?xi64>, %x: memref<?x?xf32>) {
  nn.last_rows %x, %ids outs(%x : memref<?x?xf32>)
      : memref<?x?xf32>, memref<?x?xi64>
  return
}
