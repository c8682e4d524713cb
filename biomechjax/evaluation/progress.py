"""How far an evaluation is, on stderr, so that stdout has the tables alone."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def watched(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The items, with a bar on a terminal that goes on with each of them and is gone at the end."""
    console = Console(stderr=True)
    yield from track(items, what, total, console=console, transient=True, disable=not console.is_terminal)


def tell(what: str) -> None:
    """A line about what has been done."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(what, markup=False)
