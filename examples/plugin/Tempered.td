//===- Tempered.td - A routing policy as a plugin ---------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef TEMPERED_TD
#define TEMPERED_TD
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe/Dialect/MoE/IR/MoEInterfaces.td"

def Tempered_Dialect : Dialect {
  let name = "tempered";
  let cppNamespace = "::tempered";
}

def Tempered_TopKOp : Op<Tempered_Dialect, "top_k", [
    Pure,
    DeclareOpInterfaceMethods<MoE_RoutingOpInterface,
                              ["buildReference", "hasExactReference"]>,
    DeclareOpInterfaceMethods<MoE_InterpretableOpInterface>]> {
  let summary = "softmax(temperature * logits), then the k best, normalised";
  let description = [{
    ```mlir
    %i, %w = tempered.top_k %z, k = 2, temperature = 0.5
        : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
    ```
  }];
  let arguments = (ins 2DTensorOf<[F32]>:$logits,  // [T, E]
                       I64Attr:$k, F64Attr:$temperature);
  let results = (outs 2DTensorOf<[I32]>:$indices,  // [T, k]
                      2DTensorOf<[F32]>:$weights); // [T, k]
  let assemblyFormat = [{
    $logits `,` `k` `=` $k `,` `temperature` `=` $temperature attr-dict
        `:` type($logits) `->` type($indices) `,` type($weights)
  }];
  let hasVerifier = 1;
}
#endif // TEMPERED_TD
