//===- module.c - Modules and parameters ----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "tool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tool_describe(const moe_rt_module *module, const char *path,
                  moe_json_document **document) {
  const char *text;
  moe_rt_status status = moe_rt_module_describe(module, &text);
  if (status)
    return tool_fail(status, NULL);
  moe_error error;
  if (moe_json_parse(text, strlen(text), path, 0, 0, document, &error))
    return tool_fail_with(&error);
  return TOOL_OK;
}

int tool_choose_function(const char *path, const moe_json_document *document,
                         const char *wanted, const char **function) {
  const moe_json *functions =
      moe_json_find(moe_json_root(document), "functions");
  size_t count = moe_json_size(functions);
  const char **names = calloc(count ? count : 1, sizeof(*names));
  if (!names)
    return tool_out_of_memory();
  const char *found = NULL;
  static const char *const defaults[] = {"forward", "layer"};
  for (size_t i = 0; i < count; i++) {
    if (!moe_json_string(moe_json_find(moe_json_at(functions, i), "name"),
                         &names[i], NULL))
      names[i] = "";
    if (wanted && !strcmp(names[i], wanted))
      found = names[i];
  }
  for (size_t d = 0; d < 2 && !wanted && !found; d++)
    for (size_t i = 0; i < count; i++)
      if (!strcmp(names[i], defaults[d]))
        found = names[i];
  if (!wanted && !found && count)
    found = names[0];
  int code = TOOL_OK;
  if (found) {
    *function = found;
  } else if (!count) {
    tool_error("%s: has no functions", MOE_QP(path));
    code = TOOL_ERROR;
  } else {
    const char *near = tool_nearest(wanted, names, count);
    if (near)
      tool_error("%s: no function '%s', did you mean '%s'?", MOE_QP(path),
                 MOE_Q(wanted), MOE_Q(near));
    else
      tool_error("%s: no function '%s', the first of its %zu is '%s'",
                 MOE_QP(path), MOE_Q(wanted), count, MOE_Q(names[0]));
    code = TOOL_ERROR;
  }
  free(names);
  return code;
}

typedef struct {
  double start, shown;
  bool visible;
} progress;

static void show_progress(void *user, size_t done, size_t total) {
  progress *p = user;
  double now = tool_now();
  if (now - p->start < 1 || now - p->shown < 0.1)
    return;
  p->shown = now;
  p->visible = true;
  fprintf(stderr, "\rlaying out weights: %zu of %zu", done, total);
}

int tool_open_params(moe_rt_module *module, const char *source, int32_t threads,
                     bool quiet, moe_rt_params **params) {
  progress state = {tool_now(), 0, false};
  moe_rt_params_options options = {
      .struct_size = sizeof(options), .num_threads = threads, .user = &state};
  if (!quiet && isatty(2))
    options.progress = show_progress;
  moe_rt_status status = moe_rt_params_open(module, source, &options, params);
  if (state.visible)
    fprintf(stderr, "\r\033[K");
  return status ? tool_fail(status, NULL) : TOOL_OK;
}
