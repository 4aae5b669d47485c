module attributes {moe.model = "mlir"} {
  moe.parameter @w : tensor<5x3xf32> from [
      #moe.source<"w", tensor<5x3xf32>, first = 0, count = 5, part = 0>]
  func.func @layer(%x: tensor<?x3xf32> {moe.name = "x", moe.shape = ["T", 3]})
      -> (tensor<?x5xf32> {moe.name = "y", moe.shape = ["T", 5]}) {
    %w = moe.parameter_ref @w : tensor<5x3xf32>
    %y = nn.linear %x, %w
        : tensor<?x3xf32>, tensor<5x3xf32> -> tensor<?x5xf32>
    return %y : tensor<?x5xf32>
  }
}
