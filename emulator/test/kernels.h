//===- kernels.h - Matrix kernels on the emulator ---------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Runs the kernels of ptx/, or changed ones, on small problems and compares
// with plain loops.
#ifndef MOE_EMULATOR_TEST_KERNELS_H
#define MOE_EMULATOR_TEST_KERNELS_H
#include "TensorMap.h"
#include "kernel.h"
#include <cmath>

namespace moe::emu {

/// bf16 values, uniform in [-scale, scale).
inline std::vector<uint16_t> randomBfloats(size_t count, uint64_t seed,
                                           float scale = 1) {
  Random random(seed);
  std::vector<uint16_t> values(count);
  for (uint16_t &value : values)
    value = floatToBfloat(random.uniform() * scale);
  return values;
}

/// What a run came to: a report, or the relative error (Frobenius norm).
struct Outcome {
  std::string report;
  double error = 0;
};

/// A run whose arguments are set by hand.
struct MatrixRun : Run {
  MatrixRun(const std::string &text, uint64_t seed,
            const char *kernel = nullptr)
      : Run(text, kernel) {
    launch.seed = seed;
    launch.budget = 3'000'000;
  }
  template <class T> uint64_t place(const std::vector<T> &data) {
    uint64_t address = memory.allocate(data.size() * sizeof(T));
    Allocation *a = memory.find(address, data.size() * sizeof(T));
    memcpy(a->data.data(), data.data(), data.size() * sizeof(T));
    memset(a->shadow.data(), Initialized, a->size);
    return address;
  }
  /// Memory that nothing wrote.
  uint64_t reserve(size_t size) { return memory.allocate(size); }
  /// The next parameter: a map of dense bf16 with boxes of 128-byte rows.
  MatrixRun &map(uint64_t address, std::vector<uint64_t> dims,
                 std::vector<uint32_t> box) {
    uint64_t strides[4];
    uint32_t steps[5] = {1, 1, 1, 1, 1};
    box.resize(dims.size(), 1);
    uint64_t bytes = 2;
    for (size_t n = 0; n + 1 < dims.size(); ++n)
      strides[n] = bytes *= dims[n];
    struct alignas(64) Bytes {
      unsigned char bytes[128];
    } encoded;
    std::string error;
    if (!CHECK(encodeTensorMap(&encoded, 9, unsigned(dims.size()), address,
                               dims.data(), strides, box.data(), steps, 0, 3, 0,
                               0, error) == EncodeStatus::Ok))
      fprintf(stderr, "  %s\n", error.c_str());
    scalar(encoded);
    return *this;
  }
  Outcome finish(uint32_t grid, uint32_t threads, uint32_t shared) {
    launch.dynamicShared = shared;
    Outcome outcome;
    if (!run(grid, threads))
      outcome.report = report.empty() ? "failed without a report" : report;
    return outcome;
  }
  /// Relative error of bf16 results at `address`; infinite where nothing wrote.
  double compare(uint64_t address, const std::vector<double> &expected) {
    Allocation *a = memory.find(address, expected.size() * 2);
    double off = 0, all = 0;
    for (size_t n = 0; n < expected.size(); ++n) {
      uint16_t bits;
      memcpy(&bits, &a->data[2 * n], 2);
      double value = double(bfloatToFloat(bits));
      if (!(a->shadow[2 * n] & Initialized))
        return INFINITY;
      off += (value - expected[n]) * (value - expected[n]);
      all += expected[n] * expected[n];
    }
    return std::isfinite(off) ? std::sqrt(off / all) : double(INFINITY);
  }
};

/// A [m, k] times B [n, k] transposed.
inline std::vector<double> product(const std::vector<uint16_t> &a,
                                   const std::vector<uint16_t> &b, size_t m,
                                   size_t n, size_t k) {
  std::vector<float> x(a.size()), y(b.size());
  for (size_t i = 0; i < a.size(); ++i)
    x[i] = bfloatToFloat(a[i]);
  for (size_t i = 0; i < b.size(); ++i)
    y[i] = bfloatToFloat(b[i]);
  std::vector<double> d(m * n);
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (size_t p = 0; p < k; ++p)
        sum += x[i * k + p] * y[j * k + p];
      d[i * n + j] = double(sum);
    }
  return d;
}

/// 128x128 tiles, cp.async, ldmatrix, mma.sync.
inline Outcome runGemm80(const std::string &text, uint64_t seed) {
  constexpr size_t m = 128, n = 128, k = 192;
  static const std::vector<uint16_t> a = randomBfloats(m * k, 1),
                                     b = randomBfloats(n * k, 2);
  static const std::vector<double> expected = product(a, b, m, n, k);
  MatrixRun run(text, seed);
  uint64_t d = run.reserve(m * n * 2);
  run.scalar(run.place(a)).scalar(run.place(b)).scalar(d);
  run.scalar(uint32_t(n)).scalar(uint32_t(k));
  Outcome outcome = run.finish(1, 128, 65536);
  if (outcome.report.empty())
    outcome.error = run.compare(d, expected);
  return outcome;
}

/// 128x256 tiles, TMA, wgmma; two tiles for one block. `staged`: results leave
/// through stmatrix and a TMA store.
inline Outcome runGemm90(const std::string &text, uint64_t seed, bool staged) {
  constexpr size_t m = 256, n = 256, k = 448;
  static const std::vector<uint16_t> a = randomBfloats(m * k, 3),
                                     b = randomBfloats(n * k, 4);
  static const std::vector<double> expected = product(a, b, m, n, k);
  MatrixRun run(text, seed);
  uint64_t d = run.reserve(m * n * 2);
  run.map(run.place(a), {k, m}, {64, 128}).map(run.place(b), {k, n}, {64, 256});
  if (staged)
    run.map(d, {n, m}, {64, 64});
  else
    run.scalar(d);
  run.scalar(uint32_t(m)).scalar(uint32_t(n)).scalar(uint32_t(k));
  Outcome outcome = run.finish(1, 384, staged ? 229440 : 196672);
  if (outcome.report.empty())
    outcome.error = run.compare(d, expected);
  return outcome;
}

inline double silu(double x) { return x / (1 + std::exp(-x)); }

/// Tokens over three experts, the second without any, for grouped products in
/// tiles of 128 rows.
struct Routing {
  static constexpr size_t tokens = 48, topK = 2, experts = 3;
  static constexpr size_t rows = tokens * topK;
  /// Of every row in expert order: its expert, its slot t * topK + j, weight.
  std::vector<uint32_t> expert, slot, token;
  std::vector<float> weight;
  /// Tiles: expert, first row, rows.
  std::vector<uint32_t> tileExpert, tileFirst, tileRows;

  Routing() {
    Random random(5);
    std::vector<uint32_t> chosen(rows);
    for (size_t t = 0; t < tokens; ++t) {
      chosen[2 * t] = random.below(3) ? 0 : 2;
      chosen[2 * t + 1] = 2 - chosen[2 * t];
    }
    for (uint32_t e = 0; e < experts; ++e) {
      uint32_t first = uint32_t(slot.size());
      for (uint32_t s = 0; s < rows; ++s)
        if (chosen[s] == e) {
          expert.push_back(e);
          slot.push_back(s);
          token.push_back(s / topK);
          weight.push_back(random.uniform());
        }
      if (slot.size() == first)
        continue;
      tileExpert.push_back(e);
      tileFirst.push_back(first);
      tileRows.push_back(uint32_t(slot.size()) - first);
    }
  }
};

/// Rows gathered by cp.async, weights by TMA, SwiGLU on gate and up columns
/// that are interleaved by eights.
inline Outcome runGather(const std::string &text, uint64_t seed) {
  constexpr size_t h = 448, n = 256, half = n / 2;
  static const Routing routing;
  static const std::vector<uint16_t> x = randomBfloats(Routing::tokens * h, 6),
                                     w = randomBfloats(Routing::experts * n * h,
                                                       7, .1f);
  static const std::vector<double> expected = [] {
    std::vector<double> all(Routing::rows * half);
    for (size_t r = 0; r < Routing::rows; ++r) {
      std::vector<uint16_t> row(x.begin() + routing.token[r] * h,
                                x.begin() + (routing.token[r] + 1) * h);
      std::vector<uint16_t> weights(w.begin() + routing.expert[r] * n * h,
                                    w.begin() +
                                        (routing.expert[r] + 1) * n * h);
      std::vector<double> d = product(row, weights, 1, n, h);
      for (size_t c = 0; c < half; ++c)
        all[r * half + c] =
            silu(d[c / 8 * 16 + c % 8]) * d[c / 8 * 16 + 8 + c % 8];
    }
    return all;
  }();
  MatrixRun run(text, seed);
  uint64_t d = run.reserve(Routing::rows * half * 2);
  run.scalar(run.place(x));
  run.map(run.place(w), {h, n, Routing::experts}, {64, 256});
  run.scalar(d).scalar(run.place(routing.token));
  run.scalar(run.place(routing.weight)).scalar(run.place(routing.tileExpert));
  run.scalar(run.place(routing.tileFirst)).scalar(run.place(routing.tileRows));
  run.scalar(
      run.place(std::vector<uint32_t>(1, uint32_t(routing.tileExpert.size()))));
  run.scalar(uint32_t(n)).scalar(uint32_t(h));
  Outcome outcome = run.finish(1, 384, 196672);
  if (outcome.report.empty())
    outcome.error = run.compare(d, expected);
  return outcome;
}

/// Sorted rows by TMA times weights by TMA, scaled by the combine weight, to
/// row `slot` of a bf16 result, or added to row `token` of an f32 one.
inline Outcome runRows(const std::string &text, uint64_t seed, bool adds) {
  constexpr size_t k = 448, n = 256;
  static const Routing routing;
  static const std::vector<uint16_t> x = randomBfloats(Routing::rows * k, 8),
                                     w = randomBfloats(Routing::experts * n * k,
                                                       9, .1f);
  static const std::vector<double> products = [] {
    std::vector<double> all;
    for (size_t r = 0; r < Routing::rows; ++r) {
      std::vector<uint16_t> row(x.begin() + r * k, x.begin() + (r + 1) * k);
      std::vector<uint16_t> weights(w.begin() + routing.expert[r] * n * k,
                                    w.begin() +
                                        (routing.expert[r] + 1) * n * k);
      for (double value : product(row, weights, 1, n, k))
        all.push_back(value * double(routing.weight[r]));
    }
    return all;
  }();
  std::vector<double> expected((adds ? Routing::tokens : Routing::rows) * n);
  for (size_t r = 0; r < Routing::rows; ++r)
    for (size_t c = 0; c < n; ++c)
      expected[(adds ? routing.token[r] : routing.slot[r]) * n + c] +=
          products[r * n + c];
  MatrixRun run(text, seed);
  uint64_t d = adds ? run.place(std::vector<float>(expected.size()))
                    : run.reserve(expected.size() * 2);
  run.map(run.place(x), {k, Routing::rows}, {64, 128});
  run.map(run.place(w), {k, n, Routing::experts}, {64, 256});
  run.scalar(d).scalar(run.place(adds ? routing.token : routing.slot));
  run.scalar(run.place(routing.weight)).scalar(run.place(routing.tileExpert));
  run.scalar(run.place(routing.tileFirst)).scalar(run.place(routing.tileRows));
  run.scalar(
      run.place(std::vector<uint32_t>(1, uint32_t(routing.tileExpert.size()))));
  run.scalar(uint32_t(n)).scalar(uint32_t(k));
  Outcome outcome = run.finish(1, 384, 196672);
  if (!outcome.report.empty())
    return outcome;
  if (!adds) {
    outcome.error = run.compare(d, expected);
    return outcome;
  }
  std::vector<float> found = run.read<float>(d, expected.size());
  double off = 0, all = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    off += (double(found[i]) - expected[i]) * (double(found[i]) - expected[i]);
    all += expected[i] * expected[i];
  }
  outcome.error = std::sqrt(off / all);
  return outcome;
}

/// Gate and up rows streamed through a ring of bulk copies, one warp for each
/// output.
inline Outcome runRing(const std::string &text, uint64_t seed) {
  constexpr size_t k = 6144, half = 8, experts = 3;
  static const std::vector<uint32_t> chosen = {2, 0};
  static const std::vector<uint16_t> x = randomBfloats(k, 10),
                                     w = randomBfloats(experts * 2 * half * k,
                                                       11, .05f);
  static const std::vector<double> expected = [] {
    std::vector<double> all;
    for (uint32_t e : chosen) {
      std::vector<uint16_t> weights(w.begin() + e * 2 * half * k,
                                    w.begin() + (e + 1) * 2 * half * k);
      std::vector<double> d = product(x, weights, 1, 2 * half, k);
      for (size_t c = 0; c < half; ++c)
        all.push_back(silu(d[c]) * d[half + c]);
    }
    return all;
  }();
  MatrixRun run(text, seed);
  uint64_t d = run.reserve(expected.size() * 2);
  run.scalar(run.place(w)).scalar(run.place(x)).scalar(d);
  run.scalar(run.place(chosen)).scalar(uint32_t(2)).scalar(uint32_t(k));
  run.scalar(uint32_t(half)).scalar(uint32_t(2 * half * k));
  run.launch.grid[1] = 2;
  Outcome outcome = run.finish(1, 256, 65536 + 256 + 2 * k);
  if (outcome.report.empty())
    outcome.error = run.compare(d, expected);
  return outcome;
}

} // namespace moe::emu
#endif // MOE_EMULATOR_TEST_KERNELS_H
