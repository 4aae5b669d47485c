//===- expect.c - Comparing with expected tensors -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "moe-run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tool_tensor *find(const tool_tensor *tensors, size_t count,
                               const char *name, size_t *index) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(tensors[i].name, name)) {
      *index = i;
      return &tensors[i];
    }
  return NULL;
}

void run_expect_want(const moe_st_file *expected, tool_call *call) {
  for (size_t i = 0; i < moe_st_count(expected); i++) {
    size_t index;
    if (find(call->outputs, call->num_outputs, moe_st_at(expected, i)->name,
             &index))
      call->wanted[index] = true;
  }
}

/// Largest agreement seen so far, for the closing line.
typedef struct {
  const char *path;
  double rtol, atol;
  double largest;
  const char *largest_name;
} comparison;

/// Where in the tensor element `flat` is: "[1, 10, 3]".
static const char *position(tool_shape_text *text, const tool_tensor *t,
                            size_t flat) {
  int64_t index[MOE_RT_MAX_RANK];
  for (int32_t d = t->rank - 1; d >= 0; d--) {
    index[d] = (int64_t)(flat % (size_t)t->shape[d]);
    flat /= (size_t)t->shape[d];
  }
  return tool_format_shape(text, index, t->rank);
}

static bool compare_integers(const comparison *c, const moe_st_tensor *expected,
                             const tool_tensor *got, size_t n) {
  size_t bad = 0, worst = 0;
  uint64_t worst_distance = 0;
  for (size_t i = 0; i < n; i++) {
    int64_t g = tool_tensor_int(got->data, got->dtype, i);
    int64_t e =
        tool_tensor_int(expected->data, (moe_rt_dtype)expected->type, i);
    if (g == e)
      continue;
    uint64_t distance =
        g > e ? (uint64_t)g - (uint64_t)e : (uint64_t)e - (uint64_t)g;
    bad++;
    if (distance > worst_distance) {
      worst_distance = distance;
      worst = i;
    }
  }
  if (!bad)
    return true;
  tool_error(
      "%s: tensor '%s' at %s: got %lld, expected %lld; %zu of %zu elements "
      "differ",
      MOE_QP(c->path), MOE_Q(expected->name),
      position(&(tool_shape_text){{0}}, got, worst),
      (long long)tool_tensor_int(got->data, got->dtype, worst),
      (long long)tool_tensor_int(expected->data, (moe_rt_dtype)expected->type,
                                 worst),
      bad, n);
  return false;
}

static bool compare_reals(comparison *c, const moe_st_tensor *expected,
                          const tool_tensor *got, size_t n) {
  size_t bad = 0, worst = 0;
  double worst_excess = 0;
  moe_rt_dtype type = (moe_rt_dtype)expected->type;
  for (size_t i = 0; i < n; i++) {
    double g = tool_tensor_real(got->data, got->dtype, i);
    double e = tool_tensor_real(expected->data, type, i);
    double difference = fabs(g - e);
    // Without the first test an infinite expectation would accept anything,
    // and inf - inf is a NaN.
    if (g == e)
      difference = 0;
    else if (!isfinite(g) || !isfinite(e))
      difference = INFINITY;
    double excess = isinf(difference)
                        ? difference
                        : difference - (c->atol + c->rtol * fabs(e));
    if (difference == 0 || excess <= 0) {
      if (difference >= c->largest || !c->largest_name) {
        c->largest = difference;
        c->largest_name = expected->name;
      }
      continue;
    }
    if (!bad++ || excess > worst_excess) {
      worst_excess = excess;
      worst = i;
    }
  }
  if (!bad)
    return true;
  tool_error("%s: tensor '%s' at %s: got %.9g, expected %.9g; %zu of %zu "
             "elements differ by more than %g + %g * |expected|",
             MOE_QP(c->path), MOE_Q(expected->name),
             position(&(tool_shape_text){{0}}, got, worst),
             tool_tensor_real(got->data, got->dtype, worst),
             tool_tensor_real(expected->data, type, worst), bad, n, c->atol,
             c->rtol);
  return false;
}

static bool compare(comparison *c, const moe_st_tensor *expected,
                    const tool_tensor *got) {
  bool integer = tool_is_integer(got->dtype);
  if (expected->type == MOE_ST_OTHER ||
      tool_is_integer((moe_rt_dtype)expected->type) != integer) {
    tool_error("%s: tensor '%s': got %s, expected %s", MOE_QP(c->path),
               MOE_Q(expected->name), moe_st_dtype_name(got->dtype),
               MOE_Q(expected->dtype));
    return false;
  }
  bool same = expected->rank == got->rank;
  int64_t shape[MOE_RT_MAX_RANK] = {0};
  for (int32_t d = 0; d < expected->rank; d++) {
    shape[d] = (int64_t)expected->shape[d];
    same = same && shape[d] == got->shape[d];
  }
  if (!same) {
    tool_error("%s: tensor '%s': got shape %s, expected %s", MOE_QP(c->path),
               MOE_Q(expected->name), TOOL_SHAPE(got->shape, got->rank),
               TOOL_SHAPE(shape, expected->rank));
    return false;
  }
  size_t n;
  if (!tool_tensor_size(got, false, &n))
    return false;
  return integer ? compare_integers(c, expected, got, n)
                 : compare_reals(c, expected, got, n);
}

/// `next_tokens` [N]: N greedy tokens after row 0 of `input_ids`.
static int compare_next_tokens(run_state *state, comparison *c,
                               const moe_st_tensor *expected,
                               const tool_call *call) {
  size_t index;
  const tool_tensor *ids =
      find(call->inputs, call->num_inputs, "input_ids", &index);
  if (!ids || ids->rank != 2 || !tool_is_integer(ids->dtype) ||
      ids->shape[0] < 1 || ids->shape[1] < 1 || expected->rank != 1 ||
      expected->shape[0] > INT32_MAX) {
    tool_error("%s: tensor 'next_tokens' cannot be checked: it needs shape [N] "
               "and a token of 'input_ids' to go on from",
               MOE_QP(c->path));
    return TOOL_DIFFERS;
  }
  size_t length = (size_t)ids->shape[1], count = (size_t)expected->shape[0];
  int64_t *prompt = malloc(length * sizeof(*prompt));
  tool_tensor got = {.name = "next_tokens",
                     .dtype = MOE_RT_I64,
                     .rank = 1,
                     .shape = {(int64_t)count}};
  int code = TOOL_OK;
  if (!prompt || !tool_tensor_alloc(&got))
    code = tool_out_of_memory();
  for (size_t i = 0; !code && i < length; i++)
    prompt[i] = tool_tensor_int(ids->data, ids->dtype, i);
  run_generation generation = {.prompt = prompt,
                               .prompt_count = length,
                               .count = count,
                               .tokens = got.data};
  if (!code)
    code = run_greedy(state, &generation);
  if (!code && !compare(c, expected, &got))
    code = TOOL_DIFFERS;
  tool_tensor_free(&got);
  free(prompt);
  return code;
}

int run_expect_compare(run_state *state, const moe_st_file *expected,
                       const tool_call *call) {
  comparison c = {moe_st_path(expected), state->options->rtol,
                  state->options->atol, 0, NULL};
  size_t checked = 0, wrong = 0;
  for (size_t i = 0; i < moe_st_count(expected); i++) {
    const moe_st_tensor *tensor = moe_st_at(expected, i);
    size_t index;
    if (find(call->inputs, call->num_inputs, tensor->name, &index))
      continue;
    checked++;
    const tool_tensor *got =
        find(call->outputs, call->num_outputs, tensor->name, &index);
    if (got) {
      wrong += !compare(&c, tensor, got);
    } else if (!strcmp(tensor->name, "next_tokens")) {
      int code = compare_next_tokens(state, &c, tensor, call);
      if (code && code != TOOL_DIFFERS)
        return code;
      wrong += code != TOOL_OK;
    } else {
      tool_error("%s: tensor '%s' is not produced by function '%s'",
                 MOE_QP(c.path), MOE_Q(tensor->name), MOE_Q(call->function));
      wrong++;
    }
  }
  moe_error error;
  if (moe_st_unchanged(expected, &error))
    return tool_fail_with(&error);
  if (!checked) {
    tool_error("%s: holds no tensor to compare with", MOE_QP(c.path));
    return TOOL_DIFFERS;
  }
  if (wrong)
    return TOOL_DIFFERS;
  if (!state->options->quiet) {
    tool_print("%s: %zu tensor%s agree%s", MOE_QP(c.path), checked,
               checked == 1 ? "" : "s", checked == 1 ? "s" : "");
    if (c.largest_name)
      tool_print(", largest difference %.3g in '%s'", c.largest,
                 MOE_Q(c.largest_name));
    tool_print("\n");
  }
  return TOOL_OK;
}
