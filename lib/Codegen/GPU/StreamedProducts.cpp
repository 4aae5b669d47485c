//===- StreamedProducts.cpp - Products of few rows on sm_90a --------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "TileTable.h"
#include "Warpgroup.h"
#include "WarpgroupProducts.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;

/// Warps of a block; each has one column of a tile.
static constexpr int64_t kWarps = 8, kThreads = 32 * kWarps;
/// Rows of a tile.
static constexpr int64_t kRows = 8;
/// What a warp multiplies between two waits, of one matrix.
static constexpr int64_t kPieceBytes = 1024, kPiece = kPieceBytes / 2;
/// Bytes of weights that a warp has under way. The amount is fixed by this ring
/// alone: loads into registers would be spread out by ptxas.
static constexpr int64_t kRingBytes = 8 * kPieceBytes;
/// Shared memory of a multiprocessor, and what each block takes beside its own
/// (CUDA C++ Programming Guide, "Technical Specifications").
static constexpr int64_t kShared = 228 << 10, kReserved = 1 << 10;

namespace {
struct StreamConfig {
  Type element; // of a and b
  Type out, bias;
  unsigned parts;
  bool grouped, gather, scatter, accumulate;
  int64_t k;
  Region *epilogue;

  explicit StreamConfig(const Product &product)
      : element(product.getElementType()),
        out(product.getElementType(product.out)), bias(product.getBiasType()),
        parts(product.bs.size()), grouped(product.offsets),
        gather(product.gather), scatter(product.rowToken),
        accumulate(product.accumulate), k(product.k),
        epilogue(product.epilogue) {}

  int64_t getStages() const { return kRingBytes / (parts * kPieceBytes); }
  int64_t getPieces() const { return llvm::divideCeil(k, kPiece); }
  bool hasTail() const { return k % kPiece != 0; }

  // Shared memory: rows of a, the rings, their barriers, the table.
  int64_t getRingOffset() const { return llvm::alignTo(kRows * k * 2, 128); }
  int64_t getBarrierOffset() const {
    return getRingOffset() + kWarps * kRingBytes;
  }
  int64_t getTableOffset() const {
    return getBarrierOffset() + kWarps * getStages() * kBarrierBytes;
  }
  int64_t getSharedBytes() const {
    return getTableOffset() + (grouped ? TileTable::kBytes : 0);
  }

  std::string getKey() const {
    std::string key;
    llvm::raw_string_ostream os(key);
    os << element << "," << out << "," << bias << "," << parts << grouped
       << gather << scatter << accumulate << "," << k << "\n";
    if (epilogue)
      os << printRegion(*epilogue);
    return key;
  }
};

/// Each warp multiplies a column of b by up to eight rows.
class StreamKernel {
public:
  StreamKernel(KernelBuilder &b, const StreamConfig &config);
  static SmallVector<Type> getArgumentTypes(MLIRContext *context,
                                            const StreamConfig &config);
  void build();

private:
  struct Tile : TileTable::RowTile {
    Tile(TileTable::RowTile rowTile, Value column)
        : RowTile(rowTile), column(column) {}
    Value column; // of this warp
  };
  /// The next piece to fetch, and where the ring is. `source` (i64) is the
  /// element where the column starts; the rest are i32.
  struct Cursor {
    Value number, piece, source;
  };

  Value shared(Value offset) { return b.at(b.getI8Type(), base, offset); }
  Value getBarrier(Value stage) {
    return b.at(b.getI64Type(), barriers, stage);
  }
  Value getPiece(Value stage, unsigned part) {
    Value number = b.add(b.mul(stage, b.i32(config.parts)), b.i32(part));
    return b.at(b.getI8Type(), ring, b.mul(number, b.i32(kPieceBytes)));
  }
  Tile findTile(Value number);
  Cursor fetch(Cursor cursor, Value stage);
  Cursor fetchFirst();
  void loadRows(const Tile &tile);
  SmallVector<Value> unpack(Value address);
  SmallVector<Value> multiply(const Tile &tile, ValueRange state, int64_t rows);
  void finish(const Tile &tile, ArrayRef<SmallVector<Value>> sums);

  KernelBuilder &b;
  StreamConfig config;
  unsigned outArgument, biasArgument, offsetsArgument, gatherArgument,
      scatterArgument, mArgument;
  std::optional<TileTable> table;
  Value base, ring, barriers, lane, warp;
  Value m, n, columnTiles, last;
};
} // namespace

StreamKernel::StreamKernel(KernelBuilder &b, const StreamConfig &config)
    : b(b), config(config) {
  outArgument = 1 + config.parts;
  biasArgument = outArgument + 1;
  offsetsArgument = biasArgument + (config.bias ? config.parts : 0);
  gatherArgument = offsetsArgument + config.grouped;
  scatterArgument = gatherArgument + config.gather;
  mArgument = scatterArgument + (config.scatter ? 2 : 0);
}

SmallVector<Type> StreamKernel::getArgumentTypes(MLIRContext *context,
                                                 const StreamConfig &config) {
  int64_t pointers = 2 + config.parts + (config.bias ? config.parts : 0) +
                     config.grouped + config.gather + (config.scatter ? 2 : 0);
  SmallVector<Type> types(pointers, LLVM::LLVMPointerType::get(context));
  types.append(2 + config.grouped, IntegerType::get(context, 64));
  return types;
}

void StreamKernel::build() {
  base = b.dynamicShared();
  lane = b.laneId();
  warp = b.warpId();
  int64_t stages = config.getStages();
  ring = shared(
      b.add(b.mul(warp, b.i32(kRingBytes)), b.i32(config.getRingOffset())));
  barriers = shared(b.add(b.mul(warp, b.i32(stages * kBarrierBytes)),
                          b.i32(config.getBarrierOffset())));
  m = b.toI32(b.argument(mArgument));
  n = b.toI32(b.argument(mArgument + 1));
  columnTiles = b.div(b.add(n, b.i32(kWarps - 1)), b.i32(kWarps));
  if (config.grouped)
    table.emplace(b, shared(b.i32(config.getTableOffset())),
                  b.toI32(b.argument(mArgument + 2)), kRows);

  b.when(b.compare(arith::CmpIPredicate::eq, lane, b.i32(0)), [&] {
    for (int64_t i = 0; i < stages; ++i)
      initBarrier(b, getBarrier(b.i32(i)), 1);
    publishBarriers(b);
  });
  // Where the weights lie depends on earlier kernels if there are groups.
  if (config.grouped) {
    b.waitForEarlierKernels();
    b.when(b.compare(arith::CmpIPredicate::eq, warp, b.i32(0)),
           [&] { table->build(b.global(b.argument(offsetsArgument))); });
  }
  b.barrier();
  Value rowTiles = config.grouped
                       ? table->getCount()
                       : b.div(b.add(m, b.i32(kRows - 1)), b.i32(kRows));
  // Neighbouring tiles have the same rows: each block takes a range.
  Value numTiles = b.mul(rowTiles, columnTiles), blocks = b.gridSize();
  Value each = b.div(b.add(numTiles, b.sub(blocks, b.i32(1))), blocks);
  Value first = b.min(b.mul(b.blockId(), each), numTiles);
  last = b.min(b.add(first, each), numTiles);

  Cursor cursor = {first, b.i32(0), b.i64(0)};
  for (int64_t i = 0; i < stages; ++i)
    cursor = fetch(cursor, b.i32(i));
  if (!config.grouped)
    b.waitForEarlierKernels();
  b.startNextKernel();

  SmallVector<Type> types(4, b.getI32Type());
  types.push_back(b.getI64Type());
  b.reduce(first, last, b.i32(1),
           {b.i32(-1), b.i32(0), b.i32(0), cursor.number, cursor.piece,
            cursor.source},
           [&](Value number, ValueRange carried) -> SmallVector<Value> {
             Tile tile = findTile(number);
             b.when(b.compare(arith::CmpIPredicate::ne, tile.row, carried[0]),
                    [&] {
                      b.barrier(); // the rows before are no longer used
                      loadRows(tile);
                      b.barrier();
                    });
             // Stage, phase and cursor.
             ValueRange state = carried.drop_front();
             auto upTo = [&](int64_t rows) {
               return b.less(tile.rows, b.i32(rows + 1));
             };
             SmallVector<Value> next = b.pick(
                 upTo(2), types,
                 [&] {
                   return b.pick(
                       upTo(1), types, [&] { return multiply(tile, state, 1); },
                       [&] { return multiply(tile, state, 2); });
                 },
                 [&] {
                   return b.pick(
                       upTo(4), types, [&] { return multiply(tile, state, 4); },
                       [&] { return multiply(tile, state, 8); });
                 });
             next.insert(next.begin(), tile.row);
             return next;
           });
}

StreamKernel::Tile StreamKernel::findTile(Value number) {
  Value rowTile = b.div(number, columnTiles);
  Value column = b.add(b.mul(b.rem(number, columnTiles), b.i32(kWarps)), warp);
  if (config.grouped)
    return {table->find(rowTile), column};
  Value row = b.mul(rowTile, b.i32(kRows));
  return {{b.i32(0), row, b.min(b.sub(m, row), b.i32(kRows))}, column};
}

/// Starts the copies of the piece at the cursor, if there is one left.
StreamKernel::Cursor StreamKernel::fetch(Cursor cursor, Value stage) {
  Value exists = b.less(cursor.number, last);
  Value starts = b.bitAnd(
      exists, b.compare(arith::CmpIPredicate::eq, cursor.piece, b.i32(0)));
  Value source = b.pick(
      starts, b.getI64Type(),
      [&]() -> SmallVector<Value> {
        Tile tile = findTile(cursor.number);
        // A warp without a column fetches the last one.
        Value column = b.min(tile.column, b.sub(n, b.i32(1)));
        Value row =
            b.add(b.mul(b.toI64(tile.expert), b.toI64(n)), b.toI64(column));
        return {b.mul(row, b.i64(config.k))};
      },
      [&]() -> SmallVector<Value> { return {cursor.source}; })[0];
  b.when(b.bitAnd(exists, b.compare(arith::CmpIPredicate::eq, lane, b.i32(0))),
         [&] {
           Value done = b.mul(cursor.piece, b.i32(kPiece));
           Value bytes = b.i32(kPieceBytes);
           if (config.hasTail())
             bytes =
                 b.min(b.mul(b.sub(b.i32(config.k), done), b.i32(2)), bytes);
           arriveExpecting(b, getBarrier(stage),
                           b.mul(bytes, b.i32(config.parts)));
           for (unsigned part = 0; part < config.parts; ++part)
             copyBulk(b, getPiece(stage, part),
                      b.at(config.element, b.global(b.argument(1 + part)),
                           b.add(source, b.toI64(done))),
                      bytes, getBarrier(stage));
         });
  Value next = b.add(cursor.piece, b.i32(1));
  Value wraps =
      b.compare(arith::CmpIPredicate::eq, next, b.i32(config.getPieces()));
  return {b.select(wraps, b.add(cursor.number, b.i32(1)), cursor.number),
          b.select(wraps, b.i32(0), next), source};
}

/// All threads bring the rows of a tile, and zeros in place of rows that are
/// multiplied and not stored.
void StreamKernel::loadRows(const Tile &tile) {
  Value multiplied = b.i32(kRows);
  for (int64_t rows = kRows / 2; rows > 0; rows /= 2)
    multiplied =
        b.select(b.less(tile.rows, b.i32(rows + 1)), b.i32(rows), multiplied);
  int64_t perRow = config.k / kChunkElements;
  auto vector = VectorType::get(4, b.getI32Type());
  b.loop(b.threadId(), b.mul(multiplied, b.i32(perRow)), b.i32(kThreads),
         [&](Value chunk) {
           Value inside = b.div(chunk, b.i32(perRow));
           auto loadChunk = [&]() -> SmallVector<Value> {
             Value row = b.add(tile.row, inside);
             if (config.gather)
               row = b.load(b.getI32Type(),
                            b.at(b.getI32Type(),
                                 b.global(b.argument(gatherArgument)), row));
             Value number = b.add(b.mul(b.toI64(row), b.i64(perRow)),
                                  b.toI64(b.rem(chunk, b.i32(perRow))));
             return {b.load(vector,
                            b.at(vector, b.global(b.argument(0)), number), 16)};
           };
           Value value = b.pick(b.less(inside, tile.rows), vector, loadChunk,
                                [&]() -> SmallVector<Value> {
                                  return {LLVM::ZeroOp::create(b, vector)};
                                })[0];
           b.store(value, b.at(vector, base, chunk), 16);
         });
}

/// Eight neighbours in shared memory as f32.
SmallVector<Value> StreamKernel::unpack(Value address) {
  auto vector = VectorType::get(4, b.getI32Type());
  Value words = b.load(vector, address, 16);
  SmallVector<Value> values;
  for (Value word : b.unpack(words)) {
    if (config.element.isBF16()) {
      // Its bits are the upper half of the f32.
      for (Value bits : {b.shl(word, 16), b.bitAnd(word, b.i32(-65536))})
        values.push_back(LLVM::BitcastOp::create(b, b.getF32Type(), bits));
      continue;
    }
    Value pair =
        LLVM::BitcastOp::create(b, VectorType::get(2, config.element), word);
    for (Value value : b.unpack(pair))
      values.push_back(b.widen(value));
  }
  return values;
}

/// The column of this warp times `rows` rows. Takes and returns the stage, its
/// phase and the cursor.
SmallVector<Value> StreamKernel::multiply(const Tile &tile, ValueRange state,
                                          int64_t rows) {
  int64_t numSums = config.parts * rows;
  SmallVector<Value> inits(state.begin(), state.end());
  inits.append(numSums, b.f32(0));
  SmallVector<Value> end = b.reduce(
      b.i32(0), b.i32(config.getPieces()), b.i32(1), inits,
      [&](Value piece, ValueRange carried) -> SmallVector<Value> {
        RingPosition now = {carried[0], carried[1]};
        Cursor cursor = {carried[2], carried[3], carried[4]};
        SmallVector<Value> sums = llvm::to_vector(carried.drop_front(5));
        waitFor(b, getBarrier(now.stage), now.phase);
        constexpr int64_t kAtOnce = 32 * kChunkElements;
        for (int64_t first = 0; first < kPiece; first += kAtOnce) {
          Value inside =
              b.add(b.mul(lane, b.i32(kChunkElements)), b.i32(first));
          Value place = b.add(b.mul(piece, b.i32(kPiece)), inside);
          auto accumulate = [&]() -> SmallVector<Value> {
            SmallVector<SmallVector<Value>> weights;
            for (unsigned part = 0; part < config.parts; ++part)
              weights.push_back(unpack(
                  b.at(config.element, getPiece(now.stage, part), inside)));
            SmallVector<Value> more = sums;
            for (int64_t row = 0; row < rows; ++row) {
              SmallVector<Value> values = unpack(b.at(
                  config.element, base, b.add(place, b.i32(row * config.k))));
              for (unsigned part = 0; part < config.parts; ++part)
                for (auto [weight, value] :
                     llvm::zip_equal(weights[part], values)) {
                  Value &sum = more[part * rows + row];
                  sum = b.fma(weight, value, sum);
                }
            }
            return more;
          };
          if (config.hasTail())
            sums = b.pick(b.less(place, b.i32(config.k)),
                          SmallVector<Type>(numSums, b.getF32Type()),
                          accumulate, [&] { return sums; });
          else
            sums = accumulate();
        }
        NVVM::SyncWarpOp::create(b, b.i32(-1));
        cursor = fetch(cursor, now.stage);
        RingPosition next = now.next(b, config.getStages());
        SmallVector<Value> results = {next.stage, next.phase, cursor.number,
                                      cursor.piece, cursor.source};
        results.append(sums);
        return results;
      });
  SmallVector<SmallVector<Value>> sums(config.parts);
  for (unsigned part = 0; part < config.parts; ++part)
    for (int64_t row = 0; row < rows; ++row) {
      Value sum = end[5 + part * rows + row];
      for (int64_t mask = 16; mask > 0; mask /= 2)
        sum = b.addF(sum, b.shuffleXor(sum, mask));
      sums[part].push_back(sum);
    }
  finish(tile, sums);
  end.resize(5);
  return end;
}

/// Lane r stores row r; `sums` are those of each part, one per row.
void StreamKernel::finish(const Tile &tile, ArrayRef<SmallVector<Value>> sums) {
  Value mine = b.bitAnd(b.less(lane, tile.rows), b.less(tile.column, n));
  b.when(mine, [&] {
    SmallVector<Value> values;
    for (auto [part, ofRows] : llvm::enumerate(sums)) {
      Value value = ofRows[0];
      for (auto [row, sum] : llvm::enumerate(ofRows))
        if (row > 0)
          value =
              b.select(b.compare(arith::CmpIPredicate::eq, lane, b.i32(row)),
                       sum, value);
      if (config.bias) {
        Value place = b.add(b.mul(b.toI64(tile.expert), b.toI64(n)),
                            b.toI64(tile.column));
        Value bias =
            b.load(config.bias,
                   b.at(config.bias, b.global(b.argument(biasArgument + part)),
                        place));
        value = b.addF(value, b.widen(bias));
      }
      values.push_back(value);
    }
    Value result = applyEpilogue(b, config.epilogue, values);
    Value row = b.add(tile.row, lane);
    ScatteredRow scattered;
    if (config.scatter) {
      scattered = ScatteredRow::load(b, scatterArgument, row);
      row = scattered.token;
    }
    Value address =
        b.at(config.out, b.global(b.argument(outArgument)),
             b.add(b.mul(b.toI64(row), b.toI64(n)), b.toI64(tile.column)));
    if (config.scatter)
      return scattered.add(b, result, address, /*pairs=*/false);
    if (config.accumulate)
      result = b.addF(b.widen(b.load(config.out, address)), result);
    if (!config.out.isF32())
      result = arith::TruncFOp::create(b, config.out, result);
    b.store(result, address);
  });
}

//===----------------------------------------------------------------------===//
// On the host
//===----------------------------------------------------------------------===//

bool moe::canStream(const Product &product) {
  return StreamConfig(product).getSharedBytes() <= kShared - kReserved;
}

void moe::launchStreamed(ImplicitLocOpBuilder &b, const Product &product,
                         Value rows, KernelModule &kernels) {
  StreamConfig config(product);
  KernelShape shape;
  shape.threads = kThreads;
  shape.waitsItself = true;
  shape.dynamicShared = config.getSharedBytes();
  constexpr int64_t kMaxThreads = 2048; // of a multiprocessor
  shape.residentBlocks = std::min(kShared / (shape.dynamicShared + kReserved),
                                  kMaxThreads / kThreads);
  std::string prefix =
      "stream_" + product.getKind().str() + "_" + std::to_string(config.k);
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      kernels.getName(prefix, config.getKey()),
      StreamKernel::getArgumentTypes(b.getContext(), config), shape,
      [&](KernelBuilder &k) { StreamKernel(k, config).build(); });
  if (config.scatter)
    setUnordered(kernel);

  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  SmallVector<Value> arguments = {product.a};
  llvm::append_range(arguments, product.bs);
  arguments.push_back(product.out);
  llvm::append_range(arguments, product.biases);
  if (config.grouped)
    arguments.push_back(product.offsets);
  if (config.gather)
    arguments.push_back(product.gather);
  if (config.scatter)
    arguments.append({product.rowToken, product.rowWeight});
  arguments.append({rows, constant(product.n)});
  if (config.grouped)
    arguments.push_back(constant(product.experts));

  Value tiles = b.createOrFold<arith::MulIOp>(
      product.getMaxRowTiles(b, rows, kRows),
      constant(llvm::divideCeil(product.n, kWarps)));
  buildLaunch(b, b.getLoc(), kernel, tiles, arguments);
}
