//===- limits.c - What the machine can do ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "alloc.h"
#include "moe-bench.h"
#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

// As many accumulators as hide the latency and fit the registers. Each has a
// name so that it stays in one: an indexed array may be spilled, which costs
// more than half of the peak.
#define R12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define R24(X)                                                                 \
  R12(X) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#define DECLARE(i) VECTOR c##i = SET((float)i);
#define STEP(i) c##i = FMA(c##i, a, b);
#define KEEP(i) __asm__ volatile("" : "+" REGISTER(c##i));
#define SUM(i) total = ADD(total, c##i);
#define FMA_LOOP(name, features, ALL)                                          \
  __attribute__((target(features), noinline)) static float name(               \
      int64_t iterations) {                                                    \
    VECTOR a = SET(1.0000001f), b = SET(1e-9f), total = SET(0.f);              \
    ALL(DECLARE)                                                               \
    for (int64_t n = 0; n < iterations; n++) {                                 \
      ALL(STEP)                                                                \
      ALL(KEEP)                                                                \
    }                                                                          \
    ALL(SUM)                                                                   \
    float out[sizeof(VECTOR) / sizeof(float)];                                 \
    memcpy(out, &total, sizeof(out));                                          \
    return out[0];                                                             \
  }
// Sums `count` floats, read as `streams` parallel ones.
#define READ_LOOP(name, features)                                              \
  __attribute__((target(features), noinline)) static float name(               \
      const float *data, size_t count, size_t streams) {                       \
    enum { kWidth = sizeof(VECTOR) / sizeof(float), kStep = 4 * kWidth };      \
    VECTOR s0 = SET(0.f), s1 = s0, s2 = s0, s3 = s0;                           \
    size_t length = count / streams / kStep * kStep;                           \
    for (size_t i = 0; i < length; i += kStep)                                 \
      for (size_t j = 0; j < streams; j++) {                                   \
        const float *at = data + j * length + i;                               \
        s0 = ADD(s0, LOAD(at));                                                \
        s1 = ADD(s1, LOAD(at + kWidth));                                       \
        s2 = ADD(s2, LOAD(at + 2 * kWidth));                                   \
        s3 = ADD(s3, LOAD(at + 3 * kWidth));                                   \
      }                                                                        \
    VECTOR total = ADD(ADD(s0, s1), ADD(s2, s3));                              \
    float out[kWidth];                                                         \
    memcpy(out, &total, sizeof(out));                                          \
    return out[0];                                                             \
  }

#define VECTOR __m256
#define SET _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define ADD _mm256_add_ps
#define LOAD _mm256_loadu_ps
#define REGISTER "x"
FMA_LOOP(fma_avx2, "avx2,fma", R12)
READ_LOOP(read_avx2, "avx2,fma")
#undef VECTOR
#undef SET
#undef FMA
#undef ADD
#undef LOAD
#undef REGISTER
#define VECTOR __m512
#define SET _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define ADD _mm512_add_ps
#define LOAD _mm512_loadu_ps
#define REGISTER "v"
FMA_LOOP(fma_avx512, "avx512f", R24)
READ_LOOP(read_avx512, "avx512f")

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

typedef struct {
  float (*fma)(int64_t iterations);
  double flops; // per iteration
  float (*read)(const float *data, size_t count, size_t streams);
  size_t streams;
} variant;

/// Times of one thread; a cache line apart.
typedef struct {
  double start, end;
  float sink;
  char padding[128 - 2 * sizeof(double) - sizeof(float)];
} stamp;

typedef struct {
  int64_t threads;
  /// Held until it is known whether every thread has started.
  pthread_mutex_t gate;
  bool abandoned;
  pthread_barrier_t barrier;
  float *buffer;
  size_t floats_each;
  stamp *stamps;
  bench_limits limits; // written by thread 0
} team;

typedef struct {
  team *team;
  int64_t id;
} member;

enum { kFmaIterations = 4000000, kRepeats = 3 };

/// From the first start to the last end.
static double span(const team *t) {
  double start = t->stamps[0].start, end = t->stamps[0].end;
  for (int64_t i = 1; i < t->threads; i++) {
    if (t->stamps[i].start < start)
      start = t->stamps[i].start;
    if (t->stamps[i].end > end)
      end = t->stamps[i].end;
  }
  return end - start;
}

static void run_variant(member *m, const variant *v) {
  team *t = m->team;
  stamp *s = &t->stamps[m->id];
  const float *mine = t->buffer + (size_t)m->id * t->floats_each;
  for (int r = 0; r < kRepeats; r++) {
    pthread_barrier_wait(&t->barrier);
    s->start = tool_now();
    s->sink += v->fma ? v->fma(kFmaIterations)
                      : v->read(mine, t->floats_each, v->streams);
    s->end = tool_now();
    pthread_barrier_wait(&t->barrier);
    if (m->id)
      continue;
    double seconds = span(t);
    double amount = v->fma ? v->flops * kFmaIterations
                           : (double)t->floats_each * sizeof(float);
    double rate = amount * (double)t->threads / seconds;
    double *best = v->fma ? &t->limits.fma_flops : &t->limits.read_bytes;
    if (rate > *best)
      *best = rate;
  }
}

static void *run_member(void *argument) {
  member *m = argument;
  team *t = m->team;
  pthread_mutex_lock(&t->gate);
  bool abandoned = t->abandoned;
  pthread_mutex_unlock(&t->gate);
  if (abandoned)
    return NULL;
  float *mine = t->buffer + (size_t)m->id * t->floats_each;
  for (size_t i = 0; i < t->floats_each; i++)
    mine[i] = 1e-3f;
  variant variants[16];
  size_t count = 0;
  variants[count++] = (variant){fma_avx2, 2 * 8 * 12, NULL, 0};
  for (size_t streams = 1; streams <= 8; streams *= 2)
    variants[count++] = (variant){NULL, 0, read_avx2, streams};
  if (__builtin_cpu_supports("avx512f")) {
    variants[count++] = (variant){fma_avx512, 2 * 16 * 24, NULL, 0};
    for (size_t streams = 1; streams <= 4; streams *= 2)
      variants[count++] = (variant){NULL, 0, read_avx512, streams};
  }
  for (size_t i = 0; i < count; i++)
    run_variant(m, &variants[i]);
  return NULL;
}

/// Bytes of the last cache. In a virtual machine the C library may report the
/// host's, and the kernel what this CPU shares.
static size_t cache_bytes(void) {
  long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE), kib;
  FILE *file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re");
  if (file) {
    if (fscanf(file, "%8ldK", &kib) == 1 && kib > 0)
      bytes = kib << 10;
    fclose(file);
  }
  return bytes > 0 ? (size_t)bytes : 0;
}

/// Bytes of a buffer that no cache holds: four times the last one, at least 256
/// MiB and at most 1 GiB.
static size_t buffer_bytes(void) {
  size_t least = (size_t)256 << 20, most = (size_t)1 << 30;
  size_t bytes = cache_bytes();
  bytes = bytes < most / 4 ? 4 * bytes : most;
  return bytes > least ? bytes : least;
}

static int run_team(team *t) {
  member *members = calloc((size_t)t->threads, sizeof(*members));
  pthread_t *threads = calloc((size_t)t->threads, sizeof(*threads));
  if (!members || !threads) {
    free(members);
    free(threads);
    return tool_out_of_memory();
  }
  for (int64_t i = 0; i < t->threads; i++)
    members[i] = (member){t, i};
  // A barrier waits for all, so all of them run or none.
  pthread_mutex_lock(&t->gate);
  int64_t started = 1;
  for (; started < t->threads; started++)
    if (pthread_create(&threads[started], NULL, run_member, &members[started]))
      break;
  t->abandoned = started < t->threads;
  pthread_mutex_unlock(&t->gate);
  int code = TOOL_OK;
  if (t->abandoned) {
    tool_error("cannot start %lld threads to measure the machine with",
               (long long)t->threads);
    code = TOOL_ENVIRONMENT;
  } else {
    run_member(&members[0]);
  }
  for (int64_t i = 1; i < started; i++)
    pthread_join(threads[i], NULL);
  free(members);
  free(threads);
  return code;
}

int bench_measure_limits(int64_t threads, bench_limits *limits) {
  *limits = (bench_limits){0, 0};
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return TOOL_OK;
  size_t floats = buffer_bytes() / sizeof(float);
  team t = {.threads = threads,
            .gate = PTHREAD_MUTEX_INITIALIZER,
            .floats_each = floats / (size_t)threads / 1024 * 1024};
  size_t bytes = t.floats_each * (size_t)threads * sizeof(float);
  t.stamps = calloc((size_t)threads, sizeof(*t.stamps));
  t.buffer = moe_alloc_pages(bytes);
  int code = TOOL_OK;
  if (!t.stamps || !t.buffer) {
    tool_error("not enough memory to measure read bandwidth: %zu MiB",
               bytes >> 20);
    code = TOOL_ENVIRONMENT;
  } else if (pthread_barrier_init(&t.barrier, NULL, (unsigned)threads)) {
    code = tool_out_of_memory();
  } else {
    code = run_team(&t);
    pthread_barrier_destroy(&t.barrier);
  }
  *limits = t.limits;
  moe_free_pages(t.buffer, bytes);
  free(t.stamps);
  return code;
}
