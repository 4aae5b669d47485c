// RUN: moe-opt %s --moe-group-matmuls | FileCheck %s
// RUN: moe-opt %s --moe-group-matmuls --moe-group-matmuls | FileCheck %s
// RUN: moe-opt %s --moe-group-matmuls=fuse=false | FileCheck %s --check-prefix=PLAIN
// RUN: moe-opt %s --moe-group-matmuls --remarks-filter='moe-.*' --remark-format=emitRemark --verify-diagnostics

// CHECK-LABEL: func @glu
// CHECK-SAME:    (%[[ROWS:.+]]: tensor<?x4xf32>, %[[OFFSETS:.+]]: tensor<3xi32>, %[[GATE:.+]]: tensor<2x6x4xf32>, %[[UP:.+]]: tensor<2x6x4xbf16>, %[[DOWN:.+]]: tensor<2x4x6xf32>)
// CHECK:         %[[H:.+]] = moe.grouped_matmul %[[ROWS]] groups(%[[OFFSETS]] : tensor<3xi32>) weights(%[[GATE]], %[[UP]] : tensor<2x6x4xf32>, tensor<2x6x4xbf16>) : tensor<?x4xf32> -> tensor<?x6xf32> {
// CHECK-NEXT:    ^bb0(%[[G:.+]]: f32, %[[U:.+]]: f32):
// CHECK-NEXT:      %[[S:.+]] = nn.silu %[[G]] : f32
// CHECK-NEXT:      %[[M:.+]] = nn.mul %[[S]], %[[U]] : f32
// CHECK-NEXT:      moe.yield %[[M]] : f32
// CHECK:         %[[O:.+]] = moe.grouped_matmul %[[H]] groups(%[[OFFSETS]] : tensor<3xi32>) weights(%[[DOWN]] :
// CHECK-NEXT:    ^bb0(%[[D:.+]]: f32):
// CHECK-NEXT:      moe.yield %[[D]] : f32
// CHECK:         return %[[O]]

// PLAIN-LABEL: func @glu
// PLAIN-SAME:    (%[[ROWS:.+]]: tensor<?x4xf32>, %[[OFFSETS:.+]]: tensor<3xi32>, %[[GATE:.+]]: tensor<2x6x4xf32>, %[[UP:.+]]: tensor<2x6x4xbf16>, %[[DOWN:.+]]: tensor<2x4x6xf32>)
// PLAIN:         %[[G:.+]] = moe.grouped_matmul %[[ROWS]] groups(%[[OFFSETS]] : tensor<3xi32>) weights(%[[GATE]] : tensor<2x6x4xf32>)
// PLAIN-NEXT:    ^bb0(%[[E:.+]]: f32):
// PLAIN-NEXT:      moe.yield %[[E]] : f32
// PLAIN:         %[[U:.+]] = moe.grouped_matmul %[[ROWS]] groups(%[[OFFSETS]] : tensor<3xi32>) weights(%[[UP]] : tensor<2x6x4xbf16>)
// PLAIN:         %[[S:.+]] = nn.silu %[[G]] : tensor<?x6xf32>
// PLAIN-NEXT:    %[[M:.+]] = nn.mul %[[S]], %[[U]] : tensor<?x6xf32>
// PLAIN-NEXT:    %[[O:.+]] = moe.grouped_matmul %[[M]] groups(%[[OFFSETS]] : tensor<3xi32>) weights(%[[DOWN]] : tensor<2x4x6xf32>) : tensor<?x6xf32> -> tensor<?x4xf32>
// PLAIN:         return %[[O]]
func.func @glu(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
               %gate: tensor<2x6x4xf32>, %up: tensor<2x6x4xbf16>,
               %down: tensor<2x4x6xf32>) -> tensor<?x4xf32> {
  %y = moe.experts %rows groups(%offsets) kinds = [0, 0]
      : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %g = %gate: tensor<2x6x4xf32>, %u = %up: tensor<2x6x4xbf16>,
         %d = %down: tensor<2x4x6xf32>) {
    %0 = nn.linear %r, %g : tensor<?x4xf32>, tensor<6x4xf32> -> tensor<?x6xf32>
    %1 = nn.linear %r, %u : tensor<?x4xf32>, tensor<6x4xbf16> -> tensor<?x6xf32>
    %2 = nn.silu %0 : tensor<?x6xf32>
    // expected-remark@+1 {{[Passed] GroupMatmuls | Category:moe-group-matmuls | EpilogueOps=2, Products=2}}
    %3 = nn.mul %2, %1 : tensor<?x6xf32>
    // expected-remark@+1 {{[Passed] GroupMatmuls | Category:moe-group-matmuls | EpilogueOps=0, Products=1}}
    %4 = nn.linear %3, %d : tensor<?x6xf32>, tensor<4x6xf32> -> tensor<?x4xf32>
    moe.yield %4 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// The order of the matrices is that of the linears, not that of their uses.
// CHECK-LABEL: func @order_of_matrices
// CHECK-SAME:    %[[A:[^:]+]]: tensor<2x4x4xf32>, %[[B:[^:]+]]: tensor<2x4x4xf32>, %[[C:[^:]+]]: tensor<2x4x4xf32>)
// CHECK:         moe.grouped_matmul {{.+}} weights(%[[C]], %[[A]], %[[B]] :
// CHECK-NEXT:    ^bb0(%[[X:.+]]: f32, %[[Y:.+]]: f32, %[[Z:.+]]: f32):
// CHECK-NEXT:      %[[P:.+]] = nn.mul %[[Y]], %[[Z]]
// CHECK-NEXT:      %[[Q:.+]] = nn.add %[[P]], %[[X]]
// CHECK-NEXT:      moe.yield %[[Q]]
func.func @order_of_matrices(
    %rows: tensor<?x4xf32>, %offsets: tensor<3xi32>, %a: tensor<2x4x4xf32>,
    %b: tensor<2x4x4xf32>, %c: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %u = %a: tensor<2x4x4xf32>, %v = %b: tensor<2x4x4xf32>,
         %w = %c: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %w : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %1 = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %2 = nn.linear %r, %v : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %3 = nn.mul %1, %2 : tensor<?x4xf32>
    // expected-remark@+1 {{EpilogueOps=2, Products=3}}
    %4 = nn.add %3, %0 : tensor<?x4xf32>
    moe.yield %4 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// One linear that is used twice is one matrix; arith and math ops are
// elementwise as well, and change the element type on the way.
// CHECK-LABEL: func @squared
// CHECK:         moe.grouped_matmul {{.+}} weights(%{{[^,]+}} : tensor<2x4x4xf32>)
// CHECK-NEXT:    ^bb0(%[[X:.+]]: f32):
// CHECK-NEXT:      %[[E:.+]] = arith.extf %[[X]] : f32 to f64
// CHECK-NEXT:      %[[M:.+]] = arith.mulf %[[E]], %[[E]] : f64
// CHECK-NEXT:      %[[T:.+]] = arith.truncf %[[M]] : f64 to f32
// CHECK-NEXT:      %[[A:.+]] = math.absf %[[X]] : f32
// CHECK-NEXT:      %[[S:.+]] = nn.add %[[T]], %[[A]] : f32
// CHECK-NEXT:      moe.yield %[[S]]

// PLAIN-LABEL: func @squared
// PLAIN:         arith.extf %{{.+}} : tensor<?x4xf32> to tensor<?x4xf64>
func.func @squared(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
                   %a: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %u = %a: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %1 = arith.extf %0 : tensor<?x4xf32> to tensor<?x4xf64>
    %2 = arith.mulf %1, %1 : tensor<?x4xf64>
    %3 = arith.truncf %2 : tensor<?x4xf64> to tensor<?x4xf32>
    %4 = math.absf %0 : tensor<?x4xf32>
    // expected-remark@+1 {{EpilogueOps=5, Products=1}}
    %5 = nn.add %3, %4 : tensor<?x4xf32>
    moe.yield %5 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// A scalar constant goes along; the condition of a select may be one.
// CHECK-LABEL: func @constant
// CHECK:         ^bb0(%[[X:.+]]: f32):
// CHECK-NEXT:      %[[C:.+]] = arith.constant true
// CHECK-NEXT:      %[[R:.+]] = nn.relu %[[X]] : f32
// CHECK-NEXT:      %[[S:.+]] = arith.select %[[C]], %[[R]], %[[X]] : f32
// CHECK-NEXT:      moe.yield %[[S]]

// PLAIN-LABEL: func @constant
// PLAIN:         %[[C:.+]] = arith.constant true
// PLAIN:         arith.select %[[C]], %{{.+}}, %{{.+}} : tensor<?x4xf32>
func.func @constant(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
                    %a: tensor<2x4x4xf32>) -> tensor<?x4xf32> {
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %u = %a: tensor<2x4x4xf32>) {
    %c = arith.constant true
    %0 = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %1 = nn.relu %0 : tensor<?x4xf32>
    // expected-remark@+1 {{Products=1}}
    %2 = arith.select %c, %1, %0 : tensor<?x4xf32>
    moe.yield %2 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// Biases are stacks [E, N] of the same op.
// CHECK-LABEL: func @biases
// CHECK-SAME:    %[[GB:[^:]+]]: tensor<2x6xf32>, %[[UB:[^:]+]]: tensor<2x6xbf16>, %[[DB:[^:]+]]: tensor<2x4xf32>)
// CHECK:         moe.grouped_matmul {{.+}} biases(%[[GB]], %[[UB]] : tensor<2x6xf32>, tensor<2x6xbf16>) :
// CHECK:         moe.grouped_matmul {{.+}} biases(%[[DB]] : tensor<2x4xf32>) :

// PLAIN-LABEL: func @biases
// PLAIN:         moe.grouped_matmul {{.+}} biases(%{{[^,]+}} : tensor<2x6xf32>) :
// PLAIN:         moe.grouped_matmul {{.+}} biases(%{{[^,]+}} : tensor<2x6xbf16>) :
// PLAIN:         moe.grouped_matmul {{.+}} biases(%{{[^,]+}} : tensor<2x4xf32>) :
func.func @biases(%rows: tensor<?x4xf32>, %offsets: tensor<3xi32>,
                  %gate: tensor<2x6x4xf32>, %up: tensor<2x6x4xf32>,
                  %down: tensor<2x4x6xf32>, %gb: tensor<2x6xf32>,
                  %ub: tensor<2x6xbf16>, %db: tensor<2x4xf32>)
    -> tensor<?x4xf32> {
  %y = moe.experts %rows groups(%offsets) : tensor<?x4xf32>, tensor<3xi32>
  expert(%r, %e, %g = %gate: tensor<2x6x4xf32>, %gc = %gb: tensor<2x6xf32>,
         %u = %up: tensor<2x6x4xf32>, %uc = %ub: tensor<2x6xbf16>,
         %d = %down: tensor<2x4x6xf32>, %dc = %db: tensor<2x4xf32>) {
    %0 = nn.linear %r, %g bias(%gc : tensor<6xf32>)
        : tensor<?x4xf32>, tensor<6x4xf32> -> tensor<?x6xf32>
    %1 = nn.linear %r, %u bias(%uc : tensor<6xbf16>)
        : tensor<?x4xf32>, tensor<6x4xf32> -> tensor<?x6xf32>
    // expected-remark@+1 {{Products=2}}
    %2 = nn.mul %0, %1 : tensor<?x6xf32>
    // expected-remark@+1 {{Products=1}}
    %3 = nn.linear %2, %d bias(%dc : tensor<4xf32>)
        : tensor<?x6xf32>, tensor<4x6xf32> -> tensor<?x4xf32>
    moe.yield %3 : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// Rows of a known number keep it; what the body computes in vain is gone.
// CHECK-LABEL: func @static_rows
// CHECK-NOT:     nn.gelu
// CHECK:         moe.grouped_matmul {{.+}} : tensor<10x4xf32> -> tensor<10x4xf32>
// CHECK:         return %{{.+}} : tensor<10x4xf32>

// PLAIN-LABEL: func @static_rows
// PLAIN:         moe.grouped_matmul {{.+}} : tensor<10x4xf32> -> tensor<10x4xf32>
// PLAIN:         nn.relu %{{.+}} : tensor<10x4xf32>
func.func @static_rows(%rows: tensor<10x4xf32>, %offsets: tensor<3xi32>,
                       %a: tensor<2x4x4xf32>) -> tensor<10x4xf32> {
  %y = moe.experts %rows groups(%offsets) : tensor<10x4xf32>, tensor<3xi32>
  expert(%r, %e, %u = %a: tensor<2x4x4xf32>) {
    %0 = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    %1 = nn.gelu %0 : tensor<?x4xf32>
    // expected-remark@+1 {{Products=1}}
    %2 = nn.relu %0 : tensor<?x4xf32>
    moe.yield %2 : tensor<?x4xf32>
  }
  return %y : tensor<10x4xf32>
}
