//===- measure.c - Timing a function --------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "moe-bench.h"
#include "synthetic.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Different inputs in turn, so that a call with few tokens finds its experts
/// in memory rather than in a cache.
enum { kInputSets = 8, kMaxTokensToRotate = 256, kMaxRuns = 100000 };
/// Runs that may come at once.
enum { kMaxBatch = 64 };

/// Nonnegative hash of a counter (splitmix64).
static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// N(0, 1), or ids drawn uniformly from what the function accepts.
static void fill(tool_tensor *t, int64_t limit, uint64_t key) {
  size_t count;
  if (!tool_tensor_size(t, false, &count))
    return;
  for (size_t i = 0; i < count; i++) {
    float value = (float)moe_synthetic_normal(key, i);
    int64_t id = limit > 0 ? (int64_t)(mix(key ^ i) % (uint64_t)limit) : 0;
    switch (t->dtype) {
    case MOE_RT_F32:
      ((float *)t->data)[i] = value;
      break;
    case MOE_RT_F64:
      ((double *)t->data)[i] = value;
      break;
    case MOE_RT_F16:
      ((uint16_t *)t->data)[i] = moe_f32_to_f16(value);
      break;
    case MOE_RT_BF16:
      ((uint16_t *)t->data)[i] = moe_f32_to_bf16(value);
      break;
    case MOE_RT_I32:
      ((int32_t *)t->data)[i] = (int32_t)id;
      break;
    case MOE_RT_I64:
      ((int64_t *)t->data)[i] = id;
      break;
    case MOE_RT_U8:
      ((uint8_t *)t->data)[i] = (uint8_t)id;
      break;
    }
  }
}

/// A batch of one sequence of `tokens`; where a function takes one token per
/// row, a batch of that many rows.
static bool only_batch_varies(const tool_call *call) {
  for (size_t i = 0; i < call->num_inputs; i++)
    for (int32_t d = 0; d < call->input_infos[i].ndim; d++) {
      const char *symbol = call->input_infos[i].symbol[d];
      if (call->input_infos[i].shape[d] < 0 && (!symbol || strcmp(symbol, "B")))
        return false;
    }
  return true;
}

typedef struct {
  bench_state *state;
  bench_row *row;
  tool_call call;
  bool has_cache;
  size_t num_sets;
  void **data;         // [set][input]
  bench_gpu_call *gpu; // NULL: on the CPU
} bench_cell;

static int make_inputs(bench_cell *cell) {
  tool_call *call = &cell->call;
  int64_t tokens = cell->row->tokens;
  bool batch = only_batch_varies(call);
  const bench_gpu *gpu = cell->state->gpu;
  cell->num_sets = tokens <= kMaxTokensToRotate ? kInputSets : 2;
  if (gpu && bench_gpu_info(gpu)->is_emulated)
    cell->num_sets = 2;
  cell->data =
      calloc(cell->num_sets * (call->num_inputs + 1), sizeof(*cell->data));
  if (!cell->data)
    return tool_out_of_memory();
  for (size_t i = 0; i < call->num_inputs; i++) {
    const moe_rt_argument_info *info = &call->input_infos[i];
    tool_tensor *input = &call->inputs[i];
    for (int32_t d = 0; d < info->ndim; d++) {
      bool is_batch = info->symbol[d] && !strcmp(info->symbol[d], "B");
      if (info->shape[d] >= 0)
        input->shape[d] = info->shape[d];
      else if (__builtin_mul_overflow(info->multiple[d],
                                      is_batch && !batch ? 1 : tokens,
                                      &input->shape[d]))
        return tool_out_of_memory();
    }
    for (size_t set = 0; set < cell->num_sets; set++) {
      char name[64];
      snprintf(name, sizeof(name), "%zu.%zu", i, set);
      if (!tool_tensor_alloc(input))
        return tool_out_of_memory();
      fill(input, info->limit,
           moe_synthetic_key((uint64_t)cell->state->options->seed, name));
      cell->data[set * call->num_inputs + i] = input->data;
      input->data = NULL; // each set owns its own
    }
  }
  moe_rt_session_options options = {.struct_size = sizeof(options),
                                    .num_threads = (int32_t)cell->row->threads,
                                    .stream =
                                        gpu ? bench_gpu_stream(gpu) : NULL};
  if (cell->has_cache) {
    options.max_batch = batch ? tokens : 1;
    options.max_length = batch ? 1 : tokens;
  }
  moe_rt_status status = moe_rt_session_create(
      cell->state->module, cell->state->params, &options, &call->session);
  return status ? tool_fail(status, cell->state->options->artifact) : TOOL_OK;
}

static void use_set(bench_cell *cell, size_t set) {
  tool_call *call = &cell->call;
  for (size_t i = 0; i < call->num_inputs; i++) {
    call->inputs[i].data =
        cell->data[set % cell->num_sets * call->num_inputs + i];
    call->input_views[i] = tool_tensor_view(&call->inputs[i]);
  }
}

static int run_once(bench_cell *cell, size_t set, double *seconds) {
  use_set(cell, set);
  if (cell->has_cache) {
    moe_rt_status status = moe_rt_session_truncate(cell->call.session, -1, 0);
    if (status)
      return tool_fail(status, NULL);
  }
  double start = tool_now();
  int code = tool_call_run(&cell->call, NULL);
  *seconds = tool_now() - start;
  return code;
}

/// Runs each input once with the routing as an output, if there is one.
static int count_hits(bench_cell *cell, bench_call *facts) {
  tool_call *call = &cell->call;
  size_t index = call->num_outputs;
  for (size_t i = 0; i < call->num_outputs; i++)
    if (!strcmp(call->outputs[i].name, "expert_index") &&
        tool_is_integer(call->outputs[i].dtype))
      index = i;
  double experts = bench_num_experts(&cell->state->parameters);
  double k = (double)cell->state->experts_per_token;
  if (index == call->num_outputs) {
    if (k > 0 || experts == 0) {
      facts->assignments = k * facts->tokens;
      facts->experts_hit = bench_uniform_hits(experts, facts->tokens, k);
    }
    return TOOL_OK;
  }
  bool was_wanted = call->wanted[index];
  call->wanted[index] = true;
  double hit = 0, assignments = 0;
  int code = TOOL_OK;
  enum { kMaxExperts = 65536 };
  unsigned char *seen = malloc(kMaxExperts);
  if (!seen)
    return tool_out_of_memory();
  for (size_t set = 0; set < cell->num_sets && !code; set++) {
    use_set(cell, set);
    // A bounded output's shape says what was used; it starts as the bound.
    code = tool_call_allocate(call, NULL);
    double seconds;
    if (!code)
      code = run_once(cell, set, &seconds);
    size_t count;
    const tool_tensor *t = &call->outputs[index];
    if (code || !tool_tensor_size(t, false, &count))
      continue;
    memset(seen, 0, kMaxExperts);
    for (size_t i = 0; i < count; i++) {
      int64_t expert = tool_tensor_int(t->data, t->dtype, i);
      if (expert < 0 || expert >= kMaxExperts)
        continue;
      assignments++;
      hit += !seen[expert];
      seen[expert] = 1;
    }
  }
  free(seen);
  call->wanted[index] = was_wanted;
  facts->assignments = assignments / (double)cell->num_sets;
  facts->experts_hit = hit / (double)cell->num_sets;
  return code;
}

static double logits_rows(const tool_call *call) {
  for (size_t i = 0; i < call->num_outputs; i++) {
    const tool_tensor *t = &call->outputs[i];
    size_t count;
    if (!strcmp(t->name, "logits") && t->rank > 0 && t->shape[t->rank - 1] &&
        tool_tensor_size(t, false, &count))
      return (double)count / (double)t->shape[t->rank - 1];
  }
  return 0;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/// One run on the CPU, or some on a GPU: at most kMaxBatch.
static int run_some(bench_cell *cell, size_t set, size_t most, double *seconds,
                    size_t *count) {
  *count = 1;
  return cell->gpu ? bench_gpu_run(cell->gpu, set, most, seconds, count)
                   : run_once(cell, set, seconds);
}

static int time_runs(bench_cell *cell) {
  const bench_options *options = cell->state->options;
  size_t capacity = 2 * kMaxBatch, count = 0, set = 0, ran;
  double *times = malloc(capacity * sizeof(*times));
  if (!times)
    return tool_out_of_memory();
  int code = TOOL_OK;
  double total = 0;
  for (int64_t i = 0; i < options->warmup && !code; i++)
    code = run_some(cell, set++, 1, times, &ran);
  while (!code && count < kMaxRuns &&
         (count < (size_t)options->repeat || total < options->min_time_s)) {
    if (count + kMaxBatch > capacity) {
      capacity *= 2;
      double *larger = realloc(times, capacity * sizeof(*times));
      if (!larger) {
        code = tool_out_of_memory();
        break;
      }
      times = larger;
    }
    code = run_some(cell, set, kMaxBatch, &times[count], &ran);
    set += ran;
    for (; ran && !code; ran--)
      total += times[count++];
  }
  if (!code) {
    qsort(times, count, sizeof(*times), compare_doubles);
    cell->row->repeats = count;
    cell->row->min_s = times[0];
    cell->row->median_s = count % 2
                              ? times[count / 2]
                              : (times[count / 2 - 1] + times[count / 2]) / 2;
  }
  free(times);
  return code;
}

int bench_measure(bench_state *state, bench_row *row) {
  bench_cell cell = {.state = state, .row = row};
  row->function = state->function;
  row->level = state->level;
  row->device = state->gpu ? bench_gpu_info(state->gpu) : NULL;
  cell.has_cache =
      !strcmp(state->function, "prefill") || !strcmp(state->function, "decode");
  int code = tool_call_open(state->module, state->function, &cell.call);
  if (!code)
    code = make_inputs(&cell);
  bench_call facts = {(double)row->tokens, 0, -1, -1};
  if (!code)
    code = count_hits(&cell, &facts);
  if (!code && state->gpu) {
    code =
        bench_gpu_prepare(state->gpu, &cell.call, cell.data, cell.num_sets,
                          cell.has_cache, !state->options->no_graph, &cell.gpu);
    row->is_captured = !code && bench_gpu_is_captured(cell.gpu);
  } else if (!code) {
    use_set(&cell, 0);
    code = tool_call_allocate(&cell.call, NULL);
  }
  if (!code) {
    facts.logits_rows = logits_rows(&cell.call);
    row->experts_hit = facts.experts_hit;
    row->is_estimated = bench_estimate(&state->parameters, &facts, &row->work);
    code = time_runs(&cell);
  }
  bench_gpu_release(cell.gpu);
  for (size_t i = 0; i < cell.call.num_inputs; i++)
    cell.call.inputs[i].data = NULL;
  for (size_t i = 0; cell.data && i < cell.num_sets * cell.call.num_inputs; i++)
    free(cell.data[i]);
  free(cell.data);
  tool_call_close(&cell.call);
  return code;
}
