//===- diag.h - Error text ----------------------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_DIAG_H
#define MOE_RT_SRC_DIAG_H
#include "moe_rt.h"
#include <stdbool.h>
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Why something failed. Text is lower case, without a full stop and without
/// control characters, and names the file.
typedef struct {
  moe_rt_status status;
  char text[1200];
} moe_error;

/// Fills `error` (which may be NULL) and returns `status`. Text from files must
/// go through moe_quote().
moe_rt_status moe_fail(moe_error *error, moe_rt_status status,
                       const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/// The usual failure of an allocation, on behalf of the file `name`.
moe_rt_status moe_fail_memory(moe_error *error, const char *name);

typedef struct {
  char text[232];
} moe_quoted;

/// Untrusted bytes for a message: control characters and bytes that are not
/// UTF-8 are escaped, more than 200 bytes are cut (`keep_end`: at the front, as
/// befits a path). Returns `quoted->text`.
const char *moe_quote(moe_quoted *quoted, const char *bytes, size_t size,
                      bool keep_end);

/// Length of the UTF-8 sequence at `bytes` (at most `size` bytes), or 0 if it
/// is not valid: overlong forms, surrogates, values over U+10FFFF.
size_t moe_utf8_length(const char *bytes, size_t size);

#ifndef __cplusplus
#include <string.h>
/// Quoted string, or path, that lives until the end of the block.
#define MOE_Q(s) moe_quote(&(moe_quoted){{0}}, (s), strlen(s), false)
#define MOE_QN(s, n) moe_quote(&(moe_quoted){{0}}, (s), (n), false)
#define MOE_QP(s) moe_quote(&(moe_quoted){{0}}, (s), strlen(s), true)
#endif

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_DIAG_H
