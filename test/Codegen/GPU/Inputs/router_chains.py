#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes chains of routing stages and inputs for them.

usage: router_chains.py make MODULE.mlir INPUT.safetensors
       router_chains.py equal FILE FILE

A function with two chains per shape, on 9 tokens, 1, 5 or none.
Logits are normal (seed 7), rounded so that some are equal; of the first rows
one has NaN, one infinities, one only -infinity and one zeros of both signs.
`equal` compares bytes, but takes one NaN for another: IEEE 754 leaves their sign
and payload open, and PTX and x86 differ in them.
"""

import json
import random
import struct
import sys

# E and k. The last has more registers than a chain may: it is cut.
SHAPES = ((5, 1), (5, 5), (32, 2), (33, 33), (160, 6), (1024, 4), (256, 40),
          (1024, 1024))
TOKENS = (9, 1, 0, 9, 9, 9, 9, 5)

CHAIN = """\
  %s{n} = moe.score {fn} %x{n} : {row} -> {row}
  %q{n} = moe.add_selection_bias %s{n}, %b{n} : {row}, {vector} -> {row}
  %i{n}, %v{n} = moe.top_k %q{n}, k = {k} : {row} -> {ints}, {slots}
  %t{n} = moe.take %s{n}, %i{n} : {row}, {ints} -> {slots}
  %r{n} = moe.renormalize %t{n} {{p = {p} : i64, eps = 1.0e-20 : f64}}
      : {slots} -> {slots}
  %w{n} = moe.scale %r{n} by 2.5 : {slots} -> {slots}
  %y{n} = moe.scale_by_expert %w{n}, %i{n}, %b{n}
      : {slots}, {ints}, {vector} -> {slots}
  %j{n}, %u{n} = moe.top_k %x{n}, k = {k} : {row} -> {ints}, {slots}
  %z{n} = moe.score {other} %u{n} slots(%j{n} : {ints})
      : {slots} -> {slots}
"""


def make_logits(source, tokens, experts):
    rows = [[round(source.gauss(0, 2), 1) for _ in range(experts)]
            for _ in range(tokens)]
    if tokens > 4:
        rows[1][experts // 2] = float("nan")
        rows[2][0], rows[2][-1] = float("inf"), float("-inf")
        rows[3] = [float("-inf")] * experts
        rows[4] = [0.0 if e % 2 else -0.0 for e in range(experts)]
    return [x for row in rows for x in row]


def read(path):
    with open(path, "rb") as file:
        content = file.read()
    start = 8 + struct.unpack_from("<Q", content)[0]
    words = struct.unpack(f"<{(len(content) - start) // 4}I", content[start:])
    # An index is never as large as a NaN, but for -1.
    return content[:start], [
        0x7FC00000 if x & 0x7FFFFFFF > 0x7F800000 and x != 0xFFFFFFFF else x
        for x in words]


def main():
    if sys.argv[1] == "equal":
        sys.exit(0 if read(sys.argv[2]) == read(sys.argv[3]) else 3)
    source = random.Random(7)
    arguments, results, names, types, body = [], [], [], [], ""
    header, data = {}, b""

    def add_input(name, shape, values):
        nonlocal data
        begin = len(data)
        data += struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [begin, len(data)]}

    for n, ((experts, k), tokens) in enumerate(zip(SHAPES, TOKENS)):
        row, slots = f"tensor<?x{experts}xf32>", f"tensor<?x{k}xf32>"
        ints, vector = f"tensor<?x{k}xi32>", f"tensor<{experts}xf32>"
        functions = ("softmax", "sigmoid") if n % 2 else ("sigmoid", "softmax")
        body += CHAIN.format(n=n, k=k, row=row, slots=slots, ints=ints,
                             vector=vector, fn=functions[0],
                             other=functions[1], p=1 + n // 2 % 2)
        arguments += [
            f'%x{n}: {row} {{moe.name = "x{n}", moe.shape = ["T{n}", {experts}]}}',
            f'%b{n}: {vector} {{moe.name = "b{n}", moe.shape = [{experts}]}}']
        outputs = [("i", ints), ("y", slots), ("j", ints), ("z", slots)]
        if n % 3 == 0:
            outputs.append(("s", row))
        for letter, kind in outputs:
            width = experts if letter == "s" else k
            results.append(f'{kind} {{moe.name = "{letter}{n}", '
                           f'moe.shape = ["T{n}", {width}]}}')
            names.append(f"%{letter}{n}")
            types.append(kind)
        add_input(f"x{n}", [tokens, experts],
                  make_logits(source, tokens, experts))
        add_input(f"b{n}", [experts],
                  [round(source.gauss(0, 0.1), 3) for _ in range(experts)])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("func.func @route(\n    " + ",\n    ".join(arguments)
                   + ")\n    -> (" + ",\n        ".join(results) + ") {\n"
                   + body + "  return " + ", ".join(names) + "\n      : "
                   + ", ".join(types) + "\n}\n")
    text = json.dumps(header).encode()
    with open(sys.argv[3], "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    main()
