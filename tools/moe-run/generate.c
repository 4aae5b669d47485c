//===- generate.c - Greedy continuation -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "moe-run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// Largest logit of the last row; a NaN ranks below everything, so the result
/// is a token whatever the model gives. The lowest token wins a tie.
static int64_t argmax(const tool_tensor *logits, size_t vocabulary) {
  size_t count;
  if (!tool_tensor_size(logits, false, &count) || count < vocabulary)
    return 0;
  size_t start = count - vocabulary, best = 0;
  double best_value = NAN;
  for (size_t i = 0; i < vocabulary; i++) {
    double value = tool_tensor_real(logits->data, logits->dtype, start + i);
    if (value > best_value || (isnan(best_value) && !isnan(value))) {
      best_value = value;
      best = i;
    }
  }
  return (int64_t)best;
}

/// Opens `function` with the one input [1, n] of ids on a shared session.
static int open_step(run_state *state, const char *function,
                     moe_rt_session *session, tool_call *call) {
  int code = tool_call_open(state->module, function, call);
  if (code)
    return code;
  call->session = session;
  if (call->num_inputs != 1 || call->inputs[0].rank != 2 ||
      call->inputs[0].dtype != MOE_RT_I64) {
    tool_error("%s: function '%s' cannot generate: it takes other inputs than "
               "ids [B, S]",
               MOE_QP(state->options->artifact), function);
    return TOOL_ERROR;
  }
  call->inputs[0].shape[0] = 1;
  return TOOL_OK;
}

static int step(tool_call *call, const int64_t *ids, size_t count,
                int64_t *token) {
  tool_tensor *input = &call->inputs[0];
  if (!input->data || input->shape[1] != (int64_t)count) {
    tool_tensor_free(input);
    input->shape[1] = (int64_t)count;
    if (!tool_tensor_alloc(input))
      return tool_out_of_memory();
    int code = tool_call_allocate(call, NULL);
    if (code)
      return code;
  }
  memcpy(input->data, ids, count * sizeof(*ids));
  int code = tool_call_run(call, NULL);
  if (code)
    return code;
  for (size_t i = 0; i < call->num_outputs; i++) {
    const tool_tensor *output = &call->outputs[i];
    if (strcmp(output->name, "logits") || output->rank < 1 ||
        tool_is_integer(output->dtype))
      continue;
    *token = argmax(output, (size_t)output->shape[output->rank - 1]);
    return TOOL_OK;
  }
  tool_error("function '%s' gives no 'logits'", MOE_Q(call->function));
  return TOOL_ERROR;
}

static int generate_on(run_state *state, run_generation *g,
                       moe_rt_session *session, tool_call *prefill,
                       tool_call *decode) {
  int code = open_step(state, "prefill", session, prefill);
  if (!code)
    code = open_step(state, "decode", session, decode);
  if (code)
    return code;
  int64_t token = 0;
  double start = tool_now();
  code = step(prefill, g->prompt, g->prompt_count, &token);
  g->prefill_s = tool_now() - start;
  if (code)
    return code;
  // One row is enough from here on; the prompt's logits may be large.
  for (size_t i = 0; i < prefill->num_outputs; i++)
    tool_tensor_free(&prefill->outputs[i]);
  while (g->generated < g->count) {
    g->tokens[g->generated++] = token;
    if ((g->emit && !g->emit(g->user, token)) || g->generated == g->count)
      break;
    start = tool_now();
    code = step(decode, &token, 1, &token);
    g->decode_s += tool_now() - start;
    if (code)
      return code;
  }
  return TOOL_OK;
}

int run_greedy(run_state *state, run_generation *g) {
  const run_options *options = state->options;
  const char *path = options->artifact;
  size_t inputs, outputs;
  if (moe_rt_function_counts(state->module, "prefill", &inputs, &outputs) ||
      moe_rt_function_counts(state->module, "decode", &inputs, &outputs)) {
    tool_error("%s: has no functions 'prefill' and 'decode', which generating "
               "text needs",
               MOE_QP(path));
    return TOOL_ERROR;
  }
  int64_t vocabulary = 0, max_length = 0;
  moe_rt_status status =
      moe_rt_module_limits(state->module, &vocabulary, &max_length);
  if (status)
    return tool_fail(status, NULL);
  // The last token is not fed back.
  uint64_t need = g->prompt_count;
  if (g->count > 1)
    need += g->count - 1;
  if (max_length > 0 && need > (uint64_t)max_length) {
    tool_error("%s: %zu tokens and %zu new ones are more than the model's "
               "longest sequence, %lld",
               MOE_QP(path), g->prompt_count, g->count, (long long)max_length);
    return TOOL_ERROR;
  }
  if (options->max_length && need > (uint64_t)options->max_length) {
    tool_error("--max-length: %zu tokens and %zu new ones need a cache of %llu",
               g->prompt_count, g->count, (unsigned long long)need);
    return TOOL_ERROR;
  }
  moe_rt_session_options session_options = {
      .struct_size = sizeof(session_options),
      .num_threads = (int32_t)options->threads,
      .max_batch = 1,
      .max_length = options->max_length ? options->max_length : (int64_t)need};
  moe_rt_session *session;
  status = moe_rt_session_create(state->module, state->params, &session_options,
                                 &session);
  if (status)
    return tool_fail(status, NULL);
  tool_call prefill = {0}, decode = {0};
  int code = generate_on(state, g, session, &prefill, &decode);
  prefill.session = decode.session = NULL;
  tool_call_close(&prefill);
  tool_call_close(&decode);
  moe_rt_session_close(session);
  return code;
}

typedef struct {
  bool as_text, escape;
  size_t count;
} printer;

static bool print_token(void *user, int64_t token) {
  printer *p = user;
  char byte = (char)token;
  bool control = (token < 0x20 && token != '\n' && token != '\t') ||
                 (token >= 0x7f && token < 0xa0);
  if (!p->as_text)
    tool_print("%s%lld", p->count ? "," : "", (long long)token);
  else if (p->escape && control)
    tool_print("\\x%02x", (unsigned)(unsigned char)byte);
  else
    tool_write(&byte, 1);
  p->count++;
  tool_flush();
  return !tool_output_failed();
}

int run_generate(run_state *state) {
  const run_options *options = state->options;
  int64_t vocabulary = 0, max_length = 0;
  moe_rt_status status =
      moe_rt_module_limits(state->module, &vocabulary, &max_length);
  if (status)
    return tool_fail(status, NULL);
  size_t prompt_count =
      options->prompt ? strlen(options->prompt) : options->tokens.count;
  if (options->prompt && vocabulary != 256) {
    if (vocabulary)
      tool_error("%s: --prompt needs a vocabulary of 256 bytes, this one has "
                 "%lld entries; pass ids with --tokens",
                 MOE_QP(options->artifact), (long long)vocabulary);
    else
      tool_error("%s: --prompt needs a language model with a vocabulary of 256 "
                 "bytes, this one has none",
                 MOE_QP(options->artifact));
    return TOOL_ERROR;
  }
  for (size_t i = 0; !options->prompt && vocabulary && i < prompt_count; i++)
    if (options->tokens.values[i] >= vocabulary) {
      tool_error("--tokens: id %lld at position %zu is out of range, %s has "
                 "%lld entries in its vocabulary",
                 (long long)options->tokens.values[i], i,
                 MOE_QP(options->artifact), (long long)vocabulary);
      return TOOL_ERROR;
    }
  size_t count = (size_t)options->max_new_tokens;
  int64_t *prompt = malloc((prompt_count + 1) * sizeof(*prompt));
  int64_t *tokens = malloc((count + 1) * sizeof(*tokens));
  if (!prompt || !tokens) {
    free(prompt);
    free(tokens);
    return tool_out_of_memory();
  }
  for (size_t i = 0; i < prompt_count; i++)
    prompt[i] = options->prompt ? (unsigned char)options->prompt[i]
                                : options->tokens.values[i];
  // What a model says is no business of the terminal's.
  printer p = {options->prompt != NULL, isatty(1), 0};
  run_generation g = {.prompt = prompt,
                      .prompt_count = prompt_count,
                      .count = count,
                      .tokens = tokens,
                      .emit = print_token,
                      .user = &p};
  int code = run_greedy(state, &g);
  if (p.count || !code)
    tool_write("\n", 1);
  tool_flush();
  if (!code && !options->quiet && !tool_output_failed()) {
    size_t decoded = g.generated ? g.generated - 1 : 0;
    fprintf(stderr, "prefill: %zu tokens, %.1f ms, %.1f tokens/s", prompt_count,
            1e3 * g.prefill_s, (double)prompt_count / fmax(g.prefill_s, 1e-9));
    if (decoded)
      fprintf(stderr, "; decode: %zu tokens, %.1f ms, %.1f tokens/s", decoded,
              1e3 * g.decode_s, (double)decoded / fmax(g.decode_s, 1e-9));
    fputc('\n', stderr);
  }
  free(prompt);
  free(tokens);
  return code;
}
