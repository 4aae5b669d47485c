//===- test_linked.c - Tests of a module linked into its program ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// This program has the code and the note of the fake inside, and is sealed.
//===----------------------------------------------------------------------===//
#include "check.h"
#include "internal.h"
#include <sys/wait.h>

const moe_abi_library *moe_library_query(uint32_t abi_major, uint32_t level);

static const moe_abi_library *no_code(uint32_t abi_major, uint32_t level) {
  CHECK_EQ(abi_major, MOE_ABI_MAJOR);
  CHECK(level == 3 || level == 4);
  return NULL;
}

static const moe_abi_library *other_level(uint32_t abi_major, uint32_t level) {
  static const moe_abi_library none = {5, 0};
  (void)abi_major;
  (void)level;
  return &none;
}

static const moe_abi_library *too_little(uint32_t abi_major, uint32_t level) {
  static moe_abi_library none;
  (void)abi_major;
  none.level = level;
  return &none;
}

static void test_open(void) {
  moe_rt_module *m = NULL;
  REQUIRE(moe_rt_module_open_linked(moe_library_query, NULL, &m) == MOE_RT_OK);
  CHECK(!m->library);
  CHECK_EQ(m->code->level, moe_cpu_level());
  CHECK_HAS(m->path, "test_linked");
  const char *own;
  char *file;
  REQUIRE(moe_rt_module_describe(m, &own) == MOE_RT_OK);
  REQUIRE(moe_rt_describe_file("/proc/self/exe", &file) == MOE_RT_OK);
  CHECK(!strcmp(own, file));
  moe_rt_free(file);
  moe_rt_module_close(m);

  moe_rt_options options = {.struct_size = sizeof(options), .max_level = 3};
  REQUIRE(moe_rt_module_open_linked(moe_library_query, &options, &m) ==
          MOE_RT_OK);
  CHECK_EQ(m->code->level, 3);
  moe_rt_module_close(m);
}

static void refuse(moe_rt_query query, moe_rt_status wanted, const char *why) {
  moe_rt_module *m = NULL;
  CHECK_EQ(moe_rt_module_open_linked(query, NULL, &m), wanted);
  CHECK_HAS(moe_rt_last_error(), why);
  CHECK(!m);
}

static void test_refused(void) {
  refuse(no_code, MOE_RT_INCOMPATIBLE, "test_linked: has no code of level ");
  refuse(other_level, MOE_RT_BAD_FILE, "gave code of level 5");
  refuse(too_little, MOE_RT_BAD_FILE, "manifest names code");
  moe_rt_module *m = NULL;
  CHECK_EQ(moe_rt_module_open("/proc/self/exe", NULL, &m), MOE_RT_INCOMPATIBLE);
  CHECK_HAS(moe_rt_last_error(), "test_linked: is a program, made with");
  CHECK(!m);
}

// Runs a copy of this program and returns its exit code.
static int run(const unsigned char *bytes, size_t size, const char *how) {
  const char *path = check_path("copy");
  unlink(path);
  check_write(path, bytes, size);
  REQUIRE(chmod(path, 0700) == 0);
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    execl(path, path, how, (char *)NULL);
    _exit(126);
  }
  int state;
  REQUIRE(waitpid(child, &state, 0) == child);
  return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

// What such a copy does: the status of opening itself.
static int open_self(const char *how, const char *path) {
  if (!strcmp(how, "--gone") && unlink(path))
    return 125;
  moe_rt_module *m = NULL;
  moe_rt_status status = moe_rt_module_open_linked(moe_library_query, NULL, &m);
  moe_rt_module_close(m);
  return (int)status;
}

static void test_changed(void) {
  size_t size;
  unsigned char *bytes = check_read("/proc/self/exe", &size);
  CHECK_EQ(run(bytes, size, "--open"), MOE_RT_OK);
  // The file is there as long as the process is.
  CHECK_EQ(run(bytes, size, "--gone"), MOE_RT_OK);
  // Section headers: nobody reads them on the way in.
  bytes[size - 1] ^= 1;
  CHECK_EQ(run(bytes, size, "--open"), MOE_RT_BAD_FILE);
  bytes[size - 1] ^= 1;
  CHECK_EQ(run(bytes, size - 1, "--open"), MOE_RT_BAD_FILE);
  free(bytes);
}

int main(int argc, char **argv) {
  if (moe_cpu_level() < 3) {
    printf("test_linked: this CPU lacks x86-64-v3\n");
    return 77;
  }
  if (argc == 2)
    return open_self(argv[1], argv[0]);
  check_make_folder();
  test_open();
  test_refused();
  test_changed();
  check_remove_folder();
  return check_finish("test_linked");
}
