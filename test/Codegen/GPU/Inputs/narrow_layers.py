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
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "..", "Integration", "Inputs"))
from random_models import Case, pack  # noqa: E402
import st  # noqa: E402


class ExactLayer(Case):
    """Small integers: sums below 257 are exact in bf16, those below 2049 in
    f16, and so is all that the second product reads."""

    def sparse(self, shape, dtype, density):
        count = 1
        for size in shape:
            count *= size
        r = self.random
        return dtype, list(shape), pack(
            [r.choice((-1, 1)) if r.random() < density else 0
             for _ in range(count)], dtype)

    def create(self, dtype, kind, hidden, inner, experts, top_k, bias):
        self.config = {
            "model_type": "moe_layer", "hidden_size": hidden,
            "num_experts": experts, "top_k": top_k,
            "expert_weights": "stacked",
            "expert": {"kind": kind, "activation": "relu", "bias": bias,
                       "intermediate_size": inner}}
        self.tensors["router.weight"] = self.tensor((experts, hidden), "F32")
        density = min(1, 30 / hidden)
        shapes = {"up": (inner, hidden), "down": (hidden, inner)}
        if kind == "glu":
            shapes["gate"] = (inner, hidden)
        for name, shape in shapes.items():
            self.tensors["experts.%s.weight" % name] = self.sparse(
                (experts, *shape), dtype, density)
            if bias:
                self.tensors["experts.%s.bias" % name] = self.sparse(
                    (experts, shape[0]), dtype, 0.5)
        self.save()

    def compile(self, target, *flags):
        precision = {"BF16": "bf16", "F16": "f16"}[
            self.tensors["experts.up.weight"][0]]
        self.call("moe-compile", self.path, "--target=cuda:" + target,
                  "--precision=" + precision, "-o", self.file("m.so"), *flags)

    def check(self, target, tokens, kernels):
        library = self.file("m.so")
        self.compile(target, "--target=cpu", "--ptxas=none")
        text = open(library, "rb").read()
        kernels -= {name for name in kernels
                    if (".entry " + name).encode() in text}
        device = {"sm_90a": "emulated-cuda", "sm_80": "emulated-cuda:1"}[target]
        for count in tokens:
            # Another order of warps and copies each time.
            os.environ["MOE_EMULATOR_SEED"] = str(count)
            st.save(self.file("in"), {"hidden_states": self.sparse(
                (count, self.config["hidden_size"]), "F32", 0.5)})
            results = []
            for name in ("cpu", device):
                self.call("moe-run", library, "-q", "--device=" + name,
                          "--params=" + self.path,
                          "--input=" + self.file("in"),
                          "--output=" + self.file("out"))
                results.append(st.load(self.file("out")))
            assert results[0] == results[1], "%s: %d tokens differ" % (
                json.dumps(self.config), count)


def main():
    tools, target, *kernels = sys.argv[1:]
    kernels = set(kernels)
    # Type, kind, H, I, E, k, bias; numbers of tokens.
    layers = [
        (("BF16", "glu", 72, 40, 8, 2, False), (0, 1, 7, 100, 300)),
        (("F16", "mlp2", 136, 264, 5, 3, True), (1, 33, 130)),
        (("BF16", "glu", 64, 192, 3, 1, True), (5, 90, 250)),
        (("BF16", "mlp2", 1032, 16, 1, 1, False), (1, 8, 9, 150)),
        (("BF16", "glu", 8, 8, 1000, 2, False), (1, 40))]
    for seed, (layer, tokens) in enumerate(layers):
        case = ExactLayer(seed, tools)
        case.create(*layer)
        if "--assemble" in kernels:
            case.compile(target)
        else:
            case.check(target, tokens, kernels)
    kernels.discard("--assemble")
    assert not kernels, "no kernel was named " + ", ".join(sorted(kernels))
    print("%d layers agree" % len(layers))


main()
