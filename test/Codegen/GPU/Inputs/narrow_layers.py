# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers whose numbers are exact in 16 bits: GPU kernels that multiply in bf16
or f16 must give the bits of the CPU, which multiplies in f32.

    narrow_layers.py TOOLS TARGET KERNEL...
    narrow_layers.py TOOLS TARGET --tf32 KERNEL...
    narrow_layers.py TOOLS TARGET --assemble

TOOLS is the folder of moe-compile and moe-run, TARGET a GPU. Each layer runs
with numbers of tokens for which other kernels are chosen, with rows of their
own and with equal rows, which all go to the same experts. Kernels must run
whose names start with each KERNEL (gpu_layers.py: expand). --tf32 multiplies in
tf32, with experts' outputs added in order and in none. --assemble lets ptxas
look at all kernels and runs none.
"""
import sys

from gpu_layers import GPULayer, are_close, expand, finish
from random_models import pack


class NarrowLayer(GPULayer):
    """Small integers: sums below 257 are exact in bf16, those below 2049 in
    f16, and so is all that the second product reads."""
    activation = "relu"

    def sparse(self, shape, dtype, density):
        count = 1
        for size in shape:
            count *= size
        r = self.random
        return dtype, list(shape), pack(
            [r.choice((-1, 1)) if r.random() < density else 0
             for _ in range(count)], dtype)

    def weights(self, shape, dtype, hidden):
        return self.sparse(shape, dtype, min(1, 30 / hidden))

    def biases(self, shape, dtype):
        return self.sparse(shape, dtype, 0.5)


# Type, kind, H, I, E, k, bias, shared expert; numbers of tokens.
LAYERS = [
    (("BF16", "glu", 72, 40, 8, 2, False, True), (0, 1, 20, 100, 300)),
    (("F16", "mlp2", 136, 264, 5, 3, True), (1, 33, 130)),
    (("BF16", "glu", 64, 192, 3, 1, True), (5, 90, 250)),
    (("BF16", "mlp2", 1032, 16, 1, 1, False), (1, 8, 9, 150)),
    (("BF16", "mlp2", 136, 264, 3, 1, True, True), (40, 70)),
    (("BF16", "glu", 8, 8, 1000, 2, False), (1, 40))]
TF32_LAYERS = [(("F32", "glu", 70, 37, 4, 2, True, True), (1, 20, 60, 140))]


def run(case, target, tokens, kernels, *agree):
    hidden = case.config["hidden_size"]
    inputs = []
    for count in tokens:
        dtype, shape, rows = case.sparse((count, hidden), "F32", 0.5)
        inputs.append((dtype, shape, rows))
        if count > 8:  # all rows on the same experts
            inputs.append((dtype, shape, rows[:4 * hidden] * count))
    case.compare(target, inputs, kernels, *agree)


def main():
    tools, target, *kernels = sys.argv[1:]
    mode = kernels.pop(0) if kernels[:1] in (["--assemble"], ["--tf32"]) else ""
    kernels = expand(target, kernels)
    layers = TF32_LAYERS if mode == "--tf32" else LAYERS
    for seed, (layer, tokens) in enumerate(layers):
        case = NarrowLayer(seed, tools)
        case.create(*layer)
        precision = mode[2:] if mode == "--tf32" else layer[0].lower()
        flags = [target, "--precision=" + precision]
        if mode == "--assemble":
            case.compile(*flags)
            continue
        flags += ["--target=cpu:x86-64-v3", "--ptxas=none"]
        case.compile(*flags)
        run(case, target, tokens, kernels)
        if mode == "--tf32":
            case.compile(*flags, "--no-deterministic")
            run(case, target, tokens, kernels, are_close)
    finish(layers, kernels)


if __name__ == "__main__":
    main()
