//===- SinCos.h - Sine and cosine as arithmetic -----------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_CONVERSION_SINCOS_H
#define MOE_CONVERSION_SINCOS_H
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include <utility>

namespace mlir::moe {
/// Sine and cosine of an f64 or of a vector of them, in arith and math ops: the
/// same ones for both, so that bits are equal. Within 2^-50 for |x| < 2^31.
std::pair<Value, Value> buildSinCos(ImplicitLocOpBuilder &b, Value x);
} // namespace mlir::moe
#endif // MOE_CONVERSION_SINCOS_H
