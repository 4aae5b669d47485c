//===- session.c - Calls --------------------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "gpu.h"
#include "internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Rows of KV cache and tokens per row where the caller does not say.
enum { kDefaultLength = 4096 };
// Parts that a parallel loop is cut into, per thread: enough that one slow
// thread does not hold up the rest, few enough that taking them costs nothing.
enum { kChunksPerThread = 4 };
// Largest size of a dimension, in symbols and shapes alike.
static const int64_t kMaxSize = INT32_MAX;

// What kernels may count on: tensor maps and vector loads need it.
static const uint32_t kDeviceAlignment = 16;

// In `moe_rt_session.in_use`.
enum { kRunning = 1, kClosed = 2 };

//===----------------------------------------------------------------------===//
// Parallel loops
//===----------------------------------------------------------------------===//

typedef struct {
  moe_abi_context *context;
  moe_abi_body body;
  void *data;
  int64_t n, num_chunks;
} loop;

// n * i / num_chunks without overflow.
static int64_t chunk_begin(const loop *l, int64_t i) {
  int64_t size = l->n / l->num_chunks, rest = l->n % l->num_chunks;
  return size * i + (i < rest ? i : rest);
}

static void run_chunk(void *argument, int64_t i) {
  const loop *l = argument;
  moe_pool_mark mark = moe_pool_enter();
  l->body(l->context, l->data, chunk_begin(l, i), chunk_begin(l, i + 1));
  moe_pool_leave(mark);
}

static void parallel_for(moe_abi_context *context, moe_abi_body body,
                         void *data, int64_t n) {
  moe_rt_session *session = (moe_rt_session *)context;
  if (n <= 0)
    return;
  int64_t threads = 1;
  if (!moe_pool_inside() && session->executor)
    threads = session->executor->concurrency(session->executor->user);
  else if (!moe_pool_inside())
    threads = moe_pool_size(session->pool);
  if (threads <= 1 || n == 1) {
    body(context, data, 0, n);
    return;
  }
  loop l = {context, body, data, n, n};
  if (threads > MOE_POOL_MAX_THREADS)
    threads = MOE_POOL_MAX_THREADS;
  if (l.num_chunks > threads * kChunksPerThread)
    l.num_chunks = threads * kChunksPerThread;
  if (session->executor)
    session->executor->parallel_for(session->executor->user, run_chunk, &l,
                                    l.num_chunks);
  else
    moe_pool_run(session->pool, run_chunk, &l, l.num_chunks);
}

//===----------------------------------------------------------------------===//
// Making and ending
//===----------------------------------------------------------------------===//

static bool grow(moe_block *b, uint64_t size_bytes) {
  if (size_bytes <= b->size_bytes && b->memory)
    return true;
  // Both at once would need the memory of both.
  moe_free_pages(b->memory, b->size_bytes);
  b->size_bytes = 0;
  b->memory = moe_alloc_pages(size_bytes);
  if (!b->memory)
    return false;
  b->size_bytes = size_bytes;
  return true;
}

static void destroy(moe_rt_session *session) {
  // Afterwards no block is left in device memory.
  if (session->gpu)
    moe_gpu_close(session);
  for (uint32_t i = 0;
       session->states && i < session->module->manifest->num_states; i++)
    moe_free_pages(session->states[i].memory, session->states[i].size_bytes);
  moe_free_pages(session->arena.memory, session->arena.size_bytes);
  moe_free_pages(session->scratch.memory, session->scratch.size_bytes);
  moe_pool_destroy(session->pool);
  moe_free(session->states);
  moe_free(session->lengths);
  moe_free(session->slots);
  moe_free(session->counts);
  moe_free(session->sizes);
  moe_rt_params_close(session->params);
  moe_rt_module_close(session->module);
  moe_free(session);
}

static moe_rt_status check_executor(const moe_rt_executor *executor) {
  if (!executor)
    return MOE_RT_OK;
  if (executor->struct_size < sizeof(moe_rt_executor))
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "moe_rt_executor: struct_size is %u, expected %zu",
                           executor->struct_size, sizeof(moe_rt_executor));
  if (!executor->parallel_for || !executor->concurrency)
    return moe_report_text(
        MOE_RT_INVALID_ARGUMENT, "moe_rt_executor: %s is NULL",
        executor->parallel_for ? "concurrency" : "parallel_for");
  return MOE_RT_OK;
}

static moe_rt_status check_session_options(const moe_rt_module *module,
                                           moe_rt_session_options *o) {
  int64_t most = module->manifest->header.max_length;
  if (o->num_threads < 0)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "num_threads is %d, expected at least 0",
                           (int)o->num_threads);
  if (o->max_batch < 0 || o->max_batch > kMaxSize)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "max_batch is %lld, expected 0 to %lld",
                           (long long)o->max_batch, (long long)kMaxSize);
  if (o->max_length < 0 || o->max_length > kMaxSize)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "max_length is %lld, expected 0 to %lld",
                           (long long)o->max_length, (long long)kMaxSize);
  if (most && o->max_length > most)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "max_length is %lld, the model's longest sequence "
                           "is %lld",
                           (long long)o->max_length, (long long)most);
  if (o->stream && !module->cuda)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: stream is set, but the module is on the CPU",
                           MOE_QP(module->path));
  if (o->max_batch == 0)
    o->max_batch = 1;
  if (o->max_length == 0)
    o->max_length = most && most < kDefaultLength ? most : kDefaultLength;
  return check_executor(o->executor);
}

static moe_rt_status fill(moe_rt_session *session,
                          const moe_rt_session_options *options,
                          moe_error *error) {
  const moe_manifest *m = session->module->manifest;
  uint32_t longest = 0;
  for (uint32_t i = 0; i < m->header.functions.count; i++)
    if (m->functions[i].num_arguments > longest)
      longest = m->functions[i].num_arguments;
  session->slots = moe_zalloc((size_t)m->header.symbols.count + longest + 1,
                              sizeof(*session->slots));
  session->counts = moe_zalloc(longest, sizeof(*session->counts));
  session->sizes = moe_zalloc(longest, sizeof(*session->sizes));
  session->states = moe_zalloc(m->num_states, sizeof(*session->states));
  session->lengths =
      moe_zalloc((size_t)session->max_batch, sizeof(*session->lengths));
  if (!session->slots || !session->counts || !session->sizes ||
      !session->states || !session->lengths)
    return moe_fail_memory(error, session->module->path);
  if (session->module->cuda)
    return moe_gpu_open(session, options->stream, error);
  if (options->executor)
    return MOE_RT_OK;
  return moe_pool_create(options->num_threads, &session->pool, error);
}

moe_rt_status moe_rt_session_create(moe_rt_module *module,
                                    moe_rt_params *params,
                                    const moe_rt_session_options *options,
                                    moe_rt_session **session) {
  moe_rt_session_options copy;
  if (!module || !session)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           module ? "session" : "module");
  moe_rt_status status =
      moe_copy_options(&copy, sizeof(copy), options, "moe_rt_session_options");
  if (!status)
    status = check_session_options(module, &copy);
  if (status)
    return status;
  if (!params && module->num_params)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: needs its %u parameters, params is NULL",
                           MOE_QP(module->path), module->num_params);
  if (params && params->module != module)
    return moe_report_text(MOE_RT_MISMATCH,
                           "%s: the parameters belong to another module, %s",
                           MOE_QP(module->path), MOE_QP(params->module->path));
  moe_error error;
  moe_rt_session *result = moe_zalloc(1, sizeof(*result));
  if (!result) {
    moe_fail_memory(&error, module->path);
    return moe_report(&error);
  }
  result->module = module;
  moe_module_retain(module);
  if (params) {
    result->params = params;
    moe_params_retain(params);
  }
  result->context.parallel_for = parallel_for;
  result->context.params = params ? params->data : NULL;
  result->executor = copy.executor;
  result->max_batch = copy.max_batch;
  result->max_length = copy.max_length;
  status = fill(result, &copy, &error);
  if (status) {
    destroy(result);
    return moe_report(&error);
  }
  *session = result;
  return MOE_RT_OK;
}

void moe_rt_session_close(moe_rt_session *session) {
  // A call that is still running ends the session when it is done.
  if (session && !(atomic_fetch_or(&session->in_use, kClosed) & kRunning))
    destroy(session);
}

static moe_rt_status enter(moe_rt_session *session) {
  unsigned idle = 0;
  if (!atomic_compare_exchange_strong(&session->in_use, &idle, kRunning))
    return moe_report_text(MOE_RT_BUSY,
                           "the session is in use by another thread");
  return MOE_RT_OK;
}

static void leave(moe_rt_session *session) {
  if (atomic_fetch_and(&session->in_use, ~(unsigned)kRunning) & kClosed)
    destroy(session);
}

//===----------------------------------------------------------------------===//
// Checking a call
//===----------------------------------------------------------------------===//

// What a function is called with.
typedef struct {
  const moe_rt_session *session;
  const moe_manifest *manifest;
  const moe_abi_function *function;
  const char *name;
  const moe_abi_argument *arguments;
  const char **argument_names;
  bool has_state;
  bool is_bound[MOE_MANIFEST_MAX_SYMBOLS];
  int64_t symbols[MOE_MANIFEST_MAX_SYMBOLS];
} call;

static moe_rt_status fail_argument(const call *c, uint32_t index,
                                   moe_rt_status status, const char *format,
                                   ...) __attribute__((format(printf, 4, 5)));

static moe_rt_status fail_argument(const call *c, uint32_t index,
                                   moe_rt_status status, const char *format,
                                   ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  if (vsnprintf(text, sizeof(text), format, arguments) < 0)
    text[0] = 0;
  va_end(arguments);
  return moe_report_text(status, "%s: %s '%s': %s", MOE_Q(c->name),
                         c->arguments[index].role == MOE_ABI_INPUT ? "input"
                                                                   : "output",
                         MOE_Q(c->argument_names[index]), text);
}

static void shape_text(char *text, size_t size, const int64_t *shape,
                       int32_t rank) {
  size_t n = (size_t)snprintf(text, size, "[");
  for (int32_t d = 0; d < rank && n < size; d++)
    n += (size_t)snprintf(text + n, size - n, "%s%lld", d ? ", " : "",
                          (long long)shape[d]);
  if (n < size)
    snprintf(text + n, size - n, "]");
}

static bool is_output(uint32_t role) {
  return role == MOE_ABI_OUTPUT || role == MOE_ABI_OPTIONAL_OUTPUT;
}

// Type, device, rank and layout; sizes are somebody else's matter.
static moe_rt_status check_tensor(const call *c, uint32_t index,
                                  const moe_rt_tensor *t) {
  const moe_abi_argument *a = &c->arguments[index];
  const moe_gpu *gpu = c->session->gpu;
  if (t->device_type != 1 && (t->device_type != 2 || !gpu))
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "device type is %d, expected 1 (CPU)%s",
                         (int)t->device_type, gpu ? " or 2 (CUDA)" : "");
  if (t->device_type == 2 && t->device_id != gpu->cuda->ordinal)
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "device is cuda:%d, the module is on cuda:%d",
                         (int)t->device_id, gpu->cuda->ordinal);
  moe_rt_tensor wanted =
      moe_rt_make_tensor(NULL, (moe_rt_dtype)a->dtype, 0, NULL);
  if (t->dtype_code != wanted.dtype_code ||
      t->dtype_bits != wanted.dtype_bits || t->dtype_lanes != 1) {
    static const char *const codes[] = {"int", "uint", "float", "opaque",
                                        "bfloat"};
    return fail_argument(
        c, index, MOE_RT_INVALID_ARGUMENT, "type is %s%u x %u, expected %s",
        t->dtype_code < 5 ? codes[t->dtype_code] : "unknown", t->dtype_bits,
        t->dtype_lanes, moe_abi_dtype_name(a->dtype));
  }
  if (t->ndim != (int32_t)a->rank)
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "rank is %d, expected %u", (int)t->ndim, a->rank);
  if (a->rank && !t->shape)
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT, "shape is NULL");
  for (uint32_t d = 0; d < a->rank; d++)
    if (t->shape[d] < 0 || t->shape[d] > kMaxSize)
      return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                           "size %u is %lld, expected 0 to %lld", d,
                           (long long)t->shape[d], (long long)kMaxSize);
  return MOE_RT_OK;
}

// Strides, if there are any, must be those of a dense row-major tensor.
static bool is_dense(const moe_rt_tensor *t) {
  if (!t->strides)
    return true;
  int64_t stride = 1;
  for (int32_t d = 0; d < t->ndim; d++)
    if (t->shape[d] == 0)
      return true;
  for (int32_t d = t->ndim - 1; d >= 0; d--) {
    if (t->shape[d] != 1 && t->strides[d] != stride)
      return false;
    stride *= t->shape[d]; // its product was checked
  }
  return true;
}

static bool shape_bytes(uint32_t dtype, const int64_t *shape, uint32_t rank,
                        uint64_t *size_bytes) {
  uint64_t size = moe_abi_dtype_size(dtype);
  for (uint32_t d = 0; d < rank; d++)
    if (shape[d] == 0) {
      *size_bytes = 0;
      return true;
    }
  for (uint32_t d = 0; d < rank; d++)
    if (!moe_mul(size, (uint64_t)shape[d], &size))
      return false;
  if (size > INT64_MAX)
    return false;
  *size_bytes = size;
  return true;
}

static void *tensor_data(const moe_rt_tensor *t) {
  return t->data ? (char *)t->data + t->byte_offset : NULL;
}

// `size_bytes` of data at the right alignment.
static moe_rt_status check_data(const call *c, uint32_t index,
                                const moe_rt_tensor *t, uint64_t size_bytes) {
  if (!is_dense(t))
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "strides are not those of a dense row-major tensor");
  if (size_bytes && !t->data)
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT, "data is NULL");
  uint32_t alignment = moe_abi_dtype_size(c->arguments[index].dtype);
  if (size_bytes && (uintptr_t)tensor_data(t) % alignment)
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "data is not aligned to its %u-byte elements",
                         alignment);
  if (!size_bytes || t->device_type != 2)
    return MOE_RT_OK;
  if ((uintptr_t)tensor_data(t) % kDeviceAlignment)
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "data in device memory is not aligned to %u bytes",
                         kDeviceAlignment);
  const char *why = moe_gpu_check_pointer(c->session->gpu, tensor_data(t));
  if (why)
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "device type is 2 (CUDA), but data %s", why);
  return MOE_RT_OK;
}

static moe_rt_status check_values(const call *c, uint32_t index,
                                  const moe_rt_tensor *t, uint64_t size_bytes) {
  const moe_abi_argument *a = &c->arguments[index];
  if (!a->limit || !size_bytes)
    return MOE_RT_OK;
  const void *data = tensor_data(t);
  if (t->device_type == 2) {
    moe_gpu *gpu = c->session->gpu;
    // A graph's values are not there yet.
    if (gpu->is_capturing)
      return MOE_RT_OK;
    moe_error error;
    if (moe_gpu_read(gpu, data, size_bytes, &data, &error))
      return moe_report(&error);
  }
  uint64_t n = size_bytes / moe_abi_dtype_size(a->dtype);
  for (uint64_t i = 0; i < n; i++) {
    int64_t value = a->dtype == MOE_ABI_I64   ? ((const int64_t *)data)[i]
                    : a->dtype == MOE_ABI_I32 ? ((const int32_t *)data)[i]
                                              : ((const uint8_t *)data)[i];
    if (value < 0 || value >= a->limit)
      return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                           "value %lld at position %llu is outside [0, %lld)",
                           (long long)value, (unsigned long long)i,
                           (long long)a->limit);
  }
  return MOE_RT_OK;
}

static moe_rt_status bind_shape(call *c, uint32_t index,
                                const moe_rt_tensor *t) {
  const moe_abi_argument *a = &c->arguments[index];
  for (uint32_t d = 0; d < a->rank; d++) {
    const moe_abi_extent *e = &a->extents[d];
    int64_t size = t->shape[d];
    if (e->symbol == MOE_ABI_NONE) {
      if (size != e->value)
        return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                             "size %u is %lld, expected %lld", d,
                             (long long)size, (long long)e->value);
      continue;
    }
    const char *symbol = c->manifest->symbols[e->symbol];
    if (size % e->value)
      return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                           "size %u is %lld, expected a multiple of %lld", d,
                           (long long)size, (long long)e->value);
    int64_t value = size / e->value;
    if (c->is_bound[e->symbol] && c->symbols[e->symbol] != value)
      return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                           "size %u is %lld, expected %lld since %s is %lld", d,
                           (long long)size,
                           (long long)(c->symbols[e->symbol] * e->value),
                           MOE_Q(symbol), (long long)c->symbols[e->symbol]);
    c->is_bound[e->symbol] = true;
    c->symbols[e->symbol] = value;
  }
  return MOE_RT_OK;
}

// A symbol's number, or -1.
static int64_t find_symbol(const call *c, const char *name) {
  for (uint32_t i = 0; i < c->manifest->header.symbols.count; i++)
    if (!strcmp(c->manifest->symbols[i], name))
      return i;
  return -1;
}

// Sizes that the session gives, and what it holds the inputs' to.
static moe_rt_status bind_session(call *c) {
  const moe_rt_session *s = c->session;
  int64_t max_length = c->manifest->header.max_length;
  int64_t length = find_symbol(c, "S");
  if (max_length && length >= 0 && c->is_bound[length] &&
      c->symbols[length] > max_length)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: S is %lld, the model's longest sequence is "
                           "%lld",
                           MOE_Q(c->name), (long long)c->symbols[length],
                           (long long)max_length);
  if (!c->has_state)
    return MOE_RT_OK;
  int64_t capacity = find_symbol(c, "N"), batch = find_symbol(c, "B");
  if (capacity >= 0) {
    if (c->is_bound[capacity] && c->symbols[capacity] != s->max_length)
      return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                             "%s: N is %lld, the session was made with "
                             "max_length %lld",
                             MOE_Q(c->name), (long long)c->symbols[capacity],
                             (long long)s->max_length);
    c->is_bound[capacity] = true;
    c->symbols[capacity] = s->max_length;
  }
  if (batch >= 0) {
    if (c->is_bound[batch] && c->symbols[batch] == 0)
      return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                             "%s: B is 0, expected the session's %lld rows",
                             MOE_Q(c->name), (long long)s->max_batch);
    if (c->is_bound[batch] && c->symbols[batch] != s->max_batch)
      return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                             "%s: B is %lld, but the session keeps state for "
                             "%lld rows; make it with max_batch %lld",
                             MOE_Q(c->name), (long long)c->symbols[batch],
                             (long long)s->max_batch,
                             (long long)c->symbols[batch]);
    c->is_bound[batch] = true;
    c->symbols[batch] = s->max_batch;
  }
  return MOE_RT_OK;
}

// Sizes such as B*S: the product of two that are bound.
static moe_rt_status bind_products(call *c) {
  for (uint32_t i = 0; i < c->manifest->header.symbols.count; i++) {
    uint32_t x, y;
    if (!moe_manifest_product(c->manifest, i, &x, &y) || x == MOE_ABI_NONE ||
        y == MOE_ABI_NONE || !c->is_bound[x] || !c->is_bound[y])
      continue;
    int64_t value;
    if (__builtin_mul_overflow(c->symbols[x], c->symbols[y], &value) ||
        value > kMaxSize)
      return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                             "%s: %s is %lld * %lld, at most %lld",
                             MOE_Q(c->name), MOE_Q(c->manifest->symbols[i]),
                             (long long)c->symbols[x], (long long)c->symbols[y],
                             (long long)kMaxSize);
    if (c->is_bound[i] && c->symbols[i] != value)
      return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                             "%s: %s is %lld, expected %lld", MOE_Q(c->name),
                             MOE_Q(c->manifest->symbols[i]),
                             (long long)c->symbols[i], (long long)value);
    c->is_bound[i] = true;
    c->symbols[i] = value;
  }
  return MOE_RT_OK;
}

// Tokens that a call adds to each row.
static int64_t num_new_tokens(const call *c) {
  int64_t length = find_symbol(c, "S");
  return length >= 0 && c->is_bound[length] ? c->symbols[length] : 1;
}

static moe_rt_status check_room(const call *c) {
  const moe_rt_session *s = c->session;
  int64_t added = num_new_tokens(c);
  if (added < 1)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: S is 0, expected at least one token",
                           MOE_Q(c->name));
  for (int64_t row = 0; row < s->max_batch; row++)
    if (added > s->max_length - s->lengths[row])
      return moe_report_text(MOE_RT_TOO_SMALL,
                             "%s: row %lld holds %lld tokens of at most %lld, "
                             "no room for %lld more",
                             MOE_Q(c->name), (long long)row,
                             (long long)s->lengths[row],
                             (long long)s->max_length, (long long)added);
  return MOE_RT_OK;
}

static moe_rt_status start_call(const moe_rt_session *session,
                                const char *function,
                                const moe_rt_tensor *inputs, size_t num_inputs,
                                bool with_data, call *c) {
  const moe_manifest *m = session->module->manifest;
  int64_t index = moe_manifest_function(m, function);
  if (index < 0)
    return moe_report_text(MOE_RT_NOT_FOUND, "%s: has no function '%s'",
                           MOE_QP(session->module->path), MOE_Q(function));
  memset(c, 0, sizeof(*c));
  c->session = session;
  c->manifest = m;
  c->function = &m->functions[index];
  c->name = m->function_names[index];
  c->arguments = m->arguments + c->function->first_argument;
  c->argument_names = m->argument_names + c->function->first_argument;
  size_t wanted = 0;
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    uint32_t role = c->arguments[i].role;
    wanted += role == MOE_ABI_INPUT;
    c->has_state |= role == MOE_ABI_STATE || role == MOE_ABI_LENGTHS;
  }
  if (num_inputs != wanted)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: %zu inputs were given, expected %zu",
                           MOE_Q(c->name), num_inputs, wanted);
  if (num_inputs && !inputs)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s: inputs is NULL",
                           MOE_Q(c->name));
  moe_rt_status status;
  size_t used = 0;
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    if (c->arguments[i].role != MOE_ABI_INPUT)
      continue;
    const moe_rt_tensor *t = &inputs[used++];
    uint64_t size_bytes = 0;
    if ((status = check_tensor(c, i, t)) || (status = bind_shape(c, i, t)))
      return status;
    if (!shape_bytes(c->arguments[i].dtype, t->shape, (uint32_t)t->ndim,
                     &size_bytes))
      return fail_argument(c, i, MOE_RT_INVALID_ARGUMENT,
                           "number of bytes overflows");
    if (with_data && ((status = check_data(c, i, t, size_bytes)) ||
                      (status = check_values(c, i, t, size_bytes))))
      return status;
  }
  if ((status = bind_session(c)))
    return status;
  return bind_products(c);
}

// Sizes of an argument for the bound symbols.
static moe_rt_status argument_shape(const call *c, uint32_t index,
                                    int64_t *shape, uint64_t *size_bytes) {
  const moe_abi_argument *a = &c->arguments[index];
  for (uint32_t d = 0; d < a->rank; d++) {
    const moe_abi_extent *e = &a->extents[d];
    shape[d] = e->value;
    if (e->symbol != MOE_ABI_NONE &&
        __builtin_mul_overflow(e->value, c->symbols[e->symbol], &shape[d]))
      return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                           "size %u overflows", d);
  }
  if (!shape_bytes(a->dtype, shape, a->rank, size_bytes))
    return fail_argument(c, index, MOE_RT_INVALID_ARGUMENT,
                         "number of bytes overflows");
  return MOE_RT_OK;
}

static moe_rt_status check_output(const call *c, uint32_t index,
                                  const moe_rt_tensor *t,
                                  uint64_t *size_bytes) {
  const moe_abi_argument *a = &c->arguments[index];
  int64_t shape[MOE_ABI_MAX_RANK];
  moe_rt_status status = check_tensor(c, index, t);
  if (status)
    return status;
  status = argument_shape(c, index, shape, size_bytes);
  if (status)
    return status;
  bool smaller = false, larger = false;
  for (uint32_t d = 0; d < a->rank; d++) {
    bool is_bound = d == 0 && a->count_argument != MOE_ABI_NONE;
    smaller |= t->shape[d] < shape[d];
    larger |= t->shape[d] > shape[d] && !is_bound;
  }
  if (smaller || larger) {
    char found[200], wanted[200];
    shape_text(found, sizeof(found), t->shape, t->ndim);
    shape_text(wanted, sizeof(wanted), shape, t->ndim);
    return fail_argument(c, index,
                         larger ? MOE_RT_INVALID_ARGUMENT : MOE_RT_TOO_SMALL,
                         "shape is %s, expected %s", found, wanted);
  }
  return check_data(c, index, t, *size_bytes);
}

//===----------------------------------------------------------------------===//
// Asking what a call needs
//===----------------------------------------------------------------------===//

// Argument number of output `wanted`: the optional ones come last.
static int64_t output_argument(const call *c, size_t wanted) {
  size_t seen = 0;
  for (uint32_t role = MOE_ABI_OUTPUT; role <= MOE_ABI_OPTIONAL_OUTPUT; role++)
    for (uint32_t i = 0; i < c->function->num_arguments; i++)
      if (c->arguments[i].role == role && seen++ == wanted)
        return i;
  return -1;
}

static moe_rt_status check_question(const moe_rt_session *session,
                                    const char *function) {
  if (!session || !function)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           session ? "function" : "session");
  return MOE_RT_OK;
}

moe_rt_status moe_rt_output_shape(const moe_rt_session *session,
                                  const char *function,
                                  const moe_rt_tensor *inputs,
                                  size_t num_inputs, size_t index,
                                  int32_t *ndim, int64_t *shape) {
  call c;
  moe_rt_status status = check_question(session, function);
  if (status)
    return status;
  if (!ndim || !shape)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           ndim ? "shape" : "ndim");
  status = start_call(session, function, inputs, num_inputs,
                      /*with_data=*/false, &c);
  if (status)
    return status;
  int64_t argument = output_argument(&c, index);
  if (argument < 0)
    return moe_report_text(MOE_RT_NOT_FOUND, "%s: has no output number %zu",
                           MOE_Q(c.name), index);
  int64_t result[MOE_ABI_MAX_RANK];
  uint64_t size_bytes;
  status = argument_shape(&c, (uint32_t)argument, result, &size_bytes);
  if (status)
    return status;
  *ndim = (int32_t)c.arguments[argument].rank;
  if (*ndim)
    memcpy(shape, result, (size_t)*ndim * sizeof(*shape));
  return MOE_RT_OK;
}

// Bytes of arena; the slots hold the symbols.
static uint64_t arena_bytes(const call *c, uint32_t code, uint64_t *slots) {
  if (code == MOE_ABI_NONE)
    return 0;
  size_t place =
      (size_t)c->manifest->header.symbols.count + c->function->num_arguments;
  slots[place] = 0;
  moe_abi_context context = c->session->context;
  c->session->module->code->functions[code](&context, slots);
  return slots[place];
}

static void put_symbols(const call *c, uint64_t *slots) {
  for (uint32_t i = 0; i < c->manifest->header.symbols.count; i++)
    slots[i] = (uint64_t)c->symbols[i];
}

moe_rt_status moe_rt_workspace_size(const moe_rt_session *session,
                                    const char *function,
                                    const moe_rt_tensor *inputs,
                                    size_t num_inputs, size_t *size_bytes) {
  call c;
  moe_rt_status status = check_question(session, function);
  if (status)
    return status;
  if (!size_bytes)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "size_bytes is NULL");
  status = start_call(session, function, inputs, num_inputs,
                      /*with_data=*/false, &c);
  if (status)
    return status;
  // The session's own slots may be in use.
  uint64_t *slots = moe_zalloc((size_t)c.manifest->header.symbols.count +
                                   c.function->num_arguments + 1,
                               sizeof(*slots));
  if (!slots)
    return moe_report_text(MOE_RT_OUT_OF_MEMORY, "%s: out of memory",
                           MOE_Q(c.name));
  put_symbols(&c, slots);
  *size_bytes = arena_bytes(&c, c.function->arena, slots);
  moe_free(slots);
  return MOE_RT_OK;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

// Places in one block are 256 bytes apart, as allocations of a GPU are.
static uint64_t round_up(uint64_t size) {
  return (size + 255) & ~(uint64_t)255;
}

// Where pointers to nothing point to.
static _Alignas(64) const char nothing[64];

static moe_rt_status check_overlap(const call *c, const uint64_t *slots,
                                   const uint64_t *sizes) {
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    for (uint32_t k = 0; k < c->function->num_arguments; k++) {
      uint32_t role = c->arguments[k].role;
      if (i == k || !is_output(c->arguments[i].role) || !sizes[i] || !sizes[k])
        continue;
      if (role != MOE_ABI_INPUT && !is_output(role))
        continue;
      if (slots[i] < slots[k] + sizes[k] && slots[k] < slots[i] + sizes[i])
        return fail_argument(c, i, MOE_RT_INVALID_ARGUMENT,
                             "memory overlaps that of '%s'",
                             MOE_Q(c->argument_names[k]));
    }
  return MOE_RT_OK;
}

// Makes a block of the session at least this long, in its memory. All growth
// of a call comes before its code.
static moe_rt_status need(moe_rt_session *s, const call *c, moe_block *b,
                          uint64_t size_bytes, const char *what) {
  if (s->gpu) {
    moe_error error;
    return moe_gpu_grow(s->gpu, b, size_bytes, what, &error)
               ? moe_report(&error)
               : MOE_RT_OK;
  }
  if (grow(b, size_bytes))
    return MOE_RT_OK;
  return moe_report_text(MOE_RT_OUT_OF_MEMORY,
                         "%s: out of memory for %llu bytes of %s",
                         MOE_Q(c->name), (unsigned long long)size_bytes, what);
}

static moe_rt_status place_state(moe_rt_session *s, const call *c,
                                 uint32_t index, uint64_t *slot) {
  int64_t shape[MOE_ABI_MAX_RANK];
  uint64_t size_bytes;
  moe_rt_status status = argument_shape(c, index, shape, &size_bytes);
  if (status)
    return status;
  moe_block *state =
      &s->states[s->module->manifest
                     ->state_of_argument[c->function->first_argument + index]];
  if (!state->memory && (status = need(s, c, state, size_bytes, "KV cache")))
    return status;
  *slot = (uintptr_t)state->memory;
  return MOE_RT_OK;
}

// Host tensors get places in device memory; the slots then have those, and
// `host_places` what was in the slots.
static moe_rt_status place_copies(moe_rt_session *s, const call *c,
                                  uint64_t *slots, const uint64_t *sizes) {
  moe_gpu *gpu = s->gpu;
  uint64_t total = 0;
  bool any = false;
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    if (!gpu->host_places[i])
      continue;
    if (gpu->is_capturing)
      return fail_argument(c, i, MOE_RT_INVALID_ARGUMENT,
                           "is in host memory, which a captured call cannot "
                           "use");
    any = true;
    if (!moe_add(total, round_up(sizes[i]), &total) || total > INT64_MAX)
      return fail_argument(c, i, MOE_RT_INVALID_ARGUMENT,
                           "number of bytes overflows");
  }
  if (!any)
    return MOE_RT_OK;
  moe_rt_status status =
      need(s, c, &gpu->copies, total, "copies of host tensors");
  if (status)
    return status;
  uint64_t next = (uintptr_t)gpu->copies.memory;
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    if (gpu->host_places[i]) {
      gpu->host_places[i] = slots[i];
      slots[i] = next;
      next += round_up(sizes[i]);
    }
  return MOE_RT_OK;
}

// Puts a pointer for every argument into the slots.
static moe_rt_status place_arguments(moe_rt_session *s, const call *c,
                                     const moe_rt_tensor *inputs,
                                     const moe_rt_tensor *outputs, bool full,
                                     uint64_t *slots, uint64_t *sizes) {
  size_t num_inputs = 0, num_outputs[2] = {0, 0};
  uint64_t scratch = 0;
  moe_rt_status status;
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    num_outputs[1] += c->arguments[i].role == MOE_ABI_OUTPUT;
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    const moe_abi_argument *a = &c->arguments[i];
    const moe_rt_tensor *t = NULL;
    switch (a->role) {
    case MOE_ABI_INPUT:
      t = &inputs[num_inputs++];
      shape_bytes(a->dtype, t->shape, a->rank, &sizes[i]);
      break;
    case MOE_ABI_OUTPUT:
    case MOE_ABI_OPTIONAL_OUTPUT:
      t = &outputs[num_outputs[a->role == MOE_ABI_OPTIONAL_OUTPUT]++];
      if (a->role == MOE_ABI_OUTPUT || t->data) {
        if ((status = check_output(c, i, t, &sizes[i])))
          return status;
        break;
      }
      t = NULL;
      slots[i] = s->gpu ? moe_gpu_nothing(s) : (uintptr_t)nothing;
      if (full) {
        // Written, but not wanted; its place is known further down.
        int64_t shape[MOE_ABI_MAX_RANK];
        uint64_t size_bytes;
        if ((status = argument_shape(c, i, shape, &size_bytes)))
          return status;
        slots[i] = scratch;
        if (!moe_add(scratch, round_up(size_bytes), &scratch) ||
            scratch > INT64_MAX)
          return fail_argument(c, i, MOE_RT_INVALID_ARGUMENT,
                               "number of bytes overflows");
      }
      break;
    case MOE_ABI_STATE:
      if ((status = place_state(s, c, i, &slots[i])))
        return status;
      break;
    case MOE_ABI_LENGTHS:
      slots[i] = s->gpu ? moe_gpu_lengths(s) : (uintptr_t)s->lengths;
      break;
    case MOE_ABI_COUNT:
      s->counts[i] = 0;
      slots[i] = s->gpu ? moe_gpu_count(s, i) : (uintptr_t)&s->counts[i];
      break;
    }
    if (t && sizes[i])
      slots[i] = (uintptr_t)tensor_data(t);
    else if (t)
      slots[i] = s->gpu ? moe_gpu_nothing(s) : (uintptr_t)nothing;
    if (s->gpu)
      s->gpu->host_places[i] = t && sizes[i] && t->device_type == 1;
  }
  if ((status = check_overlap(c, slots, sizes)))
    return status;
  if (s->gpu && (status = place_copies(s, c, slots, sizes)))
    return status;
  if (!full)
    return MOE_RT_OK;
  if ((status = need(s, c, &s->scratch, scratch, "unwanted outputs")))
    return status;
  num_outputs[1] = 0;
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    num_outputs[1] += c->arguments[i].role == MOE_ABI_OUTPUT;
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    if (c->arguments[i].role == MOE_ABI_OPTIONAL_OUTPUT &&
        !outputs[num_outputs[1]++].data)
      slots[i] += (uintptr_t)s->scratch.memory;
  return MOE_RT_OK;
}

// Writes how much of bounded outputs is in use into their shapes.
static moe_rt_status take_counts(const moe_rt_session *s, const call *c,
                                 moe_rt_tensor *outputs) {
  size_t num_outputs[2] = {0, 0};
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    num_outputs[1] += c->arguments[i].role == MOE_ABI_OUTPUT;
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    const moe_abi_argument *a = &c->arguments[i];
    if (!is_output(a->role))
      continue;
    moe_rt_tensor *t = &outputs[num_outputs[a->role != MOE_ABI_OUTPUT]++];
    if (a->count_argument == MOE_ABI_NONE ||
        (a->role == MOE_ABI_OPTIONAL_OUTPUT && !t->data))
      continue;
    int64_t count = s->counts[a->count_argument], shape[MOE_ABI_MAX_RANK];
    uint64_t size_bytes;
    moe_rt_status status = argument_shape(c, i, shape, &size_bytes);
    if (status)
      return status;
    if (count < 0 || count > shape[0])
      return fail_argument(c, i, MOE_RT_BAD_FILE,
                           "the module reports %lld entries of at most %lld",
                           (long long)count, (long long)shape[0]);
    t->shape[0] = count;
  }
  return MOE_RT_OK;
}

// Whether the caller wants an output whose size only the call can tell.
static bool wants_count(const call *c, const moe_rt_tensor *outputs) {
  size_t num_outputs[2] = {0, 0};
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    num_outputs[1] += c->arguments[i].role == MOE_ABI_OUTPUT;
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    const moe_abi_argument *a = &c->arguments[i];
    if (!is_output(a->role))
      continue;
    bool optional = a->role != MOE_ABI_OUTPUT;
    const moe_rt_tensor *t = &outputs[num_outputs[optional]++];
    if (a->count_argument != MOE_ABI_NONE && (!optional || t->data))
      return true;
  }
  return false;
}

// Copies in, launches, copies out, and waits unless the caller does that.
static moe_rt_status run_on_device(moe_rt_session *s, const call *c,
                                   uint32_t code, const uint64_t *slots,
                                   const moe_rt_tensor *outputs) {
  moe_gpu *gpu = s->gpu;
  bool count = wants_count(c, outputs), wait = gpu->owns_stream || count;
  if (count && gpu->is_capturing)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: a captured call cannot give an output whose "
                           "size differs from replay to replay",
                           MOE_Q(c->name));
  moe_error error;
  if (moe_gpu_start(s, c->has_state, &error))
    return moe_report(&error);
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    if (!gpu->host_places[i])
      continue;
    wait = true;
    if (c->arguments[i].role == MOE_ABI_INPUT)
      moe_gpu_upload(gpu, slots[i], gpu->host_places[i], s->sizes[i]);
  }
  s->module->code->functions[code](&s->context, s->slots);
  for (uint32_t i = 0; i < c->function->num_arguments; i++)
    if (gpu->host_places[i] && is_output(c->arguments[i].role))
      moe_gpu_download(gpu, gpu->host_places[i], slots[i], s->sizes[i]);
  return moe_gpu_finish(s, wait, count, &error) ? moe_report(&error)
                                                : MOE_RT_OK;
}

static moe_rt_status run_call(moe_rt_session *s, const call *c,
                              const moe_rt_tensor *inputs,
                              moe_rt_tensor *outputs, size_t num_outputs) {
  size_t wanted = 0, num_required = 0;
  for (uint32_t i = 0; i < c->function->num_arguments; i++) {
    wanted += is_output(c->arguments[i].role);
    num_required += c->arguments[i].role == MOE_ABI_OUTPUT;
  }
  if (num_outputs != wanted)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: %zu outputs were given, expected %zu",
                           MOE_Q(c->name), num_outputs, wanted);
  if (num_outputs && !outputs)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s: outputs is NULL",
                           MOE_Q(c->name));
  bool full = false;
  for (size_t i = num_required; i < wanted; i++)
    full |= outputs[i].data != NULL;
  moe_rt_status status;
  if (c->has_state && (status = check_room(c)))
    return status;
  put_symbols(c, s->slots);
  uint64_t *slots = s->slots + c->manifest->header.symbols.count;
  memset(s->sizes, 0, c->function->num_arguments * sizeof(*s->sizes));
  status = place_arguments(s, c, inputs, outputs, full, slots, s->sizes);
  if (status)
    return status;
  uint64_t arena = arena_bytes(
      c, full ? c->function->arena_full : c->function->arena, s->slots);
  if ((status = need(s, c, &s->arena, arena, "arena")))
    return status;
  slots[c->function->num_arguments] = (uintptr_t)s->arena.memory;
  uint32_t code = full ? c->function->code_full : c->function->code;
  if (s->gpu) {
    status = run_on_device(s, c, code, slots, outputs);
    if (status || s->gpu->is_capturing)
      return status;
  } else {
    s->module->code->functions[code](&s->context, s->slots);
  }
  if (c->has_state) {
    int64_t added = num_new_tokens(c);
    for (int64_t row = 0; row < s->max_batch; row++)
      s->lengths[row] += added;
    if (s->gpu)
      moe_gpu_set_lengths(s);
  }
  return take_counts(s, c, outputs);
}

moe_rt_status moe_rt_run(moe_rt_session *session, const char *function,
                         const moe_rt_tensor *inputs, size_t num_inputs,
                         moe_rt_tensor *outputs, size_t num_outputs) {
  moe_rt_status status = check_question(session, function);
  if (status)
    return status;
  status = enter(session);
  if (status)
    return status;
  call c;
  moe_error error;
  if (session->gpu && moe_gpu_enter(session->gpu, &error)) {
    leave(session);
    return moe_report(&error);
  }
  status = start_call(session, function, inputs, num_inputs,
                      /*with_data=*/true, &c);
  if (!status) {
    // Same bits whatever the caller did to the floating point environment.
    moe_pool_mark mark = moe_pool_enter_serial();
    status = run_call(session, &c, inputs, outputs, num_outputs);
    moe_pool_leave(mark);
  }
  if (session->gpu)
    moe_gpu_leave(session->gpu);
  leave(session);
  return status;
}

//===----------------------------------------------------------------------===//
// The KV cache
//===----------------------------------------------------------------------===//

static moe_rt_status check_row(const moe_rt_session *session, int64_t row,
                               int64_t first) {
  if (!session)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "session is NULL");
  if (row < first || row >= session->max_batch)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "row is %lld, expected %lld to %lld", (long long)row,
                           (long long)first, (long long)session->max_batch - 1);
  return MOE_RT_OK;
}

moe_rt_status moe_rt_session_length(const moe_rt_session *session, int64_t row,
                                    int64_t *length) {
  moe_rt_status status = check_row(session, row, 0);
  if (status)
    return status;
  if (!length)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "length is NULL");
  *length = session->lengths[row];
  return MOE_RT_OK;
}

// No graph in the stream may meet other lengths than those it was started with.
static moe_rt_status settle_replays(moe_rt_session *session) {
  moe_gpu *gpu = session->gpu;
  if (!gpu || !gpu->was_captured)
    return MOE_RT_OK;
  moe_error error;
  moe_rt_status status = moe_gpu_enter(gpu, &error);
  if (!status) {
    status = moe_gpu_wait(gpu, &error);
    moe_gpu_leave(gpu);
  }
  return status ? moe_report(&error) : MOE_RT_OK;
}

moe_rt_status moe_rt_session_truncate(moe_rt_session *session, int64_t row,
                                      int64_t length) {
  moe_rt_status status = check_row(session, row, -1);
  if (status)
    return status;
  status = enter(session);
  if (status)
    return status;
  int64_t begin = row < 0 ? 0 : row,
          end = row < 0 ? session->max_batch : row + 1;
  for (int64_t i = begin; i < end && !status; i++)
    if (length < 0 || (row >= 0 && length > session->lengths[i]))
      status = moe_report_text(
          MOE_RT_INVALID_ARGUMENT, "length is %lld, row %lld holds %lld tokens",
          (long long)length, (long long)i, (long long)session->lengths[i]);
  if (!status)
    status = settle_replays(session);
  for (int64_t i = begin; i < end && !status; i++)
    if (session->lengths[i] > length)
      session->lengths[i] = length;
  if (session->gpu)
    moe_gpu_set_lengths(session);
  leave(session);
  return status;
}

moe_rt_status moe_rt_session_advance(moe_rt_session *session,
                                     int64_t num_tokens) {
  if (!session)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "session is NULL");
  if (!session->gpu)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: the session is on the CPU, where nothing is "
                           "replayed",
                           MOE_QP(session->module->path));
  if (num_tokens < 0 || num_tokens > kMaxSize)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "num_tokens is %lld, expected 0 to %lld",
                           (long long)num_tokens, (long long)kMaxSize);
  moe_rt_status status = enter(session);
  if (status)
    return status;
  for (int64_t i = 0; i < session->max_batch && !status; i++)
    if (num_tokens > session->max_length - session->lengths[i])
      status = moe_report_text(MOE_RT_TOO_SMALL,
                               "row %lld holds %lld tokens of at most %lld, no "
                               "room for %lld more",
                               (long long)i, (long long)session->lengths[i],
                               (long long)session->max_length,
                               (long long)num_tokens);
  if (!status)
    status = settle_replays(session);
  for (int64_t i = 0; i < session->max_batch && !status; i++)
    session->lengths[i] += num_tokens;
  moe_gpu_set_lengths(session);
  leave(session);
  return status;
}
