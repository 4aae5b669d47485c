//===- Races.h - Accesses to shared memory without order --------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Vector clocks of warps (Flanagan and Freund, FastTrack, PLDI 2009): a barrier
// or mbarrier hands on what its arrivals have seen. Two accesses of which one
// is a store, by two warps, must be ordered by them; by two lanes of a warp, by
// bar.warp.sync or stronger. A schedule need not show a wrong value for a
// missing barrier to be found.
#ifndef MOE_EMULATOR_RACES_H
#define MOE_EMULATOR_RACES_H
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace moe::emu {

class Warp;
struct Instruction;

class RaceDetector {
public:
  RaceDetector(unsigned numWarps, uint64_t sharedBytes);

  /// False, after Warp::fault, where something unordered touched the bytes.
  bool read(Warp &warp, const Instruction &at, unsigned lane, uint32_t address,
            uint32_t size);
  bool write(Warp &warp, const Instruction &at, unsigned lane, uint32_t address,
             uint32_t size);
  /// A store by the asynchronous proxy: what comes behind it is ordered by the
  /// mbarrier that it completes.
  bool writeAsync(Warp &warp, const Instruction &at, unsigned lane,
                  uint32_t address, uint32_t size);

  /// `warp` arrives at the barrier `key`; later it, or another one, has waited
  /// for it.
  void release(unsigned warp, uint64_t key);
  void acquire(unsigned warp, uint64_t key);
  /// Lanes of a warp have met.
  void syncWarp(unsigned warp) { ++syncs[warp]; }

  /// Keys: mbarriers by address; named barriers by number and generation.
  static uint64_t mbarrier(uint32_t address) { return address; }
  static uint64_t named(unsigned number, uint64_t generation) {
    return uint64_t(1) << 63 | uint64_t(number) << 56 | generation;
  }

private:
  /// Two bytes of shared memory. Warps count from 1, so that all zero is "not
  /// touched" and memory need not be filled in.
  struct Cell {
    uint32_t writeClock, writeSync, writeLine;
    uint32_t readSync, readLanes, readLine;
    uint8_t writeWarp, writeLane, readWarp;
  };
  struct Free {
    void operator()(void *memory) const { std::free(memory); }
  };
  uint32_t &seen(unsigned warp, unsigned of) {
    return clocks[size_t(warp) * numWarps + of];
  }
  bool isWriteOrdered(Warp &warp, const Instruction &at, unsigned lane,
                      const Cell &cell, const char *what);
  bool store(Warp &warp, const Instruction &at, unsigned lane, uint32_t address,
             uint32_t size, bool isAsync);
  bool fault(Warp &warp, const Instruction &at, unsigned lane,
             const std::string &text);

  unsigned numWarps;
  std::unique_ptr<Cell[], Free> cells;
  std::unique_ptr<uint32_t[], Free> readClocks; // [cell, warp]
  std::vector<uint32_t> clocks;                 // [warp, warp]
  std::vector<uint32_t> syncs;                  // [warp]
  std::map<uint64_t, std::vector<uint32_t>> barriers;
};

} // namespace moe::emu
#endif // MOE_EMULATOR_RACES_H
