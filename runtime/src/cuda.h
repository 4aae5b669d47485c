//===- cuda.h - A GPU by way of the CUDA driver -------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// The driver is loaded when a module is opened on a GPU, and never otherwise.
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_CUDA_H
#define MOE_RT_SRC_CUDA_H
#include "cuda_api.h"
#include "diag.h"
#include "manifest.h"

/// A driver, one of its devices, that device's primary context, and a module's
/// kernels in there. Once open it does not change: any thread may use it.
typedef struct {
  const char *path; // of the module, for messages; not owned
  const moe_manifest *manifest;
  void *library; // of dlopen()
  moe_cuda_functions f;
  // Of the emulator, which knows what a kernel did wrong; NULL on a GPU.
  size_t (*take_report)(char *text, size_t size);
  int ordinal;
  moe_cu_device device;
  moe_cu_context context; // NULL: not retained
  char name[128];         // of the GPU, fit to be printed
  uint32_t capability;    // 90: 9.0
  uint32_t multiprocessors;
  moe_cu_module module;
  moe_cu_function *kernels;
  uint32_t device_index; // of the manifest's devices
} moe_cuda;

/// -1 for "cpu" and NULL, N for "cuda:N", 0 for "cuda"; false for anything
/// else.
bool moe_cuda_parse(const char *device, int *ordinal);

/// Loads the driver `library` (NULL: "libcuda.so.1"), finds the device and its
/// context, chooses the manifest's code for it and loads the kernels. `file`
/// holds the module's file, `path` and `manifest` must live as long.
/// Release with moe_cuda_close(), after a failure too: `cuda` starts zeroed.
/// \returns MOE_RT_OK, MOE_RT_NO_DEVICE, MOE_RT_OUT_OF_MEMORY,
///     MOE_RT_BAD_FILE (an image without its kernels), MOE_RT_DEVICE_ERROR.
moe_rt_status moe_cuda_open(moe_cuda *cuda, const char *library, int ordinal,
                            const char *path, const moe_manifest *manifest,
                            const uint8_t *file, moe_error *error);
/// The first half: the driver, the device and its context, without code.
moe_rt_status moe_cuda_open_device(moe_cuda *cuda, const char *library,
                                   int ordinal, const char *path,
                                   moe_error *error);
void moe_cuda_close(moe_cuda *cuda);

/// Makes the context current on this thread until moe_cuda_leave().
moe_rt_status moe_cuda_enter(const moe_cuda *cuda, moe_error *error);
void moe_cuda_leave(const moe_cuda *cuda);

/// Fills `error` for the driver call `what` that gave `result`, on behalf of
/// the module: MOE_RT_OUT_OF_MEMORY or MOE_RT_DEVICE_ERROR.
moe_rt_status moe_cuda_fail(const moe_cuda *cuda, moe_cu_result result,
                            const char *what, moe_error *error);

/// True where the context does not work any more after such a result.
bool moe_cuda_is_lost(moe_cu_result result);

/// Device memory, at least 256-byte aligned. The context must be current.
/// `what` is for the message: "parameter 'x'".
moe_rt_status moe_cuda_alloc(const moe_cuda *cuda, uint64_t size_bytes,
                             const char *what, void **memory, moe_error *error);
void moe_cuda_free(const moe_cuda *cuda, void *memory);

static inline moe_cu_pointer moe_cuda_pointer(const void *memory) {
  return (moe_cu_pointer)(uintptr_t)memory;
}

#endif // MOE_RT_SRC_CUDA_H
