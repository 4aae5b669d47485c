//===- test_cuda.c - Tests of modules on a GPU ----------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// With the driver of driver.c, which fails where it is told to. After every
// test nothing may be left in there, and the CPU's code of the module works.
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "check.h"
#include "driver.h"
#include "fake.h"
#include "internal.h"
#include "weights.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>

static struct {
  driver_state *(*control)(void);
  int (*depth)(void);
  int (*calls)(const char *name);
  void (*reset)(void);
  void (*forget)(void);
  int (*begin_capture)(moe_cu_stream stream);
  int (*end_capture)(moe_cu_stream stream);
  void (*replay)(moe_cu_stream stream);
  moe_cu_pointer (*foreign_memory)(size_t size_bytes);
  moe_cu_stream (*foreign_stream)(void);
  // Of CUDA, as a caller with device tensors uses it.
  moe_cu_result (*init)(unsigned flags);
  moe_cu_result (*retain)(moe_cu_context *context, moe_cu_device device);
  moe_cu_result (*release)(moe_cu_device device);
  moe_cu_result (*push)(moe_cu_context context);
  moe_cu_result (*pop)(moe_cu_context *context);
  moe_cu_result (*alloc)(moe_cu_pointer *pointer, size_t size);
  moe_cu_result (*free)(moe_cu_pointer pointer);
  moe_cu_result (*create)(moe_cu_stream *stream, unsigned flags);
  moe_cu_result (*destroy)(moe_cu_stream stream);
  moe_cu_result (*synchronize)(moe_cu_stream stream);
} driver;
static driver_state *state;

static void load_driver(void) {
  void *library = dlopen(MOE_DRIVER_PATH, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != NULL);
#define LOAD(field, name)                                                      \
  do {                                                                         \
    void *symbol = dlsym(library, name);                                       \
    REQUIRE(symbol != NULL);                                                   \
    memcpy(&driver.field, &symbol, sizeof(symbol));                            \
  } while (0)
  LOAD(control, "driver_control");
  LOAD(depth, "driver_depth");
  LOAD(calls, "driver_calls");
  LOAD(reset, "driver_reset");
  LOAD(forget, "driver_forget");
  LOAD(begin_capture, "driver_begin_capture");
  LOAD(end_capture, "driver_end_capture");
  LOAD(replay, "driver_replay");
  LOAD(foreign_memory, "driver_foreign_memory");
  LOAD(foreign_stream, "driver_foreign_stream");
  LOAD(init, "cuInit");
  LOAD(retain, "cuDevicePrimaryCtxRetain");
  LOAD(release, "cuDevicePrimaryCtxRelease_v2");
  LOAD(push, "cuCtxPushCurrent_v2");
  LOAD(pop, "cuCtxPopCurrent_v2");
  LOAD(alloc, "cuMemAlloc_v2");
  LOAD(free, "cuMemFree_v2");
  LOAD(create, "cuStreamCreate");
  LOAD(destroy, "cuStreamDestroy_v2");
  LOAD(synchronize, "cuStreamSynchronize");
  state = driver.control();
  driver.reset();
}

static moe_rt_status open_on(const char *device, const char *library,
                             moe_rt_module **module) {
  moe_rt_options options = {sizeof(options), 0, device, library};
  return moe_rt_module_open(MOE_FAKE_PATH, &options, module);
}

// Nothing is left, and what runs on the CPU still does.
static void check_clean(void) {
  CHECK_EQ(state->contexts, 0);
  CHECK_EQ(state->modules, 0);
  CHECK_EQ(state->streams, 0);
  CHECK_EQ(state->allocations, 0);
  CHECK_EQ(state->host_allocations, 0);
  CHECK_EQ(state->used_bytes, 0);
  CHECK_EQ(driver.depth(), 0);
  moe_rt_module *module = NULL;
  moe_rt_params *params = NULL;
  moe_rt_session *session = NULL;
  REQUIRE(open_on("cpu", "/nowhere", &module) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(module, check_folder, NULL, &params) == MOE_RT_OK);
  REQUIRE(moe_rt_session_create(module, params, NULL, &session) == MOE_RT_OK);
  int32_t x = 5, y = 0;
  int64_t shape[1] = {1};
  moe_rt_tensor in = moe_rt_make_tensor(&x, MOE_RT_I32, 1, shape);
  moe_rt_tensor out = moe_rt_make_tensor(&y, MOE_RT_I32, 1, shape);
  CHECK_EQ(moe_rt_run(session, "affine", &in, 1, &out, 1), MOE_RT_OK);
  CHECK_EQ(y, 16);
  moe_rt_session_close(session);
  moe_rt_params_close(params);
  moe_rt_module_close(module);
}

static void expect(moe_rt_status status, moe_rt_status wanted,
                   const char *why) {
  CHECK_EQ(status, wanted);
  CHECK_HAS(moe_rt_last_error(), why);
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

static void refuse_on(const char *device, const char *library,
                      moe_rt_status wanted, const char *why) {
  moe_rt_module *module = NULL;
  expect(open_on(device, library, &module), wanted, why);
  CHECK(!module);
  if (wanted != MOE_RT_INVALID_ARGUMENT)
    CHECK_HAS(moe_rt_last_error(), "fake");
  moe_rt_module_close(module);
  check_clean();
  driver.reset();
}
static void refuse(moe_rt_status wanted, const char *why) {
  refuse_on("cuda", MOE_DRIVER_PATH, wanted, why);
}
static void fail_at(const char *function, int nth, int result) {
  state->fail = function;
  state->nth = nth;
  state->result = result;
}

static void test_device_names(void) {
  static const char *const wrong[] = {
      "",        "gpu",     "cud",   "cuda:",      "cuda:x",
      "cuda:1 ", "cuda:-1", "cuda1", "cuda:00000", "CUDA"};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    refuse_on(wrong[i], MOE_DRIVER_PATH, MOE_RT_INVALID_ARGUMENT,
              "expected cpu, cuda or cuda:N");
  moe_rt_module *module = NULL;
  REQUIRE(open_on("cuda:1", MOE_DRIVER_PATH, &module) == MOE_RT_OK);
  CHECK_EQ(module->cuda->ordinal, 1);
  CHECK_EQ(module->code->level, 80);
  CHECK_EQ(module->first_param, FAKE_NUM_PARAMS);
  CHECK_EQ(module->num_params, FAKE_NUM_PARAMS);
  CHECK_EQ(state->contexts, 1);
  moe_rt_module_close(module);
  check_clean();
}

static void test_no_driver(void) {
  refuse_on("cuda", "/nowhere/libcuda.so", MOE_RT_NO_DEVICE,
            "no CUDA driver: /nowhere/libcuda.so");
  // Some library that is no driver.
  refuse_on("cuda", MOE_FAKE_PATH, MOE_RT_NO_DEVICE,
            "it has no 'cuDriverGetVersion'");
  refuse_on("cuda", MOE_LACKING_DRIVER_PATH, MOE_RT_NO_DEVICE,
            "is too old: it knows CUDA 0.0");
  void *library = dlopen(MOE_LACKING_DRIVER_PATH, RTLD_NOW | RTLD_LOCAL);
  void (*reset)(void) = NULL;
  void *symbol = library ? dlsym(library, "driver_reset") : NULL;
  REQUIRE(symbol != NULL);
  memcpy(&reset, &symbol, sizeof(symbol));
  reset();
  refuse_on("cuda", MOE_LACKING_DRIVER_PATH, MOE_RT_NO_DEVICE,
            "has no 'cuTensorMapEncodeTiled'");
  dlclose(library);
  state->version = 11080;
  refuse(MOE_RT_NO_DEVICE, "is too old: it knows CUDA 11.8, 12.0 is needed");
  fail_at("cuDriverGetVersion", 1, MOE_CU_UNKNOWN);
  refuse(MOE_RT_NO_DEVICE, "is too old");
}

static void test_no_device(void) {
  fail_at("cuInit", 1, MOE_CU_NO_DEVICE);
  refuse(MOE_RT_NO_DEVICE, "no GPU: cuInit: ");
  fail_at("cuInit", 1, MOE_CU_UNKNOWN);
  refuse(MOE_RT_NO_DEVICE, "CUDA does not start: cuInit: ");
  fail_at("cuDeviceGetCount", 1, MOE_CU_UNKNOWN);
  refuse(MOE_RT_NO_DEVICE, "cuDeviceGetCount");
  state->num_devices = 0;
  refuse(MOE_RT_NO_DEVICE, "no GPU");
  state->num_devices = 1;
  refuse_on("cuda:1", MOE_DRIVER_PATH, MOE_RT_NO_DEVICE,
            "there is no cuda:1, the last is cuda:0");
  static const char *const questions[] = {"cuDeviceGet", "cuDeviceGetName"};
  for (int i = 0; i < 2; i++) {
    fail_at(questions[i], 1, MOE_CU_INVALID_DEVICE);
    refuse(MOE_RT_NO_DEVICE, "cuda:0 cannot be asked");
  }
  for (int i = 1; i <= 3; i++) {
    fail_at("cuDeviceGetAttribute", i, MOE_CU_INVALID_DEVICE);
    refuse(MOE_RT_NO_DEVICE, "cuda:0 cannot be asked");
  }
  state->capability = 0;
  refuse(MOE_RT_NO_DEVICE, "compute capability is 0.0");
  state->multiprocessors = 0;
  refuse(MOE_RT_NO_DEVICE, "cuda:0 says it has 0 multiprocessors");
  fail_at("cuDevicePrimaryCtxRetain", 1, MOE_CU_DEVICE_UNAVAILABLE);
  refuse(MOE_RT_NO_DEVICE, "cuda:0 (first GPU) cannot be used");
  fail_at("cuDevicePrimaryCtxRetain", 1, MOE_CU_OUT_OF_MEMORY);
  refuse(MOE_RT_OUT_OF_MEMORY, "cuDevicePrimaryCtxRetain");
  fail_at("cuCtxPushCurrent_v2", 1, MOE_CU_UNKNOWN);
  refuse(MOE_RT_DEVICE_ERROR, "cuCtxPushCurrent");
}

static void test_no_code(void) {
  state->capability = 75;
  refuse(MOE_RT_NO_DEVICE, "has no code for cuda:0 (first GPU, compute "
                           "capability 7.5), only for sm_80, sm_90a");
  // The cubin is refused, the PTX is taken.
  moe_rt_module *module = NULL;
  state->cubin_result = MOE_CU_NO_BINARY_FOR_GPU;
  CHECK_EQ(open_on("cuda", MOE_DRIVER_PATH, &module), MOE_RT_OK);
  moe_rt_module_close(module);
  check_clean();
  // Both are: the first reason counts.
  state->ptx_result = MOE_CU_UNSUPPORTED_PTX_VERSION;
  refuse(MOE_RT_NO_DEVICE, "does not take the cubin for sm_80: "
                           "CUDA_ERROR_OF_THE_STAND_IN (209): ptxas: line 7 is "
                           "wrong");
  static const int refusals[] = {
      MOE_CU_INVALID_IMAGE, MOE_CU_INVALID_PTX, MOE_CU_JIT_COMPILER_NOT_FOUND,
      MOE_CU_JIT_COMPILATION_DISABLED, MOE_CU_INVALID_SOURCE};
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
    state->cubin_result = state->ptx_result = refusals[i];
    refuse(MOE_RT_NO_DEVICE, "does not take the cubin");
  }
  state->cubin_result = MOE_CU_OUT_OF_MEMORY;
  refuse(MOE_RT_OUT_OF_MEMORY, "cuModuleLoadDataEx");
  state->cubin_result = MOE_CU_UNKNOWN;
  refuse(MOE_RT_DEVICE_ERROR, "cuModuleLoadDataEx");
  // A newer GPU takes what is not exact, a 9.0 has its own.
  static const struct {
    int capability;
    uint32_t level;
  } chosen[] = {{80, 80}, {86, 80}, {89, 80}, {90, 90}, {100, 80}};
  for (size_t i = 0; i < 5; i++) {
    state->capability = chosen[i].capability;
    REQUIRE(open_on("cuda", MOE_DRIVER_PATH, &module) == MOE_RT_OK);
    CHECK_EQ(module->code->level, chosen[i].level);
    moe_rt_module_close(module);
  }
  // Where a 9.0 refuses its own, the next best is tried.
  fail_at("cuModuleLoadDataEx", 1, MOE_CU_NO_BINARY_FOR_GPU);
  driver.reset();
  state->capability = 90;
  fail_at("cuModuleLoadDataEx", 1, MOE_CU_NO_BINARY_FOR_GPU);
  REQUIRE(open_on("cuda", MOE_DRIVER_PATH, &module) == MOE_RT_OK);
  CHECK_EQ(module->code->level, 80);
  moe_rt_module_close(module);
  check_clean();
  driver.reset();
}

static void test_kernels(void) {
  state->missing_kernel = "append";
  refuse(MOE_RT_BAD_FILE, "the image for sm_80 has no kernel 'append'");
  state->max_shared = 100001;
  refuse(MOE_RT_NO_DEVICE,
         "kernel 'scale' needs 101024 bytes of shared memory, "
         "cuda:0 (first GPU) has 100001");
  state->max_registers = 64 * 127;
  refuse(MOE_RT_NO_DEVICE, "kernel 'scale' has blocks of 128 threads with 64 "
                           "registers");
  fail_at("cuModuleGetFunction", 2, MOE_CU_UNKNOWN);
  refuse(MOE_RT_DEVICE_ERROR, "positive");
  for (int i = 1; i <= 3; i++) {
    fail_at("cuFuncGetAttribute", i, MOE_CU_INVALID_VALUE);
    refuse(MOE_RT_DEVICE_ERROR, "scale");
  }
  fail_at("cuFuncSetAttribute", 1, MOE_CU_INVALID_VALUE);
  refuse(MOE_RT_DEVICE_ERROR, "cuFuncSetAttribute");
}

//===----------------------------------------------------------------------===//
// Parameters and calls
//===----------------------------------------------------------------------===//

typedef struct {
  moe_rt_module *module;
  moe_rt_params *params;
  moe_rt_session *session;
} gpu;

static gpu start_with(void *stream, int64_t batch, const char *weights) {
  gpu g = {NULL, NULL, NULL};
  REQUIRE(open_on("cuda", MOE_DRIVER_PATH, &g.module) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(g.module, weights, NULL, &g.params) == MOE_RT_OK);
  moe_rt_session_options options = {sizeof(options), 0, batch, 0, NULL, stream};
  REQUIRE(moe_rt_session_create(g.module, g.params, &options, &g.session) ==
          MOE_RT_OK);
  return g;
}
static gpu start(void) { return start_with(NULL, 1, check_folder); }

static void stop(gpu g) {
  // In this order: each keeps what it needs.
  moe_rt_module_close(g.module);
  moe_rt_params_close(g.params);
  moe_rt_session_close(g.session);
}

// A tensor with a shape of its own; good until sixteen more are made.
static moe_rt_tensor tensor(void *data, moe_rt_dtype dtype, int32_t ndim,
                            int64_t a, int64_t b) {
  static _Thread_local int64_t shapes[16][2];
  static _Thread_local int next;
  int64_t *shape = shapes[next++ % 16];
  shape[0] = a;
  shape[1] = b;
  return moe_rt_make_tensor(data, dtype, ndim, shape);
}
static moe_rt_tensor on_device(moe_rt_tensor t) {
  t.device_type = 2;
  return t;
}

static void test_params(const char *weights) {
  gpu g = start_with(NULL, 1, weights);
  moe_rt_module *cpu = NULL;
  moe_rt_params *cpu_params = NULL;
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &cpu) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(cpu, weights, NULL, &cpu_params) == MOE_RT_OK);
  static const size_t sizes[] = {16, 128, 6, 8};
  for (uint8_t i = 0; i < FAKE_NUM_PARAMS; i++) {
    unsigned char bytes[128], wanted[128] = {0};
    memcpy(wanted, cpu_params->data[i], sizes[i]);
    moe_rt_tensor in = tensor(&i, MOE_RT_U8, 0, 0, 0);
    moe_rt_tensor out = tensor(bytes, MOE_RT_U8, 1, 128, 0);
    CHECK_EQ(moe_rt_run(g.session, "param", &in, 1, &out, 1), MOE_RT_OK);
    CHECK(!memcmp(bytes, wanted, 128));
  }
  moe_rt_params_close(cpu_params);
  moe_rt_module_close(cpu);
  stop(g);
  check_clean();
}

static size_t last_done, last_total;
static void progress(void *user, size_t done, size_t total) {
  ++*(int *)user;
  CHECK(done >= last_done && done <= total);
  last_done = done;
  last_total = total;
}

static void test_progress(void) {
  moe_rt_module *module = NULL;
  moe_rt_params *params = NULL;
  REQUIRE(open_on("cuda", MOE_DRIVER_PATH, &module) == MOE_RT_OK);
  int calls = 0;
  moe_rt_params_options options = {sizeof(options), 1, progress, &calls};
  REQUIRE(moe_rt_params_open(module, check_folder, &options, &params) ==
          MOE_RT_OK);
  CHECK(calls > 1);
  CHECK_EQ(last_done, 9);
  CHECK_EQ(last_total, 9);
  moe_rt_params_close(params);
  // Not enough memory for the second parameter: said so, with sizes.
  params = NULL;
  state->memory_bytes = 100;
  expect(moe_rt_params_open(module, check_folder, NULL, &params),
         MOE_RT_OUT_OF_MEMORY,
         "out of memory on cuda:0 (first GPU) for parameter 'experts' of 128 "
         "bytes: 84 of 100 are free");
  moe_rt_module_close(module);
  driver.reset();
  check_clean();
}

static void check_scale(moe_rt_session *session, bool full) {
  float x[12], y[12] = {0}, sums[3] = {0};
  for (int i = 0; i < 12; i++)
    x[i] = (float)i;
  moe_rt_tensor in = tensor(x, MOE_RT_F32, 2, 3, 4);
  moe_rt_tensor out[3] = {tensor(y, MOE_RT_F32, 2, 3, 4),
                          tensor(full ? sums : NULL, MOE_RT_F32, 1, 3, 0),
                          tensor(NULL, MOE_RT_F32, 2, 6, 4)};
  CHECK_EQ(moe_rt_run(session, "scale", &in, 1, out, 3), MOE_RT_OK);
  for (int t = 0; t < 3; t++) {
    float sum = 0;
    for (int c = 0; c < 4; c++) {
      CHECK(y[4 * t + c] == x[4 * t + c] * weights_scale[c]);
      sum += y[4 * t + c];
    }
    CHECK(sums[t] == (full ? sum : 0));
  }
}

static void test_calls(void) {
  gpu g = start();
  check_scale(g.session, false);
  check_scale(g.session, true);
  // No rows: nothing to launch, nothing to read.
  moe_rt_tensor in = tensor(NULL, MOE_RT_F32, 2, 0, 4);
  moe_rt_tensor out[3] = {tensor(NULL, MOE_RT_F32, 2, 0, 4),
                          tensor(NULL, MOE_RT_F32, 1, 0, 0),
                          tensor(NULL, MOE_RT_F32, 2, 0, 4)};
  CHECK_EQ(moe_rt_run(g.session, "scale", &in, 1, out, 3), MOE_RT_OK);
  // A bounded output.
  float signs[4] = {1, -1, 2, 0};
  int64_t places[24];
  in = tensor(signs, MOE_RT_F32, 1, 4, 0);
  out[0] = tensor(places, MOE_RT_I64, 2, 8, 3);
  CHECK_EQ(moe_rt_run(g.session, "positive", &in, 1, out, 1), MOE_RT_OK);
  CHECK_EQ(out[0].shape[0], 2);
  CHECK_EQ(places[3], 2);
  CHECK_EQ(state->blocks, 2);
  // The state starts as zeros and stays.
  int64_t ids[2] = {3, 4}, sum = 0, cache[FAKE_MAX_LENGTH], length = 0;
  int32_t bias = 0;
  in = tensor(ids, MOE_RT_I64, 2, 1, 2);
  out[0] = tensor(&sum, MOE_RT_I64, 1, 1, 0);
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, out, 1), MOE_RT_OK);
  CHECK_EQ(sum, 7);
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, out, 1), MOE_RT_OK);
  CHECK_EQ(sum, 14);
  CHECK_EQ(state->overlapping, 2);
  CHECK_EQ(moe_rt_session_truncate(g.session, 0, 1), MOE_RT_OK);
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, out, 1), MOE_RT_OK);
  CHECK_EQ(sum, 10);
  in = tensor(&bias, MOE_RT_I32, 2, 1, 1);
  out[0] = tensor(cache, MOE_RT_I64, 2, 1, FAKE_MAX_LENGTH);
  CHECK_EQ(moe_rt_run(g.session, "last", &in, 1, out, 1), MOE_RT_OK);
  CHECK_EQ(cache[0] + 10 * cache[1] + 100 * cache[2], 3 + 30 + 400);
  CHECK_EQ(cache[4], 0);
  CHECK_EQ(moe_rt_session_length(g.session, 0, &length), MOE_RT_OK);
  CHECK_EQ(length, 4);
  // Launches that cannot be are the module's fault, and end the call.
  static const struct {
    const char *function, *why;
  } wrong[] = {
      {"affine", "sm_80: launch of kernel '': there is none of this number"},
      {"nested", "launch of kernel 'copy': wrong number of arguments"},
      {"floats", "launch of kernel 'copy': the grid is too large"},
      {"flatten", "a tensor map has an unknown dtype, rank or swizzle"}};
  int launches = state->launches;
  for (int i = 0; i < 4; i++) {
    int32_t x[8] = {0}, y[8];
    moe_rt_tensor inputs[2] = {
        tensor(x, i == 2 ? MOE_RT_BF16 : MOE_RT_I32, i == 3 ? 2 : 1, 1, 1),
        tensor(x, MOE_RT_I32, 1, 1, 0)};
    out[0] = tensor(y, MOE_RT_I32, i == 1 || i == 3 ? 2 : 1, 1, i == 1 ? 8 : 2);
    expect(moe_rt_run(g.session, wrong[i].function, inputs, i == 3 ? 2 : 1, out,
                      1),
           MOE_RT_BAD_FILE, wrong[i].why);
  }
  CHECK_EQ(state->launches, launches);
  check_scale(g.session, true);
  CHECK_EQ(driver.depth(), 0);
  stop(g);
  check_clean();
  // A grid of a block per multiprocessor is cut to what the device has.
  driver.reset();
  state->multiprocessors = 1;
  g = start();
  out[0] = tensor(places, MOE_RT_I64, 2, 8, 3);
  in = tensor(signs, MOE_RT_F32, 1, 4, 0);
  CHECK_EQ(moe_rt_run(g.session, "positive", &in, 1, out, 1), MOE_RT_OK);
  CHECK_EQ(state->blocks, 1);
  check_scale(g.session, true);
  CHECK_EQ(state->blocks, 2);
  stop(g);
  check_clean();
  // With clusters.
  driver.reset();
  state->capability = 90;
  g = start();
  check_scale(g.session, true);
  CHECK_EQ(state->clusters, 1);
  stop(g);
  check_clean();
  driver.reset();
}

//===----------------------------------------------------------------------===//
// The caller's tensors and streams
//===----------------------------------------------------------------------===//

// A caller who has memory of the first GPU.
static void *device_memory(size_t size) {
  moe_cu_pointer pointer = 0;
  REQUIRE(driver.alloc(&pointer, size) == 0);
  return (void *)(uintptr_t)pointer;
}
static void release(void *memory) {
  CHECK_EQ(driver.free((uintptr_t)memory), 0);
}
static void enter(moe_cu_stream *stream) {
  moe_cu_context context = NULL;
  REQUIRE(driver.retain(&context, 0) == 0 && driver.push(context) == 0);
  REQUIRE(driver.create(stream, MOE_CU_STREAM_NON_BLOCKING) == 0);
}
static void leave(moe_cu_stream stream) {
  moe_cu_context context = NULL;
  CHECK_EQ(driver.destroy(stream), 0);
  driver.pop(&context);
  driver.release(0);
}

static void test_tensors(void) {
  moe_cu_stream stream = NULL;
  enter(&stream);
  gpu g = start();
  float *x = device_memory(64), *y = device_memory(64), host[16] = {0};
  for (int i = 0; i < 16; i++)
    x[i] = (float)i;
  // In here, out there, and the other way round.
  moe_rt_tensor in = on_device(tensor(x, MOE_RT_F32, 2, 4, 4));
  moe_rt_tensor out[3] = {tensor(host, MOE_RT_F32, 2, 4, 4),
                          tensor(NULL, MOE_RT_F32, 1, 4, 0),
                          tensor(NULL, MOE_RT_F32, 2, 8, 4)};
  CHECK_EQ(moe_rt_run(g.session, "scale", &in, 1, out, 3), MOE_RT_OK);
  CHECK(host[5] == 5 * weights_scale[1]);
  out[0] = on_device(tensor(y, MOE_RT_F32, 2, 4, 4));
  CHECK_EQ(moe_rt_run(g.session, "scale", &in, 1, out, 3), MOE_RT_OK);
  CHECK(y[6] == 6 * weights_scale[2]);
  in = tensor(host, MOE_RT_F32, 2, 4, 4);
  CHECK_EQ(moe_rt_run(g.session, "scale", &in, 1, out, 3), MOE_RT_OK);
  CHECK(y[6] == 6 * weights_scale[2] * weights_scale[2]);
  // What is wrong with them.
#define WRONG(t, why)                                                          \
  do {                                                                         \
    in = (t);                                                                  \
    expect(moe_rt_run(g.session, "scale", &in, 1, out, 3),                     \
           MOE_RT_INVALID_ARGUMENT, why);                                      \
  } while (0)
  WRONG(on_device(tensor(host, MOE_RT_F32, 2, 4, 4)),
        "scale: input 'x': device type is 2 (CUDA), but data is host memory");
  void *foreign = (void *)(uintptr_t)driver.foreign_memory(64);
  WRONG(on_device(tensor(foreign, MOE_RT_F32, 2, 4, 4)),
        "is memory of another device");
  WRONG(on_device(tensor(x + 1, MOE_RT_F32, 2, 3, 4)),
        "is not aligned to 16 bytes");
  moe_rt_tensor t = on_device(tensor(x, MOE_RT_F32, 2, 4, 4));
  t.device_id = 1;
  WRONG(t, "device is cuda:1, the module is on cuda:0");
  t.device_type = 3;
  WRONG(t, "device type is 3, expected 1 (CPU) or 2 (CUDA)");
  in = on_device(tensor(x, MOE_RT_F32, 2, 4, 4));
  out[0] = on_device(tensor(host, MOE_RT_F32, 2, 4, 4));
  expect(moe_rt_run(g.session, "scale", &in, 1, out, 3),
         MOE_RT_INVALID_ARGUMENT, "output 'y': device type is 2");
  out[0] = on_device(tensor(x, MOE_RT_F32, 2, 4, 4));
  expect(moe_rt_run(g.session, "scale", &in, 1, out, 3),
         MOE_RT_INVALID_ARGUMENT, "overlaps");
  // Values with a limit are checked there as well.
  int64_t *ids = device_memory(16), sum = 0;
  ids[0] = FAKE_VOCAB - 1;
  ids[1] = FAKE_VOCAB;
  in = on_device(tensor(ids, MOE_RT_I64, 2, 1, 2));
  out[0] = tensor(&sum, MOE_RT_I64, 1, 1, 0);
  expect(moe_rt_run(g.session, "append", &in, 1, out, 1),
         MOE_RT_INVALID_ARGUMENT, "value 10 at position 1 is outside [0, 10)");
  ids[1] = 0;
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, out, 1), MOE_RT_OK);
  CHECK_EQ(sum, FAKE_VOCAB - 1);
  // A session on the CPU knows no such tensor, and no stream.
  moe_rt_module *cpu = NULL;
  moe_rt_params *cpu_params = NULL;
  moe_rt_session *cpu_session = NULL;
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &cpu) == MOE_RT_OK);
  REQUIRE(moe_rt_params_open(cpu, check_folder, NULL, &cpu_params) ==
          MOE_RT_OK);
  moe_rt_session_options options = {sizeof(options), 0, 0, 0, NULL, stream};
  expect(moe_rt_session_create(cpu, cpu_params, &options, &cpu_session),
         MOE_RT_INVALID_ARGUMENT,
         "stream is set, but the module is on the CPU");
  options.stream = NULL;
  REQUIRE(moe_rt_session_create(cpu, cpu_params, &options, &cpu_session) ==
          MOE_RT_OK);
  expect(moe_rt_run(cpu_session, "append", &in, 1, out, 1),
         MOE_RT_INVALID_ARGUMENT, "device type is 2, expected 1 (CPU)");
  expect(moe_rt_session_advance(cpu_session, 1), MOE_RT_INVALID_ARGUMENT,
         "the session is on the CPU");
  moe_rt_session_close(cpu_session);
  moe_rt_params_close(cpu_params);
  // A stream of another context.
  options.stream = driver.foreign_stream();
  moe_rt_session *none = NULL;
  expect(moe_rt_session_create(g.module, g.params, &options, &none),
         MOE_RT_INVALID_ARGUMENT, "not one of the primary context of cuda:0");
  moe_rt_module_close(cpu);
  release(x);
  release(y);
  release(ids);
  // Not counted by the stand-in as one of device 0.
  state->used_bytes += 64;
  state->allocations++;
  release(foreign);
  leave(stream);
  stop(g);
  check_clean();
}

static void test_streams(void) {
  moe_cu_stream stream = NULL;
  enter(&stream);
  gpu g = start_with(stream, 1, check_folder);
  float *x = device_memory(64), *y = device_memory(64);
  for (int i = 0; i < 16; i++)
    x[i] = 1;
  moe_rt_tensor in = on_device(tensor(x, MOE_RT_F32, 2, 4, 4));
  moe_rt_tensor out[3] = {on_device(tensor(y, MOE_RT_F32, 2, 4, 4)),
                          tensor(NULL, MOE_RT_F32, 1, 4, 0),
                          tensor(NULL, MOE_RT_F32, 2, 8, 4)};
  // The work is in the stream, and done when its owner waits.
  int waited = state->synchronizations;
  y[1] = 77;
  CHECK_EQ(moe_rt_run(g.session, "scale", &in, 1, out, 3), MOE_RT_OK);
  CHECK_EQ(state->synchronizations, waited);
  CHECK(y[1] == 77);
  CHECK_EQ(driver.synchronize(stream), 0);
  CHECK(y[1] == weights_scale[1]);
  // Lengths are those of the time of the call.
  int64_t ids[2] = {1, 2}, *sums = device_memory(32);
  for (int i = 0; i < 2; i++) {
    in = tensor(ids, MOE_RT_I64, 2, 1, 2);
    out[0] = tensor(&sums[2], MOE_RT_I64, 1, 1, 0);
    CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, out, 1), MOE_RT_OK);
  }
  CHECK_EQ(sums[2], 6);
  release(x);
  release(y);
  release(sums);
  stop(g);
  leave(stream);
  check_clean();
}

static void test_graphs(void) {
  moe_cu_stream stream = NULL;
  enter(&stream);
  gpu g = start_with(stream, 2, check_folder);
  int64_t *ids = device_memory(16), *sum = device_memory(16), length = 0;
  ids[0] = 1;
  ids[1] = 2;
  moe_rt_tensor in = on_device(tensor(ids, MOE_RT_I64, 2, 2, 1));
  moe_rt_tensor out = on_device(tensor(sum, MOE_RT_I64, 1, 2, 0));
  // Its memory is not there yet.
  driver.begin_capture(stream);
  expect(moe_rt_run(g.session, "append", &in, 1, &out, 1),
         MOE_RT_INVALID_ARGUMENT,
         "a captured call needs 192 bytes for KV cache");
  driver.end_capture(stream);
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, &out, 1), MOE_RT_OK);
  CHECK_EQ(driver.synchronize(stream), 0);
  CHECK_EQ(sum[1], 2);
  // Captured: no memory, no wait, no token counted.
  int waited = state->synchronizations;
  size_t used = state->used_bytes;
  driver.begin_capture(stream);
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, &out, 1), MOE_RT_OK);
  int64_t host = 0;
  moe_rt_tensor host_ids = tensor(&host, MOE_RT_I64, 2, 1, 1);
  moe_rt_tensor host_in = tensor(ids, MOE_RT_I64, 2, 2, 1);
  (void)host_ids;
  expect(moe_rt_run(g.session, "append", &host_in, 1, &out, 1),
         MOE_RT_INVALID_ARGUMENT,
         "is in host memory, which a captured call cannot use");
  driver.end_capture(stream);
  CHECK_EQ(state->synchronizations, waited);
  CHECK_EQ(state->used_bytes, used);
  CHECK_EQ(moe_rt_session_length(g.session, 0, &length), MOE_RT_OK);
  CHECK_EQ(length, 1);
  // Each replay appends at the lengths of its time, with the ids of its time.
  for (int i = 2; i <= 4; i++) {
    ids[1] = i;
    driver.replay(stream);
    CHECK_EQ(moe_rt_session_advance(g.session, 1), MOE_RT_OK);
    CHECK_EQ(sum[0], i);
  }
  CHECK_EQ(sum[1], 2 + 2 + 3 + 4);
  CHECK_EQ(moe_rt_session_length(g.session, 1, &length), MOE_RT_OK);
  CHECK_EQ(length, 4);
  // A plain call in between counts too.
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, &out, 1), MOE_RT_OK);
  driver.replay(stream);
  CHECK_EQ(moe_rt_session_advance(g.session, 1), MOE_RT_OK);
  CHECK_EQ(sum[0], 6);
  CHECK_EQ(moe_rt_session_truncate(g.session, -1, 2), MOE_RT_OK);
  driver.replay(stream);
  // A call waits for the replays in front of it: they keep their lengths.
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, &out, 1), MOE_RT_OK);
  CHECK_EQ(sum[0], 3);
  CHECK_EQ(driver.synchronize(stream), 0);
  CHECK_EQ(sum[0], 3);
  expect(moe_rt_session_advance(g.session, 10), MOE_RT_TOO_SMALL,
         "row 0 holds 3 tokens of at most 12, no room for 10 more");
  expect(moe_rt_session_advance(g.session, -1), MOE_RT_INVALID_ARGUMENT,
         "num_tokens is -1");
  expect(moe_rt_session_advance(NULL, 1), MOE_RT_INVALID_ARGUMENT,
         "session is NULL");
  // What the host must learn from the call cannot be captured.
  float *x = device_memory(16);
  int64_t *places = device_memory(8 * 24);
  x[0] = x[1] = x[2] = x[3] = 1;
  in = on_device(tensor(x, MOE_RT_F32, 1, 4, 0));
  out = on_device(tensor(places, MOE_RT_I64, 2, 8, 3));
  CHECK_EQ(moe_rt_run(g.session, "positive", &in, 1, &out, 1), MOE_RT_OK);
  CHECK_EQ(out.shape[0], 4);
  out.shape[0] = 8;
  driver.begin_capture(stream);
  expect(moe_rt_run(g.session, "positive", &in, 1, &out, 1),
         MOE_RT_INVALID_ARGUMENT, "differs from replay to replay");
  driver.end_capture(stream);
  release(ids);
  release(sum);
  release(x);
  release(places);
  stop(g);
  leave(stream);
  check_clean();
}

//===----------------------------------------------------------------------===//
// Failures in the middle
//===----------------------------------------------------------------------===//

static moe_rt_status run_scale(moe_rt_session *session, int64_t rows) {
  static float x[4096], y[4096];
  moe_rt_tensor in = tensor(x, MOE_RT_F32, 2, rows, 4);
  moe_rt_tensor out[3] = {tensor(y, MOE_RT_F32, 2, rows, 4),
                          tensor(NULL, MOE_RT_F32, 1, rows, 0),
                          tensor(NULL, MOE_RT_F32, 2, 2 * rows, 4)};
  return moe_rt_run(session, "scale", &in, 1, out, 3);
}

static void test_failures(void) {
  gpu g = start();
  // Out of memory is not the end.
  CHECK_EQ(run_scale(g.session, 1), MOE_RT_OK);
  state->memory_bytes = state->used_bytes + 100;
  expect(run_scale(g.session, 1000), MOE_RT_OUT_OF_MEMORY,
         "for copies of host tensors of 32256 bytes");
  state->memory_bytes = 1 << 20;
  CHECK_EQ(run_scale(g.session, 1000), MOE_RT_OK);
  double x[4] = {0};
  moe_rt_tensor in = tensor(x, MOE_RT_F64, 2, 2, 2);
  expect(moe_rt_run(g.session, "greedy", &in, 1, NULL, 0), MOE_RT_OUT_OF_MEMORY,
         "for arena of 4611686018427387904 bytes");
  // Neither is a launch that finds no room.
  driver.reset();
  fail_at("cuLaunchKernelEx", 1, MOE_CU_LAUNCH_OUT_OF_RESOURCES);
  expect(run_scale(g.session, 1), MOE_RT_DEVICE_ERROR,
         "launch of kernel 'scale': CUDA_ERROR_OF_THE_STAND_IN (701)");
  check_scale(g.session, true);
  driver.reset();
  fail_at("cuTensorMapEncodeTiled", 1, MOE_CU_INVALID_VALUE);
  expect(run_scale(g.session, 1), MOE_RT_DEVICE_ERROR,
         "cuTensorMapEncodeTiled");
  check_scale(g.session, true);
  // A failed call adds no token.
  int64_t id = 3, sum = 0, length = 7;
  in = tensor(&id, MOE_RT_I64, 2, 1, 1);
  moe_rt_tensor out = tensor(&sum, MOE_RT_I64, 1, 1, 0);
  driver.reset();
  fail_at("cuLaunchKernelEx", 1, MOE_CU_LAUNCH_OUT_OF_RESOURCES);
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, &out, 1),
           MOE_RT_DEVICE_ERROR);
  CHECK_EQ(moe_rt_session_length(g.session, 0, &length), MOE_RT_OK);
  CHECK_EQ(length, 0);
  CHECK_EQ(moe_rt_run(g.session, "append", &in, 1, &out, 1), MOE_RT_OK);
  CHECK_EQ(sum, 3);
  // An illegal address is: the session stays as it is, though the driver
  // would work again.
  driver.reset();
  fail_at("cuStreamSynchronize", 1, MOE_CU_ILLEGAL_ADDRESS);
  expect(run_scale(g.session, 1), MOE_RT_DEVICE_ERROR,
         "cuda:0 (first GPU): the kernels failed: CUDA_ERROR_ILLEGAL_ADDRESS "
         "(700): an illegal address\\x0awas met");
  driver.reset();
  expect(run_scale(g.session, 1), MOE_RT_DEVICE_ERROR,
         "CUDA_ERROR_ILLEGAL_ADDRESS");
  stop(g);
  check_clean();
  // The driver itself keeps it: everything of this context fails, and closes.
  g = start();
  state->sticky = MOE_CU_ILLEGAL_ADDRESS;
  expect(run_scale(g.session, 1), MOE_RT_DEVICE_ERROR, "ILLEGAL_ADDRESS");
  moe_rt_session *again = NULL;
  CHECK_EQ(moe_rt_session_create(g.module, g.params, NULL, &again),
           MOE_RT_DEVICE_ERROR);
  stop(g);
  // Pinned memory of a lost context is given back with the rest.
  driver.reset();
  check_clean();
}

#define NAME(field, name, exported, parameters) exported,
static const char *const names[] = {MOE_CUDA_FUNCTIONS(NAME)};
enum { kNumNames = sizeof(names) / sizeof(names[0]) };

// Everything that a program does, until the first failure; `calls` of the
// driver until it is all closed again.
static moe_rt_status scenario(int calls[kNumNames]) {
  gpu g = {NULL, NULL, NULL};
  moe_rt_status status = open_on("cuda", MOE_DRIVER_PATH, &g.module);
  if (!status)
    status = moe_rt_params_open(g.module, check_folder, NULL, &g.params);
  if (!status)
    status = moe_rt_session_create(g.module, g.params, NULL, &g.session);
  if (!status)
    status = run_scale(g.session, 2);
  int64_t id = 3, sum = 0;
  moe_rt_tensor in = tensor(&id, MOE_RT_I64, 2, 1, 1);
  moe_rt_tensor out = tensor(&sum, MOE_RT_I64, 1, 1, 0);
  if (!status)
    status = moe_rt_run(g.session, "append", &in, 1, &out, 1);
  float x = 1;
  int64_t places[6];
  in = tensor(&x, MOE_RT_F32, 1, 1, 0);
  out = tensor(places, MOE_RT_I64, 2, 2, 3);
  if (!status)
    status = moe_rt_run(g.session, "positive", &in, 1, &out, 1);
  for (size_t i = 0; i < kNumNames && calls; i++)
    calls[i] = driver.calls(names[i]);
  stop(g);
  return status;
}

// Fails once in each call of each function of the driver.
static void test_every_call(void) {
  int before[kNumNames], all[kNumNames];
  driver.reset();
  REQUIRE(scenario(before) == MOE_RT_OK);
  for (size_t i = 0; i < kNumNames; i++)
    all[i] = driver.calls(names[i]);
  static const int results[] = {MOE_CU_OUT_OF_MEMORY, MOE_CU_ILLEGAL_ADDRESS,
                                MOE_CU_INVALID_VALUE};
  for (size_t i = 0; i < kNumNames; i++)
    for (int n = 1; n <= all[i]; n++)
      for (int k = 0; k < 3; k++) {
        driver.reset();
        fail_at(names[i], n, results[k]);
        moe_rt_status status = scenario(NULL);
        // What cannot be taken back is no failure of the call.
        bool is_end = n > before[i] || strstr(names[i], "Pop") ||
                      strstr(names[i], "Destroy");
        if (!CHECK((status == MOE_RT_OK) == is_end))
          fprintf(stderr, "  %s, call %d\n", names[i], n);
        // A context that cannot be entered keeps its memory until its end.
        if (!(is_end && strstr(names[i], "Push"))) {
          CHECK_EQ(state->modules + state->streams + state->allocations, 0);
          CHECK_EQ(state->host_allocations, 0);
        }
        CHECK_EQ(state->contexts, 0);
        CHECK_EQ(driver.depth(), 0);
        driver.forget();
      }
  driver.reset();
  check_clean();
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

static gpu shared;

static void *work(void *argument) {
  (void)argument;
  moe_rt_session *session = NULL;
  if (moe_rt_session_create(shared.module, shared.params, NULL, &session))
    return REASON("no session");
  void *reason = NULL;
  for (int64_t i = 0; i < 200 && !reason; i++) {
    float x[8], y[8];
    for (int k = 0; k < 8; k++)
      x[k] = (float)(i + k);
    moe_rt_tensor in = tensor(x, MOE_RT_F32, 2, 2, 4);
    moe_rt_tensor out[3] = {tensor(y, MOE_RT_F32, 2, 2, 4),
                            tensor(NULL, MOE_RT_F32, 1, 2, 0),
                            tensor(NULL, MOE_RT_F32, 2, 4, 4)};
    if (moe_rt_run(session, "scale", &in, 1, out, 3))
      reason = REASON("a call failed");
    else if (y[7] != (float)(i + 7) * weights_scale[3])
      reason = REASON("a wrong result");
  }
  moe_rt_session_close(session);
  return reason ? reason : driver.depth() ? REASON("a context is left") : NULL;
}

static void test_threads(void) {
  shared = start();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    REQUIRE(!pthread_create(&threads[i], NULL, work, NULL));
  for (int i = 0; i < 4; i++) {
    void *reason = NULL;
    pthread_join(threads[i], &reason);
    if (!CHECK(!reason))
      fprintf(stderr, "  %s\n", (const char *)reason);
  }
  stop(shared);
  check_clean();
}

int main(void) {
  if (moe_cpu_level() < 3) {
    printf("test_cuda: this CPU lacks x86-64-v3\n");
    return 77;
  }
  load_driver();
  check_make_folder();
  moe_st_entry entries[WEIGHTS_COUNT];
  weights_entries(entries);
  weights_write(check_path("model.safetensors"), entries, WEIGHTS_COUNT);
  test_device_names();
  test_no_driver();
  test_no_device();
  test_no_code();
  test_kernels();
  test_params(check_folder);
  test_params("synthetic:7");
  test_progress();
  test_calls();
  test_tensors();
  test_streams();
  test_graphs();
  test_failures();
  test_every_call();
  test_threads();
  check_remove_folder();
  return check_finish("test_cuda");
}
