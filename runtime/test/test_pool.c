//===- test_pool.c - Tests of the thread pool -----------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "alloc.h"
#include "check.h"
#include "pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

static moe_error error;

static void count(void *argument, int64_t i) {
  atomic_fetch_add((atomic_int *)argument + i, 1);
}

// Every index once, for any number of threads and indices.
static void test_cover(void) {
  static atomic_int seen[1000];
  for (int32_t threads = 1; threads <= 5; threads++) {
    moe_pool *pool;
    REQUIRE(moe_pool_create(threads, &pool, &error) == MOE_RT_OK);
    CHECK_EQ(moe_pool_size(pool), threads);
    for (int64_t n = 0; n < 1000; n += n < 20 ? 1 : 97) {
      for (int i = 0; i < 1000; i++)
        atomic_store(&seen[i], 0);
      moe_pool_run(pool, count, seen, n);
      int wrong = 0;
      for (int i = 0; i < 1000; i++)
        wrong += atomic_load(&seen[i]) != (i < n);
      CHECK_EQ(wrong, 0);
    }
    moe_pool_run(pool, count, seen, -1);
    moe_pool_destroy(pool);
  }
  moe_pool_destroy(NULL);
}

static void add_plain(void *argument, int64_t i) {
  ((int64_t *)argument)[i] += i;
}

// Many short loops: what one writes the next reads, without atomics.
static void test_many(void) {
  enum { kLoops = 20000, kN = 7 };
  int64_t values[kN] = {0};
  moe_pool *pool;
  REQUIRE(moe_pool_create(3, &pool, &error) == MOE_RT_OK);
  for (int i = 0; i < kLoops; i++)
    moe_pool_run(pool, add_plain, values, kN);
  moe_pool_destroy(pool);
  for (int i = 0; i < kN; i++)
    CHECK_EQ(values[i], (int64_t)i * kLoops);
}

struct nest {
  moe_pool *pool;
  atomic_int sum;
  atomic_int outside;
};

static void inner(void *argument, int64_t i) {
  struct nest *n = argument;
  atomic_fetch_add(&n->sum, (int)i);
  if (!moe_pool_inside())
    atomic_fetch_add(&n->outside, 1);
}

static void outer(void *argument, int64_t i) {
  struct nest *n = argument;
  (void)i;
  if (!moe_pool_inside())
    atomic_fetch_add(&n->outside, 1);
  moe_pool_run(n->pool, inner, n, 10);
}

static void test_nested(void) {
  struct nest n = {NULL, 0, 0};
  REQUIRE(moe_pool_create(4, &n.pool, &error) == MOE_RT_OK);
  for (int i = 0; i < 200; i++)
    moe_pool_run(n.pool, outer, &n, 20);
  CHECK_EQ(atomic_load(&n.sum), 200 * 20 * 45);
  CHECK_EQ(atomic_load(&n.outside), 0);
  CHECK(!moe_pool_inside());
  moe_pool_destroy(n.pool);
}

struct meet {
  atomic_int arrived;
};

static void wait_for_all(void *argument, int64_t i) {
  struct meet *m = argument;
  (void)i;
  atomic_fetch_add(&m->arrived, 1);
  while (atomic_load(&m->arrived) < 3)
    sched_yield();
}

// Three indices that wait for one another: three threads take part.
static void test_concurrent(void) {
  struct meet m = {0};
  moe_pool *pool;
  REQUIRE(moe_pool_create(3, &pool, &error) == MOE_RT_OK);
  for (int i = 0; i < 50; i++) {
    atomic_store(&m.arrived, 0);
    moe_pool_run(pool, wait_for_all, &m, 3);
  }
  CHECK_EQ(atomic_load(&m.arrived), 3);
  moe_pool_destroy(pool);
}

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// An idle pool uses no processor.
static void test_idle(void) {
  moe_pool *pool;
  struct nest n = {NULL, 0, 0};
  REQUIRE(moe_pool_create(4, &pool, &error) == MOE_RT_OK);
  n.pool = pool;
  moe_pool_run(pool, inner, &n, 100);
  struct timespec pause = {0, 20000000}, half = {0, 500000000};
  nanosleep(&pause, NULL);
  double before = cpu_seconds();
  nanosleep(&half, NULL);
  CHECK(cpu_seconds() - before < 0.05);
  moe_pool_destroy(pool);
}

static int threads_allowed;
static bool few_threads(moe_gate_kind kind, size_t size) {
  (void)size;
  return kind != MOE_GATE_THREAD || threads_allowed-- > 0;
}

static void test_fewer_threads(void) {
  for (int allowed = 0; allowed < 3; allowed++) {
    moe_pool *pool;
    threads_allowed = allowed;
    moe_gate = few_threads;
    REQUIRE(moe_pool_create(8, &pool, &error) == MOE_RT_OK);
    moe_gate = NULL;
    CHECK_EQ(moe_pool_size(pool), allowed + 1);
    atomic_int seen[50] = {0};
    moe_pool_run(pool, count, seen, 50);
    int sum = 0;
    for (int i = 0; i < 50; i++)
      sum += atomic_load(&seen[i]);
    CHECK_EQ(sum, 50);
    moe_pool_destroy(pool);
  }
  moe_pool *pool;
  REQUIRE(moe_pool_create(INT32_MAX, &pool, &error) == MOE_RT_OK);
  CHECK(moe_pool_size(pool) <= MOE_POOL_MAX_THREADS);
  moe_pool_destroy(pool);
}

static void test_default(void) {
  int32_t usable = moe_default_threads();
  CHECK(usable >= 1);
  moe_pool *pool;
  REQUIRE(moe_pool_create(0, &pool, &error) == MOE_RT_OK);
  CHECK_EQ(moe_pool_size(pool), usable);
  moe_pool_destroy(pool);
  // Tied to one processor: one thread.
  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof(before), &before) == 0);
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &before)) {
      CPU_SET(i, &one);
      break;
    }
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
  CHECK_EQ(moe_default_threads(), 1);
  REQUIRE(sched_setaffinity(0, sizeof(before), &before) == 0);

  CHECK_EQ(moe_threads_of_quota("max 100000\n"), 0);
  CHECK_EQ(moe_threads_of_quota("100000 100000\n"), 1);
  CHECK_EQ(moe_threads_of_quota("150000 100000\n"), 2);
  CHECK_EQ(moe_threads_of_quota("50000 100000"), 1);
  CHECK_EQ(moe_threads_of_quota("800000 100000"), 8);
  CHECK_EQ(moe_threads_of_quota("-1 100000"), 0);
  CHECK_EQ(moe_threads_of_quota("100000 0"), 0);
  CHECK_EQ(moe_threads_of_quota(""), 0);
  CHECK_EQ(moe_threads_of_quota("9223372036854775807 1"), INT32_MAX);
}

static void *churn(void *argument) {
  (void)argument;
  for (int i = 0; i < 50; i++) {
    moe_pool *pool;
    if (moe_pool_create(3, &pool, NULL))
      return REASON("cannot make a pool");
    int64_t values[9] = {0};
    moe_pool_run(pool, add_plain, values, 9);
    moe_pool_run(pool, add_plain, values, 9);
    moe_pool_destroy(pool);
    for (int k = 0; k < 9; k++)
      if (values[k] != 2 * k)
        return REASON("wrong sum");
  }
  return NULL;
}

static void test_churn(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    REQUIRE(pthread_create(&threads[i], NULL, churn, NULL) == 0);
  for (int i = 0; i < 4; i++) {
    void *why = NULL;
    pthread_join(threads[i], &why);
    CHECK(why == NULL);
  }
}

int main(void) {
  test_cover();
  test_many();
  test_nested();
  test_concurrent();
  test_idle();
  test_fewer_threads();
  test_default();
  test_churn();
  return check_finish("test_pool");
}
