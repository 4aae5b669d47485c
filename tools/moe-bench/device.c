//===- device.c - Timing a function on a GPU ------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Calls go to a stream of ours with inputs and outputs in device memory. Per
/// input one call is captured into a CUDA graph. Then as many replays are
/// queued as a batch holds, an event between each two, behind work that keeps
/// the device busy meanwhile: times between events are the device's alone.
#define _GNU_SOURCE
#include "device.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int bench_gpu_fail(const bench_gpu *gpu, moe_cu_result result,
                   const char *what) {
  moe_error error;
  moe_cuda_fail(&gpu->cuda, result, what, &error);
  return tool_fail_with(&error);
}

int bench_gpu_alloc(const bench_gpu *gpu, uint64_t size_bytes, const char *what,
                    moe_cu_pointer *pointer) {
  moe_error error;
  void *memory;
  if (moe_cuda_alloc(&gpu->cuda, size_bytes, what, &memory, &error))
    return tool_fail_with(&error);
  *pointer = moe_cuda_pointer(memory);
  return TOOL_OK;
}

void bench_gpu_free(const bench_gpu *gpu, moe_cu_pointer pointer) {
  if (pointer)
    gpu->cuda.f.mem_free(pointer);
}

int bench_gpu_wait(const bench_gpu *gpu, const char *what) {
  moe_cu_result result = gpu->cuda.f.stream_synchronize(gpu->stream);
  return result ? bench_gpu_fail(gpu, result, what) : TOOL_OK;
}

int bench_gpu_stamp(const bench_gpu *gpu, size_t index) {
  moe_cu_result result = gpu->f.event_record(gpu->events[index], gpu->stream);
  return result ? bench_gpu_fail(gpu, result, "cuEventRecord") : TOOL_OK;
}

int bench_gpu_elapsed(const bench_gpu *gpu, size_t index, double *seconds) {
  float milliseconds = 0;
  moe_cu_result result = gpu->f.event_elapsed(&milliseconds, gpu->events[index],
                                              gpu->events[index + 1]);
  *seconds = 1e-3 * (double)milliseconds;
  return result ? bench_gpu_fail(gpu, result, "cuEventElapsedTime") : TOOL_OK;
}

//===----------------------------------------------------------------------===//
// The device
//===----------------------------------------------------------------------===//

static const char *string_of(const moe_json *object, const char *key) {
  const char *text;
  return moe_json_string(moe_json_find(object, key), &text, NULL) ? text : "";
}

/// The code that the runtime takes for this compute capability, as its page
/// says it: of exactly this one, else the highest below it.
static const moe_json *find_code(const moe_json *description,
                                 uint32_t capability) {
  const moe_json *devices = moe_json_find(description, "devices"), *best = NULL;
  long highest = -1;
  for (size_t i = 0; i < moe_json_size(devices); i++) {
    const moe_json *device = moe_json_at(devices, i);
    bool exact = false;
    moe_json_bool(moe_json_find(device, "exact"), &exact);
    char *end;
    long level = 10 * strtol(string_of(device, "compute_capability"), &end, 10);
    level += *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    bool fits = exact ? level == (long)capability : level <= (long)capability;
    if (fits && level > highest) {
      highest = level;
      best = device;
    }
  }
  return best;
}

/// What weights of at least three dimensions, stacks of experts, lie in memory
/// as: "bf16" of "plain bf16[8x40x72]".
static bool has_weights_of(const moe_json *code, const char *type) {
  const moe_json *parameters = moe_json_find(code, "parameters");
  for (size_t i = 0; i < moe_json_size(parameters); i++) {
    const char *layout = string_of(
        moe_json_find(moe_json_at(parameters, i), string_of(code, "name")),
        "layout");
    const char *shape = strchr(layout, '[');
    size_t length = strlen(type);
    if (shape && (size_t)(shape - layout) > length &&
        !strncmp(shape - length, type, length) &&
        shape[-1 - (long)length] == ' ')
      return true;
  }
  return false;
}

/// The narrowest type that a kernel of the code multiplies in. Kernels say it
/// in their names, or multiply weights of 16 bits as they are.
static const char *find_precision(const moe_json *code) {
  static const char *const types[] = {"f32", "tf32", "f16", "bf16"};
  const moe_json *kernels = moe_json_find(code, "kernels");
  size_t best = 0;
  for (size_t i = 0; i < moe_json_size(kernels); i++) {
    const char *name = string_of(moe_json_at(kernels, i), "name");
    if (!strncmp(name, "warpgroup_", 10) || !strncmp(name, "stream_", 7))
      best = has_weights_of(code, "f16") ? 2 : 3;
    for (size_t t = best; t < sizeof(types) / sizeof(*types); t++) {
      size_t length = strlen(types[t]);
      if (!strncmp(name, "product_", 8) &&
          !strncmp(name + 8, types[t], length) && name[8 + length] == '_')
        best = t;
    }
  }
  return types[best];
}

static int find_functions(bench_gpu *gpu) {
  void *symbol;
#define FIND(field, exported, parameters)                                      \
  symbol = dlsym(gpu->cuda.library, exported);                                 \
  if (!symbol) {                                                               \
    tool_error("the CUDA driver has no '%s'", exported);                       \
    return TOOL_ENVIRONMENT;                                                   \
  }                                                                            \
  memcpy(&gpu->f.field, &symbol, sizeof(symbol));
  BENCH_CUDA_FUNCTIONS(FIND)
#undef FIND
  return TOOL_OK;
}

static int prepare(bench_gpu *gpu) {
  int code = find_functions(gpu);
  if (code)
    return code;
  moe_cu_result result =
      gpu->cuda.f.stream_create(&gpu->stream, MOE_CU_STREAM_NON_BLOCKING);
  if (result) {
    gpu->stream = NULL;
    return bench_gpu_fail(gpu, result, "cuStreamCreate");
  }
  for (size_t i = 0; i <= kBenchBatch; i++)
    if ((result = gpu->f.event_create(&gpu->events[i], 0))) {
      gpu->events[i] = NULL;
      return bench_gpu_fail(gpu, result, "cuEventCreate");
    }
  return bench_probes_open(gpu);
}

int bench_gpu_open(const bench_options *options, const tool_device *device,
                   const moe_json *description, bench_gpu **result) {
  bench_gpu *gpu = calloc(1, sizeof(*gpu));
  int ordinal = 0;
  if (!gpu)
    return tool_out_of_memory();
  moe_error error;
  moe_cuda_parse(device->name, &ordinal);
  if (moe_cuda_open_device(&gpu->cuda, *device->driver ? device->driver : NULL,
                           ordinal, options->artifact, &error) ||
      moe_cuda_enter(&gpu->cuda, &error)) {
    moe_cuda_close(&gpu->cuda);
    free(gpu);
    return tool_fail_with(&error);
  }
  *result = gpu;
  const moe_json *code = find_code(description, gpu->cuda.capability);
  gpu->info = (bench_device){.name = gpu->cuda.name,
                             .code = string_of(code, "name"),
                             .precision = find_precision(code),
                             .parameters = moe_json_find(code, "parameters"),
                             .is_emulated = *device->driver != 0};
  return prepare(gpu);
}

void bench_gpu_close(bench_gpu *gpu) {
  if (!gpu)
    return;
  bench_probes_close(gpu);
  for (size_t i = 0; i <= kBenchBatch; i++)
    if (gpu->events[i])
      gpu->f.event_destroy(gpu->events[i]);
  if (gpu->stream)
    gpu->cuda.f.stream_destroy(gpu->stream);
  moe_cuda_leave(&gpu->cuda);
  moe_cuda_close(&gpu->cuda);
  free(gpu);
}

const bench_device *bench_gpu_info(const bench_gpu *gpu) { return &gpu->info; }
void *bench_gpu_stream(const bench_gpu *gpu) { return gpu->stream; }

//===----------------------------------------------------------------------===//
// A call
//===----------------------------------------------------------------------===//

struct bench_gpu_call {
  bench_gpu *gpu;
  tool_call *call;
  bool has_cache, is_captured;
  size_t num_sets;
  moe_cu_pointer *inputs; // [set][input]
  moe_cu_pointer *outputs;
  bench_cu_instance *instances; // [set]
  double longest;               // seconds of a run so far
};

static moe_rt_tensor device_view(const bench_gpu *gpu, tool_tensor *tensor,
                                 moe_cu_pointer pointer) {
  moe_rt_tensor view = tool_tensor_view(tensor);
  view.data = (void *)(uintptr_t)pointer;
  if (pointer) {
    view.device_type = 2;
    view.device_id = gpu->cuda.ordinal;
  }
  return view;
}

static int upload_inputs(bench_gpu_call *c, void *const *data) {
  const tool_call *call = c->call;
  for (size_t i = 0; i < c->num_sets * call->num_inputs; i++) {
    const tool_tensor *input = &call->inputs[i % call->num_inputs];
    size_t bytes;
    if (!tool_tensor_size(input, true, &bytes))
      return tool_out_of_memory();
    int code = bench_gpu_alloc(c->gpu, bytes, "an input", &c->inputs[i]);
    if (code)
      return code;
    moe_cu_result result = bytes ? c->gpu->cuda.f.upload(c->inputs[i], data[i],
                                                         bytes, c->gpu->stream)
                                 : MOE_CU_SUCCESS;
    if (result)
      return bench_gpu_fail(c->gpu, result, "cuMemcpyHtoDAsync");
  }
  return bench_gpu_wait(c->gpu, "the inputs");
}

static void use_set(bench_gpu_call *c, size_t set) {
  tool_call *call = c->call;
  for (size_t i = 0; i < call->num_inputs; i++)
    call->input_views[i] =
        device_view(c->gpu, &call->inputs[i],
                    c->inputs[set % c->num_sets * call->num_inputs + i]);
}

static int make_outputs(bench_gpu_call *c) {
  tool_call *call = c->call;
  use_set(c, 0);
  for (size_t i = 0; i < call->num_outputs; i++) {
    tool_tensor *output = &call->outputs[i];
    int code = tool_call_shape(call, i, NULL);
    if (code)
      return code;
    size_t bytes;
    if (!tool_tensor_size(output, true, &bytes))
      return tool_out_of_memory();
    if (call->wanted[i])
      code = bench_gpu_alloc(c->gpu, bytes, "an output", &c->outputs[i]);
    if (code)
      return code;
    call->output_views[i] = device_view(c->gpu, output, c->outputs[i]);
  }
  return TOOL_OK;
}

/// A plain call, from an empty cache.
static int call_once(bench_gpu_call *c, size_t set) {
  use_set(c, set);
  moe_rt_status status = c->has_cache
                             ? moe_rt_session_truncate(c->call->session, -1, 0)
                             : MOE_RT_OK;
  return status ? tool_fail(status, NULL) : tool_call_run(c->call, NULL);
}

/// A replay appends to the cache at the session's length when it runs. Nobody
/// counts the replays, so each starts from the empty cache too.
static int capture(bench_gpu_call *c, size_t set) {
  const bench_gpu *gpu = c->gpu;
  enum { kModeThreadLocal = 1 };
  moe_cu_result result = gpu->f.begin_capture(gpu->stream, kModeThreadLocal);
  if (result)
    return bench_gpu_fail(gpu, result, "cuStreamBeginCapture");
  use_set(c, set);
  int code = tool_call_run(c->call, NULL);
  bench_cu_graph graph = NULL;
  result = gpu->f.end_capture(gpu->stream, &graph);
  if (!code && result)
    code = bench_gpu_fail(gpu, result, "cuStreamEndCapture");
  if (!code &&
      (result = gpu->f.graph_instantiate(&c->instances[set], graph, 0)))
    code = bench_gpu_fail(gpu, result, "cuGraphInstantiateWithFlags");
  if (graph)
    gpu->f.graph_destroy(graph);
  return code;
}

/// A bounded output's size is read back in each call, which no graph can hold.
static bool can_capture(const tool_call *call) {
  for (size_t i = 0; i < call->num_outputs; i++)
    if (call->wanted[i] && call->output_infos[i].is_bounded)
      return false;
  return true;
}

int bench_gpu_prepare(bench_gpu *gpu, tool_call *call, void *const *data,
                      size_t num_sets, bool has_cache, bool with_graph,
                      bench_gpu_call **result) {
  bench_gpu_call *c = calloc(1, sizeof(*c));
  if (!c)
    return tool_out_of_memory();
  *result = c;
  *c = (bench_gpu_call){
      .gpu = gpu, .call = call, .has_cache = has_cache, .num_sets = num_sets};
  c->inputs = calloc(num_sets * call->num_inputs + 1, sizeof(*c->inputs));
  c->outputs = calloc(call->num_outputs + 1, sizeof(*c->outputs));
  c->instances = calloc(num_sets, sizeof(*c->instances));
  if (!c->inputs || !c->outputs || !c->instances)
    return tool_out_of_memory();
  int code = upload_inputs(c, data);
  if (!code)
    code = make_outputs(c);
  // Finds all memory, without which a capture fails.
  if (!code)
    code = call_once(c, 0);
  if (!code)
    code = bench_gpu_wait(gpu, "the kernels failed");
  c->is_captured = with_graph && can_capture(call);
  if (!code && has_cache) {
    moe_rt_status status = moe_rt_session_truncate(call->session, -1, 0);
    if (status)
      code = tool_fail(status, NULL);
  }
  for (size_t i = 0; i < num_sets && c->is_captured && !code; i++)
    code = capture(c, i);
  return code;
}

bool bench_gpu_is_captured(const bench_gpu_call *c) { return c->is_captured; }

void bench_gpu_release(bench_gpu_call *c) {
  if (!c)
    return;
  c->gpu->cuda.f.stream_synchronize(c->gpu->stream);
  for (size_t i = 0; c->instances && i < c->num_sets; i++)
    if (c->instances[i])
      c->gpu->f.instance_destroy(c->instances[i]);
  for (size_t i = 0; c->inputs && i < c->num_sets * c->call->num_inputs; i++)
    bench_gpu_free(c->gpu, c->inputs[i]);
  for (size_t i = 0; c->outputs && i < c->call->num_outputs; i++)
    bench_gpu_free(c->gpu, c->outputs[i]);
  free(c->inputs);
  free(c->outputs);
  free(c->instances);
  free(c);
}

static int start_run(bench_gpu_call *c, size_t set) {
  if (!c->is_captured)
    return call_once(c, set);
  moe_cu_result result =
      c->gpu->f.graph_launch(c->instances[set % c->num_sets], c->gpu->stream);
  return result ? bench_gpu_fail(c->gpu, result, "cuGraphLaunch") : TOOL_OK;
}

int bench_gpu_run(bench_gpu_call *c, size_t set, size_t most, double *seconds,
                  size_t *count) {
  // Short runs in large batches, long ones alone; the first says which.
  enum { kRunsPerSecond = 50 };
  size_t batch = c->longest > 0 && c->longest * kRunsPerSecond < kBenchBatch
                     ? (size_t)(1 / (kRunsPerSecond * c->longest + 1e-3))
                     : 1;
  batch = batch > kBenchBatch ? kBenchBatch : batch < 1 ? 1 : batch;
  batch = batch > most ? most : batch;
  int code = bench_probes_occupy(c->gpu);
  if (!code)
    code = bench_gpu_stamp(c->gpu, 0);
  for (size_t i = 0; i < batch && !code; i++) {
    code = start_run(c, set + i);
    if (!code)
      code = bench_gpu_stamp(c->gpu, i + 1);
  }
  if (!code)
    code = bench_gpu_wait(c->gpu, "the kernels failed");
  for (size_t i = 0; i < batch && !code; i++) {
    code = bench_gpu_elapsed(c->gpu, i, &seconds[i]);
    if (seconds[i] > c->longest)
      c->longest = seconds[i];
  }
  *count = batch;
  return code;
}
