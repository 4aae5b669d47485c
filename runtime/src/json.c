//===- json.c - Strict JSON reader ----------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "json.h"
#include "alloc.h"
#include "file.h"
#include "sort.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Objects with more members than this have their sorted order behind them.
enum { kSmallObject = 8 };
// Longest number that is read; a double needs at most 767 digits.
enum { kMaxNumber = 1024 };

struct moe_json_document {
  moe_arena arena;
  moe_json root;
};

// An open array or object: its entries start at `base` of the stack.
typedef struct {
  bool is_object;
  size_t base;
} frame;

typedef struct {
  const char *text, *name;
  size_t size, at;
  moe_json_document *document;
  moe_json_member *stack; // entries of the containers that are still open
  size_t stack_size, stack_capacity;
  frame frames[MOE_JSON_MAX_DEPTH];
  size_t depth;
  size_t num_values, max_values;
  locale_t c_locale; // made on the first fraction or exponent
  moe_error *error;
} parser;

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

static moe_rt_status fail_at(parser *p, size_t offset, const char *what) {
  return moe_fail(p->error, MOE_RT_BAD_FILE, "%s: byte %zu: %s",
                  MOE_QP(p->name), offset, what);
}

static moe_rt_status fail_expected(parser *p, const char *expected) {
  char found[16];
  if (p->at >= p->size) {
    snprintf(found, sizeof(found), "the end");
  } else {
    unsigned char c = (unsigned char)p->text[p->at];
    if (c > 0x20 && c < 0x7f)
      snprintf(found, sizeof(found), "'%c'", c);
    else
      snprintf(found, sizeof(found), "byte 0x%02x", c);
  }
  return moe_fail(p->error, MOE_RT_BAD_FILE,
                  "%s: byte %zu: expected %s, found %s", MOE_QP(p->name), p->at,
                  expected, found);
}

static moe_rt_status fail_memory(parser *p) {
  return moe_fail_memory(p->error, p->name);
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

static void skip_space(parser *p) {
  while (p->at < p->size) {
    char c = p->text[p->at];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
      break;
    p->at++;
  }
}

static bool is_digit(parser *p) {
  return p->at < p->size && p->text[p->at] >= '0' && p->text[p->at] <= '9';
}

// Four hexadecimal digits; false without a message.
static bool read_hex4(parser *p, uint32_t *result) {
  if (p->size - p->at < 4)
    return false;
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) {
    char c = p->text[p->at + (size_t)i];
    uint32_t digit;
    if (c >= '0' && c <= '9')
      digit = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = (uint32_t)(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
      digit = (uint32_t)(c - 'A') + 10;
    else
      return false;
    value = value * 16 + digit;
  }
  p->at += 4;
  *result = value;
  return true;
}

static size_t put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 63));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 63));
    out[2] = (char)(0x80 | (c & 63));
    return 3;
  }
  out[0] = (char)(0xf0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 63));
  out[2] = (char)(0x80 | (c >> 6 & 63));
  out[3] = (char)(0x80 | (c & 63));
  return 4;
}

// Behind the backslash.
static moe_rt_status read_escape(parser *p, char *out, size_t *n) {
  size_t start = p->at - 1;
  if (p->at >= p->size)
    return fail_expected(p, "an escape character");
  char c = p->text[p->at];
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *simple = c ? strchr(from, c) : NULL;
  if (simple) {
    out[(*n)++] = to[simple - from];
    p->at++;
    return MOE_RT_OK;
  }
  if (c != 'u')
    return fail_expected(p, "one of \"\\/bfnrtu behind a backslash");
  p->at++;
  uint32_t code, low;
  if (!read_hex4(p, &code))
    return fail_at(p, start, "expected four hexadecimal digits behind \\u");
  if (code >= 0xdc00 && code <= 0xdfff)
    return fail_at(p, start, "a low surrogate without a high one before it");
  if (code >= 0xd800 && code <= 0xdbff) {
    if (p->size - p->at < 2 || p->text[p->at] != '\\' ||
        p->text[p->at + 1] != 'u')
      return fail_at(p, start, "a high surrogate without a low one behind it");
    p->at += 2;
    if (!read_hex4(p, &low) || low < 0xdc00 || low > 0xdfff)
      return fail_at(p, start, "a high surrogate without a low one behind it");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  *n += put_utf8(out + *n, code);
  return MOE_RT_OK;
}

// At the opening quote.
static moe_rt_status read_string(parser *p, const char **string,
                                 uint32_t *size) {
  size_t start = p->at++;
  // The text is never shorter than what it stands for.
  size_t end = p->at;
  while (end < p->size && p->text[end] != '"')
    end += p->text[end] == '\\' ? 2 : 1;
  if (end >= p->size)
    return fail_at(p, start, "a string without its closing '\"'");
  char *out = moe_arena_alloc(&p->document->arena, end - p->at + 1);
  if (!out)
    return fail_memory(p);
  size_t n = 0;
  while (p->text[p->at] != '"') {
    unsigned char c = (unsigned char)p->text[p->at];
    if (c == '\\') {
      p->at++;
      moe_rt_status status = read_escape(p, out, &n);
      if (status)
        return status;
      continue;
    }
    if (c < 0x20)
      return fail_at(p, p->at, "a control character inside a string");
    size_t length = moe_utf8_length(p->text + p->at, p->size - p->at);
    if (length == 0)
      return fail_at(p, p->at, "not UTF-8");
    memcpy(out + n, p->text + p->at, length);
    n += length;
    p->at += length;
  }
  p->at++;
  out[n] = 0;
  *string = out;
  *size = (uint32_t)n;
  return MOE_RT_OK;
}

static moe_rt_status read_fraction(parser *p, size_t start, moe_json *value) {
  char buffer[kMaxNumber + 1];
  memcpy(buffer, p->text + start, p->at - start);
  buffer[p->at - start] = 0;
  // The program's locale may have a decimal comma.
  if (!p->c_locale)
    p->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!p->c_locale)
    return fail_memory(p);
  double d = strtod_l(buffer, NULL, p->c_locale);
  if (!isfinite(d))
    return fail_at(p, start, "a number beyond the range of a double");
  const double two63 = 9223372036854775808.0;
  bool is_integral = d >= -two63 && d < two63 && d == floor(d);
  if (is_integral && !(d == 0 && signbit(d))) {
    value->as.i64 = (int64_t)d;
    value->flags |= MOE_JSON_IS_INT64;
    if (d >= 0)
      value->flags |= MOE_JSON_IS_UINT64;
  } else if (d >= 0 && d < 2 * two63 && d == floor(d) && !signbit(d)) {
    value->as.u64 = (uint64_t)d;
    value->flags |= MOE_JSON_IS_UINT64;
  } else {
    value->as.f64 = d;
  }
  return MOE_RT_OK;
}

static moe_rt_status read_number(parser *p, moe_json *value) {
  size_t start = p->at;
  value->kind = MOE_JSON_NUMBER;
  bool negative = p->text[p->at] == '-';
  if (negative)
    p->at++;
  if (!is_digit(p))
    return fail_expected(p, "a digit");
  uint64_t magnitude = 0;
  bool fits = true;
  bool zero = p->text[p->at] == '0';
  while (is_digit(p)) {
    uint64_t digit = (uint64_t)(p->text[p->at] - '0');
    fits = fits && moe_mul(magnitude, 10, &magnitude) &&
           moe_add(magnitude, digit, &magnitude);
    p->at++;
    if (zero && is_digit(p))
      return fail_at(p, start, "a number with a leading zero");
  }
  bool integer = true;
  if (p->at < p->size && p->text[p->at] == '.') {
    integer = false;
    p->at++;
    if (!is_digit(p))
      return fail_expected(p, "a digit behind the decimal point");
    while (is_digit(p))
      p->at++;
  }
  if (p->at < p->size && (p->text[p->at] == 'e' || p->text[p->at] == 'E')) {
    integer = false;
    p->at++;
    if (p->at < p->size && (p->text[p->at] == '+' || p->text[p->at] == '-'))
      p->at++;
    if (!is_digit(p))
      return fail_expected(p, "a digit of the exponent");
    while (is_digit(p))
      p->at++;
  }
  if (p->at - start > kMaxNumber)
    return fail_at(p, start, "a number of more than 1024 characters");
  if (integer) {
    value->flags |= MOE_JSON_INTEGER;
    const uint64_t two63 = (uint64_t)1 << 63;
    if (fits && (negative ? magnitude <= two63 : magnitude < two63)) {
      value->as.i64 = (int64_t)(negative ? 0 - magnitude : magnitude);
      value->flags |= MOE_JSON_IS_INT64;
      if (!negative || magnitude == 0)
        value->flags |= MOE_JSON_IS_UINT64;
      return MOE_RT_OK;
    }
    if (fits && !negative) {
      value->as.u64 = magnitude;
      value->flags |= MOE_JSON_IS_UINT64;
      return MOE_RT_OK;
    }
    moe_rt_status status = read_fraction(p, start, value);
    // Beyond 64 bits; what the double shows is rounded, not exact.
    if (value->flags & MOE_JSON_IS_INT64)
      value->as.f64 = (double)value->as.i64;
    else if (value->flags & MOE_JSON_IS_UINT64)
      value->as.f64 = (double)value->as.u64;
    value->flags = MOE_JSON_INTEGER;
    return status;
  }
  return read_fraction(p, start, value);
}

static bool read_word(parser *p, const char *word) {
  size_t n = strlen(word);
  if (p->size - p->at < n || memcmp(p->text + p->at, word, n))
    return false;
  p->at += n;
  return true;
}

static moe_rt_status read_scalar(parser *p, moe_json *value) {
  switch (p->at < p->size ? p->text[p->at] : 0) {
  case '"':
    value->kind = MOE_JSON_STRING;
    return read_string(p, &value->as.string, &value->count);
  case 'n':
    if (read_word(p, "null"))
      return MOE_RT_OK;
    break;
  case 't':
    value->kind = MOE_JSON_BOOL;
    value->flags = 1;
    if (read_word(p, "true"))
      return MOE_RT_OK;
    break;
  case 'f':
    value->kind = MOE_JSON_BOOL;
    if (read_word(p, "false"))
      return MOE_RT_OK;
    break;
  case '-':
  case '0':
  case '1':
  case '2':
  case '3':
  case '4':
  case '5':
  case '6':
  case '7':
  case '8':
  case '9':
    return read_number(p, value);
  }
  return fail_expected(p, "a JSON value");
}

//===----------------------------------------------------------------------===//
// Containers
//===----------------------------------------------------------------------===//

static int compare_keys(const char *a, size_t na, const char *b, size_t nb) {
  if (na != nb)
    return na < nb ? -1 : 1;
  return memcmp(a, b, na);
}

static int compare_members(const void *context, uint32_t a, uint32_t b) {
  const moe_json_member *members = context;
  return compare_keys(members[a].key, members[a].key_size, members[b].key,
                      members[b].key_size);
}

static const uint32_t *sorted_order(const moe_json *object) {
  return (const uint32_t *)(const void *)(object->as.members + object->count);
}

static moe_rt_status fail_duplicate(parser *p, const moe_json_member *member) {
  return moe_fail(p->error, MOE_RT_BAD_FILE, "%s: byte %u: duplicate key '%s'",
                  MOE_QP(p->name), member->offset,
                  MOE_QN(member->key, member->key_size));
}

static moe_rt_status close_object(parser *p, moe_json_member *from, size_t n,
                                  moe_json *value) {
  size_t order = n > kSmallObject ? n * sizeof(uint32_t) : 0;
  moe_json_member *members =
      moe_arena_alloc(&p->document->arena, n * sizeof(*members) + order);
  if (!members)
    return fail_memory(p);
  if (n)
    memcpy(members, from, n * sizeof(*members));
  value->kind = MOE_JSON_OBJECT;
  value->count = (uint32_t)n;
  value->as.members = members;
  if (n <= kSmallObject) {
    for (size_t i = 1; i < n; i++)
      for (size_t j = 0; j < i; j++)
        if (!compare_members(members, (uint32_t)i, (uint32_t)j))
          return fail_duplicate(p, &members[i]);
    return MOE_RT_OK;
  }
  uint32_t *sorted = (uint32_t *)(void *)(members + n);
  uint32_t *scratch = moe_alloc(n * sizeof(*scratch));
  if (!scratch)
    return fail_memory(p);
  for (size_t i = 0; i < n; i++)
    sorted[i] = (uint32_t)i;
  moe_sort(sorted, scratch, n, compare_members, members);
  moe_free(scratch);
  // The sort is stable: of equal keys the later one comes second.
  for (size_t i = 1; i < n; i++)
    if (!compare_members(members, sorted[i - 1], sorted[i]))
      return fail_duplicate(p, &members[sorted[i]]);
  return MOE_RT_OK;
}

static moe_rt_status close_array(parser *p, const moe_json_member *from,
                                 size_t n, moe_json *value) {
  moe_json *elements =
      moe_arena_alloc(&p->document->arena, n * sizeof(*elements));
  if (!elements)
    return fail_memory(p);
  for (size_t i = 0; i < n; i++)
    elements[i] = from[i].value;
  value->kind = MOE_JSON_ARRAY;
  value->count = (uint32_t)n;
  value->as.elements = elements;
  return MOE_RT_OK;
}

static moe_rt_status push(parser *p, const moe_json_member *member) {
  if (p->stack_size == p->stack_capacity) {
    size_t capacity = p->stack_capacity ? p->stack_capacity * 2 : 64;
    moe_json_member *stack =
        moe_realloc(p->stack, capacity * sizeof(*p->stack));
    if (!stack)
      return fail_memory(p);
    p->stack = stack;
    p->stack_capacity = capacity;
  }
  p->stack[p->stack_size++] = *member;
  return MOE_RT_OK;
}

static moe_rt_status read_key(parser *p) {
  skip_space(p);
  if (p->at >= p->size || p->text[p->at] != '"')
    return fail_expected(p, "a key in '\"'");
  moe_json_member member;
  memset(&member, 0, sizeof(member));
  member.offset = (uint32_t)p->at;
  moe_rt_status status = read_string(p, &member.key, &member.key_size);
  if (status)
    return status;
  skip_space(p);
  if (p->at >= p->size || p->text[p->at] != ':')
    return fail_expected(p, "':'");
  p->at++;
  return push(p, &member);
}

// Ends the innermost container and makes it a value.
static moe_rt_status close_frame(parser *p, moe_json *value) {
  p->at++;
  frame top = p->frames[--p->depth];
  moe_json_member *entries = p->stack ? p->stack + top.base : NULL;
  size_t n = p->stack_size - top.base;
  p->stack_size = top.base;
  memset(value, 0, sizeof(*value));
  return top.is_object ? close_object(p, entries, n, value)
                       : close_array(p, entries, n, value);
}

// Reads values until one stands alone at the top: a scalar, or `[` and `{` that
// open a frame, or `]` and `}` that close one.
static moe_rt_status read_document(parser *p) {
  moe_rt_status status;
  for (;;) {
    // A value starts here.
    skip_space(p);
    if (++p->num_values > p->max_values)
      return fail_at(p, p->at, "too many values");
    moe_json value;
    memset(&value, 0, sizeof(value));
    char c = p->at < p->size ? p->text[p->at] : 0;
    if (c == '[' || c == '{') {
      if (p->depth == MOE_JSON_MAX_DEPTH)
        return fail_at(p, p->at, "nested deeper than 128 levels");
      p->frames[p->depth++] = (frame){c == '{', p->stack_size};
      p->at++;
      skip_space(p);
      char next = p->at < p->size ? p->text[p->at] : 0;
      if (next != (c == '{' ? '}' : ']')) {
        if (c == '{' && (status = read_key(p)))
          return status;
        continue;
      }
      if ((status = close_frame(p, &value)))
        return status;
    } else if ((status = read_scalar(p, &value))) {
      return status;
    }
    // A value ended: hand it to what it stands in, which may end too.
    for (;;) {
      if (p->depth == 0) {
        p->document->root = value;
        return MOE_RT_OK;
      }
      bool is_object = p->frames[p->depth - 1].is_object;
      if (is_object) {
        p->stack[p->stack_size - 1].value = value;
      } else {
        moe_json_member element;
        memset(&element, 0, sizeof(element));
        element.value = value;
        if ((status = push(p, &element)))
          return status;
      }
      skip_space(p);
      c = p->at < p->size ? p->text[p->at] : 0;
      if (c == ',') {
        p->at++;
        if (is_object && (status = read_key(p)))
          return status;
        break;
      }
      if (c != (is_object ? '}' : ']'))
        return fail_expected(p, is_object ? "',' or '}'" : "',' or ']'");
      if ((status = close_frame(p, &value)))
        return status;
    }
  }
}

moe_rt_status moe_json_parse(const char *text, size_t size, const char *name,
                             size_t max_size, size_t max_values,
                             moe_json_document **document, moe_error *error) {
  const size_t most = (size_t)1 << 31;
  if (max_size == 0)
    max_size = MOE_JSON_MAX_SIZE;
  if (max_size > most)
    max_size = most;
  if (size > max_size)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: %zu bytes of JSON, expected at most %zu", MOE_QP(name),
                    size, max_size);
  parser *p = moe_zalloc(1, sizeof(*p));
  moe_json_document *result = moe_zalloc(1, sizeof(*result));
  if (!p || !result) {
    moe_free(p);
    moe_free(result);
    return moe_fail_memory(error, name);
  }
  p->text = text;
  p->size = size;
  p->name = name;
  p->error = error;
  p->document = result;
  p->max_values = max_values ? max_values : MOE_JSON_MAX_VALUES;
  moe_rt_status status = read_document(p);
  if (!status) {
    skip_space(p);
    if (p->at < p->size)
      status = fail_expected(p, "the end");
  }
  if (p->c_locale)
    freelocale(p->c_locale);
  moe_free(p->stack);
  moe_free(p);
  if (status) {
    moe_json_free(result);
    return status;
  }
  *document = result;
  return MOE_RT_OK;
}

moe_rt_status moe_json_read(const char *path, size_t max_size,
                            moe_json_document **document, moe_error *error) {
  char *text;
  size_t size;
  if (max_size == 0)
    max_size = MOE_JSON_MAX_SIZE;
  moe_rt_status status = moe_file_read(path, max_size, &text, &size, error);
  if (status)
    return status;
  status = moe_json_parse(text, size, path, max_size, 0, document, error);
  moe_free(text);
  return status;
}

void moe_json_free(moe_json_document *document) {
  if (!document)
    return;
  moe_arena_free(&document->arena);
  moe_free(document);
}

//===----------------------------------------------------------------------===//
// Reading the document
//===----------------------------------------------------------------------===//

const moe_json *moe_json_root(const moe_json_document *document) {
  return &document->root;
}

bool moe_json_is(const moe_json *value, moe_json_kind kind) {
  return value && value->kind == kind;
}

const char *moe_json_kind_name(const moe_json *value) {
  static const char *const names[] = {"null",   "bool",  "number",
                                      "string", "array", "object"};
  return value ? names[value->kind] : "nothing";
}

const moe_json *moe_json_find_n(const moe_json *object, const char *key,
                                size_t key_size) {
  if (!moe_json_is(object, MOE_JSON_OBJECT))
    return NULL;
  const moe_json_member *members = object->as.members;
  if (object->count <= kSmallObject) {
    for (uint32_t i = 0; i < object->count; i++)
      if (!compare_keys(members[i].key, members[i].key_size, key, key_size))
        return &members[i].value;
    return NULL;
  }
  const uint32_t *sorted = sorted_order(object);
  uint32_t low = 0, high = object->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const moe_json_member *member = &members[sorted[middle]];
    int order = compare_keys(member->key, member->key_size, key, key_size);
    if (order == 0)
      return &member->value;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

const moe_json *moe_json_find(const moe_json *object, const char *key) {
  return moe_json_find_n(object, key, strlen(key));
}

size_t moe_json_size(const moe_json *value) {
  if (moe_json_is(value, MOE_JSON_ARRAY) || moe_json_is(value, MOE_JSON_OBJECT))
    return value->count;
  return 0;
}

const moe_json *moe_json_at(const moe_json *array, size_t index) {
  if (!moe_json_is(array, MOE_JSON_ARRAY) || index >= array->count)
    return NULL;
  return &array->as.elements[index];
}

const moe_json_member *moe_json_member_at(const moe_json *object,
                                          size_t index) {
  if (!moe_json_is(object, MOE_JSON_OBJECT) || index >= object->count)
    return NULL;
  return &object->as.members[index];
}

bool moe_json_is_integer(const moe_json *value) {
  return moe_json_is(value, MOE_JSON_NUMBER) &&
         (value->flags & MOE_JSON_INTEGER);
}

bool moe_json_bool(const moe_json *value, bool *result) {
  if (!moe_json_is(value, MOE_JSON_BOOL))
    return false;
  *result = value->flags != 0;
  return true;
}

bool moe_json_int64(const moe_json *value, int64_t *result) {
  if (!moe_json_is(value, MOE_JSON_NUMBER) ||
      !(value->flags & MOE_JSON_IS_INT64))
    return false;
  *result = value->as.i64;
  return true;
}

bool moe_json_uint64(const moe_json *value, uint64_t *result) {
  if (!moe_json_is(value, MOE_JSON_NUMBER) ||
      !(value->flags & MOE_JSON_IS_UINT64))
    return false;
  *result = value->as.u64;
  return true;
}

bool moe_json_double(const moe_json *value, double *result) {
  if (!moe_json_is(value, MOE_JSON_NUMBER))
    return false;
  if (value->flags & MOE_JSON_IS_INT64)
    *result = (double)value->as.i64;
  else if (value->flags & MOE_JSON_IS_UINT64)
    *result = (double)value->as.u64;
  else
    *result = value->as.f64;
  return true;
}

bool moe_json_string(const moe_json *value, const char **result, size_t *size) {
  if (!moe_json_is(value, MOE_JSON_STRING))
    return false;
  *result = value->as.string;
  if (size)
    *size = value->count;
  return true;
}

bool moe_json_equals(const moe_json *value, const char *string) {
  size_t n = strlen(string);
  return moe_json_is(value, MOE_JSON_STRING) && value->count == n &&
         !memcmp(value->as.string, string, n);
}
