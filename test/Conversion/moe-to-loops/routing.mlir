// DEFINE: %{lower} = moe-opt %s --pass-pipeline="builtin.module(func.func(convert-moe-to-loops{threads=none}),canonicalize,moe-approximate-math,convert-vector-to-scf,convert-scf-to-cf,expand-strided-metadata,lower-affine,convert-vector-to-llvm,convert-to-llvm,reconcile-unrealized-casts)"
// DEFINE: %{run} = mlir-runner -e main --entry-point-result=void \
// DEFINE:   --shared-libs=%llvm_lib_dir/libmlir_runner_utils.so,%llvm_lib_dir/libmlir_c_runner_utils.so
// RUN: %{lower} | %{run} | FileCheck %s

func.func private @printMemrefF32(memref<*xf32>) attributes {llvm.emit_c_interface}
func.func private @printMemrefI32(memref<*xi32>) attributes {llvm.emit_c_interface}
func.func @showF(%m: memref<?x?xf32>) {
  %u = memref.cast %m : memref<?x?xf32> to memref<*xf32>
  call @printMemrefF32(%u) : (memref<*xf32>) -> ()
  return
}
func.func @showI(%m: memref<?x?xi32>) {
  %u = memref.cast %m : memref<?x?xi32> to memref<*xi32>
  call @printMemrefI32(%u) : (memref<*xi32>) -> ()
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
// top_k: ties keep the lower index, also 0 and -0; NaN (0x7FC00000) ranks last;
// -infinity (0xFF800000) is never chosen.
//===----------------------------------------------------------------------===//

memref.global "private" constant @ranked : memref<5x4xf32> = dense<[
  [1.0, 3.0, 3.0, 0x7FC00000],
  [0xFF800000, -0.0, 0.0, -5.0],
  [0x7FC00000, 0xFF800000, 0x7FC00000, 0x7F800000],
  [0xFF800000, 0xFF800000, 0xFF800000, 0xFF800000],
  [-3.4e38, -1.0e-40, 1.0e-40, -2.0]]>
func.func @top_k(%s: memref<?x4xf32>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %s, %c0 : memref<?x4xf32>
  %i = memref.alloc(%t) : memref<?x3xi32>
  %w = memref.alloc(%t) : memref<?x3xf32>
  moe.top_k %s, k = 3 outs(%i, %w : memref<?x3xi32>, memref<?x3xf32>)
      : memref<?x4xf32>
  %iu = memref.cast %i : memref<?x3xi32> to memref<?x?xi32>
  call @showI(%iu) : (memref<?x?xi32>) -> ()
  %wu = memref.cast %w : memref<?x3xf32> to memref<?x?xf32>
  call @showF(%wu) : (memref<?x?xf32>) -> ()
  memref.dealloc %i : memref<?x3xi32>
  memref.dealloc %w : memref<?x3xf32>
  return
}
func.func @test_top_k() {
  // CHECK:      sizes = [5, 3]
  // CHECK-NEXT: {{\[\[}}1, 2, 0],
  // CHECK-NEXT: [1, 2, 3],
  // CHECK-NEXT: [3, 0, 2],
  // CHECK-NEXT: [-1, -1, -1],
  // CHECK-NEXT: [2, 1, 3]]
  // CHECK:      {{\[\[}}3, 3, 1],
  // CHECK-NEXT: [-0, 0, -5],
  // CHECK-NEXT: [inf, {{-?nan, -?nan}}],
  // CHECK-NEXT: [0, 0, 0],
  // CHECK-NEXT: [9.99995e-41, -9.99995e-41, -2]]
  %s = memref.get_global @ranked : memref<5x4xf32>
  %d = memref.cast %s : memref<5x4xf32> to memref<?x4xf32>
  call @top_k(%d) : (memref<?x4xf32>) -> ()
  // T = 1, then T = 0.
  // CHECK:      sizes = [1, 3]
  // CHECK-NEXT: {{\[\[}}1, 2, 0]]
  // CHECK:      {{\[\[}}3, 3, 1]]
  // CHECK:      sizes = [0, 3]
  %1 = memref.subview %s[0, 0] [1, 4] [1, 1]
      : memref<5x4xf32> to memref<1x4xf32, strided<[4, 1]>>
  %2 = memref.cast %1 : memref<1x4xf32, strided<[4, 1]>> to memref<?x4xf32>
  call @top_k(%2) : (memref<?x4xf32>) -> ()
  %3 = memref.subview %s[0, 0] [0, 4] [1, 1]
      : memref<5x4xf32> to memref<0x4xf32, strided<[4, 1]>>
  %4 = memref.cast %3 : memref<0x4xf32, strided<[4, 1]>> to memref<?x4xf32>
  call @top_k(%4) : (memref<?x4xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// score: e^0 : e^(ln 3) = 1 : 3. A slot with a negative index takes no part.
//===----------------------------------------------------------------------===//

memref.global "private" constant @logits : memref<4x3xf32> = dense<[
  [0.0, 1.0986123, 0xFF800000], [1000.0, 1000.0, 1000.0],
  [-200.0, 200.0, 0.0], [1.0, 0x7FC00000, 0.0]]>
memref.global "private" constant @slots : memref<4x3xi32> = dense<[
  [4, 0, -1], [-1, 2, 2], [0, -1, 0], [-1, -1, -1]]>
func.func @test_score() {
  %z = memref.get_global @logits : memref<4x3xf32>
  %i = memref.get_global @slots : memref<4x3xi32>
  %s = memref.alloc() : memref<4x3xf32>
  %u = memref.cast %s : memref<4x3xf32> to memref<?x?xf32>
  // CHECK:      {{\[\[}}0.25, 0.75, 0],
  // CHECK-NEXT: [0.333333, 0.333333, 0.333333],
  // CHECK-NEXT: [0, 1, 0],
  // CHECK-NEXT: [{{-?nan, -?nan, -?nan}}]]
  moe.score softmax %z outs(%s : memref<4x3xf32>) : memref<4x3xf32>
  call @showF(%u) : (memref<?x?xf32>) -> ()
  // CHECK:      {{\[\[}}0.25, 0.75, 0],
  // CHECK-NEXT: [0, 0.5, 0.5],
  // CHECK-NEXT: [0, 0, 1],
  // CHECK-NEXT: [0, 0, 0]]
  moe.score softmax %z slots(%i : memref<4x3xi32>)
      outs(%s : memref<4x3xf32>) : memref<4x3xf32>
  call @showF(%u) : (memref<?x?xf32>) -> ()
  // CHECK:      {{\[\[}}0.5, 0.75, 0],
  // CHECK-NEXT: [1, 1, 1],
  // CHECK-NEXT: [0, 1, 0.5],
  // CHECK-NEXT: [0.731059, {{-?}}nan, 0.5]]
  moe.score sigmoid %z outs(%s : memref<4x3xf32>) : memref<4x3xf32>
  call @showF(%u) : (memref<?x?xf32>) -> ()
  // CHECK:      {{\[\[}}0.5, 0.75, 0],
  // CHECK-NEXT: [0, 1, 1],
  // CHECK-NEXT: [0, 0, 0.5],
  // CHECK-NEXT: [0, 0, 0]]
  moe.score sigmoid %z slots(%i : memref<4x3xi32>)
      outs(%s : memref<4x3xf32>) : memref<4x3xf32>
  call @showF(%u) : (memref<?x?xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// The small stages, on indices of which some are no experts.
//===----------------------------------------------------------------------===//

memref.global "private" constant @scores : memref<3x3xf32> = dense<[
  [3.0, -4.0, 5.0], [1.0, 2.0, 3.0], [0.5, 0.25, 0.125]]>
memref.global "private" constant @chosen : memref<3x2xi32> = dense<[
  [0, 1], [3, -1], [2, 2]]>
memref.global "private" constant @factors : memref<3xbf16> =
    dense<[2.0, 0.5, 4.0]>
func.func @test_stages() {
  %s = memref.get_global @scores : memref<3x3xf32>
  %i = memref.get_global @chosen : memref<3x2xi32>
  %f = memref.get_global @factors : memref<3xbf16>
  %w = memref.alloc() : memref<3x2xf32>
  %r = memref.alloc() : memref<3x2xf32>
  %wu = memref.cast %w : memref<3x2xf32> to memref<?x?xf32>
  %ru = memref.cast %r : memref<3x2xf32> to memref<?x?xf32>
  // CHECK:      {{\[\[}}3, -4],
  // CHECK-NEXT: [0, 0],
  // CHECK-NEXT: [0.125, 0.125]]
  moe.take %s, %i outs(%w : memref<3x2xf32>) : memref<3x3xf32>, memref<3x2xi32>
  call @showF(%wu) : (memref<?x?xf32>) -> ()
  // The divisors are 3 + 4, 0 and 1/4; a divisor of 0 gives 0.
  // CHECK:      {{\[\[}}0.428571, -0.571429],
  // CHECK-NEXT: [0, 0],
  // CHECK-NEXT: [0.5, 0.5]]
  moe.renormalize %w outs(%r : memref<3x2xf32>) : memref<3x2xf32>
  call @showF(%ru) : (memref<?x?xf32>) -> ()
  // The divisors are 5 + 1, and twice the floor of 2.
  // CHECK:      {{\[\[}}0.5, -0.666667],
  // CHECK-NEXT: [0, 0],
  // CHECK-NEXT: [0.0625, 0.0625]]
  moe.renormalize %w outs(%r : memref<3x2xf32>)
      {p = 2 : i64, eps = 1.0 : f64, floor = 2.0 : f64} : memref<3x2xf32>
  call @showF(%ru) : (memref<?x?xf32>) -> ()
  // CHECK:      {{\[\[}}7.5, -10],
  // CHECK-NEXT: [0, 0],
  // CHECK-NEXT: [0.3125, 0.3125]]
  moe.scale %w by 2.5 outs(%r : memref<3x2xf32>) : memref<3x2xf32>
  call @showF(%ru) : (memref<?x?xf32>) -> ()
  // CHECK:      {{\[\[}}15, -5],
  // CHECK-NEXT: [0, 0],
  // CHECK-NEXT: [1.25, 1.25]]
  moe.scale_by_expert %r, %i, %f outs(%r : memref<3x2xf32>)
      : memref<3x2xf32>, memref<3x2xi32>, memref<3xbf16>
  call @showF(%ru) : (memref<?x?xf32>) -> ()
  // CHECK:      {{\[\[}}5, -3.5, 9],
  // CHECK-NEXT: [3, 2.5, 7],
  // CHECK-NEXT: [2.5, 0.75, 4.125]]
  %q = memref.alloc() : memref<3x3xf32>
  %qu = memref.cast %q : memref<3x3xf32> to memref<?x?xf32>
  moe.add_selection_bias %s, %f outs(%q : memref<3x3xf32>)
      : memref<3x3xf32>, memref<3xbf16>
  call @showF(%qu) : (memref<?x?xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// router_logits: x[t, h] = t + h, router[e, h] = e - h. With H = 37, sum h = 666
// and sum h^2 = 16206: z[t, e] = 37 t e + 666 (e - t) - 16206, an integer below
// 2^24 in every partial sum. 17 experts and 5 tokens: one more than a block has.
//===----------------------------------------------------------------------===//

func.func @test_router_logits() {
  %0 = arith.constant 0.0 : f32
  %1 = arith.constant 1.0 : f32
  %m1 = arith.constant -1.0 : f32
  %x = memref.alloc() : memref<5x37xf32>
  %w = memref.alloc() : memref<17x37xf32>
  %b = memref.alloc() : memref<17xbf16>
  %z = memref.alloc() : memref<5x17xf32>
  %xu = memref.cast %x : memref<5x37xf32> to memref<?x?xf32>
  %wu = memref.cast %w : memref<17x37xf32> to memref<?x?xf32>
  %zu = memref.cast %z : memref<5x17xf32> to memref<?x?xf32>
  call @fill(%xu, %1, %1, %0) : (memref<?x?xf32>, f32, f32, f32) -> ()
  call @fill(%wu, %1, %m1, %0) : (memref<?x?xf32>, f32, f32, f32) -> ()
  // CHECK:      {{\[\[}}-16206, -15540, -14874, -14208, -13542, -12876, -12210, -11544, -10878, -10212, -9546, -8880, -8214, -7548, -6882, -6216, -5550],
  // CHECK-NEXT: [-16872, -16169, -15466, {{.*}}, -5624],
  // CHECK-NEXT: [-17538, {{.*}}],
  // CHECK-NEXT: [-18204, {{.*}}],
  // CHECK-NEXT: [-18870, -18056, -17242, {{.*}}, -5846]]
  moe.router_logits %x, %w outs(%z : memref<5x17xf32>)
      : memref<5x37xf32>, memref<17x37xf32>
  call @showF(%zu) : (memref<?x?xf32>) -> ()
  // The same in bf16, with a bias of 128 from there too.
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c17 = arith.constant 17 : index
  %c37 = arith.constant 37 : index
  %128 = arith.constant 128.0 : bf16
  %h = memref.alloc() : memref<17x37xbf16>
  scf.for %i = %c0 to %c17 step %c1 {
    memref.store %128, %b[%i] : memref<17xbf16>
    scf.for %j = %c0 to %c37 step %c1 {
      %f = memref.load %w[%i, %j] : memref<17x37xf32>
      %g = arith.truncf %f : f32 to bf16
      memref.store %g, %h[%i, %j] : memref<17x37xbf16>
    }
  }
  // CHECK:      {{\[\[}}-16078, -15412, {{.*}}, -5422],
  // CHECK:      [-18742, -17928, {{.*}}, -5718]]
  moe.router_logits %x, %h bias(%b : memref<17xbf16>)
      outs(%z : memref<5x17xf32>) : memref<5x37xf32>, memref<17x37xbf16>
  call @showF(%zu) : (memref<?x?xf32>) -> ()
  return
}

func.func @main() {
  call @test_top_k() : () -> ()
  call @test_score() : () -> ()
  call @test_stages() : () -> ()
  call @test_router_logits() : () -> ()
  return
}
