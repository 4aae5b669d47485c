// RUN: moe-opt %s --moe-expand-routing | FileCheck %s
// RUN: moe-opt %s --moe-expand-routing --remarks-filter='moe-.*' --remark-format=emitRemark --verify-diagnostics

// The stage ops of the moe dialect are what policies are expanded to: they
// stay, without a word. Policies of other dialects: test/Plugin.
// CHECK-LABEL: func @stages_stay
// CHECK:         moe.top_k %{{.+}}, k = 2
func.func @stages_stay(%s: tensor<?x8xf32>)
    -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %i, %w = moe.top_k %s, k = 2
      : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
}
