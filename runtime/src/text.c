//===- text.c - Growing text ----------------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "text.h"
#include "alloc.h"
#include "diag.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void moe_text_add(moe_text *text, const char *bytes, size_t size) {
  if (text->failed)
    return;
  if (size >= SIZE_MAX / 4 - text->size) {
    text->failed = true;
    return;
  }
  if (text->size + size + 1 > text->capacity) {
    size_t capacity = (text->size + size + 1) * 2;
    char *data = moe_realloc(text->data, capacity);
    if (!data) {
      text->failed = true;
      return;
    }
    text->data = data;
    text->capacity = capacity;
  }
  if (size)
    memcpy(text->data + text->size, bytes, size);
  text->size += size;
  text->data[text->size] = 0;
}

void moe_text_puts(moe_text *text, const char *string) {
  moe_text_add(text, string, strlen(string));
}

void moe_text_printf(moe_text *text, const char *format, ...) {
  char buffer[256];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(buffer, sizeof(buffer), format, arguments);
  va_end(arguments);
  if (n < 0 || (size_t)n >= sizeof(buffer))
    text->failed = true; // callers print numbers only
  else
    moe_text_add(text, buffer, (size_t)n);
}

void moe_text_json(moe_text *text, const char *bytes, size_t size) {
  moe_text_add(text, "\"", 1);
  size_t done = 0;
  for (size_t i = 0; i < size;) {
    size_t length = moe_utf8_length(bytes + i, size - i);
    uint8_t c = (uint8_t)bytes[i];
    bool plain = length > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
    if (plain) {
      i += length;
      continue;
    }
    moe_text_add(text, bytes + done, i - done);
    if (length == 0) {
      moe_text_puts(text, "\xef\xbf\xbd");
    } else if (c == '"' || c == '\\') {
      char escape[2] = {'\\', (char)c};
      moe_text_add(text, escape, 2);
    } else {
      moe_text_printf(text, "\\u%04x", (unsigned)c);
    }
    done = ++i;
  }
  moe_text_add(text, bytes + done, size - done);
  moe_text_add(text, "\"", 1);
}
