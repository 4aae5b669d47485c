// DEFINE: %{lower} = moe-opt %s --pass-pipeline="builtin.module(func.func(convert-moe-to-loops{threads=none},convert-linalg-to-loops),canonicalize,moe-approximate-math,convert-vector-to-scf,convert-scf-to-cf,expand-strided-metadata,lower-affine,convert-vector-to-llvm,convert-to-llvm,reconcile-unrealized-casts)"
// DEFINE: %{run} = mlir-runner -e main --entry-point-result=void \
// DEFINE:   --shared-libs=%llvm_lib_dir/libmlir_runner_utils.so,%llvm_lib_dir/libmlir_c_runner_utils.so
// RUN: %{lower} | %{run} | FileCheck %s

func.func private @printMemrefF32(memref<*xf32>) attributes {llvm.emit_c_interface}
func.func @showF(%m: memref<?x?xf32>) {
  %u = memref.cast %m : memref<?x?xf32> to memref<*xf32>
  call @printMemrefF32(%u) : (memref<*xf32>) -> ()
  return
}
// m[i, j] = i a + j b + c
func.func @fill(%m: memref<?x?xf32>, %a: f32, %b: f32, %c: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %rows = memref.dim %m, %c0 : memref<?x?xf32>
  %columns = memref.dim %m, %c1 : memref<?x?xf32>
  scf.for %i = %c0 to %rows step %c1 {
    scf.for %j = %c0 to %columns step %c1 {
      %ii = arith.index_cast %i : index to i32
      %jj = arith.index_cast %j : index to i32
      %x = arith.sitofp %ii : i32 to f32
      %y = arith.sitofp %jj : i32 to f32
      %p = math.fma %x, %a, %c : f32
      %q = math.fma %y, %b, %p : f32
      memref.store %q, %m[%i, %j] : memref<?x?xf32>
    }
  }
  return
}


//===----------------------------------------------------------------------===//
// linear: x[m, k] = m + k + 1, weight[n, k] = n with K = 37: sum x = 37 m + 703.
//===----------------------------------------------------------------------===//

func.func @linear(%rows: index) {
  %f0 = arith.constant 0.0 : f32
  %f1 = arith.constant 1.0 : f32
  %f1000 = arith.constant 1000.0 : f32
  %x = memref.alloc(%rows) : memref<?x37xf32>
  %xd = memref.cast %x : memref<?x37xf32> to memref<?x?xf32>
  call @fill(%xd, %f1, %f1, %f1) : (memref<?x?xf32>, f32, f32, f32) -> ()
  %w = memref.alloc() : memref<3x37xf32>
  %wd = memref.cast %w : memref<3x37xf32> to memref<?x?xf32>
  call @fill(%wd, %f1, %f0, %f0) : (memref<?x?xf32>, f32, f32, f32) -> ()
  %half = arith.constant 0.5 : bf16
  %b = memref.alloc() : memref<3xbf16>
  linalg.fill ins(%half : bf16) outs(%b : memref<3xbf16>)
  %y = memref.alloc(%rows) : memref<?x3xf32>
  %yd = memref.cast %y : memref<?x3xf32> to memref<?x?xf32>
  linalg.fill ins(%f1000 : f32) outs(%y : memref<?x3xf32>)
  nn.linear %x, %w bias(%b : memref<3xbf16>) outs(%y : memref<?x3xf32>)
      accumulate : memref<?x37xf32>, memref<3x37xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  nn.linear %x, %w outs(%y : memref<?x3xf32>)
      : memref<?x37xf32>, memref<3x37xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  return
}
// The bias is added before the destination: 2^24 + (1 + 1) is 2^24 + 2, while
// (2^24 + 1) + 1 is 2^24.
func.func @linear_order() {
  %f1 = arith.constant 1.0 : f32
  %big = arith.constant 16777216.0 : f32
  %x = memref.alloc() : memref<1x1xf32>
  linalg.fill ins(%f1 : f32) outs(%x : memref<1x1xf32>)
  %b = memref.alloc() : memref<1xf32>
  linalg.fill ins(%f1 : f32) outs(%b : memref<1xf32>)
  %y = memref.alloc() : memref<1x1xf32>
  linalg.fill ins(%big : f32) outs(%y : memref<1x1xf32>)
  nn.linear %x, %x bias(%b : memref<1xf32>) outs(%y : memref<1x1xf32>)
      accumulate : memref<1x1xf32>, memref<1x1xf32>
  %c0 = arith.constant 0 : index
  %v = memref.load %y[%c0, %c0] : memref<1x1xf32>
  %d = arith.subf %v, %big : f32
  memref.store %d, %y[%c0, %c0] : memref<1x1xf32>
  %yd = memref.cast %y : memref<1x1xf32> to memref<?x?xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  return
}
func.func @test_linear() {
  // CHECK:      {{\[\[}}1000.5, 1703.5, 2406.5],
  // CHECK-NEXT: [1000.5, 1740.5, 2480.5]]
  // CHECK:      {{\[\[}}0, 703, 1406],
  // CHECK-NEXT: [0, 740, 1480]]
  %c2 = arith.constant 2 : index
  call @linear(%c2) : (index) -> ()
  // CHECK:      sizes = [0, 3]
  // CHECK:      sizes = [0, 3]
  %c0 = arith.constant 0 : index
  call @linear(%c0) : (index) -> ()
  // CHECK:      {{\[\[}}2]]
  call @linear_order() : () -> ()
  return
}

//===----------------------------------------------------------------------===//
// embedding and last_rows: table[v, h] = 32 v + h with H = 18, exact in bf16.
//===----------------------------------------------------------------------===//

memref.global "private" constant @ids : memref<2x3xi64> = dense<[
  [4, 0, 2], [3, 3, 1]]>
func.func @test_embedding() {
  %f0 = arith.constant 0.0 : f32
  %f1 = arith.constant 1.0 : f32
  %f32 = arith.constant 32.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c5 = arith.constant 5 : index
  %c18 = arith.constant 18 : index
  %wide = memref.alloc() : memref<5x18xf32>
  %wd = memref.cast %wide : memref<5x18xf32> to memref<?x?xf32>
  call @fill(%wd, %f32, %f1, %f0) : (memref<?x?xf32>, f32, f32, f32) -> ()
  %table = memref.alloc() : memref<5x18xbf16>
  scf.for %i = %c0 to %c5 step %c1 {
    scf.for %j = %c0 to %c18 step %c1 {
      %0 = memref.load %wide[%i, %j] : memref<5x18xf32>
      %1 = arith.truncf %0 : f32 to bf16
      memref.store %1, %table[%i, %j] : memref<5x18xbf16>
    }
  }
  // CHECK:      {{\[\[}}128, 129, {{.*}}, 143, 144, 145],
  // CHECK-NEXT: [0, {{.*}}, 16, 17],
  // CHECK-NEXT: [64, {{.*}}, 81],
  // CHECK-NEXT: [96, {{.*}}, 113],
  // CHECK-NEXT: [96, {{.*}}, 113],
  // CHECK-NEXT: [32, {{.*}}, 49]]
  %ids = memref.get_global @ids : memref<2x3xi64>
  %x = memref.alloc() : memref<6x18xf32>
  %xd = memref.cast %x : memref<6x18xf32> to memref<?x?xf32>
  nn.embedding %ids, %table outs(%x : memref<6x18xf32>)
      : memref<2x3xi64>, memref<5x18xbf16>
  call @showF(%xd) : (memref<?x?xf32>) -> ()
  // CHECK:      {{\[\[}}64, {{.*}}, 81],
  // CHECK-NEXT: [32, {{.*}}, 49]]
  %l = memref.alloc() : memref<2x18xf32>
  %ld = memref.cast %l : memref<2x18xf32> to memref<?x?xf32>
  nn.last_rows %x, %ids outs(%l : memref<2x18xf32>)
      : memref<6x18xf32>, memref<2x3xi64>
  call @showF(%ld) : (memref<?x?xf32>) -> ()
  // No tokens at all.
  // CHECK:      sizes = [0, 18]
  %none = memref.subview %ids[0, 0] [2, 0] [1, 1]
      : memref<2x3xi64> to memref<2x0xi64, strided<[3, 1]>>
  %noned = memref.cast %none
      : memref<2x0xi64, strided<[3, 1]>> to memref<2x?xi64, strided<[3, 1]>>
  %z = memref.alloc(%c0) : memref<?x18xf32>
  %zd = memref.cast %z : memref<?x18xf32> to memref<?x?xf32>
  nn.embedding %noned, %table outs(%z : memref<?x18xf32>)
      : memref<2x?xi64, strided<[3, 1]>>, memref<5x18xbf16>
  call @showF(%zd) : (memref<?x?xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// rms_norm with H = 37, weight[h] = h in bf16 and eps = 3: x[0, h] = h has the
// mean square 16206 / 37 = 438, so row 0 is h h / 21. x[1, h] = h + 37 m keeps
// another row away from it.
//===----------------------------------------------------------------------===//

func.func @rms_norm(%x: memref<?x37xf32>, %y: memref<?x37xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c37 = arith.constant 37 : index
  %w = memref.alloc() : memref<37xbf16>
  scf.for %i = %c0 to %c37 step %c1 {
    %0 = arith.index_cast %i : index to i32
    %1 = arith.sitofp %0 : i32 to bf16
    memref.store %1, %w[%i] : memref<37xbf16>
  }
  nn.rms_norm %x, %w outs(%y : memref<?x37xf32>) {eps = 3.0 : f64}
      : memref<?x37xf32>, memref<37xbf16>
  %yd = memref.cast %y : memref<?x37xf32> to memref<?x?xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  return
}
// The 16 chains are added (l, l + 8), (l, l + 4), ... With x = 4096 in lane 0
// and ones in 8 lanes, the sum is 2^24 + m, where m depends on the order: 2^24 + 1
// is 2^24, 2^24 + 2 is exact. H = 16 and eps = 0: the one's value is
// 1 / sqrt((2^24 + m) / 16). Shown is by how many ulp it is below 2^-10.
func.func @norm_tree(%a: index, %b: index) {
  %f0 = arith.constant 0.0 : f32
  %f1 = arith.constant 1.0 : f32
  %f4096 = arith.constant 4096.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %x = memref.alloc() : memref<1x16xf32>
  linalg.fill ins(%f0 : f32) outs(%x : memref<1x16xf32>)
  scf.for %i = %c0 to %c4 step %c1 {
    %0 = arith.addi %a, %i : index
    memref.store %f1, %x[%c0, %0] : memref<1x16xf32>
    %1 = arith.addi %b, %i : index
    memref.store %f1, %x[%c0, %1] : memref<1x16xf32>
  }
  memref.store %f4096, %x[%c0, %c0] : memref<1x16xf32>
  %w = memref.alloc() : memref<16xf32>
  %f1024 = arith.constant 1024.0 : f32
  linalg.fill ins(%f1024 : f32) outs(%w : memref<16xf32>)
  nn.rms_norm %x, %w outs(%x : memref<1x16xf32>) {eps = 0.0 : f64}
      : memref<1x16xf32>, memref<16xf32>
  %2 = memref.load %x[%c0, %a] : memref<1x16xf32>
  %3 = arith.subf %f1, %2 : f32
  %4 = arith.constant 16777216.0 : f32
  %5 = arith.mulf %3, %4 : f32
  %y = memref.alloc() : memref<1x1xf32>
  memref.store %5, %y[%c0, %c0] : memref<1x1xf32>
  %yd = memref.cast %y : memref<1x1xf32> to memref<?x?xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  return
}
func.func @test_rms_norm() {
  %f0 = arith.constant 0.0 : f32
  %f1 = arith.constant 1.0 : f32
  %f37 = arith.constant 37.0 : f32
  %x = memref.alloc() : memref<2x37xf32>
  %xu = memref.cast %x : memref<2x37xf32> to memref<?x?xf32>
  call @fill(%xu, %f37, %f1, %f0) : (memref<?x?xf32>, f32, f32, f32) -> ()
  // CHECK:      {{\[\[}}0, 0.047619, 0.190476, {{.*}}, 10.7143, 12.1905, {{.*}}, 61.7143],
  // CHECK-NEXT: [0, 0.677923, {{.*}}, 46.8837]]
  %y = memref.alloc() : memref<2x37xf32>
  %xd = memref.cast %x : memref<2x37xf32> to memref<?x37xf32>
  %yd = memref.cast %y : memref<2x37xf32> to memref<?x37xf32>
  call @rms_norm(%xd, %yd) : (memref<?x37xf32>, memref<?x37xf32>) -> ()
  // CHECK:      sizes = [0, 37]
  %none = memref.subview %x[0, 0] [0, 37] [1, 1]
      : memref<2x37xf32> to memref<0x37xf32, strided<[37, 1]>>
  %noned = memref.cast %none
      : memref<0x37xf32, strided<[37, 1]>> to memref<?x37xf32>
  call @rms_norm(%noned, %noned) : (memref<?x37xf32>, memref<?x37xf32>) -> ()
  // Ones in lanes 4 to 7 and 12 to 15: m = 8. Lane after lane, it would be 0.
  // CHECK:      {{\[\[}}4]]
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %c12 = arith.constant 12 : index
  call @norm_tree(%c4, %c12) : (index, index) -> ()
  // Ones in lanes 8 to 15: m = 6. With neighbours first, it would be 8.
  // CHECK:      {{\[\[}}2]]
  call @norm_tree(%c8, %c12) : (index, index) -> ()

  // The same chains where columns are not neighbours: x and y are columns of
  // [37, 2], and the difference to the row above is 0.
  // CHECK:      {{\[\[}}0]]
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c37 = arith.constant 37 : index
  %t = memref.alloc() : memref<37x1xf32>
  %w = memref.alloc() : memref<37xf32>
  scf.for %i = %c0 to %c37 step %c1 {
    %0 = memref.load %x[%c1, %i] : memref<2x37xf32>
    memref.store %0, %t[%i, %c0] : memref<37x1xf32>
    %1 = memref.load %x[%c0, %i] : memref<2x37xf32>
    memref.store %1, %w[%i] : memref<37xf32>
  }
  %s = memref.reinterpret_cast %t to offset: [%c0], sizes: [1, 37],
      strides: [%c37, %c1]
      : memref<37x1xf32> to memref<1x37xf32, strided<[?, ?], offset: ?>>
  nn.rms_norm %s, %w outs(%s : memref<1x37xf32, strided<[?, ?], offset: ?>>)
      {eps = 3.0 : f64}
      : memref<1x37xf32, strided<[?, ?], offset: ?>>, memref<37xf32>
  %d = scf.for %i = %c0 to %c37 step %c1 iter_args(%acc = %f0) -> f32 {
    %0 = memref.load %t[%i, %c0] : memref<37x1xf32>
    %1 = memref.load %y[%c1, %i] : memref<2x37xf32>
    %2 = arith.subf %0, %1 : f32
    %3 = math.absf %2 : f32
    %4 = arith.addf %acc, %3 : f32
    scf.yield %4 : f32
  }
  %r = memref.alloc() : memref<1x1xf32>
  memref.store %d, %r[%c0, %c0] : memref<1x1xf32>
  %rd = memref.cast %r : memref<1x1xf32> to memref<?x?xf32>
  call @showF(%rd) : (memref<?x?xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// rotary_table: cos and sin of p * inv_freq for p = 0, 1 and 1e6, 1e6 + 1. The
// angle is rounded to f32: 1000000 / 3 is 333333.34375 there.
// rotary: with cos 0 and sin 1, (a, b) becomes (-b, a). Half is 17.
//===----------------------------------------------------------------------===//

memref.global "private" constant @past : memref<2xi64> = dense<[0, 1000000]>
func.func @test_rotary() {
  %f0 = arith.constant 0.0 : f32
  %f1 = arith.constant 1.0 : f32
  %f100 = arith.constant 100.0 : f32
  %past = memref.get_global @past : memref<2xi64>
  %ids = memref.alloc() : memref<2x2xi64>
  %cos = memref.alloc() : memref<4x18xf32>
  %sin = memref.alloc() : memref<4x18xf32>
  %cosd = memref.cast %cos : memref<4x18xf32> to memref<?x?xf32>
  %sind = memref.cast %sin : memref<4x18xf32> to memref<?x?xf32>
  // CHECK:      {{\[\[}}1, 1, 1, 1, {{.*}}, 1, 1],
  // CHECK-NEXT: [0.540302, 0.877583, -0.416147, -0.653644, {{.*}}, 0.944957, 1],
  // CHECK-NEXT: [0.936752, -0.984061, 0.755009, 0.140077, {{.*}}, -0.591058, 1],
  // CHECK-NEXT: [0.800639, -0.948852, 0.282045, -0.840902, {{.*}}, -0.28463, 1]]
  // CHECK:      {{\[\[}}0, 0, 0, 0, {{.*}}, 0, 0],
  // CHECK-NEXT: [0.841471, 0.479426, 0.909297, -0.756802, {{.*}}, 0.327195, 0],
  // CHECK-NEXT: [-0.349993, 0.177831, -0.655714, -0.990141, {{.*}}, -0.806629, 0],
  // CHECK-NEXT: [0.599147, -0.315722, 0.959401, 0.541188, {{.*}}, -0.958638, 0]]
  nn.rotary_table %ids, %past outs(%cos, %sin : memref<4x18xf32>, memref<4x18xf32>)
      {inv_freq = array<f32: 1.0, 0.5, 2.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                             0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.333333343, 0.0>}
      : memref<2x2xi64>, memref<2xi64>
  call @showF(%cosd) : (memref<?x?xf32>) -> ()
  call @showF(%sind) : (memref<?x?xf32>) -> ()

  // CHECK:      {{\[\[}}-17, -18, {{.*}}, -32, -33, 0, 1, {{.*}}, 16, -51, {{.*}}, -67, 34, {{.*}}, 50],
  // CHECK-NEXT: [-117, {{.*}}, 150]]
  %x = memref.alloc() : memref<2x68xf32>
  %xd = memref.cast %x : memref<2x68xf32> to memref<?x?xf32>
  call @fill(%xd, %f100, %f1, %f0) : (memref<?x?xf32>, f32, f32, f32) -> ()
  %c = memref.alloc() : memref<2x17xf32>
  linalg.fill ins(%f0 : f32) outs(%c : memref<2x17xf32>)
  %s = memref.alloc() : memref<2x17xf32>
  linalg.fill ins(%f1 : f32) outs(%s : memref<2x17xf32>)
  %y = memref.alloc() : memref<2x68xf32>
  %yd = memref.cast %y : memref<2x68xf32> to memref<?x?xf32>
  nn.rotary %x, %c, %s outs(%y : memref<2x68xf32>) {heads = 2 : i64}
      : memref<2x68xf32>, memref<2x17xf32>, memref<2x17xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  // And with cos 1 and sin 2, (a - 2 b, b + 2 a).
  // CHECK:      {{\[\[}}-34, -35, {{.*}}, -50, 17, 20, {{.*}}, 65, -68, {{.*}}],
  %f2 = arith.constant 2.0 : f32
  linalg.fill ins(%f1 : f32) outs(%c : memref<2x17xf32>)
  linalg.fill ins(%f2 : f32) outs(%s : memref<2x17xf32>)
  nn.rotary %x, %c, %s outs(%y : memref<2x68xf32>) {heads = 2 : i64}
      : memref<2x68xf32>, memref<2x17xf32>, memref<2x17xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  return
}

func.func @main() {
  call @test_linear() : () -> ()
  call @test_embedding() : () -> ()
  call @test_rms_norm() : () -> ()
  call @test_rotary() : () -> ()
  return
}
