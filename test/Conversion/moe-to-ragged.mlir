// RUN: moe-opt %s --split-input-file --convert-moe-to-ragged --cse --verify-diagnostics | FileCheck %s
// RUN: moe-opt %s --split-input-file --convert-moe-to-ragged --convert-moe-to-ragged --cse --verify-diagnostics | FileCheck %s

// An assignment crosses a private function, a call and an scf.if.
// CHECK-LABEL: func private @choose
// CHECK-SAME:    (%[[C:.+]]: i1, %[[E0:.+]]: tensor<?x2xi32>, %[[W0:.+]]: tensor<?x2xf32>, %[[E1:.+]]: tensor<?x2xi32>, %[[W1:.+]]: tensor<?x2xf32>)
// CHECK-SAME:    -> (tensor<?x2xi32>, tensor<?x2xf32>)
// CHECK:         %[[R:.+]]:2 = scf.if %[[C]] -> (tensor<?x2xi32>, tensor<?x2xf32>)
// CHECK:           scf.yield %[[E0]], %[[W0]]
// CHECK:           scf.yield %[[E1]], %[[W1]]
// CHECK:         return %[[R]]#0, %[[R]]#1
func.func private @choose(
    %c: i1, %a: !moe.assignment<experts = 3, max_per_token = 2>,
    %b: !moe.assignment<experts = 3, max_per_token = 2>)
    -> !moe.assignment<experts = 3, max_per_token = 2> {
  %r = scf.if %c -> !moe.assignment<experts = 3, max_per_token = 2> {
    scf.yield %a : !moe.assignment<experts = 3, max_per_token = 2>
  } else {
    scf.yield %b : !moe.assignment<experts = 3, max_per_token = 2>
  }
  return %r : !moe.assignment<experts = 3, max_per_token = 2>
}

// CHECK-LABEL: func @one_plan_serves_dispatch_and_combine
// CHECK-SAME:    (%[[X:.+]]: tensor<?x4xf32>, %[[I:.+]]: tensor<?x2xi32>, %[[W:.+]]: tensor<?x2xf32>, %[[C:.+]]: i1)
// CHECK:         %[[A:.+]]:2 = call @choose(%[[C]], %[[I]], %[[W]], %[[I]], %[[W]])
// CHECK:         %[[P:.+]]:5 = moe.plan %[[A]]#0, %[[A]]#1 experts = 3 : tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?xi32>, tensor<?xf32>, tensor<4xi32>, tensor<?xi32>, tensor<?xi32>
// CHECK:         %[[R:.+]] = moe.gather_rows %[[X]][%[[P]]#0] groups(%[[P]]#2) : tensor<?x4xf32>, tensor<?xi32>, tensor<4xi32> -> tensor<?x4xf32>
// CHECK-NOT:     moe.plan
// CHECK:         moe.combine_rows %[[R]] weights(%[[P]]#1 : tensor<?xf32>) tokens(%[[P]]#3, %[[P]]#4) outs(%[[X]] : tensor<?x4xf32>)
func.func @one_plan_serves_dispatch_and_combine(
    %x: tensor<?x4xf32>, %i: tensor<?x2xi32>, %w: tensor<?x2xf32>, %c: i1)
    -> tensor<?x4xf32> {
  %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  %b = call @choose(%c, %a, %a)
      : (i1, !moe.assignment<experts = 3, max_per_token = 2>,
         !moe.assignment<experts = 3, max_per_token = 2>)
      -> !moe.assignment<experts = 3, max_per_token = 2>
  %rows, %offsets = moe.dispatch %x, %b
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>, tensor<4xi32>
  %y = moe.combine %rows, %b outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// Weights on the input: the gather multiplies, the combine only adds.
// CHECK-LABEL: func private @apply_input
// CHECK-SAME:    (%[[X:.+]]: tensor<?x4xf32>, %[[E:.+]]: tensor<?x2xi32>, %[[W:.+]]: tensor<?x2xf32>)
// CHECK:         %[[P:.+]]:5 = moe.plan %[[E]], %[[W]] experts = 3
// CHECK:         %[[R:.+]] = moe.gather_rows %[[X]][%[[P]]#0] groups(%[[P]]#2) weights(%[[P]]#1 : tensor<?xf32>)
// CHECK:         moe.combine_rows %[[R]] tokens(%[[P]]#3, %[[P]]#4) outs(%[[X]] : tensor<?x4xf32>)
func.func private @apply_input(
    %x: tensor<?x4xf32>, %a: !moe.assignment<experts = 3, max_per_token = 2>)
    -> tensor<?x4xf32> {
  %rows, %offsets = moe.dispatch %x, %a apply = input
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>, tensor<4xi32>
  %y = moe.combine %rows, %a outs(%x) apply = input
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @entries
// CHECK:         %[[L:.+]]:4 = moe.list_entries %arg0, %arg1 experts = 3 : tensor<?x2xi32>, tensor<?x2xf32> -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
// CHECK-NEXT:    return %[[L]]#0, %[[L]]#1, %[[L]]#2, %[[L]]#3
func.func @entries(%i: tensor<?x2xi32>, %w: tensor<?x2xf32>)
    -> (tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>) {
  %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  %t, %e, %v, %n = moe.assignment_entries %a
      : !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  return %t, %e, %v, %n
      : tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
}

// What is static stays static on the outside.
// CHECK-LABEL: func @static_sizes
// CHECK-DAG:     %[[I:.+]] = tensor.cast %arg1 : tensor<5x2xi32> to tensor<?x2xi32>
// CHECK-DAG:     %[[W:.+]] = tensor.cast %arg2 : tensor<5x2xf32> to tensor<?x2xf32>
// CHECK:         %[[P:.+]]:5 = moe.plan %[[I]], %[[W]] experts = 3
// CHECK:         %[[R:.+]] = moe.gather_rows %arg0[%[[P]]#0]
// CHECK:         tensor.cast %[[R]] : tensor<?x4xf32> to tensor<10x4xf32>
// CHECK:         tensor.cast %[[P]]#2 : tensor<4xi32> to tensor<?xi32>
// CHECK:         %[[L:.+]]:4 = moe.list_entries
// CHECK:         tensor.cast %[[L]]#0 : tensor<?xi64> to tensor<10xi64>
// CHECK:         tensor.cast %[[L]]#3 : tensor<1xi64> to tensor<?xi64>
func.func @static_sizes(%x: tensor<5x4xf32>, %i: tensor<5x2xi32>,
                        %w: tensor<5x2xf32>)
    -> (tensor<10x4xf32>, tensor<?xi32>, tensor<10xi64>, tensor<?xi64>) {
  %a = moe.assign %i, %w : tensor<5x2xi32>, tensor<5x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  %rows, %offsets = moe.dispatch %x, %a
      : tensor<5x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<10x4xf32>, tensor<?xi32>
  %t, %e, %v, %n = moe.assignment_entries %a
      : !moe.assignment<experts = 3, max_per_token = 2>
      -> tensor<10xi64>, tensor<10xi64>, tensor<10xf32>, tensor<?xi64>
  return %rows, %offsets, %t, %n
      : tensor<10x4xf32>, tensor<?xi32>, tensor<10xi64>, tensor<?xi64>
}

// An assignment may go round a loop, and scf.if may have become a select.
// CHECK-LABEL: func private @loop
// CHECK-SAME:    %[[E:[^:]+]]: tensor<?x2xi32>, %[[W:[^:]+]]: tensor<?x2xf32>)
// CHECK:         %{{.+}}:2 = scf.for {{.+}} iter_args(%[[EI:.+]] = %[[E]], %[[WI:.+]] = %[[W]]) -> (tensor<?x2xi32>, tensor<?x2xf32>)
// CHECK:           %[[S:.+]] = arith.select %{{.+}}, %[[E]], %[[EI]] : tensor<?x2xi32>
// CHECK:           %[[T:.+]] = arith.select %{{.+}}, %[[W]], %[[WI]] : tensor<?x2xf32>
// CHECK:           scf.yield %[[S]], %[[T]]
func.func private @loop(%n: index, %c: i1,
                        %a: !moe.assignment<experts = 3, max_per_token = 2>)
    -> !moe.assignment<experts = 3, max_per_token = 2> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%b = %a)
      -> (!moe.assignment<experts = 3, max_per_token = 2>) {
    %s = arith.select %c, %a, %b
        : !moe.assignment<experts = 3, max_per_token = 2>
    scf.yield %s : !moe.assignment<experts = 3, max_per_token = 2>
  }
  return %r : !moe.assignment<experts = 3, max_per_token = 2>
}

// A select of other values is none of our business.
// CHECK-LABEL: func @other_select
// CHECK:         arith.select %{{.+}}, %{{.+}}, %{{.+}} : tensor<?x2xi32>
func.func @other_select(%c: i1, %x: tensor<?x2xi32>, %y: tensor<?x2xi32>)
    -> tensor<?x2xi32> {
  %0 = arith.select %c, %x, %y : tensor<?x2xi32>
  return %0 : tensor<?x2xi32>
}

// -----

// expected-error@+1 {{'func.func' op is public, so its signature must not have !moe.assignment}}
func.func @public(%a: !moe.assignment<experts = 3, max_per_token = 2>) {
  return
}

// -----

// expected-error@+1 {{'func.func' op is public, so its signature must not have !moe.assignment}}
func.func @public_result(%i: tensor<?x2xi32>, %w: tensor<?x2xf32>)
    -> !moe.assignment<experts = 3, max_per_token = 2> {
  %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  return %a : !moe.assignment<experts = 3, max_per_token = 2>
}

// -----

func.func @not_expanded(%x: tensor<?x4xf32>, %i: tensor<?x2xi32>,
                        %w: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
      -> !moe.assignment<experts = 3, max_per_token = 2>
  // expected-error@+1 {{'moe.layer' op must be expanded by moe-expand-layer before}}
  %y = moe.layer %x, %a outs(%x)
      : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
        tensor<?x4xf32>
  expert(%rows, %e) {
    moe.yield %rows : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
