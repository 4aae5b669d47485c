//===- device.h - What moe-bench knows of a GPU -------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_TOOLS_MOE_BENCH_DEVICE_H
#define MOE_TOOLS_MOE_BENCH_DEVICE_H
#include "cuda.h"
#include "moe-bench.h"

typedef struct CUgraph_st *bench_cu_graph;
typedef struct CUgraphExec_st *bench_cu_instance;
typedef struct CUevent_st *bench_cu_event;

/// X(field, exported name, parameters): what the runtime does not need of the
/// driver (CUDA driver API 12.0).
#define BENCH_CUDA_FUNCTIONS(X)                                                \
  X(begin_capture, "cuStreamBeginCapture_v2",                                  \
    (moe_cu_stream stream, int mode))                                          \
  X(end_capture, "cuStreamEndCapture",                                         \
    (moe_cu_stream stream, bench_cu_graph * graph))                            \
  X(graph_instantiate, "cuGraphInstantiateWithFlags",                          \
    (bench_cu_instance * instance, bench_cu_graph graph,                       \
     unsigned long long flags))                                                \
  X(graph_launch, "cuGraphLaunch",                                             \
    (bench_cu_instance instance, moe_cu_stream stream))                        \
  X(graph_destroy, "cuGraphDestroy", (bench_cu_graph graph))                   \
  X(instance_destroy, "cuGraphExecDestroy", (bench_cu_instance instance))      \
  X(event_create, "cuEventCreate", (bench_cu_event * event, unsigned flags))   \
  X(event_destroy, "cuEventDestroy_v2", (bench_cu_event event))                \
  X(event_record, "cuEventRecord",                                             \
    (bench_cu_event event, moe_cu_stream stream))                              \
  X(event_elapsed, "cuEventElapsedTime",                                       \
    (float *milliseconds, bench_cu_event start, bench_cu_event end))

enum {
  /// Runs between two waits, at most.
  kBenchBatch = 32
};

/// A GPU whose context is current from bench_gpu_open() to bench_gpu_close().
struct bench_gpu {
  moe_cuda cuda;
#define BENCH_CUDA_FIELD(field, exported, parameters)                          \
  moe_cu_result(*field) parameters;
  struct {
    BENCH_CUDA_FUNCTIONS(BENCH_CUDA_FIELD)
  } f;
#undef BENCH_CUDA_FIELD
  moe_cu_stream stream;
  bench_cu_event events[kBenchBatch + 1];
  bench_device info;
  struct bench_probes *probes;
};

/// The `error: ` line and the exit code of the driver call `what`.
int bench_gpu_fail(const bench_gpu *gpu, moe_cu_result result,
                   const char *what);
int bench_gpu_alloc(const bench_gpu *gpu, uint64_t size_bytes, const char *what,
                    moe_cu_pointer *pointer);
void bench_gpu_free(const bench_gpu *gpu, moe_cu_pointer pointer);
/// Waits for the stream.
int bench_gpu_wait(const bench_gpu *gpu, const char *what);
/// Records event `index`.
int bench_gpu_stamp(const bench_gpu *gpu, size_t index);
/// Seconds from event `index` to the next one, both over.
int bench_gpu_elapsed(const bench_gpu *gpu, size_t index, double *seconds);

//===----------------------------------------------------------------------===//
// probes.c
//===----------------------------------------------------------------------===//

/// Loads the kernels that measure the device and checks what they compute.
int bench_probes_open(bench_gpu *gpu);
void bench_probes_close(bench_gpu *gpu);
/// Queues reads of the whole buffer, a fraction of a millisecond of work.
int bench_probes_occupy(const bench_gpu *gpu);

#endif // MOE_TOOLS_MOE_BENCH_DEVICE_H
