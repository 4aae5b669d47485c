// RUN: moe-opt %s --moe-interpret --split-input-file --verify-diagnostics

// An op without a model is named, with its place.
func.func @main() -> tensor<1xf32> {
  %x = arith.constant dense<1.0> : tensor<1xf32>
  // expected-error@below {{'math.cbrt' op cannot be interpreted: it has no model}}
  %y = math.cbrt %x : tensor<1xf32>
  return %y : tensor<1xf32>
}

// -----

// expected-error@below {{no function 'main' with a body and without arguments}}
module {
  func.func @main(%x: tensor<1xf32>) -> tensor<1xf32> {
    return %x : tensor<1xf32>
  }
}

// -----

moe.parameter @w : tensor<1xf32> from [#moe.source<"w", tensor<1xf32>, first = 0, count = 1, part = 0>]
func.func @main() -> tensor<1xf32> {
  // expected-error@below {{cannot be interpreted: no values are given for parameter 'w'}}
  %w = moe.parameter_ref @w : tensor<1xf32>
  return %w : tensor<1xf32>
}

// -----

// Memory: a splat is not materialised, sizes multiply without overflow, and
// empty rows do not make a loop of 2^40 turns.
func.func @main() -> tensor<1xf32> {
  // expected-error@below {{a tensor of shape [1099511627776] does not fit into the 8589934592 bytes that tensors may have}}
  %x = arith.constant dense<0.0> : tensor<1099511627776xf32>
  %y = arith.constant dense<0.0> : tensor<1xf32>
  return %y : tensor<1xf32>
}

// -----

func.func @main() -> index {
  %n = arith.constant 4294967296 : index
  // expected-error@below {{a tensor of shape [4294967296, 4294967296] does not fit}}
  %x = tensor.empty(%n, %n) : tensor<?x?xf32>
  return %n : index
}

// -----

func.func @main() -> index {
  %n = arith.constant 1099511627776 : index
  %c0 = arith.constant 0 : index
  // expected-error@below {{a tensor of shape [1099511627776, 0] does not fit}}
  %x = tensor.empty(%n, %c0) : tensor<?x?xf32>
  return %n : index
}

// -----

func.func @main() -> index {
  %n = arith.constant -1 : index
  // expected-error@below {{a tensor of shape [-1] does not fit}}
  %x = tensor.empty(%n) : tensor<?xf32>
  return %n : index
}

// -----

// expected-error@below {{calls nest deeper than 64}}
func.func private @f(%x: index) -> index {
  %y = call @f(%x) : (index) -> index
  return %y : index
}
func.func @main() -> index {
  %x = arith.constant 0 : index
  %y = call @f(%x) : (index) -> index
  return %y : index
}

// -----

// expected-error@below {{'f' must have a body of one block}}
func.func private @f() -> index
func.func @main() -> index {
  %y = call @f() : () -> index
  return %y : index
}

// -----

func.func @main() -> index {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error@below {{step must be at least 1, got 0}}
  %s = scf.for %i = %c0 to %c1 step %c0 iter_args(%acc = %c0) -> index {
    scf.yield %acc : index
  }
  return %s : index
}

// -----

func.func @main() -> index {
  %c0 = arith.constant 0 : index
  // expected-error@below {{divides by zero}}
  %x = arith.divsi %c0, %c0 : index
  return %x : index
}

// -----

// Sizes that the verifier does not see.
func.func @main() -> tensor<2x2xf32> {
  %c3 = arith.constant 3 : index
  %x = arith.constant dense<1.0> : tensor<2x2xf32>
  %r = tensor.empty(%c3) : tensor<2x?xf32>
  // expected-error@below {{columns of x (2) must equal columns of the router (3)}}
  %z = moe.router_logits %x, %r : tensor<2x2xf32>, tensor<2x?xf32> -> tensor<2x2xf32>
  return %z : tensor<2x2xf32>
}

// -----

func.func @main() -> tensor<?xf32> {
  %x = arith.constant dense<1.0> : tensor<2xf32>
  %y = tensor.cast %x : tensor<2xf32> to tensor<?xf32>
  // expected-error@below {{result 0 of type 'tensor<3xf32>' got the shape [2]}}
  %z = tensor.cast %y : tensor<?xf32> to tensor<3xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %x = arith.constant dense<1.0> : tensor<1x1xf32>
  %c2 = arith.constant 2 : index
  %out = tensor.empty(%c2) : tensor<?x1xf32>
  // expected-error@below {{destination 0 must have the shape [1, 1], got [2, 1]}}
  %y = nn.linear %x, %x outs(%out : tensor<?x1xf32>) : tensor<1x1xf32>, tensor<1x1xf32> -> tensor<?x1xf32>
  return %x : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %i = arith.constant dense<3> : tensor<1x1xi64>
  %t = arith.constant dense<1.0> : tensor<3x1xf32>
  // expected-error@below {{token id is 3, not in [0, 3)}}
  %x = nn.embedding %i, %t : tensor<1x1xi64>, tensor<3x1xf32> -> tensor<1x1xf32>
  return %x : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1x1x2x1x1xf32> {
  %x = arith.constant dense<1.0> : tensor<1x1xf32>
  %n = arith.constant dense<2> : tensor<1xi64>
  %l = arith.constant 0 : index
  %c = arith.constant dense<0.0> : tensor<1x1x2x1x1xf32>
  // expected-error@below {{row 0 has 2 tokens and gets 1, but the cache holds 2}}
  %y = nn.cache_append %x, %n layer(%l) outs(%c : tensor<1x1x2x1x1xf32>)
      : tensor<1x1xf32>, tensor<1xi64> -> tensor<1x1x2x1x1xf32>
  return %y : tensor<1x1x2x1x1xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %q = arith.constant dense<1.0> : tensor<1x1xf32>
  %n = arith.constant dense<-1> : tensor<1xi64>
  %l = arith.constant 0 : index
  %c = arith.constant dense<0.0> : tensor<1x1x2x1x1xf32>
  // expected-error@below {{row 0 has -1 tokens}}
  %y = nn.attention %q, %c, %c, %n layer(%l) {heads = 1 : i64, scale = 1.0 : f64}
      : tensor<1x1xf32>, tensor<1x1x2x1x1xf32>, tensor<1x1x2x1x1xf32>, tensor<1xi64> -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %q = arith.constant dense<1.0> : tensor<1x1xf32>
  %n = arith.constant dense<0> : tensor<1xi64>
  %l = arith.constant 1 : index
  %c = arith.constant dense<0.0> : tensor<1x1x2x1x1xf32>
  // expected-error@below {{layer is 1, not in [0, 1)}}
  %y = nn.attention %q, %c, %c, %n layer(%l) {heads = 1 : i64, scale = 1.0 : f64}
      : tensor<1x1xf32>, tensor<1x1x2x1x1xf32>, tensor<1x1x2x1x1xf32>, tensor<1xi64> -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %x = arith.constant dense<1.0> : tensor<1x1xf32>
  %o = arith.constant dense<[0, 2]> : tensor<2xi32>
  %b = arith.constant dense<1.0> : tensor<1x1x1xf32>
  // expected-error@below {{offsets must rise from 0 to at most 1, got 2 at 1}}
  %y = moe.grouped_matmul %x groups(%o : tensor<2xi32>) weights(%b : tensor<1x1x1xf32>)
      : tensor<1x1xf32> -> tensor<1x1xf32> {
  ^bb0(%p: f32):
    moe.yield %p : f32
  }
  return %y : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %x = arith.constant dense<1.0> : tensor<1x1xf32>
  %o = arith.constant dense<[0, 1]> : tensor<2xi32>
  %g = arith.constant dense<1> : tensor<1xi32>
  %b = arith.constant dense<1.0> : tensor<1x1x1xf32>
  // expected-error@below {{gathered row is 1, not in [0, 1)}}
  %y = moe.grouped_matmul %x groups(%o : tensor<2xi32>) weights(%b : tensor<1x1x1xf32>)
      gather(%g : tensor<1xi32>) : tensor<1x1xf32> -> tensor<1x1xf32> {
  ^bb0(%p: f32):
    moe.yield %p : f32
  }
  return %y : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %x = arith.constant dense<1.0> : tensor<1x1xf32>
  %b = arith.constant dense<1.0> : tensor<1x1x1x1xf32>
  %tiles = arith.constant dense<[[0, 0, 2, 1]]> : tensor<1x4xi32>
  %n = arith.constant dense<1> : tensor<1xi32>
  // expected-error@below {{last row of a tile is 1, not in [0, 1)}}
  %y = moe.packed_matmul %x, %b panels<columns = 1, parts = 1, lanes = 1, vectors = 1> tile_rows = 1
      tiles(%tiles, %n : tensor<1x4xi32>, tensor<1xi32>)
      : tensor<1x1xf32>, tensor<1x1x1x1xf32> -> tensor<1x1xf32> {
  ^bb0(%p: f32):
    moe.yield %p : f32
  }
  return %y : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1x1xf32> {
  %x = arith.constant dense<1.0> : tensor<1x1xf32>
  %o = arith.constant dense<[0, 1]> : tensor<2xi32>
  %t = arith.constant dense<-1> : tensor<1xi32>
  // expected-error@below {{row_token is -1, not in [0, 1)}}
  %y = moe.gather_rows %x[%t] groups(%o) : tensor<1x1xf32>, tensor<1xi32>, tensor<2xi32> -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// -----

func.func @main() -> tensor<1xi32> {
  %a = arith.constant dense<[1, 2, 3]> : tensor<3xi32>
  %c3 = arith.constant 3 : index
  // expected-error@below {{slice does not lie inside its tensor in dimension 0}}
  %s = tensor.extract_slice %a[%c3] [1] [1] : tensor<3xi32> to tensor<1xi32>
  return %s : tensor<1xi32>
}
