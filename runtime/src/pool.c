//===- pool.c - Threads that share loops ----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "pool.h"
#include "alloc.h"
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// Looks at a word before a thread sleeps: a few microseconds, which covers the
// gap between two loops of one call. An idle pool sleeps.
enum { kSpins = 200 };

// In `gate`: a loop is open for workers to join; below it, how many are inside.
static const uint32_t kOpen = 1u << 31;

struct moe_pool {
  // Counts loops; workers sleep on it.
  _Alignas(64) atomic_uint epoch;
  atomic_uint num_sleepers;
  atomic_bool stop;
  // The caller sleeps on it while it is not zero.
  _Alignas(64) atomic_uint gate;
  // Of the open loop; written only while the gate is closed and empty.
  void (*fn)(void *argument, int64_t i);
  void *argument;
  int64_t n;
  _Alignas(64) atomic_llong next;
  // Constant.
  _Alignas(64) pthread_t *workers;
  int32_t num_workers;
  int32_t num_spins;
};

static void futex_wait(atomic_uint *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void relax(void) {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

//===----------------------------------------------------------------------===//
// Marks
//===----------------------------------------------------------------------===//

static _Thread_local bool inside_loop
    __attribute__((tls_model("initial-exec")));

bool moe_pool_inside(void) { return inside_loop; }

moe_pool_mark moe_pool_enter_serial(void) {
  moe_pool_mark mark = {inside_loop, 0};
#if defined(__x86_64__)
  mark.float_control = _mm_getcsr();
  _mm_setcsr(0x1f80);
#endif
  return mark;
}

moe_pool_mark moe_pool_enter(void) {
  moe_pool_mark mark = moe_pool_enter_serial();
  inside_loop = true;
  return mark;
}

void moe_pool_leave(moe_pool_mark mark) {
  inside_loop = mark.was_inside;
#if defined(__x86_64__)
  _mm_setcsr(mark.float_control);
#endif
}

//===----------------------------------------------------------------------===//
// Workers
//===----------------------------------------------------------------------===//

static void take_part(moe_pool *pool) {
  moe_pool_mark mark = moe_pool_enter();
  for (;;) {
    int64_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (i >= pool->n)
      break;
    pool->fn(pool->argument, i);
  }
  moe_pool_leave(mark);
}

static bool join_loop(moe_pool *pool) {
  uint32_t gate = atomic_load(&pool->gate);
  do {
    if (!(gate & kOpen))
      return false;
  } while (!atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1));
  return true;
}

static void leave_loop(moe_pool *pool) {
  // The last one out of a closed gate wakes the caller.
  if (atomic_fetch_sub(&pool->gate, 1) == 1)
    futex_wake(&pool->gate, 1);
}

static void *work(void *argument) {
  moe_pool *pool = argument;
  uint32_t done = 0;
  for (;;) {
    uint32_t seen = atomic_load(&pool->epoch);
    for (int i = 0; seen == done && i < pool->num_spins; i++) {
      relax();
      seen = atomic_load(&pool->epoch);
    }
    if (atomic_load(&pool->stop))
      return NULL;
    if (seen == done) {
      atomic_fetch_add(&pool->num_sleepers, 1);
      futex_wait(&pool->epoch, seen);
      atomic_fetch_sub(&pool->num_sleepers, 1);
      continue;
    }
    if (join_loop(pool)) {
      take_part(pool);
      leave_loop(pool);
    }
    done = seen;
  }
}

static void announce(moe_pool *pool, int count) {
  atomic_fetch_add(&pool->epoch, 1);
  // A worker that counts itself a sleeper later sees the new epoch.
  if (atomic_load(&pool->num_sleepers))
    futex_wake(&pool->epoch, count);
}

void moe_pool_run(moe_pool *pool, void (*fn)(void *argument, int64_t i),
                  void *argument, int64_t n) {
  if (n <= 0)
    return;
  if (n == 1 || pool->num_workers == 0 || inside_loop) {
    moe_pool_mark mark = moe_pool_enter_serial();
    for (int64_t i = 0; i < n; i++)
      fn(argument, i);
    moe_pool_leave(mark);
    return;
  }
  pool->fn = fn;
  pool->argument = argument;
  pool->n = n;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store(&pool->gate, kOpen);
  announce(pool, n - 1 < pool->num_workers ? (int)(n - 1) : pool->num_workers);
  take_part(pool);
  uint32_t gate = atomic_fetch_and(&pool->gate, ~kOpen) & ~kOpen;
  for (int i = 0; gate && i < pool->num_spins; i++) {
    relax();
    gate = atomic_load(&pool->gate);
  }
  while (gate) {
    futex_wait(&pool->gate, gate);
    gate = atomic_load(&pool->gate);
  }
}

//===----------------------------------------------------------------------===//
// Making and ending
//===----------------------------------------------------------------------===//

static bool start_worker(moe_pool *pool, pthread_t *thread) {
  if (!moe_gate_open(MOE_GATE_THREAD, 0))
    return false;
  return !pthread_create(thread, NULL, work, pool);
}

moe_rt_status moe_pool_create(int32_t num_threads, moe_pool **pool,
                              moe_error *error) {
  int32_t usable = moe_default_threads();
  if (num_threads <= 0)
    num_threads = usable;
  if (num_threads > MOE_POOL_MAX_THREADS)
    num_threads = MOE_POOL_MAX_THREADS;
  moe_pool *result = moe_alloc_pages(sizeof(*result));
  pthread_t *workers = moe_zalloc((size_t)num_threads, sizeof(*workers));
  if (!result || !workers) {
    moe_free_pages(result, sizeof(*result));
    moe_free(workers);
    return moe_fail(error, MOE_RT_OUT_OF_MEMORY,
                    "out of memory for a pool of %d threads", (int)num_threads);
  }
  result->workers = workers;
  // With more threads than cores, who spins keeps another from its work.
  result->num_spins = num_threads <= usable ? kSpins : 0;
  // Signals are the embedder's business.
  sigset_t all, before;
  sigfillset(&all);
  bool masked = !pthread_sigmask(SIG_SETMASK, &all, &before);
  int32_t started = 0;
  while (started < num_threads - 1 && start_worker(result, &workers[started]))
    started++;
  if (masked)
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  result->num_workers = started;
  *pool = result;
  return MOE_RT_OK;
}

void moe_pool_destroy(moe_pool *pool) {
  if (!pool)
    return;
  atomic_store(&pool->stop, true);
  atomic_fetch_add(&pool->epoch, 1);
  futex_wake(&pool->epoch, pool->num_workers);
  for (int32_t i = 0; i < pool->num_workers; i++)
    pthread_join(pool->workers[i], NULL);
  moe_free(pool->workers);
  moe_free_pages(pool, sizeof(*pool));
}

int32_t moe_pool_size(const moe_pool *pool) { return pool->num_workers + 1; }

//===----------------------------------------------------------------------===//
// How many threads
//===----------------------------------------------------------------------===//

static int32_t affinity_threads(void) {
  // The kernel's mask may be larger than cpu_set_t; 8192 is its own limit.
  enum { kMaxCpus = 8192 };
  unsigned long mask[kMaxCpus / (8 * sizeof(unsigned long))] = {0};
  if (sched_getaffinity(0, sizeof(mask), (cpu_set_t *)mask))
    return 1;
  int count = 0;
  for (size_t i = 0; i < sizeof(mask) / sizeof(mask[0]); i++)
    count += __builtin_popcountl(mask[i]);
  return count > 0 ? count : 1;
}

int32_t moe_threads_of_quota(const char *text) {
  long long quota, period;
  if (sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 ||
      period <= 0)
    return 0;
  long long threads = quota / period + (quota % period != 0);
  return threads > INT32_MAX ? INT32_MAX : (int32_t)threads;
}

// The start of a small file as text; false if it cannot be read.
static bool read_small(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return false;
  ssize_t n = read(fd, text, size - 1);
  close(fd);
  if (n <= 0)
    return false;
  text[n] = 0;
  return true;
}

static void lower(int32_t *threads, int32_t limit) {
  if (limit > 0 && limit < *threads)
    *threads = limit;
}

// Version 1 keeps quota and period in two files.
static int32_t quota_v1(const char *folder) {
  char path[512], quota[64], period[64], both[160];
  snprintf(path, sizeof(path), "%.400s/cpu.cfs_quota_us", folder);
  if (!read_small(path, quota, sizeof(quota)))
    return 0;
  snprintf(path, sizeof(path), "%.400s/cpu.cfs_period_us", folder);
  if (!read_small(path, period, sizeof(period)))
    return 0;
  quota[strcspn(quota, "\n")] = 0;
  snprintf(both, sizeof(both), "%s %s", quota, period);
  return moe_threads_of_quota(both);
}

// Each group up to the root may set a limit.
static int32_t quota_threads(int32_t threads) {
  char groups[4096], path[1024], text[64];
  char group[512] = "";
  if (read_small("/proc/self/cgroup", groups, sizeof(groups))) {
    const char *line = strstr(groups, "0::/");
    if (line && (line == groups || line[-1] == '\n'))
      snprintf(group, sizeof(group), "%.*s", (int)strcspn(line + 3, "\n"),
               line + 3);
  }
  for (;;) {
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cpu.max", group);
    if (read_small(path, text, sizeof(text)))
      lower(&threads, moe_threads_of_quota(text));
    char *slash = strrchr(group, '/');
    if (!slash)
      break;
    *slash = 0;
  }
  lower(&threads, quota_v1("/sys/fs/cgroup/cpu"));
  lower(&threads, quota_v1("/sys/fs/cgroup/cpu,cpuacct"));
  return threads;
}

int32_t moe_default_threads(void) {
  int32_t threads = quota_threads(affinity_threads());
  return threads < MOE_POOL_MAX_THREADS ? threads : MOE_POOL_MAX_THREADS;
}
