//===- test_params.c - Tests of weights -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "check.h"
#include "fake.h"
#include "internal.h"
#include "synthetic.h"
#include "weights.h"
#include <math.h>
#include <pthread.h>

static moe_rt_module *module;

// [expert][part][column][row of 4, one of them padding]
static int is_packed(const float *data) {
  int good = 1;
  for (int m = 0; m < 4; m++)
    for (int c = 0; c < 2; c++)
      for (int r = 0; r < 4; r++)
        good &= data[(m * 2 + c) * 4 + r] ==
                (r < 3 ? weights_experts[m][r * 2 + c] : 0);
  return good;
}

static void check_weights(const moe_rt_params *p) {
  CHECK(!memcmp(p->data[0], weights_scale, 16));
  CHECK(is_packed(p->data[1]));
  CHECK(!memcmp(p->data[2], weights_joined, 6));
  CHECK(!memcmp(p->data[3], weights_half, 8));
  CHECK_EQ((uintptr_t)p->data[0] % 4, 0);
  CHECK_EQ((uintptr_t)p->data[1] % 64, 0);
  CHECK_EQ((uintptr_t)p->data[3] % 2, 0);
}

struct progress {
  size_t calls, last, total;
  pthread_t thread;
  bool good;
};

static void note_progress(void *user, size_t done, size_t total) {
  struct progress *p = user;
  p->good &= done >= p->last && done <= total &&
             pthread_equal(p->thread, pthread_self());
  p->calls++;
  p->last = done;
  p->total = total;
}

static void test_layout(void) {
  moe_st_entry entries[WEIGHTS_COUNT];
  weights_entries(entries);
  const char *path = check_path("model.safetensors");
  weights_write(path, entries, WEIGHTS_COUNT);
  for (int32_t threads = 0; threads < 5; threads++) {
    struct progress progress = {0, 0, 0, pthread_self(), true};
    moe_rt_params_options options = {sizeof(options), threads, note_progress,
                                     &progress};
    moe_rt_params *p = NULL;
    REQUIRE(moe_rt_params_open(module, check_folder, &options, &p) ==
            MOE_RT_OK);
    check_weights(p);
    CHECK(progress.good && progress.calls >= 1);
    CHECK_EQ(progress.last, progress.total);
    moe_rt_params_close(p);
  }
  // Alone and one layout: the mapped bytes themselves, if they are aligned.
  moe_st_entry sorted[WEIGHTS_COUNT];
  memcpy(sorted, entries, sizeof(entries));
  sorted[0] = entries[6];
  sorted[6] = entries[0];
  weights_write(path, sorted, WEIGHTS_COUNT);
  moe_rt_params *p = NULL;
  REQUIRE(moe_rt_params_open(module, path, NULL, &p) == MOE_RT_OK);
  check_weights(p);
  CHECK(p->checkpoint && !p->owned[0] && p->owned[1] && p->owned[2]);
  moe_rt_params_close(p);
  moe_rt_params_close(NULL);
  // Nothing stays mapped that nobody needs.
  entries[7].shape = weights_shapes + 5;
  moe_st_entry odd[WEIGHTS_COUNT];
  memcpy(odd, entries, sizeof(odd));
  odd[8] = entries[7];
  odd[7] = entries[8];
  int64_t two = 2;
  odd[7].shape = &two;
  weights_write(path, odd, WEIGHTS_COUNT);
  REQUIRE(moe_rt_params_open(module, path, NULL, &p) == MOE_RT_OK);
  check_weights(p);
  moe_rt_params_close(p);
}

static void refuse(const moe_st_entry *entries, size_t n, moe_rt_status wanted,
                   const char *why) {
  const char *path = check_path("model.safetensors");
  weights_write(path, entries, n);
  moe_rt_params *p = NULL;
  CHECK_EQ(moe_rt_params_open(module, check_folder, NULL, &p), wanted);
  CHECK_HAS(moe_rt_last_error(), "model.safetensors: ");
  CHECK_HAS(moe_rt_last_error(), why);
  CHECK(!p);
}

static void test_mismatch(void) {
  moe_st_entry entries[WEIGHTS_COUNT];
  const int64_t turned[2] = {2, 3}, small[2] = {2, 2}, flat[1] = {6},
                unit[3] = {3, 2, 1};
#define CHANGE(change, why)                                                    \
  do {                                                                         \
    weights_entries(entries);                                                  \
    change;                                                                    \
    refuse(entries, WEIGHTS_COUNT, MOE_RT_MISMATCH, why);                      \
  } while (0)
  CHANGE(entries[2].shape = turned,
         "tensor 'e0.up' has shape [2, 3], expected [3, 2]");
  CHANGE(entries[2].shape = small,
         "tensor 'e0.up' has shape [2, 2], expected [3, 2]");
  CHANGE((entries[3].shape = flat, entries[3].rank = 1),
         "tensor 'e1.gate' has shape [6], expected [3, 2]");
  CHANGE((entries[3].shape = unit, entries[3].rank = 3),
         "tensor 'e1.gate' has shape [3, 2, 1], expected [3, 2]");
  CHANGE(entries[6].dtype = "I32",
         "tensor 'scale' has dtype I32, expected F32");
  CHANGE(entries[6].dtype = "U32",
         "tensor 'scale' has dtype U32, expected F32");
  CHANGE(entries[7].dtype = "F16",
         "tensor 'half' has dtype F16, expected BF16");
  weights_entries(entries);
  const char *path = check_path("model.safetensors");
  weights_write(path, entries, 6);
  moe_rt_params *p = NULL;
  CHECK_EQ(moe_rt_params_open(module, check_folder, NULL, &p), MOE_RT_MISMATCH);
  CHECK_HAS(moe_rt_last_error(), "tensor 'scale' is missing");
  CHECK_HAS(moe_rt_last_error(), check_folder);
}

static void test_statuses(void) {
  moe_rt_params *p = NULL;
  CHECK_EQ(moe_rt_params_open(NULL, "x", NULL, &p), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_params_open(module, NULL, NULL, &p), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_params_open(module, "x", NULL, NULL),
           MOE_RT_INVALID_ARGUMENT);
  moe_rt_params_options options = {sizeof(options), -1, NULL, NULL};
  CHECK_EQ(moe_rt_params_open(module, "x", &options, &p),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_HAS(moe_rt_last_error(), "num_threads is -1");
  CHECK_EQ(moe_rt_params_open(module, check_path("gone"), NULL, &p),
           MOE_RT_NOT_FOUND);
  check_write(check_path("bad"), "xx", 2);
  CHECK_EQ(moe_rt_params_open(module, check_path("bad"), NULL, &p),
           MOE_RT_BAD_FILE);
  CHECK_EQ(moe_rt_params_open(module, "synthetic:", NULL, &p),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_HAS(moe_rt_last_error(), "seed is ''");
  CHECK_EQ(moe_rt_params_open(module, "synthetic:-1", NULL, &p),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_params_open(module, "synthetic:1x", NULL, &p),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(
      moe_rt_params_open(module, "synthetic:18446744073709551616", NULL, &p),
      MOE_RT_INVALID_ARGUMENT);
  CHECK(!p);
}

static void test_synthetic(void) {
  moe_rt_params *a = NULL, *b = NULL, *c = NULL;
  moe_rt_params_options one = {sizeof(one), 1, NULL, NULL};
  moe_rt_params_options four = {sizeof(four), 4, NULL, NULL};
  REQUIRE(moe_rt_params_open(module, "synthetic:7", &one, &a) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(module, "synthetic:7", &four, &b) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(module, "synthetic:18446744073709551615", &four,
                             &c) == MOE_RT_OK);
  static const size_t sizes[] = {16, 128, 6, 8};
  for (size_t i = 0; i < FAKE_NUM_PARAMS; i++) {
    CHECK(!memcmp(a->data[i], b->data[i], sizes[i]));
    if (i != 2) // integers do not depend on the seed
      CHECK(memcmp(a->data[i], c->data[i], sizes[i]) != 0);
  }
  // The packed parameter holds what the generator says.
  float e1_up[6];
  uint64_t extents[2] = {3, 2};
  moe_synthetic_fill(7, "e1.up", MOE_RT_F32, 2, extents, e1_up);
  const float *packed = a->data[1];
  CHECK(packed[(3 * 2 + 1) * 4 + 2] == e1_up[2 * 2 + 1]);
  CHECK(packed[(3 * 2 + 1) * 4 + 3] == 0);
  moe_rt_params_close(a);
  moe_rt_params_close(b);
  moe_rt_params_close(c);
}

static void test_distribution(void) {
  enum { kRows = 1000, kColumns = 400, kN = kRows * kColumns };
  float *data = malloc(kN * sizeof(*data));
  uint64_t extents[2] = {kRows, kColumns};
  moe_synthetic_fill(1, "w", MOE_RT_F32, 2, extents, data);
  double mean = 0, variance = 0, fourth = 0, neighbours = 0;
  int beyond = 0;
  for (int i = 0; i < kN; i++) {
    double v = data[i] * sqrt(kColumns);
    mean += v / kN;
    variance += v * v / kN;
    fourth += v * v * v * v / kN;
    beyond += fabs(v) > 1.959964;
    if (i)
      neighbours += v * data[i - 1] * sqrt(kColumns) / kN;
  }
  // Five standard errors of each estimate: 1/sqrt(N), sqrt(2/N), sqrt(96/N).
  double e = 5 / sqrt(kN);
  CHECK(fabs(mean) < e);
  CHECK(fabs(variance - 1) < e * sqrt(2));
  CHECK(fabs(fourth - 3) < e * sqrt(96));
  CHECK(fabs(beyond / (double)kN - 0.05) < e * 0.22);
  CHECK(fabs(neighbours) < e);
  // Other tensors are other streams, types the same rounded.
  float other[8];
  uint16_t half[8], brain[8];
  uint64_t few[2] = {2, 4};
  double wide[8];
  moe_synthetic_fill(1, "w", MOE_RT_F64, 2, few, wide);
  moe_synthetic_fill(1, "v", MOE_RT_F32, 2, few, other);
  moe_synthetic_fill(1, "w", MOE_RT_F16, 2, few, half);
  moe_synthetic_fill(1, "w", MOE_RT_BF16, 2, few, brain);
  for (int i = 0; i < 8; i++) {
    CHECK((float)wide[i] != other[i]);
    CHECK_EQ(half[i], moe_f32_to_f16((float)wide[i]));
    CHECK_EQ(brain[i], moe_f32_to_bf16((float)wide[i]));
  }
  // Norm weights lie around one; integers are places in the row.
  uint64_t n = 4000;
  moe_synthetic_fill(1, "norm", MOE_RT_F32, 1, &n, data);
  mean = 0;
  for (uint64_t i = 0; i < n; i++)
    mean += data[i] / (double)n;
  CHECK(fabs(mean - 1) < 0.5 / sqrt((double)n));
  int64_t ids[8];
  moe_synthetic_fill(1, "table", MOE_RT_I64, 2, few, ids);
  for (int i = 0; i < 8; i++)
    CHECK_EQ(ids[i], i % 4);
  int32_t short_ids[8];
  uint8_t bytes[8];
  moe_synthetic_fill(1, "table", MOE_RT_I32, 2, few, short_ids);
  moe_synthetic_fill(1, "table", MOE_RT_U8, 2, few, bytes);
  CHECK(short_ids[7] == 3 && bytes[7] == 3);
  moe_synthetic_fill(1, "scalar", MOE_RT_F32, 0, NULL, data);
  CHECK(fabs(data[0] - 1) < 1);
  uint64_t none[2] = {3, 0};
  moe_synthetic_fill(1, "none", MOE_RT_F32, 2, none, NULL);
  free(data);
}

static void test_rounding(void) {
  static const struct {
    float value;
    uint16_t half, brain;
  } cases[] = {{0, 0, 0},
               {-0.0f, 0x8000, 0x8000},
               {1, 0x3c00, 0x3f80},
               {-2, 0xc000, 0xc000},
               {65504, 0x7bff, 0x4780},
               {65519.99f, 0x7bff, 0x4780},
               {65520, 0x7c00, 0x4780},
               {INFINITY, 0x7c00, 0x7f80},
               {-INFINITY, 0xfc00, 0xff80},
               {0x1p-14f, 0x0400, 0x3880},
               {0x1p-24f, 0x0001, 0x3380},
               {0x1p-25f, 0x0000, 0x3300},     // a tie: to even
               {0x1.8p-24f, 0x0002, 0x33c0},   // a tie: to even
               {0x1.ffcp-15f, 0x0400, 0x3880}, // up to a normal number
               {1 + 0x1p-11f, 0x3c00, 0x3f80},
               {1 + 0x1.8p-10f, 0x3c02, 0x3f80},
               {1 + 0x1p-8f, 0x3c04, 0x3f80},
               {1 + 0x1.8p-7f, 0x3c0c, 0x3f82},
               {3.4028235e38f, 0x7c00, 0x7f80}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    CHECK_EQ(moe_f32_to_f16(cases[i].value), cases[i].half);
    CHECK_EQ(moe_f32_to_bf16(cases[i].value), cases[i].brain);
  }
  CHECK((moe_f32_to_f16(NAN) & 0x7fff) > 0x7c00);
  CHECK((moe_f32_to_bf16(NAN) & 0x7fff) > 0x7f80);
}

int main(void) {
  if (moe_cpu_level() < 3) {
    printf("test_params: this CPU lacks x86-64-v3\n");
    return 77;
  }
  check_make_folder();
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &module) == MOE_RT_OK);
  test_layout();
  test_mismatch();
  test_statuses();
  test_synthetic();
  test_distribution();
  test_rounding();
  moe_rt_module_close(module);
  check_remove_folder();
  return check_finish("test_params");
}
