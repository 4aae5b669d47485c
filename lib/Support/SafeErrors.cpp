//===- SafeErrors.cpp - Error text for a terminal -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Support/SafeErrors.h"
#include "llvm/Support/Format.h"

static constexpr uint64_t kLimit = 60 << 10;

void mlir::moe::SafeErrors::write_impl(const char *data, size_t size) {
  for (size_t i = 0; i < size && position <= kLimit; ++i) {
    unsigned char c = data[i];
    if (++position > kLimit)
      llvm::errs() << "\n(the rest is left out)\n";
    else if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
      llvm::errs() << llvm::format("\\x%02x", c);
    else
      llvm::errs() << data[i];
  }
}
