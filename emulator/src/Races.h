//===- Races.h - Accesses to memory without order ---------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Vector clocks of warps (Flanagan and Freund, FastTrack, PLDI 2009): a barrier
// or mbarrier hands on what its arrivals have seen. Two accesses of which one
// is a store, by two warps, must be ordered by them; by two lanes of a warp, by
// bar.warp.sync or stronger. A schedule need not show a wrong value for a
// missing barrier to be found.
//
// Global memory is looked at likewise for the length of a launch, in the pages
// that the launch has written to. Nothing orders two blocks; atomics order
// nothing, and do not race with one another.
#ifndef MOE_EMULATOR_RACES_H
#define MOE_EMULATOR_RACES_H
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace moe::emu {

class Warp;
struct Allocation;
struct Instruction;
struct Launch;

/// What an instruction does to global memory.
enum class Access : uint8_t {
  Read,
  ReadOnly,   ///< ld.nc: nothing may write it in the same launch
  StrongRead, ///< ld.relaxed, .acquire, .volatile
  Write,
  StrongWrite, ///< atomics, st.relaxed, .release, .volatile
  Copy         ///< a bulk copy, under way until it is waited for
};

struct FreeMemory {
  void operator()(void *memory) const { std::free(memory); }
};
template <class T> using ZeroedArray = std::unique_ptr<T[], FreeMemory>;

/// What a launch did to 4 KiB of global memory. Blocks and warps count from 1,
/// so that all zero is "not touched".
struct RacePage {
  static constexpr uint32_t kBytes = 4096;
  /// Of a copy that has not been waited for.
  static constexpr uint32_t kUnderWay = ~0u;
  /// A line, and a lane above it: texts have at most 2^25 lines.
  static constexpr unsigned kLineBits = 27;

  struct Store {
    uint32_t block, clock, sync, where;
    uint8_t warp;
  };
  /// Who touched a cell last; `several`: more blocks than this one did.
  struct Touch {
    uint32_t block, sync, lanes, where;
    uint8_t warp, several;
  };
  struct Seen {
    uint32_t clock, where;
  };
  /// Accesses that do not race with one another.
  struct Touches {
    ZeroedArray<Touch> last; // [cell]
    ZeroedArray<Seen> seen;  // [cell, warp]
  };
  /// A cell has 1 << shift bytes: as many as the narrowest access so far.
  unsigned shift = 0;
  /// There was no memory for it: nothing is looked for here.
  bool isOff = false;
  ZeroedArray<Store> stores;
  Touches reads, atomics;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;

  uint32_t numCells() const { return kBytes >> shift; }
};
using RacePages = std::atomic<RacePage *>;

/// The pages of one launch.
class GlobalRaces {
public:
  /// Pages take at most so much; accesses to others are not looked at.
  static constexpr uint64_t kMaxBytes = uint64_t(1) << 30;

  GlobalRaces(unsigned numWarps, bool isParallel)
      : numWarps(numWarps), isParallel(isParallel) {}
  ~GlobalRaces();

  /// The page of a byte, or null.
  static RacePage *find(const Allocation &allocation, uint64_t offset);
  RacePage *make(Allocation &allocation, uint64_t offset, unsigned shift);
  /// False where there is no memory; the page is off then.
  bool makeTouches(RacePage &page, RacePage::Touches &touches);
  bool refine(RacePage &page, unsigned shift);

  const unsigned numWarps;
  const bool isParallel;

private:
  template <class T> ZeroedArray<T> zeros(size_t count);

  std::mutex mutex;
  std::vector<Allocation *> written;
  std::atomic<uint64_t> used{0};
};

class RaceDetector {
public:
  /// `global`: null where only shared memory is looked at. `block`: number of
  /// the block in the grid.
  RaceDetector(unsigned numWarps, uint64_t sharedBytes, GlobalRaces *global,
               uint32_t block);

  /// The same as read() and write() for bytes of global memory.
  bool accessGlobal(Access access, Warp &warp, const Instruction &at,
                    unsigned lane, Allocation &allocation, uint64_t offset,
                    uint64_t size);
  /// `warp` has waited for a copy by `lane` to these bytes.
  void finishCopy(unsigned warp, unsigned lane, const Allocation &allocation,
                  uint64_t offset, uint64_t size);

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
  uint32_t &seen(unsigned warp, unsigned of) {
    return clocks[size_t(warp) * numWarps + of];
  }
  bool isWriteOrdered(Warp &warp, const Instruction &at, unsigned lane,
                      const Cell &cell, const char *what);
  bool store(Warp &warp, const Instruction &at, unsigned lane, uint32_t address,
             uint32_t size, bool isAsync);
  bool fault(Warp &warp, const Instruction &at, unsigned lane,
             const std::string &text);

  /// One access to global memory, as the checks hand it on.
  struct Toucher;
  bool touch(Toucher &me, RacePage &page, uint32_t from, uint32_t size);
  bool isStoreOrdered(const Toucher &me, const RacePage::Store &store,
                      uint32_t at);
  bool areTouchesOrdered(const Toucher &me, const RacePage &page,
                         const RacePage::Touches &touches, uint32_t cell,
                         const char *what);
  void note(const Toucher &me, RacePage::Touches &touches, uint32_t cell);
  bool faultGlobal(const Toucher &me, const std::string &other,
                   const std::string &why, uint32_t at);

  unsigned numWarps;
  GlobalRaces *global;
  uint32_t block;
  ZeroedArray<Cell> cells;
  ZeroedArray<uint32_t> readClocks; // [cell, warp]
  std::vector<uint32_t> clocks;     // [warp, warp]
  std::vector<uint32_t> syncs;      // [warp]
  std::map<uint64_t, std::vector<uint32_t>> barriers;
};

} // namespace moe::emu
#endif // MOE_EMULATOR_RACES_H
