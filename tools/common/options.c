//===- options.c - Command lines ------------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "tool.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 64 };

unsigned tool_distance(const char *a, const char *b, unsigned limit) {
  size_t n = strlen(a), m = strlen(b);
  if (n > MAX_NAME || m > MAX_NAME)
    return limit;
  // Rows i - 2, i - 1 and i of the table.
  unsigned rows[3][MAX_NAME + 1];
  for (size_t j = 0; j <= m; j++)
    rows[0][j] = (unsigned)j;
  for (size_t i = 1; i <= n; i++) {
    unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3];
    const unsigned *before = rows[(i + 1) % 3];
    now[0] = (unsigned)i;
    for (size_t j = 1; j <= m; j++) {
      unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
      if (last[j] + 1 < best)
        best = last[j] + 1;
      if (now[j - 1] + 1 < best)
        best = now[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
          before[j - 2] + 1 < best)
        best = before[j - 2] + 1;
      now[j] = best;
    }
  }
  unsigned result = rows[n % 3][m];
  return result < limit ? result : limit;
}

const char *tool_nearest(const char *name, const char *const *names,
                         size_t count) {
  size_t length = strlen(name);
  unsigned limit = length < 6 ? 2 : 3;
  // A wrong guess helps nobody: at most half of the name may differ.
  if (limit > length / 2 + 1)
    limit = (unsigned)(length / 2 + 1);
  const char *best = NULL;
  unsigned best_distance = limit + 1;
  for (size_t i = 0; i < count; i++) {
    unsigned distance = tool_distance(name, names[i], limit + 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = names[i];
    }
  }
  return best;
}

static int unknown_option(const char *tool, const tool_option *options,
                          size_t num_options, const char *given) {
  size_t dashes = strncmp(given, "--", 2) ? 1 : 2;
  char name[MAX_NAME + 1];
  size_t length = strcspn(given + dashes, "=");
  const char *near = NULL;
  if (length < sizeof(name)) {
    memcpy(name, given + dashes, length);
    name[length] = 0;
    const char *names[MAX_NAME];
    size_t count = num_options < MAX_NAME ? num_options : MAX_NAME;
    for (size_t i = 0; i < count; i++)
      names[i] = options[i].name;
    near = tool_nearest(name, names, count);
  }
  if (near)
    tool_error("%s: unknown option '%s', did you mean '--%s'?", tool,
               MOE_QN(given, dashes + length), near);
  else
    tool_error("%s: unknown option '%s', see %s --help", tool,
               MOE_QN(given, dashes + length), tool);
  return TOOL_USAGE;
}

static bool parse_int(const char *text, size_t size, int64_t *value) {
  char digits[24];
  if (size == 0 || size >= sizeof(digits))
    return false;
  for (size_t i = 0; i < size; i++)
    if ((text[i] < '0' || text[i] > '9') && !(i == 0 && text[i] == '-'))
      return false;
  memcpy(digits, text, size);
  digits[size] = 0;
  char *end;
  errno = 0;
  long long result = strtoll(digits, &end, 10);
  if (errno || *end || end == digits)
    return false;
  *value = result;
  return true;
}

static bool in_choices(const char *choices, const char *value) {
  size_t size = strlen(value);
  for (const char *at = choices; *at;) {
    size_t length = strcspn(at, "|");
    if (length == size && !memcmp(at, value, size))
      return true;
    at += length + (at[length] == '|');
  }
  return false;
}

static int wrong_value(const tool_option *option, const char *value,
                       size_t size) {
  char wanted[128];
  if (option->choices)
    snprintf(wanted, sizeof(wanted), "%s", option->choices);
  else if (option->kind == TOOL_OPT_REAL)
    snprintf(wanted, sizeof(wanted), "a number not below 0");
  else if (option->max == INT64_MAX)
    snprintf(wanted, sizeof(wanted), "an integer of at least %lld",
             (long long)option->min);
  else
    snprintf(wanted, sizeof(wanted), "an integer from %lld to %lld",
             (long long)option->min, (long long)option->max);
  tool_error("--%s: '%s' is not valid, expected %s%s", option->name,
             MOE_QN(value, size),
             option->kind == TOOL_OPT_INTS ? "a list such as 1,2,3, each "
             : option->choices             ? "one of "
                                           : "",
             wanted);
  return TOOL_USAGE;
}

static int set_ints(const tool_option *option, const char *value) {
  size_t count = 1;
  for (const char *c = value; *c; c++)
    count += *c == ',';
  int64_t *values = malloc(count * sizeof(*values));
  if (!values)
    return tool_out_of_memory();
  const char *at = value;
  for (size_t i = 0; i < count; i++) {
    size_t size = strcspn(at, ",");
    if (!parse_int(at, size, &values[i]) || values[i] < option->min ||
        values[i] > option->max) {
      free(values);
      return wrong_value(option, at, size);
    }
    at += size + 1;
  }
  tool_int_list *list = option->target;
  free(list->values);
  list->values = values;
  list->count = count;
  return TOOL_OK;
}

static int set_option(const tool_option *option, const char *value) {
  if (option->seen)
    *option->seen = true;
  switch (option->kind) {
  case TOOL_OPT_FLAG:
    *(bool *)option->target = true;
    return TOOL_OK;
  case TOOL_OPT_STRING:
  case TOOL_OPT_OPTIONAL:
    if (option->choices && *value && !in_choices(option->choices, value))
      return wrong_value(option, value, strlen(value));
    *(const char **)option->target = value;
    return TOOL_OK;
  case TOOL_OPT_INT: {
    int64_t number;
    if (!parse_int(value, strlen(value), &number) || number < option->min ||
        number > option->max)
      return wrong_value(option, value, strlen(value));
    *(int64_t *)option->target = number;
    return TOOL_OK;
  }
  case TOOL_OPT_REAL: {
    char *end;
    errno = 0;
    double number = strtod(value, &end);
    // An underflow sets errno too and is harmless.
    if (end == value || *end || !isfinite(number) || number < 0)
      return wrong_value(option, value, strlen(value));
    *(double *)option->target = number;
    return TOOL_OK;
  }
  case TOOL_OPT_INTS:
    return set_ints(option, value);
  }
  return TOOL_INTERNAL;
}

int tool_parse(const char *tool, const tool_option *options, size_t num_options,
               int argc, char **argv, const char **positional,
               size_t max_positional, size_t *num_positional) {
  size_t count = 0;
  bool only_positional = false;
  for (int i = 1; i < argc; i++) {
    const char *given = argv[i];
    if (only_positional || given[0] != '-' || !given[1]) {
      if (count == max_positional) {
        tool_error("%s: unexpected argument '%s', see %s --help", tool,
                   MOE_Q(given), tool);
        return TOOL_USAGE;
      }
      positional[count++] = given;
      continue;
    }
    if (!strcmp(given, "--")) {
      only_positional = true;
      continue;
    }
    const tool_option *option = NULL;
    bool is_long = given[1] == '-';
    const char *name = given + (is_long ? 2 : 1);
    size_t length = strcspn(name, "=");
    for (size_t j = 0; j < num_options && !option; j++) {
      const tool_option *o = &options[j];
      bool match =
          is_long ? strlen(o->name) == length && !memcmp(o->name, name, length)
                  : o->letter && length == 1 && *name == o->letter;
      if (match)
        option = o;
    }
    if (!option)
      return unknown_option(tool, options, num_options, given);
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    if (option->kind == TOOL_OPT_FLAG && value) {
      tool_error("--%s takes no value, found '%s'", option->name, MOE_Q(value));
      return TOOL_USAGE;
    }
    if (option->kind == TOOL_OPT_OPTIONAL && !value)
      value = "";
    if (option->kind != TOOL_OPT_FLAG && !value) {
      // What looks like an option is no value: `--params --threads=2` lost one.
      if (i + 1 == argc || !strncmp(argv[i + 1], "--", 2)) {
        tool_error("--%s needs a value: --%s=%s", option->name, option->name,
                   option->value);
        return TOOL_USAGE;
      }
      value = argv[++i];
    }
    int code = set_option(option, value);
    if (code)
      return code;
  }
  *num_positional = count;
  return TOOL_OK;
}
