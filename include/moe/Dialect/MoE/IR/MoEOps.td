//===- MoEOps.td - Ops of the MoE dialect -----------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_MOE_IR_MOEOPS_TD
#define MOE_DIALECT_MOE_IR_MOEOPS_TD
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe/Dialect/MoE/IR/MoEBase.td"
include "moe/Dialect/MoE/IR/MoEDialect.td"
include "moe/Dialect/MoE/IR/MoEInterfaces.td"

// Methods with a default body are declared only when they are named.
defvar MoE_ReifyShapes = DeclareOpInterfaceMethods<
    ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>;

class MoE_StageOp<string mnemonic, list<Trait> traits = []>
    : MoE_KernelOp<MoE_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Level 1: routing, one op per stage. Every stage op also has a form with
// destinations and one on memrefs, so that it can be lowered as it is.
//===----------------------------------------------------------------------===//

def MoE_RouterLogitsOp : MoE_StageOp<"router_logits", [AttrSizedOperandSegments]> {
  let summary = "Score every token against every expert: x * router^T";
  let description = [{
    `logits[t, e] = sum_h x[t, h] * router[e, h]`, plus `bias[e]` if given; the
    sum is one FMA chain in ascending `h`. Spec: moe.router_logits.
    ```mlir
    %z = moe.router_logits %x, %wr
        : tensor<?x16xf32>, tensor<8x16xbf16> -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$x,                      // [T, H]
                       MoE_2D<MoE_WeightTypes>:$router,       // [E, H]
                       Optional<MoE_1D<MoE_WeightTypes>>:$bias, // [E]
                       Variadic<MoE_2D<[F32]>>:$outs);        // [T, E]
  let assemblyFormat = [{
    $x `,` $router (`bias` `(` $bias^ `:` type($bias) `)`)?
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($x) `,` type($router) (`->` type($results)^)?
  }];
}

def MoE_ScoreOp : MoE_StageOp<"score", [AttrSizedOperandSegments]> {
  let summary = "Turn router logits into scores";
  let description = [{
    `softmax` over each row (its maximum is subtracted first) or `sigmoid` of
    each element. With `slots(%indices)`, slots whose index is negative take no
    part and get 0: softmax over a token's chosen experts. Spec: moe.score.
    ```mlir
    %s = moe.score softmax %z : tensor<?x8xf32> -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins MoE_ScoreFnAttr:$fn,
                       MoE_2D<[F32]>:$logits,               // [T, N]
                       Optional<MoE_2D<[I32]>>:$indices,    // [T, N]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T, N]
  let assemblyFormat = [{
    `` $fn $logits (`slots` `(` $indices^ `:` type($indices) `)`)?
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($logits) (`->` type($results)^)?
  }];
}

def MoE_AddSelectionBiasOp : MoE_StageOp<"add_selection_bias"> {
  let summary = "Add a per-expert bias to the values that rank experts";
  let description = [{
    `result[t, e] = scores[t, e] + bias[e]`. The result ranks experts; weights
    come from the scores themselves through `moe.take`.
    ```mlir
    %q = moe.add_selection_bias %s, %b
        : tensor<?x8xf32>, tensor<8xf32> -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$scores,               // [T, E]
                       MoE_1D<MoE_WeightTypes>:$bias,       // [E]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T, E]
  let assemblyFormat = [{
    $scores `,` $bias (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($scores) `,` type($bias) (`->` type($results)^)?
  }];
}

def MoE_TopKOp : MoE_StageOp<"top_k", [
    DeclareOpInterfaceMethods<MoE_RoutingOpInterface, ["getCostPerToken"]>]> {
  let summary = "Choose the k best-scored experts of every token";
  let description = [{
    For each of the T rows of `scores`, returns the positions and the values of
    the `k` largest entries, best first. Equal scores keep the lower expert
    index first, so the result is the same on every target; NaN ranks after
    every number. An entry that is -infinity is never chosen: a slot without an
    expert has index -1 and weight 0. Spec: moe.top_k.
    ```mlir
    %idx, %w = moe.top_k %scores, k = 2
        : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$scores,               // [T, E]
                       I64Attr:$k,                          // top_k_c1
                       Variadic<MoE_2D<[I32, F32]>>:$outs); // [T, k] twice
  let assemblyFormat = [{
    $scores `,` `k` `=` $k (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($scores) (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::Value getIndices() { return getResults()[0]; } // [T, k], -1: none
    ::mlir::Value getWeights() { return getResults()[1]; } // [T, k]
  }];
}

def MoE_TakeOp : MoE_StageOp<"take"> {
  let summary = "The scores of the chosen experts";
  let description = [{
    `result[t, j] = scores[t, indices[t, j]]`, 0 where the index is outside
    [0, E). Spec: moe.take.
    ```mlir
    %w = moe.take %s, %i
        : tensor<?x8xf32>, tensor<?x2xi32> -> tensor<?x2xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$scores,               // [T, E]
                       MoE_2D<[I32]>:$indices,              // [T, k]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T, k]
  let assemblyFormat = [{
    $scores `,` $indices (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($scores) `,` type($indices) (`->` type($results)^)?
  }];
  let hasCanonicalizer = 1;
}

def MoE_RenormalizeOp : MoE_StageOp<"renormalize"> {
  let summary = "Divide each row of combine weights by its norm";
  let description = [{
    `w / max(|w|_p + eps, floor)` with the p-norm over the token's slots, p = 1
    or 2; all 0 where the divisor is 0. Spec: moe.renormalize.
    ```mlir
    %n = moe.renormalize %w {eps = 1.0e-20 : f64}
        : tensor<?x2xf32> -> tensor<?x2xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$weights,                   // [T, k]
                       DefaultValuedAttr<I64Attr, "1">:$p,
                       DefaultValuedAttr<F64Attr, "0.0">:$eps,
                       DefaultValuedAttr<F64Attr, "0.0">:$floor,
                       Variadic<MoE_2D<[F32]>>:$outs);           // [T, k]
  let assemblyFormat = [{
    $weights (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($weights) (`->` type($results)^)?
  }];
}

def MoE_ScaleOp : MoE_StageOp<"scale"> {
  let summary = "Multiply every combine weight by a constant";
  let arguments = (ins MoE_2D<[F32]>:$weights,              // [T, k]
                       F64Attr:$factor,
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T, k]
  let description = [{
    ```mlir
    %r = moe.scale %w by 2.5
        : tensor<?x2xf32> -> tensor<?x2xf32>
    ```
  }];
  let assemblyFormat = [{
    $weights `by` $factor (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($weights) (`->` type($results)^)?
  }];
  let hasCanonicalizer = 1;
}

def MoE_ScaleByExpertOp : MoE_StageOp<"scale_by_expert"> {
  let summary = "Multiply each combine weight by its expert's factor";
  let description = [{
    `result[t, j] = weights[t, j] * factors[indices[t, j]]`, 0 where the index
    is outside [0, E).
    ```mlir
    %r = moe.scale_by_expert %w, %i, %f
        : tensor<?x2xf32>, tensor<?x2xi32>, tensor<8xf32> -> tensor<?x2xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$weights,              // [T, k]
                       MoE_2D<[I32]>:$indices,              // [T, k]
                       MoE_1D<MoE_WeightTypes>:$factors,    // [E]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T, k]
  let assemblyFormat = [{
    $weights `,` $indices `,` $factors
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($weights) `,` type($indices) `,` type($factors)
        (`->` type($results)^)?
  }];
}

def MoE_AssignOp : MoE_Op<"assign", [Pure]> {
  let summary = "Make an assignment of expert indices and combine weights";
  let description = [{
    Slot `j` of token `t` sends `t` to `experts[t, j]` with `weights[t, j]`. An
    index outside [0, E), by convention -1, is an empty slot: the op is total.
    ```mlir
    %a = moe.assign %i, %w : tensor<?x2xi32>, tensor<?x2xf32>
        -> !moe.assignment<experts = 8, max_per_token = 2>
    ```
  }];
  let arguments = (ins 2DTensorOf<[I32]>:$experts,   // [T, k]
                       2DTensorOf<[F32]>:$weights);  // [T, k]
  let results = (outs MoE_AssignmentType:$assignment);
  let assemblyFormat = [{
    $experts `,` $weights attr-dict
        `:` type($experts) `,` type($weights) `->` qualified(type($assignment))
  }];
  let hasVerifier = 1;
}

def MoE_AssignmentEntriesOp : MoE_Op<"assignment_entries", [Pure]> {
  let summary = "The kept assignments as sorted lists";
  let description = [{
    The entries sorted by token, then expert: token and expert index, combine
    weight, and how many there are. The lists have T * max_per_token elements;
    those from `count` on are unspecified.
    ```mlir
    %t, %e, %w, %n = moe.assignment_entries %a
        : !moe.assignment<experts = 8, max_per_token = 2>
        -> tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>
    ```
  }];
  let arguments = (ins MoE_AssignmentType:$assignment);
  let results = (outs 1DTensorOf<[I64]>:$token_index,
                      1DTensorOf<[I64]>:$expert_index,
                      1DTensorOf<[F32]>:$expert_weight,
                      1DTensorOf<[I64]>:$count);     // [1]
  let assemblyFormat = [{
    $assignment attr-dict `:` qualified(type($assignment)) `->`
        type($token_index) `,` type($expert_index) `,` type($expert_weight)
        `,` type($count)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Level 1: the layer
//===----------------------------------------------------------------------===//

class MoE_ExpertsBase<string mnemonic, list<Trait> traits>
    : MoE_Op<mnemonic, !listconcat(traits, [
        IsolatedFromAbove, RecursiveMemoryEffects, RecursivelySpeculatable,
        MoE_ReifyShapes])> {
  let regions = (region VariadicRegion<SizedRegion<1>>:$experts);
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
}

def MoE_LayerOp : MoE_ExpertsBase<"layer", [
    AllTypesMatch<["init", "result"]> /*layer_c1*/,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface>]> {
  let summary = "A whole Mixture-of-Experts layer, added to `init`";
  let description = [{
    `result[t] = init[t] + sum over slots of weight * expert(x[t])`, summed in
    ascending expert index. Each `expert` clause is one expert of one kind on
    its own rows: its arguments are the rows, the expert's index and that
    expert's slice of every stacked weight. `kinds[e]` names the clause of
    expert `e` (all 0 when absent); clause `c` owns stacks of as many experts
    as are of kind `c`, in ascending order. Spec: moe.layer.
    ```mlir
    %y = moe.layer %x, %a outs(%init) kinds = [0, 1, 0]
        : tensor<?x4xf32>, !moe.assignment<experts = 3, max_per_token = 2>,
          tensor<?x4xf32>
    expert(%rows, %e, %g = %gate: tensor<2x6x4xf32>,
                      %d = %down: tensor<2x4x6xf32>) {
      %h = nn.linear %rows, %g
          : tensor<?x4xf32>, tensor<6x4xf32> -> tensor<?x6xf32>
      %s = nn.silu %h : tensor<?x6xf32>
      %o = nn.linear %s, %d
          : tensor<?x6xf32>, tensor<4x6xf32> -> tensor<?x4xf32>
      moe.yield %o : tensor<?x4xf32>
    }
    expert(%rows, %e) {
      moe.yield %rows : tensor<?x4xf32>
    }
    ```
  }];
  let arguments = (ins 2DTensorOf<[F32]>:$x,                 // [T, H]
                       MoE_AssignmentType:$assignment,
                       2DTensorOf<[F32]>:$init,              // [T, H]
                       Variadic<AnyRankedTensor>:$weights,   // [E of kind, ...]
                       DenseI64ArrayAttr:$weights_per_kind,
                       OptionalAttr<DenseI64ArrayAttr>:$kinds,
                       DefaultValuedAttr<MoE_ApplyAttr,
                           "::mlir::moe::Apply::Output">:$apply);
  let results = (outs 2DTensorOf<[F32]>:$result);
  let assemblyFormat = [{
    $x `,` $assignment `outs` `(` $init `)` (`kinds` `=` $kinds^)?
        (`apply` `=` `` $apply^)? attr-dict `:` type($x) `,`
        qualified(type($assignment)) `,` type($init)
        `` custom<Experts>(ref(type($x)), $weights, type($weights),
                        $weights_per_kind, $experts)
  }];
}

def MoE_DispatchOp : MoE_Op<"dispatch", [
    Pure, MoE_ReifyShapes]> {
  let summary = "Copy tokens into expert order";
  let description = [{
    Rows are sorted by expert, then token; expert `e` owns rows `offsets[e]` to
    `offsets[e + 1]`. There are `T * max_per_token` rows: those from
    `offsets[E]` on are unspecified and no op reads them.
  }];
  let arguments = (ins 2DTensorOf<[F32]>:$x, MoE_AssignmentType:$assignment,
                       DefaultValuedAttr<MoE_ApplyAttr,
                           "::mlir::moe::Apply::Output">:$apply);
  let results = (outs 2DTensorOf<[F32]>:$rows,       // [T * max_per_token, H]
                      1DTensorOf<[I32]>:$offsets);   // [E + 1]
  let assemblyFormat = [{
    $x `,` $assignment (`apply` `=` `` $apply^)? attr-dict
        `:` type($x) `,` qualified(type($assignment)) `->` type($rows) `,`
        type($offsets)
  }];
  let hasVerifier = 1;
}

def MoE_ExpertsOp : MoE_ExpertsBase<"experts", [
    AllTypesMatch<["rows", "result"]>]> {
  let summary = "Run every expert on its group of rows";
  let arguments = (ins 2DTensorOf<[F32]>:$rows,              // [M, H]
                       1DTensorOf<[I32]>:$offsets,           // [E + 1]
                       Variadic<AnyRankedTensor>:$weights,
                       DenseI64ArrayAttr:$weights_per_kind,
                       OptionalAttr<DenseI64ArrayAttr>:$kinds);
  let results = (outs 2DTensorOf<[F32]>:$result);            // [M, H]
  let assemblyFormat = [{
    $rows `groups` `(` $offsets `)` (`kinds` `=` $kinds^)? attr-dict
        `:` type($rows) `,` type($offsets)
        `` custom<Experts>(ref(type($rows)), $weights, type($weights),
                        $weights_per_kind, $experts)
  }];
}

def MoE_CombineOp : MoE_Op<"combine", [
    Pure, AllTypesMatch<["init", "result"]>,
    DeclareOpInterfaceMethods<DestinationStyleOpInterface>,
    MoE_ReifyShapes]> {
  let summary = "Add rows in expert order back to their tokens";
  let description = [{
    `result[t] = init[t] + sum of weight * row` over the rows of `t`, in
    ascending expert index, one FMA per element and row. With `apply = input`
    the weights were multiplied in before, and the factor is 1.
  }];
  let arguments = (ins 2DTensorOf<[F32]>:$rows, MoE_AssignmentType:$assignment,
                       2DTensorOf<[F32]>:$init,
                       DefaultValuedAttr<MoE_ApplyAttr,
                           "::mlir::moe::Apply::Output">:$apply);
  let results = (outs 2DTensorOf<[F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $assignment `outs` `(` $init `)` (`apply` `=` `` $apply^)?
        attr-dict `:` type($rows) `,` qualified(type($assignment)) `->`
        type($result)
  }];
  let hasVerifier = 1;
}

def MoE_YieldOp : MoE_Op<"yield", [Pure, ReturnLike, Terminator,
    ParentOneOf<["LayerOp", "ExpertsOp", "GroupedMatmulOp",
                 "PackedMatmulOp"]>]> {
  let summary = "End an expert or an epilogue";
  let arguments = (ins AnyType:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

def MoE_ParameterOp : MoE_Op<"parameter", [
    Symbol, HasParent<"::mlir::ModuleOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A weight that is bound when the compiled model is loaded";
  let description = [{
    Names the checkpoint tensors that make up a weight; its values are nowhere
    in the IR. Without `panels` the sources lie one after another. With `pack`,
    a function lays them out when they are loaded. Spec: moe.parameter.
    ```mlir
    moe.parameter @experts.up : tensor<2x6x4xbf16> from [
        #moe.source<"experts.0.up.weight", tensor<6x4xbf16>, first = 0,
                    count = 1, part = 0>,
        #moe.source<"experts.1.up.weight", tensor<6x4xbf16>, first = 1,
                    count = 1, part = 0>]
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       TypeAttrOf<AnyStaticShapeTensor>:$type,
                       TypedArrayAttrBase<MoE_SourceAttr, "sources">:$sources,
                       OptionalAttr<MoE_PanelsAttr>:$panels,
                       OptionalAttr<FlatSymbolRefAttr>:$pack);
  let assemblyFormat = [{
    $sym_name `:` $type `from` $sources (`panels` `` $panels^)?
        (`pack` `=` $pack^)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    static constexpr bool isDeclaration() { return false; }
    ::mlir::RankedTensorType getTensorType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getType());
    }
  }];
}

def MoE_ParameterRefOp : MoE_Op<"parameter_ref", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The value of a parameter";
  let arguments = (ins FlatSymbolRefAttr:$parameter);
  let results = (outs AnyTypeOf<[AnyStaticShapeTensor,
                                 AnyStaticShapeMemRef]>:$result);
  let assemblyFormat = "$parameter attr-dict `:` type($result)";
}

//===----------------------------------------------------------------------===//
// Level 2: ragged
//===----------------------------------------------------------------------===//

def MoE_PlanOp : MoE_StageOp<"plan"> {
  let summary = "Sort an assignment into expert order, with its inverse";
  let description = [{
    Outputs are row_token[T k], row_weight[T k], expert_offsets[E + 1],
    token_offsets[T + 1] and token_rows[T k]; M = expert_offsets[E] rows are
    defined. Row order: expert, then token, then slot. Spec: moe.plan.
  }];
  let arguments = (ins MoE_2D<[I32]>:$experts,              // [T, k]
                       MoE_2D<[F32]>:$weights,              // [T, k]
                       I64Attr:$num_experts,
                       Variadic<MoE_1D<[I32, F32]>>:$outs);
  let assemblyFormat = [{
    $experts `,` $weights `experts` `=` $num_experts
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($experts) `,` type($weights) (`->` type($results)^)?
  }];
}

def MoE_ListEntriesOp : MoE_StageOp<"list_entries"> {
  let summary = "moe.assignment_entries on index and weight tensors";
  let arguments = (ins MoE_2D<[I32]>:$experts,              // [T, k]
                       MoE_2D<[F32]>:$weights,              // [T, k]
                       I64Attr:$num_experts,
                       Variadic<MoE_1D<[I64, F32]>>:$outs); // [T k] * 3, [1]
  let assemblyFormat = [{
    $experts `,` $weights `experts` `=` $num_experts
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($experts) `,` type($weights) (`->` type($results)^)?
  }];
}

def MoE_RowTilesOp : MoE_StageOp<"row_tiles"> {
  let summary = "The list of work: at most `tile` rows of one expert each";
  let description = [{
    The m rows of an expert are cut into ceil(m / tile) tiles whose sizes differ
    by at most one: tile i has rows m i / n to m (i + 1) / n. `tiles` has, for
    each, expert, first row, rows, and how many tiles of this expert are left,
    itself included; `count` how many tiles there are. `max_rows` bounds the
    rows of all experts together. Spec: moe.row_tiles.
    ```mlir
    %tiles, %n = moe.row_tiles %offsets, tile = 6, max_rows = %m
        : tensor<9xi32> -> tensor<?x4xi32>, tensor<1xi32>
    ```
  }];
  let arguments = (ins MoE_1D<[I32]>:$offsets,              // [E + 1]
                       I64Attr:$tile, Index:$max_rows,
                       Variadic<MoE_ShapedOf<[I32], [1, 2]>>:$outs);
  let assemblyFormat = [{
    $offsets `,` `tile` `=` $tile `,` `max_rows` `=` $max_rows
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($offsets) (`->` type($results)^)?
  }];
}

def MoE_GatherRowsOp : MoE_StageOp<"gather_rows", [AttrSizedOperandSegments]> {
  let summary = "rows[r] = x[row_token[r]] for r < offsets[E]";
  let description = [{
    With `weights(%row_weight)`, each row is multiplied by its weight:
    `apply = input`. Rows from `offsets[E]` on are left alone.
  }];
  let arguments = (ins MoE_2D<[F32]>:$x,                    // [T, H]
                       MoE_1D<[I32]>:$row_token,            // [T k]
                       MoE_1D<[I32]>:$offsets,              // [E + 1]
                       Optional<MoE_1D<[F32]>>:$row_weight, // [T k]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T k, H]
  let assemblyFormat = [{
    $x `[` $row_token `]` `groups` `(` $offsets `)`
        (`weights` `(` $row_weight^ `:` type($row_weight) `)`)?
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($x) `,` type($row_token) `,` type($offsets)
        (`->` type($results)^)?
  }];
}

def MoE_GroupedMatmulOp : MoE_StageOp<"grouped_matmul", [
    IsolatedFromAbove, AttrSizedOperandSegments]> {
  let summary = "One product per expert over its rows, with a scalar epilogue";
  let description = [{
    For every expert `e`, row `r` of its group and column `n`:
    `out[r, n] = epilogue(sum_k a[r, k] b0[e, n, k] + bias0[e, n], ...)`, one
    epilogue argument per matrix. Each sum is one FMA chain in ascending `k`
    from 0. `gather(%row_token)` reads row `row_token[r]` of `a` instead of
    row `r`. `scatter(%row_token, %row_weight)` adds `row_weight[r]` times the
    value to `out[row_token[r], n]`, in ascending `r`, instead of storing it.
    Narrow values of `a` are widened exactly; a narrow result is rounded to
    nearest even when it is stored. Spec: moe.grouped_matmul.
    ```mlir
    %h = moe.grouped_matmul %rows groups(%offsets : tensor<9xi32>)
        weights(%gate, %up : tensor<8x6x4xf32>, tensor<8x6x4xf32>)
        : tensor<?x4xf32> -> tensor<?x6xf32> {
    ^bb0(%g: f32, %u: f32):
      %0 = nn.silu %g : f32
      %1 = nn.mul %0, %u : f32
      moe.yield %1 : f32
    }
    ```
  }];
  let arguments = (ins MoE_2D<MoE_WeightTypes>:$a,          // [M, K]
                       MoE_1D<[I32]>:$offsets,              // [E + 1]
                       Variadic<MoE_ShapedOf<MoE_WeightTypes, [3]>>:$bs,
                                                            // [E, N, K]
                       Variadic<MoE_2D<MoE_WeightTypes>>:$biases, // [E, N]
                       Optional<MoE_1D<[I32]>>:$gather,     // [M]
                       Variadic<MoE_1D<[I32, F32]>>:$scatter, // [M] twice
                       Variadic<MoE_2D<MoE_WeightTypes>>:$outs); // [M or T, N]
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    $a `groups` `(` $offsets `:` type($offsets) `)`
        `weights` `(` $bs `:` type($bs) `)`
        (`biases` `(` $biases^ `:` type($biases) `)`)?
        (`gather` `(` $gather^ `:` type($gather) `)`)?
        (`scatter` `(` $scatter^ `:` type($scatter) `)`)?
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($a) (`->` type($results)^)? $epilogue
  }];
  let hasRegionVerifier = 1;
}

def MoE_CombineRowsOp : MoE_StageOp<"combine_rows", [AttrSizedOperandSegments]> {
  let summary = "out[t] += sum of row_weight[r] * rows[r] over the rows of t";
  let description = [{
    One FMA per element and row, in ascending expert index; without
    `weights(...)` the factor is 1. The destination is required.
  }];
  let arguments = (ins MoE_2D<[F32]>:$rows,                 // [T k, H]
                       Optional<MoE_1D<[F32]>>:$row_weight, // [T k]
                       MoE_1D<[I32]>:$token_offsets,        // [T + 1]
                       MoE_1D<[I32]>:$token_rows,           // [T k]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T, H]
  let assemblyFormat = [{
    $rows (`weights` `(` $row_weight^ `:` type($row_weight) `)`)?
        `tokens` `(` $token_offsets `,` $token_rows `)`
        `outs` `(` $outs `:` type($outs) `)` attr-dict
        `:` type($rows) `,` type($token_offsets) `,` type($token_rows)
        (`->` type($results)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Level 3: packed weights and parallel loops
//===----------------------------------------------------------------------===//

def MoE_PackedMatmulOp : MoE_StageOp<"packed_matmul", [
    IsolatedFromAbove, AttrSizedOperandSegments]> {
  let summary = "moe.grouped_matmul or nn.linear with packed weights";
  let description = [{
    As `moe.grouped_matmul`, with all matrices in one packed parameter, and the
    rows of each expert cut into tiles. Without `tiles` there is one group of
    all rows. `accumulate` adds to the destination: `out = out + value`, one
    addition after the chain.
  }];
  let arguments = (ins MoE_2D<[F32]>:$a,                    // [M, K]
                       MoE_ShapedOf<MoE_WeightTypes, [4]>:$b,
                                                            // [G, P, K, NR]
                       MoE_PanelsAttr:$panels,
                       I64Attr:$tile_rows,
                       UnitAttr:$accumulate,
                       Variadic<MoE_ShapedOf<[I32], [1, 2]>>:$tiles,
                                                            // [NT, 4], [1]
                       Variadic<MoE_2D<MoE_WeightTypes>>:$biases, // [G, N]
                       Optional<MoE_1D<[I32]>>:$gather,     // [M]
                       Variadic<MoE_1D<[I32, F32]>>:$scatter, // [M] twice
                       Variadic<MoE_2D<[F32]>>:$outs);      // [M or T, N]
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    $a `,` $b `panels` `` $panels `tile_rows` `=` $tile_rows
        (`accumulate` $accumulate^)?
        (`tiles` `(` $tiles^ `:` type($tiles) `)`)?
        (`biases` `(` $biases^ `:` type($biases) `)`)?
        (`gather` `(` $gather^ `:` type($gather) `)`)?
        (`scatter` `(` $scatter^ `:` type($scatter) `)`)?
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($a) `,` type($b) (`->` type($results)^)? $epilogue
  }];
  let hasRegionVerifier = 1;
}

def MoE_ParallelOp : MoE_Op<"parallel", [
    SingleBlockImplicitTerminator<"EndOp">, RecursiveMemoryEffects]> {
  let summary = "A loop whose iterations are cut into ranges for threads";
  let description = [{
    Runs the region on disjoint ranges [begin, end) that cover [0, size), in
    any order and at the same time. What it stores must not depend on the cut.
    ```mlir
    moe.parallel (%begin, %end) in %size {
      ...
    }
    ```
  }];
  let arguments = (ins Index:$size);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::mlir::Value":$size)>];
  let extraClassDeclaration = [{
    ::mlir::BlockArgument getBegin() { return getBody().getArgument(0); }
    ::mlir::BlockArgument getEnd() { return getBody().getArgument(1); }
  }];
}

def MoE_EndOp : MoE_Op<"end", [Pure, Terminator, HasParent<"ParallelOp">]> {
  let summary = "End the body of a parallel loop";
  let assemblyFormat = "attr-dict";
}
#endif // MOE_DIALECT_MOE_IR_MOEOPS_TD
