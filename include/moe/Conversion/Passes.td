//===- Passes.td - Conversions ----------------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_CONVERSION_PASSES_TD
#define MOE_CONVERSION_PASSES_TD
include "mlir/Pass/PassBase.td"

def ConvertMoEToRagged : Pass<"convert-moe-to-ragged", "ModuleOp"> {
  let summary = "Make index maps of assignments, dispatch and combine";
  let description = [{
    An assignment becomes expert [T, k] and weight [T, k], also across private
    functions, calls and scf. Needs `moe-expand-layer` first. A public function
    with an assignment in its signature is an error: callers outside the module
    would see it change.
  }];
  let dependentDialects = ["arith::ArithDialect", "tensor::TensorDialect"];
}

def ConvertEntryToBuffers : Pass<"moe-convert-entry-to-buffers", "ModuleOp"> {
  let summary = "Give public functions the signature of the runtime";
  let description = [{
    A public function on tensors gets memrefs of the shapes that `moe.shape`
    tells for its arguments and results; results are written into arguments.
    Where some results are optional, `@f` leaves them out and `@f.full` writes
    them too. Before bufferisation.
  }];
  let dependentDialects = ["bufferization::BufferizationDialect",
                           "memref::MemRefDialect", "tensor::TensorDialect",
                           "arith::ArithDialect"];
}

def ConvertKernelsToLoops : Pass<"convert-moe-to-loops", "func::FuncOp"> {
  let summary = "Lower moe and nn ops on memrefs to scf loops";
  let description = [{
    The plain meaning of the ops in their canonical arithmetic. Products run
    unpacked, one chain per element; `moe.packed_matmul` has a lowering of its
    own (`moe-lower-packed-matmul`). Elementwise nn ops on scalars and vectors
    become arith and math ops wherever they are, except in the epilogue of a
    `moe.packed_matmul`. Heavy ops run inside
    `moe.parallel`; for a device all ops with independent rows do.
  }];
  let options = [
    Option<"threads", "threads", "Threads", /*default=*/"Threads::Cores",
           "Who runs iterations that do not depend on one another",
           "::llvm::cl::values("
           "clEnumValN(Threads::None, \"none\", \"plain loops\"), "
           "clEnumValN(Threads::Cores, \"cores\", "
           "\"moe.parallel where the work is worth it\"), "
           "clEnumValN(Threads::Device, \"device\", "
           "\"moe.parallel wherever rows are independent\"))">];
  let dependentDialects = ["arith::ArithDialect", "math::MathDialect",
                           "memref::MemRefDialect", "moe::MoEDialect",
                           "scf::SCFDialect", "vector::VectorDialect"];
}
#endif // MOE_CONVERSION_PASSES_TD
