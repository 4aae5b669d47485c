// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-plan-arena

func.func @reads_memory(%lengths: memref<4xindex>, %i: index) {
  // expected-error @+1 {{arena size is not computable at entry: it reads memory; give the buffer an upper bound}}
  %n = memref.load %lengths[%i] : memref<4xindex>
  %a = memref.alloc(%n) : memref<?xf32>
  return
}

// -----

func.func @loop_variable(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @+1 {{it depends on a loop variable}}
  scf.for %i = %c0 to %n step %c1 {
    %a = memref.alloc(%i) : memref<?xf32>
  }
  return
}

// -----

func.func @control_flow(%p: i1, %n: index) {
  // expected-error @+1 {{it depends on the control flow}}
  %m = scf.if %p -> index {
    scf.yield %n : index
  } else {
    %c1 = arith.constant 1 : index
    scf.yield %c1 : index
  }
  %a = memref.alloc(%m) : memref<?xf32>
  return
}

// -----

func.func @returned() -> memref<4xf32> {
  // expected-error @+1 {{'memref.alloc' op is returned; write to a destination instead}}
  %a = memref.alloc() : memref<4xf32>
  %b = memref.cast %a : memref<4xf32> to memref<?xf32>
  %d = memref.cast %b : memref<?xf32> to memref<4xf32>
  return %d : memref<4xf32>
}

// -----

func.func @carried_out(%n: index, %x: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c = arith.constant 1.0 : f32
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%m = %x) -> memref<4xf32> {
    // expected-error @+1 {{is carried out of its loop}}
    %a = memref.alloc() : memref<4xf32>
    scf.yield %a : memref<4xf32>
  }
  linalg.fill ins(%c : f32) outs(%r : memref<4xf32>)
  return
}

// -----

// The next iteration reads %a, even though nothing does after the loop.
func.func @carried_on(%n: index, %x: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c = arith.constant 1.0 : f32
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%m = %x) -> memref<4xf32> {
    linalg.fill ins(%c : f32) outs(%m : memref<4xf32>)
    // expected-error @+1 {{is carried out of its loop}}
    %a = memref.alloc() : memref<4xf32>
    scf.yield %a : memref<4xf32>
  }
  return
}

// -----

func.func @loop_carried_size(%n: index, %x: memref<?xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @+1 {{it is the size of a loop-carried buffer}}
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%m = %x) -> memref<?xf32> {
    %d = memref.dim %m, %c0 : memref<?xf32>
    %a = memref.alloc(%d) : memref<?xf32>
    linalg.copy ins(%m : memref<?xf32>) outs(%a : memref<?xf32>)
    scf.yield %m : memref<?xf32>
  }
  return
}

// -----

func.func @parallel(%n: index) {
  moe.parallel (%begin, %end) in %n {
    // expected-error @+1 {{needs memory inside a parallel loop, whose threads would share it}}
    %a = memref.alloc() : memref<4xf32>
  }
  return
}

// -----

func.func @parallel_call(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  moe.parallel (%begin, %end) in %n {
    scf.for %i = %begin to %end step %c1 {
      // expected-error @+1 {{'func.call' op needs memory inside a parallel loop}}
      func.call @callee() : () -> ()
    }
  }
  return
}
func.func private @callee() {
  %a = memref.alloc() : memref<4xf32>
  return
}

// -----

func.func @forall(%n: index) {
  scf.forall (%i) in (%n) {
    // expected-error @+1 {{needs memory inside a parallel loop}}
    %a = memref.alloc() : memref<4xf32>
  }
  return
}

// -----

// expected-error @+1 {{'func.func' op is recursive and allocates}}
func.func private @even(%n: index) {
  %a = memref.alloc(%n) : memref<?xf32>
  call @odd(%n) : (index) -> ()
  return
}
func.func private @odd(%n: index) {
  call @even(%n) : (index) -> ()
  return
}

// -----

func.func @blocks(%p: i1) {
  %a = memref.alloc() : memref<4xf32>
  cf.cond_br %p, ^bb1, ^bb2
^bb1:
  cf.br ^bb2
^bb2:
  return
}
// expected-error @-8 {{has branches between blocks; plan the arena before scf is lowered}}

// -----

func.func @layout() {
  // expected-error @+1 {{must have identity layout and no memory space, got 'memref<4x4xf32, strided<[1, 4]>>'}}
  %a = memref.alloc() : memref<4x4xf32, strided<[1, 4]>>
  return
}

// -----

func.func @alignment() {
  // expected-error @+1 {{wants an alignment of 128, the arena has 64}}
  %a = memref.alloc() {alignment = 128 : i64} : memref<4xf32>
  return
}

// -----

func.func @elements() {
  // expected-error @+1 {{must hold numbers, got 'memref<4xvector<4xf32>>'}}
  %a = memref.alloc() : memref<4xvector<4xf32>>
  return
}

// -----

func.func @stored(%m: memref<1xmemref<4xf32>>) {
  %c0 = arith.constant 0 : index
  // expected-error @+1 {{is stored in memory}}
  %a = memref.alloc() : memref<4xf32>
  memref.store %a, %m[%c0] : memref<1xmemref<4xf32>>
  return
}

// -----

func.func @large() {
  // expected-error @+1 {{needs more than 1099511627776 bytes: 'memref<4611686018427387904x8xf32>'}}
  %a = memref.alloc() : memref<4611686018427387904x8xf32>
  return
}

// -----

func.func @negative() {
  %n = arith.constant -1 : index
  // expected-error @+1 {{has a negative size: -1}}
  %a = memref.alloc(%n) : memref<?xf32>
  return
}

// -----

// A size function of this name is there already.
func.func private @f.arena_size()
// expected-error @+1 {{needs an arena, but @f.arena_size exists already}}
func.func @f() {
  %a = memref.alloc() : memref<4xf32>
  return
}

// -----

func.func private @callee() {
  %a = memref.alloc() : memref<4xf32>
  return
}
func.func @indirect() {
  // expected-error @+1 {{uses @callee, which needs an arena, without a call}}
  %f = constant @callee : () -> ()
  call_indirect %f() : () -> ()
  return
}

// -----

func.func @stride(%x: memref<?xf32, strided<[?], offset: ?>>) {
  // expected-error @+1 {{it depends on an offset or a stride}}
  %base, %offset, %size, %stride = memref.extract_strided_metadata %x : memref<?xf32, strided<[?], offset: ?>> -> memref<f32>, index, index, index
  %a = memref.alloc(%stride) : memref<?xf32>
  return
}

// -----

// What the pass writes, the dialect checks.
// expected-error @+1 {{moe.arena_leaves must be an array of pairs array<i64: argument, dimension>}}
func.func private @leaves(index) -> index attributes {moe.arena_leaves = [array<i64: 0>]}
