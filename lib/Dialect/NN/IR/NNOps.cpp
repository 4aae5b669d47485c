//===- NNOps.cpp - Verifiers and shapes of NN ops -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/Builders.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"
#include "moe/Dialect/NN/IR/NN.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::nn;

using Sizes = SmallVector<SmallVector<OpFoldResult>>;

/// What every op with destinations shares; the rest follows per op.
#define NN_KERNEL_OP(OpTy)                                                     \
  void OpTy::getEffects(                                                       \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    getDestinationOpEffects(cast<DestinationOpInterface>(getOperation()),      \
                            effects);                                          \
  }
NN_KERNEL_OP(LinearOp)
NN_KERNEL_OP(EmbeddingOp)
NN_KERNEL_OP(RMSNormOp)
NN_KERNEL_OP(RotaryTableOp)
NN_KERNEL_OP(RotaryOp)
NN_KERNEL_OP(CacheAppendOp)
NN_KERNEL_OP(AttentionOp)
NN_KERNEL_OP(LastRowsOp)
#undef NN_KERNEL_OP

static LogicalResult verifyOutputs(Operation *op) {
  return verifyDestinationOp(cast<DestinationOpInterface>(op));
}

/// B * S rows for ids [B, S].
static OpFoldResult buildRows(OpBuilder &b, Location loc, Value ids) {
  return buildProduct(b, loc, buildSize(b, loc, ids, 0),
                      buildSize(b, loc, ids, 1));
}
static int64_t numRows(Value ids) {
  return mulSizes(sizeOf(ids, 0), sizeOf(ids, 1));
}

//===----------------------------------------------------------------------===//
// LinearOp
//===----------------------------------------------------------------------===//

SmallVector<RankedTensorType> LinearOp::getOutputTypes() {
  // linear_c4: a residual is not rounded.
  Type element =
      getAccumulate() ? Float32Type::get(getContext()) : getProductType(*this);
  return {tensorOf({sizeOf(getX(), 0), sizeOf(getWeight(), 0)}, element)};
}
Sizes LinearOp::buildOutputSizes(OpBuilder &b) {
  return {{buildSize(b, getLoc(), getX(), 0),
           buildSize(b, getLoc(), getWeight(), 0)}};
}
bool LinearOp::readsDestination(unsigned) { return getAccumulate(); }

LogicalResult LinearOp::verify() {
  // linear_c1
  if (failed(verifySameSize(*this, sizeOf(getX(), 1), "columns of x",
                            sizeOf(getWeight(), 1), "columns of weight")))
    return failure();
  // linear_c2
  if (getBias() &&
      failed(verifySameSize(*this, sizeOf(getBias(), 0), "length of bias",
                            sizeOf(getWeight(), 0), "rows of weight")))
    return failure();
  // linear_c3
  if (getAccumulate() && getOuts().empty())
    return emitOpError("accumulate needs a destination");
  return verifyOutputs(*this);
}

//===----------------------------------------------------------------------===//
// EmbeddingOp
//===----------------------------------------------------------------------===//

SmallVector<RankedTensorType> EmbeddingOp::getOutputTypes() {
  return {tensorOf({numRows(getIds()), sizeOf(getTable(), 1)},
                   Float32Type::get(getContext()))};
}
Sizes EmbeddingOp::buildOutputSizes(OpBuilder &b) {
  return {{buildRows(b, getLoc(), getIds()),
           buildSize(b, getLoc(), getTable(), 1)}};
}
bool EmbeddingOp::readsDestination(unsigned) { return false; }
LogicalResult EmbeddingOp::verify() { return verifyOutputs(*this); }

//===----------------------------------------------------------------------===//
// RMSNormOp
//===----------------------------------------------------------------------===//

SmallVector<RankedTensorType> RMSNormOp::getOutputTypes() {
  return {tensorOf(cast<ShapedType>(getX().getType()).getShape(),
                   Float32Type::get(getContext()))};
}
Sizes RMSNormOp::buildOutputSizes(OpBuilder &b) {
  return {
      {buildSize(b, getLoc(), getX(), 0), buildSize(b, getLoc(), getX(), 1)}};
}
bool RMSNormOp::readsDestination(unsigned) { return false; }
LogicalResult RMSNormOp::verify() {
  // rms_norm_c1
  if (failed(verifySameSize(*this, sizeOf(getX(), 1), "columns of x",
                            sizeOf(getWeight(), 0), "length of weight")))
    return failure();
  // rms_norm_c2
  if (getEps().isNegative() || !getEps().isFinite())
    return emitOpError("eps must be finite and not negative");
  return verifyOutputs(*this);
}

//===----------------------------------------------------------------------===//
// RotaryTableOp, RotaryOp
//===----------------------------------------------------------------------===//

SmallVector<RankedTensorType> RotaryTableOp::getOutputTypes() {
  auto type = tensorOf({numRows(getIds()), int64_t(getInvFreq().size())},
                       Float32Type::get(getContext()));
  return {type, type};
}
Sizes RotaryTableOp::buildOutputSizes(OpBuilder &b) {
  SmallVector<OpFoldResult> sizes{buildRows(b, getLoc(), getIds()),
                                  b.getIndexAttr(getInvFreq().size())};
  return {sizes, sizes};
}
bool RotaryTableOp::readsDestination(unsigned) { return false; }
LogicalResult RotaryTableOp::verify() {
  // rotary_table_c1
  if (getInvFreq().empty())
    return emitOpError("inv_freq must not be empty");
  // rotary_table_c2
  if (!llvm::all_of(getInvFreq(), [](float f) { return std::isfinite(f); }))
    return emitOpError("inv_freq must be finite");
  // rotary_table_c3
  if (failed(verifySameSize(*this, sizeOf(getIds(), 0), "rows of ids",
                            sizeOf(getLengths(), 0), "length of lengths")))
    return failure();
  return verifyOutputs(*this);
}

SmallVector<RankedTensorType> RotaryOp::getOutputTypes() {
  return {tensorOf(cast<ShapedType>(getX().getType()).getShape(),
                   Float32Type::get(getContext()))};
}
Sizes RotaryOp::buildOutputSizes(OpBuilder &b) {
  return {
      {buildSize(b, getLoc(), getX(), 0), buildSize(b, getLoc(), getX(), 1)}};
}
bool RotaryOp::readsDestination(unsigned) { return false; }
LogicalResult RotaryOp::verify() {
  // rotary_c1
  if (int64_t(getHeads()) < 1)
    return emitOpError("heads must be at least 1, got ") << int64_t(getHeads());
  // rotary_c2
  for (Value table : {getCos(), getSin()})
    if (failed(
            verifySameSize(*this, sizeOf(getX(), 1), "columns of x",
                           mulSizes(getHeads(), mulSizes(2, sizeOf(table, 1))),
                           "2 * heads * columns of the table")) ||
        failed(verifySameSize(*this, sizeOf(getX(), 0), "rows of x",
                              sizeOf(table, 0), "rows of the table")))
      return failure();
  return verifyOutputs(*this);
}

//===----------------------------------------------------------------------===//
// CacheAppendOp, AttentionOp
//===----------------------------------------------------------------------===//

SmallVector<RankedTensorType> CacheAppendOp::getOutputTypes() {
  return {
      tensorOf(getOuts().empty()
                   ? SmallVector<int64_t>(5, ShapedType::kDynamic)
                   : SmallVector<int64_t>(
                         cast<ShapedType>(getOuts()[0].getType()).getShape()),
               Float32Type::get(getContext()))};
}
Sizes CacheAppendOp::buildOutputSizes(OpBuilder &b) {
  SmallVector<OpFoldResult> sizes;
  for (unsigned i = 0; i < 5; ++i)
    sizes.push_back(buildSize(b, getLoc(), getOuts()[0], i));
  return {sizes};
}
bool CacheAppendOp::readsDestination(unsigned) { return true; }
LogicalResult CacheAppendOp::verify() {
  // cache_append_c1
  if (getOuts().size() != 1)
    return emitOpError("needs the cache as destination");
  Value cache = getOuts()[0];
  // cache_append_c2
  if (failed(verifySameSize(*this, sizeOf(getX(), 1), "columns of x",
                            mulSizes(sizeOf(cache, 3), sizeOf(cache, 4)),
                            "heads * head size of the cache")))
    return failure();
  // cache_append_c3
  if (failed(verifySameSize(*this, sizeOf(getLengths(), 0), "length of lengths",
                            sizeOf(cache, 1), "sequences of the cache")))
    return failure();
  return verifyOutputs(*this);
}

SmallVector<RankedTensorType> AttentionOp::getOutputTypes() {
  return {tensorOf(cast<ShapedType>(getQ().getType()).getShape(),
                   Float32Type::get(getContext()))};
}
Sizes AttentionOp::buildOutputSizes(OpBuilder &b) {
  return {
      {buildSize(b, getLoc(), getQ(), 0), buildSize(b, getLoc(), getQ(), 1)}};
}
bool AttentionOp::readsDestination(unsigned) { return false; }
LogicalResult AttentionOp::verify() {
  // attention_c1
  if (failed(verifyCompatibleShape(getKeys().getType(), getValues().getType())))
    return emitOpError("keys ") << getKeys().getType() << " and values "
                                << getValues().getType() << " differ in shape";
  // attention_c2
  int64_t heads = getHeads(), kvHeads = sizeOf(getKeys(), 3);
  if (heads < 1 || ShapedType::isDynamic(kvHeads) || kvHeads < 1 ||
      heads % kvHeads)
    return emitOpError("heads (")
           << heads << ") must be a multiple of the key/value heads in "
           << getKeys().getType();
  // attention_c3
  if (failed(verifySameSize(*this, sizeOf(getQ(), 1), "columns of q",
                            mulSizes(heads, sizeOf(getKeys(), 4)),
                            "heads * head size")))
    return failure();
  // attention_c4
  if (getWindow() && int64_t(*getWindow()) < 1)
    return emitOpError("window must be at least 1, got ")
           << int64_t(*getWindow());
  // attention_c5
  if (failed(verifySameSize(*this, sizeOf(getLengths(), 0), "length of lengths",
                            sizeOf(getKeys(), 1), "sequences of the cache")))
    return failure();
  // attention_c6
  if (!getScale().isFinite())
    return emitOpError("scale must be finite");
  return verifyOutputs(*this);
}

//===----------------------------------------------------------------------===//
// LastRowsOp
//===----------------------------------------------------------------------===//

SmallVector<RankedTensorType> LastRowsOp::getOutputTypes() {
  return {tensorOf({sizeOf(getIds(), 0), sizeOf(getX(), 1)},
                   Float32Type::get(getContext()))};
}
Sizes LastRowsOp::buildOutputSizes(OpBuilder &b) {
  return {
      {buildSize(b, getLoc(), getIds(), 0), buildSize(b, getLoc(), getX(), 1)}};
}
bool LastRowsOp::readsDestination(unsigned) { return false; }
LogicalResult LastRowsOp::verify() {
  // last_rows_c1
  if (failed(verifySameSize(*this, sizeOf(getX(), 0), "rows of x",
                            numRows(getIds()), "tokens in ids")))
    return failure();
  return verifyOutputs(*this);
}

//===----------------------------------------------------------------------===//
// Elementwise ops: folds that hold bit for bit
//===----------------------------------------------------------------------===//

OpFoldResult ReluOp::fold(FoldAdaptor) {
  // relu(relu(x)) = relu(x)
  return getX().getDefiningOp<ReluOp>() ? getX() : Value();
}
OpFoldResult MulOp::fold(FoldAdaptor) {
  // x * 1 = x
  return matchPattern(getY(), m_OneFloat()) ? getX() : Value();
}
OpFoldResult AddOp::fold(FoldAdaptor) {
  // x + -0 = x; with +0 a negative zero would change.
  return matchPattern(getY(), m_NegZeroFloat()) ? getX() : Value();
}

#define GET_OP_CLASSES
#include "moe/Dialect/NN/IR/NNOps.cpp.inc"
