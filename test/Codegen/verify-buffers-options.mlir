// RUN: moe-opt %s --verify-diagnostics --pass-pipeline="builtin.module(moe-verify-buffers{allocs=true stack-bytes=64})"

// Before planning, buffers and copies may be there, copies of state may not.
func.func @allocs(%x: memref<8xf32>, %cache: memref<8xf32> {moe.state}) {
  %a = memref.alloc() : memref<8xf32>
  memref.copy %x, %a : memref<8xf32> to memref<8xf32>
  // expected-error @+1 {{'memref.copy' op copies out of state argument 1}}
  memref.copy %cache, %a : memref<8xf32> to memref<8xf32>
  %s = memref.alloca() : memref<16xf32>
  // expected-error @+1 {{puts 68 bytes on the stack, more than 64}}
  %t = memref.alloca() : memref<17xf32>
  return
}
