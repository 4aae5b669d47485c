//===- test_driver.cpp - The stand-in for the CUDA driver -----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// The library is opened as the runtime opens it, and everything that the
// runtime asks for must be there.
//===----------------------------------------------------------------------===//
#include "check.h"
#include "cuda_api.h"
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <vector>

static moe_cuda_functions cu;
static size_t (*takeReport)(char *text, size_t size);

static bool openLibrary() {
  void *library = dlopen(MOE_EMULATOR_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!CHECK(library))
    return false;
  bool all = true;
#define MOE_FIND(field, name, exported, parameters)                            \
  if (void *symbol = dlsym(library, exported))                                 \
    memcpy(&cu.field, &symbol, sizeof symbol);                                 \
  else                                                                         \
    all = CHECK_HAS("", exported " is missing");
  MOE_CUDA_FUNCTIONS(MOE_FIND)
#undef MOE_FIND
  void *symbol = dlsym(library, "moe_emulator_take_report");
  memcpy(&takeReport, &symbol, sizeof symbol);
  return CHECK(symbol) && all;
}

static std::string readFile(const char *path) {
  std::string text;
  FILE *file = fopen(path, "rb");
  if (!CHECK(file))
    return text;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;)
    text.append(buffer, n);
  fclose(file);
  return text;
}

static moe_cu_result load(moe_cu_module *module, const std::string &text,
                          std::string *log = nullptr) {
  char buffer[512] = "";
  int options[] = {MOE_CU_JIT_ERROR_LOG_BUFFER,
                   MOE_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {buffer, reinterpret_cast<void *>(sizeof buffer)};
  moe_cu_result result =
      cu.module_load(module, text.c_str(), log ? 2 : 0, options, values);
  if (log)
    *log = buffer;
  return result;
}

/// Everything before a context is there is refused.
static void testStart() {
  moe_cu_pointer p = 0;
  moe_cu_context context = nullptr;
  CHECK_EQ(cu.mem_alloc(&p, 4), MOE_CU_NOT_INITIALIZED);
  CHECK_EQ(cu.context_retain(&context, 0), MOE_CU_NOT_INITIALIZED);
  CHECK_EQ(cu.init(1), MOE_CU_INVALID_VALUE);
  CHECK_EQ(cu.init(0), MOE_CU_SUCCESS);
  CHECK_EQ(cu.mem_alloc(&p, 4), 201);
  int version = 0, count = 0, device = -1;
  CHECK_EQ(cu.driver_version(&version), MOE_CU_SUCCESS);
  CHECK_EQ(version, 13000);
  CHECK_EQ(cu.device_count(&count), MOE_CU_SUCCESS);
  CHECK_EQ(count, 2);
  CHECK_EQ(cu.device_get(&device, 2), MOE_CU_INVALID_DEVICE);
  for (int ordinal = 0; ordinal < 2; ++ordinal) {
    int major = 0, minor = -1, shared = 0;
    char name[64] = "";
    CHECK_EQ(cu.device_get(&device, ordinal), MOE_CU_SUCCESS);
    CHECK_EQ(cu.device_name(name, sizeof name, device), MOE_CU_SUCCESS);
    CHECK_HAS(name, "emulated");
    cu.device_attribute(&major, MOE_CU_DEVICE_COMPUTE_CAPABILITY_MAJOR, device);
    cu.device_attribute(&minor, MOE_CU_DEVICE_COMPUTE_CAPABILITY_MINOR, device);
    cu.device_attribute(
        &shared, MOE_CU_DEVICE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, device);
    CHECK_EQ(major, ordinal == 0 ? 9 : 8);
    CHECK_EQ(minor, 0);
    CHECK_EQ(shared, ordinal == 0 ? 232448 : 166912);
    CHECK_EQ(cu.device_attribute(&major, 9999, device), MOE_CU_INVALID_VALUE);
  }
  const char *text = nullptr;
  CHECK_EQ(cu.error_name(MOE_CU_OUT_OF_MEMORY, &text), MOE_CU_SUCCESS);
  CHECK_HAS(text, "CUDA_ERROR_OUT_OF_MEMORY");
  CHECK_EQ(cu.error_string(12345, &text), MOE_CU_INVALID_VALUE);
}

/// The limit is MOE_EMULATOR_MEMORY, set by main().
static void testMemory() {
  size_t free = 0, total = 0;
  CHECK_EQ(cu.mem_info(&free, &total), MOE_CU_SUCCESS);
  CHECK_EQ(total, 1 << 20);
  CHECK_EQ(free, total);
  moe_cu_pointer a = 0, b = 0;
  CHECK_EQ(cu.mem_alloc(&a, 0), MOE_CU_INVALID_VALUE);
  CHECK_EQ(cu.mem_alloc(&a, (1 << 20) + 1), MOE_CU_OUT_OF_MEMORY);
  CHECK_EQ(cu.mem_alloc(&a, size_t(-1)), MOE_CU_OUT_OF_MEMORY);
  CHECK_EQ(cu.mem_alloc(&a, 1 << 19), MOE_CU_SUCCESS);
  CHECK_EQ(cu.mem_alloc(&b, (1 << 19) + 1), MOE_CU_OUT_OF_MEMORY);
  cu.mem_info(&free, &total);
  CHECK_EQ(free, 1 << 19);
  int type = 0, ordinal = -1, host = 0;
  CHECK_EQ(cu.pointer_attribute(&type, MOE_CU_POINTER_MEMORY_TYPE, a + 5),
           MOE_CU_SUCCESS);
  CHECK_EQ(type, MOE_CU_MEMORY_DEVICE);
  CHECK_EQ(cu.pointer_attribute(&ordinal, MOE_CU_POINTER_DEVICE_ORDINAL, a),
           MOE_CU_SUCCESS);
  CHECK_EQ(ordinal, 0);
  CHECK_EQ(cu.pointer_attribute(&type, MOE_CU_POINTER_MEMORY_TYPE,
                                reinterpret_cast<uintptr_t>(&host)),
           MOE_CU_INVALID_VALUE);
  int in[4] = {1, 2, 3, 4}, out[4] = {};
  CHECK_EQ(cu.upload(a, in, sizeof in, nullptr), MOE_CU_SUCCESS);
  CHECK_EQ(cu.clear(a + 4, 0xff, 4, nullptr), MOE_CU_SUCCESS);
  CHECK_EQ(cu.download(out, a, sizeof out, nullptr), MOE_CU_SUCCESS);
  CHECK(out[0] == 1 && out[1] == -1 && out[2] == 3 && out[3] == 4);
  CHECK_EQ(cu.upload(a + (1 << 19) - 4, in, 8, nullptr), MOE_CU_INVALID_VALUE);
  CHECK_EQ(cu.mem_free(a + 4), MOE_CU_INVALID_VALUE);
  CHECK_EQ(cu.mem_free(a), MOE_CU_SUCCESS);
  CHECK_EQ(cu.mem_free(a), MOE_CU_INVALID_VALUE);
  CHECK_EQ(cu.download(out, a, 4, nullptr), MOE_CU_INVALID_VALUE);
}

static void testModules(const std::string &scale) {
  moe_cu_module module = nullptr;
  std::string log;
  CHECK_EQ(load(&module, "\177ELF"), MOE_CU_NO_BINARY_FOR_GPU);
  CHECK_EQ(load(&module, ".version 7.0\n.target sm_80\nfrob", &log),
           MOE_CU_INVALID_PTX);
  CHECK_HAS(log, "line 3: 'frob' is not understood here");
  CHECK_EQ(load(&module, scale), MOE_CU_SUCCESS);
  moe_cu_function function = nullptr;
  CHECK_EQ(cu.module_function(&function, module, "other"), MOE_CU_NOT_FOUND);
  CHECK_EQ(cu.module_unload(module), MOE_CU_SUCCESS);
}

/// PTX for sm_90a is for device 0 alone, that for sm_80 for both.
static void testTargets(const std::string &scale, int device) {
  std::string newer = scale;
  newer.replace(newer.find("sm_80"), 5, "sm_90a");
  moe_cu_module module = nullptr;
  CHECK_EQ(load(&module, scale), MOE_CU_SUCCESS);
  cu.module_unload(module);
  CHECK_EQ(load(&module, newer),
           device ? MOE_CU_NO_BINARY_FOR_GPU : MOE_CU_SUCCESS);
  if (!device)
    cu.module_unload(module);
}

static void testLaunch(const std::string &scale) {
  moe_cu_module module = nullptr;
  moe_cu_function function = nullptr;
  moe_cu_pointer x = 0;
  if (!CHECK_EQ(load(&module, scale), MOE_CU_SUCCESS) ||
      !CHECK_EQ(cu.module_function(&function, module, "scale"), 0) ||
      !CHECK_EQ(cu.mem_alloc(&x, 400), MOE_CU_SUCCESS))
    return;
  std::vector<float> values(100), found(100);
  for (int n = 0; n < 100; ++n)
    values[size_t(n)] = float(n);
  CHECK_EQ(cu.upload(x, values.data(), 400, nullptr), MOE_CU_SUCCESS);
  float factor = 2.5f;
  unsigned count = 100;
  void *arguments[] = {&x, &factor, &count};
  moe_cu_launch_config config = {4, 1, 1, 32, 1, 1, 0, nullptr, nullptr, 0};
  CHECK_EQ(cu.launch(&config, function, arguments, nullptr), MOE_CU_SUCCESS);
  CHECK_EQ(cu.download(found.data(), x, 400, nullptr), MOE_CU_SUCCESS);
  for (size_t n = 0; n < 100; ++n)
    CHECK(found[n] == 2.5f * float(n));

  // What the driver refuses leaves the context as it is.
  moe_cu_launch_config bad = config;
  bad.grid_x = 0;
  CHECK_EQ(cu.launch(&bad, function, arguments, nullptr), MOE_CU_INVALID_VALUE);
  bad = config;
  bad.block_x = bad.block_y = 1u << 31; // the product wraps to 0 in 64 bits
  bad.block_z = 4;
  CHECK_EQ(cu.launch(&bad, function, arguments, nullptr), MOE_CU_INVALID_VALUE);
  bad = config;
  bad.block_x = 1025;
  CHECK_EQ(cu.launch(&bad, function, arguments, nullptr), MOE_CU_INVALID_VALUE);
  bad = config;
  bad.shared_bytes = 49153;
  CHECK_EQ(cu.launch(&bad, function, arguments, nullptr), MOE_CU_INVALID_VALUE);
  CHECK_EQ(cu.function_set(function, MOE_CU_FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                           232449),
           MOE_CU_INVALID_VALUE);
  CHECK_EQ(cu.function_set(function, MOE_CU_FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                           49153),
           MOE_CU_SUCCESS);
  CHECK_EQ(cu.launch(&config, function, nullptr, nullptr),
           MOE_CU_INVALID_VALUE);
  moe_cu_launch_attribute cluster = {};
  cluster.id = MOE_CU_LAUNCH_CLUSTER_DIMENSION;
  cluster.value.cluster = {2, 1, 1};
  bad = config;
  bad.attributes = &cluster;
  bad.num_attributes = 1;
  CHECK_EQ(cu.launch(&bad, function, arguments, nullptr), 801);
  CHECK_EQ(cu.launch(&config, function, arguments, nullptr), MOE_CU_SUCCESS);

  // A host pointer is no device pointer, and a fault stays.
  moe_cu_pointer host = reinterpret_cast<uintptr_t>(values.data());
  void *wrong[] = {&host, &factor, &count};
  CHECK_EQ(cu.launch(&config, function, wrong, nullptr),
           MOE_CU_ILLEGAL_ADDRESS);
  char report[400] = "";
  size_t length = takeReport(nullptr, 0);
  CHECK(length > 40);
  CHECK_EQ(takeReport(report, sizeof report), length);
  CHECK_EQ(strlen(report), length);
  CHECK_HAS(report, "kernel scale, block (");
  CHECK_HAS(report, "line 26: global address 0x");
  CHECK(!strchr(report, '\n'));
  // It is told once.
  CHECK_EQ(takeReport(report, sizeof report), 0);
  CHECK_EQ(report[0], 0);
  CHECK_EQ(cu.launch(&config, function, arguments, nullptr),
           MOE_CU_ILLEGAL_ADDRESS);
  CHECK_EQ(cu.download(found.data(), x, 400, nullptr), MOE_CU_ILLEGAL_ADDRESS);
  CHECK_EQ(cu.stream_synchronize(nullptr), MOE_CU_ILLEGAL_ADDRESS);
  CHECK_EQ(cu.mem_free(x), MOE_CU_SUCCESS);
  CHECK_EQ(cu.module_unload(module), MOE_CU_SUCCESS);
}

/// Kernels that may start before the one in front has ended.
static void testOverlap() {
  static const struct {
    std::vector<const char *> kernels; // the last ones overlap
    const char *report;                // nullptr: all is well
  } cases[] = {
      {{"put", "wait_get"}, nullptr},
      {{"put", "wait_put"}, nullptr},
      {{"put", "get"}, "reads what the kernel in front may not have written"},
      {{"put", "add"}, "the kernel in front may"},
      {{"put", "put"}, "writes global memory where the kernel in front"},
      {{"put", "get_other"}, nullptr},
      // The second one has waited, so the first has ended.
      {{"put", "wait_start", "get"}, nullptr},
      {{"put", "start", "get"}, "reads what the kernel in front"},
      {{"put", "start", "wait_get"}, nullptr},
  };
  std::string text = ".version 8.0\n.target sm_90\n.address_size 64\n";
  static const char *const bodies[][2] = {
      {"put", "st.global.u32 [%x], 7;"},
      {"get", "ld.global.u32 %r, [%x];"},
      {"add", "red.global.add.u32 [%x], 7;"},
      {"get_other", "ld.global.u32 %r, [%x+16];"},
      {"wait_get", "griddepcontrol.wait;\nld.global.u32 %r, [%x];"},
      {"wait_put", "griddepcontrol.wait;\nst.global.u32 [%x], 7;"},
      {"start", "griddepcontrol.launch_dependents;"},
      {"wait_start",
       "griddepcontrol.wait;\ngriddepcontrol.launch_dependents;"}};
  for (auto &[name, body] : bodies)
    text += std::string(".visible .entry ") + name +
            "(.param .u64 p)\n{\n.reg .b64 %x;\n.reg .b32 %r;\n"
            "ld.param.u64 %x, [p];\n" +
            body + "\nret;\n}\n";
  for (const auto &test : cases)
    for (bool overlaps : {false, true}) {
      moe_cu_context context = nullptr;
      moe_cu_module module = nullptr;
      moe_cu_pointer x = 0;
      uint32_t zeros[8] = {};
      CHECK_EQ(cu.context_retain(&context, 0), MOE_CU_SUCCESS);
      CHECK_EQ(cu.context_push(context), MOE_CU_SUCCESS);
      CHECK_EQ(load(&module, text), MOE_CU_SUCCESS);
      CHECK_EQ(cu.mem_alloc(&x, sizeof zeros), MOE_CU_SUCCESS);
      CHECK_EQ(cu.upload(x, zeros, sizeof zeros, nullptr), MOE_CU_SUCCESS);
      moe_cu_launch_attribute overlap = {};
      overlap.id = MOE_CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION;
      overlap.value.allowed = 1;
      moe_cu_launch_config config = {1, 1, 1, 1, 1, 1, 0, nullptr, &overlap, 0};
      moe_cu_result result = MOE_CU_SUCCESS;
      void *arguments[] = {&x};
      for (const char *name : test.kernels) {
        moe_cu_function function = nullptr;
        CHECK_EQ(cu.module_function(&function, module, name), MOE_CU_SUCCESS);
        CHECK_EQ(result, MOE_CU_SUCCESS);
        result = cu.launch(&config, function, arguments, nullptr);
        config.num_attributes = overlaps;
      }
      char report[400] = "";
      takeReport(report, sizeof report);
      if (overlaps && test.report) {
        CHECK_EQ(result, MOE_CU_LAUNCH_FAILED);
        CHECK_HAS(report, test.report);
      } else {
        CHECK_EQ(result, MOE_CU_SUCCESS);
      }
      CHECK_EQ(cu.module_unload(module), MOE_CU_SUCCESS);
      CHECK_EQ(cu.context_pop(&context), MOE_CU_SUCCESS);
      CHECK_EQ(cu.context_release(0), MOE_CU_SUCCESS);
    }
}

int main() {
  setenv("MOE_EMULATOR_MEMORY", "1048576", 1);
  setenv("MOE_EMULATOR_REPORT", "/dev/null", 1);
  for (const char *name : {"MOE_EMULATOR_PTX", "MOE_EMULATOR_FAIL",
                           "MOE_EMULATOR_VERSION", "MOE_EMULATOR_DEVICES"})
    unsetenv(name);
  std::string scale = readFile(MOE_PTX_PATH "/scale.ptx");
  if (!openLibrary())
    return finishChecks("test_driver");
  testStart();
  for (int device = 0; device < 2; ++device) {
    moe_cu_context context = nullptr;
    CHECK_EQ(cu.context_retain(&context, device), MOE_CU_SUCCESS);
    CHECK_EQ(cu.context_push(context), MOE_CU_SUCCESS);
    testTargets(scale, device);
    if (device == 0) {
      testMemory();
      testModules(scale);
      testLaunch(scale);
    }
    CHECK_EQ(cu.context_pop(&context), MOE_CU_SUCCESS);
    CHECK_EQ(cu.context_release(device), MOE_CU_SUCCESS);
  }
  testOverlap();
  // A new context knows nothing of the fault.
  moe_cu_context context = nullptr;
  CHECK_EQ(cu.context_retain(&context, 0), MOE_CU_SUCCESS);
  CHECK_EQ(cu.context_push(context), MOE_CU_SUCCESS);
  CHECK_EQ(cu.stream_synchronize(nullptr), MOE_CU_SUCCESS);
  CHECK_EQ(cu.context_release(0), MOE_CU_SUCCESS);
  CHECK_EQ(cu.context_release(0), 201);
  return finishChecks("test_driver");
}
