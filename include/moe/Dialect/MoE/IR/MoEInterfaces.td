//===- MoEInterfaces.td - Interfaces of MoE ops -----------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_MOE_IR_MOEINTERFACES_TD
#define MOE_DIALECT_MOE_IR_MOEINTERFACES_TD
include "mlir/IR/Interfaces.td"

def MoE_RoutingOpInterface : OpInterface<"RoutingOpInterface"> {
  let cppNamespace = "::mlir::moe";
  let description = [{
    A stage that chooses experts. What a pass may know about a policy without
    knowing its name; a plugin's op implements it.
  }];
  let methods = [
    InterfaceMethod<"Most experts that one token can have.",
                    "int64_t", "getMaxExpertsPerToken">,
    InterfaceMethod<[{
      Whether the ops of `buildReference` give the same bits as this op.
    }], "bool", "hasExactReference", (ins), "", "return true;">,
    InterfaceMethod<[{
      Whether the slots of a token are ordered by falling rank.
    }], "bool", "hasRankedSlots", (ins), "", "return true;">,
    InterfaceMethod<[{
      Builds this op's results from the stage ops of the moe dialect. Fails,
      leaving the IR alone, on an op that is a stage of its own.
    }], "::llvm::FailureOr<::llvm::SmallVector<::mlir::Value>>",
        "buildReference", (ins "::mlir::OpBuilder &":$builder), "",
        "return failure();">,
    InterfaceMethod<[{
      Scalar operations per token, for cost models; a rough count.
    }], "int64_t", "getCostPerToken", (ins), "", "return 0;">
  ];
}

def MoE_InterpretableOpInterface : OpInterface<"InterpretableOpInterface"> {
  let cppNamespace = "::mlir::moe";
  let description = "An op that the interpreter can execute.";
  let methods = [
    InterfaceMethod<[{
      Reads the operands from `interpreter` and sets the results in it.
    }], "::llvm::LogicalResult", "interpret",
        (ins "::mlir::moe::Interpreter &":$interpreter)>
  ];
}

def MoE_DestinationOpInterface : OpInterface<"DestinationOpInterface"> {
  let cppNamespace = "::mlir::moe";
  let description = [{
    An op with as many outputs as `getOutputTypes` returns. On level 1 it has
    tensor results and no `outs`; with destinations it has `outs` and a tensor
    result for each; on memrefs it has `outs` only.
  }];
  let methods = [
    InterfaceMethod<"The destinations, possibly none, always last.",
                    "::mlir::MutableOperandRange", "getOutsMutable">,
    InterfaceMethod<[{
      The types that outputs must have, as tensors; `?` where unknown.
    }], "::llvm::SmallVector<::mlir::RankedTensorType>", "getOutputTypes">,
    InterfaceMethod<[{
      The sizes of every output, built from operands.
    }], "::llvm::SmallVector<::llvm::SmallVector<::mlir::OpFoldResult>>",
        "buildOutputSizes", (ins "::mlir::OpBuilder &":$builder)>,
    InterfaceMethod<[{
      Whether old values of destination `output` matter.
    }], "bool", "readsDestination", (ins "unsigned":$output)>
  ];
}
#endif // MOE_DIALECT_MOE_IR_MOEINTERFACES_TD
