module attributes {moe.model = "moe_layer"} {
  moe.parameter @router.weight : tensor<8x16xf32> from [#moe.source<"router.weight", tensor<8x16xf32>, first = 0, count = 8, part = 0>]
  moe.parameter @router.select_bias : tensor<8xf32> from [#moe.source<"router.select_bias", tensor<8xf32>, first = 0, count = 8, part = 0>]
  moe.parameter @experts.gate.weight : tensor<8x8x16xf32> from [#moe.source<"experts.0.gate.weight", tensor<8x16xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.gate.weight", tensor<8x16xf32>, first = 1, count = 1, part = 0>, #moe.source<"experts.2.gate.weight", tensor<8x16xf32>, first = 2, count = 1, part = 0>, #moe.source<"experts.3.gate.weight", tensor<8x16xf32>, first = 3, count = 1, part = 0>, #moe.source<"experts.4.gate.weight", tensor<8x16xf32>, first = 4, count = 1, part = 0>, #moe.source<"experts.5.gate.weight", tensor<8x16xf32>, first = 5, count = 1, part = 0>, #moe.source<"experts.6.gate.weight", tensor<8x16xf32>, first = 6, count = 1, part = 0>, #moe.source<"experts.7.gate.weight", tensor<8x16xf32>, first = 7, count = 1, part = 0>]
  moe.parameter @experts.up.weight : tensor<8x8x16xf32> from [#moe.source<"experts.0.up.weight", tensor<8x16xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.up.weight", tensor<8x16xf32>, first = 1, count = 1, part = 0>, #moe.source<"experts.2.up.weight", tensor<8x16xf32>, first = 2, count = 1, part = 0>, #moe.source<"experts.3.up.weight", tensor<8x16xf32>, first = 3, count = 1, part = 0>, #moe.source<"experts.4.up.weight", tensor<8x16xf32>, first = 4, count = 1, part = 0>, #moe.source<"experts.5.up.weight", tensor<8x16xf32>, first = 5, count = 1, part = 0>, #moe.source<"experts.6.up.weight", tensor<8x16xf32>, first = 6, count = 1, part = 0>, #moe.source<"experts.7.up.weight", tensor<8x16xf32>, first = 7, count = 1, part = 0>]
  moe.parameter @experts.down.weight : tensor<8x16x8xf32> from [#moe.source<"experts.0.down.weight", tensor<16x8xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.down.weight", tensor<16x8xf32>, first = 1, count = 1, part = 0>, #moe.source<"experts.2.down.weight", tensor<16x8xf32>, first = 2, count = 1, part = 0>, #moe.source<"experts.3.down.weight", tensor<16x8xf32>, first = 3, count = 1, part = 0>, #moe.source<"experts.4.down.weight", tensor<16x8xf32>, first = 4, count = 1, part = 0>, #moe.source<"experts.5.down.weight", tensor<16x8xf32>, first = 5, count = 1, part = 0>, #moe.source<"experts.6.down.weight", tensor<16x8xf32>, first = 6, count = 1, part = 0>, #moe.source<"experts.7.down.weight", tensor<16x8xf32>, first = 7, count = 1, part = 0>]
  func.func @layer(%arg0: tensor<?x16xf32> {moe.name = "hidden_states", moe.shape = ["T", 16]}) -> (tensor<?x16xf32> {moe.name = "output", moe.shape = ["T", 16]}, tensor<?xi64> {moe.count = "num_entries", moe.name = "token_index", moe.optional, moe.shape = ["3*T"]}, tensor<?xi64> {moe.count = "num_entries", moe.name = "expert_index", moe.optional, moe.shape = ["3*T"]}, tensor<?xf32> {moe.count = "num_entries", moe.name = "expert_weight", moe.optional, moe.shape = ["3*T"]}, tensor<1xi64> {moe.name = "num_entries", moe.optional, moe.shape = [1]}) {
    %0 = moe.parameter_ref @router.weight : tensor<8x16xf32>
    %1 = moe.router_logits %arg0, %0 : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
    %2 = moe.score softmax %1 : tensor<?x8xf32> -> tensor<?x8xf32>
    %3 = moe.parameter_ref @router.select_bias : tensor<8xf32>
    %4 = moe.add_selection_bias %2, %3 : tensor<?x8xf32>, tensor<8xf32> -> tensor<?x8xf32>
    %5:2 = moe.top_k %4, k = 3 : tensor<?x8xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
    %6 = moe.take %2, %5#0 : tensor<?x8xf32>, tensor<?x3xi32> -> tensor<?x3xf32>
    %7 = moe.renormalize %6 {floor = 9.9999999999999998E-13 : f64} : tensor<?x3xf32> -> tensor<?x3xf32>
    %8 = moe.assign %5#0, %7 : tensor<?x3xi32>, tensor<?x3xf32> -> !moe.assignment<experts = 8, max_per_token = 3>
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x16xf32>
    %9 = tensor.empty(%dim) : tensor<?x16xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %10 = linalg.fill ins(%cst : f32) outs(%9 : tensor<?x16xf32>) -> tensor<?x16xf32>
    %11 = moe.parameter_ref @experts.gate.weight : tensor<8x8x16xf32>
    %12 = moe.parameter_ref @experts.up.weight : tensor<8x8x16xf32>
    %13 = moe.parameter_ref @experts.down.weight : tensor<8x16x8xf32>
    %14 = moe.layer %arg0, %8 outs(%10) : tensor<?x16xf32>, !moe.assignment<experts = 8, max_per_token = 3>, tensor<?x16xf32>
    expert(%arg1, %arg2, %arg3 = %11: tensor<8x8x16xf32>, %arg4 = %12: tensor<8x8x16xf32>, %arg5 = %13: tensor<8x16x8xf32>) {
      %15 = nn.linear %arg1, %arg3 : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
      %16 = nn.linear %arg1, %arg4 : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
      %17 = nn.silu %15 : tensor<?x8xf32>
      %18 = nn.mul %17, %16 : tensor<?x8xf32>
      %19 = nn.linear %18, %arg5 : tensor<?x8xf32>, tensor<16x8xf32> -> tensor<?x16xf32>
      moe.yield %19 : tensor<?x16xf32>
    }
    %token_index, %expert_index, %expert_weight, %count = moe.assignment_entries %8 : !moe.assignment<experts = 8, max_per_token = 3> -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
    return %14, %token_index, %expert_index, %expert_weight, %count : tensor<?x16xf32>, tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  }
}
