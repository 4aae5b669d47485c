# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fills in length and hash of a module made by hand.

    seal.py FILE
"""
import hashlib
import struct
import sys

path = sys.argv[1]
data = bytearray(open(path, "rb").read())
start, = struct.unpack_from("<Q", data, 32)
size, count = struct.unpack_from("<HH", data, 54)
for i in range(count):
    kind, = struct.unpack_from("<I", data, start + i * size)
    at, = struct.unpack_from("<Q", data, start + i * size + 8)
    if kind == 4 and data[at + 12:at + 16] == b"moe\0":  # PT_NOTE
        break
else:
    sys.exit("no note in " + path)
field = at + 16 + 24  # after magic, ABI and manifest_size
data[field:field + 40] = bytes(40)
digest = hashlib.sha256(data).digest()
struct.pack_into("<Q", data, field, len(data))
data[field + 8:field + 40] = digest
open(path, "wb").write(data)
