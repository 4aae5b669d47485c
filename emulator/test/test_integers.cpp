//===- test_integers.cpp - Integer instructions ---------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Every instruction on integers against the words of the PTX ISA, in 128-bit
// arithmetic that is cut to the width.
//===----------------------------------------------------------------------===//
#include "kernel.h"

using namespace moe::emu;
using i128 = __int128;

static Random rng(7);
static uint64_t random64() { return uint64_t(rng.next()) << 32 | rng.next(); }
static uint64_t cut(i128 value, unsigned bits) {
  return bits == 64 ? uint64_t(value)
                    : uint64_t(value) & ((uint64_t(1) << bits) - 1);
}
/// The number that the low bits are.
static i128 number(uint64_t bits, unsigned width, bool isSigned) {
  uint64_t low = cut(bits, width);
  if (isSigned && (low >> (width - 1) & 1))
    return i128(low) - (i128(1) << width);
  return i128(low);
}
static std::vector<uint64_t> edges(unsigned bits) {
  uint64_t top = uint64_t(1) << (bits - 1);
  return {0,       1,       2,           3,   7,       uint64_t(-1),
          top,     top - 1, top + 1,     5,   10,      uint64_t(-2),
          top / 2, 0x55,    0xaaaa5555u, 100, top / 3, 0x123456789abcdefull};
}
/// Edges against edges, then anything; the upper bits are noise.
static std::vector<Values> rowsOf(unsigned bits) {
  std::vector<Values> rows;
  std::vector<uint64_t> e = edges(bits);
  auto noisy = [&](uint64_t x) {
    return bits == 64 ? x : cut(x, bits) | random64() << bits;
  };
  for (uint64_t a : e)
    for (uint64_t b : e)
      rows.push_back({noisy(a), noisy(b), noisy(e[rng.below(18)]),
                      noisy(e[rng.below(18)])});
  for (int n = 0; n < 500; ++n)
    rows.push_back({random64(), random64(), random64(), random64()});
  return rows;
}
static std::string reg(unsigned bits) {
  return bits == 16 ? "h" : bits == 32 ? "r" : "l";
}

static void testArithmetic() {
  for (unsigned bits : {16u, 32u, 64u}) {
    std::vector<Values> rows = rowsOf(bits);
    std::string r = reg(bits), r3 = r + r + r, r4 = r3 + r;
    for (bool s : {false, true}) {
      std::string t = (s ? ".s" : ".u") + std::to_string(bits) + " ";
      auto num = [=](uint64_t x) { return number(x, bits, s); };
      using F = uint64_t;
      checkOp("add" + t + "%d, %a, %b", r3, rows,
              [=](F a, F b, F, F) { return cut(num(a) + num(b), bits); });
      checkOp("sub" + t + "%d, %a, %b", r3, rows,
              [=](F a, F b, F, F) { return cut(num(a) - num(b), bits); });
      checkOp("mul.lo" + t + "%d, %a, %b", r3, rows, [=](F a, F b, F, F) {
        return cut(i128((unsigned __int128)(num(a)) * num(b)), bits);
      });
      auto high = [=](F a, F b) {
        // Unsigned 64 x 64 does not fit a signed 128.
        if (!s)
          return cut(
              i128((unsigned __int128)(num(a)) * (unsigned __int128)(num(b)) >>
                   bits),
              bits);
        return cut((num(a) * num(b)) >> bits, bits);
      };
      checkOp("mul.hi" + t + "%d, %a, %b", r3, rows,
              [=](F a, F b, F, F) { return high(a, b); });
      checkOp("mad.lo" + t + "%d, %a, %b, %c", r4, rows, [=](F a, F b, F c, F) {
        return cut(i128((unsigned __int128)(num(a)) * num(b) + num(c)), bits);
      });
      checkOp("mad.hi" + t + "%d, %a, %b, %c", r4, rows, [=](F a, F b, F c, F) {
        return cut(i128(high(a, b)) + num(c), bits);
      });
      if (bits < 64) {
        std::string wide = reg(2 * bits);
        checkOp("mul.wide" + t + "%d, %a, %b", wide + r + r, rows,
                [=](F a, F b, F, F) { return cut(num(a) * num(b), 2 * bits); });
        checkOp("mad.wide" + t + "%d, %a, %b, %c", wide + r + r + wide, rows,
                [=](F a, F b, F c, F) {
                  return cut(num(a) * num(b) + i128(c), 2 * bits);
                });
        checkOp(
            "mad.wide" + t + "%d, %a, %b, -3", wide + r + r, rows,
            [=](F a, F b, F, F) { return cut(num(a) * num(b) - 3, 2 * bits); });
      }
      // Division by zero is unspecified; this is what the machine leaves.
      checkOp("div" + t + "%d, %a, %b", r3, rows, [=](F a, F b, F, F) {
        return num(b) == 0 ? cut(-1, bits) : cut(num(a) / num(b), bits);
      });
      checkOp("rem" + t + "%d, %a, %b", r3, rows, [=](F a, F b, F, F) {
        return num(b) == 0 ? cut(num(a), bits) : cut(num(a) % num(b), bits);
      });
      checkOp("min" + t + "%d, %a, %b", r3, rows, [=](F a, F b, F, F) {
        return cut(num(a) < num(b) ? num(a) : num(b), bits);
      });
      checkOp("max" + t + "%d, %a, %b", r3, rows, [=](F a, F b, F, F) {
        return cut(num(a) > num(b) ? num(a) : num(b), bits);
      });
      checkOp("sad" + t + "%d, %a, %b, %c", r4, rows, [=](F a, F b, F c, F) {
        i128 d = num(a) - num(b);
        return cut((d < 0 ? -d : d) + num(c), bits);
      });
      checkOp("shr" + t + "%d, %a, %b", r + r + "r", rows, [=](F a, F b, F, F) {
        uint32_t by = uint32_t(b) > bits ? bits : uint32_t(b);
        return cut(num(a) >> by, bits);
      });
      if (s) {
        checkOp("neg" + t + "%d, %a", r + r, rows,
                [=](F a, F, F, F) { return cut(-num(a), bits); });
        checkOp("abs" + t + "%d, %a", r + r, rows, [=](F a, F, F, F) {
          return cut(num(a) < 0 ? -num(a) : num(a), bits);
        });
      }
      if (bits > 16)
        checkOp("bfind" + t + "%d, %a", "r" + r, rows, [=](F a, F, F, F) {
          i128 x = num(a);
          if (x < 0)
            x = ~x;
          uint32_t at = ~0u;
          for (unsigned n = 0; n < bits; ++n)
            if (x >> n & 1)
              at = n;
          return uint64_t(at);
        });
      if (bits > 16)
        checkOp("bfe" + t + "%d, %a, %b, %c", r + r + "rr", rows,
                [=](F a, F b, F c, F) {
                  unsigned pos = b & 255, len = c & 255, msb = bits - 1;
                  uint64_t x = cut(a, bits);
                  unsigned at = pos + len - 1 < msb ? pos + len - 1 : msb;
                  bool sign = s && len && (x >> at & 1);
                  uint64_t d = 0;
                  for (unsigned n = 0; n <= msb; ++n)
                    d |= uint64_t(n < len && pos + n <= msb ? x >> (pos + n) & 1
                                                            : sign)
                         << n;
                  return d;
                });
      // Comparisons.
      static const struct {
        const char *name;
        bool less, equal, greater;
      } comparisons[] = {{"eq", 0, 1, 0}, {"ne", 1, 0, 1}, {"lt", 1, 0, 0},
                         {"le", 1, 1, 0}, {"gt", 0, 0, 1}, {"ge", 0, 1, 1}};
      for (const auto &c : comparisons)
        checkOp(std::string("setp.") + c.name + t + "%d, %a, %b", "p" + r + r,
                rows, [=](F a, F b, F, F) -> uint64_t {
                  return num(a) < num(b)    ? c.less
                         : num(a) == num(b) ? c.equal
                                            : c.greater;
                });
    }
    std::string t = ".b" + std::to_string(bits) + " ";
    using F = uint64_t;
    checkOp("and" + t + "%d, %a, %b", r3, rows,
            [=](F a, F b, F, F) { return cut(i128(a & b), bits); });
    checkOp("or" + t + "%d, %a, %b", r3, rows,
            [=](F a, F b, F, F) { return cut(i128(a | b), bits); });
    checkOp("xor" + t + "%d, %a, %b", r3, rows,
            [=](F a, F b, F, F) { return cut(i128(a ^ b), bits); });
    checkOp("not" + t + "%d, %a", r + r, rows,
            [=](F a, F, F, F) { return cut(i128(~a), bits); });
    checkOp("cnot" + t + "%d, %a", r + r, rows,
            [=](F a, F, F, F) { return uint64_t(cut(i128(a), bits) == 0); });
    checkOp("shl" + t + "%d, %a, %b", r + r + "r", rows, [=](F a, F b, F, F) {
      return uint32_t(b) >= bits ? 0 : cut(i128(a) << uint32_t(b), bits);
    });
    checkOp("mov" + t + "%d, %a", r + r, rows,
            [=](F a, F, F, F) { return cut(i128(a), bits); });
    checkOp(
        "selp" + t + "%d, %a, %b, %c", r3 + "p", rows,
        [=](F a, F b, F c, F) { return cut(i128(uint32_t(c) ? a : b), bits); });
    if (bits > 16) {
      checkOp("popc" + t + "%d, %a", "r" + r, rows, [=](F a, F, F, F) {
        uint64_t count = 0;
        for (unsigned n = 0; n < bits; ++n)
          count += a >> n & 1;
        return count;
      });
      checkOp("clz" + t + "%d, %a", "r" + r, rows, [=](F a, F, F, F) {
        uint64_t count = 0;
        while (count < bits && !(a >> (bits - 1 - count) & 1))
          ++count;
        return count;
      });
      checkOp("brev" + t + "%d, %a", r + r, rows, [=](F a, F, F, F) {
        uint64_t d = 0;
        for (unsigned n = 0; n < bits; ++n)
          d |= (a >> n & 1) << (bits - 1 - n);
        return d;
      });
      checkOp("bfi" + t + "%d, %a, %b, %c, %e", r3 + "rr", rows,
              [=](F a, F b, F c, F e) {
                unsigned pos = c & 255, len = e & 255;
                uint64_t d = cut(i128(b), bits);
                for (unsigned n = 0; n < len && pos + n < bits; ++n) {
                  d &= ~(uint64_t(1) << (pos + n));
                  d |= (a >> n & 1) << (pos + n);
                }
                return d;
              });
    }
  }
}

static void testBits() {
  using F = uint64_t;
  std::vector<Values> rows = rowsOf(32);
  checkOp("prmt.b32 %d, %a, %b, %c", "rrrr", rows, [](F a, F b, F c, F) {
    uint64_t all = uint64_t(uint32_t(b)) << 32 | uint32_t(a), d = 0;
    for (unsigned n = 0; n < 4; ++n) {
      unsigned pick = c >> (4 * n) & 15;
      uint64_t byte = all >> (8 * (pick & 7)) & 255;
      if (pick & 8)
        byte = byte >> 7 ? 255 : 0;
      d |= byte << (8 * n);
    }
    return d;
  });
  for (bool left : {false, true})
    for (bool wraps : {false, true})
      checkOp(std::string("shf.") + (left ? "l" : "r") +
                  (wraps ? ".wrap" : ".clamp") + ".b32 %d, %a, %b, %c",
              "rrrr", rows, [=](F a, F b, F c, F) {
                uint32_t by = uint32_t(c);
                by = wraps ? by % 32 : by > 32 ? 32 : by;
                i128 both = i128(uint32_t(b)) << 32 | uint32_t(a);
                return left ? uint64_t(both << by >> 32) & 0xffffffff
                            : uint64_t(both >> by) & 0xffffffff;
              });
  for (unsigned table : {0u, 0x80u, 0xfeu, 0xe8u, 0x96u, 0xcau, 0x1u, 0xffu})
    checkOp("lop3.b32 %d, %a, %b, %c, " + std::to_string(table), "rrrr", rows,
            [=](F a, F b, F c, F) {
              uint64_t d = 0;
              for (unsigned n = 0; n < 32; ++n) {
                unsigned at =
                    (a >> n & 1) << 2 | (b >> n & 1) << 1 | (c >> n & 1);
                d |= uint64_t(table >> at & 1) << n;
              }
              return d;
            });
  for (bool sa : {false, true})
    for (bool sb : {false, true})
      checkOp(std::string("dp4a.") + (sa ? "s32" : "u32") + "." +
                  (sb ? "s32" : "u32") + " %d, %a, %b, %c",
              "rrrr", rows, [=](F a, F b, F c, F) {
                i128 sum = uint32_t(c);
                for (unsigned n = 0; n < 4; ++n)
                  sum +=
                      number(a >> (8 * n), 8, sa) * number(b >> (8 * n), 8, sb);
                return cut(sum, 32);
              });
  // Packing and unpacking.
  checkOp("mov.b32 %d, {%a, %b}", "rhh", rows,
          [](F a, F b, F, F) { return (a & 0xffff) | (b & 0xffff) << 16; });
  checkOp("mov.b64 %d, {%a, %b}", "lrr", rows,
          [](F a, F b, F, F) { return (a & 0xffffffff) | b << 32; });
  checkOp(
      "mov.b64 %d, {%a, %b, %c, %e}", "lhhhh", rows, [](F a, F b, F c, F e) {
        return (a & 0xffff) | (b & 0xffff) << 16 | (c & 0xffff) << 32 | e << 48;
      });
  checkOp("{ .reg .b32 %t; mov.b64 {_, %t}, %a; mov.b32 %d, %t; }", "rl", rows,
          [](F a, F, F, F) { return a >> 32; });
  checkOp("{ .reg .b16 %s, %t; mov.b32 {%s, %t}, %a; mov.b32 %d, {%t, %s}; }",
          "rr", rows,
          [](F a, F, F, F) { return (a >> 16 & 0xffff) | (a & 0xffff) << 16; });
  // Predicates.
  checkOp("and.pred %d, %a, %b", "ppp", rows, [](F a, F b, F, F) -> uint64_t {
    return uint32_t(a) && uint32_t(b);
  });
  checkOp("or.pred %d, %a, !%b", "ppp", rows, [](F a, F b, F, F) -> uint64_t {
    return uint32_t(a) || !uint32_t(b);
  });
  checkOp("xor.pred %d, %a, %b", "ppp", rows, [](F a, F b, F, F) -> uint64_t {
    return !uint32_t(a) != !uint32_t(b);
  });
  checkOp("not.pred %d, %a", "pp", rows,
          [](F a, F, F, F) -> uint64_t { return !uint32_t(a); });
  checkOp("setp.lt.and.s32 %d, %a, %b, %c", "prrp", rows,
          [](F a, F b, F c, F) -> uint64_t {
            return int32_t(a) < int32_t(b) && uint32_t(c);
          });
  checkOp("setp.hi.or.u32 %d, %a, %b, !%c", "prrp", rows,
          [](F a, F b, F c, F) -> uint64_t {
            return uint32_t(a) > uint32_t(b) || !uint32_t(c);
          });
  checkOp("setp.ls.xor.u32 %d|_, %a, %b, %c", "prrp", rows,
          [](F a, F b, F c, F) -> uint64_t {
            return (uint32_t(a) <= uint32_t(b)) != !!uint32_t(c);
          });
  checkOp(
      "{ .reg .pred %o; setp.eq.s32 %o|%d, %a, %b; }", "prr", rows,
      [](F a, F b, F, F) -> uint64_t { return uint32_t(a) != uint32_t(b); });
  checkOp("set.lt.s32.s32 %d, %a, %b", "rrr", rows,
          [](F a, F b, F, F) -> uint64_t {
            return int32_t(a) < int32_t(b) ? 0xffffffff : 0;
          });
  checkOp("set.ge.f32.u32 %d, %a, %b", "rrr", rows,
          [](F a, F b, F, F) -> uint64_t {
            return uint32_t(a) >= uint32_t(b) ? 0x3f800000 : 0;
          });
}

/// cvt between integers.
static void testConversions() {
  std::vector<Values> rows = rowsOf(64);
  for (const Values &v : rowsOf(32))
    rows.push_back(v);
  for (int n = -300; n < 300; ++n)
    rows.push_back({uint64_t(int64_t(n)), 0, 0, 0});
  for (unsigned to : {8u, 16u, 32u, 64u})
    for (unsigned from : {8u, 16u, 32u, 64u})
      for (bool ts : {false, true})
        for (bool fs : {false, true})
          for (bool sat : {false, true}) {
            std::string op = std::string("cvt.") + (sat ? "sat." : "") +
                             (ts ? "s" : "u") + std::to_string(to) + "." +
                             (fs ? "s" : "u") + std::to_string(from) +
                             " %d, %a";
            // The register that holds 8 bits has 32, and the sign fills it.
            unsigned width = to == 8 ? 32 : to;
            checkOp(op, reg(width) + reg(from == 8 ? 16 : from), rows,
                    [=](uint64_t a, uint64_t, uint64_t, uint64_t) {
                      i128 x = number(a, from, fs);
                      i128 high = (i128(1) << (to - ts)) - 1,
                           low = ts ? -high - 1 : 0;
                      if (sat)
                        x = x > high ? high : x < low ? low : x;
                      return cut(number(cut(x, to), to, ts), width);
                    });
          }
}

int main() {
  testArithmetic();
  testBits();
  testConversions();
  return finishChecks("test_integers");
}
