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
  const char *artifact, *params, *function, *format, *output;
  tool_int_list tokens, threads;
  double min_time_s;
  int64_t repeat, warmup, level, seed, experts_per_token;
  bool quiet, verbose, help, version;
} bench_options;

//===----------------------------------------------------------------------===//
// limits.c
//===----------------------------------------------------------------------===//

/// What this machine can do with a number of threads; 0 where it cannot be
/// measured (a CPU without AVX2).
typedef struct {
  double fma_flops; // per second
  double read_bytes;
} bench_limits;

/// Best of several loops: register-resident f32 FMAs, and reads of a buffer
/// beyond the caches that each thread fills for itself.
int bench_measure_limits(int64_t threads, bench_limits *limits);

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

/// Estimates from the parameters' shapes in the module's description; `level`
/// (3 or 4) says whose sizes count. False where the experts hit matter and are
/// not known.
bool bench_estimate(const moe_json *description, int level,
                    const bench_call *call, bench_work *work);

/// Experts of the module's largest expert stack, 0 if there is none.
double bench_num_experts(const moe_json *description);

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
  int level;
} bench_row;

typedef struct {
  const bench_options *options;
  moe_rt_module *module;
  moe_rt_params *params;
  const moe_json *description;
  const char *function;
  int level;
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
