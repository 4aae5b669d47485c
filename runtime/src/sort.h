//===- sort.h - Sorting of indices --------------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_SORT_H
#define MOE_RT_SRC_SORT_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Below, at or above 0 as items a and b of `context` compare.
typedef int (*moe_compare)(const void *context, uint32_t a, uint32_t b);

/// Stable merge sort of `n` indices in O(n log n) whatever the input; `scratch`
/// has room for n.
void moe_sort(uint32_t *indices, uint32_t *scratch, size_t n,
              moe_compare compare, const void *context);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_SORT_H
