//===- driver.c - A CUDA driver that fails on request ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Stands in for libcuda.so.1. Device memory is host memory of its own; kernels
// are the C functions at the end. Streams do their work when they are waited
// for, not before: a wait that is missing shows. Memory that is not pinned is
// read at once, pinned memory when the copy's turn comes, as CUDA has it.
// DRIVER_LACKS: without one function, and without cuGetProcAddress.
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "driver.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct allocation {
  struct allocation *next;
  char *data;
  size_t size;
  int device, pinned;
} allocation;

typedef void (*kernel_code)(uint64_t *arguments);
struct CUfunc_st {
  const char *name;
  kernel_code code;
  unsigned num_arguments;
};
struct CUctx_st {
  int device, references;
};
struct CUmod_st {
  int device;
};

typedef struct operation {
  struct operation *next;
  enum { UPLOAD, DOWNLOAD, CLEAR, LAUNCH } kind;
  char *to;
  const char *from; // NULL: `copy`
  char *copy;
  size_t size;
  kernel_code code;
  uint64_t arguments[8];
} operation;

struct CUstream_st {
  struct CUstream_st *next;
  moe_cu_context context;
  int capturing;
  operation *queue, *captured;
};

enum { kMaxDevices = 2, kMaxCalls = 64 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static driver_state state;
static struct CUctx_st contexts[kMaxDevices + 1]; // the last is foreign
static struct CUstream_st foreign_stream;
static allocation *allocations;
static moe_cu_module modules; // the last one
static struct {
  const char *name;
  int count;
} calls[kMaxCalls];
static _Thread_local moe_cu_context stack[16];
static _Thread_local int depth;

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

EXPORT driver_state *driver_control(void) { return &state; }
EXPORT int driver_depth(void) { return depth; }

static int *calls_of(const char *name) {
  for (int i = 0; i < kMaxCalls; i++) {
    if (!calls[i].name)
      calls[i].name = name;
    if (!strcmp(calls[i].name, name))
      return &calls[i].count;
  }
  abort();
}

EXPORT int driver_calls(const char *name) {
  for (int i = 0; i < kMaxCalls && calls[i].name; i++)
    if (!strcmp(calls[i].name, name))
      return calls[i].count;
  return 0;
}

EXPORT void driver_reset(void) {
  memset(calls, 0, sizeof(calls));
  state.version = 12030;
  state.num_devices = 2;
  state.capability = 80;
  state.max_shared = 166912;
  state.max_registers = 65536;
  state.multiprocessors = 100;
  state.memory_bytes = 1 << 20;
  state.fail = state.missing_kernel = NULL;
  state.ptx_result = state.cubin_result = state.sticky = 0;
  state.launches = state.synchronizations = 0;
  state.overlapping = state.clusters = 0;
}

static void free_operations(operation **list, int and_run);
static moe_cu_stream streams;

EXPORT void driver_forget(void) {
  while (allocations) {
    allocation *dead = allocations;
    allocations = dead->next;
    free(dead->data);
    free(dead);
  }
  while (streams) {
    moe_cu_stream dead = streams;
    streams = dead->next;
    free_operations(&dead->queue, 0);
    free_operations(&dead->captured, 0);
    free(dead);
  }
  free(modules);
  modules = NULL;
  memset(contexts, 0, sizeof(contexts));
  state.contexts = state.modules = state.streams = 0;
  state.allocations = state.host_allocations = 0;
  state.used_bytes = 0;
}

// Every entry point counts itself, and fails if it was told to.
static int enter(const char *name) {
  pthread_mutex_lock(&lock);
  int n = ++*calls_of(name);
  if (state.fail && !strcmp(state.fail, name) && n == state.nth)
    return state.result;
  return 0;
}
static int leave(int result) {
  pthread_mutex_unlock(&lock);
  return result;
}
#define ENTER                                                                  \
  int failure = enter(__func__);                                               \
  if (failure)                                                                 \
  return leave(failure)

// The same, where a context must be current.
#define ENTER_CONTEXT                                                          \
  ENTER;                                                                       \
  if (!depth || !stack[depth - 1]->references)                                 \
    return leave(201);                                                         \
  if (state.sticky)                                                            \
  return leave(state.sticky)

static allocation *find(const void *memory, size_t size) {
  const char *p = memory;
  for (allocation *a = allocations; a; a = a->next)
    if (p >= a->data && p < a->data + a->size)
      return size <= (size_t)(a->data + a->size - p) ? a : NULL;
  return NULL;
}

static allocation *add(size_t size, int device, int pinned) {
  allocation *a = calloc(1, sizeof(*a));
  a->data = aligned_alloc(256, (size + 255) & ~(size_t)255);
  // Nothing is zero by itself.
  memset(a->data, 0xa5, size);
  a->size = size;
  a->device = device;
  a->pinned = pinned;
  a->next = allocations;
  allocations = a;
  return a;
}

static int release(void *memory, int pinned) {
  for (allocation **a = &allocations; *a; a = &(*a)->next)
    if ((*a)->data == memory && (*a)->pinned == pinned) {
      allocation *dead = *a;
      *a = dead->next;
      if (!pinned)
        state.used_bytes -= dead->size;
      free(dead->data);
      free(dead);
      return 0;
    }
  return MOE_CU_INVALID_VALUE;
}

//===----------------------------------------------------------------------===//
// Streams
//===----------------------------------------------------------------------===//

static void put(moe_cu_stream s, operation o) {
  operation **end = s->capturing ? &s->captured : &s->queue;
  while (*end)
    end = &(*end)->next;
  *end = malloc(sizeof(o));
  **end = o;
}

static void run(operation *o) {
  switch (o->kind) {
  case UPLOAD:
  case DOWNLOAD:
    memcpy(o->to, o->from ? o->from : o->copy, o->size);
    break;
  case CLEAR:
    memset(o->to, 0, o->size);
    break;
  case LAUNCH: {
    uint64_t arguments[8];
    memcpy(arguments, o->arguments, sizeof(arguments));
    o->code(arguments);
    break;
  }
  }
}

static void free_operations(operation **list, int and_run) {
  while (*list) {
    operation *o = *list;
    *list = o->next;
    if (and_run)
      run(o);
    free(o->copy);
    free(o);
  }
}

EXPORT int driver_begin_capture(moe_cu_stream s) { return s->capturing = 1; }
EXPORT int driver_end_capture(moe_cu_stream s) { return s->capturing = 0; }
EXPORT void driver_replay(moe_cu_stream s) {
  for (operation *o = s->captured; o; o = o->next) {
    operation again = *o;
    again.next = NULL;
    again.copy = NULL;
    if (o->copy) {
      again.copy = malloc(o->size);
      memcpy(again.copy, o->copy, o->size);
    }
    put(s, again);
  }
}
EXPORT moe_cu_pointer driver_foreign_memory(size_t size_bytes) {
  return (uintptr_t)add(size_bytes, 1, 0)->data;
}
EXPORT moe_cu_stream driver_foreign_stream(void) {
  foreign_stream.context = &contexts[kMaxDevices];
  return &foreign_stream;
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

#define NEW(name, ...)                                                         \
  EXPORT moe_cu_result name(__VA_ARGS__);                                      \
  EXPORT moe_cu_result name(__VA_ARGS__)

NEW(cuInit, unsigned flags) {
  ENTER;
  return leave(flags ? MOE_CU_INVALID_VALUE : 0);
}

NEW(cuDriverGetVersion, int *version) {
  ENTER;
  *version = state.version;
  return leave(0);
}

NEW(cuGetErrorName, moe_cu_result result, const char **text) {
  *text = result == MOE_CU_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                           : "CUDA_ERROR_OF_THE_STAND_IN";
  return 0;
}

NEW(cuGetErrorString, moe_cu_result result, const char **text) {
  *text = result == MOE_CU_ILLEGAL_ADDRESS ? "an illegal address\nwas met" : "";
  return result == MOE_CU_UNKNOWN ? MOE_CU_INVALID_VALUE : 0;
}

NEW(cuDeviceGetCount, int *count) {
  ENTER;
  *count = state.num_devices;
  return leave(0);
}

NEW(cuDeviceGet, moe_cu_device *device, int ordinal) {
  ENTER;
  *device = ordinal;
  return leave(ordinal < state.num_devices ? 0 : MOE_CU_INVALID_DEVICE);
}

NEW(cuDeviceGetName, char *name, int size, moe_cu_device device) {
  ENTER;
  strncpy(name, device ? "second GPU" : "first GPU", (size_t)size);
  return leave(0);
}

NEW(cuDeviceGetAttribute, int *value, int attribute, moe_cu_device device) {
  ENTER;
  (void)device;
  *value =
      attribute == MOE_CU_DEVICE_COMPUTE_CAPABILITY_MAJOR
          ? state.capability / 10
      : attribute == MOE_CU_DEVICE_COMPUTE_CAPABILITY_MINOR
          ? state.capability % 10
      : attribute == MOE_CU_DEVICE_MAX_REGISTERS_PER_BLOCK ? state.max_registers
      : attribute == MOE_CU_DEVICE_MULTIPROCESSOR_COUNT ? state.multiprocessors
                                                        : state.max_shared;
  return leave(0);
}

NEW(cuDevicePrimaryCtxRetain, moe_cu_context *context, moe_cu_device device) {
  ENTER;
  contexts[device].device = device;
  contexts[device].references++;
  state.contexts++;
  *context = &contexts[device];
  return leave(0);
}

NEW(cuDevicePrimaryCtxRelease_v2, moe_cu_device device) {
  int failure = enter(__func__);
  contexts[device].references--;
  state.contexts--;
  return leave(failure);
}

NEW(cuCtxPushCurrent_v2, moe_cu_context context) {
  ENTER;
  stack[depth++] = context;
  return leave(0);
}

NEW(cuCtxPopCurrent_v2, moe_cu_context *context) {
  int failure = enter(__func__);
  *context = stack[--depth];
  return leave(failure);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

NEW(cuMemAlloc_v2, moe_cu_pointer *pointer, size_t size) {
  ENTER_CONTEXT;
  if (!size)
    return leave(MOE_CU_INVALID_VALUE);
  if (size > state.memory_bytes - state.used_bytes)
    return leave(MOE_CU_OUT_OF_MEMORY);
  state.used_bytes += size;
  state.allocations++;
  *pointer = (uintptr_t)add(size, stack[depth - 1]->device, 0)->data;
  return leave(0);
}

NEW(cuMemFree_v2, moe_cu_pointer pointer) {
  int failure = enter(__func__); // memory of a lost context can be freed here
  int result = release((void *)(uintptr_t)pointer, 0);
  state.allocations -= !result;
  return leave(failure ? failure : result);
}

NEW(cuMemGetInfo_v2, size_t *free_bytes, size_t *total_bytes) {
  ENTER_CONTEXT;
  *free_bytes = state.memory_bytes - state.used_bytes;
  *total_bytes = state.memory_bytes;
  return leave(0);
}

NEW(cuMemHostAlloc, void **memory, size_t size, unsigned flags) {
  ENTER_CONTEXT;
  (void)flags;
  *memory = add(size, 0, 1)->data;
  state.host_allocations++;
  return leave(0);
}

NEW(cuMemFreeHost, void *memory) {
  int failure = enter(__func__);
  int result = release(memory, 1);
  state.host_allocations -= !result;
  return leave(failure ? failure : result);
}

NEW(cuPointerGetAttribute, void *value, int attribute, moe_cu_pointer pointer) {
  ENTER_CONTEXT;
  allocation *a = find((void *)(uintptr_t)pointer, 0);
  if (!a)
    return leave(MOE_CU_INVALID_VALUE);
  if (attribute == MOE_CU_POINTER_MEMORY_TYPE)
    *(unsigned *)value = a->pinned ? MOE_CU_MEMORY_HOST : MOE_CU_MEMORY_DEVICE;
  else
    *(int *)value = a->device;
  return leave(0);
}

NEW(cuMemcpyHtoDAsync_v2, moe_cu_pointer to, const void *from, size_t size,
    moe_cu_stream stream) {
  ENTER_CONTEXT;
  allocation *a = find((void *)(uintptr_t)to, size);
  if (!a || a->pinned)
    return leave(MOE_CU_INVALID_VALUE);
  operation o = {.kind = UPLOAD, .to = (char *)(uintptr_t)to, .size = size};
  if (find(from, size)) {
    o.from = from;
  } else {
    o.copy = malloc(size + 1);
    memcpy(o.copy, from, size);
  }
  put(stream, o);
  return leave(0);
}

NEW(cuMemcpyDtoHAsync_v2, void *to, moe_cu_pointer from, size_t size,
    moe_cu_stream stream) {
  ENTER_CONTEXT;
  allocation *a = find((void *)(uintptr_t)from, size);
  if (!a || a->pinned || stream->capturing)
    return leave(MOE_CU_INVALID_VALUE);
  put(stream, (operation){.kind = DOWNLOAD,
                          .to = to,
                          .from = (const char *)(uintptr_t)from,
                          .size = size});
  return leave(0);
}

NEW(cuMemsetD8Async, moe_cu_pointer to, unsigned char value, size_t count,
    moe_cu_stream stream) {
  ENTER_CONTEXT;
  allocation *a = find((void *)(uintptr_t)to, count);
  if (!a || a->pinned || value)
    return leave(MOE_CU_INVALID_VALUE);
  put(stream,
      (operation){.kind = CLEAR, .to = (char *)(uintptr_t)to, .size = count});
  return leave(0);
}

NEW(cuStreamCreate, moe_cu_stream *stream, unsigned flags) {
  ENTER_CONTEXT;
  if (flags != MOE_CU_STREAM_NON_BLOCKING)
    return leave(MOE_CU_INVALID_VALUE);
  *stream = calloc(1, sizeof(**stream));
  (*stream)->context = stack[depth - 1];
  (*stream)->next = streams;
  streams = *stream;
  state.streams++;
  return leave(0);
}

NEW(cuStreamDestroy_v2, moe_cu_stream stream) {
  int failure = enter(__func__);
  moe_cu_stream *place = &streams;
  while (*place != stream)
    place = &(*place)->next;
  *place = stream->next;
  free_operations(&stream->queue, 0);
  free_operations(&stream->captured, 0);
  free(stream);
  state.streams--;
  return leave(failure);
}

NEW(cuStreamSynchronize, moe_cu_stream stream) {
  ENTER_CONTEXT;
  if (stream->capturing)
    return leave(900); // CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
  state.synchronizations++;
  free_operations(&stream->queue, 1);
  return leave(0);
}

NEW(cuStreamGetCtx, moe_cu_stream stream, moe_cu_context *context) {
  ENTER_CONTEXT;
  *context = stream->context;
  return leave(0);
}

NEW(cuStreamIsCapturing, moe_cu_stream stream, int *status) {
  ENTER_CONTEXT;
  *status = stream->capturing;
  return leave(0);
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

#define POINTER(type, i) ((type *)(uintptr_t)a[i])

static void scale(uint64_t *a) {
  const float *x = POINTER(const float, 0), *factor = POINTER(const float, 1);
  float *y = POINTER(float, 2), *sums = POINTER(float, 3),
        *twice = POINTER(float, 4), *arena = POINTER(float, 5);
  for (uint64_t t = 0; t < a[6]; t++) {
    float sum = 0;
    for (int c = 0; c < 4; c++) {
      arena[4 * t + c] = x[4 * t + c] * factor[c];
      y[4 * t + c] = arena[4 * t + c];
      sum += y[4 * t + c];
      if (a[7]) // sums and twice too
        twice[4 * t + c] = twice[4 * (a[6] + t) + c] = y[4 * t + c];
    }
    if (a[7])
      sums[t] = sum;
  }
}

static void positive(uint64_t *a) {
  const float *x = POINTER(const float, 0);
  int64_t *count = POINTER(int64_t, 1), *places = POINTER(int64_t, 2);
  *count = 0;
  for (int64_t t = 0; t < (int64_t)a[3]; t++)
    if (x[t] > 0) {
      int64_t *place = places + 3 * (*count)++;
      place[0] = t;
      place[1] = 2 * t;
      place[2] = -1;
    }
}

static void append(uint64_t *a) {
  const int64_t *ids = POINTER(const int64_t, 0),
                *lengths = POINTER(const int64_t, 2);
  int64_t *cache = POINTER(int64_t, 1), *sum = POINTER(int64_t, 3);
  for (uint64_t b = 0; b < a[4]; b++) {
    for (uint64_t i = 0; i < a[5]; i++)
      cache[b * a[6] + (uint64_t)lengths[b] + i] = ids[b * a[5] + i];
    sum[b] = 0;
    for (uint64_t i = 0; i < (uint64_t)lengths[b] + a[5]; i++)
      sum[b] += cache[b * a[6] + i];
  }
}

static void copy(uint64_t *a) {
  memcpy(POINTER(void, 1), POINTER(void, 0), a[2]);
}

static void param(uint64_t *a) {
  static const size_t sizes[] = {16, 128, 6, 8};
  uint8_t which = *POINTER(uint8_t, 4);
  memset(POINTER(void, 5), 0, 128);
  memcpy(POINTER(void, 5), POINTER(void, which), sizes[which]);
}

static struct CUfunc_st functions[] = {{"scale", scale, 8},
                                       {"positive", positive, 4},
                                       {"append", append, 7},
                                       {"copy", copy, 3},
                                       {"param", param, 6}};

NEW(cuModuleLoadDataEx, moe_cu_module *module, const void *image,
    unsigned num_options, int *options, void **values) {
  ENTER_CONTEXT;
  const char *bytes = image;
  int result = *bytes == '.' ? state.ptx_result : state.cubin_result;
  for (unsigned i = 0; i < num_options && result; i++)
    if (options[i] == MOE_CU_JIT_ERROR_LOG_BUFFER)
      strcpy(values[i], "ptxas: line 7 is wrong\nand more");
  if (result)
    return leave(result);
  *module = calloc(1, sizeof(**module));
  (*module)->device = stack[depth - 1]->device;
  modules = *module;
  state.modules++;
  return leave(0);
}

NEW(cuModuleUnload, moe_cu_module module) {
  int failure = enter(__func__);
  if (modules == module)
    modules = NULL;
  free(module);
  state.modules--;
  return leave(failure);
}

NEW(cuModuleGetFunction, moe_cu_function *function, moe_cu_module module,
    const char *name) {
  ENTER_CONTEXT;
  (void)module;
  if (!state.missing_kernel || strcmp(state.missing_kernel, name))
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
      if (!strcmp(functions[i].name, name)) {
        *function = &functions[i];
        return leave(0);
      }
  return leave(MOE_CU_NOT_FOUND);
}

NEW(cuFuncGetAttribute, int *value, int attribute, moe_cu_function function) {
  ENTER_CONTEXT;
  (void)function;
  *value = attribute == MOE_CU_FUNC_NUM_REGS            ? 64
           : attribute == MOE_CU_FUNC_SHARED_SIZE_BYTES ? 1024
                                                        : 1024;
  return leave(0);
}

NEW(cuFuncSetAttribute, moe_cu_function function, int attribute, int value) {
  ENTER_CONTEXT;
  (void)function;
  return leave(attribute == MOE_CU_FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES &&
                       value == 100000
                   ? 0
                   : MOE_CU_INVALID_VALUE);
}

NEW(cuLaunchKernelEx, const moe_cu_launch_config *config,
    moe_cu_function function, void **arguments, void **extra) {
  ENTER_CONTEXT;
  if (extra || config->block_x != 128 || !config->grid_x)
    return leave(MOE_CU_INVALID_VALUE);
  for (unsigned i = 0; i < config->num_attributes; i++) {
    state.overlapping += config->attributes[i].id ==
                         MOE_CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION;
    state.clusters +=
        config->attributes[i].id == MOE_CU_LAUNCH_CLUSTER_DIMENSION;
  }
  operation o = {.kind = LAUNCH, .code = function->code};
  for (unsigned i = 0; i < function->num_arguments; i++)
    memcpy(&o.arguments[i], arguments[i], 8);
  state.launches++;
  state.blocks = config->grid_x;
  put(config->stream, o);
  return leave(0);
}

#ifndef DRIVER_LACKS
// The map's first word is the address, which is all that the kernels here need.
NEW(cuTensorMapEncodeTiled, moe_cu_tensor_map *map, int type, uint32_t rank,
    void *address, const uint64_t *extents, const uint64_t *strides,
    const uint32_t *box, const uint32_t *element_strides, int interleave,
    int swizzle, int promotion, int fill) {
  ENTER;
  (void)type, (void)extents, (void)strides, (void)box;
  memset(map, 0, sizeof(*map));
  map->opaque[0] = (uintptr_t)address;
  bool good = (uintptr_t)map % 64 == 0 && rank &&
              element_strides[rank - 1] == 1 && !interleave && swizzle >= 0 &&
              swizzle <= 3 && promotion >= 0 && !fill;
  return leave(good ? 0 : MOE_CU_INVALID_VALUE);
}

// Base names; the newest version is the one exported.
NEW(cuGetProcAddress_v2, const char *name, void **function, int version,
    uint64_t flags, int *status) {
  (void)flags, (void)status;
  char exported[64];
  *function = NULL;
  if (version != MOE_CUDA_VERSION)
    return MOE_CU_INVALID_VALUE;
  strcpy(exported, name);
  strcat(exported, "_v2");
  Dl_info here;
  void *self = dladdr((void *)(uintptr_t)&driver_control, &here)
                   ? dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD)
                   : NULL;
  if (!self)
    return MOE_CU_UNKNOWN;
  *function = dlsym(self, exported);
  if (!*function)
    *function = dlsym(self, name);
  dlclose(self);
  return *function ? 0 : MOE_CU_NOT_FOUND;
}
#endif
