//===- synthetic.h - Weights from a seed --------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Weights that depend on seed, tensor name and position alone, so any thread
/// can make any part of them. Everything but the tails of the distribution
/// (5 % of the values, which take libm's log) is plain IEEE arithmetic.
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_SYNTHETIC_H
#define MOE_RT_SRC_SYNTHETIC_H
#include "diag.h"
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// "synthetic:SEED" (decimal, 64 bits): true and the seed. False for anything
/// else, with `error` filled only if the text starts with "synthetic:".
bool moe_synthetic_seed(const char *source, uint64_t *seed, moe_error *error);

/// Element `index` of the standard normal stream of (seed, tensor).
double moe_synthetic_normal(uint64_t key, uint64_t index);
uint64_t moe_synthetic_key(uint64_t seed, const char *tensor);

/// Fills a dense tensor of `rank` `extents` and element type `type`
/// (moe_rt_dtype): rank 2 and more: normal with standard deviation
/// 1/sqrt(last extent); rank 0 and 1: 1 + 0.1 * normal; integers: the position
/// in the row (so a table of experts holds valid, distinct ones). `data` is
/// aligned to the element.
void moe_synthetic_fill(uint64_t seed, const char *tensor, int32_t type,
                        uint32_t rank, const uint64_t *extents, void *data);

/// Round to nearest even; NaN stays NaN.
uint16_t moe_f32_to_bf16(float value);
uint16_t moe_f32_to_f16(float value);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_SYNTHETIC_H
