"""Ways to spoil a file."""

import json
from collections.abc import Callable
from pathlib import Path


def edit(file: Path, change: Callable[[dict], object]) -> None:
    """Changes what a JSON file holds."""
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
