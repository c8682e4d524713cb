"""What the makers publish of a chip: what a step on paper is held against.

Sources: the Cloud TPU pages of system architecture (docs.cloud.google.com/tpu/docs: v4, v5e, v5p, v6e) and the data
sheet of NVIDIA H100 SXM. A TPU's links are published as bandwidth of all ports of a chip; NVLink as both
directions together.
"""

import dataclasses
import math

from biomechjax.errors import InputError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip, or of one that is several devices to JAX's compiler one of these.

    Attributes:
        memory: bytes of high-bandwidth memory.
        flops: bfloat16 products and sums a second, dense.
        memory_rate: bytes a second from and to that memory.
        link_rate: bytes a second that leave through one port, of `ports` ports; of NVLink through all.
        ports: in a torus two for each of its dimensions.
        platform: of XLA.
        devices: of a chip.
    """

    name: str
    memory: float
    flops: float
    memory_rate: float
    link_rate: float
    ports: int
    platform: str = "tpu"
    devices: int = 1

    def rate(self, axes: int) -> float:
        """Bytes a second that a chip can send within a group that extends along so many dimensions of the torus.

        Both directions of each are used, as in a ring; a slice without wrap-around links may reach half of it.
        """
        return self.link_rate * min(2 * axes, self.ports)


CHIPS = {
    c.name: c
    for c in (
        Chip("v4", 16 * GIB, 137.5e12, 614e9, 25e9, 6, devices=2),  # half of 32 GiB, 275 TFLOP/s, 1,228 GB/s
        Chip("v5e", 16 * GIB, 197e12, 819e9, 50e9, 4),
        Chip("v5p", 95 * GIB, 459e12, 2765e9, 100e9, 6),
        Chip("v6e", 32 * GIB, 918e12, 1638e9, 100e9, 4),
        Chip("h100", 80e9, 989e12, 3350e9, 450e9, 1, "cuda"),
    )
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips of a kind and how they stand: v5e:4x4, or h100:8 for GPUs of one host."""

    chip: Chip
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many devices."""
        return math.prod(self.shape) * self.chip.devices

    @classmethod
    def parse(cls, text: str) -> "Topology":
        """Raises InputError: not CHIP:SHAPE of a chip that is known."""
        name, _, shape = text.partition(":")
        sizes = shape.split("x")
        if name not in CHIPS or not all(n.isdecimal() and int(n) for n in sizes):
            raise InputError(f"--topology {text}: expected CHIP:SHAPE, as v5e:4x4; chips are {', '.join(CHIPS)}")
        return cls(CHIPS[name], tuple(int(n) for n in sizes))

    def __str__(self) -> str:
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"
