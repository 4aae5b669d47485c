//===- MoE.h - The MoE dialect ----------------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_MOE_IR_MOE_H
#define MOE_DIALECT_MOE_IR_MOE_H
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/Support/MathExtras.h"
#include <limits>

namespace mlir::moe {
class Interpreter;
} // namespace mlir::moe

#include "moe/Dialect/MoE/IR/MoEDialect.h.inc"
#include "moe/Dialect/MoE/IR/MoEEnums.h.inc"
#include "moe/Dialect/MoE/IR/MoEInterfaces.h.inc"
#define GET_ATTRDEF_CLASSES
#include "moe/Dialect/MoE/IR/MoEAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "moe/Dialect/MoE/IR/MoETypes.h.inc"
#define GET_OP_CLASSES
#include "moe/Dialect/MoE/IR/MoEOps.h.inc"

namespace mlir::moe {
/// Most vectors in a row of a panel, and most rows of a tile: kernels are
/// straight-line code in both.
constexpr int64_t kMaxPanelVectors = 64, kMaxTileRows = 64;

/// Element type of a product's result or destination if it may be that: bf16,
/// f16 or else f32.
Type getProductType(DestinationOpInterface op);

/// The verifier of DestinationOpInterface: tensors or memrefs but no mixture,
/// and outputs of the types that the op asks for.
LogicalResult verifyDestinationOp(DestinationOpInterface op);
/// Reads every memref operand and writes the destinations; nothing on tensors.
void getDestinationOpEffects(
    DestinationOpInterface op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects);
/// A tensor type with these sizes.
inline RankedTensorType tensorOf(ArrayRef<int64_t> shape, Type element) {
  return RankedTensorType::get(shape, element);
}
/// Size `i` of a tensor or memref; kDynamic if unknown.
inline int64_t sizeOf(Value value, unsigned i) {
  return cast<ShapedType>(value.getType()).getDimSize(i);
}
/// Size `i` of a tensor or memref as an attribute or a new dim op.
OpFoldResult buildSize(OpBuilder &b, Location loc, Value value, unsigned i);
/// a * b, folded where both are known.
OpFoldResult buildProduct(OpBuilder &b, Location loc, OpFoldResult x,
                          OpFoldResult y);
/// The product of two sizes that may be dynamic; too large ones stay at the
/// largest number, which no tensor has.
inline int64_t mulSizes(int64_t x, int64_t y) {
  if (ShapedType::isDynamic(x) || ShapedType::isDynamic(y))
    return ShapedType::kDynamic;
  int64_t product;
  return llvm::MulOverflow(x, y, product) ? std::numeric_limits<int64_t>::max()
                                          : product;
}
/// Fails with a diagnostic unless the two sizes may be equal.
LogicalResult verifySameSize(Operation *op, int64_t x, const Twine &nameX,
                             int64_t y, const Twine &nameY);
} // namespace mlir::moe
#endif // MOE_DIALECT_MOE_IR_MOE_H
