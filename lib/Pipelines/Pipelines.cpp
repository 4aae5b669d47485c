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

namespace {
/// A pipeline as text, with the stretches that CPU and GPU share.
class PipelineText {
public:
  explicit PipelineText(bool fuse) : fuse(fuse) {}

  void add(const llvm::Twine &pass) { passes.push_back(pass.str()); }

  /// Level 1, what the model says, to level 2, explicit index maps. What
  /// nothing calls need not be possible to lower.
  void addRagged() {
    add("symbol-dce");
    add("moe-expand-routing");
    add("canonicalize");
    add("cse");
    add("moe-expand-layer");
    add("convert-moe-to-ragged");
    add("cse");
    add(llvm::Twine("moe-group-matmuls{fuse=") + (fuse ? "true" : "false") +
        "}");
    if (fuse)
      add("moe-fuse-gather");
  }

  void addBufferization() {
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
  }

  void addArena() {
    add("moe-plan-arena");
    add("canonicalize");
    add("cse");
    add("moe-verify-buffers");
  }

  std::string join() const { return llvm::join(passes, ","); }

  const bool fuse;

private:
  std::vector<std::string> passes;
};
} // namespace

std::string moe::getCPUPipelineText(const CPUPipelineOptions &options) {
  Tile tile = getTile(options.level);
  PipelineText text(/*fuse=*/options.optLevel > 0);
  text.addRagged();
  if (text.fuse) {
    text.add("moe-fuse-combine");
    text.add("moe-pack-weights{lanes=" + llvm::Twine(tile.lanes) +
             " tile-rows=" + llvm::Twine(tile.rows) + "}");
  }
  text.addBufferization();
  // Level 3: kernels.
  text.add("moe-emit-pack-functions");
  text.add("moe-lower-packed-matmul");
  text.add("func.func(convert-moe-to-loops)");
  text.add("func.func(moe-lower-copies)");
  text.add("func.func(convert-linalg-to-loops)");
  text.addArena();
  // The llvm dialect.
  text.add("moe-outline-parallel");
  text.add("moe-emit-entry-points");
  text.add("moe-approximate-math");
  text.add("convert-vector-to-scf");
  text.add("convert-scf-to-cf");
  text.add("expand-strided-metadata");
  text.add("lower-affine");
  text.add("canonicalize");
  text.add("cse");
  text.add("convert-vector-to-llvm");
  text.add("convert-to-llvm");
  text.add("convert-ub-to-llvm");
  text.add("reconcile-unrealized-casts");
  text.add("moe-verify-buffers");
  return text.join();
}

std::string moe::getGPUPipelineText(const GPUPipelineOptions &options) {
  PipelineText text(/*fuse=*/options.optLevel > 0);
  // Weights stay as the checkpoint has them, and rows are combined in order by
  // a kernel of their own, unless no order is asked for.
  text.addRagged();
  bool isUnordered = text.fuse && !options.deterministic;
  if (isUnordered)
    text.add("moe-fuse-combine");
  if (options.precision == "bf16" || options.precision == "f16")
    text.add("moe-narrow-operands{type=" + llvm::Twine(options.precision) +
             "}");
  text.addBufferization();
  // Level 3: a kernel for each op, made by hand or of its loops.
  if (text.fuse)
    text.add("moe-select-kernels{arch=" + llvm::Twine(options.arch) +
             " precision=" + options.precision +
             (isUnordered ? " deterministic=false" : "") + "}");
  text.add("func.func(convert-moe-to-loops{threads=device})");
  text.add("func.func(moe-lower-copies)");
  text.add("func.func(convert-linalg-to-parallel-loops)");
  text.addArena();
  text.add("moe-outline-kernels");
  text.add("canonicalize");
  text.add("cse");
  // The llvm dialect, for the host and for the device alike.
  text.add("moe-lower-launches");
  text.add("moe-emit-entry-points");
  text.add("moe-approximate-math");
  text.add("convert-vector-to-scf");
  text.add("gpu.module(convert-vector-to-scf,convert-scf-to-cf)");
  text.add("convert-scf-to-cf");
  text.add("expand-strided-metadata");
  text.add("gpu.module(expand-strided-metadata)");
  text.add("lower-affine");
  text.add("canonicalize");
  text.add("cse");
  text.add("convert-vector-to-llvm");
  text.add("convert-to-llvm");
  text.add("gpu.module(convert-vector-to-llvm,convert-to-llvm)");
  text.add("convert-ub-to-llvm");
  text.add("reconcile-unrealized-casts");
  text.add("gpu.module(reconcile-unrealized-casts)");
  text.add("moe-verify-buffers");
  return text.join();
}

/// Adds the passes of a text of ours.
static void addPasses(OpPassManager &pm, const std::string &text) {
  std::string error;
  llvm::raw_string_ostream os(error);
  if (failed(parsePassPipeline(text, pm, os)))
    llvm::report_fatal_error(llvm::Twine("passes are not registered: ") +
                             error);
}

void moe::buildGPUPipeline(OpPassManager &pm,
                           const GPUPipelineOptions &options) {
  addPasses(pm, getGPUPipelineText(options));
}

void moe::buildCPUPipeline(OpPassManager &pm,
                           const CPUPipelineOptions &options) {
  addPasses(pm, getCPUPipelineText(options));
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
  Option<bool> deterministic{
      *this, "deterministic",
      llvm::cl::desc("Add experts' outputs in a fixed order, apart from their "
                     "products"),
      llvm::cl::init(true)};
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
        options.deterministic = flags.deterministic;
        buildGPUPipeline(pm, options);
      });
}
