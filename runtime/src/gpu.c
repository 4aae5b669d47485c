//===- gpu.c - Calls on a GPU ---------------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "gpu.h"
#include "alloc.h"
#include <stdio.h>
#include <string.h>

// Behind the lengths and the counts: where pointers to nothing point to.
enum { kNothing = 256 };

//===----------------------------------------------------------------------===//
// Failures
//===----------------------------------------------------------------------===//

// Keeps the first failure; every later one of a lost context is no news.
static void keep(moe_gpu *gpu, moe_cu_result result, const char *what) {
  if (gpu->failure.status)
    return;
  moe_cuda_fail(gpu->cuda, result, what, &gpu->failure);
  gpu->is_lost = moe_cuda_is_lost(result);
}

// The same, and tells it.
static moe_rt_status fail(moe_gpu *gpu, moe_cu_result result, const char *what,
                          moe_error *error) {
  keep(gpu, result, what);
  *error = gpu->failure;
  return error->status;
}

static void keep_text(moe_gpu *gpu, uint32_t kernel, const char *why) {
  const moe_manifest *m = gpu->cuda->manifest;
  const moe_abi_device *d = &m->devices[gpu->cuda->device_index];
  moe_fail(
      &gpu->failure, MOE_RT_BAD_FILE, "%s: %s: launch of kernel '%s': %s",
      MOE_QP(gpu->cuda->path), MOE_Q(m->device_names[gpu->cuda->device_index]),
      kernel < d->num_kernels ? MOE_Q(m->kernel_names[d->first_kernel + kernel])
                              : "",
      why);
}

moe_rt_status moe_gpu_enter(moe_gpu *gpu, moe_error *error) {
  if (gpu->is_lost) {
    *error = gpu->failure;
    return error->status;
  }
  gpu->failure.status = MOE_RT_OK;
  moe_rt_status status = moe_cuda_enter(gpu->cuda, error);
  if (status)
    return status;
  int capture = MOE_CU_STREAM_CAPTURE_NONE;
  moe_cu_result result = gpu->cuda->f.stream_capture(gpu->stream, &capture);
  gpu->is_capturing = capture != MOE_CU_STREAM_CAPTURE_NONE;
  if (!result)
    return MOE_RT_OK;
  moe_cuda_leave(gpu->cuda);
  return fail(gpu, result, "cuStreamIsCapturing", error);
}

void moe_gpu_leave(moe_gpu *gpu) { moe_cuda_leave(gpu->cuda); }

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

// Numbers of the driver for a dtype and a swizzle; -1: it has none.
static int tensor_type(uint32_t dtype) {
  static const int types[] = {MOE_CU_TENSOR_FLOAT32,  MOE_CU_TENSOR_FLOAT16,
                              MOE_CU_TENSOR_BFLOAT16, MOE_CU_TENSOR_INT32,
                              MOE_CU_TENSOR_INT64,    MOE_CU_TENSOR_FLOAT64,
                              MOE_CU_TENSOR_UINT8};
  return dtype < sizeof(types) / sizeof(types[0]) ? types[dtype] : -1;
}
static int tensor_swizzle(uint32_t bytes) {
  return bytes == 0     ? MOE_CU_TENSOR_SWIZZLE_NONE
         : bytes == 32  ? MOE_CU_TENSOR_SWIZZLE_32B
         : bytes == 64  ? MOE_CU_TENSOR_SWIZZLE_64B
         : bytes == 128 ? MOE_CU_TENSOR_SWIZZLE_128B
                        : -1;
}

static bool encode(moe_gpu *gpu, uint32_t kernel, const moe_abi_tensor_map *map,
                   moe_cu_tensor_map *result) {
  static const uint32_t ones[MOE_ABI_MAX_MAP_RANK] = {1, 1, 1, 1, 1};
  int type = tensor_type(map->dtype), swizzle = tensor_swizzle(map->swizzle);
  if (map->rank < 1 || map->rank > MOE_ABI_MAX_MAP_RANK || type < 0 ||
      swizzle < 0) {
    keep_text(gpu, kernel,
              "a tensor map has an unknown dtype, rank or swizzle");
    return false;
  }
  moe_cu_result code = gpu->cuda->f.encode_tiled(
      result, type, map->rank, (void *)(uintptr_t)map->address, map->extents,
      map->strides, map->box, ones, /*interleave=*/0, swizzle,
      MOE_CU_TENSOR_L2_PROMOTION_256B, /*fill=*/0);
  if (code)
    keep(gpu, code, "cuTensorMapEncodeTiled");
  return !code;
}

static const char *wrong_grid(const moe_abi_kernel *k, const uint64_t *grid) {
  // CUDA programming guide, table of compute capabilities.
  static const uint64_t most[3] = {INT32_MAX, 65535, 65535};
  for (int i = 0; i < 3; i++) {
    if (grid[i] > most[i])
      return "the grid is too large";
    if (grid[i] % k->cluster[i])
      return "the grid is no multiple of the cluster";
  }
  return NULL;
}

static void launch(moe_abi_context *context, const moe_abi_launch *l) {
  moe_gpu *gpu = ((moe_rt_session *)context)->gpu;
  const moe_cuda *cuda = gpu->cuda;
  const moe_abi_device *d = &cuda->manifest->devices[cuda->device_index];
  if (gpu->failure.status)
    return;
  if (l->kernel >= d->num_kernels) {
    keep_text(gpu, l->kernel, "there is none of this number");
    return;
  }
  const moe_abi_kernel *k =
      &cuda->manifest->kernels[d->first_kernel + l->kernel];
  if (l->num_arguments != k->num_arguments) {
    keep_text(gpu, l->kernel, "wrong number of arguments");
    return;
  }
  if (!l->grid[0] || !l->grid[1] || !l->grid[2])
    return;
  uint64_t grid[3] = {l->grid[0], l->grid[1], l->grid[2]};
  uint64_t held = (uint64_t)k->resident_blocks * cuda->multiprocessors;
  if (held && grid[0] > held)
    grid[0] = held;
  const char *why = wrong_grid(k, grid);
  if (why) {
    keep_text(gpu, l->kernel, why);
    return;
  }
  for (uint32_t i = 0; i < l->num_arguments; i++) {
    const moe_abi_tensor_map *map = l->maps ? l->maps[i] : NULL;
    gpu->arguments[i] = map ? (void *)&gpu->maps[i] : l->arguments[i];
    if (map && !encode(gpu, l->kernel, map, &gpu->maps[i]))
      return;
  }
  moe_cu_launch_attribute attributes[2];
  unsigned n = 0;
  memset(attributes, 0, sizeof(attributes));
  if (k->cluster[0] * k->cluster[1] * k->cluster[2] > 1) {
    attributes[n].id = MOE_CU_LAUNCH_CLUSTER_DIMENSION;
    attributes[n].value.cluster.x = k->cluster[0];
    attributes[n].value.cluster.y = k->cluster[1];
    attributes[n++].value.cluster.z = k->cluster[2];
  }
  if (k->flags & MOE_ABI_KERNEL_OVERLAPS) {
    attributes[n].id = MOE_CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION;
    attributes[n++].value.allowed = 1;
  }
  moe_cu_launch_config config = {(unsigned)grid[0], (unsigned)grid[1],
                                 (unsigned)grid[2], k->block[0],
                                 k->block[1],       k->block[2],
                                 k->dynamic_shared, gpu->stream,
                                 attributes,        n};
  moe_cu_result result =
      cuda->f.launch(&config, cuda->kernels[l->kernel], gpu->arguments, NULL);
  if (result) {
    char what[300];
    snprintf(what, sizeof(what), "launch of kernel '%s'",
             MOE_Q(cuda->manifest->kernel_names[d->first_kernel + l->kernel]));
    keep(gpu, result, what);
  }
}

//===----------------------------------------------------------------------===//
// Opening and closing
//===----------------------------------------------------------------------===//

static moe_rt_status take_stream(moe_gpu *gpu, void *stream, moe_error *error) {
  const moe_cuda *cuda = gpu->cuda;
  if (!stream) {
    moe_cu_result result =
        cuda->f.stream_create(&gpu->stream, MOE_CU_STREAM_NON_BLOCKING);
    gpu->owns_stream = !result;
    return result ? moe_cuda_fail(cuda, result, "cuStreamCreate", error)
                  : MOE_RT_OK;
  }
  moe_cu_context context = NULL;
  moe_cu_result result = cuda->f.stream_context(stream, &context);
  if (result || context != cuda->context)
    return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                    "%s: stream is not one of the primary context of cuda:%d",
                    MOE_QP(cuda->path), cuda->ordinal);
  gpu->stream = stream;
  return MOE_RT_OK;
}

static uint64_t lengths_bytes(const moe_rt_session *session) {
  return (uint64_t)session->max_batch * sizeof(int64_t);
}

static uint32_t longest_function(const moe_manifest *m) {
  uint32_t longest = 0;
  for (uint32_t i = 0; i < m->header.functions.count; i++)
    if (m->functions[i].num_arguments > longest)
      longest = m->functions[i].num_arguments;
  return longest;
}

static moe_rt_status fill(moe_rt_session *session, void *stream,
                          moe_error *error) {
  moe_gpu *gpu = session->gpu;
  const moe_cuda *cuda = gpu->cuda;
  const moe_manifest *m = cuda->manifest;
  const moe_abi_device *d = &m->devices[cuda->device_index];
  uint32_t num_arguments = longest_function(m), most = 0;
  for (uint32_t i = 0; i < d->num_kernels; i++)
    if (m->kernels[d->first_kernel + i].num_arguments > most)
      most = m->kernels[d->first_kernel + i].num_arguments;
  gpu->host_places = moe_zalloc(num_arguments, sizeof(*gpu->host_places));
  gpu->arguments = moe_zalloc(most, sizeof(*gpu->arguments));
  gpu->maps = moe_alloc_pages(most * sizeof(*gpu->maps));
  if (!gpu->host_places || !gpu->arguments || !gpu->maps)
    return moe_fail_memory(error, cuda->path);
  moe_rt_status status = take_stream(gpu, stream, error);
  if (status)
    return status;
  // Pinned: a copy from there can be part of a graph.
  void *memory = NULL;
  moe_cu_result result = cuda->f.host_alloc(&memory, lengths_bytes(session), 0);
  if (result)
    return moe_cuda_fail(cuda, result, "cuMemHostAlloc", error);
  gpu->captured_lengths = memory;
  memset(memory, 0, lengths_bytes(session));
  return moe_gpu_grow(gpu, &gpu->small,
                      lengths_bytes(session) + num_arguments * sizeof(int64_t) +
                          2 * kNothing,
                      "a session", error);
}

moe_rt_status moe_gpu_open(moe_rt_session *session, void *stream,
                           moe_error *error) {
  moe_gpu *gpu = moe_zalloc(1, sizeof(*gpu));
  if (!gpu)
    return moe_fail_memory(error, session->module->path);
  session->gpu = gpu;
  gpu->cuda = session->module->cuda;
  session->context.launch = launch;
  // Loops of the host's code run on the calling thread.
  session->executor = NULL;
  moe_rt_status status = moe_pool_create(1, &session->pool, error);
  if (!status)
    status = moe_cuda_enter(gpu->cuda, error);
  if (status)
    return status;
  status = fill(session, stream, error);
  moe_cuda_leave(gpu->cuda);
  return status;
}

static void release(moe_gpu *gpu, moe_block *block) {
  moe_cuda_free(gpu->cuda, block->memory);
  block->memory = NULL;
  block->size_bytes = 0;
}

void moe_gpu_close(moe_rt_session *session) {
  moe_gpu *gpu = session->gpu;
  const moe_cuda *cuda = gpu->cuda;
  bool entered = !moe_cuda_enter(cuda, NULL);
  if (entered) {
    // What is still in the stream uses the memory.
    if (gpu->stream)
      cuda->f.stream_synchronize(gpu->stream);
    if (gpu->owns_stream)
      cuda->f.stream_destroy(gpu->stream);
    if (gpu->captured_lengths)
      cuda->f.host_free(gpu->captured_lengths);
  }
  for (uint32_t i = 0;
       session->states && i < session->module->manifest->num_states; i++)
    release(gpu, &session->states[i]);
  release(gpu, &session->arena);
  release(gpu, &session->scratch);
  release(gpu, &gpu->copies);
  release(gpu, &gpu->small);
  if (entered)
    moe_cuda_leave(cuda);
  moe_free_pages(gpu->values.memory, gpu->values.size_bytes);
  const moe_abi_device *d = &cuda->manifest->devices[cuda->device_index];
  uint32_t most = 0;
  for (uint32_t i = 0; i < d->num_kernels; i++)
    if (cuda->manifest->kernels[d->first_kernel + i].num_arguments > most)
      most = cuda->manifest->kernels[d->first_kernel + i].num_arguments;
  moe_free_pages(gpu->maps, most * sizeof(*gpu->maps));
  moe_free(gpu->arguments);
  moe_free(gpu->host_places);
  moe_free(gpu);
  session->gpu = NULL;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

const char *moe_gpu_check_pointer(const moe_gpu *gpu, const void *data) {
  unsigned type = 0;
  int ordinal = -1;
  const moe_cuda_functions *f = &gpu->cuda->f;
  if (f->pointer_attribute(&type, MOE_CU_POINTER_MEMORY_TYPE,
                           moe_cuda_pointer(data)) ||
      type != MOE_CU_MEMORY_DEVICE)
    return "is host memory";
  if (f->pointer_attribute(&ordinal, MOE_CU_POINTER_DEVICE_ORDINAL,
                           moe_cuda_pointer(data)) ||
      ordinal != gpu->cuda->ordinal)
    return "is memory of another device";
  return NULL;
}

moe_rt_status moe_gpu_wait(moe_gpu *gpu, moe_error *error) {
  moe_cu_result result = gpu->cuda->f.stream_synchronize(gpu->stream);
  if (!result)
    return MOE_RT_OK;
  fail(gpu, result, "the kernels failed", error);
  // Whatever it was, what the stream held did not happen.
  gpu->is_lost |= result != MOE_CU_OUT_OF_MEMORY;
  return error->status;
}

moe_rt_status moe_gpu_read(moe_gpu *gpu, const void *data, uint64_t size_bytes,
                           const void **copy, moe_error *error) {
  moe_block *b = &gpu->values;
  if (size_bytes > b->size_bytes) {
    moe_free_pages(b->memory, b->size_bytes);
    b->size_bytes = 0;
    b->memory = moe_alloc_pages(size_bytes);
    if (!b->memory)
      return moe_fail_memory(error, gpu->cuda->path);
    b->size_bytes = size_bytes;
  }
  moe_cu_result result = gpu->cuda->f.download(
      b->memory, moe_cuda_pointer(data), size_bytes, gpu->stream);
  if (result)
    return fail(gpu, result, "cuMemcpyDtoHAsync", error);
  *copy = b->memory;
  return moe_gpu_wait(gpu, error);
}

moe_rt_status moe_gpu_grow(moe_gpu *gpu, moe_block *block, uint64_t size_bytes,
                           const char *what, moe_error *error) {
  if (size_bytes <= block->size_bytes && block->memory)
    return MOE_RT_OK;
  if (gpu->is_capturing)
    return moe_fail(error, MOE_RT_INVALID_ARGUMENT,
                    "%s: a captured call needs %llu bytes for %s; make it once "
                    "before the capture",
                    MOE_QP(gpu->cuda->path), (unsigned long long)size_bytes,
                    what);
  // Both at once would need the memory of both. Freeing waits for the device.
  release(gpu, block);
  moe_rt_status status =
      moe_cuda_alloc(gpu->cuda, size_bytes, what, &block->memory, error);
  if (status) {
    if (status == MOE_RT_DEVICE_ERROR) {
      gpu->failure = *error;
      gpu->is_lost = true;
    }
    return status;
  }
  block->size_bytes = size_bytes;
  moe_cu_result result = gpu->cuda->f.clear(moe_cuda_pointer(block->memory), 0,
                                            size_bytes, gpu->stream);
  if (!result)
    return MOE_RT_OK;
  // It would not be zero the next time either.
  release(gpu, block);
  return fail(gpu, result, "cuMemsetD8Async", error);
}

uint64_t moe_gpu_nothing(const moe_rt_session *session) {
  return (uintptr_t)session->gpu->small.memory;
}
uint64_t moe_gpu_lengths(const moe_rt_session *session) {
  return (uintptr_t)session->gpu->small.memory + kNothing;
}
uint64_t moe_gpu_count(const moe_rt_session *session, uint32_t index) {
  return ((moe_gpu_lengths(session) + lengths_bytes(session) + 255) &
          ~(uint64_t)255) +
         index * sizeof(int64_t);
}

void moe_gpu_set_lengths(moe_rt_session *session) {
  memcpy(session->gpu->captured_lengths, session->lengths,
         lengths_bytes(session));
}

//===----------------------------------------------------------------------===//
// A call
//===----------------------------------------------------------------------===//

void moe_gpu_upload(moe_gpu *gpu, uint64_t to, uint64_t from,
                    uint64_t size_bytes) {
  if (gpu->failure.status)
    return;
  moe_cu_result result = gpu->cuda->f.upload(to, (const void *)(uintptr_t)from,
                                             size_bytes, gpu->stream);
  if (result)
    keep(gpu, result, "cuMemcpyHtoDAsync");
}

void moe_gpu_download(moe_gpu *gpu, uint64_t to, uint64_t from,
                      uint64_t size_bytes) {
  if (gpu->failure.status)
    return;
  moe_cu_result result = gpu->cuda->f.download((void *)(uintptr_t)to, from,
                                               size_bytes, gpu->stream);
  if (result)
    keep(gpu, result, "cuMemcpyDtoHAsync");
}

moe_rt_status moe_gpu_start(moe_rt_session *session, bool with_lengths,
                            moe_error *error) {
  moe_gpu *gpu = session->gpu;
  if (with_lengths) {
    // Replays in the stream still read the lengths that this call will change.
    if (gpu->was_captured && !gpu->is_capturing && moe_gpu_wait(gpu, error))
      return error->status;
    if (gpu->is_capturing)
      moe_gpu_set_lengths(session);
    gpu->was_captured |= gpu->is_capturing;
    // The driver reads memory that is not pinned before it returns, and pinned
    // memory when the copy's turn comes.
    const int64_t *from =
        gpu->is_capturing ? gpu->captured_lengths : session->lengths;
    moe_gpu_upload(gpu, moe_gpu_lengths(session), (uintptr_t)from,
                   lengths_bytes(session));
  }
  *error = gpu->failure;
  return error->status;
}

moe_rt_status moe_gpu_finish(moe_rt_session *session, bool wait,
                             bool with_counts, moe_error *error) {
  moe_gpu *gpu = session->gpu;
  const moe_manifest *m = session->module->manifest;
  if (with_counts)
    moe_gpu_download(gpu, (uintptr_t)session->counts, moe_gpu_count(session, 0),
                     longest_function(m) * sizeof(int64_t));
  // After a failure too: what was launched before it uses the caller's memory.
  if (wait && !gpu->is_capturing && moe_gpu_wait(gpu, error))
    return error->status;
  *error = gpu->failure;
  return error->status;
}
