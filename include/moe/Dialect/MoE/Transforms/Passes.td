//===- Passes.td - Passes on the MoE dialect --------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_MOE_TRANSFORMS_PASSES_TD
#define MOE_DIALECT_MOE_TRANSFORMS_PASSES_TD
include "mlir/Pass/PassBase.td"

def MoEExpandRouting : Pass<"moe-expand-routing", "ModuleOp"> {
  let summary = "Replace routing policies by the stage ops they stand for";
  let description = [{
    An op of another dialect that implements RoutingOpInterface is replaced by
    what its `buildReference` builds; a plugin's policy needs no lowering of its
    own. Remarks say what was replaced.
  }];
}

def MoEExpandLayer : Pass<"moe-expand-layer", "ModuleOp"> {
  let summary = "Split moe.layer into dispatch, experts and combine";
  let description = [{
    ```mlir
    %y = moe.layer %x, %a outs(%r) ... expert(...) {...}
    // ==>
    %rows, %offsets = moe.dispatch %x, %a
    %o = moe.experts %rows groups(%offsets) ... expert(...) {...}
    %y = moe.combine %o, %a outs(%r)
    ```
    Rounding does not change.
  }];
}

def MoEGroupMatmuls : Pass<"moe-group-matmuls", "ModuleOp"> {
  let summary = "Turn moe.experts into grouped products";
  let description = [{
    The body of an expert is cut into products of one input that meet, through
    elementwise ops, in one value: GLU, plain MLP and products of more linears
    alike. Each becomes one `moe.grouped_matmul`, the elementwise ops its
    epilogue. With `fuse=false` each linear becomes a `moe.grouped_matmul` of
    its own and the elementwise ops stay on tensors: the path of `-O0`. Rounding
    does not change. Remarks say what was grouped; an expert of another form is
    an error, since nothing could lower it.
  }];
  let options = [Option<"fuse", "fuse", "bool", /*default=*/"true",
                        "Put elementwise ops into epilogues">];
  let dependentDialects = ["arith::ArithDialect", "tensor::TensorDialect"];
}

def MoEFuseGather : Pass<"moe-fuse-gather", "ModuleOp"> {
  let summary = "Read rows through the index map instead of copying them";
  let description = [{
    `moe.gather_rows` whose rows feed `moe.grouped_matmul`s only, without
    weights, becomes their `gather`. Rounding does not change.
  }];
}

def MoEFuseCombine : Pass<"moe-fuse-combine", "ModuleOp"> {
  let summary = "Add expert outputs to their tokens where they are computed";
  let description = [{
    A `moe.combine_rows` of the rows of one `moe.grouped_matmul` becomes its
    `scatter`. Both add one FMA per row in ascending expert index, so rounding
    does not change.
  }];
}

def MoENarrowOperands : Pass<"moe-narrow-operands", "ModuleOp"> {
  let summary = "Round the rows that products multiply to their weights' type";
  let description = [{
    Rows that `moe.grouped_matmul` and `nn.linear` multiply become bf16 or f16,
    for tensor cores. A product whose only uses are such rows stores them narrow;
    elsewhere one `arith.truncf` rounds them. `moe.router_logits`, attention and
    whatever is added stay f32. This is the only pass that changes rounding, and
    the interpreter rounds at the same places. A product with weights of another
    type is an error that names the parameter. Rows behind those of the last
    expert are undefined: where only `arith.truncf` could round, such rows stay
    f32, and a remark says so.
    ```mlir
    %h = moe.grouped_matmul %x ... : tensor<?x4xf32> -> tensor<?x6xf32>
    %y = moe.grouped_matmul %h ... : tensor<?x6xf32> -> tensor<?x4xf32>
    // ==>
    %n = arith.truncf %x : tensor<?x4xf32> to tensor<?x4xbf16>
    %h = moe.grouped_matmul %n ... : tensor<?x4xbf16> -> tensor<?x6xbf16>
    %y = moe.grouped_matmul %h ... : tensor<?x6xbf16> -> tensor<?x4xf32>
    ```
  }];
  let options = [Option<"type", "type", "std::string", /*default=*/"\"bf16\"",
                        "bf16 or f16">];
  let dependentDialects = ["arith::ArithDialect"];
}

def MoEAddDestinations : Pass<"moe-add-destinations", "ModuleOp"> {
  let summary = "Give every op with optional destinations its destinations";
  let description = [{
    Ops without `outs` get a `tensor.empty` each, built from their operands, so
    that bufferisation can place every result where it is used. Each use of a
    `tensor.empty` and of a `linalg.fill` gets its own copy.
  }];
  let dependentDialects = ["arith::ArithDialect", "tensor::TensorDialect"];
}

def MoEPackWeights : Pass<"moe-pack-weights", "ModuleOp"> {
  let summary = "Lay weights out in column panels and use them packed";
  let description = [{
    `nn.linear`, `moe.router_logits` and `moe.grouped_matmul` whose matrices are
    parameters, also through private functions, become `moe.packed_matmul` on
    one packed parameter that replaces the others. Remarks say what was packed
    and, where a product stays as it is, why. Rounding does not change.
  }];
  let options = [
    Option<"lanes", "lanes", "int64_t", /*default=*/"8",
           "f32 lanes of a vector register">,
    Option<"tileRows", "tile-rows", "int64_t", /*default=*/"6",
           "Most rows that a kernel holds in registers">];
  let dependentDialects = ["arith::ArithDialect", "moe::MoEDialect",
                           "tensor::TensorDialect"];
}
#endif // MOE_DIALECT_MOE_TRANSFORMS_PASSES_TD
