//===- json.h - Strict JSON reader --------------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// RFC 8259 to the letter: valid UTF-8, no duplicate keys, no leading zeros or
/// plus signs, no lone surrogates, no numbers beyond the range of a double, no
/// nesting below 128 levels, nothing behind the value but white space.
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_JSON_H
#define MOE_RT_SRC_JSON_H
#include "diag.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define MOE_JSON_MAX_DEPTH 128
/// Limits where the caller gives none.
#define MOE_JSON_MAX_SIZE ((size_t)64 << 20)
#define MOE_JSON_MAX_VALUES ((size_t)8 << 20)

typedef enum {
  MOE_JSON_NULL = 0,
  MOE_JSON_BOOL = 1,
  MOE_JSON_NUMBER = 2,
  MOE_JSON_STRING = 3,
  MOE_JSON_ARRAY = 4,
  MOE_JSON_OBJECT = 5
} moe_json_kind;

/// Flags of a number.
enum {
  /// Written as an integer: no fraction, no exponent.
  MOE_JSON_INTEGER = 1,
  /// The value is exactly an int64_t (as 1.0 and 1e3 are).
  MOE_JSON_IS_INT64 = 2,
  /// The value is exactly a uint64_t.
  MOE_JSON_IS_UINT64 = 4
};

struct moe_json_member;

/// A value; it lives as long as its document. Read it with the functions below.
typedef struct moe_json {
  uint8_t kind;   // moe_json_kind
  uint8_t flags;  // of a number; bool: 0 or 1
  uint32_t count; // bytes of a string, elements of an array, members
  union {
    int64_t i64; // MOE_JSON_IS_INT64
    uint64_t u64;
    double f64; // neither flag
    const char *string;
    const struct moe_json *elements;
    const struct moe_json_member *members;
  } as;
} moe_json;

/// One entry of an object; the key has a NUL behind it (and may hold others).
typedef struct moe_json_member {
  const char *key;
  uint32_t key_size;
  uint32_t offset; // of the key in the text
  moe_json value;
} moe_json_member;

typedef struct moe_json_document moe_json_document;

/// Reads `size` bytes. `name` (a path) starts every message; 0 for the limits
/// means those above (max_size at most 2 GiB). Release with moe_json_free().
/// \returns MOE_RT_OK, MOE_RT_BAD_FILE (with the byte offset, what was found
///     and what was expected), MOE_RT_OUT_OF_MEMORY.
moe_rt_status moe_json_parse(const char *text, size_t size, const char *name,
                             size_t max_size, size_t max_values,
                             moe_json_document **document, moe_error *error);

/// Reads a file of at most `max_size` bytes (0: 64 MiB).
moe_rt_status moe_json_read(const char *path, size_t max_size,
                            moe_json_document **document, moe_error *error);
void moe_json_free(moe_json_document *document);
const moe_json *moe_json_root(const moe_json_document *document);

/// "null", "bool", "number", "string", "array" or "object".
const char *moe_json_kind_name(const moe_json *value);

/// Member `key` of an object, NULL if there is none or `object` is NULL or no
/// object. O(log n).
const moe_json *moe_json_find(const moe_json *object, const char *key);
const moe_json *moe_json_find_n(const moe_json *object, const char *key,
                                size_t key_size);

/// Elements of an array or members of an object, in the order of the text; 0
/// for other values.
size_t moe_json_size(const moe_json *value);
/// NULL where `index` is out of range.
const moe_json *moe_json_at(const moe_json *array, size_t index);
const moe_json_member *moe_json_member_at(const moe_json *object, size_t index);

/// Each is false, and `result` untouched, if the value is something else. A
/// number is an int64 if its value is exactly one; moe_json_is_integer() tells
/// 1 from 1.0.
bool moe_json_is(const moe_json *value, moe_json_kind kind);
bool moe_json_is_integer(const moe_json *value);
bool moe_json_bool(const moe_json *value, bool *result);
bool moe_json_int64(const moe_json *value, int64_t *result);
bool moe_json_uint64(const moe_json *value, uint64_t *result);
bool moe_json_double(const moe_json *value, double *result);
/// The bytes of a string, NUL-terminated; `size` (may be NULL) is its length.
bool moe_json_string(const moe_json *value, const char **result, size_t *size);
/// True for a string of exactly these characters.
bool moe_json_equals(const moe_json *value, const char *string);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_JSON_H
