# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints the manifest of a compiled library; knows nothing of the runtime.

    note.py FILE
"""
import hashlib
import struct
import sys

NONE = 0xFFFFFFFF
DTYPES = ["f32", "f16", "bf16", "i32", "i64", "f64", "u8"]
ROLES = ["input", "output", "optional", "state", "lengths", "count"]


def find_note(data):
    assert data[:4] == b"\x7fELF"
    phoff, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, flags, offset = struct.unpack_from("<IIQ", data, phoff + i * size)
        length, = struct.unpack_from("<Q", data, phoff + i * size + 32)
        if kind != 4:
            continue
        at = offset
        while at < offset + length:
            names, desc, note = struct.unpack_from("<III", data, at)
            owner = data[at + 12:at + 12 + names]
            at += 12 + (names + 3 & ~3)
            if owner == b"moe\0" and note == 1:
                return at, desc
            at += desc + 3 & ~3
    raise SystemExit("no note")


def main(path):
    data = bytearray(open(path, "rb").read())
    start, length = find_note(data)
    note = bytes(data[start:start + length])
    (magic, major, minor, size, file_size, digest, *rest) = struct.unpack_from(
        "<8sIIQQ32s", note)
    strings = struct.unpack_from("<6I", note, 64)
    levels, reserved = struct.unpack_from("<II", note, 88)
    tables = struct.unpack_from("<10I", note, 96)
    max_length, vocabulary = struct.unpack_from("<qq", note, 136)

    def text(offset, count):
        assert offset + count <= length
        return note[offset:offset + count].decode()

    def rows(index, form):
        offset, count = tables[2 * index:2 * index + 2]
        step = struct.calcsize(form)
        assert offset + step * count <= length
        return [struct.unpack_from(form, note, offset + i * step)
                for i in range(count)]

    data[start + 24:start + 64] = bytes(40)
    print("magic", magic.decode(), "abi", major, minor)
    print("sizes", size == length, file_size == len(data))
    print("hash", hashlib.sha256(data).digest() == digest)
    print("target", text(*strings[0:2]))
    print("compiler", text(*strings[2:4]))
    print("model", text(*strings[4:6]), "levels", levels, "max_length",
          max_length, "vocabulary", vocabulary)
    symbols = [text(*row) for row in rows(0, "<II")]
    print("symbols", *symbols)
    arguments = rows(2, "<6Iq" + "IIq" * 8)
    for f in rows(1, "<8I"):
        print("function", text(*f[0:2]), "code", *(
            "-" if x == NONE else x for x in f[4:8]))
        for a in arguments[f[2]:f[2] + f[3]]:
            extents = []
            for d in range(a[4]):
                symbol, _, value = a[7 + 3 * d:10 + 3 * d]
                extents.append(str(value) if symbol == NONE else
                               f"{value}*{symbols[symbol]}")
            line = [" ", ROLES[a[2]], text(*a[0:2]), DTYPES[a[3]],
                    "[" + ", ".join(extents) + "]"]
            print(*line, *([] if a[5] == NONE else ["count", a[5]]),
                  *([] if a[6] == 0 else ["limit", a[6]]))
    sources = rows(4, "<4I8Q4I")
    for p in rows(3, "<8IQQII"):
        print("parameter", text(*p[0:2]))
        for i in range(2):
            print("  level", 3 + i, repr(text(*p[2 + 2 * i:4 + 2 * i])),
                  p[8 + i], "pack", "-" if p[10 + i] == NONE else p[10 + i])
        for s in sources[p[6]:p[6] + p[7]]:
            print("  source", text(*s[0:2]), DTYPES[s[2]], list(s[4:4 + s[3]]),
                  "first", s[12], "count", s[13], "part", s[14])


main(sys.argv[1])
