//===- driver.h - A CUDA driver that fails on request -------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_TEST_DRIVER_H
#define MOE_RT_TEST_DRIVER_H
#include "cuda_api.h"

/// What the stand-in pretends to be, and what it has seen. Set before use.
typedef struct {
  int version, num_devices, capability, max_shared, max_registers,
      multiprocessors;
  size_t memory_bytes; // of a device
  /// The `nth` call of the function of this exported name gives `result`.
  const char *fail;
  int nth, result;
  /// What loading an image gives, by its first byte: '.' is PTX.
  int ptx_result, cubin_result;
  const char *missing_kernel;
  /// Work in a stream fails from here on, as after an illegal address.
  int sticky;
  // What is alive. All must be 0 in the end.
  int contexts, modules, streams, allocations, host_allocations;
  size_t used_bytes;
  // Depth of the calling thread's stack of contexts is asked for alone.
  int launches, synchronizations, overlapping, clusters;
  /// Of the last launch, along x.
  unsigned blocks;
} driver_state;

driver_state *driver_control(void);
int driver_depth(void);
/// Calls of a function so far.
int driver_calls(const char *name);
/// Forgets those, and everything that is to fail.
void driver_reset(void);
/// Frees what was left behind, as the end of a context does.
void driver_forget(void);

/// As in the CUDA driver, for the tests.
int driver_begin_capture(moe_cu_stream stream);
int driver_end_capture(moe_cu_stream stream);
/// Puts what was captured into the stream once more.
void driver_replay(moe_cu_stream stream);
/// Memory of the second device, and a stream of no primary context.
moe_cu_pointer driver_foreign_memory(size_t size_bytes);
moe_cu_stream driver_foreign_stream(void);

#endif // MOE_RT_TEST_DRIVER_H
