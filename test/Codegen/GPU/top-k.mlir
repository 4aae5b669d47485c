// The choice of experts is the CPU's bit for bit: equal scores keep the lower
// expert first, NaN comes behind numbers, -infinity is never chosen.

// RUN: moe-opt %s --moe-to-gpu --mlir-print-ir-after=moe-select-kernels -o /dev/null 2>&1 | FileCheck %s
// CHECK:     gpu.launch_func @kernels::@top_k_e5_k4
// CHECK:     gpu.launch_func @kernels::@top_k_e40_k3
// CHECK-NOT: moe.top_k
// CHECK:     llvm.func @top_k_e5_k4
// CHECK-COUNT-2: nvvm.redux.sync

// RUN: moe-compile %s --target=cpu --target=cuda:sm_80 -o %t.so
// RUN: %python %S/../../Tools/Inputs/st.py make %t.x x:F32:4,5=1,2,2,1,2,nan,-inf,0,-0.0,nan,-inf,-inf,-inf,-inf,-inf,inf,-1,-1,nan,-2 y:F32:1,40=1,3,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,4,0,3,0,0,0,0
// RUN: moe-run %t.so -q --input=%t.x --output=%t.cpu
// RUN: moe-run %t.so -q --device=emulated-cuda:1 --input=%t.x --output=%t.gpu
// RUN: cmp %t.cpu %t.gpu
// RUN: %python %S/../../Tools/Inputs/st.py show %t.gpu i | FileCheck %s --check-prefix=CHOICE
// RUN: %python %S/../../Tools/Inputs/st.py show %t.gpu j | FileCheck %s --check-prefix=WIDE
// CHOICE: 1 2 4 0 2 3 0 4 -1 -1 -1 -1 0 1 2 4
// WIDE: 33 1 35

func.func @choose(
    %x: tensor<?x5xf32> {moe.name = "x", moe.shape = ["T", 5]},
    %y: tensor<?x40xf32> {moe.name = "y", moe.shape = ["U", 40]})
    -> (tensor<?x4xi32> {moe.name = "i", moe.shape = ["T", 4]},
        tensor<?x4xf32> {moe.name = "w", moe.shape = ["T", 4]},
        tensor<?x3xi32> {moe.name = "j", moe.shape = ["U", 3]},
        tensor<?x3xf32> {moe.name = "v", moe.shape = ["U", 3]}) {
  %i, %w = moe.top_k %x, k = 4 : tensor<?x5xf32> -> tensor<?x4xi32>, tensor<?x4xf32>
  %j, %v = moe.top_k %y, k = 3 : tensor<?x40xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
  return %i, %w, %j, %v : tensor<?x4xi32>, tensor<?x4xf32>, tensor<?x3xi32>, tensor<?x3xf32>
}
