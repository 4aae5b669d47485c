//===- Pipelines.cpp - The order of passes --------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Pipelines/Pipelines.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// The register tile of a kernel: rows x 2 vectors of accumulators, two vectors
/// of weights and a broadcast fit in the register file of the level.
struct Tile {
  int64_t lanes, rows;
};
} // namespace

static Tile getTile(unsigned level) {
  return level >= 4 ? Tile{16, 12} : Tile{8, 6};
}

std::string moe::getCPUPipelineText(const CPUPipelineOptions &options) {
  bool fuse = options.optLevel > 0;
  Tile tile = getTile(options.level);
  std::vector<std::string> passes;
  auto add = [&](const llvm::Twine &pass) { passes.push_back(pass.str()); };

  // Level 1: what the model says. What nothing calls need not be possible to
  // lower.
  add("symbol-dce");
  add("moe-expand-routing");
  add("canonicalize");
  add("cse");
  add("moe-expand-layer");
  // Level 2: explicit index maps.
  add("convert-moe-to-ragged");
  add("cse");
  add(llvm::Twine("moe-group-matmuls{fuse=") + (fuse ? "true" : "false") + "}");
  if (fuse) {
    add("moe-fuse-gather");
    add("moe-fuse-combine");
    add("moe-pack-weights{lanes=" + llvm::Twine(tile.lanes) +
        " tile-rows=" + llvm::Twine(tile.rows) + "}");
  }
  add("cse");
  add("func.func(convert-elementwise-to-linalg)");
  add("moe-convert-entry-to-buffers");
  add("canonicalize"); // drops what only optional results needed
  // No cse from here on to bufferisation: it would merge destinations again.
  add("moe-add-destinations");
  add("eliminate-empty-tensors");
  add("one-shot-bufferize{bufferize-function-boundaries=1 "
      "function-boundary-type-conversion=identity-layout-map "
      "buffer-alignment=64}");
  add("drop-equivalent-buffer-results");
  // The second canonicalize drops copies that are self-copies after cse.
  add("canonicalize");
  add("cse");
  add("canonicalize");
  add("moe-verify-buffers{allocs=true}");
  // Level 3: kernels.
  add("moe-emit-pack-functions");
  add("moe-lower-packed-matmul");
  add("func.func(convert-moe-to-loops)");
  add("func.func(moe-lower-copies)");
  add("func.func(convert-linalg-to-loops)");
  add("moe-plan-arena");
  add("canonicalize");
  add("cse");
  add("moe-verify-buffers");
  // The llvm dialect.
  add("moe-outline-parallel");
  add("moe-emit-entry-points");
  add("moe-approximate-math");
  add("convert-vector-to-scf");
  add("convert-scf-to-cf");
  add("expand-strided-metadata");
  add("lower-affine");
  add("canonicalize");
  add("cse");
  add("convert-vector-to-llvm");
  add("convert-to-llvm");
  add("convert-ub-to-llvm");
  add("reconcile-unrealized-casts");
  add("moe-verify-buffers");
  return llvm::join(passes, ",");
}

std::string moe::getGPUPipelineText(const GPUPipelineOptions &options) {
  bool fuse = options.optLevel > 0;
  std::vector<std::string> passes;
  auto add = [&](const llvm::Twine &pass) { passes.push_back(pass.str()); };

  // Levels 1 and 2 as for the CPU, but weights stay as the checkpoint has them
  // and rows are combined in order by a kernel of their own.
  add("symbol-dce");
  add("moe-expand-routing");
  add("canonicalize");
  add("cse");
  add("moe-expand-layer");
  add("convert-moe-to-ragged");
  add("cse");
  add(llvm::Twine("moe-group-matmuls{fuse=") + (fuse ? "true" : "false") + "}");
  if (fuse)
    add("moe-fuse-gather");
  if (options.precision == "bf16" || options.precision == "f16")
    add("moe-narrow-operands{type=" + llvm::Twine(options.precision) + "}");
  add("cse");
  add("func.func(convert-elementwise-to-linalg)");
  add("moe-convert-entry-to-buffers");
  add("canonicalize");
  add("moe-add-destinations");
  add("eliminate-empty-tensors");
  add("one-shot-bufferize{bufferize-function-boundaries=1 "
      "function-boundary-type-conversion=identity-layout-map "
      "buffer-alignment=64}");
  add("drop-equivalent-buffer-results");
  add("canonicalize");
  add("cse");
  add("canonicalize");
  add("moe-verify-buffers{allocs=true}");
  // Level 3: a kernel for each op, made by hand or of its loops.
  if (fuse)
    add("moe-select-kernels{arch=" + llvm::Twine(options.arch) +
        " precision=" + options.precision + "}");
  add("func.func(convert-moe-to-loops{threads=device})");
  add("func.func(moe-lower-copies)");
  add("func.func(convert-linalg-to-parallel-loops)");
  add("moe-plan-arena");
  add("canonicalize");
  add("cse");
  add("moe-verify-buffers");
  add("moe-outline-kernels");
  add("canonicalize");
  add("cse");
  // The llvm dialect, for the host and for the device alike.
  add("moe-lower-launches");
  add("moe-emit-entry-points");
  add("moe-approximate-math");
  add("convert-vector-to-scf");
  add("gpu.module(convert-vector-to-scf,convert-scf-to-cf)");
  add("convert-scf-to-cf");
  add("expand-strided-metadata");
  add("gpu.module(expand-strided-metadata)");
  add("lower-affine");
  add("canonicalize");
  add("cse");
  add("convert-vector-to-llvm");
  add("convert-to-llvm");
  add("gpu.module(convert-vector-to-llvm,convert-to-llvm)");
  add("convert-ub-to-llvm");
  add("reconcile-unrealized-casts");
  add("gpu.module(reconcile-unrealized-casts)");
  add("moe-verify-buffers");
  return llvm::join(passes, ",");
}

void moe::buildGPUPipeline(OpPassManager &pm,
                           const GPUPipelineOptions &options) {
  std::string error;
  llvm::raw_string_ostream os(error);
  if (failed(parsePassPipeline(getGPUPipelineText(options), pm, os)))
    llvm::report_fatal_error(llvm::Twine("passes are not registered: ") +
                             error);
}

void moe::buildCPUPipeline(OpPassManager &pm,
                           const CPUPipelineOptions &options) {
  std::string error;
  llvm::raw_string_ostream os(error);
  if (failed(parsePassPipeline(getCPUPipelineText(options), pm, os)))
    llvm::report_fatal_error(llvm::Twine("passes are not registered: ") +
                             error);
}

namespace {
enum Level { V3 = 3, V4 = 4 };

struct CPUPipelineFlags : PassPipelineOptions<CPUPipelineFlags> {
  Option<Level> level{
      *this, "level", llvm::cl::desc("x86-64 level that shapes the kernels"),
      llvm::cl::init(V3),
      llvm::cl::values(clEnumValN(V3, "3", "8 lanes, tiles of 6 rows"),
                       clEnumValN(V4, "4", "16 lanes, tiles of 12 rows"))};
  Option<unsigned> optLevel{
      *this, "opt",
      llvm::cl::desc("0: no fusion, no packing, plain loops; else all"),
      llvm::cl::init(2)};
};

enum Arch { SM80 = 80, SM90a = 90 };

struct GPUPipelineFlags : PassPipelineOptions<GPUPipelineFlags> {
  Option<Arch> arch{
      *this, "arch", llvm::cl::desc("GPU that the kernels are made for"),
      llvm::cl::init(SM80),
      llvm::cl::values(clEnumValN(SM80, "80", "sm_80: cp.async, mma.sync"),
                       clEnumValN(SM90a, "90", "sm_90a: TMA, wgmma"))};
  Option<std::string> precision{
      *this, "precision",
      llvm::cl::desc("What products multiply in: f32, tf32, bf16 or f16"),
      llvm::cl::init("f32")};
  Option<unsigned> optLevel{
      *this, "opt",
      llvm::cl::desc("0: no fusion, kernels of plain loops; else all"),
      llvm::cl::init(2)};
};
} // namespace

void moe::registerMoEPipelines() {
  PassPipelineRegistration<CPUPipelineFlags>(
      "moe-to-cpu", "From a level-1 module to CPU code in the llvm dialect",
      [](OpPassManager &pm, const CPUPipelineFlags &flags) {
        CPUPipelineOptions options;
        options.level = flags.level;
        options.optLevel = flags.optLevel;
        buildCPUPipeline(pm, options);
      });
  PassPipelineRegistration<GPUPipelineFlags>(
      "moe-to-gpu",
      "From a level-1 module to GPU kernels and the host code that launches "
      "them, in the llvm dialect",
      [](OpPassManager &pm, const GPUPipelineFlags &flags) {
        GPUPipelineOptions options;
        options.arch = flags.arch;
        options.optLevel = flags.optLevel;
        options.precision = flags.precision;
        buildGPUPipeline(pm, options);
      });
}
