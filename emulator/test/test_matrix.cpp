// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Fragments and products against the index formulas of the PTX ISA, written
// out shape by shape as they stand there.
#include "../src/Matrix.h"
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

static MmaShape shapeOf(const std::string &text) {
  MmaShape shape;
  std::string error;
  if (!CHECK(parseMma(split(text), shape, error)))
    std::fprintf(stderr, "  %s\n", error.c_str());
  return shape;
}

struct Cell {
  unsigned row, column;
};

// "Matrix fragments for mma.m16n8k16 with floating point type", and so on.
static Cell cellOfA(const std::string &kind, unsigned lane, unsigned i) {
  unsigned g = lane >> 2, t = lane % 4;
  if (kind == "m16n8k4 tf32")
    return {i == 0 ? g : g + 8, t};
  if (kind == "m16n8k8 tf32")
    return {i == 0 || i == 2 ? g : g + 8, i < 2 ? t : t + 4};
  if (kind == "m16n8k8")
    return {i < 2 ? g : g + 8, t * 2 + (i & 1)};
  if (kind == "m16n8k16")
    return {i < 2 || (i >= 4 && i < 6) ? g : g + 8,
            i < 4 ? t * 2 + (i & 1) : t * 2 + (i & 1) + 8};
  if (kind == "m16n8k16 s8")
    return {i < 4 ? g : g + 8, t * 4 + (i & 3)};
  // m16n8k32, 8 bits
  return {i < 4 || (i >= 8 && i < 12) ? g : g + 8,
          i < 8 ? t * 4 + (i & 3) : t * 4 + (i & 3) + 16};
}

static Cell cellOfB(const std::string &kind, unsigned lane, unsigned i) {
  unsigned g = lane >> 2, t = lane % 4;
  if (kind == "m16n8k4 tf32")
    return {t, g};
  if (kind == "m16n8k8 tf32")
    return {i == 0 ? t : t + 4, g};
  if (kind == "m16n8k8")
    return {t * 2 + i, g};
  if (kind == "m16n8k16")
    return {i < 2 ? t * 2 + (i & 1) : t * 2 + (i & 1) + 8, g};
  if (kind == "m16n8k16 s8")
    return {t * 4 + i, g};
  return {i < 4 ? t * 4 + (i & 3) : t * 4 + (i & 3) + 16, g};
}

static Cell cellOfC(unsigned lane, unsigned i) {
  return {i < 2 ? lane >> 2 : (lane >> 2) + 8, lane % 4 * 2 + (i & 1)};
}

/// Bits of a random finite element, of about unit size.
static uint32_t randomBits(Element type, Random &random) {
  uint32_t bits;
  float value = random.uniform();
  std::memcpy(&bits, &value, 4);
  switch (type) {
  case Element::F16:
    return encodeHalf(value);
  case Element::BF16:
    return bits >> 16;
  case Element::TF32:
    return bits; // with its low bits, which must not count
  case Element::E4M3:
  case Element::E5M2:
    bits = random.next() & 0xbf; // below 2
    return bits;
  default:
    return random.next() & 0xff;
  }
}

static void checkMma(const std::string &text, const std::string &kind) {
  MmaShape shape = shapeOf(text);
  Random random(7);
  unsigned bytes = elementBytes(shape.a), each = 4 / bytes;
  uint32_t bitsA[16][32], bitsB[32][8];
  for (auto &row : bitsA)
    for (uint32_t &bits : row)
      bits = randomBits(shape.a, random);
  for (auto &row : bitsB)
    for (uint32_t &bits : row)
      bits = randomBits(shape.b, random);
  Lanes a[4] = {}, b[2] = {}, c[4] = {}, d[4] = {};
  float start[16][8];
  int32_t startInt[16][8];
  for (unsigned i = 0; i < 16; ++i)
    for (unsigned j = 0; j < 8; ++j) {
      start[i][j] = random.uniform();
      if (shape.accumulator == Element::F16)
        start[i][j] = decodeFloat(Element::F16, encodeHalf(start[i][j]));
      startInt[i][j] = int32_t(random.next());
    }
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < shape.registersOfA() * each; ++i) {
      Cell at = cellOfA(kind, lane, i);
      a[i / each][lane] |= bitsA[at.row][at.column]
                           << (each == 1 ? 0 : 8 * bytes * (i % each));
    }
    for (unsigned i = 0; i < shape.registersOfB() * each; ++i) {
      Cell at = cellOfB(kind, lane, i);
      b[i / each][lane] |= bitsB[at.row][at.column]
                           << (each == 1 ? 0 : 8 * bytes * (i % each));
    }
    for (unsigned i = 0; i < 4; ++i) {
      Cell at = cellOfC(lane, i);
      if (shape.accumulator == Element::F16)
        c[i / 2][lane] |= uint32_t(encodeHalf(start[at.row][at.column]))
                          << 16 * (i % 2);
      else if (shape.accumulator == Element::S32)
        c[i][lane] = uint32_t(startInt[at.row][at.column]);
      else
        std::memcpy(&c[i][lane], &start[at.row][at.column], 4);
    }
  }
  multiplyFragments(shape, a, b, c, d);
  bool equal = true;
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < 4; ++i) {
      Cell at = cellOfC(lane, i);
      uint32_t expected, found = d[i][lane];
      if (shape.accumulator == Element::S32) {
        int64_t sum = startInt[at.row][at.column];
        for (unsigned k = 0; k < shape.k; ++k)
          sum += int64_t(decodeInteger(shape.a, bitsA[at.row][k])) *
                 decodeInteger(shape.b, bitsB[k][at.column]);
        if (shape.saturate)
          sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
        expected = uint32_t(sum);
      } else {
        float sum = start[at.row][at.column];
        for (unsigned k = 0; k < shape.k; ++k)
          sum = std::fma(decodeFloat(shape.a, bitsA[at.row][k]),
                         decodeFloat(shape.b, bitsB[k][at.column]), sum);
        std::memcpy(&expected, &sum, 4);
        if (shape.accumulator == Element::F16) {
          expected = encodeHalf(sum);
          found = d[i / 2][lane] >> 16 * (i % 2) & 0xffff;
        }
      }
      equal &= expected == found;
    }
  if (!CHECK(equal))
    std::fprintf(stderr, "  %s\n", text.c_str());
}

static void testProducts() {
  checkMma("sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "m16n8k16");
  checkMma("sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "m16n8k16");
  checkMma("sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", "m16n8k16");
  checkMma("sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", "m16n8k8");
  checkMma("sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", "m16n8k8");
  checkMma("sync.aligned.m16n8k8.row.col.f16.f16.f16.f16", "m16n8k8");
  checkMma("sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", "m16n8k4 tf32");
  checkMma("sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", "m16n8k8 tf32");
  for (const char *left : {"e4m3", "e5m2"})
    for (const char *right : {"e4m3", "e5m2"})
      checkMma(std::string("sync.aligned.m16n8k32.row.col.f32.") + left + "." +
                   right + ".f32",
               "m16n8k32");
  for (const char *left : {"s8", "u8"})
    for (const char *right : {"s8", "u8"})
      for (const char *clamp : {"", ".satfinite"}) {
        std::string types =
            std::string(clamp) + ".s32." + left + "." + right + ".s32";
        checkMma("sync.aligned.m16n8k32.row.col" + types, "m16n8k32");
        checkMma("sync.aligned.m16n8k16.row.col" + types, "m16n8k16 s8");
      }
}

static void testRefusals() {
  static const char *const texts[] = {
      "sync.aligned.m8n8k4.row.col.f32.f16.f16.f32",
      "sync.aligned.m8n8k4.row.col.f64.f64.f64.f64",
      "sync.aligned.m16n8k16.row.row.f32.bf16.bf16.f32",
      "sync.aligned.m16n8k16.row.col.f32.bf16.f16.f32",
      "sync.aligned.m16n8k16.row.col.f16.bf16.bf16.f16",
      "sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32",
      "sync.aligned.m16n8k16.row.col.f32.tf32.tf32.f32",
      "sync.aligned.m16n8k16.row.col.satfinite.f32.bf16.bf16.f32",
      "sync.aligned.m16n8k32.row.col.kind::f8f6f4.f32.e4m3.e4m3.f32",
      "sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.xor.popc",
      "sync.aligned.m16n8k32.row.col.s32.s4.s4.s32",
      "sp.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32",
      "aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
      "sync.aligned.m16n8k16.row.col.f32.bf16.bf16",
      "sync.aligned",
      ""};
  for (const char *text : texts) {
    MmaShape shape;
    std::string error;
    if (!CHECK(!parseMma(split(text), shape, error)))
      std::fprintf(stderr, "  %s\n", text);
    CHECK_HAS(error, "mma");
  }
  MmaShape shape;
  std::string error;
  parseMma(split("sync.aligned.m8n8k4.row.col.f32.f16.f16.f32"), shape, error);
  CHECK_HAS(error, "shape 'm8n8k4' is not supported");
}

static void testFormats() {
  // Every f16 survives the way through f32; rounding goes to even.
  bool same = true;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float value = decodeFloat(Element::F16, bits);
    same &= std::isnan(value) ? (encodeHalf(value) & 0x7fff) == 0x7fff
                              : encodeHalf(value) == bits;
  }
  CHECK(same);
  CHECK_EQ(encodeHalf(65519.0f), 0x7bff);
  CHECK_EQ(encodeHalf(65520.0f), 0x7c00);
  CHECK_EQ(encodeHalf(1.0f + 0x1p-11f), 0x3c00);
  CHECK_EQ(encodeHalf(1.0f + 0x3p-11f), 0x3c02);
  CHECK_EQ(encodeHalf(0x1p-25f), 0);
  CHECK_EQ(encodeHalf(0x1.8p-24f), 2);
  CHECK(decodeFloat(Element::E4M3, 0x7e) == 448.0f);
  CHECK(std::isnan(decodeFloat(Element::E4M3, 0xff)));
  CHECK(decodeFloat(Element::E4M3, 0x01) == 0x1p-9f);
  CHECK(decodeFloat(Element::E5M2, 0x7b) == 57344.0f);
  CHECK(std::isinf(decodeFloat(Element::E5M2, 0xfc)));
  CHECK(decodeFloat(Element::E5M2, 0x01) == 0x1p-16f);
  CHECK(decodeFloat(Element::TF32, 0x3f801fff) == 1.0f);
  CHECK(decodeFloat(Element::BF16, 0xc040) == -3.0f);
}

static void testMatrices() {
  Lanes in, out, back;
  for (unsigned lane = 0; lane < 32; ++lane)
    in[lane] = (lane / 4 * 8 + lane % 4 * 2) | (lane / 4 * 8 + lane % 4 * 2 + 1)
                                                   << 16;
  transposeMatrix(in, out);
  bool right = true;
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned half = 0; half < 2; ++half) {
      MatrixCell cell = matrixCell(lane, half, true);
      right &= (out[lane] >> 16 * half & 0xffff) == cell.row * 8 + cell.column;
    }
  CHECK(right);
  transposeMatrix(out, back);
  CHECK(!std::memcmp(in, back, sizeof(in)));
}

static void testBanks() {
  uint32_t addresses[32];
  auto use = [&](unsigned stride, unsigned bytes, uint32_t lanes = ~0u) {
    for (unsigned lane = 0; lane < 32; ++lane)
      addresses[lane] = lane * stride;
    return countBankPasses(addresses, lanes, bytes);
  };
  CHECK_EQ(use(4, 4).passes, 1);
  CHECK_EQ(use(0, 4).conflicts, 0); // one word for all
  CHECK_EQ(use(8, 4).passes, 2);
  CHECK_EQ(use(128, 4).passes, 32);
  CHECK_EQ(use(128, 4, 0xff).conflicts, 7);
  CHECK_EQ(use(16, 16).passes, 4);
  CHECK_EQ(use(16, 16).conflicts, 0);
  CHECK_EQ(use(128, 16).passes, 32);
  CHECK_EQ(use(8, 8).passes, 2);
  CHECK_EQ(use(1, 1).passes, 1);
  // Rows of 128 bytes read in columns of 16 bytes: conflict-free once swizzled.
  for (unsigned lane = 0; lane < 32; ++lane)
    addresses[lane] = lane * 128 + (lane % 8) * 16;
  CHECK_EQ(countBankPasses(addresses, ~0u, 16).conflicts, 0);
}

int main() {
  testProducts();
  testRefusals();
  testFormats();
  testMatrices();
  testBanks();
  return finishChecks("test_matrix");
}
