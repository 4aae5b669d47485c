// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operands of wgmma laid out in shared memory by the canonical layouts, as
// nested strides, and products against plain loops.
#include "../src/Warpgroup.h"
#include "check.h"

#include <cmath>
#include <cstring>

using namespace moe::emu;

static std::vector<std::string> split(const std::string &text) {
  std::vector<std::string> words;
  size_t at = 0;
  while (at <= text.size()) {
    size_t end = text.find('.', at);
    if (end == std::string::npos)
      end = text.size();
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

static bool parse(const std::string &text, WgmmaShape &shape) {
  std::string error;
  bool good = parseWgmma(split(text), shape, error);
  CHECK(good == error.empty());
  if (!good)
    CHECK_HAS(error, "wgmma.mma_async");
  return good;
}

static void testShapes() {
  WgmmaShape shape;
  CHECK(parse("sync.aligned.m64n256k16.f32.bf16.bf16", shape));
  CHECK_EQ(shape.n, 256);
  CHECK_EQ(shape.registersOfD(), 128);
  CHECK(parse("sync.aligned.m64n8k16.f16.f16.f16", shape));
  CHECK_EQ(shape.registersOfD(), 2);
  CHECK(parse("sync.aligned.m64n200k8.f32.tf32.tf32", shape));
  CHECK(parse("sync.aligned.m64n24k32.f32.e4m3.e5m2", shape));
  CHECK(parse("sync.aligned.m64n64k32.f16.e5m2.e4m3", shape));
  CHECK(parse("sync.aligned.m64n24k32.s32.s8.u8.satfinite", shape));
  CHECK(shape.saturate);
  static const char *const refused[] = {
      "sync.aligned.m64n264k16.f32.bf16.bf16",
      "sync.aligned.m64n0k16.f32.bf16.bf16",
      "sync.aligned.m64n12k16.f32.bf16.bf16",
      "sync.aligned.m64n64k32.f32.bf16.bf16",
      "sync.aligned.m64n64k16.f16.bf16.bf16",
      "sync.aligned.m64n64k16.f32.bf16.f16",
      "sync.aligned.m64n40k32.s32.s8.s8",
      "sync.aligned.m64n64k256.s32.b1.b1.and.popc",
      "sync.aligned.m64n64k16.f32.bf16.bf16.satfinite",
      "sp.sync.aligned.m64n64k32.f32.bf16.bf16",
      "aligned.m64n64k16.f32.bf16.bf16",
      "sync.aligned.m64n64k.f32.bf16.bf16",
      "sync.aligned.m64n99999999999k16.f32.bf16.bf16",
      ""};
  for (const char *text : refused)
    if (!CHECK(!parse(text, shape)))
      std::fprintf(stderr, "  %s\n", text);
}

static uint64_t makeDescriptor(uint32_t start, uint32_t leading,
                               uint32_t stride, unsigned mode,
                               unsigned base = 0) {
  return (start & 0x3ffff) >> 4 | uint64_t(leading >> 4) << 16 |
         uint64_t(stride >> 4) << 32 | uint64_t(base) << 49 |
         uint64_t(mode) << 62;
}

/// Swizzle<b, 4, 3> of a byte address, with b = 3, 2, 1 for modes 1, 2, 3.
static uint32_t swizzled(uint32_t address, unsigned mode) {
  unsigned b = mode ? 4 - mode : 0;
  for (unsigned bit = 0; bit < b; ++bit)
    address ^= (address >> (7 + bit) & 1) << (4 + bit);
  return address;
}

/// Byte address of an element in one of the canonical layouts.
static uint32_t place(unsigned mode, bool mnMajor, unsigned bytes,
                      uint32_t start, uint32_t leading, uint32_t stride,
                      unsigned row, unsigned k) {
  uint32_t offset;
  unsigned units = mode == 1 ? 8 : mode == 2 ? 4 : mode == 3 ? 2 : 1;
  unsigned perUnit = 16 / bytes; // T
  if (!mnMajor) {
    // ((8, m), (T, 2)) : ((units T, SBO), (1, T or LBO))
    offset = row % 8 * units * 16 + row / 8 * stride + k % perUnit * bytes +
             k / perUnit * (mode ? 16 : leading);
  } else if (mode) {
    // ((T, units, m), (8, k)) : ((1, T, LBO), (units T, SBO))
    offset = row % 8 * 2 + row / 8 % units * 16 + row / 8 / units * leading +
             k % 8 * units * 16 + k / 8 * stride;
  } else {
    // ((T, 1, m), (8, k)) : ((1, T, SBO), (1 T, LBO))
    offset = row % 8 * 2 + row / 8 * stride + k % 8 * 16 + k / 8 * leading;
  }
  return swizzled(start + offset, mode);
}

static void checkProduct(const std::string &text, unsigned modeA, bool mnA,
                         unsigned modeB, bool mnB, bool fromRegisters,
                         bool accumulate, bool negateA, bool negateB) {
  WgmmaShape shape;
  if (!CHECK(parse(text, shape)))
    return;
  Random random(shape.n * 64 + modeA * 16 + modeB * 4 + mnA * 2 + mnB);
  std::vector<uint8_t> memory(1 << 18);
  unsigned bytes = elementBytes(shape.a), each = 4 / bytes;
  std::vector<uint32_t> bitsA(64 * shape.k), bitsB(shape.n * shape.k);
  auto fill = [&](std::vector<uint32_t> &all, Element type) {
    for (uint32_t &bits : all) {
      float value = random.uniform();
      std::memcpy(&bits, &value, 4);
      if (type == Element::F16)
        bits = encodeHalf(value);
      else if (type == Element::BF16)
        bits >>= 16;
      else if (bytes == 1)
        bits = random.next() & 0xbf;
    }
  };
  fill(bitsA, shape.a);
  fill(bitsB, shape.b);
  // Strides that leave gaps; starts at multiples of the pattern, A's 32 bytes
  // of k further in where the span leaves room.
  auto strides = [&](unsigned mode, bool mn, unsigned rows, uint32_t &leading,
                     uint32_t &stride) {
    unsigned units = mode == 1 ? 8 : mode == 2 ? 4 : mode == 3 ? 2 : 1;
    if (!mn) {
      stride = mode ? units * 128 : 256 + 16;
      leading = mode ? 16 : 128 + 8192;
      if (!mode)
        leading = 16384 + 128;
    } else if (mode) {
      stride = units * 128;
      leading = 2 * units * 128;
    } else {
      stride = 128;
      leading = 128 * (rows / 8);
    }
  };
  uint32_t leadA, strideA, leadB, strideB;
  strides(modeA, mnA, 64, leadA, strideA);
  strides(modeB, mnB, shape.n, leadB, strideB);
  uint32_t startA = 4096 + (!mnA && (modeA == 1 || modeA == 2) ? 32 : 0);
  uint32_t startB = 65536 + (!mnB && modeB == 1 ? 64 : 0);
  WgmmaOperands operands;
  auto put = [&](unsigned mode, bool mn, uint32_t start, uint32_t lead,
                 uint32_t stride, unsigned rows,
                 const std::vector<uint32_t> &bits) {
    for (unsigned row = 0; row < rows; ++row)
      for (unsigned k = 0; k < shape.k; ++k)
        std::memcpy(
            &memory[place(mode, mn, bytes, start, lead, stride, row, k)],
            &bits[row * shape.k + k], bytes);
  };
  auto get = [&](uint64_t word, bool mn, unsigned rows,
                 std::vector<uint8_t> &units) {
    MatrixDescriptor descriptor;
    std::string error;
    CHECK(decodeDescriptor(word, descriptor, error));
    for (unsigned i = 0; i < operandUnits(rows); ++i) {
      uint32_t at = operandUnit(descriptor, mn, rows, i);
      units.insert(units.end(), &memory[at], &memory[at] + 16);
    }
  };
  put(modeB, mnB, startB, leadB, strideB, shape.n, bitsB);
  if (!fromRegisters) {
    put(modeA, mnA, startA, leadA, strideA, 64, bitsA);
    get(makeDescriptor(startA, leadA, strideA, modeA), mnA, 64,
        operands.unitsA);
  } else {
    for (unsigned warp = 0; warp < 4; ++warp)
      for (unsigned lane = 0; lane < 32; ++lane)
        for (unsigned i = 0; i < 4 * each; ++i) {
          // "Register fragments for wgmma": rows of i as in mma.m16n8k*.
          unsigned row = lane / 4 + (i / each % 2 ? 8 : 0);
          unsigned k = lane % 4 * each + i % each + (i / each / 2) * 4 * each;
          operands.registersA[warp][i / each][lane] |=
              bitsA[(warp * 16 + row) * shape.k + k]
              << (each == 1 ? 0 : 8 * bytes * (i % each));
        }
  }
  get(makeDescriptor(startB, leadB, strideB, modeB), mnB, shape.n,
      operands.unitsB);
  operands.mnMajorA = mnA;
  operands.mnMajorB = mnB;
  operands.negateA = negateA;
  operands.negateB = negateB;
  operands.accumulate = accumulate;
  unsigned registers = shape.registersOfD();
  std::vector<uint32_t> d(4 * registers * 32);
  bool half = shape.d == Element::F16, integer = shape.d == Element::S32;
  for (uint32_t &bits : d) {
    float value = random.uniform();
    std::memcpy(&bits, &value, 4);
    if (half)
      bits = encodeHalf(value) | uint32_t(encodeHalf(-value)) << 16;
  }
  std::vector<uint32_t> before = d;
  multiplyWarpgroup(shape, operands, d);
  bool equal = true;
  for (unsigned warp = 0; warp < 4; ++warp)
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < shape.n / 2; ++i) {
        unsigned row = 16 * warp + lane / 4 + 8 * ((i % 4) / 2);
        unsigned column = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
        size_t at = (warp * registers + (half ? i / 2 : i)) * 32 + lane;
        uint32_t found = d[at], start = before[at], expected;
        if (integer) {
          int64_t sum = accumulate ? int32_t(start) : 0;
          for (unsigned k = 0; k < shape.k; ++k)
            sum += int64_t(decodeInteger(shape.a, bitsA[row * shape.k + k])) *
                   decodeInteger(shape.b, bitsB[column * shape.k + k]);
          expected = uint32_t(sum);
        } else {
          if (half) {
            start = start >> 16 * (i % 2) & 0xffff;
            found = found >> 16 * (i % 2) & 0xffff;
          }
          float sum = accumulate ? decodeFloat(shape.d, start) : 0;
          for (unsigned k = 0; k < shape.k; ++k) {
            float x = decodeFloat(shape.a, bitsA[row * shape.k + k]);
            float y = decodeFloat(shape.b, bitsB[column * shape.k + k]);
            sum = std::fma(negateA ? -x : x, negateB ? -y : y, sum);
          }
          std::memcpy(&expected, &sum, 4);
          if (half)
            expected = encodeHalf(sum);
        }
        equal &= expected == found;
      }
  if (!CHECK(equal))
    std::fprintf(stderr, "  %s, A mode %u major %d, B mode %u major %d\n",
                 text.c_str(), modeA, mnA, modeB, mnB);
}

static void testProducts() {
  for (unsigned mode = 0; mode < 4; ++mode) {
    for (const char *n : {"8", "64", "192", "256"}) {
      std::string shape = std::string("sync.aligned.m64n") + n;
      checkProduct(shape + "k16.f32.bf16.bf16", mode, false, mode, false, false,
                   true, false, false);
      checkProduct(shape + "k16.f32.bf16.bf16", mode, false, mode, false, true,
                   false, true, false);
    }
    for (int major = 1; major < 4; ++major)
      checkProduct("sync.aligned.m64n128k16.f32.f16.f16", mode, major & 1, mode,
                   major & 2, false, true, false, true);
    checkProduct("sync.aligned.m64n32k16.f16.f16.f16", mode, false, 1, false,
                 false, true, false, false);
    checkProduct("sync.aligned.m64n32k8.f32.tf32.tf32", 1, false, mode, false,
                 mode & 1, true, false, false);
    checkProduct("sync.aligned.m64n40k32.f32.e4m3.e5m2", mode, false, mode,
                 false, mode & 1, true, false, false);
    checkProduct("sync.aligned.m64n48k32.s32.s8.u8", mode, false, mode, false,
                 mode & 1, true, false, false);
  }
}

static void testDescriptors() {
  MatrixDescriptor descriptor;
  std::string error;
  // The descriptor of a tile of rows of 128 bytes at 0xc400.
  CHECK(decodeDescriptor(0x4000004000010c40, descriptor, error));
  CHECK_EQ(descriptor.start, 0xc400);
  CHECK_EQ(descriptor.leadingOffset, 16);
  CHECK_EQ(descriptor.strideOffset, 1024);
  CHECK(descriptor.swizzle == Swizzle::B128);
  for (unsigned bit : {14, 15, 30, 31, 46, 47, 48, 52, 61}) {
    CHECK(!decodeDescriptor(uint64_t(1) << bit, descriptor, error));
    CHECK_HAS(error, "reserved bits");
  }
  // A pattern that starts two rows into its 1024 bytes.
  CHECK(decodeDescriptor(makeDescriptor(0x4100, 0, 1024, 1, 2), descriptor,
                         error));
  CHECK_EQ(operandUnit(descriptor, false, 64, 0), 0x4100);
  CHECK_EQ(operandUnit(descriptor, false, 64, 2), 0x4180 ^ 16);
  // Addresses stay in the window.
  CHECK(decodeDescriptor(makeDescriptor(0x3fff0, 0x3fff0, 0x3fff0, 0),
                         descriptor, error));
  bool inside = true;
  for (unsigned i = 0; i < 512; ++i)
    inside &= operandUnit(descriptor, false, 256, i) < 1 << 18;
  CHECK(inside);
}

int main() {
  testShapes();
  testDescriptors();
  testProducts();
  return finishChecks("test_warpgroup");
}
