"""Damaged movement files, and what every reader makes of them.

    python -m tests.motion.mutate --count 2000 --seed 0 [FILES...]

writes a table: per reader how many damaged files were read, were refused with an InputError, ended in another exception
or a warning, ran over LIMIT_S or over LIMIT_BYTES, or took the process down. The last four should be 0.

A small file of every kind (`samples.py`) is damaged, and FILES. What a file does not say follows its name:
`trials.npz,array=walk,format=cmu_expmap,rate_hz=120,unit=rad`.
"""

import argparse
import collections
import contextlib
import dataclasses
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import READERS, read_recording

LIMIT_S = 5.0
LIMIT_BYTES = 2**30
OUTCOMES = ("read", "refused", "other", "over time", "over memory", "crashed")
NUMBERS = b"nan,inf,-inf,1e400,1e308,-1e38,1e-320,0,-1,99999999999,1_0,0x10,1.2.3,1;5,null,[1],{},".split(b",")
Read = Callable[[Path, ReadOptions], object]


@dataclasses.dataclass(frozen=True)
class Sound:
    """A file that can be read, and what must be said about it."""

    path: Path
    options: ReadOptions = ReadOptions()
    beside: tuple[Path, ...] = ()  # files that belong to it, whose names begin as its own does

    @property
    def suffix(self) -> str:
        """The ending by which its reader is found."""
        return next(ending for ending in READERS if self.path.name.lower().endswith(ending))


@dataclasses.dataclass(frozen=True)
class Damaged:
    suffix: str
    kind: str  # name of the damage
    content: bytes
    options: ReadOptions = ReadOptions()
    beside: tuple[tuple[str, bytes], ...] = ()  # ending and content


@dataclasses.dataclass(frozen=True)
class Outcome:
    suffix: str
    kind: str  # name of the damage
    outcome: str  # one of OUTCOMES
    detail: str  # message of the exception
    seconds: float


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def flip_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    return _flip(data, rng, len(data))


def flip_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes in what every format has at its beginning: counts, names, units."""
    return _flip(data, rng, min(len(data), int(rng.choice([24, 512, 8192]))))


def _flip(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    out = bytearray(data)
    for at in rng.integers(within, size=int(rng.choice([1, 4, 32]))):
        out[at] = rng.integers(256)
    return bytes(out)


def cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes less in the middle, so that what follows is displaced."""
    at = int(rng.integers(len(data)))
    return data[:at] + data[at + int(rng.integers(1, 40)) :]


def delete_column(data: bytes, rng: np.random.Generator) -> bytes:
    return _columns(data, rng, lambda cells, i, j: cells[:i] + cells[i + 1 :])


def duplicate_column(data: bytes, rng: np.random.Generator) -> bytes:
    return _columns(data, rng, lambda cells, i, j: [*cells[:i], cells[i], *cells[i:]])


def swap_columns(data: bytes, rng: np.random.Generator) -> bytes:
    def swapped(cells: list[bytes], i: int, j: int) -> list[bytes]:
        cells[i], cells[j] = cells[j], cells[i]
        return cells

    return _columns(data, rng, swapped)


def _columns(data: bytes, rng: np.random.Generator, change: Callable[[list[bytes], int, int], list[bytes]]) -> bytes:
    """Changes column i (and j) in all lines from a random one on that have so many."""
    lines = data.split(b"\n")
    width = max(len(re.split(rb"[\t, ]+", line)) for line in lines[:200])
    i, j = (int(x) for x in rng.integers(width, size=2))
    start = int(rng.integers(len(lines))) if rng.random() < 0.5 else 0
    for at in range(start, len(lines)):
        separator = next((s for s in (b"\t", b",") if s in lines[at]), b" ")
        cells = lines[at].split(separator)
        if len(cells) > max(i, j):
            lines[at] = separator.join(change(cells, i, j))
    return b"\n".join(lines)


def bad_numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """Some numbers become no number, infinite, huge or empty; in a binary file, four aligned bytes."""
    if b"\0" in data:
        words = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
        end = len(words) if rng.random() < 0.5 else 128  # half of the time in the header
        words[rng.integers(end, size=3)] = rng.choice(np.array([np.nan, np.inf, -3e38, 1e-40, 0], np.float32), 3)
        return words.tobytes()
    found = list(re.finditer(rb"[-+.\d][-+.\deE]*", data))
    if not found:
        return data + NUMBERS[rng.integers(len(NUMBERS))]
    if rng.random() < 0.5:
        found = found[:40]
    chosen = sorted({int(i) for i in rng.integers(len(found), size=int(rng.choice([1, 3, 20])))}, reverse=True)
    for i in chosen:
        data = data[: found[i].start()] + NUMBERS[rng.integers(len(NUMBERS))] + data[found[i].end() :]
    return data


def utf16(data: bytes, rng: np.random.Generator) -> bytes:
    return data.decode("latin-1").encode("utf-16")


def latin1(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(min(len(data), 4000)))
    return data[:at] + "Schräg größe µ\xa0é".encode("latin-1") + data[at:]


def empty(data: bytes, rng: np.random.Generator) -> bytes:
    return b""


def repeat_head(data: bytes, rng: np.random.Generator) -> bytes:
    """The first lines, or in a binary file the first block, twice."""
    end = 512 if b"\0" in data else sum(len(line) + 1 for line in data.split(b"\n")[: rng.integers(1, 15)])
    return data[:end] + data


def garbage(data: bytes, rng: np.random.Generator) -> bytes:
    """Random bytes, sometimes after a sound beginning."""
    return data[: int(rng.choice([0, 2, 512]))] + rng.bytes(int(rng.integers(1, 5000)))


def repeat_line(data: bytes, rng: np.random.Generator) -> bytes:
    """One line many times: long names, deep nesting, many rows."""
    lines = data.split(b"\n")
    at = int(rng.integers(min(len(lines), 60)))
    return b"\n".join(lines[:at] + [lines[at]] * int(rng.choice([2, 300, 20_000])) + lines[at:])


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    truncate,
    flip_bytes,
    flip_header,
    cut_out,
    bad_numbers,
    delete_column,
    duplicate_column,
    swap_columns,
    utf16,
    latin1,
    empty,
    repeat_head,
    repeat_line,
    garbage,
)


def mutants(files: Sequence[Sound], count: int, seed: int) -> Iterator[Damaged]:
    """`count` damaged files; sources and kinds of damage take turns."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        source = files[i % len(files)]
        mutation = MUTATIONS[(i // len(files)) % len(MUTATIONS)]
        stem = source.path.name[: -len(source.suffix)]
        contents = {p.name.removeprefix(stem): p.read_bytes() for p in (source.path, *source.beside)}
        at = list(contents)[rng.integers(len(contents))]
        contents[at] = mutation(contents[at], rng)
        first, *beside = contents.items()
        yield Damaged(source.suffix, mutation.__name__, first[1], source.options, tuple(beside))


def outcomes(damaged: Iterable[Damaged], read: Read = read_recording, limit_s: float = LIMIT_S) -> list[Outcome]:
    """Reads each damaged file in a worker process with limits, which is replaced when it dies or hangs."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        worker, connection = _start(read)
        for one in damaged:
            path = Path(folder) / f"damaged{one.suffix}"
            path.write_bytes(one.content)
            for ending, content in one.beside:
                (Path(folder) / f"damaged{ending}").write_bytes(content)
            start = time.monotonic()
            connection.send((path, one.options))
            try:
                outcome, detail = connection.recv() if connection.poll(limit_s) else ("over time", "")
            except EOFError:
                worker.join()
                # Of an exception that nobody expects it ends by itself, and says which on stderr.
                outcome = "other" if worker.exitcode == 1 else "crashed"
                detail = f"exit status {worker.exitcode}"
            if outcome in ("over time", "crashed", "other"):
                worker.kill()
                worker, connection = _start(read)
            found.append(Outcome(one.suffix, one.kind, outcome, detail, time.monotonic() - start))
        worker.kill()
    return found


def _start(read: Read) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    # Every thread of OpenBLAS takes address space, and pyarrow's own allocator reserves a gigabyte of it.
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    here, there = multiprocessing.get_context("spawn").Pipe()
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(there, read), daemon=True)
    worker.start()
    there.close()
    here.recv()  # imports are done
    return worker, here


def _work(connection: Connection, read: Read) -> None:
    """Reads the files whose paths come, and answers with outcome and detail; memory is limited, warnings are errors."""
    with contextlib.suppress(ImportError):
        import pyarrow.parquet  # noqa: F401  its address space is not the file's doing
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + LIMIT_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    warnings.simplefilter("error")
    connection.send("ready")
    while True:
        path, options = connection.recv()
        try:
            read(path, options)
            answer = "read", ""
        except InputError as e:
            answer = "refused", str(e)
        except MemoryError:
            answer = "over memory", traceback.format_exc()
        connection.send(answer)


def table(found: Sequence[Outcome]) -> str:
    lines = ["| reader | mutated | " + " | ".join(OUTCOMES) + " | slowest, s |", "|---" * (len(OUTCOMES) + 3) + "|"]
    for suffix in sorted({o.suffix for o in found}):
        of = [o for o in found if o.suffix == suffix]
        counts = collections.Counter(o.outcome for o in of)
        cells = [suffix, len(of), *(counts[name] for name in OUTCOMES), f"{max(o.seconds for o in of):.2f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _sound(text: str) -> Sound:
    """`FILE,option=value,...`"""
    name, *given = text.split(",")
    words: dict[str, Any] = dict(option.split("=", 1) for option in given)
    numbers = {n: float(words.pop(n)) for n in ("rate_hz", "duration_s", "unit_m") if n in words}
    return Sound(Path(name), ReadOptions(**words, **numbers))


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))  # as pytest does
    from samples import write_samples

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("files", nargs="*", type=_sound)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write_samples(Path(folder)) + arguments.files
        found = outcomes(mutants(files, arguments.count, arguments.seed))
    for bad in (o for o in found if o.outcome not in ("read", "refused")):
        print(f"{bad.suffix} {bad.kind}: {bad.outcome} after {bad.seconds:.2f} s\n{bad.detail}")
    print(table(found))


if __name__ == "__main__":
    main()
