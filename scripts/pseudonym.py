"""Say under which pseudonym a participant is in the cohorts of a salt."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.cohort.privacy import pseudonym, read_salt
from biomechjax.command import parse, run


@dataclasses.dataclass(frozen=True)
class Arguments:
    ids: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="ID ...")]
    """As the laboratory has them; a line is printed for each, in the same order."""
    salt: Path
    """participants.salt of a cohort."""


def main() -> None:
    args = parse(Arguments, __doc__)
    salt = read_salt(args.salt)
    for person in args.ids:
        print(pseudonym(salt, person))


if __name__ == "__main__":
    run(main)
