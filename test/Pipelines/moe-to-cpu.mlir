// RUN: moe-opt %s --moe-to-cpu="level=3" | FileCheck %s
// RUN: moe-opt %s --moe-to-cpu="level=4" | FileCheck %s --check-prefixes=CHECK,V4
// RUN: moe-opt %s --moe-to-cpu="level=3 opt=0" | FileCheck %s --check-prefix=PLAIN
// RUN: moe-opt %s --moe-to-cpu="level=3" --dump-pass-pipeline -o %t 2>&1 | FileCheck %s --check-prefix=TEXT

// RUN: not moe-opt %s --moe-to-cpu="level=5" 2>&1 | FileCheck %s --check-prefix=LEVEL

// LEVEL: for the --level option: Cannot find option named '5'!
// TEXT: moe-expand-layer
// TEXT: moe-pack-weights{lanes=8 tile-rows=6}

// Nothing but the llvm dialect, nothing exported but entry points, no malloc.
// CHECK:     moe.params = [{name = "w.packed", pack = "pack.0", panels = #moe.panels<columns = 4
// PLAIN:     moe.params = [{name = "w", sources
// CHECK-NOT: func.func
// CHECK-NOT: malloc
// CHECK-DAG: llvm.func internal @f(
// CHECK-DAG: llvm.func internal @matmul.0.1(
// CHECK-DAG: llvm.func @moe.entry.f(
// CHECK-DAG: llvm.func @moe.entry.pack.0(
// V4-DAG:    vector<16xf32>
// PLAIN-NOT: pack
// PLAIN:     llvm.func @moe.entry.f(
moe.parameter @w : tensor<4x3xf32> from [#moe.source<"w", tensor<4x3xf32>, first = 0, count = 4, part = 0>]
func.func @f(%x: tensor<?x3xf32> {moe.name = "x", moe.shape = ["T", 3]})
    -> (tensor<?x4xf32> {moe.name = "y", moe.shape = ["T", 4]}) {
  %w = moe.parameter_ref @w : tensor<4x3xf32>
  %y = nn.linear %x, %w : tensor<?x3xf32>, tensor<4x3xf32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// Nothing calls it, so that it returns a buffer is no error.
func.func private @unused(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %y = nn.silu %x : tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}
