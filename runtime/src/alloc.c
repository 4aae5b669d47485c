//===- alloc.c - Memory of the runtime ------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "alloc.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool (*moe_gate)(moe_gate_kind kind, size_t size_bytes);

void *moe_alloc(size_t size_bytes) {
  if (!moe_gate_open(MOE_GATE_HEAP, size_bytes))
    return NULL;
  return malloc(size_bytes ? size_bytes : 1);
}

void *moe_zalloc(size_t count, size_t size_bytes) {
  uint64_t total;
  if (!moe_mul(count, size_bytes, &total) ||
      !moe_gate_open(MOE_GATE_HEAP, total))
    return NULL;
  return calloc(1, total ? total : 1);
}

void *moe_realloc(void *memory, size_t size_bytes) {
  if (!moe_gate_open(MOE_GATE_HEAP, size_bytes))
    return NULL;
  return realloc(memory, size_bytes ? size_bytes : 1);
}

void moe_free(void *memory) { free(memory); }

//===----------------------------------------------------------------------===//
// Pages
//===----------------------------------------------------------------------===//

// From here on a transparent huge page can pay.
static const size_t kHugePage = (size_t)2 << 20;

void *moe_alloc_pages(size_t size_bytes) {
  if (!moe_gate_open(MOE_GATE_PAGES, size_bytes))
    return NULL;
  if (size_bytes > SIZE_MAX / 4)
    return NULL;
  if (size_bytes < kHugePage) {
    size_t rounded = (size_bytes + 127) & ~(size_t)63;
    void *memory = aligned_alloc(64, rounded);
    if (memory)
      memset(memory, 0, rounded);
    return memory;
  }
  // Ask for one huge page more and give back what lies outside.
  size_t length = (size_bytes + kHugePage - 1) & ~(kHugePage - 1);
  char *all = mmap(NULL, length + kHugePage, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED)
    return NULL;
  char *start =
      (char *)(((uintptr_t)all + kHugePage - 1) & ~(uintptr_t)(kHugePage - 1));
  if (start > all)
    munmap(all, (size_t)(start - all));
  size_t behind = (size_t)(all + kHugePage - start);
  if (behind)
    munmap(start + length, behind);
  madvise(start, length, MADV_HUGEPAGE);
  return start;
}

void moe_free_pages(void *memory, size_t size_bytes) {
  if (!memory)
    return;
  if (size_bytes < kHugePage)
    free(memory);
  else
    munmap(memory, (size_bytes + kHugePage - 1) & ~(kHugePage - 1));
}

//===----------------------------------------------------------------------===//
// Arena
//===----------------------------------------------------------------------===//

typedef struct moe_arena_chunk {
  struct moe_arena_chunk *next;
  size_t used, size;
  uint64_t bytes[];
} moe_arena_chunk;

void *moe_arena_alloc(moe_arena *arena, size_t size_bytes) {
  if (size_bytes > SIZE_MAX / 4)
    return NULL;
  size_t need = (size_bytes + 7) & ~(size_t)7;
  moe_arena_chunk *head = arena->chunks;
  if (!head || head->size - head->used < need) {
    size_t size = head ? head->size * 2 : 4096;
    if (size > (size_t)1 << 20)
      size = (size_t)1 << 20;
    bool alone = need > size;
    if (alone)
      size = need;
    moe_arena_chunk *chunk = moe_alloc(sizeof(*chunk) + size);
    if (!chunk)
      return NULL;
    chunk->used = 0;
    chunk->size = size;
    if (alone && head) {
      // Keep filling the chunk that still has room.
      chunk->next = head->next;
      head->next = chunk;
    } else {
      chunk->next = head;
      arena->chunks = chunk;
    }
    head = chunk;
  }
  void *result = (char *)head->bytes + head->used;
  head->used += need;
  return result;
}

void moe_arena_free(moe_arena *arena) {
  moe_arena_chunk *chunk = arena->chunks;
  while (chunk) {
    moe_arena_chunk *next = chunk->next;
    moe_free(chunk);
    chunk = next;
  }
  arena->chunks = NULL;
}
