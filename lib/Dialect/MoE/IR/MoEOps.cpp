//===- MoEOps.cpp - Verifiers, assembly and shapes of MoE ops -------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "moe/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

using Sizes = SmallVector<SmallVector<OpFoldResult>>;

//===----------------------------------------------------------------------===//
// What ops with destinations share
//===----------------------------------------------------------------------===//

Type moe::getProductType(DestinationOpInterface op) {
  OperandRange outs = OperandRange(op.getOutsMutable());
  Type type = op->getNumResults() ? op->getResult(0).getType()
              : !outs.empty()     ? outs[0].getType()
                                  : Type();
  auto shaped = dyn_cast_if_present<ShapedType>(type);
  Type element = shaped ? shaped.getElementType() : Type();
  if (element && (element.isBF16() || element.isF16()))
    return element;
  return Float32Type::get(op->getContext());
}

LogicalResult moe::verifyDestinationOp(DestinationOpInterface op) {
  bool tensors = false, memrefs = false;
  for (Type type : op->getOperandTypes()) {
    tensors |= isa<TensorType>(type);
    memrefs |= isa<BaseMemRefType>(type);
  }
  if (tensors && memrefs)
    return op->emitOpError("mixes tensors and memrefs");
  SmallVector<RankedTensorType> expected = op.getOutputTypes();
  OperandRange outs = OperandRange(op.getOutsMutable());
  if (memrefs ? op->getNumResults() != 0
              : op->getNumResults() != expected.size())
    return op->emitOpError("needs ") << (memrefs ? 0 : expected.size())
                                     << " results, got " << op->getNumResults();
  if (outs.size() != expected.size() && (memrefs || !outs.empty()))
    return op->emitOpError("needs ")
           << expected.size() << " destinations, got " << outs.size();
  auto check = [&](Type type, RankedTensorType wanted, StringRef what,
                   unsigned i) -> LogicalResult {
    auto shaped = cast<ShapedType>(type);
    if (shaped.getElementType() == wanted.getElementType() &&
        shaped.hasRank() &&
        succeeded(verifyCompatibleShape(shaped.getShape(), wanted.getShape())))
      return success();
    return op->emitOpError()
           << what << " " << i << " must be " << wanted << ", got " << type;
  };
  for (auto [i, wanted] : llvm::enumerate(expected)) {
    if (op->getNumResults() &&
        failed(check(op->getResult(i).getType(), wanted, "result", i)))
      return failure();
    if (outs.empty())
      continue;
    if (failed(check(outs[i].getType(), wanted, "destination", i)))
      return failure();
    if (op->getNumResults() && outs[i].getType() != op->getResult(i).getType())
      return op->emitOpError("result ")
             << i << " must have its destination's type " << outs[i].getType();
  }
  return success();
}

void moe::getDestinationOpEffects(
    DestinationOpInterface op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  MutableOperandRange outs = op.getOutsMutable();
  unsigned firstOut =
      op->getNumOperands() - static_cast<OperandRange>(outs).size();
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<BaseMemRefType>(operand.get().getType()))
      continue;
    bool isOut = operand.getOperandNumber() >= firstOut;
    if (!isOut || op.readsDestination(operand.getOperandNumber() - firstOut))
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
    if (isOut)
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
  }
}

OpFoldResult moe::buildSize(OpBuilder &b, Location loc, Value value,
                            unsigned i) {
  if (isa<TensorType>(value.getType()))
    return tensor::getMixedSize(b, loc, value, i);
  return memref::getMixedSize(b, loc, value, i);
}

OpFoldResult moe::buildProduct(OpBuilder &b, Location loc, OpFoldResult x,
                               OpFoldResult y) {
  std::optional<int64_t> cx = getConstantIntValue(x),
                         cy = getConstantIntValue(y);
  if (int64_t product; cx && cy && !llvm::MulOverflow(*cx, *cy, product))
    return b.getIndexAttr(product);
  if (cx && *cx == 1)
    return y;
  if (cy && *cy == 1)
    return x;
  Value vx = getValueOrCreateConstantIndexOp(b, loc, x);
  Value vy = getValueOrCreateConstantIndexOp(b, loc, y);
  return arith::MulIOp::create(b, loc, vx, vy).getResult();
}

static OpFoldResult buildSum(OpBuilder &b, Location loc, OpFoldResult x,
                             int64_t y) {
  if (std::optional<int64_t> cx = getConstantIntValue(x))
    return b.getIndexAttr(*cx + y);
  Value vx = getValueOrCreateConstantIndexOp(b, loc, x);
  Value vy = arith::ConstantIndexOp::create(b, loc, y);
  return arith::AddIOp::create(b, loc, vx, vy).getResult();
}

static int64_t addSizes(int64_t x, int64_t y) {
  int64_t sum;
  if (ShapedType::isDynamic(x) || llvm::AddOverflow(x, y, sum))
    return x;
  return std::max<int64_t>(sum, 0);
}

/// Indices of rows and experts are i32.
static constexpr int64_t kMaxIndex = std::numeric_limits<int32_t>::max();

LogicalResult moe::verifySameSize(Operation *op, int64_t x, const Twine &nameX,
                                  int64_t y, const Twine &nameY) {
  if (ShapedType::isDynamic(x) || ShapedType::isDynamic(y) || x == y)
    return success();
  return op->emitOpError() << nameX << " (" << x << ") must equal " << nameY
                           << " (" << y << ")";
}

static LogicalResult verifyOutputs(Operation *op) {
  return verifyDestinationOp(cast<DestinationOpInterface>(op));
}
static Type f32(Operation *op) { return Float32Type::get(op->getContext()); }
static Type i32(Operation *op) {
  return IntegerType::get(op->getContext(), 32);
}
static Type i64(Operation *op) {
  return IntegerType::get(op->getContext(), 64);
}
static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<ShapedType>(value.getType()).getShape();
}
static SmallVector<OpFoldResult> buildShape(OpBuilder &b, Location loc,
                                            Value value) {
  SmallVector<OpFoldResult> sizes;
  for (unsigned i = 0; i < shapeOf(value).size(); ++i)
    sizes.push_back(buildSize(b, loc, value, i));
  return sizes;
}

#define MOE_STAGE_OP(OpTy)                                                     \
  void OpTy::getEffects(                                                       \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    getDestinationOpEffects(cast<DestinationOpInterface>(getOperation()),      \
                            effects);                                          \
  }
/// An op whose one output has the shape and type of an operand.
#define MOE_ELEMENTWISE_STAGE_OP(OpTy, getInput)                               \
  MOE_STAGE_OP(OpTy)                                                           \
  SmallVector<RankedTensorType> OpTy::getOutputTypes() {                       \
    return {tensorOf(shapeOf(getInput()), f32(*this))};                        \
  }                                                                            \
  Sizes OpTy::buildOutputSizes(OpBuilder &b) {                                 \
    return {buildShape(b, getLoc(), getInput())};                              \
  }                                                                            \
  bool OpTy::readsDestination(unsigned) { return false; }
MOE_ELEMENTWISE_STAGE_OP(ScoreOp, getLogits)
MOE_ELEMENTWISE_STAGE_OP(AddSelectionBiasOp, getScores)
MOE_ELEMENTWISE_STAGE_OP(RenormalizeOp, getWeights)
MOE_ELEMENTWISE_STAGE_OP(ScaleOp, getWeights)
MOE_ELEMENTWISE_STAGE_OP(ScaleByExpertOp, getWeights)
MOE_STAGE_OP(RouterLogitsOp)
MOE_STAGE_OP(TopKOp)
MOE_STAGE_OP(TakeOp)
MOE_STAGE_OP(PlanOp)
MOE_STAGE_OP(ListEntriesOp)
MOE_STAGE_OP(RowTilesOp)
MOE_STAGE_OP(GatherRowsOp)
MOE_STAGE_OP(GroupedMatmulOp)
MOE_STAGE_OP(CombineRowsOp)
MOE_STAGE_OP(PackedMatmulOp)
#undef MOE_ELEMENTWISE_STAGE_OP
#undef MOE_STAGE_OP

//===----------------------------------------------------------------------===//
// The expert clauses of moe.layer and moe.experts
//===----------------------------------------------------------------------===//

/// The rows of one expert: as many as the router sends.
static RankedTensorType getRowsType(Type type) {
  auto rows = cast<RankedTensorType>(type);
  return rows.clone({ShapedType::kDynamic, rows.getDimSize(1)});
}

/// One expert's part of a stacked weight: [E, ...] -> [...].
static RankedTensorType getSliceType(Type type) {
  auto stack = cast<RankedTensorType>(type);
  return stack.clone(stack.getShape().drop_front());
}

/// (`expert` `(` rows `,` index (`,` slice `=` stack `:` type)* `)` region)+
static ParseResult
parseExperts(OpAsmParser &parser, Type xType,
             SmallVectorImpl<OpAsmParser::UnresolvedOperand> &weights,
             SmallVectorImpl<Type> &weightTypes,
             DenseI64ArrayAttr &weightsPerKind,
             SmallVectorImpl<std::unique_ptr<Region>> &regions) {
  Builder &b = parser.getBuilder();
  auto rowsType = dyn_cast<RankedTensorType>(xType);
  if (!rowsType || rowsType.getRank() != 2)
    return parser.emitError(parser.getCurrentLocation(),
                            "x must be [T, H], got ")
           << xType;
  SmallVector<int64_t> counts;
  while (succeeded(parser.parseOptionalKeyword("expert"))) {
    OpAsmParser::Argument rows, index;
    if (parser.parseLParen() || parser.parseArgument(rows) ||
        parser.parseComma() || parser.parseArgument(index))
      return failure();
    rows.type = getRowsType(rowsType);
    index.type = b.getIndexType();
    SmallVector<OpAsmParser::Argument> arguments{rows, index};
    while (succeeded(parser.parseOptionalComma())) {
      SMLoc loc;
      Type type;
      if (parser.parseArgument(arguments.emplace_back()) ||
          parser.parseEqual() || parser.parseOperand(weights.emplace_back()) ||
          parser.parseColon() || parser.getCurrentLocation(&loc) ||
          parser.parseType(type))
        return failure();
      auto stack = dyn_cast<RankedTensorType>(type);
      if (!stack || stack.getRank() < 1)
        return parser.emitError(loc, "stacked weight must be [E, ...], got ")
               << type;
      weightTypes.push_back(type);
      arguments.back().type = getSliceType(type);
    }
    counts.push_back(arguments.size() - 2);
    if (parser.parseRParen() ||
        parser.parseRegion(*regions.emplace_back(std::make_unique<Region>()),
                           arguments))
      return failure();
  }
  weightsPerKind = b.getDenseI64ArrayAttr(counts);
  return success();
}

static void printExperts(OpAsmPrinter &printer, Operation *, Type,
                         OperandRange weights, TypeRange,
                         DenseI64ArrayAttr weightsPerKind,
                         MutableArrayRef<Region> regions) {
  for (auto [region, count] : llvm::zip(regions, weightsPerKind.asArrayRef())) {
    Block::BlockArgListType arguments = region.getArguments();
    printer.printNewline();
    printer << "expert(" << arguments[0] << ", " << arguments[1];
    for (auto [slice, stack] :
         llvm::zip(arguments.drop_front(2), weights.take_front(count)))
      printer << ", " << slice << " = " << stack << ": " << stack.getType();
    printer << ") ";
    printer.printRegion(region, /*printEntryBlockArgs=*/false);
    weights = weights.drop_front(count);
  }
}

/// Checks what moe.layer and moe.experts share. `numExperts` may be dynamic.
template <typename OpTy>
static LogicalResult verifyExperts(OpTy op, int64_t numExperts, Type xType) {
  int64_t numKinds = op.getExperts().size();
  ArrayRef<int64_t> counts = op.getWeightsPerKind();
  // layer_c2
  if (numKinds == 0)
    return op.emitOpError("needs at least one expert clause");
  if (ShapedType::isStatic(numExperts) && numExperts < 1)
    return op.emitOpError("needs at least one expert");
  // layer_c3
  SmallVector<int64_t> expertsOfKind(numKinds, 0);
  if (std::optional<ArrayRef<int64_t>> kinds = op.getKinds()) {
    if (ShapedType::isStatic(numExperts) &&
        int64_t(kinds->size()) != numExperts)
      return op.emitOpError("kinds has ")
             << kinds->size() << " entries for " << numExperts << " experts";
    for (auto [e, kind] : llvm::enumerate(*kinds)) {
      if (kind < 0 || kind >= numKinds)
        return op.emitOpError("kind of expert ")
               << e << " is " << kind << ", but there are " << numKinds
               << " expert clauses";
      ++expertsOfKind[kind];
    }
  } else {
    expertsOfKind[0] = numExperts;
  }
  // layer_c4
  int64_t numWeights = op.getWeights().size();
  if (int64_t(counts.size()) != numKinds ||
      llvm::any_of(counts,
                   [&](int64_t n) { return n < 0 || n > numWeights; }) ||
      llvm::sum_of(counts) != numWeights)
    return op.emitOpError("weights_per_kind does not match the ")
           << numKinds << " expert clauses and " << numWeights << " weights";
  OperandRange weights = op.getWeights();
  for (int64_t kind = 0; kind < numKinds; ++kind) {
    Block &block = op.getExperts()[kind].front();
    SmallVector<Type> expected{getRowsType(xType),
                               IndexType::get(op.getContext())};
    for (Value weight : weights.take_front(counts[kind])) {
      // layer_c5
      auto type = cast<RankedTensorType>(weight.getType());
      if (type.getRank() < 1 || type.isDynamicDim(0) ||
          (ShapedType::isStatic(expertsOfKind[kind]) &&
           type.getDimSize(0) != expertsOfKind[kind]))
        return op.emitOpError("weight ")
               << type << " of expert clause " << kind << " must stack "
               << expertsOfKind[kind] << " experts";
      expected.push_back(getSliceType(type));
    }
    weights = weights.drop_front(counts[kind]);
    // layer_c6
    if (block.getArgumentTypes() != TypeRange(expected))
      return op.emitOpError("expert clause ")
             << kind << " must take (" << expected << "), got ("
             << block.getArgumentTypes() << ")";
    // layer_c7
    auto yield = block.empty() ? YieldOp() : dyn_cast<YieldOp>(block.back());
    if (!yield || yield.getValue().getType() != expected[0])
      return op.emitOpError("expert clause ")
             << kind << " must yield " << expected[0];
  }
  return success();
}

//===----------------------------------------------------------------------===//
// LayerOp, DispatchOp, ExpertsOp, CombineOp
//===----------------------------------------------------------------------===//

MutableOperandRange LayerOp::getDpsInitsMutable() { return getInitMutable(); }
MutableOperandRange CombineOp::getDpsInitsMutable() { return getInitMutable(); }

LogicalResult LayerOp::verify() {
  // layer_c8
  if (failed(verifyCompatibleShape(getX().getType().getShape(),
                                   getInit().getType().getShape())))
    return emitOpError("outs must have the shape of x ")
           << getX().getType() << ", got " << getInit().getType();
  return verifyExperts(*this, getAssignment().getType().getExperts(),
                       getX().getType());
}

LogicalResult ExpertsOp::verify() {
  int64_t numOffsets = getOffsets().getType().getDimSize(0);
  return verifyExperts(
      *this, ShapedType::isDynamic(numOffsets) ? numOffsets : numOffsets - 1,
      getRows().getType());
}

LogicalResult CombineOp::verify() {
  // combine_c1
  AssignmentType type = getAssignment().getType();
  RankedTensorType rows = getRows().getType(), init = getInit().getType();
  RankedTensorType expected =
      init.clone({mulSizes(init.getDimSize(0), type.getMaxPerToken()),
                  init.getDimSize(1)});
  if (failed(verifyCompatibleShape(rows, expected)))
    return emitOpError("rows must be ") << expected << ", got " << rows;
  return success();
}

LogicalResult DispatchOp::verify() {
  // dispatch_c1
  AssignmentType type = getAssignment().getType();
  int64_t rows =
      mulSizes(getX().getType().getDimSize(0), type.getMaxPerToken());
  auto expected =
      getX().getType().clone({rows, getX().getType().getDimSize(1)});
  if (failed(verifyCompatibleShape(getRows().getType(), expected)))
    return emitOpError("rows must be ")
           << expected << ", got " << getRows().getType();
  // dispatch_c2
  return verifySameSize(*this, getOffsets().getType().getDimSize(0),
                        "length of offsets", type.getExperts() + 1,
                        "experts + 1");
}

LogicalResult LayerOp::reifyResultShapes(OpBuilder &b,
                                         ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(tensor::getMixedSizes(b, getLoc(), getInit()));
  return success();
}
LogicalResult
CombineOp::reifyResultShapes(OpBuilder &b,
                             ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(tensor::getMixedSizes(b, getLoc(), getInit()));
  return success();
}
LogicalResult
ExpertsOp::reifyResultShapes(OpBuilder &b,
                             ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(tensor::getMixedSizes(b, getLoc(), getRows()));
  return success();
}
LogicalResult
DispatchOp::reifyResultShapes(OpBuilder &b,
                              ReifiedRankedShapedTypeDims &shapes) {
  AssignmentType type = getAssignment().getType();
  SmallVector<OpFoldResult> x = tensor::getMixedSizes(b, getLoc(), getX());
  // [T * max_per_token, H]
  shapes.push_back(
      {buildProduct(b, getLoc(), x[0], b.getIndexAttr(type.getMaxPerToken())),
       x[1]});
  shapes.push_back({b.getIndexAttr(type.getExperts() + 1)}); // [E + 1]
  return success();
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

SmallVector<RankedTensorType> RouterLogitsOp::getOutputTypes() {
  return {tensorOf({sizeOf(getX(), 0), sizeOf(getRouter(), 0)}, f32(*this))};
}
Sizes RouterLogitsOp::buildOutputSizes(OpBuilder &b) {
  return {{buildSize(b, getLoc(), getX(), 0),
           buildSize(b, getLoc(), getRouter(), 0)}};
}
bool RouterLogitsOp::readsDestination(unsigned) { return false; }
LogicalResult RouterLogitsOp::verify() {
  // router_logits_c1
  if (failed(verifySameSize(*this, sizeOf(getX(), 1), "columns of x",
                            sizeOf(getRouter(), 1), "columns of the router")))
    return failure();
  // router_logits_c2
  if (getBias() &&
      failed(verifySameSize(*this, sizeOf(getBias(), 0), "length of bias",
                            sizeOf(getRouter(), 0), "experts")))
    return failure();
  return verifyOutputs(*this);
}

LogicalResult ScoreOp::verify() {
  // score_c1
  if (getIndices() && failed(verifyCompatibleShape(shapeOf(getLogits()),
                                                   shapeOf(getIndices()))))
    return emitOpError("slots ")
           << getIndices().getType() << " must have the shape of "
           << getLogits().getType();
  return verifyOutputs(*this);
}

LogicalResult AddSelectionBiasOp::verify() {
  // add_selection_bias_c1
  if (failed(verifySameSize(*this, sizeOf(getBias(), 0), "length of bias",
                            sizeOf(getScores(), 1), "experts")))
    return failure();
  return verifyOutputs(*this);
}

int64_t TopKOp::getMaxExpertsPerToken() { return getK(); }
int64_t TopKOp::getCostPerToken() {
  int64_t numExperts = sizeOf(getScores(), 1);
  return ShapedType::isDynamic(numExperts) ? 0 : numExperts * getK();
}
SmallVector<RankedTensorType> TopKOp::getOutputTypes() {
  int64_t t = sizeOf(getScores(), 0), k = getK();
  return {tensorOf({t, k}, i32(*this)), tensorOf({t, k}, f32(*this))};
}
Sizes TopKOp::buildOutputSizes(OpBuilder &b) {
  SmallVector<OpFoldResult> sizes{buildSize(b, getLoc(), getScores(), 0),
                                  b.getIndexAttr(getK())};
  return {sizes, sizes};
}
bool TopKOp::readsDestination(unsigned) { return false; }
LogicalResult TopKOp::verify() {
  int64_t k = getK(), numExperts = sizeOf(getScores(), 1);
  // top_k_c1
  if (k < 1)
    return emitOpError("k must be at least 1, got ") << k;
  if (ShapedType::isStatic(numExperts) && k > numExperts)
    return emitOpError("k (")
           << k << ") exceeds the number of experts (" << numExperts << ")";
  // top_k_c2, top_k_c3
  return verifyOutputs(*this);
}

SmallVector<RankedTensorType> TakeOp::getOutputTypes() {
  return {tensorOf(shapeOf(getIndices()), f32(*this))};
}
Sizes TakeOp::buildOutputSizes(OpBuilder &b) {
  return {buildShape(b, getLoc(), getIndices())};
}
bool TakeOp::readsDestination(unsigned) { return false; }
LogicalResult TakeOp::verify() {
  // take_c1
  if (failed(verifySameSize(*this, sizeOf(getScores(), 0), "rows of scores",
                            sizeOf(getIndices(), 0), "rows of indices")))
    return failure();
  return verifyOutputs(*this);
}

LogicalResult RenormalizeOp::verify() {
  // renormalize_c1
  if (getP() != 1 && getP() != 2)
    return emitOpError("p must be 1 or 2, got ") << getP();
  // renormalize_c2
  for (const auto &[name, value] :
       {std::pair("eps", getEps()), {"floor", getFloor()}})
    if (value.isNegative() || !value.isFinite())
      return emitOpError() << name << " must be finite and not negative";
  return verifyOutputs(*this);
}

LogicalResult ScaleOp::verify() {
  // scale_c1
  if (!getFactor().isFinite())
    return emitOpError("factor must be finite");
  return verifyOutputs(*this);
}

LogicalResult ScaleByExpertOp::verify() {
  // scale_by_expert_c1
  if (failed(
          verifyCompatibleShape(shapeOf(getWeights()), shapeOf(getIndices()))))
    return emitOpError("indices ")
           << getIndices().getType() << " must have the shape of "
           << getWeights().getType();
  return verifyOutputs(*this);
}

LogicalResult AssignOp::verify() {
  // assign_c1
  int64_t k = getAssignment().getType().getMaxPerToken();
  for (Value part : {Value(getExperts()), Value(getWeights())}) {
    auto type = cast<RankedTensorType>(part.getType());
    if (type.getDimSize(1) != k)
      return emitOpError("operand must be [T, max_per_token = ")
             << k << "], got " << type;
  }
  // assign_c2
  return verifySameSize(*this, sizeOf(getExperts(), 0), "rows of experts",
                        sizeOf(getWeights(), 0), "rows of weights");
}

LogicalResult AssignmentEntriesOp::verify() {
  // assignment_entries_c1
  for (Value list : {Value(getExpertIndex()), Value(getExpertWeight())})
    if (failed(verifySameSize(*this, sizeOf(list, 0), "length of a list",
                              sizeOf(getTokenIndex(), 0),
                              "length of the first")))
      return failure();
  // assignment_entries_c2
  int64_t length = sizeOf(getTokenIndex(), 0);
  int64_t k = getAssignment().getType().getMaxPerToken();
  if (ShapedType::isStatic(length) && length % k)
    return emitOpError("length of the lists (")
           << length << ") must be a multiple of max_per_token (" << k << ")";
  // assignment_entries_c3
  return verifySameSize(*this, sizeOf(getCount(), 0), "length of count", 1,
                        "one");
}

//===----------------------------------------------------------------------===//
// Canonicalisation
//===----------------------------------------------------------------------===//

namespace {
/// take(s, i) of (i, v) = top_k(s)  ->  v. Both give 0 in empty slots.
struct TakeOfTopK : OpRewritePattern<TakeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TakeOp op,
                                PatternRewriter &rewriter) const override {
    auto topK = op.getIndices().getDefiningOp<TopKOp>();
    if (!topK || topK.getIndices() != op.getIndices())
      return rewriter.notifyMatchFailure(op, "indices do not come from top_k");
    if (topK.getScores() != op.getScores())
      return rewriter.notifyMatchFailure(op, "top_k ranks other values");
    if (op->getNumResults() != 1 || !op.getOuts().empty() ||
        topK.getWeights().getType() != op->getResult(0).getType())
      return rewriter.notifyMatchFailure(op, "not on plain tensors");
    rewriter.replaceOp(op, topK.getWeights());
    return success();
  }
};

/// scale by 1  ->  its operand: x * 1 is x bit for bit.
struct ScaleByOne : OpRewritePattern<ScaleOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScaleOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.getFactor().isExactlyValue(1.0))
      return rewriter.notifyMatchFailure(op, "factor is not 1");
    if (op->getNumResults() != 1 || !op.getOuts().empty() ||
        op.getWeights().getType() != op->getResult(0).getType())
      return rewriter.notifyMatchFailure(op, "not on plain tensors");
    rewriter.replaceOp(op, op.getWeights());
    return success();
  }
};

/// kinds = [0, 0, ...] of one clause  ->  no kinds, which says the same.
template <typename OpTy> struct DropKinds : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    if (!op.getKinds() || op.getExperts().size() != 1)
      return rewriter.notifyMatchFailure(op, "kinds say something");
    rewriter.modifyOpInPlace(op, [&] { op.removeKindsAttr(); });
    return success();
  }
};

/// Drops stacked weights that an expert does not use, or has twice.
template <typename OpTy> struct DropWeights : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    SmallVector<int64_t> counts(op.getWeightsPerKind());
    BitVector dropped(op.getWeights().size());
    SmallVector<BitVector> droppedArguments;
    SmallVector<std::pair<BlockArgument, BlockArgument>> doubles;
    unsigned first = 0;
    for (auto [region, count] : llvm::zip(op.getExperts(), counts)) {
      Block &block = region.front();
      BitVector &arguments =
          droppedArguments.emplace_back(block.getNumArguments());
      llvm::SmallDenseMap<Value, BlockArgument> slices; // looked up only
      for (unsigned i = 0, e = count; i < e; ++i) {
        BlockArgument slice = block.getArgument(i + 2);
        auto [it, isNew] =
            slices.try_emplace(op.getWeights()[first + i], slice);
        if (isNew && !slice.use_empty())
          continue;
        if (isNew) // the next one of this stack may have uses
          slices.erase(it);
        else
          doubles.push_back({slice, it->second});
        dropped.set(first + i);
        arguments.set(i + 2);
        --count;
      }
      first += count + arguments.count();
    }
    if (dropped.none())
      return rewriter.notifyMatchFailure(op, "every weight is used");
    for (auto [slice, other] : doubles)
      rewriter.replaceAllUsesWith(slice, other);
    rewriter.modifyOpInPlace(op, [&] {
      for (auto [region, arguments] :
           llvm::zip(op.getExperts(), droppedArguments))
        region.front().eraseArguments(arguments);
      MutableOperandRange weights = op.getWeightsMutable();
      for (unsigned i = dropped.size(); i-- > 0;)
        if (dropped.test(i))
          weights.erase(i);
      op.setWeightsPerKind(counts);
    });
    return success();
  }
};
} // namespace

void LayerOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                          MLIRContext *context) {
  patterns.add<DropKinds<LayerOp>, DropWeights<LayerOp>>(context);
}
void ExpertsOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                            MLIRContext *context) {
  patterns.add<DropKinds<ExpertsOp>, DropWeights<ExpertsOp>>(context);
}
void TakeOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                         MLIRContext *context) {
  patterns.add<TakeOfTopK>(context);
}
void ScaleOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                          MLIRContext *context) {
  patterns.add<ScaleByOne>(context);
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

/// Product of static sizes; nothing if it does not fit.
static std::optional<int64_t> countElements(ArrayRef<int64_t> shape) {
  int64_t product = 1;
  for (int64_t size : shape)
    if (size < 0 || llvm::MulOverflow(product, size, product))
      return std::nullopt;
  return product;
}

/// Whether [first, first + count) of the sources tile [0, size) of each part.
static bool coverOnce(ArrayRef<SourceAttr> sources, int64_t size,
                      int64_t parts) {
  SmallVector<SourceAttr> sorted(sources);
  llvm::sort(sorted, [](SourceAttr a, SourceAttr b) {
    return std::pair(a.getPart(), a.getFirst()) <
           std::pair(b.getPart(), b.getFirst());
  });
  int64_t part = 0, next = 0;
  for (SourceAttr source : sorted) {
    if (next == size) {
      next = 0;
      ++part;
    }
    if (source.getPart() != part || source.getFirst() != next)
      return false;
    next += source.getCount();
  }
  return part == parts - 1 && next == size;
}

LogicalResult ParameterOp::verify() {
  RankedTensorType type = getTensorType();
  // parameter_c1
  if (getSources().empty())
    return emitOpError("needs at least one source");
  if (type.getRank() < 1 || !countElements(type.getShape()))
    return emitOpError("type ") << type << " has no size or is too large";
  std::optional<PanelsAttr> panels = getPanels();
  int64_t parts = panels ? panels->getParts() : 1;
  // parameter_c2
  if (panels) {
    if (type.getRank() != 4 ||
        type.getDimSize(3) != panels->getWidth() * parts ||
        type.getDimSize(1) != panels->getNumPanels())
      return emitOpError("type ") << type << " does not fit " << *panels;
  }
  // Elements of one index of one part.
  std::optional<int64_t> slice =
      panels ? countElements({panels->getColumns(), type.getDimSize(2)})
             : countElements(type.getShape().drop_front());
  SmallVector<SourceAttr> sources =
      llvm::to_vector(getSources().getAsRange<SourceAttr>());
  for (SourceAttr source : sources) {
    // parameter_c3
    if (source.getType().getElementType() != type.getElementType())
      return emitOpError("source \"")
             << source.getTensor() << "\" is " << source.getType()
             << ", the parameter is " << type;
    if (source.getCount() < 1 || source.getFirst() < 0 ||
        source.getPart() < 0 || source.getPart() >= parts ||
        source.getCount() > type.getDimSize(0) ||
        source.getFirst() > type.getDimSize(0) - source.getCount())
      return emitOpError("source \"")
             << source.getTensor() << "\" does not lie inside " << type;
    // parameter_c4
    std::optional<int64_t> wanted =
        slice ? countElements({*slice, source.getCount()}) : std::nullopt;
    std::optional<int64_t> elements =
        countElements(source.getType().getShape());
    if (!wanted || elements != wanted) {
      InFlightDiagnostic error = emitOpError("source \"")
                                 << source.getTensor() << "\" is "
                                 << source.getType() << ", expected ";
      return wanted ? error << *wanted << " elements"
                    : error << "fewer elements";
    }
  }
  // parameter_c5
  if (!coverOnce(sources, type.getDimSize(0), parts))
    return emitOpError("sources must fill each of the ")
           << type.getDimSize(0) << " leading indices of each part once";
  // parameter_c6
  if (getPack() && !panels)
    return emitOpError("has a pack function but no panels");
  return success();
}

LogicalResult ParameterOp::verifySymbolUses(SymbolTableCollection &symbols) {
  // parameter_c7
  if (getPackAttr() && !symbols.lookupNearestSymbolFrom<FunctionOpInterface>(
                           *this, getPackAttr()))
    return emitOpError("is packed by '")
           << *getPack() << "', which is not a function";
  return success();
}

LogicalResult ParameterRefOp::verifySymbolUses(SymbolTableCollection &symbols) {
  // parameter_ref_c1
  auto parameter =
      symbols.lookupNearestSymbolFrom<ParameterOp>(*this, getParameterAttr());
  if (!parameter)
    return emitOpError("refers to '")
           << getParameter() << "', which is not a moe.parameter";
  // parameter_ref_c2
  auto type = cast<ShapedType>(getResult().getType());
  RankedTensorType wanted = parameter.getTensorType();
  auto memref = dyn_cast<MemRefType>(getResult().getType());
  if (type.getShape() != wanted.getShape() ||
      type.getElementType() != wanted.getElementType() ||
      (memref && !memref.getLayout().isIdentity()))
    return emitOpError("must have type ") << wanted << ", got " << type;
  return success();
}

//===----------------------------------------------------------------------===//
// Ragged ops
//===----------------------------------------------------------------------===//

/// T * k of tensors [T, k].
static int64_t numSlots(Value experts) {
  return mulSizes(sizeOf(experts, 0), sizeOf(experts, 1));
}
static OpFoldResult buildSlots(OpBuilder &b, Location loc, Value experts) {
  return buildProduct(b, loc, buildSize(b, loc, experts, 0),
                      buildSize(b, loc, experts, 1));
}
template <typename OpTy> static LogicalResult verifyAssignmentParts(OpTy op) {
  int64_t numExperts = op.getNumExperts();
  if (numExperts < 1 || numExperts >= kMaxIndex)
    return op.emitOpError("experts must be in [1, ")
           << kMaxIndex << "), got " << numExperts;
  if (failed(verifyCompatibleShape(shapeOf(op.getExperts()),
                                   shapeOf(op.getWeights()))))
    return op.emitOpError("experts ")
           << op.getExperts().getType() << " and weights "
           << op.getWeights().getType() << " differ in shape";
  if (int64_t rows = numSlots(op.getExperts()); rows >= kMaxIndex)
    return op.emitOpError("experts ")
           << op.getExperts().getType() << " have more slots than an i32 holds";
  return success();
}

SmallVector<RankedTensorType> PlanOp::getOutputTypes() {
  int64_t rows = numSlots(getExperts());
  return {tensorOf({rows}, i32(*this)), tensorOf({rows}, f32(*this)),
          tensorOf({int64_t(getNumExperts()) + 1}, i32(*this)),
          tensorOf({addSizes(sizeOf(getExperts(), 0), 1)}, i32(*this)),
          tensorOf({rows}, i32(*this))};
}
Sizes PlanOp::buildOutputSizes(OpBuilder &b) {
  OpFoldResult rows = buildSlots(b, getLoc(), getExperts());
  OpFoldResult tokens =
      buildSum(b, getLoc(), buildSize(b, getLoc(), getExperts(), 0), 1);
  return {{rows},
          {rows},
          {b.getIndexAttr(int64_t(getNumExperts()) + 1)},
          {tokens},
          {rows}};
}
bool PlanOp::readsDestination(unsigned) { return false; }
LogicalResult PlanOp::verify() {
  // plan_c1, plan_c2, plan_c3
  if (failed(verifyAssignmentParts(*this)))
    return failure();
  return verifyOutputs(*this);
}

SmallVector<RankedTensorType> ListEntriesOp::getOutputTypes() {
  int64_t rows = numSlots(getExperts());
  return {tensorOf({rows}, i64(*this)), tensorOf({rows}, i64(*this)),
          tensorOf({rows}, f32(*this)), tensorOf({1}, i64(*this))};
}
Sizes ListEntriesOp::buildOutputSizes(OpBuilder &b) {
  OpFoldResult rows = buildSlots(b, getLoc(), getExperts());
  return {{rows}, {rows}, {rows}, {b.getIndexAttr(1)}};
}
bool ListEntriesOp::readsDestination(unsigned) { return false; }
LogicalResult ListEntriesOp::verify() {
  // list_entries_c1, list_entries_c2, list_entries_c3
  if (failed(verifyAssignmentParts(*this)))
    return failure();
  return verifyOutputs(*this);
}

SmallVector<RankedTensorType> RowTilesOp::getOutputTypes() {
  return {tensorOf({ShapedType::kDynamic, 4}, i32(*this)),
          tensorOf({1}, i32(*this))};
}
Sizes RowTilesOp::buildOutputSizes(OpBuilder &b) {
  // Every expert with rows has at most rows / tile + 1 tiles, and there are at
  // most max_rows of either: max_rows tiles are enough.
  return {{OpFoldResult(getMaxRows()), b.getIndexAttr(4)}, {b.getIndexAttr(1)}};
}
bool RowTilesOp::readsDestination(unsigned) { return false; }
LogicalResult RowTilesOp::verify() {
  // row_tiles_c1
  if (int64_t(getTile()) < 1)
    return emitOpError("tile must be at least 1, got ") << int64_t(getTile());
  // row_tiles_c2
  if (sizeOf(getOffsets(), 0) == 0 || sizeOf(getOffsets(), 0) == 1)
    return emitOpError("offsets ")
           << getOffsets().getType() << " must have experts + 1 entries";
  return verifyOutputs(*this);
}

SmallVector<RankedTensorType> GatherRowsOp::getOutputTypes() {
  return {tensorOf({sizeOf(getRowToken(), 0), sizeOf(getX(), 1)}, f32(*this))};
}
Sizes GatherRowsOp::buildOutputSizes(OpBuilder &b) {
  return {{buildSize(b, getLoc(), getRowToken(), 0),
           buildSize(b, getLoc(), getX(), 1)}};
}
bool GatherRowsOp::readsDestination(unsigned) { return false; }
LogicalResult GatherRowsOp::verify() {
  // gather_rows_c1
  if (getRowWeight() &&
      failed(verifySameSize(*this, sizeOf(getRowWeight(), 0),
                            "length of weights", sizeOf(getRowToken(), 0),
                            "rows")))
    return failure();
  // gather_rows_c2
  if (sizeOf(getOffsets(), 0) == 0 || sizeOf(getOffsets(), 0) == 1)
    return emitOpError("groups ")
           << getOffsets().getType() << " must have experts + 1 entries";
  return verifyOutputs(*this);
}

SmallVector<RankedTensorType> CombineRowsOp::getOutputTypes() {
  return {tensorOf(
      {addSizes(sizeOf(getTokenOffsets(), 0), -1), sizeOf(getRows(), 1)},
      f32(*this))};
}
Sizes CombineRowsOp::buildOutputSizes(OpBuilder &b) {
  return {buildShape(b, getLoc(), getOuts()[0])};
}
bool CombineRowsOp::readsDestination(unsigned) { return true; }
LogicalResult CombineRowsOp::verify() {
  // combine_rows_c1
  if (getOuts().size() != 1)
    return emitOpError("needs one destination, got ") << getOuts().size();
  // combine_rows_c2
  if (sizeOf(getTokenOffsets(), 0) == 0)
    return emitOpError("token offsets ")
           << getTokenOffsets().getType() << " must have tokens + 1 entries";
  // combine_rows_c3
  if (failed(verifySameSize(*this, sizeOf(getTokenRows(), 0),
                            "length of token rows", sizeOf(getRows(), 0),
                            "rows")) ||
      (getRowWeight() && failed(verifySameSize(*this, sizeOf(getRowWeight(), 0),
                                               "length of weights",
                                               sizeOf(getRows(), 0), "rows"))))
    return failure();
  return verifyOutputs(*this);
}

//===----------------------------------------------------------------------===//
// GroupedMatmulOp, PackedMatmulOp
//===----------------------------------------------------------------------===//

/// Checks gather and scatter, which both matmul ops have.
template <typename OpTy> static LogicalResult verifyIndexMaps(OpTy op) {
  auto isI32 = [](Value value) {
    return cast<ShapedType>(value.getType()).getElementType().isInteger(32);
  };
  if (!op.getScatter().empty() &&
      (op.getScatter().size() != 2 || !isI32(op.getScatter()[0]) ||
       isI32(op.getScatter()[1])))
    return op.emitOpError("scatter needs row_token (i32) and row_weight (f32)");
  if (!op.getScatter().empty() && op.getOuts().empty())
    return op.emitOpError("scatter needs a destination");
  int64_t rows = sizeOf(op.getGather() ? op.getGather() : op.getA(), 0);
  for (Value map : op.getScatter())
    if (failed(verifySameSize(op, sizeOf(map, 0), "length of scatter", rows,
                              "rows")))
      return failure();
  return success();
}

/// The epilogue takes one scalar per matrix and is elementwise.
template <typename OpTy>
static LogicalResult verifyEpilogue(OpTy op, int64_t numParts) {
  Block &block = op.getEpilogue().front();
  if (int64_t(block.getNumArguments()) != numParts ||
      llvm::any_of(block.getArgumentTypes(),
                   [](Type type) { return !type.isF32(); }))
    return op.emitOpError("epilogue must take one f32 for each of the ")
           << numParts << " matrices, got (" << block.getArgumentTypes() << ")";
  for (Operation &inner : block.without_terminator())
    if ((!OpTrait::hasElementwiseMappableTraits(&inner) &&
         !inner.hasTrait<OpTrait::ConstantLike>()) ||
        llvm::any_of(inner.getResultTypes(), llvm::IsaPred<ShapedType>))
      return inner.emitOpError("is not elementwise on scalars, so it cannot be "
                               "in an epilogue");
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield || !yield.getValue().getType().isF32())
    return op.emitOpError("epilogue must yield f32");
  return success();
}

SmallVector<RankedTensorType> GroupedMatmulOp::getOutputTypes() {
  int64_t rows = getGather() ? sizeOf(getGather(), 0) : sizeOf(getA(), 0);
  // grouped_matmul_c6: what is added to rows is not rounded in between.
  Type element = f32(*this);
  if (!getScatter().empty())
    rows = ShapedType::kDynamic;
  else
    element = getProductType(*this);
  int64_t columns =
      getBs().empty() ? ShapedType::kDynamic : sizeOf(getBs()[0], 1);
  return {tensorOf({rows, columns}, element)};
}
Sizes GroupedMatmulOp::buildOutputSizes(OpBuilder &b) {
  if (!getOuts().empty())
    return {buildShape(b, getLoc(), getOuts()[0])};
  return {{getGather() ? buildSize(b, getLoc(), getGather(), 0)
                       : buildSize(b, getLoc(), getA(), 0),
           buildSize(b, getLoc(), getBs()[0], 1)}};
}
bool GroupedMatmulOp::readsDestination(unsigned) {
  return !getScatter().empty();
}
LogicalResult GroupedMatmulOp::verify() {
  // grouped_matmul_c1
  if (getBs().empty())
    return emitOpError("needs at least one matrix");
  int64_t numOffsets = sizeOf(getOffsets(), 0);
  for (Value b : getBs()) {
    // grouped_matmul_c2
    if (failed(verifySameSize(*this, sizeOf(b, 2), "columns of a matrix",
                              sizeOf(getA(), 1), "columns of a")) ||
        failed(verifySameSize(*this, sizeOf(b, 1), "rows of a matrix",
                              sizeOf(getBs()[0], 1),
                              "rows of the first matrix")) ||
        failed(verifySameSize(*this, addSizes(numOffsets, -1),
                              "groups of offsets", sizeOf(b, 0),
                              "experts of a matrix")))
      return failure();
  }
  // grouped_matmul_c3
  if (!getBiases().empty() && getBiases().size() != getBs().size())
    return emitOpError("needs no bias or one for each matrix, got ")
           << getBiases().size();
  for (auto [bias, b] : llvm::zip(getBiases(), getBs()))
    if (failed(verifySameSize(*this, sizeOf(bias, 1), "columns of a bias",
                              sizeOf(b, 1), "rows of its matrix")) ||
        failed(verifySameSize(*this, sizeOf(bias, 0), "experts of a bias",
                              sizeOf(b, 0), "experts of its matrix")))
      return failure();
  // grouped_matmul_c4
  if (failed(verifyIndexMaps(*this)))
    return failure();
  return verifyOutputs(*this);
}
LogicalResult GroupedMatmulOp::verifyRegions() {
  // grouped_matmul_c5
  return verifyEpilogue(*this, getBs().size());
}

SmallVector<RankedTensorType> PackedMatmulOp::getOutputTypes() {
  int64_t rows = getGather() ? sizeOf(getGather(), 0) : sizeOf(getA(), 0);
  if (!getScatter().empty())
    rows = ShapedType::kDynamic;
  return {tensorOf({rows, getPanels().getColumns()}, f32(*this))};
}
Sizes PackedMatmulOp::buildOutputSizes(OpBuilder &b) {
  if (!getOuts().empty())
    return {buildShape(b, getLoc(), getOuts()[0])};
  return {{getGather() ? buildSize(b, getLoc(), getGather(), 0)
                       : buildSize(b, getLoc(), getA(), 0),
           b.getIndexAttr(getPanels().getColumns())}};
}
bool PackedMatmulOp::readsDestination(unsigned) {
  return getAccumulate() || !getScatter().empty();
}
LogicalResult PackedMatmulOp::verify() {
  PanelsAttr panels = getPanels();
  auto b = cast<ShapedType>(getB().getType());
  // packed_matmul_c1
  if (b.getDimSize(3) != panels.getWidth() * panels.getParts() ||
      b.getDimSize(1) != panels.getNumPanels())
    return emitOpError("weights ") << b << " do not fit " << panels;
  // packed_matmul_c2
  if (failed(verifySameSize(*this, b.getDimSize(2), "rows of a panel",
                            sizeOf(getA(), 1), "columns of a")))
    return failure();
  // packed_matmul_c3: there is a kernel for every number of rows up to it.
  if (int64_t rows = getTileRows(); rows < 1 || rows > kMaxTileRows)
    return emitOpError("tile_rows must be in [1, ")
           << kMaxTileRows << "], got " << rows;
  // packed_matmul_c4
  if (!getTiles().empty() &&
      (getTiles().size() != 2 || shapeOf(getTiles()[0]).size() != 2 ||
       shapeOf(getTiles()[1]).size() != 1))
    return emitOpError("tiles needs the list and the count");
  if (!getTiles().empty() &&
      (failed(verifySameSize(*this, sizeOf(getTiles()[0], 1),
                             "columns of tiles", 4, "four")) ||
       failed(verifySameSize(*this, sizeOf(getTiles()[1], 0),
                             "length of the count", 1, "one"))))
    return failure();
  if (getTiles().empty() && b.getDimSize(0) != 1)
    return emitOpError("several groups need tiles");
  if (getAccumulate() && (!getScatter().empty() || getOuts().empty()))
    return emitOpError("accumulate needs a destination and no scatter");
  // packed_matmul_c5
  if (!getBiases().empty() && int64_t(getBiases().size()) != panels.getParts())
    return emitOpError("needs no bias or one for each matrix, got ")
           << getBiases().size();
  for (Value bias : getBiases())
    if (failed(verifySameSize(*this, sizeOf(bias, 1), "columns of a bias",
                              panels.getColumns(), "columns of the panels")) ||
        failed(verifySameSize(*this, sizeOf(bias, 0), "groups of a bias",
                              b.getDimSize(0), "groups of the weights")))
      return failure();
  // packed_matmul_c6
  if (failed(verifyIndexMaps(*this)))
    return failure();
  return verifyOutputs(*this);
}
LogicalResult PackedMatmulOp::verifyRegions() {
  // packed_matmul_c7
  return verifyEpilogue(*this, getPanels().getParts());
}

//===----------------------------------------------------------------------===//
// ParallelOp
//===----------------------------------------------------------------------===//

void ParallelOp::build(OpBuilder &b, OperationState &state, Value size) {
  state.addOperands(size);
  OpBuilder::InsertionGuard guard(b);
  Type index = b.getIndexType();
  b.createBlock(state.addRegion(), {}, {index, index},
                {state.location, state.location});
  EndOp::create(b, state.location);
}

/// `(` begin `,` end `)` `in` size region attr-dict
ParseResult ParallelOp::parse(OpAsmParser &parser, OperationState &state) {
  Type index = parser.getBuilder().getIndexType();
  SmallVector<OpAsmParser::Argument> range(2);
  OpAsmParser::UnresolvedOperand size;
  if (parser.parseLParen() || parser.parseArgument(range[0]) ||
      parser.parseComma() || parser.parseArgument(range[1]) ||
      parser.parseRParen() || parser.parseKeyword("in") ||
      parser.parseOperand(size) ||
      parser.resolveOperand(size, index, state.operands))
    return failure();
  range[0].type = range[1].type = index;
  Region *body = state.addRegion();
  if (parser.parseRegion(*body, range) ||
      parser.parseOptionalAttrDict(state.attributes))
    return failure();
  ensureTerminator(*body, parser.getBuilder(), state.location);
  return success();
}
void ParallelOp::print(OpAsmPrinter &printer) {
  printer << " (" << getBegin() << ", " << getEnd() << ") in " << getSize()
          << " ";
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false,
                      /*printBlockTerminators=*/false);
  printer.printOptionalAttrDict((*this)->getAttrs());
}
LogicalResult ParallelOp::verify() {
  // parallel_c1
  Block &block = getBody().front();
  if (block.getNumArguments() != 2 ||
      !llvm::all_of(block.getArgumentTypes(),
                    [](Type type) { return type.isIndex(); }))
    return emitOpError("body must take two indices, got (")
           << block.getArgumentTypes() << ")";
  return success();
}

#define GET_OP_CLASSES
#include "moe/Dialect/MoE/IR/MoEOps.cpp.inc"
