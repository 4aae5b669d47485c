//===- Races.h - Accesses to memory without order ---------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Vector clocks of warps (Flanagan and Freund, FastTrack, PLDI 2009): a barrier
// or a phase of an mbarrier hands on what its arrivals have seen. Two accesses
// of which one is a store, by two warps, must be ordered by them; by two lanes
// of a warp, by bar.warp.sync or stronger. The copies that a warp starts to
// shared memory count as one more warp, which an mbarrier hands on when they
// complete on it; work that a warp waits for itself (cp.async, wgmma) accesses
// memory until that wait. A schedule need not show a wrong value for a missing
// barrier or wait to be found.
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
  /// A store by a copy that `lane` starts; `number` is for completeCopy().
  bool writeAsync(Warp &warp, const Instruction &at, unsigned lane,
                  uint32_t address, uint32_t size, uint32_t &number);
  /// `warp` has waited for its own store, made by write() earlier: that is when
  /// it has happened.
  void finishWrite(unsigned warp, uint32_t address, uint32_t size);

  /// Lanes of `warp` arrive at the barrier `key`; later it, or another one, has
  /// waited for it.
  void release(unsigned warp, uint32_t lanes, uint64_t key);
  void acquire(unsigned warp, uint64_t key);
  /// A copy that `warp` has started completes on the mbarrier `key`.
  void completeCopy(unsigned warp, uint32_t number, uint64_t key);
  /// A phase of the mbarrier has ended: what arrived is there to be acquired.
  void completePhase(uint64_t key);
  /// Lanes of a warp have met.
  void syncWarp(unsigned warp) { ++syncs[warp]; }

  /// The time of `warp`, and whether `other` knows that it was then.
  uint32_t now(unsigned warp) { return seen(warp, warp); }
  bool knows(unsigned other, unsigned warp, uint32_t clock) {
    return clock <= seen(other, warp);
  }

  /// Keys: mbarriers by address; named barriers by number and generation.
  static uint64_t mbarrier(uint32_t address) { return address; }
  static uint64_t named(unsigned number, uint64_t generation) {
    return uint64_t(1) << 63 | uint64_t(number) << 56 | generation;
  }

private:
  /// Two bytes of shared memory. Warps count from 1, so that all zero is "not
  /// touched" and memory need not be filled in; behind them come the copies of
  /// each warp.
  struct Cell {
    uint32_t writeClock, writeSync, writeLine;
    uint32_t readSync, readLanes, readLine;
    uint8_t writeWarp, writeLane, readWarp;
  };
  uint32_t &seen(unsigned warp, unsigned of) {
    return clocks[size_t(warp) * 2 * numWarps + of];
  }
  bool isWriteOrdered(Warp &warp, const Instruction &at, unsigned lane,
                      const Cell &cell, const char *what);
  bool store(Warp &warp, const Instruction &at, unsigned lane, uint32_t address,
             uint32_t size, unsigned writer, uint32_t clock);
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
  std::vector<uint32_t> clocks;     // [warp, 2 * warps]
  std::vector<uint32_t> syncs;      // [warp]
  std::vector<uint32_t> copies;     // [warp], started so far
  struct Told {
    std::vector<uint32_t> clocks; // of those who came
    std::vector<uint32_t> lanes;  // [warp], that came
    void join(const Told &other);
  };
  struct Barrier {
    Told now, before; // in this phase, in those that have ended
  };
  Told &told(uint64_t key);
  std::map<uint64_t, Barrier> barriers;
};

} // namespace moe::emu
#endif // MOE_EMULATOR_RACES_H
