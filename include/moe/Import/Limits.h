//===- Limits.h - Largest models that are accepted --------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_IMPORT_LIMITS_H
#define MOE_IMPORT_LIMITS_H
#include <cstddef>
#include <cstdint>

namespace mlir::moe {

// Numbers of a config.json are compared with these before anything is sized by
// them. They bound the size of the IR, not that of the weights.

/// Bytes of a config.json.
constexpr size_t kMaxConfigBytes = size_t(64) << 20;
/// A size such as hidden_size.
constexpr int64_t kMaxDimension = INT32_MAX;
/// Decoder layers.
constexpr int64_t kMaxLayers = 10000;
/// Experts of one layer.
constexpr int64_t kMaxExperts = 65536;
/// Width of an attention head: the IR holds half as many frequencies.
constexpr int64_t kMaxHeadDim = 65536;
/// Checkpoint tensors of a model; DeepSeek-V3 has 92 000.
constexpr int64_t kMaxTensors = int64_t(1) << 18;
/// Elements of one parameter, so that every size in bytes fits 64 bits.
constexpr int64_t kMaxElements = int64_t(1) << 48;

} // namespace mlir::moe
#endif // MOE_IMPORT_LIMITS_H
