//===- main.c - Measures compiled models ----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "file.h"
#include "moe-bench.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "moe-bench - measures a function of a compiled model\n"
    "\n"
    "usage: moe-bench FILE --params=SOURCE [OPTION...]\n"
    "\n"
    "For each number of threads it measures what the machine can do (f32 FMA "
    "peak,\n"
    "read bandwidth; before and after) and the function on random inputs: N(0, "
    "1) or\n"
    "uniform ids, several inputs in turn. On a GPU all lies in device memory, "
    "and the\n"
    "peak is that of the module's products.\n"
    "\n"
    "  --params=SOURCE          directory, safetensors file or synthetic:SEED\n"
    "  --function=NAME          default: forward, else layer, else the first "
    "one\n"
    "  --tokens=LIST            default 1,16,512\n"
    "  --threads=LIST           default 1\n"
    "  --min-time=S             seconds of runs per row, at least (default 1)\n"
    "  --repeat=N               runs per row, at least (default 5)\n"
    "  --warmup=N               runs that do not count (default 1)\n"
    "  --seed=N                 of the inputs (default 0)\n"
    "  --experts-per-token=N    where neither the function (output "
    "expert_index) nor\n"
    "                           config.json in the directory says it\n"
    "  --device=NAME            cpu (default); cuda, cuda:N; emulated-cuda, "
    "whose\n"
    "                           times mean nothing\n"
    "  --no-graph               on a GPU: calls, not replays of captured ones\n"
    "  --level=3|4              highest x86-64 level to use (default: what is "
    "there)\n"
    "  --format=md|json|jsonl|csv  default md\n"
    "  -o, --output=FILE        default: standard output\n"
    "  -q, --quiet; -v, --verbose; --help; --version\n"
    "\n"
    "GFLOP/s and GB/s count products with weights and weight bytes that must "
    "be read;\n"
    "the share of the roofline is max(flops / peak, bytes / bandwidth) / "
    "median.\n"
    "\n"
    "Exit codes: 0 done, 1 error, 2 wrong command line, 4 the machine lacks\n"
    "something, 70 internal error.\n"
    "\n"
    "Examples:\n"
    "  moe-bench layer.so --params=synthetic:1 --tokens=1,16,64,512 "
    "--threads=1,2\n"
    "  moe-bench m.so --params=DIR --function=decode --tokens=1 "
    "--format=json\n";

/// The level whose code runs: the best that module, CPU and user allow.
static int level_in_use(const moe_json *description, int64_t wanted) {
  const moe_json *levels = moe_json_find(description, "levels");
  bool has_v4 = false, has_v3 = false;
  for (size_t i = 0; i < moe_json_size(levels); i++) {
    has_v3 |= moe_json_equals(moe_json_at(levels, i), "x86-64-v3");
    has_v4 |= moe_json_equals(moe_json_at(levels, i), "x86-64-v4");
  }
  bool cpu_v4 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has_v4 && (!has_v3 || (cpu_v4 && wanted != 3)) ? 4 : 3;
}

static int write_report(const bench_options *options, const bench_row *rows,
                        size_t count) {
  moe_text text = {0};
  bench_report(options, rows, count, &text);
  int code = TOOL_OK;
  if (text.failed) {
    code = tool_out_of_memory();
  } else if (!options->output || !strcmp(options->output, "-")) {
    tool_write(text.data, text.size);
  } else {
    moe_file_part part = {text.data, text.size};
    moe_error error;
    if (moe_file_write(options->output, &part, 1, &error))
      code = tool_fail_with(&error);
  }
  moe_free(text.data);
  return code;
}

static int measure_limits(const bench_state *state, int64_t threads,
                          bench_limits *limits) {
  return state->gpu ? bench_gpu_limits(state->gpu, limits)
                    : bench_measure_limits(threads, limits);
}

static int measure_all(bench_state *state) {
  const bench_options *o = state->options;
  size_t count = o->threads.count * o->tokens.count, done = 0;
  bench_row *rows = calloc(count, sizeof(*rows));
  if (!rows)
    return tool_out_of_memory();
  int code = TOOL_OK;
  for (size_t i = 0; i < o->threads.count && !code; i++) {
    // Before and after: what else runs on the machine can only lower them.
    bench_limits limits, after = {0, 0};
    size_t first = done;
    code = measure_limits(state, o->threads.values[i], &limits);
    if (!code && o->verbose)
      fprintf(stderr, "%lld threads: %.1f GFLOP/s, %.1f GB/s\n",
              (long long)o->threads.values[i], 1e-9 * limits.fma_flops,
              1e-9 * limits.read_bytes);
    for (size_t j = 0; j < o->tokens.count && !code; j++) {
      bench_row *row = &rows[done++];
      row->threads = o->threads.values[i];
      row->tokens = o->tokens.values[j];
      code = bench_measure(state, row);
      if (!code && o->verbose)
        fprintf(stderr, "%lld threads, %lld tokens: %.4f ms\n",
                (long long)row->threads, (long long)row->tokens,
                1e3 * row->median_s);
    }
    if (!code)
      code = measure_limits(state, o->threads.values[i], &after);
    limits.fma_flops = fmax(limits.fma_flops, after.fma_flops);
    limits.read_bytes = fmax(limits.read_bytes, after.read_bytes);
    for (; first < done; first++)
      rows[first].limits = limits;
  }
  if (!code)
    code = write_report(o, rows, count);
  free(rows);
  return code;
}

/// Whose parameters count, and the GPU if it is one.
static int choose_code(bench_state *state, const tool_device *device,
                       const moe_json *description) {
  const bench_options *o = state->options;
  bench_parameters *p = &state->parameters;
  moe_json_double(moe_json_find(description, "vocab_size"), &p->vocabulary);
  if (!*device->name) {
    state->level = level_in_use(description, o->level);
    p->list = moe_json_find(description, "parameters");
    p->code = state->level == 4 ? "x86-64-v4" : "x86-64-v3";
    return TOOL_OK;
  }
  int code = bench_gpu_open(o, device, description, &state->gpu);
  if (code)
    return code;
  const bench_device *info = bench_gpu_info(state->gpu);
  p->list = info->parameters;
  p->code = info->code;
  if (info->is_emulated && !o->quiet)
    fprintf(stderr,
            "note: %s: times mean nothing, so few runs and small "
            "probes\n",
            info->name);
  return TOOL_OK;
}

static int run(const bench_options *o) {
  bench_state state = {.options = o};
  moe_json_document *document = NULL;
  tool_device device;
  int code = tool_choose_device(o->device, &device);
  if (code)
    return code;
  bench_options emulated = *o;
  if (*device.driver) {
    emulated.repeat = 2;
    emulated.min_time_s = 0;
    emulated.warmup = 0;
    state.options = o = &emulated;
  }
  moe_rt_options options = {.struct_size = sizeof(options),
                            .max_level = (uint32_t)o->level,
                            .device = *device.name ? device.name : NULL,
                            .cuda_driver =
                                *device.driver ? device.driver : NULL};
  moe_rt_status status =
      moe_rt_module_open(o->artifact, &options, &state.module);
  code = status ? tool_fail(status, NULL)
                : tool_describe(state.module, o->artifact, &document);
  if (!code)
    code = tool_choose_function(o->artifact, document, o->function,
                                &state.function);
  if (!code)
    code = choose_code(&state, &device, moe_json_root(document));
  if (!code) {
    state.experts_per_token = o->experts_per_token;
    if (!state.experts_per_token && o->params)
      state.experts_per_token = bench_experts_per_token(o->params);
    if (!o->params && moe_json_size(state.parameters.list)) {
      tool_error("%s: needs weights, none given: --params=DIR or "
                 "--params=synthetic:1",
                 MOE_QP(o->artifact));
      code = TOOL_USAGE;
    }
  }
  if (!code && o->params)
    code =
        tool_open_params(state.module, o->params, 0, o->quiet, &state.params);
  if (!code)
    code = measure_all(&state);
  bench_gpu_close(state.gpu);
  moe_rt_params_close(state.params);
  moe_rt_module_close(state.module);
  moe_json_free(document);
  return code;
}

/// Flags that only the CPU, or only a GPU, has a meaning for.
static int check_device(const bench_options *o) {
  bool is_cpu = !strcmp(o->device, "cpu");
  const char *flag = is_cpu             ? (o->no_graph ? "--no-graph" : NULL)
                     : o->threads.count ? "--threads"
                     : o->level         ? "--level"
                                        : NULL;
  if (!flag)
    return TOOL_OK;
  tool_error("moe-bench: %s is for %s, found --device=%s", flag,
             is_cpu ? "GPUs" : "the CPU", MOE_Q(o->device));
  return TOOL_USAGE;
}

static int parse_and_run(int argc, char **argv, bench_options *o) {
  const char *level = NULL;
  const tool_option options[] = {
      {"params", 0, TOOL_OPT_STRING, &o->params, "DIR", 0, 0, NULL, NULL},
      {"function", 0, TOOL_OPT_STRING, &o->function, "NAME", 0, 0, NULL, NULL},
      {"tokens", 0, TOOL_OPT_INTS, &o->tokens, "1,16,512", 1, 1 << 24, NULL,
       NULL},
      {"threads", 0, TOOL_OPT_INTS, &o->threads, "1,2", 1, 1024, NULL, NULL},
      {"min-time", 0, TOOL_OPT_REAL, &o->min_time_s, "1", 0, 0, NULL, NULL},
      {"repeat", 0, TOOL_OPT_INT, &o->repeat, "5", 1, 100000, NULL, NULL},
      {"warmup", 0, TOOL_OPT_INT, &o->warmup, "1", 0, 100000, NULL, NULL},
      {"seed", 0, TOOL_OPT_INT, &o->seed, "0", 0, INT64_MAX, NULL, NULL},
      {"experts-per-token", 0, TOOL_OPT_INT, &o->experts_per_token, "N", 1,
       65536, NULL, NULL},
      {"level", 0, TOOL_OPT_STRING, &level, "3|4", 0, 0, "3|4", NULL},
      {"device", 0, TOOL_OPT_STRING, &o->device, "NAME", 0, 0, NULL, NULL},
      {"no-graph", 0, TOOL_OPT_FLAG, &o->no_graph, NULL, 0, 0, NULL, NULL},
      {"format", 0, TOOL_OPT_STRING, &o->format, "json", 0, 0,
       "md|json|jsonl|csv", NULL},
      {"output", 'o', TOOL_OPT_STRING, &o->output, "FILE", 0, 0, NULL, NULL},
      {"quiet", 'q', TOOL_OPT_FLAG, &o->quiet, NULL, 0, 0, NULL, NULL},
      {"verbose", 'v', TOOL_OPT_FLAG, &o->verbose, NULL, 0, 0, NULL, NULL},
      {"help", 'h', TOOL_OPT_FLAG, &o->help, NULL, 0, 0, NULL, NULL},
      {"version", 0, TOOL_OPT_FLAG, &o->version, NULL, 0, 0, NULL, NULL},
  };
  size_t num_positional;
  int code =
      tool_parse("moe-bench", options, sizeof(options) / sizeof(*options), argc,
                 argv, &o->artifact, 1, &num_positional);
  if (code)
    return code;
  if (o->help || o->version) {
    if (o->help)
      tool_write(help, sizeof(help) - 1);
    else
      tool_print_version("moe-bench");
    return tool_finish(TOOL_OK);
  }
  if (!num_positional || !*o->artifact) {
    tool_error("moe-bench: no file given, see moe-bench --help");
    return TOOL_USAGE;
  }
  o->level = level ? *level - '0' : 0;
  code = check_device(o);
  if (code)
    return code;
  if (o->output && strcmp(o->output, "-") &&
      tool_same_file(o->output, o->artifact)) {
    tool_error("%s: is an input of this command and will not be replaced",
               MOE_QP(o->output));
    return TOOL_ERROR;
  }
  static int64_t default_tokens[] = {1, 16, 512}, default_threads[] = {1};
  if (strcmp(o->device, "cpu"))
    default_threads[0] = 0; // no number means anything
  bench_options chosen = *o;
  if (!chosen.tokens.count)
    chosen.tokens = (tool_int_list){default_tokens, 3};
  if (!chosen.threads.count)
    chosen.threads = (tool_int_list){default_threads, 1};
  return tool_finish(run(&chosen));
}

int main(int argc, char **argv) {
  tool_start();
  bench_options o = {.format = "md",
                     .device = "cpu",
                     .min_time_s = 1,
                     .repeat = 5,
                     .warmup = 1};
  int code = parse_and_run(argc, argv, &o);
  free(o.tokens.values);
  free(o.threads.values);
  return code;
}
