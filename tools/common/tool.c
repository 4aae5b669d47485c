//===- tool.c - Process, messages, output ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "tool.h"
#include "moe_abi.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/// errno of the first write to standard output that failed.
static int output_error;

void tool_start(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
        open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
      _exit(TOOL_ENVIRONMENT);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

void tool_error(const char *format, ...) {
  fflush(stdout);
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  if (n < 0)
    text[0] = 0;
  // Names are quoted where they enter; whatever is left cannot reach the
  // terminal as a control sequence.
  for (char *c = text; *c; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7f)
      *c = '?';
  fprintf(stderr, "error: %s\n", text);
}

int tool_exit_code(moe_rt_status status) {
  switch (status) {
  case MOE_RT_OK:
    return TOOL_OK;
  case MOE_RT_INCOMPATIBLE:
  case MOE_RT_OUT_OF_MEMORY:
  case MOE_RT_NO_DEVICE:
    return TOOL_ENVIRONMENT;
  default:
    return TOOL_ERROR;
  }
}

int tool_fail(moe_rt_status status, const char *prefix) {
  const char *text = moe_rt_last_error();
  if (prefix)
    tool_error("%s: %s", MOE_QP(prefix), text);
  else
    tool_error("%s", text);
  return tool_exit_code(status);
}

int tool_fail_with(const moe_error *error) {
  tool_error("%s", error->text);
  return tool_exit_code(error->status);
}

int tool_out_of_memory(void) {
  tool_error("out of memory");
  return TOOL_ENVIRONMENT;
}

void tool_write(const char *bytes, size_t size) {
  if (!output_error && size && fwrite(bytes, 1, size, stdout) != size)
    output_error = errno ? errno : EIO;
}

void tool_print(const char *format, ...) {
  if (output_error)
    return;
  va_list arguments;
  va_start(arguments, format);
  if (vprintf(format, arguments) < 0)
    output_error = errno ? errno : EIO;
  va_end(arguments);
}

void tool_flush(void) {
  if (!output_error && fflush(stdout))
    output_error = errno ? errno : EIO;
}

bool tool_output_failed(void) { return output_error != 0; }

int tool_finish(int code) {
  tool_flush();
  if (!output_error || code != TOOL_OK)
    return code;
  if (output_error != EPIPE)
    tool_error("standard output: cannot write: %s", strerror(output_error));
  return TOOL_ERROR;
}

void tool_print_version(const char *name) {
  tool_print("%s %s (commit %s)\n", name, MOE_TOOLS_VERSION, MOE_TOOLS_COMMIT);
  tool_print("runtime %s, artifact ABI %u.%u\n", moe_rt_version(),
             MOE_ABI_MAJOR, MOE_ABI_MINOR);
}

double tool_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool tool_same_file(const char *a, const char *b) {
  struct stat sa, sb;
  return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev &&
         sa.st_ino == sb.st_ino;
}
