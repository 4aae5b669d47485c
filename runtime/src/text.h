//===- text.h - Growing text --------------------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_TEXT_H
#define MOE_RT_SRC_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Starts as {0}; `failed` once memory ran out, later calls then do nothing.
/// `data` is NUL-terminated where size > 0; release with moe_free().
typedef struct {
  char *data;
  size_t size, capacity;
  bool failed;
} moe_text;

void moe_text_add(moe_text *text, const char *bytes, size_t size);
void moe_text_puts(moe_text *text, const char *string);
void moe_text_printf(moe_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/// A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
void moe_text_json(moe_text *text, const char *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_TEXT_H
