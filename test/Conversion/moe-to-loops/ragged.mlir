// DEFINE: %{lower} = moe-opt %s --pass-pipeline="builtin.module(func.func(convert-moe-to-loops{threads=none},convert-linalg-to-loops),canonicalize,moe-approximate-math,convert-vector-to-scf,convert-scf-to-cf,expand-strided-metadata,lower-affine,convert-vector-to-llvm,convert-to-llvm,reconcile-unrealized-casts)"
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

func.func private @printMemrefI64(memref<*xi64>) attributes {llvm.emit_c_interface}
func.func @showI1(%m: memref<?xi32>) {
  %u = memref.cast %m : memref<?xi32> to memref<*xi32>
  call @printMemrefI32(%u) : (memref<*xi32>) -> ()
  return
}
func.func @showL1(%m: memref<?xi64>) {
  %u = memref.cast %m : memref<?xi64> to memref<*xi64>
  call @printMemrefI64(%u) : (memref<*xi64>) -> ()
  return
}
func.func @showF1(%m: memref<?xf32>) {
  %u = memref.cast %m : memref<?xf32> to memref<*xf32>
  call @printMemrefF32(%u) : (memref<*xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// Expert 0 gets (token 0, slot 1) and (3, 0); expert 2 gets (0, 0), (1, 1),
// (2, 0) and (2, 1); experts 1 and 3 nothing; -1 and 9 are no experts.
//===----------------------------------------------------------------------===//

memref.global "private" constant @experts : memref<4x2xi32> = dense<[
  [2, 0], [-1, 2], [2, 2], [0, 9]]>
memref.global "private" constant @weights : memref<4x2xf32> = dense<[
  [1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]>

func.func @plan(%e: memref<?x2xi32>, %w: memref<?x2xf32>)
    -> (memref<?xi32>, memref<?xf32>, memref<5xi32>, memref<?xi32>,
        memref<?xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %t = memref.dim %e, %c0 : memref<?x2xi32>
  %m = arith.muli %t, %c2 : index
  %t1 = arith.addi %t, %c1 : index
  %rt = memref.alloc(%m) : memref<?xi32>
  %rw = memref.alloc(%m) : memref<?xf32>
  %eo = memref.alloc() : memref<5xi32>
  %to = memref.alloc(%t1) : memref<?xi32>
  %tr = memref.alloc(%m) : memref<?xi32>
  moe.plan %e, %w experts = 4 outs(%rt, %rw, %eo, %to, %tr : memref<?xi32>,
      memref<?xf32>, memref<5xi32>, memref<?xi32>, memref<?xi32>)
      : memref<?x2xi32>, memref<?x2xf32>
  return %rt, %rw, %eo, %to, %tr : memref<?xi32>, memref<?xf32>, memref<5xi32>,
      memref<?xi32>, memref<?xi32>
}
func.func @test_plan() {
  %e = memref.get_global @experts : memref<4x2xi32>
  %w = memref.get_global @weights : memref<4x2xf32>
  %ed = memref.cast %e : memref<4x2xi32> to memref<?x2xi32>
  %wd = memref.cast %w : memref<4x2xf32> to memref<?x2xf32>
  %p:5 = call @plan(%ed, %wd) : (memref<?x2xi32>, memref<?x2xf32>)
      -> (memref<?xi32>, memref<?xf32>, memref<5xi32>, memref<?xi32>,
          memref<?xi32>)
  // Row tokens, weights, expert offsets, token offsets, rows of tokens.
  // CHECK:      [0, 3, 0, 1, 2, 2, {{.+}}, {{.+}}]
  // CHECK:      [2, 7, 1, 4, 5, 6, {{.+}}, {{.+}}]
  // CHECK:      [0, 2, 2, 6, 6]
  // CHECK:      [0, 2, 3, 5, 6]
  // CHECK:      [0, 2, 3, 4, 5, 1, {{.+}}, {{.+}}]
  call @showI1(%p#0) : (memref<?xi32>) -> ()
  call @showF1(%p#1) : (memref<?xf32>) -> ()
  %eo = memref.cast %p#2 : memref<5xi32> to memref<?xi32>
  call @showI1(%eo) : (memref<?xi32>) -> ()
  call @showI1(%p#3) : (memref<?xi32>) -> ()
  call @showI1(%p#4) : (memref<?xi32>) -> ()

  // The same as lists, by token and then expert.
  // CHECK:      [0, 0, 1, 2, 2, 3, {{.+}}, {{.+}}]
  // CHECK:      [0, 2, 2, 2, 2, 0, {{.+}}, {{.+}}]
  // CHECK:      [2, 1, 4, 5, 6, 7, {{.+}}, {{.+}}]
  // CHECK:      [6]
  %lt = memref.alloc() : memref<8xi64>
  %le = memref.alloc() : memref<8xi64>
  %lw = memref.alloc() : memref<8xf32>
  %lc = memref.alloc() : memref<1xi64>
  moe.list_entries %e, %w experts = 4 outs(%lt, %le, %lw, %lc : memref<8xi64>,
      memref<8xi64>, memref<8xf32>, memref<1xi64>)
      : memref<4x2xi32>, memref<4x2xf32>
  %ltd = memref.cast %lt : memref<8xi64> to memref<?xi64>
  %led = memref.cast %le : memref<8xi64> to memref<?xi64>
  %lwd = memref.cast %lw : memref<8xf32> to memref<?xf32>
  %lcd = memref.cast %lc : memref<1xi64> to memref<?xi64>
  call @showL1(%ltd) : (memref<?xi64>) -> ()
  call @showL1(%led) : (memref<?xi64>) -> ()
  call @showF1(%lwd) : (memref<?xf32>) -> ()
  call @showL1(%lcd) : (memref<?xi64>) -> ()

  // T = 0: nothing but offsets.
  // CHECK:      [0, 0, 0, 0, 0]
  // CHECK:      sizes = [1]
  // CHECK-NEXT: [0]
  %e0 = memref.subview %e[0, 0] [0, 2] [1, 1]
      : memref<4x2xi32> to memref<0x2xi32, strided<[2, 1]>>
  %w0 = memref.subview %w[0, 0] [0, 2] [1, 1]
      : memref<4x2xf32> to memref<0x2xf32, strided<[2, 1]>>
  %e0d = memref.cast %e0 : memref<0x2xi32, strided<[2, 1]>> to memref<?x2xi32>
  %w0d = memref.cast %w0 : memref<0x2xf32, strided<[2, 1]>> to memref<?x2xf32>
  %q:5 = call @plan(%e0d, %w0d) : (memref<?x2xi32>, memref<?x2xf32>)
      -> (memref<?xi32>, memref<?xf32>, memref<5xi32>, memref<?xi32>,
          memref<?xi32>)
  %qo = memref.cast %q#2 : memref<5xi32> to memref<?xi32>
  call @showI1(%qo) : (memref<?xi32>) -> ()
  call @showI1(%q#3) : (memref<?xi32>) -> ()
  return
}

// The m rows of an expert in ceil(m / 3) tiles that differ by at most one row:
// expert, first row, rows, tiles left.
memref.global "private" constant @offsets : memref<5xi32> =
    dense<[0, 2, 2, 6, 6]>
memref.global "private" constant @one_expert : memref<4xi32> =
    dense<[0, 0, 7, 7]>
func.func @test_row_tiles() {
  %c8 = arith.constant 8 : index
  %seven = arith.constant -7 : i32
  %t = memref.alloc(%c8) : memref<?x4xi32>
  %td = memref.cast %t : memref<?x4xi32> to memref<?x?xi32>
  %n = memref.alloc() : memref<1xi32>
  %nd = memref.cast %n : memref<1xi32> to memref<?xi32>
  linalg.fill ins(%seven : i32) outs(%t : memref<?x4xi32>)
  // CHECK:      {{\[\[}}0, 0, 2, 1],
  // CHECK-NEXT: [2, 2, 2, 2],
  // CHECK-NEXT: [2, 4, 2, 1],
  // CHECK-NEXT: [-7, -7, -7, -7],
  // CHECK:      [3]
  %o = memref.get_global @offsets : memref<5xi32>
  moe.row_tiles %o, tile = 3, max_rows = %c8
      outs(%t, %n : memref<?x4xi32>, memref<1xi32>) : memref<5xi32>
  call @showI(%td) : (memref<?x?xi32>) -> ()
  call @showI1(%nd) : (memref<?xi32>) -> ()
  // CHECK:      {{\[\[}}1, 0, 2, 3],
  // CHECK-NEXT: [1, 2, 2, 2],
  // CHECK-NEXT: [1, 4, 3, 1],
  // CHECK:      [3]
  %p = memref.get_global @one_expert : memref<4xi32>
  moe.row_tiles %p, tile = 3, max_rows = %c8
      outs(%t, %n : memref<?x4xi32>, memref<1xi32>) : memref<4xi32>
  call @showI(%td) : (memref<?x?xi32>) -> ()
  call @showI1(%nd) : (memref<?xi32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// x[t, h] = 10 t + h with H = 17 (one vector and one column more), and
// w[e, n, h] = 10 e + n + h. As sum h = 136 and sum h^2 = 1496,
// x[t] . w[e, n] = (10 e + n) (170 t + 136) + 1360 t + 1496.
//===----------------------------------------------------------------------===//

memref.global "private" constant @row_token : memref<8xi32> =
    dense<[0, 3, 0, 1, 2, 2, 99, 99]>
memref.global "private" constant @row_weight : memref<8xf32> =
    dense<[2.0, 7.0, 1.0, 4.0, 5.0, 6.0, 0x7FC00000, 0x7FC00000]>
memref.global "private" constant @token_offsets : memref<5xi32> =
    dense<[0, 2, 3, 5, 6]>
memref.global "private" constant @token_rows : memref<8xi32> =
    dense<[0, 2, 3, 4, 5, 1, 99, 99]>

func.func @fill_weights(%w: memref<4x3x17xbf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c10 = arith.constant 10 : index
  %c17 = arith.constant 17 : index
  scf.for %e = %c0 to %c4 step %c1 {
    scf.for %n = %c0 to %c3 step %c1 {
      scf.for %h = %c0 to %c17 step %c1 {
        %0 = arith.muli %e, %c10 : index
        %1 = arith.addi %0, %n : index
        %2 = arith.addi %1, %h : index
        %3 = arith.index_cast %2 : index to i32
        %4 = arith.sitofp %3 : i32 to f32
        %5 = arith.truncf %4 : f32 to bf16
        memref.store %5, %w[%e, %n, %h] : memref<4x3x17xbf16>
      }
    }
  }
  return
}
func.func @test_rows() {
  %f0 = arith.constant 0.0 : f32
  %f1 = arith.constant 1.0 : f32
  %f10 = arith.constant 10.0 : f32
  %m7 = arith.constant -7.0 : f32
  %m5000 = arith.constant -5000.0 : f32
  %half = arith.constant 0.5 : bf16
  %tokens = memref.get_global @row_token : memref<8xi32>
  %weights = memref.get_global @row_weight : memref<8xf32>
  %offsets = memref.get_global @offsets : memref<5xi32>
  %to = memref.get_global @token_offsets : memref<5xi32>
  %tr = memref.get_global @token_rows : memref<8xi32>
  %x = memref.alloc() : memref<4x17xf32>
  %xd = memref.cast %x : memref<4x17xf32> to memref<?x?xf32>
  call @fill(%xd, %f10, %f1, %f0) : (memref<?x?xf32>, f32, f32, f32) -> ()
  %rows = memref.alloc() : memref<8x17xf32>
  %rowsd = memref.cast %rows : memref<8x17xf32> to memref<?x?xf32>

  // CHECK:      {{\[\[}}0, 14, 28, {{.*}}, 210, 224],
  // CHECK-NEXT: [210, 217, {{.*}}, 315, 322],
  // CHECK-NEXT: [0, 1, {{.*}}],
  // CHECK-NEXT: [40, 44, {{.*}}, 100, 104],
  // CHECK-NEXT: [100, 105, {{.*}}],
  // CHECK-NEXT: [120, 126, {{.*}}, 210, 216],
  // CHECK-NEXT: [-7, {{.*}}, -7],
  // CHECK-NEXT: [-7, {{.*}}, -7]]
  linalg.fill ins(%m7 : f32) outs(%rows : memref<8x17xf32>)
  %w0 = memref.alloc() : memref<8xf32>
  memref.copy %weights, %w0 : memref<8xf32> to memref<8xf32>
  %c0 = arith.constant 0 : index
  %f14 = arith.constant 14.0 : f32
  memref.store %f14, %w0[%c0] : memref<8xf32>
  moe.gather_rows %x[%tokens] groups(%offsets) weights(%w0 : memref<8xf32>)
      outs(%rows : memref<8x17xf32>)
      : memref<4x17xf32>, memref<8xi32>, memref<5xi32>
  call @showF(%rowsd) : (memref<?x?xf32>) -> ()

  // CHECK:      {{\[\[}}0, 1, {{.*}}, 15, 16],
  // CHECK-NEXT: [30, 31, {{.*}}, 45, 46],
  // CHECK-NEXT: [0, 1, {{.*}}],
  // CHECK-NEXT: [10, {{.*}}],
  // CHECK-NEXT: [20, {{.*}}],
  // CHECK-NEXT: [20, {{.*}}],
  // CHECK-NEXT: [-7, {{.*}}, -7],
  moe.gather_rows %x[%tokens] groups(%offsets) outs(%rows : memref<8x17xf32>)
      : memref<4x17xf32>, memref<8xi32>, memref<5xi32>
  call @showF(%rowsd) : (memref<?x?xf32>) -> ()

  // max(x . w - 5000, 0) + sum x + 0.5, rows read through the gather.
  // CHECK:      {{\[\[}}136.5, 136.5, 136.5],
  // CHECK-NEXT: [1222.5, 1868.5, 2514.5],
  // CHECK-NEXT: [136.5, 136.5, 136.5],
  // CHECK-NEXT: [4282.5, 4588.5, 4894.5],
  // CHECK-NEXT: [9212.5, 9688.5, 10164.5],
  // CHECK-NEXT: [9212.5, 9688.5, 10164.5],
  // CHECK-NEXT: [-7, -7, -7],
  // CHECK-NEXT: [-7, -7, -7]]
  %w = memref.alloc() : memref<4x3x17xbf16>
  call @fill_weights(%w) : (memref<4x3x17xbf16>) -> ()
  %ones = memref.alloc() : memref<4x3x17xf32>
  linalg.fill ins(%f1 : f32) outs(%ones : memref<4x3x17xf32>)
  %bias = memref.alloc() : memref<4x3xf32>
  linalg.fill ins(%m5000 : f32) outs(%bias : memref<4x3xf32>)
  %halves = memref.alloc() : memref<4x3xbf16>
  linalg.fill ins(%half : bf16) outs(%halves : memref<4x3xbf16>)
  %y = memref.alloc() : memref<8x3xf32>
  %yd = memref.cast %y : memref<8x3xf32> to memref<?x?xf32>
  linalg.fill ins(%m7 : f32) outs(%y : memref<8x3xf32>)
  moe.grouped_matmul %x groups(%offsets : memref<5xi32>)
      weights(%w, %ones : memref<4x3x17xbf16>, memref<4x3x17xf32>)
      biases(%bias, %halves : memref<4x3xf32>, memref<4x3xbf16>)
      gather(%tokens : memref<8xi32>) outs(%y : memref<8x3xf32>)
      : memref<4x17xf32> {
  ^bb0(%g: f32, %u: f32):
    %0 = nn.relu %g : f32
    %1 = nn.add %0, %u : f32
    moe.yield %1 : f32
  }
  call @showF(%yd) : (memref<?x?xf32>) -> ()

  // 1 + the weighted rows of each token.
  // CHECK:      {{\[\[}}7209, 7617, 8025],
  // CHECK-NEXT: [35905, 37129, 38353],
  // CHECK-NEXT: [151097, 156333, 161569],
  // CHECK-NEXT: [39033, 43555, 48077]]
  %z = memref.alloc() : memref<4x3xf32>
  %zd = memref.cast %z : memref<4x3xf32> to memref<?x?xf32>
  linalg.fill ins(%f1 : f32) outs(%z : memref<4x3xf32>)
  moe.grouped_matmul %rows groups(%offsets : memref<5xi32>)
      weights(%w : memref<4x3x17xbf16>)
      scatter(%tokens, %weights : memref<8xi32>, memref<8xf32>)
      outs(%z : memref<4x3xf32>) : memref<8x17xf32> {
  ^bb0(%g: f32):
    moe.yield %g : f32
  }
  call @showF(%zd) : (memref<?x?xf32>) -> ()

  // 1 + 3 x[0], 1 + 4 x[1], 1 + 11 x[2], 1 + 7 x[3].
  // CHECK:      {{\[\[}}1, 4, {{.*}}, 46, 49],
  // CHECK-NEXT: [41, 45, {{.*}}, 101, 105],
  // CHECK-NEXT: [221, 232, {{.*}}, 386, 397],
  // CHECK-NEXT: [211, 218, {{.*}}, 316, 323]]
  linalg.fill ins(%f1 : f32) outs(%x : memref<4x17xf32>)
  moe.combine_rows %rows weights(%weights : memref<8xf32>) tokens(%to, %tr)
      outs(%x : memref<4x17xf32>) : memref<8x17xf32>, memref<5xi32>, memref<8xi32>
  call @showF(%xd) : (memref<?x?xf32>) -> ()
  // Added to that, without weights: 2 x[0], x[1], 2 x[2], x[3].
  // CHECK:      {{\[\[}}1, 6, {{.*}}, 76, 81],
  // CHECK-NEXT: [51, 56, {{.*}}, 131],
  // CHECK-NEXT: [261, 274, {{.*}}, 469],
  // CHECK-NEXT: [241, 249, {{.*}}, 369]]
  moe.combine_rows %rows tokens(%to, %tr)
      outs(%x : memref<4x17xf32>) : memref<8x17xf32>, memref<5xi32>, memref<8xi32>
  call @showF(%xd) : (memref<?x?xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// Canonical arithmetic. In ascending order 1e8 + 1 - 1e8 is 0, in any other it
// is 1; and (1 + 2^-12)^2 - 1 is 2^-11 + 2^-24 only if the product is not
// rounded.
//===----------------------------------------------------------------------===//

memref.global "private" constant @ladder : memref<1x3xf32> =
    dense<[[1.0e8, 1.0, -1.0e8]]>
memref.global "private" constant @column : memref<3x1xf32> =
    dense<[[1.0e8], [1.0], [-1.0e8]]>
memref.global "private" constant @unit : memref<1x1x3xf32> = dense<1.0>
memref.global "private" constant @left : memref<1x2xf32> =
    dense<[[-1.0, 1.000244140625]]>
memref.global "private" constant @right : memref<1x1x2xf32> =
    dense<[[[1.0, 1.000244140625]]]>
memref.global "private" constant @one_row : memref<2xi32> = dense<[0, 1]>
memref.global "private" constant @three_rows : memref<2xi32> = dense<[0, 3]>
memref.global "private" constant @in_order : memref<3xi32> = dense<[0, 1, 2]>
func.func @test_arithmetic() {
  %f0 = arith.constant 0.0 : f32
  %one = memref.get_global @one_row : memref<2xi32>
  %y = memref.alloc() : memref<1x1xf32>
  %yd = memref.cast %y : memref<1x1xf32> to memref<?x?xf32>
  // CHECK: {{\[\[}}0]]
  %a = memref.get_global @ladder : memref<1x3xf32>
  %b = memref.get_global @unit : memref<1x1x3xf32>
  moe.grouped_matmul %a groups(%one : memref<2xi32>)
      weights(%b : memref<1x1x3xf32>) outs(%y : memref<1x1xf32>)
      : memref<1x3xf32> {
  ^bb0(%g: f32):
    moe.yield %g : f32
  }
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  // CHECK: {{\[\[}}0.000488341]]
  %l = memref.get_global @left : memref<1x2xf32>
  %r = memref.get_global @right : memref<1x1x2xf32>
  moe.grouped_matmul %l groups(%one : memref<2xi32>)
      weights(%r : memref<1x1x2xf32>) outs(%y : memref<1x1xf32>)
      : memref<1x2xf32> {
  ^bb0(%g: f32):
    moe.yield %g : f32
  }
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  // CHECK: {{\[\[}}0]]
  %rows = memref.get_global @column : memref<3x1xf32>
  %three = memref.get_global @three_rows : memref<2xi32>
  %order = memref.get_global @in_order : memref<3xi32>
  linalg.fill ins(%f0 : f32) outs(%y : memref<1x1xf32>)
  moe.combine_rows %rows tokens(%three, %order) outs(%y : memref<1x1xf32>)
      : memref<3x1xf32>, memref<2xi32>, memref<3xi32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  return
}

func.func @main() {
  call @test_plan() : () -> ()
  call @test_row_tiles() : () -> ()
  call @test_rows() : () -> ()
  call @test_arithmetic() : () -> ()
  return
}
