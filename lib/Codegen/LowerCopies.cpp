//===- LowerCopies.cpp - Turn memref.copy into loops ----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERCOPIES
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

static LogicalResult lowerCopy(memref::CopyOp op) {
  if (op.getSource() == op.getTarget()) {
    op.erase();
    return success();
  }
  for (Value buffer : {op.getSource(), op.getTarget()})
    if (!isa<MemRefType>(buffer.getType()))
      return op.emitOpError("cannot copy a buffer of unknown rank: ")
             << buffer.getType();
  OpBuilder b(op);
  linalg::CopyOp::create(b, op.getLoc(), op.getSource(), op.getTarget());
  op.erase();
  return success();
}

/// Whether a group of result dimensions has two dynamic sizes: upstream's
/// expand-strided-metadata (MLIR 22) crashes on T -> B x S.
static bool hasTwoDynamicSizes(memref::ExpandShapeOp op) {
  MemRefType type = op.getResultType();
  return llvm::any_of(op.getReassociationIndices(),
                      [&](ArrayRef<int64_t> dims) {
                        return llvm::count_if(dims, [&](int64_t dim) {
                                 return type.isDynamicDim(dim);
                               }) > 1;
                      });
}

/// The same view as a reinterpret_cast: sizes as given, and within a group each
/// stride is the next one times the next size.
static LogicalResult lowerExpandShape(memref::ExpandShapeOp op) {
  MemRefType type = op.getResultType();
  SmallVector<int64_t> staticStrides;
  int64_t staticOffset;
  if (failed(type.getStridesAndOffset(staticStrides, staticOffset)))
    return op.emitOpError("has no strides: ") << type;

  OpBuilder b(op);
  Location loc = op.getLoc();
  auto source = memref::ExtractStridedMetadataOp::create(b, loc, op.getSrc());
  SmallVector<OpFoldResult> sizes = op.getMixedOutputShape();
  SmallVector<OpFoldResult> sourceStrides = source.getConstifiedMixedStrides();
  SmallVector<OpFoldResult> strides(type.getRank());
  for (auto [group, sourceStride] :
       llvm::zip_equal(op.getReassociationIndices(), sourceStrides)) {
    OpFoldResult stride = sourceStride;
    for (int64_t dim : llvm::reverse(group)) {
      strides[dim] = ShapedType::isDynamic(staticStrides[dim])
                         ? stride
                         : b.getIndexAttr(staticStrides[dim]);
      if (dim != group.front())
        stride = buildProduct(b, loc, stride, sizes[dim]);
    }
  }
  OpFoldResult offset = ShapedType::isDynamic(staticOffset)
                            ? OpFoldResult(source.getOffset())
                            : b.getIndexAttr(staticOffset);
  Value cast = memref::ReinterpretCastOp::create(b, loc, type, op.getSrc(),
                                                 offset, sizes, strides);
  op.replaceAllUsesWith(cast);
  op.erase();
  return success();
}

namespace {
struct LowerCopies : public moe::impl::LowerCopiesBase<LowerCopies> {
  void runOnOperation() override {
    WalkResult result = getOperation().walk([](Operation *op) {
      if (auto copy = dyn_cast<memref::CopyOp>(op))
        return WalkResult(lowerCopy(copy));
      if (auto expand = dyn_cast<memref::ExpandShapeOp>(op);
          expand && hasTwoDynamicSizes(expand))
        return WalkResult(lowerExpandShape(expand));
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
