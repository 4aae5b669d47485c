//===- Driver.cpp - A stand-in for the CUDA driver ------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Exports the functions of libcuda.so.1 that the runtime asks for, on devices
// that run PTX in this process: ordinal 0 has compute capability 9.0, ordinal 1
// has 8.0. Work of a stream is done when it is queued.
//
// Environment: MOE_EMULATOR_MEMORY (bytes of each device), MOE_EMULATOR_SEED
// (of the schedule), MOE_EMULATOR_THREADS, MOE_EMULATOR_REPORT (a file for what
// is to be said about faults, instead of standard error), MOE_EMULATOR_COVERAGE
// (a file that gets what ran of each kernel), MOE_EMULATOR_PTX (a file with PTX
// to run instead of a module's own: to try an edited text),
// MOE_EMULATOR_FAIL ("cuMemAlloc:3:2": the third call of cuMemAlloc returns
// CUDA_ERROR_OUT_OF_MEMORY), MOE_EMULATOR_VERSION (of the driver),
// MOE_EMULATOR_DEVICES (how many there are, at most 2),
// MOE_EMULATOR_MULTIPROCESSORS (of each; few make persistent kernels go round).
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include "TensorMap.h"
#include "cuda_api.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

using namespace moe::emu;

#define MOE_CUDA_EXPORT extern "C" __attribute__((visibility("default")))

namespace {
constexpr int kNumDevices = 2;
constexpr unsigned kArch[kNumDevices] = {90, 80};
constexpr int kMaxShared[kNumDevices] = {232448, 166912};

struct Device {
  std::unique_ptr<GlobalMemory> memory;
  int references = 0;
  /// An error that the context does not recover from.
  moe_cu_result sticky = MOE_CU_SUCCESS;
  /// The kernels before the last one may run beside the next one too.
  bool keepsEarlier = false;
};
struct State {
  std::mutex mutex;
  bool isInitialized = false;
  Device devices[kNumDevices];
  uint64_t launches = 0;
  std::string report;
  /// moe_emulator_take_report was called.
  bool isAsked = false;
};
State &state() {
  static State *theState = new State; // lives as long as the process
  return *theState;
}
uint64_t environment(const char *name, uint64_t otherwise) {
  const char *text = std::getenv(name);
  if (!text || !*text)
    return otherwise;
  char *end = nullptr;
  uint64_t value = std::strtoull(text, &end, 0);
  return *end ? otherwise : value;
}

int numDevices() {
  uint64_t wanted = environment("MOE_EMULATOR_DEVICES", kNumDevices);
  return wanted < kNumDevices ? int(wanted) : kNumDevices;
}

/// What MOE_EMULATOR_FAIL wants this call of `function` to return; 0: to work.
moe_cu_result injected(const char *function) {
  const char *text = std::getenv("MOE_EMULATOR_FAIL");
  size_t length = std::strlen(function);
  if (!text || std::strncmp(text, function, length) || text[length] != ':')
    return MOE_CU_SUCCESS;
  static std::atomic<unsigned long> calls{0};
  char *end = nullptr;
  unsigned long wanted = std::strtoul(text + length + 1, &end, 10);
  if (*end != ':' || ++calls != wanted)
    return MOE_CU_SUCCESS;
  return int(std::strtol(end + 1, nullptr, 10));
}

/// Contexts current on this thread, the last on top.
thread_local std::vector<int> current;
} // namespace

struct CUctx_st {
  int ordinal;
};
/// What ran of a kernel.
struct Coverage {
  uint64_t launches = 0;
  std::vector<std::atomic<bool>> executed; // of its instructions
};
struct CUmod_st {
  int ordinal;
  std::unique_ptr<Program> program;
  std::vector<uint64_t> allocations;
  std::vector<std::unique_ptr<CUfunc_st>> functions;
};
struct CUfunc_st {
  CUmod_st *module;
  const Kernel *kernel;
  int dynamicShared = 0;
  Coverage coverage;
};
struct CUstream_st {
  int ordinal;
  bool isCapturing = false;
  std::vector<std::function<moe_cu_result()>> captured;
};
struct CUgraph_st {
  std::vector<std::function<moe_cu_result()>> work;
};

static CUctx_st contexts[kNumDevices] = {{0}, {1}};

static Device *currentDevice() {
  return current.empty() ? nullptr : &state().devices[current.back()];
}
/// The device to work on, or what stands in the way.
static moe_cu_result enter(Device *&device) {
  if (!state().isInitialized)
    return MOE_CU_NOT_INITIALIZED;
  device = currentDevice();
  if (!device || !device->references)
    return 201; // CUDA_ERROR_INVALID_CONTEXT
  return device->sticky;
}

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

MOE_CUDA_EXPORT moe_cu_result cuInit(unsigned flags) {
  if (moe_cu_result result = injected("cuInit"))
    return result;
  if (flags)
    return MOE_CU_INVALID_VALUE;
  std::lock_guard<std::mutex> lock(state().mutex);
  state().isInitialized = true;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuDriverGetVersion(int *version) {
  *version = int(environment("MOE_EMULATOR_VERSION", 13000));
  return MOE_CU_SUCCESS;
}
static const struct {
  moe_cu_result result;
  const char *name, *text;
} errorNames[] = {
    {MOE_CU_SUCCESS, "CUDA_SUCCESS", "no error"},
    {MOE_CU_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {MOE_CU_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {MOE_CU_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED",
     "initialization error"},
    {MOE_CU_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE",
     "invalid device ordinal"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {MOE_CU_INVALID_PTX, "CUDA_ERROR_INVALID_PTX",
     "a PTX JIT compilation failed"},
    {MOE_CU_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {301, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {MOE_CU_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {MOE_CU_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "an illegal memory access was encountered"},
    {MOE_CU_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {MOE_CU_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED",
     "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
};
MOE_CUDA_EXPORT moe_cu_result cuGetErrorName(moe_cu_result result,
                                             const char **text) {
  for (const auto &entry : errorNames)
    if (entry.result == result) {
      *text = entry.name;
      return MOE_CU_SUCCESS;
    }
  *text = nullptr;
  return MOE_CU_INVALID_VALUE;
}
MOE_CUDA_EXPORT moe_cu_result cuGetErrorString(moe_cu_result result,
                                               const char **text) {
  for (const auto &entry : errorNames)
    if (entry.result == result) {
      *text = entry.text;
      return MOE_CU_SUCCESS;
    }
  *text = nullptr;
  return MOE_CU_INVALID_VALUE;
}
MOE_CUDA_EXPORT moe_cu_result cuDeviceGetCount(int *count) {
  if (moe_cu_result result = injected("cuDeviceGetCount"))
    return result;
  *count = numDevices();
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuDeviceGet(moe_cu_device *device, int ordinal) {
  if (ordinal < 0 || ordinal >= numDevices())
    return MOE_CU_INVALID_DEVICE;
  *device = ordinal;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuDeviceGetName(char *name, int size,
                                              moe_cu_device device) {
  if (device < 0 || device >= kNumDevices || size < 1)
    return MOE_CU_INVALID_DEVICE;
  snprintf(name, size_t(size), "emulated GPU of compute capability %u.%u",
           kArch[device] / 10, kArch[device] % 10);
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuDeviceGetAttribute(int *value, int attribute,
                                                   moe_cu_device device) {
  if (device < 0 || device >= kNumDevices)
    return MOE_CU_INVALID_DEVICE;
  switch (attribute) {
  case 1: // threads per block
    *value = 1024;
    return MOE_CU_SUCCESS;
  case 10: // warp size
    *value = 32;
    return MOE_CU_SUCCESS;
  case MOE_CU_DEVICE_MAX_REGISTERS_PER_BLOCK:
    *value = 65536;
    return MOE_CU_SUCCESS;
  case MOE_CU_DEVICE_MULTIPROCESSOR_COUNT:
    *value = int(
        environment("MOE_EMULATOR_MULTIPROCESSORS", device == 0 ? 132 : 108));
    return MOE_CU_SUCCESS;
  case MOE_CU_DEVICE_COMPUTE_CAPABILITY_MAJOR:
    *value = int(kArch[device] / 10);
    return MOE_CU_SUCCESS;
  case MOE_CU_DEVICE_COMPUTE_CAPABILITY_MINOR:
    *value = int(kArch[device] % 10);
    return MOE_CU_SUCCESS;
  case MOE_CU_DEVICE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
    *value = kMaxShared[device];
    return MOE_CU_SUCCESS;
  default:
    return MOE_CU_INVALID_VALUE;
  }
}
MOE_CUDA_EXPORT moe_cu_result cuDevicePrimaryCtxRetain(moe_cu_context *context,
                                                       moe_cu_device device) {
  if (moe_cu_result result = injected("cuDevicePrimaryCtxRetain"))
    return result;
  if (!state().isInitialized)
    return MOE_CU_NOT_INITIALIZED;
  if (device < 0 || device >= kNumDevices)
    return MOE_CU_INVALID_DEVICE;
  std::lock_guard<std::mutex> lock(state().mutex);
  Device &d = state().devices[device];
  if (!d.references++) {
    d.memory = std::make_unique<GlobalMemory>(
        environment("MOE_EMULATOR_MEMORY", uint64_t(4) << 30));
    d.sticky = MOE_CU_SUCCESS;
  }
  *context = &contexts[device];
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result
cuDevicePrimaryCtxRelease_v2(moe_cu_device device) {
  if (device < 0 || device >= kNumDevices)
    return MOE_CU_INVALID_DEVICE;
  std::lock_guard<std::mutex> lock(state().mutex);
  Device &d = state().devices[device];
  if (!d.references)
    return 201;
  if (!--d.references)
    d.memory.reset();
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuCtxPushCurrent_v2(moe_cu_context context) {
  if (!context)
    return 201;
  current.push_back(context->ordinal);
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuCtxPopCurrent_v2(moe_cu_context *context) {
  if (current.empty())
    return 201;
  if (context)
    *context = &contexts[current.back()];
  current.pop_back();
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuCtxSetCurrent(moe_cu_context context) {
  if (!current.empty())
    current.pop_back();
  if (context)
    current.push_back(context->ordinal);
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuCtxGetCurrent(moe_cu_context *context) {
  *context = current.empty() ? nullptr : &contexts[current.back()];
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuCtxSynchronize(void) {
  Device *device = nullptr;
  return enter(device);
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

/// Text of the file that MOE_EMULATOR_PTX names; false if it cannot be read.
static bool readReplacement(const char *path, std::string &text) {
  FILE *file = std::fopen(path, "rb");
  if (!file)
    return false;
  char buffer[65536];
  while (size_t count = std::fread(buffer, 1, sizeof buffer, file))
    text.append(buffer, count);
  bool good = !std::ferror(file);
  std::fclose(file);
  return good;
}

MOE_CUDA_EXPORT moe_cu_result cuModuleLoadDataEx(moe_cu_module *module,
                                                 const void *image,
                                                 unsigned numOptions,
                                                 int *options, void **values) {
  if (moe_cu_result result = injected("cuModuleLoadDataEx"))
    return result;
  Device *device = nullptr;
  if (moe_cu_result result = enter(device))
    return result;
  const char *text = static_cast<const char *>(image);
  // A cubin: there is no hardware here that would take it.
  if (std::memcmp(text, "\177ELF", 4) == 0)
    return MOE_CU_NO_BINARY_FOR_GPU;
  std::string error, replacement;
  const char *path = std::getenv("MOE_EMULATOR_PTX");
  if (path && *path) {
    if (!readReplacement(path, replacement))
      return 301; // CUDA_ERROR_FILE_NOT_FOUND
    text = replacement.c_str();
  }
  auto made = std::make_unique<CUmod_st>();
  made->ordinal = current.back();
  made->program = parseProgram(text, std::strlen(text), error);
  if (made->program) {
    const std::string &target = made->program->target;
    bool isExact = target.back() < '0' || target.back() > '9';
    unsigned arch = kArch[made->ordinal];
    if (isExact ? made->program->arch != arch : made->program->arch > arch)
      return MOE_CU_NO_BINARY_FOR_GPU;
  } else {
    for (unsigned i = 0; i + 1 < numOptions; ++i)
      if (options[i] == MOE_CU_JIT_ERROR_LOG_BUFFER &&
          options[i + 1] == MOE_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
        snprintf(static_cast<char *>(values[i]),
                 size_t(reinterpret_cast<uintptr_t>(values[i + 1])), "%s",
                 error.c_str());
    return MOE_CU_INVALID_PTX;
  }
  std::lock_guard<std::mutex> lock(state().mutex);
  for (Variable &v : made->program->variables) {
    if (v.space != Space::Global && v.space != Space::Const)
      continue;
    v.address = device->memory->allocate(v.size ? v.size : 1);
    if (!v.address) {
      for (uint64_t base : made->allocations)
        device->memory->release(base);
      return MOE_CU_OUT_OF_MEMORY;
    }
    made->allocations.push_back(v.address);
    Allocation *a = device->memory->find(v.address, v.size);
    std::memset(a->shadow.data(), Initialized, a->shadow.size());
    if (!v.initial.empty())
      std::memcpy(a->data.data(), v.initial.data(), v.initial.size());
  }
  *module = made.release();
  return MOE_CU_SUCCESS;
}
/// Appends what ran of the module to the file that MOE_EMULATOR_COVERAGE names:
/// for each kernel that was launched a line with its name, the number of its
/// launches and the lines of the PTX text that a lane has run.
static void writeCoverage(const CUmod_st &module) {
  const char *path = std::getenv("MOE_EMULATOR_COVERAGE");
  FILE *file = path && *path ? std::fopen(path, "a") : nullptr;
  if (!file)
    return;
  for (const auto &function : module.functions) {
    const Coverage &coverage = function->coverage;
    if (!coverage.launches)
      continue;
    std::string text =
        function->kernel->name + " " + std::to_string(coverage.launches);
    for (size_t i = 0; i < coverage.executed.size(); ++i)
      if (coverage.executed[i])
        text += " " + std::to_string(function->kernel->code[i].line);
    std::fprintf(file, "%s\n", text.c_str());
  }
  std::fclose(file);
}
MOE_CUDA_EXPORT moe_cu_result cuModuleUnload(moe_cu_module module) {
  if (!module)
    return 400;
  writeCoverage(*module);
  {
    std::lock_guard<std::mutex> lock(state().mutex);
    Device &device = state().devices[module->ordinal];
    for (uint64_t base : module->allocations)
      if (device.memory)
        device.memory->release(base);
  }
  delete module;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuModuleGetFunction(moe_cu_function *function,
                                                  moe_cu_module module,
                                                  const char *name) {
  if (moe_cu_result result = injected("cuModuleGetFunction"))
    return result;
  const Kernel *kernel = module->program->find(name);
  if (!kernel)
    return MOE_CU_NOT_FOUND;
  auto made = std::make_unique<CUfunc_st>();
  made->module = module;
  made->kernel = kernel;
  *function = made.get();
  module->functions.push_back(std::move(made));
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuFuncGetAttribute(int *value, int attribute,
                                                 moe_cu_function function) {
  const Kernel &kernel = *function->kernel;
  uint32_t threads = 1024;
  for (const uint32_t *size : {kernel.reqntid, kernel.maxntid})
    if (size[0])
      threads = size[0] * size[1] * size[2];
  switch (attribute) {
  case MOE_CU_FUNC_MAX_THREADS_PER_BLOCK:
    *value = int(threads);
    return MOE_CU_SUCCESS;
  case MOE_CU_FUNC_SHARED_SIZE_BYTES:
    *value = int(kernel.staticShared);
    return MOE_CU_SUCCESS;
  case MOE_CU_FUNC_NUM_REGS:
    // Only an assembler knows.
    *value = 0;
    return MOE_CU_SUCCESS;
  case MOE_CU_FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES:
    *value = function->dynamicShared;
    return MOE_CU_SUCCESS;
  default:
    return MOE_CU_INVALID_VALUE;
  }
}
MOE_CUDA_EXPORT moe_cu_result cuFuncSetAttribute(moe_cu_function function,
                                                 int attribute, int value) {
  if (attribute == MOE_CU_FUNC_NON_PORTABLE_CLUSTER_SIZE_ALLOWED)
    return MOE_CU_SUCCESS;
  if (attribute != MOE_CU_FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
      value + int64_t(function->kernel->staticShared) >
          kMaxShared[function->module->ordinal])
    return MOE_CU_INVALID_VALUE;
  function->dynamicShared = value;
  return MOE_CU_SUCCESS;
}

/// Keeps a report for moe_emulator_take_report, and prints it, all of it, where
/// nobody asks.
static void say(const std::string &report) {
  state().report = report;
  const char *path = std::getenv("MOE_EMULATOR_REPORT");
  FILE *file = path && *path ? std::fopen(path, "a") : nullptr;
  if (file || !state().isAsked)
    std::fprintf(file ? file : stderr, "emulator: %s\n", report.c_str());
  if (file)
    std::fclose(file);
}
/// Takes the first line of what the last fault was: copies it, cut to `size`
/// bytes with the zero behind it, forgets it and returns how long it is. A
/// caller that has asked once, be it for 0 bytes, shows reports itself.
MOE_CUDA_EXPORT size_t moe_emulator_take_report(char *text, size_t size) {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().isAsked = true;
  std::string &report = state().report;
  size_t length = std::min(report.find('\n'), report.size());
  if (!text || !size)
    return length;
  snprintf(text, size, "%.*s", int(length), report.c_str());
  report.clear();
  return length;
}

/// Does `work` now, or keeps it for the graph that the stream captures.
static moe_cu_result submit(moe_cu_stream stream,
                            std::function<moe_cu_result()> work) {
  if (stream && stream->isCapturing) {
    stream->captured.push_back(std::move(work));
    return MOE_CU_SUCCESS;
  }
  return work();
}

MOE_CUDA_EXPORT moe_cu_result
cuLaunchKernelEx(const moe_cu_launch_config *config, moe_cu_function function,
                 void **arguments, void **extra) {
  if (moe_cu_result result = injected("cuLaunchKernelEx"))
    return result;
  Device *device = nullptr;
  if (moe_cu_result result = enter(device))
    return result;
  const Kernel &kernel = *function->kernel;
  if (extra || (!arguments && !kernel.params.empty()))
    return MOE_CU_INVALID_VALUE;
  // 48 KiB without asking (CUDA C++ Programming Guide, "Shared Memory").
  uint64_t shared = uint64_t(kernel.staticShared) + config->shared_bytes;
  if (shared > 49152 &&
      config->shared_bytes > uint32_t(function->dynamicShared))
    return MOE_CU_INVALID_VALUE;
  bool overlaps = false;
  for (unsigned i = 0; i < config->num_attributes; ++i) {
    const moe_cu_launch_attribute &a = config->attributes[i];
    if (a.id == MOE_CU_LAUNCH_CLUSTER_DIMENSION &&
        (a.value.cluster.x != 1 || a.value.cluster.y != 1 ||
         a.value.cluster.z != 1))
      return 801; // clusters of several blocks are not emulated
    overlaps |= a.id == MOE_CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION &&
                a.value.allowed;
  }
  Launch launch;
  launch.overlaps = overlaps;
  launch.program = function->module->program.get();
  launch.kernel = &kernel;
  const uint32_t grid[] = {config->grid_x, config->grid_y, config->grid_z},
                 block[] = {config->block_x, config->block_y, config->block_z};
  std::memcpy(launch.grid, grid, sizeof grid);
  std::memcpy(launch.block, block, sizeof block);
  launch.dynamicShared = config->shared_bytes;
  launch.memory = device->memory.get();
  launch.params.resize(kernel.paramBytes);
  for (size_t i = 0; i < kernel.params.size(); ++i)
    std::memcpy(&launch.params[kernel.params[i].offset], arguments[i],
                kernel.params[i].size);
  std::string wrong;
  if (!checkLaunch(launch, wrong)) {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().report = wrong;
    return MOE_CU_INVALID_VALUE;
  }
  unsigned cores = std::thread::hardware_concurrency();
  launch.threads =
      unsigned(environment("MOE_EMULATOR_THREADS", cores ? cores : 1));
  return submit(config->stream, [device, launch, function]() -> moe_cu_result {
    std::lock_guard<std::mutex> lock(state().mutex);
    if (device->sticky)
      return device->sticky;
    Launch mine = launch;
    if (std::getenv("MOE_EMULATOR_COVERAGE")) {
      Coverage &coverage = function->coverage;
      ++coverage.launches;
      if (coverage.executed.empty())
        coverage.executed =
            std::vector<std::atomic<bool>>(mine.kernel->code.size());
      mine.executed = coverage.executed.data();
    }
    mine.seed =
        environment("MOE_EMULATOR_SEED", 0) * 1000003 + state().launches++;
    Statistics statistics;
    std::string report;
    device->memory->startLaunch(mine.overlaps, device->keepsEarlier);
    bool ended = runLaunch(mine, statistics, report);
    device->keepsEarlier = mine.overlaps && statistics.startsNextEarly;
    if (ended)
      return MOE_CU_SUCCESS;
    say(report);
    device->sticky = report.find("in no allocation") != std::string::npos
                         ? MOE_CU_ILLEGAL_ADDRESS
                         : MOE_CU_LAUNCH_FAILED;
    return device->sticky;
  });
}
MOE_CUDA_EXPORT moe_cu_result cuLaunchKernel(
    moe_cu_function function, unsigned gridX, unsigned gridY, unsigned gridZ,
    unsigned blockX, unsigned blockY, unsigned blockZ, unsigned shared,
    moe_cu_stream stream, void **arguments, void **extra) {
  moe_cu_launch_config config = {gridX,  gridY,  gridZ,  blockX,  blockY,
                                 blockZ, shared, stream, nullptr, 0};
  return cuLaunchKernelEx(&config, function, arguments, extra);
}

MOE_CUDA_EXPORT moe_cu_result cuTensorMapEncodeTiled(
    moe_cu_tensor_map *map, int type, uint32_t rank, void *address,
    const uint64_t *extents, const uint64_t *strides, const uint32_t *box,
    const uint32_t *elementStrides, int interleave, int swizzle, int promotion,
    int fill) {
  if (moe_cu_result result = injected("cuTensorMapEncodeTiled"))
    return result;
  std::string error;
  EncodeStatus status = encodeTensorMap(
      map, unsigned(type), rank, reinterpret_cast<uintptr_t>(address), extents,
      strides, box, elementStrides, unsigned(interleave), unsigned(swizzle),
      unsigned(promotion), unsigned(fill), error);
  if (status == EncodeStatus::Ok)
    return MOE_CU_SUCCESS;
  std::lock_guard<std::mutex> lock(state().mutex);
  say("cuTensorMapEncodeTiled: " + error);
  return status == EncodeStatus::Invalid ? MOE_CU_INVALID_VALUE : 801;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

MOE_CUDA_EXPORT moe_cu_result cuMemAlloc_v2(moe_cu_pointer *pointer,
                                            size_t size) {
  if (moe_cu_result result = injected("cuMemAlloc"))
    return result;
  Device *device = nullptr;
  if (moe_cu_result result = enter(device))
    return result;
  if (!size)
    return MOE_CU_INVALID_VALUE;
  std::lock_guard<std::mutex> lock(state().mutex);
  uint64_t base = device->memory->allocate(size);
  if (!base)
    return MOE_CU_OUT_OF_MEMORY;
  *pointer = base;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuMemFree_v2(moe_cu_pointer pointer) {
  // Allowed after a fault too: the context is as good as gone.
  Device *device = currentDevice();
  if (!device || !device->memory)
    return 201;
  if (!pointer)
    return MOE_CU_SUCCESS;
  std::lock_guard<std::mutex> lock(state().mutex);
  return device->memory->release(pointer) ? MOE_CU_SUCCESS
                                          : MOE_CU_INVALID_VALUE;
}
MOE_CUDA_EXPORT moe_cu_result cuMemGetInfo_v2(size_t *free, size_t *total) {
  Device *device = nullptr;
  if (moe_cu_result result = enter(device))
    return result;
  *free = device->memory->limit - device->memory->used;
  *total = device->memory->limit;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuMemHostAlloc(void **memory, size_t size,
                                             unsigned) {
  if (moe_cu_result result = injected("cuMemHostAlloc"))
    return result;
  *memory = std::malloc(size ? size : 1);
  return *memory ? MOE_CU_SUCCESS : MOE_CU_OUT_OF_MEMORY;
}
MOE_CUDA_EXPORT moe_cu_result cuMemFreeHost(void *memory) {
  std::free(memory);
  return MOE_CU_SUCCESS;
}

/// Device memory: its bytes and their shadow.
struct DeviceBytes {
  uint8_t *data, *shadow;
};
static DeviceBytes findBytes(Device *device, uint64_t address, size_t size) {
  Allocation *a = device->memory->find(address, size);
  if (!a)
    return {nullptr, nullptr};
  uint64_t offset = address - a->base;
  return {&a->data[offset], &a->shadow[offset]};
}

/// Does `work` on `size` bytes at `address`, in the stream's turn.
static moe_cu_result
submitAccess(const char *function, moe_cu_stream stream, moe_cu_pointer address,
             size_t size,
             std::function<moe_cu_result(Device *, DeviceBytes)> work) {
  if (moe_cu_result result = injected(function))
    return result;
  Device *device = nullptr;
  if (moe_cu_result result = enter(device))
    return result;
  if (!size)
    return MOE_CU_SUCCESS;
  return submit(stream, [=]() -> moe_cu_result {
    std::lock_guard<std::mutex> lock(state().mutex);
    DeviceBytes bytes = findBytes(device, address, size);
    return bytes.data ? work(device, bytes) : MOE_CU_INVALID_VALUE;
  });
}
MOE_CUDA_EXPORT moe_cu_result cuMemcpyHtoDAsync_v2(moe_cu_pointer to,
                                                   const void *from,
                                                   size_t size,
                                                   moe_cu_stream stream) {
  return submitAccess("cuMemcpyHtoDAsync", stream, to, size,
                      [=](Device *, DeviceBytes bytes) -> moe_cu_result {
                        std::memcpy(bytes.data, from, size);
                        std::memset(bytes.shadow, Initialized, size);
                        return MOE_CU_SUCCESS;
                      });
}
MOE_CUDA_EXPORT moe_cu_result cuMemcpyDtoHAsync_v2(void *to,
                                                   moe_cu_pointer from,
                                                   size_t size,
                                                   moe_cu_stream stream) {
  return submitAccess("cuMemcpyDtoHAsync", stream, from, size,
                      [=](Device *, DeviceBytes bytes) -> moe_cu_result {
                        std::memcpy(to, bytes.data, size);
                        return MOE_CU_SUCCESS;
                      });
}
MOE_CUDA_EXPORT moe_cu_result cuMemcpyDtoDAsync_v2(moe_cu_pointer to,
                                                   moe_cu_pointer from,
                                                   size_t size,
                                                   moe_cu_stream stream) {
  return submitAccess("cuMemcpyDtoDAsync", stream, to, size,
                      [=](Device *device, DeviceBytes target) -> moe_cu_result {
                        DeviceBytes source = findBytes(device, from, size);
                        if (!source.data)
                          return MOE_CU_INVALID_VALUE;
                        std::memmove(target.data, source.data, size);
                        std::memmove(target.shadow, source.shadow, size);
                        return MOE_CU_SUCCESS;
                      });
}
MOE_CUDA_EXPORT moe_cu_result cuMemcpyHtoD_v2(moe_cu_pointer to,
                                              const void *from, size_t size) {
  return cuMemcpyHtoDAsync_v2(to, from, size, nullptr);
}
MOE_CUDA_EXPORT moe_cu_result cuMemcpyDtoH_v2(void *to, moe_cu_pointer from,
                                              size_t size) {
  return cuMemcpyDtoHAsync_v2(to, from, size, nullptr);
}
MOE_CUDA_EXPORT moe_cu_result cuMemsetD8Async(moe_cu_pointer to,
                                              unsigned char value, size_t count,
                                              moe_cu_stream stream) {
  return submitAccess("cuMemsetD8Async", stream, to, count,
                      [=](Device *, DeviceBytes bytes) -> moe_cu_result {
                        std::memset(bytes.data, value, count);
                        std::memset(bytes.shadow, Initialized, count);
                        return MOE_CU_SUCCESS;
                      });
}
MOE_CUDA_EXPORT moe_cu_result cuPointerGetAttribute(void *value, int attribute,
                                                    moe_cu_pointer pointer) {
  std::lock_guard<std::mutex> lock(state().mutex);
  for (int ordinal = 0; ordinal < kNumDevices; ++ordinal) {
    Device &device = state().devices[ordinal];
    if (!device.memory || !device.memory->find(pointer, 1))
      continue;
    if (attribute == MOE_CU_POINTER_MEMORY_TYPE)
      *static_cast<unsigned *>(value) = MOE_CU_MEMORY_DEVICE;
    else if (attribute == MOE_CU_POINTER_DEVICE_ORDINAL)
      *static_cast<int *>(value) = ordinal;
    else
      return MOE_CU_INVALID_VALUE;
    return MOE_CU_SUCCESS;
  }
  return MOE_CU_INVALID_VALUE;
}

//===----------------------------------------------------------------------===//
// Streams and graphs
//===----------------------------------------------------------------------===//

MOE_CUDA_EXPORT moe_cu_result cuStreamCreate(moe_cu_stream *stream, unsigned) {
  if (moe_cu_result result = injected("cuStreamCreate"))
    return result;
  Device *device = nullptr;
  if (moe_cu_result result = enter(device))
    return result;
  *stream = new CUstream_st{current.back(), false, {}};
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuStreamDestroy_v2(moe_cu_stream stream) {
  if (!stream)
    return 400;
  delete stream;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuStreamSynchronize(moe_cu_stream stream) {
  if (moe_cu_result result = injected("cuStreamSynchronize"))
    return result;
  if (stream && stream->isCapturing)
    return 901;
  if (stream)
    return state().devices[stream->ordinal].sticky;
  Device *device = nullptr;
  return enter(device);
}
MOE_CUDA_EXPORT moe_cu_result cuStreamQuery(moe_cu_stream stream) {
  return cuStreamSynchronize(stream);
}
MOE_CUDA_EXPORT moe_cu_result cuStreamGetCtx(moe_cu_stream stream,
                                             moe_cu_context *context) {
  if (!stream)
    return cuCtxGetCurrent(context);
  *context = &contexts[stream->ordinal];
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuStreamIsCapturing(moe_cu_stream stream,
                                                  int *status) {
  *status = stream && stream->isCapturing;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuStreamBeginCapture_v2(moe_cu_stream stream,
                                                      int) {
  if (!stream || stream->isCapturing)
    return MOE_CU_INVALID_VALUE;
  stream->isCapturing = true;
  stream->captured.clear();
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuStreamEndCapture(moe_cu_stream stream,
                                                 CUgraph_st **graph) {
  if (!stream || !stream->isCapturing)
    return MOE_CU_INVALID_VALUE;
  stream->isCapturing = false;
  *graph = new CUgraph_st{std::move(stream->captured)};
  stream->captured.clear();
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuGraphInstantiateWithFlags(CUgraph_st **instance,
                                                          CUgraph_st *graph,
                                                          unsigned long long) {
  *instance = new CUgraph_st(*graph);
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuGraphLaunch(CUgraph_st *instance,
                                            moe_cu_stream stream) {
  return submit(stream, [instance]() -> moe_cu_result {
    for (const auto &work : instance->work)
      if (moe_cu_result result = work())
        return result;
    return MOE_CU_SUCCESS;
  });
}
MOE_CUDA_EXPORT moe_cu_result cuGraphDestroy(CUgraph_st *graph) {
  delete graph;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuGraphExecDestroy(CUgraph_st *instance) {
  delete instance;
  return MOE_CU_SUCCESS;
}
/// Work is done when it is queued, so an event happens when it is recorded; one
/// that a graph would record is not modelled. The time is that of the host's
/// clock: how long the emulation took.
struct CUevent_st {
  bool isRecorded = false;
  std::chrono::steady_clock::time_point time;
};
MOE_CUDA_EXPORT moe_cu_result cuEventCreate(CUevent_st **event, unsigned) {
  *event = new CUevent_st;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuEventDestroy_v2(CUevent_st *event) {
  delete event;
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuEventRecord(CUevent_st *event,
                                            moe_cu_stream stream) {
  if (moe_cu_result result = injected("cuEventRecord"))
    return result;
  if (!event || (stream && stream->isCapturing))
    return 801;
  event->isRecorded = true;
  event->time = std::chrono::steady_clock::now();
  return MOE_CU_SUCCESS;
}
MOE_CUDA_EXPORT moe_cu_result cuEventSynchronize(CUevent_st *event) {
  return event ? MOE_CU_SUCCESS : 400;
}
MOE_CUDA_EXPORT moe_cu_result cuEventElapsedTime(float *milliseconds,
                                                 CUevent_st *start,
                                                 CUevent_st *end) {
  if (!start || !end || !start->isRecorded || !end->isRecorded)
    return 400;
  *milliseconds =
      std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return MOE_CU_SUCCESS;
}
