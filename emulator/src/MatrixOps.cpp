//===- MatrixOps.cpp - ldmatrix, stmatrix, movmatrix, mma -----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "AsyncCopy.h"
#include "Lanes.h"
#include "Matrix.h"

using namespace moe::emu;

/// The places of the rows that lanes 0 to 8 count - 1 name.
static bool resolveRows(Warp &w, const Instruction &i, Warp::Place *rows) {
  uint64_t at[kLanes];
  w.addresses(i, 0, ~0u, at);
  unsigned lanes = 8 * i.extra[0];
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if (!w.resolve(i, i.space, at[lane], 16, lane, rows[lane]))
      return false;
    if (rows[lane].space != Space::Shared) {
      w.fault(i, "the address is not in shared memory", int(lane));
      return false;
    }
    at[lane] = rows[lane].sharedAddress;
  }
  countBanks(w, at, lanes == 32 ? ~0u : (1u << lanes) - 1, 16);
  return true;
}

static Step executeLoadMatrix(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  Warp::Place rows[kLanes];
  if (!resolveRows(w, i, rows))
    return Step::Fault;
  for (unsigned lane = 0; lane < 8 * i.extra[0]; ++lane)
    if (!checkReadable(w, i, rows[lane], 16, lane))
      return Step::Fault;
  for (unsigned n = 0; n < i.extra[0]; ++n) {
    uint64_t *d = w.row(i.dst[n]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      uint32_t word = 0;
      for (unsigned half = 0; half < 2; ++half) {
        MatrixCell cell = matrixCell(lane, half, i.extra[1]);
        uint16_t bits;
        memcpy(&bits, rows[8 * n + cell.row].data + 2 * cell.column, 2);
        word |= uint32_t(bits) << 16 * half;
      }
      d[lane] = word;
    }
  }
  return Step::Next;
}

static Step executeStoreMatrix(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  Warp::Place rows[kLanes];
  if (!resolveRows(w, i, rows))
    return Step::Fault;
  for (unsigned lane = 0; lane < 8 * i.extra[0]; ++lane) {
    if (!checkWritable(w, i, rows[lane], 16, lane))
      return Step::Fault;
    markWritten(w, rows[lane], 16);
  }
  for (unsigned n = 0; n < i.extra[0]; ++n) {
    const uint64_t *s = w.row(i.src[n]);
    for (unsigned lane = 0; lane < kLanes; ++lane)
      for (unsigned half = 0; half < 2; ++half) {
        MatrixCell cell = matrixCell(lane, half, i.extra[1]);
        uint16_t bits = uint16_t(s[lane] >> 16 * half);
        memcpy(rows[8 * n + cell.row].data + 2 * cell.column, &bits, 2);
      }
  }
  ++w.block->progress;
  return Step::Next;
}

/// ldmatrix.sync.aligned.m8n8.x4{.trans}{.shared}.b16 and stmatrix alike.
static bool decodeMatrixAccess(const DecodeContext &c, Instruction &i) {
  bool isLoad = i.name[0] == "ldmatrix";
  if (!isLoad && c.program->arch < 90)
    return c.fail("needs sm_90");
  for (size_t n = 1; n < i.name.size(); ++n) {
    const std::string &word = i.name[n];
    static const char *const known[] = {
        "sync", "aligned", "m8n8",   "x1",          "x2",
        "x4",   "trans",   "shared", "shared::cta", "b16"};
    bool found = false;
    for (const char *name : known)
      found |= word == name;
    if (!found)
      return c.fail("modifier ." + word + " is not emulated");
  }
  if (!has(i, "sync") || !has(i, "aligned") || !has(i, "m8n8") ||
      !has(i, "b16"))
    return c.fail("expected .sync.aligned.m8n8 and .b16");
  i.extra[0] = has(i, "x4") ? 4 : has(i, "x2") ? 2 : has(i, "x1") ? 1 : 0;
  i.extra[1] = has(i, "trans");
  i.space = has(i, "shared") || has(i, "shared::cta") ? Space::Shared
                                                      : Space::Generic;
  if (!i.extra[0])
    return c.fail("expected .x1, .x2 or .x4");
  if (i.numAddresses != 1)
    return c.fail("needs one address");
  if (!checkCounts(c, i, isLoad ? i.extra[0] : 0, isLoad ? 0 : i.extra[0]) ||
      !checkRows(c, i))
    return false;
  i.execute = isLoad ? executeLoadMatrix : executeStoreMatrix;
  return true;
}

static void toLanes(const uint64_t *row, Lanes &lanes) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    lanes[lane] = uint32_t(row[lane]);
}

static Step executeMoveMatrix(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  Lanes from, to;
  toLanes(w.row(i.src[0]), from);
  transposeMatrix(from, to);
  uint64_t *d = w.row(i.dst[0]);
  for (unsigned lane = 0; lane < kLanes; ++lane)
    d[lane] = to[lane];
  return Step::Next;
}

static bool decodeMoveMatrix(const DecodeContext &c, Instruction &i) {
  const std::vector<std::string> expected = {"movmatrix", "sync",  "aligned",
                                             "m8n8",      "trans", "b16"};
  if (i.name != expected)
    return c.fail("expected .sync.aligned.m8n8.trans.b16");
  if (!checkCounts(c, i, 1, 1) || !checkRows(c, i))
    return false;
  i.execute = executeMoveMatrix;
  return true;
}

static Step executeMma(Warp &w, const Instruction &i, uint32_t mask) {
  Step step = requireWholeWarp(w, i, mask);
  if (step != Step::Next)
    return step;
  const auto &shape = *static_cast<const MmaShape *>(i.data.get());
  Lanes a[4], b[2], c[4];
  unsigned at = 0;
  for (unsigned n = 0; n < shape.registersOfA(); ++n)
    toLanes(w.row(i.src[at++]), a[n]);
  for (unsigned n = 0; n < shape.registersOfB(); ++n)
    toLanes(w.row(i.src[at++]), b[n]);
  for (unsigned n = 0; n < shape.registersOfC(); ++n)
    toLanes(w.row(i.src[at++]), c[n]);
  multiplyFragments(shape, a, b, c, c);
  for (unsigned n = 0; n < shape.registersOfC(); ++n) {
    uint64_t *d = w.row(i.dst[n]);
    for (unsigned lane = 0; lane < kLanes; ++lane)
      d[lane] = c[n][lane];
  }
  return Step::Next;
}

static bool decodeMma(const DecodeContext &c, Instruction &i) {
  auto shape = std::make_shared<MmaShape>();
  std::string why;
  if (!parseMma({i.name.begin() + 1, i.name.end()}, *shape, why))
    return c.fail(why);
  if ((shape->a == Element::E4M3 || shape->a == Element::E5M2) &&
      c.program->arch < 89)
    return c.fail("needs sm_89");
  std::vector<unsigned> groups = {shape->registersOfA(), shape->registersOfB(),
                                  shape->registersOfC()};
  if (i.dst.size() != shape->registersOfC() || i.groups != groups)
    return c.fail("a fragment has a wrong number of registers");
  if (i.numAddresses || !checkRows(c, i))
    return c.fail("fragments are registers");
  i.data = shape;
  i.execute = executeMma;
  return true;
}

void moe::emu::registerMatrixOpcodes() {
  registerOpcode("ldmatrix", decodeMatrixAccess);
  registerOpcode("stmatrix", decodeMatrixAccess);
  registerOpcode("movmatrix", decodeMoveMatrix);
  registerOpcode("mma", decodeMma);
}
