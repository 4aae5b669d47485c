//===- test_json.c - Tests of the JSON reader -----------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "check.h"
#include "json.h"
#include <locale.h>
#include <time.h>

static moe_error error;

static moe_json_document *parse_n(const char *text, size_t size) {
  // At the end of a page of its own, as it were: the sanitizer sees any read
  // behind the text.
  char *copy = malloc(size ? size : 1);
  memcpy(copy, text, size);
  moe_json_document *document = NULL;
  memset(&error, 0, sizeof(error));
  moe_rt_status status =
      moe_json_parse(copy, size, "t.json", 0, 0, &document, &error);
  CHECK((status == MOE_RT_OK) == (document != NULL));
  free(copy);
  return document;
}

static moe_json_document *parse(const char *text) {
  return parse_n(text, strlen(text));
}

static void refuse_n(const char *text, size_t size, const char *why) {
  moe_json_document *document = parse_n(text, size);
  CHECK(!document);
  CHECK_EQ(error.status, document ? 0 : MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, why);
  CHECK_HAS(error.text, "t.json: byte ");
  for (const char *p = error.text; *p; p++)
    CHECK((unsigned char)*p >= 0x20);
  moe_json_free(document);
}

static void refuse(const char *text, const char *why) {
  refuse_n(text, strlen(text), why);
}

static void test_scalars(void) {
  moe_json_document *d = parse(
      " {\"n\": null, \"t\":true,\"f\":false, \"s\":\"a\\u0000b\"}\r\n\t");
  REQUIRE(d != NULL);
  const moe_json *root = moe_json_root(d);
  CHECK_EQ(moe_json_size(root), 4);
  CHECK(moe_json_is(moe_json_find(root, "n"), MOE_JSON_NULL));
  bool b = false;
  CHECK(moe_json_bool(moe_json_find(root, "t"), &b) && b);
  CHECK(moe_json_bool(moe_json_find(root, "f"), &b) && !b);
  CHECK(!moe_json_bool(moe_json_find(root, "n"), &b));
  const char *s;
  size_t n;
  CHECK(moe_json_string(moe_json_find(root, "s"), &s, &n));
  CHECK_EQ(n, 3);
  CHECK(!memcmp(s, "a\0b", 4));
  CHECK(!moe_json_equals(moe_json_find(root, "s"), "a"));
  CHECK(!moe_json_find(root, "x"));
  CHECK(!moe_json_find(NULL, "x"));
  CHECK(!moe_json_find(moe_json_find(root, "s"), "x"));
  CHECK_EQ(moe_json_size(NULL), 0);
  CHECK(!strcmp(moe_json_kind_name(root), "object"));
  CHECK(!strcmp(moe_json_kind_name(NULL), "nothing"));
  const moe_json_member *second = moe_json_member_at(root, 1);
  CHECK(second && !strcmp(second->key, "t") && second->key_size == 1);
  CHECK_EQ(second->offset, 13);
  CHECK(!moe_json_member_at(root, 4));
  CHECK(!moe_json_at(root, 0));
  moe_json_free(d);
  moe_json_free(NULL);
}

static void test_numbers(void) {
  static const struct {
    const char *text;
    bool integer, is_i64, is_u64;
    int64_t i64;
    uint64_t u64;
    double f64;
  } cases[] = {
      {"0", 1, 1, 1, 0, 0, 0},
      {"-0", 1, 1, 1, 0, 0, 0},
      {"7", 1, 1, 1, 7, 7, 7},
      {"-7", 1, 1, 0, -7, 0, -7},
      {"9223372036854775807", 1, 1, 1, INT64_MAX, INT64_MAX, 0x1p63},
      {"9223372036854775808", 1, 0, 1, 0, (uint64_t)1 << 63, 0x1p63},
      {"-9223372036854775808", 1, 1, 0, INT64_MIN, 0, -0x1p63},
      {"-9223372036854775809", 1, 0, 0, 0, 0, -0x1p63},
      {"18446744073709551615", 1, 0, 1, 0, UINT64_MAX, 0x1p64},
      {"18446744073709551616", 1, 0, 0, 0, 0, 0x1p64},
      {"1180591620717411303424", 1, 0, 0, 0, 0, 0x1p70},
      {"1.0", 0, 1, 1, 1, 1, 1},
      {"1e3", 0, 1, 1, 1000, 1000, 1000},
      {"-2.5e1", 0, 1, 0, -25, 0, -25},
      {"1.5", 0, 0, 0, 0, 0, 1.5},
      {"1e-6", 0, 0, 0, 0, 0, 1e-6},
      {"-0.0", 0, 0, 0, 0, 0, -0.0},
      {"1E+2", 0, 1, 1, 100, 100, 100},
      {"1e19", 0, 0, 1, 0, 10000000000000000000u, 1e19},
      {"1e300", 0, 0, 0, 0, 0, 1e300},
      {"1e-400", 0, 1, 1, 0, 0, 0},
      {"0.1", 0, 0, 0, 0, 0, 0.1},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    moe_json_document *d = parse(cases[i].text);
    if (!CHECK(d != NULL))
      continue;
    const moe_json *v = moe_json_root(d);
    int64_t i64 = 99;
    uint64_t u64 = 99;
    double f64 = 99;
    CHECK_EQ(moe_json_is_integer(v), cases[i].integer);
    if (CHECK(moe_json_int64(v, &i64) == cases[i].is_i64))
      CHECK_EQ(i64, cases[i].is_i64 ? cases[i].i64 : 99);
    if (CHECK(moe_json_uint64(v, &u64) == cases[i].is_u64))
      CHECK(u64 == (cases[i].is_u64 ? cases[i].u64 : 99));
    CHECK(moe_json_double(v, &f64));
    if (!CHECK(!memcmp(&f64, &cases[i].f64, 8)))
      fprintf(stderr, "  %s read as %a\n", cases[i].text, f64);
    moe_json_free(d);
  }
}

static void test_locale(void) {
  // A decimal comma must not change what numbers mean.
  const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
  for (size_t i = 0; i < 3; i++)
    if (setlocale(LC_ALL, names[i]))
      break;
  moe_json_document *d = parse("[1.5,2.25]");
  double f;
  CHECK(d && moe_json_double(moe_json_at(moe_json_root(d), 1), &f) &&
        f == 2.25);
  moe_json_free(d);
  setlocale(LC_ALL, "C");
}

static void test_strings(void) {
  moe_json_document *d =
      parse("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u00e9\\u20AC\\ud83d\\ude00\","
            "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"\",\"\x7f\"]");
  REQUIRE(d != NULL);
  const moe_json *root = moe_json_root(d);
  CHECK(moe_json_equals(moe_json_at(root, 0), "\"\\/\b\f\n\r\t"));
  CHECK(moe_json_equals(moe_json_at(root, 1),
                        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
  CHECK(moe_json_equals(moe_json_at(root, 2),
                        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
  CHECK(moe_json_equals(moe_json_at(root, 3), ""));
  CHECK(!moe_json_at(root, 5));
  moe_json_free(d);

  refuse("\"", "without its closing");
  refuse("\"\\", "without its closing");
  refuse("\"\\\"", "without its closing");
  refuse("\"a\nb\"", "control character");
  refuse("\"a\tb\"", "control character");
  refuse_n("\"a\0b\"", 5, "control character");
  refuse("\"\\x41\"", "byte 2: expected one of");
  refuse("\"\\u12\"", "four hexadecimal digits");
  refuse("\"\\u12g4\"", "four hexadecimal digits");
  refuse("\"\\ud800\"", "without a low one");
  refuse("\"\\ud800\\n\"", "without a low one");
  refuse("\"\\ud800\\ud800\"", "without a low one");
  refuse("\"\\ud800\\u0041\"", "without a low one");
  refuse("\"\\udc00\"", "without a high one");
  // Not UTF-8: overlong, surrogate, beyond the last plane, cut short.
  refuse("\"\xc0\xaf\"", "not UTF-8");
  refuse("\"\xe0\x80\xaf\"", "not UTF-8");
  refuse("\"\xf0\x80\x80\xaf\"", "not UTF-8");
  refuse("\"\xed\xa0\x80\"", "not UTF-8");
  refuse("\"\xf4\x90\x80\x80\"", "not UTF-8");
  refuse("\"\xf5\x80\x80\x80\"", "not UTF-8");
  refuse("\"\xc3\"", "not UTF-8");
  refuse("\"\xe2\x82\"", "not UTF-8");
  refuse("\"\x80\"", "not UTF-8");
  refuse("\"\xff\"", "not UTF-8");
}

static void test_refused(void) {
  refuse("", "expected a JSON value, found the end");
  refuse("  ", "byte 2: expected a JSON value, found the end");
  refuse("\xef\xbb\xbf{}", "byte 0: expected a JSON value, found byte 0xef");
  refuse("nul", "expected a JSON value, found 'n'");
  refuse("nulls", "byte 4: expected the end, found 's'");
  refuse("True", "expected a JSON value, found 'T'");
  refuse("NaN", "expected a JSON value");
  refuse("Infinity", "expected a JSON value");
  refuse("-Infinity", "byte 1: expected a digit, found 'I'");
  refuse("+1", "expected a JSON value, found '+'");
  refuse("01", "leading zero");
  refuse("-01", "leading zero");
  refuse("00", "leading zero");
  refuse("0x10", "expected the end, found 'x'");
  refuse(".5", "expected a JSON value, found '.'");
  refuse("1.", "digit behind the decimal point, found the end");
  refuse("1.e5", "digit behind the decimal point, found 'e'");
  refuse("1e", "digit of the exponent");
  refuse("1e+", "digit of the exponent");
  refuse("-", "expected a digit, found the end");
  refuse("1e999", "beyond the range of a double");
  refuse("-1e999", "beyond the range of a double");
  refuse("1 2", "byte 2: expected the end, found '2'");
  refuse("{} {}", "expected the end");
  refuse("[1,]", "byte 3: expected a JSON value, found ']'");
  refuse("[,1]", "expected a JSON value, found ','");
  refuse("[1 2]", "expected ',' or ']', found '2'");
  refuse("[1", "expected ',' or ']', found the end");
  refuse("[", "expected a JSON value, found the end");
  refuse("]", "expected a JSON value, found ']'");
  refuse("[1}", "expected ',' or ']', found '}'");
  refuse("{", "expected a key");
  refuse("{1:2}", "expected a key in '\"', found '1'");
  refuse("{\"a\"}", "expected ':', found '}'");
  refuse("{\"a\":}", "expected a JSON value, found '}'");
  refuse("{\"a\":1,}", "byte 7: expected a key in '\"', found '}'");
  refuse("{\"a\":1]", "expected ',' or '}', found ']'");
  refuse("{\"a\" 1}", "expected ':', found '1'");
  refuse("{'a':1}", "expected a key in '\"', found '''");
  refuse("// x\n1", "expected a JSON value, found '/'");
  refuse("[1]\f", "expected the end, found byte 0x0c");
  refuse("\v1", "found byte 0x0b");
  refuse_n("1\0", 2, "expected the end, found byte 0x00");
  refuse_n("\0", 1, "found byte 0x00");
  refuse("{\"a\":1,\"b\":2,\"a\":3}", "byte 13: duplicate key 'a'");
  refuse("{\"a\":1,\"\\u0061\":3}", "byte 7: duplicate key 'a'");
  refuse("{\"k\\u001b\":1,\"k\\u001b\":1}", "duplicate key 'k\\x1b'");
  char number[1100];
  memset(number, '1', sizeof(number));
  refuse_n(number, 1025, "more than 1024 characters");
  moe_json_document *d = parse_n(number, 300);
  CHECK(d != NULL);
  moe_json_free(d);
  refuse_n(number, 400, "beyond the range of a double");
  number[1] = '.';
  refuse_n(number, 1025, "more than 1024 characters");
  d = parse_n(number, 1024);
  CHECK(d != NULL);
  moe_json_free(d);
}

static void test_depth(void) {
  enum { kDeep = 200000 };
  char *text = malloc(2 * kDeep);
  memset(text, '[', 128);
  memset(text + 128, ']', 128);
  moe_json_document *d = parse_n(text, 256);
  CHECK(d != NULL);
  const moe_json *v = d ? moe_json_root(d) : NULL;
  size_t depth = 0;
  for (; v; v = moe_json_at(v, 0))
    depth++;
  CHECK_EQ(depth, 128);
  moe_json_free(d);
  memset(text, '[', 129);
  memset(text + 129, ']', 129);
  refuse_n(text, 258, "byte 128: nested deeper than 128 levels");
  memset(text, '[', kDeep);
  memset(text + kDeep, ']', kDeep);
  refuse_n(text, 2 * kDeep, "nested deeper");
  for (int i = 0; i < kDeep / 5; i++)
    memcpy(text + 5 * i, "{\"\":[", 5);
  refuse_n(text, kDeep, "nested deeper");
  free(text);
}

// Takes well under a second; quadratic work would take minutes.
static void test_large(void) {
  enum { kKeys = 100000 };
  char *text = malloc(kKeys * 32), *at = text;
  *at++ = '{';
  for (int i = 0; i < kKeys; i++)
    at += sprintf(at, "%s\"key.%07d\":[%d]", i ? "," : "",
                  (int)((long long)i * 7919 % kKeys), i);
  *at++ = '}';
  clock_t start = clock();
  moe_json_document *d = parse_n(text, (size_t)(at - text));
  REQUIRE(d != NULL);
  const moe_json *root = moe_json_root(d);
  CHECK_EQ(moe_json_size(root), kKeys);
  int wrong = 0;
  for (int i = 0; i < kKeys; i++) {
    char key[32];
    int64_t value = -1;
    snprintf(key, sizeof(key), "key.%07d", (int)((long long)i * 7919 % kKeys));
    moe_json_int64(moe_json_at(moe_json_find(root, key), 0), &value);
    wrong += value != i;
    wrong += strcmp(moe_json_member_at(root, (size_t)i)->key, key) != 0;
  }
  CHECK_EQ(wrong, 0);
  CHECK(!moe_json_find(root, "key.0100000"));
  CHECK(!moe_json_find(root, "key"));
  moe_json_free(d);
  // The last key again.
  at[-1] = ',';
  at += sprintf(at, "\"key.%07d\":0}", (int)((long long)77 * 7919 % kKeys));
  refuse_n(text, (size_t)(at - text), "duplicate key 'key.");
  CHECK(clock() - start < 20 * CLOCKS_PER_SEC);
  free(text);
}

static void test_limits(void) {
  moe_json_document *d = NULL;
  CHECK_EQ(moe_json_parse("[1,2,3]", 7, "t.json", 6, 0, &d, &error),
           MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "7 bytes of JSON, expected at most 6");
  CHECK_EQ(moe_json_parse("[1,2,3]", 7, "t.json", 7, 3, &d, &error),
           MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "too many values");
  CHECK_EQ(moe_json_parse("[1,2,3]", 7, "t.json", 7, 4, &d, &error), MOE_RT_OK);
  moe_json_free(d);
  CHECK_EQ(moe_json_parse("{", 1, "t.json", 7, 4, &d, NULL), MOE_RT_BAD_FILE);
}

static void test_files(void) {
  moe_json_document *d = NULL;
  check_make_folder();
  CHECK_EQ(moe_json_read(check_path("none.json"), 0, &d, &error),
           MOE_RT_NOT_FOUND);
  CHECK_HAS(error.text, "none.json: cannot open");
  CHECK_EQ(moe_json_read(check_folder, 0, &d, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "is a directory");
  check_write(check_path("a.json"), "{\"x\":[]}", 8);
  CHECK_EQ(moe_json_read(check_path("a.json"), 7, &d, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "8 bytes long, expected at most 7");
  CHECK_EQ(moe_json_read(check_path("a.json"), 8, &d, &error), MOE_RT_OK);
  CHECK(moe_json_is(moe_json_find(moe_json_root(d), "x"), MOE_JSON_ARRAY));
  moe_json_free(d);
  REQUIRE(mkfifo(check_path("fifo"), 0600) == 0);
  CHECK_EQ(moe_json_read(check_path("fifo"), 0, &d, &error), MOE_RT_BAD_FILE);
  CHECK_HAS(error.text, "is not a regular file");
  check_remove_folder();
}

static void test_quote(void) {
  moe_quoted q;
  CHECK(!strcmp(moe_quote(&q, "a\x1b[1m\xc2\x85\xff\xc3\xa9", 10, false),
                "a\\x1b[1m\\xc2\\x85\\xff\xc3\xa9"));
  char text[1000];
  memset(text, 'x', sizeof(text));
  text[999] = 'y';
  moe_quote(&q, text, sizeof(text), false);
  CHECK_EQ(strlen(q.text), 203);
  CHECK_HAS(q.text, "xxx...");
  moe_quote(&q, text, sizeof(text), true);
  CHECK(strlen(q.text) <= 203 && !strncmp(q.text, "...x", 4));
  CHECK_HAS(q.text, "xy");
  for (size_t n = 190; n < 210; n++)
    CHECK(strlen(moe_quote(&q, text, n, true)) < sizeof(q.text) - 20);
  memset(text, 1, sizeof(text));
  CHECK(strlen(moe_quote(&q, text, sizeof(text), true)) < sizeof(q.text));
}

int main(void) {
  test_scalars();
  test_numbers();
  test_locale();
  test_strings();
  test_refused();
  test_depth();
  test_large();
  test_limits();
  test_files();
  test_quote();
  return check_finish("test_json");
}
