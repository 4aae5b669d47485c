//===- test_module.c - Tests of opening modules ---------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "check.h"
#include "fake.h"
#include "internal.h"
#include "json.h"
#include "manifest.h"
#include <elf.h>

static moe_rt_module *module;

static void refuse(const char *path, moe_rt_status wanted, const char *why) {
  moe_rt_module *m = NULL;
  CHECK_EQ(moe_rt_module_open(path, NULL, &m), wanted);
  CHECK(!m);
  CHECK_HAS(moe_rt_last_error(), why);
  char *json = NULL;
  if (wanted != MOE_RT_INCOMPATIBLE) {
    CHECK_EQ(moe_rt_describe_file(path, &json), wanted);
    CHECK(!json);
    CHECK_HAS(moe_rt_last_error(), why);
  }
}

static void test_open(void) {
  for (uint32_t level = 0; level < 6; level++) {
    moe_rt_options options = {.struct_size = sizeof(options),
                              .max_level = level};
    moe_rt_module *m = NULL;
    moe_rt_status status = moe_rt_module_open(MOE_FAKE_PATH, &options, &m);
    if (level == 1 || level == 2 || level == 5) {
      CHECK_EQ(status, MOE_RT_INVALID_ARGUMENT);
      CHECK_HAS(moe_rt_last_error(), "expected 0, 3 or 4");
      CHECK(!m);
      continue;
    }
    REQUIRE(status == MOE_RT_OK);
    if (level == 3)
      CHECK_EQ(m->code->level, 3);
    else
      CHECK_EQ(m->code->level, moe_cpu_level());
    moe_rt_module_close(m);
  }
  moe_rt_module_close(NULL);
  CHECK_EQ(moe_rt_module_open(NULL, NULL, &module), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_module_open("x", NULL, NULL), MOE_RT_INVALID_ARGUMENT);
  moe_rt_options none = {.struct_size = 0};
  moe_rt_module *m = NULL;
  CHECK_EQ(moe_rt_module_open(MOE_FAKE_PATH, &none, &m),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_HAS(moe_rt_last_error(), "struct_size is 0");
  // A newer caller with fields that we do not know: zero is fine.
  struct {
    moe_rt_options known;
    uint32_t more[2];
  } newer = {{.struct_size = sizeof(newer)}, {0, 0}};
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, &newer.known, &m) == MOE_RT_OK);
  moe_rt_module_close(m);
  newer.more[1] = 1;
  CHECK_EQ(moe_rt_module_open(MOE_FAKE_PATH, &newer.known, &m),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_HAS(moe_rt_last_error(), "an option that this runtime");
}

static void test_refused(void) {
  refuse(check_path("gone.so"), MOE_RT_NOT_FOUND, "gone.so: ");
  refuse(check_folder, MOE_RT_BAD_FILE, "is a directory");
  REQUIRE(mkfifo(check_path("fifo"), 0600) == 0);
  refuse(check_path("fifo"), MOE_RT_BAD_FILE, "is not a regular file");
  check_write(check_path("empty.so"), "", 0);
  refuse(check_path("empty.so"), MOE_RT_BAD_FILE, "not an ELF file");
  check_write(check_path("x.so"), "#!/bin/sh\nexit 0\n", 17);
  refuse(check_path("x.so"), MOE_RT_BAD_FILE, "not an ELF file");
  REQUIRE(symlink("circle", check_path("circle")) == 0);
  refuse(check_path("circle"), MOE_RT_IO, "circle");
  // Another program's library, and a name that a library path would find.
  refuse("/proc/self/exe", MOE_RT_BAD_FILE, "no manifest");
  refuse("libm.so.6", MOE_RT_NOT_FOUND, "libm.so.6: ");

  size_t size;
  unsigned char *bytes = check_read(MOE_FAKE_PATH, &size);
  unsigned char *copy = malloc(size + 1);
  const char *path = check_path("changed.so");
  memcpy(copy, bytes, size);
  copy[size] = 0;
  check_write(path, copy, size + 1);
  refuse(path, MOE_RT_BAD_FILE, "truncated or appended to");
  for (size_t n = size - 1; n > 64; n = n * 4 / 5) {
    check_write(path, bytes, n);
    refuse(path, MOE_RT_BAD_FILE, "changed.so: ");
  }
  // Bit flips all over the file: none may be loaded.
  for (size_t bit = 3; bit < 8 * size; bit += 8 * size / 97) {
    memcpy(copy, bytes, size);
    copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
    check_write(path, copy, size);
    refuse(path, MOE_RT_BAD_FILE, "changed.so: ");
  }
  free(copy);
  free(bytes);
}

// Changes the manifest of a copy of the fake, seals it, opens it.
static void change(size_t field, uint32_t value, moe_rt_status wanted,
                   const char *why) {
  size_t size;
  unsigned char *bytes = check_read(MOE_FAKE_PATH, &size);
  const uint64_t magic = MOE_ABI_MAGIC;
  unsigned char *note = NULL;
  for (size_t i = 0; !note && i + 8 <= size; i++)
    if (!memcmp(bytes + i, &magic, 8))
      note = bytes + i;
  REQUIRE(note != NULL);
  if (field >= sizeof(moe_abi_manifest)) {
    // In the first function.
    moe_abi_manifest m;
    memcpy(&m, note, sizeof(m));
    field += m.functions.offset - sizeof(m);
  }
  memcpy(note + field, &value, 4);
  moe_error error;
  REQUIRE(moe_manifest_seal(bytes, size, "x", &error) == MOE_RT_OK);
  const char *path = check_path("sealed.so");
  unlink(path); // the library of an earlier change may still be mapped
  check_write(path, bytes, size);
  free(bytes);
  moe_rt_module *m = NULL;
  CHECK_EQ(moe_rt_module_open(path, NULL, &m), wanted);
  if (wanted)
    CHECK_HAS(moe_rt_last_error(), why);
  moe_rt_module_close(m);
}

// A copy of the fake whose headers name a dynamic linker.
static void test_program(void) {
  size_t size;
  unsigned char *bytes = check_read(MOE_FAKE_PATH, &size);
  Elf64_Ehdr eh;
  memcpy(&eh, bytes, sizeof(eh));
  bool found = false;
  for (unsigned i = 0; i < eh.e_phnum && !found; i++) {
    Elf64_Phdr ph;
    unsigned char *at = bytes + eh.e_phoff + i * sizeof(ph);
    memcpy(&ph, at, sizeof(ph));
    found = ph.p_type == PT_GNU_STACK;
    ph.p_type = PT_INTERP;
    if (found)
      memcpy(at, &ph, sizeof(ph));
  }
  REQUIRE(found);
  moe_error error;
  REQUIRE(moe_manifest_seal(bytes, size, "x", &error) == MOE_RT_OK);
  const char *path = check_path("program");
  check_write(path, bytes, size);
  free(bytes);
  refuse(path, MOE_RT_INCOMPATIBLE, "program: is a program, made with");
  char *json = NULL;
  CHECK_EQ(moe_rt_describe_file(path, &json), MOE_RT_OK);
  moe_rt_free(json);
}

static const moe_abi_library *no_code(uint32_t abi_major, uint32_t level) {
  CHECK(false); // the file is looked at first
  return abi_major || level ? NULL : NULL;
}

// A program without a manifest; test/Target/executable.test has one.
static void test_linked(void) {
  moe_rt_module *m = NULL;
  CHECK_EQ(moe_rt_module_open_linked(NULL, NULL, &m), MOE_RT_INVALID_ARGUMENT);
  CHECK_HAS(moe_rt_last_error(), "query is NULL");
  CHECK_EQ(moe_rt_module_open_linked(no_code, NULL, NULL),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_HAS(moe_rt_last_error(), "module is NULL");
  moe_rt_options options = {.struct_size = sizeof(options), .max_level = 5};
  CHECK_EQ(moe_rt_module_open_linked(no_code, &options, &m),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_module_open_linked(no_code, NULL, &m), MOE_RT_BAD_FILE);
  CHECK_HAS(moe_rt_last_error(), "test_module: no manifest");
  CHECK(!m);
}

static void test_incompatible(void) {
  change(offsetof(moe_abi_manifest, abi_major), 1, MOE_RT_INCOMPATIBLE,
         "made for ABI 1.0");
  change(offsetof(moe_abi_manifest, abi_minor), 9, MOE_RT_INCOMPATIBLE,
         "made for ABI 3.9");
  change(offsetof(moe_abi_manifest, levels), 1, MOE_RT_OK, "");
  if (moe_cpu_level() < 4)
    change(offsetof(moe_abi_manifest, levels), 2, MOE_RT_INCOMPATIBLE,
           "it needs x86-64-v4, this CPU has x86-64-v3");
  size_t first = sizeof(moe_abi_manifest);
  change(first + offsetof(moe_abi_function, code), FAKE_NUM_CODES,
         MOE_RT_BAD_FILE, "manifest names code that the library does not");
  change(first + offsetof(moe_abi_function, code_full), FAKE_NUM_CODES,
         MOE_RT_BAD_FILE, "manifest names code");
  change(first + offsetof(moe_abi_function, arena), 0xfffffffe, MOE_RT_BAD_FILE,
         "manifest names code");
  change(first + offsetof(moe_abi_function, arena_full), 77, MOE_RT_BAD_FILE,
         "manifest names code");
  change(first + offsetof(moe_abi_function, code), FAKE_NUM_CODES - 1,
         MOE_RT_OK, "");
  // v4 code alone, and a caller who does not allow it.
  size_t size;
  unsigned char *bytes = check_read(check_path("sealed.so"), &size);
  free(bytes);
  change(offsetof(moe_abi_manifest, levels), 2,
         moe_cpu_level() < 4 ? MOE_RT_INCOMPATIBLE : MOE_RT_OK, "x86-64-v4");
  if (moe_cpu_level() >= 4) {
    moe_rt_options options = {.struct_size = sizeof(options), .max_level = 3};
    moe_rt_module *m = NULL;
    CHECK_EQ(moe_rt_module_open(check_path("sealed.so"), &options, &m),
             MOE_RT_INCOMPATIBLE);
    CHECK_HAS(moe_rt_last_error(), "max_level allows x86-64-v3");
  }
}

static void test_describe(void) {
  const char *json = NULL;
  char *copy = NULL;
  CHECK_EQ(moe_rt_module_describe(module, &json), MOE_RT_OK);
  CHECK_EQ(moe_rt_describe_file(MOE_FAKE_PATH, &copy), MOE_RT_OK);
  CHECK(!strcmp(json, copy));
  moe_json_document *d = NULL;
  moe_error error;
  CHECK_EQ(moe_json_parse(json, strlen(json), "json", 0, 0, &d, &error),
           MOE_RT_OK);
  moe_json_free(d);
  moe_rt_free(copy);
  moe_rt_free(NULL);
  CHECK_EQ(moe_rt_module_describe(NULL, &json), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_module_describe(module, NULL), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_describe_file(NULL, &copy), MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_describe_file("x", NULL), MOE_RT_INVALID_ARGUMENT);
}

static void test_functions(void) {
  size_t inputs = 9, outputs = 9;
  CHECK_EQ(moe_rt_function_counts(module, "scale", &inputs, &outputs),
           MOE_RT_OK);
  CHECK_EQ(inputs, 1);
  CHECK_EQ(outputs, 3);
  CHECK_EQ(moe_rt_function_counts(module, "append", &inputs, &outputs),
           MOE_RT_OK);
  CHECK_EQ(inputs, 1);
  CHECK_EQ(outputs, 1);
  inputs = 9;
  CHECK_EQ(moe_rt_function_counts(module, "nope\x1b", &inputs, &outputs),
           MOE_RT_NOT_FOUND);
  CHECK_HAS(moe_rt_last_error(), "has no function 'nope\\x1b'");
  CHECK_EQ(inputs, 9);
  CHECK_EQ(moe_rt_function_counts(NULL, "scale", &inputs, &outputs),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_function_counts(module, NULL, &inputs, &outputs),
           MOE_RT_INVALID_ARGUMENT);
  CHECK_EQ(moe_rt_function_counts(module, "scale", NULL, &outputs),
           MOE_RT_INVALID_ARGUMENT);

  moe_rt_argument_info info;
  CHECK_EQ(moe_rt_function_input(module, "append", 0, &info), MOE_RT_OK);
  CHECK(!strcmp(info.name, "ids"));
  CHECK_EQ(info.role, MOE_RT_INPUT);
  CHECK_EQ(info.dtype, MOE_RT_I64);
  CHECK_EQ(info.ndim, 2);
  CHECK(info.shape[0] == -1 && info.shape[1] == -1);
  CHECK(!strcmp(info.symbol[0], "B") && !strcmp(info.symbol[1], "S"));
  CHECK_EQ(info.limit, FAKE_VOCAB);
  CHECK_EQ(info.is_bounded, 0);
  // Optional outputs last, whatever their order in the module.
  static const struct {
    const char *name;
    moe_rt_role role;
  } wanted[] = {{"y", MOE_RT_OUTPUT},
                {"sums", MOE_RT_OPTIONAL_OUTPUT},
                {"twice", MOE_RT_OPTIONAL_OUTPUT}};
  for (size_t i = 0; i < 3; i++) {
    CHECK_EQ(moe_rt_function_output(module, "scale", i, &info), MOE_RT_OK);
    CHECK(!strcmp(info.name, wanted[i].name));
    CHECK_EQ(info.role, wanted[i].role);
  }
  CHECK(info.shape[0] == -1 && info.multiple[0] == 2 && info.shape[1] == 4);
  CHECK(!strcmp(info.symbol[0], "T") && !info.symbol[1]);
  CHECK_EQ(moe_rt_function_output(module, "positive", 0, &info), MOE_RT_OK);
  CHECK_EQ(info.is_bounded, 1);
  info.ndim = 77;
  CHECK_EQ(moe_rt_function_output(module, "scale", 3, &info), MOE_RT_NOT_FOUND);
  CHECK_HAS(moe_rt_last_error(), "has 3 outputs, number 3 was asked for");
  CHECK_EQ(moe_rt_function_input(module, "scale", 1, &info), MOE_RT_NOT_FOUND);
  CHECK_EQ(info.ndim, 77);
  CHECK_EQ(moe_rt_function_input(module, "none", 0, &info), MOE_RT_NOT_FOUND);
  CHECK_EQ(moe_rt_function_input(module, "scale", 0, NULL),
           MOE_RT_INVALID_ARGUMENT);

  int64_t vocab_size = 0, max_length = 0;
  CHECK_EQ(moe_rt_module_limits(module, &vocab_size, &max_length), MOE_RT_OK);
  CHECK_EQ(vocab_size, FAKE_VOCAB);
  CHECK_EQ(max_length, FAKE_MAX_LENGTH);
  CHECK_EQ(moe_rt_module_limits(module, NULL, &max_length),
           MOE_RT_INVALID_ARGUMENT);
}

static void test_status(void) {
  CHECK(!strcmp(moe_rt_status_name(MOE_RT_OK), "MOE_RT_OK"));
  CHECK(!strcmp(moe_rt_status_name(MOE_RT_OUT_OF_MEMORY),
                "MOE_RT_OUT_OF_MEMORY"));
  CHECK(!strcmp(moe_rt_status_name(MOE_RT_IO), "MOE_RT_IO"));
  CHECK(!strcmp(moe_rt_status_name((moe_rt_status)99), "unknown status"));
  CHECK(!strcmp(moe_rt_version(), "0.1.0"));
  int64_t shape[1] = {3};
  moe_rt_tensor t = moe_rt_make_tensor(shape, MOE_RT_BF16, 1, shape);
  CHECK(t.data == shape && t.shape == shape && !t.strides);
  CHECK(t.dtype_code == 4 && t.dtype_bits == 16 && t.dtype_lanes == 1);
  CHECK(t.device_type == 1 && t.ndim == 1 && t.byte_offset == 0);
  t = moe_rt_make_tensor(NULL, (moe_rt_dtype)9, 0, NULL);
  CHECK_EQ(t.dtype_bits, 0);
}

int main(void) {
  if (moe_cpu_level() < 3) {
    printf("test_module: this CPU lacks x86-64-v3\n");
    return 77;
  }
  CHECK(!strcmp(moe_rt_last_error(), "no error"));
  check_make_folder();
  test_open();
  test_refused();
  test_incompatible();
  test_program();
  test_linked();
  REQUIRE(moe_rt_module_open(MOE_FAKE_PATH, NULL, &module) == MOE_RT_OK);
  test_describe();
  test_functions();
  test_status();
  moe_rt_module_close(module);
  check_remove_folder();
  return check_finish("test_module");
}
