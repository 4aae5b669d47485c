// RUN: moe-opt %s --moe-fuse-combine | FileCheck %s
// RUN: moe-opt %s --moe-fuse-combine --moe-fuse-combine | FileCheck %s
// RUN: moe-opt %s --moe-fuse-combine --remarks-filter='moe-.*' --remark-format=emitRemark --verify-diagnostics

// The scatter is where the combine was: its destination may be younger than
// the product.
// CHECK-LABEL: func @combine
// CHECK-SAME:    (%[[A:.+]]: tensor<?x6xf32>, %{{.+}}: tensor<?x2xi32>, %{{.+}}: tensor<?x2xf32>, %[[W:.+]]: tensor<2x4x6xf32>, %[[B:.+]]: tensor<2x4xf32>, %[[G:.+]]: tensor<?xi32>, %[[X:.+]]: tensor<?x4xf32>)
// CHECK:         %[[P:.+]]:5 = moe.plan
// CHECK-NEXT:    %[[I:.+]] = nn.relu %[[X]]
// CHECK-NEXT:    %[[Y:.+]] = moe.grouped_matmul %[[A]] groups(%[[P]]#2 : tensor<3xi32>) weights(%[[W]] : tensor<2x4x6xf32>) biases(%[[B]] : tensor<2x4xf32>) gather(%[[G]] : tensor<?xi32>) scatter(%[[P]]#0, %[[P]]#1 : tensor<?xi32>, tensor<?xf32>) outs(%[[I]] : tensor<?x4xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
// CHECK-NEXT:    ^bb0(%[[V:.+]]: f32):
// CHECK-NEXT:      %[[S:.+]] = nn.silu %[[V]] : f32
// CHECK-NEXT:      moe.yield %[[S]] : f32
// CHECK-NEXT:    }
// CHECK-NEXT:    return %[[Y]]
func.func @combine(%a: tensor<?x6xf32>, %e: tensor<?x2xi32>,
                   %f: tensor<?x2xf32>, %w: tensor<2x4x6xf32>,
                   %b: tensor<2x4xf32>, %g: tensor<?xi32>, %x: tensor<?x4xf32>)
    -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) biases(%b : tensor<2x4xf32>)
      gather(%g : tensor<?xi32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    %s = nn.silu %v : f32
    moe.yield %s : f32
  }
  %init = nn.relu %x : tensor<?x4xf32>
  // expected-remark@+1 {{[Passed] FuseCombine | Category:moe-fuse-combine}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%p#3, %p#4) outs(%init : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_other_rows
// CHECK:         moe.combine_rows
func.func @keep_other_rows(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = nn.relu %x : tensor<?x4xf32>
  // expected-remark@+1 {{Reason="the rows do not come from a product"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%p#3, %p#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_rows_used_elsewhere
// CHECK:         moe.combine_rows
func.func @keep_rows_used_elsewhere(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the rows have another use"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%p#3, %p#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y, %rows : tensor<?x4xf32>, tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_second_scatter
// CHECK:         moe.combine_rows
func.func @keep_second_scatter(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>)
      scatter(%p#0, %p#1 : tensor<?xi32>, tensor<?xf32>)
      outs(%x : tensor<?x4xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the product already scatters its rows"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%p#3, %p#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_another_block
// CHECK:         moe.combine_rows
func.func @keep_another_block(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>,
    %c: i1) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  %r = scf.if %c -> tensor<?x4xf32> {
    // expected-remark@+1 {{Reason="the product is in another block"}}
    %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
        tokens(%p#3, %p#4) outs(%x : tensor<?x4xf32>)
        : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
    scf.yield %y : tensor<?x4xf32>
  } else {
    scf.yield %x : tensor<?x4xf32>
  }
  return %r : tensor<?x4xf32>
}

// The factor is 1, and no tensor holds that.
// CHECK-LABEL: func @keep_weights_on_input
// CHECK:         moe.combine_rows
func.func @keep_weights_on_input(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="no weights are applied to the output"}}
  %y = moe.combine_rows %rows
      tokens(%p#3, %p#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_tokens_of_another_plan
// CHECK:         moe.combine_rows
func.func @keep_tokens_of_another_plan(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %q:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the index maps are not of one plan"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%q#3, %p#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_weights_of_another_plan
// CHECK:         moe.combine_rows
func.func @keep_weights_of_another_plan(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %q:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the index maps are not of one plan"}}
  %y = moe.combine_rows %rows weights(%q#1 : tensor<?xf32>)
      tokens(%p#3, %p#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_rows_of_another_plan
// CHECK:         moe.combine_rows
func.func @keep_rows_of_another_plan(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %q:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the index maps are not of one plan"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%p#3, %q#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_groups_of_another_plan
// CHECK:         moe.combine_rows
func.func @keep_groups_of_another_plan(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %q:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%q#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the index maps are not of one plan"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%p#3, %p#4) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// A plan, but the map of another result.
// CHECK-LABEL: func @keep_wrong_map
// CHECK:         moe.combine_rows
func.func @keep_wrong_map(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the index maps are not of one plan"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%p#3, %p#0) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @keep_maps_without_plan
// CHECK:         moe.combine_rows
func.func @keep_maps_without_plan(
    %a: tensor<?x6xf32>, %e: tensor<?x2xi32>, %f: tensor<?x2xf32>,
    %w: tensor<2x4x6xf32>, %x: tensor<?x4xf32>, %to: tensor<?xi32>,
    %tr: tensor<?xi32>) -> tensor<?x4xf32> {
  %p:5 = moe.plan %e, %f experts = 2 : tensor<?x2xi32>, tensor<?x2xf32>
      -> tensor<?xi32>, tensor<?xf32>, tensor<3xi32>, tensor<?xi32>,
         tensor<?xi32>
  %rows = moe.grouped_matmul %a groups(%p#2 : tensor<3xi32>)
      weights(%w : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32> {
  ^bb0(%v: f32):
    moe.yield %v : f32
  }
  // expected-remark@+1 {{Reason="the index maps are not of one plan"}}
  %y = moe.combine_rows %rows weights(%p#1 : tensor<?xf32>)
      tokens(%to, %tr) outs(%x : tensor<?x4xf32>)
      : tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @memrefs
// CHECK:         moe.combine_rows
func.func @memrefs(%rows: memref<?x4xf32>, %to: memref<?xi32>,
                   %tr: memref<?xi32>, %out: memref<?x4xf32>) {
  moe.combine_rows %rows tokens(%to, %tr) outs(%out : memref<?x4xf32>)
      : memref<?x4xf32>, memref<?xi32>, memref<?xi32>
  return
}
