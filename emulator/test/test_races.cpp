//===- test_races.cpp - Accesses to global memory without order -----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Kernels whose threads exchange values through global memory, each with the
// barrier that it needs and without: the one must run under all schedules, the
// other must be reported under all of them, or, where the order of the two
// accesses decides, under some.
#include "kernel.h"
#include <algorithm>

using namespace moe::emu;

constexpr uint64_t kSchedules = 20;

/// %r1: thread, %r2: block, %r3: lane, %x1: buffer in, %x2: buffer out, %x3:
/// byte 4 * thread of out, %x4: byte 4 * (threads - 1 - thread) of out.
static std::string kernel(const std::string &body,
                          const std::string &target = "sm_80") {
  return ".version 8.0\n.target " + target +
         "\n.address_size 64\n.visible .entry k(.param .u64 in, .param .u64 "
         "out)\n{\n.reg .pred %p<4>;\n.reg .b16 %h<4>;\n.reg .b32 %r<12>;\n"
         ".reg .b64 %x<8>;\n.shared .align 128 .b8 room[1024];\n"
         "mov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;\nmov.u32 %r3, %laneid;\n"
         "ld.param.u64 %x1, [in];\nld.param.u64 %x2, [out];\n"
         "mad.wide.u32 %x3, %r1, 4, %x2;\nmov.u32 %r4, %ntid.x;\n"
         "sub.u32 %r4, %r4, %r1;\nsub.u32 %r4, %r4, 1;\n"
         "mad.wide.u32 %x4, %r4, 4, %x2;\n" +
         body + "\nret;\n}\n";
}

struct Outcome {
  unsigned reported = 0;
  std::string report; // the last one
};

static Outcome runAll(const std::string &text, uint32_t grid, uint32_t block,
                      unsigned threads = 1) {
  Outcome outcome;
  for (uint64_t seed = 0; seed < kSchedules; ++seed) {
    Run run(text);
    run.launch.seed = seed;
    run.launch.threads = threads;
    run.buffer(std::vector<uint8_t>(16384, 1));
    run.buffer(std::vector<uint8_t>(16384, 1));
    if (run.run(grid, block))
      continue;
    ++outcome.reported;
    outcome.report = run.report;
  }
  return outcome;
}

/// No schedule has a report.
static void checkQuiet(const std::string &body, uint32_t grid, uint32_t block,
                       const std::string &target = "sm_80") {
  for (unsigned threads : {1u, 2u}) {
    Outcome outcome = runAll(kernel(body, target), grid, block, threads);
    if (!CHECK_EQ(outcome.reported, 0))
      CHECK_HAS(body + "\n" + outcome.report, "no report");
  }
}

/// All schedules have this report, or at least `least`.
static void checkReported(const std::string &body, uint32_t grid,
                          uint32_t block, const std::string &wanted,
                          unsigned least = kSchedules,
                          const std::string &target = "sm_80") {
  for (unsigned threads : {1u, 2u}) {
    Outcome outcome = runAll(kernel(body, target), grid, block, threads);
    if (!CHECK(outcome.reported >= least)) {
      CHECK_HAS(body + "\n" + std::to_string(outcome.reported) + " reports",
                wanted);
      continue;
    }
    CHECK_HAS(outcome.report, "race in global memory: ");
    CHECK_HAS(outcome.report, wanted);
  }
}

static std::string replaced(std::string text, const std::string &from,
                            const std::string &to) {
  size_t at = text.find(from);
  if (CHECK(at != std::string::npos))
    text.replace(at, from.size(), to);
  return text;
}

/// What moe.plan does: counts are written, all threads read them, and the
/// place is used again.
static void testBarrier() {
  const std::string body = "st.global.u32 [%x3], %r1;\n"
                           "bar.sync 0; // first\n"
                           "ld.global.u32 %r5, [%x4];\n"
                           "bar.sync 0; // second\n"
                           "st.global.u32 [%x3], %r5;\n";
  for (uint32_t threads : {64u, 128u, 256u}) {
    checkQuiet(body, 1, threads);
    checkReported(replaced(body, "bar.sync 0; // first", ""), 1, threads,
                  "without a barrier in between");
    checkReported(replaced(body, "bar.sync 0; // second", ""), 1, threads,
                  "without a barrier in between");
  }
  // Only half of the warps wait.
  checkReported(replaced(body, "bar.sync 0; // first",
                         "setp.lt.u32 %p1, %r1, 64;\n@%p1 bar.sync 1, 64;"),
                1, 128, "without a barrier in between");
}

/// Everything that a report names.
static void testReport() {
  const std::string body = "setp.eq.u32 %p1, %r1, 33;\n"
                           "@%p1 st.global.u32 [%x2+512], %r1; // here\n"
                           "setp.eq.u32 %p2, %r1, 2;\n"
                           "@%p2 ld.global.u32 %r5, [%x2+512]; // there\n";
  std::string text = kernel(body);
  auto line = [&](const char *mark) {
    return std::to_string(
        std::count(text.begin(), text.begin() + std::ptrdiff_t(text.find(mark)),
                   '\n') +
        1);
  };
  // Whichever comes first is recorded only if it is the store.
  bool seen = false;
  for (uint64_t seed = 0; seed < kSchedules; ++seed) {
    Run run(text);
    run.launch.seed = seed;
    run.buffer(std::vector<uint8_t>(64, 1));
    uint64_t out = run.buffer(std::vector<uint8_t>(1024, 1));
    if (run.run(1, 64))
      continue;
    char where[200];
    snprintf(where, sizeof where,
             ", at 0x%llx, byte 512 of the 1024 bytes at 0x%llx, parameter "
             "out\n    @%%p2 ld.global.u32",
             (unsigned long long)out + 512, (unsigned long long)out);
    CHECK_HAS(
        run.report,
        "kernel k, block (0, 0, 0), warp 0, lane 2, line " + line("// there") +
            ": race in global memory: reads what line " + line("// here") +
            " stored for block (0, 0, 0), warp 1, lane 1, without a "
            "barrier in between" +
            where);
    seen = true;
  }
  CHECK(seen);
}

/// Lanes of a warp that exchange through global memory.
static void testLanes() {
  const std::string body = "st.global.u32 [%x3], %r1;\n"
                           "bar.warp.sync 0xffffffff; // first\n"
                           "ld.global.u32 %r5, [%x4];\n"
                           "bar.warp.sync 0xffffffff; // second\n"
                           "st.global.u32 [%x3], %r5;\n";
  checkQuiet(body, 1, 32);
  checkReported(replaced(body, "bar.warp.sync 0xffffffff; // first", ""), 1, 32,
                "without bar.warp.sync in between");
  checkReported(replaced(body, "bar.warp.sync 0xffffffff; // second", ""), 1,
                32, "without bar.warp.sync in between");
  // One lane works, then all look.
  const std::string one = "setp.ne.u32 %p1, %r3, 5;\n@%p1 bra JOIN;\n"
                          "st.global.u32 [%x2], %r1;\nJOIN:\n"
                          "bar.warp.sync 0xffffffff;\n"
                          "ld.global.u32 %r5, [%x2];\n";
  checkQuiet(one, 1, 32);
  checkReported(replaced(one, "bar.warp.sync 0xffffffff;\n", ""), 1, 32,
                "lane 5, without bar.warp.sync in between");
}

static void testBlocks() {
  // Each block has its bytes, of one page.
  const std::string own = "mad.lo.u32 %r5, %r2, 64, %r1;\n"
                          "mad.wide.u32 %x5, %r5, 4, %x2;\n";
  checkQuiet(own + "st.global.u32 [%x5], %r1;\nbar.sync 0;\n"
                   "ld.global.u32 %r6, [%x5];\n",
             8, 64);
  // One of them reads, or writes, too far.
  checkReported(own + "st.global.u32 [%x5], %r1;\nbar.sync 0;\n"
                      "ld.global.u32 %r6, [%x5+4];\n",
                8, 64, "nothing orders blocks of a launch", kSchedules / 2);
  checkReported(own + "st.global.u32 [%x5], %r1;\nbar.sync 0;\n"
                      "st.global.u32 [%x5+4], %r1;\n",
                8, 64, "nothing orders blocks of a launch");
  // Block 0 reads what block 1 writes: one comes first in half of the
  // schedules, and both in the other order are not seen.
  checkReported("setp.eq.u32 %p1, %r2, 0;\n"
                "@%p1 ld.global.u32 %r5, [%x3];\n"
                "@!%p1 st.global.u32 [%x3], %r1;\n",
                2, 32, "for block (1, 0, 0)", 1);
  // Two blocks read what a third one writes later.
  checkReported("setp.eq.u32 %p1, %r2, 1;\n@%p1 bra READ;\n"
                "st.global.u32 [%x3], %r1;\nret;\nREAD:\n"
                "ld.global.u32 %r5, [%x3];\n",
                3, 32, "nothing orders blocks of a launch");
  // A launch begins with a clean slate.
  Run run(kernel(own + "st.global.u32 [%x5], %r1;\n"));
  run.buffer(std::vector<uint8_t>(16384, 1));
  run.buffer(std::vector<uint8_t>(16384, 1));
  for (unsigned n = 0; n < 4; ++n)
    CHECK(run.run(4, 64));
}

/// Neighbours of other widths are not mistaken for one another.
static void testWidths() {
  checkQuiet("cvt.u64.u32 %x5, %r1;\nadd.u64 %x5, %x5, %x2;\n"
             "cvt.u16.u32 %h1, %r1;\n"
             "st.global.u8 [%x5], %h1;\nst.global.v4.u32 [%x2+1024], "
             "{%r1, %r1, %r1, %r1};\n",
             1, 32);
  // 16 bytes are stored, then two bytes here and there.
  const std::string body =
      "mul.wide.u32 %x5, %r1, 16;\nadd.u64 %x5, %x5, %x2;\n"
      "st.global.v4.u32 [%x5], {%r1, %r1, %r1, %r1};\n"
      "bar.sync 0;\n"
      "xor.b32 %r5, %r1, 32;\nmul.wide.u32 %x6, %r5, 16;\n"
      "add.u64 %x6, %x6, %x2;\ncvt.u16.u32 %h1, %r1;\n"
      "ld.global.u16 %h2, [%x5+OWN];\n"
      "st.global.u16 [%x6+6], %h1;\n";
  checkQuiet(replaced(body, "OWN", "4"), 1, 64);
  checkReported(replaced(body, "OWN", "6"), 1, 64,
                "without a barrier in between");
  checkReported(replaced(replaced(body, "OWN", "4"), "bar.sync 0;\n", ""), 1,
                64, "without a barrier in between");
  // Across a boundary of pages.
  const std::string far = "setp.ne.u32 %p1, %r1, 0;\n@%p1 bra B;\n"
                          "st.global.u32 [%x2+4092], %r1;\n"
                          "st.global.u32 [%x2+4096], %r1;\nB:\n"
                          "bar.sync 0;\nld.global.u32 %r5, [%x2+4096];\n";
  checkQuiet(far, 1, 64);
  checkReported(replaced(far, "bar.sync 0;\n", ""), 1, 64, "in between", 1);
}

static void testAtomics() {
  const std::string body = "red.global.add.u32 [%x2], 1;\n"
                           "bar.sync 0;\n"
                           "ld.global.u32 %r5, [%x2];\n";
  checkQuiet(body, 1, 128);
  checkReported(replaced(body, "bar.sync 0;\n", ""), 1, 128,
                "changes atomically for block (0, 0, 0)", 1);
  // Among blocks, with one another only.
  checkQuiet("atom.global.add.u32 %r5, [%x2], 1;\n"
             "ld.relaxed.gpu.global.u32 %r6, [%x2];\n"
             "st.relaxed.gpu.global.u32 [%x2+4], %r6;\n",
             4, 64);
  checkReported("setp.eq.u32 %p1, %r2, 0;\n"
                "@%p1 st.global.u32 [%x2], 0;\n"
                "@!%p1 red.global.add.u32 [%x2], 1;\n",
                2, 32, "nothing orders blocks of a launch");
  checkReported("atom.global.add.u32 %r5, [%x2], 1;\n"
                "setp.eq.u32 %p1, %r5, 0x01010180;\n"
                "@%p1 st.global.u32 [%x2], 0;\n",
                4, 32, "nothing orders blocks of a launch");
  // A plain store behind all atomics of the block.
  checkQuiet("red.global.add.u32 [%x2], 1;\nbar.sync 0;\n"
             "setp.eq.u32 %p1, %r1, 0;\n@%p1 st.global.u32 [%x2], 0;\n",
             1, 128);
}

/// Memory that ld.global.nc reads must not change in the same launch.
static void testReadOnly() {
  const std::string body = "st.global.u32 [%x3], %r1;\nbar.sync 0;\n"
                           "ld.global.nc.u32 %r5, [%x3];\n";
  checkReported(body, 1, 64, "which ld.global.nc must not read");
  checkQuiet(replaced(body, ".nc", ""), 1, 64);
  checkQuiet("ld.global.nc.u32 %r5, [%x1];\nst.global.u32 [%x3], %r5;\n", 1,
             64);
}

/// Copies out of global memory read when they are issued.
static void testCopies() {
  const std::string body = "mov.u32 %r6, room;\nshl.b32 %r7, %r1, 2;\n"
                           "add.u32 %r6, %r6, %r7;\n"
                           "st.global.u32 [%x3], %r1;\n"
                           "bar.sync 0;\n"
                           "cp.async.ca.shared.global [%r6], [%x4], 4;\n"
                           "cp.async.wait_all;\n";
  checkQuiet(body, 1, 64);
  checkReported(replaced(body, "bar.sync 0;\n", ""), 1, 64,
                "without a barrier in between");
}

/// A bulk copy into global memory is under way until it is waited for.
static void testBulkStore() {
  const std::string body =
      "mov.u32 %r6, room;\nshl.b32 %r7, %r1, 2;\nadd.u32 %r7, %r6, %r7;\n"
      "st.shared.u32 [%r7], %r1;\nfence.proxy.async.shared::cta;\n"
      "bar.sync 0;\nsetp.ne.u32 %p1, %r1, 0;\n@%p1 bra JOIN;\n"
      "cp.async.bulk.global.shared::cta.bulk_group [%x2], [%r6], 256;\n"
      "cp.async.bulk.commit_group;\n"
      "cp.async.bulk.wait_group 0; // first\n"
      "JOIN:\n"
      "bar.sync 0; // second\n"
      "ld.global.u32 %r5, [%x3];\n"
      "@%p1 bra END;\ncp.async.bulk.wait_group 0;\nEND:\n";
  checkQuiet(body, 1, 64, "sm_90");
  checkReported(replaced(body, "cp.async.bulk.wait_group 0; // first", ""), 1,
                64, "in a copy that nothing waited for", kSchedules, "sm_90");
  checkReported(replaced(body, "bar.sync 0; // second", ""), 1, 64,
                "in between", 1, "sm_90");
}

int main() {
  testBarrier();
  testReport();
  testLanes();
  testBlocks();
  testWidths();
  testAtomics();
  testReadOnly();
  testCopies();
  testBulkStore();
  return finishChecks("test_races");
}
