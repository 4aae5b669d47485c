//===- Machine.cpp - Blocks, warps and their memory -----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

using namespace moe::emu;

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

uint64_t GlobalMemory::allocate(uint64_t size) {
  if (size == 0 || size > limit || used > limit - size)
    return 0;
  auto made = std::make_unique<Allocation>();
  made->base = next;
  made->size = size;
  made->data.resize(size);
  made->shadow.resize(size);
  made->unsettled =
      std::vector<std::atomic<uint8_t>>(size / Allocation::kSettled + 1);
  used += size;
  // Nothing lies directly behind an allocation, so that an overrun is seen.
  next += (size + 4096 + 511) & ~uint64_t(511);
  uint64_t base = made->base;
  allocations.emplace(base, std::move(made));
  return base;
}

bool GlobalMemory::release(uint64_t base) {
  auto found = allocations.find(base);
  if (found == allocations.end())
    return false;
  used -= found->second->size;
  allocations.erase(found);
  return true;
}

Allocation *GlobalMemory::find(uint64_t address, uint64_t size) {
  auto found = allocations.upper_bound(address);
  if (found == allocations.begin())
    return nullptr;
  Allocation *a = std::prev(found)->second.get();
  uint64_t offset = address - a->base;
  return offset <= a->size && size <= a->size - offset ? a : nullptr;
}

//===----------------------------------------------------------------------===//
// Warps
//===----------------------------------------------------------------------===//

uint64_t *Warp::row(const Operand &o) {
  if (o.kind == Operand::Reg) {
    if (inFlight && inFlight[o.index])
      fault(block->launch->kernel->code[groups[current].pc],
            "uses a register of a wgmma that has not been waited for");
    return &registers[size_t(o.index) * kLanes];
  }
  if (o.kind == Operand::Const)
    return block->launch->program->constants[o.index]->lane;
  // The address of a variable, the same in all lanes.
  const Launch &launch = *block->launch;
  uint64_t value = 0;
  if (o.kind == Operand::Symbol && ~o.index < launch.kernel->params.size()) {
    value = launch.kernel->params[~o.index].offset;
  } else if (o.kind == Operand::Symbol &&
             o.index < launch.program->variables.size()) {
    const Variable &v = launch.program->variables[o.index];
    if (v.space == Space::Shared)
      value = launch.kernel->sharedOffsets.at(o.index);
    else if (v.space == Space::Local)
      value = launch.kernel->localOffsets.at(o.index);
    else
      value = v.address;
  }
  // An instruction has few operands; their rows must not be the same one.
  Row &row = symbols[nextSymbol++ % 16];
  for (uint64_t &lane : row.lane)
    lane = value;
  return row.lane;
}

Step Warp::fault(const Instruction &at, const std::string &text, int lane) {
  if (!block->report.empty())
    return Step::Fault;
  const Launch &launch = *block->launch;
  std::string &r = block->report;
  r = "kernel " + launch.kernel->name + ", block (" +
      std::to_string(block->id[0]) + ", " + std::to_string(block->id[1]) +
      ", " + std::to_string(block->id[2]) + "), warp " + std::to_string(number);
  if (lane >= 0)
    r += ", lane " + std::to_string(lane);
  r += ", line " + std::to_string(at.line) + ": " + text;
  std::string source = launch.program->line(at.line);
  if (!source.empty())
    r += "\n    " + source;
  return Step::Fault;
}

std::string moe::emu::hex(uint64_t value) {
  char text[32];
  snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
  return text;
}

bool Warp::resolve(const Instruction &at, Space space, uint64_t address,
                   unsigned size, unsigned lane, Place &place) {
  if (space == Space::Generic) {
    if (address - kSharedWindow < kWindowSize) {
      space = Space::Shared;
      address -= kSharedWindow;
    } else if (address - kParamWindow < kWindowSize) {
      space = Space::Param;
      address -= kParamWindow;
    } else if (address - kLocalWindow < kWindowSize) {
      space = Space::Local;
      address -= kLocalWindow;
    } else {
      space = Space::Global;
    }
  }
  if (address % size) {
    fault(at,
          "address " + hex(address) + " is not a multiple of " +
              std::to_string(size),
          int(lane));
    return false;
  }
  place.space = space;
  if (space == Space::Param) {
    uint64_t bytes = block->launch->params.size();
    if (address > bytes || size > bytes - address) {
      fault(at, "parameter address " + hex(address) + " is out of bounds",
            int(lane));
      return false;
    }
    place.data = const_cast<uint8_t *>(&block->launch->params[address]);
    place.shadow = nullptr;
    return true;
  }
  if (space == Space::Shared) {
    uint64_t end = block->shared.size();
    if (address < kSharedBase || address > end || size > end - address) {
      fault(at,
            "shared address " + hex(address) + " is out of bounds, [" +
                hex(kSharedBase) + ", " + hex(end) + ") is there",
            int(lane));
      return false;
    }
    place.sharedAddress = uint32_t(address);
    place.data = &block->shared[address];
    place.shadow = &block->sharedShadow[address];
    return true;
  }
  if (space == Space::Local) {
    uint64_t bytes = block->launch->kernel->localBytes;
    if (address > bytes || size > bytes - address) {
      fault(at, "local address " + hex(address) + " is out of bounds",
            int(lane));
      return false;
    }
    place.data = &local[lane * bytes + address];
    place.shadow = &localShadow[lane * bytes + address];
    return true;
  }
  // The last allocation is most likely the next one.
  Allocation *a = recent;
  if (!a || address < a->base || address - a->base > a->size ||
      size > a->size - (address - a->base)) {
    a = block->launch->memory->find(address, size);
    if (!a) {
      fault(at,
            "global address " + hex(address) + " (" + std::to_string(size) +
                " bytes) is in no allocation",
            int(lane));
      return false;
    }
    recent = a;
  }
  place.allocation = a;
  place.data = &a->data[address - a->base];
  place.shadow = &a->shadow[address - a->base];
  return true;
}

void Warp::addresses(const Instruction &at, unsigned which, uint32_t,
                     uint64_t *out) {
  const Address &a = at.address[which];
  if (a.base.kind == Operand::None) {
    for (unsigned l = 0; l < kLanes; ++l)
      out[l] = uint64_t(a.offset);
    return;
  }
  const uint64_t *base = row(a.base);
  // Shared addresses may come in 32-bit registers.
  Space space = which ? at.space2 : at.space;
  uint64_t keep = space == Space::Shared ? 0xffffffff : ~uint64_t(0);
  for (unsigned l = 0; l < kLanes; ++l)
    out[l] = (base[l] + uint64_t(a.offset)) & keep;
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

std::string Program::line(uint32_t number) const {
  if (number == 0 || number > lineStarts.size())
    return "";
  size_t start = lineStarts[number - 1], end = number < lineStarts.size()
                                                   ? lineStarts[number] - 1
                                                   : text.size();
  while (start < end && (text[start] == ' ' || text[start] == '\t'))
    ++start;
  while (end > start && (text[end - 1] == '\r' || text[end - 1] == ' '))
    --end;
  return end - start > 200 ? text.substr(start, 200) + "..."
                           : text.substr(start, end - start);
}

bool Block::fault(uint32_t line, const std::string &text) {
  if (report.empty()) {
    Instruction at;
    at.line = line;
    Warp none;
    none.block = this;
    none.fault(at, text);
  }
  return false;
}

std::string Block::describeWarps() const {
  std::string text;
  size_t count = 0;
  for (const auto &warp : warps)
    for (const Group &group : warp->groups) {
      if (++count > 64)
        continue;
      bool isEnd = group.pc >= launch->kernel->code.size();
      uint32_t line = isEnd ? 0 : launch->kernel->code[group.pc].line;
      text += "\n    warp " + std::to_string(warp->number) + ", lanes " +
              hex(group.mask) + ", line " + std::to_string(line) + ": " +
              launch->program->line(line);
    }
  if (count > 64)
    text += "\n    and " + std::to_string(count - 64) + " more";
  if (asyncUnit)
    text += asyncUnit->describe();
  return text;
}

bool Block::completeSome(bool force) {
  if (pending.empty())
    return false;
  // The order among what is ready is as random as the times are.
  bool any = false;
  size_t soonest = 0;
  for (size_t i = 0; i < pending.size(); ++i)
    if (pending[i]->readyAt < pending[soonest]->readyAt)
      soonest = i;
  if (force || pending[soonest]->readyAt <= steps) {
    auto work = pending[soonest];
    pending[soonest] = pending.back();
    pending.pop_back();
    if (!work->done) {
      work->done = true;
      if (!work->complete(*this))
        return false;
    }
    ++progress;
    any = true;
  }
  return any;
}

/// Merges groups that have met and keeps them in ascending order.
static void arrange(std::vector<Group> &groups) {
  std::sort(groups.begin(), groups.end(),
            [](const Group &a, const Group &b) { return a.pc < b.pc; });
  size_t kept = 0;
  for (size_t i = 1; i < groups.size(); ++i) {
    if (groups[i].pc == groups[kept].pc) {
      groups[kept].mask |= groups[i].mask;
      groups[kept].blocked = false;
    } else {
      groups[++kept] = groups[i];
    }
  }
  if (!groups.empty())
    groups.resize(kept + 1);
}

bool Block::runWarp(Warp &warp, unsigned quantum) {
  const std::vector<Instruction> &code = launch->kernel->code;
  for (unsigned n = 0; n < quantum && !warp.groups.empty(); ++n) {
    // The group that is furthest behind runs, so that others can be met.
    size_t current = 0;
    while (current < warp.groups.size() && warp.groups[current].blocked)
      ++current;
    if (current == warp.groups.size()) {
      for (Group &group : warp.groups)
        group.blocked = false;
      return true;
    }
    Group &group = warp.groups[current];
    if (group.pc >= code.size()) {
      Instruction end;
      end.line = code.back().line;
      warp.fault(end, "control runs past the end of the kernel");
      return false;
    }
    const Instruction &i = code[group.pc];
    uint32_t mask = group.mask;
    ++steps;
    ++statistics.warpInstructions;
    warp.current = uint32_t(current);
    if (i.guard.kind != Operand::None)
      mask &= warp.predicate(i.guard);
    statistics.laneInstructions += uint64_t(__builtin_popcount(mask));
    if (launch->executed && mask)
      launch->executed[group.pc].store(true, std::memory_order_relaxed);
    Step step = mask ? i.execute(warp, i, mask) : Step::Next;
    switch (step) {
    case Step::Next:
      if (warp.groups.size() > 1) {
        ++warp.groups[current].pc;
        if (current + 1 < warp.groups.size() &&
            warp.groups[current].pc >= warp.groups[current + 1].pc)
          arrange(warp.groups);
      } else {
        ++warp.groups[0].pc;
      }
      break;
    case Step::Blocked:
      --statistics.warpInstructions;
      warp.groups[current].blocked = true;
      break;
    case Step::Jumped:
      arrange(warp.groups);
      break;
    case Step::Fault:
      return false;
    }
    if (step != Step::Blocked && warp.yield) {
      warp.yield = false;
      // Lanes that spin must not hold back the others of their warp.
      if (warp.groups.size() > 1)
        for (Group &spinning : warp.groups)
          spinning.blocked |= (spinning.mask & mask) != 0;
      return true;
    }
  }
  return true;
}

bool Block::run() {
  std::vector<Warp *> order;
  for (const auto &warp : warps)
    order.push_back(warp.get());
  uint64_t idle = 0, seen = 0;
  while (!order.empty()) {
    if (statistics.warpInstructions > launch->budget) {
      fault(0, "the kernel has not ended after " +
                   std::to_string(launch->budget) + " warp instructions" +
                   describeWarps());
      return false;
    }
    completeSome(false);
    if (!report.empty())
      return false;
    size_t pick = order.size() == 1 ? 0 : nextRandom(uint32_t(order.size()));
    Warp &warp = *order[pick];
    uint64_t before = statistics.warpInstructions;
    unsigned quantum = order.size() == 1 ? 256 : 8 + nextRandom(120);
    if (!runWarp(warp, quantum))
      return false;
    if (warp.groups.empty()) {
      order[pick] = order.back();
      order.pop_back();
      ++progress;
      continue;
    }
    // Spinning on a barrier that nobody completes runs instructions too; only
    // what changes the world counts.
    if (progress != seen) {
      seen = progress;
      idle = 0;
      for (Warp *w : order)
        w->failedWaits = 0;
      continue;
    }
    bool moved = statistics.warpInstructions != before;
    warp.isStuck = !moved;
    if (moved && warp.failedWaits == 0)
      continue;
    if (++idle > 64 * order.size()) {
      bool all = true;
      for (Warp *w : order)
        all &= w->failedWaits > 0 || w->isStuck;
      if (!all)
        continue;
      if (completeSome(true))
        continue;
      if (!report.empty())
        return false;
      bool spins = false;
      for (Warp *w : order)
        spins |= w->failedWaits > 0;
      Instruction at = launch->kernel->code[order[0]->groups[0].pc];
      order[0]->fault(at, std::string(spins ? "livelock" : "deadlock") +
                              ": no warp can go on" + describeWarps());
      return false;
    }
  }
  if (asyncUnit && !asyncUnit->atEnd(*this))
    return false;
  // What is still under way must not touch memory that is no longer there.
  while (!pending.empty())
    if (!completeSome(true))
      break;
  return report.empty();
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

static void fillSpecial(Warp &warp, const Launch &launch) {
  const Kernel &kernel = *launch.kernel;
  uint32_t shared = uint32_t(warp.block->shared.size()) - kSharedBase;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    uint32_t thread = warp.number * kLanes + lane;
    uint64_t values[] = {thread % launch.block[0],
                         thread / launch.block[0] % launch.block[1],
                         thread / launch.block[0] / launch.block[1],
                         launch.block[0],
                         launch.block[1],
                         launch.block[2],
                         warp.block->id[0],
                         warp.block->id[1],
                         warp.block->id[2],
                         launch.grid[0],
                         launch.grid[1],
                         launch.grid[2],
                         lane,
                         warp.number,
                         1u << lane,
                         (1u << lane) - 1,
                         (2u << lane) - 1,
                         ~((2u << lane) - 1),
                         ~((1u << lane) - 1),
                         0, // a block is alone in its cluster
                         warp.block->id[0],
                         warp.block->id[0],
                         launch.dynamicShared,
                         shared};
    for (unsigned i = 0; i < sizeof values / sizeof *values; ++i)
      warp.registers[(kernel.numRegisters + i) * size_t(kLanes) + lane] =
          values[i] & 0xffffffff;
  }
}

static bool runBlock(const Launch &launch, uint64_t index, GlobalRaces *races,
                     Statistics &total, std::string &report) {
  const Kernel &kernel = *launch.kernel;
  Block block;
  block.launch = &launch;
  block.tracksProxies = launch.program->arch >= 90;
  block.id[0] = uint32_t(index % launch.grid[0]);
  block.id[1] = uint32_t(index / launch.grid[0] % launch.grid[1]);
  block.id[2] = uint32_t(index / launch.grid[0] / launch.grid[1]);
  uint64_t seed = (launch.seed + 1) * 0x9e3779b97f4a7c15ull ^
                  (index + 1) * 0xbf58476d1ce4e5b9ull;
  block.random = seed ? seed : 1;
  uint64_t shared = kSharedBase + kernel.staticShared;
  if (kernel.usesDynamicShared) {
    shared = (shared + kernel.sharedAlignment - 1) &
             ~uint64_t(kernel.sharedAlignment - 1);
    shared += launch.dynamicShared;
  }
  block.shared.resize(shared);
  block.sharedShadow.resize(shared);
  if (block.tracksProxies)
    block.writers.resize(shared / 16 + 1);
  uint32_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  for (uint32_t first = 0; first < threads; first += kLanes) {
    auto warp = std::make_unique<Warp>();
    warp->block = &block;
    warp->number = first / kLanes;
    uint32_t count = std::min(threads - first, kLanes);
    warp->live = count == 32 ? ~0u : (1u << count) - 1;
    warp->groups.push_back({0, warp->live, false});
    size_t rows = kernel.numRegisters + kNumSpecial;
    warp->registers = std::make_unique<uint64_t[]>(rows * kLanes);
    warp->predicates.resize(kernel.numPredicates);
    warp->local.resize(size_t(kernel.localBytes) * kLanes);
    warp->localShadow.resize(warp->local.size());
    fillSpecial(*warp, launch);
    block.warps.push_back(std::move(warp));
  }
  if (launch.overlaps)
    for (auto &warp : block.warps)
      warp->settled = 0;
  block.proxyFences.resize(block.warps.size());
  if (launch.findRaces)
    block.races = std::make_unique<RaceDetector>(unsigned(block.warps.size()),
                                                 block.shared.size(), races,
                                                 uint32_t(index));
  bool ok = block.run();
  total.warpInstructions += block.statistics.warpInstructions;
  total.laneInstructions += block.statistics.laneInstructions;
  total.sharedPasses += block.statistics.sharedPasses;
  total.bankConflicts += block.statistics.bankConflicts;
  total.startsNextEarly |= block.statistics.startsNextEarly;
  if (!ok)
    report = block.report;
  return ok;
}

bool moe::emu::runLaunch(const Launch &launch, Statistics &statistics,
                         std::string &report) {
  uint64_t blocks = uint64_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  unsigned count =
      unsigned(std::min<uint64_t>(std::max(launch.threads, 1u), blocks));
  // Few blocks at a time where each is large.
  uint64_t fit = kMaxStateBytes / std::max<uint64_t>(stateBytes(launch), 1);
  if (fit == 0) {
    report = "kernel " + launch.kernel->name +
             ": its registers and local memory are too large";
    return false;
  }
  count = unsigned(std::min<uint64_t>(count, fit));
  std::unique_ptr<GlobalRaces> races;
  uint32_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  if (launch.findRaces && blocks < ~uint32_t(0))
    races = std::make_unique<GlobalRaces>((threads + kLanes - 1) / kLanes,
                                          /*isParallel=*/count > 1);
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  uint64_t failedBlock = ~uint64_t(0);
  auto work = [&] {
    Statistics mine;
    for (;;) {
      uint64_t index = next++;
      if (index >= blocks || failed)
        break;
      // Blocks have no order; half of the schedules begin with the last, so
      // that of two that race each comes first in some.
      if (launch.seed % 2)
        index = blocks - 1 - index;
      std::string why;
      if (!runBlock(launch, index, races.get(), mine, why)) {
        std::lock_guard<std::mutex> lock(mutex);
        failed = true;
        // The lowest of those that failed: nearly always the same one.
        if (index < failedBlock) {
          failedBlock = index;
          report = why;
        }
      }
    }
    std::lock_guard<std::mutex> lock(mutex);
    statistics.warpInstructions += mine.warpInstructions;
    statistics.laneInstructions += mine.laneInstructions;
    statistics.sharedPasses += mine.sharedPasses;
    statistics.bankConflicts += mine.bankConflicts;
    statistics.startsNextEarly |= mine.startsNextEarly;
  };
  std::vector<std::thread> helpers;
  for (unsigned i = 1; i < count; ++i)
    helpers.emplace_back(work);
  work();
  for (std::thread &helper : helpers)
    helper.join();
  return !failed;
}

//===----------------------------------------------------------------------===//
// Narrow floats
//===----------------------------------------------------------------------===//

float moe::emu::halfToFloat(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31,
           fraction = bits & 1023, wide;
  if (exponent == 31)
    wide = sign | 0x7f800000 | fraction << 13;
  else if (exponent)
    wide = sign | (exponent + 112) << 23 | fraction << 13;
  else {
    float value = float(fraction) * 0x1p-24f;
    memcpy(&wide, &value, 4);
    wide |= sign;
  }
  float value;
  memcpy(&value, &wide, 4);
  return value;
}

uint16_t moe::emu::floatToHalf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000)
    return 0x7fff; // the canonical NaN
  if (bits >= 0x477ff000)
    return uint16_t(sign | 0x7c00);
  if (bits < 0x38800000) {
    // Subnormal: let the addition round.
    float magic = 0.5f, x;
    memcpy(&x, &bits, 4);
    x += magic;
    uint32_t sum;
    memcpy(&sum, &x, 4);
    return uint16_t(sign | (sum - 0x3f000000));
  }
  uint32_t odd = bits >> 13 & 1;
  return uint16_t(sign | ((bits + 0xfff + odd - 0x38000000) >> 13));
}

uint16_t moe::emu::floatToBfloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return 0x7fff;
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
