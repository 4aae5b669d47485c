//===- weights.h - A checkpoint for the module written by hand ----*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_TEST_WEIGHTS_H
#define MOE_RT_TEST_WEIGHTS_H
#include "check.h"
#include "safetensors.h"

static const float weights_scale[4] = {1, 2, 3, -4};
// [expert][part][3][2]
static const float weights_experts[4][6] = {{1, 2, 3, 4, 5, 6},
                                            {11, 12, 13, 14, 15, 16},
                                            {21, 22, 23, 24, 25, 26},
                                            {31, 32, 33, 34, 35, 36}};
static const unsigned char weights_joined[6] = {7, 8, 9, 10, 11, 12};
static const unsigned short weights_half[4] = {0x3f80, 0x4000, 0xbf80, 0};
static const int64_t weights_shapes[] = {4, 3, 2, 3, 1, 2, 2, 3};

enum { WEIGHTS_COUNT = 10 };

// Entries that may be changed before they are written.
static inline void weights_entries(moe_st_entry entries[WEIGHTS_COUNT]) {
  static const char *const names[] = {"e0.gate", "e0.up", "e1.gate", "e1.up"};
  const int64_t *shapes = weights_shapes;
  // An odd number of bytes first: nothing behind it is aligned.
  entries[0] = (moe_st_entry){"j0", "U8", 1, shapes + 7, weights_joined};
  for (int i = 0; i < 4; i++)
    entries[1 + i] =
        (moe_st_entry){names[i], "F32", 2, shapes + 1, weights_experts[i]};
  entries[5] = (moe_st_entry){"j1", "U8", 1, shapes + 2, weights_joined + 3};
  entries[6] = (moe_st_entry){"scale", "F32", 1, shapes, weights_scale};
  entries[7] = (moe_st_entry){"half", "BF16", 2, shapes + 5, weights_half};
  entries[8] = (moe_st_entry){"unused", "I8", 1, shapes + 7, weights_joined};
  entries[9] = (moe_st_entry){"j2", "U8", 1, shapes + 4, weights_joined + 5};
}

static inline void weights_write(const char *path, const moe_st_entry *entries,
                                 size_t n) {
  moe_error error;
  if (moe_st_write(path, entries, n, NULL, 0, &error)) {
    fprintf(stderr, "%s\n", error.text);
    exit(1);
  }
}

#endif // MOE_RT_TEST_WEIGHTS_H
