// A thread per column of a row: rows wider than a block take several blocks.

// RUN: moe-opt %s --moe-to-gpu --mlir-print-ir-after=moe-select-kernels -o /dev/null 2>&1 | FileCheck %s
// CHECK:     gpu.launch_func @kernels::@[[EMBED:embedding_[0-9]+]] blocks in (%{{.*}}, %c2{{[^,]*}}, %c1{{[^,]*}}) threads in (%c256
// CHECK:     gpu.launch_func @kernels::@[[TURN:rotary_[0-9]+]] blocks in (%{{.*}}, %c1{{[^,]*}}, %c1{{[^,]*}}) threads in (%c160
// CHECK:     gpu.launch_func @kernels::@[[LAST:last_rows_[0-9]+]] blocks in
// CHECK:     gpu.launch_func @kernels::@[[GATHER:gather_rows_[0-9]+]] blocks in
// CHECK:     gpu.launch_func @kernels::@[[PLAIN:combine_rows_[0-9]+]] blocks in
// CHECK:     gpu.launch_func @kernels::@[[WEIGHTED:combine_rows_[0-9]+]] blocks in
// CHECK:     llvm.func @[[EMBED]](
// CHECK:       arith.extf
// CHECK:     llvm.func @[[TURN]](
// CHECK:       arith.subf
// CHECK:       arith.addf
// CHECK:     llvm.func @[[LAST]](
// CHECK:     llvm.func @[[GATHER]](
// CHECK:       arith.mulf
// CHECK:     llvm.func @[[PLAIN]](
// CHECK:       math.fma
// CHECK:     llvm.func @[[WEIGHTED]](
// CHECK:       math.fma

// RUN: moe-compile %s --target=cpu --target=cuda:sm_80 --target=cuda:sm_90a -o %t.so
// RUN: %python %S/../../Tools/Inputs/st.py make %t.x ids:I64:2,3=1,6,0,3,3,5 t:I64:1,6=2,6,0,3,3,5 i:I32:6,3=0,1,2,1,-1,1,2,-1,-1,-1,-1,-1,2,0,-1,9,1,2 v:F32:6,3=0.5,0.25,2,3,1,-1,1,1,1,1,1,1,-2,0.1,1,1,0.3,7 c:F32:6,3=1,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.15,0.25,0.35,0.45,0.55,0.65,0.75,0.85 s:F32:6,3=0,0.7,0.6,-0.5,0.4,0.3,0.2,0.1,0.11,0.12,0.13,0.14,0.15,0.16,0.17,0.18,0.19,0.21
// RUN: for d in cpu emulated-cuda emulated-cuda:1; do moe-run %t.so -q --device=$d --params=synthetic:1 --input=%t.x --output=%t.$d || exit 1; done
// RUN: cmp %t.cpu %t.emulated-cuda
// RUN: cmp %t.cpu %t.emulated-cuda:1

moe.parameter @table : tensor<7x300xbf16> from [#moe.source<"table", tensor<7x300xbf16>, first = 0, count = 7, part = 0>]
func.func @layer(
    %ids: tensor<?x?xi64> {moe.name = "ids", moe.shape = ["B", "S"]},
    %t: tensor<1x?xi64> {moe.name = "t", moe.shape = [1, "T"]},
    %i: tensor<?x3xi32> {moe.name = "i", moe.shape = ["T", 3]},
    %v: tensor<?x3xf32> {moe.name = "v", moe.shape = ["T", 3]},
    %c: tensor<?x3xf32> {moe.name = "c", moe.shape = ["T", 3]},
    %s: tensor<?x3xf32> {moe.name = "s", moe.shape = ["T", 3]})
    -> (tensor<?x300xf32> {moe.name = "y", moe.shape = ["T", 300]},
        tensor<?x300xf32> {moe.name = "z", moe.shape = ["T", 300]},
        tensor<?x300xf32> {moe.name = "r", moe.shape = ["T", 300]},
        tensor<?x300xf32> {moe.name = "l", moe.shape = ["B", 300]}) {
  %table = moe.parameter_ref @table : tensor<7x300xbf16>
  %x = nn.embedding %t, %table : tensor<1x?xi64>, tensor<7x300xbf16> -> tensor<?x300xf32>
  %r = nn.rotary %x, %c, %s {heads = 50 : i64} : tensor<?x300xf32>, tensor<?x3xf32>, tensor<?x3xf32> -> tensor<?x300xf32>
  %q = nn.embedding %ids, %table : tensor<?x?xi64>, tensor<7x300xbf16> -> tensor<?x300xf32>
  %l = nn.last_rows %q, %ids : tensor<?x300xf32>, tensor<?x?xi64> -> tensor<?x300xf32>
  %a = moe.assign %i, %v : tensor<?x3xi32>, tensor<?x3xf32> -> !moe.assignment<experts = 3, max_per_token = 3>
  %rows, %offsets = moe.dispatch %x, %a apply = input : tensor<?x300xf32>, !moe.assignment<experts = 3, max_per_token = 3> -> tensor<?x300xf32>, tensor<4xi32>
  %y = moe.combine %rows, %a outs(%r) apply = input : tensor<?x300xf32>, !moe.assignment<experts = 3, max_per_token = 3> -> tensor<?x300xf32>
  %z = moe.combine %rows, %a outs(%x) : tensor<?x300xf32>, !moe.assignment<experts = 3, max_per_token = 3> -> tensor<?x300xf32>
  return %y, %z, %r, %l : tensor<?x300xf32>, tensor<?x300xf32>, tensor<?x300xf32>, tensor<?x300xf32>
}
