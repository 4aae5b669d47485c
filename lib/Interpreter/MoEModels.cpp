//===- MoEModels.cpp - Meaning of moe ops ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Models.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/Sequence.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Routing
//===----------------------------------------------------------------------===//

template <typename R>
static LogicalResult interpret(RouterLogitsOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), router = in.get(op.getRouter());
  HostTensor bias = op.getBias() ? in.get(op.getBias()) : HostTensor();
  if (failed(verifySameSize(op, x.dim(1), "columns of x", router.dim(1),
                            "columns of the router")) ||
      (bias && failed(verifySameSize(op, bias.dim(0), "length of bias",
                                     router.dim(0), "experts"))))
    return failure();
  auto logits = makeOutput<R>(op, in, 0, {x.dim(0), router.dim(0)});
  if (failed(logits))
    return failure();
  for (int64_t t = 0; t < x.dim(0); ++t)
    for (int64_t e = 0; e < router.dim(0); ++e) {
      R z = dot(x.row<R>(t), router.row<R>(e));
      logits->template mutableRow<R>(t)[e] = bias ? z + bias.data<R>()[e] : z;
    }
  in.set(op->getResult(0), {*logits});
  return success();
}

/// Softmax over the elements of a row that `takesPart` admits; 0 elsewhere.
template <typename R, typename Fn>
static void softmax(ArrayRef<R> row, MutableArrayRef<R> out, Fn takesPart) {
  R max = -std::numeric_limits<R>::infinity(), sum = 0;
  for (size_t i = 0; i < row.size(); ++i)
    if (takesPart(i))
      max = maximum(max, row[i]);
  for (size_t i = 0; i < row.size(); ++i) {
    out[i] = takesPart(i) ? std::exp(row[i] - max) : R(0);
    sum += out[i];
  }
  for (size_t i = 0; i < row.size(); ++i)
    if (takesPart(i))
      out[i] /= sum;
}

template <typename R>
static LogicalResult interpret(ScoreOp op, Interpreter &in) {
  HostTensor logits = in.get(op.getLogits());
  HostTensor indices = op.getIndices() ? in.get(op.getIndices()) : HostTensor();
  if (indices && indices.getShape() != logits.getShape())
    return op.emitOpError("slots and logits differ in shape");
  auto scores = makeOutput<R>(op, in, 0, logits.getShape());
  if (failed(scores))
    return failure();
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    ArrayRef<R> row = logits.row<R>(t);
    MutableArrayRef<R> out = scores->template mutableRow<R>(t);
    auto takesPart = [&](int64_t i) {
      return !indices || indices.row<int64_t>(t)[i] >= 0;
    };
    if (op.getFn() == ScoreFn::Softmax) {
      softmax<R>(row, out, takesPart);
      continue;
    }
    for (size_t i = 0; i < row.size(); ++i)
      out[i] = takesPart(i) ? sigmoid(row[i]) : R(0);
  }
  in.set(op->getResult(0), {*scores});
  return success();
}

template <typename R>
static LogicalResult interpret(AddSelectionBiasOp op, Interpreter &in) {
  HostTensor scores = in.get(op.getScores()), bias = in.get(op.getBias());
  if (failed(verifySameSize(op, bias.dim(0), "length of bias", scores.dim(1),
                            "experts")))
    return failure();
  auto result = makeOutput<R>(op, in, 0, scores.getShape());
  if (failed(result))
    return failure();
  for (int64_t t = 0; t < scores.dim(0); ++t)
    for (int64_t e = 0; e < scores.dim(1); ++e)
      result->template mutableRow<R>(t)[e] =
          scores.row<R>(t)[e] + bias.data<R>()[e];
  in.set(op->getResult(0), {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(TopKOp op, Interpreter &in) {
  HostTensor scores = in.get(op.getScores());
  int64_t numTokens = scores.dim(0), numExperts = scores.dim(1), k = op.getK();
  if (k > numExperts)
    return op.emitOpError("k (")
           << k << ") exceeds the number of experts (" << numExperts << ")";
  auto indices = makeOutput<int64_t>(op, in, 0, {numTokens, k});
  auto weights = makeOutput<R>(op, in, 1, {numTokens, k});
  if (failed(indices) || failed(weights))
    return failure();
  for (int64_t t = 0; t < numTokens; ++t) {
    ArrayRef<R> row = scores.row<R>(t);
    SmallVector<int64_t> order;
    for (int64_t e = 0; e < numExperts; ++e)
      if (row[e] != -std::numeric_limits<R>::infinity())
        order.push_back(e);
    // Value descending, index ascending, NaN last.
    llvm::sort(order, [&](int64_t a, int64_t b) {
      if (std::isnan(row[a]) || std::isnan(row[b]))
        return std::pair(std::isnan(row[a]), a) <
               std::pair(std::isnan(row[b]), b);
      return row[a] == row[b] ? a < b : row[a] > row[b];
    });
    for (int64_t j = 0; j < k; ++j) {
      bool chosen = j < int64_t(order.size());
      indices->template mutableRow<int64_t>(t)[j] = chosen ? order[j] : -1;
      weights->template mutableRow<R>(t)[j] = chosen ? row[order[j]] : R(0);
    }
  }
  in.set(op.getIndices(), {*indices});
  in.set(op.getWeights(), {*weights});
  return success();
}

template <typename R>
static LogicalResult interpret(TakeOp op, Interpreter &in) {
  HostTensor scores = in.get(op.getScores()), indices = in.get(op.getIndices());
  if (failed(verifySameSize(op, scores.dim(0), "rows of scores", indices.dim(0),
                            "rows of indices")))
    return failure();
  auto result = makeOutput<R>(op, in, 0, indices.getShape());
  if (failed(result))
    return failure();
  for (int64_t t = 0; t < indices.dim(0); ++t)
    for (int64_t j = 0; j < indices.dim(1); ++j) {
      int64_t e = indices.row<int64_t>(t)[j];
      bool isExpert = e >= 0 && e < scores.dim(1);
      result->template mutableRow<R>(t)[j] =
          isExpert ? scores.row<R>(t)[e] : R(0);
    }
  in.set(op->getResult(0), {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(RenormalizeOp op, Interpreter &in) {
  HostTensor weights = in.get(op.getWeights());
  R eps = op.getEps().convertToDouble(),
    floor = op.getFloor().convertToDouble();
  auto result = makeOutput<R>(op, in, 0, weights.getShape());
  if (failed(result))
    return failure();
  for (int64_t t = 0; t < weights.dim(0); ++t) {
    R norm = 0;
    for (R w : weights.row<R>(t))
      norm = op.getP() == 1 ? norm + std::abs(w) : std::fma(w, w, norm);
    if (op.getP() == 2)
      norm = std::sqrt(norm);
    R divisor = maximum(norm + eps, floor);
    for (auto [out, w] :
         llvm::zip_equal(result->template mutableRow<R>(t), weights.row<R>(t)))
      out = divisor == 0 ? R(0) : w / divisor;
  }
  in.set(op->getResult(0), {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(ScaleOp op, Interpreter &in) {
  HostTensor weights = in.get(op.getWeights());
  R factor = op.getFactor().convertToDouble();
  auto result = makeOutput<R>(op, in, 0, weights.getShape());
  if (failed(result))
    return failure();
  for (auto [out, w] :
       llvm::zip_equal(result->template mutableData<R>(), weights.data<R>()))
    out = w * factor;
  in.set(op->getResult(0), {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(ScaleByExpertOp op, Interpreter &in) {
  HostTensor weights = in.get(op.getWeights()),
             indices = in.get(op.getIndices()),
             factors = in.get(op.getFactors());
  if (weights.getShape() != indices.getShape())
    return op.emitOpError("indices and weights differ in shape");
  auto result = makeOutput<R>(op, in, 0, weights.getShape());
  if (failed(result))
    return failure();
  for (auto [out, w, e] : llvm::zip_equal(result->template mutableData<R>(),
                                          weights.data<R>(), indices.ints()))
    out = e >= 0 && e < factors.dim(0) ? w * factors.data<R>()[e] : R(0);
  in.set(op->getResult(0), {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(AssignOp op, Interpreter &in) {
  HostTensor experts = in.get(op.getExperts()),
             weights = in.get(op.getWeights());
  if (experts.getShape() != weights.getShape())
    return op.emitOpError("experts and weights differ in shape");
  in.set(op.getAssignment(), {experts, weights});
  return success();
}

//===----------------------------------------------------------------------===//
// Expert order
//===----------------------------------------------------------------------===//

namespace {
/// A kept slot of an assignment.
template <typename R> struct Entry {
  int64_t token, expert, slot;
  R weight;
};
} // namespace

/// The entries by token, then slot.
template <typename R>
static std::vector<Entry<R>> listEntries(const HostTensor &experts,
                                         const HostTensor &weights,
                                         int64_t numExperts) {
  std::vector<Entry<R>> entries;
  for (int64_t t = 0; t < experts.dim(0); ++t)
    for (int64_t j = 0; j < experts.dim(1); ++j) {
      int64_t e = experts.row<int64_t>(t)[j];
      if (e >= 0 && e < numExperts)
        entries.push_back({t, e, j, weights.row<R>(t)[j]});
    }
  return entries;
}

/// The entries by expert, then token, then slot: the order of rows.
template <typename R>
static std::vector<Entry<R>> listRows(const HostValue &assignment,
                                      int64_t numExperts) {
  auto entries = listEntries<R>(assignment[0], assignment[1], numExperts);
  llvm::sort(entries, [](const Entry<R> &a, const Entry<R> &b) {
    return std::tuple(a.expert, a.token, a.slot) <
           std::tuple(b.expert, b.token, b.slot);
  });
  return entries;
}

/// offsets[e] = rows of experts below e.
template <typename R>
static void fillOffsets(ArrayRef<Entry<R>> rows,
                        MutableArrayRef<int64_t> offsets) {
  llvm::fill(offsets, 0);
  for (const Entry<R> &row : rows)
    ++offsets[row.expert + 1];
  for (size_t e = 1; e < offsets.size(); ++e)
    offsets[e] += offsets[e - 1];
}

/// moe.assignment_entries and moe.list_entries.
template <typename R>
static LogicalResult fillEntries(std::vector<Entry<R>> entries,
                                 HostTensor &tokens, HostTensor &experts,
                                 HostTensor &weights, HostTensor &count) {
  llvm::sort(entries, [](const Entry<R> &a, const Entry<R> &b) {
    return std::tuple(a.token, a.expert, a.slot) <
           std::tuple(b.token, b.expert, b.slot);
  });
  for (auto [i, entry] : llvm::enumerate(entries)) {
    tokens.mutableData<int64_t>()[i] = entry.token;
    experts.mutableData<int64_t>()[i] = entry.expert;
    weights.mutableData<R>()[i] = entry.weight;
  }
  count.mutableData<int64_t>()[0] = entries.size();
  return success();
}

template <typename R>
static LogicalResult interpret(AssignmentEntriesOp op, Interpreter &in) {
  HostValue assignment = in.getValue(op.getAssignment());
  int64_t slots = assignment[0].getNumElements();
  auto tokens = in.allocate<int64_t>(op, {slots}),
       experts = in.allocate<int64_t>(op, {slots}),
       weights = in.allocate<R>(op, {slots}),
       count = in.allocate<int64_t>(op, {1});
  if (failed(tokens) || failed(experts) || failed(weights) || failed(count) ||
      failed(
          fillEntries(listEntries<R>(assignment[0], assignment[1],
                                     op.getAssignment().getType().getExperts()),
                      *tokens, *experts, *weights, *count)))
    return failure();
  in.set(op.getTokenIndex(), {*tokens});
  in.set(op.getExpertIndex(), {*experts});
  in.set(op.getExpertWeight(), {*weights});
  in.set(op.getCount(), {*count});
  return success();
}

template <typename R>
static LogicalResult interpret(ListEntriesOp op, Interpreter &in) {
  HostTensor chosen = in.get(op.getExperts()), w = in.get(op.getWeights());
  if (chosen.getShape() != w.getShape())
    return op.emitOpError("experts and weights differ in shape");
  int64_t slots = chosen.getNumElements();
  auto tokens = makeOutput<int64_t>(op, in, 0, {slots}),
       experts = makeOutput<int64_t>(op, in, 1, {slots}),
       weights = makeOutput<R>(op, in, 2, {slots}),
       count = makeOutput<int64_t>(op, in, 3, {1});
  if (failed(tokens) || failed(experts) || failed(weights) || failed(count) ||
      failed(fillEntries(listEntries<R>(chosen, w, op.getNumExperts()), *tokens,
                         *experts, *weights, *count)))
    return failure();
  in.set(op->getResult(0), {*tokens});
  in.set(op->getResult(1), {*experts});
  in.set(op->getResult(2), {*weights});
  in.set(op->getResult(3), {*count});
  return success();
}

//===----------------------------------------------------------------------===//
// The layer
//===----------------------------------------------------------------------===//

/// Copies tokens of `x` into expert order.
template <typename R>
static LogicalResult dispatch(Operation *op, const HostTensor &x,
                              ArrayRef<Entry<R>> entries, int64_t numExperts,
                              int64_t maxPerToken, Apply apply, Interpreter &in,
                              HostTensor &rows, HostTensor &offsets) {
  int64_t bound;
  if (llvm::MulOverflow(x.dim(0), maxPerToken, bound))
    return op->emitOpError("cannot be interpreted: too many rows");
  auto newRows = in.allocate<R>(op, {bound, x.dim(1)});
  auto newOffsets = in.allocate<int64_t>(op, {numExperts + 1});
  if (failed(newRows) || failed(newOffsets))
    return failure();
  for (auto [r, entry] : llvm::enumerate(entries))
    for (auto [out, value] : llvm::zip_equal(newRows->template mutableRow<R>(r),
                                             x.row<R>(entry.token)))
      out = apply == Apply::Input ? value * entry.weight : value;
  fillOffsets<R>(entries, newOffsets->template mutableData<int64_t>());
  rows = *newRows;
  offsets = *newOffsets;
  return success();
}

/// Adds rows in expert order to their tokens in `y`.
template <typename R>
static void combine(const HostTensor &rows, ArrayRef<Entry<R>> entries,
                    Apply apply, HostTensor &y) {
  for (auto [r, entry] : llvm::enumerate(entries)) {
    R weight = apply == Apply::Output ? entry.weight : R(1);
    for (auto [sum, value] :
         llvm::zip_equal(y.mutableRow<R>(entry.token), rows.row<R>(r)))
      sum = std::fma(weight, value, sum);
  }
}

/// Runs the expert clauses of moe.layer or moe.experts on rows in expert order.
template <typename R, typename OpTy>
static FailureOr<HostTensor> runExperts(OpTy op, const HostTensor &rows,
                                        const HostTensor &offsetsTensor,
                                        Interpreter &in) {
  ArrayRef<int64_t> offsets = offsetsTensor.ints();
  int64_t h = rows.dim(1), numExperts = int64_t(offsets.size()) - 1;
  std::optional<ArrayRef<int64_t>> kinds = op.getKinds();
  if (failed(checkNotEmpty(op, offsetsTensor, "offsets")) ||
      failed(checkOffsets(op, offsets, rows.dim(0), "offsets")) ||
      (kinds && failed(verifySameSize(op, kinds->size(), "length of kinds",
                                      numExperts, "experts"))))
    return failure();
  FailureOr<HostTensor> result = in.allocate<R>(op, rows.getShape());
  if (failed(result))
    return failure();
  ArrayRef<int64_t> counts = op.getWeightsPerKind();
  SmallVector<int64_t> seen(counts.size(), 0);
  for (int64_t e = 0; e < numExperts; ++e) {
    int64_t kind = kinds ? (*kinds)[e] : 0, indexInKind = seen[kind]++;
    int64_t count = offsets[e + 1] - offsets[e];
    // Nobody asked this expert: its values reach nothing.
    if (count == 0)
      continue;
    FailureOr<HostTensor> index = in.allocate<int64_t>(op, {});
    if (failed(index))
      return failure();
    index->template mutableData<int64_t>()[0] = e;
    SmallVector<HostValue> arguments{{rows.slice(offsets[e], count)}, {*index}};
    for (Value weight : op.getWeights().slice(
             llvm::sum_of(counts.take_front(kind)), counts[kind])) {
      HostTensor stack = in.get(weight);
      if (failed(checkIndex(op, indexInKind, stack.dim(0),
                            "expert within its stack")))
        return failure();
      arguments.push_back({stack.at(indexInKind)});
    }
    FailureOr<SmallVector<HostValue>> yielded =
        in.run(op.getExperts()[kind].front(), arguments);
    if (failed(yielded))
      return failure();
    const HostTensor &values = (*yielded)[0][0];
    if (values.getShape() != ArrayRef<int64_t>({count, h}))
      return op.emitOpError("expert ")
             << e << " yields another shape than its rows have";
    llvm::copy(values.data<R>(),
               result->template mutableData<R>().begin() + offsets[e] * h);
  }
  return result;
}

template <typename R>
static LogicalResult interpret(LayerOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), init = in.get(op.getInit());
  HostValue assignment = in.getValue(op.getAssignment());
  AssignmentType type = op.getAssignment().getType();
  if (x.getShape() != init.getShape())
    return op.emitOpError("outs must have the shape of x");
  if (failed(verifySameSize(op, assignment[0].dim(0), "assigned tokens",
                            x.dim(0), "rows of x")))
    return failure();
  auto entries = listRows<R>(assignment, type.getExperts());
  HostTensor rows, offsets;
  if (failed(dispatch<R>(op, x, entries, type.getExperts(),
                         type.getMaxPerToken(), op.getApply(), in, rows,
                         offsets)))
    return failure();
  FailureOr<HostTensor> results = runExperts<R>(op, rows, offsets, in);
  FailureOr<HostTensor> y = in.copy(op, init);
  if (failed(results) || failed(y))
    return failure();
  combine<R>(*results, entries, op.getApply(), *y);
  in.set(op.getResult(), {*y});
  return success();
}

template <typename R>
static LogicalResult interpret(DispatchOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX());
  HostValue assignment = in.getValue(op.getAssignment());
  AssignmentType type = op.getAssignment().getType();
  if (failed(verifySameSize(op, assignment[0].dim(0), "assigned tokens",
                            x.dim(0), "rows of x")))
    return failure();
  auto entries = listRows<R>(assignment, type.getExperts());
  HostTensor rows, offsets;
  if (failed(dispatch<R>(op, x, entries, type.getExperts(),
                         type.getMaxPerToken(), op.getApply(), in, rows,
                         offsets)))
    return failure();
  in.set(op.getRows(), {rows});
  in.set(op.getOffsets(), {offsets});
  return success();
}

template <typename R>
static LogicalResult interpret(ExpertsOp op, Interpreter &in) {
  FailureOr<HostTensor> result =
      runExperts<R>(op, in.get(op.getRows()), in.get(op.getOffsets()), in);
  if (failed(result))
    return failure();
  in.set(op.getResult(), {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(CombineOp op, Interpreter &in) {
  HostTensor rows = in.get(op.getRows());
  HostValue assignment = in.getValue(op.getAssignment());
  FailureOr<HostTensor> y = in.copy(op, in.get(op.getInit()));
  if (failed(y) ||
      failed(verifySameSize(op, assignment[0].dim(0), "assigned tokens",
                            y->dim(0), "rows of outs")) ||
      failed(verifySameSize(op, rows.dim(1), "columns of rows", y->dim(1),
                            "columns of outs")))
    return failure();
  auto entries =
      listRows<R>(assignment, op.getAssignment().getType().getExperts());
  if (int64_t(entries.size()) > rows.dim(0))
    return op.emitOpError("has ")
           << rows.dim(0) << " rows for " << entries.size() << " kept slots";
  combine<R>(rows, entries, op.getApply(), *y);
  in.set(op.getResult(), {*y});
  return success();
}

template <typename R>
static LogicalResult interpret(ParameterRefOp op, Interpreter &in) {
  auto parameter = SymbolTable::lookupNearestSymbolFrom<ParameterOp>(
      op, op.getParameterAttr());
  if (!parameter)
    return op.emitOpError("refers to '")
           << op.getParameter() << "', which is not a moe.parameter";
  FailureOr<HostTensor> tensor = in.getParameter(op, parameter);
  if (failed(tensor))
    return failure();
  in.set(op.getResult(), {*tensor});
  return success();
}

//===----------------------------------------------------------------------===//
// Ragged ops
//===----------------------------------------------------------------------===//

template <typename R>
static LogicalResult interpret(PlanOp op, Interpreter &in) {
  HostTensor experts = in.get(op.getExperts()),
             weights = in.get(op.getWeights());
  if (experts.getShape() != weights.getShape())
    return op.emitOpError("experts and weights differ in shape");
  int64_t slots = experts.getNumElements(), numTokens = experts.dim(0),
          numExperts = op.getNumExperts();
  auto rowToken = makeOutput<int64_t>(op, in, 0, {slots}),
       rowWeight = makeOutput<R>(op, in, 1, {slots}),
       expertOffsets = makeOutput<int64_t>(op, in, 2, {numExperts + 1}),
       tokenOffsets = makeOutput<int64_t>(op, in, 3, {numTokens + 1}),
       tokenRows = makeOutput<int64_t>(op, in, 4, {slots});
  if (failed(rowToken) || failed(rowWeight) || failed(expertOffsets) ||
      failed(tokenOffsets) || failed(tokenRows))
    return failure();
  auto rows = listRows<R>({experts, weights}, numExperts);
  fillOffsets<R>(rows, expertOffsets->template mutableData<int64_t>());
  MutableArrayRef<int64_t> firsts =
      tokenOffsets->template mutableData<int64_t>();
  llvm::fill(firsts, 0);
  for (auto [r, row] : llvm::enumerate(rows)) {
    rowToken->template mutableData<int64_t>()[r] = row.token;
    rowWeight->template mutableData<R>()[r] = row.weight;
    ++firsts[row.token + 1];
  }
  for (int64_t t = 0; t < numTokens; ++t)
    firsts[t + 1] += firsts[t];
  std::vector<int64_t> next(firsts.begin(), firsts.end());
  for (auto [r, row] : llvm::enumerate(rows))
    tokenRows->template mutableData<int64_t>()[next[row.token]++] = r;
  in.set(op->getResult(0), {*rowToken});
  in.set(op->getResult(1), {*rowWeight});
  in.set(op->getResult(2), {*expertOffsets});
  in.set(op->getResult(3), {*tokenOffsets});
  in.set(op->getResult(4), {*tokenRows});
  return success();
}

template <typename R>
static LogicalResult interpret(RowTilesOp op, Interpreter &in) {
  HostTensor offsetsTensor = in.get(op.getOffsets());
  ArrayRef<int64_t> offsets = offsetsTensor.ints();
  int64_t tile = op.getTile(), maxRows = in.getInt(op.getMaxRows());
  if (failed(checkNotEmpty(op, offsetsTensor, "offsets")) ||
      failed(checkOffsets(op, offsets, maxRows, "offsets")))
    return failure();
  auto tiles = makeOutput<int64_t>(op, in, 0, {maxRows, 4}),
       count = makeOutput<int64_t>(op, in, 1, {1});
  if (failed(tiles) || failed(count))
    return failure();
  int64_t numTiles = 0;
  for (int64_t e = 0; e + 1 < int64_t(offsets.size()); ++e) {
    int64_t m = offsets[e + 1] - offsets[e];
    int64_t n = m / tile + (m % tile != 0);
    for (int64_t i = 0; i < n; ++i) {
      int64_t first = m * i / n, end = m * (i + 1) / n;
      MutableArrayRef<int64_t> row =
          tiles->template mutableRow<int64_t>(numTiles++);
      row[0] = e;
      row[1] = offsets[e] + first;
      row[2] = end - first;
      row[3] = n - i;
    }
  }
  count->template mutableData<int64_t>()[0] = numTiles;
  in.set(op->getResult(0), {*tiles});
  in.set(op->getResult(1), {*count});
  return success();
}

template <typename R>
static LogicalResult interpret(GatherRowsOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), rowToken = in.get(op.getRowToken()),
             offsets = in.get(op.getOffsets());
  HostTensor weight =
      op.getRowWeight() ? in.get(op.getRowWeight()) : HostTensor();
  if (failed(checkNotEmpty(op, offsets, "offsets")) ||
      failed(checkOffsets(op, offsets.ints(), rowToken.dim(0), "offsets")) ||
      (weight && failed(verifySameSize(op, weight.dim(0), "row weights",
                                       rowToken.dim(0), "rows"))))
    return failure();
  auto rows = makeOutput<R>(op, in, 0, {rowToken.dim(0), x.dim(1)});
  if (failed(rows))
    return failure();
  for (int64_t r = 0; r < offsets.ints().back(); ++r) {
    int64_t t = rowToken.ints()[r];
    if (failed(checkIndex(op, t, x.dim(0), "row_token")))
      return failure();
    for (auto [out, value] :
         llvm::zip_equal(rows->template mutableRow<R>(r), x.row<R>(t)))
      out = weight ? value * weight.data<R>()[r] : value;
  }
  in.set(op->getResult(0), {*rows});
  return success();
}

namespace {
/// Rows [first, first + count) of one group.
struct RowRange {
  int64_t group, first, count;
};
} // namespace

/// What moe.grouped_matmul and moe.packed_matmul share. `product` is the sum
/// of a row of `a` and column n of a group's matrix, with its bias.
template <typename R, typename OpTy>
static LogicalResult runMatmul(
    OpTy op, Interpreter &in, ArrayRef<RowRange> ranges, int64_t columns,
    int64_t numParts, bool accumulate,
    function_ref<R(int64_t part, int64_t group, int64_t n, ArrayRef<R> row)>
        product) {
  HostTensor a = in.get(op.getA());
  HostTensor gather = op.getGather() ? in.get(op.getGather()) : HostTensor();
  bool scatters = !op.getScatter().empty();
  HostTensor rowToken = scatters ? in.get(op.getScatter()[0]) : HostTensor();
  HostTensor rowWeight = scatters ? in.get(op.getScatter()[1]) : HostTensor();
  int64_t numRows = gather ? gather.dim(0) : a.dim(0);
  if (scatters &&
      (failed(verifySameSize(op, rowToken.dim(0), "scattered tokens", numRows,
                             "rows")) ||
       failed(verifySameSize(op, rowWeight.dim(0), "scattered weights", numRows,
                             "rows"))))
    return failure();
  SmallVector<int64_t> shape{numRows, columns};
  if (scatters)
    shape[0] = in.get(op.getOuts()[0]).dim(0);
  auto out = makeOutput<R>(op, in, 0, shape);
  if (failed(out))
    return failure();
  Type element = getElementTypeOrSelf(op->getResult(0).getType());
  for (const RowRange &range : ranges) {
    // The epilogue is elementwise: it runs once on all values of the range.
    SmallVector<HostValue> arguments;
    for (int64_t part = 0; part < numParts; ++part) {
      auto values = in.allocate<R>(op, {range.count, columns});
      if (failed(values))
        return failure();
      arguments.push_back({*values});
    }
    for (int64_t i = 0; i < range.count; ++i) {
      int64_t r = range.first + i;
      if (failed(checkIndex(op, r, numRows, "row")))
        return failure();
      int64_t source = gather ? gather.ints()[r] : r;
      if (failed(checkIndex(op, source, a.dim(0), "gathered row")))
        return failure();
      for (int64_t part = 0; part < numParts; ++part)
        for (int64_t n = 0; n < columns; ++n)
          arguments[part][0].mutableRow<R>(i)[n] =
              product(part, range.group, n, a.row<R>(source));
    }
    FailureOr<SmallVector<HostValue>> yielded =
        in.run(op.getEpilogue().front(), arguments);
    if (failed(yielded))
      return failure();
    const HostTensor &values = (*yielded)[0][0];
    bool isConstant = values.getRank() == 0;
    for (int64_t i = 0; i < range.count; ++i) {
      int64_t r = range.first + i, target = scatters ? rowToken.ints()[r] : r;
      if (failed(checkIndex(op, target, out->dim(0), "scattered row")))
        return failure();
      for (int64_t n = 0; n < columns; ++n) {
        R value = isConstant ? values.data<R>()[0] : values.row<R>(i)[n];
        R &y = out->template mutableRow<R>(target)[n];
        if (scatters)
          y = std::fma(rowWeight.data<R>()[r], value, y);
        else
          y = roundTo(element, accumulate ? y + value : value);
      }
    }
  }
  in.set(op->getResult(0), {*out});
  return success();
}

template <typename R>
static LogicalResult interpret(GroupedMatmulOp op, Interpreter &in) {
  HostTensor offsets = in.get(op.getOffsets());
  HostTensor a = in.get(op.getA());
  int64_t numRows = op.getGather() ? in.get(op.getGather()).dim(0) : a.dim(0);
  int64_t numGroups = offsets.dim(0) - 1,
          columns = in.get(op.getBs()[0]).dim(1);
  if (failed(checkNotEmpty(op, offsets, "offsets")) ||
      failed(checkOffsets(op, offsets.ints(), numRows, "offsets")))
    return failure();
  SmallVector<HostTensor> bs, biases;
  for (Value b : op.getBs())
    bs.push_back(in.get(b));
  for (Value bias : op.getBiases())
    biases.push_back(in.get(bias));
  for (const HostTensor &b : bs)
    if (failed(verifySameSize(op, b.dim(0), "experts of a matrix", numGroups,
                              "groups of offsets")) ||
        failed(verifySameSize(op, b.dim(1), "rows of a matrix", columns,
                              "rows of the first matrix")) ||
        failed(verifySameSize(op, b.dim(2), "columns of a matrix", a.dim(1),
                              "columns of a")))
      return failure();
  for (const HostTensor &bias : biases)
    if (failed(verifySameSize(op, bias.dim(0), "experts of a bias", numGroups,
                              "groups of offsets")) ||
        failed(verifySameSize(op, bias.dim(1), "columns of a bias", columns,
                              "rows of its matrix")))
      return failure();
  SmallVector<RowRange> ranges;
  for (int64_t e = 0; e < numGroups; ++e)
    if (offsets.ints()[e + 1] > offsets.ints()[e])
      ranges.push_back(
          {e, offsets.ints()[e], offsets.ints()[e + 1] - offsets.ints()[e]});
  return runMatmul<R>(
      op, in, ranges, columns, bs.size(), /*accumulate=*/false,
      [&](int64_t part, int64_t group, int64_t n, ArrayRef<R> row) {
        R sum = dot(row, bs[part].at(group).template row<R>(n));
        return biases.empty() ? sum
                              : sum + biases[part].template row<R>(group)[n];
      });
}

int64_t moe::panelPosition(PanelsAttr panels, Type element, int64_t part,
                           int64_t n) {
  int64_t lanes = panels.getLanes(), width = panels.getWidth();
  int64_t column = part * width + n % width;
  if (!panels.isPaired(element))
    return column;
  // Vectors 2 i and 2 i + 1 share 32-bit words: lane j of both, side by side.
  int64_t vector = column / lanes, lane = column % lanes;
  return (vector / 2 * lanes + lane) * 2 + vector % 2;
}

template <typename R>
static LogicalResult interpret(PackedMatmulOp op, Interpreter &in) {
  HostTensor a = in.get(op.getA()), b = in.get(op.getB());
  PanelsAttr panels = op.getPanels();
  int64_t numGroups = b.dim(0), columns = panels.getColumns(),
          width = panels.getWidth();
  Type element = cast<ShapedType>(op.getB().getType()).getElementType();
  int64_t numRows = op.getGather() ? in.get(op.getGather()).dim(0) : a.dim(0);
  if (failed(verifySameSize(op, b.dim(1), "panels", panels.getNumPanels(),
                            "columns / width")) ||
      failed(verifySameSize(op, b.dim(2), "rows of a panel", a.dim(1),
                            "columns of a")))
    return failure();
  SmallVector<HostTensor> biases;
  for (Value bias : op.getBiases())
    biases.push_back(in.get(bias));
  for (const HostTensor &bias : biases)
    if (failed(verifySameSize(op, bias.dim(0), "groups of a bias", numGroups,
                              "groups of the weights")) ||
        failed(verifySameSize(op, bias.dim(1), "columns of a bias", columns,
                              "columns")))
      return failure();
  SmallVector<RowRange> ranges;
  if (op.getTiles().empty()) {
    if (numRows > 0)
      ranges.push_back({0, 0, numRows});
  } else {
    HostTensor tiles = in.get(op.getTiles()[0]);
    if (tiles.getRank() != 2 || in.get(op.getTiles()[1]).getRank() != 1 ||
        in.get(op.getTiles()[1]).dim(0) != 1 || tiles.dim(1) != 4)
      return op.emitOpError("tiles must be [NT, 4] and their count [1]");
    int64_t count = in.get(op.getTiles()[1]).ints()[0];
    if (count < 0 || count > tiles.dim(0))
      return op.emitOpError("has ")
             << count << " tiles in a list of " << tiles.dim(0);
    for (int64_t i = 0; i < count; ++i) {
      ArrayRef<int64_t> tile = tiles.row<int64_t>(i);
      if (failed(checkIndex(op, tile[0], numGroups, "group of a tile")) ||
          failed(checkIndex(op, tile[1], numRows, "first row of a tile")) ||
          failed(checkIndex(op, tile[2] - 1, numRows - tile[1],
                            "last row of a tile")))
        return failure();
      ranges.push_back({tile[0], tile[1], tile[2]});
    }
  }
  return runMatmul<R>(
      op, in, ranges, columns, panels.getParts(), op.getAccumulate(),
      [&](int64_t part, int64_t group, int64_t n, ArrayRef<R> row) {
        HostTensor panel = b.at(group).at(n / width);
        int64_t position = panelPosition(panels, element, part, n);
        R sum = 0;
        for (size_t k = 0; k < row.size(); ++k)
          sum = std::fma(row[k], panel.row<R>(k)[position], sum);
        return biases.empty() ? sum
                              : sum + biases[part].template row<R>(group)[n];
      });
}

template <typename R>
static LogicalResult interpret(CombineRowsOp op, Interpreter &in) {
  HostTensor rows = in.get(op.getRows()),
             offsets = in.get(op.getTokenOffsets()),
             tokenRows = in.get(op.getTokenRows());
  HostTensor weight =
      op.getRowWeight() ? in.get(op.getRowWeight()) : HostTensor();
  if (failed(checkNotEmpty(op, offsets, "token_offsets")) ||
      failed(checkOffsets(op, offsets.ints(), tokenRows.dim(0),
                          "token_offsets")) ||
      (weight && failed(verifySameSize(op, weight.dim(0), "row weights",
                                       rows.dim(0), "rows"))))
    return failure();
  auto y = makeOutput<R>(op, in, 0, {offsets.dim(0) - 1, rows.dim(1)});
  if (failed(y))
    return failure();
  for (int64_t t = 0; t < y->dim(0); ++t)
    for (int64_t i = offsets.ints()[t]; i < offsets.ints()[t + 1]; ++i) {
      int64_t r = tokenRows.ints()[i];
      if (failed(checkIndex(op, r, rows.dim(0), "token_rows")))
        return failure();
      R factor = weight ? weight.data<R>()[r] : R(1);
      for (auto [sum, value] :
           llvm::zip_equal(y->template mutableRow<R>(t), rows.row<R>(r)))
        sum = std::fma(factor, value, sum);
    }
  in.set(op->getResult(0), {*y});
  return success();
}

MOE_DEFINE_MODEL_ATTACHMENT

void moe::attachMoEModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, MoEDialect *) {
    attach<RouterLogitsOp, ScoreOp, AddSelectionBiasOp, TopKOp, TakeOp,
           RenormalizeOp, ScaleOp, ScaleByExpertOp, AssignOp,
           AssignmentEntriesOp, LayerOp, DispatchOp, ExpertsOp, CombineOp,
           ParameterRefOp, PlanOp, ListEntriesOp, RowTilesOp, GatherRowsOp,
           GroupedMatmulOp, PackedMatmulOp, CombineRowsOp>(context);
  });
}
