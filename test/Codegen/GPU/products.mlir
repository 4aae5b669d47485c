// RUN: moe-opt %s --moe-select-kernels="arch=80 precision=f32" | FileCheck %s
// RUN: moe-opt %s --moe-select-kernels="arch=80 precision=tf32" | FileCheck %s --check-prefix=TF32

// One kernel for few rows per expert, one for more, one for many; blocks for as
// many tiles as there can be, and for all columns.
// CHECK-LABEL: func.func @grouped(
// CHECK-SAME:      %[[A:.*]]: memref<?x36xf32>, %[[OFFSETS:.*]]: memref<6xi32>, %[[W:.*]]: memref<5x70x36xf32>, %[[TOKENS:.*]]: memref<?xi32>, %[[OUT:.*]]: memref<?x70xf32>)
// CHECK:         %[[ROWS:.*]] = memref.dim %[[TOKENS]]
// CHECK:         arith.cmpi ule, %[[ROWS]], %c40
// CHECK:           %[[FULL:.*]] = arith.divui %[[ROWS]], %c8
// CHECK:           %[[PART:.*]] = arith.minui %[[ROWS]], %c5
// CHECK:           %[[TILES:.*]] = arith.addi %[[FULL]], %[[PART]]
// CHECK:           gpu.launch_func @kernels::@product_f32_8x64x32_g1_gather_0 blocks in (%[[TILES]], %c2{{.*}}, %c1{{.*}}) threads in (%c128
// CHECK-SAME:        args(%[[A]] : memref<?x36xf32>, %[[W]] : memref<5x70x36xf32>, %[[OUT]] : memref<?x70xf32>, %[[OFFSETS]] : memref<6xi32>, %[[TOKENS]] : memref<?xi32>, %[[ROWS]] : index, %c70{{.*}} : index, %c36{{.*}} : index, %c5{{.*}} : index)
// CHECK:         arith.cmpi ule, %[[ROWS]], %c320
// CHECK:           gpu.launch_func @kernels::@product_f32_32x64x16_g1_gather_1
// CHECK:           gpu.launch_func @kernels::@product_f32_128x128x16_g1_gather_2
// CHECK-NOT:     moe.grouped_matmul
// TF32-LABEL: func.func @grouped(
// TF32:         @product_tf32_16x128x32_g1_gather_
// TF32:         @product_tf32_64x128x32_g1_gather_
// TF32:         @product_tf32_128x128x16_g1_gather_
func.func @grouped(%a: memref<?x36xf32>, %offsets: memref<6xi32>,
                   %w: memref<5x70x36xf32>, %tokens: memref<?xi32>,
                   %out: memref<?x70xf32>) {
  moe.grouped_matmul %a groups(%offsets : memref<6xi32>)
      weights(%w : memref<5x70x36xf32>) gather(%tokens : memref<?xi32>)
      outs(%out : memref<?x70xf32>) : memref<?x36xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// The number of rows is known: no choice is left. Scores of a router are exact
// whatever the precision, and so are products of unlike types.
// CHECK-LABEL: func.func @known(
// CHECK-NOT:     scf.if
// CHECK:         @product_f32_8x64x32_g1_linear_
// CHECK:         @product_f32_32x64x16_g1_linear_
// CHECK-NOT:     scf.if
// CHECK:         return
// TF32-LABEL: func.func @known(
// TF32:         @product_f32_8x64x32_g1_linear_
// TF32:         @product_f32_32x64x16_g1_linear_
func.func @known(%a: memref<3x64xf32>, %router: memref<8x64xf32>,
                 %scores: memref<3x8xf32>, %x: memref<20x64xf32>,
                 %w: memref<8x64xbf16>, %y: memref<20x8xf32>) {
  moe.router_logits %a, %router outs(%scores : memref<3x8xf32>)
      : memref<3x64xf32>, memref<8x64xf32>
  nn.linear %x, %w outs(%y : memref<20x8xf32>)
      : memref<20x64xf32>, memref<8x64xbf16>
  return
}

// Narrow rows and weights of one type go to the tensor cores; rows that 4 bytes
// at a time cannot copy do not.
// CHECK-LABEL: func.func @narrow(
// CHECK:         @product_bf16_16x128x64_g1_linear_
// CHECK:         @product_f32_8x64x32_g1_linear_
// TF32-LABEL: func.func @narrow(
func.func @narrow(%a: memref<3x64xbf16>, %w: memref<8x64xbf16>,
                  %y: memref<3x8xbf16>, %b: memref<3x63xbf16>,
                  %v: memref<8x63xbf16>) {
  nn.linear %a, %w outs(%y : memref<3x8xbf16>)
      : memref<3x64xbf16>, memref<8x64xbf16>
  nn.linear %b, %v outs(%y : memref<3x8xbf16>)
      : memref<3x63xbf16>, memref<8x63xbf16>
  return
}

// CHECK:      gpu.module @kernels
// Each warp finds its tile; sums are chains.
// CHECK:        llvm.func @product_f32_8x64x32_g1_gather_0
// CHECK:          nvvm.vote.sync ballot
// CHECK:          nvvm.cp.async.shared.global {{.*}}, 16, cache = cg
// CHECK:          math.fma
// CHECK-NOT:      nvvm.mma.sync
// CHECK:        llvm.func @product_f32_32x64x16_g1_gather_1
// TF32:       nvvm.convert.float.to.tf32
// TF32:       nvvm.mma.sync
