// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Small kernels for every asynchronous instruction: what a right one does, and
// what each mistake is called.
#include "kernels.h"

using namespace moe::emu;

/// A kernel of threads that have: %rd1 = in (4 KiB of words 0, 1, ...), %rd2 =
/// out (4 KiB of zeros), %r1 = tid, %r2 = lane, %p1 = thread 0, `smem`.
static std::string kernelWith(const std::string &body,
                              const char *target = "sm_90a") {
  return std::string(".version 8.3\n.target ") + target +
         "\n.address_size 64\n.extern .shared .align 1024 .b8 smem[];\n"
         ".visible .entry k(.param .u64 in, .param .u64 out)\n{\n"
         ".reg .pred %p<9>;\n.reg .b16 %rs<9>;\n.reg .b32 %r<99>;\n"
         ".reg .b64 %rd<29>;\n.reg .f32 %f<99>;\n"
         "ld.param.u64 %rd1, [in];\nld.param.u64 %rd2, [out];\n"
         "mov.u32 %r1, %tid.x;\nmov.u32 %r2, %laneid;\n"
         "setp.eq.u32 %p1, %r1, 0;\n" +
         body + "\nret;\n}\n";
}

struct Result {
  std::string report;
  std::vector<uint32_t> out;
  Statistics statistics;
};

static Result runBody(const std::string &body, uint32_t threads = 32,
                      uint64_t seed = 0, const char *target = "sm_90a") {
  MatrixRun run(kernelWith(body, target), seed);
  Result result;
  if (!run.program) {
    result.report = run.report;
    return result;
  }
  run.launch.budget = 2'000'000;
  std::vector<uint32_t> words(1024);
  for (uint32_t n = 0; n < words.size(); ++n)
    words[n] = n;
  run.scalar(run.place(words));
  uint64_t out = run.place(std::vector<uint32_t>(1024));
  run.scalar(out);
  result.report = run.finish(1, threads, 65536).report;
  result.out = run.read<uint32_t>(out, 1024);
  result.statistics = run.statistics;
  return result;
}

/// The mistake is reported under every schedule.
static void checkFault(const std::string &body, const char *text,
                       uint32_t threads = 32) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Result result = runBody(body, threads, seed);
    if (!CHECK_HAS(result.report, text)) {
      fprintf(stderr, "  seed %d of:\n%s\n", int(seed), body.c_str());
      return;
    }
  }
}

static void checkWords(const std::string &body,
                       const std::vector<uint32_t> &expected,
                       uint32_t threads = 32) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Result result = runBody(body, threads, seed);
    bool good = result.report.empty();
    for (size_t n = 0; good && n < expected.size(); ++n)
      good &= result.out[n] == expected[n];
    if (CHECK(good))
      continue;
    fprintf(stderr, "  seed %d of:\n%s\n  %s\n ", int(seed), body.c_str(),
            result.report.c_str());
    for (size_t n = 0; n < expected.size(); ++n)
      fprintf(stderr, " %x", result.out[n]);
    fprintf(stderr, "\n");
    return;
  }
}

static void checkRefused(const std::string &instruction, const char *text,
                         const char *target = "sm_90a") {
  std::string error = parseErrorOf(kernelWith(instruction, target));
  if (!CHECK_HAS(error, text))
    fprintf(stderr, "  %s\n", instruction.c_str());
}

//===----------------------------------------------------------------------===//
// cp.async
//===----------------------------------------------------------------------===//

/// Addresses of 16 bytes for each lane: %rd3 global, %r3 shared.
static const std::string perLane =
    "shl.b32 %r4, %r2, 4;\ncvt.u64.u32 %rd4, %r4;\nadd.u64 %rd3, %rd1, %rd4;\n"
    "mov.u64 %rd5, smem;\ncvt.u32.u64 %r5, %rd5;\nadd.u32 %r3, %r5, %r4;\n"
    "add.u64 %rd6, %rd2, %rd4;\n";
static const std::string show =
    "ld.shared.v4.b32 {%r10, %r11, %r12, %r13}, [%r3];\n"
    "st.global.v4.b32 [%rd6], {%r10, %r11, %r12, %r13};\n";

static void testCopies() {
  std::string copy = perLane + "cp.async.cg.shared.global [%r3], [%rd3], 16;\n";
  std::vector<uint32_t> words(128);
  for (uint32_t n = 0; n < 128; ++n)
    words[n] = n;
  checkWords(copy + "cp.async.commit_group;\ncp.async.wait_group 0;\n" + show,
             words);
  checkWords(copy + "cp.async.wait_all;\n" + show, words);
  // Zeros behind the source's 4 bytes.
  std::vector<uint32_t> first(128);
  for (uint32_t n = 0; n < 128; n += 4)
    first[n] = n;
  checkWords(perLane +
                 "cp.async.ca.shared.global [%r3], [%rd3], 16, 4;\n"
                 "cp.async.wait_all;\n" +
                 show,
             first);
  // Nothing is read from an address with no memory behind it.
  checkWords(perLane +
                 "mov.b64 %rd3, 4096;\nmov.b32 %r6, 0;\n"
                 "cp.async.ca.shared.global [%r3], [%rd3], 16, %r6;\n"
                 "cp.async.wait_all;\n" +
                 show,
             std::vector<uint32_t>(128));
  // All of the source ignored.
  checkWords(perLane +
                 "setp.eq.u32 %p4, %r2, %r2;\n"
                 "cp.async.ca.shared.global [%r3], [%rd3], 16, %p4;\n"
                 "cp.async.wait_all;\n" +
                 show,
             std::vector<uint32_t>(128));
  const char *early = "reads shared memory that a copy in flight will write";
  checkFault(copy + show, early);
  checkFault(copy + "cp.async.wait_group 0;\n" + show, early);
  checkFault(copy + "cp.async.commit_group;\ncp.async.wait_group 1;\n" + show,
             early);
  checkFault(copy + "st.shared.b32 [%r3], %r1;\n",
             "writes memory that a copy in flight will write");
  checkFault(copy + "cp.async.ca.shared.global [%r3], [%rd3], 4;\n",
             "overwrites shared memory that a copy in flight will write");
  // The older of two groups is there.
  std::string two = copy +
                    "cp.async.commit_group;\n"
                    "cp.async.cg.shared.global [%r3+512], [%rd3+512], 16;\n"
                    "cp.async.commit_group;\ncp.async.wait_group 1;\n";
  checkWords(two + show, words);
  checkFault(two + "ld.shared.b32 %r10, [%r3+512];\n", early);
  // Another lane's wait is not one's own.
  checkFault(copy + "cp.async.commit_group;\n@%p1 cp.async.wait_group 0;\n" +
                 show,
             early);

  checkFault(perLane + "cp.async.cg.shared.global [%r3+8], [%rd3], 16;\n",
             "is not a multiple of 16");
  checkFault(perLane + "cp.async.cg.shared.global [%r3], [%rd3+8], 16;\n",
             "is not a multiple of 16");
  checkFault(perLane + "cp.async.cg.shared.global [%r3+65536], [%rd3], 16;\n",
             "out of bounds");
  checkFault(perLane + "cp.async.cg.shared.global [%r3], [%rd3+4096], 16;\n",
             "is in no allocation");
  checkFault(perLane + "cp.async.ca.shared.global [%r3], [%rd3], 8, 9;\n",
             "more than the copy's 8");
  checkRefused("cp.async.cg.shared.global [smem], [%rd1], 8;", "expected 16");
  checkRefused("cp.async.ca.shared.global [smem], [%rd1], 12;",
               "expected 4, 8 or 16");
  checkRefused("cp.async.ca.global.shared [%rd1], [smem], 16;",
               "modifier .global is not emulated");
  checkRefused("cp.async.wait_group %r1;", "takes one number");
  checkRefused("cp.async.wait_group.read 0;", "modifier .read");

  // An mbarrier that counts copies. 32 lanes arrive.
  std::string arrive =
      perLane + "mov.u64 %rd7, smem;\n"
                "@%p1 mbarrier.init.shared.b64 [%rd7+4096], 32;\n"
                "bar.warp.sync -1;\n"
                "cp.async.cg.shared.global [%r3], [%rd3], 16;\n"
                "cp.async.mbarrier.arrive.noinc.shared.b64 [%rd7+4096];\n";
  std::string wait =
      "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%rd7+4096], 0;\n"
      "@!%p2 bra WAIT;\n";
  checkWords(arrive + wait + show, words);
  std::string early2 = arrive + show;
  checkFault(early2, early);
  // Without .noinc an arrival of the lane's own is needed as well.
  std::string increments = arrive;
  increments.erase(increments.find(".noinc"), 6);
  checkFault(increments + wait + show, "livelock");
  checkWords(increments + "mbarrier.arrive.shared.b64 %rd8, [%rd7+4096];\n" +
                 wait + show,
             words);
}

//===----------------------------------------------------------------------===//
// mbarrier
//===----------------------------------------------------------------------===//

static void testBarriers() {
  std::string init = "mov.u64 %rd7, smem;\n"
                     "@%p1 mbarrier.init.shared.b64 [%rd7], 2;\n"
                     "bar.warp.sync -1;\n@!%p1 bra END;\n";
  std::string end = "END:\n";
  checkWords(init +
                 "mbarrier.arrive.shared.b64 %rd8, [%rd7];\n"
                 "mbarrier.test_wait.shared.b64 %p2, [%rd7], %rd8;\n"
                 "selp.u32 %r10, 1, 0, %p2;\n"
                 "mbarrier.pending_count.b64 %r11, %rd8;\n"
                 "mbarrier.arrive.release.cta.shared::cta.b64 %rd9, [%rd7];\n"
                 "mbarrier.pending_count.b64 %r12, %rd9;\n"
                 "mbarrier.test_wait.shared.b64 %p2, [%rd7], %rd8;\n"
                 "selp.u32 %r13, 1, 0, %p2;\n"
                 "st.global.v4.b32 [%rd2], {%r10, %r11, %r12, %r13};\n"
                 "mbarrier.try_wait.parity.shared.b64 %p2, [%rd7], 0, 1000;\n"
                 "selp.u32 %r10, 1, 0, %p2;\n"
                 "mbarrier.test_wait.parity.shared.b64 %p2, [%rd7], 1;\n"
                 "selp.u32 %r11, 1, 0, %p2;\n"
                 "st.global.v2.b32 [%rd2+16], {%r10, %r11};\n"
                 "mbarrier.inval.shared.b64 [%rd7];\n"
                 "mbarrier.init.shared.b64 [%rd7], 1;\n" +
                 end,
             {0, 2, 1, 1, 1, 0});
  // Through a cluster address, which is that of the one block.
  checkWords(init +
                 "cvt.u32.u64 %r3, %rd7;\n"
                 "mapa.shared::cluster.u32 %r4, %r3, 0;\n"
                 "mbarrier.arrive.release.cluster.shared::cluster.b64 _, "
                 "[%r4];\n"
                 "mbarrier.arrive.release.cluster.shared::cluster.b64 _, "
                 "[%r4], 1;\n"
                 "mbarrier.test_wait.parity.shared.b64 %p2, [%rd7], 0;\n"
                 "selp.u32 %r10, 1, 0, %p2;\nst.global.b32 [%rd2], %r10;\n" +
                 end,
             {1});
  // A generic address.
  checkWords(init +
                 "cvta.shared.u64 %rd9, %rd7;\n"
                 "mbarrier.arrive.b64 %rd8, [%rd9], 2;\n"
                 "mbarrier.test_wait.parity.b64 %p2, [%rd9], 0;\n"
                 "selp.u32 %r10, 1, 0, %p2;\nst.global.b32 [%rd2], %r10;\n" +
                 end,
             {1});
  // Transactions by hand.
  checkWords(init +
                 "mbarrier.arrive.expect_tx.shared.b64 %rd8, [%rd7], 64;\n"
                 "mbarrier.expect_tx.relaxed.cta.shared.b64 [%rd7], 16;\n"
                 "mbarrier.arrive.shared.b64 %rd8, [%rd7];\n"
                 "mbarrier.complete_tx.shared.b64 [%rd7], 64;\n"
                 "mbarrier.test_wait.parity.shared.b64 %p2, [%rd7], 0;\n"
                 "selp.u32 %r10, 1, 0, %p2;\n"
                 "mbarrier.complete_tx.shared.b64 [%rd7], 16;\n"
                 "mbarrier.test_wait.parity.shared.b64 %p2, [%rd7], 0;\n"
                 "selp.u32 %r11, 1, 0, %p2;\n"
                 "st.global.v2.b32 [%rd2], {%r10, %r11};\n" +
                 end,
             {0, 1});

  checkFault("mov.u64 %rd7, smem;\nmbarrier.arrive.shared.b64 %rd8, [%rd7];\n",
             "there is no mbarrier at shared address");
  checkFault(init + "mbarrier.init.shared.b64 [%rd7], 1;\n" + end,
             "is made again without mbarrier.inval");
  checkFault(init +
                 "mbarrier.inval.shared.b64 [%rd7];\n"
                 "mbarrier.arrive.shared.b64 %rd8, [%rd7];\n" +
                 end,
             "there is no mbarrier");
  checkFault(init + "mbarrier.arrive.shared.b64 %rd8, [%rd7], 3;\n" + end,
             "3 arrivals on an mbarrier with 2 pending");
  checkFault(init + "mov.b32 %r10, 7;\nst.shared.b32 [%rd7+4], %r10;\n" + end,
             "overwrites an mbarrier");
  checkFault(init + "ld.shared.b64 %rd8, [%rd7];\n" + end,
             "reads an mbarrier as if it were data");
  checkFault(init + "mbarrier.init.shared.b64 [%rd7+8], 0;\n" + end,
             "count is 0");
  checkFault(init + "mbarrier.init.shared.b64 [%rd7+12], 1;\n" + end,
             "is not a multiple of 8");
  checkFault(init + "mbarrier.expect_tx.shared.b64 [%rd7], 1048576;\n" + end,
             "exceeds 1048575 bytes");
  checkFault(init + "mbarrier.complete_tx.shared.b64 [%rd7], 16;\n" + end,
             "16 bytes completed on an mbarrier that expects 0");
  checkFault(init + "mbarrier.test_wait.parity.shared.b64 %p2, [%rd7], 2;\n" +
                 end,
             "the parity is 2");
  checkFault(init + "mapa.shared::cluster.u64 %rd8, %rd7, 1;\n" + end,
             "the cluster has no block 1");
  checkFault(init +
                 "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%rd7], "
                 "0;\n@!%p2 bra WAIT;\n" +
                 end,
             "phase 0: 2 of 2 arrivals pending");
  // All lanes arrive at a barrier for two.
  checkFault("mov.u64 %rd7, smem;\n"
             "@%p1 mbarrier.init.shared.b64 [%rd7], 31;\nbar.warp.sync -1;\n"
             "mbarrier.expect_tx.shared.b64 [%rd7], 16;\n"
             "mbarrier.arrive.shared.b64 %rd8, [%rd7];\n",
             "arrivals on an mbarrier with 0 pending");

  checkRefused("mbarrier.arrive.noComplete.shared.b64 %rd8, [smem], 1;",
               "modifier .noComplete is not emulated");
  checkRefused("mbarrier.arrive_drop.shared.b64 %rd8, [smem];",
               "threads that leave an mbarrier");
  checkRefused("mbarrier.init.shared.b32 [smem], 1;", "not emulated");
  checkRefused("mbarrier.init.global.b64 [%rd1], 1;", "modifier .global");
  checkRefused("mbarrier.test_wait.parity.shared.b64 %r1, [smem], 0;",
               "must be a predicate");
  checkRefused("mbarrier.try_wait.parity.shared.b64 %p2, [smem], 0;",
               "needs sm_90", "sm_80");
}

//===----------------------------------------------------------------------===//
// Bulk copies
//===----------------------------------------------------------------------===//

static const std::string oneThread =
    "@!%p1 bra END;\nmov.u64 %rd7, smem;\n"
    "mbarrier.init.shared.b64 [%rd7+8192], 1;\n";
static const std::string initFence = "fence.mbarrier_init.release.cluster;\n";
static const std::string expect =
    "mbarrier.arrive.expect_tx.shared.b64 %rd8, [%rd7+8192], 256;\n";
static std::string load(const char *to = "%rd7", const char *from = "%rd1",
                        const char *size = "256") {
  return std::string("cp.async.bulk.shared::cluster.global.mbarrier::complete_"
                     "tx::bytes [") +
         to + "], [" + from + "], " + size + ", [%rd7+8192];\n";
}
static const std::string wait =
    "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%rd7+8192], 0;\n"
    "@!%p2 bra WAIT;\n";
static const std::string look = "ld.shared.v2.b32 {%r10, %r11}, [%rd7+248];\n"
                                "st.global.v2.b32 [%rd2], {%r10, %r11};\n";
static const std::string end = "END:\n";

static void testLoads() {
  checkWords(oneThread + initFence + expect + load() + wait + look + end,
             {62, 63});
  checkWords(oneThread + "fence.proxy.async;\n" + expect + load() + wait +
                 look + end,
             {62, 63});
  const char *early = "reads shared memory that a copy in flight will write";
  checkFault(oneThread + initFence + expect + load() + look + end, early);
  checkFault(oneThread + expect + load() + wait + look + end,
             "the asynchronous proxy does not know it");
  checkFault(oneThread + initFence + expect + load() +
                 "st.shared.b32 [%rd7+16], %r1;\n" + end,
             "writes memory that a copy in flight will write");
  checkFault(oneThread + initFence + expect + load() + load() + end,
             "overwrites shared memory that a copy in flight will write");
  checkFault(oneThread + initFence + expect + load("%rd7+8064") + end,
             "overwrites an mbarrier");
  checkFault(oneThread + initFence + expect + load("%rd7", "%rd1", "128") +
                 wait + end,
             "arrivals and 128 bytes pending");
  checkFault(oneThread + initFence + expect + load("%rd7", "%rd1", "512") +
                 wait + end,
             "completed on an mbarrier that expects");
  checkFault(oneThread + initFence + load() + wait + end,
             "completed on an mbarrier that expects");
  checkFault(oneThread + initFence + expect + load() +
                 "mbarrier.inval.shared.b64 [%rd7+8192];\n" + end,
             "where there is no mbarrier any more");
  checkFault(oneThread + initFence + load("%rd7+8") + end,
             "is not a multiple of 16");
  checkFault(oneThread + initFence + load("%rd7", "%rd1+8") + end,
             "is not a multiple of 16");
  checkFault(oneThread + initFence + load("%rd7", "%rd1", "24") + end,
             "the size is 24");
  checkFault(oneThread + initFence + load("%rd7", "%rd1", "0") + end,
             "the size is 0");
  checkFault(oneThread + initFence + load("%rd7+65520") + end, "out of bounds");
  checkFault(oneThread + initFence + load("%rd7", "%rd1+4080") + end,
             "is in no allocation");
  checkRefused("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::"
               "bytes.multicast::cluster [smem], [%rd1], 16, [smem+64], %rs1;",
               "multicast to a cluster is not emulated");
  checkRefused("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_"
               "tx::bytes [smem], [smem+64], 16, [smem+128];",
               "copies between blocks of a cluster");
  checkRefused("cp.async.bulk.shared::cluster.global [smem], [%rd1], 16, "
               "[smem+64];",
               "expected .mbarrier::complete_tx::bytes");
  checkRefused("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::"
               "bytes [smem], [%rd1], 16;",
               "takes 3 addresses");
  checkRefused("cp.async.bulk.commit_group;", "needs sm_90", "sm_80");
}

static void testStores() {
  // 256 bytes of the thread's own: words 3 and 5, the others zeros.
  std::string fill = "@!%p1 bra END;\nmov.u64 %rd7, smem;\nmov.b32 %r20, 0;\n";
  for (int n = 0; n < 256; n += 16)
    fill += "st.shared.v4.b32 [%rd7+" + std::to_string(n) +
            "], {%r20, %r20, %r20, %r20};\n";
  fill += "mov.b32 %r10, 3;\nmov.b32 %r11, 5;\n"
          "st.shared.v2.b32 [%rd7+8], {%r10, %r11};\n";
  std::string store =
      "cp.async.bulk.global.shared::cta.bulk_group [%rd2], [%rd7], 256;\n";
  std::string fence = "fence.proxy.async.shared::cta;\n",
              commit = "cp.async.bulk.commit_group;\n",
              waitRead = "cp.async.bulk.wait_group.read 0;\n",
              waitAll = "cp.async.bulk.wait_group 0;\n";
  checkWords(fill + fence + store + commit + waitRead + end, {0, 0, 3, 5, 0});
  checkWords(fill + fence + store + commit + waitAll +
                 "st.shared.b32 [%rd7+8], %r11;\n" + end,
             {0, 0, 3, 5, 0});
  checkFault(fill + store + commit + waitRead + end,
             "wrote, without a fence.proxy.async");
  checkFault(fence + fill + store + commit + waitRead + end,
             "wrote, without a fence.proxy.async");
  checkFault(fill + fence + store + commit + end,
             "cp.async.bulk.wait_group is missing");
  checkFault(fill + fence + store + waitRead + end,
             "cp.async.bulk.wait_group is missing");
  checkFault(fill + fence + store + commit +
                 "cp.async.bulk.wait_group.read 1;\n"
                 "st.shared.b32 [%rd7+8], %r11;\n" +
                 end,
             "writes shared memory that work in flight still reads");
  checkFault("@!%p1 bra END;\nmov.u64 %rd7, smem;\n" + store + commit +
                 waitRead + end,
             "reads shared memory that nothing wrote");
  checkFault(fill + fence + "LOOP:\n" + store + "bra LOOP;\n" + end,
             "too much work that nothing waits for");
  auto reduce = [&](const char *type) {
    return std::string("cp.reduce.async.bulk.global.shared::cta.bulk_group.add"
                       ".") +
           type + " [%rd2], [%rd7], 256;\n" + commit + waitRead;
  };
  checkWords(fill + fence + reduce("u32") + reduce("s32") + end,
             {0, 0, 6, 10, 0});
  std::string floats =
      fill + "mov.b32 %r10, 0f3fc00000;\nst.shared.b32 [%rd7+8], %r10;\n" +
      fence;
  checkWords(floats + reduce("f32") + reduce("f32") + end,
             {0, 0, 0x40400000, 0xa});
  // 1.5 in the high half, 2 in the low one.
  std::string halves = fill +
                       "mov.b32 %r10, 0x3fc04000;\nmov.b32 %r11, 0;\n"
                       "st.shared.v2.b32 [%rd7+8], {%r10, %r11};\n" +
                       fence;
  auto noftz = [&](const char *type) {
    return std::string("cp.reduce.async.bulk.global.shared::cta.bulk_group"
                       ".add.noftz.") +
           type + " [%rd2], [%rd7], 256;\n" + commit + waitRead;
  };
  checkWords(halves + noftz("bf16") + noftz("bf16") + end,
             {0, 0, 0x40404080, 0});
  checkRefused("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.bf16 "
               "[%rd2], [smem], 16;",
               "f16 and bf16 need .noftz");
  checkRefused("cp.reduce.async.bulk.global.shared::cta.bulk_group.min.u32 "
               "[%rd2], [smem], 16;",
               "modifier .min is not emulated");
  checkRefused("cp.async.bulk.global.shared::cta.bulk_group.cp_mask [%rd2], "
               "[smem], 16, %rs1;",
               "modifier .cp_mask");
  checkRefused("cp.async.bulk.wait_group 0, 1;", "takes one number");
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

namespace {
/// bf16 [5, 20, 72] with boxes of [2, 4, columns].
struct TensorCase {
  static constexpr uint32_t columns = 72, rows = 20, planes = 5;
  Swizzle swizzle = Swizzle::None;
  uint32_t boxColumns = 64;
  int32_t at[3] = {0, 0, 0};
};
} // namespace

/// kind: "load", "store" or "add"; the box goes from or to shared memory, the
/// rest of the program's work is plain.
static Result runTensor(const TensorCase &tensor, const std::string &kind,
                        std::vector<uint16_t> &data, std::vector<uint16_t> &box,
                        uint64_t seed, const std::string &offset = "0",
                        bool garbage = false, const char *rank = "3d") {
  uint32_t bytes = tensor.boxColumns * 2 * 8;
  std::string size = std::to_string(bytes);
  std::string coordinates = "{" + std::to_string(tensor.at[0]) + ", " +
                            std::to_string(tensor.at[1]) + ", " +
                            std::to_string(tensor.at[2]) + "}";
  if (!strcmp(rank, "2d"))
    coordinates = "{0, 0}";
  std::string text =
      ".version 8.3\n.target sm_90a\n.address_size 64\n"
      ".extern .shared .align 1024 .b8 smem[];\n"
      ".visible .entry k(.param .align 64 .b8 map[128], .param .u64 box)\n{\n"
      ".reg .pred %p<9>;\n.reg .b32 %r<99>;\n.reg .b64 %rd<29>;\n"
      "ld.param.u64 %rd1, [box];\nmov.b64 %rd3, map;\n"
      "cvta.param.u64 %rd2, %rd3;\nmov.u64 %rd7, smem;\n"
      "mov.u32 %r1, %tid.x;\nmov.u32 %r5, %ntid.x;\n"
      "prefetch.tensormap [%rd2];\n"
      "setp.eq.u32 %p1, %r1, 0;\n@!%p1 bra READY;\n"
      "mbarrier.init.shared.b64 [%rd7+32768], 1;\n"
      "fence.mbarrier_init.release.cluster;\nREADY:\nbar.sync 0;\n";
  std::string loop = "mov.b32 %r2, %r1;\nLOOP:\nshl.b32 %r3, %r2, 2;\n"
                     "cvt.u64.u32 %rd4, %r3;\nadd.u64 %rd5, %rd1, %rd4;\n"
                     "add.u64 %rd6, %rd7, %rd4;\n",
              next = "add.u32 %r2, %r2, %r5;\nsetp.lt.u32 %p3, %r2, " +
                     std::to_string(bytes / 4) + ";\n@%p3 bra LOOP;\n";
  if (kind == "load")
    text += "@!%p1 bra WAIT;\n"
            "mbarrier.arrive.expect_tx.shared.b64 %rd8, [%rd7+32768], " +
            size +
            ";\n"
            "cp.async.bulk.tensor." +
            rank +
            ".shared::cluster.global.tile.mbarrier::complete_tx::bytes [%rd7+" +
            offset + "], [%rd2, " + coordinates +
            "], [%rd7+32768];\n"
            "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%rd7+32768], 0;\n"
            "@!%p2 bra WAIT;\n" +
            loop + "ld.shared.b32 %r4, [%rd6];\nst.global.b32 [%rd5], %r4;\n" +
            next;
  else
    text += loop + "ld.global.b32 %r4, [%rd5];\nst.shared.b32 [%rd6], %r4;\n" +
            next + "fence.proxy.async.shared::cta;\nbar.sync 0;\n@!%p1 ret;\n" +
            (kind == "add" ? "cp.reduce.async.bulk.tensor.3d.global.shared::"
                             "cta.add.tile.bulk_group [%rd2, "
                           : "cp.async.bulk.tensor.3d.global.shared::cta.tile."
                             "bulk_group [%rd2, ") +
            coordinates +
            "], [%rd7];\ncp.async.bulk.commit_group;\n"
            "cp.async.bulk.wait_group 0;\n";
  text += "ret;\n}\n";
  MatrixRun run(text, seed);
  Result result;
  result.report = run.report;
  if (!run.program)
    return result;
  uint64_t address = run.place(data);
  uint64_t dims[] = {TensorCase::columns, TensorCase::rows, TensorCase::planes};
  uint64_t strides[] = {TensorCase::columns * 2,
                        TensorCase::columns * TensorCase::rows * 2};
  uint32_t sizes[] = {tensor.boxColumns, 4, 2}, steps[] = {1, 1, 1};
  struct alignas(64) Bytes {
    unsigned char bytes[128] = {};
  } encoded;
  std::string error;
  if (!garbage)
    CHECK(encodeTensorMap(&encoded, 9, 3, address, dims, strides, sizes, steps,
                          0, unsigned(tensor.swizzle), 0, 0,
                          error) == EncodeStatus::Ok);
  run.scalar(encoded);
  uint64_t boxAddress = run.place(box);
  run.scalar(boxAddress);
  result.report = run.finish(1, 64, 40960).report;
  data = run.read<uint16_t>(address, data.size());
  box = run.read<uint16_t>(boxAddress, box.size());
  return result;
}

static void testTensors() {
  static const struct {
    Swizzle swizzle;
    uint32_t columns;
  } modes[] = {{Swizzle::None, 64},
               {Swizzle::None, 24},
               {Swizzle::B32, 16},
               {Swizzle::B64, 32},
               {Swizzle::B128, 64}};
  static const int32_t places[][3] = {
      {0, 0, 0}, {8, 3, 1}, {40, 18, 4}, {-8, -2, -1}, {100, 0, 0}};
  for (auto [swizzle, columns] : modes)
    for (const int32_t (&at)[3] : places)
      for (const char *kind : {"load", "store", "add"}) {
        TensorCase tensor;
        tensor.swizzle = swizzle;
        tensor.boxColumns = columns;
        memcpy(tensor.at, at, sizeof at);
        std::vector<uint16_t> data = randomBfloats(TensorCase::columns *
                                                       TensorCase::rows *
                                                       TensorCase::planes,
                                                   12),
                              box = randomBfloats(columns * 8, 13);
        std::vector<uint16_t> wantedData = data, wantedBox = box;
        for (uint32_t z = 0; z < 2; ++z)
          for (uint32_t y = 0; y < 4; ++y)
            for (uint32_t x = 0; x < columns; ++x) {
              // Where the element lies in the box, by address bits.
              uint32_t byte = ((z * 4 + y) * columns + x) * 2;
              unsigned bits = unsigned(swizzle);
              for (unsigned b = 0; b < bits; ++b)
                byte ^= (byte >> (7 + b) & 1) << (4 + b);
              int64_t cx = at[0] + int64_t(x), cy = at[1] + int64_t(y),
                      cz = at[2] + int64_t(z);
              bool inside = cx >= 0 && cx < TensorCase::columns && cy >= 0 &&
                            cy < TensorCase::rows && cz >= 0 &&
                            cz < TensorCase::planes;
              size_t index = inside ? size_t((cz * TensorCase::rows + cy) *
                                                 TensorCase::columns +
                                             cx)
                                    : 0;
              if (!strcmp(kind, "load"))
                wantedBox[byte / 2] = inside ? data[index] : 0;
              else if (inside)
                wantedData[index] =
                    !strcmp(kind, "store")
                        ? box[byte / 2]
                        : floatToBfloat(bfloatToFloat(data[index]) +
                                        bfloatToFloat(box[byte / 2]));
            }
        Result result = runTensor(tensor, kind, data, box, 1);
        if (!CHECK(result.report.empty() && data == wantedData &&
                   box == wantedBox))
          fprintf(stderr, "  %s, swizzle %u, at %d: %s\n", kind,
                  swizzleSpan(swizzle), at[0], result.report.c_str());
      }
  TensorCase tensor;
  std::vector<uint16_t> data = randomBfloats(TensorCase::columns *
                                                 TensorCase::rows *
                                                 TensorCase::planes,
                                             12),
                        box = randomBfloats(512, 13);
  auto fails = [&](const std::string &offset, bool garbage, const char *rank,
                   const char *text) {
    CHECK_HAS(
        runTensor(tensor, "load", data, box, 0, offset, garbage, rank).report,
        text);
  };
  fails("64", false, "3d", "is not a multiple of 128");
  fails("0", true, "3d", "are not a tensor map");
  fails("0", false, "2d", "the tensor map has 3 dimensions");
  fails("40448", false, "3d", "out of bounds");
  tensor.swizzle = Swizzle::B128;
  tensor.boxColumns = 32;
  fails("0", false, "3d", "rows of 64 bytes with a swizzle of 128");
  checkRefused("cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier"
               "::complete_tx::bytes [smem], [%rd1, {0, 0, 0}], [smem+64];",
               "modifier .im2col is not emulated");
  checkRefused("cp.async.bulk.tensor.2d.shared::cluster.global.tile::gather4."
               "mbarrier::complete_tx::bytes [smem], [%rd1, {0, 0, 0, 0, 0}], "
               "[smem+64];",
               "modifier .tile::gather4 is not emulated");
  checkRefused("cp.async.bulk.tensor.6d.global.shared::cta.bulk_group [%rd1, "
               "{0}], [smem];",
               "modifier .6d");
  checkRefused("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%rd1, "
               "{0}], [smem];",
               "takes 2 coordinates");
}

//===----------------------------------------------------------------------===//
// Matrices
//===----------------------------------------------------------------------===//

static void testMatrices() {
  // Lane l writes 16 bytes of l at smem + 16 l: each 8 lanes are a matrix whose
  // rows hold one word.
  std::string rows = perLane +
                     "st.shared.v4.b32 [%r3], {%r2, %r2, %r2, %r2};\n"
                     "bar.warp.sync -1;\nshl.b32 %r6, %r2, 2;\n"
                     "cvt.u64.u32 %rd8, %r6;\nadd.u64 %rd9, %rd2, %rd8;\n";
  std::vector<uint32_t> third(32), columns(32);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    third[lane] = 16 + lane / 4;
    // Transposed: row lane % 4 * 2 and the next of column lane / 4, where even
    // columns are the words' low halves.
    uint32_t row = lane % 4 * 2;
    columns[lane] = lane / 4 % 2 ? 0 : row | (row + 1) << 16;
  }
  checkWords(rows + "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, "
                    "%r12, %r13}, [%r3];\nst.global.b32 [%rd9], %r12;\n",
             third);
  checkWords(rows + "ldmatrix.sync.aligned.m8n8.x1.trans.shared::cta.b16 "
                    "{%r10}, [%r3];\nst.global.b32 [%rd9], %r10;\n",
             columns);
  checkWords(rows + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r10}, [%r3];\n"
                    "movmatrix.sync.aligned.m8n8.trans.b16 %r11, %r10;\n"
                    "st.global.b32 [%rd9], %r11;\n",
             columns);
  // Out through stmatrix to 512 bytes on, transposed, and back.
  checkWords(rows + "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r10, %r11}, "
                    "[%r3];\n"
                    "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%r3+512], "
                    "{%r10, %r11};\n"
                    "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r12}, "
                    "[%r3+512];\nst.global.b32 [%rd9], %r12;\n",
             columns);
  checkFault(rows + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r10}, "
                    "[%r3+8];\n",
             "is not a multiple of 16");
  checkFault(rows + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r10}, "
                    "[%r3+512];\n",
             "reads shared memory that nothing wrote");
  checkFault(rows + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r10}, "
                    "[%r3+65536];\n",
             "out of bounds");
  checkFault(rows + "ldmatrix.sync.aligned.m8n8.x1.b16 {%r10}, [%rd1];\n",
             "the address is not in shared memory");
  checkFault(rows + "@%p1 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r10}, "
                    "[%r3];\n",
             "needs all 32 lanes");
  checkFault(rows + "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r3+4], "
                    "{%r10};\n",
             "is not a multiple of 16");
  // 8 rows of 128 bytes apart lie on the same banks.
  std::string apart = rows;
  Result conflict =
      runBody(perLane + "shl.b32 %r6, %r2, 7;\nadd.u32 %r7, %r5, %r6;\n"
                        "st.shared.v4.b32 [%r7], {%r2, %r2, %r2, %r2};\n"
                        "bar.warp.sync -1;\n"
                        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, "
                        "%r12, %r13}, [%r7];\n");
  CHECK(conflict.report.empty());
  // 4 groups of 8 lanes with 7 conflicts each, for the store and the load.
  CHECK_EQ(conflict.statistics.bankConflicts, 2 * 4 * 7);
  checkRefused("ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {%r10, %r11}, "
               "[smem];",
               "modifier .m16n16 is not emulated");
  checkRefused("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r10}, [smem];",
               "takes 2 results");
  checkRefused("stmatrix.sync.aligned.m8n8.x1.shared.b16 [smem], {%r10};",
               "needs sm_90", "sm_80");
  checkRefused("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%rd1, %rd2}, "
               "{%rd3}, {%rd4}, {%rd5, %rd6};",
               "shape 'm8n8k4' is not supported");
  checkRefused("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, %f2, "
               "%f3, %f4}, {%r1, %r2, %r3}, {%r5, %r6}, {%f1, %f2, %f3, %f4};",
               "a fragment has a wrong number of registers");
  checkRefused("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%f1, %f2, "
               "%f3, %f4}, {%r1, %r2, %r3, %r4}, {%r5, %r6}, {%f1, %f2, %f3, "
               "%f4};",
               "needs sm_89", "sm_80");
  checkFault("@%p1 mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, "
             "%f2, %f3, %f4}, {%r1, %r2, %r3, %r4}, {%r5, %r6}, {%f1, %f2, "
             "%f3, %f4};\n",
             "needs all 32 lanes");
}

//===----------------------------------------------------------------------===//
// wgmma
//===----------------------------------------------------------------------===//

static void testProducts() {
  // A [64, 16] and B [8, 16] of ones, bf16, without swizzle: 128 threads write
  // 2048 + 256 bytes, B at 2048.
  std::string fill =
      "mov.u64 %rd7, smem;\nshl.b32 %r4, %r1, 4;\ncvt.u64.u32 %rd4, %r4;\n"
      "add.u64 %rd5, %rd7, %rd4;\nmov.b32 %r10, 0x3f803f80;\n"
      "st.shared.v4.b32 [%rd5], {%r10, %r10, %r10, %r10};\n"
      "setp.lt.u32 %p2, %r1, 16;\n"
      "@%p2 st.shared.v4.b32 [%rd5+2048], {%r10, %r10, %r10, %r10};\n";
  std::string fence = "fence.proxy.async;\n", sync = "bar.sync 0;\n";
  // Rows of a core matrix lie 16 bytes apart; the second half of k 1024 (A)
  // and 128 (B) on; 8 rows 128.
  std::string descriptors =
      "cvt.u32.u64 %r11, %rd7;\nshr.u32 %r12, %r11, 4;\n"
      "cvt.u64.u32 %rd8, %r12;\nadd.u64 %rd9, %rd8, 128;\n"
      "or.b64 %rd8, %rd8, 0x800400000;\nor.b64 %rd9, %rd9, 0x800080000;\n"
      "mov.b32 %f1, 0f00000000;\nmov.b32 %f2, %f1;\nmov.b32 %f3, %f1;\n"
      "mov.b32 %f4, %f1;\n";
  std::string start = fill + fence + sync + descriptors;
  std::string order = "wgmma.fence.sync.aligned;\n",
              commit = "wgmma.commit_group.sync.aligned;\n",
              wait = "wgmma.wait_group.sync.aligned 0;\n";
  std::string product =
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, %f3, "
      "%f4}, %rd8, %rd9, 1, 1, 1, 0, 0;\n";
  std::string fromRegisters =
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, %f3, "
      "%f4}, {%r20, %r21, %r22, %r23}, %rd9, 1, 1, 1, 0;\n";
  std::string fillA = "mov.b32 %r20, %r10;\nmov.b32 %r21, %r10;\n"
                      "mov.b32 %r22, %r10;\nmov.b32 %r23, %r10;\n";
  std::string show = "add.u64 %rd6, %rd2, %rd4;\n"
                     "st.global.v4.b32 [%rd6], {%f1, %f2, %f3, %f4};\n";
  auto words = [](uint32_t value) { return std::vector<uint32_t>(512, value); };
  const uint32_t sixteen = 0x41800000, thirtyTwo = 0x42000000;
  checkWords(start + order + product + commit + wait + show, words(sixteen),
             128);
  checkWords(start + order + product + product + commit + wait + show,
             words(thirtyTwo), 128);
  checkWords(start + order + product + commit + order + product + commit +
                 "wgmma.wait_group.sync.aligned 1;\n" + wait + show,
             words(thirtyTwo), 128);
  checkWords(start + fillA + order + fromRegisters + commit + wait + show,
             words(sixteen), 128);
  // Scale-d off: what was in the accumulator does not count.
  checkWords(start + order + product + commit + wait +
                 "setp.ne.b32 %p3, 0, 0;\n" + order +
                 "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, "
                 "%f2, %f3, %f4}, %rd8, %rd9, %p3, 1, -1, 0, 0;\n" +
                 commit + wait + show,
             words(0xc1800000), 128);
  // A zero start may come behind the fence.
  checkWords(fill + fence + sync + order + descriptors + product + commit +
                 wait + show,
             words(sixteen), 128);

  const char *early = "uses a register of a wgmma that has not been waited for";
  checkFault(start + order + product + commit + show + wait, early, 128);
  checkFault(start + order + product + wait + show + commit, early, 128);
  checkFault(start + order + product + commit +
                 "wgmma.wait_group.sync.aligned 1;\n" + show + wait,
             early, 128);
  checkFault(start + order + product + commit + "mov.b32 %f2, %f9;\n" + wait,
             early, 128);
  checkFault(start + order + product + commit,
             "the block has ended without waiting", 128);
  checkFault(start + product + commit + wait, "no wgmma.fence", 128);
  checkFault(start + order + product + commit + product + commit + wait,
             "no wgmma.fence since the last group", 128);
  checkFault(start + order + product + commit + wait + order +
                 "mov.b32 %f3, 0f3f800000;\n" + product + commit + wait,
             "register 2 of the accumulator was written after the last "
             "wgmma.fence",
             128);
  checkFault(start + order + fillA + fromRegisters + commit + wait,
             "register 0 of A was written after the last wgmma.fence", 128);
  checkFault(start + fillA + order + fromRegisters + commit +
                 "mov.b32 %r22, 7;\n" + wait,
             "register 2 of A of the product", 128);
  checkFault(fill + sync + descriptors + order + product + commit + wait,
             "wrote, without a fence.proxy.async", 128);
  checkFault(start + order + product + commit + "st.shared.b32 [%rd7], %r1;\n" +
                 wait,
             "writes shared memory that work in flight still reads", 128);
  checkFault(start + "add.u64 %rd9, %rd9, 64;\n" + order + product,
             "reads shared memory that nothing wrote", 128);
  checkFault(start + "add.u64 %rd9, %rd9, 8192;\n" + order + product,
             "out of bounds", 128);
  checkFault(start + "or.b64 %rd8, %rd8, 0x8000;\n" + order + product,
             "has reserved bits set", 128);
  checkFault(start + "cvt.u64.u32 %rd10, %r2;\nadd.u64 %rd8, %rd8, %rd10;\n" +
                 order + product,
             "lanes have different descriptors of A", 128);
  checkFault(start +
                 "setp.lt.u32 %p3, %r1, 64;\n@%p3 add.u64 %rd8, %rd8, 8;\n" +
                 order + product + commit + wait,
             "different descriptors", 128);
  checkFault(start + order + "@%p1 " + product, "needs all 32 lanes", 128);
  checkFault(start + "setp.lt.u32 %p3, %r1, 32;\n@%p3 bra END;\n" + order +
                 product + commit + wait + "END:\n",
             "no warp can go on", 128);
  checkFault(start + "setp.lt.u32 %p3, %r1, 32;\n" + order +
                 "@%p3 bra OTHER;\n" + product + "bra JOIN;\nOTHER:\n" +
                 product + "JOIN:\n" + commit + wait,
             "the warps of the warpgroup have parted", 128);
  checkFault(start + order + product, "has no four warps", 64);
  checkFault(start + order + product + commit +
                 "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, "
                 "%f2, %f3, %f4, %f5, %f6, %f7, %f8}, %rd8, %rd9, 1, 1, 1, 0, "
                 "0;\n",
             "no wgmma.fence", 128);
  checkFault(start + order + product +
                 "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, "
                 "%f2, %f3, %f4, %f5, %f6, %f7, %f8}, %rd8, %rd9, 1, 1, 1, 0, "
                 "0;\n",
             "a product of another shape", 128);

  // Without an end in sight.
  checkFault(start + order + "LOOP:\n" + product + "bra LOOP;\n",
             "that nothing waits for", 128);
  checkFault(start + "LOOP:\n" + commit + "bra LOOP;\n",
             "too many groups that nothing waits for", 128);

  checkRefused(product, "needs sm_90a", "sm_90");
  checkRefused("wgmma.fence.sync;", "expected .sync.aligned");
  checkRefused("wgmma.wait_group.sync.aligned 8;", "expected 0 to 7");
  checkRefused("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, "
               "%f3}, %rd8, %rd9, 1, 1, 1, 0, 0;",
               "the accumulator has 3 registers, expected 4");
  checkRefused("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, "
               "%f3, %f4}, %rd8, %rd9, 1, 2, 1, 0, 0;",
               "a scale must be 1 or -1");
  checkRefused("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, "
               "%f3, %f4}, %rd8, %rd9, 1, 1, 1, 0, 2;",
               "a layout must be 0 or 1");
  checkRefused("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, "
               "%f3, %f4}, %rd8, %rd9, 1, 1, 1;",
               "operands behind the accumulator");
  checkRefused("wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.bf16.bf16 {%f1, "
               "%f2, %f3, %f4}, %rd8, %rd9, %r1, 0, 1, 1, 1, 0, 0;",
               "sparse products are not supported");
}

/// All types of products on ones: 32 bytes of k each.
static void testTypes() {
  struct Type {
    const char *name, *wgmma;
    uint32_t ones, sum;
    unsigned registers;
  };
  static const Type types[] = {
      {"bf16", "m64n8k16.f32.bf16.bf16", 0x3f803f80, 0x41800000, 4},
      {"f16", "m64n8k16.f32.f16.f16", 0x3c003c00, 0x41800000, 4},
      {"f16", "m64n8k16.f16.f16.f16", 0x3c003c00, 0x4c004c00, 2},
      {"tf32", "m64n8k8.f32.tf32.tf32", 0x3f800000, 0x41000000, 4},
      {"e4m3", "m64n8k32.f32.e4m3.e4m3", 0x38383838, 0x42000000, 4},
      {"e5m2", "m64n8k32.f16.e5m2.e5m2", 0x3c3c3c3c, 0x50005000, 2},
      {"s8", "m64n8k32.s32.s8.u8", 0x01010101, 32, 4},
      {"u8", "m64n8k32.s32.u8.s8.satfinite", 0x01010101, 32, 4}};
  for (const Type &type : types) {
    bool integer = type.sum == 32,
         wide = type.name[0] == 'f' || type.name[0] == 'b';
    wide &= strlen(type.name) < 5;
    std::string body =
        "mov.u64 %rd7, smem;\nshl.b32 %r4, %r1, 4;\ncvt.u64.u32 %rd4, %r4;\n"
        "add.u64 %rd5, %rd7, %rd4;\nmov.b32 %r10, " +
        std::to_string(type.ones) +
        ";\nst.shared.v4.b32 [%rd5], {%r10, %r10, %r10, %r10};\n"
        "setp.lt.u32 %p2, %r1, 16;\n"
        "@%p2 st.shared.v4.b32 [%rd5+2048], {%r10, %r10, %r10, %r10};\n"
        "fence.proxy.async;\nbar.sync 0;\n"
        "cvt.u32.u64 %r11, %rd7;\nshr.u32 %r12, %r11, 4;\n"
        "cvt.u64.u32 %rd8, %r12;\nadd.u64 %rd9, %rd8, 128;\n"
        "or.b64 %rd8, %rd8, 0x800400000;\nor.b64 %rd9, %rd9, 0x800080000;\n"
        "setp.ne.b32 %p3, 0, 0;\nmov.b32 %r20, 0;\nmov.b32 %r21, 0;\n"
        "mov.b32 %r22, 0;\nmov.b32 %r23, 0;\nwgmma.fence.sync.aligned;\n"
        "wgmma.mma_async.sync.aligned." +
        std::string(type.wgmma) +
        (type.registers == 4 ? " {%r20, %r21, %r22, %r23}" : " {%r20, %r21}") +
        ", %rd8, %rd9, %p3" + (integer ? "" : ", 1, 1") +
        (wide ? ", 0, 0" : "") +
        ";\nwgmma.commit_group.sync.aligned;\n"
        "wgmma.wait_group.sync.aligned 0;\nadd.u64 %rd6, %rd2, %rd4;\n"
        "st.global.v2.b32 [%rd6], {%r20, %r21};\n"
        "st.global.v2.b32 [%rd6+8], {%r20, %r21};\n";
    checkWords(body, std::vector<uint32_t>(512, type.sum), 128);
  }
  static const struct {
    const char *name;
    uint32_t ones, sum;
    unsigned a, b, c;
  } products[] = {
      {"m16n8k16.row.col.f32.bf16.bf16.f32", 0x3f803f80, 0x41800000, 4, 2, 4},
      {"m16n8k8.row.col.f32.f16.f16.f32", 0x3c003c00, 0x41000000, 2, 1, 4},
      {"m16n8k16.row.col.f16.f16.f16.f16", 0x3c003c00, 0x4c004c00, 4, 2, 2},
      {"m16n8k8.row.col.f32.tf32.tf32.f32", 0x3f800000, 0x41000000, 4, 2, 4},
      {"m16n8k32.row.col.f32.e4m3.e4m3.f32", 0x38383838, 0x42000000, 4, 2, 4},
      {"m16n8k32.row.col.s32.s8.u8.s32", 0x01010101, 32, 4, 2, 4},
      {"m16n8k16.row.col.satfinite.s32.u8.u8.s32", 0x01010101, 16, 2, 1, 4}};
  for (const auto &product : products) {
    auto list = [](unsigned first, unsigned count) {
      std::string text = "{";
      for (unsigned n = 0; n < count; ++n)
        text += (n ? ", %r" : "%r") + std::to_string(first + n);
      return text + "}";
    };
    std::string body;
    for (unsigned n = 0; n < 6; ++n)
      body += "mov.b32 %r" + std::to_string(20 + n) + ", " +
              std::to_string(product.ones) + ";\n";
    for (unsigned n = 0; n < 4; ++n)
      body += "mov.b32 %r" + std::to_string(30 + n) + ", 0;\n";
    body += std::string("mma.sync.aligned.") + product.name + " " +
            list(40, product.c) + ", " + list(20, product.a) + ", " +
            list(24, product.b) + ", " + list(30, product.c) +
            ";\nshl.b32 %r4, %r2, 3;\ncvt.u64.u32 %rd4, %r4;\n"
            "add.u64 %rd6, %rd2, %rd4;\n"
            "st.global.v2.b32 [%rd6], {%r40, %r41};\n";
    checkWords(body, std::vector<uint32_t>(64, product.sum));
  }
}

static void testHints() {
  checkWords("griddepcontrol.wait;\nprefetch.global.L2 [%rd1];\n"
             "prefetchu.L1 [%rd1];\ncreatepolicy.fractional.L2::evict_first."
             "b64 %rd3, 0f3F800000;\nsetmaxnreg.dec.sync.aligned.u32 40;\n"
             "griddepcontrol.launch_dependents;\n",
             {0});
  checkFault("prefetch.tensormap [%rd1];\n", "are not a tensor map");
  checkFault("setmaxnreg.inc.sync.aligned.u32 256;\n",
             "more than the 65536 there are", 288);
  checkFault("@%p1 setmaxnreg.inc.sync.aligned.u32 64;\n",
             "needs all 32 lanes");
  checkRefused("setmaxnreg.inc.sync.aligned.u32 260;",
               "expected a multiple of 8 from 24 to 256");
  checkRefused("setmaxnreg.inc.sync.aligned.u32 240;", "needs sm_90a", "sm_90");
  checkRefused("griddepcontrol.sleep;", "modifier .sleep is not emulated");
  checkRefused("prefetch.global.L3 [%rd1];", "modifier .L3 is not emulated");
  checkRefused("prefetch.param.L2 [%rd1];", "modifier .L2 is not emulated");
}

int main() {
  testTypes();
  testHints();
  testCopies();
  testBarriers();
  testLoads();
  testStores();
  testTensors();
  testMatrices();
  testProducts();
  return finishChecks("test_async");
}
