//===- describe.c - What is in a module -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe-run.h"
#include <stdio.h>
#include <string.h>

/// Most optional outputs of a function that are listed by name.
enum { MAX_OPTIONAL = 4 };

static const char *string_of(const moe_json *object, const char *key) {
  const char *text;
  return moe_json_string(moe_json_find(object, key), &text, NULL) ? text : "";
}

static uint64_t number_of(const moe_json *object, const char *key) {
  uint64_t value;
  return moe_json_uint64(moe_json_find(object, key), &value) ? value : 0;
}

static void print_bytes(uint64_t bytes) {
  static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) {
    tool_print("%llu bytes", (unsigned long long)bytes);
    return;
  }
  double value = (double)bytes / 1024;
  int unit = 0;
  for (; value >= 1024 && unit < 3; unit++)
    value /= 1024;
  tool_print("%.1f %s", value, units[unit]);
}

/// 2593024 as "2 593 024".
static void print_count(uint64_t value) {
  char text[32];
  int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
  for (int i = 0; i < n; i++)
    tool_print("%s%c", i && (n - i) % 3 == 0 ? " " : "", text[i]);
}

static void print_argument(const moe_json *argument) {
  const moe_json *shape = moe_json_find(argument, "shape");
  tool_print("%s: %s[", MOE_Q(string_of(argument, "name")),
             MOE_Q(string_of(argument, "dtype")));
  bool bounded = false;
  moe_json_bool(moe_json_find(argument, "bounded"), &bounded);
  if (bounded)
    tool_print("<= ");
  for (size_t d = 0; d < moe_json_size(shape); d++) {
    const moe_json *extent = moe_json_at(shape, d);
    const char *symbol;
    int64_t value;
    if (moe_json_string(extent, &symbol, NULL))
      tool_print("%s%s", d ? ", " : "", MOE_Q(symbol));
    else if (moe_json_int64(extent, &value))
      tool_print("%s%lld", d ? ", " : "", (long long)value);
  }
  tool_print("]");
  uint64_t limit = number_of(argument, "limit");
  if (limit)
    tool_print(" < %llu", (unsigned long long)limit);
}

static bool is_optional(const moe_json *argument) {
  bool value;
  return moe_json_bool(moe_json_find(argument, "optional"), &value) && value;
}

static void print_function(const moe_json *function) {
  tool_print("  %s(", MOE_Q(string_of(function, "name")));
  const moe_json *inputs = moe_json_find(function, "inputs");
  for (size_t i = 0; i < moe_json_size(inputs); i++) {
    tool_print("%s", i ? ", " : "");
    print_argument(moe_json_at(inputs, i));
  }
  tool_print(")");
  const moe_json *outputs = moe_json_find(function, "outputs");
  size_t optional = 0;
  for (size_t i = 0; i < moe_json_size(outputs); i++) {
    const moe_json *output = moe_json_at(outputs, i);
    if (is_optional(output)) {
      optional++;
      continue;
    }
    tool_print("\n    -> ");
    print_argument(output);
  }
  size_t shown = 0;
  for (size_t i = 0; i < moe_json_size(outputs) && shown < MAX_OPTIONAL; i++) {
    const moe_json *output = moe_json_at(outputs, i);
    if (!is_optional(output))
      continue;
    tool_print("\n    -> ");
    print_argument(output);
    tool_print(" (optional)");
    shown++;
  }
  if (optional > shown)
    tool_print("\n    -> and %zu more optional outputs", optional - shown);
  const moe_json *state = moe_json_find(function, "state");
  for (size_t i = 0; i < moe_json_size(state); i++) {
    tool_print("\n    keeps ");
    print_argument(moe_json_at(state, i));
  }
  tool_print("\n");
}

static void print_parameters(const moe_json *root) {
  const moe_json *parameters = moe_json_find(root, "parameters");
  const moe_json *levels = moe_json_find(root, "levels");
  uint64_t tensors = 0, values = 0;
  for (size_t i = 0; i < moe_json_size(parameters); i++) {
    const moe_json *sources =
        moe_json_find(moe_json_at(parameters, i), "sources");
    tensors += moe_json_size(sources);
    for (size_t j = 0; j < moe_json_size(sources); j++) {
      const moe_json *shape = moe_json_find(moe_json_at(sources, j), "shape");
      uint64_t product = 1;
      for (size_t d = 0; d < moe_json_size(shape); d++) {
        uint64_t extent;
        if (!moe_json_uint64(moe_json_at(shape, d), &extent) ||
            __builtin_mul_overflow(product, extent, &product))
          product = 0;
      }
      if (__builtin_add_overflow(values, product, &values))
        values = UINT64_MAX;
    }
  }
  tool_print("parameters  ");
  print_count(moe_json_size(parameters));
  tool_print(" from ");
  print_count(tensors);
  tool_print(" tensors, ");
  print_count(values);
  tool_print(" values\n");
  for (size_t l = 0; l < moe_json_size(levels); l++) {
    const char *level;
    if (!moe_json_string(moe_json_at(levels, l), &level, NULL))
      continue;
    uint64_t bytes = 0;
    for (size_t i = 0; i < moe_json_size(parameters); i++)
      if (__builtin_add_overflow(
              bytes,
              number_of(moe_json_find(moe_json_at(parameters, i), level),
                        "bytes"),
              &bytes))
        bytes = UINT64_MAX;
    tool_print("in memory   ");
    print_bytes(bytes);
    tool_print(" (%s)\n", MOE_Q(level));
  }
}

/// "sm_80       compute capability 8.0 or later, cubin 21.0 KiB, ...", then
/// a line per kernel.
static void print_device(const moe_json *device) {
  bool exact = false, is_deterministic = false, overlaps, unordered;
  moe_json_bool(moe_json_find(device, "exact"), &exact);
  moe_json_bool(moe_json_find(device, "deterministic"), &is_deterministic);
  const moe_json *images = moe_json_find(device, "images");
  const moe_json *kernels = moe_json_find(device, "kernels");
  const moe_json *parameters = moe_json_find(device, "parameters");
  const char *name = string_of(device, "name");
  uint64_t bytes = 0;
  for (size_t i = 0; i < moe_json_size(parameters); i++)
    if (__builtin_add_overflow(
            bytes,
            number_of(moe_json_find(moe_json_at(parameters, i), name), "bytes"),
            &bytes))
      bytes = UINT64_MAX;
  tool_print("%-11s compute capability %s%s", MOE_Q(name),
             MOE_Q(string_of(device, "compute_capability")),
             exact ? "" : " or later");
  for (size_t i = 0; i < moe_json_size(images); i++) {
    tool_print(", %s ", MOE_Q(string_of(moe_json_at(images, i), "kind")));
    print_bytes(number_of(moe_json_at(images, i), "bytes"));
  }
  tool_print(", parameters ");
  print_bytes(bytes);
  tool_print(", deterministic: %s\n", is_deterministic ? "yes" : "no");
  for (size_t i = 0; i < moe_json_size(kernels); i++) {
    const moe_json *kernel = moe_json_at(kernels, i);
    uint64_t registers = number_of(kernel, "registers"), blocks = 1,
             threads = 1;
    for (size_t d = 0; d < 3; d++) {
      uint64_t size = 1;
      if (moe_json_uint64(moe_json_at(moe_json_find(kernel, "block"), d),
                          &size))
        threads *= size;
      if (moe_json_uint64(moe_json_at(moe_json_find(kernel, "cluster"), d),
                          &size))
        blocks *= size;
    }
    tool_print("  %s: %llu threads", MOE_Q(string_of(kernel, "name")),
               (unsigned long long)threads);
    if (registers)
      tool_print(", %llu registers", (unsigned long long)registers);
    tool_print(", shared memory ");
    print_bytes(number_of(kernel, "static_shared") +
                number_of(kernel, "dynamic_shared"));
    uint64_t resident = number_of(kernel, "resident_blocks");
    if (resident)
      tool_print(", %llu per multiprocessor", (unsigned long long)resident);
    if (blocks > 1)
      tool_print(", clusters of %llu", (unsigned long long)blocks);
    if (moe_json_bool(moe_json_find(kernel, "overlaps"), &overlaps) && overlaps)
      tool_print(", overlaps");
    if (moe_json_bool(moe_json_find(kernel, "unordered"), &unordered) &&
        unordered)
      tool_print(", unordered");
    tool_print("\n");
  }
}

static void print_description(const char *path, const moe_json *root) {
  tool_print("%s: %s for %s (", MOE_QP(path), MOE_Q(string_of(root, "model")),
             MOE_Q(string_of(root, "target")));
  const moe_json *levels = moe_json_find(root, "levels");
  for (size_t i = 0; i < moe_json_size(levels); i++) {
    const char *level;
    if (moe_json_string(moe_json_at(levels, i), &level, NULL))
      tool_print("%s%s", i ? ", " : "", MOE_Q(level));
  }
  tool_print(")\ncompiler    %s, artifact ABI %s\n",
             MOE_Q(string_of(root, "compiler")), MOE_Q(string_of(root, "abi")));
  tool_print("file        ");
  print_bytes(number_of(root, "file_size"));
  tool_print(", sha256 %s\n", MOE_Q(string_of(root, "sha256")));
  uint64_t vocabulary = number_of(root, "vocab_size");
  uint64_t length = number_of(root, "max_length");
  if (vocabulary)
    tool_print("vocabulary  %llu\n", (unsigned long long)vocabulary);
  if (length)
    tool_print("longest     %llu tokens\n", (unsigned long long)length);
  tool_print("functions\n");
  const moe_json *functions = moe_json_find(root, "functions");
  for (size_t i = 0; i < moe_json_size(functions); i++)
    print_function(moe_json_at(functions, i));
  print_parameters(root);
  const moe_json *devices = moe_json_find(root, "devices");
  for (size_t i = 0; i < moe_json_size(devices); i++)
    print_device(moe_json_at(devices, i));
}

int run_describe(const char *path, bool as_json) {
  char *text;
  moe_rt_status status = moe_rt_describe_file(path, &text);
  if (status)
    return tool_fail(status, NULL);
  int code = TOOL_OK;
  moe_json_document *document;
  moe_error error;
  if (as_json) {
    tool_write(text, strlen(text));
  } else if (moe_json_parse(text, strlen(text), path, 0, 0, &document,
                            &error)) {
    code = tool_fail_with(&error);
  } else {
    print_description(path, moe_json_root(document));
    moe_json_free(document);
  }
  moe_rt_free(text);
  return code;
}
