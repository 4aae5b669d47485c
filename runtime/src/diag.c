//===- diag.c - Error text ------------------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "diag.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

moe_rt_status moe_fail(moe_error *error, moe_rt_status status,
                       const char *format, ...) {
  if (!error)
    return status;
  error->status = status;
  va_list arguments;
  va_start(arguments, format);
  if (vsnprintf(error->text, sizeof(error->text), format, arguments) < 0)
    error->text[0] = 0;
  va_end(arguments);
  return status;
}

moe_rt_status moe_fail_memory(moe_error *error, const char *name) {
  return moe_fail(error, MOE_RT_OUT_OF_MEMORY, "%s: out of memory",
                  MOE_QP(name));
}

size_t moe_utf8_length(const char *bytes, size_t size) {
  const uint8_t *p = (const uint8_t *)bytes;
  if (size == 0)
    return 0;
  if (p[0] < 0x80)
    return 1;
  size_t length;
  uint8_t low = 0x80, high = 0xbf;
  if (p[0] >= 0xc2 && p[0] <= 0xdf) {
    length = 2;
  } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
    length = 3;
    if (p[0] == 0xe0)
      low = 0xa0;
    if (p[0] == 0xed)
      high = 0x9f;
  } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
    length = 4;
    if (p[0] == 0xf0)
      low = 0x90;
    if (p[0] == 0xf4)
      high = 0x8f;
  } else {
    return 0;
  }
  if (size < length || p[1] < low || p[1] > high)
    return 0;
  for (size_t i = 2; i < length; i++)
    if (p[i] < 0x80 || p[i] > 0xbf)
      return 0;
  return length;
}

const char *moe_quote(moe_quoted *quoted, const char *bytes, size_t size,
                      bool keep_end) {
  static const char hex[] = "0123456789abcdef";
  const size_t limit = 200;
  char *out = quoted->text;
  size_t at = 0, n = 0;
  if (keep_end && size > limit) {
    at = size - limit + 3;
    while (at < size && ((uint8_t)bytes[at] & 0xc0) == 0x80)
      at++;
    memcpy(out, "...", 3);
    n = 3;
  }
  while (at < size) {
    size_t length = moe_utf8_length(bytes + at, size - at);
    const uint8_t *p = (const uint8_t *)bytes + at;
    bool plain = length > 0 && p[0] >= 0x20 && p[0] != 0x7f &&
                 !(length == 2 && p[0] == 0xc2 && p[1] < 0xa0);
    size_t need = plain ? length : 4;
    if (n + need > limit) {
      memcpy(out + n, "...", 3);
      n += 3;
      break;
    }
    if (plain) {
      memcpy(out + n, p, length);
      at += length;
    } else {
      out[n] = '\\';
      out[n + 1] = 'x';
      out[n + 2] = hex[p[0] >> 4];
      out[n + 3] = hex[p[0] & 15];
      at++;
    }
    n += need;
  }
  out[n] = 0;
  return out;
}
