//===- MoEBase.td - Classes that moe and nn ops share -----*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_MOE_IR_MOEBASE_TD
#define MOE_DIALECT_MOE_IR_MOEBASE_TD
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe/Dialect/MoE/IR/MoEInterfaces.td"

/// Tensor before bufferisation, memref after it.
class MoE_ShapedOf<list<Type> types, list<int> ranks>
    : AnyTypeOf<[TensorRankOf<types, ranks>, MemRefRankOf<types, ranks>]>;
class MoE_1D<list<Type> types> : MoE_ShapedOf<types, [1]>;
class MoE_2D<list<Type> types> : MoE_ShapedOf<types, [2]>;
/// Weights keep the type that the checkpoint has; arithmetic is in f32.
defvar MoE_WeightTypes = [F32, F16, BF16];

/// An op with optional destinations: see DestinationOpInterface. Its last
/// operand group is `outs`, its results are the group `results`.
class MoE_KernelOp<Dialect dialect, string mnemonic, list<Trait> traits = []>
    : Op<dialect, mnemonic, !listconcat(traits, [
        AlwaysSpeculatable,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
        DeclareOpInterfaceMethods<MoE_DestinationOpInterface>])> {
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let hasVerifier = 1;
}
#endif // MOE_DIALECT_MOE_IR_MOEBASE_TD
