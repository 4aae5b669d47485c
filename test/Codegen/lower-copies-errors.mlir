// RUN: moe-opt %s --verify-diagnostics --pass-pipeline="builtin.module(func.func(moe-lower-copies))"

func.func @unranked(%a: memref<*xf32>, %b: memref<*xf32>) {
  // expected-error @+1 {{'memref.copy' op cannot copy a buffer of unknown rank: 'memref<*xf32>'}}
  memref.copy %a, %b : memref<*xf32> to memref<*xf32>
  return
}
