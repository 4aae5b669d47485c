// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-verify-buffers

// What is allowed: rows written into a state, buffers in the arena, a small
// stack buffer of a function and of a range of a parallel loop.
moe.parameter @w : tensor<8x8xf32> from [#moe.source<"w", tensor<8x8xf32>, first = 0, count = 8, part = 0>]
func.func @fine(%x: memref<1x8xf32>, %cache: memref<?x8xf32> {moe.state}, %p: index, %out: memref<1x8xf32>, %arena: memref<?xi8>) {
  %c0 = arith.constant 0 : index
  %w = moe.parameter_ref @w : memref<8x8xf32>
  %s = memref.alloca() : memref<1024xf32>
  %row = memref.subview %cache[%p, 0] [1, 8] [1, 1] : memref<?x8xf32> to memref<1x8xf32, strided<[8, 1], offset: ?>>
  linalg.copy ins(%x : memref<1x8xf32>) outs(%row : memref<1x8xf32, strided<[8, 1], offset: ?>>)
  %b = memref.view %arena[%c0][] : memref<?xi8> to memref<1x8xf32>
  linalg.copy ins(%x : memref<1x8xf32>) outs(%b : memref<1x8xf32>)
  linalg.matmul ins(%b, %w : memref<1x8xf32>, memref<8x8xf32>) outs(%out : memref<1x8xf32>)
  moe.parallel (%begin, %end) in %p {
    %t = memref.alloca() : memref<8xf32>
  }
  return
}

// -----

func.func @out_of_state(%cache: memref<4x8xf32> {moe.state, moe.name = "k_cache"}, %p: index, %out: memref<1x8xf32>) {
  %row = memref.subview %cache[%p, 0] [1, 8] [1, 1] : memref<4x8xf32> to memref<1x8xf32, strided<[8, 1], offset: ?>>
  // expected-error @+1 {{'linalg.copy' op copies out of state 'k_cache'}}
  linalg.copy ins(%row : memref<1x8xf32, strided<[8, 1], offset: ?>>) outs(%out : memref<1x8xf32>)
  return
}

// -----

func.func @onto_state(%x: memref<4x8xf32>, %cache: memref<4x8xf32> {moe.state}) {
  %c = memref.cast %cache : memref<4x8xf32> to memref<?x8xf32>
  // expected-error @+1 {{overwrites all of state argument 1}}
  linalg.copy ins(%x : memref<4x8xf32>) outs(%c : memref<?x8xf32>)
  return
}

// -----

moe.parameter @w : tensor<4x8xf32> from [#moe.source<"w", tensor<4x8xf32>, first = 0, count = 4, part = 0>]
func.func @parameter(%x: memref<4x8xf32>) {
  %w = moe.parameter_ref @w : memref<4x8xf32>
  // expected-error @+1 {{copies out of parameter @w}}
  linalg.copy ins(%w : memref<4x8xf32>) outs(%x : memref<4x8xf32>)
  %row = memref.subview %w[0, 0] [1, 8] [1, 1] : memref<4x8xf32> to memref<1x8xf32, strided<[8, 1]>>
  %xrow = memref.subview %x[0, 0] [1, 8] [1, 1] : memref<4x8xf32> to memref<1x8xf32, strided<[8, 1]>>
  // expected-error @+1 {{overwrites parameter @w}}
  linalg.copy ins(%xrow : memref<1x8xf32, strided<[8, 1]>>) outs(%row : memref<1x8xf32, strided<[8, 1]>>)
  return
}

// -----

// A private function's arguments are what its callers pass, two levels down:
// a whole state, a part of one, a parameter. The order of functions is no
// matter, nor that one caller passes something else.
moe.parameter @w : tensor<4x8xf32> from [#moe.source<"w", tensor<4x8xf32>, first = 0, count = 4, part = 0>]
func.func private @inner(%a: memref<4x8xf32>, %b: memref<4x8xf32>, %c: memref<4x8xf32, strided<[8, 1], offset: ?>>) {
  // expected-error @+2 {{copies out of parameter @w}}
  // expected-error @+1 {{overwrites all of state 'cache'}}
  linalg.copy ins(%a : memref<4x8xf32>) outs(%b : memref<4x8xf32>)
  // expected-error @+1 {{copies out of state 'cache'}}
  linalg.copy ins(%c : memref<4x8xf32, strided<[8, 1], offset: ?>>) outs(%c : memref<4x8xf32, strided<[8, 1], offset: ?>>)
  return
}
func.func private @middle(%a: memref<4x8xf32>, %b: memref<4x8xf32>, %c: memref<4x8xf32, strided<[8, 1], offset: ?>>) {
  call @inner(%a, %b, %c) : (memref<4x8xf32>, memref<4x8xf32>, memref<4x8xf32, strided<[8, 1], offset: ?>>) -> ()
  return
}
func.func @outer(%x: memref<4x8xf32>, %cache: memref<4x8xf32> {moe.state, moe.name = "cache"}, %large: memref<9x8xf32> {moe.state, moe.name = "cache"}, %p: index) {
  %w = moe.parameter_ref @w : memref<4x8xf32>
  %part = memref.subview %large[%p, 0] [4, 8] [1, 1] : memref<9x8xf32> to memref<4x8xf32, strided<[8, 1], offset: ?>>
  call @middle(%x, %x, %part) : (memref<4x8xf32>, memref<4x8xf32>, memref<4x8xf32, strided<[8, 1], offset: ?>>) -> ()
  call @middle(%w, %cache, %part) : (memref<4x8xf32>, memref<4x8xf32>, memref<4x8xf32, strided<[8, 1], offset: ?>>) -> ()
  return
}

// -----

// A copy that is written as linalg.generic, and one through a branch.
#id = affine_map<(i) -> (i)>
func.func @disguised(%x: memref<8xf32>, %cache: memref<8xf32> {moe.state}, %p: i1, %out: memref<8xf32>) {
  // expected-error @+1 {{'linalg.generic' op copies out of state argument 1}}
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%cache : memref<8xf32>) outs(%out : memref<8xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  }
  %r = scf.if %p -> memref<8xf32> {
    scf.yield %x : memref<8xf32>
  } else {
    scf.yield %cache : memref<8xf32>
  }
  // expected-error @+1 {{copies out of state argument 1}}
  linalg.copy ins(%r : memref<8xf32>) outs(%out : memref<8xf32>)
  %s = arith.select %p, %x, %cache : memref<8xf32>
  // expected-error @+1 {{overwrites all of state argument 1}}
  linalg.copy ins(%out : memref<8xf32>) outs(%s : memref<8xf32>)
  return
}

// -----

func.func @memory(%x: memref<8xf32>, %y: memref<8xf32>) {
  // expected-error @+1 {{'memref.alloc' op manages memory outside the arena}}
  %a = memref.alloc() : memref<8xf32>
  // expected-error @+1 {{'memref.dealloc' op manages memory outside the arena}}
  memref.dealloc %a : memref<8xf32>
  // expected-error @+1 {{may become a call of a library; run moe-lower-copies}}
  memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  return
}

// -----

func.func @stack(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @+1 {{puts a buffer of unknown size on the stack}}
  %a = memref.alloca(%n) : memref<?xf32>
  // expected-error @+1 {{puts 4100 bytes on the stack, more than 4096}}
  %b = memref.alloca() : memref<1025xf32>
  // expected-error @+1 {{puts a buffer of unknown size on the stack}}
  %h = memref.alloca() : memref<4611686018427387904x8xf32>
  scf.for %i = %c0 to %n step %c1 {
    // expected-error @+1 {{takes more of the stack in every iteration of a loop}}
    %d = memref.alloca() : memref<8xf32>
    memref.alloca_scope {
      %e = memref.alloca() : memref<8xf32>
    }
  }
  moe.parallel (%begin, %end) in %n {
    scf.for %i = %begin to %end step %c1 {
      // expected-error @+1 {{takes more of the stack in every iteration of a loop}}
      %d = memref.alloca() : memref<8xf32>
    }
  }
  return
}

// -----

// expected-error @+1 {{returns a buffer; write to a destination instead}}
func.func @returns(%x: memref<8xf32>) -> memref<8xf32> {
  return %x : memref<8xf32>
}

// -----

func.func @carries(%n: index, %x: memref<8xf32>, %y: memref<8xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @+1 {{'scf.for' op carries a buffer from iteration to iteration}}
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %y) -> (memref<8xf32>, memref<8xf32>) {
    scf.yield %b, %a : memref<8xf32>, memref<8xf32>
  }
  return
}

// -----

func.func @leftovers(%x: memref<8xf32>) {
  // expected-error @+1 {{'bufferization.to_tensor' op is left over from bufferisation}}
  %t = bufferization.to_tensor %x : memref<8xf32> to tensor<8xf32>
  // expected-error @+1 {{'tensor.empty' op is left over from bufferisation}}
  %e = tensor.empty() : tensor<8xf32>
  return
}

// -----

// expected-error @+1 {{declares 'malloc'}}
llvm.func @malloc(i64) -> !llvm.ptr
// expected-error @+1 {{declares 'memrefCopy'}}
llvm.func @memrefCopy(i64, !llvm.ptr, !llvm.ptr)
// expected-error @+1 {{declares 'free'}}
func.func private @free(index)
llvm.func @memset(!llvm.ptr, i32, i64) -> !llvm.ptr

// -----

llvm.func @llvm_stack(%n: i64) {
  %c1 = llvm.mlir.constant(1 : i64) : i64
  %a = llvm.alloca %c1 x !llvm.struct<(ptr, array<4 x i64>)> : (i64) -> !llvm.ptr
  // expected-error @+1 {{puts a buffer of unknown size on the stack}}
  %b = llvm.alloca %n x i8 : (i64) -> !llvm.ptr
  // expected-error @+1 {{puts 8192 bytes on the stack, more than 4096}}
  %c = llvm.alloca %c1 x !llvm.array<1024 x f64> : (i64) -> !llvm.ptr
  llvm.return
}

// -----

llvm.func @llvm_loop(%p: i1) {
  %c1 = llvm.mlir.constant(1 : i64) : i64
  llvm.br ^bb1
^bb1:
  // expected-error @+1 {{takes more of the stack in every iteration of a loop}}
  %a = llvm.alloca %c1 x i64 : (i64) -> !llvm.ptr
  llvm.cond_br %p, ^bb1, ^bb2
^bb2:
  %b = llvm.alloca %c1 x i64 : (i64) -> !llvm.ptr
  llvm.return
}

// -----

llvm.func @llvm_saved(%p: i1) {
  %c1 = llvm.mlir.constant(1 : i64) : i64
  llvm.br ^bb1
^bb1:
  %s = llvm.intr.stacksave : !llvm.ptr
  %a = llvm.alloca %c1 x i64 : (i64) -> !llvm.ptr
  llvm.intr.stackrestore %s : !llvm.ptr
  llvm.cond_br %p, ^bb1, ^bb2
^bb2:
  llvm.return
}
