//===- Races.cpp - Accesses to shared memory without order ----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Races.h"
#include "Machine.h"

using namespace moe::emu;

RaceDetector::RaceDetector(unsigned numWarps, uint64_t sharedBytes,
                           GlobalRaces *global, uint32_t block)
    : numWarps(numWarps), global(global), block(block),
      clocks(numWarps * numWarps), syncs(numWarps) {
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
  auto who = [&] {
    return std::string(what) + " what line " + std::to_string(cell.writeLine) +
           " stored for warp " + std::to_string(cell.writeWarp - 1);
  };
  if (cell.writeWarp != me + 1) {
    if (cell.writeClock <= seen(me, cell.writeWarp - 1u))
      return true;
    return fault(warp, at, lane, who() + ", without a barrier in between");
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
                         uint32_t address, uint32_t size, bool isAsync) {
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
    cell.writeWarp = isAsync ? 0 : uint8_t(me + 1);
    cell.writeLane = uint8_t(lane);
    cell.writeClock = seen(me, me);
    cell.writeSync = syncs[me];
    cell.writeLine = at.line;
  }
  return true;
}

bool RaceDetector::write(Warp &warp, const Instruction &at, unsigned lane,
                         uint32_t address, uint32_t size) {
  return store(warp, at, lane, address, size, /*isAsync=*/false);
}
bool RaceDetector::writeAsync(Warp &warp, const Instruction &at, unsigned lane,
                              uint32_t address, uint32_t size) {
  return store(warp, at, lane, address, size, /*isAsync=*/true);
}

void RaceDetector::release(unsigned warp, uint64_t key) {
  // Whoever waits for a named barrier has left the generation before the last.
  constexpr uint64_t generation = (uint64_t(1) << 56) - 1;
  if (key >> 63 && (key & generation) >= 2)
    barriers.erase(key - 2);
  std::vector<uint32_t> &told = barriers[key];
  told.resize(numWarps);
  for (unsigned w = 0; w < numWarps; ++w)
    if (told[w] < seen(warp, w))
      told[w] = seen(warp, w);
  ++seen(warp, warp);
}

void RaceDetector::acquire(unsigned warp, uint64_t key) {
  syncWarp(warp);
  auto found = barriers.find(key);
  if (found == barriers.end())
    return;
  for (unsigned w = 0; w < numWarps; ++w)
    if (w != warp && seen(warp, w) < found->second[w])
      seen(warp, w) = found->second[w];
}
