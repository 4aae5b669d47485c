//===- Unusable.td - Policies without a usable reference --*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef UNUSABLE_TD
#define UNUSABLE_TD
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe/Dialect/MoE/IR/MoEInterfaces.td"

def Unusable_Dialect : Dialect {
  let name = "unusable";
  let cppNamespace = "::unusable";
}

class Unusable_Op<string mnemonic, list<Trait> traits>
    : Op<Unusable_Dialect, mnemonic, !listconcat([Pure], traits)> {
  let arguments = (ins 2DTensorOf<[F32]>:$logits);
  let results = (outs 2DTensorOf<[I32]>:$indices);
  let assemblyFormat = "$logits attr-dict `:` type($logits) `->` type($indices)";
}

def Unusable_NoneOp : Unusable_Op<"none", [
    DeclareOpInterfaceMethods<MoE_RoutingOpInterface>]> {
  let summary = "A policy without a reference";
}

def Unusable_TypesOp : Unusable_Op<"types", [
    DeclareOpInterfaceMethods<MoE_RoutingOpInterface, ["buildReference"]>]> {
  let summary = "A policy whose reference has other types";
}
#endif // UNUSABLE_TD
