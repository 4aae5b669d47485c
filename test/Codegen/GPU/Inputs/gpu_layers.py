# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers that a GPU's code must compute with the bits of the CPU's."""
import json
import operator
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "..", "Integration", "Inputs"))
from random_models import Case  # noqa: E402
import st  # noqa: E402

DEVICES = {"sm_90a": "emulated-cuda", "sm_80": "emulated-cuda:1"}


def are_close(got, expected):
    """Whether two files differ by no more than what the order of sums does to
    their f32 tensors."""
    if got.keys() != expected.keys():
        return False
    for name, (dtype, shape, data) in expected.items():
        if got[name][:2] != (dtype, shape):
            return False
        if dtype != "F32":
            if got[name][2] != data:
                return False
            continue
        count = len(data) // 4
        left, right = (struct.unpack("<%df" % count, values)
                       for values in (got[name][2], data))
        most = max(map(abs, right), default=0)
        # A number that is none fails.
        if not all(abs(a - b) <= 4e-6 * most for a, b in zip(left, right)):
            return False
    return True


class GPULayer(Case):
    activation = "silu"

    def weights(self, shape, dtype, hidden):
        """A matrix per expert."""
        return self.tensor(shape, dtype)

    def biases(self, shape, dtype):
        return self.tensor(shape, dtype)

    def create(self, dtype, kind, hidden, inner, experts, top_k, bias):
        self.config = {
            "model_type": "moe_layer", "hidden_size": hidden,
            "num_experts": experts, "top_k": top_k,
            "expert_weights": "stacked",
            "expert": {"kind": kind, "activation": self.activation,
                       "bias": bias, "intermediate_size": inner}}
        self.tensors["router.weight"] = self.tensor((experts, hidden), "F32")
        shapes = {"up": (inner, hidden), "down": (hidden, inner)}
        if kind == "glu":
            shapes["gate"] = (inner, hidden)
        for name, shape in shapes.items():
            self.tensors["experts.%s.weight" % name] = self.weights(
                (experts, *shape), dtype, hidden)
            if bias:
                self.tensors["experts.%s.bias" % name] = self.biases(
                    (experts, shape[0]), dtype)
        self.save()

    def compile(self, target, *flags):
        self.call("moe-compile", self.path, "--target=cuda:" + target,
                  "-o", self.file("m.so"), *flags)

    def compare(self, target, inputs, kernels, agree=operator.eq):
        """Runs m.so on the CPU and the GPU, whose files must `agree`; takes from
        `kernels` the beginnings of names that its code has."""
        library = self.file("m.so")
        text = open(library, "rb").read()
        kernels -= {name for name in kernels
                    if (".entry " + name).encode() in text}
        for hidden_states in inputs:
            count = hidden_states[1][0]
            # Another order of warps and copies each time.
            os.environ["MOE_EMULATOR_SEED"] = str(count)
            st.save(self.file("in"), {"hidden_states": hidden_states})
            results = []
            for name in ("cpu", DEVICES[target]):
                self.call("moe-run", library, "-q", "--device=" + name,
                          "--params=" + self.path,
                          "--input=" + self.file("in"),
                          "--output=" + self.file("out"))
                results.append(st.load(self.file("out")))
            assert agree(*results), "%s: %d tokens differ" % (
                json.dumps(self.config), count)


def finish(layers, kernels):
    assert not kernels, "no kernel was named " + ", ".join(sorted(kernels))
    print("%d layers agree" % len(layers))
