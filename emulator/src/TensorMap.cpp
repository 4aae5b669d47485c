// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TensorMap.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace moe::emu {

uint64_t TensorMap::rows() const {
  uint64_t count = 1;
  for (unsigned i = 1; i < rank; ++i)
    count *= boxElements(i);
  return count;
}

/// Bytes of the CUtensorMapDataType values 0 to 12.
static const uint8_t typeBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
static constexpr unsigned numTypes = sizeof(typeBytes);
static const uint64_t magic = 0x3150414d54454f4d; // "MOETMAP1"

namespace {
/// The encoded form, little endian as the machine.
struct Encoded {
  uint64_t magic;
  uint64_t base;
  uint32_t lastIndex[5]; // dims - 1, for 2^32 is allowed
  uint8_t rank, dataType, swizzle, reserved;
  uint64_t strides[4];
  uint16_t box[5];
  uint8_t elementStrides[5];
  uint8_t padding[33];
  uint64_t checksum;
};
} // namespace
static_assert(sizeof(Encoded) == TensorMap::encodedBytes, "128 bytes");

/// FNV-1a over everything before the checksum.
static uint64_t checksum(const Encoded &map) {
  const auto *bytes = reinterpret_cast<const unsigned char *>(&map);
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < offsetof(Encoded, checksum); ++i)
    hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

EncodeStatus encodeTensorMap(void *map, unsigned dataType, unsigned rank,
                             uint64_t globalAddress, const uint64_t *globalDim,
                             const uint64_t *globalStrides,
                             const uint32_t *boxDim,
                             const uint32_t *elementStrides,
                             unsigned interleave, unsigned swizzle,
                             unsigned l2Promotion, unsigned oobFill,
                             std::string &error) {
  auto fail = [&](const std::string &text) {
    error = "cuTensorMapEncodeTiled: " + text;
    return EncodeStatus::Invalid;
  };
  auto unsupported = [&](const std::string &text) {
    error =
        "cuTensorMapEncodeTiled: " + text + " is not supported by the emulator";
    return EncodeStatus::Unsupported;
  };
  auto number = [](uint64_t n) { return std::to_string(n); };
  if (!map || reinterpret_cast<uintptr_t>(map) % 64)
    return fail("the map must be aligned to 64 bytes");
  if (rank < 1 || rank > TensorMap::maxRank)
    return fail("rank is " + number(rank) + ", expected 1 to 5");
  if (!globalDim || !boxDim || !elementStrides || (rank > 1 && !globalStrides))
    return fail("an array is null");
  if (dataType >= numTypes)
    return unsupported("data type " + number(dataType));
  if (interleave > 2)
    return fail("interleave " + number(interleave) + " is unknown");
  if (interleave)
    return unsupported("interleaved layout " + number(interleave));
  if (swizzle > 3)
    return unsupported("swizzle " + number(swizzle));
  if (l2Promotion > 3)
    return fail("L2 promotion " + number(l2Promotion) + " is unknown");
  if (oobFill > 1)
    return fail("fill mode " + number(oobFill) + " is unknown");
  if (oobFill)
    return unsupported("NaN fill");
  if (!globalAddress || globalAddress % 16)
    return fail("the global address must be aligned to 16 bytes");

  Encoded encoded;
  std::memset(&encoded, 0, sizeof(encoded));
  uint64_t bytes = typeBytes[dataType];
  for (unsigned i = 0; i < rank; ++i) {
    std::string at = "[" + number(i) + "] is ";
    if (globalDim[i] < 1 || globalDim[i] > uint64_t(1) << 32)
      return fail("globalDim" + at + number(globalDim[i]) +
                  ", expected 1 to 2^32");
    if (boxDim[i] < 1 || boxDim[i] > 256)
      return fail("boxDim" + at + number(boxDim[i]) + ", expected 1 to 256");
    if (elementStrides[i] < 1 || elementStrides[i] > 8)
      return fail("elementStrides" + at + number(elementStrides[i]) +
                  ", expected 1 to 8");
    encoded.lastIndex[i] = uint32_t(globalDim[i] - 1);
    encoded.box[i] = uint16_t(boxDim[i]);
    encoded.elementStrides[i] = uint8_t(elementStrides[i]);
  }
  for (unsigned i = 0; i + 1 < rank; ++i) {
    uint64_t stride = globalStrides[i];
    std::string is = "globalStrides[" + number(i) + "] is " + number(stride);
    if (stride % 16 || stride >= uint64_t(1) << 40)
      return fail(is + ", expected a multiple of 16 below 2^40");
    uint64_t previous = i ? globalStrides[i - 1] : bytes;
    if (i && (!previous || stride % previous))
      return fail(is + ", expected a multiple of globalStrides[" +
                  number(i - 1) + "]");
    if (i == 0 && stride / bytes < globalDim[0])
      return fail(is + ", less than a row of " + number(globalDim[0]) +
                  " elements");
    encoded.strides[i] = stride;
  }
  uint64_t inner = boxDim[0] * bytes;
  if (inner % 16)
    return fail("the inner box takes " + number(inner) +
                " bytes, expected a multiple of 16");
  if (swizzle && inner > swizzleSpan(Swizzle(swizzle)))
    return fail("the inner box takes " + number(inner) +
                " bytes, more than the swizzle's " +
                number(swizzleSpan(Swizzle(swizzle))));
  encoded.magic = magic;
  encoded.base = globalAddress;
  encoded.rank = uint8_t(rank);
  encoded.dataType = uint8_t(dataType);
  encoded.swizzle = uint8_t(swizzle);
  encoded.checksum = checksum(encoded);
  std::memcpy(map, &encoded, sizeof(encoded));
  return EncodeStatus::Ok;
}

bool decodeTensorMap(const void *bytes, TensorMap &map, std::string &error) {
  Encoded encoded;
  std::memcpy(&encoded, bytes, sizeof(encoded));
  if (encoded.magic != magic || encoded.checksum != checksum(encoded) ||
      encoded.rank < 1 || encoded.rank > TensorMap::maxRank ||
      encoded.dataType >= numTypes || encoded.swizzle > 3) {
    error = "these 128 bytes are not a tensor map of cuTensorMapEncodeTiled";
    return false;
  }
  map = TensorMap();
  map.base = encoded.base;
  map.rank = encoded.rank;
  map.dataType = encoded.dataType;
  map.elementBytes = typeBytes[encoded.dataType];
  map.swizzle = Swizzle(encoded.swizzle);
  for (unsigned i = 0; i < map.rank; ++i) {
    map.dims[i] = uint64_t(encoded.lastIndex[i]) + 1;
    map.strides[i] = i ? encoded.strides[i - 1] : map.elementBytes;
    // The checksum is no signature: a forged map must not divide by zero.
    map.box[i] = std::clamp<unsigned>(encoded.box[i], 1, 256);
    map.elementStrides[i] =
        std::clamp<unsigned>(encoded.elementStrides[i], 1, 8);
  }
  return true;
}

TensorRow tensorRow(const TensorMap &map, const int32_t *coordinates,
                    uint64_t index) {
  TensorRow row;
  row.boxOffset = uint32_t(index * map.rowBytes());
  uint64_t address = map.base;
  for (unsigned i = 1; i < map.rank; ++i) {
    unsigned count = map.boxElements(i);
    int64_t at = coordinates[i] +
                 int64_t(index % count) * int64_t(map.elementStrides[i]);
    index /= count;
    if (at < 0 || uint64_t(at) >= map.dims[i])
      return row;
    address += uint64_t(at) * map.strides[i];
  }
  int64_t begin = coordinates[0], end = begin + int64_t(map.box[0]);
  int64_t low = std::max<int64_t>(begin, 0);
  int64_t high = std::min<int64_t>(end, int64_t(map.dims[0]));
  if (low >= high)
    return row;
  row.first = uint32_t(low - begin) * map.elementBytes;
  row.last = uint32_t(high - begin) * map.elementBytes;
  row.address = address + uint64_t(low) * map.elementBytes;
  return row;
}

} // namespace moe::emu
