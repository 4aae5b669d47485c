//===- fuzz_json.c - Any bytes as JSON ------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What is accepted must print to text that reads back as the same value, and
// every key must be found where it stands.
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "json.h"
#include "text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                        \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
      abort();                                                                 \
    }                                                                          \
  } while (0)

static void print(const moe_json *v, moe_text *out) {
  double f64 = 0;
  int64_t i64;
  uint64_t u64;
  switch (v->kind) {
  case MOE_JSON_NULL:
    moe_text_puts(out, "null");
    break;
  case MOE_JSON_BOOL:
    moe_text_puts(out, v->flags ? "true" : "false");
    break;
  case MOE_JSON_NUMBER:
    if (moe_json_int64(v, &i64)) {
      moe_text_printf(out, "%lld", (long long)i64);
    } else if (moe_json_uint64(v, &u64)) {
      moe_text_printf(out, "%llu", (unsigned long long)u64);
    } else {
      MUST(moe_json_double(v, &f64) && isfinite(f64));
      moe_text_printf(out, "%.17g", f64);
    }
    break;
  case MOE_JSON_STRING:
    moe_text_json(out, v->as.string, v->count);
    break;
  case MOE_JSON_ARRAY:
    moe_text_puts(out, "[");
    for (size_t i = 0; i < moe_json_size(v); i++) {
      if (i)
        moe_text_puts(out, ",");
      print(moe_json_at(v, i), out);
    }
    moe_text_puts(out, "]");
    break;
  case MOE_JSON_OBJECT:
    moe_text_puts(out, "{");
    for (size_t i = 0; i < moe_json_size(v); i++) {
      const moe_json_member *m = moe_json_member_at(v, i);
      MUST(moe_json_find_n(v, m->key, m->key_size) == &m->value);
      MUST(m->key[m->key_size] == 0);
      if (i)
        moe_text_puts(out, ",");
      moe_text_json(out, m->key, m->key_size);
      moe_text_puts(out, ":");
      print(&m->value, out);
    }
    moe_text_puts(out, "}");
    break;
  default:
    MUST(false);
  }
}

static void must_equal(const moe_json *a, const moe_json *b) {
  MUST(a->kind == b->kind);
  double x = 0, y = 0;
  switch (a->kind) {
  case MOE_JSON_BOOL:
    MUST(a->flags == b->flags);
    break;
  case MOE_JSON_NUMBER:
    MUST(moe_json_double(a, &x) && moe_json_double(b, &y) && x == y);
    break;
  case MOE_JSON_STRING:
    MUST(a->count == b->count && !memcmp(a->as.string, b->as.string, a->count));
    break;
  case MOE_JSON_ARRAY:
    MUST(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++)
      must_equal(moe_json_at(a, i), moe_json_at(b, i));
    break;
  case MOE_JSON_OBJECT:
    MUST(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++)
      must_equal(&moe_json_member_at(a, i)->value,
                 &moe_json_member_at(b, i)->value);
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  moe_error error = {MOE_RT_OK, ""};
  moe_json_document *d = NULL, *again = NULL;
  moe_rt_status status =
      moe_json_parse((const char *)data, size, "fuzz", 0, 0, &d, &error);
  if (status) {
    MUST(status == MOE_RT_BAD_FILE && !d && error.text[0]);
    for (const char *p = error.text; *p; p++)
      MUST((unsigned char)*p >= 0x20);
    return 0;
  }
  moe_text text = {0};
  print(moe_json_root(d), &text);
  MUST(!text.failed);
  status = moe_json_parse(text.data, text.size, "again", (size_t)1 << 30, 0,
                          &again, &error);
  MUST(status == MOE_RT_OK);
  must_equal(moe_json_root(d), moe_json_root(again));
  moe_json_free(again);
  moe_json_free(d);
  moe_free(text.data);
  return 0;
}
