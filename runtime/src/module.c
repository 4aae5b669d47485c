//===- module.c - Compiled models -----------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "alloc.h"
#include "file.h"
#include "internal.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

// `name` is what messages call the file.
static moe_rt_status read_manifest(const char *path, const char *name,
                                   moe_file_id *id, moe_manifest **manifest,
                                   moe_error *error) {
  int fd;
  moe_rt_status status = moe_file_open(path, &fd, id, error);
  if (status)
    return status;
  const uint8_t *bytes = NULL;
  status = moe_file_map(fd, name, id->size_bytes, &bytes, error);
  close(fd);
  if (!status)
    status = moe_manifest_read(bytes, id->size_bytes, name, manifest, error);
  moe_file_unmap(bytes, id->size_bytes);
  return status;
}

static moe_rt_status describe(const moe_manifest *manifest, const char *path,
                              char **json, moe_error *error) {
  moe_text text = {0};
  moe_manifest_describe(manifest, &text);
  if (text.failed) {
    moe_free(text.data);
    return moe_fail_memory(error, path);
  }
  *json = text.data;
  return MOE_RT_OK;
}

// The best level that is inside the module, that the CPU has and that the
// caller allows; 0 if there is none.
static uint32_t choose_level(uint32_t levels, uint32_t most) {
  if ((levels & 2) && most >= 4)
    return 4;
  return (levels & 1) && most >= 3 ? 3 : 0;
}

static moe_rt_status check_code(const moe_rt_module *module,
                                const moe_abi_library *code, uint32_t level,
                                moe_error *error) {
  const moe_manifest *m = module->manifest;
  const char *path = module->path;
  if (!code)
    return moe_fail(error, MOE_RT_INCOMPATIBLE,
                    "%s: has no code of level %u and ABI %u", MOE_QP(path),
                    level, MOE_ABI_MAJOR);
  if (code->level != level)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: gave code of level %u, expected %u", MOE_QP(path),
                    code->level, level);
  bool good = true;
#define CHECK(index)                                                           \
  good &= (index) == MOE_ABI_NONE ||                                           \
          ((index) < code->num_functions && code->functions[(index)])
  for (uint32_t i = 0; i < m->header.functions.count; i++) {
    CHECK(m->functions[i].code);
    CHECK(m->functions[i].code_full);
    CHECK(m->functions[i].arena);
    CHECK(m->functions[i].arena_full);
  }
  for (uint32_t i = 0; i < module->num_params; i++)
    CHECK(m->params[module->first_param + i].pack[module->level_index]);
#undef CHECK
  if (!good)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: manifest names code that the library does not have",
                    MOE_QP(path));
  return MOE_RT_OK;
}

static void load_failure(moe_error *error, const char *path) {
  const char *text = dlerror();
  moe_fail(error, MOE_RT_INCOMPATIBLE, "%s: cannot be loaded: %s", MOE_QP(path),
           MOE_Q(text ? text : "unknown reason"));
}

static moe_rt_status find_level(const moe_rt_module *module, uint32_t max_level,
                                uint32_t *result, moe_error *error) {
  uint32_t levels = module->manifest->header.levels, cpu = moe_cpu_level();
  uint32_t most = max_level && max_level < cpu ? max_level : cpu;
  uint32_t level = choose_level(levels, most);
  const char *path = module->path;
  if (!level && max_level && choose_level(levels, cpu))
    return moe_fail(error, MOE_RT_INCOMPATIBLE,
                    "%s: it needs x86-64-v4, max_level allows x86-64-v%u",
                    MOE_QP(path), max_level);
  if (!level && !levels)
    return moe_fail(error, MOE_RT_INCOMPATIBLE,
                    "%s: has no code for a CPU, only for %s", MOE_QP(path),
                    MOE_Q(module->manifest->device_names[0]));
  if (!level && cpu < 3)
    return moe_fail(error, MOE_RT_INCOMPATIBLE,
                    "%s: it needs x86-64-v%d, this CPU lacks x86-64-v3",
                    MOE_QP(path), levels & 1 ? 3 : 4);
  if (!level)
    return moe_fail(error, MOE_RT_INCOMPATIBLE,
                    "%s: it needs x86-64-v4, this CPU has x86-64-v%u",
                    MOE_QP(path), cpu);
  *result = level;
  return MOE_RT_OK;
}

static moe_rt_status take_code(moe_rt_module *module, moe_abi_query query,
                               uint32_t level, moe_error *error) {
  const moe_manifest *m = module->manifest;
  if (module->cuda) {
    const moe_abi_device *d = &m->devices[module->cuda->device_index];
    level = d->level;
    module->first_param = d->first_param;
    module->num_params = d->num_params;
  } else {
    module->level_index = level - 3;
    module->num_params = m->header.num_cpu_params;
  }
  module->code = query(MOE_ABI_MAJOR, level);
  return check_code(module, module->code, level, error);
}

static moe_rt_status load(moe_rt_module *module, const moe_file_id *id,
                          uint32_t level, moe_error *error) {
  const char *path = module->path;
  if (module->manifest->is_program)
    return moe_fail(error, MOE_RT_INCOMPATIBLE,
                    "%s: is a program, made with --emit=exe, and no library; "
                    "it runs by itself",
                    MOE_QP(path));
  if (!moe_gate_open(MOE_GATE_LOAD, 0))
    return moe_fail_memory(error, path);
  module->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!module->library) {
    load_failure(error, path);
    return MOE_RT_INCOMPATIBLE;
  }
  // The file that was checked must be the one that was loaded.
  moe_rt_status status = moe_file_unchanged(path, id, error);
  if (status)
    return status;
  moe_abi_query query;
  void *symbol = dlsym(module->library, MOE_ABI_QUERY);
  if (!symbol)
    return moe_fail(error, MOE_RT_BAD_FILE, "%s: has no '%s'", MOE_QP(path),
                    MOE_ABI_QUERY);
  memcpy(&query, &symbol, sizeof(query));
  return take_code(module, query, level, error);
}

// What moe_rt_options asks for.
typedef struct {
  uint32_t max_level;
  int ordinal; // -1: the CPU
  const char *driver;
} wish;

// Finds the GPU and loads kernels from the file that `id` was taken from; for
// the CPU finds the level.
static moe_rt_status find_target(moe_rt_module *module, const char *path,
                                 const moe_file_id *id, const wish *w,
                                 uint32_t *level, moe_error *error) {
  *level = 0;
  if (w->ordinal < 0)
    return find_level(module, w->max_level, level, error);
  module->cuda = moe_zalloc(1, sizeof(*module->cuda));
  if (!module->cuda)
    return moe_fail_memory(error, module->path);
  int fd;
  moe_file_id again;
  moe_rt_status status = moe_file_open(path, &fd, &again, error);
  if (status)
    return status;
  const uint8_t *bytes = NULL;
  status = moe_file_map(fd, module->path, again.size_bytes, &bytes, error);
  close(fd);
  if (!status)
    status = moe_file_unchanged(path, id, error);
  // The check that this is the file whose manifest was read comes after its
  // being mapped; its size alone could still lie.
  if (!status && again.size_bytes != id->size_bytes)
    status =
        moe_fail(error, MOE_RT_BAD_FILE, "%s: was changed while it was opened",
                 MOE_QP(module->path));
  if (!status)
    status = moe_cuda_open(module->cuda, w->driver, w->ordinal, module->path,
                           module->manifest, bytes, error);
  moe_file_unmap(bytes, again.size_bytes);
  return status;
}

static void destroy(moe_rt_module *module) {
  if (module->cuda)
    moe_cuda_close(module->cuda);
  moe_free(module->cuda);
  moe_manifest_free(module->manifest);
  if (module->library)
    dlclose(module->library);
  moe_free(module->description);
  moe_free(module->path);
  moe_free(module);
}

static moe_rt_status open_module(moe_rt_module *module, const char *path,
                                 const wish *w, moe_error *error) {
  // A name without a slash would be searched for.
  char *real = realpath(path, NULL);
  if (!real) {
    int code = errno;
    if (code == ENOMEM)
      return moe_fail_memory(error, path);
    if (code == ENOENT || code == ENOTDIR)
      return moe_fail(error, MOE_RT_NOT_FOUND, "%s: does not exist",
                      MOE_QP(path));
    return moe_fail(error, MOE_RT_IO, "%s: cannot be resolved", MOE_QP(path));
  }
  module->path = moe_file_join("", real);
  free(real);
  if (!module->path)
    return moe_fail_memory(error, path);
  moe_file_id id;
  uint32_t level;
  moe_rt_status status =
      read_manifest(module->path, module->path, &id, &module->manifest, error);
  if (!status)
    status = describe(module->manifest, path, &module->description, error);
  if (!status)
    status = find_target(module, module->path, &id, w, &level, error);
  if (!status)
    status = load(module, &id, level, error);
  return status;
}

// The file of this process, whatever has become of its name.
#define SELF "/proc/self/exe"

static moe_rt_status open_linked(moe_rt_module *module, moe_abi_query query,
                                 const wish *w, moe_error *error) {
  char *real = realpath(SELF, NULL);
  module->path = moe_file_join("", real ? real : SELF);
  free(real);
  if (!module->path)
    return moe_fail_memory(error, SELF);
  if (!moe_file_exists(SELF))
    return moe_fail(error, MOE_RT_NOT_FOUND,
                    SELF ": does not exist: is /proc mounted?");
  moe_file_id id;
  uint32_t level;
  moe_rt_status status =
      read_manifest(SELF, module->path, &id, &module->manifest, error);
  if (!status)
    status =
        describe(module->manifest, module->path, &module->description, error);
  if (!status)
    status = find_target(module, SELF, &id, w, &level, error);
  if (!status)
    status = take_code(module, query, level, error);
  return status;
}

// One of `path` and `query` is NULL.
static moe_rt_status open_any(const char *path, moe_abi_query query,
                              const moe_rt_options *options,
                              moe_rt_module **module) {
  moe_rt_options copy;
  moe_rt_status status =
      moe_copy_options(&copy, sizeof(copy), options, "moe_rt_options");
  if (status)
    return status;
  if (copy.max_level && copy.max_level != 3 && copy.max_level != 4)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "max_level is %u, expected 0, 3 or 4",
                           copy.max_level);
  wish w = {copy.max_level, -1, copy.cuda_driver};
  if (!moe_cuda_parse(copy.device, &w.ordinal))
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "device is '%s', expected cpu, cuda or cuda:N",
                           MOE_Q(copy.device));
  moe_error error;
  moe_rt_module *result = moe_zalloc(1, sizeof(*result));
  if (!result) {
    moe_fail_memory(&error, path ? path : SELF);
    return moe_report(&error);
  }
  atomic_init(&result->references, 1);
  status = path ? open_module(result, path, &w, &error)
                : open_linked(result, query, &w, &error);
  if (status) {
    destroy(result);
    return moe_report(&error);
  }
  *module = result;
  return MOE_RT_OK;
}

moe_rt_status moe_rt_module_open(const char *path,
                                 const moe_rt_options *options,
                                 moe_rt_module **module) {
  if (!path || !module)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           path ? "module" : "path");
  return open_any(path, NULL, options, module);
}

moe_rt_status moe_rt_module_open_linked(moe_rt_query query,
                                        const moe_rt_options *options,
                                        moe_rt_module **module) {
  if (!query || !module)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           query ? "module" : "query");
  return open_any(NULL, query, options, module);
}

void moe_module_retain(moe_rt_module *module) {
  atomic_fetch_add_explicit(&module->references, 1, memory_order_relaxed);
}

void moe_rt_module_close(moe_rt_module *module) {
  if (module && atomic_fetch_sub(&module->references, 1) == 1)
    destroy(module);
}

//===----------------------------------------------------------------------===//
// Asking
//===----------------------------------------------------------------------===//

moe_rt_status moe_rt_module_describe(const moe_rt_module *module,
                                     const char **json) {
  if (!module || !json)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           module ? "json" : "module");
  *json = module->description;
  return MOE_RT_OK;
}

moe_rt_status moe_rt_describe_file(const char *path, char **json) {
  if (!path || !json)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           path ? "json" : "path");
  moe_error error;
  moe_file_id id;
  moe_manifest *manifest;
  moe_rt_status status = read_manifest(path, path, &id, &manifest, &error);
  if (!status) {
    status = describe(manifest, path, json, &error);
    moe_manifest_free(manifest);
  }
  return status ? moe_report(&error) : MOE_RT_OK;
}

static moe_rt_status find_function(const moe_rt_module *module,
                                   const char *function,
                                   const moe_abi_function **result) {
  if (!module || !function)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           module ? "function" : "module");
  int64_t index = moe_manifest_function(module->manifest, function);
  if (index < 0)
    return moe_report_text(MOE_RT_NOT_FOUND, "%s: has no function '%s'",
                           MOE_QP(module->path), MOE_Q(function));
  *result = &module->manifest->functions[index];
  return MOE_RT_OK;
}

moe_rt_status moe_rt_function_counts(const moe_rt_module *module,
                                     const char *function, size_t *num_inputs,
                                     size_t *num_outputs) {
  const moe_abi_function *f;
  moe_rt_status status = find_function(module, function, &f);
  if (status)
    return status;
  if (!num_inputs || !num_outputs)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "a result is NULL");
  size_t counts[2] = {0, 0};
  for (uint32_t i = 0; i < f->num_arguments; i++) {
    uint32_t role = module->manifest->arguments[f->first_argument + i].role;
    counts[0] += role == MOE_ABI_INPUT;
    counts[1] += role == MOE_ABI_OUTPUT || role == MOE_ABI_OPTIONAL_OUTPUT;
  }
  *num_inputs = counts[0];
  *num_outputs = counts[1];
  return MOE_RT_OK;
}

static void fill_info(const moe_manifest *m, uint32_t index,
                      moe_rt_argument_info *info) {
  const moe_abi_argument *a = &m->arguments[index];
  memset(info, 0, sizeof(*info));
  info->name = m->argument_names[index];
  info->role = (moe_rt_role)a->role;
  info->dtype = (moe_rt_dtype)a->dtype;
  info->ndim = (int32_t)a->rank;
  for (uint32_t d = 0; d < a->rank; d++) {
    const moe_abi_extent *e = &a->extents[d];
    bool fixed = e->symbol == MOE_ABI_NONE;
    info->shape[d] = fixed ? e->value : -1;
    info->symbol[d] = fixed ? NULL : m->symbols[e->symbol];
    info->multiple[d] = fixed ? 0 : e->value;
  }
  info->limit = a->limit;
  info->is_bounded = a->count_argument != MOE_ABI_NONE;
}

// Argument number `wanted` among those whose role is `first`, then `second`.
static moe_rt_status argument_info(const moe_rt_module *module,
                                   const char *function, size_t wanted,
                                   uint32_t first, uint32_t second,
                                   moe_rt_argument_info *info) {
  const moe_abi_function *f;
  moe_rt_status status = find_function(module, function, &f);
  if (status)
    return status;
  if (!info)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "info is NULL");
  size_t seen = 0;
  for (uint32_t pass = 0; pass < 2; pass++)
    for (uint32_t i = 0; i < f->num_arguments; i++) {
      uint32_t index = f->first_argument + i;
      if (module->manifest->arguments[index].role != (pass ? second : first))
        continue;
      if (seen++ == wanted) {
        fill_info(module->manifest, index, info);
        return MOE_RT_OK;
      }
    }
  return moe_report_text(MOE_RT_NOT_FOUND,
                         "%s: function '%s' has %zu %s, number %zu was asked "
                         "for",
                         MOE_QP(module->path), MOE_Q(function), seen,
                         first == MOE_ABI_INPUT ? "inputs" : "outputs", wanted);
}

moe_rt_status moe_rt_function_input(const moe_rt_module *module,
                                    const char *function, size_t index,
                                    moe_rt_argument_info *info) {
  return argument_info(module, function, index, MOE_ABI_INPUT, UINT32_MAX,
                       info);
}

moe_rt_status moe_rt_function_output(const moe_rt_module *module,
                                     const char *function, size_t index,
                                     moe_rt_argument_info *info) {
  return argument_info(module, function, index, MOE_ABI_OUTPUT,
                       MOE_ABI_OPTIONAL_OUTPUT, info);
}

moe_rt_status moe_rt_module_limits(const moe_rt_module *module,
                                   int64_t *vocab_size, int64_t *max_length) {
  if (!module || !vocab_size || !max_length)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT, "%s is NULL",
                           module ? "a result" : "module");
  *vocab_size = module->manifest->header.vocab_size;
  *max_length = module->manifest->header.max_length;
  return MOE_RT_OK;
}
