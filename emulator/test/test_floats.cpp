//===- test_floats.cpp - Floating point instructions ----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Sums, products and conversions against integers: a number is taken apart, the
// result is formed exactly (with a sticky bit) and rounded once.
//===----------------------------------------------------------------------===//
#include "kernel.h"
#include <cmath>

using namespace moe::emu;
using u128 = unsigned __int128;
using F = uint64_t;

static Random rng(11);

namespace {
struct Format {
  const char *name;
  unsigned bits, fraction; // stored bits of the fraction
  int bias;
  uint64_t nan; // the canonical one
};
const Format f16 = {"f16", 16, 10, 15, 0x7fff},
             bf16 = {"bf16", 16, 7, 127, 0x7fff},
             f32 = {"f32", 32, 23, 127, 0x7fffffff},
             f64 = {"f64", 64, 52, 1023, 0x7fffffffffffffff};
enum Rounding { Nearest, Zero, Down, Up };

/// (-1)^negative * mantissa * 2^exponent; sticky: a little more than that.
struct Exact {
  bool negative = false, sticky = false;
  u128 mantissa = 0;
  int exponent = 0;
};
} // namespace

static uint64_t maskOf(const Format &f) {
  return f.bits == 64 ? ~uint64_t(0) : (uint64_t(1) << f.bits) - 1;
}
static uint64_t infinity(const Format &f) {
  return (((uint64_t(1) << (f.bits - 1 - f.fraction)) - 1) << f.fraction);
}
static uint64_t signBit(const Format &f) { return uint64_t(1) << (f.bits - 1); }
static bool isNaN(const Format &f, uint64_t x) {
  return (x & (signBit(f) - 1)) > infinity(f);
}
static bool isInfinite(const Format &f, uint64_t x) {
  return (x & (signBit(f) - 1)) == infinity(f);
}
static Exact unpack(const Format &f, uint64_t x) {
  Exact e;
  e.negative = x & signBit(f);
  uint64_t exponent = (x & (signBit(f) - 1)) >> f.fraction;
  e.mantissa = x & ((uint64_t(1) << f.fraction) - 1);
  if (exponent)
    e.mantissa |= uint64_t(1) << f.fraction;
  e.exponent = int(exponent ? exponent : 1) - f.bias - int(f.fraction);
  return e;
}
static Exact multiply(const Exact &a, const Exact &b) {
  Exact e;
  e.negative = a.negative != b.negative;
  e.mantissa = a.mantissa * b.mantissa;
  e.exponent = a.exponent + b.exponent;
  return e;
}
/// Where both are zero, or cancel, the sign follows IEEE 754, 6.3.
static Exact add(Exact a, Exact b, Rounding mode) {
  if (!a.mantissa || !b.mantissa) {
    if (a.mantissa || b.mantissa)
      return a.mantissa ? a : b;
    a.negative = a.negative == b.negative ? a.negative : mode == Down;
    return a;
  }
  // The one with the larger leading bit goes to the top of 120 bits.
  auto top = [](const Exact &e) {
    int n = e.exponent - 1;
    for (u128 m = e.mantissa; m; m >>= 1)
      ++n;
    return n;
  };
  if (top(a) < top(b))
    std::swap(a, b);
  while (!(a.mantissa >> 119)) {
    a.mantissa <<= 1;
    --a.exponent;
  }
  while (b.exponent > a.exponent) {
    b.mantissa <<= 1;
    --b.exponent;
  }
  bool sticky = false;
  while (b.exponent < a.exponent) {
    sticky |= b.mantissa & 1;
    b.mantissa >>= 1;
    ++b.exponent;
  }
  Exact e;
  e.exponent = a.exponent;
  if (a.negative == b.negative) {
    e.negative = a.negative;
    e.mantissa = a.mantissa + b.mantissa;
    e.sticky = sticky;
    return e;
  }
  bool swap = a.mantissa < b.mantissa;
  e.negative = swap ? b.negative : a.negative;
  e.mantissa = swap ? b.mantissa - a.mantissa : a.mantissa - b.mantissa;
  if (sticky) { // b was a little larger
    e.mantissa -= 1;
    e.sticky = true;
  }
  if (!e.mantissa && !e.sticky)
    e.negative = mode == Down;
  return e;
}
static uint64_t pack(const Format &f, Exact e, Rounding mode) {
  uint64_t sign = e.negative ? signBit(f) : 0;
  if (!e.mantissa && !e.sticky)
    return sign;
  // Two bits more than the fraction has, and stickiness below.
  int least = 1 - f.bias - int(f.fraction) - 2;
  while (e.mantissa >> (f.fraction + 3) || e.exponent < least) {
    e.sticky |= e.mantissa & 1;
    e.mantissa >>= 1;
    ++e.exponent;
  }
  while (!(e.mantissa >> (f.fraction + 2)) && e.exponent > least) {
    e.mantissa <<= 1;
    --e.exponent;
  }
  unsigned low = unsigned(e.mantissa & 3);
  bool inexact = low || e.sticky;
  uint64_t m = uint64_t(e.mantissa >> 2);
  bool up = mode == Nearest ? low > 2 || (low == 2 && (e.sticky || (m & 1)))
            : mode == Zero  ? false
            : mode == Down  ? e.negative && inexact
                            : !e.negative && inexact;
  m += up;
  int exponent = e.exponent + 2;
  if (m >> (f.fraction + 1)) {
    m >>= 1;
    ++exponent;
  }
  int biased = exponent + f.bias + int(f.fraction);
  if (!(m >> f.fraction))
    return sign | m;
  if (uint64_t(biased) >= infinity(f) >> f.fraction) {
    bool saturates = mode == Zero || (mode == Down && !e.negative) ||
                     (mode == Up && e.negative);
    return sign | (infinity(f) - saturates);
  }
  return sign | uint64_t(biased) << f.fraction |
         (m & ((uint64_t(1) << f.fraction) - 1));
}

/// a * b + c, rounded once.
static uint64_t fma(const Format &f, uint64_t a, uint64_t b, uint64_t c,
                    Rounding mode = Nearest) {
  a &= maskOf(f), b &= maskOf(f), c &= maskOf(f);
  if (isNaN(f, a) || isNaN(f, b) || isNaN(f, c))
    return f.nan;
  Exact x = unpack(f, a), y = unpack(f, b), z = unpack(f, c);
  bool infinite = isInfinite(f, a) || isInfinite(f, b);
  if (infinite && (!x.mantissa || !y.mantissa))
    return f.nan;
  if (infinite) {
    bool negative = x.negative != y.negative;
    if (isInfinite(f, c) && z.negative != negative)
      return f.nan;
    return infinity(f) | (negative ? signBit(f) : 0);
  }
  if (isInfinite(f, c))
    return c;
  return pack(f, add(multiply(x, y), z, mode), mode);
}
static uint64_t oneOf(const Format &f) {
  return uint64_t(f.bias) << f.fraction;
}
static uint64_t sum(const Format &f, F a, F b, Rounding mode = Nearest) {
  return fma(f, a, oneOf(f), b, mode);
}
static uint64_t product(const Format &f, F a, F b, Rounding mode = Nearest) {
  a &= maskOf(f), b &= maskOf(f);
  if (isNaN(f, a) || isNaN(f, b))
    return f.nan;
  Exact x = unpack(f, a), y = unpack(f, b);
  if (isInfinite(f, a) || isInfinite(f, b))
    return !x.mantissa || !y.mantissa
               ? f.nan
               : infinity(f) | (x.negative != y.negative ? signBit(f) : 0);
  return pack(f, multiply(x, y), mode);
}

static std::vector<uint64_t> edges(const Format &f) {
  uint64_t s = signBit(f), one = oneOf(f), inf = infinity(f);
  uint64_t least = uint64_t(1) << f.fraction;
  std::vector<uint64_t> e = {
      0,           1,
      least - 1,   least,
      least + 1,   one,
      one + 1,     one - 1,
      one + least, inf - 1,
      inf,         inf + 1,
      f.nan,       one | least / 2,
      3,           uint64_t(f.bias + int(f.fraction)) << f.fraction};
  for (size_t n = 0, count = e.size(); n < count; ++n)
    e.push_back(e[n] | s);
  return e;
}
static uint64_t random64() { return uint64_t(rng.next()) << 32 | rng.next(); }
/// Edges; numbers of all sizes; numbers near one another.
static std::vector<Values> rowsOf(const Format &f) {
  std::vector<Values> rows;
  std::vector<uint64_t> e = edges(f);
  uint32_t count = uint32_t(e.size());
  for (uint64_t a : e)
    for (uint64_t b : e)
      rows.push_back({a, b, e[rng.below(count)], 0});
  for (int n = 0; n < 4000; ++n)
    rows.push_back({random64(), random64(), random64(), 0});
  for (int n = 0; n < 4000; ++n) {
    uint64_t v[3];
    for (uint64_t &x : v) // exponents from 2^-24 to 2^23
      x = (random64() & (((uint64_t(1) << f.fraction) - 1) | signBit(f))) |
          uint64_t(f.bias - (f.bias > 24 ? 24 : 14) +
                   int(rng.below(f.bias > 24 ? 48 : 28)))
              << f.fraction;
    // Few bits of the product make ties likely.
    if (n & 1)
      v[0] &= ~((uint64_t(1) << f.fraction / 2) - 1);
    rows.push_back({v[0], v[1], v[2], 0});
  }
  // A tie that something tiny breaks: it is lost where the sum is rounded
  // twice.
  for (int n = 0; n < 2000; ++n) {
    uint64_t odd = oneOf(f) | (random64() & ((uint64_t(1) << f.fraction) - 1));
    uint64_t tiny = uint64_t(1 + rng.below(unsigned(f.bias - 8)))
                        << f.fraction |
                    (rng.next() & 1 ? signBit(f) : 0);
    rows.push_back({odd, oneOf(f) | uint64_t(1) << (f.fraction - 1), tiny, 0});
  }
  return rows;
}

static void testArithmetic() {
  for (const Format *format : {&f16, &bf16, &f32, &f64}) {
    const Format &f = *format;
    std::vector<Values> rows = rowsOf(f);
    std::string r = f.bits == 16 ? "h" : f.bits == 32 ? "r" : "l";
    std::string r3 = r + r + r, t = std::string(".rn.") + f.name;
    checkOp("add" + t + " %d, %a, %b", r3, rows,
            [&](F a, F b, F, F) { return sum(f, a, b); });
    checkOp("sub" + t + " %d, %a, %b", r3, rows, [&](F a, F b, F, F) {
      b &= maskOf(f);
      return isNaN(f, b) ? f.nan : sum(f, a, b ^ signBit(f));
    });
    checkOp("mul" + t + " %d, %a, %b", r3, rows,
            [&](F a, F b, F, F) { return product(f, a, b); });
    checkOp("fma" + t + " %d, %a, %b, %c", r3 + r, rows,
            [&](F a, F b, F c, F) { return fma(f, a, b, c); });
    if (f.bits == 16)
      checkOp("fma.rn.relu." + std::string(f.name) + " %d, %a, %b, %c", r3 + r,
              rows, [&](F a, F b, F c, F) {
                uint64_t x = fma(f, a, b, c);
                return x & signBit(f) ? 0 : x;
              });
    // Minima and maxima: -0 < +0, a number before NaN, or NaN before all.
    for (bool isMax : {false, true})
      for (bool nan : {false, true}) {
        if (nan && f.bits == 64)
          continue;
        checkOp(std::string(isMax ? "max" : "min") + (nan ? ".NaN." : ".") +
                    f.name + " %d, %a, %b",
                r3, rows, [&](F a, F b, F, F) -> uint64_t {
                  a &= maskOf(f), b &= maskOf(f);
                  if (isNaN(f, a) || isNaN(f, b))
                    return nan || (isNaN(f, a) && isNaN(f, b)) ? f.nan
                           : isNaN(f, a)                       ? b
                                                               : a;
                  auto order = [&](uint64_t x) { // as signed integers
                    return x & signBit(f) ? -int64_t(x & (signBit(f) - 1)) - 1
                                          : int64_t(x);
                  };
                  return (order(a) < order(b)) == isMax ? b : a;
                });
      }
    checkOp("neg." + std::string(f.name) + " %d, %a", r + r, rows,
            [&](F a, F, F, F) { return (a & maskOf(f)) ^ signBit(f); });
    checkOp("abs." + std::string(f.name) + " %d, %a", r + r, rows,
            [&](F a, F, F, F) { return a & (signBit(f) - 1); });
    // Comparisons: ordered ones are false for NaN, those with u true.
    static const struct {
      const char *name;
      bool less, equal, greater, unordered;
    } comparisons[] = {
        {"eq", 0, 1, 0, 0},  {"ne", 1, 0, 1, 0},  {"lt", 1, 0, 0, 0},
        {"le", 1, 1, 0, 0},  {"gt", 0, 0, 1, 0},  {"ge", 0, 1, 1, 0},
        {"equ", 0, 1, 0, 1}, {"neu", 1, 0, 1, 1}, {"ltu", 1, 0, 0, 1},
        {"leu", 1, 1, 0, 1}, {"gtu", 0, 0, 1, 1}, {"geu", 0, 1, 1, 1},
        {"num", 1, 1, 1, 0}, {"nan", 0, 0, 0, 1}};
    for (const auto &c : comparisons)
      checkOp(std::string("setp.") + c.name + "." + f.name + " %d, %a, %b",
              "p" + r + r, rows, [&](F a, F b, F, F) -> uint64_t {
                a &= maskOf(f), b &= maskOf(f);
                if (isNaN(f, a) || isNaN(f, b))
                  return c.unordered;
                auto order = [&](uint64_t x) {
                  int64_t size = int64_t(x & (signBit(f) - 1));
                  return x & signBit(f) ? -size : size;
                };
                return order(a) < order(b)    ? c.less
                       : order(a) == order(b) ? c.equal
                                              : c.greater;
              });
  }
  std::vector<Values> rows = rowsOf(f32);
  for (Rounding mode : {Zero, Down, Up}) {
    std::string t = mode == Zero   ? ".rz.f32 "
                    : mode == Down ? ".rm.f32 "
                                   : ".rp.f32 ";
    checkOp("add" + t + "%d, %a, %b", "rrr", rows,
            [&](F a, F b, F, F) { return sum(f32, a, b, mode); });
    checkOp("mul" + t + "%d, %a, %b", "rrr", rows,
            [&](F a, F b, F, F) { return product(f32, a, b, mode); });
    checkOp("fma" + t + "%d, %a, %b, %c", "rrrr", rows,
            [&](F a, F b, F c, F) { return fma(f32, a, b, c, mode); });
  }
  auto flush = [](uint64_t x) {
    x &= 0xffffffff;
    return x & 0x7f800000 ? x : x & 0x80000000;
  };
  checkOp("add.ftz.f32 %d, %a, %b", "rrr", rows,
          [&](F a, F b, F, F) { return flush(sum(f32, flush(a), flush(b))); });
  checkOp("mul.ftz.f32 %d, %a, %b", "rrr", rows, [&](F a, F b, F, F) {
    return flush(product(f32, flush(a), flush(b)));
  });
  checkOp("setp.eq.ftz.f32 %d, %a, %b", "prr", rows,
          [&](F a, F b, F, F) -> uint64_t {
            a = flush(a), b = flush(b);
            return !isNaN(f32, a) && !isNaN(f32, b) &&
                   (a == b || !((a | b) & 0x7fffffff));
          });
  checkOp("add.sat.f32 %d, %a, %b", "rrr", rows,
          [&](F a, F b, F, F) -> uint64_t {
            uint64_t x = sum(f32, a, b);
            return isNaN(f32, x) || x > 0x80000000     ? 0
                   : x > 0x3f800000 && x != 0x80000000 ? 0x3f800000
                                                       : x;
          });
  // Two halves at a time.
  checkOp("fma.rn.f16x2 %d, %a, %b, %c", "rrrr", rows, [](F a, F b, F c, F) {
    return fma(f16, a, b, c) | fma(f16, a >> 16, b >> 16, c >> 16) << 16;
  });
  checkOp("add.rn.bf16x2 %d, %a, %b", "rrr", rows, [](F a, F b, F, F) {
    return sum(bf16, a, b) | sum(bf16, a >> 16, b >> 16) << 16;
  });
  // Quotients and roots are IEEE's own, which the CPU has.
  checkOp("div.rn.f32 %d, %a, %b", "rrr", rows, [](F a, F b, F, F) {
    float x, y;
    memcpy(&x, &a, 4), memcpy(&y, &b, 4);
    float q = x / y;
    uint64_t bits = 0;
    memcpy(&bits, &q, 4);
    return q != q ? f32.nan : bits;
  });
  checkOp("sqrt.rn.f32 %d, %a", "rr", rows, [](F a, F, F, F) {
    float x;
    memcpy(&x, &a, 4);
    float q = std::sqrt(x);
    uint64_t bits = 0;
    memcpy(&bits, &q, 4);
    return q != q ? f32.nan : bits;
  });
}

static void testConversions() {
  static const struct {
    const char *name;
    Rounding mode;
  } modes[] = {{"rn", Nearest}, {"rz", Zero}, {"rm", Down}, {"rp", Up}};
  auto reg = [](unsigned bits) {
    return std::string(bits == 16 ? "h" : bits == 32 ? "r" : "l");
  };
  auto convert = [](const Format &to, const Format &from, uint64_t x,
                    Rounding mode) {
    x &= maskOf(from);
    if (isNaN(from, x))
      return to.nan;
    if (isInfinite(from, x))
      return infinity(to) | (x & signBit(from) ? signBit(to) : 0);
    return pack(to, unpack(from, x), mode);
  };
  // Narrower floats.
  for (auto [to, from] : {std::pair{&f16, &f32}, std::pair{&f32, &f64},
                          std::pair{&bf16, &f32}, std::pair{&f16, &f64}})
    for (const auto &m : modes) {
      if (to == &bf16 && (m.mode == Down || m.mode == Up))
        continue;
      checkOp(std::string("cvt.") + m.name + "." + to->name + "." + from->name +
                  " %d, %a",
              reg(to->bits) + reg(from->bits), rowsOf(*from),
              [&, to = to, from = from](F a, F, F, F) {
                return convert(*to, *from, a, m.mode);
              });
    }
  // Wider floats: exact.
  for (auto [to, from] : {std::pair{&f32, &f16}, std::pair{&f32, &bf16},
                          std::pair{&f64, &f32}, std::pair{&f64, &f16}})
    checkOp(std::string("cvt.") + to->name + "." + from->name + " %d, %a",
            reg(to->bits) + reg(from->bits), rowsOf(*from),
            [&, to = to, from = from](F a, F, F, F) {
              return convert(*to, *from, a, Nearest);
            });
  // Pairs: the first operand is the upper half.
  for (const Format *to : {&f16, &bf16})
    for (const char *mode : {"rn", "rz", "rn.relu"})
      checkOp(std::string("cvt.") + mode + "." + to->name + "x2.f32 %d, %a, %b",
              "rrr", rowsOf(f32), [&](F a, F b, F, F) {
                uint64_t half[2] = {b, a};
                for (uint64_t &x : half) {
                  x = convert(*to, f32, x, mode[1] == 'z' ? Zero : Nearest);
                  if (mode[2] && !isNaN(*to, x) && (x & signBit(*to)))
                    x = 0;
                }
                return half[0] | half[1] << 16;
              });
  checkOp("cvt.rna.tf32.f32 %d, %a", "rr", rowsOf(f32),
          [](F a, F, F, F) -> uint64_t {
            uint64_t x = a & 0xffffffff;
            if (isNaN(f32, x) || isInfinite(f32, x))
              return x & ~uint64_t(0x1fff);
            return (x + 0x1000) & 0xffffe000;
          });
  // To integers and back.
  for (unsigned bits : {16u, 32u, 64u})
    for (bool s : {false, true}) {
      std::string type = (s ? "s" : "u") + std::to_string(bits);
      u128 high = (u128(1) << (bits - s)) - 1;
      for (const Format *from : {&f16, &bf16, &f32, &f64})
        for (const auto &m : modes)
          checkOp(std::string("cvt.") + m.name + "i." + type + "." +
                      from->name + " %d, %a",
                  reg(bits) + reg(from->bits), rowsOf(*from),
                  [&](F a, F, F, F) -> uint64_t {
                    uint64_t keep =
                        bits == 64 ? ~uint64_t(0) : (uint64_t(1) << bits) - 1;
                    a &= maskOf(*from);
                    if (isNaN(*from, a))
                      return from->bits == 64 || bits == 64
                                 ? uint64_t(1) << (bits - 1)
                                 : 0;
                    Exact e = unpack(*from, a);
                    bool over = isInfinite(*from, a) || e.exponent > 64;
                    bool inexact = false, half = false;
                    u128 x = e.mantissa;
                    for (; !over && e.exponent > 0; --e.exponent)
                      x <<= 1;
                    for (; !over && e.exponent < 0; ++e.exponent) {
                      inexact |= half;
                      half = x & 1;
                      x >>= 1;
                    }
                    x += m.mode == Nearest ? half && (inexact || (x & 1))
                         : m.mode == Down  ? e.negative && (half || inexact)
                         : m.mode == Up    ? !e.negative && (half || inexact)
                                           : 0;
                    if (e.negative) {
                      u128 low = s ? high + 1 : 0;
                      if (over || x > low)
                        x = low;
                      return uint64_t(0 - x) & keep;
                    }
                    return uint64_t(over || x > high ? high : x);
                  });
      std::vector<Values> rows;
      for (unsigned n = 0; n < 64; ++n)
        for (int d = -2; d < 3; ++d)
          rows.push_back({(uint64_t(1) << n) + uint64_t(int64_t(d)), 0, 0, 0});
      for (int n = 0; n < 2000; ++n)
        rows.push_back({random64() >> rng.below(64), 0, 0, 0});
      for (const Format *to : {&f16, &f32, &f64})
        for (const auto &m : modes)
          checkOp(std::string("cvt.") + m.name + "." + to->name + "." + type +
                      " %d, %a",
                  reg(to->bits) + reg(bits), rows, [&](F a, F, F, F) {
                    Exact e;
                    uint64_t x =
                        bits == 64 ? a : a & ((uint64_t(1) << bits) - 1);
                    e.negative = s && (x >> (bits - 1) & 1);
                    e.mantissa = e.negative ? (u128(1) << bits) - x : u128(x);
                    return pack(*to, e, m.mode);
                  });
    }
  // To an integer that stays a float.
  checkOp("cvt.rni.f32.f32 %d, %a", "rr", rowsOf(f32), [](F a, F, F, F) {
    float x;
    memcpy(&x, &a, 4);
    float q = std::nearbyint(x);
    uint64_t bits = 0;
    memcpy(&bits, &q, 4);
    return x != x ? a & 0xffffffff : bits;
  });
}

/// The hardware's approximations are within 2^-21 of it.
static void testApproximations() {
  std::vector<Values> rows;
  for (int n = 0; n < 2000; ++n) {
    float x = rng.uniform() * 30;
    uint64_t bits = 0;
    memcpy(&bits, &x, 4);
    rows.push_back({bits, 0, 0, 0});
  }
  static const struct {
    const char *op;
    double (*exact)(double);
  } functions[] = {
      {"ex2.approx.f32", [](double x) { return std::exp2(x); }},
      {"lg2.approx.f32", [](double x) { return std::log2(x); }},
      {"rcp.approx.f32", [](double x) { return 1 / x; }},
      {"rsqrt.approx.f32", [](double x) { return 1 / std::sqrt(x); }},
      {"sin.approx.f32", [](double x) { return std::sin(x); }},
      {"cos.approx.f32", [](double x) { return std::cos(x); }},
      {"tanh.approx.f32", [](double x) { return std::tanh(x); }}};
  for (const auto &f : functions) {
    std::vector<uint64_t> found =
        evaluate(std::string(f.op) + " %d, %a", "rr", rows);
    bool good = true;
    for (size_t n = 0; n < rows.size(); ++n) {
      float x, y;
      memcpy(&x, &rows[n][0], 4), memcpy(&y, &found[n], 4);
      double want = f.exact(x);
      good &= want != want ? y != y
                           : std::fabs(y - want) <=
                                 0x1p-21 * std::fmax(std::fabs(want), 0x1p-10);
    }
    if (!CHECK(good))
      fprintf(stderr, "  %s\n", f.op);
  }
}

int main() {
  testArithmetic();
  testConversions();
  testApproximations();
  return finishChecks("test_floats");
}
