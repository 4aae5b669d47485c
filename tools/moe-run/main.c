//===- main.c - Runs compiled models --------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe-run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Weights:\n"
    "  --params=SOURCE       directory with the checkpoint, a safetensors "
    "file, "
    "or\n"
    "                        synthetic:SEED for random weights\n"
    "One function on tensors:\n"
    "  --input=FILE          inputs, matched by name; may hold more\n"
    "  --function=NAME       default: forward, else layer, else the first one\n"
    "  --output=FILE         where the outputs go (safetensors)\n"
    "  --optional            compute optional outputs too\n"
    "  --expect=FILE         compare: each tensor of FILE that is not an input "
    "must\n"
    "                        be produced and agree, else exit code 3\n"
    "  --rtol=R --atol=A     |got - expected| <= A + R * |expected|\n"
    "                        (default 1e-4 each)\n"
    "  --repeat=N            run N times (default 1), print the time, require "
    "the\n"
    "                        same bits each time\n"
    "Greedy continuation:\n"
    "  --prompt=TEXT         a byte is a token; for vocabularies of 256 bytes\n"
    "  --tokens=IDS          ids, such as 1,2,3\n"
    "  --max-new-tokens=N    default 64\n"
    "  --max-length=N        tokens that the KV cache holds (default: as many "
    "as\n"
    "                        needed)\n"
    "Looking inside:\n"
    "  --describe[=json]     functions, parameters, targets, hash; nothing is "
    "run\n"
    "Machine:\n"
    "  --threads=N           default: as many as this process may use\n"
    "  --device=NAME         cpu (default); cuda, cuda:N: a GPU of the CUDA "
    "driver;\n"
    "                        emulated-cuda: a compute capability 9.0 without a "
    "GPU,\n"
    "                        emulated-cuda:1: an 8.0. Slow, for tests\n"
    "  --level=3|4           highest x86-64 level to use (default: what is "
    "there)\n"
    "\n"
    "  -q, --quiet           results and errors only\n"
    "  -v, --verbose         what happens, with times\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 done, 1 error, 2 wrong command line, 3 comparison failed,\n"
    "4 the machine lacks something, 70 internal error.\n";

static int wrong_use(const char *text) {
  const char *name = run_source_name();
  tool_error("%s: %s, see %s --help", name, text, name);
  return TOOL_USAGE;
}

/// What the flags must not be together.
static int check_options(const run_options *o, size_t num_positional,
                         bool has_max_new) {
  if (num_positional < run_source_files)
    return wrong_use("no file given");
  if (!*o->artifact)
    return wrong_use("the name of the file is empty");
  if (o->describe)
    return o->input || o->prompt || o->has_tokens
               ? wrong_use("--describe runs nothing, found an input too")
               : TOOL_OK;
  int modes = (o->input != NULL) + (o->prompt != NULL) + o->has_tokens;
  if (modes == 0)
    return wrong_use("nothing to run: give --input, --prompt, --tokens or "
                     "--describe");
  if (modes > 1)
    return wrong_use("--input, --prompt and --tokens exclude each other");
  if (!o->input && (o->output || o->expect || o->optional || o->function))
    return wrong_use("--function, --output, --optional and --expect go with "
                     "--input");
  if (o->input && has_max_new)
    return wrong_use("--max-new-tokens goes with --prompt or --tokens");
  // Files are mapped and written beside, then renamed.
  const char *const files[] = {o->input, o->output, o->expect};
  for (size_t i = 0; i < 3; i++)
    if (files[i] && (!*files[i] || !strcmp(files[i], "-")))
      return wrong_use("--input, --output and --expect take files, not "
                       "streams");
  if (o->prompt && !*o->prompt)
    return wrong_use("--prompt: the text is empty, nothing to go on from");
  return TOOL_OK;
}

static int run_module(run_state *state) {
  const run_options *o = state->options;
  double start = tool_now();
  tool_device device;
  int code = tool_choose_device(o->device, &device);
  if (code)
    return code;
  moe_rt_options options = {.struct_size = sizeof(options),
                            .max_level = (uint32_t)o->level,
                            .device = *device.name ? device.name : NULL,
                            .cuda_driver =
                                *device.driver ? device.driver : NULL};
  moe_rt_status status = run_source_open(o->artifact, &options, &state->module);
  if (status)
    return tool_fail(status, NULL);
  code = tool_describe(state->module, o->artifact, &state->description);
  if (!code)
    code = tool_choose_function(o->artifact, state->description, o->function,
                                &state->function);
  if (code)
    return code;
  if (!o->params && moe_json_size(moe_json_find(
                        moe_json_root(state->description), "parameters"))) {
    tool_error("%s: needs weights, none given: --params=DIR",
               MOE_QP(o->artifact));
    return TOOL_USAGE;
  }
  double opened = tool_now();
  if (o->params)
    code = tool_open_params(state->module, o->params, (int32_t)o->threads,
                            o->quiet, &state->params);
  if (code)
    return code;
  if (o->verbose)
    fprintf(stderr, "opened in %.1f ms, weights laid out in %.1f ms\n",
            1e3 * (opened - start), 1e3 * (tool_now() - opened));
  return o->input ? run_function(state) : run_generate(state);
}

static int parse_and_run(int argc, char **argv, run_options *o) {
  const char *level = NULL;
  bool has_max_new = false;
  // Bounds that no honest use meets and that keep sums from overflowing.
  const tool_option options[] = {
      {"params", 0, TOOL_OPT_STRING, &o->params, "DIR", 0, 0, NULL, NULL},
      {"input", 0, TOOL_OPT_STRING, &o->input, "FILE", 0, 0, NULL, NULL},
      {"function", 0, TOOL_OPT_STRING, &o->function, "NAME", 0, 0, NULL, NULL},
      {"output", 'o', TOOL_OPT_STRING, &o->output, "FILE", 0, 0, NULL, NULL},
      {"optional", 0, TOOL_OPT_FLAG, &o->optional, NULL, 0, 0, NULL, NULL},
      {"expect", 0, TOOL_OPT_STRING, &o->expect, "FILE", 0, 0, NULL, NULL},
      {"rtol", 0, TOOL_OPT_REAL, &o->rtol, "1e-4", 0, 0, NULL, NULL},
      {"atol", 0, TOOL_OPT_REAL, &o->atol, "1e-4", 0, 0, NULL, NULL},
      {"repeat", 0, TOOL_OPT_INT, &o->repeat, "N", 1, 1000000, NULL, NULL},
      {"prompt", 0, TOOL_OPT_STRING, &o->prompt, "TEXT", 0, 0, NULL, NULL},
      {"tokens", 0, TOOL_OPT_INTS, &o->tokens, "1,2,3", 0, INT64_MAX, NULL,
       &o->has_tokens},
      {"max-new-tokens", 0, TOOL_OPT_INT, &o->max_new_tokens, "N", 0, 100000000,
       NULL, &has_max_new},
      {"max-length", 0, TOOL_OPT_INT, &o->max_length, "N", 1, 100000000, NULL,
       NULL},
      {"describe", 0, TOOL_OPT_OPTIONAL, &o->describe, "json", 0, 0,
       "json|text", NULL},
      {"threads", 0, TOOL_OPT_INT, &o->threads, "N", 1, 1024, NULL, NULL},
      {"device", 0, TOOL_OPT_STRING, &o->device, "NAME", 0, 0, NULL, NULL},
      {"level", 0, TOOL_OPT_STRING, &level, "3|4", 0, 0, "3|4", NULL},
      {"quiet", 'q', TOOL_OPT_FLAG, &o->quiet, NULL, 0, 0, NULL, NULL},
      {"verbose", 'v', TOOL_OPT_FLAG, &o->verbose, NULL, 0, 0, NULL, NULL},
      {"help", 'h', TOOL_OPT_FLAG, &o->help, NULL, 0, 0, NULL, NULL},
      {"version", 0, TOOL_OPT_FLAG, &o->version, NULL, 0, 0, NULL, NULL},
  };
  size_t num_positional;
  int code =
      tool_parse(run_source_name(), options, sizeof(options) / sizeof(*options),
                 argc, argv, &o->artifact, run_source_files, &num_positional);
  if (code)
    return code;
  if (o->help || o->version) {
    if (o->help) {
      tool_print("%s\n", run_source_usage);
      tool_write(help, sizeof(help) - 1);
      tool_print("%s", run_source_examples);
    } else {
      tool_print_version(run_source_name());
    }
    return tool_finish(TOOL_OK);
  }
  o->level = level ? *level - '0' : 0;
  code = check_options(o, num_positional, has_max_new);
  if (code)
    return code;
  if (o->describe)
    return tool_finish(run_describe(o->artifact, !strcmp(o->describe, "json")));
  run_state state = {.options = o};
  code = run_module(&state);
  moe_rt_params_close(state.params);
  moe_rt_module_close(state.module);
  moe_json_free(state.description);
  return tool_finish(code);
}

int main(int argc, char **argv) {
  tool_start();
  run_options o = {.artifact = run_source_start(argc, argv),
                   .rtol = 1e-4,
                   .atol = 1e-4,
                   .max_new_tokens = 64,
                   .repeat = 1,
                   .device = "cpu"};
  int code = parse_and_run(argc, argv, &o);
  free(o.tokens.values);
  return code;
}
