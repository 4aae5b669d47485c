// Slots are sorted on the device as on the CPU: holes, indices that are no
// expert, an expert twice in a token, experts without tokens, no token at all,
// and more slots than one block takes (16384).

// RUN: moe-opt %s --moe-to-gpu --mlir-print-ir-after=moe-select-kernels -o /dev/null 2>&1 | FileCheck %s
// CHECK:     scf.if
// CHECK:       gpu.launch_func @kernels::@plan_all_e5
// CHECK:     } else {
// CHECK:       gpu.launch_func @kernels::@plan_count_e5
// CHECK:       gpu.launch_func @kernels::@plan_sums_e5
// CHECK:       gpu.launch_func @kernels::@plan_place_e5
// CHECK:     gpu.launch_func @kernels::@plan_inverse_e5
// CHECK:     gpu.launch_func @kernels::@plan_entry_offsets_e5
// CHECK:     gpu.launch_func @kernels::@plan_entries_e5
// CHECK-NOT: moe.plan
// CHECK:     llvm.func @plan_all_e5
// CHECK:       nvvm.match.sync any

// RUN: moe-compile %s --target=cpu --target=cuda:sm_80 --target=cuda:sm_90a -o %t.so
// RUN: %python %S/Inputs/plan.py %t.0 0
// RUN: %python %S/Inputs/plan.py %t.1 1
// RUN: %python %S/Inputs/plan.py %t.40 40
// RUN: %python %S/Inputs/plan.py %t.7001 7001
// RUN: for t in 0 1 40 7001; do for d in cpu emulated-cuda emulated-cuda:1; do moe-run %t.so -q --device=$d --params=synthetic:1 --input=%t.$t --output=%t.$d || exit 1; done; cmp %t.cpu %t.emulated-cuda && cmp %t.cpu %t.emulated-cuda:1 || exit 1; done

moe.parameter @w : tensor<5x4x4xf32> from [#moe.source<"w", tensor<5x4x4xf32>, first = 0, count = 5, part = 0>]
func.func @layer(
    %x: tensor<?x4xf32> {moe.name = "x", moe.shape = ["T", 4]},
    %i: tensor<?x3xi32> {moe.name = "i", moe.shape = ["T", 3]},
    %v: tensor<?x3xf32> {moe.name = "v", moe.shape = ["T", 3]})
    -> (tensor<?x4xf32> {moe.name = "y", moe.shape = ["T", 4]},
        tensor<?xi64> {moe.count = "n", moe.name = "t", moe.shape = ["3*T"]},
        tensor<?xi64> {moe.count = "n", moe.name = "e", moe.shape = ["3*T"]},
        tensor<?xf32> {moe.count = "n", moe.name = "c", moe.shape = ["3*T"]},
        tensor<1xi64> {moe.name = "n", moe.shape = [1]}) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %w = moe.parameter_ref @w : tensor<5x4x4xf32>
  %a = moe.assign %i, %v : tensor<?x3xi32>, tensor<?x3xf32> -> !moe.assignment<experts = 5, max_per_token = 3>
  %T = tensor.dim %x, %c0 : tensor<?x4xf32>
  %empty = tensor.empty(%T) : tensor<?x4xf32>
  %out = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y = moe.layer %x, %a outs(%out) : tensor<?x4xf32>, !moe.assignment<experts = 5, max_per_token = 3>, tensor<?x4xf32>
  expert(%rows, %e, %we = %w: tensor<5x4x4xf32>) {
    %o = nn.linear %rows, %we : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>
    moe.yield %o : tensor<?x4xf32>
  }
  %t, %ei, %c, %n = moe.assignment_entries %a : !moe.assignment<experts = 5, max_per_token = 3> -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
  return %y, %t, %ei, %c, %n : tensor<?x4xf32>, tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
}
