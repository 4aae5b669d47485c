// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Warpgroup.h"

#include <cstdio>
#include <cstring>

namespace moe::emu {

static bool parseShape(const std::string &text, unsigned &n, unsigned &k) {
  if (text.compare(0, 4, "m64n") != 0)
    return false;
  unsigned *out = &n;
  n = k = 0;
  bool sawK = false;
  for (size_t i = 4; i < text.size(); ++i) {
    char c = text[i];
    if (c == 'k' && !sawK && i > 4) {
      sawK = true;
      out = &k;
    } else if (c >= '0' && c <= '9' && *out < 1000)
      *out = *out * 10 + unsigned(c - '0');
    else
      return false;
  }
  return sawK && n >= 8 && n <= 256 && n % 8 == 0;
}

bool parseWgmma(const std::vector<std::string> &modifiers, WgmmaShape &shape,
                std::string &error) {
  error = "wgmma.mma_async";
  for (const std::string &word : modifiers)
    error += "." + word;
  error += ": ";
  shape = WgmmaShape();
  if (!modifiers.empty() && modifiers[0].compare(0, 2, "sp") == 0) {
    error += "sparse products are not supported";
    return false;
  }
  if (modifiers.size() < 6 || modifiers[0] != "sync" ||
      modifiers[1] != "aligned") {
    error += "expected '.sync.aligned', a shape and three types";
    return false;
  }
  if (!parseShape(modifiers[2], shape.n, shape.k)) {
    error += "shape '" + modifiers[2] + "' is not supported";
    return false;
  }
  if (!parseElement(modifiers[3], shape.d) ||
      !parseElement(modifiers[4], shape.a) ||
      !parseElement(modifiers[5], shape.b)) {
    error += "these types are not supported";
    return false;
  }
  if (modifiers.size() == 7 && modifiers[6] == "satfinite")
    shape.saturate = true;
  else if (modifiers.size() != 6) {
    error += "modifier '" + modifiers[6] + "' is not supported";
    return false;
  }
  bool known = false;
  bool toFloat = shape.d == Element::F32;
  switch (shape.a) {
  case Element::F16:
    known = shape.b == shape.a && shape.k == 16 &&
            (toFloat || shape.d == Element::F16);
    break;
  case Element::BF16:
    known = shape.b == shape.a && shape.k == 16 && toFloat;
    break;
  case Element::TF32:
    known = shape.b == shape.a && shape.k == 8 && toFloat;
    break;
  case Element::E4M3:
  case Element::E5M2:
    known = (shape.b == Element::E4M3 || shape.b == Element::E5M2) &&
            shape.k == 32 && (toFloat || shape.d == Element::F16);
    break;
  case Element::S8:
  case Element::U8:
    // n goes in steps of 16 from 32 on.
    known = (shape.b == Element::S8 || shape.b == Element::U8) &&
            shape.k == 32 && shape.d == Element::S32 &&
            (shape.n <= 24 || shape.n % 16 == 0);
    break;
  case Element::F32:
  case Element::S32:
    break;
  }
  if (!known || (shape.saturate && shape.d != Element::S32)) {
    error += "this combination of shape and types is not supported";
    return false;
  }
  error.clear();
  return true;
}

bool decodeDescriptor(uint64_t bits, MatrixDescriptor &descriptor,
                      std::string &error) {
  // Bits 14-15, 30-31, 46-48 and 52-61 are reserved.
  constexpr uint64_t reserved = uint64_t(3) << 14 | uint64_t(3) << 30 |
                                uint64_t(7) << 46 | uint64_t(0x3ff) << 52;
  if (bits & reserved) {
    char text[32];
    snprintf(text, sizeof(text), "0x%016llx", (unsigned long long)bits);
    error = std::string("matrix descriptor ") + text + " has reserved bits set";
    return false;
  }
  descriptor.start = uint32_t(bits & 0x3fff) << 4;
  descriptor.leadingOffset = uint32_t(bits >> 16 & 0x3fff) << 4;
  descriptor.strideOffset = uint32_t(bits >> 32 & 0x3fff) << 4;
  descriptor.baseOffset = unsigned(bits >> 49 & 7);
  // The descriptor counts the modes from the widest: 1 is 128 bytes.
  static const Swizzle modes[] = {Swizzle::None, Swizzle::B128, Swizzle::B64,
                                  Swizzle::B32};
  descriptor.swizzle = modes[bits >> 62];
  return true;
}

uint32_t operandUnit(const MatrixDescriptor &descriptor, bool mnMajor,
                     unsigned rows, unsigned index) {
  uint32_t span = swizzleSpan(descriptor.swizzle), offset;
  if (!mnMajor) {
    unsigned row = index / 2, half = index % 2;
    offset = row / 8 * descriptor.strideOffset + row % 8 * span;
    offset += descriptor.swizzle == Swizzle::None
                  ? half * descriptor.leadingOffset
                  : half * 16;
  } else {
    unsigned eights = rows / 8, k = index / eights, eight = index % eights;
    if (descriptor.swizzle == Swizzle::None)
      offset = eight * descriptor.strideOffset + k % 8 * 16 +
               k / 8 * descriptor.leadingOffset;
    else {
      unsigned run = span / 16;
      offset = eight / run * descriptor.leadingOffset + eight % run * 16 +
               k % 8 * span + k / 8 * descriptor.strideOffset;
    }
  }
  uint32_t address = (descriptor.start + offset) & 0x3ffff;
  // The pattern's rows count from where it starts, which the base offset says
  // when that is not a multiple of the pattern's size.
  uint32_t shift = descriptor.baseOffset << 7;
  return ((applySwizzle(descriptor.swizzle, address - shift) ^
           (address - shift)) ^
          address) &
         0x3ffff;
}

uint32_t operandElement(const uint8_t *units, bool mnMajor, unsigned rows,
                        unsigned bytes, unsigned row, unsigned k) {
  const uint8_t *at =
      mnMajor ? units + (size_t(k) * (rows / 8) + row / 8) * 16 + row % 8 * 2
              : units + size_t(row) * 32 + k * bytes;
  uint32_t bits = 0;
  std::memcpy(&bits, at, bytes);
  return bits;
}

namespace {
template <typename T> struct Values;
template <> struct Values<float> {
  static float decode(Element type, uint32_t bits) {
    return decodeFloat(type, bits);
  }
};
template <> struct Values<int32_t> {
  static int32_t decode(Element type, uint32_t bits) {
    return decodeInteger(type, bits);
  }
};
} // namespace

template <typename T>
static void loadOperands(const WgmmaShape &shape, const WgmmaOperands &operands,
                         std::vector<T> &a, std::vector<T> &b) {
  unsigned bytes = elementBytes(shape.a), each = 4 / bytes;
  a.resize(size_t(WgmmaShape::m) * shape.k);
  b.resize(size_t(shape.k) * shape.n);
  if (!operands.unitsA.empty()) {
    for (unsigned row = 0; row < WgmmaShape::m; ++row)
      for (unsigned k = 0; k < shape.k; ++k)
        a[row * shape.k + k] = Values<T>::decode(
            shape.a, operandElement(operands.unitsA.data(), operands.mnMajorA,
                                    WgmmaShape::m, bytes, row, k));
  } else {
    for (unsigned warp = 0; warp < 4; ++warp)
      for (unsigned r = 0; r < WgmmaShape::registersOfA; ++r)
        for (unsigned lane = 0; lane < 32; ++lane)
          for (unsigned i = 0; i < each; ++i) {
            unsigned row = 16 * warp + lane / 4 + 8 * (r & 1);
            unsigned k = (r / 2 * 4 + lane % 4) * each + i;
            uint32_t word = operands.registersA[warp][r][lane];
            uint32_t bits =
                bytes == 4 ? word
                           : word >> (8 * bytes * i) & ((1u << 8 * bytes) - 1);
            a[row * shape.k + k] = Values<T>::decode(shape.a, bits);
          }
  }
  for (unsigned k = 0; k < shape.k; ++k)
    for (unsigned column = 0; column < shape.n; ++column)
      b[k * shape.n + column] = Values<T>::decode(
          shape.b, operandElement(operands.unitsB.data(), operands.mnMajorB,
                                  shape.n, bytes, column, k));
  if (operands.negateA)
    for (T &value : a)
      value = -value;
  if (operands.negateB)
    for (T &value : b)
      value = -value;
}

/// Calls visit(warp, lane, element, index in a row-major [64, n]).
template <typename F>
static void forEachResult(const WgmmaShape &shape, F visit) {
  for (unsigned warp = 0; warp < 4; ++warp)
    for (unsigned i = 0; i < shape.n / 2; ++i)
      for (unsigned lane = 0; lane < 32; ++lane) {
        unsigned row = 16 * warp + lane / 4 + 8 * (i % 4 / 2);
        unsigned column = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
        visit(warp, lane, i, row * shape.n + column);
      }
}

void multiplyWarpgroup(const WgmmaShape &shape, const WgmmaOperands &operands,
                       std::vector<uint32_t> &d) {
  size_t registers = shape.registersOfD();
  size_t count = size_t(WgmmaShape::m) * shape.n;
  if (isInteger(shape.a)) {
    std::vector<int32_t> a, b, sum(count);
    loadOperands(shape, operands, a, b);
    auto at = [&](unsigned warp, unsigned lane, unsigned i) -> uint32_t & {
      return d[(warp * registers + i) * 32 + lane];
    };
    if (operands.accumulate)
      forEachResult(shape,
                    [&](unsigned warp, unsigned lane, unsigned i, size_t to) {
                      sum[to] = int32_t(at(warp, lane, i));
                    });
    multiplyAdd(a.data(), b.data(), sum.data(), WgmmaShape::m, shape.n, shape.k,
                shape.saturate);
    forEachResult(shape,
                  [&](unsigned warp, unsigned lane, unsigned i, size_t from) {
                    at(warp, lane, i) = uint32_t(sum[from]);
                  });
    return;
  }
  std::vector<float> a, b, sum(count);
  loadOperands(shape, operands, a, b);
  bool half = shape.d == Element::F16;
  auto word = [&](unsigned warp, unsigned lane, unsigned i) -> uint32_t & {
    return d[(warp * registers + (half ? i / 2 : i)) * 32 + lane];
  };
  if (operands.accumulate)
    forEachResult(shape, [&](unsigned warp, unsigned lane, unsigned i,
                             size_t to) {
      uint32_t bits = word(warp, lane, i);
      sum[to] = half ? decodeFloat(Element::F16, bits >> 16 * (i % 2) & 0xffff)
                     : decodeFloat(Element::F32, bits);
    });
  multiplyAdd(a.data(), b.data(), sum.data(), WgmmaShape::m, shape.n, shape.k);
  forEachResult(
      shape, [&](unsigned warp, unsigned lane, unsigned i, size_t from) {
        uint32_t &out = word(warp, lane, i);
        if (!half) {
          std::memcpy(&out, &sum[from], 4);
          return;
        }
        uint32_t bits = encodeHalf(sum[from]);
        out = i % 2 ? (out & 0xffff) | bits << 16 : (out & 0xffff0000) | bits;
      });
}

} // namespace moe::emu
