# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers that a GPU's code must compute with the bits of the CPU's."""
import json
import operator
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "..", "Integration", "Inputs"))
from random_models import Case  # noqa: E402
import st  # noqa: E402

DEVICES = {"sm_90a": "emulated-cuda", "sm_80": "emulated-cuda:1"}
TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                     "..", "..", "benchmarks", "results", "ptxas.txt")


def expand(target, names):
    """Beginnings of kernels' names: `names`, and in place of table:REGEX all
    tile configurations for `target` that the table of shipped kernels has.
    What follows them depends on the model: a number, and the width that weights
    are streamed with."""
    wanted = set()
    for name in names:
        if not name.startswith("table:"):
            wanted.add(name)
            continue
        found = set()
        with open(TABLE, encoding="utf-8") as file:
            for words in map(str.split, file):
                if words[1] == "cuda:" + target and re.fullmatch(
                        name.partition(":")[2] + r"_\d+", words[0]):
                    found.add(re.sub(r"(^stream_[a-z]+)?(_\d+)+$", r"\1_",
                                     words[0]))
        assert found, "the table has no " + name
        wanted |= found
    return wanted


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

    def add_network(self, prefix, network, dtype, hidden, stack=()):
        inner = network["intermediate_size"]
        shapes = {"up": (inner, hidden), "down": (hidden, inner)}
        if network["kind"] == "glu":
            shapes["gate"] = (inner, hidden)
        for name, shape in shapes.items():
            self.tensors["%s.%s.weight" % (prefix, name)] = self.weights(
                (*stack, *shape), dtype, hidden)
            if network["bias"]:
                self.tensors["%s.%s.bias" % (prefix, name)] = self.biases(
                    (*stack, shape[0]), dtype)

    def create(self, dtype, kind, hidden, inner, experts, top_k, bias,
               shared=False):
        self.config = {
            "model_type": "moe_layer", "hidden_size": hidden,
            "num_experts": experts, "top_k": top_k,
            "expert_weights": "stacked",
            "expert": {"kind": kind, "activation": self.activation,
                       "bias": bias, "intermediate_size": inner}}
        self.tensors["router.weight"] = self.tensor((experts, hidden), "F32")
        network = self.config["expert"]
        self.add_network("experts", network, dtype, hidden, (experts,))
        if shared:
            self.config["shared_expert"] = network
            self.add_network("shared", network, dtype, hidden)
        self.save()

    def compile(self, target, *flags):
        self.call("moe-compile", self.path, "--target=cuda:" + target,
                  "-o", self.file("m.so"), *flags)

    def compare(self, target, inputs, kernels, agree=operator.eq):
        """Runs m.so on the CPU and the GPU, whose files must `agree`; takes
        from `kernels` the beginnings of names of those that ran."""
        library, coverage = self.file("m.so"), self.file("coverage")
        os.environ["MOE_EMULATOR_COVERAGE"] = coverage
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
        with open(coverage, encoding="utf-8") as file:
            ran = {line.split()[0] for line in file}
        kernels -= {name for name in kernels
                    if any(kernel.startswith(name) for kernel in ran)}


def finish(layers, kernels):
    assert not kernels, "no kernel ran of " + ", ".join(sorted(kernels))
    print("%d layers agree" % len(layers))
