//===- params.c - Weights -------------------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "internal.h"
#include "safetensors.h"
#include "synthetic.h"
#include <pthread.h>
#include <stdio.h>

// Laying out one source of one parameter.
typedef struct {
  uint32_t param, source; // of the code's, of the manifest's
  const void *data;       // in the checkpoint; NULL: synthetic
  uint64_t size_bytes;
  uint64_t offset; // in the parameter, where nothing packs it
} task;

typedef struct {
  moe_rt_params *params;
  task *tasks;
  int64_t num_tasks;
  uint64_t seed;
  // Where a parameter is laid out on its way to a GPU.
  void *staging;
  pthread_t caller;
  void (*progress)(void *user, size_t done, size_t total);
  void *user;
  atomic_size_t done;
  atomic_bool out_of_memory;
} job;

//===----------------------------------------------------------------------===//
// Matching the checkpoint with the manifest
//===----------------------------------------------------------------------===//

static void shape_text(char *text, size_t size, const uint64_t *extents,
                       uint32_t rank) {
  size_t n = (size_t)snprintf(text, size, "[");
  for (uint32_t d = 0; d < rank && n < size; d++)
    n += (size_t)snprintf(text + n, size - n, "%s%llu", d ? ", " : "",
                          (unsigned long long)extents[d]);
  if (n < size)
    snprintf(text + n, size - n, "]");
}

static moe_rt_status find_source(const moe_manifest *m, uint32_t index,
                                 const moe_checkpoint *checkpoint,
                                 const void **data, moe_error *error) {
  const moe_abi_source *wanted = &m->sources[index];
  const char *name = m->source_names[index];
  const moe_st_file *file;
  const moe_st_tensor *found = moe_checkpoint_find(checkpoint, name, &file);
  if (!found)
    return moe_fail(error, MOE_RT_MISMATCH, "%s: tensor '%s' is missing",
                    MOE_QP(moe_checkpoint_path(checkpoint)), MOE_Q(name));
  const char *path = moe_st_path(file);
  if (found->type != (int32_t)wanted->dtype)
    return moe_fail(error, MOE_RT_MISMATCH,
                    "%s: tensor '%s' has dtype %s, expected %s", MOE_QP(path),
                    MOE_Q(name), MOE_Q(found->dtype),
                    moe_st_dtype_name((int32_t)wanted->dtype));
  bool same = found->rank == (int32_t)wanted->rank;
  for (uint32_t d = 0; same && d < wanted->rank; d++)
    same = found->shape[d] == wanted->extents[d];
  if (!same) {
    char a[200], b[200];
    shape_text(a, sizeof(a), found->shape, (uint32_t)found->rank);
    shape_text(b, sizeof(b), wanted->extents, wanted->rank);
    return moe_fail(error, MOE_RT_MISMATCH,
                    "%s: tensor '%s' has shape %s, expected %s", MOE_QP(path),
                    MOE_Q(name), a, b);
  }
  *data = found->data;
  return MOE_RT_OK;
}

static bool is_aligned(const void *data, uint32_t dtype) {
  return (uintptr_t)data % moe_abi_dtype_size(dtype) == 0;
}

// Finds all sources first: a wrong checkpoint costs no layout work.
static moe_rt_status make_tasks(moe_rt_params *params,
                                const moe_checkpoint *checkpoint, job *j,
                                moe_error *error) {
  const moe_manifest *m = params->module->manifest;
  const moe_abi_param *all = m->params + params->module->first_param;
  unsigned level = params->module->level_index;
  for (uint32_t i = 0; i < params->module->num_params; i++) {
    const moe_abi_param *p = &all[i];
    bool packed = p->pack[level] != MOE_ABI_NONE;
    uint64_t offset = 0;
    for (uint32_t k = 0; k < p->num_sources; k++) {
      task t = {i, p->first_source + k, NULL, 0, offset};
      if (checkpoint) {
        moe_rt_status status =
            find_source(m, t.source, checkpoint, &t.data, error);
        if (status)
          return status;
      }
      moe_source_bytes(&m->sources[t.source], &t.size_bytes);
      offset += t.size_bytes;
      // One source that is laid out as it lies in the file stays there.
      if (checkpoint && !packed && p->num_sources == 1 && t.size_bytes &&
          !params->module->cuda &&
          is_aligned(t.data, m->sources[t.source].dtype)) {
        params->data[i] = (void *)(uintptr_t)t.data;
        break;
      }
      if (t.size_bytes)
        j->tasks[j->num_tasks++] = t;
    }
  }
  return MOE_RT_OK;
}

//===----------------------------------------------------------------------===//
// Laying out
//===----------------------------------------------------------------------===//

// A pack function's loops: the sources already share the threads.
static void run_inline(moe_abi_context *context, moe_abi_body body, void *data,
                       int64_t n) {
  if (n > 0)
    body(context, data, 0, n);
}

static bool run_task(const job *j, const task *t) {
  const moe_rt_params *params = j->params;
  const moe_rt_module *module = params->module;
  const moe_manifest *m = module->manifest;
  const moe_abi_param *p = &m->params[module->first_param + t->param];
  const moe_abi_source *s = &m->sources[t->source];
  const char *name = m->source_names[t->source];
  uint32_t pack = p->pack[module->level_index];
  char *to = j->staging ? j->staging : params->data[t->param];
  if (pack == MOE_ABI_NONE) {
    if (t->data)
      memcpy(to + t->offset, t->data, t->size_bytes);
    else
      // Aligned: all sources of such a parameter have one type.
      moe_synthetic_fill(j->seed, name, (int32_t)s->dtype, s->rank, s->extents,
                         to + t->offset);
    return true;
  }
  const void *from = t->data;
  void *scratch = NULL;
  if (!from || !is_aligned(from, s->dtype)) {
    scratch = moe_alloc_pages(t->size_bytes);
    if (!scratch)
      return false;
    if (from)
      memcpy(scratch, from, t->size_bytes);
    else
      moe_synthetic_fill(j->seed, name, (int32_t)s->dtype, s->rank, s->extents,
                         scratch);
    from = scratch;
  }
  moe_abi_context context = {run_inline, NULL, NULL};
  uint64_t slots[5] = {(uintptr_t)to, (uintptr_t)from, s->first, s->count,
                       s->part};
  module->code->functions[pack](&context, slots);
  moe_free_pages(scratch, t->size_bytes);
  return true;
}

static void run_one(void *argument, int64_t i) {
  job *j = argument;
  if (!atomic_load(&j->out_of_memory) && !run_task(j, &j->tasks[i]))
    atomic_store(&j->out_of_memory, true);
  size_t done = atomic_fetch_add(&j->done, 1) + 1;
  if (j->progress && done < (size_t)j->num_tasks &&
      pthread_equal(pthread_self(), j->caller))
    j->progress(j->user, done, (size_t)j->num_tasks);
}

static moe_rt_status allocate(moe_rt_params *params, moe_error *error) {
  const moe_manifest *m = params->module->manifest;
  for (uint32_t i = 0; i < params->module->num_params; i++) {
    if (params->data[i])
      continue;
    // The CPU's parameters come first.
    uint64_t size = m->params[i].size[params->module->level_index];
    params->data[i] = moe_alloc_pages(size);
    if (!params->data[i])
      return moe_fail(error, MOE_RT_OUT_OF_MEMORY,
                      "%s: out of memory for parameter '%s' of %llu bytes",
                      MOE_QP(params->module->path), MOE_Q(m->param_names[i]),
                      (unsigned long long)size);
    params->owned[i] = true;
  }
  return MOE_RT_OK;
}

static moe_rt_status lay_out(job *j, int32_t num_threads, moe_error *error) {
  moe_rt_status status = allocate(j->params, error);
  if (status)
    return status;
  moe_pool *pool;
  status = moe_pool_create(num_threads, &pool, error);
  if (status)
    return status;
  j->caller = pthread_self();
  moe_pool_run(pool, run_one, j, j->num_tasks);
  moe_pool_destroy(pool);
  if (atomic_load(&j->out_of_memory))
    return moe_fail(error, MOE_RT_OUT_OF_MEMORY,
                    "%s: out of memory while laying weights out",
                    MOE_QP(j->params->module->path));
  if (j->progress)
    j->progress(j->user, (size_t)j->num_tasks, (size_t)j->num_tasks);
  return MOE_RT_OK;
}

//===----------------------------------------------------------------------===//
// Onto a GPU
//===----------------------------------------------------------------------===//

static const moe_abi_param *device_param(const job *j, uint32_t index) {
  const moe_rt_module *module = j->params->module;
  return &module->manifest->params[module->first_param + index];
}

// Whether the bytes of the checkpoint are the parameter's, as they lie there.
static bool is_plain(const job *j, const task *t) {
  return device_param(j, t->param)->pack[0] == MOE_ABI_NONE && t->data;
}

static moe_rt_status upload(const job *j, uint32_t param, uint64_t offset,
                            const void *data, uint64_t size_bytes,
                            moe_cu_stream stream, moe_error *error) {
  const moe_cuda *cuda = j->params->module->cuda;
  moe_cu_result result =
      cuda->f.upload(moe_cuda_pointer(j->params->data[param]) + offset, data,
                     size_bytes, stream);
  return result ? moe_cuda_fail(cuda, result, "cuMemcpyHtoDAsync", error)
                : MOE_RT_OK;
}

static moe_rt_status wait_for(const moe_cuda *cuda, moe_cu_stream stream,
                              moe_error *error) {
  moe_cu_result result = cuda->f.stream_synchronize(stream);
  return result ? moe_cuda_fail(cuda, result, "cuStreamSynchronize", error)
                : MOE_RT_OK;
}

// Tasks [first, end) are those of one parameter.
static moe_rt_status copy_param(job *j, moe_pool *pool, int64_t first,
                                int64_t end, moe_cu_stream stream,
                                moe_error *error) {
  const moe_cuda *cuda = j->params->module->cuda;
  uint32_t index = j->tasks[first].param;
  const moe_abi_param *p = device_param(j, index);
  moe_rt_status status = MOE_RT_OK;
  if (is_plain(j, &j->tasks[first])) {
    for (int64_t i = first; i < end && !status; i++) {
      const task *t = &j->tasks[i];
      status =
          upload(j, index, t->offset, t->data, t->size_bytes, stream, error);
      atomic_fetch_add(&j->done, 1);
    }
    return status;
  }
  // What the last parameter left behind could show where there is padding.
  memset(j->staging, 0, p->size[0]);
  j->tasks += first;
  moe_pool_run(pool, run_one, j, end - first);
  j->tasks -= first;
  if (atomic_load(&j->out_of_memory))
    return moe_fail(error, MOE_RT_OUT_OF_MEMORY,
                    "%s: out of memory while laying weights out",
                    MOE_QP(j->params->module->path));
  status = upload(j, index, 0, j->staging, p->size[0], stream, error);
  // The buffer is about to be used again.
  return status ? status : wait_for(cuda, stream, error);
}

static moe_rt_status copy_params(job *j, moe_pool *pool, moe_cu_stream stream,
                                 moe_error *error) {
  const moe_rt_module *module = j->params->module;
  uint64_t staging_bytes = 0;
  for (int64_t i = 0; i < j->num_tasks; i++) {
    uint64_t size = device_param(j, j->tasks[i].param)->size[0];
    if (!is_plain(j, &j->tasks[i]) && size > staging_bytes)
      staging_bytes = size;
  }
  moe_rt_status status = MOE_RT_OK;
  for (uint32_t i = 0; i < module->num_params && !status; i++) {
    char what[300];
    snprintf(what, sizeof(what), "parameter '%s'",
             MOE_Q(module->manifest->param_names[module->first_param + i]));
    status = moe_cuda_alloc(module->cuda, device_param(j, i)->size[0], what,
                            &j->params->data[i], error);
  }
  if (status)
    return status;
  if (staging_bytes) {
    j->staging = moe_alloc_pages(staging_bytes);
    if (!j->staging)
      return moe_fail(error, MOE_RT_OUT_OF_MEMORY,
                      "%s: out of memory for a buffer of %llu bytes",
                      MOE_QP(module->path), (unsigned long long)staging_bytes);
  }
  for (int64_t first = 0, end; first < j->num_tasks && !status; first = end) {
    for (end = first + 1;
         end < j->num_tasks && j->tasks[end].param == j->tasks[first].param;)
      end++;
    status = copy_param(j, pool, first, end, stream, error);
    size_t done = atomic_load(&j->done);
    if (!status && j->progress && done < (size_t)j->num_tasks)
      j->progress(j->user, done, (size_t)j->num_tasks);
  }
  // Also before an error: the driver may still read the checkpoint.
  moe_rt_status end = wait_for(module->cuda, stream, status ? NULL : error);
  moe_free_pages(j->staging, staging_bytes);
  return status ? status : end;
}

static moe_rt_status lay_out_on_device(job *j, int32_t num_threads,
                                       moe_error *error) {
  const moe_cuda *cuda = j->params->module->cuda;
  moe_pool *pool;
  moe_rt_status status = moe_pool_create(num_threads, &pool, error);
  if (status)
    return status;
  j->caller = pthread_self();
  status = moe_cuda_enter(cuda, error);
  if (!status) {
    moe_cu_stream stream;
    moe_cu_result result =
        cuda->f.stream_create(&stream, MOE_CU_STREAM_NON_BLOCKING);
    if (result) {
      status = moe_cuda_fail(cuda, result, "cuStreamCreate", error);
    } else {
      status = copy_params(j, pool, stream, error);
      cuda->f.stream_destroy(stream);
    }
    moe_cuda_leave(cuda);
  }
  moe_pool_destroy(pool);
  if (!status && j->progress)
    j->progress(j->user, (size_t)j->num_tasks, (size_t)j->num_tasks);
  return status;
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

static moe_rt_status fill(moe_rt_params *params,
                          const moe_rt_params_options *options, job *j,
                          moe_error *error) {
  const moe_manifest *m = params->module->manifest;
  size_t n = params->module->num_params, num_tasks = 0;
  for (size_t i = 0; i < n; i++)
    num_tasks += m->params[params->module->first_param + i].num_sources;
  params->data = moe_zalloc(n, sizeof(*params->data));
  params->owned = moe_zalloc(n, sizeof(*params->owned));
  j->tasks = moe_zalloc(num_tasks, sizeof(*j->tasks));
  if (!params->data || !params->owned || !j->tasks)
    return moe_fail_memory(error, params->module->path);
  moe_rt_status status = make_tasks(params, params->checkpoint, j, error);
  // Mapped data of a file that was cut short would kill the process.
  if (!status && params->checkpoint)
    status = moe_checkpoint_unchanged(params->checkpoint, error);
  if (!status)
    status = params->module->cuda
                 ? lay_out_on_device(j, options->num_threads, error)
                 : lay_out(j, options->num_threads, error);
  bool mapped = false;
  for (size_t i = 0; i < n && !status; i++)
    mapped |= !params->owned[i] && !params->module->cuda;
  if (!status && !mapped) {
    moe_checkpoint_close(params->checkpoint);
    params->checkpoint = NULL;
  }
  return status;
}

static void destroy(moe_rt_params *params) {
  const moe_manifest *m = params->module->manifest;
  const moe_cuda *cuda = params->module->cuda;
  if (params->data && cuda && !moe_cuda_enter(cuda, NULL)) {
    for (uint32_t i = 0; i < params->module->num_params; i++)
      moe_cuda_free(cuda, params->data[i]);
    moe_cuda_leave(cuda);
  }
  if (params->data && params->owned)
    for (uint32_t i = 0; i < params->module->num_params; i++)
      if (params->owned[i])
        moe_free_pages(params->data[i],
                       m->params[i].size[params->module->level_index]);
  moe_checkpoint_close(params->checkpoint);
  moe_free(params->data);
  moe_free(params->owned);
  moe_rt_module_close(params->module);
  moe_free(params);
}

moe_rt_status moe_rt_params_open(moe_rt_module *module, const char *source,
                                 const moe_rt_params_options *options,
                                 moe_rt_params **params) {
  moe_rt_params_options copy;
  if (!module || !source || !params)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           !module   ? "module"
                           : !source ? "source"
                                     : "params");
  moe_rt_status status =
      moe_copy_options(&copy, sizeof(copy), options, "moe_rt_params_options");
  if (status)
    return status;
  if (copy.num_threads < 0)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "num_threads is %d, expected at least 0",
                           (int)copy.num_threads);
  moe_error error = {MOE_RT_OK, ""};
  job j;
  memset(&j, 0, sizeof(j));
  j.progress = copy.progress;
  j.user = copy.user;
  bool synthetic = moe_synthetic_seed(source, &j.seed, &error);
  if (!synthetic && error.status)
    return moe_report(&error);
  moe_rt_params *result = moe_zalloc(1, sizeof(*result));
  if (!result) {
    moe_fail_memory(&error, source);
    return moe_report(&error);
  }
  atomic_init(&result->references, 1);
  moe_module_retain(module);
  result->module = module;
  j.params = result;
  if (!synthetic)
    status = moe_checkpoint_open(source, 0, &result->checkpoint, &error);
  if (!status)
    status = fill(result, &copy, &j, &error);
  moe_free(j.tasks);
  if (status) {
    destroy(result);
    return moe_report(&error);
  }
  *params = result;
  return MOE_RT_OK;
}

void moe_params_retain(moe_rt_params *params) {
  atomic_fetch_add_explicit(&params->references, 1, memory_order_relaxed);
}

void moe_rt_params_close(moe_rt_params *params) {
  if (params && atomic_fetch_sub(&params->references, 1) == 1)
    destroy(params);
}
