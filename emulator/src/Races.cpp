//===- Races.cpp - Accesses to shared memory without order ----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Races.h"
#include "Machine.h"
#include <algorithm>

using namespace moe::emu;

RaceDetector::RaceDetector(unsigned numWarps, uint64_t sharedBytes,
                           GlobalRaces *global, uint32_t block)
    : numWarps(numWarps), global(global), block(block),
      clocks(2 * numWarps * numWarps), syncs(numWarps), copies(numWarps) {
  // Pages of zeros that nothing touches cost nothing.
  size_t count = sharedBytes / 2 + 1;
  cells.reset(static_cast<Cell *>(std::calloc(count, sizeof(Cell))));
  readClocks.reset(
      static_cast<uint32_t *>(std::calloc(count * numWarps, sizeof(uint32_t))));
  // Without memory for it nothing is looked for.
  if (!cells || !readClocks)
    cells.reset();
  for (unsigned w = 0; w < numWarps; ++w)
    seen(w, w) = 1;
}

bool RaceDetector::fault(Warp &warp, const Instruction &at, unsigned lane,
                         const std::string &text) {
  warp.fault(at, "race in shared memory: " + text, int(lane));
  return false;
}

bool RaceDetector::isWriteOrdered(Warp &warp, const Instruction &at,
                                  unsigned lane, const Cell &cell,
                                  const char *what) {
  unsigned me = warp.number;
  if (cell.writeWarp == 0)
    return true;
  bool isCopy = cell.writeWarp > numWarps;
  auto who = [&] {
    return std::string(what) + " what line " + std::to_string(cell.writeLine) +
           (isCopy ? " copied for warp " : " stored for warp ") +
           std::to_string((cell.writeWarp - 1) % numWarps);
  };
  if (cell.writeWarp != me + 1) {
    if (knows(me, cell.writeWarp - 1u, cell.writeClock))
      return true;
    return fault(warp, at, lane,
                 who() + (isCopy ? ", without a wait for its mbarrier"
                                 : ", without a barrier in between"));
  }
  // One instruction of a warp is one event, whatever its lanes.
  if (cell.writeLane == lane || cell.writeSync != syncs[me] ||
      cell.writeLine == at.line)
    return true;
  return fault(warp, at, lane,
               who() + ", lane " + std::to_string(cell.writeLane) +
                   ", without bar.warp.sync in between");
}

bool RaceDetector::read(Warp &warp, const Instruction &at, unsigned lane,
                        uint32_t address, uint32_t size) {
  if (!cells)
    return true;
  unsigned me = warp.number;
  for (uint32_t i = address / 2; i <= (address + size - 1) / 2; ++i) {
    Cell &cell = cells[i];
    if (!isWriteOrdered(warp, at, lane, cell, "reads"))
      return false;
    readClocks[size_t(i) * numWarps + me] = seen(me, me);
    if (cell.readWarp != me + 1 || cell.readSync != syncs[me]) {
      cell.readWarp = uint8_t(me + 1);
      cell.readSync = syncs[me];
      cell.readLanes = 0;
    }
    cell.readLanes |= 1u << lane;
    cell.readLine = at.line;
  }
  return true;
}

bool RaceDetector::store(Warp &warp, const Instruction &at, unsigned lane,
                         uint32_t address, uint32_t size, unsigned writer,
                         uint32_t clock) {
  if (!cells)
    return true;
  unsigned me = warp.number;
  for (uint32_t i = address / 2; i <= (address + size - 1) / 2; ++i) {
    Cell &cell = cells[i];
    if (!isWriteOrdered(warp, at, lane, cell, "overwrites"))
      return false;
    const uint32_t *reads = &readClocks[size_t(i) * numWarps];
    for (unsigned w = 0; w < numWarps; ++w)
      if (w != me && reads[w] > seen(me, w))
        return fault(warp, at, lane,
                     "overwrites what warp " + std::to_string(w) +
                         " reads, without a barrier in between");
    if (cell.readWarp == me + 1 && cell.readSync == syncs[me] &&
        (cell.readLanes & ~(1u << lane)) && cell.readLine != at.line)
      return fault(warp, at, lane,
                   "overwrites what another lane reads in line " +
                       std::to_string(cell.readLine) +
                       ", without bar.warp.sync in between");
    cell.writeWarp = uint8_t(writer + 1);
    cell.writeLane = uint8_t(lane);
    cell.writeClock = clock;
    cell.writeSync = syncs[me];
    cell.writeLine = at.line;
  }
  return true;
}

bool RaceDetector::write(Warp &warp, const Instruction &at, unsigned lane,
                         uint32_t address, uint32_t size) {
  return store(warp, at, lane, address, size, warp.number, now(warp.number));
}
bool RaceDetector::writeAsync(Warp &warp, const Instruction &at, unsigned lane,
                              uint32_t address, uint32_t size,
                              uint32_t &number) {
  number = ++copies[warp.number];
  return store(warp, at, lane, address, size, numWarps + warp.number, number);
}

void RaceDetector::finishWrite(unsigned warp, uint32_t address, uint32_t size) {
  if (!cells)
    return;
  for (uint32_t i = address / 2; i <= (address + size - 1) / 2; ++i)
    if (cells[i].writeWarp == warp + 1) {
      cells[i].writeClock = now(warp);
      cells[i].writeSync = syncs[warp];
    }
}

void RaceDetector::Told::join(const Told &other) {
  for (size_t i = 0; i < clocks.size(); ++i)
    clocks[i] = std::max(clocks[i], other.clocks[i]);
  for (size_t i = 0; i < lanes.size(); ++i)
    lanes[i] |= other.lanes[i];
}

RaceDetector::Told &RaceDetector::told(uint64_t key) {
  auto [place, isNew] = barriers.try_emplace(key);
  Barrier &barrier = place->second;
  if (isNew)
    for (Told *told : {&barrier.now, &barrier.before}) {
      told->clocks.resize(2 * numWarps);
      told->lanes.resize(numWarps);
    }
  // A named barrier has one key per phase.
  return key >> 63 ? barrier.before : barrier.now;
}

void RaceDetector::release(unsigned warp, uint32_t lanes, uint64_t key) {
  // Whoever waits for a named barrier has left the generation before the last.
  constexpr uint64_t generation = (uint64_t(1) << 56) - 1;
  if (key >> 63 && (key & generation) >= 2)
    barriers.erase(key - 2);
  Told &to = told(key);
  for (unsigned w = 0; w < 2 * numWarps; ++w)
    to.clocks[w] = std::max(to.clocks[w], seen(warp, w));
  to.lanes[warp] |= lanes;
  ++seen(warp, warp);
}

void RaceDetector::completeCopy(unsigned warp, uint32_t number, uint64_t key) {
  uint32_t &clock = told(key).clocks[numWarps + warp];
  clock = std::max(clock, number);
}

void RaceDetector::completePhase(uint64_t key) {
  auto found = barriers.find(key);
  if (found == barriers.end())
    return;
  auto &[now, before] = found->second;
  before.join(now);
  std::fill(now.lanes.begin(), now.lanes.end(), 0);
}

void RaceDetector::acquire(unsigned warp, uint64_t key) {
  auto found = barriers.find(key);
  if (found == barriers.end())
    return;
  const Told &from = found->second.before;
  for (unsigned w = 0; w < 2 * numWarps; ++w)
    if (w != warp)
      seen(warp, w) = std::max(seen(warp, w), from.clocks[w]);
  // What all lanes have reached orders them among themselves.
  if (from.lanes[warp] == ~0u)
    syncWarp(warp);
}
