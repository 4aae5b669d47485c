//===- MemoryOps.cpp - Loads, stores, atomics and fences ------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Lanes.h"
#include "Matrix.h"
#include <cmath>

using namespace moe::emu;

void moe::emu::countBanks(Warp &w, const uint64_t *addresses, uint32_t mask,
                          unsigned bytes) {
  uint32_t narrow[kLanes];
  for (unsigned l = 0; l < kLanes; ++l)
    narrow[l] = uint32_t(addresses[l]);
  BankUse use = countBankPasses(narrow, mask, bytes);
  w.block->statistics.sharedPasses += use.passes;
  w.block->statistics.bankConflicts += use.conflicts;
}

/// Fails where bytes to be read are not there.
bool moe::emu::checkReadable(Warp &w, const Instruction &i,
                             const Warp::Place &place, unsigned size,
                             unsigned lane, Access access) {
  if (!place.shadow)
    return true;
  uint8_t all = 0xff, any = 0;
  for (unsigned n = 0; n < size; ++n)
    all &= place.shadow[n], any |= place.shadow[n];
  const char *where = place.space == Space::Shared  ? "shared"
                      : place.space == Space::Local ? "local"
                                                    : "global";
  if (any & BarrierByte) {
    w.fault(i, "reads an mbarrier as if it were data", int(lane));
    return false;
  }
  if (any & InFlight) {
    w.fault(i,
            std::string("reads ") + where +
                " memory that a copy in flight will write",
            int(lane));
    return false;
  }
  if (!(all & Initialized)) {
    w.fault(i, std::string("reads ") + where + " memory that nothing wrote",
            int(lane));
    return false;
  }
  if (place.allocation &&
      !checkSettled(w, i, lane, /*writes=*/false, *place.allocation,
                    place.offset(), size))
    return false;
  RaceDetector *races = w.block->races.get();
  if (!races)
    return true;
  if (place.space == Space::Shared)
    return races->read(w, i, lane, place.sharedAddress, size);
  // An atomic is looked at where it writes.
  const Allocation *a = place.allocation;
  if (!a || !a->pages.load(std::memory_order_acquire) ||
      access == Access::StrongWrite)
    return true;
  return races->accessGlobal(access, w, i, lane, *place.allocation,
                             place.offset(), size);
}
bool moe::emu::checkWritable(Warp &w, const Instruction &i,
                             const Warp::Place &place, unsigned size,
                             unsigned lane, Access access) {
  if (!place.shadow) {
    w.fault(i, "writes a parameter", int(lane));
    return false;
  }
  uint8_t any = 0;
  for (unsigned n = 0; n < size; ++n)
    any |= place.shadow[n];
  if (any & BarrierByte) {
    w.fault(i, "overwrites an mbarrier", int(lane));
    return false;
  }
  if (any & AsyncRead) {
    w.fault(i, "writes shared memory that work in flight still reads",
            int(lane));
    return false;
  }
  if (any & InFlight) {
    w.fault(i, "writes memory that a copy in flight will write", int(lane));
    return false;
  }
  if (place.allocation &&
      !checkSettled(w, i, lane, /*writes=*/true, *place.allocation,
                    place.offset(), size))
    return false;
  RaceDetector *races = w.block->races.get();
  if (!races)
    return true;
  if (place.space == Space::Shared)
    return races->write(w, i, lane, place.sharedAddress, size);
  return !place.allocation ||
         races->accessGlobal(access, w, i, lane, *place.allocation,
                             place.offset(), size);
}
void moe::emu::markWritten(Warp &w, const Warp::Place &place, unsigned size) {
  uint8_t bits = Initialized;
  if (place.allocation)
    markUnsettled(*place.allocation, place.offset(), size);
  if (place.space == Space::Shared) {
    Block &block = *w.block;
    if (block.tracksProxies) {
      bits |= GenericWrite;
      for (uint32_t at = place.sharedAddress / 16,
                    last = (place.sharedAddress + size - 1) / 16;
           at <= last; ++at)
        block.writers[at] = {w.number, block.steps};
    }
  }
  for (unsigned n = 0; n < size; ++n)
    place.shadow[n] = bits;
}

static Step executeLoad(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t at[kLanes];
  w.addresses(i, 0, mask, at);
  unsigned bytes = i.type.bytes(), count = unsigned(i.dst.size());
  if (i.space == Space::Shared)
    countBanks(w, at, mask, bytes * count);
  uint64_t *rows[16];
  for (unsigned n = 0; n < count; ++n)
    rows[n] = i.dst[n].kind == Operand::Sink ? nullptr : w.row(i.dst[n]);
  bool sign = i.type.kind == Kind::S && bytes < 8;
  unsigned shift = 64 - 8 * bytes;
  bool ok = true;
  forLanes(mask, [&](unsigned l) {
    Warp::Place place;
    if (!ok || !w.resolve(i, i.space, at[l], bytes * count, l, place) ||
        !checkReadable(w, i, place, bytes * count, l, Access(i.extra[0]))) {
      ok = false;
      return;
    }
    for (unsigned n = 0; n < count; ++n) {
      uint64_t value = 0;
      memcpy(&value, place.data + n * bytes, bytes);
      if (sign)
        value = uint64_t(int64_t(value << shift) >> shift);
      if (rows[n])
        rows[n][l] = value;
    }
  });
  return ok ? Step::Next : Step::Fault;
}

static Step executeStore(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t at[kLanes];
  w.addresses(i, 0, mask, at);
  unsigned bytes = i.type.bytes(), count = unsigned(i.src.size());
  if (i.space == Space::Shared)
    countBanks(w, at, mask, bytes * count);
  const uint64_t *rows[16];
  for (unsigned n = 0; n < count; ++n)
    rows[n] = w.row(i.src[n]);
  bool ok = true;
  forLanes(mask, [&](unsigned l) {
    Warp::Place place;
    if (!ok || !w.resolve(i, i.space, at[l], bytes * count, l, place) ||
        !checkWritable(w, i, place, bytes * count, l, Access(i.extra[0]))) {
      ok = false;
      return;
    }
    for (unsigned n = 0; n < count; ++n)
      memcpy(place.data + n * bytes, &rows[n][l], bytes);
    markWritten(w, place, bytes * count);
  });
  ++w.block->progress;
  return ok ? Step::Next : Step::Fault;
}

/// Reads .global, .shared::cta and so on.
static void decodeSpace(Instruction &i) {
  i.space = Space::Generic;
  if (has(i, "global"))
    i.space = Space::Global;
  else if (has(i, "shared") || has(i, "shared::cta") ||
           has(i, "shared::cluster"))
    i.space = Space::Shared;
  else if (has(i, "local"))
    i.space = Space::Local;
  else if (has(i, "const"))
    i.space = Space::Global; // constants lie in an allocation like others
  else if (has(i, "param") || has(i, "param::entry"))
    i.space = Space::Param;
}
static bool decodeAccess(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i,
                      {"global",
                       "shared",
                       "shared::cta",
                       "shared::cluster",
                       "local",
                       "const",
                       "param",
                       "param::entry",
                       "nc",
                       "v2",
                       "v4",
                       "v8",
                       "weak",
                       "relaxed",
                       "acquire",
                       "release",
                       "volatile",
                       "cta",
                       "gpu",
                       "sys",
                       "cluster",
                       "ca",
                       "cg",
                       "cs",
                       "lu",
                       "cv",
                       "wb",
                       "wt",
                       "L1::no_allocate",
                       "L1::evict_last",
                       "L1::evict_first",
                       "L1::evict_normal",
                       "L1::evict_unchanged",
                       "L2::64B",
                       "L2::128B",
                       "L2::256B",
                       "L2::cache_hint",
                       "L2::evict_first"}))
    return false;
  decodeSpace(i);
  bool isLoad = i.name[0] != "st";
  size_t count = has(i, "v2") ? 2 : has(i, "v4") ? 4 : has(i, "v8") ? 8 : 1;
  if (i.numAddresses != 1)
    return c.fail("needs one address");
  bool hint = has(i, "L2::cache_hint");
  if (isLoad) {
    if (hint && i.src.size() == 1)
      i.src.clear();
    if (i.dst.size() != count || !i.src.empty())
      return c.fail("has a wrong number of results");
    for (const Operand &o : i.dst)
      if (o.kind != Operand::Reg && o.kind != Operand::Sink)
        return c.fail("a result must be a register");
  } else {
    if (hint && i.src.size() == count + 1)
      i.src.pop_back();
    if (i.src.size() != count || !i.dst.empty() || !checkRows(c, i))
      return c.fail("has a wrong number of operands");
  }
  if (i.type.bits == 0 || i.type.bits > 64 || i.type.kind == Kind::Pred ||
      i.type.bytes() * count > 32)
    return c.fail("the type is not emulated");
  bool isStrong = has(i, "relaxed") || has(i, "acquire") || has(i, "release") ||
                  has(i, "volatile");
  Access access = isLoad && has(i, "nc") ? Access::ReadOnly
                  : isLoad   ? (isStrong ? Access::StrongRead : Access::Read)
                  : isStrong ? Access::StrongWrite
                             : Access::Write;
  i.extra[0] = uint32_t(access);
  i.execute = isLoad ? executeLoad : executeStore;
  return true;
}

//===----------------------------------------------------------------------===//
// Atomics
//===----------------------------------------------------------------------===//

enum class AtomOp : uint32_t {
  Add,
  Min,
  Max,
  And,
  Or,
  Xor,
  Exch,
  Cas,
  Inc,
  Dec
};

static uint64_t applyAtom(AtomOp op, const Type &t, uint64_t old, uint64_t x,
                          uint64_t y) {
  bool s = t.kind == Kind::S;
  switch (op) {
  case AtomOp::Add:
    if (t.count == 2 || (t.bits == 16 && t.kind != Kind::U)) {
      uint64_t result = 0;
      for (unsigned h = 0; h < t.count; ++h) {
        uint16_t a = uint16_t(old >> (16 * h)), b = uint16_t(x >> (16 * h));
        double sum = t.kind == Kind::BF
                         ? double(bfloatToFloat(a)) + double(bfloatToFloat(b))
                         : double(halfToFloat(a)) + double(halfToFloat(b));
        result |= uint64_t(doubleToNarrow(t.kind, sum)) << (16 * h);
      }
      return result;
    }
    if (t.kind == Kind::F)
      return t.bits == 64 ? put(get<double>(old) + get<double>(x))
                          : put(get<float>(old) + get<float>(x));
    return old + x;
  case AtomOp::Min:
  case AtomOp::Max: {
    bool less = t.bits == 64 ? (s ? int64_t(x) < int64_t(old) : x < old)
                             : (s ? int32_t(x) < int32_t(old)
                                  : uint32_t(x) < uint32_t(old));
    return less == (op == AtomOp::Min) ? x : old;
  }
  case AtomOp::And:
    return old & x;
  case AtomOp::Or:
    return old | x;
  case AtomOp::Xor:
    return old ^ x;
  case AtomOp::Exch:
    return x;
  case AtomOp::Cas:
    return old == x ? y : old;
  case AtomOp::Inc:
    return uint32_t(old) >= uint32_t(x) ? 0 : uint32_t(old) + 1;
  case AtomOp::Dec:
    return uint32_t(old) == 0 || uint32_t(old) > uint32_t(x)
               ? uint32_t(x)
               : uint32_t(old) - 1;
  }
  return old;
}

static Step executeAtom(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t at[kLanes];
  w.addresses(i, 0, mask, at);
  unsigned bytes = i.type.bytes(), count = i.extra[1];
  AtomOp op = AtomOp(i.extra[0]);
  bool ok = true;
  std::unique_lock<std::mutex> lock(w.block->launch->memory->atomics,
                                    std::defer_lock);
  if (i.space != Space::Shared)
    lock.lock();
  // Lanes follow one another; that is one of the orders they may have.
  forLanes(mask, [&](unsigned l) {
    Warp::Place place;
    if (!ok || !w.resolve(i, i.space, at[l], bytes * count, l, place) ||
        !checkReadable(w, i, place, bytes * count, l, Access::StrongWrite) ||
        !checkWritable(w, i, place, bytes * count, l, Access::StrongWrite)) {
      ok = false;
      return;
    }
    for (unsigned n = 0; n < count; ++n) {
      uint64_t old = 0;
      memcpy(&old, place.data + n * bytes, bytes);
      uint64_t x = w.row(i.src[n])[l];
      uint64_t y = op == AtomOp::Cas ? w.row(i.src[1])[l] : 0;
      if (bytes < 8) {
        uint64_t keep = (uint64_t(1) << (8 * bytes)) - 1;
        x &= keep;
        y &= keep;
      }
      uint64_t result = applyAtom(op, i.type, old, x, y);
      memcpy(place.data + n * bytes, &result, bytes);
      if (n < i.dst.size() && i.dst[n].kind == Operand::Reg)
        w.row(i.dst[n])[l] = old;
    }
    markWritten(w, place, bytes * count);
  });
  ++w.block->progress;
  return ok ? Step::Next : Step::Fault;
}
static bool decodeAtom(const DecodeContext &c, Instruction &i) {
  static const char *const names[] = {"add", "min",  "max", "and", "or",
                                      "xor", "exch", "cas", "inc", "dec"};
  if (!checkModifiers(
          c, i, {"global",  "shared",  "shared::cta", "relaxed", "acquire",
                 "release", "acq_rel", "cta",         "gpu",     "sys",
                 "cluster", "noftz",   "v2",          "v4",      "v8",
                 "add",     "min",     "max",         "and",     "or",
                 "xor",     "exch",    "cas",         "inc",     "dec"}))
    return false;
  decodeSpace(i);
  bool found = false;
  for (uint32_t n = 0; n < 10; ++n)
    if (has(i, names[n]))
      i.extra[0] = n, found = true;
  i.extra[1] = has(i, "v2") ? 2 : has(i, "v4") ? 4 : has(i, "v8") ? 8 : 1;
  size_t sources = i.extra[1] + (i.extra[0] == 7);
  bool isRed = i.name[0] == "red";
  if (!found || i.numAddresses != 1 || i.src.size() != sources ||
      (isRed ? !i.dst.empty() : i.dst.size() != i.extra[1]) ||
      (i.extra[0] == 7 && i.extra[1] != 1))
    return c.fail("has a wrong number of operands");
  for (const Operand &o : i.dst)
    if (o.kind != Operand::Reg && o.kind != Operand::Sink)
      return c.fail("a result must be a register");
  for (const Operand &o : i.src)
    if (o.kind != Operand::Reg && o.kind != Operand::Const)
      return c.fail("an operand must be a register or a number");
  bool isFloating = i.type.kind == Kind::F || i.type.kind == Kind::BF;
  if (isFloating && i.extra[0] > 2)
    return c.fail("floats are only added here");
  if (isFloating && i.extra[0] > 0)
    return c.fail("minima and maxima of floats are not emulated");
  AtomOp op = AtomOp(i.extra[0]);
  bool is16 = i.type.bytes() == 2;
  if (i.type.bytes() < 2 || i.type.bits > 64 ||
      (is16 && !isFloating && op != AtomOp::Exch && op != AtomOp::Cas) ||
      ((op == AtomOp::Inc || op == AtomOp::Dec) && i.type.bits != 32))
    return c.fail("the type is not emulated");
  i.execute = executeAtom;
  return true;
}

//===----------------------------------------------------------------------===//
// Fences
//===----------------------------------------------------------------------===//

static Step executeFence(Warp &w, const Instruction &i, uint32_t mask) {
  // What was written before is visible to the asynchronous proxy now.
  if (i.extra[0])
    w.block->proxyFences[w.number].push_back(
        {w.block->steps, w.block->races ? w.block->races->now(w.number) : 0});
  if (i.extra[0] || i.extra[1])
    publishBarriers(w, mask);
  return Step::Next;
}
static bool decodeFence(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i,
                      {"cta",
                       "gl",
                       "sys",
                       "gpu",
                       "cluster",
                       "sc",
                       "acq_rel",
                       "acquire",
                       "release",
                       "proxy",
                       "async",
                       "alias",
                       "async::generic",
                       "async.global",
                       "global",
                       "shared::cta",
                       "shared::cluster",
                       "mbarrier_init",
                       "tensormap::generic",
                       "level",
                       "sync_restrict"}))
    return false;
  i.extra[0] = has(i, "async") && !has(i, "global");
  i.extra[1] = has(i, "mbarrier_init");
  i.execute = executeFence;
  return true;
}

void moe::emu::registerMemoryOpcodes() {
  registerOpcode("ld", decodeAccess);
  registerOpcode("ldu", decodeAccess);
  registerOpcode("st", decodeAccess);
  registerOpcode("atom", decodeAtom);
  registerOpcode("red", decodeAtom);
  registerOpcode("membar", decodeFence);
  registerOpcode("fence", decodeFence);
}
