// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What wgmma.mma_async reads and computes: shapes, matrix descriptors, the
// products. WarpgroupOps.cpp says when.
#ifndef MOE_EMULATOR_WARPGROUP_H
#define MOE_EMULATOR_WARPGROUP_H

#include "Matrix.h"
#include "TensorMap.h"

#include <cstdint>
#include <string>
#include <vector>

namespace moe::emu {

/// One form of wgmma.mma_async: D [64, n] = A [64, k] B [k, n] + D.
struct WgmmaShape {
  static constexpr unsigned m = 64;
  unsigned n = 0, k = 0;
  Element a = Element::BF16, b = Element::BF16, d = Element::F32;
  bool saturate = false;

  /// Registers of D in every thread.
  unsigned registersOfD() const { return n * elementBytes(d) / 8; }
  /// Registers of A in every thread where A is not in shared memory.
  static constexpr unsigned registersOfA = 4;
  bool has16BitElements() const { return elementBytes(a) == 2; }
};

/// Reads the modifiers after "wgmma.mma_async" ("sync", "aligned", ...). On
/// failure `error` says which is not supported.
bool parseWgmma(const std::vector<std::string> &modifiers, WgmmaShape &shape,
                std::string &error);

/// A matrix descriptor (PTX ISA, "Matrix descriptor format").
struct MatrixDescriptor {
  /// Bytes in the 256 KiB window of shared memory.
  uint32_t start = 0;
  uint32_t leadingOffset = 0, strideOffset = 0;
  unsigned baseOffset = 0;
  Swizzle swizzle = Swizzle::None;
};

/// False and `error` if a reserved bit is set.
bool decodeDescriptor(uint64_t bits, MatrixDescriptor &descriptor,
                      std::string &error);

/// Addresses of the 16-byte units that hold an operand.
///
/// K-major (the k of one row are neighbours): unit `index` = 2 row + half holds
/// the 16 bytes of k from half on. Without swizzle 8 rows of 16 bytes are a
/// core matrix, the next half is leadingOffset away and the next 8 rows
/// strideOffset. With a swizzle of span s the rows of a group of 8 are s bytes
/// apart, and leadingOffset is not used.
///
/// MN-major (16-bit elements; the rows of one k are neighbours): unit `index` =
/// k rows/8 + row/8 holds 8 rows of one k. Without swizzle the next 8 rows are
/// strideOffset away, the next k 16 bytes, and the next 8 k leadingOffset. With
/// a swizzle of span s a run is s/2 rows, the next run leadingOffset away, the
/// next k s bytes, and the next 8 k strideOffset.
uint32_t operandUnit(const MatrixDescriptor &descriptor, bool mnMajor,
                     unsigned rows, unsigned index);

/// Number of operandUnit()s of `rows` rows: every operand is 32 bytes of k.
inline unsigned operandUnits(unsigned rows) { return 2 * rows; }

/// Element (row, k) of `units`, the operand's units one after the other.
uint32_t operandElement(const uint8_t *units, bool mnMajor, unsigned rows,
                        unsigned bytes, unsigned row, unsigned k);

/// Operands of one product of a warpgroup, as bits.
struct WgmmaOperands {
  /// Units of A in shared memory, or empty: then `registersA` counts.
  std::vector<uint8_t> unitsA;
  /// [warp][register][lane].
  uint32_t registersA[4][4][32] = {};
  std::vector<uint8_t> unitsB;
  bool mnMajorA = false, mnMajorB = false;
  bool negateA = false, negateB = false;
  /// False: D = A B.
  bool accumulate = true;
};

/// D of the four warps: d[(warp * registersOfD() + register) * 32 + lane],
/// where element i of lane l of warp w is row 16 w + l / 4 + 8 (i % 4 / 2) and
/// column 8 (i / 4) + 2 (l % 4) + i % 2.
void multiplyWarpgroup(const WgmmaShape &shape, const WgmmaOperands &operands,
                       std::vector<uint32_t> &d);

} // namespace moe::emu

#endif // MOE_EMULATOR_WARPGROUP_H
