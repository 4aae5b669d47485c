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
    attribute `moe.pack` on a `moe.parameter` names it.
  }];
  let dependentDialects = ["arith::ArithDialect", "func::FuncDialect",
                           "memref::MemRefDialect", "scf::SCFDialect"];
}

def LowerCopies : Pass<"moe-lower-copies", "func::FuncOp"> {
  let summary = "Turn memref.copy into loops";
  let description = [{
    The upstream lowering of a strided copy calls a library that we do not link.
  }];
  let dependentDialects = ["linalg::LinalgDialect"];
}

def PlanArena : Pass<"moe-plan-arena", "ModuleOp"> {
  let summary = "Place every buffer of a function in one arena";
  let description = [{
    Buffers are coloured by live interval; a colour is as large as its largest
    member. Each function that needs memory gets the arena as its last argument,
    and a function `@NAME.arena_size` that reads no memory computes its size. A
    size that reads memory, or a buffer that leaves its function or loop, is an
    error.
  }];
  let dependentDialects = ["arith::ArithDialect", "func::FuncDialect",
                           "memref::MemRefDialect"];
}

def VerifyBuffers : Pass<"moe-verify-buffers", "ModuleOp"> {
  let summary = "Fail on allocations outside the arena and copies of state";
  let description = [{
    Errors: a copy out of a parameter or state, a copy onto a whole state, an
    allocation or library copy after planning, a large or dynamic stack buffer,
    leftovers of bufferisation, declarations of malloc and its like.
  }];
  let options = [
    Option<"allocs", "allocs", "bool", /*default=*/"false",
           "memref.alloc is still allowed">,
    Option<"stackBytes", "stack-bytes", "int64_t", /*default=*/"4096",
           "Largest stack buffer">];
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
#endif // MOE_CODEGEN_PASSES_TD
