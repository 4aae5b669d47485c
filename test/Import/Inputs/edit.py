#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Copies a model directory with changes.

    edit.py SOURCE TARGET [CHANGE...]

    KEY=JSON           set a field of config.json (a.b.c reaches nested ones)
    -KEY               remove it
    tensor:-NAME       leave a tensor out
    tensor:OLD>NEW     rename it
    tensor:NAME=DTYPE:2,3   a tensor of zeros, in place of NAME if it is there
    shards=N           write N shards and an index
    config-only        write no weights
"""
import json
import os
import shutil
import struct
import sys

WIDTHS = {"F64": 8, "F32": 4, "I64": 8, "I32": 4, "F16": 2, "BF16": 2, "U8": 1,
          "F8_E4M3": 1}


def read_safetensors(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: (info["dtype"], info["shape"],
                   data[info["data_offsets"][0]:info["data_offsets"][1]])
            for name, info in header.items()}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)


def find_parent(config, key):
    *parents, last = key.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
    return config, last


def edit_tensor(tensors, change):
    if change.startswith("-"):
        del tensors[change[1:]]
    elif "=" in change:
        name, value = change.split("=")
        dtype, sizes = value.split(":")
        shape = [int(size) for size in sizes.split(",") if size]
        count = WIDTHS[dtype]
        for size in shape:
            count *= size
        tensors[name] = (dtype, shape, bytes(count))
    else:
        old, new = change.split(">")
        tensors[new] = tensors.pop(old)


def main():
    source, target, *changes = sys.argv[1:]
    with open(os.path.join(source, "config.json")) as file:
        config = json.load(file)
    weights = os.path.join(source, "model.safetensors")
    tensors = read_safetensors(weights) if os.path.exists(weights) else {}
    shards = 1
    for change in changes:
        if change == "config-only":
            tensors = {}
        elif change.startswith("shards="):
            shards = int(change[7:])
        elif change.startswith("tensor:"):
            edit_tensor(tensors, change[7:])
        elif change.startswith("-"):
            parent, key = find_parent(config, change[1:])
            del parent[key]
        else:
            name, value = change.split("=", 1)
            parent, key = find_parent(config, name)
            parent[key] = json.loads(value)
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    with open(os.path.join(target, "config.json"), "w") as file:
        json.dump(config, file)
    if shards == 1 and tensors:
        write_safetensors(os.path.join(target, "model.safetensors"), tensors)
    elif tensors:
        parts = [{} for _ in range(shards)]
        index = {}
        for i, (name, tensor) in enumerate(tensors.items()):
            file = f"model-{i % shards + 1:05}-of-{shards:05}.safetensors"
            parts[i % shards][name] = tensor
            index[name] = file
        for i, part in enumerate(parts):
            file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            write_safetensors(os.path.join(target, file), part)
        with open(os.path.join(target, "model.safetensors.index.json"),
                  "w") as file:
            json.dump({"metadata": {}, "weight_map": index}, file)


main()
