//===- probes.c - What a GPU can do ---------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Kernels as PTX text, which the driver compiles: one writes a buffer, one
/// reads it, one multiplies in the precision of the module's products. Before
/// anything is timed, their results are compared with what they must be.
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "device.h"
#include "synthetic.h"
#include <stdlib.h>
#include <string.h>

enum {
  kThreads = 256,
  kUnroll = 4,           // 16-byte loads in flight per thread
  kChains = 8,           // independent products of a warp
  kOperandBytes = 12288, // 48 bytes per thread of a block
  kTileA = 64 * 32,      // bytes of A of a wgmma; B lies behind it
  kIterations = 2000,    // some milliseconds
  kCheckedIterations = 2,
  kLaunches = 5
};

struct bench_probes {
  moe_cu_module memory, products;
  moe_cu_function fill, read, multiply;
  double flops; // of a thread and iteration
  float sum;    // of a thread and iteration, with ones as operands
  unsigned blocks_each;
  moe_cu_pointer buffer, operands, sums;
  uint64_t buffer_bytes;
};

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

/// Numbers the threads of the grid: this one in r5, how many there are in r6.
#define COUNT_THREADS                                                          \
  "  mov.u32 %r1, %tid.x;\n"                                                   \
  "  mov.u32 %r2, %ctaid.x;\n"                                                 \
  "  mov.u32 %r3, %ntid.x;\n"                                                  \
  "  mov.u32 %r4, %nctaid.x;\n"                                                \
  "  mad.lo.u32 %r5, %r2, %r3, %r1;\n"                                         \
  "  mul.lo.u32 %r6, %r3, %r4;\n"

/// fill: word i becomes i. read: every thread adds up the words of its share,
/// neighbouring threads neighbouring 16 bytes.
static const char memory_text[] =
    ".version 8.0\n"
    ".target sm_80\n"
    ".address_size 64\n"
    ".visible .entry fill(.param .u64 buffer, .param .u32 words) {\n"
    "  .reg .b32 %r<7>;\n"
    "  .reg .b64 %rd<2>;\n"
    "  .reg .pred %p;\n"
    "  ld.param.u64 %rd0, [buffer];\n"
    "  ld.param.u32 %r0, [words];\n" COUNT_THREADS "$next:\n"
    "  setp.ge.u32 %p, %r5, %r0;\n"
    "  @%p bra $done;\n"
    "  mad.wide.u32 %rd1, %r5, 4, %rd0;\n"
    "  st.global.u32 [%rd1], %r5;\n"
    "  add.u32 %r5, %r5, %r6;\n"
    "  bra $next;\n"
    "$done:\n"
    "  ret;\n"
    "}\n"
    ".visible .entry read(.param .u64 buffer, .param .u64 sums, .param .u32 "
    "iterations) {\n"
    "  .reg .b32 %r<8>;\n"
    "  .reg .b32 %v<16>;\n"
    "  .reg .b64 %rd<7>;\n"
    "  .reg .pred %p;\n"
    "  ld.param.u64 %rd0, [buffer];\n"
    "  ld.param.u64 %rd5, [sums];\n"
    "  ld.param.u32 %r0, [iterations];\n" COUNT_THREADS
    "  mad.wide.u32 %rd1, %r5, 16, %rd0;\n"
    "  mul.wide.u32 %rd6, %r6, 16;\n"
    "  mov.u32 %r7, 0;\n"
    "$next:\n"
    "  add.u64 %rd2, %rd1, %rd6;\n"
    "  add.u64 %rd3, %rd2, %rd6;\n"
    "  add.u64 %rd4, %rd3, %rd6;\n"
    "  ld.global.v4.u32 {%v0, %v1, %v2, %v3}, [%rd1];\n"
    "  ld.global.v4.u32 {%v4, %v5, %v6, %v7}, [%rd2];\n"
    "  ld.global.v4.u32 {%v8, %v9, %v10, %v11}, [%rd3];\n"
    "  ld.global.v4.u32 {%v12, %v13, %v14, %v15}, [%rd4];\n"
    "  add.u64 %rd1, %rd4, %rd6;\n"
    "  add.u32 %v0, %v0, %v1;\n"
    "  add.u32 %v2, %v2, %v3;\n"
    "  add.u32 %v4, %v4, %v5;\n"
    "  add.u32 %v6, %v6, %v7;\n"
    "  add.u32 %v8, %v8, %v9;\n"
    "  add.u32 %v10, %v10, %v11;\n"
    "  add.u32 %v12, %v12, %v13;\n"
    "  add.u32 %v14, %v14, %v15;\n"
    "  add.u32 %v0, %v0, %v2;\n"
    "  add.u32 %v4, %v4, %v6;\n"
    "  add.u32 %v8, %v8, %v10;\n"
    "  add.u32 %v12, %v12, %v14;\n"
    "  add.u32 %v0, %v0, %v4;\n"
    "  add.u32 %v8, %v8, %v12;\n"
    "  add.u32 %r7, %r7, %v0;\n"
    "  add.u32 %r7, %r7, %v8;\n"
    "  sub.u32 %r0, %r0, 1;\n"
    "  setp.ne.u32 %p, %r0, 0;\n"
    "  @%p bra $next;\n"
    "  mad.wide.u32 %rd5, %r5, 4, %rd5;\n"
    "  st.global.u32 [%rd5], %r7;\n"
    "  ret;\n"
    "}\n";

/// A kernel that multiplies over and over what lies in registers or in shared
/// memory. Each thread has `accumulators` sums, which start at zero.
static void put_head(moe_text *t, const char *target, int accumulators,
                     int min_blocks) {
  moe_text_printf(t, ".version 8.0\n.target %s\n.address_size 64\n", target);
  moe_text_puts(t, ".visible .entry multiply(.param .u64 operands, "
                   ".param .u64 sums, .param .u32 iterations)\n");
  moe_text_printf(t, ".maxntid %d, 1, 1\n.minnctapersm %d\n{\n", (int)kThreads,
                  min_blocks);
  moe_text_puts(t, "  .reg .b32 %r<10>;\n"
                   "  .reg .b32 %v<4>;\n"
                   "  .reg .b64 %rd<6>;\n"
                   "  .reg .f32 %f<2>;\n"
                   "  .reg .pred %p, %true;\n");
  moe_text_printf(t, "  .reg .f32 %%c<%d>;\n", accumulators);
  moe_text_puts(t, "  ld.param.u64 %rd0, [operands];\n"
                   "  ld.param.u64 %rd1, [sums];\n"
                   "  ld.param.u32 %r0, [iterations];\n"
                   "  mov.u32 %r1, %tid.x;\n"
                   "  mov.u32 %r2, %ctaid.x;\n");
  moe_text_printf(t, "  mad.lo.u32 %%r2, %%r2, %d, %%r1;\n", (int)kThreads);
  moe_text_puts(t, "  mad.wide.u32 %rd1, %r2, 4, %rd1;\n"
                   "  setp.eq.u32 %true, %r1, %r1;\n");
  for (int i = 0; i < accumulators; i++)
    moe_text_printf(t, "  mov.f32 %%c%d, 0f00000000;\n", i);
}

static void put_tail(moe_text *t, int accumulators) {
  moe_text_puts(t, "  sub.u32 %r0, %r0, 1;\n"
                   "  setp.ne.u32 %p, %r0, 0;\n"
                   "  @%p bra $next;\n");
  for (int i = 1; i < accumulators; i++)
    moe_text_printf(t, "  add.f32 %%c0, %%c0, %%c%d;\n", i);
  moe_text_puts(t, "  st.global.f32 [%rd1], %c0;\n  ret;\n}\n");
}

/// f32: multiply-adds, c = c a + b.
static void put_fma(moe_text *t, struct bench_probes *p) {
  enum { kSums = 16, kRounds = 8 };
  put_head(t, "sm_80", kSums, 4);
  moe_text_puts(t, "  ld.global.v2.f32 {%f0, %f1}, [%rd0];\n$next:\n");
  for (int round = 0; round < kRounds; round++)
    for (int i = 0; i < kSums; i++)
      moe_text_printf(t, "  fma.rn.f32 %%c%d, %%c%d, %%f0, %%f1;\n", i, i);
  put_tail(t, kSums);
  p->flops = 2.0 * kSums * kRounds;
  p->sum = kSums * kRounds;
  p->blocks_each = 4;
}

/// Tensor cores by warps: mma.sync m16n8, 32 bytes of k.
static void put_mma(moe_text *t, struct bench_probes *p, const char *type,
                    int k) {
  enum { kSums = 4 * kChains, kRounds = 4 };
  put_head(t, "sm_80", kSums, 4);
  moe_text_puts(t, "  and.b32 %r1, %r1, 31;\n"
                   "  mad.wide.u32 %rd0, %r1, 32, %rd0;\n"
                   "  ld.global.v4.b32 {%v0, %v1, %v2, %v3}, [%rd0];\n"
                   "  ld.global.v2.b32 {%r8, %r9}, [%rd0+16];\n"
                   "$next:\n");
  for (int i = 0; i < kChains * kRounds; i++) {
    int c = i % kChains * 4;
    moe_text_printf(t, "  mma.sync.aligned.m16n8k%d.row.col.f32.%s.%s.f32 ", k,
                    type, type);
    moe_text_printf(t, "{%%c%d, %%c%d, %%c%d, %%c%d}, ", c, c + 1, c + 2,
                    c + 3);
    moe_text_puts(t, "{%v0, %v1, %v2, %v3}, {%r8, %r9}, ");
    moe_text_printf(t, "{%%c%d, %%c%d, %%c%d, %%c%d};\n", c, c + 1, c + 2,
                    c + 3);
  }
  put_tail(t, kSums);
  p->flops = 2.0 * 16 * 8 * k * kChains * kRounds / 32;
  p->sum = (float)(kSums * kRounds * k);
  p->blocks_each = 4;
}

/// Tensor cores by warpgroups: wgmma m64n256, both operands in shared memory.
/// Without swizzle 8 rows of 16 bytes are a core matrix; the other half of k
/// lies 128 bytes away and the next 8 rows 256 (PTX ISA, "Matrix descriptor
/// format").
static void put_wgmma(moe_text *t, struct bench_probes *p, const char *type,
                      int k) {
  enum { kSums = 128, kRounds = 8 };
  const unsigned long long offsets = (128ull >> 4) << 16 | (256ull >> 4) << 32;
  put_head(t, "sm_90a", kSums, 1);
  moe_text_printf(t, "  .shared .align 128 .b8 tile[%d];\n",
                  (int)kOperandBytes);
  moe_text_puts(t, "  mov.u32 %r3, tile;\n"
                   "  shl.b32 %r4, %r1, 4;\n"
                   "  add.u32 %r5, %r3, %r4;\n"
                   "  cvt.u64.u32 %rd2, %r4;\n"
                   "  add.u64 %rd0, %rd0, %rd2;\n");
  for (int i = 0; i < kOperandBytes; i += 16 * kThreads)
    moe_text_printf(t,
                    "  ld.global.v4.b32 {%%v0, %%v1, %%v2, %%v3}, "
                    "[%%rd0+%d];\n"
                    "  st.shared.v4.b32 [%%r5+%d], {%%v0, %%v1, %%v2, %%v3};\n",
                    i, i);
  moe_text_puts(t, "  fence.proxy.async;\n"
                   "  bar.sync 0;\n"
                   "  shr.u32 %r6, %r3, 4;\n"
                   "  and.b32 %r6, %r6, 16383;\n"
                   "  cvt.u64.u32 %rd3, %r6;\n");
  moe_text_printf(t, "  or.b64 %%rd3, %%rd3, %llu;\n", offsets);
  moe_text_printf(t, "  add.u64 %%rd4, %%rd3, %d;\n", kTileA >> 4);
  moe_text_puts(t, "$next:\n  wgmma.fence.sync.aligned;\n");
  for (int round = 0; round < kRounds; round++) {
    moe_text_printf(t, "  wgmma.mma_async.sync.aligned.m64n256k%d.f32.%s.%s {",
                    k, type, type);
    for (int i = 0; i < kSums; i++)
      moe_text_printf(t, "%s%%c%d", i ? ", " : "", i);
    // Only 16-bit operands may be transposed, so only they say it.
    moe_text_printf(t, "}, %%rd3, %%rd4, %%true, 1, 1%s;\n",
                    k == 16 ? ", 0, 0" : "");
  }
  moe_text_puts(t, "  wgmma.commit_group.sync.aligned;\n"
                   "  wgmma.wait_group.sync.aligned 0;\n");
  put_tail(t, kSums);
  p->flops = 2.0 * 64 * 256 * k * kRounds / 128;
  p->sum = (float)(kSums * kRounds * k);
  p->blocks_each = 1;
}

static void put_products(moe_text *t, struct bench_probes *p,
                         const bench_gpu *gpu) {
  const char *type = gpu->info.precision;
  if (!strcmp(type, "f32")) {
    put_fma(t, p);
    return;
  }
  int k = strcmp(type, "tf32") ? 16 : 8;
  if (gpu->cuda.capability == 90)
    put_wgmma(t, p, type, k);
  else
    put_mma(t, p, type, k);
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

static int load(bench_gpu *gpu, const char *text, moe_cu_module *module) {
  moe_cu_result result = gpu->cuda.f.module_load(module, text, 0, NULL, NULL);
  if (result)
    *module = NULL;
  return result ? bench_gpu_fail(gpu, result, "loading a probe's kernels")
                : TOOL_OK;
}

static int find(bench_gpu *gpu, moe_cu_module module, const char *name,
                moe_cu_function *function) {
  moe_cu_result result = gpu->cuda.f.module_function(function, module, name);
  return result ? bench_gpu_fail(gpu, result, name) : TOOL_OK;
}

static int launch(const bench_gpu *gpu, moe_cu_function function,
                  unsigned blocks, void **arguments, const char *what) {
  moe_cu_launch_config config = {blocks, 1, 1,           kThreads, 1,
                                 1,      0, gpu->stream, NULL,     0};
  moe_cu_result result = gpu->cuda.f.launch(&config, function, arguments, NULL);
  return result ? bench_gpu_fail(gpu, result, what) : TOOL_OK;
}

/// Blocks per multiprocessor; an emulated device gets fewer in all.
static unsigned num_blocks(const bench_gpu *gpu, unsigned each) {
  unsigned all = gpu->cuda.multiprocessors * each;
  return gpu->info.is_emulated || !all ? 2 : all;
}

static uint64_t bytes_per_iteration(unsigned blocks) {
  return (uint64_t)blocks * kThreads * kUnroll * 16;
}

static int launch_read(const bench_gpu *gpu, unsigned blocks,
                       uint64_t *size_bytes) {
  struct bench_probes *p = gpu->probes;
  uint32_t iterations =
      (uint32_t)(p->buffer_bytes / bytes_per_iteration(blocks));
  *size_bytes = iterations * bytes_per_iteration(blocks);
  void *arguments[] = {&p->buffer, &p->sums, &iterations};
  return launch(gpu, p->read, blocks, arguments, "launch of 'read'");
}

static int launch_multiply(const bench_gpu *gpu, uint32_t iterations) {
  struct bench_probes *p = gpu->probes;
  void *arguments[] = {&p->operands, &p->sums, &iterations};
  return launch(gpu, p->multiply, num_blocks(gpu, p->blocks_each), arguments,
                "launch of 'multiply'");
}

int bench_probes_occupy(const bench_gpu *gpu) {
  uint64_t size_bytes;
  return launch_read(gpu, num_blocks(gpu, 8), &size_bytes);
}

/// Seconds of one launch of a probe.
static int time_launch(const bench_gpu *gpu, unsigned blocks, bool read,
                       uint64_t *size_bytes, double *seconds) {
  int code = bench_gpu_stamp(gpu, 0);
  if (!code)
    code = read
               ? launch_read(gpu, blocks, size_bytes)
               : launch_multiply(gpu, gpu->info.is_emulated ? kCheckedIterations
                                                            : kIterations);
  if (!code)
    code = bench_gpu_stamp(gpu, 1);
  if (!code)
    code = bench_gpu_wait(gpu, "measuring the device");
  return code ? code : bench_gpu_elapsed(gpu, 0, seconds);
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

/// Operands: ones, or normal values as weights have, for which a GPU takes as
/// much power as at work.
static int put_operands(bench_gpu *gpu, bool ones) {
  struct bench_probes *p = gpu->probes;
  const char *type = gpu->info.precision;
  union {
    float wide[kOperandBytes / 4];
    uint16_t narrow[kOperandBytes / 2];
  } values;
  bool is_f32 = !strcmp(type, "f32");
  size_t count =
      is_f32 || !strcmp(type, "tf32") ? kOperandBytes / 4 : kOperandBytes / 2;
  for (size_t i = 0; i < count; i++) {
    float value = ones ? 1 : (float)moe_synthetic_normal(0, i);
    // A multiply-add that stays near one.
    if (!ones && is_f32)
      value = i ? 1e-9f : 1.0000001f;
    if (count == kOperandBytes / 4)
      values.wide[i] = value;
    else
      values.narrow[i] =
          strcmp(type, "f16") ? moe_f32_to_bf16(value) : moe_f32_to_f16(value);
  }
  moe_cu_result result =
      gpu->cuda.f.upload(p->operands, &values, sizeof(values), gpu->stream);
  return result ? bench_gpu_fail(gpu, result, "cuMemcpyHtoDAsync")
                : bench_gpu_wait(gpu, "a probe's operands");
}

static int read_sums(bench_gpu *gpu, void *sums, size_t size_bytes) {
  moe_cu_result result =
      gpu->cuda.f.download(sums, gpu->probes->sums, size_bytes, gpu->stream);
  return result ? bench_gpu_fail(gpu, result, "cuMemcpyDtoHAsync")
                : bench_gpu_wait(gpu, "a probe");
}

static int wrong(const bench_gpu *gpu, const char *kernel, double got,
                 double expected) {
  tool_error("%s computes wrongly: probe '%s' gives %.9g, expected %.9g",
             gpu->cuda.name, kernel, got, expected);
  return TOOL_INTERNAL;
}

static int check_read(bench_gpu *gpu, uint32_t *sums) {
  struct bench_probes *p = gpu->probes;
  uint32_t words = (uint32_t)(p->buffer_bytes / 4);
  void *arguments[] = {&p->buffer, &words};
  unsigned blocks = num_blocks(gpu, 8);
  int code = launch(gpu, p->fill, blocks, arguments, "launch of 'fill'");
  uint64_t size_bytes = 0;
  if (!code)
    code = launch_read(gpu, blocks, &size_bytes);
  size_t count = (size_t)blocks * kThreads;
  if (!code)
    code = read_sums(gpu, sums, count * sizeof(*sums));
  if (code)
    return code;
  // 0 + 1 + ... + n - 1, as 32 bits.
  uint64_t n = size_bytes / 4;
  uint32_t expected = (uint32_t)(n * (n - 1) / 2), got = 0;
  for (size_t i = 0; i < count; i++)
    got += sums[i];
  return got == expected ? TOOL_OK : wrong(gpu, "read", got, expected);
}

static int check_multiply(bench_gpu *gpu, float *sums) {
  struct bench_probes *p = gpu->probes;
  int code = put_operands(gpu, true);
  if (!code)
    code = launch_multiply(gpu, kCheckedIterations);
  size_t count = (size_t)num_blocks(gpu, p->blocks_each) * kThreads;
  if (!code)
    code = read_sums(gpu, sums, count * sizeof(*sums));
  float expected = p->sum * kCheckedIterations;
  for (size_t i = 0; i < count && !code; i++)
    if (sums[i] != expected)
      code = wrong(gpu, "multiply", sums[i], expected);
  return code ? code : put_operands(gpu, false);
}

//===----------------------------------------------------------------------===//
// Opening and measuring
//===----------------------------------------------------------------------===//

/// A buffer far beyond the caches, of which the largest have 256 MiB, but at
/// most a quarter of what is free.
static int alloc_buffer(bench_gpu *gpu) {
  struct bench_probes *p = gpu->probes;
  p->buffer_bytes = (uint64_t)1 << 31;
  size_t free_bytes = 0, total_bytes = 0;
  moe_cu_result result = gpu->cuda.f.mem_info(&free_bytes, &total_bytes);
  if (result)
    return bench_gpu_fail(gpu, result, "cuMemGetInfo");
  if (p->buffer_bytes > free_bytes / 4)
    p->buffer_bytes = free_bytes / 4 / 4096 * 4096;
  uint64_t least = bytes_per_iteration(num_blocks(gpu, 16));
  if (gpu->info.is_emulated)
    p->buffer_bytes = 3 * least;
  if (p->buffer_bytes < least)
    p->buffer_bytes = least;
  return bench_gpu_alloc(gpu, p->buffer_bytes, "a buffer to read", &p->buffer);
}

int bench_probes_open(bench_gpu *gpu) {
  struct bench_probes *p = calloc(1, sizeof(*p));
  if (!p)
    return tool_out_of_memory();
  gpu->probes = p;
  moe_text text = {0};
  put_products(&text, p, gpu);
  int code =
      text.failed ? tool_out_of_memory() : load(gpu, memory_text, &p->memory);
  if (!code)
    code = load(gpu, text.data, &p->products);
  moe_free(text.data);
  if (!code)
    code = find(gpu, p->memory, "fill", &p->fill);
  if (!code)
    code = find(gpu, p->memory, "read", &p->read);
  if (!code)
    code = find(gpu, p->products, "multiply", &p->multiply);
  if (!code)
    code = alloc_buffer(gpu);
  size_t sums_bytes = (size_t)num_blocks(gpu, 16) * kThreads * 4;
  if (!code)
    code = bench_gpu_alloc(gpu, kOperandBytes, "operands", &p->operands);
  if (!code)
    code = bench_gpu_alloc(gpu, sums_bytes, "sums", &p->sums);
  void *sums = code ? NULL : malloc(sums_bytes);
  if (!code && !sums)
    code = tool_out_of_memory();
  if (!code)
    code = check_read(gpu, sums);
  if (!code)
    code = check_multiply(gpu, sums);
  free(sums);
  return code;
}

void bench_probes_close(bench_gpu *gpu) {
  struct bench_probes *p = gpu->probes;
  if (!p)
    return;
  bench_gpu_free(gpu, p->buffer);
  bench_gpu_free(gpu, p->operands);
  bench_gpu_free(gpu, p->sums);
  if (p->memory)
    gpu->cuda.f.module_unload(p->memory);
  if (p->products)
    gpu->cuda.f.module_unload(p->products);
  free(p);
  gpu->probes = NULL;
}

int bench_gpu_limits(bench_gpu *gpu, bench_limits *limits) {
  struct bench_probes *p = gpu->probes;
  *limits = (bench_limits){0, 0};
  int launches = gpu->info.is_emulated ? 1 : kLaunches, code = TOOL_OK;
  double seconds = 0;
  // The first launches wake the clocks up.
  for (int i = 0; i < 4 * launches && !code; i++) {
    code = time_launch(gpu, 0, /*read=*/false, NULL, &seconds);
    double flops = p->flops *
                   (gpu->info.is_emulated ? kCheckedIterations : kIterations) *
                   num_blocks(gpu, p->blocks_each) * kThreads;
    if (!code && seconds > 0 && flops / seconds > limits->fma_flops)
      limits->fma_flops = flops / seconds;
  }
  for (unsigned each = 2; each <= 16 && !code; each *= 2)
    for (int i = 0; i < launches && !code; i++) {
      uint64_t size_bytes = 0;
      code = time_launch(gpu, num_blocks(gpu, each), /*read=*/true, &size_bytes,
                         &seconds);
      if (!code && seconds > 0 &&
          (double)size_bytes / seconds > limits->read_bytes)
        limits->read_bytes = (double)size_bytes / seconds;
    }
  return code;
}
