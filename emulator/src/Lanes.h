//===- Lanes.h - Values of lanes --------------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_EMULATOR_LANES_H
#define MOE_EMULATOR_LANES_H
#include "Machine.h"
#include <cstring>
#include <type_traits>

namespace moe::emu {

template <class T> inline T get(uint64_t bits) {
  if constexpr (std::is_floating_point_v<T>) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  } else {
    return static_cast<T>(bits);
  }
}

/// The bits of a value, the rest zero.
template <class T> inline uint64_t put(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
  } else {
    return static_cast<std::make_unsigned_t<T>>(value);
  }
}

/// Rounds once to f16 or bf16.
uint16_t doubleToNarrow(Kind kind, double value);

/// Runs `body(lane)` for the lanes of `mask`; the compiler sees a plain loop
/// where all are there.
template <class F> inline void forLanes(uint32_t mask, F body) {
  if (mask == ~0u) {
    for (unsigned l = 0; l < kLanes; ++l)
      body(l);
    return;
  }
  for (; mask; mask &= mask - 1)
    body(unsigned(__builtin_ctz(mask)));
}

/// Whether the modifiers of an instruction are all among `known`; types are
/// looked at elsewhere.
inline bool checkModifiers(const DecodeContext &c, const Instruction &i,
                           std::initializer_list<const char *> known) {
  Type type;
  for (size_t n = 1; n < i.name.size(); ++n) {
    bool found = parseType(i.name[n], type);
    for (const char *name : known)
      found |= i.name[n] == name;
    if (!found)
      return c.fail("modifier ." + i.name[n] + " is not emulated");
  }
  return true;
}
inline bool has(const Instruction &i, const char *modifier) {
  for (size_t n = 1; n < i.name.size(); ++n)
    if (i.name[n] == modifier)
      return true;
  return false;
}
inline bool checkCounts(const DecodeContext &c, const Instruction &i,
                        size_t dst, size_t src) {
  if (i.dst.size() != dst || i.src.size() != src)
    return c.fail("takes " + std::to_string(dst) + " results and " +
                  std::to_string(src) + " operands, has " +
                  std::to_string(i.dst.size()) + " and " +
                  std::to_string(i.src.size()));
  return true;
}
/// Every operand is a register, constant or symbol; results are registers.
inline bool checkRows(const DecodeContext &c, const Instruction &i) {
  for (const Operand &o : i.dst)
    if (o.kind != Operand::Reg)
      return c.fail("a result must be a register");
  for (const Operand &o : i.src)
    if (o.kind != Operand::Reg && o.kind != Operand::Const &&
        o.kind != Operand::Symbol)
      return c.fail("an operand must be a register or a number");
  return true;
}

} // namespace moe::emu
#endif // MOE_EMULATOR_LANES_H
