//===- test_control.cpp - Memory, warps, branches and faults --------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "kernel.h"
#include <algorithm>
#include <cmath>

using namespace moe::emu;

/// A kernel k(out, in) whose thread in its block is %t, with registers to use.
static std::string kernel(const std::string &body,
                          const std::string &before = "",
                          const char *target = "sm_90") {
  return ".version 8.0\n.target " + std::string(target) +
         "\n.address_size 64\n" + before +
         ".visible .entry k(.param .u64 out, .param .u64 in)\n{\n"
         ".reg .b64 %o, %i, %x<8>;\n.reg .b32 %t, %w, %r<16>;\n"
         ".reg .b16 %h<4>;\n.reg .pred %p<8>;\n"
         "ld.param.u64 %o, [out];\nld.param.u64 %i, [in];\n"
         "mov.u32 %t, %tid.x;\nshr.u32 %w, %t, 5;\n"
         "mul.wide.u32 %x0, %t, 4;\nadd.u64 %x0, %o, %x0;\n" +
         body + "\nret;\n}\n";
}

/// What each thread stores to [%x0], for several schedules.
static std::vector<uint32_t> results(const std::string &text,
                                     uint32_t threads = 32,
                                     uint32_t schedules = 5) {
  std::vector<uint32_t> first;
  for (uint32_t seed = 0; seed < schedules; ++seed) {
    Run run(text);
    std::vector<uint32_t> in(1024);
    for (uint32_t n = 0; n < 1024; ++n)
      in[n] = n * 2654435761u;
    uint64_t out = run.buffer(threads * 4, nullptr);
    run.buffer(in);
    run.launch.seed = seed;
    if (!run.run(1, threads)) {
      CHECK_HAS(run.report, "no error");
      return std::vector<uint32_t>(threads);
    }
    std::vector<uint32_t> found = run.read<uint32_t>(out, threads);
    if (seed == 0)
      first = found;
    else
      CHECK(first == found);
  }
  return first;
}
static std::string reportOf(const std::string &text, uint32_t threads = 32) {
  Run run(text);
  std::vector<uint32_t> in(64);
  run.buffer(128, nullptr);
  run.buffer(in);
  bool good = run.run(1, threads);
  return good ? "no fault" : run.report;
}

template <class F>
static void expect(const std::string &text, F value, uint32_t threads = 32) {
  std::vector<uint32_t> found = results(text, threads);
  for (uint32_t t = 0; t < threads; ++t)
    if (!CHECK_EQ(found[t], uint32_t(value(t)))) {
      fprintf(stderr, "  thread %u of %s\n", t, text.c_str());
      break;
    }
}

static void testMemory() {
  // Sign extension, and vectors.
  expect(kernel("st.global.u32 [%x0], -2;\nld.global.s8 %r1, [%x0];\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t) { return -2; });
  expect(kernel("st.global.u32 [%x0], 0x8182;\nld.global.u8 %r1, [%x0+1];\n"
                "ld.global.s16 %r2, [%x0];\nadd.u32 %r1, %r1, %r2;\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t) { return 0x81 + 0xffff8182; });
  expect(kernel("ld.global.v4.u32 {%r1, %r2, _, %r4}, [%i+16];\n"
                "xor.b32 %r1, %r1, %r2;\nxor.b32 %r1, %r1, %r4;\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t) {
           return (4 * 2654435761u) ^ (5 * 2654435761u) ^ (7 * 2654435761u);
         });
  // Each space, named and through a generic address.
  const char *shared = ".shared .align 16 .b8 buffer[256];\n";
  expect(kernel("mov.u32 %r1, buffer;\nshl.b32 %r2, %t, 2;\n"
                "add.u32 %r1, %r1, %r2;\nst.shared.u32 [%r1], %t;\n"
                "bar.sync 0;\ncvt.u64.u32 %x1, %r1;\n"
                "cvta.shared.u64 %x1, %x1;\nld.u32 %r3, [%x1];\n"
                "st.global.u32 [%x0], %r3;",
                shared),
         [](uint32_t t) { return t; });
  expect(
      kernel("st.shared.v2.u32 [buffer+8], {%t, 7};\n"
             "ld.shared.u32 %r1, [buffer+12];\nst.global.u32 [%x0], %r1;",
             shared),
      [](uint32_t) { return 7; }, 1);
  expect(kernel(".local .align 8 .b8 own[16];\nst.local.u32 [own+4], %t;\n"
                "mov.u64 %x1, own;\ncvta.local.u64 %x1, %x1;\n"
                "ld.u32 %r1, [%x1+4];\nst.global.u32 [%x0], %r1;"),
         [](uint32_t t) { return t; });
  expect(kernel("mov.u64 %x1, table;\nand.b32 %r1, %t, 3;\n"
                "mul.wide.u32 %x2, %r1, 2;\nadd.u64 %x1, %x1, %x2;\n"
                "ld.const.s16 %r1, [%x1];\nst.global.u32 [%x0], %r1;",
                ".const .align 2 .s16 table[4] = {1, -2, 3, -4};\n"),
         [](uint32_t t) { return t % 2 ? -int(t % 4 + 1) : int(t % 4 + 1); });
  expect(kernel("ld.global.u32 %r1, [value];\nst.global.u32 [%x0], %r1;",
                ".global .align 4 .u32 value = 77;\n"),
         [](uint32_t) { return 77; });
  // Atomics return what was there, each value once.
  std::vector<uint32_t> found = results(
      kernel("atom.global.add.u32 %r1, [count], 1;\nst.global.u32 [%x0], %r1;",
             ".global .align 4 .u32 count;\n"),
      256, 1);
  std::sort(found.begin(), found.end());
  for (uint32_t n = 0; n < 256; ++n)
    CHECK_EQ(found[n], n);
  static const struct {
    const char *op;
    uint32_t before, value, after;
  } atomics[] = {{"add.u32", 5, 7, 12},
                 {"min.s32", 5, 0xfffffffe, 0xfffffffe},
                 {"min.u32", 5, 0xfffffffe, 5},
                 {"max.s32", 5, 0xfffffffe, 5},
                 {"and.b32", 12, 10, 8},
                 {"or.b32", 12, 10, 14},
                 {"xor.b32", 12, 10, 6},
                 {"exch.b32", 12, 10, 10},
                 {"inc.u32", 10, 10, 0},
                 {"inc.u32", 9, 10, 10},
                 {"dec.u32", 0, 10, 10},
                 {"dec.u32", 9, 10, 8},
                 {"add.f32", 0x3f800000, 0x40000000, 0x40400000},
                 {"add.noftz.f16x2", 0x3c003c00, 0x40003c00, 0x42004000},
                 {"add.noftz.bf16x2", 0x3f803f80, 0x3f804000, 0x40004040}};
  for (const auto &a : atomics)
    expect(kernel("st.global.u32 [%x0], " + std::to_string(a.before) +
                  ";\nmov.u32 %r1, " + std::to_string(a.value) +
                  ";\natom.global." + a.op + " %r2, [%x0], %r1;"),
           [&](uint32_t) { return a.after; });
  expect(kernel("st.global.u32 [%x0], %t;\n"
                "atom.global.cas.b32 %r1, [%x0], 3, 100;"),
         [](uint32_t t) { return t == 3 ? 100 : t; });
}

static void testWarps() {
  static const struct {
    const char *mode;
    int (*from)(int lane, int by);
    unsigned clamp;
  } modes[] = {{"up", [](int l, int by) { return l - by; }, 0},
               {"down", [](int l, int by) { return l + by; }, 31},
               {"bfly", [](int l, int by) { return l ^ by; }, 31},
               {"idx", [](int, int by) { return by; }, 31}};
  for (const auto &m : modes)
    for (int by : {0, 1, 5, 16, 31})
      expect(kernel("mad.lo.u32 %r1, %t, 3, 100;\nshfl.sync." +
                    std::string(m.mode) + ".b32 %r2|%p1, %r1, " +
                    std::to_string(by) + ", " + std::to_string(m.clamp) +
                    ", -1;\nselp.u32 %r3, 1000, 0, %p1;\n"
                    "add.u32 %r2, %r2, %r3;\nst.global.u32 [%x0], %r2;"),
             [&](uint32_t t) {
               int from = m.from(int(t), by);
               bool good = from >= 0 && from < 32;
               return (good ? uint32_t(from) : t) * 3 + 100 + (good ? 1000 : 0);
             });
  // Segments of 8 lanes.
  expect(kernel("shfl.sync.down.b32 %r1, %t, 3, 0x181f, -1;\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t t) { return t % 8 + 3 < 8 ? t + 3 : t; });
  expect(kernel("shfl.sync.idx.b32 %r1, %t, 2, 0x181f, -1;\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t t) { return t / 8 * 8 + 2; });
  expect(kernel("setp.lt.u32 %p1, %t, 5;\nvote.sync.ballot.b32 %r1, %p1, -1;\n"
                "vote.sync.any.pred %p2, %p1, -1;\n"
                "vote.sync.all.pred %p3, %p1, -1;\n"
                "vote.sync.uni.pred %p4, %p1, -1;\n"
                "selp.u32 %r2, 256, 0, %p2;\nadd.u32 %r1, %r1, %r2;\n"
                "selp.u32 %r2, 512, 0, %p3;\nadd.u32 %r1, %r1, %r2;\n"
                "selp.u32 %r2, 1024, 0, %p4;\nadd.u32 %r1, %r1, %r2;\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t) { return 31 + 256; });
  expect(kernel("and.b32 %r1, %t, 3;\nmatch.any.sync.b32 %r2, %r1, -1;\n"
                "st.global.u32 [%x0], %r2;"),
         [](uint32_t t) { return 0x11111111u << (t & 3); });
  static const struct {
    const char *op;
    uint32_t result;
  } reductions[] = {{"add.u32", 496}, {"min.u32", 0}, {"max.s32", 31},
                    {"and.b32", 0},   {"or.b32", 31}, {"xor.b32", 0}};
  for (const auto &r : reductions)
    expect(kernel("redux.sync." + std::string(r.op) +
                  " %r1, %t, -1;\nst.global.u32 [%x0], %r1;"),
           [&](uint32_t) { return r.result; });
  expect(kernel("elect.sync %r1|%p1, -1;\nselp.u32 %r2, 50, 0, %p1;\n"
                "add.u32 %r1, %r1, %r2;\nst.global.u32 [%x0], %r1;"),
         [](uint32_t t) { return t == 0 ? 50 : 0; });
}

static void testBranches() {
  // Branches in branches; lanes join again.
  expect(kernel("mov.u32 %r1, 0;\nand.b32 %r2, %t, 1;\n"
                "setp.eq.u32 %p1, %r2, 0;\n@%p1 bra A;\nand.b32 %r2, %t, 2;\n"
                "setp.eq.u32 %p1, %r2, 0;\n@%p1 bra B;\nadd.u32 %r1, %r1, 1;\n"
                "bra C;\nB:\nadd.u32 %r1, %r1, 10;\nC:\n"
                "add.u32 %r1, %r1, 100;\nA:\nactivemask.b32 %r3;\n"
                "setp.eq.u32 %p2, %r3, -1;\nselp.u32 %r3, 1000, 0, %p2;\n"
                "add.u32 %r1, %r1, %r3;\nst.global.u32 [%x0], %r1;"),
         [](uint32_t t) {
           return 1000 + (t % 2 == 0 ? 0 : t & 2 ? 101 : 110);
         });
  // A loop of another length in each lane, with a way out in the middle.
  expect(kernel("mov.u32 %r1, 0;\nmov.u32 %r2, 0;\nLOOP:\n"
                "setp.ge.u32 %p1, %r2, %t;\n@%p1 bra DONE;\n"
                "add.u32 %r1, %r1, %r2;\nadd.u32 %r2, %r2, 1;\n"
                "setp.ne.u32 %p1, %r2, 20;\n@%p1 bra LOOP;\nDONE:\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t t) {
           uint32_t n = t < 20 ? t : 20;
           return n * (n - 1) / 2;
         });
  // Lanes that leave early; the others still meet.
  expect(
      kernel("st.global.u32 [%x0], 1;\nsetp.gt.u32 %p1, %t, 40;\n"
             "@%p1 exit;\nbar.warp.sync 0xffffffff;\nbar.sync 0;\n"
             "st.global.u32 [%x0], 2;"),
      [](uint32_t t) { return t > 40 ? 1 : 2; }, 64);
  // Labels belong to their braces.
  expect(kernel("mov.u32 %r1, 0;\n{\n.reg .b32 %r1;\nmov.u32 %r1, 5;\n"
                "bra L;\nL:\nadd.u32 %r1, %r1, 1;\n}\n{\nbra L;\nL:\n}\n"
                "st.global.u32 [%x0], %r1;"),
         [](uint32_t) { return 0; });
}

static void testBarriers() {
  // Reductions over the block.
  expect(
      kernel("setp.lt.u32 %p1, %t, 70;\n"
             "barrier.sync 1;\nbar.red.popc.u32 %r1, 0, %p1;\n"
             "bar.red.and.pred %p2, 0, %p1;\nbar.red.or.pred %p3, 0, %p1;\n"
             "selp.u32 %r2, 1000, 0, %p2;\nselp.u32 %r3, 2000, 0, %p3;\n"
             "add.u32 %r1, %r1, %r2;\nadd.u32 %r1, %r1, %r3;\n"
             "st.global.u32 [%x0], %r1;"),
      [](uint32_t) { return 2070; }, 128);
  // One warp makes, the others wait for it.
  expect(
      kernel("setp.ne.u32 %p1, %w, 0;\n@%p1 bra WAIT;\n"
             "st.shared.u32 [buffer], 9;\nbar.arrive 3, 128;\n"
             "st.global.u32 [%x0], 9;\nbra END;\nWAIT:\nbar.sync 3, 128;\n"
             "ld.shared.u32 %r1, [buffer];\nst.global.u32 [%x0], %r1;\nEND:",
             ".shared .align 4 .b8 buffer[4];\n"),
      [](uint32_t) { return 9; }, 128);
}

static void testFaults() {
  const char *shared = ".shared .align 16 .b8 buffer[64];\n";
  const struct {
    std::string text, report;
    uint32_t threads;
  } faults[] = {
      {kernel("ld.global.u32 %r1, [%i+256];"),
       "line 16: global address 0x7e0000001300 (4 bytes) is in no allocation",
       32},
      {kernel("st.global.u32 [%o+126], 1;"), "is not a multiple of 4", 32},
      {kernel("st.global.v4.u32 [%o+8], {%t, %t, %t, %t};"),
       "is not a multiple of 16", 32},
      {kernel("ld.global.u32 %r1, [%x0];"),
       "reads global memory that nothing wrote", 32},
      {kernel("mov.u64 %x1, 0;\nld.u8 %r1, [%x1];"),
       "global address 0x0 (1 bytes) is in no allocation", 32},
      {kernel("st.shared.u32 [buffer+64], 1;", shared),
       "shared address 0x440 is out of bounds, [0x400, 0x440) is there", 32},
      {kernel("mov.u32 %r1, 0;\nst.shared.u32 [%r1], 1;", shared),
       "shared address 0x0 is out of bounds", 32},
      {kernel("ld.shared.u32 %r1, [buffer];", shared),
       "reads shared memory that nothing wrote", 32},
      {kernel(".local .b32 own[4];\nld.local.u32 %r1, [own];"),
       "reads local memory that nothing wrote", 32},
      {kernel(".local .b32 own[4];\nmov.u64 %x1, own;\n"
              "st.local.u32 [%x1+16], 1;"),
       "local address 0x10 is out of bounds", 32},
      {kernel("ld.param.u32 %r1, [in+8];"),
       "parameter address 0x10 is out of bounds", 32},
      {kernel("trap;"), "trap", 32},
      {kernel("LOOP:\nbra LOOP;"),
       "the kernel has not ended after 1000000 warp instructions", 32},
      {kernel("setp.eq.u32 %p1, %t, 40;\n@%p1 trap;"),
       "block (0, 0, 0), warp 1, lane 8, line 17: trap", 64},
      {kernel("setp.lt.u32 %p1, %t, 5;\n@%p1 bar.sync 0;"),
       "not all lanes of the warp execute the barrier", 32},
      {kernel("setp.eq.u32 %p1, %w, 0;\n@%p1 bra A;\nbar.sync 1;\nA:\n"
              "bar.sync 0;"),
       "deadlock: no warp can go on", 64},
      {kernel("bar.sync 0, 96;"), "deadlock: no warp can go on", 64},
      {kernel("bar.sync 0, 40;"),
       "a barrier's threads must be a multiple of "
       "32, got 40",
       64},
      {kernel("mad.lo.u32 %r1, %w, 32, 64;\nbar.sync 0, %r1;"),
       "barrier 0 is in use for", 64},
      {kernel("bar.sync 16;"), "no barrier 16", 32},
      {kernel("setp.lt.u32 %p1, %t, 5;\n"
              "@%p1 shfl.sync.idx.b32 %r1, %t, 0, 31, -1;"),
       "lanes of the member mask do not execute it", 32},
      {kernel("shfl.sync.idx.b32 %r1, %t, 0, 31, 0xffff;"),
       "a lane is not in its own member mask", 32},
      {kernel("shfl.sync.idx.b32 %r1, %t, 0, 31, %t;"),
       "lanes have different member masks", 32},
      {kernel("setp.lt.u32 %p1, %t, 5;\n@!%p1 bra A;\n"
              "shfl.sync.idx.b32 %r1, %t, 31, 31, 31;\nA:"),
       "reads a lane that does not take part", 32},
      {kernel("setp.lt.u32 %p1, %t, 5;\n@!%p1 bra A;\n"
              "bar.warp.sync -1;\nbra B;\nA:\nvote.sync.any.pred %p2, %p1, "
              "-1;\nB:"),
       "deadlock: no warp can go on", 32}};
  for (const auto &f : faults) {
    std::string report = reportOf(f.text, f.threads);
    CHECK_HAS(report, f.report);
    CHECK_HAS(report, "kernel k, block (0, 0, 0), warp ");
  }
}

static void testRefusals() {
  static const struct {
    const char *body, *error;
  } refusals[] = {
      {"frobnicate.b32 %r1, %r2;", "line 16: instruction 'frobnicate' is not "
                                   "emulated"},
      {"add.odd.u32 %r1, %r2, %r3;", "'add.odd.u32': modifier .odd is not "
                                     "emulated"},
      {"add.u32 %r1, %r2, %r99;", "line 16: no register '%r99'"},
      {"bra NOWHERE;", "line 16: no label 'NOWHERE'"},
      {"A:\nA:\nret;", "line 17: label 'A' is declared twice"},
      {"add.u32 %r1, %r2;", "takes 1 results and 2 operands, has 1 and 1"},
      {"add.u32 %r1 %r2, %r3;", "expected ',', found '%r2'"},
      {"add.u32 %r1, %r2, ;", "an operand is missing"},
      {"add.u32 %r1, %r2, %r3", "expected ',', found 'ret'"},
      {".reg .b32 %q<70000>;", "too many registers"},
      {".reg .b32 %r1;\n", "no error"},
      {".reg .b128 %q;", "registers of 128 bits are not emulated"},
      {"mov.u32 %r1, %nosuch;", "no register '%nosuch'"},
      {"@%r1 bra A;\nA:", "the guard '%r1' is no predicate"},
      {"ld.global.b128 %r1, [%i];", "the type is not emulated"},
      {"atom.global.exch.b128 %r1, [%i], %r2;", "the type is not emulated"},
      {"mov.b128 %x1, {%x2, %x3};", "cannot pack this"},
      {"mul.lo.u32 %r1, {%r2, {%r3}}, 1;", "braces in braces"},
      {"mov.u32 %r1, 12345678901234567890123;", "no such number"},
      {"mov.u32 %r1, 0f123;", "no such number"},
      {"shfl.up.b32 %r1, %r2, 1, 0;", "only the form with .sync is there"},
      {"call foo;", "instruction 'call' is not emulated"},
      {"/* no end", "a comment does not end"}};
  for (const auto &r : refusals) {
    std::string error = parseErrorOf(kernel(r.body));
    CHECK_HAS(error.empty() ? "no error" : error, r.error);
  }
  CHECK_HAS(parseErrorOf(".version 8.0\n.target sm_70\n"),
            "line 2: the target is 'sm_70'");
  CHECK_HAS(parseErrorOf(""), "no .target");
  CHECK_HAS(parseErrorOf(".version 8.0\n.target sm_90\n.visible .entry k()\n{"),
            "the kernel does not end");
  // What the driver refuses.
  std::string text = kernel("");
  Run wide(text);
  wide.buffer(4, nullptr);
  wide.buffer(4, nullptr);
  CHECK(!wide.run(1, 1025));
  CHECK_HAS(wide.report, "the block is (1025, 1, 1), expected");
  Run huge(kernel(".reg .b32 %huge<65000>;\n.local .b8 much[500000];"));
  huge.buffer(4, nullptr);
  huge.buffer(4, nullptr);
  CHECK(huge.run(1, 32));
  CHECK(!huge.run(1, 1024));
  CHECK_HAS(huge.report, "bytes, expected at most 1073741824");
  Run large(kernel("st.shared.u8 [big], 1;", ".shared .b8 big[50000];\n"));
  large.buffer(4, nullptr);
  large.buffer(4, nullptr);
  CHECK(!large.run());
  CHECK_HAS(large.report, "bytes of shared memory, expected at most 49152");
}

/// Deep braces, many labels and long lists take time and room in proportion.
static void testHostile() {
  std::string deep;
  for (int n = 0; n < 100; ++n)
    deep += "{";
  CHECK_HAS(parseErrorOf(kernel(deep)), "blocks nest too deeply");
  std::string braces = ".reg .b32 %many<60000>;\n";
  for (int n = 0; n < 100000; ++n)
    braces += "{}";
  CHECK(parseErrorOf(kernel(braces)).empty());
  std::string labels;
  for (int n = 0; n < 200000; ++n)
    labels += "L" + std::to_string(n) + ":";
  CHECK(parseErrorOf(kernel(labels)).empty());
  std::string operands = "add.u32 %r1";
  for (int n = 0; n < 5000; ++n)
    operands += ", %r2";
  CHECK_HAS(parseErrorOf(kernel(operands + ";")), "too many operands");
  std::string variables;
  for (int n = 0; n < 300; ++n)
    variables += ".shared .b8 v" + std::to_string(n) + "[268435456];\n";
  std::string uses;
  for (int n = 0; n < 300; ++n)
    uses += "mov.u32 %r1, v" + std::to_string(n) + ";\n";
  CHECK_HAS(parseErrorOf(kernel(uses, variables)), "too much shared memory");
}

/// Text as compilers write it.
static void testCompilers() {
  CHECK(parseErrorOf(readPtx("llvm-sm90a.ptx")).empty());
  // Rows of 100 numbers; the kernel multiplies with 1, 2, 3, 4 in turn.
  const int n = 100;
  Random rng(3);
  std::vector<float> x(3 * n);
  for (float &value : x)
    value = 4 * rng.uniform();
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Run run(readPtx("nvcc-sm80.ptx"), "softmax");
    run.buffer(x);
    uint64_t out = run.buffer(x.size() * 4, nullptr);
    run.scalar(int32_t(n));
    run.launch.dynamicShared = n * 4;
    run.launch.seed = seed;
    if (!CHECK(run.run(3, 64))) {
      fprintf(stderr, "  %s\n", run.report.c_str());
      return;
    }
    std::vector<float> y = run.read<float>(out, x.size());
    for (int row = 0; row < 3; ++row) {
      double sum = 0;
      for (int i = 0; i < n; ++i)
        sum += std::exp(double(x[row * n + i]));
      bool good = true;
      for (int i = 0; i < n; ++i) {
        double want = std::exp(double(x[row * n + i])) / sum * (i % 4 + 1);
        good &= std::fabs(y[row * n + i] - want) < 1e-5 * want;
      }
      CHECK(good);
    }
  }
}

int main() {
  testCompilers();
  testMemory();
  testWarps();
  testBranches();
  testBarriers();
  testFaults();
  testRefusals();
  testHostile();
  return finishChecks("test_control");
}
