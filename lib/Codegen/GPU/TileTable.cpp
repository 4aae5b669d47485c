//===- TileTable.cpp - Row tiles of experts, found on the device ----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "TileTable.h"

using namespace mlir;
using namespace mlir::moe;

TileTable::TileTable(KernelBuilder &b, Value shared, Value experts,
                     int64_t tileRows)
    : b(b), starts(shared),
      rowStarts(b.at(b.getI32Type(), shared, b.i32(kMaxExperts + 1))),
      experts(experts), tileRows(tileRows) {}

Value TileTable::loadFrom(Value table, Value index) {
  return b.load(b.getI32Type(), b.at(b.getI32Type(), table, index));
}

void TileTable::build(Value offsets) {
  Type i32 = b.getI32Type();
  Value lane = b.laneId();
  SmallVector<Value> total = b.reduce(
      b.i32(0), experts, b.i32(32), b.i32(0),
      [&](Value first, ValueRange carried) -> SmallVector<Value> {
        Value expert = b.add(first, lane);
        Value exists = b.less(expert, experts);
        Value known = b.select(exists, expert, b.sub(experts, b.i32(1)));
        Value row = loadFrom(offsets, known);
        Value end = loadFrom(offsets, b.add(known, b.i32(1)));
        Value tiles =
            b.div(b.add(b.sub(end, row), b.i32(tileRows - 1)), b.i32(tileRows));
        tiles = b.select(exists, tiles, b.i32(0));
        Value sum = tiles; // of this lane and those before
        for (int64_t distance = 1; distance < 32; distance *= 2) {
          Value from = b.bitAnd(b.sub(lane, b.i32(distance)), b.i32(31));
          Value other = b.shuffle(sum, from);
          sum = b.add(sum,
                      b.select(b.less(lane, b.i32(distance)), b.i32(0), other));
        }
        b.when(exists, [&] {
          b.store(b.add(carried[0], b.sub(sum, tiles)),
                  b.at(i32, starts, expert));
          b.store(row, b.at(i32, rowStarts, expert));
          b.when(b.compare(arith::CmpIPredicate::eq, b.add(expert, b.i32(1)),
                           experts),
                 [&] { b.store(end, b.at(i32, rowStarts, experts)); });
        });
        return {b.add(carried[0], b.shuffle(sum, b.i32(31)))};
      });
  b.when(b.compare(arith::CmpIPredicate::eq, lane, b.i32(0)),
         [&] { b.store(total[0], b.at(i32, starts, experts)); });
}

Value TileTable::getCount() { return loadFrom(starts, experts); }

TileTable::RowTile TileTable::find(Value number) {
  // The last expert that starts at or before this tile has it: those without
  // rows start where the next one does.
  RowTile tile;
  tile.expert = b.i32(0);
  for (int64_t step = kMaxExperts / 2; step > 0; step /= 2) {
    Value next = b.min(b.add(tile.expert, b.i32(step)), experts);
    tile.expert =
        b.select(b.less(number, loadFrom(starts, next)), tile.expert, next);
  }
  Value inside = b.sub(number, loadFrom(starts, tile.expert));
  Value end = loadFrom(rowStarts, b.add(tile.expert, b.i32(1)));
  tile.row =
      b.add(loadFrom(rowStarts, tile.expert), b.mul(inside, b.i32(tileRows)));
  tile.rows = b.min(b.sub(end, tile.row), b.i32(tileRows));
  return tile;
}
