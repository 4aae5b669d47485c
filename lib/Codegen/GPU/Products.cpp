//===- Products.cpp - Kernels of products that any GPU runs ---------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Products.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/NN/IR/NN.h"
#include "llvm/Support/MathExtras.h"
#include <limits>

using namespace mlir;
using namespace mlir::moe;

/// For more rows than all others.
static constexpr int64_t kMany = std::numeric_limits<int64_t>::max();

// Mean rows, then rows, columns and depth of a stage, stages, warps along rows
// and along columns. The first of each: as many columns as keep the memory busy
// with weights, which are read once, in stages that are all under way.
static constexpr TileShape kExactTiles[] = {
    {8, 8, 64, 32, 4, 1, 4},
    {64, 32, 64, 16, 2, 2, 2},
    {kMany, 128, 128, 16, 2, 4, 2},
};
static constexpr TileShape kTensorTiles[] = {
    {16, 16, 128, 64, 4, 1, 4},
    {64, 64, 128, 64, 3, 2, 2},
    {kMany, 128, 128, 32, 4, 2, 2},
};

/// Copies of one thread and tile that are unrolled. There are more only where
/// rows are so badly aligned that 16 bytes cannot be copied at a time.
static constexpr int64_t kMaxUnrolled = 8;

std::string TileConfig::getKey() const {
  std::string key;
  llvm::raw_string_ostream os(key);
  for (int64_t number :
       {shape.rows, shape.columns, shape.depth, shape.stages, shape.rowWarps,
        shape.columnWarps, int64_t(tensorCores), int64_t(parts),
        int64_t(grouped), int64_t(gather), int64_t(scatter),
        int64_t(accumulate), int64_t(addsPairs), depthTail, aCopy, bCopy,
        int64_t(columnTail), int64_t(evenN)})
    os << number << ",";
  os << a << "," << b << "," << out << "," << bias << "\n";
  if (epilogue)
    os << printRegion(*epilogue);
  return key;
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

/// Rows of a tile that fill 128 bytes, all banks, have the same swizzle.
static int64_t getSwizzleShift(int64_t chunks) {
  return llvm::Log2_64(8 / chunks);
}

int64_t SharedRows::swizzle(int64_t row) const {
  return (row >> getSwizzleShift(getChunks())) & (getChunks() - 1);
}
Value SharedRows::swizzle(KernelBuilder &b, Value row) const {
  return b.bitAnd(b.shr(row, getSwizzleShift(getChunks())),
                  b.i32(getChunks() - 1));
}

Value SharedRows::at(KernelBuilder &b, Value row, int64_t fixedRow,
                     Value varying, int64_t chunk, int64_t byte) const {
  Value place = swizzle(b, row);
  if (varying)
    place = b.bitXor(place, varying);
  place = b.bitXor(b.mul(place, b.i32(kChunk)),
                   b.i32((swizzle(fixedRow) ^ chunk) * kChunk));
  Type i8 = b.getI8Type();
  Value address = b.at(i8, base, b.add(b.mul(row, b.i32(rowBytes)), place));
  return b.at(i8, address, b.i32(fixedRow * rowBytes + byte));
}

namespace {
/// Brings rows of k from global memory to a tile in shared memory.
class TileCopier {
public:
  /// Where a row of the tile starts in global memory, and whether it exists:
  /// if not, the address is that of another one.
  struct Source {
    Value address, exists; // pointer, i1
  };
  using Locate = std::function<Source(Value row)>;

  TileCopier(KernelBuilder &b, const TileConfig &config, Type element,
             int64_t rows, int64_t copyBytes, Value depth, Locate locate);

  /// Starts the copies of the values from `first` (i32) on. Rows and values
  /// that do not exist become zero.
  void start(Value first, Value tile);

private:
  struct Copy {
    Source source;
    Value place; // i32, within the tile
  };
  Copy prepare(Value round);
  void start(const Copy &copy, Value first, Value tile);

  KernelBuilder &b;
  Type element;
  int64_t rows, rowBytes, copyBytes, rowsAtOnce;
  bool hasTail;
  Value depth, row, byte;
  Locate locate;
  SmallVector<Copy> copies; // if they are unrolled
};
} // namespace

TileCopier::TileCopier(KernelBuilder &b, const TileConfig &config, Type element,
                       int64_t rows, int64_t copyBytes, Value depth,
                       Locate locate)
    : b(b), element(element), rows(rows), rowBytes(config.getRowBytes(element)),
      copyBytes(copyBytes), hasTail(config.depthTail != 0), depth(depth),
      locate(std::move(locate)) {
  int64_t copiesPerRow = rowBytes / copyBytes;
  rowsAtOnce = config.shape.getThreads() / copiesPerRow;
  row = b.div(b.threadId(), b.i32(copiesPerRow));
  byte = b.mul(b.rem(b.threadId(), b.i32(copiesPerRow)), b.i32(copyBytes));
  int64_t rounds = llvm::divideCeil(rows, rowsAtOnce);
  if (rounds <= kMaxUnrolled)
    for (int64_t i = 0; i < rounds; ++i)
      copies.push_back(prepare(b.i32(i)));
}

TileCopier::Copy TileCopier::prepare(Value round) {
  Value own = b.add(row, b.mul(round, b.i32(rowsAtOnce)));
  SharedRows tile = {Value(), rowBytes};
  Value chunk =
      b.bitXor(b.div(byte, b.i32(SharedRows::kChunk)), tile.swizzle(b, own));
  Value place = b.add(b.mul(own, b.i32(rowBytes)),
                      b.add(b.mul(chunk, b.i32(SharedRows::kChunk)),
                            b.rem(byte, b.i32(SharedRows::kChunk))));
  return {locate(own), place};
}

void TileCopier::start(Value first, Value tile) {
  auto startAll = [&] {
    for (const Copy &copy : copies)
      start(copy, first, tile);
    if (copies.empty())
      b.loop(b.i32(0), b.i32(rows / rowsAtOnce), b.i32(1),
             [&](Value round) { start(prepare(round), first, tile); });
  };
  if (rowsAtOnce > rows)
    b.when(b.less(row, b.i32(rows)), startAll);
  else
    startAll();
}

void TileCopier::start(const Copy &copy, Value first, Value tile) {
  int64_t size = element.getIntOrFloatBitWidth() / 8;
  Value from = b.add(first, b.div(byte, b.i32(size)));
  Value exists = copy.source.exists;
  if (hasTail) {
    Value inside = b.less(from, depth);
    from = b.select(inside, from, b.i32(0));
    exists = b.bitAnd(exists, inside);
  }
  Value source = b.at(element, copy.source.address, from);
  Value target = b.at(b.getI8Type(), tile, copy.place);
  if (copyBytes < 4) { // less than cp.async can do
    Value value = b.pick(
        exists, element,
        [&]() -> SmallVector<Value> { return {b.load(element, source)}; },
        [&]() -> SmallVector<Value> {
          return {LLVM::ZeroOp::create(b, element)};
        })[0];
    b.store(value, target);
    return;
  }
  // Only whole chunks can pass by L1.
  NVVM::CpAsyncOp::create(b, target, source, copyBytes,
                          copyBytes == SharedRows::kChunk
                              ? NVVM::LoadCacheModifierKind::CG
                              : NVVM::LoadCacheModifierKind::CA,
                          b.select(exists, b.i32(copyBytes), b.i32(0)));
}

//===----------------------------------------------------------------------===//
// Kernel
//===----------------------------------------------------------------------===//

namespace {
/// out = epilogue(a b^T): one tile for each block.
class TileKernel {
public:
  TileKernel(KernelBuilder &b, const TileConfig &config)
      : b(b), config(config), arguments(config.getArguments()) {}

  void build();

private:
  void findTile();
  void buildTile();
  TileCopier copyA();
  TileCopier copyB(unsigned part);
  /// Neighbouring columns that are stored together: the multiplier's group
  /// `group` from its `first` on.
  struct Columns {
    Value own; // the first one's number; i32
    int64_t group, first, count;
  };
  using Biases = SmallVector<SmallVector<Value>>; // of each part and column

  void finish(ValueRange sums);
  void forColumns(function_ref<void(const Columns &)> body);
  Biases loadBiases(const Columns &columns);
  Value getAddress(Value outRow, const Columns &columns);
  Value evaluate(ValueRange sums, int64_t i, const Columns &columns,
                 int64_t within, const Biases &biases);
  void store(ValueRange sums, int64_t i, Value inside, const Columns &columns,
             const Biases &biases);

  KernelBuilder &b;
  const TileConfig &config;
  ProductArguments arguments;
  std::unique_ptr<Multiplier> multiplier;
  Value m, n, k;
  Value expert, row, rows, column; // of the tile; i32
};
} // namespace

void TileKernel::build() {
  m = b.toI32(b.argument(arguments.m));
  n = b.toI32(b.argument(arguments.n));
  k = b.toI32(b.argument(arguments.k));
  findTile();
  b.when(b.compare(arith::CmpIPredicate::ne, rows, b.i32(0)),
         [&] { buildTile(); });
}

/// The grid is as large as the rows may need, and each warp looks up which
/// tile is its own: no kernel has to list the tiles before, and none is left
/// out or done twice. Blocks behind the last tile have no rows.
void TileKernel::findTile() {
  Type i32 = b.getI32Type();
  Value tileRows = b.i32(config.shape.rows), block = b.blockId();
  column = b.mul(b.blockId(1), b.i32(config.getColumns()));
  if (!config.grouped) {
    expert = b.i32(0);
    row = b.mul(block, tileRows);
    rows = b.min(b.sub(m, row), tileRows);
    return;
  }
  Value offsets = b.global(b.argument(arguments.offsets));
  Value experts = b.toI32(b.argument(arguments.experts));
  Value lane = b.laneId(), zero = b.i32(0);
  // Each lane has an expert: tiles of all experts before, then this tile.
  SmallVector<Value> found = b.reduce(
      zero, experts, b.i32(32), {zero, zero, zero, zero},
      [&](Value first, ValueRange carried) -> SmallVector<Value> {
        Value before = carried[0];
        Value own = b.add(first, lane);
        Value known = b.min(own, b.sub(experts, b.i32(1)));
        Value start = b.load(i32, b.at(i32, offsets, known));
        Value end = b.load(i32, b.at(i32, offsets, b.add(known, b.i32(1))));
        Value tiles = b.div(
            b.add(b.sub(end, start), b.i32(config.shape.rows - 1)), tileRows);
        tiles = b.select(b.less(own, experts), tiles, zero);
        Value sum = tiles; // of this lane and those before
        for (int64_t distance = 1; distance < 32; distance *= 2) {
          Value from = b.bitAnd(b.sub(lane, b.i32(distance)), b.i32(31));
          Value other = b.shuffle(sum, from);
          sum =
              b.add(sum, b.select(b.less(lane, b.i32(distance)), zero, other));
        }
        // The lanes whose tiles all lie before this one; the next one has it.
        Value past =
            b.compare(arith::CmpIPredicate::ule, b.add(before, sum), block);
        Value mask = NVVM::VoteSyncOp::create(b, i32, b.i32(-1), past,
                                              NVVM::VoteSyncKind::ballot);
        Value which = LLVM::CtPopOp::create(b, mask);
        Value here =
            b.bitAnd(b.less(which, b.i32(32)),
                     b.compare(arith::CmpIPredicate::ule, before, block));
        which = b.min(which, b.i32(31));
        Value inside =
            b.sub(b.sub(block, before), b.shuffle(b.sub(sum, tiles), which));
        Value itsRow = b.add(b.shuffle(start, which), b.mul(inside, tileRows));
        Value itsRows = b.min(b.sub(b.shuffle(end, which), itsRow), tileRows);
        return {b.add(before, b.shuffle(sum, b.i32(31))),
                b.select(here, b.add(first, which), carried[1]),
                b.select(here, itsRow, carried[2]),
                b.select(here, itsRows, carried[3])};
      });
  expert = found[1];
  row = found[2];
  rows = found[3];
}

TileCopier TileKernel::copyA() {
  Value source = b.global(b.argument(arguments.a));
  return TileCopier(
      b, config, config.a, config.shape.rows, config.aCopy, k,
      [this, source](Value inside) -> TileCopier::Source {
        Value exists = b.less(inside, rows);
        Value place = b.add(row, b.select(exists, inside, b.i32(0)));
        if (config.gather) {
          Value gather = b.global(b.argument(arguments.gather));
          place = b.load(b.getI32Type(), b.at(b.getI32Type(), gather, place));
        }
        return {b.at(config.a, source, b.mul(b.toI64(place), b.toI64(k))),
                exists};
      });
}

TileCopier TileKernel::copyB(unsigned part) {
  Value matrix = b.global(b.argument(arguments.b + part));
  Value size = b.mul(b.toI64(n), b.toI64(k));
  Value source = b.at(config.b, matrix, b.mul(b.toI64(expert), size));
  return TileCopier(
      b, config, config.b, config.getColumns(), config.bCopy, k,
      [this, source](Value inside) -> TileCopier::Source {
        Value own = b.add(column, inside);
        Value exists = b.i1(true);
        if (config.columnTail) {
          exists = b.less(own, n);
          own = b.select(exists, own, column);
        }
        return {b.at(config.b, source, b.mul(b.toI64(own), b.toI64(k))),
                exists};
      });
}

void TileKernel::buildTile() {
  const TileShape &shape = config.shape;
  Type i8 = b.getI8Type();
  multiplier = config.tensorCores ? makeTensorMultiplier(b, config)
                                  : makeExactMultiplier(b, config);
  Value shared = b.dynamicShared();
  auto getStage = [&](Value stage) {
    return b.at(i8, shared, b.mul(stage, b.i32(config.getStageBytes())));
  };
  auto getB = [&](Value stage, unsigned part) {
    return b.at(i8, stage,
                b.i32(config.getABytes() + part * config.getBBytes()));
  };
  TileCopier a = copyA();
  SmallVector<TileCopier> bs;
  for (unsigned part = 0; part < config.parts; ++part)
    bs.push_back(copyB(part));
  auto fetch = [&](Value number, Value stage) {
    Value first = b.mul(number, b.i32(shape.depth)), start = getStage(stage);
    a.start(first, start);
    for (auto [part, copier] : llvm::enumerate(bs))
      copier.start(first, getB(start, part));
  };
  // A group for each step, even if it is empty, so that their count tells which
  // have arrived.
  auto commit = [&] { NVVM::CpAsyncCommitGroupOp::create(b); };
  auto arrived = [&](int64_t pending) {
    NVVM::CpAsyncWaitGroupOp::create(b, b.getI32IntegerAttr(pending));
    b.barrier();
  };
  auto multiply = [&](Value stage, int64_t depth, ValueRange sums) {
    Value start = getStage(stage);
    SmallVector<SharedRows> rows;
    for (unsigned part = 0; part < config.parts; ++part)
      rows.push_back({getB(start, part), config.getRowBytes(config.b)});
    return multiplier->multiply({start, config.getRowBytes(config.a)}, rows,
                                depth, sums);
  };

  Value depths = b.div(b.add(k, b.i32(shape.depth - 1)), b.i32(shape.depth));
  for (int64_t i = 0; i + 1 < shape.stages; ++i) {
    b.when(b.less(b.i32(i), depths), [&] { fetch(b.i32(i), b.i32(i)); });
    commit();
  }
  // Zeros do no harm to sums of mma.sync; chains have to end where K does.
  bool endsApart = config.depthTail && !config.tensorCores;
  Value whole = endsApart ? b.div(k, b.i32(shape.depth)) : depths;
  SmallVector<Value> carried = {b.i32(0)};
  carried.append(multiplier->getNumSums(), b.f32(0));
  carried = b.reduce(
      b.i32(0), whole, b.i32(1), carried,
      [&](Value i, ValueRange before) -> SmallVector<Value> {
        Value stage = before[0], last = b.i32(shape.stages - 1);
        // Behind the barrier nobody reads the stage before this one any more.
        arrived(shape.stages - 2);
        Value next = b.add(i, last);
        b.when(b.less(next, depths), [&] {
          Value isFirst = b.compare(arith::CmpIPredicate::eq, stage, b.i32(0));
          fetch(next, b.select(isFirst, last, b.sub(stage, b.i32(1))));
        });
        commit();
        SmallVector<Value> after =
            multiply(stage, shape.depth, before.drop_front());
        Value isLast = b.compare(arith::CmpIPredicate::eq, stage, last);
        after.insert(after.begin(),
                     b.select(isLast, b.i32(0), b.add(stage, b.i32(1))));
        return after;
      });
  SmallVector<Value> sums(ArrayRef(carried).drop_front());
  if (endsApart) {
    arrived(0);
    sums = multiply(carried[0], config.depthTail, sums);
  }
  finish(sums);
}

void TileKernel::finish(ValueRange sums) {
  SmallVector<Value> rowsInside = multiplier->getRows();
  if (!config.scatter) {
    forColumns([&](const Columns &columns) {
      Biases biases = loadBiases(columns);
      for (auto [i, inside] : llvm::enumerate(rowsInside))
        b.when(b.less(inside, rows), [&, i = i, inside = inside] {
          store(sums, i, inside, columns, biases);
        });
    });
    return;
  }
  // A row at a time: token and weight of all of them would take registers that
  // the sums have. So would the operands of the last products, if those sank
  // into the branches below.
  Value all = b.assembleTied("", sums);
  SmallVector<Value> computed = llvm::map_to_vector(
      llvm::seq<int64_t>(sums.size()), [&](int64_t i) -> Value {
        return LLVM::ExtractValueOp::create(b, all, i);
      });
  for (auto [i, inside] : llvm::enumerate(rowsInside))
    b.when(b.less(inside, rows), [&, i = i, inside = inside] {
      auto scattered =
          ScatteredRow::load(b, arguments.scatter, b.add(row, inside));
      forColumns([&](const Columns &columns) {
        Biases biases = loadBiases(columns);
        SmallVector<Value> results;
        for (int64_t within = 0; within < columns.count; ++within)
          results.push_back(evaluate(computed, i, columns, within, biases));
        scattered.add(b, results, getAddress(scattered.token, columns),
                      config.addsPairs);
      });
    });
}

void TileKernel::forColumns(function_ref<void(const Columns &)> body) {
  int64_t width = multiplier->getWidth();
  // Pairs are stored at once where they are aligned.
  int64_t together = config.evenN ? width : 1;
  SmallVector<Value> starts = multiplier->getColumns();
  for (int64_t group = 0; group < int64_t(starts.size()); ++group) {
    for (int64_t first = 0; first < width; first += together) {
      Value own = b.add(column, b.add(starts[group], b.i32(first)));
      auto run = [&] { body({own, group, first, together}); };
      if (config.columnTail)
        b.when(b.less(own, n), run);
      else
        run();
    }
  }
}

TileKernel::Biases TileKernel::loadBiases(const Columns &columns) {
  Biases biases(config.parts);
  for (unsigned part = 0; config.bias && part < config.parts; ++part) {
    Value start =
        b.add(b.mul(b.toI64(expert), b.toI64(n)), b.toI64(columns.own));
    Value address =
        b.at(config.bias, b.global(b.argument(arguments.bias + part)), start);
    for (int64_t i = 0; i < columns.count; ++i)
      biases[part].push_back(
          b.widen(b.load(config.bias, b.at(config.bias, address, b.i32(i)))));
  }
  return biases;
}

Value TileKernel::getAddress(Value outRow, const Columns &columns) {
  Value place = b.add(b.mul(b.toI64(outRow), b.toI64(n)), b.toI64(columns.own));
  return b.at(config.out, b.global(b.argument(arguments.out)), place);
}

/// The result in row `i` of the multiplier's and place `within` of `columns`.
Value TileKernel::evaluate(ValueRange sums, int64_t i, const Columns &columns,
                           int64_t within, const Biases &biases) {
  SmallVector<Value> values;
  for (unsigned part = 0; part < config.parts; ++part) {
    Value sum = sums[multiplier->getSum(part, i, columns.group,
                                        columns.first + within)];
    if (config.bias)
      sum = b.addF(sum, biases[part][within]);
    values.push_back(sum);
  }
  return applyEpilogue(b, config.epilogue, values);
}

/// Stores what there is of row `i` of the multiplier's, `inside` of the tile.
void TileKernel::store(ValueRange sums, int64_t i, Value inside,
                       const Columns &columns, const Biases &biases) {
  int64_t bytes = config.out.getIntOrFloatBitWidth() / 8;
  int64_t count = columns.count;
  Value address = getAddress(b.add(row, inside), columns);
  SmallVector<Value> results;
  for (int64_t within = 0; within < count; ++within) {
    Value result = evaluate(sums, i, columns, within, biases);
    if (config.accumulate) {
      Value old = b.load(config.out, b.at(config.out, address, b.i32(within)));
      result = b.addF(b.widen(old), result);
    }
    results.push_back(result);
  }
  Type type = config.out;
  Value value = results[0];
  if (count > 1) {
    type = VectorType::get(count, config.out);
    value = b.pack(results);
  }
  if (!config.out.isF32())
    value = arith::TruncFOp::create(b, type, value);
  b.store(value, address, count * bytes);
}

//===----------------------------------------------------------------------===//
// On the host
//===----------------------------------------------------------------------===//

static bool isSupported(const Product &product) {
  auto sameType = [](ArrayRef<Value> values) {
    return llvm::all_of(values, [&](Value value) {
      return value.getType() == values[0].getType();
    });
  };
  // Places within a matrix are 32-bit numbers.
  constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max() / 2;
  return product.bs.size() <= 2 && sameType(product.bs) &&
         sameType(product.biases) && product.k > 0 && product.n > 0 &&
         product.experts > 0 && product.k < kMaxSize && product.n < kMaxSize;
}

/// Bytes that rows of K such elements can be copied in: 16 if they are aligned
/// to that. Memory starts at multiples of 16 bytes at least.
static int64_t getCopyBytes(Type element, int64_t k) {
  int64_t bytes = k * (element.getIntOrFloatBitWidth() / 8);
  return std::min(bytes & -bytes, SharedRows::kChunk);
}

/// Whether tensor cores multiply what arrives without rounding it, or rounding
/// has been allowed. A router's scores are always exact.
static bool useTensorCores(Operation *op, const TileConfig &config,
                           const GPUTarget &target) {
  if (config.a != config.b || isa<RouterLogitsOp>(op) ||
      std::min(config.aCopy, config.bCopy) < 4)
    return false;
  return !config.a.isF32() || target.precision == Precision::TF32;
}

static void launch(ImplicitLocOpBuilder &b, const Product &product, Value rows,
                   TileConfig config, const TileShape &shape,
                   KernelModule &kernels) {
  bool isTF32 = config.tensorCores && config.a.isF32();
  config.shape = shape;
  if (isTF32)
    config.shape.depth /= 2;
  config.depthTail = product.k % config.shape.depth;
  config.columnTail = product.n % config.getColumns() != 0;

  std::string prefix;
  llvm::raw_string_ostream os(prefix);
  os << "product_";
  if (isTF32)
    os << "tf32";
  else if (config.tensorCores)
    os << config.a;
  else
    os << "f32";
  os << "_" << config.shape.rows << "x" << config.getColumns() << "x"
     << config.shape.depth << "_g" << config.parts << "_" << product.getKind();

  KernelShape kernelShape;
  kernelShape.threads = config.shape.getThreads();
  kernelShape.dynamicShared = config.shape.stages * config.getStageBytes();
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      kernels.getName(prefix, config.getKey()),
      config.getArguments().getTypes(b.getContext()), kernelShape,
      [&](KernelBuilder &k) { TileKernel(k, config).build(); });
  if (config.scatter)
    setUnordered(kernel);

  SmallVector<Value> operands = {product.a};
  llvm::append_range(operands, product.bs);
  Value columnTiles = arith::ConstantIndexOp::create(
      b, llvm::divideCeil(product.n, config.getColumns()));
  buildLaunch(b, b.getLoc(), kernel,
              {product.getMaxRowTiles(b, rows, config.shape.rows), columnTiles},
              product.getArguments(b, operands, rows));
}

LogicalResult moe::selectProduct(Operation *op, KernelModule &kernels) {
  FailureOr<Product> product = readProduct(op, kernels.getTarget());
  if (failed(product) || !isSupported(*product))
    return failure();
  TileConfig config = {};
  config.a = product->getElementType(product->a);
  config.b = product->getElementType();
  config.out = product->getElementType(product->out);
  config.bias = product->getBiasType();
  config.parts = product->bs.size();
  config.grouped = bool(product->offsets);
  config.gather = bool(product->gather);
  config.scatter = bool(product->rowToken);
  config.addsPairs =
      config.scatter && canAddPairs(kernels.getTarget(), product->n);
  config.accumulate = product->accumulate;
  config.aCopy = getCopyBytes(config.a, product->k);
  config.bCopy = getCopyBytes(config.b, product->k);
  config.evenN = product->n % 2 == 0;
  config.epilogue = product->epilogue;
  config.tensorCores = useTensorCores(op, config, kernels.getTarget());

  ImplicitLocOpBuilder b(op->getLoc(), op);
  Value rows = product->getRows(b);
  ArrayRef<TileShape> tiles(kExactTiles);
  if (config.tensorCores)
    tiles = kTensorTiles;
  std::optional<int64_t> known = getConstantIntValue(rows);
  OpBuilder::InsertionGuard guard(b);
  for (const TileShape &tile : tiles) {
    if (tile.meanRows == kMany) {
      launch(b, *product, rows, config, tile, kernels);
      break;
    }
    int64_t most = tile.meanRows * product->experts;
    if (known && *known > most)
      continue;
    if (known) {
      launch(b, *product, rows, config, tile, kernels);
      break;
    }
    Value few = arith::CmpIOp::create(b, arith::CmpIPredicate::ule, rows,
                                      arith::ConstantIndexOp::create(b, most));
    auto branch = scf::IfOp::create(b, few, /*withElseRegion=*/true);
    b.setInsertionPointToStart(branch.thenBlock());
    launch(b, *product, rows, config, tile, kernels);
    b.setInsertionPointToStart(branch.elseBlock());
  }
  op->erase();
  return success();
}
