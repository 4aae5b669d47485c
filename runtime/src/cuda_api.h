//===- cuda_api.h - What the runtime needs of the CUDA driver -----*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Declarations of our own, so that nothing of CUDA is needed to build. Names,
// values and layouts are those of the CUDA driver API 12.0 (cuda.h). A library
// that exports what is listed under MOE_CUDA_FUNCTIONS can stand in for
// libcuda.so.1.
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_CUDA_API_H
#define MOE_RT_SRC_CUDA_API_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// The oldest driver that has all of MOE_CUDA_FUNCTIONS.
#define MOE_CUDA_VERSION 12000

typedef int moe_cu_result;
typedef int moe_cu_device;
typedef struct CUctx_st *moe_cu_context;
typedef struct CUmod_st *moe_cu_module;
typedef struct CUfunc_st *moe_cu_function;
typedef struct CUstream_st *moe_cu_stream;
typedef unsigned long long moe_cu_pointer;

enum { // CUresult
  MOE_CU_SUCCESS = 0,
  MOE_CU_INVALID_VALUE = 1,
  MOE_CU_OUT_OF_MEMORY = 2,
  MOE_CU_NOT_INITIALIZED = 3,
  MOE_CU_DEINITIALIZED = 4,
  MOE_CU_STUB_LIBRARY = 34,
  MOE_CU_DEVICE_UNAVAILABLE = 46,
  MOE_CU_NO_DEVICE = 100,
  MOE_CU_INVALID_DEVICE = 101,
  MOE_CU_INVALID_IMAGE = 200,
  MOE_CU_NO_BINARY_FOR_GPU = 209,
  MOE_CU_ECC_UNCORRECTABLE = 214,
  MOE_CU_INVALID_PTX = 218,
  MOE_CU_JIT_COMPILER_NOT_FOUND = 221,
  MOE_CU_UNSUPPORTED_PTX_VERSION = 222,
  MOE_CU_JIT_COMPILATION_DISABLED = 223,
  MOE_CU_INVALID_SOURCE = 300,
  MOE_CU_NOT_FOUND = 500,
  MOE_CU_ILLEGAL_ADDRESS = 700,
  MOE_CU_LAUNCH_OUT_OF_RESOURCES = 701,
  MOE_CU_LAUNCH_TIMEOUT = 702,
  MOE_CU_CONTEXT_IS_DESTROYED = 709,
  MOE_CU_ASSERT = 710,
  MOE_CU_HARDWARE_STACK_ERROR = 714,
  MOE_CU_LAUNCH_FAILED = 719,
  MOE_CU_SYSTEM_DRIVER_MISMATCH = 803,
  MOE_CU_UNKNOWN = 999
};

enum { // CUdevice_attribute
  MOE_CU_DEVICE_MAX_REGISTERS_PER_BLOCK = 12,
  MOE_CU_DEVICE_MULTIPROCESSOR_COUNT = 16,
  MOE_CU_DEVICE_COMPUTE_CAPABILITY_MAJOR = 75,
  MOE_CU_DEVICE_COMPUTE_CAPABILITY_MINOR = 76,
  MOE_CU_DEVICE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97
};

enum { // CUfunction_attribute
  MOE_CU_FUNC_MAX_THREADS_PER_BLOCK = 0,
  MOE_CU_FUNC_SHARED_SIZE_BYTES = 1,
  MOE_CU_FUNC_NUM_REGS = 4,
  MOE_CU_FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  MOE_CU_FUNC_NON_PORTABLE_CLUSTER_SIZE_ALLOWED = 14
};

enum { // CUpointer_attribute, CUmemorytype
  MOE_CU_POINTER_MEMORY_TYPE = 2,
  MOE_CU_POINTER_DEVICE_ORDINAL = 9,
  MOE_CU_MEMORY_HOST = 1,
  MOE_CU_MEMORY_DEVICE = 2
};

enum { // CUstream_flags, CUstreamCaptureStatus, CUjit_option
  MOE_CU_STREAM_NON_BLOCKING = 1,
  MOE_CU_STREAM_CAPTURE_NONE = 0,
  MOE_CU_JIT_ERROR_LOG_BUFFER = 5,
  MOE_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6
};

enum { // CUlaunchAttributeID
  MOE_CU_LAUNCH_CLUSTER_DIMENSION = 4,
  MOE_CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION = 6
};

typedef struct { // CUlaunchAttribute
  int id;
  char padding[4];
  union {
    char bytes[64];
    struct {
      unsigned x, y, z;
    } cluster;
    int allowed;
  } value;
} moe_cu_launch_attribute;

typedef struct { // CUlaunchConfig
  unsigned grid_x, grid_y, grid_z;
  unsigned block_x, block_y, block_z;
  unsigned shared_bytes;
  moe_cu_stream stream;
  moe_cu_launch_attribute *attributes;
  unsigned num_attributes;
} moe_cu_launch_config;

enum { // CUtensorMapDataType
  MOE_CU_TENSOR_UINT8 = 0,
  MOE_CU_TENSOR_INT32 = 3,
  MOE_CU_TENSOR_INT64 = 5,
  MOE_CU_TENSOR_FLOAT16 = 6,
  MOE_CU_TENSOR_FLOAT32 = 7,
  MOE_CU_TENSOR_FLOAT64 = 8,
  MOE_CU_TENSOR_BFLOAT16 = 9
};
enum { // CUtensorMapSwizzle, CUtensorMapL2promotion
  MOE_CU_TENSOR_SWIZZLE_NONE = 0,
  MOE_CU_TENSOR_SWIZZLE_32B = 1,
  MOE_CU_TENSOR_SWIZZLE_64B = 2,
  MOE_CU_TENSOR_SWIZZLE_128B = 3,
  MOE_CU_TENSOR_L2_PROMOTION_256B = 3
};

typedef struct { // CUtensorMap
  __attribute__((aligned(64))) uint64_t opaque[16];
} moe_cu_tensor_map;

/// X(field, name for cuGetProcAddress, exported name, parameters), in the order
/// in which they are asked for.
#define MOE_CUDA_FUNCTIONS(X)                                                  \
  X(init, "cuInit", "cuInit", (unsigned flags))                                \
  X(driver_version, "cuDriverGetVersion", "cuDriverGetVersion",                \
    (int *version))                                                            \
  X(error_name, "cuGetErrorName", "cuGetErrorName",                            \
    (moe_cu_result result, const char **text))                                 \
  X(error_string, "cuGetErrorString", "cuGetErrorString",                      \
    (moe_cu_result result, const char **text))                                 \
  X(device_count, "cuDeviceGetCount", "cuDeviceGetCount", (int *count))        \
  X(device_get, "cuDeviceGet", "cuDeviceGet",                                  \
    (moe_cu_device * device, int ordinal))                                     \
  X(device_name, "cuDeviceGetName", "cuDeviceGetName",                         \
    (char *name, int size, moe_cu_device device))                              \
  X(device_attribute, "cuDeviceGetAttribute", "cuDeviceGetAttribute",          \
    (int *value, int attribute, moe_cu_device device))                         \
  X(context_retain, "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRetain",    \
    (moe_cu_context * context, moe_cu_device device))                          \
  X(context_release, "cuDevicePrimaryCtxRelease",                              \
    "cuDevicePrimaryCtxRelease_v2", (moe_cu_device device))                    \
  X(context_push, "cuCtxPushCurrent", "cuCtxPushCurrent_v2",                   \
    (moe_cu_context context))                                                  \
  X(context_pop, "cuCtxPopCurrent", "cuCtxPopCurrent_v2",                      \
    (moe_cu_context * context))                                                \
  X(module_load, "cuModuleLoadDataEx", "cuModuleLoadDataEx",                   \
    (moe_cu_module * module, const void *image, unsigned num_options,          \
     int *options, void **values))                                             \
  X(module_unload, "cuModuleUnload", "cuModuleUnload", (moe_cu_module module)) \
  X(module_function, "cuModuleGetFunction", "cuModuleGetFunction",             \
    (moe_cu_function * function, moe_cu_module module, const char *name))      \
  X(function_attribute, "cuFuncGetAttribute", "cuFuncGetAttribute",            \
    (int *value, int attribute, moe_cu_function function))                     \
  X(function_set, "cuFuncSetAttribute", "cuFuncSetAttribute",                  \
    (moe_cu_function function, int attribute, int value))                      \
  X(launch, "cuLaunchKernelEx", "cuLaunchKernelEx",                            \
    (const moe_cu_launch_config *config, moe_cu_function function,             \
     void **arguments, void **extra))                                          \
  X(encode_tiled, "cuTensorMapEncodeTiled", "cuTensorMapEncodeTiled",          \
    (moe_cu_tensor_map * map, int type, uint32_t rank, void *address,          \
     const uint64_t *extents, const uint64_t *strides, const uint32_t *box,    \
     const uint32_t *element_strides, int interleave, int swizzle,             \
     int promotion, int fill))                                                 \
  X(mem_alloc, "cuMemAlloc", "cuMemAlloc_v2",                                  \
    (moe_cu_pointer * pointer, size_t size_bytes))                             \
  X(mem_free, "cuMemFree", "cuMemFree_v2", (moe_cu_pointer pointer))           \
  X(mem_info, "cuMemGetInfo", "cuMemGetInfo_v2",                               \
    (size_t *free, size_t *total))                                             \
  X(host_alloc, "cuMemHostAlloc", "cuMemHostAlloc",                            \
    (void **memory, size_t size_bytes, unsigned flags))                        \
  X(host_free, "cuMemFreeHost", "cuMemFreeHost", (void *memory))               \
  X(upload, "cuMemcpyHtoDAsync", "cuMemcpyHtoDAsync_v2",                       \
    (moe_cu_pointer to, const void *from, size_t size_bytes,                   \
     moe_cu_stream stream))                                                    \
  X(download, "cuMemcpyDtoHAsync", "cuMemcpyDtoHAsync_v2",                     \
    (void *to, moe_cu_pointer from, size_t size_bytes, moe_cu_stream stream))  \
  X(clear, "cuMemsetD8Async", "cuMemsetD8Async",                               \
    (moe_cu_pointer to, unsigned char value, size_t count,                     \
     moe_cu_stream stream))                                                    \
  X(pointer_attribute, "cuPointerGetAttribute", "cuPointerGetAttribute",       \
    (void *value, int attribute, moe_cu_pointer pointer))                      \
  X(stream_create, "cuStreamCreate", "cuStreamCreate",                         \
    (moe_cu_stream * stream, unsigned flags))                                  \
  X(stream_destroy, "cuStreamDestroy", "cuStreamDestroy_v2",                   \
    (moe_cu_stream stream))                                                    \
  X(stream_synchronize, "cuStreamSynchronize", "cuStreamSynchronize",          \
    (moe_cu_stream stream))                                                    \
  X(stream_context, "cuStreamGetCtx", "cuStreamGetCtx",                        \
    (moe_cu_stream stream, moe_cu_context * context))                          \
  X(stream_capture, "cuStreamIsCapturing", "cuStreamIsCapturing",              \
    (moe_cu_stream stream, int *status))

/// May be missing: the functions are then looked up by their exported names.
typedef moe_cu_result (*moe_cu_get_proc_address)(const char *name,
                                                 void **function, int version,
                                                 uint64_t flags, int *status);

#define MOE_CUDA_FIELD(field, name, exported, parameters)                      \
  moe_cu_result(*field) parameters;
typedef struct {
  MOE_CUDA_FUNCTIONS(MOE_CUDA_FIELD)
} moe_cuda_functions;
#undef MOE_CUDA_FIELD

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_CUDA_API_H
