//===- test_session.c - Tests of calls ------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "check.h"
#include "fake.h"
#include "internal.h"
#include "weights.h"
#include <pthread.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static moe_rt_module *module;
static moe_rt_params *params;
static moe_rt_session *session;

static moe_rt_session *make(int64_t batch, int64_t length, int32_t threads) {
  moe_rt_session_options options = {sizeof(options), threads, batch,
                                    length,          NULL,    NULL};
  moe_rt_session *result = NULL;
  REQUIRE(moe_rt_session_create(module, params, &options, &result) ==
          MOE_RT_OK);
  return result;
}

// A tensor with a shape of its own; good until eight more are made.
static moe_rt_tensor tensor(void *data, moe_rt_dtype dtype, int32_t ndim,
                            int64_t a, int64_t b) {
  static int64_t shapes[8][2];
  static int next;
  int64_t *shape = shapes[next++ % 8];
  shape[0] = a;
  shape[1] = b;
  return moe_rt_make_tensor(data, dtype, ndim, shape);
}
#define F32(data, ...) tensor(data, MOE_RT_F32, __VA_ARGS__)
#define I64(data, ...) tensor(data, MOE_RT_I64, __VA_ARGS__)

static void expect(moe_rt_status status, moe_rt_status wanted,
                   const char *why) {
  CHECK_EQ(status, wanted);
  CHECK_HAS(moe_rt_last_error(), why);
}

//===----------------------------------------------------------------------===//
// Making sessions
//===----------------------------------------------------------------------===//

static void no_loop(void *user, void (*fn)(void *argument, int64_t i),
                    void *argument, int64_t n) {
  (void)user;
  for (int64_t i = n - 1; i >= 0; i--)
    fn(argument, i);
}
static int32_t seven(void *user) {
  ++*(int *)user;
  return 7;
}

static void test_create(void) {
  moe_rt_session *s = NULL;
  expect(moe_rt_session_create(NULL, NULL, NULL, &s), MOE_RT_INVALID_ARGUMENT,
         "module is NULL");
  expect(moe_rt_session_create(module, params, NULL, NULL),
         MOE_RT_INVALID_ARGUMENT, "session is NULL");
  expect(moe_rt_session_create(module, NULL, NULL, &s), MOE_RT_INVALID_ARGUMENT,
         "needs its 4 parameters");
  moe_rt_module *other = NULL;
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &other) == MOE_RT_OK);
  expect(moe_rt_session_create(other, params, NULL, &s), MOE_RT_MISMATCH,
         "belong to another module");
  moe_rt_module_close(other);
#define OPTIONS(why, ...)                                                      \
  do {                                                                         \
    moe_rt_session_options o = {sizeof(o), __VA_ARGS__, NULL};                 \
    expect(moe_rt_session_create(module, params, &o, &s),                      \
           MOE_RT_INVALID_ARGUMENT, why);                                      \
  } while (0)
  OPTIONS("num_threads is -1", -1, 0, 0, NULL);
  OPTIONS("max_batch is -1", 0, -1, 0, NULL);
  OPTIONS("max_batch is 2147483648", 0, (int64_t)1 << 31, 0, NULL);
  OPTIONS("max_length is -1", 0, 0, -1, NULL);
  OPTIONS("max_length is 13, the model's longest sequence is 12", 0, 0, 13,
          NULL);
  moe_rt_executor e = {sizeof(e), NULL, no_loop, seven};
  e.struct_size = 8;
  OPTIONS("moe_rt_executor: struct_size is 8", 0, 0, 0, &e);
  e.struct_size = sizeof(e);
  e.concurrency = NULL;
  OPTIONS("concurrency is NULL", 0, 0, 0, &e);
  e.parallel_for = NULL;
  OPTIONS("parallel_for is NULL", 0, 0, 0, &e);
  CHECK(!s);
  s = make(0, 0, 0);
  CHECK_EQ(s->max_batch, 1);
  CHECK_EQ(s->max_length, FAKE_MAX_LENGTH);
  CHECK_EQ(moe_pool_size(s->pool), moe_default_threads());
  moe_rt_session_close(s);
  moe_rt_session_close(NULL);
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

static void test_scale(void) {
  float x[12], y[12], sums[3], twice[24];
  for (int i = 0; i < 12; i++)
    x[i] = (float)i;
  for (int wanted = 0; wanted < 4; wanted++) {
    memset(y, 0, sizeof(y));
    memset(sums, 0, sizeof(sums));
    memset(twice, 0, sizeof(twice));
    moe_rt_tensor in = F32(x, 2, 3, 4);
    moe_rt_tensor out[3] = {F32(y, 2, 3, 4),
                            F32(wanted & 1 ? sums : NULL, 1, 3, 0),
                            F32(wanted & 2 ? twice : NULL, 2, 6, 4)};
    REQUIRE(moe_rt_run(session, "scale", &in, 1, out, 3) == MOE_RT_OK);
    for (int t = 0; t < 3; t++) {
      float sum = 0;
      for (int c = 0; c < 4; c++) {
        float v = x[4 * t + c] * weights_scale[c];
        CHECK(y[4 * t + c] == v);
        CHECK(twice[12 + 4 * t + c] == (wanted & 2 ? v : 0));
        sum += v;
      }
      CHECK(sums[t] == (wanted & 1 ? sum : 0));
    }
  }
  // No tokens: a call like any other.
  moe_rt_tensor in = F32(NULL, 2, 0, 4);
  moe_rt_tensor out[3] = {F32(NULL, 2, 0, 4), F32(NULL, 1, 0, 0),
                          F32(NULL, 2, 0, 4)};
  CHECK_EQ(moe_rt_run(session, "scale", &in, 1, out, 3), MOE_RT_OK);
  // Dense strides and an offset are fine, strides of one-sized dimensions
  // are nobody's business.
  int64_t dense[2] = {4, 1}, odd[2] = {77, 1}, wrong[2] = {1, 4};
  in = F32(x, 2, 2, 4);
  in.strides = dense;
  in.byte_offset = 16;
  out[0] = F32(y, 2, 2, 4);
  REQUIRE(moe_rt_run(session, "scale", &in, 1, out, 3) == MOE_RT_OK);
  CHECK(y[0] == x[4] && y[7] == -4 * x[11]);
  in = F32(x, 2, 1, 4);
  in.strides = odd;
  out[0] = F32(y, 2, 1, 4);
  CHECK_EQ(moe_rt_run(session, "scale", &in, 1, out, 3), MOE_RT_OK);
  in = F32(x, 2, 3, 4);
  in.strides = wrong;
  out[0] = F32(y, 2, 3, 4);
  expect(moe_rt_run(session, "scale", &in, 1, out, 3), MOE_RT_INVALID_ARGUMENT,
         "scale: input 'x': strides are not those of a dense");
}

static void test_arguments(void) {
  float x[12] = {0}, y[13] = {0}, sums[3];
  moe_rt_tensor in, out[3];
#define CALL(change, status, why)                                              \
  do {                                                                         \
    in = F32(x, 2, 3, 4);                                                      \
    out[0] = F32(y, 2, 3, 4);                                                  \
    out[1] = F32(sums, 1, 3, 0);                                               \
    out[2] = F32(NULL, 2, 6, 4);                                               \
    change;                                                                    \
    expect(moe_rt_run(session, "scale", &in, 1, out, 3), status, why);         \
  } while (0)
#define BAD(change, why) CALL(change, MOE_RT_INVALID_ARGUMENT, why)
  BAD(in.device_type = 2, "input 'x': device type is 2, expected 1 (CPU)");
  BAD(in.dtype_code = 4, "input 'x': type is bfloat32 x 1, expected f32");
  BAD(in.dtype_bits = 64, "type is float64 x 1, expected f32");
  BAD(in.dtype_lanes = 2, "type is float32 x 2, expected f32");
  BAD(in.dtype_code = 99, "type is unknown32");
  BAD(in.ndim = 1, "rank is 1, expected 2");
  BAD(in.ndim = -1, "rank is -1, expected 2");
  BAD(in.shape = NULL, "shape is NULL");
  BAD(in.data = NULL, "data is NULL");
  BAD(in.data = (char *)x + 1, "not aligned to its 4-byte elements");
  BAD(in.shape[1] = 5, "size 1 is 5, expected 4");
  BAD(in.shape[0] = -1, "size 0 is -1, expected 0 to 2147483647");
  BAD(in.shape[0] = (int64_t)1 << 31, "size 0 is 2147483648");
  BAD(out[0].device_type = 13, "output 'y': device type is 13");
  BAD(out[0].dtype_bits = 16, "output 'y': type is float16");
  BAD(out[0].data = NULL, "output 'y': data is NULL");
  BAD(out[0].data = (char *)y + 2, "output 'y': data is not aligned");
  BAD(out[0].shape[0] = 4, "output 'y': shape is [4, 4], expected [3, 4]");
  CALL(out[0].shape[0] = 2, MOE_RT_TOO_SMALL,
       "output 'y': shape is [2, 4], expected [3, 4]");
  BAD((out[0].shape[0] = 2, out[0].shape[1] = 6), "shape is [2, 6]");
  BAD(out[1].ndim = 2, "output 'sums': rank is 2, expected 1");
  CALL(out[1].shape[0] = 2, MOE_RT_TOO_SMALL, "output 'sums': shape is [2]");
  BAD(out[0].data = x, "output 'y': memory overlaps that of 'x'");
  BAD(out[1].data = y + 11, "overlaps that of");
  // Not wanted: not looked at.
  in = F32(x, 2, 3, 4);
  out[0] = F32(y, 2, 3, 4);
  memset(&out[1], 0, sizeof(out[1]));
  memset(&out[2], 0xff, sizeof(out[2]));
  out[2].data = NULL;
  CHECK_EQ(moe_rt_run(session, "scale", &in, 1, out, 3), MOE_RT_OK);

  expect(moe_rt_run(NULL, "scale", &in, 1, out, 3), MOE_RT_INVALID_ARGUMENT,
         "session is NULL");
  expect(moe_rt_run(session, NULL, &in, 1, out, 3), MOE_RT_INVALID_ARGUMENT,
         "function is NULL");
  expect(moe_rt_run(session, "sclae", &in, 1, out, 3), MOE_RT_NOT_FOUND,
         "has no function 'sclae'");
  expect(moe_rt_run(session, "scale", &in, 2, out, 3), MOE_RT_INVALID_ARGUMENT,
         "scale: 2 inputs were given, expected 1");
  expect(moe_rt_run(session, "scale", NULL, 1, out, 3), MOE_RT_INVALID_ARGUMENT,
         "inputs is NULL");
  expect(moe_rt_run(session, "scale", &in, 1, out, 1), MOE_RT_INVALID_ARGUMENT,
         "1 outputs were given, expected 3");
  expect(moe_rt_run(session, "scale", &in, 1, NULL, 3), MOE_RT_INVALID_ARGUMENT,
         "outputs is NULL");
}

static void test_bounded(void) {
  float x[5] = {-1, 3, 0, 2, -7};
  int64_t places[12][3];
  memset(places, 0x55, sizeof(places));
  moe_rt_tensor in = F32(x, 1, 5, 0), out = I64(places, 2, 10, 3);
  REQUIRE(moe_rt_run(session, "positive", &in, 1, &out, 1) == MOE_RT_OK);
  CHECK_EQ(out.shape[0], 2);
  CHECK_EQ(out.shape[1], 3);
  CHECK(places[0][0] == 1 && places[1][0] == 3 && places[1][1] == 6);
  // The shape now says 2: as a buffer that is too small.
  expect(moe_rt_run(session, "positive", &in, 1, &out, 1), MOE_RT_TOO_SMALL,
         "output 'places': shape is [2, 3], expected [10, 3]");
  CHECK_EQ(out.shape[0], 2);
  // Room for more than the bound is fine.
  out.shape[0] = 12;
  CHECK_EQ(moe_rt_run(session, "positive", &in, 1, &out, 1), MOE_RT_OK);
  CHECK_EQ(out.shape[0], 2);
  in = F32(NULL, 1, 0, 0);
  out.shape[0] = 0;
  CHECK_EQ(moe_rt_run(session, "positive", &in, 1, &out, 1), MOE_RT_OK);
  CHECK_EQ(out.shape[0], 0);
  float y[5];
  in = F32(x, 1, 5, 0);
  out = F32(y, 1, 5, 0);
  expect(moe_rt_run(session, "liar", &in, 1, &out, 1), MOE_RT_BAD_FILE,
         "reports 6 entries of at most 5");
}

static void test_values(void) {
  moe_rt_session *s = make(1, 12, 1);
  int64_t ids[3] = {0, 9, 5}, sum[1],
          bad[] = {-1, 10, (int64_t)1 << 32, INT64_MAX, INT64_MIN};
  moe_rt_tensor in = I64(ids, 2, 1, 3), out = I64(sum, 1, 1, 0);
  CHECK_EQ(moe_rt_run(s, "append", &in, 1, &out, 1), MOE_RT_OK);
  for (size_t i = 0; i < 5; i++) {
    char why[100];
    ids[2] = bad[i];
    snprintf(why, sizeof(why),
             "input 'ids': value %lld at position 2 is "
             "outside [0, 10)",
             (long long)bad[i]);
    expect(moe_rt_run(s, "append", &in, 1, &out, 1), MOE_RT_INVALID_ARGUMENT,
           why);
  }
  int64_t length = 0;
  CHECK_EQ(moe_rt_session_length(s, 0, &length), MOE_RT_OK);
  CHECK_EQ(length, 3);
  int32_t bias[1] = {100};
  int64_t last[12];
  in = tensor(bias, MOE_RT_I32, 2, 1, 1);
  out = I64(last, 2, 1, 12);
  expect(moe_rt_run(s, "last", &in, 1, &out, 1), MOE_RT_INVALID_ARGUMENT,
         "value 100 at position 0 is outside [0, 100)");
  uint8_t which = FAKE_NUM_PARAMS, bytes[128];
  in = tensor(&which, MOE_RT_U8, 0, 0, 0);
  in.shape = NULL;
  out = tensor(bytes, MOE_RT_U8, 1, 128, 0);
  expect(moe_rt_run(s, "param", &in, 1, &out, 1), MOE_RT_INVALID_ARGUMENT,
         "value 4 at position 0");
  which = 2;
  CHECK_EQ(moe_rt_run(s, "param", &in, 1, &out, 1), MOE_RT_OK);
  CHECK(!memcmp(bytes, weights_joined, 6));
  moe_rt_session_close(s);
}

static void test_symbols(void) {
  double x[6] = {0};
  moe_rt_tensor in = tensor(x, MOE_RT_F64, 2, 2, 3);
  expect(moe_rt_run(session, "greedy", &in, 1, NULL, 0),
         MOE_RT_INVALID_ARGUMENT, "size 1 is 3, expected 2 since T is 2");
  // An arena that nobody has.
  in = tensor(x, MOE_RT_F64, 2, 2, 2);
  expect(moe_rt_run(session, "greedy", &in, 1, NULL, 0), MOE_RT_OUT_OF_MEMORY,
         "greedy: out of memory for 4611686018427387904 bytes of arena");
  in = tensor(x, MOE_RT_F64, 2, INT32_MAX, INT32_MAX);
  expect(moe_rt_run(session, "greedy", &in, 1, NULL, 0),
         MOE_RT_INVALID_ARGUMENT, "number of bytes overflows");
  // The session is as good as before.
  test_scale();
}

static void test_products(void) {
  int32_t x[6] = {1, 2, 3, 4, 5, 6}, flat[6] = {7, 8, 9, 10, 11, 12}, y[12];
  moe_rt_tensor in[2] = {tensor(x, MOE_RT_I32, 2, 2, 3),
                         tensor(flat, MOE_RT_I32, 1, 6, 0)};
  moe_rt_tensor out = tensor(y, MOE_RT_I32, 2, 6, 2);
  REQUIRE(moe_rt_run(session, "flatten", in, 2, &out, 1) == MOE_RT_OK);
  for (int i = 0; i < 6; i++)
    CHECK(y[2 * i] == x[i] && y[2 * i + 1] == flat[i]);
  in[1].shape[0] = 5;
  expect(moe_rt_run(session, "flatten", in, 2, &out, 1),
         MOE_RT_INVALID_ARGUMENT, "flatten: B*S is 5, expected 6");
  in[1].shape[0] = 6;
  out.shape[0] = 5;
  expect(moe_rt_run(session, "flatten", in, 2, &out, 1), MOE_RT_TOO_SMALL,
         "shape is [5, 2], expected [6, 2]");
  // A product beyond the largest size, though nothing in it is large.
  in[0] = tensor(NULL, MOE_RT_I32, 2, 65536, 12);
  in[1] = tensor(NULL, MOE_RT_I32, 1, 786432, 0);
  int32_t ndim;
  int64_t shape[MOE_RT_MAX_RANK];
  CHECK_EQ(moe_rt_output_shape(session, "flatten", in, 2, 0, &ndim, shape),
           MOE_RT_OK);
  CHECK_EQ(shape[0], 786432);
  in[0].shape[0] = INT32_MAX;
  expect(moe_rt_output_shape(session, "flatten", in, 2, 0, &ndim, shape),
         MOE_RT_INVALID_ARGUMENT, "B*S is 2147483647 * 12");
}

//===----------------------------------------------------------------------===//
// State
//===----------------------------------------------------------------------===//

static moe_rt_status append(moe_rt_session *s, int64_t batch, int64_t length,
                            int64_t first, int64_t *sum) {
  static int64_t ids[64];
  for (int64_t i = 0; i < batch * length; i++)
    ids[i] = (first + i) % FAKE_VOCAB;
  moe_rt_tensor in = I64(ids, 2, batch, length), out = I64(sum, 1, batch, 0);
  return moe_rt_run(s, "append", &in, 1, &out, 1);
}

static void check_lengths(moe_rt_session *s, int64_t a, int64_t b) {
  int64_t length = -1;
  CHECK_EQ(moe_rt_session_length(s, 0, &length), MOE_RT_OK);
  CHECK_EQ(length, a);
  CHECK_EQ(moe_rt_session_length(s, 1, &length), MOE_RT_OK);
  CHECK_EQ(length, b);
}

static void test_state(void) {
  moe_rt_session *s = make(2, 8, 2);
  int64_t sum[2] = {0, 0};
  CHECK(!s->states[0].memory); // until somebody needs it
  REQUIRE(append(s, 2, 3, 1, sum) == MOE_RT_OK);
  CHECK(sum[0] == 6 && sum[1] == 15); // 1 2 3, 4 5 6
  check_lengths(s, 3, 3);
  REQUIRE(append(s, 2, 1, 7, sum) == MOE_RT_OK);
  CHECK(sum[0] == 13 && sum[1] == 23);
  check_lengths(s, 4, 4);
  // The other function sees the same state; its S tokens count too.
  int64_t cache[16];
  int32_t ignored[2] = {0, 0};
  moe_rt_tensor in = tensor(ignored, MOE_RT_I32, 2, 2, 1);
  moe_rt_tensor out = I64(cache, 2, 2, 8);
  REQUIRE(moe_rt_run(s, "last", &in, 1, &out, 1) == MOE_RT_OK);
  CHECK_EQ(moe_rt_session_truncate(s, -1, 4), MOE_RT_OK);
  static const int64_t wanted[16] = {1, 2, 3, 7, 0, 0, 0, 0,
                                     4, 5, 6, 8, 0, 0, 0, 0};
  CHECK(!memcmp(cache, wanted, sizeof(cache)));
  check_lengths(s, 4, 4);

  expect(append(s, 2, 5, 0, sum), MOE_RT_TOO_SMALL,
         "append: row 0 holds 4 tokens of at most 8, no room for 5 more");
  check_lengths(s, 4, 4);
  expect(append(s, 1, 1, 0, sum), MOE_RT_INVALID_ARGUMENT,
         "B is 1, but the session keeps state for 2 rows; make it with "
         "max_batch 1");
  expect(append(s, 2, 0, 0, sum), MOE_RT_INVALID_ARGUMENT,
         "append: S is 0, expected at least one token");
  expect(append(s, 0, 1, 0, sum), MOE_RT_INVALID_ARGUMENT,
         "append: B is 0, expected the session's 2 rows");
  check_lengths(s, 4, 4);
  CHECK_EQ(append(s, 2, 4, 0, sum), MOE_RT_OK);
  CHECK_EQ(append(s, 2, 1, 0, sum), MOE_RT_TOO_SMALL);
  check_lengths(s, 8, 8);

  // Rows of different lengths after truncation.
  CHECK_EQ(moe_rt_session_truncate(s, 1, 2), MOE_RT_OK);
  check_lengths(s, 8, 2);
  CHECK_EQ(append(s, 2, 1, 0, sum), MOE_RT_TOO_SMALL);
  check_lengths(s, 8, 2);
  CHECK_EQ(moe_rt_session_truncate(s, 0, 3), MOE_RT_OK);
  REQUIRE(append(s, 2, 1, 9, sum) == MOE_RT_OK);
  CHECK(sum[0] == 6 + 9 && sum[1] == 9 + 0); // 1 2 3 9, 4 5 0
  check_lengths(s, 4, 3);
  // All rows: the shorter one is left alone.
  CHECK_EQ(moe_rt_session_truncate(s, -1, 3), MOE_RT_OK);
  check_lengths(s, 3, 3);
  CHECK_EQ(moe_rt_session_truncate(s, -1, 100), MOE_RT_OK);
  check_lengths(s, 3, 3);
  expect(moe_rt_session_truncate(s, 0, 4), MOE_RT_INVALID_ARGUMENT,
         "length is 4, row 0 holds 3 tokens");
  expect(moe_rt_session_truncate(s, 0, -1), MOE_RT_INVALID_ARGUMENT,
         "length is -1");
  expect(moe_rt_session_truncate(s, -1, -1), MOE_RT_INVALID_ARGUMENT,
         "length is -1");
  expect(moe_rt_session_truncate(s, 2, 0), MOE_RT_INVALID_ARGUMENT,
         "row is 2, expected -1 to 1");
  expect(moe_rt_session_truncate(s, -2, 0), MOE_RT_INVALID_ARGUMENT,
         "row is -2");
  CHECK_EQ(moe_rt_session_truncate(NULL, 0, 0), MOE_RT_INVALID_ARGUMENT);
  int64_t length = 55;
  expect(moe_rt_session_length(s, 2, &length), MOE_RT_INVALID_ARGUMENT,
         "row is 2, expected 0 to 1");
  expect(moe_rt_session_length(s, -1, &length), MOE_RT_INVALID_ARGUMENT,
         "row is -1");
  CHECK_EQ(length, 55);
  CHECK_EQ(moe_rt_session_length(s, 0, NULL), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_session_length(NULL, 0, &length), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_session_truncate(s, -1, 0), MOE_RT_OK);
  REQUIRE(append(s, 2, 1, 5, sum) == MOE_RT_OK);
  CHECK(sum[0] == 5 && sum[1] == 6);
  moe_rt_session_close(s);
  // Longer than the model was made for.
  s = make(1, 12, 1);
  expect(append(s, 1, 13, 0, sum), MOE_RT_INVALID_ARGUMENT,
         "append: S is 13, the model's longest sequence is 12");
  moe_rt_session_close(s);
}

//===----------------------------------------------------------------------===//
// Asking
//===----------------------------------------------------------------------===//

static void test_questions(void) {
  moe_rt_tensor in = F32(NULL, 2, 5, 4); // no data needed
  int32_t ndim = 9;
  int64_t shape[MOE_RT_MAX_RANK] = {0};
  CHECK_EQ(moe_rt_output_shape(session, "scale", &in, 1, 2, &ndim, shape),
           MOE_RT_OK);
  CHECK(ndim == 2 && shape[0] == 10 && shape[1] == 4);
  CHECK_EQ(moe_rt_output_shape(session, "scale", &in, 1, 0, &ndim, shape),
           MOE_RT_OK);
  CHECK(ndim == 2 && shape[0] == 5);
  CHECK_EQ(moe_rt_output_shape(session, "scale", &in, 1, 1, &ndim, shape),
           MOE_RT_OK);
  CHECK(ndim == 1 && shape[0] == 5);
  expect(moe_rt_output_shape(session, "scale", &in, 1, 3, &ndim, shape),
         MOE_RT_NOT_FOUND, "has no output number 3");
  expect(moe_rt_output_shape(session, "scale", &in, 0, 0, &ndim, shape),
         MOE_RT_INVALID_ARGUMENT, "0 inputs were given");
  CHECK_EQ(moe_rt_output_shape(session, "scale", &in, 1, 0, NULL, shape),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_output_shape(NULL, "scale", &in, 1, 0, &ndim, shape),
           MOE_RT_INVALID_ARGUMENT);
  size_t size = 1;
  CHECK_EQ(moe_rt_workspace_size(session, "scale", &in, 1, &size), MOE_RT_OK);
  CHECK_EQ(size, 80);
  moe_rt_tensor ids = I64(NULL, 2, 1, 3);
  CHECK_EQ(moe_rt_workspace_size(session, "append", &ids, 1, &size), MOE_RT_OK);
  CHECK_EQ(size, 0);
  CHECK_EQ(moe_rt_output_shape(session, "append", &ids, 1, 0, &ndim, shape),
           MOE_RT_OK);
  CHECK(ndim == 1 && shape[0] == 1);
  CHECK_EQ(moe_rt_workspace_size(session, "none", &ids, 1, &size),
           MOE_RT_NOT_FOUND);
  CHECK_EQ(moe_rt_workspace_size(session, "scale", &in, 1, NULL),
           MOE_RT_INVALID_ARGUMENT);
  moe_rt_tensor huge = F32(NULL, 2, INT32_MAX, 4);
  CHECK_EQ(moe_rt_workspace_size(session, "scale", &huge, 1, &size), MOE_RT_OK);
  CHECK_EQ(size, 16 * (size_t)INT32_MAX);
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

static int affine_is_right(moe_rt_session *s, int64_t n) {
  int32_t *x = malloc((size_t)n * 4 + 4), *y = malloc((size_t)n * 4 + 4);
  for (int64_t i = 0; i < n; i++)
    x[i] = (int32_t)(i * 7);
  int64_t shape[1] = {n}, out_shape[1] = {n};
  moe_rt_tensor in = moe_rt_make_tensor(x, MOE_RT_I32, 1, shape);
  moe_rt_tensor out = moe_rt_make_tensor(y, MOE_RT_I32, 1, out_shape);
  int good = moe_rt_run(s, "affine", &in, 1, &out, 1) == MOE_RT_OK;
  for (int64_t i = 0; i < n && good; i++)
    good = y[i] == 3 * x[i] + 1;
  free(x);
  free(y);
  return good;
}

static void check_nested(moe_rt_session *s) {
  int32_t x[9], y[9][8], wrong = 0;
  for (int i = 0; i < 9; i++)
    x[i] = 100 * i;
  moe_rt_tensor in = tensor(x, MOE_RT_I32, 1, 9, 0);
  moe_rt_tensor out = tensor(y, MOE_RT_I32, 2, 9, 8);
  CHECK_EQ(moe_rt_run(s, "nested", &in, 1, &out, 1), MOE_RT_OK);
  for (int i = 0; i < 9; i++)
    for (int k = 0; k < 8; k++)
      wrong += y[i][k] != 100 * i + k;
  CHECK_EQ(wrong, 0);
}

static void test_loops(void) {
  for (int32_t threads = 1; threads < 5; threads++) {
    moe_rt_session *s = make(1, 4, threads);
    for (int64_t n = 0; n < 40; n++)
      CHECK(affine_is_right(s, n));
    CHECK(affine_is_right(s, 100003));
    check_nested(s);
    moe_rt_session_close(s);
  }
}

static void test_executor(void) {
  int asked = 0;
  moe_rt_executor e = {sizeof(e), &asked, no_loop, seven};
  moe_rt_session_options options = {sizeof(options), 0, 1, 4, &e, NULL};
  moe_rt_session *s = NULL;
  REQUIRE(moe_rt_session_create(module, params, &options, &s) == MOE_RT_OK);
  CHECK(!s->pool);
  for (int64_t n = 0; n < 40; n++)
    CHECK(affine_is_right(s, n));
  CHECK(affine_is_right(s, 1009));
  CHECK(asked > 0);
  check_nested(s);
  moe_rt_session_close(s);
}

// A call from within a call of the same session, and ending it there.
struct again {
  moe_rt_session *session;
  int runs, busy, close;
};
static void run_again(void *user, void (*fn)(void *argument, int64_t i),
                      void *argument, int64_t n) {
  struct again *a = user;
  float x[4] = {1, 2, 3, 4}, y[4];
  moe_rt_tensor in = F32(x, 2, 1, 4);
  moe_rt_tensor out[3] = {F32(y, 2, 1, 4), F32(NULL, 1, 1, 0),
                          F32(NULL, 2, 2, 4)};
  a->runs++;
  a->busy += moe_rt_run(a->session, "scale", &in, 1, out, 3) == MOE_RT_BUSY &&
             moe_rt_session_truncate(a->session, 0, 0) == MOE_RT_BUSY;
  if (a->close)
    moe_rt_session_close(a->session);
  no_loop(NULL, fn, argument, n);
}
static int32_t three(void *user) {
  (void)user;
  return 3;
}

static void test_busy(void) {
  struct again a = {NULL, 0, 0, 0};
  moe_rt_executor e = {sizeof(e), &a, run_again, three};
  moe_rt_session_options options = {sizeof(options), 0, 1, 4, &e, NULL};
  REQUIRE(moe_rt_session_create(module, params, &options, &a.session) ==
          MOE_RT_OK);
  CHECK(affine_is_right(a.session, 100));
  CHECK(a.runs == 1 && a.busy == 1);
  CHECK_HAS(moe_rt_last_error(), "in use by another thread");
  CHECK(affine_is_right(a.session, 100));
  // Closed while it runs: ends when the call does (the leak checker looks).
  a.close = 1;
  CHECK(affine_is_right(a.session, 100));
  CHECK_EQ(a.runs, 3);
}

static void test_floats(void) {
#if defined(__x86_64__)
  int32_t control[64];
  uint16_t x[64] = {0};
  unsigned before = _mm_getcsr();
  // Flush to zero, denormals are zero, round up.
  _mm_setcsr(0x1f80 | 0x8040 | 0x4000);
  unsigned mine = _mm_getcsr();
  moe_rt_session *s = make(1, 4, 3);
  moe_rt_tensor in = tensor(x, MOE_RT_BF16, 1, 64, 0);
  moe_rt_tensor out = tensor(control, MOE_RT_I32, 1, 64, 0);
  CHECK_EQ(moe_rt_run(s, "floats", &in, 1, &out, 1), MOE_RT_OK);
  int wrong = 0;
  for (int i = 0; i < 64; i++)
    wrong += control[i] != 0x1f80;
  CHECK_EQ(wrong, 0);
  CHECK_EQ(_mm_getcsr(), mine);
  moe_rt_session_close(s);
  _mm_setcsr(before);
#endif
}

// Threads with a session each on one module; errors are each thread's own.
static void *run_many(void *argument) {
  long id = (long)(intptr_t)argument;
  moe_rt_session_options options = {
      sizeof(options), 1 + (int32_t)id % 2, 1, 4, NULL, NULL};
  for (int round = 0; round < 5; round++) {
    moe_rt_session *s = NULL;
    if (moe_rt_session_create(module, params, &options, &s))
      return REASON("cannot make a session");
    for (int i = 0; i < 50; i++) {
      if (!affine_is_right(s, 1 + (i * 37 + id) % 200))
        return REASON("wrong result");
      char name[32];
      snprintf(name, sizeof(name), "f%ld", id);
      if (moe_rt_run(s, name, NULL, 0, NULL, 0) != MOE_RT_NOT_FOUND ||
          !strstr(moe_rt_last_error(), name))
        return REASON("wrong error");
    }
    moe_rt_session_close(s);
    moe_rt_module *m = NULL;
    moe_rt_params *p = NULL;
    if (moe_rt_module_open(MOE_FAKE_PATH, NULL, &m) ||
        moe_rt_params_open(m, "synthetic:3", NULL, &p))
      return REASON("cannot open");
    moe_rt_module_close(m);
    moe_rt_params_close(p);
  }
  return NULL;
}

static void test_threads(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++)
    REQUIRE(pthread_create(&threads[i], NULL, run_many, (void *)(intptr_t)i) ==
            0);
  for (int i = 0; i < 8; i++) {
    void *why = NULL;
    pthread_join(threads[i], &why);
    if (!CHECK(why == NULL))
      fprintf(stderr, "  %s\n", (const char *)why);
  }
}

// Sessions keep what they need.
static void test_lifetime(void) {
  moe_rt_module *m = NULL;
  moe_rt_params *p = NULL;
  moe_rt_session *s = NULL;
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &m) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(m, check_folder, NULL, &p) == MOE_RT_OK);
  REQUIRE(moe_rt_session_create(m, p, NULL, &s) == MOE_RT_OK);
  moe_rt_params_close(p);
  moe_rt_module_close(m);
  moe_rt_session *before = session;
  session = s;
  test_scale();
  session = before;
  moe_rt_session_close(s);
}

int main(void) {
  if (moe_cpu_level() < 3) {
    printf("test_session: this CPU lacks x86-64-v3\n");
    return 77;
  }
  check_make_folder();
  moe_st_entry entries[WEIGHTS_COUNT];
  weights_entries(entries);
  weights_write(check_path("model.safetensors"), entries, WEIGHTS_COUNT);
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &module) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(module, check_folder, NULL, &params) == MOE_RT_OK);
  session = make(1, 12, 2);
  test_create();
  test_scale();
  test_arguments();
  test_bounded();
  test_values();
  test_symbols();
  test_products();
  test_state();
  test_questions();
  test_loops();
  test_executor();
  test_busy();
  test_floats();
  test_threads();
  test_lifetime();
  moe_rt_session_close(session);
  moe_rt_params_close(params);
  moe_rt_module_close(module);
  check_remove_folder();
  return check_finish("test_session");
}
