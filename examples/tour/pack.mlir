// Gate and up of two experts as parameters: two checkpoint tensors, bf16.
moe.parameter @gate : tensor<2x6x4xbf16> from [
    #moe.source<"gate", tensor<2x6x4xbf16>, first = 0, count = 2, part = 0>]
moe.parameter @up : tensor<2x6x4xbf16> from [
    #moe.source<"up", tensor<2x6x4xbf16>, first = 0, count = 2, part = 0>]
func.func private @f(%x: tensor<?x4xf32>, %offsets: tensor<3xi32>) -> tensor<?x6xf32> {
  %g = moe.parameter_ref @gate : tensor<2x6x4xbf16>
  %u = moe.parameter_ref @up : tensor<2x6x4xbf16>
  %h = moe.grouped_matmul %x groups(%offsets : tensor<3xi32>)
      weights(%g, %u : tensor<2x6x4xbf16>, tensor<2x6x4xbf16>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%a: f32, %b: f32):
    %0 = nn.silu %a : f32
    %1 = nn.mul %0, %b : f32
    moe.yield %1 : f32
  }
  return %h : tensor<?x6xf32>
}
