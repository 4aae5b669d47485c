//===- fake.c - A module written by hand ----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What moe-compile would make for the manifest of build_fake_devices(): the
// tests of the runtime need no compiler.
//===----------------------------------------------------------------------===//
#include "fake.h"
#include "moe_abi.h"

// Slots: T B S N B*S B*Z, then the arguments, then the arena.
enum { T, B, S, N, B_S, B_Z, FIRST };

static void *pointer(const uint64_t *slots, int argument) {
  return (void *)slots[FIRST + argument];
}

//===----------------------------------------------------------------------===//
// scale: y[t, :] = x[t, :] * scale; sums[t] = sum(y[t, :]); twice = y, y
//===----------------------------------------------------------------------===//

struct scale {
  const float *x, *factor;
  float *y, *sums, *twice, *arena;
  int64_t rows;
};

static void scale_rows(moe_abi_context *context, void *data, int64_t begin,
                       int64_t end) {
  struct scale *s = data;
  (void)context;
  for (int64_t t = begin; t < end; t++) {
    float sum = 0;
    for (int c = 0; c < 4; c++) {
      // By way of the arena, which thus has to hold [T, 4].
      s->arena[4 * t + c] = s->x[4 * t + c] * s->factor[c];
      s->y[4 * t + c] = s->arena[4 * t + c];
      sum += s->y[4 * t + c];
      if (s->twice) {
        s->twice[4 * t + c] = s->y[4 * t + c];
        s->twice[4 * (s->rows + t) + c] = s->y[4 * t + c];
      }
    }
    if (s->sums)
      s->sums[t] = sum;
  }
}

static void scale(moe_abi_context *context, uint64_t *slots) {
  struct scale s = {
      pointer(slots, 0), context->params[0], pointer(slots, 2), 0, 0,
      pointer(slots, 4), (int64_t)slots[T]};
  context->parallel_for(context, scale_rows, &s, s.rows);
}

static void scale_full(moe_abi_context *context, uint64_t *slots) {
  struct scale s = {pointer(slots, 0), context->params[0], pointer(slots, 2),
                    pointer(slots, 1), pointer(slots, 3),  pointer(slots, 4),
                    (int64_t)slots[T]};
  context->parallel_for(context, scale_rows, &s, s.rows);
}

static void scale_arena(moe_abi_context *context, uint64_t *slots) {
  (void)context;
  slots[FIRST + 4] = slots[T] * 16;
}

static void scale_arena_full(moe_abi_context *context, uint64_t *slots) {
  (void)context;
  slots[FIRST + 4] = slots[T] * 16 + 64;
}

//===----------------------------------------------------------------------===//
// positive: (position, its double, -1) of every positive x
//===----------------------------------------------------------------------===//

static void positive(moe_abi_context *context, uint64_t *slots) {
  const float *x = pointer(slots, 0);
  int64_t *count = pointer(slots, 1), *places = pointer(slots, 2);
  (void)context;
  *count = 0;
  for (int64_t t = 0; t < (int64_t)slots[T]; t++)
    if (x[t] > 0) {
      places[3 * *count] = t;
      places[3 * *count + 1] = 2 * t;
      places[3 * *count + 2] = -1;
      ++*count;
    }
}

//===----------------------------------------------------------------------===//
// append: adds ids to the cache, gives the sum of each row. last: the cache
//===----------------------------------------------------------------------===//

static void append(moe_abi_context *context, uint64_t *slots) {
  const int64_t *ids = pointer(slots, 0), *lengths = pointer(slots, 2);
  int64_t *cache = pointer(slots, 1), *sum = pointer(slots, 3);
  int64_t s = (int64_t)slots[S], n = (int64_t)slots[N];
  (void)context;
  for (int64_t b = 0; b < (int64_t)slots[B]; b++) {
    for (int64_t i = 0; i < s; i++)
      cache[b * n + lengths[b] + i] = ids[b * s + i];
    sum[b] = 0;
    for (int64_t i = 0; i < lengths[b] + s; i++)
      sum[b] += cache[b * n + i];
  }
}

static void last(moe_abi_context *context, uint64_t *slots) {
  const int64_t *cache = pointer(slots, 2);
  int64_t *out = pointer(slots, 3);
  (void)context;
  for (uint64_t i = 0; i < slots[B] * slots[N]; i++)
    out[i] = cache[i];
}

//===----------------------------------------------------------------------===//
// param: bytes of a parameter
//===----------------------------------------------------------------------===//

static void param(moe_abi_context *context, uint64_t *slots) {
  static const int sizes[FAKE_NUM_PARAMS] = {16, 128, 6, 8};
  const uint8_t *which = pointer(slots, 0);
  const uint8_t *from = context->params[*which];
  uint8_t *to = pointer(slots, 1);
  for (int i = 0; i < 128; i++)
    to[i] = i < sizes[*which] ? from[i] : 0;
}

// [3, 2] transposed into rows of 4: [expert][part][column][row].
static void pack(moe_abi_context *context, uint64_t *slots) {
  float *to = (float *)slots[0];
  const float *from = (const float *)slots[1];
  uint64_t first = slots[2], count = slots[3], part = slots[4];
  (void)context;
  for (uint64_t e = 0; e < count; e++)
    for (int r = 0; r < 3; r++)
      for (int c = 0; c < 2; c++)
        to[(((first + e) * 2 + part) * 2 + c) * 4 + r] =
            from[(e * 3 + r) * 2 + c];
}

//===----------------------------------------------------------------------===//
// affine: y = 3 x + 1. nested: a loop in a loop. liar: a count out of range
//===----------------------------------------------------------------------===//

struct affine {
  const int32_t *x;
  int32_t *y;
};

static void affine_part(moe_abi_context *context, void *data, int64_t begin,
                        int64_t end) {
  struct affine *a = data;
  (void)context;
  for (int64_t i = begin; i < end; i++)
    a->y[i] = 3 * a->x[i] + 1;
}

static void affine(moe_abi_context *context, uint64_t *slots) {
  struct affine a = {pointer(slots, 0), pointer(slots, 1)};
  context->parallel_for(context, affine_part, &a, (int64_t)slots[T]);
  // An empty loop calls nothing.
  context->parallel_for(context, 0, 0, 0);
}

struct inner {
  int32_t x, *y;
};

static void inner_part(moe_abi_context *context, void *data, int64_t begin,
                       int64_t end) {
  struct inner *n = data;
  (void)context;
  for (int64_t i = begin; i < end; i++)
    n->y[i] = n->x + (int32_t)i;
}

static void outer_part(moe_abi_context *context, void *data, int64_t begin,
                       int64_t end) {
  struct affine *a = data;
  for (int64_t i = begin; i < end; i++) {
    struct inner n = {a->x[i], a->y + 8 * i};
    context->parallel_for(context, inner_part, &n, 8);
  }
}

static void nested(moe_abi_context *context, uint64_t *slots) {
  struct affine a = {pointer(slots, 0), pointer(slots, 1)};
  context->parallel_for(context, outer_part, &a, (int64_t)slots[T]);
}

static void liar(moe_abi_context *context, uint64_t *slots) {
  (void)context;
  *(int64_t *)pointer(slots, 2) = (int64_t)slots[T] + 1;
}

static void greedy_arena(moe_abi_context *context, uint64_t *slots) {
  (void)context;
  slots[FIRST + 1] = (uint64_t)1 << 62;
}

//===----------------------------------------------------------------------===//
// floats: the floating point environment of each thread
//===----------------------------------------------------------------------===//

static void floats_part(moe_abi_context *context, void *data, int64_t begin,
                        int64_t end) {
  int32_t *control = data;
  (void)context;
  for (int64_t i = begin; i < end; i++)
    // Without the sticky exception flags.
    control[i] = (int32_t)(__builtin_ia32_stmxcsr() & ~0x3fu);
}

static void floats(moe_abi_context *context, uint64_t *slots) {
  context->parallel_for(context, floats_part, pointer(slots, 1),
                        (int64_t)slots[T]);
}

//===----------------------------------------------------------------------===//
// flatten: pairs of x and flat, [B, S] as [B*S]
//===----------------------------------------------------------------------===//

static void flatten(moe_abi_context *context, uint64_t *slots) {
  const int32_t *x = pointer(slots, 0), *flat = pointer(slots, 1);
  int32_t *y = pointer(slots, 2);
  (void)context;
  for (uint64_t i = 0; i < slots[B_S]; i++) {
    y[2 * i] = x[i];
    y[2 * i + 1] = flat[i];
  }
}

//===----------------------------------------------------------------------===//
// On a GPU: the kernels of driver.c, a block of each
//===----------------------------------------------------------------------===//

// Kernels in the order of their table.
enum { SCALE, POSITIVE, APPEND, COPY, PARAM };

static void launch(moe_abi_context *context, uint32_t kernel,
                   uint64_t *arguments, uint32_t n,
                   const moe_abi_tensor_map *const *maps) {
  void *pointers[8];
  for (uint32_t i = 0; i < n; i++)
    pointers[i] = &arguments[i];
  moe_abi_launch l = {kernel, n, {2, 1, 1}, pointers, maps};
  context->launch(context, &l);
}

static void gpu_scale(moe_abi_context *context, uint64_t *slots,
                      uint64_t full) {
  // The first argument by way of a tensor map.
  moe_abi_tensor_map map = {slots[FIRST], MOE_ABI_F32, 2, {4, slots[T]},
                            {16},         {4, 1},      0};
  const moe_abi_tensor_map *maps[8] = {slots[T] ? &map : 0};
  uint64_t arguments[8] = {slots[FIRST],     (uint64_t)context->params[0],
                           slots[FIRST + 2], slots[FIRST + 1],
                           slots[FIRST + 3], slots[FIRST + 4],
                           slots[T],         full};
  launch(context, SCALE, arguments, 8, maps);
}
static void gpu_scale_some(moe_abi_context *context, uint64_t *slots) {
  gpu_scale(context, slots, 0);
}
static void gpu_scale_full(moe_abi_context *context, uint64_t *slots) {
  gpu_scale(context, slots, 1);
}

static void gpu_positive(moe_abi_context *context, uint64_t *slots) {
  uint64_t arguments[4] = {slots[FIRST], slots[FIRST + 1], slots[FIRST + 2],
                           slots[T]};
  launch(context, POSITIVE, arguments, 4, 0);
}

static void gpu_append(moe_abi_context *context, uint64_t *slots) {
  uint64_t arguments[7] = {slots[FIRST],     slots[FIRST + 1], slots[FIRST + 2],
                           slots[FIRST + 3], slots[B],         slots[S],
                           slots[N]};
  launch(context, APPEND, arguments, 7, 0);
}

static void gpu_last(moe_abi_context *context, uint64_t *slots) {
  uint64_t arguments[3] = {slots[FIRST + 2], slots[FIRST + 3],
                           slots[B] * slots[N] * 8};
  launch(context, COPY, arguments, 3, 0);
}

static void gpu_param(moe_abi_context *context, uint64_t *slots) {
  uint64_t arguments[6];
  for (int i = 0; i < 4; i++)
    arguments[i] = (uint64_t)context->params[i];
  arguments[4] = slots[FIRST];
  arguments[5] = slots[FIRST + 1];
  launch(context, PARAM, arguments, 6, 0);
}

static void gpu_nothing(moe_abi_context *context, uint64_t *slots) {
  (void)context, (void)slots;
}

// affine, nested, floats: launches that cannot be.
static void gpu_no_kernel(moe_abi_context *context, uint64_t *slots) {
  launch(context, 5, slots, 1, 0);
}
static void gpu_few_arguments(moe_abi_context *context, uint64_t *slots) {
  launch(context, COPY, slots, 2, 0);
}
static void gpu_large_grid(moe_abi_context *context, uint64_t *slots) {
  void *pointers[3] = {slots, slots, slots};
  moe_abi_launch l = {COPY, 3, {1, 65536, 1}, pointers, 0};
  context->launch(context, &l);
  // Nothing more of this call is launched.
  launch(context, COPY, slots, 3, 0);
}
static void gpu_wrong_map(moe_abi_context *context, uint64_t *slots) {
  moe_abi_tensor_map map = {slots[FIRST], MOE_ABI_I32, 6, {1}, {0}, {1}, 0};
  const moe_abi_tensor_map *maps[3] = {&map};
  launch(context, COPY, slots, 3, maps);
}

#define GPU_CODES                                                              \
  {gpu_scale_some, gpu_scale_full,    scale_arena, scale_arena_full,           \
   gpu_positive,   gpu_append,        gpu_last,    gpu_param,                  \
   gpu_no_kernel,  gpu_few_arguments, gpu_nothing, greedy_arena,               \
   gpu_large_grid, gpu_wrong_map,     pack}

//===----------------------------------------------------------------------===//

#define CODES                                                                  \
  {scale,  scale_full,   scale_arena, scale_arena_full, positive,              \
   append, last,         param,       affine,           nested,                \
   liar,   greedy_arena, floats,      flatten,          pack}

static const moe_abi_library level3 = {3, FAKE_NUM_CODES, CODES};
static const moe_abi_library level4 = {4, FAKE_NUM_CODES, CODES};
static const moe_abi_library level80 = {80, FAKE_NUM_CODES, GPU_CODES};
static const moe_abi_library level90 = {90, FAKE_NUM_CODES, GPU_CODES};

__attribute__((visibility("default"))) const moe_abi_library *
moe_library_query(uint32_t abi_major, uint32_t level) {
  if (abi_major != MOE_ABI_MAJOR)
    return 0;
  switch (level) {
  case 3:
    return &level3;
  case 4:
    return &level4;
  case 80:
    return &level80;
  case 90:
    return &level90;
  default:
    return 0;
  }
}
