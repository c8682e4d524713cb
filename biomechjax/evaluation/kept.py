"""What an evaluation has found so far, kept in its folder, so that the same command goes on where it was stopped."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from biomechjax.provenance import resume_key

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Kept:
    """A folder of results that take long, a JSON file each; None keeps nothing.

    A file's name ends with a hash of what the result depends on, the code included, so that nothing is taken for what
    it is not; of one name only the newest stays.
    """

    folder: Path | None = None

    def __call__(self, name: str, settings: object, rooms: Iterable[str], make: Callable[[], T]) -> T:
        """What `make` gives, or gave at an earlier time.

        Args:
            name: of the result.
            settings: what it depends on, besides code; its `repr` tells all of it.
            rooms: the parts of biomechjax that it depends on.
            make: gives the result, which JSON holds as it is: no tuples, and only texts as keys.
        """
        if self.folder is None:
            return make()
        stem = "".join(c if c.isalnum() else "-" for c in name)
        file = self.folder / f"{stem}.{resume_key((name, settings), rooms)}.json"
        if file.is_file():
            return json.loads(file.read_bytes())
        found = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(found))
        unfinished.rename(file)
        for old in self.folder.glob(f"{stem}.*.json"):
            if old != file:
                old.unlink()
        return found
