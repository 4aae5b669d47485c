//===- synthetic.c - Weights from a seed ----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "synthetic.h"
#include <math.h>

bool moe_synthetic_seed(const char *source, uint64_t *seed, moe_error *error) {
  static const char prefix[] = "synthetic:";
  const size_t n = sizeof(prefix) - 1;
  if (strncmp(source, prefix, n))
    return false;
  const char *at = source + n;
  uint64_t value = 0;
  bool good = *at != 0;
  for (; *at && good; at++)
    good = *at >= '0' && *at <= '9' &&
           !__builtin_mul_overflow(value, (uint64_t)10, &value) &&
           !__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
  if (!good) {
    moe_fail(error, MOE_RT_INVALID_ARGUMENT,
             "%s: seed is '%s', expected an integer of 0 to 2^64 - 1",
             MOE_Q(source), MOE_Q(source + n));
    return false;
  }
  *seed = value;
  return true;
}

// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
static uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

uint64_t moe_synthetic_key(uint64_t seed, const char *tensor) {
  uint64_t hash = 0xcbf29ce484222325ull; // FNV-1a
  for (; *tensor; tensor++)
    hash = (hash ^ (uint8_t)*tensor) * 0x100000001b3ull;
  return mix(mix(seed + 0x9e3779b97f4a7c15ull) ^ hash);
}

// Inverse of the normal distribution function (P. J. Acklam; relative error
// below 1.2e-9).
static double tail(double q) {
  static const double c[6] = {-7.784894002430293e-03, -3.223964580411365e-01,
                              -2.400758277161838e+00, -2.549732539343734e+00,
                              4.374664141464968e+00,  2.938163982698783e+00};
  static const double d[4] = {7.784695709041462e-03, 3.224671290700398e-01,
                              2.445134137142996e+00, 3.754408661907416e+00};
  q = sqrt(-2 * log(q));
  double n = c[0];
  for (int i = 1; i < 6; i++)
    n = n * q + c[i];
  double m = d[0];
  for (int i = 1; i < 4; i++)
    m = m * q + d[i];
  return n / (m * q + 1);
}

double moe_synthetic_normal(uint64_t key, uint64_t index) {
  static const double a[6] = {-3.969683028665376e+01, 2.209460984245205e+02,
                              -2.759285104469687e+02, 1.383577518672690e+02,
                              -3.066479806614716e+01, 2.506628277459239e+00};
  static const double b[5] = {-5.447609879822406e+01, 1.615858368580409e+02,
                              -1.556989798598866e+02, 6.680131188771972e+01,
                              -1.328068155288572e+01};
  uint64_t bits = mix(key + (index + 1) * 0x9e3779b97f4a7c15ull);
  // In (0, 1), never 0 or 1.
  double p = ((double)(bits >> 11) + 0.5) * 0x1p-53;
  if (p < 0.02425)
    return tail(p);
  if (p > 1 - 0.02425)
    return -tail(1 - p);
  double q = p - 0.5, r = q * q, n = a[0], m = b[0];
  for (int i = 1; i < 6; i++)
    n = n * r + a[i];
  for (int i = 1; i < 5; i++)
    m = m * r + b[i];
  return n * q / (m * r + 1);
}

uint16_t moe_f32_to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffff) > 0x7f800000)
    return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint16_t moe_f32_to_f16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return sign | 0x7e00;
  if (magnitude >= 0x477ff000) // rounds to 2^16 or more
    return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal: multiples of 2^-24, which the addition rounds to.
    float scaled;
    memcpy(&scaled, &magnitude, sizeof(scaled));
    scaled += 0.5f;
    memcpy(&magnitude, &scaled, sizeof(magnitude));
    return (uint16_t)(sign | (magnitude - 0x3f000000));
  }
  magnitude += 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | ((magnitude - 0x38000000) >> 13));
}

void moe_synthetic_fill(uint64_t seed, const char *tensor, int32_t type,
                        uint32_t rank, const uint64_t *extents, void *data) {
  uint64_t n = 1, columns = rank ? extents[rank - 1] : 1;
  for (uint32_t i = 0; i < rank; i++)
    n *= extents[i];
  uint64_t key = moe_synthetic_key(seed, tensor);
  double scale = rank < 2 ? 0.1 : 1 / sqrt((double)(columns ? columns : 1));
  double offset = rank < 2 ? 1 : 0;
#define FILL(type, value)                                                      \
  do {                                                                         \
    type *out = data;                                                          \
    for (uint64_t i = 0; i < n; i++)                                           \
      out[i] = (value);                                                        \
  } while (0)
#define NORMAL (offset + scale * moe_synthetic_normal(key, i))
  switch (type) {
  case MOE_RT_F32:
    FILL(float, (float)NORMAL);
    break;
  case MOE_RT_F64:
    FILL(double, NORMAL);
    break;
  case MOE_RT_F16:
    FILL(uint16_t, moe_f32_to_f16((float)NORMAL));
    break;
  case MOE_RT_BF16:
    FILL(uint16_t, moe_f32_to_bf16((float)NORMAL));
    break;
  case MOE_RT_I32:
    FILL(int32_t, (int32_t)(i % columns));
    break;
  case MOE_RT_I64:
    FILL(int64_t, (int64_t)(i % columns));
    break;
  case MOE_RT_U8:
    FILL(uint8_t, (uint8_t)(i % columns));
    break;
  }
#undef NORMAL
#undef FILL
}
