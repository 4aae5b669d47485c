// RUN: moe-opt %s --split-input-file --moe-group-matmuls --verify-diagnostics
// RUN: moe-opt %s --split-input-file --moe-group-matmuls=fuse=false --verify-diagnostics

// Nothing could lower an expert that stays, so each form that is not a chain
// of products is an error that says why.

func.func @several_kinds(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>)
    -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has experts of 2 kinds, only one kind can be lowered}}
  %y = moe.experts %rows groups(%offsets) kinds = [0, 1]
      : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e) {
    moe.yield %r : tensor<?x4xf32>
  }
  expert(%r, %e) {
    moe.yield %r : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @no_linear(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: it has no nn.linear}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    // expected-note@+1 {{here}}
    moe.yield %r : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @elementwise_on_rows(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: an elementwise op reads the rows directly}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    // expected-note@+1 {{here}}
    %0 = nn.relu %r : tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

// The gate multiplies the rows themselves: there is no second product to meet.
func.func @gated_rows(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: an elementwise op reads the rows directly}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %s : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    // expected-note@+1 {{here}}
    %1 = nn.mul %0, %r : tensor<?x4xf32>
    moe.yield %1 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @elementwise_before_linear(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: an elementwise op reads the rows directly}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    // expected-note@+1 {{here}}
    %0 = nn.relu %r : tensor<?x4xf32>
    %1 = nn.linear %0, %s
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %1 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @skip_connection(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: linears of different inputs meet}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %s : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    // expected-note@+1 {{here}}
    %1 = nn.linear %0, %s
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %2 = nn.add %1, %0 : tensor<?x4xf32>
    moe.yield %2 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @index(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: the index or a weight is read as a value}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %s : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    // expected-note@+1 {{here}}
    %i = arith.index_cast %e : index to i32
    %c = arith.trunci %i : i32 to i1
    %1 = nn.relu %0 : tensor<?x4xf32>
    %2 = arith.select %c, %0, %1 : tensor<?x4xf32>
    moe.yield %2 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @other_op(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: an op is neither nn.linear nor elementwise}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %s : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    // expected-note@+1 {{here}}
    %1 = moe.renormalize %0 : tensor<?x4xf32> -> tensor<?x4xf32>
    moe.yield %1 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @input_of_other_op(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: an op is neither nn.linear nor elementwise}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    // expected-note@+1 {{here}}
    %0 = moe.renormalize %r : tensor<?x4xf32> -> tensor<?x4xf32>
    %1 = nn.linear %0, %s
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %1 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @two_results(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: an op is neither nn.linear nor elementwise}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %s : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %1 = arith.fptosi %0 : tensor<?x4xf32> to tensor<?x4xi32>
    // expected-note@+1 {{here}}
    %2, %3 = arith.mulsi_extended %1, %1 : tensor<?x4xi32>
    %4 = arith.sitofp %2 : tensor<?x4xi32> to tensor<?x4xf32>
    moe.yield %4 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @computed_matrix(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: a matrix is not a stacked weight of the op}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    %0 = nn.relu %s : tensor<4x4xf32>
    // expected-note@+1 {{here}}
    %1 = nn.linear %r, %0
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %1 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @computed_bias(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>, %b: tensor<2x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: a bias is not a stacked weight of the op}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>, %t = %b: tensor<2x4xf32>) {
    %0 = nn.relu %t : tensor<4xf32>
    // expected-note@+1 {{here}}
    %1 = nn.linear %r, %s bias(%0 : tensor<4xf32>)
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %1 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @weight_as_rows(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: the index or a weight is read as a value}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    // expected-note@+1 {{here}}
    %0 = nn.linear %s, %s
        : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @accumulate(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: an nn.linear accumulates}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>) {
    // expected-note@+1 {{here}}
    %0 = nn.linear %r, %s outs(%r : tensor<?x4xf32>) accumulate
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @some_biases(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
    %w: tensor<2x4x4xf32>, %b: tensor<2x4xf32>) -> tensor<?x4xf32> {
  // expected-error@+1 {{'moe.experts' op has an expert that cannot be lowered: linears with and without a bias meet}}
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %s = %w: tensor<2x4x4xf32>, %t = %b: tensor<2x4xf32>) {
    // expected-note@+1 {{here}}
    %0 = nn.linear %r, %s : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %1 = nn.linear %r, %s bias(%t : tensor<4xf32>)
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %2 = nn.mul %0, %1 : tensor<?x4xf32>
    moe.yield %2 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
