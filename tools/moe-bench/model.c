//===- model.c - What a call must do at least -----------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// Floating point operations and weight bytes of a call, from the shapes of the
/// parameters alone:
///   * a matrix [N, K] costs 2 N K operations per token and its bytes once;
///   * a stack of E of them costs 2 N K per assignment, and the share of its
///     bytes that belongs to the experts hit;
///   * the table of token embeddings costs the bytes of the tokens' rows;
///   * the head, the matrix with a row per entry of the vocabulary, runs on as
///     many rows as there are logits.
/// Attention scores, norms and activations are left out, as are the bytes of
/// activations and caches: what is reported is a lower bound of the work, so
/// the share of the roofline is one too.
//===----------------------------------------------------------------------===//
#include "moe-bench.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/// A parameter as the estimate sees it.
typedef struct {
  double values; // of all experts and parts
  double bytes;  // in memory
  double experts;
  double rows;    // of the first matrix
  double columns; // of the first matrix
  bool is_matrix, is_float;
  const char *tensor;
} parameter;

static double number(const moe_json *value) {
  double result;
  return moe_json_double(value, &result) && result > 0 ? result : 0;
}

static parameter read_parameter(const bench_parameters *parameters, size_t i) {
  parameter p = {.tensor = ""};
  const moe_json *object = moe_json_at(parameters->list, i);
  const moe_json *layout = moe_json_find(object, parameters->code);
  p.bytes = number(moe_json_find(layout, "bytes"));
  const moe_json *sources = moe_json_find(object, "sources");
  for (size_t j = 0; j < moe_json_size(sources); j++) {
    const moe_json *source = moe_json_at(sources, j);
    const moe_json *shape = moe_json_find(source, "shape");
    const moe_json *dtype = moe_json_find(source, "dtype");
    size_t rank = moe_json_size(shape);
    double values = 1;
    for (size_t d = 0; d < rank; d++)
      values *= number(moe_json_at(shape, d));
    p.values += values;
    // The leading index of a stack is the expert; that of a plain vector or
    // matrix, of which the source holds all, is the row.
    double count = number(moe_json_find(source, "count"));
    bool is_whole = rank > 0 && rank < 3 && count > 1 &&
                    count == number(moe_json_at(shape, 0));
    if (!is_whole)
      p.experts =
          fmax(p.experts, number(moe_json_find(source, "first")) + count);
    if (j)
      continue;
    moe_json_string(moe_json_find(source, "tensor"), &p.tensor, NULL);
    size_t length = strlen(p.tensor);
    bool is_bias = length >= 4 && !strcmp(p.tensor + length - 4, "bias");
    p.is_matrix = rank >= 2 && !is_bias; // biases may be stacked
    p.is_float = !moe_json_equals(dtype, "i32") &&
                 !moe_json_equals(dtype, "i64") &&
                 !moe_json_equals(dtype, "u8");
    if (rank >= 2) {
      p.rows = number(moe_json_at(shape, rank - 2));
      p.columns = number(moe_json_at(shape, rank - 1));
    }
  }
  p.experts = fmax(p.experts, 1);
  return p;
}

/// The parameters that have a row per entry of the vocabulary: one may be the
/// embedding, one the head, or one both.
static bool is_vocabulary(const parameter *p, double vocabulary) {
  return vocabulary > 0 && p->is_matrix && p->is_float && p->experts == 1 &&
         p->rows == vocabulary;
}

bool bench_estimate(const bench_parameters *parameters, const bench_call *call,
                    bench_work *work) {
  double vocabulary = parameters->vocabulary;
  size_t num_vocabulary = 0;
  for (size_t i = 0; i < moe_json_size(parameters->list); i++) {
    parameter p = read_parameter(parameters, i);
    num_vocabulary += is_vocabulary(&p, vocabulary);
  }
  *work = (bench_work){0, 0};
  for (size_t i = 0; i < moe_json_size(parameters->list); i++) {
    parameter p = read_parameter(parameters, i);
    if (p.experts > 1) {
      if (call->assignments < 0 || call->experts_hit < 0)
        return false;
      double hit = fmin(call->experts_hit, p.experts);
      if (p.is_matrix)
        work->flops += 2 * p.values / p.experts * call->assignments;
      work->bytes += p.bytes * hit / p.experts;
      continue;
    }
    if (is_vocabulary(&p, vocabulary)) {
      bool is_embedding = strstr(p.tensor, "embed") != NULL;
      bool is_head =
          call->logits_rows > 0 && (!is_embedding || num_vocabulary == 1);
      if (is_head) {
        work->flops += 2 * p.values * call->logits_rows;
        work->bytes += p.bytes;
      } else if (is_embedding) {
        work->bytes += p.bytes * fmin(call->tokens / p.rows, 1);
      }
      continue;
    }
    if (!p.is_float) { // a table of expert indices
      work->bytes += p.bytes * fmin(call->tokens / fmax(p.rows, 1), 1);
      continue;
    }
    if (p.is_matrix)
      work->flops += 2 * p.values * call->tokens;
    work->bytes += p.bytes;
  }
  return true;
}

double bench_num_experts(const bench_parameters *parameters) {
  double experts = 1;
  for (size_t i = 0; i < moe_json_size(parameters->list); i++)
    experts = fmax(experts, read_parameter(parameters, i).experts);
  return experts > 1 ? experts : 0;
}

double bench_uniform_hits(double experts, double tokens, double k) {
  if (experts <= 0)
    return 0;
  return experts * (1 - pow(1 - fmin(k / experts, 1), tokens));
}

int64_t bench_experts_per_token(const char *directory) {
  char path[4096];
  int n = snprintf(path, sizeof(path), "%s/config.json", directory);
  moe_json_document *document;
  if (n < 0 || (size_t)n >= sizeof(path) ||
      moe_json_read(path, 0, &document, NULL))
    return 0;
  // The names in use, the layer description's last.
  static const char *const keys[] = {"num_experts_per_tok",
                                     "num_experts_per_token", "top_k"};
  int64_t result = 0;
  for (size_t i = 0; i < 3 && result <= 0; i++)
    if (!moe_json_int64(moe_json_find(moe_json_root(document), keys[i]),
                        &result))
      result = 0;
  moe_json_free(document);
  return result > 0 ? result : 0;
}
