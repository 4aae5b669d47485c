//===- gpu.c - Device tensors, streams and graphs -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// gpu MODULE WEIGHTS DRIVER VOCABULARY: greedy decoding on the CPU, on a GPU
/// with host tensors, and as replays of a CUDA graph that captured one call of
/// `decode` on a stream of ours must give the same logits, bit for bit. Then
/// what is wrong with tensors must be told.
//===----------------------------------------------------------------------===//
#include "moe_rt.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kSteps = 6, kPrompt = 5, kLength = 16 };
static int64_t vocabulary;
static const char *weights;

static void check(moe_rt_status status) {
  if (status == MOE_RT_OK)
    return;
  fprintf(stderr, "error: %s\n", moe_rt_last_error());
  exit(1);
}

static void expect(moe_rt_status found, moe_rt_status wanted,
                   const char *words) {
  if (found == wanted && strstr(moe_rt_last_error(), words))
    return;
  fprintf(stderr, "error: got %s '%s', expected %s '%s'\n",
          moe_rt_status_name(found), moe_rt_last_error(),
          moe_rt_status_name(wanted), words);
  exit(1);
}

/// The driver's functions, by their exported names.
static void *driver;
static void *find(const char *name) {
  void *function = dlsym(driver, name);
  if (!function) {
    fprintf(stderr, "error: no %s\n", name);
    exit(1);
  }
  return function;
}
#define CALL(name, types, ...)                                                 \
  do {                                                                         \
    int(*function) types;                                                      \
    *(void **)&function = find(name);                                          \
    int result = function(__VA_ARGS__);                                        \
    if (result) {                                                              \
      fprintf(stderr, "error: %s: %d\n", name, result);                        \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

typedef struct {
  moe_rt_module *module;
  moe_rt_params *params;
} model;

static model open_model(const char *path, const char *device,
                        const char *library) {
  model m;
  moe_rt_options options = {
      .struct_size = sizeof(options), .device = device, .cuda_driver = library};
  check(moe_rt_module_open(path, &options, &m.module));
  check(moe_rt_params_open(m.module, weights, NULL, &m.params));
  return m;
}

static moe_rt_session *open_session(model m, void *stream) {
  moe_rt_session_options options = {.struct_size = sizeof(options),
                                    .max_batch = 1,
                                    .max_length = kLength,
                                    .stream = stream};
  moe_rt_session *session;
  check(moe_rt_session_create(m.module, m.params, &options, &session));
  return session;
}

static void close_model(model m, moe_rt_session *session) {
  moe_rt_session_close(session);
  moe_rt_params_close(m.params);
  moe_rt_module_close(m.module);
}

static moe_rt_status call(moe_rt_session *session, const char *function,
                          void *ids, int64_t count, void *logits,
                          int32_t device_type) {
  int64_t ids_shape[2] = {1, count}, logits_shape[2] = {1, vocabulary};
  moe_rt_tensor in = moe_rt_make_tensor(ids, MOE_RT_I64, 2, ids_shape);
  moe_rt_tensor out = moe_rt_make_tensor(logits, MOE_RT_F32, 2, logits_shape);
  in.device_type = out.device_type = device_type;
  in.device_id = out.device_id = device_type == 2;
  return moe_rt_run(session, function, &in, 1, &out, 1);
}

static int64_t best(const float *logits) {
  int64_t place = 0;
  for (int64_t i = 1; i < vocabulary; i++)
    if (logits[i] > logits[place])
      place = i;
  return place;
}

static int64_t prompt[kPrompt] = {3, 14, 15, 9, 26};

/// Logits of each step.
static void decode(moe_rt_session *session, float *all) {
  check(call(session, "prefill", prompt, kPrompt, all, 1));
  for (int i = 1; i < kSteps; i++) {
    int64_t id = best(all);
    all += vocabulary;
    check(call(session, "decode", &id, 1, all, 1));
  }
}

int main(int argc, char **argv) {
  if (argc != 5)
    return 2;
  weights = argv[2];
  vocabulary = atoi(argv[4]);
  size_t row = sizeof(float) * (size_t)vocabulary;
  float *expected = calloc(kSteps, row), *found = calloc(kSteps, row);

  model cpu = open_model(argv[1], "cpu", NULL);
  moe_rt_session *session = open_session(cpu, NULL);
  decode(session, expected);
  close_model(cpu, session);

  model gpu = open_model(argv[1], "cuda:1", argv[3]);
  session = open_session(gpu, NULL);
  decode(session, found);
  if (memcmp(found, expected, kSteps * row))
    return puts("host tensors: other bits"), 1;
  moe_rt_session_close(session);

  // The same with a graph: ids and logits stay where they were captured.
  driver = dlopen(argv[3], RTLD_NOW);
  void *context, *stream, *graph, *instance;
  unsigned long long ids, logits;
  CALL("cuDevicePrimaryCtxRetain", (void **, int), &context, 1);
  CALL("cuCtxPushCurrent_v2", (void *), context);
  CALL("cuStreamCreate", (void **, unsigned), &stream, 1);
  CALL("cuMemAlloc_v2", (unsigned long long *, size_t), &ids, 64);
  CALL("cuMemAlloc_v2", (unsigned long long *, size_t), &logits, row);
#define UPLOAD(to, from, size)                                                 \
  CALL("cuMemcpyHtoD_v2", (unsigned long long, const void *, size_t), to,      \
       from, size)
#define DOWNLOAD(to, from, size)                                               \
  CALL("cuMemcpyDtoH_v2", (void *, unsigned long long, size_t), to, from, size)
  session = open_session(gpu, stream);
  memset(found, 0, kSteps * row);
  check(call(session, "prefill", prompt, kPrompt, found, 1));
  int64_t id = best(found);
  UPLOAD(ids, &id, sizeof(id));
  check(call(session, "decode", (void *)ids, 1, (void *)logits, 2));
  CALL("cuStreamSynchronize", (void *), stream);
  DOWNLOAD(found + vocabulary, logits, row);
  CALL("cuStreamBeginCapture_v2", (void *, int), stream, 0);
  check(call(session, "decode", (void *)ids, 1, (void *)logits, 2));
  CALL("cuStreamEndCapture", (void *, void **), stream, &graph);
  CALL("cuGraphInstantiateWithFlags", (void **, void *, unsigned long long),
       &instance, graph, 0);
  for (int i = 2; i < kSteps; i++) {
    id = best(found + (i - 1) * vocabulary);
    UPLOAD(ids, &id, sizeof(id));
    CALL("cuGraphLaunch", (void *, void *), instance, stream);
    CALL("cuStreamSynchronize", (void *), stream);
    DOWNLOAD(found + i * vocabulary, logits, row);
    check(moe_rt_session_advance(session, 1));
  }
  if (memcmp(found, expected, kSteps * row))
    return puts("graph: other bits"), 1;

  // What is wrong with a tensor.
  expect(call(session, "decode", &id, 1, (void *)logits, 2),
         MOE_RT_INVALID_ARGUMENT, "input_ids");
  expect(call(session, "decode", (void *)ids, 1, found, 2),
         MOE_RT_INVALID_ARGUMENT, "logits");
  int64_t shape[2] = {1, 1}, wide[2] = {1, vocabulary};
  moe_rt_tensor in = moe_rt_make_tensor((void *)ids, MOE_RT_I64, 2, shape);
  moe_rt_tensor out = moe_rt_make_tensor((void *)logits, MOE_RT_F32, 2, wide);
  in.device_type = out.device_type = 2;
  in.device_id = 0;
  out.device_id = 1;
  expect(moe_rt_run(session, "decode", &in, 1, &out, 1),
         MOE_RT_INVALID_ARGUMENT, "input_ids");
  id = vocabulary;
  UPLOAD(ids, &id, sizeof(id));
  in.device_id = 1;
  expect(moe_rt_run(session, "decode", &in, 1, &out, 1),
         MOE_RT_INVALID_ARGUMENT, "input_ids");
  // A capture that would have to find memory first.
  moe_rt_session *fresh = open_session(gpu, stream);
  CALL("cuStreamBeginCapture_v2", (void *, int), stream, 0);
  id = 1;
  expect(call(fresh, "decode", (void *)ids, 1, (void *)logits, 2),
         MOE_RT_INVALID_ARGUMENT, "captur");
  CALL("cuStreamEndCapture", (void *, void **), stream, &graph);
  moe_rt_session_close(fresh);

  close_model(gpu, session);
  CALL("cuMemFree_v2", (unsigned long long), ids);
  CALL("cuMemFree_v2", (unsigned long long), logits);
  CALL("cuStreamDestroy_v2", (void *), stream);
  size_t free_bytes, total_bytes;
  CALL("cuMemGetInfo_v2", (size_t *, size_t *), &free_bytes, &total_bytes);
  if (free_bytes != total_bytes)
    return printf("%zu bytes of the GPU are lost\n", total_bytes - free_bytes),
           1;
  free(expected);
  free(found);
  puts("done");
  return 0;
}
