// What importers do not write: an assignment that comes from a branch, one
// private layer called with several sets of weights, a layer in a loop with the
// weights on its input, an argument returned as it is.
moe.parameter @r : tensor<3x8xf32> from [#moe.source<"r", tensor<3x8xf32>, first = 0, count = 3, part = 0>]
moe.parameter @u : tensor<3x6x8xf32> from [#moe.source<"u", tensor<3x6x8xf32>, first = 0, count = 3, part = 0>]
moe.parameter @d : tensor<3x8x6xf32> from [#moe.source<"d", tensor<3x8x6xf32>, first = 0, count = 3, part = 0>]
moe.parameter @u2 : tensor<3x6x8xf32> from [#moe.source<"u2", tensor<3x6x8xf32>, first = 0, count = 3, part = 0>]
moe.parameter @d2 : tensor<3x8x6xf32> from [#moe.source<"d2", tensor<3x8x6xf32>, first = 0, count = 3, part = 0>]

func.func private @moe(%x: tensor<?x8xf32>, %u: tensor<3x6x8xf32>, %d: tensor<3x8x6xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %y = moe.layer %x, %a outs(%init) : tensor<?x8xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x8xf32>
  expert(%rows, %e, %up = %u: tensor<3x6x8xf32>, %dn = %d: tensor<3x8x6xf32>) {
    %h = nn.linear %rows, %up : tensor<?x8xf32>, tensor<6x8xf32> -> tensor<?x6xf32>
    %s = nn.gelu %h : tensor<?x6xf32>
    %o = nn.linear %s, %dn : tensor<?x6xf32>, tensor<8x6xf32> -> tensor<?x8xf32>
    moe.yield %o : tensor<?x8xf32>
  }
  return %y : tensor<?x8xf32>
}
func.func @branches(%x: tensor<?x8xf32> {moe.name="x", moe.shape=["T",8]}) -> (tensor<?x8xf32> {moe.name="y", moe.shape=["T",8]}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = moe.parameter_ref @r : tensor<3x8xf32>
  %u = moe.parameter_ref @u : tensor<3x6x8xf32>
  %d = moe.parameter_ref @d : tensor<3x8x6xf32>
  %u2 = moe.parameter_ref @u2 : tensor<3x6x8xf32>
  %d2 = moe.parameter_ref @d2 : tensor<3x8x6xf32>
  %z = moe.router_logits %x, %r : tensor<?x8xf32>, tensor<3x8xf32> -> tensor<?x3xf32>
  %i, %v = moe.top_k %z, k = 2 : tensor<?x3xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %many = arith.cmpi ugt, %n, %c1 : index
  %a = scf.if %many -> !moe.assignment<experts = 3, max_per_token = 2> {
    %w = moe.renormalize %v : tensor<?x2xf32> -> tensor<?x2xf32>
    %b = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32> -> !moe.assignment<experts = 3, max_per_token = 2>
    scf.yield %b : !moe.assignment<experts = 3, max_per_token = 2>
  } else {
    %b = moe.assign %i, %v : tensor<?x2xi32>, tensor<?x2xf32> -> !moe.assignment<experts = 3, max_per_token = 2>
    scf.yield %b : !moe.assignment<experts = 3, max_per_token = 2>
  }
  %y1 = call @moe(%x, %u, %d, %a, %x) : (tensor<?x8xf32>, tensor<3x6x8xf32>, tensor<3x8x6xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y2 = call @moe(%y1, %u2, %d2, %a, %x) : (tensor<?x8xf32>, tensor<3x6x8xf32>, tensor<3x8x6xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y3 = call @moe(%y2, %u2, %d, %a, %y1) : (tensor<?x8xf32>, tensor<3x6x8xf32>, tensor<3x8x6xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y3 : tensor<?x8xf32>
}

func.func @loop(%x: tensor<?x8xf32> {moe.name="x", moe.shape=["T",8]}) -> (tensor<?x8xf32> {moe.name="y", moe.shape=["T",8]}, tensor<?x8xf32> {moe.name="x2", moe.shape=["T",8]}, tensor<?x3xf32> {moe.name="lg", moe.shape=["T",3], moe.optional}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %r = moe.parameter_ref @r : tensor<3x8xf32>
  %u = moe.parameter_ref @u : tensor<3x6x8xf32>
  %d = moe.parameter_ref @d : tensor<3x8x6xf32>
  %z = moe.router_logits %x, %r : tensor<?x8xf32>, tensor<3x8xf32> -> tensor<?x3xf32>
  %y = scf.for %k = %c0 to %c3 step %c1 iter_args(%acc = %x) -> tensor<?x8xf32> {
    %zz = moe.router_logits %acc, %r : tensor<?x8xf32>, tensor<3x8xf32> -> tensor<?x3xf32>
    %sc = moe.score sigmoid %zz : tensor<?x3xf32> -> tensor<?x3xf32>
    %i, %v = moe.top_k %sc, k = 2 : tensor<?x3xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
    %a = moe.assign %i, %v : tensor<?x2xi32>, tensor<?x2xf32> -> !moe.assignment<experts = 3, max_per_token = 2>
    %y = moe.layer %acc, %a outs(%acc) apply = input : tensor<?x8xf32>, !moe.assignment<experts = 3, max_per_token = 2>, tensor<?x8xf32>
    expert(%rows, %e, %up = %u: tensor<3x6x8xf32>, %dn = %d: tensor<3x8x6xf32>) {
      %h = nn.linear %rows, %up : tensor<?x8xf32>, tensor<6x8xf32> -> tensor<?x6xf32>
      %s0 = arith.mulf %h, %h : tensor<?x6xf32>
      %s1 = math.exp %s0 : tensor<?x6xf32>
      %s2 = arith.minimumf %s1, %h : tensor<?x6xf32>
      %o = nn.linear %s2, %dn : tensor<?x6xf32>, tensor<8x6xf32> -> tensor<?x8xf32>
      moe.yield %o : tensor<?x8xf32>
    }
    scf.yield %y : tensor<?x8xf32>
  }
  return %y, %x, %z : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x3xf32>
}
