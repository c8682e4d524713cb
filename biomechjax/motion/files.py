"""Movement files as text or JSON, only if they are of a size that a movement has."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from biomechjax.errors import InputError

MAX_BYTES = 200 * 10**6  # hours of whole-body movement; such a file is something else
MAX_JSON_BYTES = 50 * 10**6  # a Python object for each number takes ten times that


def repeated(names: Iterable[str]) -> list[str]:
    """The names that stand more than once, in the order in which they come."""
    return [name for name, count in Counter(names).items() if count > 1]


def check_size(path: Path, most: int = MAX_BYTES) -> int:
    """Bytes of the file.

    Raises:
        InputError: it is unreadable, empty or larger than `most`.
    """
    try:
        size = path.stat().st_size
    except OSError as e:
        raise InputError(f"{path}: not readable: {e.strerror}") from e
    if size == 0:
        raise InputError(f"{path}: the file is empty")
    if size > most:
        raise InputError(f"{path}: {size / 1e6:.0f} MB; expected at most {most / 1e6:.0f} MB; cut the trial")
    return size


def read_text(path: Path) -> str:
    """The text of a movement file.

    Raises:
        InputError: as `check_size`.
    """
    check_size(path)
    try:
        # Names and free text may be in any encoding; what is read of the file is ASCII.
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as e:
        raise InputError(f"{path}: not readable: {e.strerror}") from e


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: as `check_size`, or not JSON.
    """
    check_size(path, MAX_JSON_BYTES)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise InputError(f"{path}: not readable as JSON: {e}") from e


def read_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds that is an object.

    Raises:
        InputError: as `read_json`, or something else than an object.
    """
    table = read_json(path)
    if not isinstance(table, dict):
        raise InputError(f"{path}: expected a JSON object, found a {type(table).__name__}")
    return table
