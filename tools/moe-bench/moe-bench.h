//===- moe-bench.h - Parts of moe-bench ---------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Functions that return int return TOOL_OK or, after an `error: ` line, an
/// exit code.
//===----------------------------------------------------------------------===//
#ifndef MOE_TOOLS_MOE_BENCH_H
#define MOE_TOOLS_MOE_BENCH_H
#include "text.h"
#include "tool.h"

typedef struct {
  const char *artifact, *params, *function, *format, *output, *device;
  tool_int_list tokens, threads;
  double min_time_s;
  int64_t repeat, warmup, level, seed, experts_per_token;
  bool no_graph, quiet, verbose, help, version;
} bench_options;

//===----------------------------------------------------------------------===//
// limits.c
//===----------------------------------------------------------------------===//

/// What this machine can do with a number of threads; 0 where it cannot be
/// measured (a CPU without AVX2).
typedef struct {
  double fma_flops; // per second; on a GPU those of the module's products
  double read_bytes;
} bench_limits;

/// Best of several loops: register-resident f32 FMAs, and reads of a buffer
/// beyond the caches that each thread fills for itself.
int bench_measure_limits(int64_t threads, bench_limits *limits);

//===----------------------------------------------------------------------===//
// device.c, probes.c
//===----------------------------------------------------------------------===//

/// What a report says about a GPU. Strings live as long as the device and the
/// module's description.
typedef struct {
  const char *name, *code; // "sm_90a"
  const char *precision;   // that products multiply in: "bf16"
  const moe_json *parameters;
  bool is_emulated;
} bench_device;

typedef struct bench_gpu bench_gpu;
typedef struct bench_gpu_call bench_gpu_call;

/// Opens the GPU on which the module is open. Release with bench_gpu_close(),
/// after a failure too where `gpu` was set.
int bench_gpu_open(const bench_options *options, const tool_device *device,
                   const moe_json *description, bench_gpu **gpu);
void bench_gpu_close(bench_gpu *gpu);
const bench_device *bench_gpu_info(const bench_gpu *gpu);
void *bench_gpu_stream(const bench_gpu *gpu);

/// Peak in the precision of the module's products, and the read bandwidth of
/// device memory.
int bench_gpu_limits(bench_gpu *gpu, bench_limits *limits);

/// Copies the inputs, data[set][input], to the device, makes room for outputs
/// there and captures a call per set. `call` has a session on the GPU's stream;
/// its outputs' shapes are set. Release with bench_gpu_release(), after a
/// failure too, before the call is closed.
int bench_gpu_prepare(bench_gpu *gpu, tool_call *call, void *const *data,
                      size_t num_sets, bool has_cache, bool with_graph,
                      bench_gpu_call **result);
void bench_gpu_release(bench_gpu_call *c);
bool bench_gpu_is_captured(const bench_gpu_call *c);

/// Runs some sets from `set` on, at most `most`; seconds[i] of each.
int bench_gpu_run(bench_gpu_call *c, size_t set, size_t most, double *seconds,
                  size_t *count);

//===----------------------------------------------------------------------===//
// model.c
//===----------------------------------------------------------------------===//

/// What one call of a function must do at least.
typedef struct {
  double flops, bytes;
} bench_work;

/// What happened in a call, as far as the function tells.
typedef struct {
  double tokens;
  /// Rows of logits, 0 where there are none.
  double logits_rows;
  /// Per layer of experts, on average; negative: not known.
  double assignments, experts_hit;
} bench_call;

/// The parameters of some code in the module: "x86-64-v4", "sm_90a".
typedef struct {
  const moe_json *list;
  const char *code;
  double vocabulary; // 0: none
} bench_parameters;

/// Estimates from the parameters' shapes. False where the experts hit matter
/// and are not known.
bool bench_estimate(const bench_parameters *parameters, const bench_call *call,
                    bench_work *work);

/// Experts of the module's largest expert stack, 0 if there is none.
double bench_num_experts(const bench_parameters *parameters);

/// Different experts that `assignments` uniform choices hit on average, k
/// different ones per token.
double bench_uniform_hits(double experts, double tokens, double k);

/// Experts per token as config.json in `directory` has it, 0 if it does not.
int64_t bench_experts_per_token(const char *directory);

//===----------------------------------------------------------------------===//
// measure.c
//===----------------------------------------------------------------------===//

typedef struct {
  const char *function;
  int64_t tokens, threads;
  size_t repeats;
  double median_s, min_s;
  bool is_estimated; // `work` is known
  bench_work work;
  double experts_hit; // negative: not known
  bench_limits limits;
  int level;                  // 0: a GPU
  const bench_device *device; // NULL: the CPU
  bool is_captured;           // runs were replays of a graph
} bench_row;

typedef struct {
  const bench_options *options;
  moe_rt_module *module;
  moe_rt_params *params;
  bench_parameters parameters;
  const char *function;
  int level;                 // 0: a GPU
  bench_gpu *gpu;            // NULL: the CPU
  int64_t experts_per_token; // 0: not known
} bench_state;

/// One cell of the table; `row` has tokens and threads set, limits come later.
int bench_measure(bench_state *state, bench_row *row);

//===----------------------------------------------------------------------===//
// report.c
//===----------------------------------------------------------------------===//

void bench_report(const bench_options *options, const bench_row *rows,
                  size_t count, moe_text *text);

#endif // MOE_TOOLS_MOE_BENCH_H
