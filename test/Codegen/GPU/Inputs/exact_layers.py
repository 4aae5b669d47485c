# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers in the exact mode: the bytes of a GPU's results are those of the CPU.

    exact_layers.py TOOLS TARGET LAYERS KERNEL...

TOOLS is the folder of moe-compile and moe-run, TARGET a GPU. Each of the first
LAYERS layers runs with numbers of tokens for which other kernels are chosen,
once with rows of their own and once with equal rows, which all go to the same
experts. Kernels must run whose names start with each KERNEL (gpu_layers.py:
expand).
"""
import sys

from gpu_layers import GPULayer, expand, finish


def main():
    tools, target, number, *kernels = sys.argv[1:]
    kernels = expand(target, kernels)
    # Type, kind, H, I, E, k, bias; numbers of tokens.
    layers = [
        (("F32", "glu", 100, 68, 5, 2, False), (0, 1, 9, 70, 330)),
        (("BF16", "glu", 133, 35, 7, 3, True), (1, 20, 65)),
        (("F16", "mlp2", 33, 130, 3, 1, True), (2, 31, 200)),
        (("F32", "mlp2", 17, 3, 700, 2, False), (1, 50))][:int(number)]
    for seed, (layer, tokens) in enumerate(layers):
        case = GPULayer(seed, tools)
        case.create(*layer)
        case.compile(target, "--target=cpu:x86-64-v3", "--ptxas=none")
        hidden = case.config["hidden_size"]
        inputs = []
        for count in tokens:
            dtype, shape, rows = case.tensor((count, hidden), "F32")
            inputs += [(dtype, shape, rows),
                       (dtype, shape, rows[:4 * hidden] * count)]
        case.compare(target, inputs, kernels)
    finish(layers, kernels)


main()
