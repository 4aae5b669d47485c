//===- GlobalRaces.cpp - Accesses to global memory without order ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// A page is made when a launch first writes to it, so what is only read costs a
// look at a null pointer. Two accesses race where they overlap, one of them
// writes, nothing orders them, and they are not both atomic or the like (PTX
// ISA, "Memory Consistency Model", "Data-Races").
#include "Machine.h"
#include "Races.h"
#include <algorithm>

using namespace moe::emu;

//===----------------------------------------------------------------------===//
// Pages
//===----------------------------------------------------------------------===//

template <class T> ZeroedArray<T> GlobalRaces::zeros(size_t count) {
  uint64_t bytes = count * sizeof(T);
  if (used.fetch_add(bytes) + bytes > kMaxBytes)
    return nullptr;
  return ZeroedArray<T>(static_cast<T *>(std::calloc(count, sizeof(T))));
}

GlobalRaces::~GlobalRaces() {
  for (Allocation *a : written) {
    RacePages *pages = a->pages.exchange(nullptr);
    for (uint64_t n = 0; n <= (a->size - 1) / RacePage::kBytes; ++n)
      delete pages[n].load();
    delete[] pages;
  }
}

RacePage *GlobalRaces::find(const Allocation &allocation, uint64_t offset) {
  RacePages *pages = allocation.pages.load(std::memory_order_acquire);
  return pages
             ? pages[offset / RacePage::kBytes].load(std::memory_order_acquire)
             : nullptr;
}

RacePage *GlobalRaces::make(Allocation &allocation, uint64_t offset,
                            unsigned shift) {
  if (RacePage *page = find(allocation, offset))
    return page;
  std::lock_guard<std::mutex> lock(mutex);
  RacePages *pages = allocation.pages.load();
  if (!pages) {
    size_t count = (allocation.size - 1) / RacePage::kBytes + 1;
    if (used.fetch_add(count * sizeof *pages) > kMaxBytes)
      return nullptr;
    pages = new RacePages[count]();
    allocation.pages.store(pages, std::memory_order_release);
    written.push_back(&allocation);
  }
  RacePages &slot = pages[offset / RacePage::kBytes];
  if (RacePage *page = slot.load())
    return page; // another block was faster
  auto page = std::make_unique<RacePage>();
  page->shift = shift;
  page->stores = zeros<RacePage::Store>(page->numCells());
  page->isOff = !page->stores;
  slot.store(page.get(), std::memory_order_release);
  return page.release();
}

bool GlobalRaces::makeTouches(RacePage &page, RacePage::Touches &touches) {
  if (touches.last)
    return true;
  touches.last = zeros<RacePage::Touch>(page.numCells());
  touches.seen = zeros<RacePage::Seen>(size_t(page.numCells()) * numWarps);
  page.isOff |= !touches.last || !touches.seen;
  return !page.isOff;
}

/// Every cell becomes 1 << `by` cells that have its history.
template <class T>
static void repeat(const ZeroedArray<T> &from, const ZeroedArray<T> &to,
                   uint32_t cells, unsigned by, size_t width) {
  for (size_t cell = 0; cell < size_t(cells) << by; ++cell)
    std::copy_n(&from[(cell >> by) * width], width, &to[cell * width]);
}

bool GlobalRaces::refine(RacePage &page, unsigned shift) {
  uint32_t cells = page.numCells();
  unsigned by = page.shift - shift;
  RacePage finer;
  finer.shift = shift;
  finer.stores = zeros<RacePage::Store>(finer.numCells());
  page.isOff |= !finer.stores;
  if (!page.isOff)
    repeat(page.stores, finer.stores, cells, by, 1);
  for (auto member : {&RacePage::reads, &RacePage::atomics}) {
    RacePage::Touches &from = page.*member, &to = finer.*member;
    if (page.isOff || !from.last)
      continue;
    page.isOff = !makeTouches(finer, to);
    if (page.isOff)
      continue;
    repeat(from.last, to.last, cells, by, 1);
    repeat(from.seen, to.seen, cells, by, numWarps);
  }
  if (page.isOff)
    return false;
  page.shift = shift;
  page.stores = std::move(finer.stores);
  page.reads = std::move(finer.reads);
  page.atomics = std::move(finer.atomics);
  return true;
}

//===----------------------------------------------------------------------===//
// Accesses
//===----------------------------------------------------------------------===//

namespace {
/// Keeps the other blocks that run at the time away from a page.
class PageLock {
public:
  PageLock(RacePage &page, bool isNeeded) : page(isNeeded ? &page : nullptr) {
    while (isNeeded && page.busy.test_and_set(std::memory_order_acquire))
      ;
  }
  ~PageLock() {
    if (page)
      page->busy.clear(std::memory_order_release);
  }
  PageLock(const PageLock &) = delete;

private:
  RacePage *page;
};
} // namespace

struct RaceDetector::Toucher {
  Access access;
  Warp &warp;
  const Instruction &at;
  unsigned lane;
  const Allocation &allocation;
  uint64_t page = 0; // offset in the allocation
  uint32_t where() const {
    return at.line | uint32_t(lane) << RacePage::kLineBits;
  }
  bool isRead() const { return access <= Access::StrongRead; }
};

static uint32_t lineOf(uint32_t where) {
  return where & ((1u << RacePage::kLineBits) - 1);
}
static uint32_t laneOf(uint32_t where) { return where >> RacePage::kLineBits; }

/// What the program calls an allocation: a parameter or a variable that holds
/// its address; "" if neither does.
static std::string nameOf(const Launch &launch, const Allocation &allocation) {
  for (const Parameter &p : launch.kernel->params) {
    uint64_t value = 0;
    if (p.size != 8 || p.offset + 8 > launch.params.size())
      continue;
    __builtin_memcpy(&value, &launch.params[p.offset], 8);
    if (value - allocation.base < allocation.size)
      return ", parameter " + p.name;
  }
  for (const Variable &v : launch.program->variables)
    if (v.address == allocation.base)
      return ", variable " + v.name;
  return "";
}

/// "for block (1, 0, 0), warp 2, lane 3"; `number` counts from 1.
static std::string threadText(const Launch &launch, uint32_t number,
                              unsigned warp, unsigned lane) {
  uint32_t block = number - 1, x = launch.grid[0], y = launch.grid[1];
  return " for block (" + std::to_string(block % x) + ", " +
         std::to_string(block / x % y) + ", " + std::to_string(block / x / y) +
         "), warp " + std::to_string(warp) + ", lane " + std::to_string(lane);
}

bool RaceDetector::faultGlobal(const Toucher &me, const std::string &other,
                               const std::string &why, uint32_t at) {
  const Allocation &a = me.allocation;
  const char *what = me.isRead()                        ? "reads "
                     : me.access == Access::StrongWrite ? "changes "
                                                        : "overwrites ";
  uint64_t offset = me.page + at;
  me.warp.fault(me.at,
                "race in global memory: " + (what + other) + ", " + why +
                    ", at " + hex(a.base + offset) + ", byte " +
                    std::to_string(offset) + " of the " +
                    std::to_string(a.size) + " bytes at " + hex(a.base) +
                    nameOf(*me.warp.block->launch, a),
                int(me.lane));
  return false;
}

static const char *const kBlocks = "and nothing orders blocks of a launch",
                         *const kBarrier = "without a barrier in between",
                         *const kWarpSync = "without bar.warp.sync in between";

bool RaceDetector::isStoreOrdered(const Toucher &me,
                                  const RacePage::Store &store, uint32_t at) {
  if (store.block == 0)
    return true;
  unsigned warp = me.warp.number, line = lineOf(store.where);
  const char *why = nullptr;
  if (store.block != block + 1)
    why = kBlocks;
  else if (me.access == Access::ReadOnly)
    why = "in this launch, which ld.global.nc must not read";
  else if (store.clock == RacePage::kUnderWay)
    why = me.at.line == line ? nullptr : "in a copy that nothing waited for";
  else if (store.warp != warp + 1)
    why = store.clock <= seen(warp, store.warp - 1u) ? nullptr : kBarrier;
  // One instruction of a warp is one event, whatever its lanes.
  else if (laneOf(store.where) != me.lane && store.sync == syncs[warp] &&
           line != me.at.line)
    why = kWarpSync;
  if (!why)
    return true;
  return faultGlobal(me,
                     "what line " + std::to_string(line) + " stored" +
                         threadText(*me.warp.block->launch, store.block,
                                    store.warp - 1u, laneOf(store.where)),
                     why, at);
}

bool RaceDetector::areTouchesOrdered(const Toucher &me, const RacePage &page,
                                     const RacePage::Touches &touches,
                                     uint32_t cell, const char *what) {
  if (!touches.last)
    return true;
  const RacePage::Touch &last = touches.last[cell];
  if (last.block == 0)
    return true;
  unsigned warp = me.warp.number;
  uint32_t where = last.where, other = last.warp - 1u;
  const char *why = nullptr;
  if (last.several || last.block != block + 1) {
    why = kBlocks;
  } else {
    const RacePage::Seen *by = &touches.seen[size_t(cell) * numWarps];
    for (unsigned w = 0; w < numWarps && !why; ++w)
      if (w != warp && by[w].clock > seen(warp, w)) {
        why = kBarrier;
        where = by[w].where;
        other = w;
      }
    uint32_t others = last.lanes & ~(1u << me.lane);
    if (!why && last.warp == warp + 1 && last.sync == syncs[warp] && others &&
        lineOf(where) != me.at.line) {
      why = kWarpSync;
      where = lineOf(where) | uint32_t(__builtin_ctz(others))
                                  << RacePage::kLineBits;
    }
  }
  if (!why)
    return true;
  return faultGlobal(me,
                     "what line " + std::to_string(lineOf(where)) + what +
                         (last.several && last.block == block + 1
                              ? std::string(" for another block too")
                              : threadText(*me.warp.block->launch, last.block,
                                           other, laneOf(where))),
                     why, cell << page.shift);
}

void RaceDetector::note(const Toucher &me, RacePage::Touches &touches,
                        uint32_t cell) {
  RacePage::Touch &last = touches.last[cell];
  unsigned warp = me.warp.number;
  last.several |= last.block != 0 && last.block != block + 1;
  last.block = block + 1;
  if (last.warp != warp + 1 || last.sync != syncs[warp]) {
    last.warp = uint8_t(warp + 1);
    last.sync = syncs[warp];
    last.lanes = 0;
  }
  last.lanes |= 1u << me.lane;
  last.where = me.where();
  touches.seen[size_t(cell) * numWarps + warp] = {seen(warp, warp), last.where};
}

bool RaceDetector::touch(Toucher &me, RacePage &page, uint32_t from,
                         uint32_t size) {
  PageLock lock(page, global->isParallel);
  unsigned shift = unsigned(__builtin_ctz(from | size | 16));
  if (page.isOff || (shift < page.shift && !global->refine(page, shift)))
    return true;
  Access access = me.access;
  bool notesRead = access == Access::Read || access == Access::ReadOnly;
  bool isAtomic = access == Access::StrongWrite;
  if ((notesRead && !global->makeTouches(page, page.reads)) ||
      (isAtomic && !global->makeTouches(page, page.atomics)))
    return true;
  for (uint32_t cell = from >> page.shift,
                end = (from + size - 1) >> page.shift;
       cell <= end; ++cell) {
    if (!isStoreOrdered(me, page.stores[cell], cell << page.shift))
      return false;
    if (!isAtomic && access != Access::StrongRead &&
        !areTouchesOrdered(me, page, page.atomics, cell, " changes atomically"))
      return false;
    if (!me.isRead() &&
        !areTouchesOrdered(me, page, page.reads, cell, " reads"))
      return false;
    unsigned warp = me.warp.number;
    if (notesRead)
      note(me, page.reads, cell);
    else if (isAtomic)
      note(me, page.atomics, cell);
    else if (!me.isRead())
      page.stores[cell] = {block + 1,
                           access == Access::Copy ? RacePage::kUnderWay
                                                  : seen(warp, warp),
                           syncs[warp], me.where(), uint8_t(warp + 1)};
  }
  return true;
}

bool RaceDetector::accessGlobal(Access access, Warp &warp,
                                const Instruction &at, unsigned lane,
                                Allocation &allocation, uint64_t offset,
                                uint64_t size) {
  if (!global)
    return true;
  Toucher me = {access, warp, at, lane, allocation};
  while (size) {
    uint32_t from = uint32_t(offset % RacePage::kBytes);
    auto count = uint32_t(std::min<uint64_t>(size, RacePage::kBytes - from));
    RacePage *page =
        me.isRead() ? GlobalRaces::find(allocation, offset)
                    : global->make(allocation, offset,
                                   unsigned(__builtin_ctz(from | count | 16)));
    me.page = offset - from;
    if (page && !touch(me, *page, from, count))
      return false;
    offset += count;
    size -= count;
  }
  return true;
}

void RaceDetector::finishCopy(unsigned warp, unsigned lane,
                              const Allocation &allocation, uint64_t offset,
                              uint64_t size) {
  for (uint64_t end = offset + size; global && offset < end;) {
    RacePage *page = GlobalRaces::find(allocation, offset);
    uint64_t next = offset - offset % RacePage::kBytes + RacePage::kBytes;
    if (page) {
      PageLock lock(*page, global->isParallel);
      for (; offset < std::min(end, next) && !page->isOff;
           offset += uint64_t(1) << page->shift) {
        RacePage::Store &store =
            page->stores[offset % RacePage::kBytes >> page->shift];
        if (store.block == block + 1 && store.warp == warp + 1 &&
            laneOf(store.where) == lane && store.clock == RacePage::kUnderWay) {
          store.clock = seen(warp, warp);
          store.sync = syncs[warp];
        }
      }
    }
    offset = next;
  }
}
