# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers in the exact mode: the bytes of a GPU's results are those of the CPU.

    exact_layers.py TOOLS TARGET KERNEL...

TOOLS is the folder of moe-compile and moe-run, TARGET a GPU. Each layer runs
with numbers of tokens for which other kernels are chosen, once with rows of
their own and once with equal rows, which all go to the same experts. The code
must have a kernel whose name starts with each KERNEL.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "..", "Integration", "Inputs"))
from random_models import Case  # noqa: E402
import st  # noqa: E402


class ExactLayer(Case):
    def create(self, dtype, kind, hidden, inner, experts, top_k, bias):
        self.config = {
            "model_type": "moe_layer", "hidden_size": hidden,
            "num_experts": experts, "top_k": top_k,
            "expert_weights": "stacked",
            "expert": {"kind": kind, "activation": "silu", "bias": bias,
                       "intermediate_size": inner}}
        self.tensors["router.weight"] = self.tensor((experts, hidden), "F32")
        shapes = {"up": (inner, hidden), "down": (hidden, inner)}
        if kind == "glu":
            shapes["gate"] = (inner, hidden)
        for name, shape in shapes.items():
            self.tensors["experts.%s.weight" % name] = self.tensor(
                (experts, *shape), dtype)
            if bias:
                self.tensors["experts.%s.bias" % name] = self.tensor(
                    (experts, shape[0]), dtype)
        self.save()

    def check(self, target, tokens, kernels):
        library = self.file("m.so")
        self.call("moe-compile", self.path, "--target=cuda:" + target,
                  "--target=cpu", "--ptxas=none", "-o", library)
        text = open(library, "rb").read()
        kernels -= {name for name in kernels
                    if (".entry " + name).encode() in text}
        device = {"sm_90a": "emulated-cuda", "sm_80": "emulated-cuda:1"}[target]
        hidden = self.config["hidden_size"]
        for count in tokens:
            os.environ["MOE_EMULATOR_SEED"] = str(count)
            dtype, shape, data = self.tensor((count, hidden), "F32")
            for rows in (data, data[:4 * hidden] * count):
                st.save(self.file("in"), {"hidden_states":
                                          (dtype, shape, rows)})
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
        (("F32", "glu", 100, 68, 5, 2, False), (0, 1, 9, 70, 330)),
        (("BF16", "glu", 133, 35, 7, 3, True), (1, 20, 65)),
        (("F16", "mlp2", 33, 130, 3, 1, True), (2, 31, 200)),
        (("F32", "mlp2", 17, 3, 700, 2, False), (1, 50))]
    for seed, (layer, tokens) in enumerate(layers):
        case = ExactLayer(seed, tools)
        case.create(*layer)
        case.check(target, tokens, kernels)
    assert not kernels, "no kernel was named " + ", ".join(sorted(kernels))
    print("%d layers agree" % len(layers))


main()
