# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Is FILE what moe-bench promises?

    check.py FILE ROWS              keys, and figures that belong together
    check.py --work FILE LAYER-DIR  operations of a layer of plain top-k experts
"""
import json
import os
import sys


def load(path):
    text = open(path).read()
    if path.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text)


def near(a, b):
    return abs(a - b) <= 1e-4 * abs(b)


def check(path, rows):
    table = load(path)
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
        assert near(row["roofline_percent"], 100 * bound), row


def check_work(path, directory):
    config = json.load(open(os.path.join(directory, "config.json")))
    h, e, k = (config["hidden_size"], config["num_experts"], config["top_k"])
    i = config["expert"]["intermediate_size"]
    for row in load(path):
        flops = row["tokens"] * (2 * h * e + k * 6 * h * i)
        got = row["gflops"] * row["median_ms"] * 1e6
        assert near(got, flops), (row, got, flops)
        assert k <= row["experts_hit"] <= min(e, k * row["tokens"]), row
        if row["tokens"] == 1:
            assert row["experts_hit"] == k, row


if sys.argv[1] == "--work":
    check_work(sys.argv[2], sys.argv[3])
else:
    check(sys.argv[1], int(sys.argv[2]))
