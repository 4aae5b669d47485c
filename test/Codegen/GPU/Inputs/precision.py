# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A model whose products are rounded, on emulated GPUs.

    precision.py TOOLS MODEL PRECISION FIRST LAST LENGTH NEW ROWS TOKENS
                 [TARGET...]

TOOLS is the folder of the tools, MODEL a checkpoint with golden.safetensors.
Where its weights have another type than PRECISION multiplies (bf16, f16, tf32),
the test makes a checkpoint of rounded ones. Of the sequences FIRST to LAST of
input_ids the first LENGTH tokens and the NEW ones with which the CPU continues
them are given to `forward` as a whole. On each TARGET, an sm_90a and an sm_80
without any:

* logits are within 2^-7 of the interpreter that rounds at the same points. The
  unit is the row's largest |logit|: a logit is a sum over all of the hidden
  state, so its error has the size of the row, not that of what cancels in it.
  The interpreter does not know tf32: there the exact mode is the measure.
* With error = max |GPU - CPU| of a row, the CPU in f32, and margin = its best
  logit minus its second: where margin > 10 error, the GPU chooses the CPU's
  token. At least ROWS rows must be such.
* Prefill and decode choose the CPU's tokens up to the first such choice that is
  not clear. At least TOKENS choices, of all sequences, must come before.
"""
import math
import os
import shutil
import struct
import sys

from gpu_layers import DEVICES
from random_models import Case
import st

TOLERANCE = 2 ** -7
CLEAR = 10
NARROW = ("builtin.module(symbol-dce,moe-expand-routing,canonicalize,cse,"
          "moe-expand-layer,convert-moe-to-ragged,cse,"
          "moe-group-matmuls{fuse=true},moe-fuse-gather,"
          "moe-narrow-operands{type=%s})")


def widen(dtype, data):
    if dtype == "BF16":
        data = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    return struct.unpack("<%d%s" % ((len(data) // 2, "e") if dtype == "F16" else
                                    (len(data) // 4, "f")), data)


def narrow(values, dtype):
    """To the nearest, ties to even; no NaN."""
    if dtype == "F16":
        return struct.pack("<%de" % len(values), *values)
    words = struct.unpack("<%dI" % len(values),
                          struct.pack("<%df" % len(values), *values))
    return struct.pack("<%dH" % len(values), *(
        (word + 0x7fff + (word >> 16 & 1)) >> 16 for word in words))


class Model(Case):
    def __init__(self, tools, source, precision, targets):
        super().__init__(0, tools)
        self.golden = st.load(os.path.join(source, "golden.safetensors"))
        self.precision = precision
        shutil.copy(os.path.join(source, "config.json"), self.path)
        self.tensors = st.load(os.path.join(source, "model.safetensors"))
        wanted = {"bf16": "BF16", "f16": "F16"}.get(precision)
        for name, (dtype, shape, data) in self.tensors.items():
            if wanted and dtype != wanted:
                self.tensors[name] = (wanted, shape,
                                      narrow(widen(dtype, data), wanted))
        st.save(self.file("model.safetensors"), self.tensors)
        self.call("moe-compile", self.path, "--ptxas=none",
                  "--target=cpu:x86-64-v3", "--precision=" + precision,
                  *("--target=cuda:" + target for target in targets),
                  "-o", self.file("m.so"))
        if wanted:
            self.call("moe-import", self.path, "-o", self.file("m.mlir"))
            self.call("moe-opt", self.file("m.mlir"), "--pass-pipeline=" +
                      NARROW % precision, "-o", self.file("narrow.mlir"))

    def run(self, device, *arguments):
        return self.call("moe-run", self.file("m.so"), "-q",
                         "--device=" + device, "--params=" + self.path,
                         *arguments).stdout.decode()

    def generate(self, device, prompt, count):
        text = self.run(device, "--tokens=" + ",".join(map(str, prompt)),
                        "--max-new-tokens=%d" % count)
        return [int(token) for token in text.split(",")]

    def rows(self, path):
        """Of the logits: one row for each position."""
        dtype, shape, data = st.load(path)["logits"]
        assert dtype == "F32"
        values = widen(dtype, data)
        return [values[i:i + shape[-1]]
                for i in range(0, len(values), shape[-1])]

    def forward(self, device, sequences):
        length = len(sequences[0])
        ids = struct.pack("<%dq" % (len(sequences) * length),
                          *sum(sequences, []))
        st.save(self.file("in"), {
            "input_ids": ("I64", [len(sequences), length], ids)})
        files = ["--input=" + self.file("in"), "--output=" + self.file("out")]
        if device == "interpreter":
            self.call("moe-opt", self.file("narrow.mlir"),
                      "--interpret=forward", "--params=" + self.path, *files)
        else:
            self.run(device, *files)
        return self.rows(self.file("out"))


def distance(a, b):
    assert all(map(math.isfinite, a))
    return max(abs(x - y) for x, y in zip(a, b))


def best(row):
    return max(range(len(row)), key=lambda i: (row[i], -i))


def margin(row):
    first, second = sorted(row)[:-3:-1]
    return first - second


def worst_ratio(rows, expected):
    """The largest distance, in units of a row's largest value."""
    return max(distance(a, b) / max(map(abs, b))
               for a, b in zip(rows, expected))


def main():
    tools, source, precision = sys.argv[1:4]
    first, last, length, count, min_rows, min_tokens = map(int, sys.argv[4:10])
    targets = sys.argv[10:] or list(DEVICES)
    model = Model(tools, source, precision, targets)
    _, (batch, width), ids = model.golden["input_ids"]
    ids = struct.unpack("<%dq" % (batch * width), ids)
    assert last < batch and length <= width
    prompts = [list(ids[i * width:i * width + length])
               for i in range(first, last + 1)]
    continued = [model.generate("cpu", prompt, count) for prompt in prompts]
    assert all(len(tokens) == count for tokens in continued)
    sequences = [a + b for a, b in zip(prompts, continued)]
    exact = model.forward("cpu", sequences)
    oracle = exact
    if precision != "tf32":
        oracle = model.forward("interpreter", sequences)
    for target in targets:
        device = DEVICES[target]
        rows = model.forward(device, sequences)
        ratio, rounding = worst_ratio(rows, oracle), worst_ratio(rows, exact)
        print("%s: within %.2g of the oracle, %.2g of f32" % (
            target, ratio, rounding))
        assert ratio <= TOLERANCE, "more than %g" % TOLERANCE
        assert rounding > 1e-5, "nothing was rounded"
        clear = [margin(b) > CLEAR * distance(a, b)
                 for a, b in zip(rows, exact)]
        print("%s: %d of %d rows have a margin" % (target, sum(clear),
                                                   len(clear)))
        assert sum(clear) >= min_rows, "expected %d" % min_rows
        for i, (a, b) in enumerate(zip(rows, exact)):
            assert not clear[i] or best(a) == best(b), "row %d: %d, not %d" % (
                i, best(a), best(b))
        clear_tokens = 0
        for i, (prompt, tokens) in enumerate(zip(prompts, continued)):
            # Row p chooses the token at p + 1.
            start = i * (length + count) + length - 1
            choices = clear[start:start + count]
            sure = (choices + [False]).index(False)
            got = model.generate(device, prompt, count)
            print("%s: %d choices are clear: %s" % (target, sure, got))
            assert len(got) == count and got[:sure] == tokens[:sure]
            clear_tokens += sure
        assert clear_tokens >= min_tokens, "%d choices, expected %d" % (
            clear_tokens, min_tokens)
    shutil.rmtree(model.path)
    print("tokens agree")


main()
