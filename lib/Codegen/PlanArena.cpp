//===- PlanArena.cpp - Place every buffer of a function in one arena ------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MathExtras.h"
#include <map>

namespace mlir::moe {
#define GEN_PASS_DEF_PLANARENA
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Every buffer starts at a multiple of this; so does the arena.
constexpr int64_t kAlignment = 64;
/// Most bytes of a buffer whose size is known here. What depends on the call is
/// bounded by the runtime, which checks the symbols.
constexpr int64_t kMaxStaticBytes = int64_t(1) << 40;
/// Longest chain of ops behind a size.
constexpr unsigned kMaxDepth = 256;

/// What a size may depend on: argument number of the function and dimension,
/// or -1 for the argument's value.
using Leaf = std::pair<unsigned, int64_t>;

/// What a caller must know of a function that needs an arena.
struct Plan {
  SmallVector<Leaf> leaves;
  func::FuncOp sizeFn;
};
using Plans = DenseMap<Operation *, Plan>;

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

/// Sizes as expressions over leaves. Equal expressions have equal numbers.
/// Nothing is built before a whole function is known to be computable.
class SizeTable {
public:
  using Id = unsigned;

  SizeTable(const Plans &plans, SymbolTable &symbols)
      : plans(plans), symbols(symbols) {}

  /// Bytes of an alloc or of the arena of a call, rounded up to kAlignment.
  FailureOr<Id> bytesOf(Operation *op);
  Id constant(int64_t value);
  Id add(Id x, Id y) { return binary(Kind::Add, x, y); }
  Id maximum(Id x, Id y) { return binary(Kind::MaxU, x, y); }
  std::optional<int64_t> getConstant(Id id) const {
    if (nodes[id].kind == Kind::Constant)
      return nodes[id].number;
    return std::nullopt;
  }

  /// The leaves that `roots` depend on, in ascending order.
  SmallVector<Leaf> getLeaves(ArrayRef<Id> roots) const;
  /// One value per number; those that `roots` do not need are null.
  SmallVector<Value> build(OpBuilder &b, Location loc, ArrayRef<Id> roots,
                           function_ref<Value(Leaf)> buildLeaf) const;

private:
  enum class Kind { Constant, Leaf, Clone, Arena, Add, Mul, And, MaxU, MaxS };
  struct Node {
    Kind kind;
    int64_t number = 0;       // Constant
    Leaf leaf;                // Leaf
    Operation *op = nullptr;  // Clone: the model; Arena: the size function
    SmallVector<Id> operands; // lower numbers
  };
  using Key = SmallVector<uintptr_t>;

  Id intern(Node node);
  Id binary(Kind kind, Id x, Id y);
  Id leafOf(Leaf leaf);
  FailureOr<Id> valueOf(Value value) { return memoize(value, -1); }
  FailureOr<Id> dimOf(Value buffer, int64_t dim) {
    return memoize(buffer, dim);
  }
  FailureOr<Id> memoize(Value value, int64_t dim);
  FailureOr<Id> computeValue(Value value);
  FailureOr<Id> computeDim(Value buffer, int64_t dim);
  FailureOr<Id> sizeOf(OpFoldResult size);
  FailureOr<Id> bytesOf(memref::AllocOp alloc);
  BitVector reach(ArrayRef<Id> roots) const;
  static LogicalResult fail(Value value, const Twine &why) {
    return emitError(value.getLoc())
           << "arena size is not computable at entry: " << why;
  }

  const Plans &plans;
  SymbolTable &symbols;
  SmallVector<Node> nodes;
  std::map<Key, Id> numbers;
  DenseMap<std::pair<Value, int64_t>, Id> known;
  unsigned depth = 0;
};
} // namespace

SizeTable::Id SizeTable::intern(Node node) {
  Key key{uintptr_t(node.kind), uintptr_t(node.number), node.leaf.first,
          uintptr_t(node.leaf.second)};
  if (node.kind == Kind::Arena) {
    key.push_back(reinterpret_cast<uintptr_t>(node.op));
  } else if (node.kind == Kind::Clone) {
    const void *parts[] = {
        node.op->getName().getAsOpaquePointer(),
        node.op->getAttrDictionary().getAsOpaquePointer(),
        node.op->getResult(0).getType().getAsOpaquePointer()};
    for (const void *part : parts)
      key.push_back(reinterpret_cast<uintptr_t>(part));
  }
  llvm::append_range(key, node.operands);
  auto [it, inserted] = numbers.try_emplace(std::move(key), nodes.size());
  if (inserted)
    nodes.push_back(std::move(node));
  return it->second;
}

SizeTable::Id SizeTable::constant(int64_t value) {
  return intern({Kind::Constant, value, {}, nullptr, {}});
}

SizeTable::Id SizeTable::leafOf(Leaf leaf) {
  return intern({Kind::Leaf, 0, leaf, nullptr, {}});
}

SizeTable::Id SizeTable::binary(Kind kind, Id x, Id y) {
  std::optional<int64_t> cx = getConstant(x), cy = getConstant(y);
  if (x == y && (kind == Kind::MaxU || kind == Kind::MaxS || kind == Kind::And))
    return x;
  if (kind == Kind::Add && cx == 0)
    return y;
  if (kind == Kind::Add && cy == 0)
    return x;
  if (kind == Kind::Mul && cx == 1)
    return y;
  if (kind == Kind::Mul && cy == 1)
    return x;
  if (!cx || !cy)
    return intern({kind, 0, {}, nullptr, {x, y}});
  uint64_t ux = *cx, uy = *cy;
  switch (kind) {
  case Kind::Add:
    return constant(ux + uy);
  case Kind::Mul:
    return constant(ux * uy);
  case Kind::And:
    return constant(ux & uy);
  case Kind::MaxU:
    return constant(std::max(ux, uy));
  case Kind::MaxS:
    return constant(std::max(*cx, *cy));
  default:
    llvm_unreachable("not a binary expression");
  }
}

FailureOr<SizeTable::Id> SizeTable::memoize(Value value, int64_t dim) {
  auto it = known.find({value, dim});
  if (it != known.end())
    return it->second;
  if (depth == kMaxDepth)
    return fail(value,
                "it is the end of more than " + Twine(kMaxDepth) + " ops");
  ++depth;
  FailureOr<Id> id = dim < 0 ? computeValue(value) : computeDim(value, dim);
  --depth;
  if (succeeded(id))
    known[{value, dim}] = *id;
  return id;
}

FailureOr<SizeTable::Id> SizeTable::computeValue(Value value) {
  APInt number;
  if (value.getType().isIndex() && matchPattern(value, m_ConstantInt(&number)))
    return constant(number.getSExtValue());
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    if (!isa<FunctionOpInterface>(argument.getOwner()->getParentOp()))
      return fail(value, "it depends on a loop variable");
    if (!value.getType().isIndex())
      return fail(value, "it depends on an argument that is not an index");
    return leafOf({argument.getArgNumber(), -1});
  }

  Operation *op = value.getDefiningOp();
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    std::optional<int64_t> number = dim.getConstantIndex();
    auto type = dyn_cast<MemRefType>(dim.getSource().getType());
    if (!number || !type || *number < 0 || *number >= type.getRank())
      return fail(value, "the dimension is not known");
    return dimOf(dim.getSource(), *number);
  }
  if (auto metadata = dyn_cast<memref::ExtractStridedMetadataOp>(op)) {
    // Results: base, offset, sizes, strides.
    auto type = cast<MemRefType>(metadata.getSource().getType());
    int64_t dim = cast<OpResult>(value).getResultNumber() - 2;
    if (dim < 0 || dim >= type.getRank())
      return fail(value, "it depends on an offset or a stride");
    return dimOf(metadata.getSource(), dim);
  }
  if (op->getNumRegions() || op->getNumResults() != 1)
    return fail(value, "it depends on the control flow");
  if (!isMemoryEffectFree(op))
    return fail(value, "it reads memory; give the buffer an upper bound");
  if (llvm::any_of(op->getOperandTypes(), llvm::IsaPred<BaseMemRefType>))
    return fail(value, "it depends on an address");

  Node node{Kind::Clone, 0, {}, op, {}};
  for (Value operand : op->getOperands()) {
    FailureOr<Id> id = valueOf(operand);
    if (failed(id))
      return failure();
    node.operands.push_back(*id);
  }
  // A division whose divisor may be 0 stood behind a branch, perhaps; the size
  // function always runs.
  if (!isSpeculatable(op)) {
    if (!isa<arith::DivUIOp, arith::DivSIOp, arith::RemUIOp, arith::RemSIOp,
             arith::CeilDivUIOp, arith::CeilDivSIOp, arith::FloorDivSIOp>(op) ||
        !value.getType().isIndex())
      return fail(value, "it may trap");
    node.operands[1] = binary(Kind::MaxS, node.operands[1], constant(1));
  }
  return intern(std::move(node));
}

FailureOr<SizeTable::Id> SizeTable::sizeOf(OpFoldResult size) {
  if (auto value = dyn_cast<Value>(size))
    return valueOf(value);
  return constant(*getConstantIntValue(size));
}

FailureOr<SizeTable::Id> SizeTable::computeDim(Value buffer, int64_t dim) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  if (!type)
    return fail(buffer, "the rank of a buffer is not known");
  if (!type.isDynamicDim(dim))
    return constant(type.getDimSize(dim));
  if (auto argument = dyn_cast<BlockArgument>(buffer)) {
    if (!isa<FunctionOpInterface>(argument.getOwner()->getParentOp()))
      return fail(buffer, "it is the size of a loop-carried buffer");
    return leafOf({argument.getArgNumber(), dim});
  }

  Operation *op = buffer.getDefiningOp();
  unsigned dynamic = type.getDynamicDimIndex(dim);
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    return valueOf(alloc.getDynamicSizes()[dynamic]);
  if (auto alloca = dyn_cast<memref::AllocaOp>(op))
    return valueOf(alloca.getDynamicSizes()[dynamic]);
  if (auto view = dyn_cast<memref::ViewOp>(op))
    return valueOf(view.getSizes()[dynamic]);
  if (auto expand = dyn_cast<memref::ExpandShapeOp>(op))
    return sizeOf(expand.getMixedOutputShape()[dim]);
  if (auto cast = dyn_cast<memref::ReinterpretCastOp>(op))
    return sizeOf(cast.getMixedSizes()[dim]);
  if (auto cast = dyn_cast<memref::CastOp>(op))
    return dimOf(cast.getSource(), dim);
  if (auto cast = dyn_cast<memref::MemorySpaceCastOp>(op))
    return dimOf(cast.getSource(), dim);
  if (auto align = dyn_cast<memref::AssumeAlignmentOp>(op))
    return dimOf(align.getMemref(), dim);
  if (auto transpose = dyn_cast<memref::TransposeOp>(op))
    return dimOf(transpose.getIn(),
                 transpose.getPermutation().getDimPosition(dim));
  if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op)) {
    Id product = constant(1);
    SmallVector<ReassociationIndices> groups =
        collapse.getReassociationIndices();
    for (int64_t source : groups[dim]) {
      FailureOr<Id> size = dimOf(collapse.getSrc(), source);
      if (failed(size))
        return failure();
      product = binary(Kind::Mul, product, *size);
    }
    return product;
  }
  if (auto subview = dyn_cast<memref::SubViewOp>(op)) {
    llvm::SmallBitVector dropped = subview.getDroppedDims();
    for (auto [i, size] : llvm::enumerate(subview.getMixedSizes()))
      if (!dropped[i] && dim-- == 0)
        return sizeOf(size);
  }
  return fail(buffer, "it is the size of a buffer from '" +
                          op->getName().getStringRef() + "'");
}

FailureOr<SizeTable::Id> SizeTable::bytesOf(memref::AllocOp alloc) {
  MemRefType type = alloc.getType();
  int64_t bytes =
      type.getElementType().isIndex()
          ? 8
          : int64_t(llvm::divideCeil(type.getElementTypeBitWidth(), 8));
  SmallVector<Id> dynamic;
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    FailureOr<Id> size = dimOf(alloc.getMemref(), dim);
    if (failed(size))
      return failure();
    std::optional<int64_t> number = getConstant(*size);
    if (!number)
      dynamic.push_back(*size);
    else if (*number < 0)
      return alloc.emitOpError("has a negative size: ") << *number;
    else if (llvm::MulOverflow(bytes, *number, bytes) ||
             bytes > kMaxStaticBytes)
      return alloc.emitOpError("needs more than ")
             << kMaxStaticBytes << " bytes: " << type;
  }
  Id total = constant(bytes);
  for (Id size : dynamic)
    total = binary(Kind::Mul, total, size);
  total = binary(Kind::Add, total, constant(kAlignment - 1));
  return binary(Kind::And, total, constant(-kAlignment));
}

FailureOr<SizeTable::Id> SizeTable::bytesOf(Operation *op) {
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    return bytesOf(alloc);
  auto call = cast<func::CallOp>(op);
  const Plan &plan = plans.at(symbols.lookup(call.getCallee()));
  Node node{Kind::Arena, 0, {}, plan.sizeFn, {}};
  for (auto [argument, dim] : plan.leaves) {
    FailureOr<Id> id = memoize(call.getOperand(argument), dim);
    if (failed(id))
      return failure();
    node.operands.push_back(*id);
  }
  return intern(std::move(node));
}

BitVector SizeTable::reach(ArrayRef<Id> roots) const {
  BitVector needed(nodes.size());
  for (Id root : roots)
    needed.set(root);
  for (Id id = nodes.size(); id-- > 0;)
    if (needed[id])
      for (Id operand : nodes[id].operands)
        needed.set(operand);
  return needed;
}

SmallVector<Leaf> SizeTable::getLeaves(ArrayRef<Id> roots) const {
  SmallVector<Leaf> leaves;
  BitVector needed = reach(roots);
  for (Id id : needed.set_bits())
    if (nodes[id].kind == Kind::Leaf)
      leaves.push_back(nodes[id].leaf);
  llvm::sort(leaves);
  return leaves;
}

SmallVector<Value> SizeTable::build(OpBuilder &b, Location loc,
                                    ArrayRef<Id> roots,
                                    function_ref<Value(Leaf)> buildLeaf) const {
  SmallVector<Value> values(nodes.size());
  BitVector needed = reach(roots);
  for (Id id : needed.set_bits()) {
    const Node &node = nodes[id];
    SmallVector<Value> operands;
    for (Id operand : node.operands)
      operands.push_back(values[operand]);
    switch (node.kind) {
    case Kind::Constant:
      values[id] = arith::ConstantIndexOp::create(b, loc, node.number);
      break;
    case Kind::Leaf:
      values[id] = buildLeaf(node.leaf);
      break;
    case Kind::Clone: {
      Operation *copy = b.clone(*node.op);
      copy->setOperands(operands);
      values[id] = copy->getResult(0);
      break;
    }
    case Kind::Arena:
      values[id] =
          func::CallOp::create(b, loc, cast<func::FuncOp>(node.op), operands)
              .getResult(0);
      break;
    case Kind::Add:
      values[id] = arith::AddIOp::create(b, loc, operands[0], operands[1]);
      break;
    case Kind::Mul:
      values[id] = arith::MulIOp::create(b, loc, operands[0], operands[1]);
      break;
    case Kind::And:
      values[id] = arith::AndIOp::create(b, loc, operands[0], operands[1]);
      break;
    case Kind::MaxU:
      values[id] = arith::MaxUIOp::create(b, loc, operands[0], operands[1]);
      break;
    case Kind::MaxS:
      values[id] = arith::MaxSIOp::create(b, loc, operands[0], operands[1]);
      break;
    }
  }
  return values;
}

//===----------------------------------------------------------------------===//
// Live intervals
//===----------------------------------------------------------------------===//

namespace {
/// An alloc, or a call whose callee needs an arena while it runs.
struct Item {
  Operation *op;
  int64_t begin, end; // of its life, on a clock that ticks around every op
  SizeTable::Id bytes = 0;
  unsigned colour = 0;
};

/// Items that are never alive together, hence share memory.
struct Colour {
  int64_t freeAt = 0;
  SmallVector<unsigned> members;
  SizeTable::Id bytes = 0;
};

/// Finds out when each buffer of a function is alive.
class Liveness {
public:
  explicit Liveness(func::FuncOp function) : views(function) {
    int64_t clock = 0;
    function.walk([&](Operation *op, const WalkStage &stage) {
      if (stage.isBeforeAllRegions())
        span[op].first = clock++;
      if (stage.isAfterAllRegions())
        span[op].second = clock++;
    });
  }

  Item getCall(func::CallOp call) const {
    auto [begin, end] = span.at(call);
    return {call, begin, end};
  }
  FailureOr<Item> getAlloc(memref::AllocOp alloc) const;

private:
  FailureOr<Operation *> findUser(memref::AllocOp alloc, Operation *user) const;

  BufferViewFlowAnalysis views;
  DenseMap<Operation *, std::pair<int64_t, int64_t>> span;
};
} // namespace

/// The ancestor of `user` in the innermost block around both, so that a buffer
/// from outside a loop lives for the whole loop.
FailureOr<Operation *> Liveness::findUser(memref::AllocOp alloc,
                                          Operation *user) const {
  Operation *mine = alloc;
  while (true) {
    if (Operation *theirs = mine->getBlock()->findAncestorOpInBlock(*user))
      return theirs;
    mine = mine->getParentOp();
    if (isa<LoopLikeOpInterface>(mine))
      return alloc.emitOpError("is carried out of its loop");
  }
}

FailureOr<Item> Liveness::getAlloc(memref::AllocOp alloc) const {
  auto [begin, end] = span.at(alloc);
  Item item{alloc, begin, end};
  for (Value alias : views.resolve(alloc.getMemref())) {
    // What the next iteration reads, even if nothing reads it after the loop.
    auto argument = dyn_cast<BlockArgument>(alias);
    Operation *owner =
        argument ? argument.getOwner()->getParentOp() : alias.getDefiningOp();
    if (isa<LoopLikeOpInterface>(owner) && owner->isProperAncestor(alloc))
      return alloc.emitOpError("is carried out of its loop");
    for (OpOperand &use : alias.getUses()) {
      Operation *user = use.getOwner();
      if (isa<func::ReturnOp>(user))
        return alloc.emitOpError("is returned; write to a destination instead");
      if (auto store = dyn_cast<memref::StoreOp>(user);
          store && store.getValueToStore() == alias)
        return alloc.emitOpError("is stored in memory");
      if (isa<memref::ReallocOp>(user))
        return alloc.emitOpError("is reallocated");
      FailureOr<Operation *> theirs = findUser(alloc, user);
      if (failed(theirs))
        return failure();
      // An address hides its uses: keep the buffer to the end of the block.
      if (isa<memref::ExtractAlignedPointerAsIndexOp,
              UnrealizedConversionCastOp>(user))
        theirs = (*theirs)->getBlock()->getTerminator();
      item.end = std::max(item.end, span.at(*theirs).second);
    }
  }
  return item;
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
class ArenaPlanner {
public:
  explicit ArenaPlanner(ModuleOp module) : module(module), symbols(module) {}
  LogicalResult run();

private:
  bool needsArena(Operation *op);
  LogicalResult sortCalleesFirst(SmallVectorImpl<func::FuncOp> &order);
  LogicalResult collectItems(func::FuncOp function,
                             SmallVectorImpl<Item> &items);
  LogicalResult planFunction(func::FuncOp function);

  ModuleOp module;
  SymbolTable symbols;
  Plans plans;
  /// Functions whose signature may not change, with a use that says why.
  DenseMap<StringAttr, Operation *> pinned;
};
} // namespace

/// Whether the op is an alloc or a call of a function that has a plan.
bool ArenaPlanner::needsArena(Operation *op) {
  if (auto call = dyn_cast<func::CallOp>(op))
    return plans.contains(symbols.lookup(call.getCallee()));
  return isa<memref::AllocOp>(op);
}

/// Post-order over calls, in the order of the module. A cycle is an error when
/// a function in it allocates.
LogicalResult
ArenaPlanner::sortCalleesFirst(SmallVectorImpl<func::FuncOp> &order) {
  enum class State { New, Open, Done };
  DenseMap<Operation *, State> states;
  DenseMap<Operation *, SmallVector<func::FuncOp>> callees;
  for (auto function : module.getOps<func::FuncOp>())
    function.walk([&](func::CallOp call) {
      if (auto callee = symbols.lookup<func::FuncOp>(call.getCallee()))
        callees[function].push_back(callee);
    });

  for (auto root : module.getOps<func::FuncOp>()) {
    SmallVector<std::pair<func::FuncOp, unsigned>> stack;
    auto enter = [&](func::FuncOp function) {
      states[function] = State::Open;
      stack.emplace_back(function, 0);
    };
    if (states.lookup(root) == State::New)
      enter(root);
    while (!stack.empty()) {
      auto &[function, next] = stack.back();
      ArrayRef<func::FuncOp> called = callees[function];
      if (next == called.size()) {
        states[function] = State::Done;
        order.push_back(function);
        stack.pop_back();
        continue;
      }
      func::FuncOp callee = called[next++];
      if (states.lookup(callee) == State::New) {
        enter(callee);
        continue;
      }
      if (states.lookup(callee) == State::Done)
        continue;
      for (auto &[member, unused] : llvm::reverse(stack)) {
        if (member.walk([](memref::AllocOp) { return WalkResult::interrupt(); })
                .wasInterrupted())
          return member.emitOpError("is recursive and allocates");
        if (member == callee)
          break;
      }
    }
  }
  return success();
}

/// The items of a function in order of `begin`.
LogicalResult ArenaPlanner::collectItems(func::FuncOp function,
                                         SmallVectorImpl<Item> &items) {
  SmallVector<Operation *> ops;
  Operation *branching = nullptr;
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (needsArena(op))
      ops.push_back(op);
    for (Region &region : op->getRegions())
      if (!region.empty() && !region.hasOneBlock())
        branching = op;
  });
  if (ops.empty())
    return success();
  if (branching)
    return branching->emitOpError(
        "has branches between blocks; plan the arena before scf is lowered");

  Liveness liveness(function);
  for (Operation *op : ops) {
    for (Operation *parent = op->getParentOp(); parent != function;
         parent = parent->getParentOp()) {
      if (isa<ParallelOp>(parent) ||
          parent->hasTrait<OpTrait::HasParallelRegion>())
        return op->emitOpError("needs memory inside a parallel loop, whose "
                               "threads would share it");
      if (!isa<RegionBranchOpInterface>(parent))
        return op->emitOpError("needs memory inside '")
               << parent->getName() << "'";
    }
    if (auto call = dyn_cast<func::CallOp>(op)) {
      items.push_back(liveness.getCall(call));
      continue;
    }
    auto alloc = cast<memref::AllocOp>(op);
    MemRefType type = alloc.getType();
    if (!type.getLayout().isIdentity() || type.getMemorySpace())
      return alloc.emitOpError("must have identity layout and no memory space, "
                               "got ")
             << type;
    if (!type.getElementType().isIntOrIndexOrFloat())
      return alloc.emitOpError("must hold numbers, got ") << type;
    if (alloc.getAlignment().value_or(1) > uint64_t(kAlignment))
      return alloc.emitOpError("wants an alignment of ")
             << *alloc.getAlignment() << ", the arena has " << kAlignment;
    FailureOr<Item> item = liveness.getAlloc(alloc);
    if (failed(item))
      return failure();
    items.push_back(*item);
  }
  return success();
}

/// First fit in order of `begin`, first a free colour that already has this
/// very size: then the maximum of the colour is no larger.
static SmallVector<Colour> colourItems(MutableArrayRef<Item> items) {
  SmallVector<Colour> colours;
  for (unsigned i = 0; i < items.size(); ++i) {
    Item &item = items[i];
    std::optional<unsigned> best;
    for (auto [c, colour] : llvm::enumerate(colours)) {
      if (colour.freeAt >= item.begin)
        continue;
      bool same = llvm::any_of(colour.members, [&](unsigned member) {
        return items[member].bytes == item.bytes;
      });
      if (!best || same)
        best = c;
      if (same)
        break;
    }
    if (!best) {
      best = colours.size();
      colours.emplace_back();
    }
    item.colour = *best;
    colours[*best].freeAt = item.end;
    colours[*best].members.push_back(i);
  }
  return colours;
}

LogicalResult ArenaPlanner::planFunction(func::FuncOp function) {
  SmallVector<Item> items;
  if (function.isExternal())
    return success();
  if (failed(collectItems(function, items)))
    return failure();
  if (items.empty())
    return success();
  if (Operation *user = pinned.lookup(function.getSymNameAttr()))
    return user->emitOpError("uses @")
           << function.getName() << ", which needs an arena, without a call";
  std::string sizeName = (function.getName() + ".arena_size").str();
  if (symbols.lookup(sizeName))
    return function.emitOpError("needs an arena, but @")
           << sizeName << " exists already";

  SizeTable sizes(plans, symbols);
  for (Item &item : items) {
    FailureOr<SizeTable::Id> bytes = sizes.bytesOf(item.op);
    if (failed(bytes))
      return failure();
    item.bytes = *bytes;
  }
  // Offsets are prefix sums over colours.
  SmallVector<Colour> colours = colourItems(items);
  SizeTable::Id total = sizes.constant(0);
  SmallVector<SizeTable::Id> offsets, inFunction;
  for (Colour &colour : colours) {
    colour.bytes = items[colour.members.front()].bytes;
    for (unsigned member : ArrayRef(colour.members).drop_front())
      colour.bytes = sizes.maximum(colour.bytes, items[member].bytes);
    offsets.push_back(total);
    total = sizes.add(total, colour.bytes);
  }
  inFunction = offsets;
  for (Item &item : items)
    if (isa<func::CallOp>(item.op))
      inFunction.push_back(item.bytes);

  // From here on the IR changes.
  Location loc = function.getLoc();
  OpBuilder b(function);
  SmallVector<Leaf> leaves = sizes.getLeaves(total);
  SmallVector<Type> inputs(leaves.size(), b.getIndexType());
  auto sizeFn = func::FuncOp::create(
      b, loc, sizeName, b.getFunctionType(inputs, b.getIndexType()));
  sizeFn.setVisibility(function.getVisibility());
  sizeFn->setAttr(
      MoEDialect::kArenaLeavesAttr,
      b.getArrayAttr(llvm::map_to_vector(leaves, [&](Leaf leaf) -> Attribute {
        return b.getDenseI64ArrayAttr({int64_t(leaf.first), leaf.second});
      })));
  symbols.insert(sizeFn);
  Block *body = sizeFn.addEntryBlock();
  OpBuilder sizeBuilder = OpBuilder::atBlockEnd(body);
  SmallVector<Value> values =
      sizes.build(sizeBuilder, loc, total, [&](Leaf leaf) -> Value {
        return body->getArgument(llvm::find(leaves, leaf) - leaves.begin());
      });
  func::ReturnOp::create(sizeBuilder, loc, values[total]);

  Block &entry = function.getBody().front();
  OpBuilder entryBuilder(&entry, entry.begin());
  values = sizes.build(entryBuilder, loc, inFunction, [&](Leaf leaf) -> Value {
    Value argument = entry.getArgument(leaf.first);
    if (leaf.second < 0)
      return argument;
    return memref::DimOp::create(entryBuilder, loc, argument, leaf.second);
  });

  auto arenaType = MemRefType::get({ShapedType::kDynamic}, b.getI8Type());
  unsigned numArguments = function.getNumArguments();
  if (failed(function.insertArgument(numArguments, arenaType, {}, loc)))
    return failure();
  Value arena = entry.getArgument(numArguments);
  for (Item &item : items) {
    OpBuilder builder(item.op);
    Value offset = values[offsets[item.colour]];
    if (auto alloc = dyn_cast<memref::AllocOp>(item.op)) {
      // The arena owns the memory.
      for (Operation *user :
           llvm::make_early_inc_range(alloc.getMemref().getUsers()))
        if (isa<memref::DeallocOp>(user))
          user->erase();
      alloc.replaceAllUsesWith(
          memref::ViewOp::create(builder, alloc.getLoc(), alloc.getType(),
                                 arena, offset, alloc.getDynamicSizes())
              .getResult());
    } else {
      auto call = cast<func::CallOp>(item.op);
      Value part = memref::ViewOp::create(builder, call.getLoc(), arenaType,
                                          arena, offset, values[item.bytes]);
      SmallVector<Value> operands(call.getOperands());
      operands.push_back(part);
      auto planned =
          func::CallOp::create(builder, call.getLoc(), call.getResultTypes(),
                               call.getCallee(), operands);
      planned->setDiscardableAttrs(call->getDiscardableAttrDictionary());
      call.replaceAllUsesWith(planned);
    }
    item.op->erase();
  }
  plans[function] = {leaves, sizeFn};
  return success();
}

LogicalResult ArenaPlanner::run() {
  if (auto uses = SymbolTable::getSymbolUses(&module.getBodyRegion()))
    for (const SymbolTable::SymbolUse &use : *uses)
      if (!isa<func::CallOp>(use.getUser()))
        pinned.try_emplace(use.getSymbolRef().getRootReference(),
                           use.getUser());
  SmallVector<func::FuncOp> order;
  if (failed(sortCalleesFirst(order)))
    return failure();
  for (func::FuncOp function : order)
    if (failed(planFunction(function)))
      return failure();
  return success();
}

namespace {
struct PlanArena : public moe::impl::PlanArenaBase<PlanArena> {
  void runOnOperation() override {
    if (failed(ArenaPlanner(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
