module attributes {moe.model = "moe_layer"} {
  moe.parameter @router.weight : tensor<8x16xf32> from [#moe.source<"router.weight", tensor<8x16xf32>, first = 0, count = 8, part = 0>]
  moe.parameter @experts.up.weight : tensor<8x10x16xf32> from [#moe.source<"experts.0.up.weight", tensor<10x16xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.up.weight", tensor<10x16xf32>, first = 1, count = 1, part = 0>, #moe.source<"experts.2.up.weight", tensor<10x16xf32>, first = 2, count = 1, part = 0>, #moe.source<"experts.3.up.weight", tensor<10x16xf32>, first = 3, count = 1, part = 0>, #moe.source<"experts.4.up.weight", tensor<10x16xf32>, first = 4, count = 1, part = 0>, #moe.source<"experts.5.up.weight", tensor<10x16xf32>, first = 5, count = 1, part = 0>, #moe.source<"experts.6.up.weight", tensor<10x16xf32>, first = 6, count = 1, part = 0>, #moe.source<"experts.7.up.weight", tensor<10x16xf32>, first = 7, count = 1, part = 0>]
  moe.parameter @experts.down.weight : tensor<8x16x10xf32> from [#moe.source<"experts.0.down.weight", tensor<16x10xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.down.weight", tensor<16x10xf32>, first = 1, count = 1, part = 0>, #moe.source<"experts.2.down.weight", tensor<16x10xf32>, first = 2, count = 1, part = 0>, #moe.source<"experts.3.down.weight", tensor<16x10xf32>, first = 3, count = 1, part = 0>, #moe.source<"experts.4.down.weight", tensor<16x10xf32>, first = 4, count = 1, part = 0>, #moe.source<"experts.5.down.weight", tensor<16x10xf32>, first = 5, count = 1, part = 0>, #moe.source<"experts.6.down.weight", tensor<16x10xf32>, first = 6, count = 1, part = 0>, #moe.source<"experts.7.down.weight", tensor<16x10xf32>, first = 7, count = 1, part = 0>]
  func.func @layer(%arg0: tensor<?x16xf32> {moe.name = "hidden_states", moe.shape = ["T", 16]}) -> (tensor<?x16xf32> {moe.name = "output", moe.shape = ["T", 16]}, tensor<?xi64> {moe.count = "num_entries", moe.name = "token_index", moe.optional, moe.shape = ["T"]}, tensor<?xi64> {moe.count = "num_entries", moe.name = "expert_index", moe.optional, moe.shape = ["T"]}, tensor<?xf32> {moe.count = "num_entries", moe.name = "expert_weight", moe.optional, moe.shape = ["T"]}, tensor<1xi64> {moe.name = "num_entries", moe.optional, moe.shape = [1]}) {
    %0 = moe.parameter_ref @router.weight : tensor<8x16xf32>
    %1 = moe.router_logits %arg0, %0 : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
    %2 = moe.score sigmoid %1 : tensor<?x8xf32> -> tensor<?x8xf32>
    %3:2 = moe.top_k %2, k = 1 : tensor<?x8xf32> -> tensor<?x1xi32>, tensor<?x1xf32>
    %4 = moe.assign %3#0, %3#1 : tensor<?x1xi32>, tensor<?x1xf32> -> !moe.assignment<experts = 8, max_per_token = 1>
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x16xf32>
    %5 = tensor.empty(%dim) : tensor<?x16xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %6 = linalg.fill ins(%cst : f32) outs(%5 : tensor<?x16xf32>) -> tensor<?x16xf32>
    %7 = moe.parameter_ref @experts.up.weight : tensor<8x10x16xf32>
    %8 = moe.parameter_ref @experts.down.weight : tensor<8x16x10xf32>
    %9 = moe.layer %arg0, %4 outs(%6) : tensor<?x16xf32>, !moe.assignment<experts = 8, max_per_token = 1>, tensor<?x16xf32>
    expert(%arg1, %arg2, %arg3 = %7: tensor<8x10x16xf32>, %arg4 = %8: tensor<8x16x10xf32>) {
      %10 = nn.linear %arg1, %arg3 : tensor<?x16xf32>, tensor<10x16xf32> -> tensor<?x10xf32>
      %11 = nn.relu %10 : tensor<?x10xf32>
      %12 = nn.linear %11, %arg4 : tensor<?x10xf32>, tensor<16x10xf32> -> tensor<?x16xf32>
      moe.yield %12 : tensor<?x16xf32>
    }
    %token_index, %expert_index, %expert_weight, %count = moe.assignment_entries %4 : !moe.assignment<experts = 8, max_per_token = 1> -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
    return %9, %token_index, %expert_index, %expert_weight, %count : tensor<?x16xf32>, tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  }
}
