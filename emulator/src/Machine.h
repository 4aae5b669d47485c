//===- Machine.h - Programs and the machine that runs them ------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// PTX text is decoded once into instructions whose operands are rows of 32
// lanes; a warp executes an instruction on all its active lanes at a time.
#ifndef MOE_EMULATOR_MACHINE_H
#define MOE_EMULATOR_MACHINE_H
#include "Races.h"
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace moe::emu {

constexpr unsigned kLanes = 32;
/// A register: the low bits of each lane count, the others are zero.
struct Row {
  uint64_t lane[kLanes];
};

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

enum class Space : uint8_t { Generic, Global, Shared, Local, Const, Param };

enum class Kind : uint8_t { B, U, S, F, BF, Pred };
/// ".b32", ".f16x2", ...
struct Type {
  Kind kind = Kind::B;
  uint8_t bits = 0;  // of one element
  uint8_t count = 1; // 2: packed in one register
  unsigned bytes() const { return bits * count / 8; }
  bool operator==(const Type &o) const {
    return kind == o.kind && bits == o.bits && count == o.count;
  }
};

struct Operand {
  enum { None, Reg, Const, Pred, Label, Symbol, Sink } kind = None;
  /// Number of the register, of the row of constants, of the predicate, of the
  /// instruction, or of the variable.
  uint32_t index = 0;
  bool negated = false; // predicates
};

/// [base + offset]; base is a register, a variable or nothing.
struct Address {
  Operand base;
  int64_t offset = 0;
};

class Warp;
struct Instruction;
enum class Step : uint8_t {
  Next,    ///< go on behind it
  Blocked, ///< try again later, nothing has happened
  Jumped,  ///< the program counters are set
  Fault    ///< Warp::fault() has said why
};
using Execute = Step (*)(Warp &, const Instruction &, uint32_t mask);

struct Instruction {
  Execute execute = nullptr;
  uint32_t line = 0;
  Operand guard;                // @p
  std::vector<Operand> dst;     // vectors are spread
  std::vector<Operand> src;     // likewise, in the order of the text
  std::vector<unsigned> groups; // sizes of the source operands as written
  Address address[3];           // in the order of the text
  uint8_t numAddresses = 0;
  Space space = Space::Generic, space2 = Space::Generic;
  Type type, type2;              // first and second type modifier
  uint32_t extra[4] = {};        // for the handler
  std::vector<std::string> name; // "ld", "global", "v4", "f32"
  std::shared_ptr<void> data;    // for the handler
};

struct Variable {
  std::string name;
  Space space = Space::Global;
  uint64_t size = 0, alignment = 1;
  bool isExternal = false;
  std::vector<uint8_t> initial; // empty: zeros (global), undefined (shared)
  uint64_t address = 0;         // set by the loader
};

struct Parameter {
  std::string name;
  uint32_t offset = 0, size = 0, alignment = 1;
};

struct Kernel {
  std::string name;
  std::vector<Parameter> params;
  uint32_t paramBytes = 0;
  std::vector<Instruction> code;
  uint32_t numRegisters = 0, numPredicates = 0;
  std::vector<uint32_t> constants; // rows, as numbers in Program::constants
  uint32_t localBytes = 0;
  std::map<uint32_t, uint64_t> localOffsets; // variable -> offset
  uint32_t reqntid[3] = {0, 0, 0}, maxntid[3] = {0, 0, 0};
  uint32_t cluster[3] = {0, 0, 0};
  uint32_t staticShared = 0, sharedAlignment = 16;
  bool usesDynamicShared = false;
  std::map<uint32_t, uint32_t> sharedOffsets; // variable -> offset
};

struct Program {
  std::string target; // "sm_90a"
  unsigned arch = 0;  // 90
  unsigned version = 0;
  std::vector<Variable> variables;
  std::vector<std::unique_ptr<Kernel>> kernels;
  std::vector<std::unique_ptr<Row>> constants; // never move
  std::string text;
  std::vector<uint32_t> lineStarts;
  /// Line `number` (from 1) as reports show it.
  std::string line(uint32_t number) const;
  Kernel *find(const std::string &name) const;
};

/// Parses and decodes. Null, with "line N: ..." in `error`, for anything that
/// is not understood to the last modifier.
std::unique_ptr<Program> parseProgram(const char *text, size_t size,
                                      std::string &error);

/// Names of opcodes; each decoder checks all modifiers and sets `execute`.
/// Returns false and says why in `error`.
struct DecodeContext {
  const Program *program;
  Kernel *kernel;
  std::string *error;
  bool fail(const std::string &text) const {
    *error = text;
    return false;
  }
};
using Decode = bool (*)(const DecodeContext &, Instruction &);
void registerOpcode(const char *name, Decode decode);
Decode findOpcode(const std::string &name);
void registerScalarOpcodes();
void registerMemoryOpcodes();
void registerMatrixOpcodes();
void registerAsyncOpcodes();

/// ".f32" without the dot.
bool parseType(const std::string &text, Type &type);

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Shadow bits of a byte.
enum : uint8_t {
  Initialized = 1,
  /// A copy that has not been waited for will write it.
  InFlight = 2,
  /// Written by ordinary stores; Block::writers says when.
  GenericWrite = 4,
  /// Work in flight will still read it.
  AsyncRead = 8,
  /// Part of an mbarrier: only for the instructions of mbarriers.
  BarrierByte = 16
};

struct Allocation {
  uint64_t base = 0, size = 0;
  std::vector<uint8_t> data, shadow;
  /// Of so many bytes each: whether kernels that may still run have written
  /// there; see Overlap.cpp.
  static constexpr uint64_t kSettled = 16;
  std::vector<std::atomic<uint8_t>> unsettled;
  std::atomic<bool> isUnsettled{false}; // any of them is
  /// Of the launch that runs, once it has written here; see Races.h.
  std::atomic<RacePages *> pages{nullptr};
};

class GlobalMemory {
public:
  explicit GlobalMemory(uint64_t limit) : limit(limit) {}
  /// 0 if there is no room.
  uint64_t allocate(uint64_t size);
  bool release(uint64_t base);
  /// The allocation that holds [address, address + size), or null.
  Allocation *find(uint64_t address, uint64_t size);
  /// Before each launch. `overlaps`: the kernel in front may still run, with
  /// `keepsEarlier` those before it too.
  void startLaunch(bool overlaps, bool keepsEarlier);
  uint64_t used = 0, limit;
  std::mutex atomics;

private:
  std::map<uint64_t, std::unique_ptr<Allocation>> allocations;
  uint64_t next = 0x7e0000000000;
};

constexpr uint64_t kSharedWindow = 0x7c0000000000,
                   kLocalWindow = 0x7b0000000000, kParamWindow = 0x7a0000000000;
constexpr uint64_t kWindowSize = 1ull << 32;
/// Shared memory starts here, so that address 0 is never valid.
constexpr uint32_t kSharedBase = 1024;

//===----------------------------------------------------------------------===//
// The machine
//===----------------------------------------------------------------------===//

struct Statistics {
  uint64_t warpInstructions = 0, laneInstructions = 0;
  uint64_t sharedPasses = 0, bankConflicts = 0;
  /// A lane let the next kernel start without having waited for the one in
  /// front.
  bool startsNextEarly = false;
};

struct Launch {
  const Program *program = nullptr;
  const Kernel *kernel = nullptr;
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  uint32_t dynamicShared = 0;
  std::vector<uint8_t> params;
  GlobalMemory *memory = nullptr;
  uint64_t seed = 0;
  /// Warp instructions until a kernel counts as endless.
  uint64_t budget = 20'000'000'000ull;
  unsigned threads = 1;
  /// Look for accesses to shared and global memory that nothing orders.
  bool findRaces = true;
  /// It may start before the one in front of it has ended.
  bool overlaps = false;
  /// One per instruction of the kernel, true once a lane has run it; may be
  /// null.
  std::atomic<bool> *executed = nullptr;
};

/// Gives the variables of the module their places, before the first launch.
bool placeVariables(Program &program, GlobalMemory &memory, std::string &error);

/// Shared memory that a block can have, static and dynamic.
uint32_t maxSharedBytes(unsigned arch);

/// Bytes that the registers and the local memory of one block may take here,
/// and what they take.
constexpr uint64_t kMaxStateBytes = 1ull << 30;
uint64_t stateBytes(const Launch &launch);

/// What the driver refuses: grids, blocks and shared memory beyond the limits
/// of the device or of the kernel's directives, too few parameters.
bool checkLaunch(const Launch &launch, std::string &error);

/// Runs all blocks. False, and what happened where in `report`, on a fault.
bool runLaunch(const Launch &launch, Statistics &statistics,
               std::string &report);

class Block;

/// Rows of special registers; they follow a kernel's own.
constexpr unsigned kNumSpecial = 24;

/// Threads of a warp that are at the same place.
struct Group {
  uint32_t pc = 0, mask = 0;
  bool blocked = false;
};

/// Work under way for a thread or a block; derived classes are in the files of
/// the units. Completion happens at some later step, or when waited for.
struct AsyncWork {
  virtual ~AsyncWork() = default;
  /// Carries it out; false after Block::fault.
  virtual bool complete(Block &block) = 0;
  /// Not before this many steps of the block.
  uint64_t readyAt = 0;
  uint32_t line = 0;
  bool done = false;
};

class Warp {
public:
  Block *block = nullptr;
  unsigned number = 0;
  uint32_t live = 0;                     // lanes that have not exited
  std::vector<Group> groups;             // ascending pc
  std::unique_ptr<uint64_t[]> registers; // numRegisters rows
  std::vector<uint32_t> predicates;
  std::vector<uint8_t> local, localShadow; // lanes one after another
  /// Tests of a barrier that found it incomplete since the last progress.
  uint64_t failedWaits = 0;
  /// Cannot go on until something else happens.
  bool isStuck = false;
  /// Set by a handler: let another warp run.
  bool yield = false;
  uint32_t current = 0; // number of the group that runs
  Allocation *recent = nullptr;
  uint32_t settled = ~0u; // lanes that need not wait for earlier kernels
  Row symbols[16];
  unsigned nextSymbol = 0;
  // Named barrier that this warp waits at.
  int waitingAt = -1;
  uint64_t waitingGeneration = 0;
  bool barrierAll = false, barrierAny = false; // what bar.red found
  uint32_t barrierCount = 0;
  /// What the asynchronous instructions keep for this warp, made on first use.
  std::shared_ptr<void> unit;
  /// For every register whether a wgmma in flight owns it; null: none does.
  const uint8_t *inFlight = nullptr;

  /// Lanes of a register or constant.
  uint64_t *row(const Operand &o);
  uint32_t predicate(const Operand &o) {
    uint32_t bits = predicates[o.index];
    return o.negated ? ~bits : bits;
  }
  /// Says what went wrong; the launch ends.
  Step fault(const Instruction &at, const std::string &text, int lane = -1);

  /// Address of one lane, window and space resolved: exactly one of the
  /// pointers of the result is set. Checks bounds and alignment.
  struct Place {
    uint8_t *data = nullptr, *shadow = nullptr;
    Space space = Space::Global;
    uint32_t sharedAddress = 0;
    Allocation *allocation = nullptr; // of global memory
    uint64_t offset() const {         // in it
      return uint64_t(data - allocation->data.data());
    }
  };
  bool resolve(const Instruction &at, Space space, uint64_t address,
               unsigned size, unsigned lane, Place &place);
  /// Value of [base + offset] for each lane.
  void addresses(const Instruction &at, unsigned which, uint32_t mask,
                 uint64_t *out);
};

/// What the asynchronous instructions keep for a block.
struct BlockUnit {
  virtual ~BlockUnit() = default;
  /// After the last warp has exited; false after Block::fault.
  virtual bool atEnd(Block &block) = 0;
  /// For reports of deadlocks: lines that start with "\n    ".
  virtual std::string describe() const = 0;
};

class Block {
public:
  const Launch *launch = nullptr;
  uint32_t id[3] = {0, 0, 0};
  std::vector<uint8_t> shared, sharedShadow; // from address 0 on
  /// Of every 16 bytes with GenericWrite: the warp that stored last, and in
  /// which step. The asynchronous proxy sees what was stored before a
  /// fence.proxy.async of that warp which the one that starts the read knows
  /// of, or before one of the latter's own.
  struct Writer {
    uint32_t warp = 0;
    uint64_t step = 0;
  };
  std::vector<Writer> writers;
  /// The fence.proxy.async of every warp: when, by the steps of the block and
  /// by the clock of RaceDetector.
  struct ProxyFence {
    uint64_t step = 0;
    uint32_t clock = 0;
  };
  std::vector<std::vector<ProxyFence>> proxyFences;
  std::vector<std::unique_ptr<Warp>> warps;
  Statistics statistics;
  uint64_t steps = 0, progress = 0;
  uint64_t random = 1;
  std::vector<std::shared_ptr<AsyncWork>> pending;
  std::string report;
  /// Null: races are not looked for.
  std::unique_ptr<RaceDetector> races;
  /// False on targets without an asynchronous proxy.
  bool tracksProxies = false;
  struct NamedBarrier {
    uint32_t arrived = 0, expected = 0, predicateCount = 0;
    bool all = true, any = false;
    uint64_t generation = 0;
  } barriers[16];
  /// Made on first use.
  std::unique_ptr<BlockUnit> asyncUnit;

  uint32_t nextRandom(uint32_t below) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return uint32_t((random >> 16) % below);
  }
  void enqueue(std::shared_ptr<AsyncWork> work, uint32_t line,
               uint32_t longest = 400) {
    work->readyAt = steps + nextRandom(longest);
    work->line = line;
    pending.push_back(std::move(work));
  }
  /// A fault outside of any instruction (asynchronous work).
  bool fault(uint32_t line, const std::string &text);
  bool run();

private:
  bool runWarp(Warp &warp, unsigned quantum);
  bool completeSome(bool force);
  std::string describeWarps() const;
};

/// "0x1f", as addresses are shown.
std::string hex(uint64_t value);

/// Checks of `size` bytes at a place, and what a store leaves behind. False
/// after Warp::fault.
bool checkReadable(Warp &warp, const Instruction &at, const Warp::Place &place,
                   unsigned size, unsigned lane, Access access = Access::Read);
bool checkWritable(Warp &warp, const Instruction &at, const Warp::Place &place,
                   unsigned size, unsigned lane, Access access = Access::Write);
/// The same for launches that overlap; `writes`: what the access does.
bool checkUnsettled(Warp &warp, const Instruction &at, unsigned lane,
                    bool writes, const Allocation &allocation, uint64_t offset,
                    uint64_t size);
inline bool checkSettled(Warp &warp, const Instruction &at, unsigned lane,
                         bool writes, const Allocation &allocation,
                         uint64_t offset, uint64_t size) {
  return warp.settled >> lane & 1 ||
         checkUnsettled(warp, at, lane, writes, allocation, offset, size);
}
void markUnsettled(Allocation &allocation, uint64_t offset, uint64_t size);
bool decodeGridControl(const DecodeContext &c, Instruction &i);
void markWritten(Warp &warp, const Warp::Place &place, unsigned size);
/// Counts the passes over shared memory's banks.
void countBanks(Warp &warp, const uint64_t *addresses, uint32_t mask,
                unsigned bytes);
/// fence.proxy.async and fence.mbarrier_init make the mbarriers that these
/// lanes made visible to the asynchronous proxy.
void publishBarriers(Warp &warp, uint32_t mask);

/// Float conversions that no C++ type has.
float halfToFloat(uint16_t bits);
uint16_t floatToHalf(float value); // nearest even
inline float bfloatToFloat(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, 4);
  return value;
}
uint16_t floatToBfloat(float value); // nearest even

} // namespace moe::emu
#endif // MOE_EMULATOR_MACHINE_H
