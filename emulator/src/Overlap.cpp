//===- Overlap.cpp - Kernels that start before the one in front ends ------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Launches run one after another here. With programmatic stream serialisation
// (CUDA C++ Programming Guide, "Programmatic Dependent Launch and
// Synchronization") a GPU may start a kernel while the one in front still runs:
// until a lane has executed griddepcontrol.wait it must not look at what that
// one has written, nor write anything.
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include <algorithm>

using namespace moe::emu;

/// Written by kernels in front of the one that runs; by the latter itself.
enum : uint8_t { Earlier = 1, Now = 2 };

void GlobalMemory::startLaunch(bool overlaps, bool keepsEarlier) {
  for (auto &entry : allocations) {
    Allocation &a = *entry.second;
    if (!a.isUnsettled.exchange(false))
      continue;
    uint8_t left = 0;
    // No block runs meanwhile.
    for (std::atomic<uint8_t> &unit : a.unsettled) {
      uint8_t bits = unit.load(std::memory_order_relaxed), next = 0;
      if (overlaps)
        next = uint8_t(bits >> 1 | (keepsEarlier ? bits & Earlier : 0));
      unit.store(next, std::memory_order_relaxed);
      left |= next;
    }
    a.isUnsettled = left != 0;
  }
}

void moe::emu::markUnsettled(Allocation &a, uint64_t offset, uint64_t size) {
  for (uint64_t n = offset / Allocation::kSettled,
                last = (offset + size - 1) / Allocation::kSettled;
       n <= last; ++n) {
    uint8_t bits = a.unsettled[n].load(std::memory_order_relaxed);
    // Only this launch writes, and all that it writes is the same bit.
    if (!(bits & Now))
      a.unsettled[n].store(bits | Now, std::memory_order_relaxed);
  }
  if (!a.isUnsettled.load(std::memory_order_relaxed))
    a.isUnsettled.store(true, std::memory_order_relaxed);
}

bool moe::emu::checkUnsettled(Warp &w, const Instruction &at, unsigned lane,
                              bool writes, const Allocation &a, uint64_t offset,
                              uint64_t size) {
  const char *why = nullptr;
  if (writes)
    why = "writes global memory where the kernel in front may still be at work";
  for (uint64_t n = offset / Allocation::kSettled;
       !why && n <= (offset + size - 1) / Allocation::kSettled; ++n)
    if (a.unsettled[n].load(std::memory_order_relaxed) & Earlier)
      why = "reads what the kernel in front may not have written yet";
  if (!why)
    return true;
  w.fault(at, std::string(why) + ": there was no griddepcontrol.wait",
          int(lane));
  return false;
}

static Step executeWait(Warp &w, const Instruction &, uint32_t mask) {
  w.settled |= mask;
  return Step::Next;
}
/// What ran before this kernel may run beside the next one too.
static Step executeLaunch(Warp &w, const Instruction &, uint32_t mask) {
  w.block->statistics.startsNextEarly |= (mask & ~w.settled) != 0;
  return Step::Next;
}

bool moe::emu::decodeGridControl(const DecodeContext &c, Instruction &i) {
  bool waits = i.name.size() == 2 && i.name[1] == "wait";
  if (!waits && (i.name.size() != 2 || i.name[1] != "launch_dependents"))
    return c.fail("modifier ." + (i.name.size() > 1 ? i.name.back() : "") +
                  " is not emulated");
  if (!i.dst.empty() || !i.src.empty() || i.numAddresses)
    return c.fail("takes no operands");
  i.execute = waits ? executeWait : executeLaunch;
  return true;
}
