//===- AsyncCopy.h - Asynchronous work of a block ---------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What copies, mbarriers and wgmma share: which bytes of shared memory are
// being written or read behind the program's back, and until when.
//
// A byte that work will write is InFlight from the issue of the work until the
// program has waited for it, also where the data has long landed; a byte that
// work will read is AsyncRead likewise. So a missing wait is a fault whatever
// the timing.
#ifndef MOE_EMULATOR_ASYNCCOPY_H
#define MOE_EMULATOR_ASYNCCOPY_H

#include "Barrier.h"
#include "Machine.h"

#include <unordered_map>
#include <utility>
#include <vector>

namespace moe::emu {

/// Most work that may be under way of a kind: a kernel that never waits must
/// not take all memory.
constexpr uint32_t kMaxInFlight = 4096;

/// A range of shared memory.
struct SharedRange {
  uint32_t address = 0, size = 0;
};

struct BarrierObject {
  Mbarrier state;
  uint32_t address = 0;
  /// Of mbarrier.init.
  uint32_t line = 0, warp = 0, lane = 0;
  /// The asynchronous proxy knows of it.
  bool published = false;
  /// What has landed in this phase and is readable once it completes.
  std::vector<SharedRange> landed;
};

/// One wgmma.mma_async of a warpgroup, see WarpgroupOps.cpp.
struct WgmmaProduct;

/// Copies by cp.async of one instruction.
struct CopyWork : AsyncWork {
  struct Piece {
    uint32_t lane = 0, address = 0, size = 0, copied = 0;
    const uint8_t *source = nullptr;
    uint64_t group = 0;
    /// An mbarrier answers for it; the program has waited for it.
    bool claimed = false, released = false;
  };
  std::vector<Piece> pieces;
  uint32_t warp = 0;
  bool complete(Block &block) override;
};

/// A bulk copy out of shared memory.
struct StoreWork;

/// The asynchronous state of a warp.
struct AsyncWarp {
  // cp.async: groups that each lane has committed, and what is not waited for.
  uint64_t copyGroups[kLanes] = {};
  std::vector<std::shared_ptr<CopyWork>> copies;
  // Bulk copies to global memory.
  uint64_t bulkGroups[kLanes] = {};
  std::vector<std::shared_ptr<StoreWork>> stores;

  // wgmma. The warp has issued products 0 to issued - 1 of its warpgroup and
  // waited for those before `waited`; committed groups that it has not waited
  // for end before the products of groupEnds.
  uint64_t issued = 0, waited = 0;
  std::vector<uint64_t> groupEnds;
  /// Since the last commit_group.
  bool fenced = false;
  /// What setmaxnreg last asked for; 0: nothing yet.
  uint32_t maxRegisters = 0;
  /// Per register: whether products in flight own it, how many, and their n.
  std::vector<uint8_t> owned;
  std::vector<uint16_t> owners;
  std::vector<uint16_t> ownerColumns;
  /// Rows of AsyncUnit::wgmmaRegisters at the last fence; per register, whether
  /// a product may have written it since.
  std::vector<uint32_t> atFence;
  std::vector<uint8_t> writtenByProduct;
};

class AsyncUnit final : public BlockUnit {
public:
  explicit AsyncUnit(Block &block);
  static AsyncUnit &of(Block &block);
  static AsyncWarp &of(Warp &warp);

  bool atEnd(Block &block) override;
  std::string describe() const override;

  /// The shared address of operand `which` for `lane`: `size` bytes there are
  /// checked for bounds, and the address for being a multiple of `alignment`.
  bool sharedOperand(Warp &warp, const Instruction &at, unsigned which,
                     Space space, unsigned lane, unsigned alignment,
                     uint64_t size, uint32_t &address);

  /// Marks bytes that work will write. False after Warp::fault. `copy`: the
  /// asynchronous proxy will, and gets the number of RaceDetector::writeAsync.
  bool beginWrite(Warp &warp, const Instruction &at, SharedRange range,
                  unsigned lane, uint32_t *copy = nullptr);
  /// The data has come; `generic`: as if by stores of `warp`.
  void land(Block &block, SharedRange range, bool generic, uint32_t warp);
  /// The program has waited.
  void endWrite(Block &block, SharedRange range);

  /// Marks 16-byte units that the asynchronous proxy will read. False after
  /// Warp::fault.
  bool beginRead(Warp &warp, const Instruction &at, SharedRange range,
                 unsigned lane);
  void endRead(Block &block, SharedRange range);

  /// The mbarrier at an address, or null after Warp::fault. `async`: the
  /// asynchronous proxy will use it.
  BarrierObject *barrier(Warp &warp, const Instruction &at, uint32_t address,
                         unsigned lane, bool async);
  /// Completes transactions for a copy that `warp` has started; false after
  /// Block::fault.
  bool completeTransactions(Block &block, uint32_t line, uint32_t address,
                            SharedRange landed, uint32_t warp, uint32_t copy);
  /// Makes landed data readable if the phase is no longer `before`.
  void notePhase(Block &block, BarrierObject &barrier, uint32_t before);

  /// Steps that work may take at most; differs from block to block so that
  /// both eager and lazy hardware are seen.
  uint32_t latency;

  std::unordered_map<uint32_t, BarrierObject> barriers;
  /// Work that reads each 16-byte unit.
  std::vector<uint16_t> readers;
  /// Products of each warpgroup that some warp has not waited for, the first
  /// being number firstProduct.
  struct Warpgroup {
    std::vector<std::shared_ptr<WgmmaProduct>> products;
    uint64_t firstProduct = 0;
  };
  std::vector<Warpgroup> warpgroups;
  /// Registers that wgmma instructions of the kernel name, in order.
  std::vector<uint32_t> wgmmaRegisters;
};

/// Waits of cp.async: all of the lanes' copies of groups that are not among
/// their `pending` newest; with `all` also those not committed.
bool waitForCopies(Warp &warp, uint32_t mask, uint64_t pending, bool all);

/// Whether the lanes that run are all of the warp's and the warp is whole:
/// Next if so, else Blocked or, after Warp::fault, Fault.
Step requireWholeWarp(Warp &warp, const Instruction &at, uint32_t mask);

/// Opcodes; registerAsyncOpcodes() calls these.
void registerBarrierOpcodes();
void registerWarpgroupOpcodes();
/// For atEnd(): a product that was never waited for.
bool checkWarpgroupsAtEnd(Block &block, AsyncUnit &unit);

} // namespace moe::emu
#endif // MOE_EMULATOR_ASYNCCOPY_H
