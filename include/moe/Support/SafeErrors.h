//===- SafeErrors.h - Error text for a terminal -----------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_SUPPORT_SAFEERRORS_H
#define MOE_SUPPORT_SAFEERRORS_H
#include "llvm/Support/raw_ostream.h"

namespace mlir::moe {

/// Standard error for text with untrusted strings in it: control characters
/// other than line feed and tab are written as \xNN, and what comes after
/// 60 KiB is left out.
class SafeErrors : public llvm::raw_ostream {
public:
  SafeErrors() : raw_ostream(/*unbuffered=*/true) {}

private:
  void write_impl(const char *data, size_t size) override;
  uint64_t current_pos() const override { return position; }

  uint64_t position = 0;
};

} // namespace mlir::moe
#endif // MOE_SUPPORT_SAFEERRORS_H
