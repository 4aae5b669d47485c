//===- status.c - Statuses and error text ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "internal.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#define STRING(x) #x
#define VERSION(major, minor) STRING(major) "." STRING(minor) ".0"

// Thread-local storage of a library that is loaded late is scarce: only a
// pointer lives there. Its end is a pthread key's business.
static _Thread_local char *last_error
    __attribute__((tls_model("initial-exec")));
static _Thread_local const char *fixed_error
    __attribute__((tls_model("initial-exec")));
static pthread_key_t error_key;
static pthread_once_t error_once = PTHREAD_ONCE_INIT;
static bool has_error_key;

enum { kTextSize = sizeof(((moe_error *)0)->text) };

static void make_error_key(void) {
  has_error_key = !pthread_key_create(&error_key, moe_free);
}

static void set_text(const char *text) {
  if (!last_error) {
    pthread_once(&error_once, make_error_key);
    char *memory = has_error_key ? moe_alloc(kTextSize) : NULL;
    if (memory && pthread_setspecific(error_key, memory)) {
      moe_free(memory);
      memory = NULL;
    }
    last_error = memory;
  }
  fixed_error = last_error ? NULL : "out of memory, and so is the reason";
  if (last_error)
    snprintf(last_error, kTextSize, "%s", text);
}

moe_rt_status moe_report(const moe_error *error) {
  set_text(error->text);
  return error->status;
}

moe_rt_status moe_report_text(moe_rt_status status, const char *format, ...) {
  char text[kTextSize];
  va_list arguments;
  va_start(arguments, format);
  if (vsnprintf(text, sizeof(text), format, arguments) < 0)
    text[0] = 0;
  va_end(arguments);
  set_text(text);
  return status;
}

const char *moe_rt_last_error(void) {
  if (fixed_error)
    return fixed_error;
  return last_error ? last_error : "no error";
}

const char *moe_rt_version(void) {
  return VERSION(MOE_RT_VERSION_MAJOR, MOE_RT_VERSION_MINOR);
}

const char *moe_rt_status_name(moe_rt_status status) {
  static const char *const names[] = {"MOE_RT_OK",
                                      "MOE_RT_INVALID_ARGUMENT",
                                      "MOE_RT_NOT_FOUND",
                                      "MOE_RT_BAD_FILE",
                                      "MOE_RT_INCOMPATIBLE",
                                      "MOE_RT_MISMATCH",
                                      "MOE_RT_OUT_OF_MEMORY",
                                      "MOE_RT_TOO_SMALL",
                                      "MOE_RT_BUSY",
                                      "MOE_RT_IO",
                                      "MOE_RT_NO_DEVICE",
                                      "MOE_RT_DEVICE_ERROR"};
  unsigned index = (unsigned)status;
  return index < sizeof(names) / sizeof(names[0]) ? names[index]
                                                  : "unknown status";
}

void moe_rt_free(void *memory) { moe_free(memory); }

moe_rt_tensor moe_rt_make_tensor(void *data, moe_rt_dtype dtype, int32_t ndim,
                                 int64_t *shape) {
  static const struct {
    uint8_t code, bits;
  } types[] = {{2, 32}, {2, 16}, {4, 16}, {0, 32}, {0, 64}, {2, 64}, {1, 8}};
  moe_rt_tensor tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.data = data;
  tensor.device_type = 1;
  tensor.ndim = ndim;
  if ((unsigned)dtype < sizeof(types) / sizeof(types[0])) {
    tensor.dtype_code = types[dtype].code;
    tensor.dtype_bits = types[dtype].bits;
    tensor.dtype_lanes = 1;
  }
  tensor.shape = shape;
  return tensor;
}

moe_rt_status moe_copy_options(void *copy, size_t known, const void *options,
                               const char *what) {
  memset(copy, 0, known);
  if (!options)
    return MOE_RT_OK;
  uint32_t given;
  memcpy(&given, options, sizeof(given));
  if (given < sizeof(given) || given > 4096)
    return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                           "%s: struct_size is %u, expected sizeof(%s) = %zu",
                           what, given, what, known);
  memcpy(copy, options, given < known ? given : known);
  for (size_t i = known; i < given; i++)
    if (((const unsigned char *)options)[i])
      return moe_report_text(MOE_RT_INVALID_ARGUMENT,
                             "%s: an option that this runtime (%s) does not "
                             "have is set",
                             what, moe_rt_version());
  return MOE_RT_OK;
}
