//===- sha256.h - SHA-256 (FIPS 180-4) ----------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_SHA256_H
#define MOE_RT_SRC_SHA256_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint32_t h[8];
  uint8_t block[64];
  uint64_t total;
} moe_sha256_state;

void moe_sha256_start(moe_sha256_state *state);
void moe_sha256_add(moe_sha256_state *state, const void *bytes, size_t size);
void moe_sha256_end(moe_sha256_state *state, uint8_t digest[32]);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_SHA256_H
