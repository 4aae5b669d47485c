// Softmax, the best two of four experts, renormalised; SwiGLU experts.
func.func private @layer(%x: tensor<?x8xf32>, %router: tensor<4x8xf32>,
                         %gate: tensor<4x6x8xf32>, %up: tensor<4x6x8xf32>,
                         %down: tensor<4x8x6xf32>, %residual: tensor<?x8xf32>)
    -> tensor<?x8xf32> {
  %z = moe.router_logits %x, %router : tensor<?x8xf32>, tensor<4x8xf32> -> tensor<?x4xf32>
  %s = moe.score softmax %z : tensor<?x4xf32> -> tensor<?x4xf32>
  %i, %v = moe.top_k %s, k = 2 : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %w = moe.renormalize %v : tensor<?x2xf32> -> tensor<?x2xf32>
  %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
      -> !moe.assignment<experts = 4, max_per_token = 2>
  %y = moe.layer %x, %a outs(%residual)
      : tensor<?x8xf32>, !moe.assignment<experts = 4, max_per_token = 2>, tensor<?x8xf32>
  expert(%rows, %e, %g = %gate: tensor<4x6x8xf32>, %u = %up: tensor<4x6x8xf32>,
                    %d = %down: tensor<4x8x6xf32>) {
    %0 = nn.linear %rows, %g : tensor<?x8xf32>, tensor<6x8xf32> -> tensor<?x6xf32>
    %1 = nn.linear %rows, %u : tensor<?x8xf32>, tensor<6x8xf32> -> tensor<?x6xf32>
    %2 = nn.silu %0 : tensor<?x6xf32>
    %3 = nn.mul %2, %1 : tensor<?x6xf32>
    %4 = nn.linear %3, %d : tensor<?x6xf32>, tensor<8x6xf32> -> tensor<?x8xf32>
    moe.yield %4 : tensor<?x8xf32>
  }
  return %y : tensor<?x8xf32>
}
