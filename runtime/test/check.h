//===- check.h - Checks of the runtime's tests --------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_TEST_CHECK_H
#define MOE_RT_TEST_CHECK_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_passed, check_failed;

static inline int check_note(int good, const char *file, int line,
                             const char *text) {
  if (good) {
    check_passed++;
  } else {
    check_failed++;
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
  }
  return good;
}

#define CHECK(condition)                                                       \
  check_note(!!(condition), __FILE__, __LINE__, #condition)

// For set-up without which the rest makes no sense.
#define REQUIRE(condition)                                                     \
  do {                                                                         \
    if (!CHECK(condition)) {                                                   \
      fprintf(stderr, "cannot go on\n");                                       \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

static inline int check_eq(long long a, long long b, const char *file, int line,
                           const char *text) {
  int good = check_note(a == b, file, line, text);
  if (!good)
    fprintf(stderr, "  found %lld, expected %lld\n", a, b);
  return good;
}
#define CHECK_EQ(a, b)                                                         \
  check_eq((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)

static inline int check_has(const char *text, const char *part,
                            const char *file, int line) {
  int good = check_note(strstr(text, part) != NULL, file, line, part);
  if (!good)
    fprintf(stderr, "  not in: %s\n", text);
  return good;
}
#define CHECK_HAS(text, part) check_has((text), (part), __FILE__, __LINE__)

static inline int check_finish(const char *name) {
  printf("%s: %d passed, %d failed\n", name, check_passed, check_failed);
  return check_failed != 0;
}

// What a thread returns when something is wrong.
#define REASON(text) ((void *)(uintptr_t)(text))

// An empty folder of this process; removed by check_remove_folder().
static char check_folder[64];
static inline void check_make_folder(void) {
  snprintf(check_folder, sizeof(check_folder), "moe-test-XXXXXX");
  REQUIRE(mkdtemp(check_folder) != NULL);
}
static inline const char *check_path(const char *name) {
  static char paths[8][192];
  static int next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof(paths[0]), "%s/%s", check_folder, name);
  return path;
}
static inline void check_remove_folder(void) {
  char command[128];
  snprintf(command, sizeof(command), "rm -rf ./%s", check_folder);
  CHECK_EQ(system(command), 0);
}
static inline void check_write(const char *path, const void *data,
                               size_t size) {
  FILE *file = fopen(path, "wb");
  REQUIRE(file != NULL);
  REQUIRE(fwrite(data, 1, size, file) == size);
  REQUIRE(fclose(file) == 0);
}
static inline unsigned char *check_read(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  struct stat st;
  REQUIRE(file != NULL && !fstat(fileno(file), &st));
  *size = (size_t)st.st_size;
  unsigned char *data = malloc(*size + 1);
  REQUIRE(data && fread(data, 1, *size, file) == *size);
  fclose(file);
  return data;
}

#endif // MOE_RT_TEST_CHECK_H
