//===- Router.cpp - A kernel for the stages between logits and plan -------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Stages of routing work on one token at a time, so a chain of them runs in one
// kernel, a warp per token. A row of scores or of slots is spread over the
// lanes' registers; what only the chain reads never reaches memory.
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"
#include <limits>

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kWarp = 32, kWarps = 4;
/// Registers that a lane has for one row: 32 * 32 experts.
static constexpr int64_t kMaxParts = 32;
/// And for all rows of a chain; not all of them live at the same time.
static constexpr int64_t kMaxPartsOfChain = 128;

static int64_t getSize(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getShape().back();
}
static bool isRow(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getRank() == 2;
}
static int64_t countParts(Value buffer) {
  return llvm::divideCeil(getSize(buffer), kWarp);
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

namespace {
/// A token's row: lane l has element i * 32 + l in part i; elements from `size`
/// on are unspecified.
struct Row {
  SmallVector<Value> parts;
  int64_t size = 0;
};

/// Builds the stages of one token.
class RouterKernel {
public:
  RouterKernel(KernelBuilder &b, const llvm::SetVector<Value> &arguments)
      : b(b), f32(b.getF32Type()), i32(b.getI32Type()), arguments(arguments) {}

  void build(ArrayRef<Operation *> stages, ArrayRef<Value> stored) {
    lane = b.laneId();
    token = b.add(b.mul(b.blockId(), b.i32(kWarps)), b.warpId());
    Value tokens = b.argument(arguments.size());
    b.when(b.less(token, b.toI32(tokens)), [&] {
      for (Operation *stage : stages)
        TypeSwitch<Operation *>(stage)
            .Case<ScoreOp, AddSelectionBiasOp, TopKOp, TakeOp, RenormalizeOp,
                  ScaleOp, ScaleByExpertOp>([&](auto op) { buildStage(op); });
      for (Value buffer : stored)
        store(buffer);
    });
  }

private:
  //===--------------------------------------------------------------------===//
  // Stages; the arithmetic is that of Conversion/MoEToLoops/Routing.cpp.
  //===--------------------------------------------------------------------===//

  void buildStage(ScoreOp op) {
    const Row logits = read(op.getLogits());
    SmallVector<Value> taken(logits.parts.size());
    if (Value indices = op.getIndices())
      for (auto [isTaken, index] : llvm::zip(taken, read(indices).parts))
        isTaken = b.compare(arith::CmpIPredicate::sge, index, b.i32(0));
    auto ifTaken = [&](size_t i, Value value, Value otherwise) {
      return taken[i] ? b.select(taken[i], value, otherwise) : value;
    };
    Value zero = b.f32(0), one = b.f32(1);
    Row out{{}, logits.size};
    if (op.getFn() == ScoreFn::Sigmoid) {
      for (auto [i, x] : llvm::enumerate(logits.parts)) {
        Value exp = buildExp(arith::NegFOp::create(b, x));
        out.parts.push_back(ifTaken(i, b.divF(one, b.addF(one, exp)), zero));
      }
      rows[op.getOuts()[0]] = out;
      return;
    }
    Value lowest = b.f32(-std::numeric_limits<double>::infinity());
    Value max = lowest;
    for (auto [i, x] : llvm::enumerate(logits.parts)) {
      Value mine = ifTaken(i, x, lowest);
      if (Value inside = isInside(i, logits.size))
        mine = b.select(inside, mine, lowest);
      max = b.maxF(max, mine);
    }
    for (int64_t mask = kWarp / 2; mask > 0; mask /= 2)
      max = b.maxF(max, b.shuffleXor(max, mask));
    for (auto [i, x] : llvm::enumerate(logits.parts))
      out.parts.push_back(ifTaken(i, buildExp(b.subF(x, max)), zero));
    Value sum = fold(out, zero,
                     [&](Value sum, Value part) { return b.addF(sum, part); });
    for (auto [i, part] : llvm::enumerate(out.parts))
      part = ifTaken(i, b.divF(part, sum), zero);
    rows[op.getOuts()[0]] = out;
  }

  void buildStage(AddSelectionBiasOp op) {
    Row out = read(op.getScores());
    for (auto [i, part] : llvm::enumerate(out.parts))
      part = b.addF(part, loadIf(isInside(i, out.size), op.getBias(),
                                 b.add(lane, b.i32(i * kWarp))));
    rows[op.getOuts()[0]] = out;
  }

  /// Each of the k rounds takes the highest rank of all lanes, then the lowest
  /// expert that has it: two redux.sync.
  void buildStage(TopKOp op) {
    const Row scores = read(op.getScores());
    int64_t k = op.getK(), slots = llvm::divideCeil(k, kWarp);
    Value zero = b.i32(0), none = b.i32(-1);
    SmallVector<Value> carried;
    for (auto [i, score] : llvm::enumerate(scores.parts)) {
      Value rank = buildRank(score);
      if (Value inside = isInside(i, scores.size))
        rank = b.select(inside, rank, zero);
      carried.push_back(rank);
    }
    carried.append(slots, none);
    carried = b.reduce(zero, b.i32(k), b.i32(1), carried,
                       [&](Value j, ValueRange carried) {
                         return buildRound(j, carried.drop_back(slots),
                                           carried.take_back(slots));
                       });
    Row indices{SmallVector<Value>(ArrayRef(carried).take_back(slots)), k};
    rows[op.getOuts()[0]] = indices;
    rows[op.getOuts()[1]] = gather(scores, indices);
  }

  SmallVector<Value> buildRound(Value j, ValueRange ranks, ValueRange indices) {
    Value zero = b.i32(0), none = b.i32(-1);
    auto place = [&](size_t i) { return b.add(lane, b.i32(i * kWarp)); };
    auto isEqual = [&](Value x, Value y) {
      return b.compare(arith::CmpIPredicate::eq, x, y);
    };
    auto reduceWarp = [&](Value value, NVVM::ReduxKind kind) -> Value {
      return NVVM::ReduxOp::create(b, i32, value, kind, none);
    };
    Value mine = zero, at = none;
    for (auto [i, rank] : llvm::enumerate(ranks)) {
      // Ascending experts: only what is higher takes the place.
      Value isHigher = b.less(mine, rank);
      mine = b.select(isHigher, rank, mine);
      at = b.select(isHigher, place(i), at);
    }
    // Where nothing is left, all lanes say `none`.
    Value best = reduceWarp(mine, NVVM::ReduxKind::UMAX);
    Value chosen = reduceWarp(b.select(isEqual(mine, best), at, none),
                              NVVM::ReduxKind::UMIN);
    SmallVector<Value> next;
    for (auto [i, rank] : llvm::enumerate(ranks))
      next.push_back(b.select(isEqual(chosen, place(i)), zero, rank));
    for (auto [i, index] : llvm::enumerate(indices))
      next.push_back(b.select(isEqual(j, place(i)), chosen, index));
    return next;
  }

  /// An unsigned integer that orders f32 values as moe.top_k does: NaN sorts
  /// after every number but before -infinity, which is 0 and is never chosen.
  Value buildRank(Value value) {
    Value isNaN =
        arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, value, value);
    Value isLowest =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, value,
                              b.f32(-std::numeric_limits<double>::infinity()));
    // Adding +0 makes +0 of -0. Negative floats ascend where their bits
    // descend.
    Value bits = arith::BitcastOp::create(b, i32, b.addF(value, b.f32(0)));
    Value isNegative = b.compare(arith::CmpIPredicate::slt, bits, b.i32(0));
    Value sign = b.i32(std::numeric_limits<int32_t>::min());
    Value rank =
        b.select(isNegative, b.bitXor(bits, b.i32(-1)), b.bitXor(bits, sign));
    return b.select(isLowest, b.i32(0), b.select(isNaN, b.i32(1), rank));
  }

  void buildStage(TakeOp op) {
    const Row scores = read(op.getScores());
    rows[op.getOuts()[0]] = gather(scores, read(op.getIndices()));
  }

  void buildStage(RenormalizeOp op) {
    Row out = read(op.getWeights());
    bool isSquared = op.getP() == 2;
    Value norm = fold(out, b.f32(0), [&](Value sum, Value w) -> Value {
      return isSquared ? b.fma(w, w, sum)
                       : b.addF(sum, math::AbsFOp::create(b, w));
    });
    if (isSquared)
      norm = math::SqrtOp::create(b, norm);
    Value divisor = b.maxF(b.addF(norm, b.f32(op.getEps().convertToDouble())),
                           b.f32(op.getFloor().convertToDouble()));
    Value isZero =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, divisor, b.f32(0));
    for (Value &part : out.parts)
      part = b.select(isZero, b.f32(0), b.divF(part, divisor));
    rows[op.getOuts()[0]] = out;
  }

  void buildStage(ScaleOp op) {
    Row out = read(op.getWeights());
    Value factor = b.f32(op.getFactor().convertToDouble());
    for (Value &part : out.parts)
      part = b.mulF(part, factor);
    rows[op.getOuts()[0]] = out;
  }

  void buildStage(ScaleByExpertOp op) {
    Row out = read(op.getWeights());
    const Row indices = read(op.getIndices());
    Value count = b.i32(getSize(op.getFactors()));
    for (auto [i, part] : llvm::enumerate(out.parts)) {
      Value index = indices.parts[i], isExpert = b.less(index, count);
      // Lanes behind the last slot may have any index.
      Value factor = loadIf(isExpert, op.getFactors(), index);
      part = b.select(isExpert, b.mulF(part, factor), b.f32(0));
    }
    rows[op.getOuts()[0]] = out;
  }

  //===--------------------------------------------------------------------===//
  // Rows
  //===--------------------------------------------------------------------===//

  Value argument(Value buffer) {
    return b.argument(llvm::find(arguments, buffer) - arguments.begin());
  }

  Value buildExp(Value x) { return math::ExpOp::create(b, x); }

  /// Whether the lane's element of part `i` is one of the row; null if all are.
  Value isInside(int64_t i, int64_t size) {
    if ((i + 1) * kWarp <= size)
      return Value();
    return b.less(b.add(lane, b.i32(i * kWarp)), b.i32(size));
  }

  /// base[index], a float widened; 0 unless `condition`.
  Value loadIf(Value condition, Type element, Value base, Value index) {
    auto load = [&] {
      Value value = b.load(element, b.at(element, base, index));
      return isa<FloatType>(element) ? b.widen(value) : value;
    };
    if (!condition)
      return load();
    bool isFloat = isa<FloatType>(element);
    return b.pick(
        condition, isFloat ? f32 : element,
        [&] { return SmallVector<Value>{load()}; },
        [&] { return SmallVector<Value>{isFloat ? b.f32(0) : b.i32(0)}; })[0];
  }
  Value loadIf(Value condition, Value buffer, Value index) {
    return loadIf(condition,
                  cast<MemRefType>(buffer.getType()).getElementType(),
                  argument(buffer), index);
  }

  Value rowOf(Value buffer) {
    Type element = cast<MemRefType>(buffer.getType()).getElementType();
    return b.at(element, argument(buffer),
                b.mul(b.toI64(token), b.i64(getSize(buffer))));
  }

  Row read(Value buffer) {
    auto known = rows.find(buffer);
    if (known != rows.end())
      return known->second;
    Type element = cast<MemRefType>(buffer.getType()).getElementType();
    Value base = rowOf(buffer);
    Row row{{}, getSize(buffer)};
    for (int64_t i = 0, e = countParts(buffer); i < e; ++i)
      row.parts.push_back(loadIf(isInside(i, row.size), element, base,
                                 b.add(lane, b.i32(i * kWarp))));
    return rows[buffer] = row;
  }

  void store(Value buffer) {
    const Row row = rows.lookup(buffer);
    Value base = rowOf(buffer);
    for (auto [i, part] : llvm::enumerate(row.parts)) {
      auto write = [&, i = i, part = part] {
        Value index = b.add(lane, b.i32(i * kWarp));
        b.store(part, b.at(part.getType(), base, index));
      };
      if (Value inside = isInside(i, row.size))
        b.when(inside, write);
      else
        write();
    }
  }

  /// step(... step(step(init, row[0]), row[1]) ...), the same in all lanes.
  Value fold(const Row &row, Value init,
             function_ref<Value(Value, Value)> step) {
    for (auto [i, part] : llvm::enumerate(row.parts)) {
      int64_t count = std::min<int64_t>(row.size - i * kWarp, kWarp);
      init = b.reduce(b.i32(0), b.i32(count), b.i32(1), init,
                      [&, part = part](Value from, ValueRange last) {
                        return SmallVector<Value>{
                            step(last[0], b.shuffle(part, from))};
                      })[0];
    }
    return init;
  }

  /// row[index] for each index, 0 for one outside the row.
  Row gather(const Row &row, const Row &indices) {
    Row out{{}, indices.size};
    for (Value index : indices.parts) {
      Value from = b.bitAnd(index, b.i32(kWarp - 1));
      Value part = b.shr(index, 5), value = b.shuffle(row.parts[0], from);
      for (size_t i = 1; i < row.parts.size(); ++i)
        value = b.select(b.compare(arith::CmpIPredicate::eq, part, b.i32(i)),
                         b.shuffle(row.parts[i], from), value);
      out.parts.push_back(
          b.select(b.less(index, b.i32(row.size)), value, b.f32(0)));
    }
    return out;
  }

  KernelBuilder &b;
  Type f32, i32;
  const llvm::SetVector<Value> &arguments;
  llvm::DenseMap<Value, Row> rows;
  Value lane, token;
};

//===----------------------------------------------------------------------===//
// The chain
//===----------------------------------------------------------------------===//

/// Stages of one block that run as one kernel in the place of the last.
class RouterChain {
public:
  /// The longest chain that begins with `first`.
  explicit RouterChain(Operation *first) {
    add(first);
    for (Operation *op = first->getNextNode(); op; op = op->getNextNode()) {
      if (canAdd(op))
        add(op);
      else if (!canPass(op))
        break;
    }
  }

  /// Whether a kernel can be made of this op.
  static bool isStage(Operation *op) {
    return isa<ScoreOp, AddSelectionBiasOp, TopKOp, TakeOp, RenormalizeOp,
               ScaleOp, ScaleByExpertOp>(op) &&
           op->getNumResults() == 0 && hasDenseOperands(op) &&
           llvm::all_of(op->getOperands(), [](Value buffer) {
             int64_t size = getSize(buffer);
             return ShapedType::isStatic(size) && size > 0 &&
                    size <= kMaxParts * kWarp;
           });
  }

  void select(KernelModule &kernels);

private:
  static ValueRange outsOf(Operation *op) {
    return cast<DestinationOpInterface>(op)
        .getOutsMutable()
        .getAsOperandRange();
  }

  void add(Operation *op) {
    stages.push_back(op);
    for (Value buffer : op->getOperands()) {
      bool isOut = llvm::is_contained(outsOf(op), buffer);
      if (!isOut && !written.contains(buffer))
        loaded.insert(buffer);
      buffers.insert(buffer);
    }
    // An op may read what it writes.
    for (Value buffer : op->getOperands().drop_back(outsOf(op).size()))
      if (!written.contains(buffer))
        loaded.insert(buffer);
    written.insert(outsOf(op).begin(), outsOf(op).end());
  }

  /// What memory a buffer lies in; null where it is not known.
  static Value rootOf(Value buffer) {
    while (auto view = buffer.getDefiningOp<ViewLikeOpInterface>())
      buffer = view.getViewSource();
    if (auto argument = dyn_cast<BlockArgument>(buffer)) {
      auto func =
          dyn_cast<FunctionOpInterface>(argument.getOwner()->getParentOp());
      return func && argument.getOwner()->isEntryBlock() ? buffer : Value();
    }
    Operation *op = buffer.getDefiningOp();
    return isa<memref::AllocOp, memref::GetGlobalOp, ParameterRefOp>(op)
               ? buffer
               : Value();
  }
  static bool mayOverlap(Value a, Value b) {
    Value root = rootOf(a);
    return a == b || !root || !rootOf(b) || root == rootOf(b);
  }

  bool canAdd(Operation *op) const {
    auto isWritten = [&](Value buffer) { return written.contains(buffer); };
    if (!isStage(op) || llvm::none_of(op->getOperands(), isWritten))
      return false;
    int64_t parts = 0;
    llvm::SetVector<Value> all = buffers;
    all.insert(op->operand_begin(), op->operand_end());
    for (Value buffer : all)
      parts += isRow(buffer) ? countParts(buffer) : 0;
    if (parts > kMaxPartsOfChain)
      return false;
    // A buffer is one row of registers: none may be part of another.
    ValueRange outs = outsOf(op);
    for (Value mine : op->getOperands())
      for (Value other : all)
        if (mine != other && mayOverlap(mine, other) &&
            (llvm::is_contained(outs, mine) || isWritten(other)))
          return false;
    return true;
  }

  /// Whether the stages so far may run after `op` instead of before it.
  bool canPass(Operation *op) const {
    if (isMemoryEffectFree(op))
      return true;
    auto effects = getEffectsRecursively(op);
    return effects && llvm::all_of(*effects, [&](auto &effect) {
             if (isa<MemoryEffects::Allocate>(effect.getEffect()))
               return true;
             Value place = effect.getValue();
             bool isRead = isa<MemoryEffects::Read>(effect.getEffect());
             return place && llvm::none_of(buffers, [&](Value buffer) {
                      return (!isRead || written.contains(buffer)) &&
                             mayOverlap(buffer, place);
                    });
           });
  }

  /// Whether what is written to `buffer` can be seen outside the chain.
  bool isVisible(Value buffer) const {
    return loaded.contains(buffer) ||
           !buffer.getDefiningOp<memref::AllocOp>() ||
           !llvm::all_of(buffer.getUsers(), [&](Operation *user) {
             return llvm::is_contained(stages, user) ||
                    isa<memref::DimOp>(user);
           });
  }

  std::string getName(const llvm::SetVector<Value> &arguments,
                      KernelModule &kernels) const;

  SmallVector<Operation *> stages;
  /// All operands; what is read before the chain writes it; what it writes.
  llvm::SetVector<Value> buffers, loaded, written;
};
} // namespace

static StringRef getWord(Operation *stage) {
  if (auto score = dyn_cast<ScoreOp>(stage))
    return stringifyScoreFn(score.getFn());
  return stage->getName().stripDialect();
}

/// top_k_e8_k2 says all about a single top_k; a chain has a number for what its
/// stages read and write.
std::string RouterChain::getName(const llvm::SetVector<Value> &arguments,
                                 KernelModule &kernels) const {
  if (auto topK = dyn_cast<TopKOp>(stages[0]); topK && stages.size() == 1)
    return ("top_k_e" + Twine(getSize(topK.getScores())) + "_k" +
            Twine(topK.getK()))
        .str();
  std::string prefix = "router", key;
  llvm::raw_string_ostream os(key);
  for (Operation *stage : stages) {
    prefix += ("_" + getWord(stage)).str();
    os << stage->getName() << stage->getAttrDictionary();
    for (Value buffer : stage->getOperands())
      os << " " << llvm::find(buffers, buffer) - buffers.begin() << ":"
         << buffer.getType();
    os << "\n";
  }
  for (Value buffer : arguments)
    os << " " << llvm::find(buffers, buffer) - buffers.begin()
       << (written.contains(buffer) ? "!" : "");
  return kernels.getName(prefix, key);
}

/// Erases an allocation that only its sizes are read of.
static void eraseIfUnused(Value buffer) {
  auto alloc = buffer.getDefiningOp<memref::AllocOp>();
  if (!alloc || !llvm::all_of(alloc->getUsers(), llvm::IsaPred<memref::DimOp>))
    return;
  OpBuilder b(alloc);
  for (Operation *user : llvm::make_early_inc_range(alloc->getUsers())) {
    std::optional<int64_t> i = cast<memref::DimOp>(user).getConstantIndex();
    if (!i || *i < 0 || *i >= alloc.getType().getRank())
      return;
    Value size;
    if (alloc.getType().isDynamicDim(*i))
      size = alloc.getDynamicSizes()[alloc.getType().getDynamicDimIndex(*i)];
    else
      size = arith::ConstantIndexOp::create(b, alloc.getLoc(),
                                            alloc.getType().getDimSize(*i));
    user->getResult(0).replaceAllUsesWith(size);
    user->erase();
  }
  alloc->erase();
}

void RouterChain::select(KernelModule &kernels) {
  llvm::SetVector<Value> arguments = loaded;
  SmallVector<Value> stored, unseen;
  for (Value buffer : written) {
    (isVisible(buffer) ? stored : unseen).push_back(buffer);
    if (isVisible(buffer))
      arguments.insert(buffer);
  }
  OpBuilder b(stages.back());
  Location loc = stages.back()->getLoc();
  SmallVector<Type> types(arguments.size(),
                          LLVM::LLVMPointerType::get(b.getContext()));
  types.push_back(b.getI64Type());
  KernelShape shape;
  shape.threads = kWarps * kWarp;
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      getName(arguments, kernels), types, shape, [&](KernelBuilder &body) {
        RouterKernel(body, arguments).build(stages, stored);
      });
  Value tokens = memref::DimOp::create(b, loc, stages[0]->getOperand(0), 0);
  Value grid = arith::CeilDivUIOp::create(
      b, loc, tokens, arith::ConstantIndexOp::create(b, loc, kWarps));
  SmallVector<Value> operands = arguments.takeVector();
  operands.push_back(tokens);
  buildLaunch(b, loc, kernel, grid, operands);
  for (Operation *stage : stages)
    kernels.erase(stage);
  for (Value buffer : unseen)
    eraseIfUnused(buffer);
}

LogicalResult moe::selectRouter(Operation *op, KernelModule &kernels) {
  if (!RouterChain::isStage(op))
    return failure();
  RouterChain(op).select(kernels);
  return success();
}
