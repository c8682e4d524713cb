"""What a compiled program costs a device: products, and bytes sent to other devices, by kind of collective."""

import dataclasses
import math
import re
from collections.abc import Iterator

from biomechjax.parallel.program import Instruction, Program, array_shapes, shape_bytes

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")


@dataclasses.dataclass(frozen=True)
class Collective:
    """An exchange between devices.

    Attributes:
        kind: one of KINDS.
        times: how often it runs in a step.
        sent: bytes that each device sends each time, by the best known algorithm on a ring: of an array that is b bytes
            on n devices, (n - 1) b for all-gather, (n - 1) / n b for reduce-scatter and all-to-all, twice that for
            all-reduce (Thakur et al. 2005, Int J High Perform Comput Appl 19:49).
        group: ids of devices that exchange with each other, one group of them.
    """

    kind: str
    times: int
    sent: float
    group: tuple[int, ...]


def collectives(program: Program, devices: int) -> list[Collective]:
    """Every collective of a program compiled for so many devices."""
    seen: set[tuple[str, str | None]] = set()
    out = []
    for computation, instruction, times in program:
        kind = instruction.opcode.removesuffix("-start")
        if kind not in KINDS:
            continue
        # On a TPU the pieces of one exchange stand in several fusions, all under its channel.
        channel = instruction.attribute(r"channel_id=(\d+)")
        if channel and "fus" in computation and (kind, channel) in seen:
            continue
        seen.add((kind, channel))
        group = _group(instruction, devices)
        size = sum(shape_bytes(program.operand(computation, instruction, i).shape) for i in range(_arrays(instruction)))
        if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
            kind = "reduce-scatter"  # how a TPU writes one
        out.append(Collective(kind, times, _sent(kind, size, len(group)), group))
    return [c for c in out if len(c.group) > 1]


def _arrays(instruction: Instruction) -> int:
    """How many operands are sent."""
    return 1 if instruction.opcode.startswith("collective-permute") else len(instruction.operands)


def _sent(kind: str, size: float, n: int) -> float:
    if kind == "collective-permute":
        return size
    return size * (n - 1) * {"all-gather": 1, "all-reduce": 2 / n}.get(kind, 1 / n)


def _group(instruction: Instruction, devices: int) -> tuple[int, ...]:
    """One of the groups of devices that exchange; of a permutation a device and its target.

    Raises:
        ValueError: they are written in a way that is not known here.
    """
    text = instruction.attributes
    if pair := re.search(r"source_target_pairs=\{\{(\d+),(\d+)\}", text):
        return int(pair[1]), int(pair[2])
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", text):
        return tuple(int(i) for i in listed[1].split(","))
    if iota := re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text):
        return tuple(_iota(iota[2], iota[3])[: int(iota[1].split(",")[-1])])
    if named := re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))?\s*\{([^}]*)\}", text
    ):
        axes = {name: int(n) for name, n in re.findall(r"'([^']+)'=(\d+)", named[1])}
        within = re.findall(r"'([^']+)'", named[4])
        places = {name: math.prod([n for _, n in list(axes.items())[i + 1 :]]) for i, name in enumerate(axes)}
        ids = [0]
        for name in within:
            ids = [i + j * places[name] for i in ids for j in range(axes[name])]
        placed = _iota(named[2], named[3]) if named[2] else range(devices)
        return tuple(placed[i] for i in ids)
    if "replica_groups={}" in text or "replica_groups" not in text:
        return tuple(range(devices))
    raise ValueError(f"{instruction.name}: replica groups {text[:200]}")


def _iota(shape: str, transposed: str | None) -> list[int]:
    """0 ... n - 1 as an array of this shape, with its axes in another order, flat."""
    sizes = [int(n) for n in shape.split(",")]
    order = [int(n) for n in transposed.split(",")] if transposed else range(len(sizes))
    strides = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
    ids = [0]
    for axis in order:
        ids = [i + j * strides[axis] for i in ids for j in range(sizes[axis])]
    return ids


def flops(program: Program) -> float:
    """Sums and products of the matrix products that a device does in a step, two each."""
    return sum(times * _flops(program, name, i) for name, i, times in program if i.opcode in ("dot", "convolution"))


def _flops(program: Program, computation: str, instruction: Instruction) -> float:
    left, right = (array_shapes(program.operand(computation, instruction, i).shape)[0][1] for i in (0, 1))
    ((_, out),) = array_shapes(instruction.shape)
    if instruction.opcode == "dot":
        contracted = instruction.attribute(r"lhs_contracting_dims=\{([\d,]*)\}") or ""
        return 2 * math.prod(out) * math.prod(left[int(i)] for i in contracted.split(",") if i)
    # As a TPU writes products: of each axis of the window count which outputs meet an input that is not padding.
    labels = re.split("[_>-]+", str(instruction.attribute(r"dim_labels=([\w>\-]+)")))
    of_left, of_right, of_out = (
        dict(zip(names, sizes, strict=True)) for names, sizes in zip(labels, (left, right, out), strict=True)
    )
    window = _window(instruction, len([k for k in of_left if k.isdigit()]))
    pairs = math.prod(
        _pairs(of_left[str(i)], of_right[str(i)], of_out[str(i)], **axis) for i, axis in enumerate(window)
    )
    return 2 * of_out["b"] * of_out["f"] * of_right["i"] * pairs


def _window(instruction: Instruction, axes: int) -> Iterator[dict[str, int]]:
    text = instruction.attribute(r"window=\{([^}]*)\}") or ""
    fields = dict(re.findall(r"(\w+)=([\w\-]+)", text))
    for i in range(axes):

        def of_axis(name: str, default: str, i: int = i) -> str:
            return fields[name].split("x")[i] if name in fields else default

        yield {
            "stride": int(of_axis("stride", "1")),
            "low": int(of_axis("pad", "0_0").split("_")[0]),
            "lhs_dilate": int(of_axis("lhs_dilate", "1")),
            "rhs_dilate": int(of_axis("rhs_dilate", "1")),
        }


def _pairs(size: int, kernel: int, out: int, stride: int, low: int, lhs_dilate: int, rhs_dilate: int) -> int:
    places = ((o * stride + k * rhs_dilate - low) for o in range(out) for k in range(kernel))
    return sum(0 <= p < (size - 1) * lhs_dilate + 1 and p % lhs_dilate == 0 for p in places)
