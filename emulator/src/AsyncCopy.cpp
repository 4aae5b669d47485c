//===- AsyncCopy.cpp - cp.async, bulk and tensor copies -------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "AsyncCopy.h"
#include "Lanes.h"
#include "TensorMap.h"
#include <algorithm>

using namespace moe::emu;

//===----------------------------------------------------------------------===//
// The unit
//===----------------------------------------------------------------------===//

AsyncUnit::AsyncUnit(Block &block)
    : readers(block.shared.size() / 16 + 1),
      warpgroups(block.warps.size() / 4 + 1) {
  static const uint32_t latencies[] = {20, 400, 400, 4000};
  latency = latencies[block.nextRandom(4)];
}

AsyncUnit &AsyncUnit::of(Block &block) {
  if (!block.asyncUnit)
    block.asyncUnit = std::make_unique<AsyncUnit>(block);
  return static_cast<AsyncUnit &>(*block.asyncUnit);
}

AsyncWarp &AsyncUnit::of(Warp &warp) {
  if (!warp.unit)
    warp.unit = std::make_shared<AsyncWarp>();
  return *static_cast<AsyncWarp *>(warp.unit.get());
}

bool AsyncUnit::sharedOperand(Warp &warp, const Instruction &at, unsigned which,
                              Space space, unsigned lane, unsigned alignment,
                              uint64_t size, uint32_t &address) {
  const Address &a = at.address[which];
  uint64_t value = uint64_t(a.offset);
  if (a.base.kind != Operand::None)
    value += warp.row(a.base)[lane];
  if (space == Space::Shared)
    value &= 0xffffffff;
  Warp::Place place;
  if (!warp.resolve(at, space, value, alignment, lane, place))
    return false;
  if (place.space != Space::Shared) {
    warp.fault(at, "the address is not in shared memory", int(lane));
    return false;
  }
  uint64_t end = warp.block->shared.size();
  if (size > end - place.sharedAddress) {
    warp.fault(at,
               std::to_string(size) + " bytes at shared address " +
                   hex(place.sharedAddress) +
                   " are out of bounds, memory "
                   "ends at " +
                   hex(end),
               int(lane));
    return false;
  }
  address = place.sharedAddress;
  return true;
}

bool AsyncUnit::beginWrite(Warp &warp, const Instruction &at, SharedRange range,
                           unsigned lane, uint32_t *copy) {
  uint8_t *shadow = &warp.block->sharedShadow[range.address];
  uint8_t any = 0;
  for (uint32_t n = 0; n < range.size; ++n)
    any |= shadow[n];
  const char *why = nullptr;
  if (any & BarrierByte)
    why = "the copy overwrites an mbarrier";
  else if (any & AsyncRead)
    why = "the copy overwrites shared memory that work in flight still reads";
  else if (any & InFlight)
    why = "the copy overwrites shared memory that a copy in flight will write";
  if (why) {
    warp.fault(at, why, int(lane));
    return false;
  }
  if (RaceDetector *races = warp.block->races.get())
    if (!(copy ? races->writeAsync(warp, at, lane, range.address, range.size,
                                   *copy)
               : races->write(warp, at, lane, range.address, range.size)))
      return false;
  for (uint32_t n = 0; n < range.size; ++n)
    shadow[n] |= InFlight;
  return true;
}

/// `warp` has stored to the range just now.
static void stampWrite(Block &block, SharedRange range, uint32_t warp) {
  if (!block.tracksProxies)
    return;
  for (uint32_t n = range.address / 16,
                last = (range.address + range.size - 1) / 16;
       n <= last; ++n)
    block.writers[n] = {warp, block.steps};
}

void AsyncUnit::land(Block &block, SharedRange range, bool generic,
                     uint32_t warp) {
  uint8_t bits = Initialized | InFlight;
  if (generic && block.tracksProxies) {
    bits |= GenericWrite;
    stampWrite(block, range, warp);
  }
  std::fill_n(&block.sharedShadow[range.address], range.size, bits);
}

void AsyncUnit::endWrite(Block &block, SharedRange range) {
  uint8_t *shadow = &block.sharedShadow[range.address];
  for (uint32_t n = 0; n < range.size; ++n)
    shadow[n] &= uint8_t(~InFlight);
}

/// Whether what `writer` stored is visible to what `reader` has the
/// asynchronous proxy do: the reader has fenced since, or it knows that the
/// writer has.
static bool isFenced(Block &block, const Block::Writer &writer,
                     uint32_t reader) {
  const std::vector<Block::ProxyFence> &mine = block.proxyFences[reader],
                                       &theirs = block.proxyFences[writer.warp];
  if (!mine.empty() && mine.back().step > writer.step)
    return true;
  auto first = std::upper_bound(
      theirs.begin(), theirs.end(), writer.step,
      [](uint64_t step, const Block::ProxyFence &f) { return step < f.step; });
  if (first == theirs.end())
    return false;
  return !block.races || block.races->knows(reader, writer.warp, first->clock);
}

bool AsyncUnit::beginRead(Warp &warp, const Instruction &at, SharedRange range,
                          unsigned lane) {
  Block &block = *warp.block;
  uint8_t *shadow = &block.sharedShadow[range.address];
  uint8_t all = 0xff, any = 0;
  for (uint32_t n = 0; n < range.size; ++n)
    all &= shadow[n], any |= shadow[n];
  std::string why;
  if (any & BarrierByte)
    why = "reads an mbarrier as if it were data";
  else if (any & InFlight)
    why = "reads shared memory that a copy in flight will write";
  else if (!(all & Initialized))
    why = "reads shared memory that nothing wrote";
  for (uint32_t n = range.address / 16; why.empty() && (any & GenericWrite) &&
                                        n < (range.address + range.size) / 16;
       ++n) {
    uint8_t bits = 0;
    for (uint32_t byte = 0; byte < 16; ++byte)
      bits |= block.sharedShadow[n * 16 + byte];
    const Block::Writer &writer = block.writers[n];
    if (!(bits & GenericWrite) || isFenced(block, writer, warp.number))
      continue;
    why = "the asynchronous proxy reads shared memory at " + hex(n * 16) +
          " that warp " + std::to_string(writer.warp) +
          " wrote, without a fence.proxy.async";
  }
  if (!why.empty()) {
    warp.fault(at, why, int(lane));
    return false;
  }
  if (block.races &&
      !block.races->read(warp, at, lane, range.address, range.size))
    return false;
  for (uint32_t n = 0; n < range.size; ++n)
    shadow[n] |= AsyncRead;
  for (uint32_t n = range.address / 16; n < (range.address + range.size) / 16;
       ++n)
    if (++readers[n] > kMaxInFlight) {
      warp.fault(at, "too much work that nothing waits for", int(lane));
      return false;
    }
  return true;
}

void AsyncUnit::endRead(Block &block, SharedRange range) {
  for (uint32_t n = range.address / 16; n < (range.address + range.size) / 16;
       ++n)
    if (--readers[n] == 0)
      for (uint32_t byte = 0; byte < 16; ++byte)
        block.sharedShadow[n * 16 + byte] &= uint8_t(~AsyncRead);
}

BarrierObject *AsyncUnit::barrier(Warp &warp, const Instruction &at,
                                  uint32_t address, unsigned lane, bool async) {
  auto found = barriers.find(address);
  if (found == barriers.end()) {
    warp.fault(at, "there is no mbarrier at shared address " + hex(address),
               int(lane));
    return nullptr;
  }
  if (async && !found->second.published) {
    warp.fault(at,
               "the mbarrier of line " + std::to_string(found->second.line) +
                   " was made without fence.mbarrier_init or "
                   "fence.proxy.async, so the asynchronous proxy does not "
                   "know it",
               int(lane));
    return nullptr;
  }
  return &found->second;
}

void AsyncUnit::notePhase(Block &block, BarrierObject &barrier,
                          uint32_t before) {
  ++block.progress;
  if (barrier.state.getPhase() == before)
    return;
  if (block.races)
    block.races->completePhase(RaceDetector::mbarrier(barrier.address));
  for (SharedRange range : barrier.landed)
    endWrite(block, range);
  barrier.landed.clear();
}

bool AsyncUnit::completeTransactions(Block &block, uint32_t line,
                                     uint32_t address, SharedRange landed,
                                     uint32_t warp, uint32_t copy) {
  auto found = barriers.find(address);
  if (found == barriers.end())
    return block.fault(line, "the copy completes on shared address " +
                                 hex(address) +
                                 ", where there is no mbarrier any more");
  BarrierObject &barrier = found->second;
  uint32_t before = barrier.state.getPhase();
  barrier.landed.push_back(landed);
  if (block.races)
    block.races->completeCopy(warp, copy, RaceDetector::mbarrier(address));
  std::string why;
  if (!barrier.state.completeTx(landed.size, /*remote=*/false, why))
    return block.fault(line, why);
  notePhase(block, barrier, before);
  return true;
}

std::string AsyncUnit::describe() const {
  std::vector<uint32_t> addresses;
  for (const auto &entry : barriers)
    addresses.push_back(entry.first);
  std::sort(addresses.begin(), addresses.end());
  std::string text;
  for (uint32_t address : addresses) {
    const BarrierObject &barrier = barriers.at(address);
    text += "\n    mbarrier " + hex(address) + " of line " +
            std::to_string(barrier.line) + ", " + barrier.state.describe();
  }
  return text;
}

void moe::emu::publishBarriers(Warp &warp, uint32_t mask) {
  if (!warp.block->asyncUnit)
    return;
  for (auto &entry : AsyncUnit::of(*warp.block).barriers)
    if (entry.second.warp == warp.number && (mask >> entry.second.lane & 1))
      entry.second.published = true;
}

Step moe::emu::requireWholeWarp(Warp &w, const Instruction &i, uint32_t mask) {
  if (mask == ~0u)
    return Step::Next;
  if (w.live == ~0u && w.groups.size() > 1 && mask == w.groups[w.current].mask)
    return Step::Blocked; // the others may still come
  return w.fault(i, "needs all 32 lanes of the warp", __builtin_ctz(~mask));
}

//===----------------------------------------------------------------------===//
// cp.async
//===----------------------------------------------------------------------===//

bool CopyWork::complete(Block &block) {
  AsyncUnit &unit = AsyncUnit::of(block);
  for (const Piece &piece : pieces) {
    uint8_t *to = &block.shared[piece.address];
    if (piece.copied)
      memcpy(to, piece.source, piece.copied);
    memset(to + piece.copied, 0, piece.size - piece.copied);
    unit.land(block, {piece.address, piece.size}, /*generic=*/true, warp);
  }
  return true;
}

bool moe::emu::waitForCopies(Warp &w, uint32_t mask, uint64_t pending,
                             bool all) {
  AsyncWarp &state = AsyncUnit::of(w);
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  for (auto &work : state.copies)
    for (CopyWork::Piece &piece : work->pieces) {
      if (piece.released || !(mask >> piece.lane & 1))
        continue;
      if (!all && (pending >= state.copyGroups[piece.lane] ||
                   piece.group >= state.copyGroups[piece.lane] - pending))
        continue;
      if (!work->done) {
        work->done = true;
        work->complete(*w.block);
      }
      unit.endWrite(*w.block, {piece.address, piece.size});
      // Only now it is certain that they are there, for fences and barriers.
      stampWrite(*w.block, {piece.address, piece.size}, w.number);
      if (w.block->races)
        w.block->races->finishWrite(w.number, piece.address, piece.size);
      piece.released = true;
    }
  auto isReleased = [](const std::shared_ptr<CopyWork> &work) {
    for (const CopyWork::Piece &piece : work->pieces)
      if (!piece.released)
        return false;
    return true;
  };
  state.copies.erase(
      std::remove_if(state.copies.begin(), state.copies.end(), isReleased),
      state.copies.end());
  return true;
}

namespace {
/// Bytes of global memory that a copy reads or writes.
struct GlobalRange {
  Allocation *allocation = nullptr;
  uint64_t offset = 0;
  uint8_t *data() const { return &allocation->data[offset]; }
  uint8_t *shadow() const { return &allocation->shadow[offset]; }
};
} // namespace

/// False after Warp::fault.
static bool findGlobal(Warp &w, const Instruction &i, uint64_t address,
                       uint64_t size, unsigned lane, GlobalRange &range) {
  range.allocation = w.block->launch->memory->find(address, size);
  if (!range.allocation) {
    w.fault(i,
            "global address " + hex(address) + " (" + std::to_string(size) +
                " bytes) is in no allocation",
            int(lane));
    return false;
  }
  range.offset = address - range.allocation->base;
  return true;
}

/// False, after Warp::fault, where nothing wrote bytes that a copy reads.
static bool requireWritten(Warp &w, const Instruction &i,
                           const GlobalRange &range, uint64_t size,
                           unsigned lane) {
  for (uint64_t n = 0; n < size; ++n)
    if (!(range.shadow()[n] & Initialized)) {
      w.fault(i,
              "copies global memory at " +
                  hex(range.allocation->base + range.offset + n) +
                  " that nothing wrote",
              int(lane));
      return false;
    }
  return true;
}

/// False, after Warp::fault, where something unordered touched the bytes.
static bool noteAccess(Access access, Warp &w, const Instruction &i,
                       const GlobalRange &range, uint64_t size, unsigned lane) {
  bool writes = access != Access::Read;
  if (!checkSettled(w, i, lane, writes, *range.allocation, range.offset, size))
    return false;
  RaceDetector *races = w.block->races.get();
  return !races || races->accessGlobal(access, w, i, lane, *range.allocation,
                                       range.offset, size);
}

static uint64_t addressOf(Warp &w, const Instruction &i, unsigned which,
                          unsigned lane) {
  const Address &a = i.address[which];
  uint64_t value = uint64_t(a.offset);
  if (a.base.kind != Operand::None)
    value += w.row(a.base)[lane];
  return value;
}

static Step executeCopy(Warp &w, const Instruction &i, uint32_t mask) {
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  AsyncWarp &state = AsyncUnit::of(w);
  uint32_t size = i.extra[0];
  auto work = std::make_shared<CopyWork>();
  work->warp = w.number;
  uint64_t banks[kLanes] = {};
  bool ok = true;
  forLanes(mask, [&](unsigned lane) {
    if (!ok)
      return;
    CopyWork::Piece piece;
    piece.lane = lane;
    piece.size = piece.copied = size;
    piece.group = state.copyGroups[lane];
    ok = unit.sharedOperand(w, i, 0, Space::Shared, lane, size, size,
                            piece.address);
    if (!ok)
      return;
    banks[lane] = piece.address;
    if (i.extra[1] == 1) {
      uint32_t wanted = uint32_t(w.row(i.src[1])[lane]);
      if (wanted > size) {
        w.fault(i,
                "the source has " + std::to_string(wanted) +
                    " bytes, more than the copy's " + std::to_string(size),
                int(lane));
        ok = false;
        return;
      }
      piece.copied = wanted;
    } else if (i.extra[1] == 2 && (w.predicate(i.src[1]) >> lane & 1)) {
      piece.copied = 0;
    }
    uint64_t from = addressOf(w, i, 1, lane);
    if (from % size) {
      w.fault(i,
              "address " + hex(from) + " is not a multiple of " +
                  std::to_string(size),
              int(lane));
      ok = false;
      return;
    }
    if (piece.copied) {
      GlobalRange range;
      ok = findGlobal(w, i, from, piece.copied, lane, range) &&
           requireWritten(w, i, range, piece.copied, lane) &&
           noteAccess(Access::Read, w, i, range, piece.copied, lane);
      if (ok)
        piece.source = range.data();
    }
    ok = ok && unit.beginWrite(w, i, {piece.address, size}, lane);
    work->pieces.push_back(piece);
  });
  if (!ok)
    return Step::Fault;
  countBanks(w, banks, mask, size);
  state.copies.push_back(work);
  w.block->enqueue(work, i.line, unit.latency);
  ++w.block->progress;
  return Step::Next;
}

static Step executeCopyCommit(Warp &w, const Instruction &, uint32_t mask) {
  AsyncWarp &state = AsyncUnit::of(w);
  forLanes(mask, [&](unsigned lane) { ++state.copyGroups[lane]; });
  return Step::Next;
}

static Step executeCopyWait(Warp &w, const Instruction &i, uint32_t mask) {
  waitForCopies(w, mask, i.extra[0], i.extra[1]);
  return Step::Next;
}

namespace {
/// cp.async.mbarrier.arrive: an arrival when a lane's copies are complete.
struct CopyArrival : AsyncWork {
  uint32_t barrier = 0, lane = 0;
  struct Claim {
    std::shared_ptr<CopyWork> work;
    size_t piece = 0;
    /// This barrier's phase makes it readable; else an earlier arrival's does.
    bool isMine = false;
  };
  std::vector<Claim> pieces;

  bool complete(Block &block) override {
    AsyncUnit &unit = AsyncUnit::of(block);
    auto found = unit.barriers.find(barrier);
    if (found == unit.barriers.end())
      return block.fault(line, "the copies complete on shared address " +
                                   hex(barrier) +
                                   ", where there is no mbarrier any more");
    BarrierObject &object = found->second;
    for (auto &[work, index, isMine] : pieces) {
      if (!work->done) {
        work->done = true;
        work->complete(block);
      }
      CopyWork::Piece &piece = work->pieces[index];
      if (piece.released || !isMine)
        continue;
      piece.released = true;
      object.landed.push_back({piece.address, piece.size});
    }
    uint32_t before = object.state.getPhase();
    std::string why;
    if (!object.state.arrive(1, why))
      return block.fault(line, why);
    unit.notePhase(block, object, before);
    return true;
  }
};
} // namespace

static Step executeCopyArrive(Warp &w, const Instruction &i, uint32_t mask) {
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  AsyncWarp &state = AsyncUnit::of(w);
  bool ok = true;
  forLanes(mask, [&](unsigned lane) {
    if (!ok)
      return;
    uint32_t address = 0;
    ok = unit.sharedOperand(w, i, 0, i.space, lane, 8, 8, address);
    BarrierObject *barrier =
        ok ? unit.barrier(w, i, address, lane, /*async=*/false) : nullptr;
    std::string why;
    if (barrier && !i.extra[0] && !barrier->state.addPending(why)) {
      w.fault(i, why, int(lane));
      barrier = nullptr;
    }
    if (barrier && w.block->pending.size() >= 16 * kMaxInFlight) {
      w.fault(i, "too much work that nothing waits for", int(lane));
      barrier = nullptr;
    }
    ok = barrier != nullptr;
    if (!ok)
      return;
    auto arrival = std::make_shared<CopyArrival>();
    arrival->barrier = address;
    arrival->lane = lane;
    for (auto &work : state.copies)
      for (size_t n = 0; n < work->pieces.size(); ++n)
        if (work->pieces[n].lane == lane && !work->pieces[n].released) {
          arrival->pieces.push_back({work, n, !work->pieces[n].claimed});
          work->pieces[n].claimed = true;
        }
    w.block->enqueue(std::move(arrival), i.line, unit.latency);
    if (w.block->races)
      w.block->races->release(w.number, 1u << lane | ~w.live,
                              RaceDetector::mbarrier(address));
  });
  if (!ok)
    return Step::Fault;
  // What the barrier answers for is no longer the warp's.
  auto isDone = [](const std::shared_ptr<CopyWork> &work) {
    for (const CopyWork::Piece &piece : work->pieces)
      if (!piece.released)
        return false;
    return true;
  };
  state.copies.erase(
      std::remove_if(state.copies.begin(), state.copies.end(), isDone),
      state.copies.end());
  ++w.block->progress;
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Bulk copies
//===----------------------------------------------------------------------===//

namespace {
/// A row of a bulk copy: `size` bytes from offset `at` of the shared box;
/// [first, last) of them are in global memory, the others are zeros or, of a
/// store, not written.
struct BulkRow {
  uint32_t at = 0, size = 0, first = 0, last = 0;
  GlobalRange global;
};

/// Part of a copy into shared memory: it comes at a time of its own and
/// completes its bytes on the mbarrier.
struct LoadWork : AsyncWork {
  uint32_t address = 0, barrier = 0;
  uint32_t warp = 0, copy = 0; // who started it, RaceDetector's number
  Swizzle swizzle = Swizzle::None;
  std::vector<BulkRow> rows;
  SharedRange range;

  bool complete(Block &block) override {
    for (const BulkRow &row : rows)
      for (uint32_t n = 0; n < row.size; n += 16) {
        uint8_t unit[16] = {};
        uint32_t low = std::max(n, row.first),
                 high = std::min(n + 16, row.last);
        if (low < high)
          memcpy(unit + (low - n), row.global.data() + (low - row.first),
                 high - low);
        memcpy(&block.shared[applySwizzle(swizzle, address + row.at + n)], unit,
               16);
      }
    AsyncUnit &unit = AsyncUnit::of(block);
    unit.land(block, range, /*generic=*/false, 0);
    return unit.completeTransactions(block, line, barrier, range, warp, copy);
  }
};
} // namespace

/// What a reduction adds up.
enum class AddType : uint8_t { None, F32, F16, BF16, U32, U64 };

static unsigned addBytes(AddType type) {
  return type == AddType::U64                            ? 8
         : type == AddType::F16 || type == AddType::BF16 ? 2
                                                         : 4;
}

static void addElement(AddType type, uint8_t *to, const uint8_t *from) {
  switch (type) {
  case AddType::F32: {
    float a, b;
    memcpy(&a, to, 4);
    memcpy(&b, from, 4);
    a += b;
    memcpy(to, &a, 4);
    return;
  }
  case AddType::F16:
  case AddType::BF16: {
    uint16_t a, b;
    memcpy(&a, to, 2);
    memcpy(&b, from, 2);
    a = type == AddType::F16
            ? floatToHalf(halfToFloat(a) + halfToFloat(b))
            : floatToBfloat(bfloatToFloat(a) + bfloatToFloat(b));
    memcpy(to, &a, 2);
    return;
  }
  case AddType::U32: {
    uint32_t a, b;
    memcpy(&a, to, 4);
    memcpy(&b, from, 4);
    a += b;
    memcpy(to, &a, 4);
    return;
  }
  case AddType::U64: {
    uint64_t a, b;
    memcpy(&a, to, 8);
    memcpy(&b, from, 8);
    a += b;
    memcpy(to, &a, 8);
    return;
  }
  case AddType::None:
    return;
  }
}

namespace moe::emu {
struct StoreWork : AsyncWork {
  uint32_t address = 0, lane = 0;
  uint64_t group = 0;
  Swizzle swizzle = Swizzle::None;
  AddType add = AddType::None;
  std::vector<BulkRow> rows;
  SharedRange range;

  bool complete(Block &block) override {
    std::unique_lock<std::mutex> lock(block.launch->memory->atomics,
                                      std::defer_lock);
    if (add != AddType::None)
      lock.lock();
    for (const BulkRow &row : rows)
      for (uint32_t n = 0; n < row.size; n += 16) {
        const uint8_t *unit =
            &block.shared[applySwizzle(swizzle, address + row.at + n)];
        uint32_t low = std::max(n, row.first),
                 high = std::min(n + 16, row.last);
        if (low >= high)
          continue;
        uint8_t *to = row.global.data() + (low - row.first);
        if (add == AddType::None)
          memcpy(to, unit + (low - n), high - low);
        else
          for (uint32_t at = low; at < high; at += addBytes(add))
            addElement(add, to + (at - low), unit + (at - n));
        memset(row.global.shadow() + (low - row.first), Initialized,
               high - low);
        markUnsettled(*row.global.allocation,
                      row.global.offset + (low - row.first), high - low);
      }
    return true;
  }
};
} // namespace moe::emu

/// noteAccess() of all rows.
static bool noteRows(Access access, Warp &w, const Instruction &i,
                     unsigned lane, const std::vector<BulkRow> &rows) {
  for (const BulkRow &row : rows)
    if (row.first < row.last &&
        !noteAccess(access, w, i, row.global, row.last - row.first, lane))
      return false;
  return true;
}

/// Splits rows of a load into parts that land one by one.
static bool startLoad(Warp &w, const Instruction &i, unsigned lane,
                      uint32_t address, uint64_t size, uint32_t barrier,
                      Swizzle swizzle, std::vector<BulkRow> rows) {
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  uint32_t copy = 0;
  if (!unit.barrier(w, i, barrier, lane, /*async=*/true) ||
      !unit.beginWrite(w, i, {address, uint32_t(size)}, lane, &copy) ||
      !noteRows(Access::Read, w, i, lane, rows))
    return false;
  size_t parts = std::min<size_t>(1 + w.block->nextRandom(4), rows.size());
  size_t first = 0;
  for (size_t part = 0; part < parts; ++part) {
    size_t last = rows.size() * (part + 1) / parts;
    auto work = std::make_shared<LoadWork>();
    work->address = address;
    work->barrier = barrier;
    work->warp = w.number;
    work->copy = copy;
    work->swizzle = swizzle;
    work->rows.assign(rows.begin() + first, rows.begin() + last);
    const BulkRow &end = rows[last - 1];
    work->range = {address + rows[first].at,
                   end.at + end.size - rows[first].at};
    w.block->enqueue(std::move(work), i.line, unit.latency);
    first = last;
  }
  ++w.block->progress;
  return true;
}

static bool startStore(Warp &w, const Instruction &i, unsigned lane,
                       uint32_t address, uint64_t size, Swizzle swizzle,
                       AddType add, std::vector<BulkRow> rows) {
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  AsyncWarp &state = AsyncUnit::of(w);
  if (state.stores.size() >= kMaxInFlight) {
    w.fault(i, "too much work that nothing waits for", int(lane));
    return false;
  }
  // Additions are atomic (PTX ISA, "cp.reduce.async.bulk").
  Access access = add == AddType::None ? Access::Copy : Access::StrongWrite;
  if (!unit.beginRead(w, i, {address, uint32_t(size)}, lane) ||
      !noteRows(access, w, i, lane, rows))
    return false;
  auto work = std::make_shared<StoreWork>();
  work->address = address;
  work->lane = lane;
  work->group = state.bulkGroups[lane];
  work->swizzle = swizzle;
  work->add = add;
  work->rows = std::move(rows);
  work->range = {address, uint32_t(size)};
  state.stores.push_back(work);
  w.block->enqueue(std::move(work), i.line, unit.latency);
  ++w.block->progress;
  return true;
}

/// The operands in shared memory of a bulk copy.
struct BulkOperands {
  uint32_t address = 0, barrier = 0;
};

/// extra[0]: 1 into shared memory, 2 out of it.
static bool isLoad(const Instruction &i) { return i.extra[0] == 1; }

static bool bulkOperands(Warp &w, const Instruction &i, unsigned lane,
                         unsigned alignment, uint64_t size,
                         BulkOperands &operands) {
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  bool load = isLoad(i);
  return unit.sharedOperand(w, i, load ? 0 : 1, Space::Shared, lane, alignment,
                            size, operands.address) &&
         (!load || unit.sharedOperand(w, i, 2, Space::Shared, lane, 8, 8,
                                      operands.barrier));
}

static bool startBulk(Warp &w, const Instruction &i, unsigned lane,
                      const BulkOperands &operands, uint64_t size,
                      Swizzle swizzle, AddType add, std::vector<BulkRow> rows) {
  return isLoad(i) ? startLoad(w, i, lane, operands.address, size,
                               operands.barrier, swizzle, std::move(rows))
                   : startStore(w, i, lane, operands.address, size, swizzle,
                                add, std::move(rows));
}

/// Calls `start(lane)` for lanes until one returns false.
template <class F> static Step forCopies(uint32_t mask, F start) {
  bool ok = true;
  forLanes(mask, [&](unsigned lane) { ok = ok && start(lane); });
  return ok ? Step::Next : Step::Fault;
}

/// extra[1]: AddType.
static Step executeBulk(Warp &w, const Instruction &i, uint32_t mask) {
  bool load = isLoad(i);
  return forCopies(mask, [&](unsigned lane) {
    uint64_t size = uint32_t(w.row(i.src[0])[lane]);
    if (size == 0 || size % 16) {
      w.fault(i,
              "the size is " + std::to_string(size) +
                  ", expected a multiple of 16 from 16 on",
              int(lane));
      return false;
    }
    BulkOperands operands;
    if (!bulkOperands(w, i, lane, 16, size, operands))
      return false;
    uint64_t address = addressOf(w, i, load ? 1 : 0, lane);
    if (address % 16) {
      w.fault(i, "global address " + hex(address) + " is not a multiple of 16",
              int(lane));
      return false;
    }
    GlobalRange global;
    if (!findGlobal(w, i, address, size, lane, global) ||
        (load && !requireWritten(w, i, global, size, lane)))
      return false;
    // A load comes in up to four pieces, in any order.
    uint32_t units = uint32_t(size / 16),
             pieces = load ? std::min<uint32_t>(units, 4) : 1;
    std::vector<BulkRow> rows;
    for (uint32_t n = 0; n < pieces; ++n) {
      uint32_t from = units * n / pieces * 16,
               to = units * (n + 1) / pieces * 16;
      rows.push_back({from,
                      to - from,
                      0,
                      to - from,
                      {global.allocation, global.offset + from}});
    }
    return startBulk(w, i, lane, operands, size, Swizzle::None,
                     AddType(i.extra[1]), std::move(rows));
  });
}

static bool readTensorMap(Warp &w, const Instruction &i, unsigned which,
                          unsigned lane, TensorMap &map) {
  uint64_t address = addressOf(w, i, which, lane);
  Warp::Place first, second;
  if (!w.resolve(i, Space::Generic, address, 64, lane, first) ||
      !w.resolve(i, Space::Generic, address + 64, 64, lane, second))
    return false;
  if (first.space != Space::Global && first.space != Space::Param) {
    w.fault(i, "a tensor map is a parameter or in global memory", int(lane));
    return false;
  }
  std::string why;
  if (!decodeTensorMap(first.data, map, why)) {
    w.fault(i, why, int(lane));
    return false;
  }
  return true;
}

/// What a reduction on a map with this CUtensorMapDataType adds up; None if
/// that cannot be added.
static AddType addTypeOf(const TensorMap &map) {
  switch (map.dataType) {
  case 2:
  case 3:
    return AddType::U32;
  case 4:
  case 5:
    return AddType::U64;
  case 6:
    return AddType::F16;
  case 7:
  case 10:
    return AddType::F32;
  case 9:
    return AddType::BF16;
  default:
    return AddType::None;
  }
}

/// extra[1]: whether it adds; extra[2]: dimensions.
static Step executeTensor(Warp &w, const Instruction &i, uint32_t mask) {
  return forCopies(mask, [&](unsigned lane) {
    TensorMap map;
    if (!readTensorMap(w, i, isLoad(i) ? 1 : 0, lane, map))
      return false;
    if (map.rank != i.extra[2]) {
      w.fault(i,
              "the tensor map has " + std::to_string(map.rank) + " dimensions",
              int(lane));
      return false;
    }
    if (map.swizzle != Swizzle::None &&
        map.rowBytes() != swizzleSpan(map.swizzle)) {
      w.fault(i,
              "rows of " + std::to_string(map.rowBytes()) +
                  " bytes with a swizzle of " +
                  std::to_string(swizzleSpan(map.swizzle)) +
                  " are not emulated",
              int(lane));
      return false;
    }
    int32_t at[TensorMap::maxRank] = {};
    for (unsigned d = 0; d < map.rank; ++d)
      at[d] = int32_t(uint32_t(w.row(i.src[d])[lane]));
    AddType add = i.extra[1] ? addTypeOf(map) : AddType::None;
    if (i.extra[1] && add == AddType::None) {
      w.fault(i, "the tensor map's elements cannot be added", int(lane));
      return false;
    }
    BulkOperands operands;
    if (!bulkOperands(w, i, lane, 128, map.boxBytes(), operands))
      return false;
    std::vector<BulkRow> rows(map.rows());
    for (size_t r = 0; r < rows.size(); ++r) {
      TensorRow from = tensorRow(map, at, r);
      BulkRow &row = rows[r];
      row.at = from.boxOffset;
      row.size = map.rowBytes();
      row.first = from.first;
      row.last = from.last;
      // Rows behind an expert's own are read too and never used, so it does
      // not matter whether something wrote them.
      if (from.first < from.last &&
          !findGlobal(w, i, from.address, from.last - from.first, lane,
                      row.global))
        return false;
    }
    return startBulk(w, i, lane, operands, map.boxBytes(), map.swizzle, add,
                     std::move(rows));
  });
}

static Step executeBulkCommit(Warp &w, const Instruction &, uint32_t mask) {
  AsyncWarp &state = AsyncUnit::of(w);
  forLanes(mask, [&](unsigned lane) { ++state.bulkGroups[lane]; });
  return Step::Next;
}

/// With .read the writes to global memory may still be under way; they are
/// carried out all the same, for the reads are with them.
static Step executeBulkWait(Warp &w, const Instruction &i, uint32_t mask) {
  AsyncWarp &state = AsyncUnit::of(w);
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  auto isWaitedFor = [&](const std::shared_ptr<StoreWork> &work) {
    uint64_t groups = state.bulkGroups[work->lane];
    if (!(mask >> work->lane & 1) || i.extra[0] >= groups ||
        work->group >= groups - i.extra[0])
      return false;
    if (!work->done) {
      work->done = true;
      work->complete(*w.block);
    }
    unit.endRead(*w.block, work->range);
    if (RaceDetector *races = w.block->races.get())
      for (const BulkRow &row : work->rows)
        if (row.first < row.last)
          races->finishCopy(w.number, work->lane, *row.global.allocation,
                            row.global.offset, row.last - row.first);
    return true;
  };
  state.stores.erase(
      std::remove_if(state.stores.begin(), state.stores.end(), isWaitedFor),
      state.stores.end());
  ++w.block->progress;
  return Step::Next;
}

bool AsyncUnit::atEnd(Block &block) {
  for (const auto &warp : block.warps) {
    if (!warp->unit)
      continue;
    AsyncWarp &state = of(*warp);
    if (!state.stores.empty())
      return block.fault(state.stores.front()->line,
                         "the block has ended, and this copy may still read "
                         "its shared memory: cp.async.bulk.wait_group is "
                         "missing");
  }
  return checkWarpgroupsAtEnd(block, *this);
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

namespace {
/// The modifiers of an instruction, taken one by one.
class Words {
public:
  explicit Words(const Instruction &i) : words(i.name) {}
  bool take(const char *word) {
    if (next == words.size() || words[next] != word)
      return false;
    ++next;
    return true;
  }
  bool atEnd() const { return next == words.size(); }
  std::string rest() const { return next == words.size() ? "" : words[next]; }

private:
  const std::vector<std::string> &words;
  size_t next = 1;
};
} // namespace

static bool unknown(const DecodeContext &c, const Words &words) {
  if (words.atEnd())
    return c.fail("modifiers are missing");
  return c.fail("modifier ." + words.rest() + " is not emulated");
}

static bool isConstant(const Operand &o) { return o.kind == Operand::Const; }

static uint64_t constantOf(const DecodeContext &c, const Operand &o) {
  return c.program->constants[o.index]->lane[0];
}

/// The N of wait_group, which is parsed as the first operand.
static bool decodeCount(const DecodeContext &c, Instruction &i) {
  if (i.dst.size() != 1 || !isConstant(i.dst[0]) || !i.src.empty() ||
      i.numAddresses)
    return c.fail("takes one number");
  uint64_t count = constantOf(c, i.dst[0]);
  if (count > 1 << 20)
    return c.fail("the number is too large");
  i.extra[0] = uint32_t(count);
  return true;
}

static bool decodeNothing(const DecodeContext &c, const Instruction &i) {
  if (!i.dst.empty() || !i.src.empty() || i.numAddresses)
    return c.fail("takes no operands");
  return true;
}

static bool areRows(const DecodeContext &c, const std::vector<Operand> &list) {
  for (const Operand &o : list)
    if (o.kind != Operand::Reg && o.kind != Operand::Const)
      return c.fail("an operand must be a register or a number");
  return true;
}

/// cp.async.{ca,cg}.shared.global{.L2::...} [dst], [src], size{, size or p}.
static bool decodeCopy(const DecodeContext &c, Instruction &i, Words &words) {
  bool cg = words.take("cg");
  if (!cg && !words.take("ca"))
    return unknown(c, words);
  if (!words.take("shared") && !words.take("shared::cta"))
    return unknown(c, words);
  if (!words.take("global"))
    return unknown(c, words);
  bool hint = words.take("L2::cache_hint");
  if (words.take("L2::64B") || words.take("L2::128B"))
    ;
  else
    words.take("L2::256B");
  if (!words.atEnd())
    return unknown(c, words);
  if (hint && !i.src.empty())
    i.src.pop_back();
  if (i.numAddresses != 2 || !i.dst.empty() || i.src.empty() ||
      i.src.size() > 2 || !isConstant(i.src[0]))
    return c.fail("takes two addresses, a size and the size of the source");
  uint64_t size = constantOf(c, i.src[0]);
  if (size != 16 && (cg || (size != 4 && size != 8)))
    return c.fail("the size is " + std::to_string(size) +
                  (cg ? ", expected 16" : ", expected 4, 8 or 16"));
  i.extra[0] = uint32_t(size);
  i.extra[1] = 0;
  if (i.src.size() == 2) {
    i.extra[1] = i.src[1].kind == Operand::Pred ? 2 : 1;
    if (i.extra[1] == 1 && !areRows(c, i.src))
      return false;
  }
  i.execute = executeCopy;
  return true;
}

/// Behind "cp.async.bulk" or "cp.reduce.async.bulk".
static bool decodeBulk(const DecodeContext &c, Instruction &i, Words &words,
                       bool reduce) {
  if (c.program->arch < 90)
    return c.fail("needs sm_90");
  if (!reduce && words.take("commit_group")) {
    i.execute = executeBulkCommit;
    return words.atEnd() ? decodeNothing(c, i) : unknown(c, words);
  }
  if (!reduce && words.take("wait_group")) {
    words.take("read");
    i.execute = executeBulkWait;
    return words.atEnd() ? decodeCount(c, i) : unknown(c, words);
  }
  if (!reduce && words.take("prefetch")) {
    // Only fills a cache.
    bool tensor = words.take("tensor");
    if (tensor && !words.take("1d") && !words.take("2d") && !words.take("3d") &&
        !words.take("4d") && !words.take("5d"))
      return unknown(c, words);
    if (!words.take("L2") || !words.take("global"))
      return unknown(c, words);
    if (tensor)
      words.take("tile");
    words.take("L2::cache_hint");
    if (!words.atEnd())
      return unknown(c, words);
    i.execute = [](Warp &, const Instruction &, uint32_t) {
      return Step::Next;
    };
    return true;
  }
  bool tensor = words.take("tensor");
  uint32_t rank = 0;
  if (tensor) {
    static const char *const ranks[] = {"1d", "2d", "3d", "4d", "5d"};
    for (uint32_t n = 0; n < 5 && !rank; ++n)
      if (words.take(ranks[n]))
        rank = n + 1;
    if (!rank)
      return unknown(c, words);
  }
  bool load = false;
  if (words.take("global")) {
    if (!words.take("shared::cta"))
      return unknown(c, words);
  } else if (!reduce &&
             (words.take("shared::cluster") || words.take("shared::cta"))) {
    load = true;
    if (words.rest() == "shared::cta")
      return c.fail("copies between blocks of a cluster are not emulated");
    if (!words.take("global"))
      return unknown(c, words);
  } else {
    return unknown(c, words);
  }
  AddType add = AddType::None;
  bool noftz = false, hint = false, tile = false, completion = false;
  bool adds = false;
  while (!words.atEnd()) {
    if (tensor && !tile && words.take("tile"))
      tile = true;
    else if (!completion && load && words.take("mbarrier::complete_tx::bytes"))
      completion = true;
    else if (!completion && !load && words.take("bulk_group"))
      completion = true;
    else if (!hint && words.take("L2::cache_hint"))
      hint = true;
    else if (words.rest() == "multicast::cluster")
      return c.fail("multicast to a cluster is not emulated");
    else if (reduce && !adds && words.take("add"))
      adds = true;
    else if (reduce && !tensor && !noftz && words.take("noftz"))
      noftz = true;
    else if (reduce && !tensor && add == AddType::None && words.take("f32"))
      add = AddType::F32;
    else if (reduce && !tensor && add == AddType::None && words.take("f16"))
      add = AddType::F16;
    else if (reduce && !tensor && add == AddType::None && words.take("bf16"))
      add = AddType::BF16;
    else if (reduce && !tensor && add == AddType::None &&
             (words.take("u32") || words.take("s32")))
      add = AddType::U32;
    else if (reduce && !tensor && add == AddType::None && words.take("u64"))
      add = AddType::U64;
    else
      return unknown(c, words);
  }
  if (!completion)
    return c.fail(load ? "expected .mbarrier::complete_tx::bytes"
                       : "expected .bulk_group");
  if (reduce && (!adds || (!tensor && add == AddType::None)))
    return c.fail("only additions are emulated");
  if ((add == AddType::F16 || add == AddType::BF16) != noftz)
    return c.fail(noftz ? ".noftz is for f16 and bf16"
                        : "f16 and bf16 need .noftz");
  if (hint) {
    if (i.src.empty())
      return c.fail("the cache policy is missing");
    i.src.pop_back();
  }
  unsigned wanted = load ? 3 : 2;
  if (i.numAddresses != wanted || !i.dst.empty())
    return c.fail("takes " + std::to_string(wanted) + " addresses");
  size_t operands = tensor ? rank : 1;
  if (i.src.size() != operands)
    return c.fail("takes " + std::to_string(operands) +
                  (tensor ? " coordinates" : " size"));
  if (!areRows(c, i.src))
    return false;
  i.extra[0] = load ? 1 : 2;
  i.extra[1] = tensor ? adds : uint32_t(add);
  i.extra[2] = rank;
  i.execute = tensor ? executeTensor : executeBulk;
  return true;
}

static bool decodeCp(const DecodeContext &c, Instruction &i) {
  Words words(i);
  bool reduce = words.take("reduce");
  if (!words.take("async"))
    return unknown(c, words);
  if (reduce) {
    if (!words.take("bulk"))
      return unknown(c, words);
    return decodeBulk(c, i, words, true);
  }
  if (words.take("bulk"))
    return decodeBulk(c, i, words, false);
  if (words.take("commit_group")) {
    i.execute = executeCopyCommit;
    return words.atEnd() ? decodeNothing(c, i) : unknown(c, words);
  }
  if (words.take("wait_group")) {
    i.execute = executeCopyWait;
    i.extra[1] = 0;
    return words.atEnd() ? decodeCount(c, i) : unknown(c, words);
  }
  if (words.take("wait_all")) {
    i.execute = executeCopyWait;
    i.extra[1] = 1;
    return words.atEnd() ? decodeNothing(c, i) : unknown(c, words);
  }
  if (words.take("mbarrier")) {
    if (!words.take("arrive"))
      return unknown(c, words);
    i.extra[0] = words.take("noinc");
    i.space = words.take("shared") || words.take("shared::cta")
                  ? Space::Shared
                  : Space::Generic;
    if (!words.take("b64") || !words.atEnd())
      return unknown(c, words);
    if (i.numAddresses != 1 || !i.dst.empty() || !i.src.empty())
      return c.fail("takes one address");
    i.execute = executeCopyArrive;
    return true;
  }
  return decodeCopy(c, i, words);
}

//===----------------------------------------------------------------------===//
// Hints
//===----------------------------------------------------------------------===//

static Step executeNothing(Warp &, const Instruction &, uint32_t) {
  return Step::Next;
}

/// A generic address must be that of a map.
static Step executePrefetchMap(Warp &w, const Instruction &i, uint32_t mask) {
  bool ok = true;
  forLanes(mask, [&](unsigned lane) {
    TensorMap map;
    ok = ok && readTensorMap(w, i, 0, lane, map);
  });
  return ok ? Step::Next : Step::Fault;
}

/// Caches have no effect here.
static bool decodePrefetch(const DecodeContext &c, Instruction &i) {
  Words words(i);
  if (i.numAddresses != 1 || !i.dst.empty())
    return c.fail("takes one address");
  i.execute = executeNothing;
  if (i.name[0] == "applypriority") {
    words.take("global");
    if (!words.take("L2::evict_normal") || !words.atEnd())
      return unknown(c, words);
    return true;
  }
  if (i.name[0] == "prefetchu")
    return (words.take("L1") && words.atEnd()) || unknown(c, words);
  bool space = words.take("param") || words.take("const");
  if (words.take("tensormap")) {
    if (!words.atEnd())
      return unknown(c, words);
    if (!space)
      i.execute = executePrefetchMap;
    return true;
  }
  if (space)
    return unknown(c, words);
  if (!words.take("global"))
    words.take("local");
  if ((!words.take("L1") && !words.take("L2") &&
       !words.take("L2::evict_last") && !words.take("L2::evict_normal")) ||
      !words.atEnd())
    return unknown(c, words);
  return true;
}

void moe::emu::registerAsyncOpcodes() {
  registerOpcode("cp", decodeCp);
  for (const char *name : {"prefetch", "prefetchu", "applypriority"})
    registerOpcode(name, decodePrefetch);
  registerOpcode("griddepcontrol", decodeGridControl);
  registerBarrierOpcodes();
  registerWarpgroupOpcodes();
}
