//===- GroupMatmuls.cpp - Experts to grouped products ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/IR/TypeUtilities.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"
#include "moe/Dialect/NN/IR/NN.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEGROUPMATMULS
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
/// One moe.grouped_matmul to be: linears of one input that meet, through
/// elementwise ops, in one value.
struct Group {
  Value input;                       // rows, or the result of another group
  SmallVector<nn::LinearOp> linears; // in program order
  SetVector<Operation *> epilogue;   // elementwise, in program order
  Value result;
};

/// Why an expert cannot be cut into groups, and where.
struct Obstacle {
  StringRef why;
  Location loc;
};

/// Cuts the body of an expert into groups, last one first. Only looks.
class Recogniser {
public:
  explicit Recogniser(Block &body)
      : body(body), obstacle{"", body.getTerminator()->getLoc()} {}

  /// The groups in the order in which they run.
  FailureOr<SmallVector<Group>> run() {
    auto yield = cast<YieldOp>(body.getTerminator());
    Operation *user = yield;
    for (Value value = yield.getValue(); value != body.getArgument(0);
         value = groups.back().input) {
      if (failed(cut(value, user)))
        return failure();
      user = groups.back().linears.front();
    }
    if (groups.empty())
      return fail("it has no nn.linear", yield.getLoc());
    std::reverse(groups.begin(), groups.end());
    return groups;
  }

  const Obstacle &getObstacle() const { return obstacle; }

private:
  LogicalResult fail(StringRef why, Location loc) {
    obstacle = {why, loc};
    return failure();
  }

  /// Whether `value` is one expert's slice of a stacked weight.
  bool isSlice(Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    return argument && argument.getOwner() == &body &&
           argument.getArgNumber() >= 2;
  }

  LogicalResult addLinear(Group &group, nn::LinearOp linear) {
    if (llvm::is_contained(group.linears, linear))
      return success();
    if (!isSlice(linear.getWeight()))
      return fail("a matrix is not a stacked weight of the op",
                  linear.getLoc());
    if (linear.getBias() && !isSlice(linear.getBias()))
      return fail("a bias is not a stacked weight of the op", linear.getLoc());
    if (linear.getAccumulate())
      return fail("an nn.linear accumulates", linear.getLoc());
    if (group.input && group.input != linear.getX())
      return fail("linears of different inputs meet", linear.getLoc());
    if (!group.linears.empty() &&
        bool(group.linears.front().getBias()) != bool(linear.getBias()))
      return fail("linears with and without a bias meet", linear.getLoc());
    group.input = linear.getX();
    group.linears.push_back(linear);
    return success();
  }

  LogicalResult addElementwise(Group &group, Operation *op) {
    if (!OpTrait::hasElementwiseMappableTraits(op) || op->getNumRegions() ||
        op->getNumResults() != 1)
      return fail("an op is neither nn.linear nor elementwise", op->getLoc());
    group.epilogue.insert(op);
    return success();
  }

  /// Collects the group whose result is `value`, which `user` reads.
  LogicalResult cut(Value value, Operation *user) {
    Group group;
    group.result = value;
    SmallVector<std::pair<Value, Operation *>> worklist{{value, user}};
    while (!worklist.empty()) {
      auto [next, reader] = worklist.pop_back_val();
      Operation *op = next.getDefiningOp();
      if (!op)
        return fail(next == body.getArgument(0)
                        ? "an elementwise op reads the rows directly"
                        : "the index or a weight is read as a value",
                    reader->getLoc());
      if (auto linear = dyn_cast<nn::LinearOp>(op)) {
        if (failed(addLinear(group, linear)))
          return failure();
        continue;
      }
      if (group.epilogue.contains(op))
        continue;
      // A scalar constant goes into the epilogue as it is.
      if (op->hasTrait<OpTrait::ConstantLike>() &&
          !isa<ShapedType>(next.getType())) {
        group.epilogue.insert(op);
        continue;
      }
      if (failed(addElementwise(group, op)))
        return failure();
      for (Value operand : op->getOperands())
        worklist.push_back({operand, op});
    }
    if (group.linears.empty())
      return fail("a value does not depend on the rows", value.getLoc());
    group.epilogue = topologicalSort(group.epilogue);
    llvm::sort(group.linears, [](nn::LinearOp a, nn::LinearOp b) {
      return a->isBeforeInBlock(b);
    });
    groups.push_back(std::move(group));
    return success();
  }

  Block &body;
  SmallVector<Group> groups;
  Obstacle obstacle;
};

/// Builds grouped products in front of one moe.experts.
class GroupBuilder {
public:
  GroupBuilder(RewriterBase &rewriter, ExpertsOp op)
      : rewriter(rewriter), op(op) {
    Block &body = op.getExperts()[0].front();
    values.map(body.getArgument(0), op.getRows());
    for (auto [slice, stack] :
         llvm::zip(body.getArguments().drop_front(2), op.getWeights()))
      values.map(slice, stack);
  }

  Value lookup(Value value) const { return values.lookup(value); }

  /// One product for the whole group.
  void buildFused(const Group &group) {
    auto [matmul, arguments] = buildMatmul(group.linears, group.result);
    IRMapping scalars;
    for (auto [linear, argument] : llvm::zip(group.linears, arguments))
      scalars.map(nn::LinearOp(linear)->getResult(0), argument);
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPointToEnd(&matmul.getEpilogue().front());
    for (Operation *elementwise : group.epilogue) {
      Operation *clone = rewriter.clone(*elementwise, scalars);
      Value result = clone->getResult(0);
      result.setType(getElementTypeOrSelf(result.getType()));
    }
    YieldOp::create(rewriter, group.result.getLoc(),
                    scalars.lookup(group.result));
    values.map(group.result, matmul->getResult(0));
  }

  /// A product for each linear; elementwise ops stay on the rows.
  void buildUnfused(const Group &group) {
    for (nn::LinearOp linear : group.linears) {
      Value result = linear->getResult(0);
      auto [matmul, arguments] = buildMatmul(linear, result);
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPointToEnd(&matmul.getEpilogue().front());
      YieldOp::create(rewriter, linear.getLoc(), arguments[0]);
      values.map(result, matmul->getResult(0));
    }
    for (Operation *elementwise : group.epilogue) {
      Operation *clone = rewriter.clone(*elementwise, values);
      Value result = clone->getResult(0);
      if (isa<RankedTensorType>(result.getType()))
        result.setType(getRowsType(result.getType()));
    }
  }

private:
  /// The type of a body's value [rows of one expert, N] on all rows.
  RankedTensorType getRowsType(Type type) {
    auto rows = cast<RankedTensorType>(type);
    return rows.clone({sizeOf(op.getRows(), 0), rows.getDimSize(1)});
  }

  /// A grouped_matmul without terminator, and its epilogue's arguments.
  std::pair<GroupedMatmulOp, Block::BlockArgListType>
  buildMatmul(ArrayRef<nn::LinearOp> linears, Value result) {
    SmallVector<Value> bs, biases;
    SmallVector<Location> locs;
    for (nn::LinearOp linear : linears) {
      bs.push_back(values.lookup(linear.getWeight()));
      if (linear.getBias())
        biases.push_back(values.lookup(linear.getBias()));
      locs.push_back(linear.getLoc());
    }
    auto matmul = GroupedMatmulOp::create(
        rewriter, result.getLoc(), TypeRange{getRowsType(result.getType())},
        values.lookup(nn::LinearOp(linears.front()).getX()), op.getOffsets(),
        bs, biases, /*gather=*/Value(), /*scatter=*/ValueRange(),
        /*outs=*/ValueRange());
    OpBuilder::InsertionGuard guard(rewriter);
    Block *block = rewriter.createBlock(
        &matmul.getEpilogue(), {},
        SmallVector<Type>(bs.size(), rewriter.getF32Type()), locs);
    return {matmul, block->getArguments()};
  }

  RewriterBase &rewriter;
  ExpertsOp op;
  IRMapping values; // of the body to those on all rows
};

struct GroupMatmulsPass : moe::impl::MoEGroupMatmulsBase<GroupMatmulsPass> {
  using MoEGroupMatmulsBase::MoEGroupMatmulsBase;

  LogicalResult group(ExpertsOp op) {
    // Nothing could lower an expert that stays.
    if (op.getExperts().size() != 1)
      return op.emitOpError("has experts of ")
             << op.getExperts().size()
             << " kinds, only one kind can be lowered";
    Recogniser recogniser(op.getExperts()[0].front());
    FailureOr<SmallVector<Group>> groups = recogniser.run();
    if (failed(groups)) {
      const Obstacle &obstacle = recogniser.getObstacle();
      InFlightDiagnostic error =
          op.emitOpError("has an expert that cannot be lowered: ")
          << obstacle.why;
      error.attachNote(obstacle.loc) << "here";
      return error;
    }
    IRRewriter rewriter(op);
    GroupBuilder builder(rewriter, op);
    auto opts =
        remark::RemarkOpts::name("GroupMatmuls").category("moe-group-matmuls");
    for (const Group &group : *groups) {
      if (fuse)
        builder.buildFused(group);
      else
        builder.buildUnfused(group);
      remark::passed(group.result.getLoc(), opts)
          << remark::metric("Products", int64_t(group.linears.size()))
          << remark::metric("EpilogueOps",
                            fuse ? int64_t(group.epilogue.size()) : 0);
    }
    rewriter.replaceOp(op, builder.lookup(groups->back().result));
    return success();
  }

  void runOnOperation() override {
    SmallVector<ExpertsOp> worklist;
    getOperation().walk([&](ExpertsOp op) { worklist.push_back(op); });
    // A walk visits in program order, so remarks come once and in that order.
    for (ExpertsOp op : worklist)
      if (failed(group(op)))
        return signalPassFailure();
  }
};
} // namespace
