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

func.func @toFloat(%i: index) -> f32 {
  %0 = arith.index_cast %i : index to i32
  %1 = arith.sitofp %0 : i32 to f32
  return %1 : f32
}

//===----------------------------------------------------------------------===//
// Keys do not matter when q is 0: the result is the mean of the visible values.
// values[1, b, j, h, d] = j + 1000 h + 100 [d = 19]. What lies behind the last
// token, and layer 0, is NaN: any use would show.
//===----------------------------------------------------------------------===//

memref.global "private" constant @past : memref<2xi64> = dense<[0, 35]>

// row[h * 20 + d] for position p
func.func @fill_row(%row: memref<40xf32, strided<[1], offset: ?>>, %p: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c19 = arith.constant 19 : index
  %c20 = arith.constant 20 : index
  %c40 = arith.constant 40 : index
  %c100 = arith.constant 100 : index
  %c1000 = arith.constant 1000 : index
  scf.for %i = %c0 to %c40 step %c1 {
    %h = arith.divui %i, %c20 : index
    %d = arith.remui %i, %c20 : index
    %last = arith.cmpi eq, %d, %c19 : index
    %0 = arith.select %last, %c100, %c0 : index
    %1 = arith.muli %h, %c1000 : index
    %2 = arith.addi %0, %1 : index
    %3 = arith.addi %2, %p : index
    %4 = func.call @toFloat(%3) : (index) -> f32
    memref.store %4, %row[%i] : memref<40xf32, strided<[1], offset: ?>>
  }
  return
}
func.func @test_mean() {
  %f0 = arith.constant 0.0 : f32
  %nan = arith.constant 0x7FC00000 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %past = memref.get_global @past : memref<2xi64>
  %cache = memref.alloc() : memref<2x2x48x2x20xf32>
  linalg.fill ins(%nan : f32) outs(%cache : memref<2x2x48x2x20xf32>)
  %x = memref.alloc() : memref<6x40xf32>
  scf.for %b = %c0 to %c2 step %c1 {
    %0 = memref.load %past[%b] : memref<2xi64>
    %n = arith.index_cast %0 : i64 to index
    scf.for %j = %c0 to %n step %c1 {
      %row = memref.subview %cache[1, %b, %j, 0, 0] [1, 1, 1, 2, 20]
          [1, 1, 1, 1, 1] : memref<2x2x48x2x20xf32>
          to memref<2x20xf32, strided<[20, 1], offset: ?>>
      %flat = memref.collapse_shape %row [[0, 1]]
          : memref<2x20xf32, strided<[20, 1], offset: ?>>
          into memref<40xf32, strided<[1], offset: ?>>
      func.call @fill_row(%flat, %j)
          : (memref<40xf32, strided<[1], offset: ?>>, index) -> ()
    }
    scf.for %s = %c0 to %c3 step %c1 {
      %1 = arith.muli %b, %c3 : index
      %r = arith.addi %1, %s : index
      %row = memref.subview %x[%r, 0] [1, 40] [1, 1] : memref<6x40xf32>
          to memref<40xf32, strided<[1], offset: ?>>
      %p = arith.addi %n, %s : index
      func.call @fill_row(%row, %p)
          : (memref<40xf32, strided<[1], offset: ?>>, index) -> ()
    }
  }
  nn.cache_append %x, %past layer(%c1) outs(%cache : memref<2x2x48x2x20xf32>)
      : memref<6x40xf32>, memref<2xi64>
  // The new tokens lie behind the 35 old ones, and behind them NaN.
  // CHECK:      sizes = [5, 2]
  // CHECK-NEXT: {{\[\[}}34, 34],
  // CHECK-NEXT: [35, 35],
  // CHECK-NEXT: [36, 36],
  // CHECK-NEXT: [37, 37],
  // CHECK-NEXT: [{{-?nan, -?nan}}]]
  %part = memref.subview %cache[1, 1, 34, 0, 0] [1, 1, 5, 1, 2] [1, 1, 1, 1, 1]
      : memref<2x2x48x2x20xf32> to memref<5x2xf32, strided<[40, 1], offset: 7120>>
  %dense = memref.alloc() : memref<5x2xf32>
  linalg.copy ins(%part : memref<5x2xf32, strided<[40, 1], offset: 7120>>)
      outs(%dense : memref<5x2xf32>)
  %densed = memref.cast %dense : memref<5x2xf32> to memref<?x?xf32>
  call @showF(%densed) : (memref<?x?xf32>) -> ()

  %q = memref.alloc() : memref<6x80xf32>
  linalg.fill ins(%f0 : f32) outs(%q : memref<6x80xf32>)
  %y = memref.alloc() : memref<6x80xf32>
  %yd = memref.cast %y : memref<6x80xf32> to memref<?x?xf32>
  // Query heads 0 and 1 share key/value head 0, heads 2 and 3 head 1.
  // CHECK:      {{\[\[}}0, {{.*}}, 0, 100, 0, {{.*}}, 0, 100, 1000, {{.*}}, 1100, 1000, {{.*}}, 1100],
  // CHECK-NEXT: [0.5, {{.*}}, 100.5, 0.5, {{.*}}, 100.5, 1000.5, {{.*}}, 1100.5, 1000.5, {{.*}}, 1100.5],
  // CHECK-NEXT: [1, {{.*}}, 101, 1, {{.*}}, 101, 1001, {{.*}}, 1101, 1001, {{.*}}, 1101],
  // CHECK-NEXT: [17.5, 17.5, {{.*}}, 17.5, 117.5, 17.5, {{.*}}, 117.5, 1017.5, {{.*}}, 1117.5],
  // CHECK-NEXT: [18, {{.*}}, 118, {{.*}}, 1118],
  // CHECK-NEXT: [18.5, {{.*}}, 118.5, {{.*}}, 1118.5]]
  linalg.fill ins(%nan : f32) outs(%y : memref<6x80xf32>)
  nn.attention %q, %cache, %cache, %past layer(%c1) outs(%y : memref<6x80xf32>)
      {heads = 4 : i64, scale = 0.5 : f64}
      : memref<6x80xf32>, memref<2x2x48x2x20xf32>, memref<2x2x48x2x20xf32>,
        memref<2xi64>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  // The last five only; they lie in two blocks (28 to 32, ..., 33 to 37).
  // CHECK:      {{\[\[}}0, {{.*}}, 1100],
  // CHECK-NEXT: [0.5, {{.*}}, 1100.5],
  // CHECK-NEXT: [1, {{.*}}, 1101],
  // CHECK-NEXT: [33, {{.*}}, 1133],
  // CHECK-NEXT: [34, {{.*}}, 1134],
  // CHECK-NEXT: [35, {{.*}}, 1135]]
  nn.attention %q, %cache, %cache, %past layer(%c1) outs(%y : memref<6x80xf32>)
      {heads = 4 : i64, scale = 0.5 : f64, window = 5 : i64}
      : memref<6x80xf32>, memref<2x2x48x2x20xf32>, memref<2x2x48x2x20xf32>,
        memref<2xi64>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  // The token itself.
  // CHECK:      {{\[\[}}0, {{.*}}, 1100],
  // CHECK-NEXT: [1, {{.*}}, 1101],
  // CHECK-NEXT: [2, {{.*}}, 1102],
  // CHECK-NEXT: [35, {{.*}}, 1135],
  // CHECK-NEXT: [36, {{.*}}, 1136],
  // CHECK-NEXT: [37, {{.*}}, 1137]]
  nn.attention %q, %cache, %cache, %past layer(%c1) outs(%y : memref<6x80xf32>)
      {heads = 4 : i64, scale = 0.5 : f64, window = 1 : i64}
      : memref<6x80xf32>, memref<2x2x48x2x20xf32>, memref<2x2x48x2x20xf32>,
        memref<2xi64>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  // No tokens.
  // CHECK:      sizes = [0, 80]
  %none = memref.alloc(%c0) : memref<?x80xf32>
  %noned = memref.cast %none : memref<?x80xf32> to memref<?x?xf32>
  nn.attention %none, %cache, %cache, %past layer(%c1)
      outs(%none : memref<?x80xf32>) {heads = 4 : i64, scale = 0.5 : f64}
      : memref<?x80xf32>, memref<2x2x48x2x20xf32>, memref<2x2x48x2x20xf32>,
        memref<2xi64>
  call @showF(%noned) : (memref<?x?xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// Weights. One head of width 17; q picks column 16 of the keys, so scores are
// scale * keys[j, 16], and all values of key j are j.
//===----------------------------------------------------------------------===//

func.func @attend(%scores: memref<?xf32>) {
  %f0 = arith.constant 0.0 : f32
  %f1 = arith.constant 1.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %n = memref.dim %scores, %c0 : memref<?xf32>
  %keys = memref.alloc(%n) : memref<1x1x?x1x17xf32>
  %values = memref.alloc(%n) : memref<1x1x?x1x17xf32>
  linalg.fill ins(%f0 : f32) outs(%keys : memref<1x1x?x1x17xf32>)
  scf.for %j = %c0 to %n step %c1 {
    %s = memref.load %scores[%j] : memref<?xf32>
    memref.store %s, %keys[%c0, %c0, %j, %c0, %c16] : memref<1x1x?x1x17xf32>
    %v = func.call @toFloat(%j) : (index) -> f32
    %row = memref.subview %values[0, 0, %j, 0, 0] [1, 1, 1, 1, 17]
        [1, 1, 1, 1, 1] : memref<1x1x?x1x17xf32>
        to memref<17xf32, strided<[1], offset: ?>>
    linalg.fill ins(%v : f32) outs(%row : memref<17xf32, strided<[1], offset: ?>>)
  }
  %q = memref.alloc() : memref<1x17xf32>
  linalg.fill ins(%f0 : f32) outs(%q : memref<1x17xf32>)
  memref.store %f1, %q[%c0, %c16] : memref<1x17xf32>
  %last = arith.subi %n, %c1 : index
  %length = arith.index_cast %last : index to i64
  %past = memref.alloc() : memref<1xi64>
  memref.store %length, %past[%c0] : memref<1xi64>
  %y = memref.alloc() : memref<1x17xf32>
  nn.attention %q, %keys, %values, %past layer(%c0) outs(%y : memref<1x17xf32>)
      {heads = 1 : i64, scale = 2.0 : f64}
      : memref<1x17xf32>, memref<1x1x?x1x17xf32>, memref<1x1x?x1x17xf32>,
        memref<1xi64>
  %yd = memref.cast %y : memref<1x17xf32> to memref<?x?xf32>
  call @showF(%yd) : (memref<?x?xf32>) -> ()
  return
}
func.func @test_weights() {
  %low = arith.constant -1000.0 : f32
  %f0 = arith.constant 0.0 : f32
  %big = arith.constant 1000.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %ln3 = arith.constant 0.549306144 : f32 // half of ln 3
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c16 = arith.constant 16 : index
  %c20 = arith.constant 20 : index
  %c40 = arith.constant 40 : index
  // 1 : 3 in one block: (0 + 3 * 1) / 4.
  // CHECK:      {{\[\[}}0.75, {{.*}}, 0.75]]
  %a = memref.alloc(%c2) : memref<?xf32>
  memref.store %f0, %a[%c0] : memref<?xf32>
  memref.store %ln3, %a[%c1] : memref<?xf32>
  call @attend(%a) : (memref<?xf32>) -> ()
  // Keys 0 and 16 lie in two blocks. 3 : 1, (3 * 0 + 16) / 4.
  // CHECK:      {{\[\[}}4, {{.*}}, 4]]
  %c17 = arith.constant 17 : index
  %b = memref.alloc(%c17) : memref<?xf32>
  linalg.fill ins(%low : f32) outs(%b : memref<?xf32>)
  memref.store %ln3, %b[%c0] : memref<?xf32>
  memref.store %f0, %b[%c16] : memref<?xf32>
  call @attend(%b) : (memref<?xf32>) -> ()
  // 1 : 3 makes the second block rescale the first. (0 + 3 * 16) / 4.
  // CHECK:      {{\[\[}}12, {{.*}}, 12]]
  memref.store %f0, %b[%c0] : memref<?xf32>
  memref.store %ln3, %b[%c16] : memref<?xf32>
  call @attend(%b) : (memref<?xf32>) -> ()
  // Scores of 2000, -2000 and -infinity: no overflow, no NaN.
  // CHECK:      {{\[\[}}20, {{.*}}, 20]]
  %c = memref.alloc(%c40) : memref<?xf32>
  linalg.fill ins(%low : f32) outs(%c : memref<?xf32>)
  memref.store %lowest, %c[%c1] : memref<?xf32>
  memref.store %big, %c[%c20] : memref<?xf32>
  call @attend(%c) : (memref<?xf32>) -> ()
  return
}

//===----------------------------------------------------------------------===//
// The bits of a row do not depend on the call that it is in: 40 tokens together
// and one by one, with heads of 37. Shown is how many values differ.
//===----------------------------------------------------------------------===//

// Uniform in [-4, 4): a linear congruential generator.
func.func @random(%m: memref<?x?xf32>, %seed: i32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %rows = memref.dim %m, %c0 : memref<?x?xf32>
  %columns = memref.dim %m, %c1 : memref<?x?xf32>
  %a = arith.constant 1664525 : i32
  %c = arith.constant 1013904223 : i32
  %scale = arith.constant 1.86264515e-9 : f32 // 2^-29
  scf.for %i = %c0 to %rows step %c1 iter_args(%s = %seed) -> i32 {
    %last = scf.for %j = %c0 to %columns step %c1 iter_args(%x = %s) -> i32 {
      %0 = arith.muli %x, %a : i32
      %1 = arith.addi %0, %c : i32
      %2 = arith.sitofp %1 : i32 to f32
      %3 = arith.mulf %2, %scale : f32
      memref.store %3, %m[%i, %j] : memref<?x?xf32>
      scf.yield %1 : i32
    }
    scf.yield %last : i32
  }
  return
}
func.func @test_cuts() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c40 = arith.constant 40 : index
  %c148 = arith.constant 148 : index
  %i0 = arith.constant 0 : i64
  %s1 = arith.constant 1 : i32
  %s2 = arith.constant 2 : i32
  %s3 = arith.constant 3 : i32
  %q = memref.alloc() : memref<40x148xf32>
  %qd = memref.cast %q : memref<40x148xf32> to memref<?x?xf32>
  call @random(%qd, %s1) : (memref<?x?xf32>, i32) -> ()
  %k = memref.alloc() : memref<40x74xf32>
  %kd = memref.cast %k : memref<40x74xf32> to memref<?x?xf32>
  call @random(%kd, %s2) : (memref<?x?xf32>, i32) -> ()
  %v = memref.alloc() : memref<40x74xf32>
  %vd = memref.cast %v : memref<40x74xf32> to memref<?x?xf32>
  call @random(%vd, %s3) : (memref<?x?xf32>, i32) -> ()
  %keys = memref.expand_shape %k [[0, 1, 2], [3, 4]]
      output_shape [1, 1, 40, 2, 37]
      : memref<40x74xf32> into memref<1x1x40x2x37xf32>
  %values = memref.expand_shape %v [[0, 1, 2], [3, 4]]
      output_shape [1, 1, 40, 2, 37]
      : memref<40x74xf32> into memref<1x1x40x2x37xf32>
  %past = memref.alloc() : memref<1xi64>
  %together = memref.alloc() : memref<40x148xf32>
  memref.store %i0, %past[%c0] : memref<1xi64>
  nn.attention %q, %keys, %values, %past layer(%c0)
      outs(%together : memref<40x148xf32>)
      {heads = 4 : i64, scale = 0.1 : f64, window = 21 : i64}
      : memref<40x148xf32>, memref<1x1x40x2x37xf32>, memref<1x1x40x2x37xf32>,
        memref<1xi64>
  %alone = memref.alloc() : memref<40x148xf32>
  %differ = memref.alloc() : memref<1x2xf32>
  %f0 = arith.constant 0.0 : f32
  linalg.fill ins(%f0 : f32) outs(%differ : memref<1x2xf32>)
  scf.for %t = %c0 to %c40 step %c1 {
    %p = arith.index_cast %t : index to i64
    memref.store %p, %past[%c0] : memref<1xi64>
    %row = memref.subview %q[%t, 0] [1, 148] [1, 1] : memref<40x148xf32>
        to memref<1x148xf32, strided<[148, 1], offset: ?>>
    %out = memref.subview %alone[%t, 0] [1, 148] [1, 1] : memref<40x148xf32>
        to memref<1x148xf32, strided<[148, 1], offset: ?>>
    nn.attention %row, %keys, %values, %past layer(%c0)
        outs(%out : memref<1x148xf32, strided<[148, 1], offset: ?>>)
        {heads = 4 : i64, scale = 0.1 : f64, window = 21 : i64}
        : memref<1x148xf32, strided<[148, 1], offset: ?>>,
          memref<1x1x40x2x37xf32>, memref<1x1x40x2x37xf32>, memref<1xi64>
    scf.for %i = %c0 to %c148 step %c1 {
      %0 = memref.load %together[%t, %i] : memref<40x148xf32>
      %1 = memref.load %alone[%t, %i] : memref<40x148xf32>
      // Not one of them is 0, so something was computed.
      %zero = arith.cmpf oeq, %0, %f0 : f32
      %2 = arith.bitcast %0 : f32 to i32
      %3 = arith.bitcast %1 : f32 to i32
      %other = arith.cmpi ne, %2, %3 : i32
      %4 = arith.uitofp %zero : i1 to f32
      %5 = arith.uitofp %other : i1 to f32
      %6 = memref.load %differ[%c0, %c0] : memref<1x2xf32>
      %7 = memref.load %differ[%c0, %c1] : memref<1x2xf32>
      %8 = arith.addf %6, %5 : f32
      %9 = arith.addf %7, %4 : f32
      memref.store %8, %differ[%c0, %c0] : memref<1x2xf32>
      memref.store %9, %differ[%c0, %c1] : memref<1x2xf32>
    }
  }
  // CHECK: {{\[\[}}0, 0]]
  %d = memref.cast %differ : memref<1x2xf32> to memref<?x?xf32>
  call @showF(%d) : (memref<?x?xf32>) -> ()
  return
}

func.func @main() {
  call @test_mean() : () -> ()
  call @test_weights() : () -> ()
  call @test_cuts() : () -> ()
  return
}
