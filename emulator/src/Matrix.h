// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix fragments and products of mma.sync, wgmma, ldmatrix and stmatrix.
// Nothing in here knows of memory or warps: registers come and go as arrays.
#ifndef MOE_EMULATOR_MATRIX_H
#define MOE_EMULATOR_MATRIX_H

#include <cstdint>
#include <string>
#include <vector>

namespace moe::emu {

/// Element types of matrix operands and accumulators.
enum class Element : uint8_t { F16, BF16, TF32, E4M3, E5M2, S8, U8, F32, S32 };

/// Bytes that an element takes in a register or in shared memory.
unsigned elementBytes(Element type);

/// True for the types whose products are summed as integers.
bool isInteger(Element type);

/// Finds the type that PTX calls `name` ("bf16"); false for another name.
bool parseElement(const std::string &name, Element &type);

/// Value of a floating-point element held in the low bits of `bits`. A tf32
/// element ignores the 13 low bits, as the hardware does.
float decodeFloat(Element type, uint32_t bits);

/// Value of an s8 or u8 element held in the low bits of `bits`.
int32_t decodeInteger(Element type, uint32_t bits);

/// `value` rounded to f16, to nearest even.
uint16_t encodeHalf(float value);

/// Adds the product of a row-major [m, k] and b row-major [k, n] to d, row
/// major [m, n]: for every element the products are formed exactly (they fit
/// f32 for all our types unless a tf32 product leaves the range) and added one
/// after the other in ascending k, each sum rounded to nearest even.
///
/// Tensor cores differ: they add blocks of products with a common exponent and
/// truncate, in an order nobody documents. Compare with a tolerance.
void multiplyAdd(const float *a, const float *b, float *d, unsigned m,
                 unsigned n, unsigned k);

/// The same for integers; sums wrap, or with `saturate` clamp to int32_t.
void multiplyAdd(const int32_t *a, const int32_t *b, int32_t *d, unsigned m,
                 unsigned n, unsigned k, bool saturate);

/// A register of a warp: its 32 lanes.
using Lanes = uint32_t[32];

/// One form of mma.sync.
struct MmaShape {
  unsigned m = 16, n = 8, k = 0;
  Element a = Element::F16, b = Element::F16;
  /// F32, F16 or S32, for C and D alike.
  Element accumulator = Element::F32;
  /// Clamp s32 sums instead of wrapping.
  bool saturate = false;

  unsigned registersOfA() const;
  unsigned registersOfB() const;
  unsigned registersOfC() const;
};

/// Reads the modifiers after "mma" ("sync", "aligned", "m16n8k16", ...).
/// On failure `error` says which modifier is not supported.
bool parseMma(const std::vector<std::string> &modifiers, MmaShape &shape,
              std::string &error);

/// D = A B + C on the fragments of one warp (PTX ISA, "Matrix fragments for
/// mma.m16n8k*"). D may be the same array as C. With an f16 accumulator the
/// sum is formed in f32 and rounded once.
void multiplyFragments(const MmaShape &shape, const Lanes *a, const Lanes *b,
                       const Lanes *c, Lanes *d);

/// Row and column of half-register `half` (0, 1) of `lane` in an 8x8 matrix of
/// 16-bit elements as ldmatrix and stmatrix distribute it.
struct MatrixCell {
  unsigned row, column;
};
MatrixCell matrixCell(unsigned lane, unsigned half, bool transposed);

/// movmatrix: the 8x8 transpose of a register.
void transposeMatrix(const Lanes &from, Lanes &to);

/// Passes over the 32 four-byte banks of shared memory that an access of
/// `bytes` per lane (1, 2, 4, 8 or 16) needs. Lanes go in groups of 128 bytes;
/// lanes of one group that want the same word share a pass. One pass for each
/// group is the best there is; the rest are bank conflicts.
struct BankUse {
  unsigned passes = 0;
  unsigned conflicts = 0;
};
BankUse countBankPasses(const uint32_t *addresses, uint32_t activeLanes,
                        unsigned bytes);

} // namespace moe::emu

#endif // MOE_EMULATOR_MATRIX_H
