//===- alloc.h - Memory of the runtime ---------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_ALLOC_H
#define MOE_RT_SRC_ALLOC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// What is about to be asked of the system.
typedef enum {
  MOE_GATE_HEAP = 0,
  MOE_GATE_PAGES = 1,
  MOE_GATE_MAP = 2,
  MOE_GATE_THREAD = 3,
  MOE_GATE_LOAD = 4
} moe_gate_kind;

/// Tests only: set before any thread starts; false makes the request fail as
/// if the system had refused it. NULL (the default) allows everything.
extern bool (*moe_gate)(moe_gate_kind kind, size_t size_bytes);

/// False where a test wants the request to fail.
static inline bool moe_gate_open(moe_gate_kind kind, size_t size_bytes) {
  return !moe_gate || moe_gate(kind, size_bytes);
}

/// NULL when out of memory; free with moe_free(). `moe_zalloc` checks the
/// product and clears.
void *moe_alloc(size_t size_bytes);
void *moe_zalloc(size_t count, size_t size_bytes);
void *moe_realloc(void *memory, size_t size_bytes);
void moe_free(void *memory);

/// Zeroed memory, 64-byte aligned (huge pages where it is large); release with
/// moe_free_pages() and the same size. NULL when out of memory.
void *moe_alloc_pages(size_t size_bytes);
void moe_free_pages(void *memory, size_t size_bytes);

/// Memory that is freed all at once.
typedef struct {
  struct moe_arena_chunk *chunks;
} moe_arena;
/// 8-byte aligned; NULL when out of memory.
void *moe_arena_alloc(moe_arena *arena, size_t size_bytes);
void moe_arena_free(moe_arena *arena);

/// a * b and a + b; false on overflow.
static inline bool moe_mul(uint64_t a, uint64_t b, uint64_t *result) {
  return !__builtin_mul_overflow(a, b, result);
}
static inline bool moe_add(uint64_t a, uint64_t b, uint64_t *result) {
  return !__builtin_add_overflow(a, b, result);
}

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_ALLOC_H
