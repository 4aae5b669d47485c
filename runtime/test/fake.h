//===- fake.h - A module written by hand --------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_TEST_FAKE_H
#define MOE_RT_TEST_FAKE_H

enum {
  FAKE_SCALE,
  FAKE_SCALE_FULL,
  FAKE_SCALE_ARENA,
  FAKE_SCALE_ARENA_FULL,
  FAKE_POSITIVE,
  FAKE_APPEND,
  FAKE_LAST,
  FAKE_PARAM,
  FAKE_AFFINE,
  FAKE_NESTED,
  FAKE_LIAR,
  FAKE_GREEDY_ARENA,
  FAKE_FLOATS,
  FAKE_FLATTEN,
  FAKE_PACK,
  FAKE_NUM_CODES
};

#define FAKE_MAX_LENGTH 12
#define FAKE_VOCAB 10
#define FAKE_NUM_PARAMS 4
#define FAKE_NUM_SYMBOLS 6

#endif // MOE_RT_TEST_FAKE_H
