// A layer that is routed by the plugin's policy, as moe-compile takes it.
moe.parameter @router : tensor<4x8xf32> from [
    #moe.source<"router", tensor<4x8xf32>, first = 0, count = 4, part = 0>]
moe.parameter @up : tensor<4x8x8xf32> from [
    #moe.source<"up", tensor<4x8x8xf32>, first = 0, count = 4, part = 0>]
func.func @layer(
    %x: tensor<?x8xf32> {moe.name = "hidden_states", moe.shape = ["T", 8]})
    -> (tensor<?x8xf32> {moe.name = "output", moe.shape = ["T", 8]}) {
  %router = moe.parameter_ref @router : tensor<4x8xf32>
  %up = moe.parameter_ref @up : tensor<4x8x8xf32>
  %z = moe.router_logits %x, %router
      : tensor<?x8xf32>, tensor<4x8xf32> -> tensor<?x4xf32>
  %i, %w = tempered.top_k %z, k = 2, temperature = 0.5
      : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
      -> !moe.assignment<experts = 4, max_per_token = 2>
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x8xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty(%t) : tensor<?x8xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x8xf32>)
      -> tensor<?x8xf32>
  %y = moe.layer %x, %a outs(%init)
      : tensor<?x8xf32>, !moe.assignment<experts = 4, max_per_token = 2>,
        tensor<?x8xf32>
  expert(%rows, %e, %u = %up: tensor<4x8x8xf32>) {
    %0 = nn.linear %rows, %u
        : tensor<?x8xf32>, tensor<8x8xf32> -> tensor<?x8xf32>
    %1 = nn.silu %0 : tensor<?x8xf32>
    moe.yield %1 : tensor<?x8xf32>
  }
  return %y : tensor<?x8xf32>
}
