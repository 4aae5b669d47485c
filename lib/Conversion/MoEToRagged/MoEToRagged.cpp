//===- MoEToRagged.cpp - Assignments to index maps ------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Func/Transforms/FuncConversions.h"
#include "mlir/Dialect/SCF/Transforms/Patterns.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"
#include "moe/Conversion/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTMOETORAGGED
#include "moe/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

void moe::populateMoEToRaggedTypeConversions(TypeConverter &converter) {
  converter.addConversion([](Type type) { return type; });
  // An assignment is expert [T, k], -1 in empty slots, and weight [T, k].
  converter.addConversion(
      [](AssignmentType type, SmallVectorImpl<Type> &parts) -> LogicalResult {
        Builder b(type.getContext());
        int64_t t = ShapedType::kDynamic, k = type.getMaxPerToken();
        parts.append({tensorOf({t, k}, b.getI32Type()),
                      tensorOf({t, k}, b.getF32Type())});
        return success();
      });
}

/// `value` as a tensor of `type`, which says less or more about its shape.
static Value buildCast(OpBuilder &b, Location loc, Type type, Value value) {
  return value.getType() == type
             ? value
             : tensor::CastOp::create(b, loc, type, value).getResult();
}

/// Builds the plan of an assignment. Two of one assignment are one after CSE.
static PlanOp buildPlan(OpBuilder &b, Location loc, ValueRange assignment,
                        int64_t numExperts) {
  int64_t t = sizeOf(assignment[0], 0), k = sizeOf(assignment[0], 1);
  int64_t rows = mulSizes(t, k);
  int64_t tokens = ShapedType::isDynamic(t) ? t : t + 1;
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  return PlanOp::create(b, loc,
                        TypeRange{tensorOf({rows}, i32),           // row_token
                                  tensorOf({rows}, f32),           // row_weight
                                  tensorOf({numExperts + 1}, i32), // offsets
                                  tensorOf({tokens}, i32), // token_offsets
                                  tensorOf({rows}, i32)},  // token_rows
                        assignment[0], assignment[1], numExperts,
                        /*outs=*/ValueRange());
}

namespace {
/// moe.assign %e, %w  ->  %e, %w
struct AssignLowering : OpConversionPattern<AssignOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(AssignOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    SmallVector<Type> types;
    if (failed(getTypeConverter()->convertType(op.getType(), types)))
      return rewriter.notifyMatchFailure(op, "assignment has no parts");
    SmallVector<Value> parts{adaptor.getExperts(), adaptor.getWeights()};
    for (auto [part, type] : llvm::zip(parts, types))
      part = buildCast(rewriter, op.getLoc(), type, part);
    rewriter.replaceOpWithMultiple(op, {parts});
    return success();
  }
};

/// moe.assignment_entries %a  ->  moe.list_entries %e, %w
struct AssignmentEntriesLowering : OpConversionPattern<AssignmentEntriesOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(AssignmentEntriesOp op, OneToNOpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    ValueRange parts = adaptor.getAssignment();
    int64_t rows = mulSizes(sizeOf(parts[0], 0), sizeOf(parts[0], 1));
    Type i64 = rewriter.getI64Type(), f32 = rewriter.getF32Type();
    auto list = ListEntriesOp::create(
        rewriter, loc,
        TypeRange{tensorOf({rows}, i64), tensorOf({rows}, i64),
                  tensorOf({rows}, f32), tensorOf({1}, i64)},
        parts[0], parts[1], op.getAssignment().getType().getExperts(),
        /*outs=*/ValueRange());
    SmallVector<Value> results;
    for (auto [result, type] :
         llvm::zip(list->getResults(), op->getResultTypes()))
      results.push_back(buildCast(rewriter, loc, type, result));
    rewriter.replaceOp(op, results);
    return success();
  }
};

/// moe.dispatch %x, %a  ->  moe.plan, moe.gather_rows
struct DispatchLowering : OpConversionPattern<DispatchOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(DispatchOp op, OneToNOpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    PlanOp plan = buildPlan(rewriter, loc, adaptor.getAssignment(),
                            op.getAssignment().getType().getExperts());
    Value rowWeight =
        op.getApply() == Apply::Input ? plan->getResult(1) : Value();
    Value x = adaptor.getX().front();
    Type rowsType = tensorOf({sizeOf(plan->getResult(0), 0), sizeOf(x, 1)},
                             rewriter.getF32Type());
    auto gather = GatherRowsOp::create(rewriter, loc, TypeRange{rowsType}, x,
                                       plan->getResult(0), plan->getResult(2),
                                       rowWeight, /*outs=*/ValueRange());
    rewriter.replaceOp(op, {buildCast(rewriter, loc, op.getRows().getType(),
                                      gather->getResult(0)),
                            buildCast(rewriter, loc, op.getOffsets().getType(),
                                      plan->getResult(2))});
    return success();
  }
};

/// moe.combine %rows, %a outs(%init)  ->  moe.plan, moe.combine_rows
struct CombineLowering : OpConversionPattern<CombineOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(CombineOp op, OneToNOpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    PlanOp plan = buildPlan(rewriter, op.getLoc(), adaptor.getAssignment(),
                            op.getAssignment().getType().getExperts());
    Value rowWeight =
        op.getApply() == Apply::Output ? plan->getResult(1) : Value();
    rewriter.replaceOpWithNewOp<CombineRowsOp>(
        op, TypeRange{op.getType()}, adaptor.getRows().front(), rowWeight,
        plan->getResult(3), plan->getResult(4), adaptor.getInit());
    return success();
  }
};

/// arith.select of two assignments, as scf.if canonicalises to: one per part.
struct SelectLowering : OpConversionPattern<arith::SelectOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(arith::SelectOp op, OneToNOpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    if (!isa<AssignmentType>(op.getType()))
      return rewriter.notifyMatchFailure(op, "not of assignments");
    SmallVector<Value> parts;
    for (auto [yes, no] :
         llvm::zip(adaptor.getTrueValue(), adaptor.getFalseValue()))
      parts.push_back(arith::SelectOp::create(
          rewriter, op.getLoc(), adaptor.getCondition().front(), yes, no));
    rewriter.replaceOpWithMultiple(op, {parts});
    return success();
  }
};

struct ConvertMoEToRaggedPass
    : moe::impl::ConvertMoEToRaggedBase<ConvertMoEToRaggedPass> {
  /// What the conversion itself could not say as clearly.
  LogicalResult checkInput(const TypeConverter &converter) {
    // Public signatures are a contract with callers that we cannot see.
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (func.isPublic() &&
          !converter.isSignatureLegal(func.getFunctionType()))
        return func.emitOpError("is public, so its signature must not have ")
               << "!moe.assignment: make the function private or pass the "
                  "indices and weights";
    WalkResult walk = getOperation().walk([](LayerOp op) {
      op.emitOpError("must be expanded by moe-expand-layer before");
      return WalkResult::interrupt();
    });
    return failure(walk.wasInterrupted());
  }

  void runOnOperation() override {
    MLIRContext &context = getContext();
    TypeConverter converter;
    populateMoEToRaggedTypeConversions(converter);
    if (failed(checkInput(converter)))
      return signalPassFailure();

    RewritePatternSet patterns(&context);
    ConversionTarget target(context);
    populateMoEToRaggedPatterns(converter, patterns);
    populateFunctionOpInterfaceTypeConversionPattern<func::FuncOp>(patterns,
                                                                   converter);
    populateReturnOpTypeConversionPattern(patterns, converter);
    populateCallOpTypeConversionPattern(patterns, converter);
    scf::populateSCFStructuralTypeConversionsAndLegality(converter, patterns,
                                                         target);
    target.addIllegalOp<AssignOp, AssignmentEntriesOp, DispatchOp, CombineOp>();
    target.markUnknownOpDynamicallyLegal([&](Operation *op) {
      if (auto func = dyn_cast<func::FuncOp>(op))
        return converter.isSignatureLegal(func.getFunctionType());
      return converter.isLegal(op);
    });
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace

void moe::populateMoEToRaggedPatterns(const TypeConverter &converter,
                                      RewritePatternSet &patterns) {
  patterns.add<AssignLowering, AssignmentEntriesLowering, CombineLowering,
               DispatchLowering, SelectLowering>(converter,
                                                 patterns.getContext());
}
