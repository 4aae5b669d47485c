//===- pool.h - Threads that share loops --------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_POOL_H
#define MOE_RT_SRC_POOL_H
#include "diag.h"
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Most threads of a pool; more are not an error, but are not started.
#define MOE_POOL_MAX_THREADS 1024

typedef struct moe_pool moe_pool;

/// Threads that this process may use: its affinity mask and cgroup quota, at
/// least 1.
int32_t moe_default_threads(void);

/// Threads by a cgroup quota file: cpu.max ("QUOTA PERIOD" or "max PERIOD");
/// 0 if it sets no limit.
int32_t moe_threads_of_quota(const char *text);

/// A pool of `num_threads` (0: the default) counting the calling thread. If
/// the system starts fewer, the pool is smaller. Release with
/// moe_pool_destroy().
/// \returns MOE_RT_OK, MOE_RT_OUT_OF_MEMORY.
moe_rt_status moe_pool_create(int32_t num_threads, moe_pool **pool,
                              moe_error *error);
void moe_pool_destroy(moe_pool *pool);
/// Threads, the calling one included.
int32_t moe_pool_size(const moe_pool *pool);

/// Runs fn(argument, i) for all i in [0, n) and returns when all have ended;
/// the caller takes part. One thread at a time may call this, except from
/// within `fn`: there it runs inline.
void moe_pool_run(moe_pool *pool, void (*fn)(void *argument, int64_t i),
                  void *argument, int64_t n);

/// True within a parallel loop on this thread.
bool moe_pool_inside(void);
/// Says that this thread runs a part of a loop (an embedder's threads do);
/// returns what to give back to moe_pool_leave(). Also sets the floating point
/// environment that compiled code expects: round to nearest, denormals kept.
typedef struct {
  bool was_inside;
  uint32_t float_control;
} moe_pool_mark;
moe_pool_mark moe_pool_enter(void);
/// The floating point environment alone: loops inside may still use threads.
moe_pool_mark moe_pool_enter_serial(void);
void moe_pool_leave(moe_pool_mark mark);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_POOL_H
