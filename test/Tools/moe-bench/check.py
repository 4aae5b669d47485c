# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""check.py FILE ROWS: is FILE what moe-bench promises?"""
import json
import sys

path, rows = sys.argv[1], int(sys.argv[2])
text = open(path).read()
table = ([json.loads(line) for line in text.splitlines()]
         if path.endswith(".jsonl") else json.loads(text))
assert len(table) == rows, table
keys = ("function tokens threads median_ms min_ms gflops gbps "
        "roofline_percent fma_peak_gflops read_gbps").split()
for row in table:
    assert list(row)[:len(keys)] == keys, row
    assert 0 < row["min_ms"] <= row["median_ms"], row
    assert row["repeats"] >= 2, row
    # Any machine that can run this does 1 GFLOP/s and reads 100 MB/s.
    assert row["fma_peak_gflops"] > 1 and row["read_gbps"] > 0.1, row
    bound = max(row["gflops"] / row["fma_peak_gflops"],
                row["gbps"] / row["read_gbps"])
    assert abs(row["roofline_percent"] - 100 * bound) <= 1e-3 * 100 * bound, row
