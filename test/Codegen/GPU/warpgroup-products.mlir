// RUN: moe-opt %s --moe-select-kernels="arch=90" | FileCheck %s
// RUN: moe-opt %s --moe-select-kernels="arch=90" | FileCheck %s --check-prefix=KERNEL
// RUN: moe-opt %s --moe-select-kernels="arch=80" | FileCheck %s --check-prefix=OTHER

// sm_80 has no such kernels.
// OTHER-NOT: @warpgroup_
// OTHER-NOT: @stream_
// OTHER-NOT: nvgpu.

// Few rows in all, few rows per expert, or many.
// CHECK-LABEL: func.func @grouped(
// CHECK-SAME:      %[[A:.*]]: memref<?x128xbf16>, %[[OFFSETS:.*]]: memref<5xi32>, %[[W:.*]]: memref<4x768x128xbf16>, %[[OUT:.*]]: memref<?x768xf32>)
// CHECK:         %[[FEW:.*]] = arith.cmpi ule, %[[ROWS:.*]], %c32
// CHECK:         scf.if %[[FEW]] {
// Tiles of 8 x 8: up to (rows / 8 + min(rows, 4)) * 96.
// CHECK:           %[[FULL:.*]] = arith.divui %[[ROWS]], %c8
// CHECK:           %[[PART:.*]] = arith.minui %[[ROWS]], %c4
// CHECK:           %[[BOTH:.*]] = arith.addi %[[FULL]], %[[PART]]
// CHECK:           %[[TILES:.*]] = arith.muli %[[BOTH]], %c96
// CHECK:           gpu.launch_func @kernels::@stream_grouped_128_0 blocks in (%[[TILES]], %c1{{[^,]*}}, %c1{{[^)]*}})
// CHECK-SAME:        args(%[[A]] : memref<?x128xbf16>, %[[W]] : memref<4x768x128xbf16>, %[[OUT]] : memref<?x768xf32>, %[[OFFSETS]] : memref<5xi32>, %[[ROWS]] : index, %c768{{.*}} : index, %c4{{.*}} : index)
// CHECK:         } else {
// CHECK:           %[[SHORT:.*]] = arith.cmpi ule, %[[ROWS]], %c256
// CHECK:           scf.if %[[SHORT]] {
// CHECK:             nvgpu.tma.create.descriptor %{{.*}} box[%c64{{.*}}, %c64{{.*}}] : memref<*xbf16> -> <tensor = memref<64x64xbf16, 3>, swizzle = swizzle_128b, l2promo = l2promo_256b, oob = zero, interleave = none>
// Each consumer has half of the columns: two boxes.
// CHECK:             nvgpu.tma.create.descriptor %{{.*}} box[%c1{{.*}}, %c128{{.*}}, %c64{{.*}}] : memref<*xbf16> -> <tensor = memref<1x128x64xbf16, 3>
// CHECK:             gpu.launch_func @kernels::@warpgroup_grouped_64x256_1
// CHECK:           } else {
// CHECK:             nvgpu.tma.create.descriptor %{{.*}} box[%c128{{.*}}, %c64{{.*}}]
// CHECK:             nvgpu.tma.create.descriptor %{{.*}} box[%c1{{.*}}, %c256{{.*}}, %c64{{.*}}]
// CHECK:             gpu.launch_func @kernels::@warpgroup_grouped_128x256_2
// CHECK-NOT:     moe.grouped_matmul
func.func @grouped(%a: memref<?x128xbf16>, %offsets: memref<5xi32>,
                   %w: memref<4x768x128xbf16>, %out: memref<?x768xf32>) {
  moe.grouped_matmul %a groups(%offsets : memref<5xi32>)
      weights(%w : memref<4x768x128xbf16>) outs(%out : memref<?x768xf32>)
      : memref<?x128xbf16> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// Gate and up: half of a tile's columns each. Rows are gathered by address.
// CHECK-LABEL: func.func @gather(
// CHECK-SAME:      %[[A:.*]]: memref<?x128xbf16>, %[[OFFSETS:.*]]: memref<5xi32>, %[[TOKENS:.*]]: memref<?xi32>, %[[GATE:.*]]: memref<4x192x128xbf16>, %[[UP:.*]]: memref<4x192x128xbf16>
// CHECK:         memref.dim %[[TOKENS]]
// CHECK:         gpu.launch_func @kernels::@stream_gather_128_
// CHECK-COUNT-2: box[%c1{{.*}}, %c64{{.*}}, %c64{{.*}}]
// CHECK:         gpu.launch_func @kernels::@warpgroup_gather_64x256_{{.*}} args(%{{.*}} : memref<?x128xbf16>, %
// CHECK-COUNT-2: box[%c1{{.*}}, %c128{{.*}}, %c64{{.*}}]
// CHECK:         gpu.launch_func @kernels::@warpgroup_gather_128x256_
func.func @gather(%a: memref<?x128xbf16>, %offsets: memref<5xi32>,
                  %tokens: memref<?xi32>, %gate: memref<4x192x128xbf16>,
                  %up: memref<4x192x128xbf16>, %out: memref<?x192xf32>) {
  moe.grouped_matmul %a groups(%offsets : memref<5xi32>)
      weights(%gate, %up : memref<4x192x128xbf16>, memref<4x192x128xbf16>)
      gather(%tokens : memref<?xi32>) outs(%out : memref<?x192xf32>)
      : memref<?x128xbf16> {
  ^bb0(%g: f32, %u: f32):
    %0 = nn.silu %g : f32
    %1 = nn.mul %0, %u : f32
    moe.yield %1 : f32
  }
  return
}

// One group, and narrow tiles where there are few columns.
// CHECK-LABEL: func.func @linear(
// CHECK:         gpu.launch_func @kernels::@stream_linear_72_
// CHECK:         box[%c64{{.*}}, %c64{{.*}}] : memref<*xbf16> -> <tensor = memref<64x64xbf16, 3>
// CHECK:         box[%c64{{.*}}, %c64{{.*}}] : memref<*xbf16> -> <tensor = memref<64x64xbf16, 3>
// CHECK:         gpu.launch_func @kernels::@warpgroup_linear_64x128_
// CHECK:         gpu.launch_func @kernels::@warpgroup_linear_128x128_
func.func @linear(%x: memref<?x72xbf16>, %w: memref<91x72xbf16>,
                  %bias: memref<91xbf16>, %out: memref<?x91xf32>) {
  nn.linear %x, %w bias(%bias : memref<91xbf16>)
      outs(%out : memref<?x91xf32>) accumulate
      : memref<?x72xbf16>, memref<91x72xbf16>
  return
}

// The rows of eight tokens do not fit beside the rings.
// CHECK-LABEL: func.func @long_rows(
// CHECK-NOT:     @stream_
// CHECK:         gpu.launch_func @kernels::@warpgroup_linear_64x256_
func.func @long_rows(%x: memref<?x10408xbf16>, %w: memref<256x10408xbf16>,
                     %out: memref<?x256xf32>) {
  nn.linear %x, %w outs(%out : memref<?x256xf32>)
      : memref<?x10408xbf16>, memref<256x10408xbf16>
  return
}

// Rows that are no multiple of 16 bytes, and sums that are added up in place,
// are left to others.
// CHECK-LABEL: func.func @unaligned(
// CHECK-NOT:     @warpgroup_
// CHECK:         return
func.func @unaligned(%x: memref<?x12xbf16>, %w: memref<256x12xbf16>,
                     %out: memref<?x256xf32>) {
  nn.linear %x, %w outs(%out : memref<?x256xf32>)
      : memref<?x12xbf16>, memref<256x12xbf16>
  return
}

// CHECK-LABEL: func.func @scatter(
// CHECK-NOT:     @warpgroup_
// CHECK:         return
func.func @scatter(%a: memref<?x64xbf16>, %offsets: memref<5xi32>,
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

// Narrow results.
// CHECK-LABEL: func.func @narrow(
// CHECK:         gpu.launch_func @kernels::@stream_grouped_128_{{.*}} args(%{{.*}}, %{{.*}} : memref<?x64xbf16>, %
// CHECK:         gpu.launch_func @kernels::@warpgroup_grouped_64x128_
func.func @narrow(%a: memref<?x128xbf16>, %offsets: memref<5xi32>,
                  %w: memref<4x64x128xbf16>, %out: memref<?x64xbf16>) {
  moe.grouped_matmul %a groups(%offsets : memref<5xi32>)
      weights(%w : memref<4x64x128xbf16>) outs(%out : memref<?x64xbf16>)
      : memref<?x128xbf16> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// Rows of another type are for others.
// CHECK-LABEL: func.func @wide_rows(
// CHECK-NOT:     @warpgroup_
// CHECK:         return
func.func @wide_rows(%x: memref<?x64xf32>, %w: memref<256x64xbf16>,
                     %out: memref<?x256xf32>) {
  nn.linear %x, %w outs(%out : memref<?x256xf32>)
      : memref<?x64xf32>, memref<256x64xbf16>
  return
}

// Three blocks share a multiprocessor.
// KERNEL-LABEL: llvm.func @stream_grouped_128_0(
// KERNEL-SAME:      moe.resident_blocks = 3 : i32

// KERNEL-LABEL: llvm.func @warpgroup_grouped_128x256_2(
// KERNEL-SAME:      %[[A:.*]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}, %[[B:.*]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}
// KERNEL-SAME:      moe.dynamic_shared = 204872 : i32, moe.overlaps, moe.resident_blocks = 1 : i32
// KERNEL-SAME:      nvvm.minctasm = 1 : i32, nvvm.reqntid = array<i32: 384, 1, 1>
// One arrival fills a stage, those of eight warps empty it.
// KERNEL:         nvvm.mbarrier.init %{{.*}}, %c1_i32
// KERNEL:         nvvm.mbarrier.init %{{.*}}, %c8_i32
// KERNEL:         nvvm.fence.mbarrier.init
// Nothing is read before earlier kernels have ended.
// KERNEL:         nvvm.griddepcontrol wait
// KERNEL:         llvm.load {{.*}} -> i32
// KERNEL:         nvvm.setmaxregister decrease 40
// KERNEL:         nvvm.mbarrier.arrive.expect_tx %[[FULL:.*]], %c49152_i32
// KERNEL:         nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %[[A]], %[[FULL]], box[%{{.*}}, %{{.*}}]
// KERNEL:         nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %[[B]], %[[FULL]], box[%{{.*}}, %{{.*}}, %{{.*}}]
// KERNEL:         nvvm.setmaxregister increase 232
// KERNEL-COUNT-4: nvvm.wgmma.mma_async {{.*}} <m = 64, n = 256, k = 16>
// KERNEL:         nvvm.wgmma.commit.group.sync.aligned
// KERNEL:         scf.for
// KERNEL-COUNT-4: nvvm.wgmma.mma_async {{.*}} <m = 64, n = 256, k = 16>
// KERNEL:         nvvm.wgmma.commit.group.sync.aligned
// KERNEL-NEXT:    nvvm.wgmma.wait.group.sync.aligned 1
// KERNEL:         nvvm.mbarrier.arrive
// The wait and all sums are one piece of assembly.
// KERNEL:         llvm.inline_asm has_side_effects {{.*}} "wgmma.wait_group.sync.aligned 0;"

// What cp.async wrote is shown to wgmma before its producer arrives.
// KERNEL-LABEL: llvm.func @warpgroup_gather_128x256_
// KERNEL:         nvvm.mbarrier.init %{{.*}}, %c129_i32
// KERNEL:         nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c32768_i32
// KERNEL-COUNT-8: nvvm.cp.async.shared.global
// KERNEL:         nvvm.cp.async.commit.group
// KERNEL-NEXT:    nvvm.cp.async.wait.group 2
// KERNEL-NEXT:    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
// KERNEL:         nvvm.mbarrier.arrive

// Neighbouring threads exchange narrow results to store 16 bytes each.
// KERNEL-LABEL: llvm.func @warpgroup_grouped_128x128_
// KERNEL:         "wgmma.wait_group.sync.aligned 0;"
// KERNEL-COUNT-4: nvvm.shfl.sync  bfly
// KERNEL:         llvm.store %{{.*}}, %{{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
