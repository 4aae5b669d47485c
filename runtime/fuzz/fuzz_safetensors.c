//===- fuzz_safetensors.c - Any bytes as a safetensors file ---------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What is accepted holds tensors whose bytes are the file's data, each byte
// once, and whose sizes are those of their shapes.
//===----------------------------------------------------------------------===//
#include "safetensors.h"
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

static void check(const uint8_t *data, size_t size) {
  moe_error error = {MOE_RT_OK, ""};
  moe_st_file *file = NULL;
  moe_rt_status status = moe_st_parse(data, size, "fuzz", &file, &error);
  if (status) {
    MUST(status == MOE_RT_BAD_FILE && !file && error.text[0]);
    for (const char *p = error.text; *p; p++)
      MUST((unsigned char)*p >= 0x20);
    return;
  }
  uint64_t header = 0;
  for (int i = 7; i >= 0; i--)
    header = header << 8 | data[i];
  MUST(header <= size - 8);
  const uint8_t *start = data + 8 + header, *end = data + size;
  // Counted byte by byte: an oracle that shares nothing with the reader.
  uint8_t *owned = calloc(1, (size_t)(end - start) + 1);
  for (size_t i = 0; i < moe_st_count(file); i++) {
    const moe_st_tensor *t = moe_st_at(file, i);
    MUST(t->name[0] && t->rank >= 0 && t->rank <= MOE_ST_MAX_RANK);
    MUST(moe_st_find(file, t->name) == t);
    MUST(t->begin + t->size_bytes <= (uint64_t)(end - start));
    MUST(t->size_bytes == 0 || t->data == start + t->begin);
    for (uint64_t k = 0; k < t->size_bytes; k++)
      MUST(owned[t->begin + k]++ == 0);
    if (t->type != MOE_ST_OTHER) {
      double bytes = moe_st_dtype_size(t->type);
      for (int32_t d = 0; d < t->rank; d++)
        bytes *= (double)t->shape[d];
      MUST(bytes == (double)t->size_bytes);
    }
  }
  for (const uint8_t *p = start; p < end; p++)
    MUST(owned[p - start] == 1);
  free(owned);
  moe_st_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  check(data, size);
  // The same as a header alone, with some data behind it: the length prefix is
  // hard to guess.
  if (size == 0 || size > 4096)
    return 0;
  size_t num_data = data[0] % 64, n = size - 1;
  uint8_t *file = calloc(1, 8 + n + num_data);
  for (int i = 0; i < 8; i++)
    file[i] = (uint8_t)((uint64_t)n >> (8 * i));
  for (size_t i = 0; i < n; i++)
    file[8 + i] = data[1 + i];
  check(file, 8 + n + num_data);
  free(file);
  return 0;
}
