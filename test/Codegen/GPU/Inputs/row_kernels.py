# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rows that are gathered and combined: a GPU's bytes are those of the CPU.

    row_kernels.py TOOLS

TOOLS is the folder of moe-compile and moe-run. Rows have every width of access,
tails of a block and several blocks; tokens have no expert, a few, and more than
a warp has lanes.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "..", "Integration", "Inputs"))
from random_models import Case  # noqa: E402
import st  # noqa: E402

TEXT = """
func.func @layer(
    %x: tensor<?x{h}xf32> {{moe.name = "x", moe.shape = ["T", {h}]}},
    %i: tensor<?x{k}xi32> {{moe.name = "i", moe.shape = ["T", {k}]}},
    %v: tensor<?x{k}xf32> {{moe.name = "v", moe.shape = ["T", {k}]}})
    -> (tensor<?x{h}xf32> {{moe.name = "y", moe.shape = ["T", {h}]}},
        tensor<?x{h}xf32> {{moe.name = "z", moe.shape = ["T", {h}]}}) {{
  %a = moe.assign %i, %v : tensor<?x{k}xi32>, tensor<?x{k}xf32> -> {a}
  %r, %o = moe.dispatch %x, %a apply = input : tensor<?x{h}xf32>, {a}
      -> tensor<?x{h}xf32>, tensor<{n}xi32>
  %y = moe.combine %r, %a outs(%x) apply = input : tensor<?x{h}xf32>, {a}
      -> tensor<?x{h}xf32>
  %s, %p = moe.dispatch %x, %a : tensor<?x{h}xf32>, {a}
      -> tensor<?x{h}xf32>, tensor<{n}xi32>
  %z = moe.combine %s, %a outs(%y) : tensor<?x{h}xf32>, {a}
      -> tensor<?x{h}xf32>
  return %y, %z : tensor<?x{h}xf32>, tensor<?x{h}xf32>
}}
"""


def run(case, tokens, columns, top_k, experts):
    r = case.random
    choices = []
    for _ in range(tokens):
        own = r.sample(range(experts), top_k)
        holes = r.choice((0, 0, 1, top_k // 2, top_k))
        for place in r.sample(range(top_k), holes):
            own[place] = -1
        choices += own
    st.save(case.file("in"), {
        "x": case.tensor((tokens, columns), "F32"),
        "i": ("I32", [tokens, top_k],
              struct.pack("<%di" % len(choices), *choices)),
        "v": case.tensor((tokens, top_k), "F32")})
    results = []
    for device in ("cpu", "emulated-cuda", "emulated-cuda:1"):
        case.call("moe-run", case.file("m.so"), "-q", "--device=" + device,
                  "--params=synthetic:1", "--input=" + case.file("in"),
                  "--output=" + case.file("out"))
        results.append(st.load(case.file("out")))
    assert results[1] == results[0] and results[2] == results[0], (
        "%d tokens, H = %d, k = %d" % (tokens, columns, top_k))


def main():
    sizes = ((1, 1, 2), (7, 13, 16), (6, 3, 5), (64, 8, 9), (132, 40, 48),
             (1028, 2, 3), (514, 1, 2), (260, 33, 33))
    for seed, (columns, top_k, experts) in enumerate(sizes):
        case = Case(seed, sys.argv[1])
        kind = "!moe.assignment<experts = %d, max_per_token = %d>" % (
            experts, top_k)
        with open(case.file("m.mlir"), "w") as file:
            file.write(TEXT.format(h=columns, k=top_k, n=experts + 1, a=kind))
        case.call("moe-compile", case.file("m.mlir"), "--target=cpu",
                  "--target=cuda:sm_80", "--target=cuda:sm_90a", "-o",
                  case.file("m.so"))
        for tokens in (0, 1, 5):
            os.environ["MOE_EMULATOR_SEED"] = str(tokens)
            run(case, tokens, columns, top_k, experts)
    print("%d sizes agree" % len(sizes))


main()
