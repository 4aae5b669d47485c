//===- test_memory.c - Tests of running out of memory ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Every scenario runs with its first, second, third ... request refused, once
// that one alone and once all from there on, until it gets through. Each time
// it must give a status, leak nothing and leave the module as good as before.
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "check.h"
#include "fake.h"
#include "internal.h"
#include "weights.h"
#include <stdatomic.h>

static atomic_int left;
static atomic_bool refused;
static bool for_ever;

static bool refuse(moe_gate_kind kind, size_t size) {
  (void)kind;
  (void)size;
  int n = atomic_fetch_sub(&left, 1);
  if (n == 1 || (n < 1 && for_ever)) {
    atomic_store(&refused, true);
    return false;
  }
  return true;
}

static moe_rt_module *module;
static moe_rt_params *params;

// A scenario gives the first status that is not MOE_RT_OK and cleans up.
static moe_rt_status open_module(void) {
  moe_rt_module *m = NULL;
  moe_rt_status status = moe_rt_module_open(MOE_FAKE_PATH, NULL, &m);
  if (status && m)
    return MOE_RT_BAD_FILE;
  moe_rt_module_close(m);
  return status;
}

static moe_rt_status describe(void) {
  char *json = NULL;
  moe_rt_status status = moe_rt_describe_file(MOE_FAKE_PATH, &json);
  moe_rt_free(json);
  return status;
}

static moe_rt_status open_params(const char *source) {
  moe_rt_params_options options = {sizeof(options), 2, NULL, NULL};
  moe_rt_params *p = NULL;
  moe_rt_status status = moe_rt_params_open(module, source, &options, &p);
  if (!status && memcmp(p->data[3], params->data[3], 8) &&
      source[0] != 's') // not synthetic
    status = MOE_RT_BAD_FILE;
  moe_rt_params_close(p);
  return status;
}
static moe_rt_status open_index(void) {
  return open_params(check_path("model.safetensors.index.json"));
}
static moe_rt_status open_single(void) {
  return open_params(check_path("weights.safetensors"));
}
static moe_rt_status open_synthetic(void) { return open_params("synthetic:5"); }

static moe_rt_status run(void) {
  moe_rt_session_options options = {sizeof(options), 2, 2, 12, NULL, NULL};
  moe_rt_session *s = NULL;
  moe_rt_status status = moe_rt_session_create(module, params, &options, &s);
  if (status)
    return status;
  static float x[800], y[800], sums[200];
  int64_t shape[2] = {200, 4}, y_shape[2] = {200, 4}, none[2] = {400, 4};
  moe_rt_tensor in = moe_rt_make_tensor(x, MOE_RT_F32, 2, shape);
  moe_rt_tensor out[3] = {moe_rt_make_tensor(y, MOE_RT_F32, 2, y_shape),
                          moe_rt_make_tensor(sums, MOE_RT_F32, 1, shape),
                          moe_rt_make_tensor(NULL, MOE_RT_F32, 2, none)};
  x[3] = 1;
  y[3] = 0;
  status = moe_rt_run(s, "scale", &in, 1, out, 3);
  if (!status && y[3] != weights_scale[3])
    status = MOE_RT_BAD_FILE;
  size_t size_bytes;
  if (!status)
    status = moe_rt_workspace_size(s, "scale", &in, 1, &size_bytes);
  int64_t ids[2] = {1, 2}, sum[2], ids_shape[2] = {2, 1}, length = 0;
  moe_rt_tensor ids_in = moe_rt_make_tensor(ids, MOE_RT_I64, 2, ids_shape);
  moe_rt_tensor sum_out = moe_rt_make_tensor(sum, MOE_RT_I64, 1, ids_shape);
  if (!status) {
    status = moe_rt_run(s, "append", &ids_in, 1, &sum_out, 1);
    // Tokens are there if and only if the call said so.
    if (moe_rt_session_length(s, 0, &length) || (length == 1) == (status != 0))
      status = MOE_RT_BAD_FILE;
  }
  // A session that was refused memory works once there is some.
  if (status == MOE_RT_OUT_OF_MEMORY && !for_ever) {
    if (moe_rt_run(s, "scale", &in, 1, out, 3) ||
        moe_rt_run(s, "append", &ids_in, 1, &sum_out, 1) || sum[1] != 2)
      status = MOE_RT_BAD_FILE;
  }
  moe_rt_session_close(s);
  return status;
}

static moe_rt_status write_file(void) {
  moe_error error;
  moe_st_entry entries[WEIGHTS_COUNT];
  weights_entries(entries);
  const char *metadata[] = {"a", "b"};
  return moe_st_write(check_path("again.safetensors"), entries, WEIGHTS_COUNT,
                      metadata, 1, &error);
}

static moe_rt_status read_json(void) {
  char text[2000];
  size_t n = (size_t)sprintf(text, "{\"x\":[1.5,");
  for (int i = 0; i < 100; i++)
    n += (size_t)sprintf(text + n, "%d,", i);
  n += (size_t)sprintf(text + n, "{\"a\":{}}]");
  for (int i = 0; i < 20; i++)
    n += (size_t)sprintf(text + n, ",\"key%d\":\"v\"", i);
  text[n++] = '}';
  moe_error error;
  moe_json_document *d = NULL;
  moe_rt_status status = moe_json_parse(text, n, "t.json", 0, 0, &d, &error);
  moe_json_free(d);
  return status;
}

static void loop(const char *name, moe_rt_status (*scenario)(void)) {
  for (int mode = 0; mode < 2; mode++) {
    for_ever = mode == 1;
    int n = 1, failures = 0;
    for (; n < 2000; n++) {
      atomic_store(&left, n);
      atomic_store(&refused, false);
      moe_gate = refuse;
      moe_rt_status status = scenario();
      moe_gate = NULL;
      if (!atomic_load(&refused)) {
        CHECK_EQ(status, MOE_RT_OK);
        break;
      }
      // A thread that does not start, or room for text, is no failure.
      if (status != MOE_RT_OK) {
        failures++;
        if (!CHECK_EQ(status, MOE_RT_OUT_OF_MEMORY))
          fprintf(stderr, "  %s, request %d: %s\n", name, n,
                  moe_rt_last_error());
      }
      CHECK(moe_rt_last_error() != NULL);
    }
    CHECK(n < 2000);
    CHECK(failures > 0);
    CHECK_EQ(scenario(), MOE_RT_OK);
  }
}

int main(void) {
  if (moe_cpu_level() < 3) {
    printf("test_memory: this CPU lacks x86-64-v3\n");
    return 77;
  }
  check_make_folder();
  moe_st_entry entries[WEIGHTS_COUNT];
  weights_entries(entries);
  weights_write(check_path("weights.safetensors"), entries, WEIGHTS_COUNT);
  weights_write(check_path("a.safetensors"), entries, 5);
  weights_write(check_path("b.safetensors"), entries + 5, 5);
  static const char index[] =
      "{\"weight_map\":{\"j0\":\"a.safetensors\",\"e0.gate\":\"a.safetensors\","
      "\"e0.up\":\"a.safetensors\",\"e1.gate\":\"a.safetensors\","
      "\"e1.up\":\"a.safetensors\",\"j1\":\"b.safetensors\",\"j2\":\"b."
      "safetensors\","
      "\"scale\":\"b.safetensors\",\"half\":\"b.safetensors\"}}";
  check_write(check_path("model.safetensors.index.json"), index,
              sizeof(index) - 1);
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &module) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(module, check_folder, NULL, &params) == MOE_RT_OK);
  loop("module", open_module);
  loop("describe", describe);
  loop("index", open_index);
  loop("single", open_single);
  loop("synthetic", open_synthetic);
  loop("run", run);
  loop("write", write_file);
  loop("json", read_json);
  moe_rt_params_close(params);
  moe_rt_module_close(module);
  check_remove_folder();
  return check_finish("test_memory");
}
