//===- MoEDialect.td - The MoE dialect and its types ------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_MOE_IR_MOEDIALECT_TD
#define MOE_DIALECT_MOE_IR_MOEDIALECT_TD
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def MoE_Dialect : Dialect {
  let name = "moe";
  let summary = "Mixture-of-Experts graphs, from routing to ragged kernels";
  let description = [{
    Level 1 says what a model computes: routing is a chain of stage ops, a
    whole layer is one op. Level 2 has explicit index maps: rows in expert
    order, one product per expert. Level 3 holds what code generation needs:
    packed weights and parallel loops. Normative text: docs/Spec.md.
  }];
  let cppNamespace = "::mlir::moe";
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
  let extraClassDeclaration = [{
    /// Argument or result of a public function: its name outside. StringAttr.
    static constexpr ::llvm::StringLiteral kNameAttr = "moe.name";
    /// Its shape outside: an array of integers (sizes) and strings (symbols
    /// such as "B"). Leading sizes may be merged in the IR's type.
    static constexpr ::llvm::StringLiteral kShapeAttr = "moe.shape";
    /// Integer argument: values lie in [0, limit). IntegerAttr.
    static constexpr ::llvm::StringLiteral kLimitAttr = "moe.limit";
    /// Result that is computed on demand only. UnitAttr.
    static constexpr ::llvm::StringLiteral kOptionalAttr = "moe.optional";
    /// Result whose first size is a bound: the name of the result that counts
    /// the entries in use. StringAttr.
    static constexpr ::llvm::StringLiteral kCountAttr = "moe.count";
    /// Argument that the session keeps from call to call, updated by the
    /// result with the same moe.name. UnitAttr on the argument.
    static constexpr ::llvm::StringLiteral kStateAttr = "moe.state";
    /// Argument [B] with the tokens of each row in the session's state.
    static constexpr ::llvm::StringLiteral kLengthsAttr = "moe.lengths";
    /// On the module: "mixtral", "moe_layer", ...
    static constexpr ::llvm::StringLiteral kModelAttr = "moe.model";
    /// On the module: longest sequence, vocabulary entries. IntegerAttr.
    static constexpr ::llvm::StringLiteral kMaxLengthAttr = "moe.max_length";
    static constexpr ::llvm::StringLiteral kVocabSizeAttr = "moe.vocab_size";
    /// On a module in the llvm dialect: its parameters in the order of the
    /// context's table. See moe-emit-entry-points.
    static constexpr ::llvm::StringLiteral kParamsAttr = "moe.params";
    /// On @f.arena_size: for each of its arguments the number of an argument of
    /// @f and the dimension that it is, or -1 for the value. DenseI64ArrayAttrs.
    static constexpr ::llvm::StringLiteral kArenaLeavesAttr =
        "moe.arena_leaves";
    /// On a kernel: bytes of dynamic shared memory that a launch asks for.
    /// IntegerAttr.
    static constexpr ::llvm::StringLiteral kDynamicSharedAttr =
        "moe.dynamic_shared";
    /// On a kernel: it may start before the one in front of it has ended.
    /// UnitAttr.
    static constexpr ::llvm::StringLiteral kOverlapsAttr = "moe.overlaps";
    /// On a kernel whose blocks take work until there is none: how many of
    /// them a multiprocessor holds at once. IntegerAttr.
    static constexpr ::llvm::StringLiteral kResidentBlocksAttr =
        "moe.resident_blocks";
    /// On a kernel: it adds in no fixed order. UnitAttr.
    static constexpr ::llvm::StringLiteral kUnorderedAttr = "moe.unordered";
    /// On a kernel: a stack and spills are a warning, not an error. UnitAttr.
    static constexpr ::llvm::StringLiteral kAllowStackAttr = "moe.allow_stack";
  }];
}

class MoE_Op<string mnemonic, list<Trait> traits = []>
    : Op<MoE_Dialect, mnemonic, traits>;

def MoE_AssignmentType : TypeDef<MoE_Dialect, "Assignment"> {
  let mnemonic = "assignment";
  let summary = "Which experts every token goes to, and with which weight";
  let description = [{
    `experts` experts, at most `max_per_token` of them per token. Constraints:
    (C1) `1 <= experts < 2^31 - 1`; (C2) `1 <= max_per_token < 2^31 - 1`.
  }];
  let parameters = (ins "int64_t":$experts, "int64_t":$maxPerToken);
  let assemblyFormat = [{
    `<` `experts` `=` $experts `,` `max_per_token` `=` $maxPerToken `>`
  }];
  let genVerifyDecl = 1;
}

def MoE_ScoreFn : I32EnumAttr<"ScoreFn", "router scoring function", [
    I32EnumAttrCase<"Softmax", 0, "softmax">,
    I32EnumAttrCase<"Sigmoid", 1, "sigmoid">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}
def MoE_ScoreFnAttr : EnumAttr<MoE_Dialect, MoE_ScoreFn, "score_fn">;

def MoE_Apply : I32EnumAttr<"Apply", "where combine weights are applied", [
    I32EnumAttrCase<"Output", 0, "output">,
    I32EnumAttrCase<"Input", 1, "input">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}
def MoE_ApplyAttr : EnumAttr<MoE_Dialect, MoE_Apply, "apply">;

def MoE_SourceAttr : AttrDef<MoE_Dialect, "Source"> {
  let mnemonic = "source";
  let summary = "One checkpoint tensor that goes into a parameter";
  let description = [{
    `tensor` of type `type` fills `count` leading indices of the parameter from
    `first` on. `part` tells apart the matrices of one packing (0: gate, 1: up).
    ```mlir
    #moe.source<"experts.3.up.weight", tensor<768x2048xbf16>, first = 3,
                count = 1, part = 0>
    ```
  }];
  let parameters = (ins StringRefParameter<"name in the checkpoint">:$tensor,
                        "::mlir::RankedTensorType":$type, "int64_t":$first,
                        "int64_t":$count, "int64_t":$part);
  let assemblyFormat = [{
    `<` $tensor `,` $type `,` `first` `=` $first `,` `count` `=` $count `,`
        `part` `=` $part `>`
  }];
  let genVerifyDecl = 1;
}

def MoE_PanelsAttr : AttrDef<MoE_Dialect, "Panels"> {
  let mnemonic = "panels";
  let summary = "How a parameter is packed into column panels";
  let description = [{
    `parts` matrices [G, N, K] become one [G, P, K, parts * W] with panels of
    W = `lanes * vectors` columns each: element (g, n, k) of part p lies at
    [g, n div W, k, p * W + n mod W]. Columns from N on are zero.

    With bf16 elements every 2 * `lanes` neighbours (j of one vector, j of the
    next) are interleaved, so that one 32-bit word holds both: see Packing.md.
  }];
  let parameters = (ins "int64_t":$columns, "int64_t":$parts,
                        "int64_t":$lanes, "int64_t":$vectors);
  let assemblyFormat = [{
    `<` `columns` `=` $columns `,` `parts` `=` $parts `,` `lanes` `=` $lanes
        `,` `vectors` `=` $vectors `>`
  }];
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Columns of one matrix in a panel.
    int64_t getWidth() { return getLanes() * getVectors(); }
    /// Panels of one group, the last one possibly part-filled.
    int64_t getNumPanels() { return (getColumns() - 1) / getWidth() + 1; }
    /// Whether neighbouring vectors of these elements share 32-bit words.
    bool isPaired(::mlir::Type element) {
      return element.isBF16() && getParts() * getVectors() % 2 == 0;
    }
  }];
}
#endif // MOE_DIALECT_MOE_IR_MOEDIALECT_TD
