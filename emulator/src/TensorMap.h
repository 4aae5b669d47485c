// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensor maps: the 128-byte objects that cuTensorMapEncodeTiled makes and that
// cp.async.bulk.tensor reads. The hardware's layout is not documented; this one
// is ours, with a checksum so that anything else is told from a map.
#ifndef MOE_EMULATOR_TENSORMAP_H
#define MOE_EMULATOR_TENSORMAP_H

#include <cstdint>
#include <string>
#include <vector>

namespace moe::emu {

/// XOR of address bits that both TMA and wgmma apply in shared memory. The
/// numbers are those of CUtensorMapSwizzle.
enum class Swizzle : uint8_t { None = 0, B32 = 1, B64 = 2, B128 = 3 };

/// Bytes of a row of the pattern: 16 without swizzle, else 32, 64, 128.
inline unsigned swizzleSpan(Swizzle mode) { return 16u << unsigned(mode); }

/// Where the byte of linear shared address `address` lies: bits 4 to 6 (B128),
/// 4 to 5 (B64) or 4 (B32) are XORed with those from bit 7 on.
inline uint32_t applySwizzle(Swizzle mode, uint32_t address) {
  uint32_t mask = (1u << unsigned(mode)) - 1;
  return address ^ ((address >> 7 & mask) << 4);
}

/// What a tensor map says, dimensions innermost first.
struct TensorMap {
  static constexpr unsigned maxRank = 5;
  static constexpr unsigned encodedBytes = 128;

  uint64_t base = 0;
  unsigned rank = 0;
  /// CUtensorMapDataType.
  unsigned dataType = 0;
  unsigned elementBytes = 0;
  uint64_t dims[maxRank] = {};
  /// strides[i] in bytes of dimension i; strides[0] is elementBytes.
  uint64_t strides[maxRank] = {};
  unsigned box[maxRank] = {};
  unsigned elementStrides[maxRank] = {};
  Swizzle swizzle = Swizzle::None;

  /// Elements that land in shared memory along dimension i.
  unsigned boxElements(unsigned i) const {
    return i == 0 ? box[0]
                  : (box[i] + elementStrides[i] - 1) / elementStrides[i];
  }
  /// Bytes of an innermost row of the box.
  unsigned rowBytes() const { return box[0] * elementBytes; }
  /// Rows of the box.
  uint64_t rows() const;
  /// Bytes that a load adds to an mbarrier's transaction count; elements out
  /// of bounds count.
  uint64_t boxBytes() const { return rows() * rowBytes(); }
};

/// What the arguments of cuTensorMapEncodeTiled come to.
enum class EncodeStatus {
  Ok,
  /// CUDA_ERROR_INVALID_VALUE.
  Invalid,
  /// Valid for the driver, refused by the emulator: CUDA_ERROR_NOT_SUPPORTED.
  Unsupported,
};

/// Arguments as the driver's C function takes them: `globalStrides` has
/// rank - 1 entries, in bytes. Writes 128 bytes to `map`, which must be aligned
/// to 64, only when Ok; otherwise `error` names the argument.
EncodeStatus encodeTensorMap(void *map, unsigned dataType, unsigned rank,
                             uint64_t globalAddress, const uint64_t *globalDim,
                             const uint64_t *globalStrides,
                             const uint32_t *boxDim,
                             const uint32_t *elementStrides,
                             unsigned interleave, unsigned swizzle,
                             unsigned l2Promotion, unsigned oobFill,
                             std::string &error);

/// Reads a map of encodeTensorMap() from 128 bytes of any alignment; false and
/// `error` for other bytes.
bool decodeTensorMap(const void *bytes, TensorMap &map, std::string &error);

/// A run of bytes along the innermost dimension of a box.
struct TensorRow {
  /// Offset in the box, before the swizzle.
  uint32_t boxOffset = 0;
  /// Bytes [first, last) of the row lie inside the tensor; none if equal.
  uint32_t first = 0, last = 0;
  /// Global address of byte `first`.
  uint64_t address = 0;
};

/// Row `index` of the box at `coordinates` (one for each dimension, innermost
/// first; negative and too large ones lie outside the tensor).
TensorRow tensorRow(const TensorMap &map, const int32_t *coordinates,
                    uint64_t index);

} // namespace moe::emu

#endif // MOE_EMULATOR_TENSORMAP_H
