//===- gpu.h - Calls on a GPU -------------------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What session.c does differently where the module's code launches kernels.
// Between moe_gpu_enter() and moe_gpu_leave() the context is current.
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_GPU_H
#define MOE_RT_SRC_GPU_H
#include "internal.h"

/// Sets session->gpu, with a stream of its own if `stream` is NULL.
moe_rt_status moe_gpu_open(moe_rt_session *session, void *stream,
                           moe_error *error);
/// Releases what the session has in device memory, its blocks included.
void moe_gpu_close(moe_rt_session *session);

/// Fails for ever once the device failed.
moe_rt_status moe_gpu_enter(moe_gpu *gpu, moe_error *error);
void moe_gpu_leave(moe_gpu *gpu);

/// What is wrong with a tensor of this address in device memory; NULL:
/// nothing.
const char *moe_gpu_check_pointer(const moe_gpu *gpu, const void *data);

/// A copy of device memory for the CPU, good until the next call. Waits for the
/// stream.
moe_rt_status moe_gpu_read(moe_gpu *gpu, const void *data, uint64_t size_bytes,
                           const void **copy, moe_error *error);

/// Makes a block of device memory longer, zeroed; the old content is lost.
/// During a capture it fails.
moe_rt_status moe_gpu_grow(moe_gpu *gpu, moe_block *block, uint64_t size_bytes,
                           const char *what, moe_error *error);

/// Device addresses of the session's lengths, of the count of argument `index`,
/// and of something that is neither read nor written.
uint64_t moe_gpu_lengths(const moe_rt_session *session);
uint64_t moe_gpu_count(const moe_rt_session *session, uint32_t index);
uint64_t moe_gpu_nothing(const moe_rt_session *session);

/// A call: lengths go to the device, then copies and launches, of which the
/// first failure is kept and given back at the end.
moe_rt_status moe_gpu_start(moe_rt_session *session, bool with_lengths,
                            moe_error *error);
void moe_gpu_upload(moe_gpu *gpu, uint64_t to, uint64_t from,
                    uint64_t size_bytes);
void moe_gpu_download(moe_gpu *gpu, uint64_t to, uint64_t from,
                      uint64_t size_bytes);
moe_rt_status moe_gpu_finish(moe_rt_session *session, bool wait,
                             bool with_counts, moe_error *error);

/// Waits for the stream.
moe_rt_status moe_gpu_wait(moe_gpu *gpu, moe_error *error);

/// Shows the session's lengths to graphs.
void moe_gpu_set_lengths(moe_rt_session *session);

#endif // MOE_RT_SRC_GPU_H
