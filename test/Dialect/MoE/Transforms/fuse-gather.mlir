// RUN: moe-opt %s --moe-fuse-gather | FileCheck %s
// RUN: moe-opt %s --moe-fuse-gather --moe-fuse-gather | FileCheck %s
// RUN: moe-opt %s --moe-fuse-gather --remarks-filter='moe-.*' --remark-format=emitRemark --verify-diagnostics

// Both products of a layer without fused epilogues read through the map.
// CHECK-LABEL: func @two_products
// CHECK-SAME:    (%[[X:.+]]: tensor<?x4xf32>, %[[T:.+]]: tensor<?xi32>, %[[O:.+]]: tensor<3xi32>, %[[W:.+]]: tensor<2x6x4xf32>)
// CHECK-NOT:     moe.gather_rows
// CHECK:         moe.grouped_matmul %[[X]] groups(%[[O]] : tensor<3xi32>) weights(%[[W]] : tensor<2x6x4xf32>) gather(%[[T]] : tensor<?xi32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
// CHECK:         moe.grouped_matmul %[[X]] groups(%[[O]] : tensor<3xi32>) weights(%[[W]] : tensor<2x6x4xf32>) gather(%[[T]] : tensor<?xi32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
func.func @two_products(%x: tensor<?x4xf32>, %t: tensor<?xi32>,
                        %o: tensor<3xi32>, %w: tensor<2x6x4xf32>)
    -> (tensor<?x6xf32>, tensor<?x6xf32>) {
  // expected-remark@+1 {{[Passed] FuseGather | Category:moe-fuse-gather | Products=2}}
  %rows = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32> -> tensor<?x4xf32>
  %0 = moe.grouped_matmul %rows groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xf32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  %1 = moe.grouped_matmul %rows groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xf32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%v: f32):
    %s = nn.silu %v : f32
    moe.yield %s : f32
  }
  return %0, %1 : tensor<?x6xf32>, tensor<?x6xf32>
}

// CHECK-LABEL: func @keep_weights_on_input
// CHECK:         moe.gather_rows
// CHECK-NOT:     gather(
func.func @keep_weights_on_input(
    %x: tensor<?x4xf32>, %t: tensor<?xi32>, %f: tensor<?xf32>,
    %o: tensor<3xi32>, %w: tensor<2x6x4xf32>) -> tensor<?x6xf32> {
  // expected-remark@+1 {{[Missed] FuseGather | Category:moe-fuse-gather | Reason="weights are applied to the input"}}
  %rows = moe.gather_rows %x[%t] groups(%o) weights(%f : tensor<?xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32> -> tensor<?x4xf32>
  %0 = moe.grouped_matmul %rows groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xf32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  return %0 : tensor<?x6xf32>
}

// CHECK-LABEL: func @keep_rows_used_elsewhere
// CHECK:         %[[R:.+]] = moe.gather_rows
// CHECK:         moe.grouped_matmul %[[R]]
// CHECK:         return %{{.+}}, %[[R]]
func.func @keep_rows_used_elsewhere(
    %x: tensor<?x4xf32>, %t: tensor<?xi32>, %o: tensor<3xi32>,
    %w: tensor<2x6x4xf32>) -> (tensor<?x6xf32>, tensor<?x4xf32>) {
  // expected-remark@+1 {{Reason="the rows have a use that is not the input of a product"}}
  %rows = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32> -> tensor<?x4xf32>
  %0 = moe.grouped_matmul %rows groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xf32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  return %0, %rows : tensor<?x6xf32>, tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_rows_as_destination
// CHECK:         moe.gather_rows
func.func @keep_rows_as_destination(
    %x: tensor<?x4xf32>, %t: tensor<?xi32>, %o: tensor<3xi32>,
    %w: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  // expected-remark@+1 {{Reason="the rows have a use that is not the input of a product"}}
  %rows = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32> -> tensor<?x4xf32>
  %0 = moe.grouped_matmul %x groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x4x4xf32>) outs(%rows : tensor<?x4xf32>)
      : tensor<?x4xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  return %0 : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_second_gather
// CHECK:         moe.gather_rows
func.func @keep_second_gather(
    %x: tensor<?x4xf32>, %t: tensor<?xi32>, %u: tensor<?xi32>,
    %o: tensor<3xi32>, %w: tensor<2x6x4xf32>) -> tensor<?x6xf32> {
  // expected-remark@+1 {{Reason="the product already gathers its rows"}}
  %rows = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32> -> tensor<?x4xf32>
  %0 = moe.grouped_matmul %rows groups(%o : tensor<3xi32>)
      weights(%w : tensor<2x6x4xf32>) gather(%u : tensor<?xi32>)
      : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  return %0 : tensor<?x6xf32>
}

// Behind the gather's own groups, the map may hold anything.
// CHECK-LABEL: func @keep_other_groups
// CHECK:         moe.gather_rows
func.func @keep_other_groups(
    %x: tensor<?x4xf32>, %t: tensor<?xi32>, %o: tensor<3xi32>,
    %p: tensor<3xi32>, %w: tensor<2x6x4xf32>) -> tensor<?x6xf32> {
  // expected-remark@+1 {{Reason="the product has other groups"}}
  %rows = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32> -> tensor<?x4xf32>
  %0 = moe.grouped_matmul %rows groups(%p : tensor<3xi32>)
      weights(%w : tensor<2x6x4xf32>) : tensor<?x4xf32> -> tensor<?x6xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  return %0 : tensor<?x6xf32>
}

// CHECK-LABEL: func @keep_unused
// CHECK:         moe.gather_rows
func.func @keep_unused(%x: tensor<?x4xf32>, %t: tensor<?xi32>,
                       %o: tensor<3xi32>) {
  // expected-remark@+1 {{Reason="the rows have no use"}}
  %rows = moe.gather_rows %x[%t] groups(%o)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<3xi32> -> tensor<?x4xf32>
  return
}

// CHECK-LABEL: func @memrefs
// CHECK:         moe.gather_rows
func.func @memrefs(%x: memref<?x4xf32>, %t: memref<?xi32>, %o: memref<3xi32>,
                   %rows: memref<?x4xf32>) {
  moe.gather_rows %x[%t] groups(%o) outs(%rows : memref<?x4xf32>)
      : memref<?x4xf32>, memref<?xi32>, memref<3xi32>
  return
}
