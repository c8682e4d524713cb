"""Where what is written comes from: the version of this code, and the files it was made of."""

import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOMS = Path(__file__).parent
CALCULATING = ("numpy", "scipy", "jax")


def git_commit() -> str:
    """The commit of this code, marked -dirty if files differ from it; "unknown" outside a repository."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return commit.stdout.strip() or "unknown"


def versions() -> dict[str, str]:
    """Python and the libraries that results come from, each with its version."""
    names = ("biomechjax", *CALCULATING, "flax", "scikit-learn", "matplotlib")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def sha256(path: Path) -> str:
    """The hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(files: Iterable[Path]) -> dict[str, str]:
    """File name to the hash of its content."""
    return {path.name: sha256(path) for path in files}


def resume_key(settings: object, rooms: Iterable[str]) -> str:
    """Tells apart what would give other files: settings, the code of these rooms (or files), and the libraries that
    calculate."""
    digest = hashlib.sha256(repr((settings, [importlib.metadata.version(name) for name in CALCULATING])).encode())
    for room in rooms:
        files = [ROOMS / room] if (ROOMS / room).is_file() else (ROOMS / room).rglob("*")
        for file in sorted(p for p in files if p.suffix in (".py", ".toml", ".xml")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
