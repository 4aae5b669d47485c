//===- sessions.c - Many sessions of one module at once -------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// sessions MODULE WEIGHTS: threads with a session each call function `layer`
/// of one module with different numbers of tokens; each result must have the
/// bits of a serial call. Then sessions, parameters and modules are opened and
/// closed by all threads at once.
//===----------------------------------------------------------------------===//
#include "moe_rt.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kThreads = 8, kRuns = 200, kSizes = 6, kMaxTokens = 40, kChurn = 20 };
static const int64_t sizes[kSizes] = {1, 7, 0, 16, 33, kMaxTokens};

static const char *module_path, *weights_path;
static moe_rt_module *module;
static moe_rt_params *params;
static int64_t width;
static float *inputs, *expected[kSizes];

static void check(moe_rt_status status) {
  if (status == MOE_RT_OK)
    return;
  fprintf(stderr, "error: %s\n", moe_rt_last_error());
  exit(1);
}

static moe_rt_session *open_session(int threads) {
  moe_rt_session_options options = {.struct_size = sizeof(options),
                                    .num_threads = threads};
  moe_rt_session *session;
  check(moe_rt_session_create(module, params, &options, &session));
  return session;
}

static void run(moe_rt_session *session, int64_t tokens, float *result) {
  int64_t shape[2] = {tokens, width};
  moe_rt_tensor in = moe_rt_make_tensor(inputs, MOE_RT_F32, 2, shape);
  moe_rt_tensor out[16];
  int64_t shapes[16][MOE_RT_MAX_RANK];
  size_t num_inputs, num_outputs;
  check(moe_rt_function_counts(module, "layer", &num_inputs, &num_outputs));
  if (num_inputs != 1 || num_outputs > 16)
    exit(2);
  for (size_t i = 0; i < num_outputs; i++) {
    moe_rt_argument_info info;
    check(moe_rt_function_output(module, "layer", i, &info));
    int32_t rank;
    check(moe_rt_output_shape(session, "layer", &in, 1, i, &rank, shapes[i]));
    int is_output = !strcmp(info.name, "output");
    if (!is_output && info.role != MOE_RT_OPTIONAL_OUTPUT)
      exit(2);
    out[i] = moe_rt_make_tensor(is_output ? result : NULL, info.dtype, rank,
                                shapes[i]);
  }
  check(moe_rt_run(session, "layer", &in, 1, out, num_outputs));
}

static void *work(void *argument) {
  int id = *(int *)argument;
  moe_rt_session *session = open_session(1 + id % 3);
  float *result = malloc(sizeof(float) * (size_t)(kMaxTokens * width));
  for (int i = 0; i < kRuns; i++) {
    int size = (i + id) % kSizes;
    size_t bytes = sizeof(float) * (size_t)(sizes[size] * width);
    memset(result, 0xff, bytes);
    run(session, sizes[size], result);
    if (memcmp(result, expected[size], bytes)) {
      fprintf(stderr, "error: thread %d, run %d: other bits\n", id, i);
      exit(1);
    }
  }
  free(result);
  moe_rt_session_close(session);
  for (int i = 0; i < kChurn; i++) {
    moe_rt_module *own;
    moe_rt_params *weights;
    moe_rt_session *short_lived;
    check(moe_rt_module_open(module_path, NULL, &own));
    check(moe_rt_params_open(own, weights_path, NULL, &weights));
    moe_rt_session_options options = {.struct_size = sizeof(options),
                                      .num_threads = 2};
    check(moe_rt_session_create(own, weights, &options, &short_lived));
    // The session keeps what it needs.
    moe_rt_module_close(own);
    moe_rt_params_close(weights);
    moe_rt_session_close(short_lived);
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  module_path = argv[1];
  weights_path = argv[2];
  check(moe_rt_module_open(module_path, NULL, &module));
  check(moe_rt_params_open(module, weights_path, NULL, &params));
  moe_rt_argument_info info;
  check(moe_rt_function_input(module, "layer", 0, &info));
  width = info.shape[1];
  size_t count = (size_t)(kMaxTokens * width);
  inputs = malloc(sizeof(float) * count);
  uint32_t seed = 1;
  for (size_t i = 0; i < count; i++) {
    seed = seed * 1664525u + 1013904223u;
    inputs[i] = (float)(int32_t)seed * 0x1p-31f;
  }
  moe_rt_session *serial = open_session(1);
  for (int s = 0; s < kSizes; s++) {
    expected[s] = malloc(sizeof(float) * (count + 1));
    run(serial, sizes[s], expected[s]);
  }
  moe_rt_session_close(serial);
  pthread_t threads[kThreads];
  int ids[kThreads];
  for (int t = 0; t < kThreads; t++) {
    ids[t] = t;
    if (pthread_create(&threads[t], NULL, work, &ids[t]))
      return 2;
  }
  for (int t = 0; t < kThreads; t++)
    pthread_join(threads[t], NULL);
  moe_rt_params_close(params);
  moe_rt_module_close(module);
  for (int s = 0; s < kSizes; s++)
    free(expected[s]);
  free(inputs);
  puts("done");
  return 0;
}
