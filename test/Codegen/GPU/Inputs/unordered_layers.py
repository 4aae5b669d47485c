# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers whose experts' outputs a GPU adds in no fixed order: they are those of
the CPU but for the rounding of these sums.

    unordered_layers.py TOOLS TARGET PRECISION KERNEL...

TOOLS is the folder of moe-compile and moe-run, TARGET a GPU. Products multiply
in PRECISION: f32, or narrow: bf16 and f16, with numbers that are exact in them.
Each layer runs with numbers of tokens for which other kernels are chosen, with
rows of their own and, unless they are many, with equal rows, which all go to
the same experts. Kernels must run whose names start with each KERNEL
(gpu_layers.py: expand).
"""
import sys

from gpu_layers import GPULayer, are_close, expand, finish
from narrow_layers import NarrowLayer

# Type, kind, H, I, E, k, bias; numbers of tokens. Few tokens leave experts
# without rows.
EXACT = [
    (("F32", "glu", 68, 36, 3, 2, False), (0, 1, 9, 50, 100)),
    (("BF16", "mlp2", 33, 130, 13, 8, True), (1, 20)),
    (("F32", "glu", 40, 24, 70, 3, False), (2,))]
NARROW = [
    (("BF16", "glu", 72, 40, 4, 2, False), (0, 1, 7, 50, 135)),
    (("F16", "mlp2", 136, 72, 9, 8, True), (1, 17, 90)),
    (("BF16", "mlp2", 21, 16, 3, 3, True), (1, 9, 30)),
    (("BF16", "glu", 264, 8, 1000, 2, False), (12,))]


def main():
    tools, target, precision, *kernels = sys.argv[1:]
    kernels = expand(target, kernels)
    layers = EXACT if precision == "f32" else NARROW
    for seed, (layer, tokens) in enumerate(layers):
        case = (GPULayer if precision == "f32" else NarrowLayer)(seed, tools)
        case.create(*layer)
        used = "f32" if precision == "f32" else layer[0].lower()
        case.compile(target, "--precision=" + used, "--no-deterministic",
                     "--target=cpu:x86-64-v3", "--ptxas=none")
        code = open(case.file("m.so"), "rb").read()
        assert b".entry combine_rows" not in code
        assert b"red.global.add" in code
        hidden = case.config["hidden_size"]
        inputs = []
        for count in tokens:
            if precision == "f32":
                dtype, shape, rows = case.tensor((count, hidden), "F32")
            else:
                dtype, shape, rows = case.sparse((count, hidden), "F32", 0.5)
            inputs.append((dtype, shape, rows))
            if 1 < count < 50:
                inputs.append((dtype, shape, rows[:4 * hidden] * count))
        case.compare(target, inputs, kernels, are_close)
    finish(layers, kernels)


main()
