//===- moe-run.h - Parts of moe-run -------------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Every function returns TOOL_OK or, after an `error: ` line, an exit code.
//===----------------------------------------------------------------------===//
#ifndef MOE_TOOLS_MOE_RUN_H
#define MOE_TOOLS_MOE_RUN_H
#include "safetensors.h"
#include "tool.h"

typedef struct {
  const char *artifact, *params, *input, *function, *output, *expect;
  const char *prompt, *describe, *device;
  double rtol, atol;
  tool_int_list tokens;
  int64_t max_new_tokens, threads, repeat, level, max_length;
  bool optional, quiet, verbose, help, version;
  bool has_tokens;
} run_options;

/// What stays open during a run.
typedef struct {
  const run_options *options;
  moe_rt_module *module;
  moe_rt_params *params;
  moe_json_document *description;
  const char *function;
} run_state;

//===----------------------------------------------------------------------===//
// file.c or linked.c: where the module is
//===----------------------------------------------------------------------===//

/// Arguments that name a file: 1, or 0 of a program that is its own module.
extern const size_t run_source_files;
/// First and last lines of the help.
extern const char run_source_usage[], run_source_examples[];
/// Call first. The file that holds the module, if no argument names it.
const char *run_source_start(int argc, char **argv);
/// What messages and --version call the program.
const char *run_source_name(void);
moe_rt_status run_source_open(const char *path, const moe_rt_options *options,
                              moe_rt_module **module);

//===----------------------------------------------------------------------===//
// describe.c
//===----------------------------------------------------------------------===//

int run_describe(const char *path, bool as_json);

//===----------------------------------------------------------------------===//
// function.c
//===----------------------------------------------------------------------===//

/// `--input`.
int run_function(run_state *state);

//===----------------------------------------------------------------------===//
// expect.c
//===----------------------------------------------------------------------===//

/// Marks the outputs that `expected` names as wanted.
void run_expect_want(const moe_st_file *expected, tool_call *call);
/// Compares. TOOL_DIFFERS after a line per tensor that disagrees.
int run_expect_compare(run_state *state, const moe_st_file *expected,
                       const tool_call *call);

//===----------------------------------------------------------------------===//
// generate.c
//===----------------------------------------------------------------------===//

/// `count` greedy tokens after `prompt`, one row. `emit` (may be NULL) gets
/// each as it is known, and ends generation with false.
typedef struct {
  const int64_t *prompt;
  size_t prompt_count, count;
  int64_t *tokens; // room for `count`
  bool (*emit)(void *user, int64_t token);
  void *user;
  /// Results.
  size_t generated;
  double prefill_s, decode_s;
} run_generation;

int run_greedy(run_state *state, run_generation *generation);
/// `--tokens`, `--prompt`.
int run_generate(run_state *state);

#endif // MOE_TOOLS_MOE_RUN_H
