"""Where what is written comes from: the version of this code, and the files it was made of."""

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path


def git_commit() -> str:
    """The commit of this code, marked -dirty if files differ from it; "unknown" outside a repository."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return commit.stdout.strip() or "unknown"


def sha256_of(files: Iterable[Path]) -> dict[str, str]:
    """File name to the hash of its content."""
    digests = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
