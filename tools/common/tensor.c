//===- tensor.c - Tensors in memory ---------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "alloc.h"
#include "safetensors.h"
#include "tool.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tool_tensor_size(const tool_tensor *t, bool of_bytes, size_t *size) {
  uint64_t product = of_bytes ? moe_st_dtype_size(t->dtype) : 1;
  // A zero makes the tensor empty, however large the other sizes.
  for (int32_t d = 0; d < t->rank; d++)
    if (t->shape[d] == 0) {
      *size = 0;
      return true;
    }
  for (int32_t d = 0; d < t->rank; d++)
    if (t->shape[d] < 0 || !moe_mul(product, (uint64_t)t->shape[d], &product))
      return false;
  *size = product;
  return product <= PTRDIFF_MAX;
}

bool tool_tensor_alloc(tool_tensor *t) {
  size_t bytes;
  if (!tool_tensor_size(t, true, &bytes) || bytes > PTRDIFF_MAX - 64)
    return false;
  // Empty tensors have an address too.
  size_t padded = (bytes / 64 + 1) * 64;
  void *data = aligned_alloc(64, padded);
  if (!data)
    return false;
  memset(data, 0, padded);
  t->data = data;
  return true;
}

void tool_tensor_free(tool_tensor *t) {
  free(t->data);
  t->data = NULL;
}

moe_rt_tensor tool_tensor_view(tool_tensor *t) {
  return moe_rt_make_tensor(t->data, t->dtype, t->rank, t->shape);
}

static double half_to_double(uint16_t bits) {
  unsigned exponent = bits >> 10 & 31, mantissa = bits & 1023;
  double value;
  if (exponent == 31)
    value = mantissa ? (double)NAN : (double)INFINITY;
  else if (exponent)
    value = ldexp(1024 + mantissa, (int)exponent - 25);
  else
    value = ldexp(mantissa, -24);
  return bits & 0x8000 ? -value : value;
}

double tool_tensor_real(const void *data, moe_rt_dtype dtype, size_t i) {
  // Mapped files align to nothing.
  const char *at = (const char *)data + i * moe_st_dtype_size(dtype);
  switch (dtype) {
  case MOE_RT_F32: {
    float value;
    memcpy(&value, at, 4);
    return value;
  }
  case MOE_RT_F16: {
    uint16_t bits;
    memcpy(&bits, at, 2);
    return half_to_double(bits);
  }
  case MOE_RT_BF16: {
    uint16_t bits;
    memcpy(&bits, at, 2);
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
  }
  case MOE_RT_F64: {
    double value;
    memcpy(&value, at, 8);
    return value;
  }
  default:
    return (double)tool_tensor_int(data, dtype, i);
  }
}

int64_t tool_tensor_int(const void *data, moe_rt_dtype dtype, size_t i) {
  const char *at = (const char *)data + i * moe_st_dtype_size(dtype);
  switch (dtype) {
  case MOE_RT_I32: {
    int32_t value;
    memcpy(&value, at, 4);
    return value;
  }
  case MOE_RT_I64: {
    int64_t value;
    memcpy(&value, at, 8);
    return value;
  }
  case MOE_RT_U8:
    return (unsigned char)*at;
  default:
    return 0;
  }
}

bool tool_is_integer(moe_rt_dtype dtype) {
  return dtype == MOE_RT_I32 || dtype == MOE_RT_I64 || dtype == MOE_RT_U8;
}

const char *tool_dtype_name(moe_rt_dtype dtype) {
  static const char *const names[] = {"f32", "f16", "bf16", "i32",
                                      "i64", "f64", "u8"};
  return (unsigned)dtype < 7 ? names[dtype] : "?";
}

const char *tool_format_shape(tool_shape_text *text, const int64_t *shape,
                              int32_t rank) {
  size_t n = 0;
  text->text[n++] = '[';
  for (int32_t d = 0; d < rank && d < MOE_RT_MAX_RANK; d++)
    n += (size_t)snprintf(text->text + n, sizeof(text->text) - n, "%s%lld",
                          d ? ", " : "", (long long)shape[d]);
  snprintf(text->text + n, sizeof(text->text) - n, "]");
  return text->text;
}
