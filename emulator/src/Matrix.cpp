// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace moe::emu {

unsigned elementBytes(Element type) {
  switch (type) {
  case Element::F16:
  case Element::BF16:
    return 2;
  case Element::E4M3:
  case Element::E5M2:
  case Element::S8:
  case Element::U8:
    return 1;
  case Element::TF32:
  case Element::F32:
  case Element::S32:
    return 4;
  }
  return 4;
}

bool isInteger(Element type) {
  return type == Element::S8 || type == Element::U8 || type == Element::S32;
}

bool parseElement(const std::string &name, Element &type) {
  static const struct {
    const char *name;
    Element type;
  } names[] = {
      {"f16", Element::F16},   {"bf16", Element::BF16}, {"tf32", Element::TF32},
      {"e4m3", Element::E4M3}, {"e5m2", Element::E5M2}, {"s8", Element::S8},
      {"u8", Element::U8},     {"f32", Element::F32},   {"s32", Element::S32}};
  for (const auto &entry : names)
    if (name == entry.name) {
      type = entry.type;
      return true;
    }
  return false;
}

static float fromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static uint32_t toBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

/// A small float with `mantissa` bits of fraction and an exponent of `exponent`
/// bits, without regard to infinities and NaN.
static float decodeSmall(uint32_t bits, unsigned exponent, unsigned mantissa) {
  int bias = (1 << (exponent - 1)) - 1;
  int e = bits >> mantissa & ((1u << exponent) - 1);
  int f = bits & ((1u << mantissa) - 1);
  float value =
      e ? std::ldexp(float(f | 1 << mantissa), e - bias - int(mantissa))
        : std::ldexp(float(f), 1 - bias - int(mantissa));
  return bits >> (exponent + mantissa) & 1 ? -value : value;
}

static float decodeHalf(uint32_t bits) {
  uint32_t sign = (bits & 0x8000) << 16, e = bits >> 10 & 31, f = bits & 1023;
  if (e == 31)
    return fromBits(sign | 0x7f800000 | f << 13);
  if (e)
    return fromBits(sign | (e + 112) << 23 | f << 13);
  return decodeSmall(bits, 5, 10);
}

float decodeFloat(Element type, uint32_t bits) {
  switch (type) {
  case Element::F16:
    return decodeHalf(bits & 0xffff);
  case Element::BF16:
    return fromBits(bits << 16);
  case Element::TF32:
    return fromBits(bits & 0xffffe000);
  case Element::E4M3:
    // No infinities: only all ones is NaN.
    if ((bits & 0x7f) == 0x7f)
      return std::numeric_limits<float>::quiet_NaN();
    return decodeSmall(bits & 0xff, 4, 3);
  case Element::E5M2:
    return decodeHalf((bits & 0xff) << 8);
  case Element::F32:
    return fromBits(bits);
  case Element::S8:
  case Element::U8:
  case Element::S32:
    return float(decodeInteger(type, bits));
  }
  return 0;
}

int32_t decodeInteger(Element type, uint32_t bits) {
  if (type == Element::S8)
    return int8_t(bits);
  if (type == Element::U8)
    return uint8_t(bits);
  return int32_t(bits);
}

uint16_t encodeHalf(float value) {
  uint32_t bits = toBits(value), sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000)
    return uint16_t(sign | 0x7fff);
  if (bits >= 0x477ff000) // rounds to 65536 or more
    return uint16_t(sign | 0x7c00);
  if (bits < 0x38800000) { // below the normal range: units of 2^-24
    float units = std::nearbyint(std::ldexp(fromBits(bits), 24));
    return uint16_t(sign | uint32_t(units));
  }
  bits += 0xfff + (bits >> 13 & 1);
  return uint16_t(sign | (bits - 0x38000000) >> 13);
}

void multiplyAdd(const float *a, const float *b, float *d, unsigned m,
                 unsigned n, unsigned k) {
  for (unsigned i = 0; i < m; ++i) {
    float *row = d + size_t(i) * n;
    for (unsigned p = 0; p < k; ++p) {
      float x = a[size_t(i) * k + p];
      const float *y = b + size_t(p) * n;
      for (unsigned j = 0; j < n; ++j)
        row[j] += x * y[j];
    }
  }
}

void multiplyAdd(const int32_t *a, const int32_t *b, int32_t *d, unsigned m,
                 unsigned n, unsigned k, bool saturate) {
  for (unsigned i = 0; i < m; ++i)
    for (unsigned j = 0; j < n; ++j) {
      int64_t sum = d[size_t(i) * n + j];
      for (unsigned p = 0; p < k; ++p)
        sum += int64_t(a[size_t(i) * k + p]) * b[size_t(p) * n + j];
      if (saturate)
        sum = std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX);
      d[size_t(i) * n + j] = int32_t(uint32_t(uint64_t(sum)));
    }
}

unsigned MmaShape::registersOfA() const {
  return m * k * elementBytes(a) / 128;
}
unsigned MmaShape::registersOfB() const {
  return n * k * elementBytes(b) / 128;
}
unsigned MmaShape::registersOfC() const {
  return m * n * elementBytes(accumulator) / 128;
}

static std::string joined(const std::vector<std::string> &modifiers) {
  std::string text = "mma";
  for (const std::string &word : modifiers)
    text += "." + word;
  return text;
}

bool parseMma(const std::vector<std::string> &modifiers, MmaShape &shape,
              std::string &error) {
  error = joined(modifiers) + ": ";
  size_t at = 0;
  auto take = [&](const char *word) {
    if (at == modifiers.size() || modifiers[at] != word)
      return false;
    ++at;
    return true;
  };
  if (at < modifiers.size() && modifiers[at].substr(0, 2) == "sp") {
    error += "sparse products are not supported";
    return false;
  }
  if (!take("sync") || !take("aligned")) {
    error += "expected '.sync.aligned'";
    return false;
  }
  static const struct {
    const char *name;
    unsigned k;
  } shapes[] = {
      {"m16n8k4", 4}, {"m16n8k8", 8}, {"m16n8k16", 16}, {"m16n8k32", 32}};
  shape = MmaShape();
  std::string name = at < modifiers.size() ? modifiers[at] : "";
  for (const auto &entry : shapes)
    if (name == entry.name)
      shape.k = entry.k;
  if (!shape.k) {
    error += "shape '" + name + "' is not supported";
    return false;
  }
  ++at;
  if (!take("row") || !take("col")) {
    error += "expected '.row.col'";
    return false;
  }
  if (take("satfinite"))
    shape.saturate = true;
  Element d, c;
  if (modifiers.size() - at != 4 || !parseElement(modifiers[at], d) ||
      !parseElement(modifiers[at + 1], shape.a) ||
      !parseElement(modifiers[at + 2], shape.b) ||
      !parseElement(modifiers[at + 3], c) || c != d) {
    error += "these types are not supported";
    return false;
  }
  shape.accumulator = d;
  bool known = false;
  switch (shape.a) {
  case Element::F16:
    known = shape.b == Element::F16 && (shape.k == 8 || shape.k == 16) &&
            (d == Element::F32 || d == Element::F16);
    break;
  case Element::BF16:
    known = shape.b == Element::BF16 && (shape.k == 8 || shape.k == 16) &&
            d == Element::F32;
    break;
  case Element::TF32:
    known = shape.b == Element::TF32 && (shape.k == 4 || shape.k == 8) &&
            d == Element::F32;
    break;
  case Element::E4M3:
  case Element::E5M2:
    known = (shape.b == Element::E4M3 || shape.b == Element::E5M2) &&
            shape.k == 32 && d == Element::F32;
    break;
  case Element::S8:
  case Element::U8:
    known = (shape.b == Element::S8 || shape.b == Element::U8) &&
            (shape.k == 16 || shape.k == 32) && d == Element::S32;
    break;
  case Element::F32:
  case Element::S32:
    break;
  }
  if (known && shape.saturate && d != Element::S32)
    known = false;
  if (!known) {
    error += "this combination of shape and types is not supported";
    return false;
  }
  error.clear();
  return true;
}

/// One element of a register that packs several.
static uint32_t part(uint32_t word, unsigned index, unsigned bytes) {
  return bytes == 4 ? word
                    : word >> (8 * bytes * index) & ((1u << 8 * bytes) - 1);
}

template <typename T> static T decodeAs(Element type, uint32_t bits);
template <> float decodeAs<float>(Element type, uint32_t bits) {
  return decodeFloat(type, bits);
}
template <> int32_t decodeAs<int32_t>(Element type, uint32_t bits) {
  return decodeInteger(type, bits);
}

/// Row-major A [16, k] and B [k, 8] of the fragments. Registers hold runs of k:
/// with e elements a register, lane 4g + t of the c-th register along k has
/// k = 4ec + te .. + e - 1, and row (A) or column (B) g. A's registers go
/// through rows g and g + 8 first, then along k.
template <typename T>
static void unpack(const MmaShape &shape, const Lanes *a, const Lanes *b,
                   T *left, T *right) {
  unsigned bytes = elementBytes(shape.a), each = 4 / bytes;
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned g = lane / 4, t = lane % 4;
    for (unsigned r = 0; r < shape.registersOfA(); ++r)
      for (unsigned i = 0; i < each; ++i)
        left[(g + 8 * (r & 1)) * shape.k + (r / 2 * 4 + t) * each + i] =
            decodeAs<T>(shape.a, part(a[r][lane], i, bytes));
    for (unsigned r = 0; r < shape.registersOfB(); ++r)
      for (unsigned i = 0; i < each; ++i)
        right[((r * 4 + t) * each + i) * 8 + g] =
            decodeAs<T>(shape.b, part(b[r][lane], i, bytes));
  }
}

void multiplyFragments(const MmaShape &shape, const Lanes *a, const Lanes *b,
                       const Lanes *c, Lanes *d) {
  if (isInteger(shape.a)) {
    int32_t left[16 * 32], right[32 * 8], sum[16 * 8];
    unpack(shape, a, b, left, right);
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < 4; ++i)
        sum[(lane / 4 + 8 * (i / 2)) * 8 + lane % 4 * 2 + i % 2] =
            int32_t(c[i][lane]);
    multiplyAdd(left, right, sum, 16, 8, shape.k, shape.saturate);
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < 4; ++i)
        d[i][lane] =
            uint32_t(sum[(lane / 4 + 8 * (i / 2)) * 8 + lane % 4 * 2 + i % 2]);
    return;
  }
  float left[16 * 32], right[32 * 8], sum[16 * 8];
  unpack(shape, a, b, left, right);
  bool half = shape.accumulator == Element::F16;
  auto cell = [&](unsigned lane, unsigned i) -> float & {
    return sum[(lane / 4 + 8 * (i / 2)) * 8 + lane % 4 * 2 + i % 2];
  };
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < 4; ++i)
      cell(lane, i) =
          half ? decodeFloat(Element::F16, part(c[i / 2][lane], i % 2, 2))
               : fromBits(c[i][lane]);
  multiplyAdd(left, right, sum, 16, 8, shape.k);
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < 4; ++i) {
      if (!half)
        d[i][lane] = toBits(cell(lane, i));
      else if (i % 2 == 0)
        d[i / 2][lane] = encodeHalf(cell(lane, i)) |
                         uint32_t(encodeHalf(cell(lane, i + 1))) << 16;
    }
}

MatrixCell matrixCell(unsigned lane, unsigned half, bool transposed) {
  unsigned row = lane / 4, column = lane % 4 * 2 + half;
  return transposed ? MatrixCell{column, row} : MatrixCell{row, column};
}

void transposeMatrix(const Lanes &from, Lanes &to) {
  uint16_t cells[8][8];
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned half = 0; half < 2; ++half)
      cells[lane / 4][lane % 4 * 2 + half] =
          uint16_t(part(from[lane], half, 2));
  for (unsigned lane = 0; lane < 32; ++lane)
    to[lane] = cells[lane % 4 * 2][lane / 4] |
               uint32_t(cells[lane % 4 * 2 + 1][lane / 4]) << 16;
}

BankUse countBankPasses(const uint32_t *addresses, uint32_t activeLanes,
                        unsigned bytes) {
  unsigned group = bytes <= 4 ? 32 : 128 / bytes,
           words = bytes <= 4 ? 1 : bytes / 4;
  BankUse use;
  for (unsigned first = 0; first < 32; first += group) {
    uint32_t seen[32][32];
    unsigned count[32] = {};
    unsigned most = 0;
    for (unsigned lane = first; lane < first + group; ++lane) {
      if (!(activeLanes >> lane & 1))
        continue;
      for (unsigned w = 0; w < words; ++w) {
        uint32_t word = addresses[lane] / 4 + w, bank = word % 32;
        uint32_t *begin = seen[bank], *end = begin + count[bank];
        if (std::find(begin, end, word) != end)
          continue;
        *end = word;
        most = std::max(most, ++count[bank]);
      }
    }
    use.passes += most;
    use.conflicts += most > 1 ? most - 1 : 0;
  }
  return use;
}

} // namespace moe::emu
