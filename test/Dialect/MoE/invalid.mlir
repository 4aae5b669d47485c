// RUN: moe-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{experts must be in [1, 2147483647), got 0}}
func.func private @assignment_c1(!moe.assignment<experts = 0, max_per_token = 2>)

// -----

// expected-error@+1 {{experts must be in [1, 2147483647), got 2147483647}}
func.func private @assignment_c1_i32(!moe.assignment<experts = 2147483647, max_per_token = 2>)

// -----

// expected-error@+1 {{max_per_token must be in [1, 2147483647), got 0}}
func.func private @assignment_c2(!moe.assignment<experts = 3, max_per_token = 0>)

// -----

// expected-error@+1 {{max_per_token must be in [1, 2147483647), got 9223372036854775807}}
func.func private @assignment_c2_i32(!moe.assignment<experts = 3, max_per_token = 9223372036854775807>)

// -----

// What every op with destinations checks.
func.func @destination_c1(%x: tensor<?x8xf32>, %out: memref<?x8xf32>) {
  // expected-error@+1 {{'moe.score' op mixes tensors and memrefs}}
  moe.score softmax %x outs(%out : memref<?x8xf32>) : tensor<?x8xf32>
  return
}

// -----

func.func @destination_c2_tensor(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.score' op needs 1 results, got 0}}
  moe.score softmax %x : tensor<?x8xf32>
  return
}

// -----

func.func @destination_c2_memref(%x: memref<?x8xf32>) {
  // expected-error@+1 {{'moe.score' op needs 0 results, got 1}}
  %0 = moe.score softmax %x : memref<?x8xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @destination_c3_tensor(%s: tensor<?x8xf32>, %out: tensor<?x2xi32>) {
  // expected-error@+1 {{'moe.top_k' op needs 2 destinations, got 1}}
  %0:2 = moe.top_k %s, k = 2 outs(%out : tensor<?x2xi32>)
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

func.func @destination_c3_memref(%x: memref<?x8xf32>) {
  // expected-error@+1 {{'moe.score' op needs 1 destinations, got 0}}
  moe.score softmax %x : memref<?x8xf32>
  return
}

// -----

func.func @destination_c4_result(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.score' op result 0 must be 'tensor<?x8xf32>', got 'tensor<?x9xf32>'}}
  %0 = moe.score softmax %x : tensor<?x8xf32> -> tensor<?x9xf32>
  return
}

// -----

func.func @destination_c4_element(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.score' op result 0 must be 'tensor<?x8xf32>', got 'tensor<?x8xf64>'}}
  %0 = moe.score softmax %x : tensor<?x8xf32> -> tensor<?x8xf64>
  return
}

// -----

func.func @destination_c4_rank(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.score' op result 0 must be 'tensor<?x8xf32>', got 'tensor<?xf32>'}}
  %0 = moe.score softmax %x : tensor<?x8xf32> -> tensor<?xf32>
  return
}

// -----

func.func @destination_c4_memref(%x: memref<?x8xf32>, %out: memref<?x9xf32>) {
  // expected-error@+1 {{'moe.score' op destination 0 must be 'tensor<?x8xf32>', got 'memref<?x9xf32>'}}
  moe.score softmax %x outs(%out : memref<?x9xf32>) : memref<?x8xf32>
  return
}

// -----

func.func @destination_c5(%x: tensor<?x8xf32>, %out: tensor<4x8xf32>) {
  // expected-error@+1 {{'moe.score' op result 0 must have its destination's type 'tensor<4x8xf32>'}}
  %0 = moe.score softmax %x outs(%out : tensor<4x8xf32>)
      : tensor<?x8xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @router_logits_c1(%x: tensor<?x16xf32>, %w: tensor<8x15xf32>) {
  // expected-error@+1 {{'moe.router_logits' op columns of x (16) must equal columns of the router (15)}}
  %0 = moe.router_logits %x, %w
      : tensor<?x16xf32>, tensor<8x15xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @router_logits_c2(%x: tensor<?x16xf32>, %w: tensor<8x16xf32>,
                            %b: tensor<7xf32>) {
  // expected-error@+1 {{'moe.router_logits' op length of bias (7) must equal experts (8)}}
  %0 = moe.router_logits %x, %w bias(%b : tensor<7xf32>)
      : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @router_logits_result(%x: tensor<5x16xf32>, %w: tensor<8x16xf32>) {
  // expected-error@+1 {{'moe.router_logits' op result 0 must be 'tensor<5x8xf32>', got 'tensor<4x8xf32>'}}
  %0 = moe.router_logits %x, %w
      : tensor<5x16xf32>, tensor<8x16xf32> -> tensor<4x8xf32>
  return
}

// -----

func.func @score_c1(%z: tensor<?x8xf32>, %i: tensor<?x7xi32>) {
  // expected-error@+1 {{'moe.score' op slots 'tensor<?x7xi32>' must have the shape of 'tensor<?x8xf32>'}}
  %0 = moe.score softmax %z slots(%i : tensor<?x7xi32>)
      : tensor<?x8xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @score_fn(%z: tensor<?x8xf32>) {
  // expected-error@+2 {{expected ::mlir::moe::ScoreFn to be one of: softmax, sigmoid}}
  // expected-error@+1 {{failed to parse MoE_ScoreFnAttr parameter 'value'}}
  %0 = moe.score tanh %z : tensor<?x8xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @add_selection_bias_c1(%s: tensor<?x8xf32>, %b: tensor<9xf32>) {
  // expected-error@+1 {{'moe.add_selection_bias' op length of bias (9) must equal experts (8)}}
  %0 = moe.add_selection_bias %s, %b
      : tensor<?x8xf32>, tensor<9xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @top_k_c1_more_than_experts(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.top_k' op k (9) exceeds the number of experts (8)}}
  %0:2 = moe.top_k %s, k = 9
      : tensor<?x8xf32> -> tensor<?x9xi32>, tensor<?x9xf32>
  return
}

// -----

func.func @top_k_c1_zero(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.top_k' op k must be at least 1, got 0}}
  %0:2 = moe.top_k %s, k = 0
      : tensor<?x8xf32> -> tensor<?x0xi32>, tensor<?x0xf32>
  return
}

// -----

func.func @top_k_c1_negative(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.top_k' op k must be at least 1, got -1}}
  %0:2 = moe.top_k %s, k = -1
      : tensor<?x8xf32> -> tensor<?x1xi32>, tensor<?x1xf32>
  return
}

// -----

func.func @top_k_c2(%s: tensor<4x8xf32>) {
  // expected-error@+1 {{'moe.top_k' op result 0 must be 'tensor<4x2xi32>', got 'tensor<5x2xi32>'}}
  %0:2 = moe.top_k %s, k = 2
      : tensor<4x8xf32> -> tensor<5x2xi32>, tensor<4x2xf32>
  return
}

// -----

func.func @top_k_c3(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{'moe.top_k' op result 1 must be 'tensor<?x2xf32>', got 'tensor<?x2xi32>'}}
  %0:2 = moe.top_k %s, k = 2
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xi32>
  return
}

// -----

func.func @take_c1(%s: tensor<4x8xf32>, %i: tensor<5x2xi32>) {
  // expected-error@+1 {{'moe.take' op rows of scores (4) must equal rows of indices (5)}}
  %0 = moe.take %s, %i : tensor<4x8xf32>, tensor<5x2xi32> -> tensor<5x2xf32>
  return
}

// -----

func.func @renormalize_c1(%w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.renormalize' op p must be 1 or 2, got 3}}
  %0 = moe.renormalize %w {p = 3 : i64} : tensor<?x2xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @renormalize_c2_eps(%w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.renormalize' op eps must be finite and not negative}}
  %0 = moe.renormalize %w {eps = -1.0 : f64}
      : tensor<?x2xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @renormalize_c2_floor(%w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.renormalize' op floor must be finite and not negative}}
  %0 = moe.renormalize %w {floor = 0x7FF0000000000000 : f64}
      : tensor<?x2xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @scale_c1(%w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.scale' op factor must be finite}}
  %0 = moe.scale %w by 0x7FF8000000000000
      : tensor<?x2xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @scale_by_expert_c1(%w: tensor<?x2xf32>, %i: tensor<?x3xi32>,
                              %f: tensor<8xf32>) {
  // expected-error@+1 {{'moe.scale_by_expert' op indices 'tensor<?x3xi32>' must have the shape of 'tensor<?x2xf32>'}}
  %0 = moe.scale_by_expert %w, %i, %f
      : tensor<?x2xf32>, tensor<?x3xi32>, tensor<8xf32> -> tensor<?x2xf32>
  return
}

// -----

func.func @assign_c1(%i: tensor<?x2xi32>, %w: tensor<?x3xf32>) {
  // expected-error@+1 {{'moe.assign' op operand must be [T, max_per_token = 2], got 'tensor<?x3xf32>'}}
  %0 = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x3xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  return
}

// -----

func.func @assign_c2(%i: tensor<4x2xi32>, %w: tensor<5x2xf32>) {
  // expected-error@+1 {{'moe.assign' op rows of experts (4) must equal rows of weights (5)}}
  %0 = moe.assign %i, %w : tensor<4x2xi32>, tensor<5x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  return
}

// -----

func.func private @assignment_entries_c1(%a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.assignment_entries' op length of a list (8) must equal length of the first (6)}}
  %t, %e, %w, %n = moe.assignment_entries %a
      : !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<6xi64>, tensor<8xi64>, tensor<6xf32>, tensor<1xi64>
  return
}

// -----

func.func private @assignment_entries_c2(%a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.assignment_entries' op length of the lists (7) must be a multiple of max_per_token (2)}}
  %t, %e, %w, %n = moe.assignment_entries %a
      : !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<7xi64>, tensor<7xi64>, tensor<7xf32>, tensor<1xi64>
  return
}

// -----

func.func private @assignment_entries_c3(%a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.assignment_entries' op length of count (2) must equal one (1)}}
  %t, %e, %w, %n = moe.assignment_entries %a
      : !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<2xi64>
  return
}

// -----

func.func private @layer_c1(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op failed to verify that all of {init, result} have same type}}
  %y = "moe.layer"(%x, %a, %x) <{weights_per_kind = array<i64: 0>}> ({
  ^bb0(%rows: tensor<?x4xf32>, %e: index):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }) : (tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>) -> tensor<3x4xf32>
  return
}

// -----

func.func private @layer_c2(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op needs at least one expert clause}}
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>

  return
}

// -----

func.func private @layer_c3_length(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op kinds has 2 entries for 3 experts}}
  %y = moe.layer %x, %a outs(%x) kinds = [0, 0]
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_c3_clause(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op kind of expert 1 is 1, but there are 1 expert clauses}}
  %y = moe.layer %x, %a outs(%x) kinds = [0, 1, 0]
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_c3_negative(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op kind of expert 2 is -1, but there are 1 expert clauses}}
  %y = moe.layer %x, %a outs(%x) kinds = [0, 0, -1]
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_c4_sum(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<3x4x4xf32>) {
  // expected-error@+1 {{'moe.layer' op weights_per_kind does not match the 1 expert clauses and 1 weights}}
  %y = "moe.layer"(%x, %a, %x, %w) <{weights_per_kind = array<i64: 2>}> ({
  ^bb0(%rows: tensor<?x4xf32>, %e: index, %s: tensor<4x4xf32>):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }) : (tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>, tensor<3x4x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

func.func private @layer_c4_kinds(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<3x4x4xf32>) {
  // expected-error@+1 {{'moe.layer' op weights_per_kind does not match the 1 expert clauses and 1 weights}}
  %y = "moe.layer"(%x, %a, %x, %w) <{weights_per_kind = array<i64: 1, 0>}> ({
  ^bb0(%rows: tensor<?x4xf32>, %e: index, %s: tensor<4x4xf32>):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }) : (tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>, tensor<3x4x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

func.func private @layer_c4_negative(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<3x4x4xf32>) {
  // expected-error@+1 {{'moe.layer' op weights_per_kind does not match the 1 expert clauses and 1 weights}}
  %y = "moe.layer"(%x, %a, %x, %w) <{weights_per_kind = array<i64: -1>}> ({
  ^bb0(%rows: tensor<?x4xf32>, %e: index, %s: tensor<4x4xf32>):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }) : (tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>, tensor<3x4x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

// The sum of the counts wraps around to the number of weights.
func.func private @layer_c4_overflow(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op weights_per_kind does not match the 3 expert clauses and 0 weights}}
  %y = "moe.layer"(%x, %a, %x) <{kinds = array<i64: 0, 1, 2>, weights_per_kind = array<i64: 9223372036854775807, 9223372036854775807, 2>}> ({
  ^bb0(%rows: tensor<?x4xf32>, %e: index):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }, {
  ^bb0(%rows: tensor<?x4xf32>, %e: index):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }, {
  ^bb0(%rows: tensor<?x4xf32>, %e: index):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }) : (tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

func.func private @layer_c5_number(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<2x4x4xf32>) {
  // expected-error@+1 {{'moe.layer' op weight 'tensor<2x4x4xf32>' of expert clause 0 must stack 3 experts}}
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e, %s = %w: tensor<2x4x4xf32>) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_c5_of_kind(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<3x4x4xf32>) {
  // expected-error@+1 {{'moe.layer' op weight 'tensor<3x4x4xf32>' of expert clause 1 must stack 1 experts}}
  %y = moe.layer %x, %a outs(%x) kinds = [0, 1, 0]
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  expert(%rows, %e, %s = %w: tensor<3x4x4xf32>) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_c5_dynamic(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<?x4x4xf32>) {
  // expected-error@+1 {{'moe.layer' op weight 'tensor<?x4x4xf32>' of expert clause 0 must stack 3 experts}}
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e, %s = %w: tensor<?x4x4xf32>) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_c5_scalar(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<f32>) {
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  // expected-error@+1 {{stacked weight must be [E, ...], got 'tensor<f32>'}}
  expert(%rows, %e, %s = %w: tensor<f32>) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_x_type(
    %x: tensor<4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  %y = moe.layer %x, %a outs(%x)
      : tensor<4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<4xf32>
  // expected-error@+1 {{x must be [T, H], got 'tensor<4xf32>'}}
  expert(%rows, %e) {
    moe.yield %rows : tensor<4xf32>
  }
  return
}

// -----

func.func private @layer_c6(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op expert clause 0 must take ('tensor<?x4xf32>', 'index'), got ('tensor<?x4xf32>')}}
  %y = "moe.layer"(%x, %a, %x) <{weights_per_kind = array<i64: 0>}> ({
  ^bb0(%rows: tensor<?x4xf32>):
    "moe.yield"(%rows) : (tensor<?x4xf32>) -> ()
  }) : (tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

func.func private @layer_c7(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op expert clause 0 must yield 'tensor<?x4xf32>'}}
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %e : index
  }
  return
}

// -----

func.func private @layer_c7_empty(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.layer' op expert clause 0 must yield 'tensor<?x4xf32>'}}
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e) {
  }
  return
}

// -----

func.func private @layer_c8(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %i: tensor<?x5xf32>) {
  // expected-error@+1 {{'moe.layer' op outs must have the shape of x 'tensor<?x4xf32>', got 'tensor<?x5xf32>'}}
  %y = moe.layer %x, %a outs(%i)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x5xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @layer_isolated(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-note@+1 {{required by region isolation constraints}}
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x4xf32>
  expert(%rows, %e) {
    // expected-error@+1 {{'nn.add' op using value defined outside the region}}
    %0 = nn.add %rows, %x : tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return
}

// -----

func.func @experts_c1(%rows: tensor<?x4xf32>, %offsets: tensor<1xi32>) {
  // expected-error@+1 {{'moe.experts' op needs at least one expert}}
  %0 = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<1xi32>
  expert(%r, %e) {
    moe.yield %r : tensor<?x4xf32>
  }
  return
}

// -----

func.func @experts_layer_c3(%rows: tensor<?x4xf32>, %offsets: tensor<4xi32>) {
  // expected-error@+1 {{'moe.experts' op kinds has 4 entries for 3 experts}}
  %0 = moe.experts %rows groups(%offsets) kinds = [0, 0, 0, 0]
      : tensor<?x4xf32>, tensor<4xi32>
  expert(%r, %e) {
    moe.yield %r : tensor<?x4xf32>
  }
  return
}

// -----

func.func private @dispatch_c1_rows(
    %x: tensor<5x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.dispatch' op rows must be 'tensor<10x4xf32>', got 'tensor<5x4xf32>'}}
  %r, %o = moe.dispatch %x, %a
      : tensor<5x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<5x4xf32>, tensor<4xi32>
  return
}

// -----

func.func private @dispatch_c1_columns(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.dispatch' op rows must be 'tensor<?x4xf32>', got 'tensor<?x5xf32>'}}
  %r, %o = moe.dispatch %x, %a
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x5xf32>, tensor<4xi32>
  return
}

// -----

func.func private @dispatch_c2(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.dispatch' op length of offsets (3) must equal experts + 1 (4)}}
  %r, %o = moe.dispatch %x, %a
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>, tensor<3xi32>
  return
}

// -----

func.func private @combine_c1_rows(
    %r: tensor<9x4xf32>, %i: tensor<5x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.combine' op rows must be 'tensor<10x4xf32>', got 'tensor<9x4xf32>'}}
  %y = moe.combine %r, %a outs(%i)
      : tensor<9x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<5x4xf32>
  return
}

// -----

func.func private @combine_c1_columns(
    %r: tensor<?x5xf32>, %i: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>) {
  // expected-error@+1 {{'moe.combine' op rows must be 'tensor<?x4xf32>', got 'tensor<?x5xf32>'}}
  %y = moe.combine %r, %a outs(%i)
      : tensor<?x5xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>
  return
}

// -----

func.func @yield_parent(%f: f32) {
  // expected-error@+1 {{'moe.yield' op expects parent op to be one of}}
  moe.yield %f : f32
}

// -----

// expected-error@+2 {{a source must have a static shape, got 'tensor<?x4xf32>'}}
moe.parameter @source_c1 : tensor<3x4xf32> from [
    #moe.source<"w", tensor<?x4xf32>, first = 0, count = 3, part = 0>]

// -----

moe.parameter @panels_c1_parts : tensor<1x1x4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>]
    // expected-error@+1 {{parts must be in [1, 1024], got 0}}
    panels<columns = 6, parts = 0, lanes = 8, vectors = 1>

// -----

moe.parameter @panels_c1_lanes : tensor<1x1x4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>]
    // expected-error@+1 {{lanes must be in [1, 1024], got 0}}
    panels<columns = 6, parts = 1, lanes = 0, vectors = 1>

// -----

moe.parameter @panels_c1_vectors : tensor<1x1x4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>]
    // expected-error@+1 {{vectors must be in [1, 1024], got -1}}
    panels<columns = 6, parts = 1, lanes = 8, vectors = -1>

// -----

moe.parameter @panels_c3 : tensor<1x1x4x66xf32> from [
    #moe.source<"w", tensor<1x4xf32>, first = 0, count = 1, part = 0>]
    // expected-error@+1 {{parts * vectors must be at most 64, got 66}}
    panels<columns = 1, parts = 33, lanes = 1, vectors = 2>

// -----

moe.parameter @panels_c1_lanes_large : tensor<1x1x4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>]
    // expected-error@+1 {{lanes must be in [1, 1024], got 1025}}
    panels<columns = 6, parts = 1, lanes = 1025, vectors = 1>

// -----

moe.parameter @panels_c2 : tensor<1x1x4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>]
    // expected-error@+1 {{columns must be at least 1, got 0}}
    panels<columns = 0, parts = 1, lanes = 8, vectors = 1>

// -----

// expected-error@+1 {{'moe.parameter' op needs at least one source}}
moe.parameter @parameter_c1 : tensor<3x4xf32> from []

// -----

// expected-error@+1 {{'moe.parameter' op type 'tensor<f32>' has no size or is too large}}
moe.parameter @parameter_c1_rank : tensor<f32> from [
    #moe.source<"w", tensor<f32>, first = 0, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op type 'tensor<4294967296x4294967296xf32>' has no size or is too large}}
moe.parameter @parameter_c1_large : tensor<4294967296x4294967296xf32> from [
    #moe.source<"w", tensor<4xf32>, first = 0, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op type 'tensor<1x1x4x16xf32>' does not fit}}
moe.parameter @parameter_c2_width : tensor<1x1x4x16xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>] panels<columns = 6, parts = 1, lanes = 8, vectors = 1>

// -----

// expected-error@+1 {{'moe.parameter' op type 'tensor<1x2x4x8xf32>' does not fit}}
moe.parameter @parameter_c2_panels : tensor<1x2x4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>] panels<columns = 6, parts = 1, lanes = 8, vectors = 1>

// -----

// expected-error@+1 {{'moe.parameter' op type 'tensor<4x8xf32>' does not fit}}
moe.parameter @parameter_c2_rank : tensor<4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>] panels<columns = 6, parts = 1, lanes = 8, vectors = 1>

// -----

// expected-error@+1 {{'moe.parameter' op source "w" is 'tensor<3x4xbf16>', the parameter is 'tensor<3x4xf32>'}}
moe.parameter @parameter_c3_element : tensor<3x4xf32> from [
    #moe.source<"w", tensor<3x4xbf16>, first = 0, count = 3, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op source "w" does not lie inside 'tensor<3x4xf32>'}}
moe.parameter @parameter_c3_count : tensor<3x4xf32> from [
    #moe.source<"w", tensor<3x4xf32>, first = 0, count = 0, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op source "w" does not lie inside 'tensor<3x4xf32>'}}
moe.parameter @parameter_c3_first : tensor<3x4xf32> from [
    #moe.source<"w", tensor<3x4xf32>, first = -1, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op source "w" does not lie inside 'tensor<3x4xf32>'}}
moe.parameter @parameter_c3_end : tensor<3x4xf32> from [
    #moe.source<"w", tensor<3x4xf32>, first = 2, count = 2, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op source "w" does not lie inside 'tensor<3x4xf32>'}}
moe.parameter @parameter_c3_wraps : tensor<3x4xf32> from [
    #moe.source<"w", tensor<3x4xf32>, first = 9223372036854775807, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op source "w" does not lie inside 'tensor<3x4xf32>'}}
moe.parameter @parameter_c3_part : tensor<3x4xf32> from [
    #moe.source<"w", tensor<3x4xf32>, first = 0, count = 3, part = 1>]

// -----

// expected-error@+1 {{'moe.parameter' op source "w" is 'tensor<3x5xf32>', expected 12 elements}}
moe.parameter @parameter_c4 : tensor<3x4xf32> from [
    #moe.source<"w", tensor<3x5xf32>, first = 0, count = 3, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op source "w" is 'tensor<4294967296x4294967296x4xf32>', expected 4 elements}}
moe.parameter @parameter_c4_overflow : tensor<1x4xf32> from [
    #moe.source<"w", tensor<4294967296x4294967296x4xf32>, first = 0, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op sources must fill each of the 3 leading indices of each part once}}
moe.parameter @parameter_c5_gap : tensor<3x4xf32> from [
    #moe.source<"v", tensor<1x4xf32>, first = 0, count = 1, part = 0>,
    #moe.source<"w", tensor<1x4xf32>, first = 2, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op sources must fill each of the 3 leading indices of each part once}}
moe.parameter @parameter_c5_end : tensor<3x4xf32> from [
    #moe.source<"v", tensor<1x4xf32>, first = 0, count = 1, part = 0>,
    #moe.source<"w", tensor<1x4xf32>, first = 1, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op sources must fill each of the 3 leading indices of each part once}}
moe.parameter @parameter_c5_overlap : tensor<3x4xf32> from [
    #moe.source<"v", tensor<2x4xf32>, first = 0, count = 2, part = 0>,
    #moe.source<"w", tensor<1x4xf32>, first = 1, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op sources must fill each of the 2 leading indices of each part once}}
moe.parameter @parameter_c5_twice : tensor<2x4xf32> from [
    #moe.source<"v", tensor<4xf32>, first = 0, count = 1, part = 0>,
    #moe.source<"w", tensor<4xf32>, first = 0, count = 1, part = 0>]

// -----

// expected-error@+1 {{'moe.parameter' op sources must fill each of the 1 leading indices of each part once}}
moe.parameter @parameter_c5_part : tensor<1x1x4x16xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 1>]
    panels<columns = 6, parts = 2, lanes = 8, vectors = 1>

// -----

// expected-error@+1 {{'moe.parameter' op sources must fill each of the 1 leading indices of each part once}}
moe.parameter @parameter_c5_last_part : tensor<1x1x4x16xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 6, parts = 2, lanes = 8, vectors = 1>

// -----

// expected-error@+1 {{'moe.parameter' op has a pack function but no panels}}
moe.parameter @parameter_c6 : tensor<4xf32> from [
    #moe.source<"w", tensor<4xf32>, first = 0, count = 4, part = 0>] pack = @f
func.func private @f()

// -----

// expected-error@+1 {{'moe.parameter' op is packed by 'parameter_c7', which is not a function}}
moe.parameter @parameter_c7 : tensor<1x1x4x8xf32> from [
    #moe.source<"w", tensor<6x4xf32>, first = 0, count = 1, part = 0>]
    panels<columns = 6, parts = 1, lanes = 8, vectors = 1> pack = @parameter_c7

// -----

func.func @parameter_ref_c1() {
  // expected-error@+1 {{'moe.parameter_ref' op refers to 'nothing', which is not a moe.parameter}}
  %0 = moe.parameter_ref @nothing : tensor<4xf32>
  return
}

// -----

func.func @parameter_ref_c1_function() {
  // expected-error@+1 {{'moe.parameter_ref' op refers to 'parameter_ref_c1_function', which is not a moe.parameter}}
  %0 = moe.parameter_ref @parameter_ref_c1_function : tensor<4xf32>
  return
}

// -----

moe.parameter @w : tensor<4xf32> from [
    #moe.source<"w", tensor<4xf32>, first = 0, count = 4, part = 0>]
func.func @parameter_ref_c2_layout() {
  // expected-error@+1 {{'moe.parameter_ref' op must have type 'tensor<4xf32>', got 'memref<4xf32, strided<[2]>>'}}
  %0 = moe.parameter_ref @w : memref<4xf32, strided<[2]>>
  return
}

// -----

moe.parameter @w : tensor<4xf32> from [
    #moe.source<"w", tensor<4xf32>, first = 0, count = 4, part = 0>]
func.func @parameter_ref_c2_shape() {
  // expected-error@+1 {{'moe.parameter_ref' op must have type 'tensor<4xf32>', got 'tensor<5xf32>'}}
  %0 = moe.parameter_ref @w : tensor<5xf32>
  return
}

// -----

moe.parameter @w : tensor<4xf32> from [
    #moe.source<"w", tensor<4xf32>, first = 0, count = 4, part = 0>]
func.func @parameter_ref_c2_element() {
  // expected-error@+1 {{'moe.parameter_ref' op must have type 'tensor<4xf32>', got 'memref<4xbf16>'}}
  %0 = moe.parameter_ref @w : memref<4xbf16>
  return
}

// -----

func.func @plan_c1_zero(%e: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.plan' op experts must be in [1, 2147483647), got 0}}
  %0:5 = moe.plan %e, %w experts = 0
      : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<4xi32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

func.func @plan_c1_i32(%e: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.plan' op experts must be in [1, 2147483647), got 9223372036854775807}}
  %0:5 = moe.plan %e, %w experts = 9223372036854775807
      : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<4xi32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

func.func @plan_c2(%e: tensor<?x2xi32>, %w: tensor<?x3xf32>) {
  // expected-error@+1 {{'moe.plan' op experts 'tensor<?x2xi32>' and weights 'tensor<?x3xf32>' differ in shape}}
  %0:5 = moe.plan %e, %w experts = 3
      : tensor<?x2xi32>, tensor<?x3xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<4xi32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

func.func @plan_c3(%e: tensor<4294967296x4294967296xi32>, %w: tensor<4294967296x4294967296xf32>) {
  // expected-error@+1 {{'moe.plan' op experts 'tensor<4294967296x4294967296xi32>' have more slots than an i32 holds}}
  %0:5 = moe.plan %e, %w experts = 3
      : tensor<4294967296x4294967296xi32>, tensor<4294967296x4294967296xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<4xi32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----

func.func @list_entries_c1_zero(%e: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.list_entries' op experts must be in [1, 2147483647), got 0}}
  %0:4 = moe.list_entries %e, %w experts = 0
      : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  return
}

// -----

func.func @list_entries_c1_i32(%e: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  // expected-error@+1 {{'moe.list_entries' op experts must be in [1, 2147483647), got 9223372036854775807}}
  %0:4 = moe.list_entries %e, %w experts = 9223372036854775807
      : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  return
}

// -----

func.func @list_entries_c2(%e: tensor<?x2xi32>, %w: tensor<?x3xf32>) {
  // expected-error@+1 {{'moe.list_entries' op experts 'tensor<?x2xi32>' and weights 'tensor<?x3xf32>' differ in shape}}
  %0:4 = moe.list_entries %e, %w experts = 3
      : tensor<?x2xi32>, tensor<?x3xf32>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  return
}

// -----

func.func @list_entries_c3(%e: tensor<4294967296x4294967296xi32>, %w: tensor<4294967296x4294967296xf32>) {
  // expected-error@+1 {{'moe.list_entries' op experts 'tensor<4294967296x4294967296xi32>' have more slots than an i32 holds}}
  %0:4 = moe.list_entries %e, %w experts = 3
      : tensor<4294967296x4294967296xi32>, tensor<4294967296x4294967296xf32>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  return
}

// -----

func.func @plan_result(%e: tensor<5x2xi32>, %w: tensor<5x2xf32>) {
  // expected-error@+1 {{'moe.plan' op result 3 must be 'tensor<6xi32>', got 'tensor<5xi32>'}}
  %0:5 = moe.plan %e, %w experts = 3 : tensor<5x2xi32>, tensor<5x2xf32>
      -> tensor<10xi32>, tensor<10xf32>, tensor<4xi32>, tensor<5xi32>,
         tensor<10xi32>
  return
}

// -----

func.func @row_tiles_c1(%o: tensor<9xi32>, %m: index) {
  // expected-error@+1 {{'moe.row_tiles' op tile must be at least 1, got -6}}
  %0:2 = moe.row_tiles %o, tile = -6, max_rows = %m
      : tensor<9xi32> -> tensor<?x4xi32>, tensor<1xi32>
  return
}

// -----

func.func @row_tiles_c2(%o: tensor<1xi32>, %m: index) {
  // expected-error@+1 {{'moe.row_tiles' op offsets 'tensor<1xi32>' must have experts + 1 entries}}
  %0:2 = moe.row_tiles %o, tile = 6, max_rows = %m
      : tensor<1xi32> -> tensor<?x4xi32>, tensor<1xi32>
  return
}

// -----

func.func @gather_rows_c1(%x: tensor<?x4xf32>, %t: tensor<10xi32>,
                          %o: tensor<4xi32>, %w: tensor<9xf32>) {
  // expected-error@+1 {{'moe.gather_rows' op length of weights (9) must equal rows (10)}}
  %0 = moe.gather_rows %x[%t] groups(%o) weights(%w : tensor<9xf32>)
      : tensor<?x4xf32>, tensor<10xi32>, tensor<4xi32> -> tensor<10x4xf32>
  return
}

// -----

func.func @gather_rows_c2(%x: tensor<?x4xf32>, %t: tensor<?xi32>,
                          %o: tensor<0xi32>) {
  // expected-error@+1 {{'moe.gather_rows' op groups 'tensor<0xi32>' must have experts + 1 entries}}
  %0 = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<0xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @combine_rows_c1(%r: tensor<?x4xf32>, %to: tensor<?xi32>,
                           %tr: tensor<?xi32>) {
  // expected-error@+1 {{'moe.combine_rows' op needs one destination, got 0}}
  %0 = "moe.combine_rows"(%r, %to, %tr)
      <{operandSegmentSizes = array<i32: 1, 0, 1, 1, 0>}>
      : (tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x4xf32>
  return
}

// -----

func.func @combine_rows_c2(%r: tensor<?x4xf32>, %to: tensor<0xi32>,
                           %tr: tensor<?xi32>, %i: tensor<?x4xf32>) {
  // expected-error@+1 {{'moe.combine_rows' op token offsets 'tensor<0xi32>' must have tokens + 1 entries}}
  %0 = moe.combine_rows %r tokens(%to, %tr) outs(%i : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<0xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @combine_rows_c3_rows(%r: tensor<10x4xf32>, %to: tensor<?xi32>,
                                %tr: tensor<9xi32>, %i: tensor<?x4xf32>) {
  // expected-error@+1 {{'moe.combine_rows' op length of token rows (9) must equal rows (10)}}
  %0 = moe.combine_rows %r tokens(%to, %tr) outs(%i : tensor<?x4xf32>)
      : tensor<10x4xf32>, tensor<?xi32>, tensor<9xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @combine_rows_c3_weights(%r: tensor<10x4xf32>, %w: tensor<9xf32>,
                                   %to: tensor<?xi32>, %tr: tensor<?xi32>,
                                   %i: tensor<?x4xf32>) {
  // expected-error@+1 {{'moe.combine_rows' op length of weights (9) must equal rows (10)}}
  %0 = moe.combine_rows %r weights(%w : tensor<9xf32>) tokens(%to, %tr)
      outs(%i : tensor<?x4xf32>)
      : tensor<10x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @combine_rows_tokens(%r: tensor<10x4xf32>, %to: tensor<6xi32>,
                               %tr: tensor<10xi32>, %i: tensor<4x4xf32>) {
  // expected-error@+1 {{'moe.combine_rows' op result 0 must be 'tensor<5x4xf32>', got 'tensor<4x4xf32>'}}
  %0 = moe.combine_rows %r tokens(%to, %tr) outs(%i : tensor<4x4xf32>)
      : tensor<10x4xf32>, tensor<6xi32>, tensor<10xi32> -> tensor<4x4xf32>
  return
}

// -----

func.func @grouped_matmul_c1(%a: tensor<?x4xf32>, %o: tensor<3xi32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op needs at least one matrix}}
  %0 = "moe.grouped_matmul"(%a, %o)
      <{operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0>}> ({
  ^bb0:
    %c = arith.constant 1.0 : f32
    "moe.yield"(%c) : (f32) -> ()
  }) : (tensor<?x4xf32>, tensor<3xi32>) -> tensor<?x6xf32>
  return
}

// -----

func.func @grouped_matmul_c2_columns(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x5xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op columns of a matrix (5) must equal columns of a (4)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x5xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c2_experts(%a: tensor<?x4xf32>, %o: tensor<4xi32>,
    %b: tensor<2x6x4xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op groups of offsets (3) must equal experts of a matrix (2)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<4xi32>)
      weights(%b : tensor<2x6x4xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c2_rows(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
                                  %b: tensor<2x6x4xf32>,
                                  %b2: tensor<2x7x4xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op rows of a matrix (7) must equal rows of the first matrix (6)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b, %b2 : tensor<2x6x4xf32>, tensor<2x7x4xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32, %y: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c3_number(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %c: tensor<2x6xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op needs no bias or one for each matrix, got 2}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) biases(%c, %c : tensor<2x6xf32>, tensor<2x6xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c3_columns(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %c: tensor<2x5xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op columns of a bias (5) must equal rows of its matrix (6)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) biases(%c : tensor<2x5xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c3_experts(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %c: tensor<3x6xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op experts of a bias (3) must equal experts of its matrix (2)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) biases(%c : tensor<3x6xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c4_number(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %t: tensor<?xi32>, %out: tensor<?x6xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op scatter needs row_token (i32) and row_weight (f32)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) scatter(%t : tensor<?xi32>)
      outs(%out : tensor<?x6xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c4_order(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %t: tensor<?xi32>,
    %w: tensor<?xf32>, %out: tensor<?x6xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op scatter needs row_token (i32) and row_weight (f32)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) scatter(%w, %t : tensor<?xf32>, tensor<?xi32>)
      outs(%out : tensor<?x6xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c4_destination(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %t: tensor<?xi32>, %w: tensor<?xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op scatter needs a destination}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) scatter(%t, %w : tensor<?xi32>, tensor<?xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c4_length(%a: tensor<10x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %t: tensor<9xi32>,
    %w: tensor<?xf32>, %out: tensor<?x6xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op length of scatter (9) must equal rows (10)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) scatter(%t, %w : tensor<9xi32>, tensor<?xf32>)
      outs(%out : tensor<?x6xf32>)
      : tensor<10x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c4_gather_length(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %g: tensor<10xi32>, %t: tensor<?xi32>,
    %w: tensor<11xf32>, %out: tensor<?x6xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op length of scatter (11) must equal rows (10)}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) gather(%g : tensor<10xi32>)
      scatter(%t, %w : tensor<?xi32>, tensor<11xf32>)
      outs(%out : tensor<?x6xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_gather_rows(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %t: tensor<9xi32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op result 0 must be 'tensor<9x6xf32>', got 'tensor<10x6xf32>'}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) gather(%t : tensor<9xi32>)
      : tensor<?x4xf32> -> tensor<10x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c6(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
                             %b: tensor<2x6x4xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op result 0 must be 'tensor<?x6xf32>', got 'tensor<?x6xi32>'}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) : tensor<?x4xf32> -> tensor<?x6xi32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c6_scatter(%a: tensor<?x4xbf16>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>, %t: tensor<?xi32>, %w: tensor<?xf32>,
    %out: tensor<?x6xf16>) {
  // expected-error@+1 {{'moe.grouped_matmul' op result 0 must be 'tensor<?x6xf32>', got 'tensor<?x6xf16>'}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>) scatter(%t, %w : tensor<?xi32>, tensor<?xf32>)
      outs(%out : tensor<?x6xf16>)
      : tensor<?x4xbf16> -> tensor<?x6xf16> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c5_number(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op epilogue must take one f32 for each of the 1 matrices, got ('f32', 'f32')}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32, %y: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c5_type(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op epilogue must take one f32 for each of the 1 matrices, got ('f64')}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f64):
    %0 = arith.truncf %x : f64 to f32
    moe.yield %0 : f32
  }
  return
}

// -----

func.func @grouped_matmul_c5_yield(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>) {
  // expected-error@+1 {{'moe.grouped_matmul' op epilogue must yield f32}}
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    %1 = arith.extf %x : f32 to f64
    moe.yield %1 : f64
  }
  return
}

// -----

func.func @grouped_matmul_c5_elementwise(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>) {
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    // expected-error@+1 {{'tensor.from_elements' op is not elementwise on scalars, so it cannot be in an epilogue}}
    %1 = tensor.from_elements %x : tensor<1xf32>
    moe.yield %x : f32
  }
  return
}

// -----

func.func @grouped_matmul_c5_scalar(%a: tensor<?x4xf32>, %o: tensor<3xi32>,
    %b: tensor<2x6x4xf32>) {
  %0 = moe.grouped_matmul %a groups(%o : tensor<3xi32>)
      weights(%b : tensor<2x6x4xf32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    // expected-error@+1 {{'arith.constant' op is not elementwise on scalars, so it cannot be in an epilogue}}
    %1 = arith.constant dense<1.0> : tensor<4xf32>
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c1_width(%a: tensor<?x4xf32>, %b: tensor<1x1x4x16xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op weights 'tensor<1x1x4x16xf32>' do not fit}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      : tensor<?x4xf32>, tensor<1x1x4x16xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c1_panels(%a: tensor<?x4xf32>, %b: tensor<1x2x4x8xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op weights 'tensor<1x2x4x8xf32>' do not fit}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      : tensor<?x4xf32>, tensor<1x2x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c2(%a: tensor<?x4xf32>, %b: tensor<1x1x5x8xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op rows of a panel (5) must equal columns of a (4)}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      : tensor<?x4xf32>, tensor<1x1x5x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c3(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op tile_rows must be in [1, 64], got 0}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 0
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c3_large(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op tile_rows must be in [1, 64], got 65}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 65
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c4_count(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %l: tensor<?x4xi32>) {
  // expected-error@+1 {{'moe.packed_matmul' op tiles needs the list and the count}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      tiles(%l : tensor<?x4xi32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c4_order(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %l: tensor<?x4xi32>, %n: tensor<1xi32>) {
  // expected-error@+1 {{'moe.packed_matmul' op tiles needs the list and the count}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      tiles(%n, %l : tensor<1xi32>, tensor<?x4xi32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c4_columns(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %l: tensor<?x3xi32>, %n: tensor<1xi32>) {
  // expected-error@+1 {{'moe.packed_matmul' op columns of tiles (3) must equal four (4)}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      tiles(%l, %n : tensor<?x3xi32>, tensor<1xi32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c4_length(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %l: tensor<?x4xi32>, %n: tensor<2xi32>) {
  // expected-error@+1 {{'moe.packed_matmul' op length of the count (2) must equal one (1)}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      tiles(%l, %n : tensor<?x4xi32>, tensor<2xi32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c4_groups(%a: tensor<?x4xf32>, %b: tensor<2x1x4x8xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op several groups need tiles}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      : tensor<?x4xf32>, tensor<2x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c4_accumulate(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op accumulate needs a destination and no scatter}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6 accumulate
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c5_number(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %c: tensor<1x6xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op needs no bias or one for each matrix, got 2}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      biases(%c, %c : tensor<1x6xf32>, tensor<1x6xf32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c5_columns(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %c: tensor<1x5xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op columns of a bias (5) must equal columns of the panels (6)}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      biases(%c : tensor<1x5xf32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c5_groups(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %c: tensor<2x6xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op groups of a bias (2) must equal groups of the weights (1)}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      biases(%c : tensor<2x6xf32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c6(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>,
    %t: tensor<?xi32>, %w: tensor<?xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op scatter needs a destination}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      scatter(%t, %w : tensor<?xi32>, tensor<?xf32>)
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @packed_matmul_c7(%a: tensor<?x4xf32>, %b: tensor<1x1x4x8xf32>) {
  // expected-error@+1 {{'moe.packed_matmul' op epilogue must take one f32 for each of the 1 matrices, got ('f32', 'f32')}}
  %0 = moe.packed_matmul %a, %b
      panels<columns = 6, parts = 1, lanes = 8, vectors = 1> tile_rows = 6
      : tensor<?x4xf32>, tensor<1x1x4x8xf32> -> tensor<?x6xf32> {
  ^bb0(%x: f32, %y: f32):
    moe.yield %x : f32
  }
  return
}

// -----

func.func @parallel_c1(%n: index) {
  // expected-error@+1 {{'moe.parallel' op body must take two indices, got ('index')}}
  "moe.parallel"(%n) ({
  ^bb0(%begin: index):
    "moe.end"() : () -> ()
  }) : (index) -> ()
  return
}

// -----

// expected-error@+1 {{moe.shape must be an array}}
func.func private @shape_array(tensor<?xf32> {moe.shape = "T"})

// -----

// expected-error@+1 {{moe.shape must hold sizes and symbols, got 1.000000e+00}}
func.func private @shape_entry(tensor<?xf32> {moe.shape = [1.0]})

// -----

// expected-error@+1 {{moe.shape must hold sizes and symbols, got -1}}
func.func private @shape_negative(tensor<?xf32> {moe.shape = [-1]})

// -----

// expected-error@+1 {{moe.shape must hold sizes and symbols, got 18446744073709551621}}
func.func private @shape_large(tensor<?xf32> {moe.shape = [18446744073709551621 : i128]})

// -----

// expected-error@+1 {{moe.shape ["T"] does not describe}}
func.func private @shape_rank(tensor<?x?xf32> {moe.shape = ["T"]})

// -----

// expected-error@+1 {{moe.shape ["T"] does not describe 'index'}}
func.func private @shape_type(index {moe.shape = ["T"]})

// -----

// expected-error@+1 {{moe.name must be a string, got 1}}
func.func private @name(tensor<?xf32> {moe.name = 1})

// -----

// expected-error@+1 {{moe.limit must be an integer, got "V"}}
func.func private @limit(tensor<?xi64> {moe.limit = "V"})

// -----

// expected-error@+1 {{moe.state must be a unit attribute, got 1}}
func.func private @state(tensor<?xf32> {moe.state = 1})

// -----

// expected-error@+1 {{moe.lengths must be a unit attribute, got 1}}
func.func private @lengths(tensor<?xi64> {moe.lengths = 1})

// -----

// expected-error@+1 {{moe.optional must be a unit attribute, got 1}}
func.func private @optional() -> (tensor<?xf32> {moe.optional = 1})

// -----

// expected-error@+1 {{moe.count must be a string, got 1}}
func.func private @count() -> (tensor<?xf32> {moe.count = 1})

// -----

// expected-error@+1 {{moe.optional is not an attribute of an argument}}
func.func private @optional_argument(tensor<?xf32> {moe.optional})

// -----

// expected-error@+1 {{moe.state is not an attribute of a result}}
func.func private @state_result() -> (tensor<?xf32> {moe.state})

// -----

// expected-error@+1 {{moe.nmae is not an attribute of an argument}}
func.func private @unknown(tensor<?xf32> {moe.nmae = "x"})

// -----

// expected-error@+1 {{moe.model has an unknown name or a wrong value}}
module attributes {moe.model = 1} {}

// -----

// expected-error@+1 {{moe.vocab has an unknown name or a wrong value}}
module attributes {moe.vocab = 1} {}

// -----

// expected-error@+1 {{moe.model is not an attribute of func.func}}
func.func private @operation_attribute() attributes {moe.model = "mixtral"}

// -----

// expected-error@+1 {{moe.resident_blocks must be a number of blocks as i32, 1 to 32}}
func.func private @no_resident_blocks() attributes {moe.resident_blocks = 0 : i32}

// -----

// expected-error@+1 {{moe.resident_blocks must be a number of blocks as i32, 1 to 32}}
func.func private @many_resident_blocks() attributes {moe.resident_blocks = 33 : i32}

// -----

// expected-error@+1 {{moe.resident_blocks must be a number of blocks as i32, 1 to 32}}
func.func private @wide_resident_blocks() attributes {moe.resident_blocks = 1 : i64}

// -----

// expected-error@+1 {{moe.dynamic_shared must be a number of bytes as i32}}
func.func private @dynamic_shared() attributes {moe.dynamic_shared = -1 : i32}

// -----

// expected-error@+1 {{moe.overlaps must be a unit attribute}}
func.func private @overlaps() attributes {moe.overlaps = 1 : i32}

// -----

// expected-error@+1 {{moe.unordered must be a unit attribute}}
func.func private @unordered() attributes {moe.unordered = true}
