// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../src/TensorMap.h"
#include "check.h"

#include <cstring>

using namespace moe::emu;

namespace {
/// Arguments of a valid call, to be spoilt one at a time: bf16 [3, 5, 72] with
/// boxes of [1, 2, 64] and the 128-byte swizzle.
struct Arguments {
  unsigned type = 9, rank = 3, interleave = 0, swizzle = 3, l2 = 2, fill = 0;
  uint64_t address = 0x10000;
  uint64_t dims[5] = {72, 5, 3, 1, 1};
  uint64_t strides[4] = {160, 800, 2400, 2400};
  uint32_t box[5] = {64, 2, 1, 1, 1};
  uint32_t steps[5] = {1, 1, 1, 1, 1};
  alignas(64) unsigned char map[128] = {};
  std::string error;

  EncodeStatus encode() {
    return encodeTensorMap(map, type, rank, address, dims, strides, box, steps,
                           interleave, swizzle, l2, fill, error);
  }
};
} // namespace

#define REFUSED(change, status, text)                                          \
  do {                                                                         \
    Arguments a;                                                               \
    change;                                                                    \
    CHECK(a.encode() == EncodeStatus::status);                                 \
    CHECK_HAS(a.error, text);                                                  \
    bool untouched = true;                                                     \
    for (unsigned char byte : a.map)                                           \
      untouched &= !byte;                                                      \
    CHECK(untouched);                                                          \
  } while (0)

static void testRefusals() {
  REFUSED(a.rank = 0, Invalid, "rank is 0");
  REFUSED(a.rank = 6, Invalid, "rank is 6");
  REFUSED(a.type = 13, Unsupported, "data type 13");
  REFUSED(a.interleave = 1, Unsupported, "interleaved");
  REFUSED(a.interleave = 3, Invalid, "interleave 3");
  REFUSED(a.swizzle = 4, Unsupported, "swizzle 4");
  REFUSED(a.l2 = 4, Invalid, "L2 promotion");
  REFUSED(a.fill = 1, Unsupported, "NaN fill");
  REFUSED(a.fill = 2, Invalid, "fill mode 2");
  REFUSED(a.address += 8, Invalid, "aligned to 16");
  REFUSED(a.address = 0, Invalid, "global address");
  REFUSED(a.dims[1] = 0, Invalid, "globalDim[1] is 0");
  REFUSED(a.dims[2] = (uint64_t(1) << 32) + 1, Invalid, "globalDim[2]");
  REFUSED(a.strides[0] = 152, Invalid, "globalStrides[0] is 152");
  REFUSED(a.strides[1] = uint64_t(1) << 40, Invalid, "below 2^40");
  REFUSED(a.strides[1] = 816, Invalid, "multiple of globalStrides[0]");
  REFUSED(a.strides[0] = 128, Invalid, "less than a row");
  REFUSED(a.box[0] = 0, Invalid, "boxDim[0] is 0");
  REFUSED(a.box[1] = 257, Invalid, "boxDim[1] is 257");
  REFUSED(a.box[0] = 60, Invalid, "120 bytes, expected a multiple of 16");
  REFUSED(a.box[0] = 72, Invalid, "144 bytes, more than the swizzle's 128");
  REFUSED(a.swizzle = 2, Invalid, "128 bytes, more than the swizzle's 64");
  REFUSED(a.steps[1] = 0, Invalid, "elementStrides[1] is 0");
  REFUSED(a.steps[2] = 9, Invalid, "elementStrides[2] is 9");

  Arguments a;
  CHECK(encodeTensorMap(a.map + 16, 9, 3, a.address, a.dims, a.strides, a.box,
                        a.steps, 0, 3, 0, 0, a.error) == EncodeStatus::Invalid);
  CHECK_HAS(a.error, "aligned to 64");
  CHECK(encodeTensorMap(a.map, 9, 3, a.address, a.dims, nullptr, a.box, a.steps,
                        0, 3, 0, 0, a.error) == EncodeStatus::Invalid);
}

static void testRoundTrip() {
  Arguments a;
  CHECK(a.encode() == EncodeStatus::Ok);
  TensorMap map;
  std::string error;
  CHECK(decodeTensorMap(a.map, map, error));
  CHECK_EQ(map.rank, 3);
  CHECK_EQ(map.base, 0x10000);
  CHECK_EQ(map.elementBytes, 2);
  CHECK_EQ(map.dims[0], 72);
  CHECK_EQ(map.strides[2], 800);
  CHECK_EQ(map.rows(), 2);
  CHECK_EQ(map.boxBytes(), 256);
  CHECK(map.swizzle == Swizzle::B128);
  for (unsigned bit = 0; bit < 1024; bit += 7) {
    unsigned char bytes[128];
    std::memcpy(bytes, a.map, 128);
    bytes[bit / 8] ^= 1 << bit % 8;
    if (!CHECK(!decodeTensorMap(bytes, map, error)))
      std::fprintf(stderr, "  bit %u\n", bit);
  }
  CHECK_HAS(error, "not a tensor map");

  a.dims[0] = uint64_t(1) << 32;
  a.rank = 1;
  CHECK(a.encode() == EncodeStatus::Ok);
  CHECK(decodeTensorMap(a.map, map, error));
  CHECK_EQ(map.dims[0], (long long)1 << 32);
}

/// Every row of a box against the definition, element by element.
static void checkRows(const TensorMap &map, const int32_t *at) {
  bool right = true;
  for (uint64_t r = 0; r < map.rows(); ++r) {
    TensorRow row = tensorRow(map, at, r);
    right &= row.boxOffset == r * map.rowBytes();
    uint64_t rest = r, address = map.base;
    bool inside = true;
    for (unsigned i = 1; i < map.rank; ++i) {
      int64_t index =
          at[i] + int64_t(rest % map.boxElements(i)) * map.elementStrides[i];
      rest /= map.boxElements(i);
      inside &= index >= 0 && index < int64_t(map.dims[i]);
      address += uint64_t(index) * map.strides[i];
    }
    for (unsigned e = 0; e < map.box[0]; ++e) {
      int64_t index = int64_t(at[0]) + e;
      bool valid = inside && index >= 0 && index < int64_t(map.dims[0]);
      uint32_t byte = e * map.elementBytes;
      right &= (byte >= row.first && byte < row.last) == valid;
      if (valid)
        right &= row.address + (byte - row.first) ==
                 address + uint64_t(index) * map.elementBytes;
    }
  }
  CHECK(right);
}

static void testRows() {
  Arguments a;
  TensorMap map;
  std::string error;
  CHECK(a.encode() == EncodeStatus::Ok && decodeTensorMap(a.map, map, error));
  static const int32_t places[][3] = {{0, 0, 0},
                                      {8, 3, 2},
                                      {64, 4, 0},
                                      {-8, -1, 1},
                                      {72, 0, 0},
                                      {0, 5, -1},
                                      {INT32_MAX, 0, INT32_MIN}};
  for (const int32_t *at : places)
    checkRows(map, at);
  // Every other row, five dimensions.
  a.rank = 5;
  for (unsigned i = 0; i < 5; ++i)
    a.dims[i] = 4;
  a.dims[0] = 16;
  for (unsigned i = 0; i < 4; ++i)
    a.strides[i] = 32 << 2 * i;
  for (uint32_t &box : a.box)
    box = 3;
  a.box[0] = 8;
  a.steps[1] = 2;
  a.swizzle = 0;
  CHECK(a.encode() == EncodeStatus::Ok && decodeTensorMap(a.map, map, error));
  CHECK_EQ(map.rows(), 2 * 3 * 3 * 3);
  const int32_t at[] = {4, 1, -1, 2, 0};
  checkRows(map, at);
}

static void testSwizzle() {
  CHECK_EQ(applySwizzle(Swizzle::None, 0x3f0), 0x3f0);
  CHECK_EQ(applySwizzle(Swizzle::B128, 0x380), 0x3f0);
  CHECK_EQ(applySwizzle(Swizzle::B64, 0x380), 0x3b0);
  CHECK_EQ(applySwizzle(Swizzle::B32, 0x380), 0x390);
  CHECK_EQ(swizzleSpan(Swizzle::None), 16);
  CHECK_EQ(swizzleSpan(Swizzle::B128), 128);
}

int main() {
  testRefusals();
  testRoundTrip();
  testRows();
  testSwizzle();
  return finishChecks("test_tensormap");
}
