//===- Passes.td - Code generation ------------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_CODEGEN_PASSES_TD
#define MOE_CODEGEN_PASSES_TD
include "mlir/Pass/PassBase.td"

def LowerPackedMatmul : Pass<"moe-lower-packed-matmul", "ModuleOp"> {
  let summary = "Emit register-tiled kernels for moe.packed_matmul";
  let description = [{
    One private function per distinct kernel and row count; a parallel loop over
    column panels calls them for the row tiles of every group. An element is one
    FMA chain in ascending k, whatever the tile.
  }];
  let dependentDialects = ["arith::ArithDialect", "func::FuncDialect",
                           "math::MathDialect", "memref::MemRefDialect",
                           "scf::SCFDialect", "vector::VectorDialect"];
}

def EmitPackFunctions : Pass<"moe-emit-pack-functions", "ModuleOp"> {
  let summary = "Emit the functions that lay weights out";
  let description = [{
    One function per distinct packed type: `@pack.N(dst, src, first, part)`. The
    attribute `pack` of a `moe.parameter` names it; parameters that have one
    stay as they are.
  }];
  let dependentDialects = ["arith::ArithDialect", "func::FuncDialect",
                           "memref::MemRefDialect", "scf::SCFDialect"];
}

def LowerCopies : Pass<"moe-lower-copies", "func::FuncOp"> {
  let summary = "Turn memref.copy into a form that needs no library";
  let description = [{
    `memref.copy` becomes `linalg.copy`, hence loops: `finalize-memref-to-llvm`
    would turn a strided copy into a call of a library that we do not link. A
    copy of a buffer onto itself goes away, a copy of unranked buffers is an
    error.
    ```mlir
    memref.copy %a, %b : memref<?x8xf32> to memref<?x8xf32, strided<[16, 1]>>
    // ==>
    linalg.copy ins(%a : memref<?x8xf32>)
                outs(%b : memref<?x8xf32, strided<[16, 1]>>)
    ```
    A `memref.expand_shape` with two dynamic sizes in one group (T into B x S)
    becomes a `memref.reinterpret_cast`, because `expand-strided-metadata` of
    MLIR 22 crashes on it.
  }];
  let dependentDialects = ["arith::ArithDialect", "linalg::LinalgDialect",
                           "memref::MemRefDialect"];
}

def PlanArena : Pass<"moe-plan-arena", "ModuleOp"> {
  let summary = "Place every buffer of a function in one arena";
  let description = [{
    Every `memref.alloc` becomes a view of an arena, which is the new last
    argument `memref<?xi8>` of each function that needs memory. Buffers that are
    never alive together share a colour, as large as the largest of them; a call
    counts as a buffer of its callee's arena size. Offsets are multiples of 64,
    and so must be the arena's address.
    ```mlir
    func.func @f(%x: memref<?x8xf32>) {
      %n = memref.dim %x, %c0 : memref<?x8xf32>
      %b = memref.alloc(%n) : memref<?x8xf32>
      ...
    }
    // ==>
    func.func @f.arena_size(%0: index) -> index
        attributes {moe.arena_leaves = [array<i64: 0, 0>]} {
      ... // ceil(32 * %0 / 64) * 64
    }
    func.func @f(%x: memref<?x8xf32>, %arena: memref<?xi8>) {
      %n = memref.dim %x, %c0 : memref<?x8xf32>
      %b = memref.view %arena[%c0][%n] : memref<?xi8> to memref<?x8xf32>
      ...
    }
    ```
    `@f.arena_size` reads no memory and is as public as `@f`. For each of its
    arguments `moe.arena_leaves` names an argument of `@f` and the dimension
    that it is, -1 standing for the value. Arithmetic may wrap: the caller
    bounds the sizes.

    Errors, not fallbacks: a size that reads memory or changes within a loop; a
    buffer that is returned or carried out of its loop; memory inside a parallel
    loop, whose threads would share it; recursion; blocks with branches. Without
    an alloc nothing changes, so a second run does nothing.
  }];
  let dependentDialects = ["arith::ArithDialect", "func::FuncDialect",
                           "memref::MemRefDialect"];
}

def VerifyBuffers : Pass<"moe-verify-buffers", "ModuleOp"> {
  let summary = "Fail on allocations outside the arena and copies of state";
  let description = [{
    Changes nothing. Errors are
    * a copy out of a parameter (`moe.parameter_ref`) or a state (an argument
      with `moe.state`), onto a parameter, or onto all of a state. An argument
      of a private function is what any of its callers passes;
    * `memref.alloc`, `realloc`, `dealloc` and `memref.copy`, unless `allocs`;
    * a stack buffer that is dynamic, larger than `stack-bytes`, or taken in
      every iteration of a loop (once per range of a `moe.parallel` is allowed);
    * a function that returns a buffer, a loop that carries one;
    * tensors and `bufferization` ops;
    * a declaration of malloc and its like, or of memrefCopy.

    Runs after bufferisation (with `allocs`), after `moe-plan-arena`, and on the
    llvm dialect. It does not see a copy that is written as a loop.
  }];
  let options = [
    Option<"allocs", "allocs", "bool", /*default=*/"false",
           "Allow memref.alloc and memref.copy">,
    Option<"stackBytes", "stack-bytes", "int64_t", /*default=*/"4096",
           "Bytes of the largest stack buffer">];
}

def ApproximateMath : Pass<"moe-approximate-math", "ModuleOp"> {
  let summary = "Polynomials instead of calls of a math library";
  let description = [{
    The upstream approximations of exp, erf, tanh and their like, on scalars and
    vectors alike, so that bits depend on neither the C library nor the width.
  }];
  let dependentDialects = ["arith::ArithDialect", "math::MathDialect",
                           "vector::VectorDialect"];
}

def OutlineParallel : Pass<"moe-outline-parallel", "ModuleOp"> {
  let summary = "Turn parallel loops into calls of the executor";
  let description = [{
    The body of each `moe.parallel` becomes an `llvm.func` on (context, data,
    begin, end), its captures travel through a struct on the stack, and the
    context's `parallel_for` runs it. Functions that reach such a loop or a
    parameter get the context as their first argument.
  }];
  let dependentDialects = ["LLVM::LLVMDialect", "func::FuncDialect"];
}

def EmitEntryPoints : Pass<"moe-emit-entry-points", "ModuleOp"> {
  let summary = "Wrap functions for the runtime's calling convention";
  let description = [{
    For every public function `@f`, pack function and arena size function, an
    `llvm.func @moe.entry.f(context, slots)` that reads symbols, pointers and
    the arena from the slots (runtime/include/moe_abi.h). Last pass before
    translation; everything else becomes internal.
  }];
  let dependentDialects = ["LLVM::LLVMDialect"];
}

def SelectKernels : Pass<"moe-select-kernels", "ModuleOp"> {
  let summary = "Replace ops on memrefs by launches of GPU kernels";
  let description = [{
    The kernel is chosen by the op, its types and sizes, and the target; it is
    built in the nested `gpu.module @kernels`, once per configuration. What no
    kernel is made for stays: `convert-moe-to-loops{threads=device}` and
    `moe-outline-kernels` take it from there.
  }];
  let options = [
    Option<"arch", "arch", "unsigned", /*default=*/"80",
           "Compute capability times ten: 80 or 90">,
    Option<"precision", "precision", "std::string", /*default=*/"\"f32\"",
           "What products multiply in: f32 or tf32; narrower types are the "
           "operands' own">,
    Option<"deterministic", "deterministic", "bool", /*default=*/"true",
           "Leave products that scatter their rows, whose kernels add in no "
           "fixed order, to loops">];
  let dependentDialects = ["arith::ArithDialect", "gpu::GPUDialect",
                           "LLVM::LLVMDialect", "math::MathDialect",
                           "memref::MemRefDialect", "NVVM::NVVMDialect",
                           "nvgpu::NVGPUDialect", "scf::SCFDialect"];
}

def OutlineKernels : Pass<"moe-outline-kernels", "ModuleOp"> {
  let summary = "Make GPU kernels of the loops of a function";
  let description = [{
    A `moe.parallel` becomes a kernel with one thread per iteration, an
    `scf.parallel` likewise; loops and accesses to memory between them become
    kernels of a single thread, because the host cannot read the device's
    memory. What remains on the host is arithmetic on sizes, views and launches.
  }];
  let dependentDialects = ["arith::ArithDialect", "gpu::GPUDialect",
                           "LLVM::LLVMDialect", "memref::MemRefDialect",
                           "NVVM::NVVMDialect", "scf::SCFDialect"];
}

def LowerLaunches : Pass<"moe-lower-launches", "ModuleOp"> {
  let summary = "Turn gpu.launch_func into calls of the context's launch";
  let description = [{
    Arguments travel through an array on the stack, tensor maps
    (`nvgpu.tma.create.descriptor`) as descriptions that the runtime encodes.
    Launches of one session run one after another; the host does not wait.
    Functions that launch or use a parameter get the context as their first
    argument (runtime/include/moe_abi.h).
  }];
  let dependentDialects = ["LLVM::LLVMDialect", "func::FuncDialect"];
}
#endif // MOE_CODEGEN_PASSES_TD
