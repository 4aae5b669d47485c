//===- fuzz_mlir.cpp - Any bytes as MLIR text -----------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What passes the scan must not bring the parser down. What parses must print
// to text that passes the scan and reads back as the same module. Bytecode is
// left to its own reader.
//===----------------------------------------------------------------------===//
#include "fuzz.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "moe/RegisterAll.h"
#include "moe/Support/DepthGuard.h"

using namespace mlir;

static std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os, OpPrintingFlags().useLocalScope());
  return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const DialectRegistry registry = [] {
    DialectRegistry registry;
    moe::registerAllMoE(registry);
    return registry;
  }();
  StringRef bytes(reinterpret_cast<const char *>(data), size);
  // A parser wants a NUL behind the text, and none in it.
  std::string text = bytes.str();
  if (std::optional<std::string> fault = moe::findUnsafeText({text, "fuzz"})) {
    checkMessage(*fault);
    return 0;
  }
  if (bytes.starts_with("ML\xefR"))
    return 0;
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.getDiagEngine().registerHandler(
      [](Diagnostic &) { return success(); });
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    return 0;
  std::string printed = print(*module);
  MUST(!moe::findUnsafeText({printed, "printed"}));
  OwningOpRef<ModuleOp> again = parseSourceString<ModuleOp>(printed, &context);
  MUST(again);
  MUST(print(*again) == printed);
  return 0;
}
