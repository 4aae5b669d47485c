// Temperature 0 makes every logit equal, so both weights are 1/2 exactly. The
// weight matrices are I and 2 I: y = 1/2 * x + 1/2 * 2 x = 1.5 x.
// CHECK-LABEL: func @main
// CHECK-NOT:     tempered.
// CHECK:         %[[Z:.+]] = moe.scale %{{.+}} by 0.000000e+00
// CHECK:         %[[S:.+]] = moe.score softmax %[[Z]]
// CHECK:         %[[K:.+]]:2 = moe.top_k %[[S]], k = 2
// CHECK:         %[[W:.+]] = moe.renormalize %[[K]]#1
// CHECK:         moe.assign %[[K]]#0, %[[W]]
// CHECK:         moe.dispatch

// ROUND:         tempered.top_k %{{.+}}, k = 2, temperature = 0.000000e+00 : tensor<1x2xf32> -> tensor<1x2xi32>, tensor<1x2xf32>

// VALUE:         dense<{{\[\[}}6.000000e+00, 1.200000e+01]]> : tensor<1x2xf32>
// VALUE-NEXT:    return
func.func @main() -> tensor<1x2xf32> {
  %x = arith.constant dense<[[4.0, 8.0]]> : tensor<1x2xf32>
  %zero = arith.constant dense<0.0> : tensor<1x2xf32>
  %z = arith.constant dense<[[0.0, 1.0]]> : tensor<1x2xf32>
  %up = arith.constant dense<[[[1.0, 0.0], [0.0, 1.0]],
                              [[2.0, 0.0], [0.0, 2.0]]]> : tensor<2x2x2xf32>
  // expected-remark@+1 {{[Passed] tempered.top_k | Category:moe-expand-routing | MaxExpertsPerToken=2}}
  %i, %w = tempered.top_k %z, k = 2, temperature = 0.0
      : tensor<1x2xf32> -> tensor<1x2xi32>, tensor<1x2xf32>
  %a = moe.assign %i, %w : tensor<1x2xi32>, tensor<1x2xf32>
      -> !moe.assignment<experts = 2, max_per_token = 2>
  %y = moe.layer %x, %a outs(%zero)
      : tensor<1x2xf32>, !moe.assignment<experts = 2, max_per_token = 2>,
        tensor<1x2xf32>
  expert(%rows, %e, %u = %up: tensor<2x2x2xf32>) {
    %o = nn.linear %rows, %u
        : tensor<?x2xf32>, tensor<2x2xf32> -> tensor<?x2xf32>
    moe.yield %o : tensor<?x2xf32>
  }
  return %y : tensor<1x2xf32>
}
