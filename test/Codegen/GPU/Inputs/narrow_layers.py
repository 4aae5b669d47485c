# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers whose numbers are exact in 16 bits: GPU kernels that multiply in bf16
or f16 must give the bits of the CPU, which multiplies in f32.

    narrow_layers.py TOOLS TARGET KERNEL...
    narrow_layers.py TOOLS TARGET --assemble

TOOLS is the folder of moe-compile and moe-run, TARGET a GPU. Each layer runs
with numbers of tokens for which other kernels are chosen; the code must have
a kernel whose name starts with each KERNEL. The other form lets ptxas look at
all kernels and runs none.
"""
import sys

from gpu_layers import GPULayer, finish
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


def main():
    tools, target, *kernels = sys.argv[1:]
    kernels = set(kernels)
    assemble = "--assemble" in kernels
    kernels.discard("--assemble")
    # Type, kind, H, I, E, k, bias; numbers of tokens.
    layers = [
        (("BF16", "glu", 72, 40, 8, 2, False), (0, 1, 7, 100, 300)),
        (("F16", "mlp2", 136, 264, 5, 3, True), (1, 33, 130)),
        (("BF16", "glu", 64, 192, 3, 1, True), (5, 90, 250)),
        (("BF16", "mlp2", 1032, 16, 1, 1, False), (1, 8, 9, 150)),
        (("BF16", "glu", 8, 8, 1000, 2, False), (1, 40))]
    for seed, (layer, tokens) in enumerate(layers):
        case = NarrowLayer(seed, tools)
        case.create(*layer)
        precision = "--precision=" + layer[0].lower()
        if assemble:
            case.compile(target, precision)
            continue
        case.compile(target, precision, "--target=cpu", "--ptxas=none")
        hidden = case.config["hidden_size"]
        case.compare(target, (case.sparse((count, hidden), "F32", 0.5)
                              for count in tokens), kernels)
    finish(layers, kernels)


if __name__ == "__main__":
    main()
