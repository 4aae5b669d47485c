//===- Scalar.cpp - Arithmetic and control --------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Lanes.h"
#include <cfenv>
#include <cmath>

using namespace moe::emu;

//===----------------------------------------------------------------------===//
// Maps over lanes
//===----------------------------------------------------------------------===//

template <class T, class F>
static Step map1(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]);
  forLanes(mask, [&](unsigned l) { d[l] = put(F::run(get<T>(a[l]))); });
  return Step::Next;
}
template <class T, class F>
static Step map2(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]);
  forLanes(mask,
           [&](unsigned l) { d[l] = put(F::run(get<T>(a[l]), get<T>(b[l]))); });
  return Step::Next;
}
template <class T, class F>
static Step map3(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]),
                 *c = w.row(i.src[2]);
  forLanes(mask, [&](unsigned l) {
    d[l] = put(F::run(get<T>(a[l]), get<T>(b[l]), get<T>(c[l])));
  });
  return Step::Next;
}

/// The handler for each integer type; null for a type that F does not have.
#define INTEGERS(MAP, FN)                                                      \
  [](const Type &t) -> Execute {                                               \
    if (t.count != 1 || t.kind == Kind::F || t.kind == Kind::BF)               \
      return nullptr;                                                          \
    bool s = t.kind == Kind::S;                                                \
    switch (t.bits) {                                                          \
    case 16:                                                                   \
      return s ? MAP<int16_t, FN> : MAP<uint16_t, FN>;                         \
    case 32:                                                                   \
      return s ? MAP<int32_t, FN> : MAP<uint32_t, FN>;                         \
    case 64:                                                                   \
      return s ? MAP<int64_t, FN> : MAP<uint64_t, FN>;                         \
    }                                                                          \
    return nullptr;                                                            \
  }(i.type)

template <class T>
using Wide = std::conditional_t<
    sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>,
    std::conditional_t<
        sizeof(T) == 4,
        std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
        std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;
template <class T> using Unsigned = std::make_unsigned_t<T>;

/// Wraps as the hardware does, where C++ has no answer.
template <class T> static T wrap(Unsigned<T> value) {
  return static_cast<T>(value);
}

struct Add {
  template <class T> static T run(T a, T b) {
    return wrap<T>(Unsigned<T>(Unsigned<T>(a) + Unsigned<T>(b)));
  }
};
struct Sub {
  template <class T> static T run(T a, T b) {
    return wrap<T>(Unsigned<T>(Unsigned<T>(a) - Unsigned<T>(b)));
  }
};
struct MulLo {
  template <class T> static T run(T a, T b) {
    return T(Wide<T>(a) * Wide<T>(b));
  }
};
struct MulHi {
  template <class T> static T run(T a, T b) {
    return T((Wide<T>(a) * Wide<T>(b)) >> (8 * sizeof(T)));
  }
};
struct MadLo {
  template <class T> static T run(T a, T b, T c) {
    return T(Unsigned<T>(T(Wide<T>(a) * Wide<T>(b))) + Unsigned<T>(c));
  }
};
struct MadHi {
  template <class T> static T run(T a, T b, T c) {
    return T(Unsigned<T>(MulHi::run(a, b)) + Unsigned<T>(c));
  }
};
// Division by zero leaves all ones (PTX ISA: unspecified, machine specific).
struct Div {
  template <class T> static T run(T a, T b) {
    return b == 0 ? T(-1)
           : std::is_signed_v<T> && b == T(-1)
               ? wrap<T>(Unsigned<T>(0 - Unsigned<T>(a)))
               : T(a / b);
  }
};
struct Rem {
  template <class T> static T run(T a, T b) {
    return b == 0 ? T(a) : std::is_signed_v<T> && b == T(-1) ? T(0) : T(a % b);
  }
};
struct Min {
  template <class T> static T run(T a, T b) { return a < b ? a : b; }
};
struct Max {
  template <class T> static T run(T a, T b) { return a > b ? a : b; }
};
struct And {
  template <class T> static T run(T a, T b) { return T(a & b); }
};
struct Or {
  template <class T> static T run(T a, T b) { return T(a | b); }
};
struct Xor {
  template <class T> static T run(T a, T b) { return T(a ^ b); }
};
struct Not {
  template <class T> static T run(T a) { return T(~a); }
};
struct Neg {
  template <class T> static T run(T a) {
    return wrap<T>(Unsigned<T>(0 - Unsigned<T>(a)));
  }
};
struct Abs {
  template <class T> static T run(T a) { return a < T(0) ? Neg::run(a) : a; }
};
struct Same {
  template <class T> static T run(T a) { return a; }
};
struct Cnot {
  template <class T> static T run(T a) { return T(a == 0); }
};

template <class T>
static Step executeShift(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]);
  bool left = i.extra[0];
  constexpr unsigned bits = 8 * sizeof(T);
  forLanes(mask, [&](unsigned l) {
    T value = get<T>(a[l]);
    uint32_t by = uint32_t(b[l]);
    // Amounts beyond the width are clamped to it.
    if (left)
      d[l] = by >= bits ? 0 : put(T(Unsigned<T>(value) << by));
    else if (by >= bits)
      d[l] = value < T(0) ? put(T(-1)) : 0;
    else
      d[l] = put(T(value >> by));
  });
  return Step::Next;
}

template <class T>
static Step executeMulWide(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]);
  const uint64_t *c = i.src.size() > 2 ? w.row(i.src[2]) : nullptr;
  forLanes(mask, [&](unsigned l) {
    Wide<T> product = Wide<T>(get<T>(a[l])) * Wide<T>(get<T>(b[l]));
    using U = Unsigned<Wide<T>>;
    d[l] = put(U(U(product) + (c ? get<U>(c[l]) : U(0))));
  });
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

static float flush(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}
static double flush(double x) { return x; }
/// The NaN that the hardware makes.
static float canonical(float x) { return x != x ? get<float>(0x7fffffff) : x; }
static double canonical(double x) {
  return x != x ? get<double>(0x7fffffffffffffff) : x;
}

struct FAdd {
  template <class T> static T run(T a, T b) { return a + b; }
};
struct FSub {
  template <class T> static T run(T a, T b) { return a - b; }
};
struct FMul {
  template <class T> static T run(T a, T b) { return a * b; }
};
struct FDiv {
  template <class T> static T run(T a, T b) { return a / b; }
};
struct FFma {
  template <class T> static T run(T a, T b, T c) { return std::fma(a, b, c); }
};
struct FMin {
  template <class T> static T run(T a, T b) {
    return a != a   ? b
           : b != b ? a
           : a == b ? (std::signbit(a) ? a : b)
           : a < b  ? a
                    : b;
  }
};
struct FMax {
  template <class T> static T run(T a, T b) {
    return a != a   ? b
           : b != b ? a
           : a == b ? (std::signbit(a) ? b : a)
           : a > b  ? a
                    : b;
  }
};
struct FMinNaN {
  template <class T> static T run(T a, T b) {
    return a != a ? a : b != b ? b : FMin::run(a, b);
  }
};
struct FMaxNaN {
  template <class T> static T run(T a, T b) {
    return a != a ? a : b != b ? b : FMax::run(a, b);
  }
};
struct FSqrt {
  template <class T> static T run(T a) { return std::sqrt(a); }
};
struct FRsqrt {
  template <class T> static T run(T a) { return T(1.0 / std::sqrt(double(a))); }
};
struct FRcp {
  template <class T> static T run(T a) { return T(1) / a; }
};
struct FEx2 {
  template <class T> static T run(T a) { return std::exp2(a); }
};
struct FLg2 {
  template <class T> static T run(T a) { return std::log2(a); }
};
struct FSin {
  template <class T> static T run(T a) { return std::sin(a); }
};
struct FCos {
  template <class T> static T run(T a) { return std::cos(a); }
};
struct FTanh {
  template <class T> static T run(T a) { return std::tanh(a); }
};
struct FCopysign {
  template <class T> static T run(T a, T b) { return std::copysign(b, a); }
};

/// Bits of `extra[0]` of a float instruction.
enum : uint32_t { Ftz = 1, Saturate = 2, Relu = 4 };

template <class T> static T finishFloat(T x, uint32_t flags) {
  if (flags & Ftz)
    x = flush(x);
  if (flags & Saturate)
    x = x != x ? T(0) : x < T(0) ? T(0) : x > T(1) ? T(1) : x;
  return canonical(x);
}
template <class T, class F>
static Step float1(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]);
  uint32_t flags = i.extra[0];
  forLanes(mask, [&](unsigned l) {
    T x = get<T>(a[l]);
    if (flags & Ftz)
      x = flush(x);
    d[l] = put(finishFloat(F::run(x), flags));
  });
  return Step::Next;
}
template <class T, class F>
static Step float2(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]);
  uint32_t flags = i.extra[0];
  forLanes(mask, [&](unsigned l) {
    T x = get<T>(a[l]), y = get<T>(b[l]);
    if (flags & Ftz)
      x = flush(x), y = flush(y);
    d[l] = put(finishFloat(F::run(x, y), flags));
  });
  return Step::Next;
}
template <class T, class F>
static Step float3(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]),
                 *c = w.row(i.src[2]);
  uint32_t flags = i.extra[0];
  forLanes(mask, [&](unsigned l) {
    T x = get<T>(a[l]), y = get<T>(b[l]), z = get<T>(c[l]);
    if (flags & Ftz)
      x = flush(x), y = flush(y), z = flush(z);
    d[l] = put(finishFloat(F::run(x, y, z), flags));
  });
  return Step::Next;
}

/// Sums and products of 16-bit floats are formed in f64, where they are exact,
/// and rounded once.
static double narrowToDouble(Kind kind, uint16_t bits) {
  return kind == Kind::BF ? bfloatToFloat(bits) : halfToFloat(bits);
}
uint16_t moe::emu::doubleToNarrow(Kind kind, double value) {
  float near = float(value);
  // Round to odd on the way to f32, so that the second rounding is right.
  if (double(near) != value && near == near) {
    uint32_t bits = uint32_t(put(near));
    if (!(bits & 1)) {
      bool up = std::fabs(double(near)) < std::fabs(value);
      bits = up ? bits | 1 : bits - 1;
      near = get<float>(bits);
    }
  }
  return kind == Kind::BF ? floatToBfloat(near) : floatToHalf(near);
}
/// a * b + c of 16-bit floats. The product is exact; where the sum is not, its
/// last bit is made odd, so that the rounding that follows is right.
static double fmaToOdd(double a, double b, double c) {
  double p = a * b, s = p + c, t = s - p, rest = (p - (s - t)) + (c - t);
  uint64_t bits = put(s);
  if (s - s != 0 || rest == 0 || (bits & 1))
    return s;
  return get<double>((rest > 0) == (s > 0) ? bits + 1 : bits - 1);
}
enum class NarrowOp : uint32_t {
  Add,
  Sub,
  Mul,
  Fma,
  Min,
  Max,
  MinNaN,
  MaxNaN,
  Neg,
  Abs,
  Ex2,
  Tanh
};
static Step executeNarrow(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *src[3] = {};
  for (size_t n = 0; n < i.src.size(); ++n)
    src[n] = w.row(i.src[n]);
  Kind kind = i.type.kind;
  NarrowOp op = NarrowOp(i.extra[1]);
  forLanes(mask, [&](unsigned l) {
    uint64_t result = 0;
    for (unsigned half = 0; half < i.type.count; ++half) {
      uint16_t bits[3] = {};
      double x[3] = {};
      for (size_t n = 0; n < i.src.size(); ++n) {
        bits[n] = uint16_t(src[n][l] >> (16 * half));
        x[n] = narrowToDouble(kind, bits[n]);
      }
      uint16_t out = 0;
      switch (op) {
      case NarrowOp::Add:
        out = doubleToNarrow(kind, x[0] + x[1]);
        break;
      case NarrowOp::Sub:
        out = doubleToNarrow(kind, x[0] - x[1]);
        break;
      case NarrowOp::Mul:
        out = doubleToNarrow(kind, x[0] * x[1]);
        break;
      case NarrowOp::Fma:
        out = doubleToNarrow(kind, fmaToOdd(x[0], x[1], x[2]));
        break;
      case NarrowOp::Min:
        out = doubleToNarrow(kind, FMin::run(x[0], x[1]));
        break;
      case NarrowOp::Max:
        out = doubleToNarrow(kind, FMax::run(x[0], x[1]));
        break;
      case NarrowOp::MinNaN:
        out = doubleToNarrow(kind, FMinNaN::run(x[0], x[1]));
        break;
      case NarrowOp::MaxNaN:
        out = doubleToNarrow(kind, FMaxNaN::run(x[0], x[1]));
        break;
      case NarrowOp::Neg:
        out = bits[0] ^ 0x8000;
        break;
      case NarrowOp::Abs:
        out = bits[0] & 0x7fff;
        break;
      case NarrowOp::Ex2:
        out = doubleToNarrow(kind, std::exp2(x[0]));
        break;
      case NarrowOp::Tanh:
        out = doubleToNarrow(kind, std::tanh(x[0]));
        break;
      }
      if ((i.extra[0] & Relu) && (out & 0x8000))
        out = 0;
      result |= uint64_t(out) << (16 * half);
    }
    d[l] = result;
  });
  return Step::Next;
}

/// s + rest, which no f64 holds, rounded to f32: 1 to zero, 2 down, 3 up. The
/// rest is less than half an ulp of s, so it matters only where s is an f32.
static float roundDirected(double s, double rest, unsigned mode) {
  float near = float(s);
  if (near != near || std::isinf(s))
    return near;
  double off = double(near) - s; // exact: they are close
  bool tooHigh = off > 0 || (off == 0 && rest < 0),
       exact = off == 0 && rest == 0;
  bool isNegative = s < 0 || (s == 0 && rest < 0);
  bool wantLower = mode == 2 || (mode == 1 && !isNegative);
  if (std::isinf(near))
    tooHigh = near > 0;
  if (exact || tooHigh != wantLower)
    return near;
  return std::nextafter(near, wantLower ? -INFINITY : INFINITY);
}
/// a * b + c for f32; the product is exact in f64, and two f64 hold the sum.
static float fmaDirected(float a, float b, float c, unsigned mode) {
  double p = double(a) * double(b), z = c, s = p + z;
  if (s == 0 && mode == 2 && std::signbit(p) != std::signbit(z))
    return -0.0f; // x - x is -0 when rounding down
  double t = s - p, rest = (p - (s - t)) + (z - t);
  return roundDirected(s, s - s == 0 ? rest : 0, mode);
}
enum : uint32_t { SumOf, DifferenceOf, ProductOf, FmaOf };
/// add, sub, mul and fma of f32 with .rz, .rm or .rp.
static Step executeDirected(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *src[3] = {};
  for (size_t n = 0; n < i.src.size(); ++n)
    src[n] = w.row(i.src[n]);
  uint32_t flags = i.extra[0];
  unsigned mode = i.extra[2];
  forLanes(mask, [&](unsigned l) {
    float x[3] = {};
    for (size_t n = 0; n < i.src.size(); ++n) {
      x[n] = get<float>(src[n][l]);
      if (flags & Ftz)
        x[n] = flush(x[n]);
    }
    float r;
    switch (i.extra[1]) {
    case SumOf:
      r = fmaDirected(x[0], 1, x[1], mode);
      break;
    case DifferenceOf:
      r = fmaDirected(x[0], 1, -x[1], mode);
      break;
    case ProductOf:
      r = roundDirected(double(x[0]) * double(x[1]), 0, mode);
      break;
    default:
      r = fmaDirected(x[0], x[1], x[2], mode);
    }
    d[l] = put(finishFloat(r, flags));
  });
  return Step::Next;
}

static bool isNarrow(const Type &t) {
  return t.bits == 16 && (t.kind == Kind::F || t.kind == Kind::BF);
}
static bool isFloat(const Type &t) {
  return t.kind == Kind::F || t.kind == Kind::BF;
}

/// 1 for .rz, 2 for .rm, 3 for .rp, else 0.
static unsigned roundingOf(const Instruction &i) {
  return has(i, "rz") ? 1 : has(i, "rm") ? 2 : has(i, "rp") ? 3 : 0;
}
/// Takes sums and products of f32 with a directed rounding.
static bool decodeDirected(Instruction &i) {
  i.extra[2] = roundingOf(i);
  if (!i.extra[2] || !(i.type == Type{Kind::F, 32, 1}))
    return false;
  i.extra[0] = (has(i, "ftz") ? Ftz : 0) | (has(i, "sat") ? Saturate : 0);
  i.extra[1] = i.name[0] == "add"   ? SumOf
               : i.name[0] == "sub" ? DifferenceOf
               : i.name[0] == "mul" ? ProductOf
                                    : FmaOf;
  i.execute = executeDirected;
  return true;
}
/// Reads .ftz, .sat, .rn and their like; other roundings are refused.
static bool floatFlags(const DecodeContext &c, Instruction &i) {
  i.extra[0] = (has(i, "ftz") ? Ftz : 0) | (has(i, "sat") ? Saturate : 0) |
               (has(i, "relu") ? Relu : 0);
  for (const char *rounding : {"rz", "rm", "rp"})
    if (has(i, rounding))
      return c.fail(std::string("rounding .") + rounding +
                    " is not emulated here");
  return true;
}
template <class F> static Execute floatHandler1(const Type &t) {
  return t.bits == 64 ? float1<double, F> : float1<float, F>;
}
template <class F> static Execute floatHandler2(const Type &t) {
  return t.bits == 64 ? float2<double, F> : float2<float, F>;
}
template <class F> static Execute floatHandler3(const Type &t) {
  return t.bits == 64 ? float3<double, F> : float3<float, F>;
}

template <class IntegerF, class FloatF, NarrowOp narrow>
static bool decodeArithmetic(const DecodeContext &c, Instruction &i) {
  if (!checkCounts(c, i, 1, 2) || !checkRows(c, i))
    return false;
  if (isFloat(i.type)) {
    if (!checkModifiers(c, i, {"rn", "rz", "rm", "rp", "ftz", "sat"}))
      return false;
    if (decodeDirected(i))
      return true;
    if (!floatFlags(c, i))
      return false;
    if (isNarrow(i.type)) {
      if (i.extra[0] & Saturate)
        return c.fail("saturation of 16-bit floats is not emulated");
      i.extra[1] = uint32_t(narrow);
      i.execute = executeNarrow;
    } else {
      i.execute = floatHandler2<FloatF>(i.type);
    }
    return true;
  }
  i.execute = INTEGERS(map2, IntegerF);
  return checkModifiers(c, i, {});
}

static Execute wideHandler(const Type &t) {
  bool s = t.kind == Kind::S;
  if (t.bits == 16)
    return s ? executeMulWide<int16_t> : executeMulWide<uint16_t>;
  return s ? executeMulWide<int32_t> : executeMulWide<uint32_t>;
}

static bool decodeMul(const DecodeContext &c, Instruction &i) {
  if (isFloat(i.type))
    return decodeArithmetic<Add, FMul, NarrowOp::Mul>(c, i);
  if (!checkCounts(c, i, 1, 2) || !checkRows(c, i) ||
      !checkModifiers(c, i, {"lo", "hi", "wide"}))
    return false;
  if (has(i, "wide"))
    i.execute = wideHandler(i.type);
  else if (has(i, "hi"))
    i.execute = INTEGERS(map2, MulHi);
  else
    i.execute = INTEGERS(map2, MulLo);
  return true;
}
static bool decodeMad(const DecodeContext &c, Instruction &i) {
  if (!checkCounts(c, i, 1, 3) || !checkRows(c, i))
    return false;
  if (isFloat(i.type)) {
    // mad.rn.f32 is fma on all our targets.
    if (!checkModifiers(c, i, {"rn", "rz", "rm", "rp", "ftz", "sat", "relu"}))
      return false;
    if (has(i, "relu") && !isNarrow(i.type))
      return c.fail("modifier .relu is only for 16-bit floats");
    if (decodeDirected(i))
      return true;
    if (!floatFlags(c, i))
      return false;
    if (isNarrow(i.type)) {
      if (i.extra[0] & Saturate)
        return c.fail("saturation of 16-bit floats is not emulated");
      i.extra[1] = uint32_t(NarrowOp::Fma);
      i.execute = executeNarrow;
    } else {
      i.execute = floatHandler3<FFma>(i.type);
    }
    return true;
  }
  if (!checkModifiers(c, i, {"lo", "hi", "wide"}))
    return false;
  if (has(i, "wide"))
    i.execute = wideHandler(i.type);
  else if (has(i, "hi"))
    i.execute = INTEGERS(map3, MadHi);
  else
    i.execute = INTEGERS(map3, MadLo);
  return true;
}
static bool decodeDiv(const DecodeContext &c, Instruction &i) {
  if (!checkCounts(c, i, 1, 2) || !checkRows(c, i))
    return false;
  if (isFloat(i.type)) {
    // approx and full are within 2 ulp of the quotient; here they are exact.
    if (!checkModifiers(c, i, {"rn", "ftz", "approx", "full"}) ||
        !floatFlags(c, i))
      return false;
    i.execute = isNarrow(i.type) ? nullptr : floatHandler2<FDiv>(i.type);
    return true;
  }
  i.execute = INTEGERS(map2, Div);
  return checkModifiers(c, i, {});
}
static bool decodeRem(const DecodeContext &c, Instruction &i) {
  i.execute = isFloat(i.type) ? nullptr : INTEGERS(map2, Rem);
  return checkCounts(c, i, 1, 2) && checkRows(c, i) && checkModifiers(c, i, {});
}
template <class IntegerF, class FloatF, class FloatNaN, NarrowOp narrow,
          NarrowOp narrowNaN>
static bool decodeMinMax(const DecodeContext &c, Instruction &i) {
  if (!checkCounts(c, i, 1, 2) || !checkRows(c, i) ||
      !checkModifiers(c, i, {"ftz", "NaN"}) || !floatFlags(c, i))
    return false;
  bool nan = has(i, "NaN");
  if (nan && (!isFloat(i.type) || i.type.bits == 64))
    return c.fail("modifier .NaN is not for this type");
  if (!isFloat(i.type)) {
    i.execute = INTEGERS(map2, IntegerF);
  } else if (isNarrow(i.type)) {
    i.extra[1] = uint32_t(nan ? narrowNaN : narrow);
    i.execute = executeNarrow;
  } else {
    i.execute =
        nan ? floatHandler2<FloatNaN>(i.type) : floatHandler2<FloatF>(i.type);
  }
  return true;
}
//===----------------------------------------------------------------------===//
// Predicates
//===----------------------------------------------------------------------===//

static uint32_t &predicateOf(Warp &w, const Operand &o) {
  return w.predicates[o.index];
}
static void setPredicate(Warp &w, const Operand &o, uint32_t mask,
                         uint32_t bits) {
  if (o.kind != Operand::Pred)
    return;
  uint32_t &p = predicateOf(w, o);
  p = (p & ~mask) | (bits & mask);
}
/// A predicate operand: a register or a constant.
static uint32_t predicateValue(Warp &w, const Operand &o) {
  if (o.kind == Operand::Pred)
    return w.predicate(o);
  return w.row(o)[0] ? ~0u : 0;
}
static bool isPredicate(const Operand &o) {
  return o.kind == Operand::Pred || o.kind == Operand::Const;
}

static Step executePredicate(Warp &w, const Instruction &i, uint32_t mask) {
  uint32_t a = predicateValue(w, i.src[0]);
  uint32_t b = i.src.size() > 1 ? predicateValue(w, i.src[1]) : 0;
  uint32_t bits = i.extra[0] == 0   ? a & b
                  : i.extra[0] == 1 ? a | b
                  : i.extra[0] == 2 ? a ^ b
                  : i.extra[0] == 3 ? ~a
                                    : a;
  setPredicate(w, i.dst[0], mask, bits);
  return Step::Next;
}
static bool decodePredicate(const DecodeContext &c, Instruction &i, uint32_t op,
                            size_t sources) {
  if (!checkCounts(c, i, 1, sources))
    return false;
  for (const Operand &o : i.src)
    if (!isPredicate(o))
      return c.fail("operands must be predicates");
  if (i.dst[0].kind != Operand::Pred)
    return c.fail("the result must be a predicate");
  i.extra[0] = op;
  i.execute = executePredicate;
  return true;
}
template <class F>
static bool decodeLogic(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {}))
    return false;
  if (i.type.kind == Kind::Pred)
    return decodePredicate(c, i,
                           std::is_same_v<F, And>  ? 0
                           : std::is_same_v<F, Or> ? 1
                                                   : 2,
                           2);
  i.execute = INTEGERS(map2, F);
  return checkCounts(c, i, 1, 2) && checkRows(c, i);
}
static bool decodeNot(const DecodeContext &c, Instruction &i) {
  if (i.type.kind == Kind::Pred)
    return decodePredicate(c, i, 3, 1);
  i.execute = INTEGERS(map1, Not);
  return checkCounts(c, i, 1, 1) && checkRows(c, i) && checkModifiers(c, i, {});
}
static bool decodeCnot(const DecodeContext &c, Instruction &i) {
  i.execute = INTEGERS(map1, Cnot);
  return checkCounts(c, i, 1, 1) && checkRows(c, i) && checkModifiers(c, i, {});
}

static Step executeSign(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]);
  uint64_t bit = uint64_t(1) << (i.type.bits - 1);
  bool clear = i.extra[1], ftz = i.extra[0] & Ftz;
  forLanes(mask, [&](unsigned l) {
    uint64_t x = a[l];
    if (ftz)
      x = put(flush(get<float>(x)));
    d[l] = clear ? x & ~bit : x ^ bit;
  });
  return Step::Next;
}
template <class IntegerF, NarrowOp narrow>
static bool decodeSign(const DecodeContext &c, Instruction &i) {
  if (!checkCounts(c, i, 1, 1) || !checkRows(c, i) ||
      !checkModifiers(c, i, {"ftz"}) || !floatFlags(c, i))
    return false;
  if (!isFloat(i.type)) {
    i.execute = INTEGERS(map1, IntegerF);
  } else if (isNarrow(i.type)) {
    i.extra[1] = uint32_t(narrow);
    i.execute = executeNarrow;
  } else {
    i.extra[1] = std::is_same_v<IntegerF, Abs>;
    i.execute = executeSign;
  }
  return true;
}

enum class Compare : uint32_t {
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge, // integers, ordered floats
  Equ,
  Neu,
  Ltu,
  Leu,
  Gtu,
  Geu,
  Num,
  Nan // floats
};
template <class T> static bool compareValues(Compare op, T a, T b) {
  bool unordered = a != a || b != b;
  switch (op) {
  case Compare::Eq:
    return a == b;
  case Compare::Ne:
    return !unordered && a != b;
  case Compare::Lt:
    return a < b;
  case Compare::Le:
    return a <= b;
  case Compare::Gt:
    return a > b;
  case Compare::Ge:
    return a >= b;
  case Compare::Equ:
    return unordered || a == b;
  case Compare::Neu:
    return unordered || a != b;
  case Compare::Ltu:
    return unordered || a < b;
  case Compare::Leu:
    return unordered || a <= b;
  case Compare::Gtu:
    return unordered || a > b;
  case Compare::Geu:
    return unordered || a >= b;
  case Compare::Num:
    return !unordered;
  case Compare::Nan:
    return unordered;
  }
  return false;
}
template <class T>
static uint32_t compareLanes(Warp &w, const Instruction &i, uint32_t mask) {
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]);
  Compare op = Compare(i.extra[1]);
  uint32_t bits = 0;
  forLanes(mask, [&](unsigned l) {
    T x = get<T>(a[l]), y = get<T>(b[l]);
    if constexpr (std::is_same_v<T, float>)
      if (i.extra[0] & Ftz)
        x = flush(x), y = flush(y);
    bits |= uint32_t(compareValues(op, x, y)) << l;
  });
  return bits;
}
static uint32_t compareNarrow(Warp &w, const Instruction &i, uint32_t mask) {
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]);
  uint32_t bits = 0;
  forLanes(mask, [&](unsigned l) {
    bits |=
        uint32_t(compareValues(Compare(i.extra[1]),
                               narrowToDouble(i.type2.kind, uint16_t(a[l])),
                               narrowToDouble(i.type2.kind, uint16_t(b[l]))))
        << l;
  });
  return bits;
}
static uint32_t compareAll(Warp &w, const Instruction &i, uint32_t mask) {
  const Type &t = i.type2;
  if (isNarrow(t))
    return compareNarrow(w, i, mask);
  if (t.kind == Kind::F)
    return t.bits == 64 ? compareLanes<double>(w, i, mask)
                        : compareLanes<float>(w, i, mask);
  bool s = t.kind == Kind::S;
  switch (t.bits) {
  case 16:
    return s ? compareLanes<int16_t>(w, i, mask)
             : compareLanes<uint16_t>(w, i, mask);
  case 32:
    return s ? compareLanes<int32_t>(w, i, mask)
             : compareLanes<uint32_t>(w, i, mask);
  default:
    return s ? compareLanes<int64_t>(w, i, mask)
             : compareLanes<uint64_t>(w, i, mask);
  }
}
static Step executeSetp(Warp &w, const Instruction &i, uint32_t mask) {
  uint32_t bits = compareAll(w, i, mask), other = ~bits;
  if (i.extra[2]) {
    uint32_t c = predicateValue(w, i.src[2]);
    auto combine = [&](uint32_t x) {
      return i.extra[2] == 1 ? x & c : i.extra[2] == 2 ? x | c : x ^ c;
    };
    bits = combine(bits);
    other = combine(other);
  }
  setPredicate(w, i.dst[0], mask, bits);
  if (i.dst.size() > 1)
    setPredicate(w, i.dst[1], mask, other);
  return Step::Next;
}
static Step executeSet(Warp &w, const Instruction &i, uint32_t mask) {
  uint32_t bits = compareAll(w, i, mask);
  uint64_t *d = w.row(i.dst[0]);
  uint64_t yes = i.type.kind == Kind::F ? put(1.0f) : 0xffffffff;
  forLanes(mask, [&](unsigned l) { d[l] = bits >> l & 1 ? yes : 0; });
  return Step::Next;
}
static bool decodeSetp(const DecodeContext &c, Instruction &i) {
  static const char *const names[] = {"eq",  "ne",  "lt",  "le",  "gt",
                                      "ge",  "equ", "neu", "ltu", "leu",
                                      "gtu", "geu", "num", "nan"};
  bool isSet = i.name[0] == "set";
  if (!isSet)
    i.type2 = i.type;
  bool found = false;
  for (size_t n = 1; n < i.name.size(); ++n) {
    Type t;
    bool known = parseType(i.name[n], t) || i.name[n] == "ftz";
    for (uint32_t k = 0; k < 14; ++k)
      if (i.name[n] == names[k])
        i.extra[1] = k, found = known = true;
    // Unsigned comparisons have names of their own.
    static const std::pair<const char *, uint32_t> unsignedNames[] = {
        {"lo", 2}, {"ls", 3}, {"hi", 4}, {"hs", 5}};
    for (auto [name, k] : unsignedNames)
      if (i.name[n] == name)
        i.extra[1] = k, found = known = true;
    if (i.name[n] == "and" || i.name[n] == "or" || i.name[n] == "xor") {
      i.extra[2] = i.name[n] == "and" ? 1 : i.name[n] == "or" ? 2 : 3;
      known = true;
    }
    if (!known)
      return c.fail("modifier ." + i.name[n] + " is not emulated");
  }
  if (!found)
    return c.fail("no comparison");
  i.extra[0] = has(i, "ftz") ? Ftz : 0;
  if (i.type2.count != 1 || i.type2.bits < 16 || i.type2.bits > 64)
    return c.fail("the type is not emulated");
  if (i.src.size() != (i.extra[2] ? 3u : 2u) || i.dst.empty() ||
      i.dst.size() > 2)
    return c.fail("has a wrong number of operands");
  for (unsigned n = 0; n < 2; ++n)
    if (i.src[n].kind != Operand::Reg && i.src[n].kind != Operand::Const)
      return c.fail("compares what is no number");
  if (i.extra[2] && !isPredicate(i.src[2]))
    return c.fail("combines with what is no predicate");
  if (isSet) {
    if (i.dst[0].kind != Operand::Reg || i.extra[2] || i.type.bits != 32)
      return c.fail("this form is not emulated");
    i.execute = executeSet;
    return true;
  }
  for (const Operand &o : i.dst)
    if (o.kind != Operand::Pred && o.kind != Operand::Sink)
      return c.fail("the result must be a predicate");
  i.execute = executeSetp;
  return true;
}

static Step executeSelp(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]);
  uint32_t p = predicateValue(w, i.src[2]);
  forLanes(mask, [&](unsigned l) { d[l] = p >> l & 1 ? a[l] : b[l]; });
  return Step::Next;
}
static bool decodeSelp(const DecodeContext &c, Instruction &i) {
  if (!checkCounts(c, i, 1, 3) || !checkModifiers(c, i, {}))
    return false;
  auto isRow = [](const Operand &o) {
    return o.kind == Operand::Reg || o.kind == Operand::Const;
  };
  if (i.dst[0].kind != Operand::Reg || !isPredicate(i.src[2]) ||
      !isRow(i.src[0]) || !isRow(i.src[1]))
    return c.fail("has operands of a wrong kind");
  i.execute = executeSelp;
  return true;
}

//===----------------------------------------------------------------------===//
// Moves and conversions
//===----------------------------------------------------------------------===//

static Step executeMov(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]);
  forLanes(mask, [&](unsigned l) { d[l] = a[l]; });
  return Step::Next;
}
/// mov.b64 %rd, {%r1, %r2}
static Step executePack(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  unsigned bits = i.type.bits / unsigned(i.src.size());
  uint64_t part = (uint64_t(1) << bits) - 1;
  Row result;
  forLanes(mask, [&](unsigned l) { result.lane[l] = 0; });
  for (size_t n = 0; n < i.src.size(); ++n) {
    const uint64_t *a = w.row(i.src[n]);
    forLanes(mask, [&](unsigned l) {
      result.lane[l] |= (a[l] & part) << (bits * n);
    });
  }
  forLanes(mask, [&](unsigned l) { d[l] = result.lane[l]; });
  return Step::Next;
}
static Step executeUnpack(Warp &w, const Instruction &i, uint32_t mask) {
  Row source;
  memcpy(&source, w.row(i.src[0]), sizeof source);
  unsigned bits = i.type.bits / unsigned(i.dst.size());
  uint64_t part = (uint64_t(1) << bits) - 1;
  for (size_t n = 0; n < i.dst.size(); ++n) {
    if (i.dst[n].kind == Operand::Sink)
      continue;
    uint64_t *d = w.row(i.dst[n]);
    forLanes(mask,
             [&](unsigned l) { d[l] = source.lane[l] >> (bits * n) & part; });
  }
  return Step::Next;
}
static bool decodeMov(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {}))
    return false;
  if (i.type.kind == Kind::Pred)
    return decodePredicate(c, i, 4, 1);
  if (i.src.size() > 1 && i.dst.size() == 1) {
    if (i.type.bits < 16 || i.type.bits > 64 || i.type.bits % i.src.size() ||
        i.src.size() > 4 || !checkRows(c, i))
      return c.fail("cannot pack this");
    i.execute = executePack;
    return true;
  }
  if (i.dst.size() > 1 && i.src.size() == 1) {
    if (i.type.bits < 16 || i.type.bits > 64 || i.type.bits % i.dst.size() ||
        i.dst.size() > 4 ||
        (i.src[0].kind != Operand::Reg && i.src[0].kind != Operand::Const))
      return c.fail("cannot unpack this");
    for (const Operand &o : i.dst)
      if (o.kind != Operand::Reg && o.kind != Operand::Sink)
        return c.fail("a result must be a register");
    i.execute = executeUnpack;
    return true;
  }
  if (!checkCounts(c, i, 1, 1))
    return false;
  if (i.src[0].kind == Operand::Label)
    return c.fail("the address of code is not emulated");
  i.execute = executeMov;
  return checkRows(c, i);
}

/// The value of a source of cvt as a double or an integer.
static double roundTo(double x, unsigned mode) {
  switch (mode) {
  case 0:
    return std::nearbyint(x); // to nearest even
  case 1:
    return std::trunc(x);
  case 2:
    return std::floor(x);
  default:
    return std::ceil(x);
  }
}
static uint64_t toInteger(double x, const Type &to, bool fromDouble) {
  // PTX ISA, "cvt": 0 for narrow sources and results, else the highest bit.
  if (x != x)
    return fromDouble || to.bits == 64 ? uint64_t(1) << (to.bits - 1) : 0;
  if (to.kind == Kind::S) {
    double high = std::ldexp(1.0, to.bits - 1);
    if (x >= high)
      return (uint64_t(1) << (to.bits - 1)) - 1;
    if (x < -high)
      x = -high;
    uint64_t value = uint64_t(int64_t(x));
    return to.bits == 64 ? value : value & ((uint64_t(1) << to.bits) - 1);
  }
  double high = std::ldexp(1.0, to.bits);
  if (x >= high)
    return to.bits == 64 ? ~uint64_t(0) : (uint64_t(1) << to.bits) - 1;
  return x <= 0 ? 0 : uint64_t(x);
}
/// An f64 to f32 in a direction: 0 nearest, 1 zero, 2 down, 3 up.
static float narrowDouble(double x, unsigned mode) {
  float near = float(x);
  if (mode == 0 || double(near) == x || near != near)
    return near;
  bool tooHigh = double(near) > x;
  bool wantLower = mode == 2 || (mode == 1 && x > 0);
  if (tooHigh == wantLower)
    near = std::nextafter(near, wantLower ? -INFINITY : INFINITY);
  return near;
}
template <class T> static T narrowTo(long double x, unsigned mode) {
  T near = T(x);
  bool tooHigh = (long double)(near) > x,
       wantLower = mode == 2 || (mode == 1 && x > 0);
  if (mode && (long double)(near) != x && tooHigh == wantLower)
    near = std::nextafter(near, wantLower ? -T(INFINITY) : T(INFINITY));
  return near;
}
static double roundToOdd(long double x) {
  double near = double(x);
  uint64_t bits = put(near);
  if ((long double)(near) == x || (bits & 1))
    return near;
  return get<double>(std::fabs((long double)(near)) < std::fabs(x) ? bits + 1
                                                                   : bits - 1);
}
/// A float to bf16 or f16 in a direction.
static uint16_t narrowFloat(Kind kind, double x, unsigned mode) {
  uint16_t near = doubleToNarrow(kind, x);
  double back = narrowToDouble(kind, near);
  if (mode == 0 || back == x || x != x)
    return near;
  bool tooHigh = back > x, wantLower = mode == 2 || (mode == 1 && x > 0);
  if (tooHigh == wantLower) {
    // One step in the wanted direction, along the bits.
    bool negative = near & 0x8000;
    uint16_t magnitude = near & 0x7fff;
    if (magnitude == 0)
      near = wantLower ? 0x8001 : 1;
    else
      near = uint16_t((wantLower == negative ? magnitude + 1 : magnitude - 1) |
                      (near & 0x8000));
  }
  return near;
}

static Step executeCvt(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]);
  const Type &to = i.type, &from = i.type2;
  unsigned mode = i.extra[1];
  uint32_t flags = i.extra[0];
  bool integral = i.extra[2]; // .rni and so on between floats
  uint64_t keep =
      from.bits == 64 ? ~uint64_t(0) : (uint64_t(1) << from.bits) - 1;
  forLanes(mask, [&](unsigned l) {
    uint64_t bits = a[l] & keep;
    if (!isFloat(from) && !isFloat(to)) {
      int64_t value = int64_t(bits);
      if (from.kind == Kind::S && from.bits < 64)
        value = int64_t(bits << (64 - from.bits)) >> (64 - from.bits);
      if (flags & Saturate) {
        if (to.kind == Kind::S) {
          int64_t high = int64_t((uint64_t(1) << (to.bits - 1)) - 1);
          if (from.kind != Kind::S && bits > uint64_t(high))
            value = high;
          else if (from.kind == Kind::S)
            value = value > high ? high : value < -high - 1 ? -high - 1 : value;
        } else {
          uint64_t high =
              to.bits == 64 ? ~uint64_t(0) : (uint64_t(1) << to.bits) - 1;
          if (from.kind == Kind::S && value < 0)
            value = 0;
          else if (uint64_t(value) > high)
            value = int64_t(high);
        }
      }
      // The register may be wider than the type: the sign fills it.
      uint64_t result = uint64_t(value);
      unsigned width = i.extra[3];
      if (to.kind != Kind::S && to.bits < 64)
        result &= (uint64_t(1) << to.bits) - 1;
      else if (to.bits < 64)
        result = uint64_t(int64_t(result << (64 - to.bits)) >> (64 - to.bits));
      if (width < 64)
        result &= (uint64_t(1) << width) - 1;
      d[l] = result;
      return;
    }
    double x;
    if (!isFloat(from)) {
      if (from.bits == 64) {
        // Rounded once, straight to the type: a long double holds it.
        long double wide = from.kind == Kind::S ? (long double)(int64_t(bits))
                                                : (long double)(bits);
        d[l] = to.bits == 64   ? put(narrowTo<double>(wide, mode))
               : to.bits == 32 ? put(narrowTo<float>(wide, mode))
                               : narrowFloat(to.kind, roundToOdd(wide), mode);
        return;
      } else if (from.kind == Kind::S) {
        x = double(int64_t(bits << (64 - from.bits)) >> (64 - from.bits));
      } else {
        x = double(bits);
      }
    } else if (from.bits == 64) {
      x = get<double>(bits);
    } else if (from.bits == 32) {
      float f = get<float>(bits);
      if (flags & Ftz)
        f = flush(f);
      x = f;
    } else {
      x = narrowToDouble(from.kind, uint16_t(bits));
    }
    if (!isFloat(to)) {
      uint64_t result = toInteger(roundTo(x, mode), to, from.bits == 64);
      // As above, the sign fills a wider register.
      if (to.kind == Kind::S && to.bits < 32)
        result = uint32_t(int32_t(uint32_t(result) << (32 - to.bits)) >>
                          (32 - to.bits));
      d[l] = result;
      return;
    }
    if (integral)
      x = roundTo(x, mode);
    if (flags & Saturate)
      x = x != x ? 0 : x < 0 ? 0 : x > 1 ? 1 : x;
    if ((flags & Relu) && (x < 0 || x != x))
      x = x != x ? x : 0;
    if (to.bits == 64) {
      d[l] = put(canonical(x));
    } else if (to.bits == 32) {
      float f = narrowDouble(x, integral ? 0 : mode);
      if (flags & Ftz)
        f = flush(f);
      d[l] = put(f != f && from.bits == 32 ? get<float>(bits) : canonical(f));
    } else {
      d[l] = narrowFloat(to.kind, x, integral ? 0 : mode);
    }
  });
  return Step::Next;
}
/// cvt.rn.bf16x2.f32 d, high, low
static Step executeCvtPack(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *high = w.row(i.src[0]), *low = w.row(i.src[1]);
  Kind kind = i.type.kind;
  unsigned mode = i.extra[1];
  bool relu = i.extra[0] & Relu;
  forLanes(mask, [&](unsigned l) {
    uint16_t half[2];
    const float x[2] = {get<float>(low[l]), get<float>(high[l])};
    for (unsigned n = 0; n < 2; ++n) {
      half[n] = narrowFloat(kind, x[n], mode);
      if (relu && (half[n] & 0x8000) && x[n] == x[n])
        half[n] = 0;
    }
    d[l] = uint64_t(half[1]) << 16 | half[0];
  });
  return Step::Next;
}
/// cvt.rna.tf32.f32: to nearest, ties away from zero.
static Step executeCvtTF32(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]);
  bool even = i.extra[1] == 0;
  forLanes(mask, [&](unsigned l) {
    uint32_t bits = uint32_t(a[l]);
    if ((bits & 0x7fffffff) < 0x7f800000)
      bits += even ? 0xfff + (bits >> 13 & 1) : 0x1000;
    d[l] = bits & ~0x1fffu;
  });
  return Step::Next;
}
static unsigned widthOfRegister(const Type &t) {
  return t.bits <= 16 ? 16 : t.bits;
}
static bool decodeCvt(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i,
                      {"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi",
                       "rna", "ftz", "sat", "relu", "tf32", "satfinite"}))
    return false;
  if (has(i, "satfinite"))
    return c.fail("modifier .satfinite is not emulated");
  i.extra[0] = (has(i, "ftz") ? Ftz : 0) | (has(i, "sat") ? Saturate : 0) |
               (has(i, "relu") ? Relu : 0);
  i.extra[1] = has(i, "rz") || has(i, "rzi")   ? 1
               : has(i, "rm") || has(i, "rmi") ? 2
               : has(i, "rp") || has(i, "rpi") ? 3
                                               : 0;
  i.extra[2] = has(i, "rni") || has(i, "rzi") || has(i, "rmi") || has(i, "rpi");
  if (has(i, "tf32")) {
    if (has(i, "relu"))
      return c.fail("modifier .relu is not emulated for tf32");
    if (!has(i, "rna") && !has(i, "rn"))
      return c.fail("this rounding to tf32 is not emulated");
    i.extra[1] = has(i, "rna");
    i.execute = executeCvtTF32;
    return checkCounts(c, i, 1, 1) && checkRows(c, i);
  }
  if (i.type.count == 2) {
    if (!(i.type2 == Type{Kind::F, 32, 1}))
      return c.fail("this packed conversion is not emulated");
    i.execute = executeCvtPack;
    return checkCounts(c, i, 1, 2) && checkRows(c, i);
  }
  if (i.type.kind == Kind::B || i.type2.kind == Kind::B || i.type2.count != 1)
    return c.fail("this conversion is not emulated");
  i.extra[3] = widthOfRegister(i.type);
  // A narrower signed result fills the register it is put into, which LLVM
  // declares as 16 or 32 bits; the rest is never looked at.
  if (i.type.bits < 32 && !isFloat(i.type))
    i.extra[3] = 32;
  i.execute = executeCvt;
  return checkCounts(c, i, 1, 1) && checkRows(c, i);
}

static Step executeCvta(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]);
  uint64_t window = i.extra[0] == 1   ? kSharedWindow
                    : i.extra[0] == 2 ? kLocalWindow
                    : i.extra[0] == 3 ? kParamWindow
                                      : 0;
  bool to = i.extra[1];
  forLanes(mask,
           [&](unsigned l) { d[l] = to ? a[l] - window : a[l] + window; });
  return Step::Next;
}
static bool decodeCvta(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i,
                      {"to", "global", "shared", "shared::cta",
                       "shared::cluster", "local", "const", "param"}) ||
      !checkCounts(c, i, 1, 1))
    return false;
  i.extra[0] =
      has(i, "shared") || has(i, "shared::cta") || has(i, "shared::cluster") ? 1
      : has(i, "local")                                                      ? 2
      : has(i, "param")                                                      ? 3
                        : 0;
  i.extra[1] = has(i, "to");
  i.execute = executeCvta;
  return checkRows(c, i);
}

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

struct Popc {
  template <class T> static uint32_t run(T a) {
    return uint32_t(__builtin_popcountll(Unsigned<T>(a)));
  }
};
struct Clz {
  template <class T> static uint32_t run(T a) {
    return a == 0 ? 8 * sizeof(T)
                  : uint32_t(__builtin_clzll(Unsigned<T>(a))) -
                        (64 - 8 * uint32_t(sizeof(T)));
  }
};
struct Brev {
  template <class T> static T run(T a) {
    T r = 0;
    for (unsigned n = 0; n < 8 * sizeof(T); ++n)
      r = T(r << 1 | (Unsigned<T>(a) >> n & 1));
    return r;
  }
};
struct Bfind {
  template <class T> static uint32_t run(T a) {
    if (std::is_signed_v<T> && a < T(0))
      a = T(~a);
    return a == 0 ? ~0u
                  : 63 - uint32_t(__builtin_clzll(uint64_t(Unsigned<T>(a))));
  }
};
struct Sad {
  template <class T> static T run(T a, T b, T c) {
    return T(Unsigned<T>(c) + (a < b ? Unsigned<T>(b) - Unsigned<T>(a)
                                     : Unsigned<T>(a) - Unsigned<T>(b)));
  }
};

template <class F>
static bool decodeUnaryBits(const DecodeContext &c, Instruction &i) {
  i.execute = INTEGERS(map1, F);
  return checkCounts(c, i, 1, 1) && checkRows(c, i) && checkModifiers(c, i, {});
}
static Step executePrmt(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]),
                 *s = w.row(i.src[2]);
  forLanes(mask, [&](unsigned l) {
    uint64_t bytes = (a[l] & 0xffffffff) | b[l] << 32;
    uint32_t result = 0;
    for (unsigned n = 0; n < 4; ++n) {
      uint32_t pick = uint32_t(s[l] >> (4 * n)) & 15;
      uint32_t byte = uint32_t(bytes >> (8 * (pick & 7))) & 255;
      if (pick & 8)
        byte = byte & 128 ? 255 : 0;
      result |= byte << (8 * n);
    }
    d[l] = result;
  });
  return Step::Next;
}
static Step executeShf(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]),
                 *s = w.row(i.src[2]);
  bool left = i.extra[0], wrapped = i.extra[1];
  forLanes(mask, [&](unsigned l) {
    uint32_t by = uint32_t(s[l]);
    by = wrapped ? by & 31 : by > 32 ? 32 : by;
    uint64_t both = b[l] << 32 | (a[l] & 0xffffffff);
    d[l] = left ? uint32_t(by == 0 ? both >> 32 : both >> (32 - by))
                : uint32_t(both >> by);
  });
  return Step::Next;
}
static Step executeLop3(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]),
                 *c = w.row(i.src[2]);
  uint32_t table = uint32_t(w.row(i.src[3])[0]);
  forLanes(mask, [&](unsigned l) {
    uint32_t x = uint32_t(a[l]), y = uint32_t(b[l]), z = uint32_t(c[l]), r = 0;
    for (unsigned n = 0; n < 8; ++n)
      if (table >> n & 1)
        r |= (n & 4 ? x : ~x) & (n & 2 ? y : ~y) & (n & 1 ? z : ~z);
    d[l] = r;
  });
  return Step::Next;
}
template <class T>
static Step executeBfe(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *p = w.row(i.src[1]),
                 *n = w.row(i.src[2]);
  constexpr unsigned bits = 8 * sizeof(T);
  forLanes(mask, [&](unsigned l) {
    unsigned pos = p[l] & 255, len = n[l] & 255;
    Unsigned<T> value = get<Unsigned<T>>(a[l]);
    unsigned top = pos + len > bits ? bits - 1 : pos + len - 1;
    bool sign = std::is_signed_v<T> && len &&
                (value >> (top < bits ? top : bits - 1) & 1);
    Unsigned<T> result = 0;
    for (unsigned k = 0; k < bits; ++k) {
      bool bit = k < len && pos + k < bits ? value >> (pos + k) & 1 : sign;
      result |= Unsigned<T>(bit) << k;
    }
    d[l] = put(result);
  });
  return Step::Next;
}
template <class T>
static Step executeBfi(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]),
                 *p = w.row(i.src[2]), *n = w.row(i.src[3]);
  constexpr unsigned bits = 8 * sizeof(T);
  forLanes(mask, [&](unsigned l) {
    unsigned pos = p[l] & 255, len = n[l] & 255;
    T from = get<T>(a[l]), result = get<T>(b[l]);
    for (unsigned k = 0; k < len && pos + k < bits; ++k) {
      result &= T(~(T(1) << (pos + k)));
      result |= T((from >> k & 1) << (pos + k));
    }
    d[l] = put(result);
  });
  return Step::Next;
}
static Step executeDp4a(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  const uint64_t *a = w.row(i.src[0]), *b = w.row(i.src[1]),
                 *c = w.row(i.src[2]);
  bool sa = i.type.kind == Kind::S, sb = i.type2.kind == Kind::S;
  forLanes(mask, [&](unsigned l) {
    uint32_t sum = uint32_t(c[l]);
    for (unsigned n = 0; n < 4; ++n) {
      uint8_t x = uint8_t(a[l] >> (8 * n)), y = uint8_t(b[l] >> (8 * n));
      sum += uint32_t((sa ? int32_t(int8_t(x)) : int32_t(x)) *
                      (sb ? int32_t(int8_t(y)) : int32_t(y)));
    }
    d[l] = sum;
  });
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

static Step executeBranch(Warp &w, const Instruction &i, uint32_t mask) {
  Group &group = w.groups[w.current];
  uint32_t rest = group.mask & ~mask, next = group.pc + 1;
  group.pc = i.dst[0].index;
  group.mask = mask;
  if (rest)
    w.groups.push_back({next, rest, false});
  return Step::Jumped;
}
static bool decodeBranch(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {"uni"}))
    return false;
  if (i.dst.size() != 1 || i.dst[0].kind != Operand::Label)
    return c.fail("needs a label");
  i.execute = executeBranch;
  return true;
}
/// Threads that a barrier waits for: those named, or all that have not exited.
static uint32_t barrierThreads(const Block &block,
                               const Block::NamedBarrier &b) {
  uint32_t total = b.expected;
  if (!total)
    for (const auto &warp : block.warps)
      total += warp->live ? kLanes : 0;
  return total;
}
static void completeBarrier(Block &block, unsigned id) {
  Block::NamedBarrier &b = block.barriers[id];
  // Before a warp looks, the barrier may be in use again.
  for (const auto &warp : block.warps)
    if (warp->waitingAt == int(id) && warp->waitingGeneration == b.generation) {
      warp->barrierAll = b.all;
      warp->barrierAny = b.any;
      warp->barrierCount = b.predicateCount;
    }
  b.arrived = 0;
  ++b.generation;
}

static Step executeExit(Warp &w, const Instruction &, uint32_t mask) {
  Group &group = w.groups[w.current];
  w.live &= ~mask;
  uint32_t rest = group.mask & ~mask;
  if (rest) {
    group.mask = rest;
    ++group.pc;
  } else {
    w.groups.erase(w.groups.begin() + w.current);
  }
  for (Group &other : w.groups)
    other.blocked = false;
  // The last one that a barrier waited for may be the one that leaves.
  if (!w.live)
    for (unsigned id = 0; id < 16; ++id) {
      Block::NamedBarrier &b = w.block->barriers[id];
      if (b.arrived && !b.expected && b.arrived == barrierThreads(*w.block, b))
        completeBarrier(*w.block, id);
    }
  ++w.block->progress;
  return Step::Jumped;
}
static Step executeTrap(Warp &w, const Instruction &i, uint32_t mask) {
  return w.fault(i, "trap", __builtin_ctz(mask));
}
static Step executeYield(Warp &w, const Instruction &, uint32_t) {
  w.yield = true;
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Warps and blocks together
//===----------------------------------------------------------------------===//

/// Whether all lanes that `members` names, of those that still run, are here.
/// Otherwise others must come first.
static bool gather(Warp &w, uint32_t members) {
  uint32_t wanted = members & w.live;
  return (w.groups[w.current].mask & wanted) == wanted;
}
/// The member mask, and whether the instruction can run; -1: a fault.
static int checkMembers(Warp &w, const Instruction &i, uint32_t mask,
                        const Operand &members) {
  const uint64_t *m = w.row(members);
  uint32_t value = uint32_t(m[__builtin_ctz(mask)]);
  bool same = true, inside = true;
  forLanes(mask, [&](unsigned l) {
    same &= uint32_t(m[l]) == value;
    inside &= uint32_t(m[l]) >> l & 1;
  });
  if (!same || !inside) {
    w.fault(i,
            same ? "a lane is not in its own member mask"
                 : "lanes have different member masks",
            __builtin_ctz(mask));
    return -1;
  }
  if ((mask & value & w.live) == (value & w.live))
    return 1;
  // With a guard, lanes that skip it never come: that is a mistake.
  if (gather(w, value)) {
    w.fault(i, "lanes of the member mask do not execute it",
            __builtin_ctz(mask));
    return -1;
  }
  return 0;
}

static Step executeShfl(Warp &w, const Instruction &i, uint32_t mask) {
  int members = checkMembers(w, i, mask, i.src[3]);
  if (members < 0)
    return Step::Fault;
  if (members == 0)
    return Step::Blocked;
  Row a;
  memcpy(&a, w.row(i.src[0]), sizeof a);
  const uint64_t *b = w.row(i.src[1]), *c = w.row(i.src[2]);
  uint64_t *d = i.dst[0].kind == Operand::Sink ? nullptr : w.row(i.dst[0]);
  uint32_t valid = 0;
  Row result;
  bool bad = false;
  forLanes(mask, [&](unsigned l) {
    uint32_t by = uint32_t(b[l]) & 31, clamp = uint32_t(c[l]) & 31,
             segment = uint32_t(c[l]) >> 8 & 31;
    uint32_t high = (l & segment) | (clamp & ~segment);
    uint32_t low = l & segment;
    int from;
    bool ok;
    switch (i.extra[0]) {
    case 0: // up
      from = int(l) - int(by);
      ok = from >= int(high);
      break;
    case 1: // down
      from = int(l + by);
      ok = from <= int(high);
      break;
    case 2: // bfly
      from = int(l ^ by);
      ok = from <= int(high);
      break;
    default: // idx
      from = int(low | (by & ~segment & 31));
      ok = from <= int(high);
    }
    if (!ok)
      from = int(l);
    if (!(mask >> from & 1))
      bad = true;
    result.lane[l] = a.lane[from & 31] & 0xffffffff;
    valid |= uint32_t(ok) << l;
  });
  if (bad)
    return w.fault(i, "reads a lane that does not take part",
                   __builtin_ctz(mask));
  if (d)
    forLanes(mask, [&](unsigned l) { d[l] = result.lane[l]; });
  if (i.dst.size() > 1)
    setPredicate(w, i.dst[1], mask, valid);
  return Step::Next;
}
static bool decodeShfl(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {"sync", "up", "down", "bfly", "idx"}))
    return false;
  if (!has(i, "sync"))
    return c.fail("only the form with .sync is there");
  i.extra[0] = has(i, "up") ? 0 : has(i, "down") ? 1 : has(i, "bfly") ? 2 : 3;
  if (i.dst.empty() || i.dst.size() > 2 || i.src.size() != 4 ||
      (i.dst[0].kind != Operand::Reg && i.dst[0].kind != Operand::Sink) ||
      (i.dst.size() == 2 && i.dst[1].kind != Operand::Pred))
    return c.fail("has a wrong number of operands");
  if (i.type.bits != 32)
    return c.fail("only 32 bits are shuffled");
  for (const Operand &o : i.src)
    if (o.kind != Operand::Reg && o.kind != Operand::Const)
      return c.fail("an operand must be a register or a number");
  i.execute = executeShfl;
  return true;
}

static Step executeVote(Warp &w, const Instruction &i, uint32_t mask) {
  int members = checkMembers(w, i, mask, i.src[1]);
  if (members <= 0)
    return members < 0 ? Step::Fault : Step::Blocked;
  uint32_t p = predicateValue(w, i.src[0]) & mask;
  switch (i.extra[0]) {
  case 0:
    setPredicate(w, i.dst[0], mask, p == mask ? ~0u : 0);
    break;
  case 1:
    setPredicate(w, i.dst[0], mask, p ? ~0u : 0);
    break;
  case 2:
    setPredicate(w, i.dst[0], mask, p == 0 || p == mask ? ~0u : 0);
    break;
  default: {
    uint64_t *d = w.row(i.dst[0]);
    forLanes(mask, [&](unsigned l) { d[l] = p; });
  }
  }
  return Step::Next;
}
static bool decodeVote(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {"sync", "all", "any", "uni", "ballot"}) ||
      !checkCounts(c, i, 1, 2))
    return false;
  i.extra[0] = has(i, "all") ? 0 : has(i, "any") ? 1 : has(i, "uni") ? 2 : 3;
  if (!isPredicate(i.src[0]) ||
      (i.src[1].kind != Operand::Reg && i.src[1].kind != Operand::Const) ||
      i.dst[0].kind != (i.extra[0] == 3 ? Operand::Reg : Operand::Pred))
    return c.fail("has operands of a wrong kind");
  i.execute = executeVote;
  return true;
}
static Step executeMatch(Warp &w, const Instruction &i, uint32_t mask) {
  int members = checkMembers(w, i, mask, i.src[1]);
  if (members <= 0)
    return members < 0 ? Step::Fault : Step::Blocked;
  Row a;
  memcpy(&a, w.row(i.src[0]), sizeof a);
  uint64_t keep = i.type.bits == 64 ? ~uint64_t(0) : 0xffffffff;
  uint64_t *d = w.row(i.dst[0]);
  Row result;
  forLanes(mask, [&](unsigned l) {
    uint32_t same = 0;
    forLanes(mask, [&](unsigned k) {
      same |= uint32_t(((a.lane[k] ^ a.lane[l]) & keep) == 0) << k;
    });
    result.lane[l] = same;
  });
  if (i.extra[0]) { // all
    bool all = result.lane[__builtin_ctz(mask)] == mask;
    forLanes(mask, [&](unsigned l) { d[l] = all ? mask : 0; });
    if (i.dst.size() > 1)
      setPredicate(w, i.dst[1], mask, all ? ~0u : 0);
    return Step::Next;
  }
  forLanes(mask, [&](unsigned l) { d[l] = result.lane[l]; });
  return Step::Next;
}
static bool decodeMatch(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {"sync", "any", "all"}))
    return false;
  i.extra[0] = has(i, "all");
  if (i.src.size() != 2 || i.dst.empty() || i.dst[0].kind != Operand::Reg ||
      i.dst.size() > 1 + i.extra[0] ||
      (i.dst.size() == 2 && i.dst[1].kind != Operand::Pred))
    return c.fail("has a wrong number of operands");
  for (const Operand &o : i.src)
    if (o.kind != Operand::Reg && o.kind != Operand::Const)
      return c.fail("an operand must be a register or a number");
  if (i.type.bits != 32 && i.type.bits != 64)
    return c.fail("the type is not emulated");
  i.execute = executeMatch;
  return true;
}
static Step executeRedux(Warp &w, const Instruction &i, uint32_t mask) {
  int members = checkMembers(w, i, mask, i.src[1]);
  if (members <= 0)
    return members < 0 ? Step::Fault : Step::Blocked;
  const uint64_t *a = w.row(i.src[0]);
  uint32_t value = uint32_t(a[__builtin_ctz(mask)]);
  bool s = i.type.kind == Kind::S;
  uint32_t op = i.extra[0];
  forLanes(mask & (mask - 1), [&](unsigned l) {
    uint32_t x = uint32_t(a[l]);
    bool less = s ? int32_t(x) < int32_t(value) : x < value;
    value = op == 0   ? value + x
            : op == 1 ? (less ? x : value)
            : op == 2 ? (less ? value : x)
            : op == 3 ? value & x
            : op == 4 ? value | x
                      : value ^ x;
  });
  uint64_t *d = w.row(i.dst[0]);
  forLanes(mask, [&](unsigned l) { d[l] = value; });
  return Step::Next;
}
static bool decodeRedux(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i,
                      {"sync", "add", "min", "max", "and", "or", "xor"}) ||
      !checkCounts(c, i, 1, 2) || !checkRows(c, i))
    return false;
  if (i.type.bits != 32 || isFloat(i.type))
    return c.fail("only 32-bit integers are there");
  static const char *const names[] = {"add", "min", "max", "and", "or", "xor"};
  for (uint32_t n = 0; n < 6; ++n)
    if (has(i, names[n]))
      i.extra[0] = n;
  i.execute = executeRedux;
  return true;
}
static Step executeElect(Warp &w, const Instruction &i, uint32_t mask) {
  int members = checkMembers(w, i, mask, i.src[0]);
  if (members <= 0)
    return members < 0 ? Step::Fault : Step::Blocked;
  unsigned leader = unsigned(__builtin_ctz(mask));
  if (i.dst[0].kind == Operand::Reg) {
    uint64_t *d = w.row(i.dst[0]);
    forLanes(mask, [&](unsigned l) { d[l] = leader; });
  }
  setPredicate(w, i.dst[1], mask, 1u << leader);
  return Step::Next;
}
static bool decodeElect(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i, {"sync"}) || !checkCounts(c, i, 2, 1))
    return false;
  if (i.dst[1].kind != Operand::Pred)
    return c.fail("the second result must be a predicate");
  if ((i.dst[0].kind != Operand::Reg && i.dst[0].kind != Operand::Sink) ||
      (i.src[0].kind != Operand::Reg && i.src[0].kind != Operand::Const))
    return c.fail("has operands of a wrong kind");
  i.execute = executeElect;
  return true;
}
static Step executeActivemask(Warp &w, const Instruction &i, uint32_t mask) {
  uint64_t *d = w.row(i.dst[0]);
  forLanes(mask, [&](unsigned l) { d[l] = mask; });
  return Step::Next;
}
static Step executeWarpSync(Warp &w, const Instruction &i, uint32_t mask) {
  // bar.warp.sync: the mask is the first operand.
  int members = checkMembers(w, i, mask, i.dst[0]);
  if (members > 0 && w.block->races)
    w.block->races->syncWarp(w.number);
  return members < 0 ? Step::Fault : members ? Step::Next : Step::Blocked;
}

/// Barriers of a block. Warps count whole (PTX ISA, "bar").
static Step executeBarrier(Warp &w, const Instruction &i, uint32_t mask) {
  Block &block = *w.block;
  bool isArrive = i.extra[0] == 1, isReduction = i.extra[0] == 2;
  // Which barrier, and of how many threads?
  const Operand &idOperand = i.extra[3] ? i.src[0] : i.dst[0];
  uint32_t id = uint32_t(w.row(idOperand)[__builtin_ctz(mask)]);
  if (id >= 16)
    return w.fault(i, "no barrier " + std::to_string(id));
  if (mask != w.live) {
    if (mask == (w.groups[w.current].mask & w.live) && w.groups.size() > 1)
      return Step::Blocked; // the others may still come
    return w.fault(i, "not all lanes of the warp execute the barrier",
                   __builtin_ctz(mask));
  }
  Block::NamedBarrier &b = block.barriers[id];
  if (w.waitingAt == int(id) && !isArrive) {
    if (b.generation == w.waitingGeneration)
      return Step::Blocked;
    w.waitingAt = -1;
    if (block.races)
      block.races->acquire(w.number,
                           RaceDetector::named(id, w.waitingGeneration));
    if (isReduction) {
      if (i.extra[2] == 2) {
        uint64_t *d = w.row(i.dst[0]);
        forLanes(mask, [&](unsigned l) { d[l] = w.barrierCount; });
      } else {
        setPredicate(w, i.dst[0], mask,
                     (i.extra[2] ? w.barrierAny : w.barrierAll) ? ~0u : 0);
      }
    }
    return Step::Next;
  }
  uint32_t expected = 0;
  if (i.extra[1]) {
    const Operand &count = i.extra[3] ? i.src[1] : i.src[0];
    expected = uint32_t(w.row(count)[__builtin_ctz(mask)]);
    if (expected == 0 || expected % kLanes)
      return w.fault(i, "a barrier's threads must be a multiple of 32, got " +
                            std::to_string(expected));
  }
  if (b.arrived && b.expected != expected)
    return w.fault(i, "barrier " + std::to_string(id) + " is in use for " +
                          std::to_string(b.expected) + " threads, not " +
                          std::to_string(expected));
  b.expected = expected;
  b.arrived += kLanes;
  if (block.races)
    block.races->release(w.number, ~0u, RaceDetector::named(id, b.generation));
  if (isReduction) {
    uint32_t p = predicateValue(w, i.src[i.src.size() - 1]) & mask;
    if (b.arrived == kLanes)
      b.all = true, b.any = false, b.predicateCount = 0;
    b.all &= p == mask;
    b.any |= p != 0;
    b.predicateCount += uint32_t(__builtin_popcount(p));
  }
  if (!isArrive) {
    w.waitingAt = int(id);
    w.waitingGeneration = b.generation;
  }
  ++block.progress;
  uint32_t total = barrierThreads(block, b);
  if (b.arrived > total)
    return w.fault(i, "more threads arrive at barrier " + std::to_string(id) +
                          " than the " + std::to_string(total) + " it is for");
  if (b.arrived == total)
    completeBarrier(block, id);
  return isArrive ? Step::Next : Step::Blocked;
}
static bool decodeBarrier(const DecodeContext &c, Instruction &i) {
  if (!checkModifiers(c, i,
                      {"sync", "arrive", "red", "warp", "cta", "aligned", "and",
                       "or", "popc", "cluster", "release", "acquire", "wait",
                       "relaxed"}))
    return false;
  for (const std::vector<Operand> *list : {&i.dst, &i.src})
    for (const Operand &o : *list)
      if (o.kind != Operand::Reg && o.kind != Operand::Const &&
          (o.kind != Operand::Pred || !has(i, "red")))
        return c.fail("has operands of a wrong kind");
  if (i.numAddresses)
    return c.fail("has operands of a wrong kind");
  if (has(i, "warp")) {
    if (!checkCounts(c, i, 1, 0))
      return false;
    i.execute = executeWarpSync;
    return true;
  }
  // A block is alone in its cluster; all its threads meet.
  if (has(i, "cluster"))
    return c.fail("clusters of several blocks are not emulated");
  i.extra[0] = has(i, "arrive") ? 1 : has(i, "red") ? 2 : 0;
  if (i.extra[0] == 2) {
    i.extra[2] = has(i, "popc") ? 2 : has(i, "or") ? 1 : 0;
    i.extra[3] = 1;
    if (i.dst.size() != 1 || i.src.size() < 2 || i.src.size() > 3)
      return c.fail("has a wrong number of operands");
    if (!isPredicate(i.src.back()))
      return c.fail("the last operand must be a predicate");
    if (i.dst[0].kind != (i.extra[2] == 2 ? Operand::Reg : Operand::Pred) ||
        i.src[0].kind == Operand::Pred ||
        (i.src.size() == 3 && i.src[1].kind == Operand::Pred))
      return c.fail("has operands of a wrong kind");
    i.extra[1] = i.src.size() == 3;
  } else {
    if (i.dst.size() != 1 || i.src.size() > 1 ||
        (i.extra[0] == 1 && i.src.empty()))
      return c.fail("has a wrong number of operands");
    i.extra[1] = i.src.size() == 1;
  }
  i.execute = executeBarrier;
  return true;
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

template <class F>
static bool decodeFloat1(const DecodeContext &c, Instruction &i) {
  // The approximations of the hardware are within a few ulp; here they are
  // rounded correctly.
  if (!checkCounts(c, i, 1, 1) || !checkRows(c, i) ||
      !checkModifiers(c, i, {"rn", "ftz", "approx"}) || !floatFlags(c, i))
    return false;
  if (isNarrow(i.type)) {
    if (std::is_same_v<F, FEx2>)
      i.extra[1] = uint32_t(NarrowOp::Ex2);
    else if (std::is_same_v<F, FTanh>)
      i.extra[1] = uint32_t(NarrowOp::Tanh);
    else
      return c.fail("the type is not emulated");
    i.execute = executeNarrow;
    return true;
  }
  i.execute = i.type.kind == Kind::F ? floatHandler1<F>(i.type) : nullptr;
  return true;
}

void moe::emu::registerScalarOpcodes() {
  registerOpcode("add", decodeArithmetic<Add, FAdd, NarrowOp::Add>);
  registerOpcode("sub", decodeArithmetic<Sub, FSub, NarrowOp::Sub>);
  registerOpcode("mul", decodeMul);
  registerOpcode("mad", decodeMad);
  registerOpcode("fma", decodeMad);
  registerOpcode("div", decodeDiv);
  registerOpcode("rem", decodeRem);
  registerOpcode(
      "min", decodeMinMax<Min, FMin, FMinNaN, NarrowOp::Min, NarrowOp::MinNaN>);
  registerOpcode(
      "max", decodeMinMax<Max, FMax, FMaxNaN, NarrowOp::Max, NarrowOp::MaxNaN>);
  registerOpcode("and", decodeLogic<And>);
  registerOpcode("or", decodeLogic<Or>);
  registerOpcode("xor", decodeLogic<Xor>);
  registerOpcode("not", decodeNot);
  registerOpcode("cnot", decodeCnot);
  registerOpcode("neg", decodeSign<Neg, NarrowOp::Neg>);
  registerOpcode("abs", decodeSign<Abs, NarrowOp::Abs>);
  registerOpcode("sqrt", decodeFloat1<FSqrt>);
  registerOpcode("rsqrt", decodeFloat1<FRsqrt>);
  registerOpcode("rcp", decodeFloat1<FRcp>);
  registerOpcode("ex2", decodeFloat1<FEx2>);
  registerOpcode("lg2", decodeFloat1<FLg2>);
  registerOpcode("sin", decodeFloat1<FSin>);
  registerOpcode("cos", decodeFloat1<FCos>);
  registerOpcode("tanh", decodeFloat1<FTanh>);
  registerOpcode("copysign", [](const DecodeContext &c, Instruction &i) {
    i.execute = i.type.bits == 64 ? float2<double, FCopysign>
                                  : float2<float, FCopysign>;
    return checkCounts(c, i, 1, 2) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  auto shift = [](const DecodeContext &c, Instruction &i) {
    i.extra[0] = i.name[0] == "shl";
    bool s = i.type.kind == Kind::S;
    i.execute = i.type.bits == 16
                    ? (s ? executeShift<int16_t> : executeShift<uint16_t>)
                : i.type.bits == 32
                    ? (s ? executeShift<int32_t> : executeShift<uint32_t>)
                    : (s ? executeShift<int64_t> : executeShift<uint64_t>);
    return checkCounts(c, i, 1, 2) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  };
  registerOpcode("shl", shift);
  registerOpcode("shr", shift);
  registerOpcode("setp", decodeSetp);
  registerOpcode("set", decodeSetp);
  registerOpcode("selp", decodeSelp);
  registerOpcode("mov", decodeMov);
  registerOpcode("cvt", decodeCvt);
  registerOpcode("cvta", decodeCvta);
  registerOpcode("popc", decodeUnaryBits<Popc>);
  registerOpcode("clz", decodeUnaryBits<Clz>);
  registerOpcode("brev", decodeUnaryBits<Brev>);
  registerOpcode("bfind", decodeUnaryBits<Bfind>);
  registerOpcode("sad", [](const DecodeContext &c, Instruction &i) {
    i.execute = INTEGERS(map3, Sad);
    return checkCounts(c, i, 1, 3) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  registerOpcode("prmt", [](const DecodeContext &c, Instruction &i) {
    i.execute = executePrmt;
    return checkCounts(c, i, 1, 3) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  registerOpcode("shf", [](const DecodeContext &c, Instruction &i) {
    i.extra[0] = has(i, "l");
    i.extra[1] = has(i, "wrap");
    i.execute = executeShf;
    return checkCounts(c, i, 1, 3) && checkRows(c, i) &&
           checkModifiers(c, i, {"l", "r", "wrap", "clamp"});
  });
  registerOpcode("lop3", [](const DecodeContext &c, Instruction &i) {
    i.execute = executeLop3;
    return checkCounts(c, i, 1, 4) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  registerOpcode("bfe", [](const DecodeContext &c, Instruction &i) {
    bool s = i.type.kind == Kind::S;
    i.execute = i.type.bits == 64
                    ? (s ? executeBfe<int64_t> : executeBfe<uint64_t>)
                    : (s ? executeBfe<int32_t> : executeBfe<uint32_t>);
    return checkCounts(c, i, 1, 3) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  registerOpcode("bfi", [](const DecodeContext &c, Instruction &i) {
    i.execute = i.type.bits == 64 ? executeBfi<uint64_t> : executeBfi<uint32_t>;
    return checkCounts(c, i, 1, 4) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  registerOpcode("dp4a", [](const DecodeContext &c, Instruction &i) {
    i.execute = executeDp4a;
    return checkCounts(c, i, 1, 3) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  registerOpcode("bra", decodeBranch);
  auto leave = [](const DecodeContext &c, Instruction &i) {
    i.execute = executeExit;
    return checkCounts(c, i, 0, 0) && checkModifiers(c, i, {"uni"});
  };
  registerOpcode("ret", leave);
  registerOpcode("exit", leave);
  registerOpcode("trap", [](const DecodeContext &c, Instruction &i) {
    i.execute = executeTrap;
    return checkCounts(c, i, 0, 0) && checkModifiers(c, i, {});
  });
  registerOpcode("nanosleep", [](const DecodeContext &c, Instruction &i) {
    i.execute = executeYield;
    return checkCounts(c, i, 1, 0) && checkModifiers(c, i, {});
  });
  registerOpcode("shfl", decodeShfl);
  registerOpcode("vote", decodeVote);
  registerOpcode("match", decodeMatch);
  registerOpcode("redux", decodeRedux);
  registerOpcode("elect", decodeElect);
  registerOpcode("activemask", [](const DecodeContext &c, Instruction &i) {
    i.execute = executeActivemask;
    return checkCounts(c, i, 1, 0) && checkRows(c, i) &&
           checkModifiers(c, i, {});
  });
  registerOpcode("bar", decodeBarrier);
  registerOpcode("barrier", decodeBarrier);
}
