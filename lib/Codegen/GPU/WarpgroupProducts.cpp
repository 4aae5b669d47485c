//===- WarpgroupProducts.cpp - Kernels of products on sm_90a --------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "WarpgroupProducts.h"
#include "TileTable.h"
#include "Warpgroup.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;

/// k of one stage: a swizzled row of 16-bit numbers.
static constexpr int64_t kDepth = 64;
static constexpr int64_t kConsumers = 2;
/// Groups of cp.async that a producer leaves under way. The consumers free a
/// stage when they have started the next, so the ring needs two more.
static constexpr int64_t kLag = 2;
/// Registers per thread of the two roles: (40 + 2 * 232) * 128 <= 65536.
static constexpr int64_t kProducerRegisters = 40, kConsumerRegisters = 232;

namespace {
/// What the code of a kernel depends on.
struct ProductConfig {
  Type element;   // of a and b
  Type out;       // f32 or as element
  Type bias;      // null: none
  unsigned parts; // matrices b
  bool grouped;
  bool gather;
  bool scatter;
  bool accumulate;
  /// 128: each consumer has 64 rows and all columns. 64: all rows and half of
  /// the columns.
  int64_t tileRows;
  /// Columns of all parts together that one tile has sums for.
  int64_t tileColumns;
  bool depthTail; // K is no multiple of kDepth
  bool tail;      // N is no multiple of getColumns()
  bool evenN;
  bool alignedN;    // N is a multiple of eight
  bool addsPairs;   // of columns: see ScatteredRow
  Region *epilogue; // null: the sum

  static constexpr int64_t stages = 4;
  static_assert(stages >= kLag + 2);

  bool splitsColumns() const { return tileRows == 64; }
  /// Whether rows of the result are stored by 16 bytes.
  bool transposes() const { return !out.isF32() && alignedN && !accumulate; }
  /// Columns that one consumer has sums for, of all parts.
  int64_t getSumColumns() const {
    return splitsColumns() ? tileColumns / kConsumers : tileColumns;
  }
  /// Columns of one part that one consumer has: one box.
  int64_t getBoxColumns() const { return getSumColumns() / parts; }
  /// Columns of the result in one tile.
  int64_t getColumns() const { return tileColumns / parts; }
  int64_t getABytes() const { return tileRows * kSwizzleRow; }
  int64_t getBBytes() const { return tileColumns * kSwizzleRow; }

  // Shared memory: tiles of a, tiles of b, barriers, the table.
  int64_t getBOffset() const { return stages * getABytes(); }
  int64_t getRingOffset() const { return getBOffset() + stages * getBBytes(); }
  int64_t getTableOffset() const {
    return getRingOffset() + Ring::getBytes(stages);
  }
  int64_t getSharedBytes() const {
    return getTableOffset() + (grouped ? TileTable::kBytes : 0);
  }

  ProductArguments getArguments() const {
    return ProductArguments(parts, bool(bias), grouped, gather, scatter);
  }
  std::string getKey() const {
    std::string key;
    llvm::raw_string_ostream os(key);
    os << element << "," << out << "," << bias << "," << parts << grouped
       << gather << scatter << accumulate << depthTail << tail << evenN
       << alignedN << addsPairs << "," << tileRows << "," << tileColumns
       << "\n";
    if (epilogue)
      os << printRegion(*epilogue);
    return key;
  }
};

/// out = epilogue(a b^T): 128 threads fetch tiles, 256 multiply them.
class ProductKernel {
public:
  ProductKernel(KernelBuilder &b, const ProductConfig &config)
      : b(b), config(config), arguments(config.getArguments()) {}

  static SmallVector<Type> getArgumentTypes(MLIRContext *context,
                                            const ProductConfig &config);
  void build();

private:
  /// One tile of the result; `column` is an i32.
  struct Tile : TileTable::RowTile {
    Tile(TileTable::RowTile rowTile, Value column)
        : RowTile(rowTile), column(column) {}
    Value column;
  };

  Value shared(int64_t offset) {
    return b.at(b.getI8Type(), base, b.i32(offset));
  }
  Value stageOf(Value start, Value stage, int64_t bytes) {
    return b.at(b.getI8Type(), start, b.mul(stage, b.i32(bytes)));
  }
  Tile findTile(Value number);
  void forTiles(RingPosition &position,
                function_ref<void(Tile, RingPosition &)> body);
  void fetchB(const Tile &tile, Value place, Value stage, Value barrier);
  void produceByBoxes();
  void produceByChunks();
  void consume();
  void finish(const Tile &tile, Value sums, Value consumer, Value thread);
  SmallVector<Value> loadColumns(Type type, Value address, int64_t count);
  SmallVector<Value> evaluate(const Tile &tile, Value sums, int64_t half,
                              int64_t group, Value column, int64_t count);
  Value pack(ArrayRef<Value> results);
  /// `row`: of the result.
  Value getAddress(Value row, Value column);
  void storePairs(const Tile &tile, Value sums, int64_t half, Value row,
                  Value firstColumn);
  void storeTransposed(const Tile &tile, Value sums, int64_t half, Value row,
                       Value firstColumn);

  KernelBuilder &b;
  ProductConfig config;
  ProductArguments arguments;
  Ring ring;
  std::optional<TileTable> table;
  Value base, aTiles, bTiles;
  Value m, n, k, columnTiles, depths, numTiles;
};
} // namespace

SmallVector<Type> ProductKernel::getArgumentTypes(MLIRContext *context,
                                                  const ProductConfig &config) {
  ProductArguments places = config.getArguments();
  SmallVector<Type> types = places.getTypes(context);
  if (!config.gather)
    types[places.a] = getTensorMapType(context);
  for (unsigned i = 0; i < config.parts; ++i)
    types[places.b + i] = getTensorMapType(context);
  return types;
}

void ProductKernel::build() {
  base = b.dynamicShared();
  aTiles = base;
  bTiles = shared(config.getBOffset());
  ring = {shared(config.getRingOffset()), config.stages};
  m = b.toI32(b.argument(arguments.m));
  n = b.toI32(b.argument(arguments.n));
  k = b.toI32(b.argument(arguments.k));
  if (config.grouped)
    table.emplace(b, shared(config.getTableOffset()),
                  b.toI32(b.argument(arguments.experts)), config.tileRows);
  int64_t columns = config.getColumns();
  columnTiles = b.div(b.add(n, b.i32(columns - 1)), b.i32(columns));
  depths = b.div(b.add(k, b.i32(kDepth - 1)), b.i32(kDepth));

  Value thread = b.threadId();
  Value role = getWarpgroup(b), warp = b.warpId();
  b.when(b.compare(arith::CmpIPredicate::eq, thread, b.i32(0)), [&] {
    // Boxes arrive by one thread; chunks by all that copy them.
    ring.init(b, config.gather ? 1 + kWarpgroup : 1,
              kConsumers * kWarpgroup / 32);
    publishBarriers(b);
  });
  b.waitForEarlierKernels();
  if (config.grouped)
    b.when(b.compare(arith::CmpIPredicate::eq, warp, b.i32(0)),
           [&] { table->build(b.global(b.argument(arguments.offsets))); });
  b.barrier();
  Value rowTiles = config.grouped ? table->getCount()
                                  : b.div(b.add(m, b.i32(config.tileRows - 1)),
                                          b.i32(config.tileRows));
  numTiles = b.mul(rowTiles, columnTiles);
  Value produces = b.compare(arith::CmpIPredicate::eq, role, b.i32(0));
  branch(
      b, produces,
      [&] {
        setRegisters(b, kProducerRegisters, /*increase=*/false);
        if (config.gather) {
          produceByChunks();
        } else {
          b.when(b.compare(arith::CmpIPredicate::eq, warp, b.i32(0)),
                 [&] { b.when(elect(b), [&] { produceByBoxes(); }); });
        }
        b.startNextKernel();
      },
      [&] {
        setRegisters(b, kConsumerRegisters, /*increase=*/true);
        b.startNextKernel();
        consume();
      });
}

ProductKernel::Tile ProductKernel::findTile(Value number) {
  Value rowTile = b.div(number, columnTiles);
  Value column = b.mul(b.rem(number, columnTiles), b.i32(config.getColumns()));
  if (config.grouped)
    return {table->find(rowTile), column};
  Value row = b.mul(rowTile, b.i32(config.tileRows));
  Value rows = b.min(b.sub(m, row), b.i32(config.tileRows));
  return {{b.i32(0), row, rows}, column};
}

/// Runs `body`, which moves the position on, for the tiles of this block.
void ProductKernel::forTiles(RingPosition &position,
                             function_ref<void(Tile, RingPosition &)> body) {
  SmallVector<Value> last = b.reduce(
      b.blockId(), numTiles, b.gridSize(), {position.stage, position.phase},
      [&](Value number, ValueRange carried) -> SmallVector<Value> {
        RingPosition inner = {carried[0], carried[1]};
        body(findTile(number), inner);
        return {inner.stage, inner.phase};
      });
  position = {last[0], last[1]};
}

/// Starts the copies of one stage of b: first what one consumer needs of each
/// part, then the same for the other.
void ProductKernel::fetchB(const Tile &tile, Value place, Value stage,
                           Value barrier) {
  Value target = stageOf(bTiles, stage, config.getBBytes());
  int64_t box = config.getBoxColumns();
  for (int64_t i = 0; i < config.getSumColumns() * config.parts; ++i) {
    int64_t consumer = i / config.parts;
    unsigned part = i % config.parts;
    if (consumer == (config.splitsColumns() ? kConsumers : 1))
      break;
    SmallVector<Value> places = {place,
                                 b.add(tile.column, b.i32(consumer * box))};
    if (config.grouped)
      places.push_back(tile.expert);
    copyBox(b, b.at(b.getI8Type(), target, b.i32(i * box * kSwizzleRow)),
            b.argument(arguments.b + part), places, barrier);
  }
}

/// One thread fetches a and b by boxes. Rows behind those of the expert come
/// along and are not stored; what is outside of a matrix is zero.
void ProductKernel::produceByBoxes() {
  RingPosition position = {b.i32(0), b.i32(0)};
  forTiles(position, [&](Tile tile, RingPosition &inner) {
    SmallVector<Value> last = b.reduce(
        b.i32(0), depths, b.i32(1), {inner.stage, inner.phase},
        [&](Value i, ValueRange carried) -> SmallVector<Value> {
          RingPosition now = {carried[0], carried[1]};
          Value full = ring.full(b, now.stage);
          Value place = b.mul(i, b.i32(kDepth));
          waitFor(b, ring.empty(b, now.stage), b.bitXor(now.phase, b.i32(1)));
          arriveExpecting(b, full,
                          b.i32(config.getABytes() + config.getBBytes()));
          copyBox(b, stageOf(aTiles, now.stage, config.getABytes()),
                  b.argument(arguments.a), {place, tile.row}, full);
          fetchB(tile, place, now.stage, full);
          RingPosition next = now.next(b, config.stages);
          return {next.stage, next.phase};
        });
    inner = {last[0], last[1]};
  });
}

/// All threads fetch rows of a by chunks and one fetches b by boxes. Each
/// thread arrives kLag stages after it has started the copies.
void ProductKernel::produceByChunks() {
  Type i32 = b.getI32Type();
  Value thread = b.threadId();
  Value warp = b.shuffle(b.shr(thread, 5), b.i32(0));
  Value leads =
      b.bitAnd(elect(b), b.compare(arith::CmpIPredicate::eq, warp, b.i32(0)));
  Value source = b.global(b.argument(arguments.a));
  Value gather = b.global(b.argument(arguments.gather));
  // Eight threads copy a row of a tile; the pattern repeats after eight rows.
  constexpr int64_t kRowsAtOnce = kWarpgroup / 8;
  Value chunk = b.bitAnd(thread, b.i32(7)), row = b.shr(thread, 3);
  Value place =
      b.add(b.mul(row, b.i32(kSwizzleRow)),
            b.mul(b.bitXor(chunk, b.bitAnd(row, b.i32(7))), b.i32(kChunk)));
  Value column = b.mul(chunk, b.i32(kChunkElements));
  int64_t rounds = config.tileRows / kRowsAtOnce;

  // For the stage that was started `lag` stages before `stage`, if there is
  // one.
  auto arriveLate = [&](Value stage, Value started, int64_t lag,
                        int64_t pending) {
    publishChunks(b, pending);
    Value late =
        b.rem(b.add(stage, b.i32(config.stages - lag)), b.i32(config.stages));
    b.when(b.compare(arith::CmpIPredicate::uge, started, b.i32(lag)),
           [&] { arrive(b, ring.full(b, late)); });
  };
  SmallVector<Value> last = b.reduce(
      b.blockId(), numTiles, b.gridSize(), {b.i32(0), b.i32(0), b.i32(0)},
      [&](Value number, ValueRange outer) -> SmallVector<Value> {
        Tile tile = findTile(number);
        // Few registers: no addresses, and one number for all sizes, that of
        // the rows that there are.
        SmallVector<Value> rows;
        for (int64_t i = 0; i < rounds; ++i) {
          Value inside = b.add(row, b.i32(i * kRowsAtOnce));
          Value exists = b.less(inside, tile.rows);
          Value known = b.add(tile.row, b.select(exists, inside, b.i32(0)));
          rows.push_back(b.load(i32, b.at(i32, gather, known)));
        }
        Value numRows =
            b.div(b.sub(b.add(tile.rows, b.i32(kRowsAtOnce - 1)), row),
                  b.i32(kRowsAtOnce));
        return b.reduce(
            b.i32(0), depths, b.i32(1), outer,
            [&](Value i, ValueRange carried) -> SmallVector<Value> {
              RingPosition now = {carried[0], carried[1]};
              Value started = carried[2];
              Value full = ring.full(b, now.stage);
              Value depth = b.mul(i, b.i32(kDepth));
              waitFor(b, ring.empty(b, now.stage),
                      b.bitXor(now.phase, b.i32(1)));
              b.when(leads, [&] {
                arriveExpecting(b, full, b.i32(config.getBBytes()));
                fetchB(tile, depth, now.stage, full);
              });
              Value from = b.add(depth, column), copied = numRows;
              if (config.depthTail) {
                Value exists = b.less(from, k);
                from = b.select(exists, from, b.i32(0));
                copied = b.select(exists, copied, b.i32(0));
              }
              Value target =
                  b.at(b.getI8Type(),
                       stageOf(aTiles, now.stage, config.getABytes()), place);
              for (int64_t j = 0; j < rounds; ++j) {
                Value start = b.mul(b.toI64(rows[j]), b.toI64(k));
                copyChunk(
                    b,
                    b.at(b.getI8Type(), target,
                         b.i32(j * kRowsAtOnce * kSwizzleRow)),
                    b.at(config.element, source, b.add(start, b.toI64(from))),
                    b.select(b.less(b.i32(j), copied), b.i32(kChunk),
                             b.i32(0)));
              }
              commitChunks(b);
              arriveLate(now.stage, started, kLag, kLag);
              RingPosition next = now.next(b, config.stages);
              return {next.stage, next.phase,
                      b.min(b.add(started, b.i32(1)), b.i32(kLag))};
            });
      });
  for (int64_t lag = kLag; lag > 0; --lag)
    arriveLate(last[0], last[2], lag, lag - 1);
}

void ProductKernel::consume() {
  Value thread = b.bitAnd(b.threadId(), b.i32(kWarpgroup - 1));
  Value consumer = b.sub(getWarpgroup(b), b.i32(1));
  Value speaks = b.compare(arith::CmpIPredicate::eq,
                           b.bitAnd(thread, b.i32(31)), b.i32(0));
  int64_t columns = config.getSumColumns();
  Value own =
      b.mul(consumer, b.i32((config.splitsColumns() ? columns : int64_t(64)) *
                            kSwizzleRow));
  Value aStart = aTiles, bStart = bTiles;
  (config.splitsColumns() ? bStart : aStart) =
      b.at(b.getI8Type(), config.splitsColumns() ? bTiles : aTiles, own);
  Value a = describeTile(b, aStart), bTile = describeTile(b, bStart);
  Type sumsType = getAccumulatorType(b.getContext(), columns);
  Value none = LLVM::ZeroOp::create(b, sumsType);

  auto step = [&](RingPosition now, Value sums, bool first) {
    waitFor(b, ring.full(b, now.stage), now.phase);
    auto advance = [&](Value tile, int64_t bytes) {
      return b.add(tile, b.toI64(b.mul(now.stage, b.i32(bytes / kChunk))));
    };
    return multiply(b, sums, advance(a, config.getABytes()),
                    advance(bTile, config.getBBytes()), config.element, columns,
                    first);
  };
  auto release = [&](Value stage) {
    b.when(speaks, [&] { arrive(b, ring.empty(b, stage)); });
  };
  RingPosition position = {b.i32(0), b.i32(0)};
  forTiles(position, [&](Tile tile, RingPosition &inner) {
    // There is a first stage: K is at least 1.
    Value sums = step(inner, none, /*first=*/true);
    RingPosition second = inner.next(b, config.stages);
    SmallVector<Value> last =
        b.reduce(b.i32(1), depths, b.i32(1),
                 {second.stage, second.phase, inner.stage, sums},
                 [&](Value, ValueRange carried) -> SmallVector<Value> {
                   RingPosition now = {carried[0], carried[1]};
                   Value more = step(now, carried[3], /*first=*/false);
                   waitForPrevious(b);
                   release(carried[2]);
                   RingPosition next = now.next(b, config.stages);
                   return {next.stage, next.phase, now.stage, more};
                 });
    inner = {last[0], last[1]};
    sums = waitForSums(b, last[3]);
    release(last[2]);
    finish(tile, sums, consumer, thread);
  });
}

/// One or two neighbours as f32.
SmallVector<Value> ProductKernel::loadColumns(Type type, Value address,
                                              int64_t count) {
  int64_t bytes = type.getIntOrFloatBitWidth() / 8;
  SmallVector<Value> values;
  Value pair;
  if (count == 2 && config.evenN)
    pair = b.load(VectorType::get(2, type), address, 2 * bytes);
  for (int64_t i = 0; i < count; ++i)
    values.push_back(
        b.widen(pair ? Value(LLVM::ExtractElementOp::create(b, pair, b.i32(i)))
                     : b.load(type, b.at(type, address, b.i32(i)), bytes)));
  return values;
}

/// The results in rows `half * 8` below the thread's first and the first one or
/// two of its columns from `column` on, which is 8 * `group` behind its first.
SmallVector<Value> ProductKernel::evaluate(const Tile &tile, Value sums,
                                           int64_t half, int64_t group,
                                           Value column, int64_t count) {
  int64_t box = config.getBoxColumns();
  SmallVector<SmallVector<Value>> values(count); // of each column
  for (unsigned part = 0; part < config.parts; ++part) {
    for (int64_t i = 0; i < count; ++i) {
      int64_t number = 4 * (group + part * box / 8) + 2 * half + i;
      values[i].push_back(LLVM::ExtractValueOp::create(b, sums, number));
    }
    if (!config.bias)
      continue;
    Value place =
        b.add(b.mul(b.toI64(tile.expert), b.toI64(n)), b.toI64(column));
    Value address =
        b.at(config.bias, b.global(b.argument(arguments.bias + part)), place);
    SmallVector<Value> biases = loadColumns(config.bias, address, count);
    for (auto [value, bias] : llvm::zip_equal(values, biases))
      value[part] = b.addF(value[part], bias);
  }
  return llvm::map_to_vector(values, [&](ArrayRef<Value> value) {
    return applyEpilogue(b, config.epilogue, value);
  });
}

/// Two results in the type of the destination.
Value ProductKernel::pack(ArrayRef<Value> results) {
  Value pair = b.pack(results);
  if (config.out.isF32())
    return pair;
  return arith::TruncFOp::create(b, VectorType::get(2, config.out), pair);
}

/// Stores what one consumer has of a tile.
void ProductKernel::finish(const Tile &tile, Value sums, Value consumer,
                           Value thread) {
  Value column = b.add(tile.column, getSumColumn(b, thread));
  Value row = getSumRow(b, thread);
  if (config.splitsColumns())
    column = b.add(column, b.mul(consumer, b.i32(config.getBoxColumns())));
  else
    row = b.add(row, b.mul(consumer, b.i32(64)));
  for (int64_t half = 0; half < 2; ++half) {
    Value rowOfHalf = b.add(row, b.i32(8 * half));
    if (config.transposes())
      storeTransposed(tile, sums, half, rowOfHalf, column);
    else
      b.when(b.less(rowOfHalf, tile.rows),
             [&] { storePairs(tile, sums, half, rowOfHalf, column); });
  }
}

Value ProductKernel::getAddress(Value row, Value column) {
  Value start = b.add(b.mul(b.toI64(row), b.toI64(n)), b.toI64(column));
  return b.at(config.out, b.global(b.argument(arguments.out)), start);
}

void ProductKernel::storePairs(const Tile &tile, Value sums, int64_t half,
                               Value row, Value firstColumn) {
  int64_t bytes = config.out.getIntOrFloatBitWidth() / 8;
  Value outRow = b.add(tile.row, row);
  ScatteredRow scattered;
  if (config.scatter) {
    scattered = ScatteredRow::load(b, arguments.scatter, outRow);
    outRow = scattered.token;
  }
  Value firstAddress = getAddress(outRow, firstColumn);
  for (int64_t group = 0; group < config.getBoxColumns() / 8; ++group) {
    Value address = b.at(config.out, firstAddress, b.i32(8 * group));
    Value column = b.add(firstColumn, b.i32(8 * group));
    auto store = [&](int64_t count) {
      SmallVector<Value> results =
          evaluate(tile, sums, half, group, column, count);
      if (config.scatter)
        return scattered.add(b, results, address, config.addsPairs);
      if (config.accumulate)
        for (auto [result, old] :
             llvm::zip_equal(results, loadColumns(config.out, address, count)))
          result = b.addF(old, result);
      if (count == 2 && config.evenN) {
        b.store(pack(results), address, 2 * bytes);
        return;
      }
      for (auto [i, result] : llvm::enumerate(results)) {
        if (!config.out.isF32())
          result = arith::TruncFOp::create(b, config.out, result);
        b.store(result, b.at(config.out, address, b.i32(i)), bytes);
      }
    };
    auto isInside = [&](int64_t which) {
      return b.less(b.add(column, b.i32(which)), n);
    };
    if (!config.tail)
      store(2);
    else if (config.evenN)
      b.when(isInside(0), [&] { store(2); });
    else
      branch(
          b, isInside(1), [&] { store(2); },
          [&] { b.when(isInside(0), [&] { store(1); }); });
  }
}

/// Four neighbouring threads have two columns each of the same eight. They
/// exchange four such groups, so that each has one and stores 16 bytes.
void ProductKernel::storeTransposed(const Tile &tile, Value sums, int64_t half,
                                    Value row, Value firstColumn) {
  Value thread = b.threadId();
  auto isSet = [&](int64_t bit) {
    return b.compare(arith::CmpIPredicate::ne, b.bitAnd(thread, b.i32(bit)),
                     b.i32(0));
  };
  Value odd = isSet(1), upper = isSet(2);
  auto exchange = [&](Value &low, Value &high, Value isHigh, int64_t mask) {
    Value other = b.shuffleXor(b.select(isHigh, low, high), mask);
    Value newLow = b.select(isHigh, other, low);
    high = b.select(isHigh, high, other);
    low = newLow;
  };
  // This thread's group of four: its first column.
  Value own = b.add(firstColumn, b.mul(b.bitAnd(thread, b.i32(3)), b.i32(6)));
  Value firstAddress = getAddress(b.add(tile.row, row), own);
  Value rowExists = b.less(row, tile.rows);
  for (int64_t first = 0; first < config.getBoxColumns() / 8; first += 4) {
    SmallVector<Value> group;
    for (int64_t i = first; i < first + 4; ++i) {
      Value column = b.add(firstColumn, b.i32(8 * i));
      // All threads take part, also those whose columns do not exist.
      if (config.tail)
        column = b.min(column, b.sub(n, b.i32(2)));
      group.push_back(LLVM::BitcastOp::create(
          b, b.getI32Type(), pack(evaluate(tile, sums, half, i, column, 2))));
    }
    exchange(group[0], group[1], odd, 1);
    exchange(group[2], group[3], odd, 1);
    exchange(group[0], group[2], upper, 2);
    exchange(group[1], group[3], upper, 2);
    Value exists = rowExists;
    if (config.tail)
      exists = b.bitAnd(exists, b.less(b.add(own, b.i32(8 * first)), n));
    b.when(exists, [&] {
      b.store(b.pack(group), b.at(config.out, firstAddress, b.i32(8 * first)),
              16);
    });
  }
}

//===----------------------------------------------------------------------===//
// On the host
//===----------------------------------------------------------------------===//

static MemRefType getMemRef(Value value) {
  return cast<MemRefType>(value.getType());
}

/// Whether tensor cores multiply these types, and the copies' alignment fits.
static bool isSupported(const Product &product) {
  auto weights = getMemRef(product.bs[0]);
  Type element = weights.getElementType();
  if (!element.isBF16() && !element.isF16())
    return false;
  if (llvm::any_of(product.bs, [&](Value b) { return b.getType() != weights; }))
    return false;
  if (llvm::any_of(product.biases, [&](Value bias) {
        return getMemRef(bias).getElementType() !=
               getMemRef(product.biases[0]).getElementType();
      }))
    return false;
  if (product.getElementType(product.a) != element)
    return false;
  Type out = product.getElementType(product.out);
  if (!out.isF32() && out != element)
    return false;
  if (product.bs.size() > 2 || product.experts > TileTable::kMaxExperts)
    return false;
  // cuTensorMapEncodeTiled: strides are multiples of 16 bytes.
  return product.k > 0 && product.n > 0 && product.k % kChunkElements == 0;
}

static Value createMap(ImplicitLocOpBuilder &b, Value memref,
                       ArrayRef<int64_t> box) {
  MemRefType type = getMemRef(memref);
  auto place = MemRefType::get(box, type.getElementType(), AffineMap(),
                               b.getI64IntegerAttr(3));
  auto map = nvgpu::TensorMapDescriptorType::get(
      b.getContext(), place, nvgpu::TensorMapSwizzleKind::SWIZZLE_128B,
      nvgpu::TensorMapL2PromoKind::L2PROMO_256B,
      nvgpu::TensorMapOOBKind::OOB_ZERO,
      nvgpu::TensorMapInterleaveKind::INTERLEAVE_NONE);
  Value unranked = memref::CastOp::create(
      b, UnrankedMemRefType::get(type.getElementType(), type.getMemorySpace()),
      memref);
  SmallVector<Value> sizes;
  for (int64_t size : box)
    sizes.push_back(arith::ConstantIndexOp::create(b, size));
  return nvgpu::TmaCreateDescriptorOp::create(b, map, unranked, sizes);
}

/// Launches the kernel with tiles of `tileRows` rows.
static void launch(ImplicitLocOpBuilder &b, const Product &product, Value rows,
                   int64_t tileRows, KernelModule &kernels) {
  ProductConfig config;
  config.element = product.getElementType();
  config.out = product.getElementType(product.out);
  config.bias = product.getBiasType();
  config.parts = product.bs.size();
  config.grouped = bool(product.offsets);
  config.gather = bool(product.gather);
  config.scatter = bool(product.rowToken);
  config.accumulate = product.accumulate;
  config.tileRows = tileRows;
  config.tileColumns = product.n * int64_t(config.parts) > 128 ? 256 : 128;
  config.depthTail = product.k % kDepth != 0;
  config.tail = product.n % config.getColumns() != 0;
  config.evenN = product.n % 2 == 0;
  config.alignedN = product.n % 8 == 0;
  config.addsPairs =
      config.scatter && canAddPairs(kernels.getTarget(), product.n);
  config.epilogue = product.epilogue;

  MLIRContext *context = b.getContext();
  KernelShape shape;
  shape.threads = (1 + kConsumers) * kWarpgroup;
  shape.dynamicShared = config.getSharedBytes();
  shape.minBlocks = shape.residentBlocks = 1;
  shape.waitsItself = true;
  std::string prefix = "warpgroup_" + product.getKind().str() + "_" +
                       std::to_string(config.tileRows) + "x" +
                       std::to_string(config.tileColumns);
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      kernels.getName(prefix, config.getKey()),
      ProductKernel::getArgumentTypes(context, config), shape,
      [&](KernelBuilder &k) { ProductKernel(k, config).build(); });
  if (config.scatter)
    setUnordered(kernel);

  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  SmallVector<Value> operands;
  operands.push_back(config.gather
                         ? product.a
                         : createMap(b, product.a, {config.tileRows, kDepth}));
  for (Value matrix : product.bs) {
    SmallVector<int64_t> box = {config.getBoxColumns(), kDepth};
    if (config.grouped)
      box.insert(box.begin(), 1);
    operands.push_back(createMap(b, matrix, box));
  }
  Value tiles = product.getMaxRowTiles(b, rows, config.tileRows);
  tiles = b.createOrFold<arith::MulIOp>(
      tiles, constant(llvm::divideCeil(product.n, config.getColumns())));
  buildLaunch(b, b.getLoc(), kernel, tiles,
              product.getArguments(b, operands, rows));
}

LogicalResult moe::selectWarpgroupProduct(Operation *op,
                                          KernelModule &kernels) {
  if (kernels.getTarget().arch != 90)
    return failure();
  FailureOr<Product> product = readProduct(op, kernels.getTarget());
  if (failed(product) || !isSupported(*product))
    return failure();
  ImplicitLocOpBuilder b(op->getLoc(), op);
  Value rows = product->getRows(b);
  // Few rows in all: the weights are read at full speed, once for eight rows.
  // Few rows of an expert: half of a tile of 128 would be empty.
  auto choose = [&](int64_t maxRows, function_ref<void()> ifFew,
                    function_ref<void()> ifMany) {
    Value few =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ule, rows,
                              arith::ConstantIndexOp::create(b, maxRows));
    auto branch = scf::IfOp::create(b, few, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    ifFew();
    b.setInsertionPointToStart(branch.elseBlock());
    ifMany();
  };
  auto launchTiles = [&] {
    choose(
        64 * product->experts, [&] { launch(b, *product, rows, 64, kernels); },
        [&] { launch(b, *product, rows, 128, kernels); });
  };
  constexpr int64_t kFew = 8;
  if (canStream(*product))
    choose(
        kFew * std::min(product->experts, kFew),
        [&] { launchStreamed(b, *product, rows, kernels); }, launchTiles);
  else
    launchTiles();
  op->erase();
  return success();
}
