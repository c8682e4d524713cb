"""A compiled program read from its text (XLA's HLO): how often each part of it runs, and what it calls.

A loop's body stands once in the text, and XLA's own cost analysis counts it once. Here its trips are multiplied in.
"""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator

_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_LINE = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(r"\b(?:calls|body|condition|to_apply|branch_computations)=\{?((?:%?[\w.\-]+(?:, )?)+)\}?")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "token": 0, "opaque": 0}
_SAME = ("copy", "bitcast", "convert", "reshape", "copy-done", "copy-start", "optimization-barrier")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line: name = shape opcode(operands), attributes."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    inside: str
    attributes: str
    root: bool

    def attribute(self, pattern: str) -> str | None:
        """The first group of a pattern in the attributes."""
        found = re.search(pattern, self.attributes)
        return found[1] if found else None


def array_shapes(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """The arrays of a shape, or of a tuple of them: (dtype, sizes)."""
    return [(dtype, tuple(int(n) for n in sizes.split(",") if n)) for dtype, sizes in _ARRAY.findall(shape)]


def shape_bytes(shape: str) -> float:
    """Bytes of the arrays of a shape, without the padding that a device may add."""
    return sum(_item(dtype) * math.prod(sizes) for dtype, sizes in array_shapes(shape))


def _item(dtype: str) -> float:
    if dtype in _BYTES:
        return _BYTES[dtype]
    bits = re.search(r"\d+", dtype)
    return int(bits[0]) / 8 if bits else 0


class Program:
    """The computations of a program.

    Attributes:
        computations: name -> its instructions by name, in order.
        runs: name -> how often it runs.
        unknown_loops: loops whose trips could not be told; their bodies are counted once.
    """

    def __init__(self, text: str) -> None:
        self.computations: dict[str, dict[str, Instruction]] = {}
        self.entry, found = "", {}
        for line in text.splitlines():
            if head := _HEAD.match(line):
                found = self.computations[head[2]] = {}
                self.entry = head[2] if head[1] else self.entry
            elif instruction := _parse(line):
                found[instruction.name] = instruction
        self.runs: Counter[str] = Counter()
        self.unknown_loops = 0
        self._callers: dict[str, tuple[str, Instruction]] = {}
        self._visit(self.entry, 1)

    def __iter__(self) -> Iterator[tuple[str, Instruction, int]]:
        """Every instruction that runs, with its computation and how often it does."""
        for name, times in self.runs.items():
            for instruction in self.computations[name].values():
                yield name, instruction, times

    def operand(self, computation: str, instruction: Instruction, number: int) -> Instruction:
        return self.computations[computation][instruction.operands[number]]

    def _visit(self, name: str, times: int) -> None:
        self.runs[name] += times
        for instruction in self.computations[name].values():
            if instruction.opcode == "while":
                body, trips = instruction.attribute(r"body=%?([\w.\-]+)"), self._trips(name, instruction)
                self.unknown_loops += trips is None
                self._callers[str(body)] = (name, instruction)
                self._visit(str(body), times * (1 if trips is None else trips))
            elif instruction.opcode in ("fusion", "call", "conditional", "async-start", "custom-call"):
                for names in _CALLED.findall(instruction.attributes):
                    for called in _NAME.findall(names) or names.split(", "):
                        if called in self.computations:
                            self._visit(called, times)

    def _trips(self, computation: str, loop: Instruction) -> int | None:
        """How often a loop runs; None where it cannot be told."""
        known = loop.attribute(r'known_trip_count":\{"n":"(\d+)"')
        if known:
            return int(known)
        body = self.computations[str(loop.attribute(r"body=%?([\w.\-]+)"))]
        condition = self.computations[str(loop.attribute(r"condition=%?([\w.\-]+)"))]
        compare = next((i for i in condition.values() if i.root and i.opcode == "compare"), None)
        if compare is None or "direction=LT" not in compare.attributes:
            return None
        counter, limit = (condition[name] for name in compare.operands)
        place = int(counter.attribute(r"index=(\d+)") or 0) if counter.opcode == "get-tuple-element" else None
        if limit.opcode != "constant" or place is None:
            return None
        # What the body makes of the counter, and what it is at first.
        root = next(i for i in body.values() if i.root)
        name = str(loop.attribute(r"body=%?([\w.\-]+)"))
        self._callers[name] = (computation, loop)
        added = body[root.operands[place]] if root.opcode == "tuple" else None
        first = self._constant(computation, loop.operands[0], place)
        if added is None or added.opcode != "add" or first is None:
            return None
        steps = [self._constant(name, operand) for operand in added.operands]
        step = next((s for s in steps if s), None)
        return math.ceil((int(limit.inside) - first) / step) if step else None

    def _constant(self, computation: str, name: str, place: int | None = None) -> int | None:
        """The integer that an instruction, or that element of the tuple that it gives, always is."""
        instruction = self.computations[computation][name]
        if instruction.opcode == "constant" and place is None:
            return int(instruction.inside) if instruction.inside.lstrip("-").isdecimal() else None
        if instruction.opcode in _SAME:
            return self._constant(computation, instruction.operands[0], place)
        if instruction.opcode == "tuple" and place is not None:
            return self._constant(computation, instruction.operands[place])
        if instruction.opcode == "get-tuple-element" and place is None:
            index = int(str(instruction.attribute(r"index=(\d+)")))
            return self._constant(computation, instruction.operands[0], index)
        if place is None or (instruction.opcode != "parameter" and instruction.opcode != "while"):
            return None
        # An element that a loop passes on as it is was that already before the loop.
        body = computation if instruction.opcode == "parameter" else str(instruction.attribute(r"body=%?([\w.\-]+)"))
        if instruction.opcode == "while":
            caller, loop = computation, instruction
        elif body in self._callers:
            caller, loop = self._callers[body]
        else:
            return None
        root = next(i for i in self.computations[body].values() if i.root)
        passed = self.computations[body][root.operands[place]] if root.opcode == "tuple" else None
        same = passed is not None and passed.opcode == "get-tuple-element" and f"index={place}" in passed.attributes
        return self._constant(caller, loop.operands[0], place) if same else None


def _parse(line: str) -> Instruction | None:
    found = _LINE.match(line)
    if not found:
        return None
    rest = found[3]
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.find(" ")
    opens = rest.find("(", end)
    if end < 0 or opens < 0:
        return None
    closes = _closing(rest, opens)
    inside = rest[opens + 1 : closes]
    operands = tuple(_NAME.findall(inside))
    return Instruction(
        found[2], rest[:end], rest[end:opens].strip(), operands, inside, rest[closes + 1 :], bool(found[1])
    )


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if not depth:
            return i
    return len(text)
