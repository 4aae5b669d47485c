// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-narrow-operands="type=f16"
// RUN: not moe-opt %s --moe-narrow-operands="type=f8" 2>&1 | FileCheck %s
// CHECK: error: no narrow type 'f8', expected bf16 or f16

moe.parameter @experts.up.weight : tensor<2x6x4xbf16> from [#moe.source<"up", tensor<2x6x4xbf16>, first = 0, count = 2, part = 0>]
func.func private @body(%x: tensor<?x4xf32>, %t: tensor<?xi32>,
                        %o: tensor<3xi32>, %w: tensor<2x6x4xbf16>)
    -> tensor<?x6xf32> {
  // expected-error@+1 {{'moe.grouped_matmul' op cannot multiply in 'f16': parameter 'experts.up.weight' is 'tensor<2x6x4xbf16>', expected elements of 'f16'}}
  %h = moe.grouped_matmul %x groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xbf16>) gather(%t : tensor<?xi32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    moe.yield %a : f32
  }
  return %h : tensor<?x6xf32>
}
func.func @main(%x: tensor<?x4xf32>, %t: tensor<?xi32>, %o: tensor<3xi32>)
    -> tensor<?x6xf32> {
  %w = moe.parameter_ref @experts.up.weight : tensor<2x6x4xbf16>
  %h = call @body(%x, %t, %o, %w)
      : (tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32>, tensor<2x6x4xbf16>)
      -> tensor<?x6xf32>
  return %h : tensor<?x6xf32>
}

// -----

func.func @no_parameter(%x: tensor<?x4xf32>, %w: tensor<4x4xf32>)
    -> tensor<?x4xf32> {
  // expected-error@+1 {{'nn.linear' op cannot multiply in 'f16': a matrix is 'tensor<4x4xf32>', expected elements of 'f16'}}
  %h = nn.linear %x, %w : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
  return %h : tensor<?x4xf32>
}
