// RUN: moe-opt %s --moe-select-kernels="arch=90 deterministic=false" | FileCheck %s --check-prefixes=CHECK,SM90
// RUN: moe-opt %s --moe-select-kernels="arch=80 deterministic=false" | FileCheck %s --check-prefixes=CHECK,SM80
// RUN: moe-opt %s --moe-select-kernels="arch=90" | FileCheck %s --check-prefix=ORDERED

// A layer's combination becomes the scatter of its product, with fusion alone.
// RUN: moe-opt %S/plan.mlir --moe-to-gpu="deterministic=false" --mlir-print-ir-after=moe-select-kernels -o /dev/null 2>&1 | FileCheck %s --check-prefix=LAYER
// RUN: moe-opt %S/plan.mlir --moe-to-gpu="deterministic=false opt=0" | FileCheck %s --check-prefix=PLAIN
// LAYER-NOT: combine_rows
// LAYER:     gpu.launch_func @kernels::@product_f32_8x64x32_g1_scatter_
// LAYER-NOT: combine_rows
// PLAIN-NOT: red.global
// PLAIN-NOT: moe.unordered

// Rows are added to their tokens in no order only where that is asked for.
// ORDERED-NOT: @kernels::
// ORDERED-NOT: moe.unordered

// Token and weight of each row are arguments behind the offsets.
// CHECK-LABEL: func.func @narrow(
// CHECK-SAME:      %[[A:.*]]: memref<?x64xbf16>, %[[OFFSETS:.*]]: memref<5xi32>, %[[TOKENS:.*]]: memref<?xi32>, %[[FACTORS:.*]]: memref<?xf32>, %[[W:.*]]: memref<4x128x64xbf16>, %[[OUT:.*]]: memref<?x128xf32>)
// SM90:          gpu.launch_func @kernels::@[[STREAM:stream_scatter_64_.*]] blocks in {{.*}} args(%[[A]] : {{.*}}, %[[W]] : {{.*}}, %[[OUT]] : {{.*}}, %[[OFFSETS]] : {{.*}}, %[[TOKENS]] : memref<?xi32>, %[[FACTORS]] : memref<?xf32>, %
// SM90:          gpu.launch_func @kernels::@[[SMALL:warpgroup_scatter_64x128_.*]] blocks
// SM90-SAME:         %[[OUT]] : {{.*}}, %[[OFFSETS]] : {{.*}}, %[[TOKENS]] : memref<?xi32>, %[[FACTORS]] : memref<?xf32>, %
// SM90:          gpu.launch_func @kernels::@warpgroup_scatter_128x128_
// SM80:          gpu.launch_func @kernels::@[[TILE:product_bf16_16x128x64_g1_scatter_.*]] blocks
// SM80-SAME:         %[[OUT]] : {{.*}}, %[[OFFSETS]] : {{.*}}, %[[TOKENS]] : memref<?xi32>, %[[FACTORS]] : memref<?xf32>, %
func.func @narrow(%a: memref<?x64xbf16>, %offsets: memref<5xi32>,
                  %tokens: memref<?xi32>, %factors: memref<?xf32>,
                  %w: memref<4x128x64xbf16>, %out: memref<?x128xf32>) {
  moe.grouped_matmul %a groups(%offsets : memref<5xi32>)
      weights(%w : memref<4x128x64xbf16>)
      scatter(%tokens, %factors : memref<?xi32>, memref<?xf32>)
      outs(%out : memref<?x128xf32>) : memref<?x64xbf16> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// CHECK-LABEL: func.func @exact(
// CHECK:         gpu.launch_func @kernels::@product_f32_8x64x32_g1_scatter_
func.func @exact(%a: memref<?x64xf32>, %offsets: memref<5xi32>,
                 %tokens: memref<?xi32>, %factors: memref<?xf32>,
                 %w: memref<4x127x64xf32>, %out: memref<?x127xf32>) {
  moe.grouped_matmul %a groups(%offsets : memref<5xi32>)
      weights(%w : memref<4x127x64xf32>)
      scatter(%tokens, %factors : memref<?xi32>, memref<?xf32>)
      outs(%out : memref<?x127xf32>) : memref<?x64xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// One lane has a column; a thread of a warpgroup has two.
// SM90:      llvm.func @[[STREAM]](
// SM90-SAME:     moe.unordered
// SM90:      nvvm.griddepcontrol wait
// SM90:      red.global.add.f32 [$0], $1;
// SM90:      llvm.func @[[SMALL]](
// SM90-SAME:     moe.unordered
// SM90:      nvvm.griddepcontrol wait
// SM90:      red.global.add.v2.f32 [$0], {$1, $2};
// SM90-NOT:  red.global.add.f32
// SM90:      llvm.func @product_f32_8x64x32_g1_scatter_

// sm_80 has no such instruction for two.
// SM80-NOT:  red.global.add.v2
// SM80:      llvm.func @[[TILE]](
// SM80-SAME:     moe.unordered
// SM80:      red.global.add.f32 [$0], $1;
// SM80-NOT:  red.global.add.v2
