//===- internal.h - What the files of the runtime share -----------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_INTERNAL_H
#define MOE_RT_SRC_INTERNAL_H
#include "cuda.h"
#include "diag.h"
#include "manifest.h"
#include "moe_abi.h"
#include "moe_rt.h"
#include "pool.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moe_rt_module {
  atomic_size_t references;
  char *path; // absolute
  moe_manifest *manifest;
  void *library; // of dlopen(); NULL for code that is linked in
  const moe_abi_library *code;
  unsigned level_index; // 0: x86-64-v3, 1: x86-64-v4; a device: 0
  // Of the manifest's parameters, those of this code.
  uint32_t first_param, num_params;
  char *description;
  moe_cuda *cuda; // NULL: on the CPU
};
void moe_module_retain(moe_rt_module *module);

struct moe_rt_params {
  atomic_size_t references;
  moe_rt_module *module;
  struct moe_checkpoint *checkpoint; // NULL unless a parameter is mapped
  void **data;                       // one per parameter of the code
  bool *owned;                       // from moe_alloc_pages()
};
void moe_params_retain(moe_rt_params *params);

/// Memory that grows.
typedef struct {
  void *memory;
  size_t size_bytes;
} moe_block;

/// What a session has on a GPU. Its blocks lie in device memory.
typedef struct {
  const moe_cuda *cuda;
  moe_cu_stream stream;
  bool owns_stream;
  // Of this call.
  bool is_capturing;
  moe_error failure; // the first of its launches
  // A graph reads the session's lengths from here when it runs.
  int64_t *captured_lengths;
  bool was_captured;
  // The context works no more: `failure` is for ever.
  bool is_lost;
  moe_block small;       // lengths, counts, nothing
  moe_block copies;      // of host tensors
  moe_block values;      // of device tensors, in host memory
  uint64_t *host_places; // of staged tensors, per argument; 0: none
  void **arguments;
  moe_cu_tensor_map *maps;
} moe_gpu;

struct moe_rt_session {
  moe_abi_context context; // first: generated code hands it back
  moe_rt_module *module;
  moe_rt_params *params;
  moe_pool *pool;
  const moe_rt_executor *executor;
  atomic_uint in_use;
  int64_t max_batch, max_length;
  int64_t *lengths;  // [max_batch]
  moe_block *states; // by number of the manifest
  moe_block arena, scratch;
  moe_gpu *gpu; // NULL: on the CPU
  // For the longest function: slots, then the counts it writes.
  uint64_t *slots;
  int64_t *counts;
  uint64_t *sizes; // bytes of the caller's tensors
};

/// Makes `error` this thread's last error and returns its status.
moe_rt_status moe_report(const moe_error *error);
/// The same for text made here.
moe_rt_status moe_report_text(moe_rt_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/// Copies the caller's options: `known` bytes, of which a caller of another
/// version may have fewer (the rest is zero) or more (which must be zero).
/// `options` NULL gives zeros.
moe_rt_status moe_copy_options(void *copy, size_t known, const void *options,
                               const char *what);

/// x86-64 level of this CPU with what its system saves: 1, 3 or 4.
uint32_t moe_cpu_level(void);

#endif // MOE_RT_SRC_INTERNAL_H
