# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random functions on buffers, with the numbers that they must compute.

    random_buffers.py functions SEED COUNT            > functions.mlir
    random_buffers.py main SEED COUNT < planned.mlir  > program.mlir

The first form prints functions that fill and read memref.allocs in loops,
branches and calls. The second takes them after moe-plan-arena and adds a @main
that runs each one on an arena full of NaN with a guard behind it, and returns
how many computed a wrong number or touched the guard.
"""
import random
import re
import sys

MASK = (1 << 64) - 1
N, M = 5, 37  # arguments of every call of @main
GUARD = 1 << 16  # bytes: what overflows ends here, not in the heap


class Buffer:
    def __init__(self, name, size, count):
        self.name, self.size, self.count = name, size, count
        self.type = f"memref<{size if isinstance(size, int) else '?'}xi32>"


class Function:
    """Text of a function, and its meaning as nested lists of steps."""

    def __init__(self, rng, index, callees):
        self.rng, self.callees, self.next = rng, callees, 0
        self.name, self.lines, self.depth = f"f{index}", [], 1
        self.body = self.block([], [], 12)

    def emit(self, text):
        self.lines.append("  " * self.depth + text)

    def new(self, prefix):
        self.next += 1
        return f"%{prefix}{self.next}"

    def alloc(self):
        name = self.new("b")
        size, count = self.rng.choice(
            [(1, 1), (16, 16), (40, 40), ("%n", N), ("%m", M),
             ("%sum", N + M), ("%most", max(N, M))])
        buffer = Buffer(name, size, count)
        operand = "" if isinstance(size, int) else size
        self.emit(f"{name} = memref.alloc({operand}) : {buffer.type}")
        return buffer

    def fill(self, buffer):
        value = self.rng.randrange(1 << 20)
        constant = self.new("c")
        self.emit(f"{constant} = arith.constant {value} : i32")
        self.emit(f"linalg.fill ins({constant} : i32) "
                  f"outs({buffer.name} : {buffer.type})")
        return ("fill", buffer.name, value)

    def read(self, buffer):
        """out = 31 * out + first element + last element, mod 2^64."""
        last, dim, total = self.new("i"), self.new("d"), self.new("v")
        self.emit(f"{dim} = memref.dim {buffer.name}, %zero : {buffer.type}")
        self.emit(f"{last} = arith.subi {dim}, %one : index")
        for position in ("%zero", last):
            x, wide, old, scaled, new = (self.new("v") for _ in range(5))
            self.emit(f"{x} = memref.load {buffer.name}[{position}] : "
                      f"{buffer.type}")
            self.emit(f"{wide} = arith.extui {x} : i32 to i64")
            self.emit(f"{old} = memref.load %out[] : memref<i64>")
            self.emit(f"{scaled} = arith.muli {old}, %thirty_one : i64")
            self.emit(f"{new} = arith.addi {scaled}, {wide} : i64")
            self.emit(f"memref.store {new}, %out[] : memref<i64>")
        return ("read", buffer.name)

    def block(self, outer, steps, length):
        """`outer`: buffers in sight, all of them filled."""
        buffers = list(outer)
        for _ in range(length):
            kind = self.rng.choices(
                ["alloc", "fill", "read", "view", "copy", "loop", "if", "pick",
                 "call"],
                [6, 2, 5, 1, 2, 1.5, 1.5, 1, 1])[0]
            deep = self.depth > 3
            if kind == "alloc" or not buffers:
                buffers.append(self.alloc())
                steps.append(self.fill(buffers[-1]))
            elif kind == "fill":
                steps.append(self.fill(self.rng.choice(buffers)))
            elif kind == "read":
                steps.append(self.read(self.rng.choice(buffers)))
            elif kind == "view":
                source = self.rng.choice(buffers)
                view = Buffer(self.new("w"), "?", source.count)
                if source.type != view.type:
                    self.emit(f"{view.name} = memref.cast {source.name} : "
                              f"{source.type} to {view.type}")
                    steps.append(("alias", view.name, source.name))
                    buffers.append(view)
            elif kind == "copy":
                source = self.rng.choice(buffers)
                target = self.rng.choice(
                    [b for b in buffers if b.type == source.type and
                     b.count == source.count])
                self.emit(f"linalg.copy ins({source.name} : {source.type}) "
                          f"outs({target.name} : {target.type})")
                steps.append(("copy", target.name, source.name))
            elif kind == "loop" and not deep:
                self.emit(f"scf.for {self.new('i')} = %zero to %two "
                          "step %one {")
                self.depth += 1
                body = self.block(buffers, [], 6)
                self.depth -= 1
                self.emit("}")
                steps.append(("loop", body))
            elif kind == "if" and not deep:
                taken = self.rng.random() < 0.5
                self.emit(f"scf.if {'%yes' if taken else '%no'} {{")
                self.depth += 1
                then = self.block(buffers, [], 4)
                self.depth -= 1
                self.emit("} else {")
                self.depth += 1
                other = self.block(buffers, [], 4)
                self.depth -= 1
                self.emit("}")
                steps += then if taken else other
            elif kind == "pick" and not deep:
                # A branch yields a buffer that it made.
                taken = self.rng.random() < 0.5
                name, chosen = self.new("r"), []
                self.emit(f"{name} = scf.if {'%yes' if taken else '%no'} "
                          "-> memref<?xi32> {")
                for branch in range(2):
                    self.depth += 1
                    made = self.alloc()
                    part = [self.fill(made)]
                    part = self.block(buffers + [made], part, 3)
                    cast = self.new("w")
                    if made.type == "memref<?xi32>":
                        cast = made.name
                    else:
                        self.emit(f"{cast} = memref.cast {made.name} : "
                                  f"{made.type} to memref<?xi32>")
                    self.emit(f"scf.yield {cast} : memref<?xi32>")
                    self.depth -= 1
                    self.emit("}" if branch else "} else {")
                    chosen.append((made, part))
                made, part = chosen[0 if taken else 1]
                steps += part + [("alias", name, made.name)]
                buffers.append(Buffer(name, "?", made.count))
            elif kind == "call" and self.callees:
                callee = self.rng.choice(self.callees)
                self.emit(f"func.call @{callee.name}(%n, %m, %yes, %no, %out) "
                          ": (index, index, i1, i1, memref<i64>) -> ()")
                steps.append(("call", callee))
        return steps

    def text(self):
        return "\n".join([
            f"func.func @{self.name}(%n: index, %m: index, %yes: i1, "
            "%no: i1, %out: memref<i64>) {",
            "  %zero = arith.constant 0 : index",
            "  %one = arith.constant 1 : index",
            "  %two = arith.constant 2 : index",
            "  %thirty_one = arith.constant 31 : i64",
            "  %sum = arith.addi %n, %m : index",
            "  %most = arith.maxui %n, %m : index",
            *self.lines, "  return", "}"])

    def run(self, out):
        """The number that the function makes out of `out`."""
        cells, alias = {}, {}

        def cell(name):
            while name in alias:
                name = alias[name]
            return name

        def execute(steps):
            nonlocal out
            for step in steps:
                if step[0] == "fill":
                    cells[cell(step[1])] = step[2]
                elif step[0] == "read":
                    for _ in range(2):
                        out = (31 * out + cells[cell(step[1])]) & MASK
                elif step[0] == "alias":
                    alias[step[1]] = step[2]
                elif step[0] == "copy":
                    cells[cell(step[1])] = cells[cell(step[2])]
                elif step[0] == "loop":
                    execute(step[1])
                    execute(step[1])
                elif step[0] == "call":
                    out = step[1].run(out)

        execute(self.body)
        return out


def check(function, leaves):
    """Calls `function` on its arena; adds 1 to %bad if something is wrong."""
    expected = function.run(1)
    if expected >= 1 << 63:
        expected -= 1 << 64
    lines = [f"func.func private @check_{function.name}() -> i32 {{",
             f"  %n = arith.constant {N} : index",
             f"  %m = arith.constant {M} : index",
             "  %yes = arith.constant true",
             "  %no = arith.constant false",
             "  %zero = arith.constant 0 : index",
             "  %one = arith.constant 1 : index",
             "  %start = arith.constant 1 : i64",
             "  %nan = arith.constant -1 : i8",
             f"  %guard = arith.constant {GUARD} : index",
             f"  %expected = arith.constant {expected} : i64",
             "  %out = memref.alloc() : memref<i64>",
             "  memref.store %start, %out[] : memref<i64>"]
    types = "index, index, i1, i1, memref<i64>"
    if leaves is None:  # no buffer
        lines += [f"  func.call @{function.name}(%n, %m, %yes, %no, %out) : "
                  f"({types}) -> ()",
                  "  %touched = arith.constant false"]
    else:
        names = ", ".join("%n" if leaf == 0 else "%m" for leaf in leaves)
        index = ", ".join("index" for _ in leaves)
        lines += [
            f"  %size = func.call @{function.name}.arena_size({names}) : "
            f"({index}) -> index",
            "  %all = arith.addi %size, %guard : index",
            "  %memory = memref.alloc(%all) {alignment = 64} : memref<?xi8>",
            "  linalg.fill ins(%nan : i8) outs(%memory : memref<?xi8>)",
            "  %arena = memref.view %memory[%zero][%size] : memref<?xi8> to "
            "memref<?xi8>",
            f"  func.call @{function.name}(%n, %m, %yes, %no, %out, %arena) : "
            f"({types}, memref<?xi8>) -> ()",
            "  %touched = scf.for %i = %size to %all step %one "
            "iter_args(%t = %no) -> i1 {",
            "    %byte = memref.load %memory[%i] : memref<?xi8>",
            "    %other = arith.cmpi ne, %byte, %nan : i8",
            "    %or = arith.ori %t, %other : i1",
            "    scf.yield %or : i1",
            "  }"]
    lines += ["  %found = memref.load %out[] : memref<i64>",
              "  %wrong = arith.cmpi ne, %found, %expected : i64",
              "  %bad = arith.ori %wrong, %touched : i1",
              "  %number = arith.extui %bad : i1 to i32",
              "  return %number : i32",
              "}"]
    return "\n".join(lines)


def main():
    mode, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    functions = []
    for index in range(count):
        functions.append(Function(rng, index, functions[-4:]))
    if mode == "functions":
        print("\n".join(f.text() for f in functions))
        return
    planned = sys.stdin.read()
    sizes = dict(re.findall(
        r"@(\w+)\.arena_size\(.*moe\.arena_leaves = \[(.*)\]}", planned))
    # Without the module around, so that @main joins the functions.
    print(re.sub(r"^(module \{|\})\n", "", planned, flags=re.M))
    for f in functions:
        leaves = sizes.get(f.name)
        if leaves is not None:
            leaves = [int(x) for x in re.findall(r"i64: (\d+), -1>", leaves)]
        print(check(f, leaves))
    print("func.func @main() -> i32 {\n  %s0 = arith.constant 0 : i32")
    for i, f in enumerate(functions):
        print(f"  %r{i} = func.call @check_{f.name}() : () -> i32\n"
              f"  %s{i + 1} = arith.addi %s{i}, %r{i} : i32")
    print(f"  return %s{len(functions)} : i32\n}}")


main()
