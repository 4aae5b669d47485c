//===- sha256.c - SHA-256 (FIPS 180-4) ------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "sha256.h"
#include <string.h>

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress(uint32_t h[8], const uint8_t *p) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
           (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++)
    w[i] = w[i - 16] + w[i - 7] +
           (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
           (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(v, h, sizeof(v));
// Eight rounds with the names rotated instead of the values.
#define ROUND(a, b, c, d, e, f, g, h, i)                                       \
  do {                                                                         \
    uint32_t t = v[h] + (ror(v[e], 6) ^ ror(v[e], 11) ^ ror(v[e], 25)) +       \
                 (v[g] ^ (v[e] & (v[f] ^ v[g]))) + K[i] + w[i];                \
    v[d] += t;                                                                 \
    v[h] = t + (ror(v[a], 2) ^ ror(v[a], 13) ^ ror(v[a], 22)) +                \
           ((v[a] & v[b]) | (v[c] & (v[a] | v[b])));                           \
  } while (0)
  for (int i = 0; i < 64; i += 8) {
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, i);
    ROUND(7, 0, 1, 2, 3, 4, 5, 6, i + 1);
    ROUND(6, 7, 0, 1, 2, 3, 4, 5, i + 2);
    ROUND(5, 6, 7, 0, 1, 2, 3, 4, i + 3);
    ROUND(4, 5, 6, 7, 0, 1, 2, 3, i + 4);
    ROUND(3, 4, 5, 6, 7, 0, 1, 2, i + 5);
    ROUND(2, 3, 4, 5, 6, 7, 0, 1, i + 6);
    ROUND(1, 2, 3, 4, 5, 6, 7, 0, i + 7);
  }
#undef ROUND
  for (int i = 0; i < 8; i++)
    h[i] += v[i];
}

void moe_sha256_start(moe_sha256_state *s) {
  static const uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->h, h, sizeof(h));
  s->total = 0;
}

void moe_sha256_add(moe_sha256_state *s, const void *bytes, size_t n) {
  const uint8_t *p = bytes;
  while (n) {
    size_t at = s->total % 64, take = 64 - at < n ? 64 - at : n;
    if (take == 64) {
      compress(s->h, p);
    } else {
      memcpy(s->block + at, p, take);
      if (at + take == 64)
        compress(s->h, s->block);
    }
    s->total += take;
    p += take;
    n -= take;
  }
}

void moe_sha256_end(moe_sha256_state *s, uint8_t digest[32]) {
  uint64_t bits = s->total * 8;
  uint8_t pad[72] = {0x80}, length[8];
  for (int i = 0; i < 8; i++)
    length[i] = (uint8_t)(bits >> (56 - 8 * i));
  moe_sha256_add(s, pad, (s->total % 64 < 56 ? 56 : 120) - s->total % 64);
  moe_sha256_add(s, length, 8);
  for (int i = 0; i < 32; i++)
    digest[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}
