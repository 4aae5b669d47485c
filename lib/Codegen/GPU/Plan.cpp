//===- Plan.cpp - Kernels that sort an assignment -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// A stable counting sort of the slots [T, k] by expert, without atomics, so
// that the order does not depend on scheduling. Slots are cut into slices, one
// per warp. Each slice counts its experts; sums over slices and experts give
// every slice its first place for every expert; each slice then places its
// slots in order. Lanes that hold the same expert find each other with
// match.sync, and their rank is the number of such lanes below.
//
// Few slots are one block's work, from counting to placing. Many are counted
// and placed by many blocks, with one block for the sums in between.
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moe/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kWarp = 32;
/// The block of few slots and of sums: a slice per warp.
static constexpr int64_t kThreads = 1024, kWarps = kThreads / kWarp;
static constexpr int64_t kFewSlots = 16384;
/// Many slots: this many blocks of this many slices.
static constexpr int64_t kBlocks = 64, kSlicesPerBlock = 8;
static constexpr int64_t kSlices = kBlocks * kSlicesPerBlock;
/// Counts of 32 slices and sums of warps fit the shared memory of every target.
static constexpr int64_t kMaxExperts = 1024;

namespace {
/// Arguments of all kernels of a plan.
enum : unsigned {
  kExperts,
  kWeights,
  kRowToken,
  kRowWeight,
  kExpertOffsets,
  kTokenOffsets,
  kTokenRows,
  kSlotRow, ///< scratch [T k]: the row of each slot
  kCounts,  ///< scratch [kSlices, E]
  kTokens,
  kSlots,
  kNumArguments,
  // Of moe.list_entries, in other places.
  kEntryToken = kRowToken,
  kEntryWeight = kRowWeight,
  kEntryExpert = kExpertOffsets,
  kEntryCount = kTokenRows
};

class PlanKernel {
public:
  PlanKernel(KernelBuilder &b, int64_t numExperts)
      : b(b), numExperts(numExperts), i32(b.getI32Type()) {}

  /// From experts to rows, in one block.
  void buildAll() {
    Value counts = b.dynamicShared();
    Value totals = b.at(i32, counts, b.i32(kWarps * numExperts));
    Value sums = b.at(i32, totals, b.i32(numExperts));
    Value slice = b.warpId();
    count(slice, kWarps, getRow(counts, slice));
    b.barrier();
    sumExperts(kWarps, counts, totals);
    // All warps meet in there, so place() finds what sumExperts() has stored.
    sumTokens(sums);
    place(slice, kWarps, getRow(counts, slice));
  }
  static int64_t getSharedBytes(int64_t numExperts, int64_t slices) {
    return 4 * (slices * numExperts + numExperts + kWarps);
  }

  // A slice's counts are in shared memory while its warp works on them.
  void buildCount() {
    Value row = getRow(b.dynamicShared(), b.warpId());
    count(getSlice(), kSlices, row);
    copyRow(row, getRow(b.argument(kCounts), getSlice()));
  }
  void buildSums() {
    Value totals = b.dynamicShared();
    Value sums = b.at(i32, totals, b.i32(numExperts));
    sumExperts(kSlices, b.argument(kCounts), totals);
    sumTokens(sums);
  }
  void buildPlace() {
    Value row = getRow(b.dynamicShared(), b.warpId());
    copyRow(getRow(b.argument(kCounts), getSlice()), row);
    syncWarp();
    place(getSlice(), kSlices, row);
  }

  /// Rows of each token, ascending: a thread per slot finds its place among the
  /// token's.
  void buildInverse() {
    Value slot = b.add(b.mul(b.blockId(), b.i32(256)), b.threadId());
    b.when(b.less(slot, b.toI32(b.argument(kSlots))), [&] {
      b.when(b.less(loadExpert(slot), b.i32(numExperts)), [&] {
        Value perToken = getSlotsPerToken();
        Value token = b.div(slot, perToken);
        Value row = load(kSlotRow, slot);
        Value first = b.mul(token, perToken);
        Value rank = b.reduce(
            b.i32(0), perToken, b.i32(1), b.i32(0),
            [&](Value j, ValueRange rank) -> SmallVector<Value> {
              Value other = b.add(first, j);
              Value isBefore = b.pick(
                  b.less(loadExpert(other), b.i32(numExperts)), b.getI1Type(),
                  [&] {
                    return SmallVector<Value>{
                        b.less(load(kSlotRow, other), row)};
                  },
                  [&] { return SmallVector<Value>{b.i1(false)}; })[0];
              return {b.select(isBefore, b.add(rank[0], b.i32(1)), rank[0])};
            })[0];
        Value to = b.add(load(kTokenOffsets, token), rank);
        store(row, kTokenRows, to);
      });
    });
  }

  /// The entries of moe.list_entries: token_offsets of the entries first.
  void buildEntryOffsets() {
    Value all = sumTokens(b.dynamicShared());
    Value first = b.compare(arith::CmpIPredicate::eq, b.threadId(), b.i32(0));
    b.when(first, [&] { b.store(b.toI64(all), b.argument(kEntryCount), 8); });
  }
  /// Then each slot finds its place among its token's, by (expert, slot).
  void buildEntries() {
    Value slot = b.add(b.mul(b.blockId(), b.i32(256)), b.threadId());
    b.when(b.less(slot, b.toI32(b.argument(kSlots))), [&] {
      Value expert = loadExpert(slot);
      b.when(isExpert(expert), [&] {
        Value perToken = getSlotsPerToken();
        Value token = b.div(slot, perToken);
        Value first = b.mul(token, perToken);
        Value rank = b.reduce(
            b.i32(0), perToken, b.i32(1), b.i32(0),
            [&](Value j, ValueRange rank) -> SmallVector<Value> {
              Value other = b.add(first, j);
              Value otherExpert = loadExpert(other);
              // What is no expert compares above all that are.
              Value isBefore =
                  b.bitOr(b.less(otherExpert, expert),
                          b.bitAnd(b.compare(arith::CmpIPredicate::eq,
                                             otherExpert, expert),
                                   b.less(other, slot)));
              return {b.select(isBefore, b.add(rank[0], b.i32(1)), rank[0])};
            })[0];
        Value to = b.add(load(kTokenOffsets, token), rank);
        auto storeWide = [&](Value value, unsigned argument) {
          Type i64 = b.getI64Type();
          b.store(b.toI64(value), b.at(i64, b.argument(argument), to), 8);
        };
        storeWide(token, kEntryToken);
        storeWide(expert, kEntryExpert);
        Type f32 = b.getF32Type();
        store(b.load(f32, b.at(f32, b.argument(kWeights), slot), 4),
              kEntryWeight, to);
      });
    });
  }

private:
  Value load(unsigned argument, Value index) {
    return b.load(i32, b.at(i32, b.argument(argument), index), 4);
  }
  void store(Value value, unsigned argument, Value index) {
    b.store(value, b.at(value.getType(), b.argument(argument), index), 4);
  }
  /// Unsigned: what is negative is beyond every number of experts.
  Value loadExpert(Value slot) { return load(kExperts, slot); }
  Value getSlotsPerToken() {
    Value tokens = b.toI32(b.argument(kTokens)), one = b.i32(1);
    return b.div(b.toI32(b.argument(kSlots)),
                 b.select(b.less(tokens, one), one, tokens));
  }
  Value getSlice() {
    return b.add(b.mul(b.blockId(), b.i32(kSlicesPerBlock)), b.warpId());
  }
  void syncWarp() { NVVM::SyncWarpOp::create(b, b.i32(-1)); }
  Value countBits(Value mask) { return math::CtPopOp::create(b, mask); }

  /// Runs `body(slot, expert, peers, rank)` on the slots of a slice, a warp's
  /// width at a time; `expert` is all ones where there is none.
  void forEachSlot(Value slice, int64_t slices,
                   function_ref<void(Value, Value, Value, Value)> body) {
    Value slots = b.toI32(b.argument(kSlots)), lane = b.laneId();
    // Whole warps' widths, so that no slice begins within one.
    Value width = b.i32(kWarp);
    Value chunks = b.div(b.add(slots, b.i32(kWarp - 1)), width);
    Value each =
        b.mul(b.div(b.add(chunks, b.i32(slices - 1)), b.i32(slices)), width);
    Value begin = b.min(b.mul(slice, each), slots);
    Value end = b.min(b.add(begin, each), slots);
    Value below = b.sub(arith::ShLIOp::create(b, b.i32(1), lane), b.i32(1));
    b.loop(begin, end, width, [&](Value base) {
      Value slot = b.add(base, lane), none = b.i32(-1);
      Value expert = b.pick(
          b.less(slot, end), i32,
          [&] { return SmallVector<Value>{loadExpert(slot)}; },
          [&] { return SmallVector<Value>{none}; })[0];
      expert = b.select(b.less(expert, b.i32(numExperts)), expert, none);
      Value peers = NVVM::MatchSyncOp::create(b, i32, none, expert,
                                              NVVM::MatchSyncKind::any);
      body(slot, expert, peers, countBits(b.bitAnd(peers, below)));
    });
  }
  Value isExpert(Value expert) { return b.less(expert, b.i32(numExperts)); }
  Value isLeader(Value expert, Value rank) {
    return b.bitAnd(isExpert(expert),
                    b.compare(arith::CmpIPredicate::eq, rank, b.i32(0)));
  }

  /// Row `number` of counts [number, E].
  Value getRow(Value counts, Value number) {
    return b.at(i32, counts, b.mul(number, b.i32(numExperts)));
  }
  /// By one warp, each lane some of the experts.
  void copyRow(Value from, Value to) {
    b.loop(b.laneId(), b.i32(numExperts), b.i32(kWarp), [&](Value e) {
      b.store(b.load(i32, b.at(i32, from, e), 4), b.at(i32, to, e), 4);
    });
  }

  /// row[e] = slots of the slice with expert e. By one warp.
  void count(Value slice, int64_t slices, Value row) {
    b.loop(b.laneId(), b.i32(numExperts), b.i32(kWarp),
           [&](Value e) { b.store(b.i32(0), b.at(i32, row, e), 4); });
    syncWarp();
    forEachSlot(
        slice, slices, [&](Value, Value expert, Value peers, Value rank) {
          b.when(isLeader(expert, rank), [&] {
            Value place = b.at(i32, row, expert);
            b.store(b.add(b.load(i32, place, 4), countBits(peers)), place, 4);
          });
          syncWarp();
        });
  }

  /// counts[slice, e] -> slots of e in earlier slices; expert_offsets. By a
  /// whole block.
  void sumExperts(int64_t slices, Value counts, Value totals) {
    b.loop(b.threadId(), b.i32(numExperts), b.i32(kThreads), [&](Value e) {
      Value total = b.reduce(
          b.i32(0), b.i32(slices), b.i32(1), b.i32(0),
          [&](Value slice, ValueRange sum) -> SmallVector<Value> {
            Value place =
                b.at(i32, counts, b.add(b.mul(slice, b.i32(numExperts)), e));
            Value count = b.load(i32, place, 4);
            b.store(sum[0], place, 4);
            return {b.add(sum[0], count)};
          })[0];
      b.store(total, b.at(i32, totals, e), 4);
    });
    b.barrier();
    Value isFirstWarp =
        b.compare(arith::CmpIPredicate::eq, b.warpId(), b.i32(0));
    b.when(isFirstWarp, [&] {
      Value lane = b.laneId();
      Value all = b.reduce(
          b.i32(0), b.i32(numExperts), b.i32(kWarp), b.i32(0),
          [&](Value base, ValueRange carry) -> SmallVector<Value> {
            Value e = b.add(base, lane);
            Value exists = b.less(e, b.i32(numExperts));
            Value count = b.pick(
                exists, i32,
                [&] {
                  return SmallVector<Value>{
                      b.load(i32, b.at(i32, totals, e), 4)};
                },
                [&] { return SmallVector<Value>{b.i32(0)}; })[0];
            Value sum = scan(count);
            b.when(exists, [&] {
              store(b.add(carry[0], b.sub(sum, count)), kExpertOffsets, e);
            });
            return {b.add(carry[0], b.shuffle(sum, b.i32(kWarp - 1)))};
          })[0];
      b.when(b.compare(arith::CmpIPredicate::eq, lane, b.i32(0)),
             [&] { store(all, kExpertOffsets, b.i32(numExperts)); });
    });
  }

  /// Sum of this and all lower lanes.
  Value scan(Value value) {
    Value lane = b.laneId();
    for (int64_t step = 1; step < kWarp; step *= 2) {
      Value lower =
          NVVM::ShflOp::create(b, i32, b.i32(-1), value, b.i32(step), b.i32(0),
                               NVVM::ShflKind::up, UnitAttr());
      value = b.select(b.less(lane, b.i32(step)), value, b.add(value, lower));
    }
    return value;
  }

  /// token_offsets, by a whole block: each thread has a run of tokens. Returns
  /// the last of them.
  Value sumTokens(Value sums) {
    Value tokens = b.toI32(b.argument(kTokens)), thread = b.threadId();
    Value perToken = getSlotsPerToken();
    Value each = b.div(b.add(tokens, b.i32(kThreads - 1)), b.i32(kThreads));
    Value begin = b.min(b.mul(thread, each), tokens);
    Value end = b.min(b.add(begin, each), tokens);
    auto countSlots = [&](Value from, Value to) {
      return b.reduce(from, to, b.i32(1), b.i32(0),
                      [&](Value slot, ValueRange sum) -> SmallVector<Value> {
                        Value one = b.add(sum[0], b.i32(1));
                        return {
                            b.select(isExpert(loadExpert(slot)), one, sum[0])};
                      })[0];
    };
    Value mine = countSlots(b.mul(begin, perToken), b.mul(end, perToken));
    Value upTo = scan(mine);
    Value warp = b.warpId(), lane = b.laneId();
    b.when(b.compare(arith::CmpIPredicate::eq, lane, b.i32(kWarp - 1)),
           [&] { b.store(upTo, b.at(i32, sums, warp), 4); });
    b.barrier();
    Value warpSum = b.load(i32, b.at(i32, sums, lane), 4);
    Value warpsUpTo = scan(warpSum);
    Value before = b.sub(warpsUpTo, warpSum);
    Value first = b.add(b.shuffle(before, warp), b.sub(upTo, mine));
    b.reduce(begin, end, b.i32(1), first,
             [&](Value token, ValueRange offset) -> SmallVector<Value> {
               store(offset[0], kTokenOffsets, token);
               Value slot = b.mul(token, perToken);
               return {
                   b.add(offset[0], countSlots(slot, b.add(slot, perToken)))};
             });
    Value all = b.shuffle(warpsUpTo, b.i32(kWarp - 1));
    b.when(b.compare(arith::CmpIPredicate::eq, thread, b.i32(0)),
           [&] { store(all, kTokenOffsets, tokens); });
    return all;
  }

  /// Writes the rows of a slice. By one warp.
  void place(Value slice, int64_t slices, Value row) {
    Value perToken = getSlotsPerToken();
    forEachSlot(
        slice, slices, [&](Value slot, Value expert, Value peers, Value rank) {
          b.when(isExpert(expert), [&] {
            Value earlier = b.load(i32, b.at(i32, row, expert), 4);
            Value to =
                b.add(b.add(load(kExpertOffsets, expert), earlier), rank);
            store(b.div(slot, perToken), kRowToken, to);
            Type f32 = b.getF32Type();
            store(b.load(f32, b.at(f32, b.argument(kWeights), slot), 4),
                  kRowWeight, to);
            store(to, kSlotRow, slot);
          });
          syncWarp();
          b.when(isLeader(expert, rank), [&] {
            Value place = b.at(i32, row, expert);
            b.store(b.add(b.load(i32, place, 4), countBits(peers)), place, 4);
          });
          syncWarp();
        });
  }

  KernelBuilder &b;
  int64_t numExperts;
  Type i32;
};
} // namespace

namespace {
/// Launches the kernels of one op.
class PlanLaunches {
public:
  PlanLaunches(Operation *op, KernelModule &kernels, int64_t numExperts,
               Value experts, Value weights)
      : b(op), loc(op->getLoc()), kernels(kernels), numExperts(numExperts),
        arguments(kNumArguments) {
    Value perToken = memref::DimOp::create(b, loc, experts, 1);
    tokens = memref::DimOp::create(b, loc, experts, 0);
    slots = arith::MulIOp::create(b, loc, tokens, perToken);
    arguments[kExperts] = experts;
    arguments[kWeights] = weights;
    arguments[kTokens] = tokens;
    arguments[kSlots] = slots;
  }

  Value constant(int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  }
  Value allocate(ArrayRef<int64_t> shape, ValueRange sizes) {
    return memref::AllocOp::create(b, loc,
                                   MemRefType::get(shape, b.getI32Type()),
                                   sizes, b.getI64IntegerAttr(64));
  }
  void launch(StringRef stage, void (PlanKernel::*build)(), int64_t threads,
              int64_t shared, Value grid) {
    auto pointer = LLVM::LLVMPointerType::get(b.getContext());
    SmallVector<Type> types(kNumArguments, pointer);
    types[kTokens] = types[kSlots] = b.getI64Type();
    KernelShape shape;
    shape.threads = threads;
    shape.dynamicShared = shared;
    std::string name = ("plan_" + stage + "_e" + Twine(numExperts)).str();
    LLVM::LLVMFuncOp kernel =
        kernels.getKernel(name, types, shape, [&](KernelBuilder &body) {
          (PlanKernel(body, numExperts).*build)();
        });
    buildLaunch(b, loc, kernel, grid, arguments);
  }
  Value getSlotBlocks() {
    return arith::CeilDivUIOp::create(b, loc, slots, constant(256));
  }

  OpBuilder b;
  Location loc;
  KernelModule &kernels;
  int64_t numExperts;
  SmallVector<Value> arguments;
  Value tokens, slots;
};
} // namespace

static LogicalResult lower(PlanOp op, KernelModule &kernels) {
  int64_t numExperts = op.getNumExperts();
  if (numExperts > kMaxExperts || !hasDenseOperands(op))
    return failure();
  PlanLaunches l(op, kernels, numExperts, op.getExperts(), op.getWeights());
  for (auto [i, out] : llvm::enumerate(op.getOuts()))
    l.arguments[kRowToken + i] = out;
  l.arguments[kSlotRow] = l.allocate({ShapedType::kDynamic}, l.slots);
  l.arguments[kCounts] = l.allocate({kSlices, numExperts}, {});
  Value isFew = arith::CmpIOp::create(l.b, l.loc, arith::CmpIPredicate::ule,
                                      l.slots, l.constant(kFewSlots));
  auto branch = scf::IfOp::create(l.b, l.loc, isFew, /*withElseRegion=*/true);
  l.b.setInsertionPointToStart(branch.thenBlock());
  l.launch("all", &PlanKernel::buildAll, kThreads,
           PlanKernel::getSharedBytes(numExperts, kWarps), l.constant(1));
  l.b.setInsertionPointToStart(branch.elseBlock());
  int64_t rowBytes = 4 * kSlicesPerBlock * numExperts;
  l.launch("count", &PlanKernel::buildCount, kSlicesPerBlock * kWarp, rowBytes,
           l.constant(kBlocks));
  l.launch("sums", &PlanKernel::buildSums, kThreads,
           PlanKernel::getSharedBytes(numExperts, 0), l.constant(1));
  l.launch("place", &PlanKernel::buildPlace, kSlicesPerBlock * kWarp, rowBytes,
           l.constant(kBlocks));
  l.b.setInsertionPointAfter(branch);
  l.launch("inverse", &PlanKernel::buildInverse, 256, 0, l.getSlotBlocks());
  op->erase();
  return success();
}

static LogicalResult lower(ListEntriesOp op, KernelModule &kernels) {
  if (!hasDenseOperands(op))
    return failure();
  PlanLaunches l(op, kernels, op.getNumExperts(), op.getExperts(),
                 op.getWeights());
  // What these kernels do not use is given all the same.
  for (unsigned i :
       {kRowToken, kRowWeight, kExpertOffsets, kTokenRows, kSlotRow, kCounts})
    l.arguments[i] = op.getExperts();
  l.arguments[kEntryToken] = op.getOuts()[0];
  l.arguments[kEntryExpert] = op.getOuts()[1];
  l.arguments[kEntryWeight] = op.getOuts()[2];
  l.arguments[kEntryCount] = op.getOuts()[3];
  Value offsets = arith::AddIOp::create(l.b, l.loc, l.tokens, l.constant(1));
  l.arguments[kTokenOffsets] = l.allocate({ShapedType::kDynamic}, offsets);
  l.launch("entry_offsets", &PlanKernel::buildEntryOffsets, kThreads,
           4 * kWarps, l.constant(1));
  l.launch("entries", &PlanKernel::buildEntries, 256, 0, l.getSlotBlocks());
  op->erase();
  return success();
}

LogicalResult moe::selectPlan(Operation *op, KernelModule &kernels) {
  if (auto plan = dyn_cast<PlanOp>(op))
    return lower(plan, kernels);
  if (auto entries = dyn_cast<ListEntriesOp>(op))
    return lower(entries, kernels);
  return failure();
}
