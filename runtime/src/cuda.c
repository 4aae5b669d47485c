//===- cuda.c - A GPU by way of the CUDA driver ---------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "cuda.h"
#include "alloc.h"
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char kDriver[] = "libcuda.so.1";

bool moe_cuda_parse(const char *device, int *ordinal) {
  *ordinal = -1;
  if (!device || !strcmp(device, "cpu"))
    return true;
  if (strncmp(device, "cuda", 4))
    return false;
  *ordinal = 0;
  device += 4;
  if (!*device)
    return true;
  size_t digits = strspn(device + 1, "0123456789");
  if (*device != ':' || !digits || digits > 4 || device[1 + digits])
    return false;
  for (size_t i = 1; i <= digits; i++)
    *ordinal = *ordinal * 10 + (device[i] - '0');
  return true;
}

//===----------------------------------------------------------------------===//
// Failures
//===----------------------------------------------------------------------===//

bool moe_cuda_is_lost(moe_cu_result result) {
  switch (result) {
  case MOE_CU_DEINITIALIZED:
  case MOE_CU_DEVICE_UNAVAILABLE:
  case MOE_CU_ECC_UNCORRECTABLE:
  case MOE_CU_ILLEGAL_ADDRESS:
  case MOE_CU_LAUNCH_TIMEOUT:
  case MOE_CU_CONTEXT_IS_DESTROYED:
  case MOE_CU_ASSERT:
  case MOE_CU_UNKNOWN:
    return true;
  default:
    // A stack, instruction, address or program counter gone wrong.
    return result >= MOE_CU_HARDWARE_STACK_ERROR &&
           result <= MOE_CU_LAUNCH_FAILED;
  }
}

typedef struct {
  char text[1000];
} result_text;

// Appends ": " and the first line of the emulator's report, if there is one.
static void append_report(const moe_cuda *cuda, result_text *text) {
  enum { piece = 160 }; // a quoted text is short
  char report[480];
  size_t size = cuda->take_report(report, sizeof(report));
  if (size >= sizeof(report))
    size = sizeof(report) - 1;
  for (size_t at = 0; at < size; at += piece) {
    size_t used = strlen(text->text);
    size_t count = size - at < piece ? size - at : piece;
    snprintf(text->text + used, sizeof(text->text) - used, "%s%s",
             at ? "" : ": ", MOE_QN(report + at, count));
  }
}

// "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected".
static const char *describe(const moe_cuda *cuda, moe_cu_result result,
                            result_text *text) {
  const char *name = NULL, *meaning = NULL;
  if (cuda->f.error_name(result, &name) || !name)
    name = "unknown error";
  if (cuda->f.error_string(result, &meaning) || !meaning)
    meaning = "";
  snprintf(text->text, sizeof(text->text), "%s (%d)%s%s", MOE_Q(name), result,
           *meaning ? ": " : "", MOE_Q(meaning));
  if (cuda->take_report)
    append_report(cuda, text);
  return text->text;
}
#define DESCRIBE(cuda, result) describe((cuda), (result), &(result_text){{0}})

moe_rt_status moe_cuda_fail(const moe_cuda *cuda, moe_cu_result result,
                            const char *what, moe_error *error) {
  return moe_fail(error,
                  result == MOE_CU_OUT_OF_MEMORY ? MOE_RT_OUT_OF_MEMORY
                                                 : MOE_RT_DEVICE_ERROR,
                  "%s: cuda:%d (%s): %s: %s", MOE_QP(cuda->path), cuda->ordinal,
                  cuda->name, what, DESCRIBE(cuda, result));
}

static moe_rt_status no_device(const moe_cuda *cuda, moe_error *error,
                               const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static moe_rt_status no_device(const moe_cuda *cuda, moe_error *error,
                               const char *format, ...) {
  char text[800];
  va_list arguments;
  va_start(arguments, format);
  if (vsnprintf(text, sizeof(text), format, arguments) < 0)
    text[0] = 0;
  va_end(arguments);
  return moe_fail(error, MOE_RT_NO_DEVICE, "%s: %s", MOE_QP(cuda->path), text);
}

//===----------------------------------------------------------------------===//
// The driver
//===----------------------------------------------------------------------===//

static moe_rt_status load_driver(moe_cuda *cuda, const char *library,
                                 moe_error *error) {
  if (!library)
    library = kDriver;
  if (!moe_gate_open(MOE_GATE_LOAD, 0))
    return moe_fail_memory(error, cuda->path);
  // The driver has threads, and destructors of threads: its code must stay.
  cuda->library = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!cuda->library) {
    const char *text = dlerror();
    return no_device(cuda, error, "no CUDA driver: %s",
                     MOE_Q(text ? text : library));
  }
  moe_cu_result (*driver_version)(int *version);
  void *symbol = dlsym(cuda->library, "cuDriverGetVersion");
  if (!symbol)
    return no_device(cuda, error,
                     "'%s' is no CUDA driver: it has no 'cuDriverGetVersion'",
                     MOE_QP(library));
  memcpy(&driver_version, &symbol, sizeof(symbol));
  int version = 0;
  if (driver_version(&version))
    version = 0;
  if (version < MOE_CUDA_VERSION)
    return no_device(cuda, error,
                     "the CUDA driver '%s' is too old: it knows CUDA %d.%d, "
                     "%d.%d is needed",
                     MOE_QP(library), version / 1000, version % 1000 / 10,
                     MOE_CUDA_VERSION / 1000, MOE_CUDA_VERSION % 1000 / 10);
  moe_cu_get_proc_address get_proc_address = NULL;
  symbol = dlsym(cuda->library, "cuGetProcAddress_v2");
  memcpy(&get_proc_address, &symbol, sizeof(symbol));
#define FIND(field, name, exported, parameters)                                \
  symbol = NULL;                                                               \
  if (!get_proc_address ||                                                     \
      get_proc_address(name, &symbol, MOE_CUDA_VERSION, 0, NULL) || !symbol)   \
    symbol = dlsym(cuda->library, exported);                                   \
  if (!symbol)                                                                 \
    return no_device(cuda, error, "the CUDA driver '%s' has no '%s'",          \
                     MOE_QP(library), exported);                               \
  memcpy(&cuda->f.field, &symbol, sizeof(symbol));
  MOE_CUDA_FUNCTIONS(FIND)
#undef FIND
  symbol = dlsym(cuda->library, "moe_emulator_take_report");
  memcpy(&cuda->take_report, &symbol, sizeof(symbol));
  // From now on it need not print reports itself.
  if (cuda->take_report)
    cuda->take_report(NULL, 0);
  return MOE_RT_OK;
}

static moe_rt_status find_device(moe_cuda *cuda, int ordinal,
                                 moe_error *error) {
  moe_cu_result result = cuda->f.init(0);
  if (result)
    return no_device(cuda, error, "%s: cuInit: %s",
                     result == MOE_CU_NO_DEVICE ? "no GPU"
                                                : "CUDA does not start",
                     DESCRIBE(cuda, result));
  int count = 0, major = 0, minor = 0, multiprocessors = 0;
  result = cuda->f.device_count(&count);
  if (result)
    return no_device(cuda, error, "cuDeviceGetCount: %s",
                     DESCRIBE(cuda, result));
  if (count < 1)
    return no_device(cuda, error, "no GPU: the CUDA driver has none");
  if (ordinal >= count)
    return no_device(cuda, error, "there is no cuda:%d, the last is cuda:%d",
                     ordinal, count - 1);
  char name[100] = "";
  if ((result = cuda->f.device_get(&cuda->device, ordinal)) ||
      (result = cuda->f.device_name(name, sizeof(name) - 1, cuda->device)) ||
      (result = cuda->f.device_attribute(
           &major, MOE_CU_DEVICE_COMPUTE_CAPABILITY_MAJOR, cuda->device)) ||
      (result = cuda->f.device_attribute(
           &minor, MOE_CU_DEVICE_COMPUTE_CAPABILITY_MINOR, cuda->device)) ||
      (result = cuda->f.device_attribute(
           &multiprocessors, MOE_CU_DEVICE_MULTIPROCESSOR_COUNT, cuda->device)))
    return no_device(cuda, error, "cuda:%d cannot be asked: %s", ordinal,
                     DESCRIBE(cuda, result));
  if (major < 1 || major > 99 || minor < 0 || minor > 9)
    return no_device(cuda, error,
                     "cuda:%d: compute capability is %d.%d, expected 1.0 to "
                     "99.9",
                     ordinal, major, minor);
  if (multiprocessors < 1)
    return no_device(cuda, error, "cuda:%d says it has %d multiprocessors",
                     ordinal, multiprocessors);
  snprintf(cuda->name, sizeof(cuda->name), "%s", MOE_Q(name));
  cuda->capability = (uint32_t)(10 * major + minor);
  cuda->multiprocessors = (uint32_t)multiprocessors;
  result = cuda->f.context_retain(&cuda->context, cuda->device);
  if (result) {
    cuda->context = NULL;
    return result == MOE_CU_OUT_OF_MEMORY
               ? moe_cuda_fail(cuda, result, "cuDevicePrimaryCtxRetain", error)
               : no_device(cuda, error, "cuda:%d (%s) cannot be used: %s",
                           ordinal, cuda->name, DESCRIBE(cuda, result));
  }
  return MOE_RT_OK;
}

moe_rt_status moe_cuda_enter(const moe_cuda *cuda, moe_error *error) {
  moe_cu_result result = cuda->f.context_push(cuda->context);
  return result ? moe_cuda_fail(cuda, result, "cuCtxPushCurrent", error)
                : MOE_RT_OK;
}

void moe_cuda_leave(const moe_cuda *cuda) {
  moe_cu_context ignored;
  cuda->f.context_pop(&ignored);
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

// Why the driver does not take an image that is not damaged.
static bool is_refusal(moe_cu_result result) {
  switch (result) {
  case MOE_CU_INVALID_IMAGE:
  case MOE_CU_NO_BINARY_FOR_GPU:
  case MOE_CU_INVALID_PTX:
  case MOE_CU_JIT_COMPILER_NOT_FOUND:
  case MOE_CU_UNSUPPORTED_PTX_VERSION:
  case MOE_CU_JIT_COMPILATION_DISABLED:
  case MOE_CU_INVALID_SOURCE:
    return true;
  default:
    return false;
  }
}

// The first line of what the driver's compiler of PTX has to say.
static size_t first_line(const char *text, size_t size) {
  size_t n = 0;
  while (n < size && text[n] && text[n] != '\n')
    n++;
  return n;
}

// `refused` on true: another image may do.
static moe_rt_status load_image(moe_cuda *cuda, const moe_abi_device *device,
                                uint32_t index, const uint8_t *file,
                                bool *refused, moe_error *error) {
  const moe_abi_image *image = &cuda->manifest->images[index];
  *refused = false;
  // Aligned, with a NUL behind it, and not at the mercy of the file.
  size_t size = image->bytes.size;
  char *copy = moe_alloc_pages(size + 1);
  if (!copy)
    return moe_fail_memory(error, cuda->path);
  memcpy(copy, file + cuda->manifest->note_offset + image->bytes.offset, size);
  char log[1024] = "";
  int options[2] = {MOE_CU_JIT_ERROR_LOG_BUFFER,
                    MOE_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[2] = {log, (void *)(uintptr_t)(sizeof(log) - 1)};
  moe_cu_result result =
      cuda->f.module_load(&cuda->module, copy, 2, options, values);
  moe_free_pages(copy, size + 1);
  if (!result)
    return MOE_RT_OK;
  cuda->module = NULL;
  if (!is_refusal(result))
    return moe_cuda_fail(cuda, result, "cuModuleLoadDataEx", error);
  *refused = true;
  size_t line = first_line(log, sizeof(log) - 1);
  return no_device(
      cuda, error, "cuda:%d (%s) does not take the %s for %s: %s%s%s",
      cuda->ordinal, cuda->name,
      image->kind == MOE_ABI_IMAGE_PTX ? "PTX" : "cubin",
      MOE_Q(cuda->manifest->device_names[device - cuda->manifest->devices]),
      DESCRIBE(cuda, result), line ? ": " : "", MOE_QN(log, line));
}

static uint32_t num_threads(const moe_abi_kernel *k) {
  return k->block[0] * k->block[1] * k->block[2];
}

static moe_rt_status prepare_kernel(moe_cuda *cuda, uint32_t index,
                                    moe_cu_function *function,
                                    moe_error *error) {
  const moe_abi_kernel *k = &cuda->manifest->kernels[index];
  const char *name = cuda->manifest->kernel_names[index];
  moe_cu_result result = cuda->f.module_function(function, cuda->module, name);
  if (result == MOE_CU_NOT_FOUND)
    return moe_fail(
        error, MOE_RT_BAD_FILE, "%s: the image for %s has no kernel '%s'",
        MOE_QP(cuda->path),
        MOE_Q(cuda->manifest->device_names[cuda->device_index]), MOE_Q(name));
  int registers = 0, shared = 0, threads = 0, all_registers = 0, all_shared = 0;
  if (result ||
      (result = cuda->f.function_attribute(&registers, MOE_CU_FUNC_NUM_REGS,
                                           *function)) ||
      (result = cuda->f.function_attribute(
           &shared, MOE_CU_FUNC_SHARED_SIZE_BYTES, *function)) ||
      (result = cuda->f.function_attribute(
           &threads, MOE_CU_FUNC_MAX_THREADS_PER_BLOCK, *function)) ||
      (result = cuda->f.device_attribute(&all_registers,
                                         MOE_CU_DEVICE_MAX_REGISTERS_PER_BLOCK,
                                         cuda->device)) ||
      (result = cuda->f.device_attribute(
           &all_shared, MOE_CU_DEVICE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
           cuda->device)))
    return moe_cuda_fail(cuda, result, MOE_Q(name), error);
  if ((int64_t)shared + k->dynamic_shared > all_shared)
    return no_device(cuda, error,
                     "kernel '%s' needs %lld bytes of shared memory, cuda:%d "
                     "(%s) has %d",
                     MOE_Q(name), (long long)shared + k->dynamic_shared,
                     cuda->ordinal, cuda->name, all_shared);
  if ((int64_t)num_threads(k) * registers > all_registers ||
      (int64_t)num_threads(k) > threads)
    return no_device(cuda, error,
                     "kernel '%s' has blocks of %u threads with %d registers, "
                     "cuda:%d (%s) takes %d threads and %d registers",
                     MOE_Q(name), num_threads(k), registers, cuda->ordinal,
                     cuda->name, threads, all_registers);
  // Once and for all: during a capture it would be too late.
  if (k->dynamic_shared &&
      (result = cuda->f.function_set(*function,
                                     MOE_CU_FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                     (int)k->dynamic_shared)))
    return moe_cuda_fail(cuda, result, "cuFuncSetAttribute", error);
  if (k->cluster[0] * k->cluster[1] * k->cluster[2] > 8 &&
      (result = cuda->f.function_set(
           *function, MOE_CU_FUNC_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1)))
    return moe_cuda_fail(cuda, result, "cuFuncSetAttribute", error);
  return MOE_RT_OK;
}

// Whether `a` is better than `b` for this GPU; NULL: the worst.
static bool is_better(const moe_abi_device *a, const moe_abi_device *b) {
  return !b || a->level > b->level;
}

static bool fits(const moe_cuda *cuda, const moe_abi_device *d) {
  return d->exact ? d->level == cuda->capability : d->level <= cuda->capability;
}

static moe_rt_status no_code(const moe_cuda *cuda, moe_error *error) {
  const moe_manifest *m = cuda->manifest;
  char inside[300] = "";
  size_t n = 0;
  for (uint32_t i = 0; i < m->header.devices.count && n < sizeof(inside); i++)
    n += (size_t)snprintf(inside + n, sizeof(inside) - n, "%s%s", i ? ", " : "",
                          MOE_Q(m->device_names[i]));
  return no_device(cuda, error,
                   "has no code for cuda:%d (%s, compute capability %u.%u), "
                   "only for %s",
                   cuda->ordinal, cuda->name, cuda->capability / 10,
                   cuda->capability % 10, n ? inside : "the CPU");
}

static moe_rt_status load_code(moe_cuda *cuda, const uint8_t *file,
                               moe_error *error) {
  const moe_manifest *m = cuda->manifest;
  bool tried[MOE_MANIFEST_MAX_DEVICES] = {false}, refused = false;
  moe_rt_status status = no_code(cuda, error);
  const moe_abi_device *best = NULL;
  // The best code first; the first reason is the one to tell.
  for (uint32_t round = 0; round < m->header.devices.count; round++) {
    best = NULL;
    for (uint32_t i = 0; i < m->header.devices.count; i++)
      if (!tried[i] && fits(cuda, &m->devices[i]) &&
          is_better(&m->devices[i], best))
        best = &m->devices[i];
    if (!best)
      return status;
    tried[best - m->devices] = true;
    for (uint32_t i = 0; i < best->num_images && !cuda->module; i++) {
      moe_error again;
      moe_rt_status result =
          load_image(cuda, best, best->first_image + i, file, &refused, &again);
      if (result && (!refused || round + i == 0)) {
        *error = again;
        status = result;
      }
      if (result && !refused)
        return status;
    }
    if (cuda->module)
      break;
  }
  if (!cuda->module)
    return status;
  cuda->device_index = (uint32_t)(best - m->devices);
  cuda->kernels = moe_zalloc(best->num_kernels, sizeof(*cuda->kernels));
  if (!cuda->kernels)
    return moe_fail_memory(error, cuda->path);
  for (uint32_t i = 0; i < best->num_kernels; i++)
    if ((status = prepare_kernel(cuda, best->first_kernel + i,
                                 &cuda->kernels[i], error)))
      return status;
  return MOE_RT_OK;
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

moe_rt_status moe_cuda_open_device(moe_cuda *cuda, const char *library,
                                   int ordinal, const char *path,
                                   moe_error *error) {
  cuda->path = path;
  cuda->ordinal = ordinal;
  moe_rt_status status = load_driver(cuda, library, error);
  return status ? status : find_device(cuda, ordinal, error);
}

moe_rt_status moe_cuda_open(moe_cuda *cuda, const char *library, int ordinal,
                            const char *path, const moe_manifest *manifest,
                            const uint8_t *file, moe_error *error) {
  cuda->manifest = manifest;
  moe_rt_status status =
      moe_cuda_open_device(cuda, library, ordinal, path, error);
  if (!status)
    status = moe_cuda_enter(cuda, error);
  if (status)
    return status;
  status = load_code(cuda, file, error);
  moe_cuda_leave(cuda);
  return status;
}

void moe_cuda_close(moe_cuda *cuda) {
  if (cuda->module && !moe_cuda_enter(cuda, NULL)) {
    cuda->f.module_unload(cuda->module);
    moe_cuda_leave(cuda);
  }
  if (cuda->context)
    cuda->f.context_release(cuda->device);
  if (cuda->library)
    dlclose(cuda->library);
  moe_free(cuda->kernels);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

moe_rt_status moe_cuda_alloc(const moe_cuda *cuda, uint64_t size_bytes,
                             const char *what, void **memory,
                             moe_error *error) {
  moe_cu_pointer pointer = 0;
  moe_cu_result result =
      size_bytes > INT64_MAX
          ? MOE_CU_OUT_OF_MEMORY
          : cuda->f.mem_alloc(&pointer, size_bytes ? size_bytes : 1);
  if (!result) {
    *memory = (void *)(uintptr_t)pointer;
    return MOE_RT_OK;
  }
  if (result != MOE_CU_OUT_OF_MEMORY)
    return moe_cuda_fail(cuda, result, "cuMemAlloc", error);
  size_t free_bytes = 0, total_bytes = 0;
  if (cuda->f.mem_info(&free_bytes, &total_bytes))
    free_bytes = total_bytes = 0;
  return moe_fail(error, MOE_RT_OUT_OF_MEMORY,
                  "%s: out of memory on cuda:%d (%s) for %s of %llu bytes: "
                  "%zu of %zu are free",
                  MOE_QP(cuda->path), cuda->ordinal, cuda->name, what,
                  (unsigned long long)size_bytes, free_bytes, total_bytes);
}

void moe_cuda_free(const moe_cuda *cuda, void *memory) {
  if (memory)
    cuda->f.mem_free(moe_cuda_pointer(memory));
}
