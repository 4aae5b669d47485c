// RUN: moe-opt %s --moe-expand-layer | FileCheck %s
// RUN: moe-opt %s --moe-expand-layer --moe-expand-layer | FileCheck %s
// RUN: moe-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize | FileCheck %s --check-prefix=SHAPE

// CHECK-LABEL: func private @identity_experts
// CHECK-SAME:    (%[[X:.+]]: tensor<?x4xf32>, %[[A:.+]]: !moe.assignment
// CHECK:         %[[ROWS:.+]], %[[OFFSETS:.+]] = moe.dispatch %[[X]], %[[A]] apply = input {{.*}} -> tensor<?x4xf32>, tensor<4xi32>
// CHECK:         %[[O:.+]] = moe.experts %[[ROWS]] groups(%[[OFFSETS]]) kinds = [0, 0, 0]
// CHECK-NEXT:    expert(%[[R:.+]], %{{.+}}) {
// CHECK-NEXT:      moe.yield %[[R]]
// CHECK:         moe.combine %[[O]], %[[A]] outs(%[[X]]) apply = input
// CHECK-NOT:     moe.layer

// SHAPE-LABEL: func private @identity_experts
// SHAPE:         %[[T:.+]] = tensor.dim %arg0
// SHAPE:         return %{{.+}}, %[[T]]
func.func private @identity_experts(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>)
    -> (tensor<?x4xf32>, index) {
  %y = moe.layer %x, %a outs(%x) kinds = [0, 0, 0] apply = input
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
        tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  %c0 = arith.constant 0 : index
  %t = tensor.dim %y, %c0 : tensor<?x4xf32>
  return %y, %t : tensor<?x4xf32>, index
}

// Clauses keep their weights and their order; the residual is the init.
// CHECK-LABEL: func private @two_kinds
// CHECK-SAME:    (%[[X:.+]]: tensor<5x4xf32>, %[[R:.+]]: tensor<5x4xf32>, %[[A:.+]]: !moe.assignment<experts = 3, max_per_token = 2>, %[[W:.+]]: tensor<2x4x4xf32>)
// CHECK:         %[[ROWS:.+]], %[[OFFSETS:.+]] = moe.dispatch %[[X]], %[[A]] :
// CHECK:         %[[O:.+]] = moe.experts %[[ROWS]] groups(%[[OFFSETS]]) kinds = [0, 1, 0]
// CHECK-NEXT:    expert(%[[P:.+]], %{{.+}}, %[[S:.+]] = %[[W]]: tensor<2x4x4xf32>) {
// CHECK-NEXT:      nn.linear %[[P]], %[[S]]
// CHECK:         expert(%[[Q:.+]], %{{.+}}) {
// CHECK-NEXT:      moe.yield %[[Q]]
// CHECK:         %[[Y:.+]] = moe.combine %[[O]], %[[A]] outs(%[[R]]) : {{.+}} -> tensor<5x4xf32>
// CHECK-NEXT:    return %[[Y]]
func.func private @two_kinds(
    %x: tensor<5x4xf32>, %r: tensor<5x4xf32>,
    %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %w: tensor<2x4x4xf32>) -> tensor<5x4xf32> {
  %y = moe.layer %x, %a outs(%r) kinds = [0, 1, 0]
      : tensor<5x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
        tensor<5x4xf32>
  expert(%rows, %e, %s = %w: tensor<2x4x4xf32>) {
    %0 = nn.linear %rows, %s
        : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %0 : tensor<?x4xf32>
  }
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return %y : tensor<5x4xf32>
}

// The second layer reads the first: a layer inside scf.if is expanded too.
// CHECK-LABEL: func private @nested
// CHECK:         scf.if
// CHECK:           moe.dispatch
// CHECK:           moe.combine
// CHECK-NOT:     moe.layer
func.func private @nested(
    %c: i1, %x: tensor<?x4xf32>,
    %a: !moe.assignment<experts = 3, max_per_token = 2>) -> tensor<?x4xf32> {
  %r = scf.if %c -> tensor<?x4xf32> {
    %y = moe.layer %x, %a outs(%x)
        : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
          tensor<?x4xf32>
    expert(%rows, %e) {
      moe.yield %rows : tensor<?x4xf32>
    }
    scf.yield %y : tensor<?x4xf32>
  } else {
    scf.yield %x : tensor<?x4xf32>
  }
  return %r : tensor<?x4xf32>
}

// SHAPE-LABEL: func private @rows_of_a_dispatch
// SHAPE:         %[[T:.+]] = tensor.dim %arg0
// SHAPE:         %[[M:.+]] = arith.muli %[[T]], %c2
// SHAPE:         return %[[M]]
func.func private @rows_of_a_dispatch(
    %x: tensor<?x4xf32>,
    %a: !moe.assignment<experts = 3, max_per_token = 2>) -> index {
  %rows, %offsets = moe.dispatch %x, %a
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>, tensor<4xi32>
  %c0 = arith.constant 0 : index
  %m = tensor.dim %rows, %c0 : tensor<?x4xf32>
  return %m : index
}
