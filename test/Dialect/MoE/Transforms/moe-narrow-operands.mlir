// RUN: moe-opt %s --moe-narrow-operands | FileCheck %s
// RUN: moe-opt %s --moe-narrow-operands --moe-narrow-operands | FileCheck %s
// RUN: moe-opt %s --moe-narrow-operands --remarks-filter='moe-.*' --remark-format=emitRemark --verify-diagnostics

// What enters is rounded once for both products; what goes from one to the other
// is stored narrow; what leaves stays f32, and so do the scores of the router.
// CHECK-LABEL: func @layer
// CHECK-SAME:    (%[[X:.+]]: tensor<?x4xf32>, %[[T:.+]]: tensor<?xi32>
// CHECK:         %[[N:.+]] = arith.truncf %[[X]] : tensor<?x4xf32> to tensor<?x4xbf16>
// CHECK-NOT:     arith.truncf
// CHECK:         moe.router_logits %[[X]], %{{.+}} : tensor<?x4xf32>, tensor<2x4xf32> -> tensor<?x2xf32>
// CHECK:         nn.linear %[[N]], %{{.+}} : tensor<?x4xbf16>, tensor<4x4xbf16> -> tensor<?x4xf32>
// CHECK:         %[[H:.+]] = moe.grouped_matmul %[[N]] {{.+}} gather({{.+}}) : tensor<?x4xbf16> -> tensor<?x6xbf16>
// CHECK:         moe.grouped_matmul %[[H]] {{.+}} : tensor<?x6xbf16> -> tensor<?x4xf32>
func.func @layer(%x: tensor<?x4xf32>, %t: tensor<?xi32>, %o: tensor<3xi32>,
                 %r: tensor<2x4xf32>, %s: tensor<4x4xbf16>,
                 %w: tensor<2x6x4xbf16>, %v: tensor<2x4x6xbf16>)
    -> (tensor<?x2xf32>, tensor<?x4xf32>, tensor<?x4xf32>) {
  %0 = moe.router_logits %x, %r
      : tensor<?x4xf32>, tensor<2x4xf32> -> tensor<?x2xf32>
  // expected-remark@+1 {{[Passed] NarrowOperands | Category:moe-narrow-operands}}
  %1 = nn.linear %x, %s : tensor<?x4xf32>, tensor<4x4xbf16> -> tensor<?x4xf32>
  // expected-remark@+1 {{[Passed] NarrowOperands | Category:moe-narrow-operands}}
  %h = moe.grouped_matmul %x groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xbf16>) gather(%t : tensor<?xi32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    %b = nn.silu %a : f32
    moe.yield %b : f32
  }
  // expected-remark@+1 {{[Passed] NarrowOperands | Category:moe-narrow-operands}}
  %y = moe.grouped_matmul %h groups(%o : tensor<3xi32>)
      weights(%v : tensor<2x4x6xbf16>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    moe.yield %a : f32
  }
  return %0, %1, %y : tensor<?x2xf32>, tensor<?x4xf32>, tensor<?x4xf32>
}

// Another use needs f32: the product stores that, and a copy is rounded. With
// accumulate, nothing is rounded before the sum.
// CHECK-LABEL: func @other_use
// CHECK:         %[[H:.+]] = nn.linear %{{.+}} -> tensor<?x4xf32>
// CHECK:         %[[HN:.+]] = arith.truncf %[[H]]
// CHECK:         %[[Y:.+]] = nn.linear %[[HN]], %{{.+}} outs(%[[H]] : tensor<?x4xf32>) accumulate : tensor<?x4xbf16>, tensor<4x4xbf16> -> tensor<?x4xf32>
// CHECK:         %[[YN:.+]] = arith.truncf %[[Y]]
// CHECK:         nn.linear %[[YN]]
func.func @other_use(%x: tensor<?x4xf32>, %w: tensor<4x4xbf16>)
    -> tensor<?x4xf32> {
  // expected-remark@+1 {{[Passed] NarrowOperands | Category:moe-narrow-operands}}
  %h = nn.linear %x, %w : tensor<?x4xf32>, tensor<4x4xbf16> -> tensor<?x4xf32>
  // expected-remark@+1 {{[Passed] NarrowOperands | Category:moe-narrow-operands}}
  %y = nn.linear %h, %w outs(%h : tensor<?x4xf32>) accumulate
      : tensor<?x4xf32>, tensor<4x4xbf16> -> tensor<?x4xf32>
  // expected-remark@+1 {{[Passed] NarrowOperands | Category:moe-narrow-operands}}
  %z = nn.linear %y, %w : tensor<?x4xf32>, tensor<4x4xbf16> -> tensor<?x4xf32>
  return %z : tensor<?x4xf32>
}

// CHECK-LABEL: func @undefined_rows
// CHECK-NOT:     arith.truncf
// CHECK:         moe.grouped_matmul %{{.+}} : tensor<?x4xf32> -> tensor<?x6xf32>
func.func @undefined_rows(%x: tensor<?x4xf32>, %o: tensor<3xi32>,
                          %w: tensor<2x6x4xbf16>) -> tensor<?x6xf32> {
  // expected-remark@+1 {{[Missed] NarrowOperands | Category:moe-narrow-operands | Reason="rows behind those of all experts are undefined"}}
  %h = moe.grouped_matmul %x groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xbf16>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    moe.yield %a : f32
  }
  return %h : tensor<?x6xf32>
}
