//===- function.c - One function on tensors -------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "moe-run.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Copies the inputs out of a file that may hold other tensors as well.
static int read_inputs(tool_call *call, const moe_st_file *file) {
  const char *path = moe_st_path(file);
  for (size_t i = 0; i < call->num_inputs; i++) {
    const moe_rt_argument_info *info = &call->input_infos[i];
    tool_tensor *input = &call->inputs[i];
    const moe_st_tensor *found = moe_st_find(file, info->name);
    if (!found) {
      tool_error("%s: no tensor '%s', which function '%s' takes", MOE_QP(path),
                 MOE_Q(info->name), MOE_Q(call->function));
      return TOOL_ERROR;
    }
    if (found->type != (int32_t)info->dtype) {
      tool_error("%s: tensor '%s' is %s, expected %s", MOE_QP(path),
                 MOE_Q(info->name), MOE_Q(found->dtype),
                 moe_st_dtype_name(info->dtype));
      return TOOL_ERROR;
    }
    bool fits = found->rank == info->ndim;
    for (int32_t d = 0; d < found->rank; d++) {
      fits =
          fits && found->shape[d] <= INT64_MAX &&
          (info->shape[d] < 0 || (uint64_t)info->shape[d] == found->shape[d]);
      input->shape[d] = (int64_t)found->shape[d];
    }
    if (!fits) {
      char expected[256];
      size_t n = 0;
      for (int32_t d = 0; d < info->ndim && n + 32 < sizeof(expected); d++) {
        const char *separator = d ? ", " : "";
        if (info->shape[d] >= 0)
          n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%s%lld",
                                separator, (long long)info->shape[d]);
        else
          n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%s%.16s",
                                separator,
                                info->symbol[d] ? MOE_Q(info->symbol[d]) : "?");
      }
      expected[n] = 0;
      tool_error("%s: tensor '%s' has shape %s, expected [%s]", MOE_QP(path),
                 MOE_Q(info->name), TOOL_SHAPE(input->shape, found->rank),
                 expected);
      return TOOL_ERROR;
    }
    size_t bytes;
    if (!tool_tensor_size(input, true, &bytes) || bytes != found->size_bytes) {
      tool_error("%s: tensor '%s' has an impossible size", MOE_QP(path),
                 MOE_Q(info->name));
      return TOOL_ERROR;
    }
    if (!tool_tensor_alloc(input))
      return tool_out_of_memory();
    if (bytes)
      memcpy(input->data, found->data, bytes);
  }
  return TOOL_OK;
}

/// A copy of the outputs' bytes as they are after the first run.
static void **snapshot(const tool_call *call) {
  void **copies = calloc(call->num_outputs + 1, sizeof(*copies));
  if (!copies)
    return NULL;
  for (size_t i = 0; i < call->num_outputs; i++) {
    size_t bytes;
    if (!call->wanted[i])
      continue;
    if (!tool_tensor_size(&call->outputs[i], true, &bytes) ||
        !(copies[i] = malloc(bytes + 1)))
      return copies; // the caller sees the hole
    memcpy(copies[i], call->outputs[i].data, bytes);
  }
  return copies;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/// Whether the session keeps something from call to call.
static bool has_cache(const char *function) {
  return !strcmp(function, "prefill") || !strcmp(function, "decode");
}

/// Runs `--repeat` times; each run must give the bits of the first.
static int run_repeatedly(run_state *state, tool_call *call) {
  const run_options *options = state->options;
  size_t repeat = (size_t)options->repeat;
  double *times = malloc(repeat * sizeof(*times));
  if (!times)
    return tool_out_of_memory();
  void **first = NULL;
  int64_t (*shapes)[MOE_RT_MAX_RANK] =
      calloc(call->num_outputs + 1, sizeof(*shapes));
  int code = shapes ? TOOL_OK : tool_out_of_memory();
  for (size_t i = 0; i < call->num_outputs && !code; i++)
    memcpy(shapes[i], call->outputs[i].shape, sizeof(shapes[i]));
  for (size_t r = 0; r < repeat && !code; r++) {
    if (r) {
      // As before the first run: an empty cache, whole buffers.
      moe_rt_status status = has_cache(call->function)
                                 ? moe_rt_session_truncate(call->session, -1, 0)
                                 : MOE_RT_OK;
      if (status)
        code = tool_fail(status, NULL);
      for (size_t i = 0; i < call->num_outputs; i++)
        memcpy(call->outputs[i].shape, shapes[i], sizeof(shapes[i]));
    }
    double start = tool_now();
    if (!code)
      code = tool_call_run(call, options->input);
    times[r] = tool_now() - start;
    if (code || repeat == 1)
      break;
    if (r == 0) {
      first = snapshot(call);
      code = first ? TOOL_OK : tool_out_of_memory();
      continue;
    }
    for (size_t i = 0; i < call->num_outputs && !code; i++) {
      size_t bytes;
      if (!call->wanted[i] || !first[i] ||
          !tool_tensor_size(&call->outputs[i], true, &bytes) ||
          !memcmp(first[i], call->outputs[i].data, bytes))
        continue;
      tool_error("run %zu of %zu: output '%s' differs from the first run's",
                 r + 1, repeat, MOE_Q(call->outputs[i].name));
      code = TOOL_DIFFERS;
    }
  }
  if (!code && !options->quiet && (repeat > 1 || options->verbose)) {
    qsort(times, repeat, sizeof(*times), compare_doubles);
    fprintf(stderr, "%s: %zu run%s, median %.3f ms, min %.3f ms\n",
            MOE_Q(call->function), repeat, repeat == 1 ? "" : "s",
            1e3 * times[repeat / 2], 1e3 * times[0]);
  }
  for (size_t i = 0; first && i < call->num_outputs; i++)
    free(first[i]);
  free(first);
  free(shapes);
  free(times);
  return code;
}

static int write_outputs(const tool_call *call, const char *path) {
  moe_st_entry *entries = calloc(call->num_outputs + 1, sizeof(*entries));
  if (!entries)
    return tool_out_of_memory();
  size_t count = 0;
  for (size_t i = 0; i < call->num_outputs; i++) {
    const tool_tensor *output = &call->outputs[i];
    if (!call->wanted[i])
      continue;
    entries[count].name = output->name;
    entries[count].dtype = moe_st_dtype_name(output->dtype);
    entries[count].rank = output->rank;
    entries[count].shape = output->shape;
    entries[count++].data = output->data;
  }
  // A signal in the middle would leave the temporary file behind.
  sigset_t ends, before;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGHUP);
  sigprocmask(SIG_BLOCK, &ends, &before);
  moe_error error;
  moe_rt_status status = moe_st_write(path, entries, count, NULL, 0, &error);
  sigprocmask(SIG_SETMASK, &before, NULL);
  free(entries);
  return status ? tool_fail_with(&error) : TOOL_OK;
}

/// "output f32 [7, 20]  mean 0.01 std 0.9 min -2 max 2  first 0.1 0.2 0.3 0.4"
static void print_summary(const tool_call *call) {
  for (size_t i = 0; i < call->num_outputs; i++) {
    const tool_tensor *t = &call->outputs[i];
    size_t n;
    if (!call->wanted[i] || !tool_tensor_size(t, false, &n))
      continue;
    tool_print("%s %s %s", MOE_Q(t->name), tool_dtype_name(t->dtype),
               TOOL_SHAPE(t->shape, t->rank));
    double sum = 0, squares = 0, min = INFINITY, max = -INFINITY;
    size_t nans = 0;
    for (size_t j = 0; j < n; j++) {
      double v = tool_tensor_real(t->data, t->dtype, j);
      if (isnan(v)) {
        nans++;
        continue;
      }
      sum += v;
      squares += v * v;
      min = fmin(min, v);
      max = fmax(max, v);
    }
    if (n > nans) {
      double count = (double)(n - nans), mean = sum / count;
      tool_print("  mean %.6g  std %.6g  min %.6g  max %.6g", mean,
                 sqrt(fmax(squares / count - mean * mean, 0)), min, max);
    }
    if (nans)
      tool_print("  nan %zu", nans);
    if (n)
      tool_print("  first");
    for (size_t j = 0; j < n && j < 4; j++)
      tool_print(" %.6g", tool_tensor_real(t->data, t->dtype, j));
    tool_print("\n");
  }
}

/// True (after an error) if `--output` would replace something that is read.
static bool overwrites_input(const run_options *options) {
  const char *output = options->output;
  const char *const read[] = {options->artifact, options->input,
                              options->expect};
  bool clash = false;
  for (size_t i = 0; i < 3; i++)
    clash = clash || (read[i] && tool_same_file(output, read[i]));
  moe_checkpoint *checkpoint;
  if (!clash && options->params && tool_same_file(output, output) &&
      !moe_checkpoint_open(options->params, MOE_ST_HEADERS_ONLY, &checkpoint,
                           NULL)) {
    const moe_st_file *last = NULL;
    for (size_t i = 0; i < moe_checkpoint_count(checkpoint) && !clash; i++) {
      const moe_st_tensor *tensor = moe_checkpoint_at(checkpoint, i);
      const moe_st_file *shard = NULL;
      if (!moe_checkpoint_find(checkpoint, tensor->name, &shard) ||
          shard == last)
        continue;
      last = shard;
      clash = tool_same_file(output, moe_st_path(shard));
    }
    moe_checkpoint_close(checkpoint);
  }
  if (clash)
    tool_error("%s: is an input of this command and will not be replaced",
               MOE_QP(output));
  return clash;
}

static int run_opened(run_state *state, const moe_st_file *input,
                      const moe_st_file *expected, tool_call *call) {
  const run_options *options = state->options;
  int code = tool_call_open(state->module, state->function, call);
  if (!code)
    code = read_inputs(call, input);
  if (code)
    return code;
  for (size_t i = 0; options->optional && i < call->num_outputs; i++)
    call->wanted[i] = true;
  if (expected)
    run_expect_want(expected, call);

  moe_rt_session_options session = {.struct_size = sizeof(session),
                                    .num_threads = (int32_t)options->threads,
                                    .max_length = options->max_length};
  // Functions with a cache: as many rows as come in.
  if (has_cache(state->function) && call->num_inputs &&
      call->inputs[0].rank == 2) {
    session.max_batch = call->inputs[0].shape[0];
    if (!session.max_length)
      session.max_length = call->inputs[0].shape[1];
  }
  moe_rt_status status = moe_rt_session_create(state->module, state->params,
                                               &session, &call->session);
  if (status)
    return tool_fail(status, options->input);
  code = tool_call_allocate(call, options->input);
  if (!code)
    code = run_repeatedly(state, call);
  // The bounded outputs' sizes that the runs have set live in the shapes.
  if (!code && expected)
    code = run_expect_compare(state, expected, call);
  if (!code && options->output)
    code = write_outputs(call, options->output);
  if (!code && !options->output && !expected && !options->quiet)
    print_summary(call);
  return code;
}

int run_function(run_state *state) {
  const run_options *options = state->options;
  if (options->output && overwrites_input(options))
    return TOOL_ERROR;
  moe_st_file *input = NULL, *expected = NULL;
  moe_error error;
  if (moe_st_open(options->input, 0, &input, &error))
    return tool_fail_with(&error);
  int code = TOOL_OK;
  if (options->expect && moe_st_open(options->expect, 0, &expected, &error))
    code = tool_fail_with(&error);
  tool_call call = {0};
  if (!code)
    code = run_opened(state, input, expected, &call);
  // Cut short meanwhile, what was read is not what the file says.
  if (!code && moe_st_unchanged(input, &error))
    code = tool_fail_with(&error);
  tool_call_close(&call);
  moe_st_close(expected);
  moe_st_close(input);
  return code;
}
