//===- test_manifest.c - Tests of the manifest reader ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "builder.h"
#include "check.h"
#include "fake.h"
#include "json.h"
#include "manifest.h"
#include "sha256.h"
#include <elf.h>

static moe_error error;
static builder b;

static moe_rt_status read_built(moe_manifest **manifest) {
  size_t size;
  uint8_t *file = builder_file(&b, &size);
  memset(&error, 0, sizeof(error));
  *manifest = NULL;
  moe_rt_status status =
      moe_manifest_read(file, size, "m.so", manifest, &error);
  CHECK((status == MOE_RT_OK) == (*manifest != NULL));
  free(file);
  return status;
}

static void accept(void) {
  moe_manifest *m;
  if (!CHECK_EQ(read_built(&m), MOE_RT_OK))
    fprintf(stderr, "  %s\n", error.text);
  moe_manifest_free(m);
}

static void refuse(moe_rt_status wanted, const char *why) {
  moe_manifest *m;
  CHECK_EQ(read_built(&m), wanted);
  CHECK_HAS(error.text, "m.so: ");
  CHECK_HAS(error.text, why);
  moe_manifest_free(m);
}

// One change to the good manifest, and what is said about it.
#define BREAK(change, why)                                                     \
  do {                                                                         \
    build_fake(&b);                                                            \
    change;                                                                    \
    refuse(MOE_RT_BAD_FILE, why);                                              \
  } while (0)
#define KEEP(change)                                                           \
  do {                                                                         \
    build_fake(&b);                                                            \
    change;                                                                    \
    accept();                                                                  \
  } while (0)

static moe_abi_argument *argument(const char *function, const char *name) {
  for (uint32_t i = 0; i < b.num_functions; i++) {
    moe_abi_function *f = &b.functions[i];
    if (strncmp(b.strings + f->name.offset, function, f->name.size) ||
        strlen(function) != f->name.size)
      continue;
    for (uint32_t k = 0; k < f->num_arguments; k++) {
      moe_abi_argument *a = &b.arguments[f->first_argument + k];
      if (!strncmp(b.strings + a->name.offset, name, a->name.size) &&
          strlen(name) == a->name.size)
        return a;
    }
  }
  abort();
}

static void test_sha256(void) {
  // FIPS 180-2, appendix B; and a million times 'a'.
  static const struct {
    const char *text;
    const char *hex;
  } cases[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc",
       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  moe_sha256_state s;
  uint8_t digest[32];
  char hex[65];
  for (size_t i = 0; i < 3; i++) {
    moe_sha256_start(&s);
    moe_sha256_add(&s, cases[i].text, strlen(cases[i].text));
    moe_sha256_end(&s, digest);
    for (int k = 0; k < 32; k++)
      sprintf(hex + 2 * k, "%02x", digest[k]);
    CHECK(!strcmp(hex, cases[i].hex));
  }
  moe_sha256_start(&s);
  char as[1000];
  memset(as, 'a', sizeof(as));
  // In pieces that fall on no block boundary.
  for (size_t done = 0, n = 1; done < 1000000; done += n) {
    n = n % 997 + 1;
    if (n > 1000000 - done)
      n = 1000000 - done;
    moe_sha256_add(&s, as, n);
  }
  moe_sha256_end(&s, digest);
  for (int k = 0; k < 32; k++)
    sprintf(hex + 2 * k, "%02x", digest[k]);
  CHECK(!strcmp(
      hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
}

static void test_contents(void) {
  build_fake(&b);
  moe_manifest *m;
  REQUIRE(read_built(&m) == MOE_RT_OK);
  CHECK(!strcmp(m->target, "x86_64-unknown-linux-gnu"));
  CHECK(!strcmp(m->model, "fake"));
  CHECK_EQ(m->header.symbols.count, FAKE_NUM_SYMBOLS);
  CHECK(!strcmp(m->symbols[3], "N"));
  CHECK_EQ(m->header.functions.count, b.num_functions);
  CHECK_EQ(moe_manifest_function(m, "scale"), 0);
  CHECK_EQ(moe_manifest_function(m, "append"), 2);
  CHECK_EQ(moe_manifest_function(m, "scal"), -1);
  CHECK(!strcmp(m->argument_names[0], "x"));
  CHECK_EQ(m->arguments[0].extents[1].value, 4);
  CHECK_EQ(m->header.params.count, FAKE_NUM_PARAMS);
  CHECK(!strcmp(m->param_names[1], "experts"));
  CHECK(!strcmp(m->param_layouts[2], "tiles v3"));
  CHECK(!strcmp(m->param_layouts[3], "tiles v4"));
  CHECK(!strcmp(m->source_names[4], "e1.up"));
  CHECK_EQ(m->sources[4].first, 1);
  CHECK_EQ(m->sources[4].part, 1);
  // append and last share the one state.
  CHECK_EQ(m->num_states, 1);
  uint64_t size;
  CHECK(moe_source_bytes(&m->sources[1], &size) && size == 24);
  moe_manifest_free(m);
  moe_manifest_free(NULL);
  CHECK_EQ(moe_abi_dtype_size(MOE_ABI_BF16), 2);
  CHECK_EQ(moe_abi_dtype_size(7), 0);
  CHECK(!strcmp(moe_abi_dtype_name(MOE_ABI_U8), "u8"));
  CHECK(!strcmp(moe_abi_dtype_name(99), "unknown"));
}

static void test_description(void) {
  build_fake(&b);
  // A name that needs quoting.
  b.header.compiler = builder_string(&b, "by \"hand\"\n");
  moe_manifest *m;
  REQUIRE(read_built(&m) == MOE_RT_OK);
  moe_text text = {0};
  moe_manifest_describe(m, &text);
  REQUIRE(!text.failed);
  moe_json_document *d;
  REQUIRE(moe_json_parse(text.data, text.size, "text", 0, 0, &d, &error) ==
          MOE_RT_OK);
  const moe_json *root = moe_json_root(d);
  CHECK(moe_json_equals(moe_json_find(root, "compiler"), "by \"hand\"\n"));
  CHECK(moe_json_equals(moe_json_find(root, "abi"), "3.0"));
  CHECK(moe_json_equals(moe_json_at(moe_json_find(root, "levels"), 1),
                        "x86-64-v4"));
  const moe_json *sha = moe_json_find(root, "sha256");
  CHECK(moe_json_is(sha, MOE_JSON_STRING) && sha->count == 64);
  const moe_json *functions = moe_json_find(root, "functions");
  CHECK_EQ(moe_json_size(functions), b.num_functions);
  const moe_json *scale = moe_json_at(functions, 0);
  const moe_json *outputs = moe_json_find(scale, "outputs");
  CHECK_EQ(moe_json_size(outputs), 3);
  const moe_json *twice = moe_json_at(outputs, 2);
  CHECK(moe_json_equals(moe_json_find(twice, "name"), "twice"));
  CHECK(moe_json_equals(moe_json_at(moe_json_find(twice, "shape"), 0), "2*T"));
  int64_t value = 0;
  CHECK(moe_json_int64(moe_json_at(moe_json_find(twice, "shape"), 1), &value) &&
        value == 4);
  bool flag = false;
  CHECK(moe_json_bool(moe_json_find(twice, "optional"), &flag) && flag);
  const moe_json *append = moe_json_at(functions, 2);
  CHECK_EQ(moe_json_size(moe_json_find(append, "state")), 1);
  const moe_json *ids = moe_json_at(moe_json_find(append, "inputs"), 0);
  CHECK(moe_json_int64(moe_json_find(ids, "limit"), &value) &&
        value == FAKE_VOCAB);
  const moe_json *params = moe_json_find(root, "parameters");
  CHECK_EQ(moe_json_size(params), FAKE_NUM_PARAMS);
  const moe_json *experts = moe_json_at(params, 1);
  CHECK_EQ(moe_json_size(moe_json_find(experts, "sources")), 4);
  const moe_json *v4 = moe_json_find(experts, "x86-64-v4");
  CHECK(moe_json_equals(moe_json_find(v4, "layout"), "tiles v4"));
  moe_json_free(d);
  moe_free(text.data);
  moe_manifest_free(m);
}

static void test_header(void) {
  BREAK(b.header.magic++, "manifest is damaged");
  build_fake(&b);
  b.header.abi_major++;
  refuse(MOE_RT_INCOMPATIBLE, "made for ABI 4.0, this runtime has 3.0");
  build_fake(&b);
  b.header.abi_minor++;
  refuse(MOE_RT_INCOMPATIBLE, "made for ABI 3.1");
  BREAK(b.header.levels = 0, "no code level");
  BREAK(b.header.levels = 4, "no code level");
  KEEP(b.header.levels = 1);
  KEEP(b.header.levels = 2);
  KEEP((b.header.max_length = 0, b.header.vocab_size = 0));
  KEEP((b.header.max_length = INT32_MAX, b.header.vocab_size = INT32_MAX));
  BREAK(b.header.max_length = -1, "out of range");
  BREAK(b.header.max_length = (int64_t)1 << 31, "out of range");
  BREAK(b.header.vocab_size = -1, "out of range");
  BREAK(b.header.vocab_size = (int64_t)1 << 31, "out of range");
  BREAK(b.header.target.size = 1u << 20, "string");
  BREAK(b.header.target.offset = 0xfffffff0u, "string");
  BREAK(b.header.target = builder_string(&b, "\xff"), "string");
  BREAK(
      {
        b.strings[b.num_strings] = 0;
        b.header.target.offset = b.num_strings++;
        b.header.target.size = 1;
      },
      "string");
}

static void test_arguments(void) {
  BREAK(argument("scale", "x")->role = 6, "argument 0: unknown role");
  BREAK(argument("scale", "x")->dtype = 7, "argument 0: unknown dtype");
  BREAK(argument("scale", "x")->rank = 9, "rank is over 8");
  BREAK(argument("append", "ids")->limit = -1, "limit on something");
  BREAK(argument("append", "sum")->limit = 1, "limit on something");
  BREAK(argument("scale", "x")->limit = 1, "limit on something");
  BREAK(argument("scale", "x")->extents[1].value = -1, "size is negative");
  BREAK(argument("scale", "x")->extents[0].symbol = FAKE_NUM_SYMBOLS,
        "size names no symbol");
  BREAK(argument("scale", "x")->extents[0].value = 0,
        "not a positive multiple");
  BREAK(argument("append", "cache")->extents[1].symbol = 2,
        "neither constant nor B nor N");
  BREAK(argument("positive", "count")->dtype = MOE_ABI_I32, "one int64");
  BREAK(argument("liar", "count")->extents[0].value = 2, "one int64");
  BREAK(argument("append", "lengths")->dtype = MOE_ABI_I32, "int64[B]");
  BREAK(argument("append", "lengths")->extents[0].symbol = 0, "int64[B]");
  BREAK(argument("append", "lengths")->extents[0].value = 2, "int64[B]");
  KEEP(argument("scale", "x")->extents[1].value = 0);
}

static void test_functions(void) {
  BREAK(b.functions[1].first_argument = 10000, "arguments lie outside");
  BREAK(b.functions[1].num_arguments = 0xffffffff, "functions share");
  BREAK(b.functions[1].num_arguments = 10, "functions share arguments");
  BREAK(b.functions[0].code = MOE_ABI_NONE, "has no code");
  BREAK(b.functions[0].code_full = MOE_ABI_NONE, "no code for them");
  BREAK(argument("positive", "x")->count_argument = 1, "not an output");
  BREAK(argument("positive", "places")->count_argument = 0,
        "without its count");
  BREAK(argument("positive", "places")->count_argument = 3,
        "without its count");
  BREAK(argument("positive", "places")->rank = 0, "without its count");
  BREAK(argument("affine", "x")->rank = 0, "a size that no input gives");
  // N comes from the session only where there is a state.
  BREAK(argument("affine", "y")->extents[0].symbol = 3,
        "a size that no input gives");
  // A product is given where both of its factors are, and only there.
  KEEP((argument("flatten", "flat")->extents[0].symbol = MOE_ABI_NONE));
  BREAK((argument("flatten", "flat")->extents[0].symbol = MOE_ABI_NONE,
         argument("flatten", "x")->rank = 1),
        "a size that no input gives");
  BREAK(argument("flatten", "y")->extents[0].symbol = 5,
        "a size that no input gives");
  BREAK(b.functions[1].name = b.functions[0].name, "the name of another one");
  BREAK(b.functions[1].name.size = 0, "function 1: has no name");
  BREAK(argument("scale", "y")->name = argument("scale", "x")->name,
        "the name of another one");
  BREAK(argument("scale", "y")->name.size = 0, "has no name");
  BREAK(b.symbols[1].name = b.symbols[0].name, "symbol 1: has the name of");
  BREAK(argument("last", "cache")->dtype = MOE_ABI_F32, "two shapes");
  BREAK(argument("last", "cache")->rank = 1, "two shapes");
  BREAK(argument("last", "cache")->extents[0].value = 2, "two shapes");
  build_fake(&b);
  for (int i = 0; i < 257 - FAKE_NUM_SYMBOLS; i++) {
    char name[8];
    snprintf(name, sizeof(name), "s%d", i);
    if (i == 256 - FAKE_NUM_SYMBOLS)
      accept();
    builder_symbol(&b, name);
  }
  refuse(MOE_RT_BAD_FILE, "table of symbols");
}

static void test_params(void) {
  BREAK(b.params[0].first_source = 1000, "sources lie outside");
  BREAK(b.params[0].num_sources = 1000, "sources lie outside");
  BREAK(b.params[0].num_sources = 0, "no sources");
  BREAK(b.params[0].size[0] = 17, "size does not fit");
  BREAK(b.params[0].size[1] = 15, "size does not fit");
  KEEP((b.header.levels = 1, b.params[0].size[1] = 15));
  BREAK(b.params[1].size[0] = (uint64_t)1 << 47, "size does not fit");
  BREAK(b.params[1].name = b.params[0].name, "the name of another one");
  BREAK(b.sources[0].dtype = 7, "source 0: unknown dtype");
  BREAK(b.sources[0].rank = 9, "source 0: unknown dtype or rank");
  BREAK(b.sources[0].extents[0] = (uint64_t)1 << 62, "size overflows");
  BREAK(b.sources[0].extents[0] = (uint64_t)1 << 45, "size overflows");
  BREAK(b.sources[0].first = 0xffffffff;
        b.sources[0].count = 1, "size overflows");
  BREAK(b.sources[0].tensor.size = 0, "source 0: has no name");
  // j1 as i8 of the same bytes would be misaligned for anything wider.
  BREAK((b.sources[6].dtype = MOE_ABI_BF16, b.params[2].size[0] = 8,
         b.params[2].size[1] = 8),
        "size does not fit");
}

// The fake, with code for two devices.
static void build_devices(void) {
  build_fake(&b);
  builder_device(&b, "sm_80", 80);
  builder_param(&b, "scale", 16, MOE_ABI_NONE);
  builder_source(&b, "scale", MOE_ABI_F32, "4");
  builder_kernel(&b, "first", 3)->registers = 255;
  moe_abi_kernel *second = builder_kernel(&b, "second", 256);
  second->resident_blocks = 32;
  second->flags = MOE_ABI_KERNEL_OVERLAPS | MOE_ABI_KERNEL_UNORDERED;
  builder_image(&b, MOE_ABI_IMAGE_PTX, ".version 8.3");
  builder_device(&b, "sm_90a", 90)->exact = 1;
  builder_kernel(&b, "first", 0)->cluster[1] = 16;
  builder_image(&b, MOE_ABI_IMAGE_CUBIN,
                "\x7f"
                "ELF");
  builder_image(&b, MOE_ABI_IMAGE_PTX, ".version 8.0");
}
#define BREAK_DEVICE(change, why)                                              \
  do {                                                                         \
    build_devices();                                                           \
    change;                                                                    \
    refuse(MOE_RT_BAD_FILE, why);                                              \
  } while (0)

static void test_devices(void) {
  build_devices();
  moe_manifest *m;
  REQUIRE(read_built(&m) == MOE_RT_OK);
  CHECK_EQ(m->header.num_cpu_params, FAKE_NUM_PARAMS);
  CHECK(!strcmp(m->device_names[1], "sm_90a"));
  CHECK(!strcmp(m->kernel_names[1], "second"));
  moe_text text = {0};
  moe_manifest_describe(m, &text);
  REQUIRE(!text.failed);
  moe_json_document *d;
  REQUIRE(moe_json_parse(text.data, text.size, "d", 0, 0, &d, &error) ==
          MOE_RT_OK);
  const moe_json *root = moe_json_root(d);
  CHECK_EQ(moe_json_size(moe_json_find(root, "parameters")), FAKE_NUM_PARAMS);
  const moe_json *devices = moe_json_find(root, "devices");
  CHECK_EQ(moe_json_size(devices), 2);
  const moe_json *first = moe_json_at(devices, 0);
  CHECK(moe_json_equals(moe_json_find(first, "compute_capability"), "8.0"));
  CHECK_EQ(moe_json_size(moe_json_find(first, "parameters")), 1);
  const moe_json *kernel = moe_json_at(moe_json_find(first, "kernels"), 0);
  int64_t value = 0;
  CHECK(moe_json_int64(moe_json_find(kernel, "registers"), &value) &&
        value == 255);
  CHECK(!moe_json_find(kernel, "resident_blocks"));
  kernel = moe_json_at(moe_json_find(first, "kernels"), 1);
  CHECK(moe_json_int64(moe_json_find(kernel, "resident_blocks"), &value) &&
        value == 32);
  // One such kernel, and its device gives other bits from call to call.
  bool is = false;
  CHECK(moe_json_bool(moe_json_find(kernel, "unordered"), &is) && is);
  CHECK(moe_json_bool(moe_json_find(first, "deterministic"), &is) && !is);
  CHECK(moe_json_bool(moe_json_find(moe_json_at(devices, 1), "deterministic"),
                      &is) &&
        is);
  const moe_json *images = moe_json_find(moe_json_at(devices, 1), "images");
  CHECK(
      moe_json_equals(moe_json_find(moe_json_at(images, 0), "kind"), "cubin"));
  CHECK(
      moe_json_int64(moe_json_find(moe_json_at(images, 1), "bytes"), &value) &&
      value == 12);
  moe_json_free(d);
  moe_free(text.data);
  moe_manifest_free(m);
  // A module for GPUs alone.
  build_devices();
  b.header.levels = 0;
  accept();
  BREAK_DEVICE(b.header.num_cpu_params = 6, "more parameters of the CPU");
  BREAK_DEVICE(b.header.num_cpu_params = 5, "the name of another one");
  BREAK_DEVICE(b.num_params++, "entries of no device");
  BREAK_DEVICE(b.num_kernels++, "entries of no device");
  BREAK_DEVICE(b.num_images++, "entries of no device");
  BREAK_DEVICE(b.devices[0].num_params = 2, "lie outside or overlap");
  BREAK_DEVICE(b.devices[0].num_kernels = 0xffffffff, "lie outside or overlap");
  BREAK_DEVICE(b.devices[1].first_kernel = 1, "lie outside or overlap");
  BREAK_DEVICE(b.devices[1].num_images = 3, "lie outside or overlap");
  BREAK_DEVICE(b.devices[1].level = 80, "the level of another one");
  BREAK_DEVICE(b.devices[1].level = 4, "compute capability out of range");
  BREAK_DEVICE(b.devices[1].level = 1000, "compute capability out of range");
  BREAK_DEVICE(b.devices[1].exact = 2, "compute capability out of range");
  BREAK_DEVICE(b.devices[1].name = b.devices[0].name, "the name of another");
  BREAK_DEVICE(b.devices[1].name.size = 0, "device 1: has no name");
  BREAK_DEVICE((b.devices[1].num_images = 0, b.num_images = 1), "no image");
  BREAK_DEVICE(b.params[4].size[1]++, "size does not fit");
  BREAK_DEVICE(
      (b.params[4].pack[0] = b.params[4].pack[1] = 0, b.params[4].size[1]++),
      "two layouts");
  BREAK_DEVICE(b.params[4].pack[1] = 0, "two layouts");
  BREAK_DEVICE(b.kernels[1].name = b.kernels[0].name, "the name of another");
  BREAK_DEVICE(b.kernels[0].block[0] = 0, "block or cluster");
  BREAK_DEVICE(b.kernels[0].block[1] = 9, "block or cluster");
  BREAK_DEVICE((b.kernels[0].block[0] = 8, b.kernels[0].block[2] = 65),
               "block or cluster");
  BREAK_DEVICE(b.kernels[2].cluster[0] = 2, "block or cluster");
  BREAK_DEVICE(b.kernels[2].cluster[0] = 0, "block or cluster");
  BREAK_DEVICE(b.kernels[0].cluster[0] = 2, "before 9.0");
  BREAK_DEVICE(b.kernels[1].num_arguments = 257, "too many arguments");
  BREAK_DEVICE(b.kernels[0].registers = 256, "registers or shared memory");
  BREAK_DEVICE(b.kernels[0].dynamic_shared = 0xffffffff, "shared memory");
  BREAK_DEVICE(b.kernels[0].flags = 4, "unknown flag");
  BREAK_DEVICE(b.kernels[0].resident_blocks = 33, "resident blocks");
  BREAK_DEVICE(b.kernels[2].resident_blocks = 1, "resident blocks");
  BREAK_DEVICE(b.images[0].kind = 2, "unknown kind");
  BREAK_DEVICE(b.images[0].bytes.size = 0, "bytes lie outside");
  BREAK_DEVICE(b.images[1].bytes.size = 1u << 30, "bytes lie outside");
  BREAK_DEVICE(b.images[0].bytes.size = 11, "PTX does not end");
  BREAK_DEVICE(b.images[0].bytes.size = 13, "PTX does not end");
  build_devices();
  for (int i = 0; i < 15; i++) {
    char name[8];
    snprintf(name, sizeof(name), "d%d", i);
    if (i == 14)
      accept();
    builder_device(&b, name, 100 + (uint32_t)i);
    builder_image(&b, MOE_ABI_IMAGE_CUBIN, "x");
  }
  refuse(MOE_RT_BAD_FILE, "table of devices");
}

static void test_file(void) {
  build_devices();
  size_t size;
  uint8_t *file = builder_file(&b, &size);
  moe_manifest *m = NULL;
  REQUIRE(moe_manifest_read(file, size, "m.so", &m, &error) == MOE_RT_OK);
  moe_manifest_free(m);
  uint8_t *copy = malloc(size + 1);
  // Cut anywhere, or one byte more.
  for (size_t n = 0; n <= size + 1; n++) {
    if (n == size)
      continue;
    uint8_t *cut = malloc(n ? n : 1);
    memcpy(cut, file, n < size ? n : size);
    if (n > size)
      cut[size] = 0;
    CHECK_EQ(moe_manifest_read(cut, n, "m.so", &m, &error), MOE_RT_BAD_FILE);
    free(cut);
  }
  // Any one bit flipped.
  int accepted = 0;
  for (size_t bit = 0; bit < 8 * size; bit += 5) {
    memcpy(copy, file, size);
    copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    m = NULL;
    accepted += moe_manifest_read(copy, size, "m.so", &m, &error) == MOE_RT_OK;
    moe_manifest_free(m);
  }
  CHECK_EQ(accepted, 0);
  // Flipped and sealed again: the hash is no signature, so the rest must hold.
  for (size_t bit = 0; bit < 8 * size; bit++) {
    memcpy(copy, file, size);
    copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    m = NULL;
    if (!moe_manifest_seal(copy, size, "m.so", &error))
      moe_manifest_read(copy, size, "m.so", &m, &error);
    moe_manifest_free(m);
  }
#define FILE_BREAK(offset, value, why)                                         \
  do {                                                                         \
    memcpy(copy, file, size);                                                  \
    copy[offset] = (value);                                                    \
    CHECK_EQ(moe_manifest_read(copy, size, "m.so", &m, &error),                \
             MOE_RT_BAD_FILE);                                                 \
    CHECK_HAS(error.text, why);                                                \
  } while (0)
  FILE_BREAK(0, 'E', "not an ELF file");
  FILE_BREAK(EI_CLASS, ELFCLASS32, "not an x86-64 shared object");
  FILE_BREAK(EI_DATA, ELFDATA2MSB, "not an x86-64 shared object");
  FILE_BREAK(offsetof(Elf64_Ehdr, e_machine), EM_386, "not an x86-64");
  FILE_BREAK(offsetof(Elf64_Ehdr, e_type), ET_EXEC, "not an x86-64");
  FILE_BREAK(offsetof(Elf64_Ehdr, e_phentsize), 57, "program headers");
  FILE_BREAK(offsetof(Elf64_Ehdr, e_phoff) + 7, 0xff, "program headers");
  size_t note = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  FILE_BREAK(note + offsetof(Elf64_Phdr, p_offset) + 7, 0xff, "note segment");
  FILE_BREAK(note + offsetof(Elf64_Phdr, p_filesz) + 7, 0xff, "note segment");
  FILE_BREAK(note, PT_LOAD, "no manifest: not made by moe-compile");
  FILE_BREAK(size - 1, 1, "hash does not match");
  CHECK_EQ(
      moe_manifest_read((const uint8_t *)"#!/bin/sh\n", 10, "m.so", &m, &error),
      MOE_RT_BAD_FILE);
  CHECK_EQ(moe_manifest_seal(copy, 10, "m.so", &error), MOE_RT_BAD_FILE);
  free(copy);
  free(file);
}

int main(void) {
  test_sha256();
  test_contents();
  test_description();
  test_header();
  test_arguments();
  test_functions();
  test_params();
  test_devices();
  test_file();
  return check_finish("test_manifest");
}
