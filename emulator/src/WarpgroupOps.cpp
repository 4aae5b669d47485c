//===- WarpgroupOps.cpp - wgmma -------------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// A product is issued by the four warps of a warpgroup one by one and carried
// out when the last has come. That may be long before the program waits, but it
// cannot tell: until then its operands in shared memory must not be written
// (AsyncRead) and its accumulators not be touched (Warp::inFlight), or there is
// a fault. One warp's wait frees the operands, for it waits for the product of
// the whole warpgroup; every warp's wait frees its own registers.
//
// wgmma.fence is asked for before the first product of every group, as ptxas
// does (it inserts what is missing, message C7519), and behind every write of a
// register that a product reads. Zeros that are written between the fence and
// the product are let pass: ptxas turns them into the product's own zero start.
#include "AsyncCopy.h"
#include "Lanes.h"
#include "Warpgroup.h"
#include <algorithm>

using namespace moe::emu;

namespace {
/// The form of a wgmma.mma_async and where its operands are.
struct WgmmaForm {
  WgmmaShape shape;
  bool fromRegisters = false;
  /// In src: the first register of A or its descriptor, then B's descriptor,
  /// then scale-d.
  size_t descriptorB = 0, scale = 0;
  bool negateA = false, negateB = false, mnMajorA = false, mnMajorB = false;
};
} // namespace

namespace moe::emu {
struct WgmmaProduct {
  const Instruction *at = nullptr;
  const WgmmaForm *form = nullptr;
  uint64_t descriptorA = 0, descriptorB = 0;
  bool accumulate = true;
  std::vector<uint32_t> unitsA, unitsB;
  uint32_t registersA[4][4][kLanes] = {};
  unsigned issued = 0; // bits of warps
  unsigned waits = 0;
  bool operandsFree = false;
};
} // namespace moe::emu

/// The race detector's key of a warpgroup's products; the numbers behind those
/// of the named barriers are free. Products that are not waited for yet are
/// guarded by AsyncRead.
static uint64_t productsOf(unsigned group) {
  return RaceDetector::named(64 + group, 0);
}

static void execute(Block &block, unsigned group, WgmmaProduct &product) {
  const WgmmaForm &form = *product.form;
  const WgmmaShape &shape = form.shape;
  WgmmaOperands operands;
  operands.mnMajorA = form.mnMajorA;
  operands.mnMajorB = form.mnMajorB;
  operands.negateA = form.negateA;
  operands.negateB = form.negateB;
  operands.accumulate = product.accumulate;
  auto load = [&](const std::vector<uint32_t> &units,
                  std::vector<uint8_t> &to) {
    to.resize(units.size() * 16);
    for (size_t n = 0; n < units.size(); ++n)
      memcpy(&to[n * 16], &block.shared[units[n]], 16);
  };
  load(product.unitsA, operands.unitsA);
  load(product.unitsB, operands.unitsB);
  memcpy(operands.registersA, product.registersA, sizeof product.registersA);
  size_t registers = shape.registersOfD();
  std::vector<uint32_t> d(4 * registers * kLanes);
  auto rowOf = [&](unsigned warp, size_t r) {
    return &block.warps[group * 4 + warp]
                ->registers[size_t(product.at->dst[r].index) * kLanes];
  };
  for (unsigned warp = 0; product.accumulate && warp < 4; ++warp)
    for (size_t r = 0; r < registers; ++r)
      for (unsigned lane = 0; lane < kLanes; ++lane)
        d[(warp * registers + r) * kLanes + lane] =
            uint32_t(rowOf(warp, r)[lane]);
  multiplyWarpgroup(shape, operands, d);
  for (unsigned warp = 0; warp < 4; ++warp)
    for (size_t r = 0; r < registers; ++r)
      for (unsigned lane = 0; lane < kLanes; ++lane)
        rowOf(warp, r)[lane] = d[(warp * registers + r) * kLanes + lane];
}

/// Whether a row of the warp differs from the one at the last fence, other than
/// by having become zero.
static bool changedSinceFence(const AsyncUnit &unit, const AsyncWarp &state,
                              const Warp &w, uint32_t index) {
  if (state.writtenByProduct[index])
    return false;
  size_t at = size_t(std::lower_bound(unit.wgmmaRegisters.begin(),
                                      unit.wgmmaRegisters.end(), index) -
                     unit.wgmmaRegisters.begin());
  const uint64_t *now = &w.registers[size_t(index) * kLanes];
  bool changed = false, zero = true;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    changed |= uint32_t(now[lane]) != state.atFence[at * kLanes + lane];
    zero &= uint32_t(now[lane]) == 0;
  }
  return changed && !zero;
}

/// The one value of a row, or a fault: descriptors are for the whole warp.
static bool uniform(Warp &w, const Instruction &i, const Operand &o,
                    const char *what, uint64_t &value) {
  const uint64_t *row = w.row(o);
  value = row[0];
  for (unsigned lane = 1; lane < kLanes; ++lane)
    if (row[lane] != value) {
      w.fault(i, std::string("lanes have different ") + what, int(lane));
      return false;
    }
  return true;
}

/// Takes the operand's units into the product and marks them as being read.
static bool startOperand(Warp &w, const Instruction &i, uint64_t bits,
                         bool mnMajor, unsigned rows,
                         std::vector<uint32_t> &units) {
  MatrixDescriptor descriptor;
  std::string why;
  if (!decodeDescriptor(bits, descriptor, why)) {
    w.fault(i, why);
    return false;
  }
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  for (unsigned n = 0; n < operandUnits(rows); ++n) {
    uint32_t address = operandUnit(descriptor, mnMajor, rows, n);
    Warp::Place place;
    if (!w.resolve(i, Space::Shared, address, 16, 0, place) ||
        !unit.beginRead(w, i, {address, 16}, 0))
      return false;
    units.push_back(address);
  }
  return true;
}

static Step executeProduct(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  Block &block = *w.block;
  AsyncUnit &unit = AsyncUnit::of(block);
  AsyncWarp &state = AsyncUnit::of(w);
  const auto &form = *static_cast<const WgmmaForm *>(i.data.get());
  const WgmmaShape &shape = form.shape;
  unsigned group = w.number / 4, mine = w.number % 4;
  if (block.warps.size() < group * 4 + 4)
    return w.fault(i, "the block has no four warps for this warpgroup");
  if (!state.fenced)
    return w.fault(i, "no wgmma.fence since the last group of products");
  uint64_t descriptorA = 0, descriptorB = 0;
  if ((!form.fromRegisters &&
       !uniform(w, i, i.src[0], "descriptors of A", descriptorA)) ||
      !uniform(w, i, i.src[form.descriptorB], "descriptors of B", descriptorB))
    return Step::Fault;
  bool accumulate = true;
  const Operand &scale = i.src[form.scale];
  if (scale.kind == Operand::Pred) {
    uint32_t bits = w.predicate(scale);
    if (bits != 0 && bits != ~0u)
      return w.fault(i, "lanes have different scale-d");
    accumulate = bits != 0;
  } else {
    accumulate = w.row(scale)[0] != 0;
  }
  auto written = [&](const Operand &o) {
    return w.fault(i, "register " + std::to_string(&o - i.dst.data()) +
                          " of the accumulator was written after the last "
                          "wgmma.fence");
  };
  for (const Operand &o : i.dst) {
    if (accumulate && changedSinceFence(unit, state, w, o.index))
      return written(o);
    if (state.owned[o.index] && state.ownerColumns[o.index] != shape.n)
      return w.fault(i, "the accumulator belongs to a product of another shape "
                        "that is in flight");
  }
  if (form.fromRegisters)
    for (unsigned r = 0; r < WgmmaShape::registersOfA; ++r) {
      if (state.owned[i.src[r].index])
        return w.fault(i, "A is the accumulator of a product in flight");
      if (i.src[r].kind == Operand::Reg &&
          changedSinceFence(unit, state, w, i.src[r].index))
        return w.fault(i, "register " + std::to_string(r) +
                              " of A was written after the last wgmma.fence");
    }

  AsyncUnit::Warpgroup &warpgroup = unit.warpgroups[group];
  size_t index = size_t(state.issued - warpgroup.firstProduct);
  if (index >= kMaxInFlight)
    return w.fault(i, "too many products that nothing waits for");
  if (index == warpgroup.products.size()) {
    auto product = std::make_shared<WgmmaProduct>();
    product->at = &i;
    product->form = &form;
    product->descriptorA = descriptorA;
    product->descriptorB = descriptorB;
    product->accumulate = accumulate;
    if ((!form.fromRegisters &&
         !startOperand(w, i, descriptorA, form.mnMajorA, WgmmaShape::m,
                       product->unitsA)) ||
        !startOperand(w, i, descriptorB, form.mnMajorB, shape.n,
                      product->unitsB))
      return Step::Fault;
    warpgroup.products.push_back(std::move(product));
  }
  WgmmaProduct &product = *warpgroup.products[index];
  if (product.at != &i)
    return w.fault(i, "the warps of the warpgroup have parted: another warp "
                      "executes line " +
                          std::to_string(product.at->line) + " here");
  if (product.descriptorA != descriptorA ||
      product.descriptorB != descriptorB || product.accumulate != accumulate)
    return w.fault(i, "the warps of the warpgroup have different descriptors "
                      "or scale-d");
  if (form.fromRegisters)
    for (unsigned r = 0; r < WgmmaShape::registersOfA; ++r) {
      const uint64_t *row = w.row(i.src[r]);
      for (unsigned lane = 0; lane < kLanes; ++lane)
        product.registersA[mine][r][lane] = uint32_t(row[lane]);
    }
  for (const Operand &o : i.dst) {
    state.owned[o.index] = 1;
    ++state.owners[o.index];
    state.ownerColumns[o.index] = uint16_t(shape.n);
    state.writtenByProduct[o.index] = 1;
  }
  w.inFlight = state.owned.data();
  ++state.issued;
  product.issued |= 1u << mine;
  // Who waits for the product has waited for what the other warps read in it.
  if (block.races)
    block.races->release(w.number, ~0u, productsOf(group));
  if (product.issued == 15)
    execute(block, group, product);
  ++block.progress;
  return Step::Next;
}

static Step executeFence(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  AsyncUnit &unit = AsyncUnit::of(*w.block);
  AsyncWarp &state = AsyncUnit::of(w);
  const Kernel &kernel = *w.block->launch->kernel;
  if (unit.wgmmaRegisters.empty()) {
    for (const Instruction &other : kernel.code)
      if (other.execute == executeProduct)
        for (const std::vector<Operand> *list : {&other.dst, &other.src})
          for (const Operand &o : *list)
            if (o.kind == Operand::Reg)
              unit.wgmmaRegisters.push_back(o.index);
    std::vector<uint32_t> &all = unit.wgmmaRegisters;
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }
  size_t rows = kernel.numRegisters + kNumSpecial;
  if (state.owned.empty()) {
    state.owned.resize(rows);
    state.owners.resize(rows);
    state.ownerColumns.resize(rows);
    state.writtenByProduct.resize(rows);
    state.atFence.resize(unit.wgmmaRegisters.size() * kLanes);
  }
  state.fenced = true;
  for (size_t n = 0; n < unit.wgmmaRegisters.size(); ++n) {
    uint32_t index = unit.wgmmaRegisters[n];
    // One that is in flight will still change.
    state.writtenByProduct[index] = state.owned[index] != 0;
    const uint64_t *row = &w.registers[size_t(index) * kLanes];
    for (unsigned lane = 0; lane < kLanes; ++lane)
      state.atFence[n * kLanes + lane] = uint32_t(row[lane]);
  }
  return Step::Next;
}

static Step executeCommit(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  AsyncWarp &state = AsyncUnit::of(w);
  if (state.groupEnds.size() >= kMaxInFlight)
    return w.fault(i, "too many groups that nothing waits for");
  state.groupEnds.push_back(state.issued);
  state.fenced = false;
  return Step::Next;
}

static Step executeWait(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  Block &block = *w.block;
  AsyncUnit &unit = AsyncUnit::of(block);
  AsyncWarp &state = AsyncUnit::of(w);
  if (i.extra[0] >= state.groupEnds.size())
    return Step::Next;
  size_t groups = state.groupEnds.size() - i.extra[0];
  uint64_t target = state.groupEnds[groups - 1];
  AsyncUnit::Warpgroup &warpgroup = unit.warpgroups[w.number / 4];
  for (uint64_t n = state.waited; n < target; ++n)
    if (warpgroup.products[n - warpgroup.firstProduct]->issued != 15)
      return Step::Blocked; // the other warps have still to come
  for (uint64_t n = state.waited; n < target; ++n) {
    WgmmaProduct &product = *warpgroup.products[n - warpgroup.firstProduct];
    for (const Operand &o : product.at->dst)
      if (--state.owners[o.index] == 0)
        state.owned[o.index] = 0;
    if (product.form->fromRegisters)
      for (unsigned r = 0; r < WgmmaShape::registersOfA; ++r) {
        const uint64_t *row = w.row(product.at->src[r]);
        for (unsigned lane = 0; lane < kLanes; ++lane)
          if (uint32_t(row[lane]) != product.registersA[w.number % 4][r][lane])
            return w.fault(i, "register " + std::to_string(r) +
                                  " of A of the product in line " +
                                  std::to_string(product.at->line) +
                                  " was written before this wait");
      }
    if (!product.operandsFree) {
      product.operandsFree = true;
      // That is how long the product may have read them.
      for (const auto *units : {&product.unitsA, &product.unitsB})
        for (uint32_t address : *units) {
          unit.endRead(block, {address, 16});
          if (block.races && !block.races->read(w, *product.at, 0, address, 16))
            return Step::Fault;
        }
    }
    ++product.waits;
  }
  // The warps that wait later know that the products have ended by then.
  if (block.races) {
    block.races->release(w.number, ~0u, productsOf(w.number / 4));
    block.races->acquire(w.number, productsOf(w.number / 4));
  }
  state.waited = target;
  state.groupEnds.erase(state.groupEnds.begin(),
                        state.groupEnds.begin() + groups);
  if (state.waited == state.issued)
    w.inFlight = nullptr;
  size_t over = 0;
  while (over < warpgroup.products.size() &&
         warpgroup.products[over]->waits == 4)
    ++over;
  warpgroup.products.erase(warpgroup.products.begin(),
                           warpgroup.products.begin() + over);
  warpgroup.firstProduct += over;
  ++block.progress;
  return Step::Next;
}

bool moe::emu::checkWarpgroupsAtEnd(Block &block, AsyncUnit &unit) {
  for (AsyncUnit::Warpgroup &warpgroup : unit.warpgroups)
    if (!warpgroup.products.empty()) {
      const WgmmaProduct &product = *warpgroup.products.front();
      return block.fault(product.at->line,
                         product.issued == 15
                             ? "the block has ended without waiting for this "
                               "product"
                             : "the block has ended, but not all four warps "
                               "have executed this");
    }
  return true;
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// An immediate of a product: 1 or -1, or 0 or 1.
static bool constant(const DecodeContext &c, const Operand &o, int16_t &value) {
  if (o.kind != Operand::Const)
    return c.fail("a scale and a layout are numbers");
  value = int16_t(c.program->constants[o.index]->lane[0]);
  return true;
}

static bool decodeProduct(const DecodeContext &c, Instruction &i) {
  auto form = std::make_shared<WgmmaForm>();
  WgmmaShape &shape = form->shape;
  std::string why;
  if (!parseWgmma({i.name.begin() + 2, i.name.end()}, shape, why))
    return c.fail(why);
  if (i.dst.size() != shape.registersOfD())
    return c.fail("the accumulator has " + std::to_string(i.dst.size()) +
                  " registers, expected " +
                  std::to_string(shape.registersOfD()));
  for (const Operand &o : i.dst)
    if (o.kind != Operand::Reg)
      return c.fail("the accumulator must be registers");
  if (i.numAddresses || i.groups.size() < 3)
    return c.fail("operands are missing");
  form->fromRegisters = i.groups[0] == WgmmaShape::registersOfA;
  if (!form->fromRegisters && i.groups[0] != 1)
    return c.fail("A is a descriptor or four registers");
  form->descriptorB = i.groups[0];
  form->scale = form->descriptorB + 1;
  bool integer = isInteger(shape.a);
  size_t layouts = shape.has16BitElements() ? (form->fromRegisters ? 1 : 2) : 0;
  size_t scales = integer ? 0 : 2;
  if (i.src.size() != form->scale + 1 + scales + layouts)
    return c.fail("takes " +
                  std::to_string(form->scale + 1 + scales + layouts) +
                  " operands behind the accumulator, has " +
                  std::to_string(i.src.size()));
  for (size_t n = 0; n <= form->descriptorB; ++n)
    if (i.src[n].kind != Operand::Reg)
      return c.fail("a descriptor must be a register");
  const Operand &scale = i.src[form->scale];
  if (scale.kind != Operand::Pred && scale.kind != Operand::Const)
    return c.fail("scale-d must be a predicate");
  size_t at = form->scale + 1;
  for (bool *negate : {&form->negateA, &form->negateB}) {
    if (!scales)
      break;
    int16_t value = 0;
    if (!constant(c, i.src[at++], value))
      return false;
    // An 8-bit type leaves 8 bits of an immediate.
    if (value != 1 && value != -1 && value != 0xff)
      return c.fail("a scale must be 1 or -1");
    *negate = value != 1;
  }
  if (layouts)
    for (bool *major : {&form->mnMajorA, &form->mnMajorB}) {
      if (form->fromRegisters && major == &form->mnMajorA)
        continue;
      int16_t value = 0;
      if (!constant(c, i.src[at++], value))
        return false;
      if (value != 0 && value != 1)
        return c.fail("a layout must be 0 or 1");
      *major = value;
    }
  i.data = form;
  i.execute = executeProduct;
  return true;
}

static bool decodeWgmma(const DecodeContext &c, Instruction &i) {
  if (c.program->target != "sm_90a")
    return c.fail("needs sm_90a");
  std::string kind = i.name.size() > 1 ? i.name[1] : "";
  if (kind == "mma_async")
    return decodeProduct(c, i);
  if (kind != "fence" && kind != "commit_group" && kind != "wait_group")
    return c.fail("modifier ." + kind + " is not emulated");
  if (i.name.size() != 4 || i.name[2] != "sync" || i.name[3] != "aligned")
    return c.fail("expected .sync.aligned");
  if (kind == "wait_group") {
    if (i.dst.size() != 1 || i.dst[0].kind != Operand::Const ||
        !i.src.empty() || i.numAddresses)
      return c.fail("takes one number");
    uint64_t count = c.program->constants[i.dst[0].index]->lane[0];
    if (count > 7)
      return c.fail("the number is " + std::to_string(count) +
                    ", expected 0 to 7");
    i.extra[0] = uint32_t(count);
    i.execute = executeWait;
    return true;
  }
  if (!i.dst.empty() || !i.src.empty() || i.numAddresses)
    return c.fail("takes no operands");
  i.execute = kind == "fence" ? executeFence : executeCommit;
  return true;
}

/// setmaxnreg: what the warps of a block hold together must fit the register
/// file, or those that ask for more wait for ever. How many a kernel starts
/// with is ptxas' choice, so this is looked at when every warp has spoken.
static Step executeMaxRegisters(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  AsyncUnit::of(w).maxRegisters = i.extra[0];
  uint32_t total = 0;
  for (const auto &warp : w.block->warps) {
    uint32_t registers = AsyncUnit::of(*warp).maxRegisters;
    if (registers == 0)
      return Step::Next;
    total += registers * kLanes;
  }
  if (total > 65536)
    return w.fault(i, "the block holds " + std::to_string(total) +
                          " registers now, more than the 65536 there are");
  return Step::Next;
}

static bool decodeMaxRegisters(const DecodeContext &c, Instruction &i) {
  if (c.program->target != "sm_90a")
    return c.fail("needs sm_90a");
  if (i.name.size() != 5 || (i.name[1] != "inc" && i.name[1] != "dec") ||
      i.name[2] != "sync" || i.name[3] != "aligned" || i.name[4] != "u32")
    return c.fail("expected .inc or .dec, .sync.aligned.u32");
  if (i.dst.size() != 1 || i.dst[0].kind != Operand::Const || !i.src.empty() ||
      i.numAddresses)
    return c.fail("takes one number");
  uint64_t count = c.program->constants[i.dst[0].index]->lane[0];
  if (count < 24 || count > 256 || count % 8)
    return c.fail("the number is " + std::to_string(count) +
                  ", expected a multiple of 8 from 24 to 256");
  i.extra[0] = uint32_t(count);
  i.execute = executeMaxRegisters;
  return true;
}

void moe::emu::registerWarpgroupOpcodes() {
  registerOpcode("setmaxnreg", decodeMaxRegisters);
  registerOpcode("wgmma", decodeWgmma);
}
