//===- cpu.c - What this CPU can run --------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>

// The compiler's __builtin_cpu_supports() would need its support library.
uint32_t moe_cpu_level(void) {
  unsigned a, b, c, d, low, high, e1, e2, e3, e4;
  if (!__get_cpuid(1, &a, &b, &c, &d))
    return 1;
  // sse3 ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt osxsave avx f16c
  const unsigned need1 = 1u << 0 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 |
                         1u << 20 | 1u << 22 | 1u << 23 | 1u << 27 | 1u << 28 |
                         1u << 29;
  if ((c & need1) != need1)
    return 1;
  // Does the system save the registers?
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
      !__get_cpuid(0x80000001u, &e1, &e2, &e3, &e4))
    return 1;
  const unsigned need7 = 1u << 3 | 1u << 5 | 1u << 8; // bmi1 avx2 bmi2
  if ((b & need7) != need7 || !(e3 & 1u << 5) /* lzcnt */)
    return 1;
  // avx512: f dq cd bw vl
  const unsigned need512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
  return (b & need512) == need512 && (low & 0xe6) == 0xe6 ? 4 : 3;
}
#else
uint32_t moe_cpu_level(void) { return 1; }
#endif
