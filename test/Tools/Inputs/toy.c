//===- toy.c - A module made by hand --------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Lets the tests of moe-run and moe-bench run without a compiler:
///   forward(input_ids [B, S]) -> logits [B, S, V], first_ids [B] (optional)
///   prefill(input_ids [B, S]), decode(input_ids [B, 1]) -> logits [B, V]
///   rows(hidden_states [T, 4]) -> output [T, 4] = scale * x,
///     token_index [at most T] (optional): rows whose first value is above 0
/// The token after the one at position p is (3 * token + p + 1) mod V.
/// -DNANS: all logits are NaN. -DUNSTEADY: every call gives something else.
/// To be sealed with seal.py.
//===----------------------------------------------------------------------===//
#include "moe_abi.h"

#ifndef VOCAB
#define VOCAB 11
#endif

#define STRINGS(X)                                                             \
  X(target, "x86_64-unknown-linux-gnu")                                        \
  X(compiler, "toy 1.0")                                                       \
  X(model, "toy")                                                              \
  X(B, "B")                                                                    \
  X(S, "S")                                                                    \
  X(T, "T")                                                                    \
  X(N, "N")                                                                    \
  X(forward, "forward")                                                        \
  X(prefill, "prefill")                                                        \
  X(decode, "decode")                                                          \
  X(rows, "rows")                                                              \
  X(input_ids, "input_ids")                                                    \
  X(logits, "logits")                                                          \
  X(first_ids, "first_ids")                                                    \
  X(lengths, "lengths")                                                        \
  X(cache, "cache")                                                            \
  X(hidden_states, "hidden_states")                                            \
  X(output, "output")                                                          \
  X(token_index, "token_index")                                                \
  X(count, "count")                                                            \
  X(scale, "scale")                                                            \
  X(dense, "dense")

enum { kB, kS, kT, kN, kNumSymbols };
enum { kForward, kForwardFull, kPrefill, kDecode, kRows, kRowsFull, kNumCodes };

typedef struct {
  moe_abi_manifest header;
  moe_abi_symbol symbols[kNumSymbols];
  moe_abi_function functions[4];
  moe_abi_argument arguments[15];
  moe_abi_param params[1];
  moe_abi_source sources[1];
  struct {
#define X(name, text) char name[sizeof(text)];
    STRINGS(X)
#undef X
  } strings;
} descriptor;

#define STR(name)                                                              \
  {offsetof(descriptor, strings.name),                                         \
   sizeof(((descriptor *)0)->strings.name) - 1}
#define TABLE(field)                                                           \
  {offsetof(descriptor, field),                                                \
   sizeof(((descriptor *)0)->field) / sizeof(((descriptor *)0)->field[0])}
#define SYM(s) {s, 0, 1}
#define NUM(n) {MOE_ABI_NONE, 0, n}
#define ARG(name, role, dtype, rank, limit, ...)                               \
  {                                                                            \
    STR(name), role, dtype, rank, MOE_ABI_NONE, limit, { __VA_ARGS__ }         \
  }

typedef struct {
  uint32_t owner_size, descriptor_size, type;
  char owner[4];
  descriptor d;
} __attribute__((packed, aligned(4))) note;

__attribute__((section(".note.moe"), used)) static const note
    the_note =
        {4,
         sizeof(descriptor),
         MOE_ABI_NOTE_TYPE,
         "moe",
         {
             .header = {.magic = MOE_ABI_MAGIC,
                        .abi_major = MOE_ABI_MAJOR,
                        .abi_minor = MOE_ABI_MINOR,
                        .manifest_size = sizeof(descriptor),
                        .target = STR(target),
                        .compiler = STR(compiler),
                        .model = STR(model),
                        .levels = 1,
                        .symbols = TABLE(symbols),
                        .functions = TABLE(functions),
                        .arguments = TABLE(arguments),
                        .params = TABLE(params),
                        .sources = TABLE(sources),
                        .max_length = 40,
                        .vocab_size = VOCAB,
                        .num_cpu_params = 1},
             .symbols = {{STR(B)}, {STR(S)}, {STR(T)}, {STR(N)}},
             .functions =
                 {
                     {STR(forward), 0, 3, kForward, kForwardFull, MOE_ABI_NONE,
                      MOE_ABI_NONE},
                     {STR(prefill), 3, 4, kPrefill, MOE_ABI_NONE, MOE_ABI_NONE,
                      MOE_ABI_NONE},
                     {STR(decode), 7, 4, kDecode, MOE_ABI_NONE, MOE_ABI_NONE,
                      MOE_ABI_NONE},
                     {STR(rows), 11, 4, kRows, kRowsFull, MOE_ABI_NONE,
                      MOE_ABI_NONE},
                 },
             .arguments =
                 {
                     ARG(input_ids, MOE_ABI_INPUT, MOE_ABI_I64, 2, VOCAB,
                         SYM(kB), SYM(kS)),
                     ARG(logits, MOE_ABI_OUTPUT, MOE_ABI_F32, 3, 0,
                         SYM(kB), SYM(kS), NUM(VOCAB)),
                     ARG(first_ids, MOE_ABI_OPTIONAL_OUTPUT, MOE_ABI_I64, 1, 0,
                         SYM(kB)),
                     ARG(input_ids, MOE_ABI_INPUT, MOE_ABI_I64, 2, VOCAB,
                         SYM(kB), SYM(kS)),
                     ARG(logits, MOE_ABI_OUTPUT, MOE_ABI_F32, 2, 0,
                         SYM(kB), NUM(VOCAB)),
                     ARG(lengths, MOE_ABI_LENGTHS, MOE_ABI_I64, 1, 0, SYM(kB)),
                     ARG(cache, MOE_ABI_STATE, MOE_ABI_F32, 2, 0,
                         SYM(kB), SYM(kN)),
                     ARG(input_ids, MOE_ABI_INPUT, MOE_ABI_I64, 2, VOCAB,
                         SYM(kB), NUM(1)),
                     ARG(logits, MOE_ABI_OUTPUT, MOE_ABI_F32, 2, 0,
                         SYM(kB), NUM(VOCAB)),
                     ARG(lengths, MOE_ABI_LENGTHS, MOE_ABI_I64, 1, 0, SYM(kB)),
                     ARG(cache, MOE_ABI_STATE, MOE_ABI_F32, 2, 0,
                         SYM(kB), SYM(kN)),
                     ARG(hidden_states, MOE_ABI_INPUT, MOE_ABI_F32, 2, 0,
                         SYM(kT), NUM(4)),
                     ARG(output, MOE_ABI_OUTPUT, MOE_ABI_F32, 2, 0,
                         SYM(kT), NUM(4)),
                     {STR(token_index),
                      MOE_ABI_OPTIONAL_OUTPUT,
                      MOE_ABI_I64,
                      1,
                      3,
                      0,
                      {SYM(kT)}},
                     ARG(count, MOE_ABI_COUNT, MOE_ABI_I64, 0, 0, NUM(0)),
                 },
             .params = {{STR(scale),
                         {STR(dense), STR(dense)},
                         0,
                         1,
                         {16, 16},
                         {MOE_ABI_NONE, MOE_ABI_NONE}}},
             .sources = {{STR(scale), MOE_ABI_F32, 1, {4}, 0, 1, 0, 0}},
             .strings =
                 {
#define X(name, text) .name = text,
                     STRINGS(X)
#undef X
                 },
         }};

static void score(float *logits, int64_t token, int64_t position) {
  int64_t next = (3 * token + position + 1) % VOCAB;
  for (int64_t v = 0; v < VOCAB; v++) {
#ifdef NANS
    logits[v] = __builtin_nanf("");
#else
    logits[v] = v == next ? 2.0f : -0.25f * (float)(v % 7);
#endif
  }
  (void)next;
}

static void forward(moe_abi_context *context, uint64_t *slots) {
  (void)context;
  int64_t rows = (int64_t)slots[kB], columns = (int64_t)slots[kS];
  const int64_t *ids = (const int64_t *)slots[kNumSymbols];
  float *logits = (float *)slots[kNumSymbols + 1];
  for (int64_t b = 0; b < rows; b++)
    for (int64_t s = 0; s < columns; s++)
      score(logits + (b * columns + s) * VOCAB, ids[b * columns + s], s);
}

static void forward_full(moe_abi_context *context, uint64_t *slots) {
  forward(context, slots);
  int64_t rows = (int64_t)slots[kB], columns = (int64_t)slots[kS];
  const int64_t *ids = (const int64_t *)slots[kNumSymbols];
  int64_t *first = (int64_t *)slots[kNumSymbols + 2];
  for (int64_t b = 0; b < rows; b++)
    first[b] = columns ? ids[b * columns] : -1;
}

static void append(uint64_t *slots, int64_t columns) {
  int64_t rows = (int64_t)slots[kB], capacity = (int64_t)slots[kN];
  const int64_t *ids = (const int64_t *)slots[kNumSymbols];
  float *logits = (float *)slots[kNumSymbols + 1];
  const int64_t *lengths = (const int64_t *)slots[kNumSymbols + 2];
  float *cache = (float *)slots[kNumSymbols + 3];
  for (int64_t b = 0; b < rows; b++) {
    float *row = cache + b * capacity;
    for (int64_t s = 0; s < columns; s++)
      row[lengths[b] + s] = (float)ids[b * columns + s];
    int64_t last = lengths[b] + columns - 1;
    score(logits + b * VOCAB, last < 0 ? 0 : (int64_t)row[last], last);
  }
}

static void prefill(moe_abi_context *context, uint64_t *slots) {
  (void)context;
  append(slots, (int64_t)slots[kS]);
}

static void decode(moe_abi_context *context, uint64_t *slots) {
  (void)context;
  append(slots, 1);
}

static void rows(moe_abi_context *context, uint64_t *slots) {
  const float *scale = context->params[0];
  const float *x = (const float *)slots[kNumSymbols];
  float *y = (float *)slots[kNumSymbols + 1];
  float extra = 0;
#ifdef UNSTEADY
  static float calls;
  extra = calls++;
#endif
  for (int64_t i = 0; i < 4 * (int64_t)slots[kT]; i++)
    y[i] = x[i] * scale[i % 4] + extra;
}

static void rows_full(moe_abi_context *context, uint64_t *slots) {
  rows(context, slots);
  const float *x = (const float *)slots[kNumSymbols];
  int64_t *index = (int64_t *)slots[kNumSymbols + 2], n = 0;
  for (int64_t t = 0; t < (int64_t)slots[kT]; t++)
    if (x[4 * t] > 0)
      index[n++] = t;
  *(int64_t *)slots[kNumSymbols + 3] = n;
}

static const moe_abi_library library = {
    3, kNumCodes, {forward, forward_full, prefill, decode, rows, rows_full}};

__attribute__((visibility("default"))) const moe_abi_library *
moe_library_query(uint32_t abi_major, uint32_t level) {
  return abi_major == MOE_ABI_MAJOR && level >= 3 ? &library : NULL;
}
