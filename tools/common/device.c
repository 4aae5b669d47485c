//===- device.c - --device of the tools -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "tool.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EMULATED "emulated-cuda"
#define EMULATOR "libmoe_cuda_emulator.so"

/// "", or ":N" with a number of at most four digits.
static bool is_ordinal(const char *text) {
  if (!*text)
    return true;
  size_t digits = strspn(text + 1, "0123456789");
  return *text == ':' && digits >= 1 && digits <= 4 && !text[1 + digits];
}

/// The emulator's library: beside the tool, in the build and the install tree.
static bool find_emulator(char *path, size_t size) {
  char self[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (length <= 0)
    return false;
  self[length] = 0;
  char *slash = strrchr(self, '/');
  if (!slash)
    return false;
  *slash = 0;
  static const char *const folders[] = {"/../lib/", "/"};
  for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
    int count = snprintf(path, size, "%s%s" EMULATOR, self, folders[i]);
    if (count > 0 && (size_t)count < size && !access(path, R_OK))
      return true;
  }
  return false;
}

int tool_choose_device(const char *name, tool_device *device) {
  *device = (tool_device){0};
  if (!strcmp(name, "cpu"))
    return TOOL_OK;
  bool is_emulated = !strncmp(name, EMULATED, strlen(EMULATED));
  const char *rest = name + (is_emulated ? strlen(EMULATED) : 4);
  if ((!is_emulated && strncmp(name, "cuda", 4)) || !is_ordinal(rest)) {
    tool_error("--device=%s: no such device, expected cpu, cuda, cuda:N, "
               "emulated-cuda or emulated-cuda:N",
               MOE_QP(name));
    return TOOL_USAGE;
  }
  snprintf(device->name, sizeof(device->name), "cuda%s", rest);
  if (!is_emulated)
    return TOOL_OK;
  const char *named = getenv("MOE_CUDA_EMULATOR");
  if (named && *named)
    snprintf(device->driver, sizeof(device->driver), "%s", named);
  else if (!find_emulator(device->driver, sizeof(device->driver))) {
    tool_error("--device=%s: " EMULATOR " is not in ../lib beside the tool; "
               "set MOE_CUDA_EMULATOR to its path",
               name);
    return TOOL_ENVIRONMENT;
  }
  return TOOL_OK;
}
