# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Is FILE what moe-bench promises?

    check.py FILE ROWS              keys, and figures that belong together
    check.py --device FILE ROWS CODE PRECISION CALLS
                                    the same of an emulated GPU
    check.py --work FILE LAYER-DIR  operations of a layer of plain top-k experts
    check.py --model FILE DIR       operations of a Mixtral's forward on one
                                    sequence, its experts under uniform routing
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


def check_device(path, rows, code, precision, calls):
    last = {"emulated": True, "calls": calls, "code": code,
            "precision": precision}
    table = check(path, rows, slow=True)
    for row in table:
        assert list(row)[-7:-5] == ["repeats", "level"], row
        assert list(row)[-5:] == list(last) + ["device"], row
        assert {key: row[key] for key in last} == last, row
        assert row["threads"] is None and row["level"] is None, row
        assert row["device"].startswith("emulated GPU"), row
        assert row["repeats"] < 40, row


def check(path, rows, slow=False):
    table = load(path)
    assert len(table) == rows, table
    keys = ("function tokens threads median_ms min_ms gflops gbps "
            "roofline_percent fma_peak_gflops read_gbps").split()
    for row in table:
        assert list(row)[:len(keys)] == keys, row
        assert 0 < row["min_ms"] <= row["median_ms"], row
        assert row["repeats"] >= 2, row
        # Any machine that can run this does 1 GFLOP/s and reads 100 MB/s,
        # unless it is emulated.
        least = 0 if slow else 1
        assert row["fma_peak_gflops"] > least, row
        assert row["read_gbps"] > 0.1 * least, row
        bound = max(row["gflops"] / row["fma_peak_gflops"],
                    row["gbps"] / row["read_gbps"])
        assert near(row["roofline_percent"], 100 * bound), row
    return table


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


def check_model(path, directory):
    c = json.load(open(os.path.join(directory, "config.json")))
    h, e, k = (c["hidden_size"], c["num_local_experts"],
               c["num_experts_per_tok"])
    i, v = c["intermediate_size"], c["vocab_size"]
    heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
    d = c.get("head_dim") or h // heads
    layer = (2 * h * (heads + 2 * kv) * d + 2 * heads * d * h + 2 * h * e +
             k * 6 * h * i)
    for row in load(path):
        t = row["tokens"]
        flops = t * (c["num_hidden_layers"] * layer + 2 * h * v)
        got = row["gflops"] * row["median_ms"] * 1e6
        assert near(got, flops), (row, got, flops)
        assert near(row["experts_hit"], e * (1 - (1 - k / e) ** t)), row


if sys.argv[1] == "--model":
    check_model(sys.argv[2], sys.argv[3])
elif sys.argv[1] == "--device":
    check_device(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
elif sys.argv[1] == "--work":
    check_work(sys.argv[2], sys.argv[3])
else:
    check(sys.argv[1], int(sys.argv[2]))
