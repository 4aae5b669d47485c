//===- BarrierOps.cpp - mbarrier.*, mapa, getctarank ----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "AsyncCopy.h"
#include "Lanes.h"

using namespace moe::emu;

namespace {
enum class Op : uint32_t {
  Init,
  Inval,
  Arrive,
  ArriveExpect,
  Expect,
  Complete,
  TestParity,
  TestState
};
} // namespace

static bool initialize(Warp &w, const Instruction &i, unsigned lane,
                       uint32_t address, uint64_t count) {
  Block &block = *w.block;
  AsyncUnit &unit = AsyncUnit::of(block);
  auto found = unit.barriers.find(address);
  if (found != unit.barriers.end()) {
    w.fault(i,
            "the mbarrier of line " + std::to_string(found->second.line) +
                " is made again without mbarrier.inval",
            int(lane));
    return false;
  }
  Warp::Place place;
  if (!w.resolve(i, Space::Shared, address, 8, lane, place) ||
      !checkWritable(w, i, place, 8, lane))
    return false;
  BarrierObject object;
  std::string why;
  if (!object.state.init(count, why)) {
    w.fault(i, why, int(lane));
    return false;
  }
  object.address = address;
  object.line = i.line;
  object.warp = w.number;
  object.lane = lane;
  for (unsigned n = 0; n < 8; ++n)
    place.shadow[n] = Initialized | BarrierByte;
  unit.barriers.emplace(address, std::move(object));
  return true;
}

static void invalidate(Block &block, BarrierObject &object, uint32_t address) {
  AsyncUnit &unit = AsyncUnit::of(block);
  for (SharedRange range : object.landed)
    unit.endWrite(block, range);
  unit.barriers.erase(address);
  // The place is free again, with nothing in it.
  for (unsigned n = 0; n < 8; ++n)
    block.sharedShadow[address + n] = 0;
}

static Step executeBarrierOp(Warp &w, const Instruction &i, uint32_t mask) {
  Block &block = *w.block;
  AsyncUnit &unit = AsyncUnit::of(block);
  Op op = Op(i.extra[0]);
  const uint64_t *operand = i.src.empty() ? nullptr : w.row(i.src[0]);
  uint64_t *result = nullptr;
  if (!i.dst.empty() && i.dst[0].kind == Operand::Reg)
    result = w.row(i.dst[0]);
  uint32_t complete = 0;
  bool ok = true;
  forLanes(mask, [&](unsigned lane) {
    if (!ok)
      return;
    ok = false;
    uint32_t address = 0;
    if (!unit.sharedOperand(w, i, 0, i.space, lane, 8, 8, address))
      return;
    uint64_t value = operand ? operand[lane] : 1;
    if (op == Op::Init) {
      ok = initialize(w, i, lane, address, uint32_t(value));
      return;
    }
    BarrierObject *object = unit.barrier(w, i, address, lane, false);
    if (!object)
      return;
    uint32_t before = object->state.getPhase();
    uint64_t state = object->state.state();
    std::string why;
    bool done = true, good = true;
    switch (op) {
    case Op::Inval:
      invalidate(block, *object, address);
      ok = true;
      return;
    case Op::Arrive:
      good = object->state.arrive(uint32_t(value), why);
      break;
    case Op::ArriveExpect:
      good = object->state.expectTx(uint32_t(value), why) &&
             object->state.arrive(1, why);
      break;
    case Op::Expect:
      good = object->state.expectTx(uint32_t(value), why);
      break;
    case Op::Complete:
      good = object->state.completeTx(uint32_t(value), /*remote=*/false, why);
      break;
    case Op::TestParity:
      if (uint32_t(value) > 1) {
        good = false;
        why = "the parity is " + std::to_string(uint32_t(value)) +
              ", expected 0 or 1";
      } else {
        done = object->state.isComplete(unsigned(value));
      }
      break;
    case Op::TestState:
      good = object->state.isComplete(value, done, why);
      break;
    case Op::Init:
      break;
    }
    if (!good) {
      w.fault(i, why, int(lane));
      return;
    }
    if (op == Op::TestParity || op == Op::TestState) {
      complete |= uint32_t(done) << lane;
      if (done && block.races)
        block.races->acquire(w.number, RaceDetector::mbarrier(address));
    } else {
      if ((op == Op::Arrive || op == Op::ArriveExpect) && block.races)
        block.races->release(w.number, 1u << lane | ~w.live,
                             RaceDetector::mbarrier(address));
      unit.notePhase(block, *object, before);
      if (result)
        result[lane] = state;
    }
    ok = true;
  });
  if (!ok)
    return Step::Fault;
  if (op == Op::TestParity || op == Op::TestState) {
    uint32_t &predicate = w.predicates[i.dst[0].index];
    predicate = (predicate & ~mask) | complete;
    if (complete == mask) {
      w.failedWaits = 0;
    } else {
      ++w.failedWaits;
      w.yield = true;
    }
    return Step::Next;
  }
  ++block.progress;
  return Step::Next;
}

static Step executePendingCount(Warp &w, const Instruction &i, uint32_t mask) {
  const uint64_t *state = w.row(i.src[0]);
  uint64_t *d = w.row(i.dst[0]);
  forLanes(mask,
           [&](unsigned lane) { d[lane] = Mbarrier::pendingOf(state[lane]); });
  return Step::Next;
}

static bool decodeMbarrier(const DecodeContext &c, Instruction &i) {
  static const struct {
    const char *first, *second;
    Op op;
  } ops[] = {{"init", "", Op::Init},
             {"inval", "", Op::Inval},
             {"arrive", "", Op::Arrive},
             {"arrive", "expect_tx", Op::ArriveExpect},
             {"expect_tx", "", Op::Expect},
             {"complete_tx", "", Op::Complete},
             {"test_wait", "", Op::TestState},
             {"test_wait", "parity", Op::TestParity},
             {"try_wait", "", Op::TestState},
             {"try_wait", "parity", Op::TestParity}};
  if (i.name.size() > 1 && i.name[1] == "pending_count") {
    if (i.name.size() != 3 || i.name[2] != "b64")
      return c.fail("expected .b64");
    if (!checkCounts(c, i, 1, 1) || !checkRows(c, i))
      return false;
    i.execute = executePendingCount;
    return true;
  }
  bool found = false, shared = false, isB64 = false;
  std::string second;
  for (size_t n = 2; n < i.name.size(); ++n) {
    const std::string &word = i.name[n];
    if (n == 2 && (word == "expect_tx" || word == "parity"))
      second = word;
    else if (word == "shared" || word == "shared::cta" ||
             word == "shared::cluster")
      shared = true;
    else if (word == "b64" && n + 1 == i.name.size())
      isB64 = true;
    else if (word != "release" && word != "acquire" && word != "relaxed" &&
             word != "cta" && word != "cluster")
      return c.fail("modifier ." + word + " is not emulated");
  }
  std::string first = i.name.size() > 1 ? i.name[1] : "";
  for (const auto &entry : ops)
    if (first == entry.first && second == entry.second) {
      i.extra[0] = uint32_t(entry.op);
      found = true;
    }
  if (!found)
    return c.fail(first == "arrive_drop"
                      ? "threads that leave an mbarrier are "
                        "not emulated"
                      : "modifier ." + first + " is not emulated");
  if (!isB64)
    return c.fail("expected .b64");
  Op op = Op(i.extra[0]);
  if (c.program->arch < 90 && (op == Op::ArriveExpect || op == Op::Expect ||
                               op == Op::Complete || first == "try_wait"))
    return c.fail("needs sm_90");
  i.space = shared ? Space::Shared : Space::Generic;
  if (i.numAddresses != 1)
    return c.fail("needs one address");
  size_t least = 1, most = 1;
  bool test = op == Op::TestParity || op == Op::TestState;
  if (op == Op::Inval)
    least = most = 0;
  else if (op == Op::Arrive)
    least = 0;
  else if (test && first == "try_wait")
    most = 2; // the time that it may sleep
  if (i.src.size() < least || i.src.size() > most || !checkRows(c, [&] {
        Instruction sources;
        sources.src = i.src;
        return sources;
      }()))
    return c.fail("has a wrong number of operands");
  if (test) {
    if (i.dst.size() != 1 || i.dst[0].kind != Operand::Pred || i.dst[0].negated)
      return c.fail("the result must be a predicate");
  } else if (op == Op::Arrive || op == Op::ArriveExpect) {
    // The state, "_", or nothing.
    if (i.dst.size() > 1 ||
        (i.dst.size() == 1 && i.dst[0].kind != Operand::Reg &&
         i.dst[0].kind != Operand::Sink))
      return c.fail("the result must be a register");
  } else if (!i.dst.empty()) {
    return c.fail("has no result");
  }
  i.execute = executeBarrierOp;
  return true;
}

/// mapa d, address, rank: a block is alone in its cluster, so rank is 0.
static Step executeMapa(Warp &w, const Instruction &i, uint32_t mask) {
  const uint64_t *address = w.row(i.src[0]), *rank = w.row(i.src[1]);
  uint64_t *d = w.row(i.dst[0]);
  bool ok = true;
  forLanes(mask, [&](unsigned lane) {
    if (uint32_t(rank[lane]) != 0 && ok) {
      w.fault(
          i, "the cluster has no block " + std::to_string(uint32_t(rank[lane])),
          int(lane));
      ok = false;
    }
    d[lane] = i.type.bits == 32 ? uint32_t(address[lane]) : address[lane];
  });
  return ok ? Step::Next : Step::Fault;
}

static bool decodeMapa(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {"shared::cluster"}) || !checkCounts(c, i, 1, 2) ||
      !checkRows(c, i))
    return false;
  if (i.type.kind != Kind::U || (i.type.bits != 32 && i.type.bits != 64))
    return c.fail("expected .u32 or .u64");
  i.execute = executeMapa;
  return true;
}

static bool decodeRank(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {"shared::cluster"}) || !checkCounts(c, i, 1, 1) ||
      !checkRows(c, i))
    return false;
  i.execute = [](Warp &w, const Instruction &at, uint32_t mask) {
    uint64_t *d = w.row(at.dst[0]);
    forLanes(mask, [&](unsigned lane) { d[lane] = 0; });
    return Step::Next;
  };
  return true;
}

/// A cache policy has no effect here; its value is never looked at.
static bool decodePolicy(const DecodeContext &c, Instruction &i) {
  if (i.dst.size() != 1 || i.dst[0].kind != Operand::Reg)
    return c.fail("the result must be a register");
  i.execute = [](Warp &w, const Instruction &at, uint32_t mask) {
    uint64_t *d = w.row(at.dst[0]);
    forLanes(mask, [&](unsigned lane) { d[lane] = 0; });
    return Step::Next;
  };
  return true;
}

void moe::emu::registerBarrierOpcodes() {
  registerOpcode("mbarrier", decodeMbarrier);
  registerOpcode("mapa", decodeMapa);
  registerOpcode("getctarank", decodeRank);
  registerOpcode("createpolicy", decodePolicy);
}
