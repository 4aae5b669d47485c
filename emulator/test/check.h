// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Checks of the emulator's tests.
#ifndef MOE_EMULATOR_TEST_CHECK_H
#define MOE_EMULATOR_TEST_CHECK_H

#include <cstdint>
#include <cstdio>
#include <string>

inline int checksPassed, checksFailed;

inline bool noteCheck(bool good, const char *file, int line, const char *text) {
  if (good) {
    ++checksPassed;
    return true;
  }
  ++checksFailed;
  std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
  return false;
}

inline bool checkEqual(long long found, long long expected, const char *file,
                       int line, const char *text) {
  if (noteCheck(found == expected, file, line, text))
    return true;
  std::fprintf(stderr, "  found %lld, expected %lld\n", found, expected);
  return false;
}

inline bool checkHas(const std::string &text, const std::string &part,
                     const char *file, int line) {
  if (noteCheck(text.find(part) != std::string::npos, file, line, part.c_str()))
    return true;
  std::fprintf(stderr, "  not in: %s\n", text.c_str());
  return false;
}

#define CHECK(condition)                                                       \
  noteCheck(!!(condition), __FILE__, __LINE__, #condition)
#define CHECK_EQ(found, expected)                                              \
  checkEqual((long long)(found), (long long)(expected), __FILE__, __LINE__,    \
             #found " == " #expected)
#define CHECK_HAS(text, part) checkHas((text), (part), __FILE__, __LINE__)

inline int finishChecks(const char *name) {
  std::printf("%s: %d passed, %d failed\n", name, checksPassed, checksFailed);
  return checksFailed != 0;
}

/// xorshift64*: the same numbers everywhere.
struct Random {
  uint64_t state;
  explicit Random(uint64_t seed) : state(seed * 2 + 1) {}
  uint32_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return uint32_t(state * 0x2545f4914f6cdd1dull >> 32);
  }
  uint32_t below(uint32_t n) { return next() % n; }
  /// Uniform in [-1, 1).
  float uniform() { return float(int32_t(next())) * 0x1p-31f; }
};

#endif // MOE_EMULATOR_TEST_CHECK_H
