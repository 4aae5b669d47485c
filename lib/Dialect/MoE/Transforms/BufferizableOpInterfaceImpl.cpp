//===- BufferizableOpInterfaceImpl.cpp - Bufferisation models -------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Dialect/MoE/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Utils/StructuredOpsUtils.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/NN/IR/NN.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace mlir::moe;

/// Which destination an operand is, if it is one.
static std::optional<unsigned> getOutIndex(Operation *op, OpOperand &operand) {
  auto outs = static_cast<OperandRange>(
      cast<DestinationOpInterface>(op).getOutsMutable());
  unsigned first = op->getNumOperands() - outs.size();
  if (operand.getOperandNumber() < first)
    return std::nullopt;
  return operand.getOperandNumber() - first;
}

namespace {
/// An op with destinations keeps its form: the same op, on memrefs and without
/// results.
template <typename OpTy>
struct DestinationOpModel
    : BufferizableOpInterface::ExternalModel<DestinationOpModel<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    std::optional<unsigned> out = getOutIndex(op, operand);
    return !out || cast<DestinationOpInterface>(op).readsDestination(*out);
  }
  bool bufferizesToMemoryWrite(Operation *op, OpOperand &operand,
                               const AnalysisState &) const {
    return getOutIndex(op, operand).has_value();
  }
  AliasingValueList getAliasingValues(Operation *op, OpOperand &operand,
                                      const AnalysisState &) const {
    std::optional<unsigned> out = getOutIndex(op, operand);
    if (!out)
      return {};
    return {{op->getResult(*out), BufferRelation::Equivalent}};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto outs = static_cast<OperandRange>(
        cast<DestinationOpInterface>(op).getOutsMutable());
    if (outs.empty() && op->getNumResults())
      return op->emitOpError("needs destinations: run moe-add-destinations");
    SmallVector<Value> buffers;
    for (Value operand : op->getOperands()) {
      if (!isa<TensorType>(operand.getType())) {
        buffers.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      buffers.push_back(*buffer);
    }
    clone(rewriter, op, /*newResultTypes=*/TypeRange{}, buffers);
    replaceOpWithBufferizedValues(
        rewriter, op, ValueRange(buffers).take_back(op->getNumResults()));
    return success();
  }
};

/// A parameter is memory that the runtime owns; nobody writes it.
struct ParameterRefModel
    : BufferizableOpInterface::ExternalModel<ParameterRefModel,
                                             ParameterRefOp> {
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &,
                          BufferizationState &) const {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    replaceOpWithNewBufferizedOp<ParameterRefOp>(
        rewriter, op, MemRefType::get(type.getShape(), type.getElementType()),
        cast<ParameterRefOp>(op).getParameterAttr());
    return success();
  }
  bool isWritable(Operation *, Value, const AnalysisState &) const {
    return false;
  }
};
} // namespace

template <typename... OpTys> static void attach(MLIRContext *context) {
  (OpTys::template attachInterface<DestinationOpModel<OpTys>>(*context), ...);
}

void moe::registerBufferizableOpInterfaceExternalModels(
    DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, MoEDialect *) {
    attach<RouterLogitsOp, ScoreOp, AddSelectionBiasOp, TopKOp, TakeOp,
           RenormalizeOp, ScaleOp, ScaleByExpertOp, PlanOp, ListEntriesOp,
           RowTilesOp, GatherRowsOp, GroupedMatmulOp, CombineRowsOp,
           PackedMatmulOp>(context);
    ParameterRefOp::attachInterface<ParameterRefModel>(*context);
  });
  registry.addExtension(+[](MLIRContext *context, nn::NNDialect *) {
    attach<nn::LinearOp, nn::EmbeddingOp, nn::RMSNormOp, nn::RotaryTableOp,
           nn::RotaryOp, nn::CacheAppendOp, nn::AttentionOp, nn::LastRowsOp>(
        context);
  });
}
