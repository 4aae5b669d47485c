// RUN: moe-opt %s --split-input-file --verify-diagnostics \
// RUN:   --pass-pipeline='builtin.module(func.func(convert-moe-to-loops))'

func.func @tensors(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.score' op must be on memrefs: run one-shot-bufferize first}}
  %s = moe.score softmax %x : tensor<?x4xf32> -> tensor<?x4xf32>
  return %s : tensor<?x4xf32>
}

// -----

func.func @elementwise_tensors(%x: tensor<?xf32>) -> tensor<?xf32> {
  // expected-error@+1 {{'nn.silu' op must be on f32 scalars or vectors, got 'tensor<?xf32>'}}
  %s = nn.silu %x : tensor<?xf32>
  return %s : tensor<?xf32>
}

// -----

func.func @elementwise_f64(%x: f64) -> f64 {
  // expected-error@+1 {{'nn.silu' op must be on f32 scalars or vectors, got 'f64'}}
  %s = nn.silu %x : f64
  return %s : f64
}
