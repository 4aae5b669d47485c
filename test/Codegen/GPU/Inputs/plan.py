# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""plan.py OUT T: tokens x [T, 4], experts i [T, 3] and weights v [T, 3].

Of five experts number 3 gets nothing; slots hold -1, 7 and experts that the
token has already.
"""
import json
import random
import struct
import sys

path, tokens = sys.argv[1], int(sys.argv[2])
draw = random.Random(tokens)
choices = (0, 1, 2, 4, 4, 4, -1, 7)
parts = {
    "x": ("F32", [tokens, 4], struct.pack(
        f"<{4 * tokens}f", *(draw.gauss(0, 1) for _ in range(4 * tokens)))),
    "i": ("I32", [tokens, 3], struct.pack(
        f"<{3 * tokens}i", *(draw.choice(choices) for _ in range(3 * tokens)))),
    "v": ("F32", [tokens, 3], struct.pack(
        f"<{3 * tokens}f", *(draw.random() for _ in range(3 * tokens)))),
}
header, data = {}, b""
for name, (dtype, shape, content) in parts.items():
    header[name] = {"dtype": dtype, "shape": shape,
                    "data_offsets": [len(data), len(data) + len(content)]}
    data += content
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(path, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
