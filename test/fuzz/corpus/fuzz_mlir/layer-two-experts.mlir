module attributes {moe.model = "moe_layer"} {
  moe.parameter @router.weight : tensor<2x10xf32> from [#moe.source<"router.weight", tensor<2x10xf32>, first = 0, count = 2, part = 0>]
  moe.parameter @experts.gate.weight : tensor<2x7x10xf32> from [#moe.source<"experts.0.gate.weight", tensor<7x10xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.gate.weight", tensor<7x10xf32>, first = 1, count = 1, part = 0>]
  moe.parameter @experts.up.weight : tensor<2x7x10xf32> from [#moe.source<"experts.0.up.weight", tensor<7x10xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.up.weight", tensor<7x10xf32>, first = 1, count = 1, part = 0>]
  moe.parameter @experts.down.weight : tensor<2x10x7xf32> from [#moe.source<"experts.0.down.weight", tensor<10x7xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.down.weight", tensor<10x7xf32>, first = 1, count = 1, part = 0>]
  func.func @layer(%arg0: tensor<?x10xf32> {moe.name = "hidden_states", moe.shape = ["T", 10]}) -> (tensor<?x10xf32> {moe.name = "output", moe.shape = ["T", 10]}, tensor<?xi64> {moe.count = "num_entries", moe.name = "token_index", moe.optional, moe.shape = ["2*T"]}, tensor<?xi64> {moe.count = "num_entries", moe.name = "expert_index", moe.optional, moe.shape = ["2*T"]}, tensor<?xf32> {moe.count = "num_entries", moe.name = "expert_weight", moe.optional, moe.shape = ["2*T"]}, tensor<1xi64> {moe.name = "num_entries", moe.optional, moe.shape = [1]}) {
    %0 = moe.parameter_ref @router.weight : tensor<2x10xf32>
    %1 = moe.router_logits %arg0, %0 : tensor<?x10xf32>, tensor<2x10xf32> -> tensor<?x2xf32>
    %2 = moe.score softmax %1 : tensor<?x2xf32> -> tensor<?x2xf32>
    %3:2 = moe.top_k %2, k = 2 : tensor<?x2xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
    %4 = moe.renormalize %3#1 : tensor<?x2xf32> -> tensor<?x2xf32>
    %5 = moe.assign %3#0, %4 : tensor<?x2xi32>, tensor<?x2xf32> -> !moe.assignment<experts = 2, max_per_token = 2>
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x10xf32>
    %6 = tensor.empty(%dim) : tensor<?x10xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %7 = linalg.fill ins(%cst : f32) outs(%6 : tensor<?x10xf32>) -> tensor<?x10xf32>
    %8 = moe.parameter_ref @experts.gate.weight : tensor<2x7x10xf32>
    %9 = moe.parameter_ref @experts.up.weight : tensor<2x7x10xf32>
    %10 = moe.parameter_ref @experts.down.weight : tensor<2x10x7xf32>
    %11 = moe.layer %arg0, %5 outs(%7) : tensor<?x10xf32>, !moe.assignment<experts = 2, max_per_token = 2>, tensor<?x10xf32>
    expert(%arg1, %arg2, %arg3 = %8: tensor<2x7x10xf32>, %arg4 = %9: tensor<2x7x10xf32>, %arg5 = %10: tensor<2x10x7xf32>) {
      %12 = nn.linear %arg1, %arg3 : tensor<?x10xf32>, tensor<7x10xf32> -> tensor<?x7xf32>
      %13 = nn.linear %arg1, %arg4 : tensor<?x10xf32>, tensor<7x10xf32> -> tensor<?x7xf32>
      %14 = nn.silu %12 : tensor<?x7xf32>
      %15 = nn.mul %14, %13 : tensor<?x7xf32>
      %16 = nn.linear %15, %arg5 : tensor<?x7xf32>, tensor<10x7xf32> -> tensor<?x10xf32>
      moe.yield %16 : tensor<?x10xf32>
    }
    %token_index, %expert_index, %expert_weight, %count = moe.assignment_entries %5 : !moe.assignment<experts = 2, max_per_token = 2> -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
    return %11, %token_index, %expert_index, %expert_weight, %count : tensor<?x10xf32>, tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  }
}
