//===- fuzz_config.cpp - Any bytes as config.json -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What is accepted must be a module that verifies and that prints to text
// which reads back as the same module.
//===----------------------------------------------------------------------===//
#include "fuzz.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "moe/Import/Import.h"
#include "moe/RegisterAll.h"
#include "moe/Support/DepthGuard.h"

using namespace mlir;

static std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os);
  return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const Folder folder;
  static const DialectRegistry registry = [] {
    DialectRegistry registry;
    moe::registerAllMoE(registry);
    return registry;
  }();
  folder.write("config.json", data, size);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  std::string error;
  FailureOr<OwningOpRef<ModuleOp>> module = moe::importModel(
      &context, folder.getPath(), {moe::ImportWeights::None}, error);
  if (failed(module)) {
    checkMessage(error);
    MUST(error.find("internal error") == std::string::npos);
    return 0;
  }
  MUST(succeeded(verify(**module)));
  std::string text = print(**module);
  // Large models take their time.
  if (text.size() > 100000)
    return 0;
  MUST(!moe::findUnsafeText({text, "printed"}));
  OwningOpRef<ModuleOp> again = parseSourceString<ModuleOp>(text, &context);
  MUST(again && print(*again) == text);
  return 0;
}
