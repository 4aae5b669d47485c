//===- sort.c - Sorting of indices ----------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "sort.h"
#include <string.h>

void moe_sort(uint32_t *indices, uint32_t *scratch, size_t n,
              moe_compare compare, const void *context) {
  uint32_t *from = indices, *to = scratch;
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t begin = 0; begin < n; begin += 2 * width) {
      size_t middle = begin + width < n ? begin + width : n;
      size_t end = begin + 2 * width < n ? begin + 2 * width : n;
      size_t a = begin, b = middle;
      for (size_t i = begin; i < end; i++) {
        if (a < middle && (b >= end || compare(context, from[a], from[b]) <= 0))
          to[i] = from[a++];
        else
          to[i] = from[b++];
      }
    }
    uint32_t *other = from;
    from = to;
    to = other;
  }
  if (from != indices)
    memcpy(indices, from, n * sizeof(*indices));
}
