//===- test_safetensors.c - Tests of tensors in files ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "check.h"
#include "file.h"
#include "safetensors.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

static moe_error error;

// A file of this header and `data_size` bytes 0, 1, 2 ...
static unsigned char *make_n(const char *header, size_t n, size_t data_size,
                             size_t *size) {
  *size = 8 + n + data_size;
  unsigned char *bytes = malloc(*size);
  for (int i = 0; i < 8; i++)
    bytes[i] = (unsigned char)(n >> (8 * i));
  memcpy(bytes + 8, header, n);
  for (size_t i = 0; i < data_size; i++)
    bytes[8 + n + i] = (unsigned char)i;
  return bytes;
}

static moe_st_file *parse_n(const char *header, size_t n, size_t data_size) {
  static unsigned char *last;
  free(last);
  size_t size;
  last = make_n(header, n, data_size, &size);
  moe_st_file *file = NULL;
  memset(&error, 0, sizeof(error));
  moe_rt_status status = moe_st_parse(last, size, "m.st", &file, &error);
  CHECK((status == MOE_RT_OK) == (file != NULL));
  return file;
}

static moe_st_file *parse(const char *header, size_t data_size) {
  return parse_n(header, strlen(header), data_size);
}

static void accept(const char *header, size_t data_size) {
  moe_st_file *file = parse(header, data_size);
  if (!CHECK(file != NULL))
    fprintf(stderr, "  %s: %s\n", header, error.text);
  moe_st_close(file);
}

static void refuse(const char *header, size_t data_size, const char *why) {
  moe_st_file *file = parse(header, data_size);
  if (!CHECK(file == NULL))
    fprintf(stderr, "  %s\n", header);
  CHECK_HAS(error.text, "m.st: ");
  CHECK_HAS(error.text, why);
  if (!file)
    CHECK_EQ(error.status, MOE_RT_BAD_FILE);
  moe_st_close(file);
}

static void test_contents(void) {
  moe_st_file *f = parse("{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],"
                         "\"data_offsets\":[2,10]},"
                         "\"a\\u00e9\":{\"data_offsets\":[0,2],\"shape\":[],"
                         "\"dtype\":\"BF16\"},"
                         "\"z\":{\"dtype\":\"I64\",\"shape\":[3,0],"
                         "\"data_offsets\":[10,10]}}  ",
                         10);
  REQUIRE(f != NULL);
  CHECK_EQ(moe_st_count(f), 3);
  const moe_st_tensor *b = moe_st_find(f, "b");
  REQUIRE(b != NULL);
  CHECK(b == moe_st_at(f, 0));
  CHECK_EQ(b->type, MOE_RT_F32);
  CHECK_EQ(b->bits, 32);
  CHECK_EQ(b->rank, 2);
  CHECK_EQ(b->shape[0], 2);
  CHECK_EQ(b->shape[1], 1);
  CHECK_EQ(b->size_bytes, 8);
  CHECK_EQ(b->begin, 2);
  CHECK_EQ(*(const unsigned char *)b->data, 2);
  const moe_st_tensor *a = moe_st_find(f, "a\xc3\xa9");
  REQUIRE(a != NULL);
  CHECK(a == moe_st_at(f, 1));
  CHECK_EQ(a->rank, 0);
  CHECK_EQ(a->type, MOE_RT_BF16);
  CHECK_EQ(*(const unsigned char *)a->data, 0);
  const moe_st_tensor *z = moe_st_find(f, "z");
  CHECK(z && z->size_bytes == 0 && !z->data);
  CHECK(!moe_st_find(f, "__metadata__"));
  CHECK(!moe_st_find(f, "c"));
  CHECK(!moe_st_at(f, 3));
  CHECK(moe_json_equals(moe_json_find(moe_st_metadata(f), "format"), "pt"));
  CHECK(!strcmp(moe_st_path(f), "m.st"));
  CHECK_EQ(moe_st_unchanged(f, &error), MOE_RT_OK);
  moe_st_close(f);
  // Metadata in the middle shifts no index.
  f = parse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
            "\"__metadata__\":{},"
            "\"b\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
            2);
  REQUIRE(f != NULL);
  CHECK(moe_st_find(f, "a") == moe_st_at(f, 0));
  CHECK(moe_st_find(f, "b") == moe_st_at(f, 1));
  CHECK_EQ(moe_st_find(f, "b")->type, MOE_ST_OTHER);
  CHECK(!strcmp(moe_st_find(f, "b")->dtype, "I8"));
  moe_st_close(f);
  moe_st_close(NULL);
}

static void test_accepted(void) {
  accept("{}", 0);
  accept("{}                  ", 0);
  accept("{\"__metadata__\":{}}", 0);
  // Unknown types are nobody's business until a tensor is used.
  accept("{\"q\":{\"dtype\":\"Q9\",\"shape\":[7],\"data_offsets\":[0,3]}}", 3);
  accept("{\"q\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2);
  accept("{\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],"
         "\"data_offsets\":[0,4]}}",
         4);
  accept("{\"q\":{\"dtype\":\"BOOL\",\"shape\":[1,1,1,1,1,1,1,1],"
         "\"data_offsets\":[0,1]}}",
         1);
  // Empty tensors may lie at any boundary; zero times anything is zero.
  accept("{\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
         "\"d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         8);
  accept("{\"e\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615,"
         "18446744073709551615,0],\"data_offsets\":[0,0]}}",
         0);
  accept("{\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0],"
         "\"extra\":1}}",
         0);
}

#define T(rest) "{\"w\":{" rest "}}"

static void test_refused(void) {
  refuse("", 0, "header is empty");
  refuse(" ", 0, "header is empty");
  refuse("  ", 0, "does not start with '{'");
  refuse(" {}", 0, "does not start with '{'");
  refuse("[]", 0, "does not start with '{'");
  refuse("{}\n", 0, "does not end with '}' and spaces");
  refuse("{} x", 0, "does not end with '}' and spaces");
  refuse("{}{}", 0, "expected the end");
  refuse("{\"\xff\":1}", 0, "not UTF-8");
  refuse("{\"w\":1}", 0, "tensor 'w': expected an object, found number");
  refuse("{\"\":{}}", 0, "a tensor without a name");
  refuse("{\"a\\u0000b\":{}}", 0, "holds a NUL");
  refuse("{\"__metadata__\":[]}", 0, "'__metadata__' is array");
  refuse("{\"__metadata__\":{\"a\":1}}", 0, "entry 'a' is number");
  refuse("{}", 4, "bytes 0 to 4 of the data belong to no tensor");
  refuse(T("\"shape\":[1],\"data_offsets\":[0,4]"), 4,
         "tensor 'w': 'dtype' is nothing");
  refuse(T("\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]"), 4,
         "'dtype' is number");
  refuse(T("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4,
         "'shape' is nothing");
  refuse(T("\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,4]"), 4,
         "'shape' is number");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1]"), 4, "'data_offsets'");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4,
         "'data_offsets'");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]"), 4,
         "'data_offsets'");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[\"0\",4]"), 4,
         "'data_offsets'");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]"), 4,
         "'data_offsets'");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4,
         "'data_offsets'");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), 4,
         "'shape' entry 0");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1,-1],\"data_offsets\":[0,4]"), 4,
         "'shape' entry 1");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1e0],\"data_offsets\":[0,4]"), 4,
         "'shape' entry 0");
  refuse(T("\"dtype\":\"F32\",\"shape\":[null],\"data_offsets\":[0,4]"), 4,
         "'shape' entry 0");
  refuse(T("\"dtype\":\"F32\",\"shape\":[18446744073709551616],"
           "\"data_offsets\":[0,4]"),
         4, "'shape' entry 0");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
           "\"data_offsets\":[0,4]"),
         4, "rank is 9, expected at most 8");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4,
         "do not lie in");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,5]"), 4,
         "do not lie in the 4 bytes");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],"
           "\"data_offsets\":[18446744073709551612,18446744073709551615]"),
         4, "do not lie in");
  refuse(T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4,
         "has 4 bytes of data, expected 8 for its shape and dtype F32");
  refuse(T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,0]"), 0,
         "has 0 bytes of data, expected 4");
  // Products that wrap to what is there.
  refuse(T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
           "\"data_offsets\":[0,0]"),
         0, "overflows");
  refuse(T("\"dtype\":\"F32\",\"shape\":[4611686018427387905],"
           "\"data_offsets\":[0,4]"),
         4, "overflows");
  refuse(T("\"dtype\":\"U8\",\"shape\":[2305843009213693953],"
           "\"data_offsets\":[0,1]"),
         1, "overflows");
  refuse(T("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1,
         "overflows");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 8,
         "bytes 0 to 4 before its data belong to no tensor");
  refuse(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 8,
         "bytes 4 to 8 of the data belong to no tensor");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, "tensor 'b': data overlaps");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, "overlaps");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}",
         8, "tensor 'b': data overlaps");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "duplicate key 'a'");
  refuse("{\"w\x1b[31m\":1}", 0, "control character");
  char deep[4000];
  size_t n = 0;
  n += (size_t)sprintf(deep, "{\"w\":");
  memset(deep + n, '[', 1000);
  n += 1000;
  deep[n++] = '}';
  deep[n] = 0;
  refuse(deep, 0, "nested deeper");
}

static void refuse_file(const void *bytes, size_t size, const char *why) {
  moe_st_file *file = NULL;
  const char *path = check_path("bad.safetensors");
  check_write(path, bytes, size);
  memset(&error, 0, sizeof(error));
  CHECK_EQ(moe_st_open(path, 0, &file, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "bad.safetensors: ");
  CHECK_HAS(error.text, why);
  CHECK(!file);
  moe_st_close(file);
  // From memory the same.
  CHECK_EQ(moe_st_parse(bytes, size, "x", &file, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, why);
}

static void test_length_prefix(void) {
  refuse_file("", 0, "too short for a safetensors file");
  refuse_file("\2\0\0\0\0\0\0", 7, "7 bytes long, too short");
  refuse_file("\0\0\0\0\0\0\0\0", 8, "header is empty");
  refuse_file("\3\0\0\0\0\0\0\0{}", 10, "header of 3 bytes, but only 2 follow");
  refuse_file("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10,
              "header of 18446744073709551615 bytes, expected at most");
  refuse_file("\xf8\xff\xff\xff\xff\xff\xff\xff{}", 10, "expected at most");
  refuse_file("\1\xe1\xf5\5\0\0\0\0{}", 10, "header of 100000001 bytes");
  refuse_file("\0\xe1\xf5\5\0\0\0\0{}", 10, "but only 2 follow");
  refuse_file("version https://git-lfs.github.com/spec/v1\n", 43, "git-lfs");
  refuse_file("PK\3\4xxxxxxxxxxxx", 16, "zip or PyTorch");
  refuse_file("GGUF\3\0\0\0\7\7\7\7", 12, "a GGUF file?");
  refuse_file("\x80\2}q\0(X\1\0\0\0", 11, "a pickle?");
}

static void test_kinds(void) {
  moe_st_file *file = NULL;
  CHECK_EQ(moe_st_open(check_folder, 0, &file, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "is a directory, expected a regular file");
  CHECK_EQ(moe_st_open(check_path("none"), 0, &file, &error), MOE_RT_NOT_FOUND);
  CHECK_EQ(moe_st_open("/dev/zero", 0, &file, &error), MOE_RT_BAD_FILE);
  REQUIRE(mkfifo(check_path("fifo"), 0600) == 0);
  CHECK_EQ(moe_st_open(check_path("fifo"), 0, &file, &error), MOE_RT_BAD_FILE);
  REQUIRE(symlink("nowhere", check_path("dangling")) == 0);
  CHECK_EQ(moe_st_open(check_path("dangling"), 0, &file, &error),
           MOE_RT_NOT_FOUND);
  REQUIRE(symlink("circle", check_path("circle")) == 0);
  CHECK_EQ(moe_st_open(check_path("circle"), 0, &file, &error), MOE_RT_IO);
  // A sparse giant takes no memory.
  check_write(check_path("sparse"), "\2\0\0\0\0\0\0\0{}", 10);
  REQUIRE(truncate(check_path("sparse"), (off_t)1 << 40) == 0);
  CHECK_EQ(moe_st_open(check_path("sparse"), 0, &file, &error),
           MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "belong to no tensor");
  CHECK(!file);
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static int count_files(void) {
  DIR *directory = opendir(check_folder);
  REQUIRE(directory != NULL);
  int n = 0;
  struct dirent *entry;
  while ((entry = readdir(directory)))
    n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
  closedir(directory);
  return n;
}

static void test_write(void) {
  float a[6] = {1, 2, 3, 4, 5, 6};
  int64_t ids[2] = {-1, 7}, shape[2] = {2, 3}, none[2] = {0, 5};
  unsigned char odd[3] = {9, 8, 7};
  int64_t two = 2, three = 3;
  moe_st_entry entries[] = {
      {"z.weight", "F32", 2, shape, a},          {"odd", "U8", 1, &three, odd},
      {"ids \"\n\xc3\xa9", "I64", 1, &two, ids}, {"scalar", "F32", 0, NULL, a},
      {"empty", "BF16", 2, none, NULL},
  };
  const char *metadata[] = {"format", "pt", "note", "a \"b\""};
  const char *path = check_path("out.safetensors");
  REQUIRE(moe_st_write(path, entries, 5, metadata, 2, &error) == MOE_RT_OK);
  moe_st_file *file;
  REQUIRE(moe_st_open(path, 0, &file, &error) == MOE_RT_OK);
  CHECK_EQ(moe_st_count(file), 5);
  for (size_t i = 0; i < 5; i++) {
    const moe_st_tensor *t = moe_st_at(file, i);
    CHECK(!strcmp(t->name, entries[i].name));
    CHECK(!strcmp(t->dtype, entries[i].dtype));
    CHECK_EQ(t->rank, entries[i].rank);
    for (int32_t d = 0; d < t->rank; d++)
      CHECK_EQ(t->shape[d], entries[i].shape[d]);
    if (t->size_bytes)
      CHECK(!memcmp(t->data, entries[i].data, t->size_bytes));
  }
  CHECK_EQ((uintptr_t)moe_st_at(file, 0)->data % 8, 0);
  CHECK(
      moe_json_equals(moe_json_find(moe_st_metadata(file), "note"), "a \"b\""));
  CHECK_EQ(moe_st_unchanged(file, &error), MOE_RT_OK);
  // Headers alone: the same, without data.
  moe_st_file *headers;
  REQUIRE(moe_st_open(path, MOE_ST_HEADERS_ONLY, &headers, &error) ==
          MOE_RT_OK);
  CHECK_EQ(moe_st_find(headers, "odd")->size_bytes, 3);
  CHECK(!moe_st_find(headers, "odd")->data);
  moe_st_close(headers);

  // Equal entries, equal bytes.
  size_t size, again_size;
  unsigned char *bytes = check_read(path, &size);
  const char *again = check_path("again.safetensors");
  REQUIRE(moe_st_write(again, entries, 5, metadata, 2, &error) == MOE_RT_OK);
  unsigned char *again_bytes = check_read(again, &again_size);
  CHECK(size == again_size && !memcmp(bytes, again_bytes, size));

  // Every shorter file and every flipped bit of the header is refused or reads
  // without harm.
  for (size_t n = 0; n < size; n++) {
    moe_st_file *cut = NULL;
    CHECK_EQ(moe_st_parse(bytes, n, "cut", &cut, &error), MOE_RT_BAD_FILE);
  }
  for (size_t bit = 0; bit < 8 * (size - 60); bit++) {
    moe_st_file *flipped = NULL;
    again_bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    if (!moe_st_parse(again_bytes, size, "flip", &flipped, &error))
      for (size_t i = 0; i < moe_st_count(flipped); i++) {
        const moe_st_tensor *t = moe_st_at(flipped, i);
        if (t->size_bytes)
          CHECK((const unsigned char *)t->data >= again_bytes &&
                (const unsigned char *)t->data + t->size_bytes <=
                    again_bytes + size);
      }
    moe_st_close(flipped);
    again_bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
  }
  free(again_bytes);

  // A file that was cut short behind our back is noticed.
  REQUIRE(truncate(path, (off_t)size - 1) == 0);
  CHECK_EQ(moe_st_unchanged(file, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "was changed while it was being read");
  moe_st_close(file);
  free(bytes);
}

// However long the header is, the data starts where any type may.
static void test_write_alignment(void) {
  double value = 1;
  char name[9] = "";
  for (int n = 0; n < 8; n++) {
    name[n] = 'n';
    moe_st_entry entry = {name, "F64", 0, NULL, &value};
    const char *path = check_path("aligned");
    REQUIRE(moe_st_write(path, &entry, 1, NULL, 0, &error) == MOE_RT_OK);
    size_t size;
    unsigned char *bytes = check_read(path, &size);
    CHECK_EQ(size % 8, 0);
    free(bytes);
  }
}

static void test_write_refused(void) {
  const char *path = check_path("kept.safetensors");
  check_write(path, "old", 3);
  int files = count_files();
  float a[4] = {0};
  int64_t four = 4, minus = -1, huge[3] = {INT64_MAX, INT64_MAX, 2};
  moe_st_entry good = {"a", "F32", 1, &four, a};
  moe_st_entry pair[2] = {good, good};
#define REFUSE_WRITE(entry, why)                                               \
  do {                                                                         \
    pair[1] = (moe_st_entry)entry;                                             \
    CHECK_EQ(moe_st_write(path, pair, 2, NULL, 0, &error),                     \
             MOE_RT_INVALID_ARGUMENT);                                         \
    CHECK_HAS(error.text, why);                                                \
  } while (0)
#define ENTRY(...) {__VA_ARGS__}
  REFUSE_WRITE(ENTRY("a", "F32", 1, &four, a), "two tensors are named 'a'");
  REFUSE_WRITE(ENTRY("", "F32", 1, &four, a), "cannot name a tensor");
  REFUSE_WRITE(ENTRY("\xff", "F32", 1, &four, a), "cannot name a tensor");
  REFUSE_WRITE(ENTRY("__metadata__", "F32", 1, &four, a), "cannot name");
  REFUSE_WRITE(ENTRY("b", "Q9", 1, &four, a), "unknown dtype 'Q9'");
  REFUSE_WRITE(ENTRY("b", "F32", 9, &four, a), "rank is 9");
  REFUSE_WRITE(ENTRY("b", "F32", -1, &four, a), "rank is -1");
  REFUSE_WRITE(ENTRY("b", "F32", 1, &minus, a), "size 0 is -1");
  REFUSE_WRITE(ENTRY("b", "F32", 3, huge, a), "overflows");
  CHECK_EQ(moe_st_write(check_path("no/such/x"), &good, 1, NULL, 0, &error),
           MOE_RT_NOT_FOUND);
  CHECK_HAS(error.text, "no/such/x: cannot create");
  CHECK_EQ(moe_st_write("/dev/full", &good, 1, NULL, 0, &error), MOE_RT_IO);
  CHECK_HAS(error.text, "/dev/full: cannot write: No space left");
  CHECK_EQ(moe_st_write("/dev/null", &good, 1, NULL, 0, &error), MOE_RT_OK);
  struct stat null;
  CHECK(!stat("/dev/null", &null) && S_ISCHR(null.st_mode));
  // A pipe that nobody reads.
  REQUIRE(mkfifo(check_path("out"), 0600) == 0);
  CHECK_EQ(moe_st_write(check_path("out"), &good, 1, NULL, 0, &error),
           MOE_RT_IO);
  CHECK_HAS(error.text, "out: cannot open");
  REQUIRE(unlink(check_path("out")) == 0);
  CHECK_EQ(moe_st_write(check_folder, &good, 1, NULL, 0, &error), MOE_RT_IO);
  CHECK_HAS(error.text, "is not a regular file, will not be replaced");

  // No room: an error, the old file, nothing beside it.
  struct rlimit before, small = {50, 50};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  small.rlim_max = before.rlim_max;
  signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  moe_rt_status status = moe_st_write(path, &good, 1, NULL, 0, &error);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK_EQ(status, MOE_RT_IO);
  CHECK_HAS(error.text, "kept.safetensors: cannot write");
  size_t size;
  unsigned char *bytes = check_read(path, &size);
  CHECK(size == 3 && !memcmp(bytes, "old", 3));
  free(bytes);
  CHECK_EQ(count_files(), files);
  CHECK_EQ(moe_st_write(path, &good, 1, NULL, 0, &error), MOE_RT_OK);
  CHECK_EQ(count_files(), files);
  struct stat st;
  REQUIRE(stat(path, &st) == 0);
  mode_t mask = umask(0);
  umask(mask);
  CHECK_EQ(st.st_mode & 0777, 0666 & ~mask);
}

//===----------------------------------------------------------------------===//
// Checkpoints
//===----------------------------------------------------------------------===//

static void write_shard(const char *name, const char *tensor, float value) {
  float data[2] = {value, value};
  int64_t two = 2;
  moe_st_entry entries[2] = {{tensor, "F32", 1, &two, data},
                             {"extra", "F32", 1, &two, data}};
  REQUIRE(moe_st_write(check_path(name), entries, 2, NULL, 0, &error) ==
          MOE_RT_OK);
}

static void write_index(const char *text) {
  check_write(check_path("model.safetensors.index.json"), text, strlen(text));
}

static void refuse_index(const char *text, moe_rt_status status,
                         const char *why) {
  moe_checkpoint *c = NULL;
  write_index(text);
  memset(&error, 0, sizeof(error));
  CHECK_EQ(moe_checkpoint_open(check_folder, 0, &c, &error), status);
  CHECK_HAS(error.text, why);
  CHECK(!c);
  moe_checkpoint_close(c);
}

#define MAP(rest) "{\"weight_map\":{" rest "}}"

static void test_checkpoint(void) {
  moe_checkpoint *c = NULL;
  CHECK_EQ(moe_checkpoint_open(check_folder, 0, &c, &error), MOE_RT_NOT_FOUND);
  CHECK_HAS(error.text, "has neither model.safetensors nor");
  CHECK_EQ(moe_checkpoint_open(check_path("gone"), 0, &c, &error),
           MOE_RT_NOT_FOUND);
  write_shard("one.safetensors", "a", 1);
  write_shard("two.safetensors", "b", 2);
  write_index("{\"metadata\":{\"total_size\":99999999999999},\"weight_map\":{"
              "\"b\":\"two.safetensors\",\"a\":\"one.safetensors\","
              "\"extra\":\"./two.safetensors\"}}");
  REQUIRE(moe_checkpoint_open(check_folder, 0, &c, &error) == MOE_RT_OK);
  CHECK_EQ(moe_checkpoint_count(c), 3);
  CHECK(!strcmp(moe_checkpoint_at(c, 0)->name, "b"));
  CHECK(!moe_checkpoint_at(c, 3));
  const moe_st_file *file = NULL;
  const moe_st_tensor *t = moe_checkpoint_find(c, "a", &file);
  REQUIRE(t && file);
  CHECK(*(const float *)t->data == 1);
  CHECK_HAS(moe_st_path(file), "one.safetensors");
  // In both files: the index decides.
  CHECK(*(const float *)moe_checkpoint_find(c, "extra", NULL)->data == 2);
  CHECK(!moe_checkpoint_find(c, "c", NULL));
  CHECK_EQ(moe_checkpoint_unchanged(c, &error), MOE_RT_OK);
  REQUIRE(truncate(check_path("two.safetensors"), 8) == 0);
  CHECK_EQ(moe_checkpoint_unchanged(c, &error), MOE_RT_BAD_FILE);
  CHECK(!strcmp(moe_checkpoint_path(c), check_folder));
  moe_checkpoint_close(c);
  moe_checkpoint_close(NULL);
  CHECK_EQ(moe_checkpoint_open(check_folder, 0, &c, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "two.safetensors: ");

  // The index itself, and one file, may be named.
  write_index(MAP("\"a\":\"one.safetensors\""));
  REQUIRE(moe_checkpoint_open(check_path("model.safetensors.index.json"),
                              MOE_ST_HEADERS_ONLY, &c, &error) == MOE_RT_OK);
  CHECK(!moe_checkpoint_find(c, "a", NULL)->data);
  moe_checkpoint_close(c);
  REQUIRE(moe_checkpoint_open(check_path("one.safetensors"), 0, &c, &error) ==
          MOE_RT_OK);
  CHECK_EQ(moe_checkpoint_count(c), 2);
  CHECK(moe_checkpoint_find(c, "extra", &file) == moe_checkpoint_at(c, 1));
  moe_checkpoint_close(c);
  char slash[80];
  snprintf(slash, sizeof(slash), "%s/", check_folder);
  REQUIRE(moe_checkpoint_open(slash, 0, &c, &error) == MOE_RT_OK);
  moe_checkpoint_close(c);

  write_index(MAP(""));
  REQUIRE(moe_checkpoint_open(check_folder, 0, &c, &error) == MOE_RT_OK);
  CHECK_EQ(moe_checkpoint_count(c), 0);
  CHECK(!moe_checkpoint_find(c, "a", NULL));
  moe_checkpoint_close(c);

  refuse_index("", MOE_RT_BAD_FILE, "expected a JSON value");
  refuse_index("[]", MOE_RT_BAD_FILE, "'weight_map' is nothing");
  refuse_index("{\"weight_map\":[]}", MOE_RT_BAD_FILE, "is array");
  refuse_index(MAP("\"a\":1"), MOE_RT_BAD_FILE, "'a' is number");
  refuse_index(MAP("\"a\":\"\""), MOE_RT_BAD_FILE, "is empty");
  refuse_index(MAP("\"a\":\"x\\u0000\""), MOE_RT_BAD_FILE, "holds a NUL");
  refuse_index(MAP("\"a\":\"/etc/passwd\""), MOE_RT_BAD_FILE, "is absolute");
  refuse_index(MAP("\"a\":\"..\""), MOE_RT_BAD_FILE, "leaves the directory");
  refuse_index(MAP("\"a\":\"../one.safetensors\""), MOE_RT_BAD_FILE, "leaves");
  refuse_index(MAP("\"a\":\"x/../one.safetensors\""), MOE_RT_BAD_FILE,
               "leaves");
  refuse_index(MAP("\"a\":\"x/..\""), MOE_RT_BAD_FILE, "leaves");
  refuse_index(MAP("\"a\":\"https://x/y\""), MOE_RT_BAD_FILE, "is a URL");
  refuse_index(MAP("\"a\":\"gone.safetensors\""), MOE_RT_NOT_FOUND,
               "gone.safetensors: cannot open");
  refuse_index(MAP("\"x\":\"one.safetensors\""), MOE_RT_BAD_FILE,
               "tensor 'x' is missing, but");
  refuse_index(MAP("\"a\\u0000\":\"one.safetensors\""), MOE_RT_BAD_FILE,
               "is missing, but");
  // All names are checked before any file is opened.
  refuse_index(MAP("\"a\":\"gone.safetensors\",\"b\":\"/x\""), MOE_RT_BAD_FILE,
               "is absolute");
  // A single file wins; a dangling link is an error, not an absence.
  write_index(MAP("\"a\":\"one.safetensors\""));
  write_shard("model.safetensors", "single", 3);
  REQUIRE(moe_checkpoint_open(check_folder, 0, &c, &error) == MOE_RT_OK);
  CHECK(moe_checkpoint_find(c, "single", NULL) != NULL);
  moe_checkpoint_close(c);
  REQUIRE(unlink(check_path("model.safetensors")) == 0);
  REQUIRE(symlink("blobs/gone", check_path("model.safetensors")) == 0);
  CHECK_EQ(moe_checkpoint_open(check_folder, 0, &c, &error), MOE_RT_NOT_FOUND);
  CHECK_HAS(error.text, "model.safetensors: cannot open");
}

// One tensor per shard: no more open files than a process may have.
static void test_many_shards(void) {
  enum { kShards = 300 };
  struct rlimit before, small;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  small = before;
  small.rlim_cur = 64;
  char *text = malloc(kShards * 64), *at = text;
  at += sprintf(at, "{\"weight_map\":{");
  for (int i = 0; i < kShards; i++) {
    char shard[32], tensor[32];
    snprintf(shard, sizeof(shard), "s%d.safetensors", i);
    snprintf(tensor, sizeof(tensor), "t%d", i);
    write_shard(shard, tensor, (float)i);
    at += sprintf(at, "%s\"%s\":\"%s\"", i ? "," : "", tensor, shard);
  }
  sprintf(at, "}}");
  unlink(check_path("model.safetensors"));
  write_index(text);
  free(text);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &small) == 0);
  moe_checkpoint *c = NULL;
  CHECK_EQ(moe_checkpoint_open(check_folder, 0, &c, &error), MOE_RT_OK);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(c != NULL);
  CHECK(*(const float *)moe_checkpoint_find(c, "t77", NULL)->data == 77);
  moe_checkpoint_close(c);
}

int main(void) {
  check_make_folder();
  test_contents();
  test_accepted();
  test_refused();
  test_length_prefix();
  test_kinds();
  test_write();
  test_write_alignment();
  test_write_refused();
  check_remove_folder();
  check_make_folder();
  test_checkpoint();
  test_many_shards();
  check_remove_folder();
  return check_finish("test_safetensors");
}
