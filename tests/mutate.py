"""Damaged files and folders, and what is made of them by whoever opens them; `soak/fuzz.py` tries thousands.

What is opened is read, or refused with an InputError that names the file. Anything else is a defect: another exception,
a warning, a file opened that lies elsewhere, too much time or memory, the end of the process.
"""

import collections
import dataclasses
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.errors import InputError

LIMIT_S = 5.0  # of processor time
PATIENCE = 20.0  # times as long may pass: the processor has others to serve
LIMIT_BYTES = 2**30
LOOK_EVERY_S = 0.05
OUTCOMES = ("read", "refused", "other", "over time", "over memory", "crashed")
NUMBERS = b"nan,inf,-inf,1e400,1e308,-1e38,1e-320,0,-1,99999999999,1_0,0x10,1.2.3,1;5,null,[1],{},".split(b",")
DECOY = "decoy"  # a folder beside the damaged one
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 0.5, 10**12, 10**30, 1e308, -1e308, float("nan"), "", "x", "x" * 100_000, "\0", "\ud800",
    f"../{DECOY}/a", "/etc/passwd", [], {}, [1], ["x"], [[1.5]], {"x": 1},
)  # fmt: skip
FORBIDDEN = {"pickle.find_class", "os.system", "os.exec", "socket.connect", "socket.getaddrinfo", "ftplib.connect"}
Files = dict[str, bytes]
Mutation = Callable[[bytes, np.random.Generator], bytes | None]


@dataclasses.dataclass(frozen=True)
class Sound:
    """What can be opened.

    Attributes:
        kind: a row of the table.
        files: content by name, relative to a folder that is made for them.
        read: opens it and returns what is in it, or raises; a function that can be pickled.
        opened: the name in the folder that `read` is given; "" for the folder.
        seal: makes what is damaged look whole, as hashes that are written anew.
    """

    kind: str
    files: Files
    read: Callable[[Path], object]
    opened: str = ""
    seal: Callable[[Files], Files] | None = None

    @classmethod
    def of_folder(cls, kind: str, folder: Path, read: Callable[[Path], object], **more: Any) -> "Sound":
        """All that lies in a folder."""
        names = sorted(p for p in folder.rglob("*") if p.is_file())
        return cls(kind, {p.relative_to(folder).as_posix(): p.read_bytes() for p in names}, read, **more)

    def damaged(self, damage: str = "none", files: Files | None = None) -> "Damaged":
        files = self.files if files is None else files
        return Damaged(self.kind, damage, self.seal(files) if self.seal else files, self.read, self.opened)


@dataclasses.dataclass(frozen=True)
class Damaged:
    kind: str
    damage: str  # its name
    files: Files
    read: Callable[[Path], object]
    opened: str = ""


@dataclasses.dataclass(frozen=True)
class Outcome:
    kind: str
    damage: str
    outcome: str  # one of OUTCOMES
    detail: str  # message of the exception
    seconds: float  # of processor time


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
        end = len(words) if rng.random() < 0.5 else min(128, len(words))  # half of the time in the header
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


def odd_value(data: bytes, rng: np.random.Generator) -> bytes:
    """One value of JSON, or of the header of a safetensors file, becomes another, moves, or is gone; in other text, one
    word becomes another."""
    is_header = data[8:9] == b"{"
    size = int.from_bytes(data[:8], "little") if is_header else 0
    text, rest = (data[8 : 8 + size], data[8 + size :]) if is_header else (data, b"")
    lines = text.splitlines() or [b""]
    at = int(rng.integers(len(lines)))
    try:
        changed = _odd_json(json.loads(text), rng)
    except ValueError:
        try:  # one object a line
            lines[at] = _odd_json(json.loads(lines[at]), rng)
        except ValueError:
            words = re.split(rb"([\t ,;=:]+)", lines[at])
            words[rng.integers(len(words))] = str(ODD[rng.integers(len(ODD))]).encode(errors="replace")
            lines[at] = b"".join(words)
        changed = b"\n".join(lines)
    return (len(changed).to_bytes(8, "little") if is_header else b"") + changed + rest


def _odd_json(table: Any, rng: np.random.Generator) -> bytes:
    places: list[tuple[Any, Any]] = []
    level = [table] if isinstance(table, dict | list) else []
    while level:
        pairs = [(node, k) for node in level for k in (node if isinstance(node, dict) else range(len(node)))]
        places += pairs[:400]
        level = [node[k] for node, k in pairs if isinstance(node[k], dict | list)]
    if not places:
        return json.dumps(ODD[rng.integers(len(ODD))]).encode()
    node, key = places[rng.integers(len(places))]
    what = rng.integers(6)
    if what == 0:
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node[str(ODD[rng.integers(len(ODD))])] = node.pop(key)
    elif what == 2:
        other, there = places[rng.integers(len(places))]
        node[key] = json.loads(json.dumps(other[there]))
    elif what == 3 and isinstance(node[key], int | float):
        node[key] = node[key] * int(rng.choice([-1, 2, 1000])) + int(rng.choice([0, 1]))
    else:
        node[key] = ODD[rng.integers(len(ODD))]
    return json.dumps(table).encode()


def nested(data: bytes, rng: np.random.Generator) -> bytes:
    """Deeper than a parser that calls itself can follow; sometimes as a value of what was there."""
    deep = b"[" * 200_000 if rng.random() < 0.5 else b'{"a":' * 100_000
    if b":" not in data or rng.random() < 0.3:
        return deep
    first, rest = data.split(b":", 1)
    return first + b":" + deep + rest


def gone(data: bytes, rng: np.random.Generator) -> None:
    """The file is missing."""
    return None


MUTATIONS: tuple[Mutation, ...] = (
    truncate,
    flip_bytes,
    flip_header,
    cut_out,
    bad_numbers,
    odd_value,
    delete_column,
    duplicate_column,
    swap_columns,
    utf16,
    latin1,
    empty,
    repeat_head,
    repeat_line,
    garbage,
    nested,
    gone,
)


def mutants(sources: Sequence[Sound], count: int, seed: int) -> Iterator[Damaged]:
    """`count` damaged ones; sources and kinds of damage take turns, and in one of them a random file is damaged."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        source, mutation = sources[i % len(sources)], MUTATIONS[(i // len(sources)) % len(MUTATIONS)]
        files = dict(source.files)
        at = list(files)[rng.integers(len(files))]
        changed = mutation(files.pop(at) or b"\n", rng)
        yield source.damaged(mutation.__name__, files if changed is None else files | {at: changed})


def outcomes(damaged: Iterable[Damaged], sound: Sequence[Sound] = (), limit_s: float = LIMIT_S) -> Iterator[Outcome]:
    """Opens each in a worker process with limits, which is replaced when it dies or hangs.

    Args:
        sound: one of each kind is opened before the first damaged one, without limits: what a library sets up at its
            first call is not the file's doing.
    """
    by_kind = {one.kind: one.damaged() for one in sound}
    with tempfile.TemporaryDirectory() as made:
        decoy, folder = Path(made, DECOY), Path(made, "damaged")
        decoy.mkdir()
        (decoy / "a").write_text("{}")
        said = Path(made, "stderr")
        (worker, connection), opened = _start(said), set()
        for one in damaged:
            if one.kind in by_kind and one.kind not in opened:
                _open(connection, by_kind[one.kind], folder, is_limited=False)
                outcome, detail = connection.recv()
                assert outcome == "read", f"{one.kind} as it was made: {detail}"
                opened.add(one.kind)
            before = _processor_s(worker.pid)
            _open(connection, one, folder, is_limited=True)
            try:
                outcome, detail = _answer(connection, worker.pid, before + limit_s, limit_s * PATIENCE)
            except EOFError:
                worker.join()
                # Of an exception that nobody expects it ends by itself, and says which on stderr.
                outcome = "other" if worker.exitcode == 1 else "crashed"
                detail = f"exit status {worker.exitcode}\n{said.read_text(errors='replace')[-2000:]}"
            seconds = max(_processor_s(worker.pid) - before, 0.0)
            if worker.exitcode is not None or outcome in ("over time", "over memory"):
                worker.kill()
                worker.join()
                (worker, connection), opened = _start(said), set()
            yield Outcome(one.kind, one.damage, outcome, detail, seconds)
        worker.kill()


def _open(connection: Connection, one: Damaged, folder: Path, is_limited: bool) -> None:
    """Sends it to a worker."""
    lay_out(one.files, folder)
    names = {"damaged", *(Path(name).name for name in one.files)}
    connection.send((folder / one.opened, one.read, names, is_limited))


def lay_out(files: Files, folder: Path) -> None:
    """Writes the files, and nothing else, into the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _answer(connection: Connection, pid: int | None, processor_s: float, most_s: float) -> tuple[str, str]:
    """What the worker says until its process has used so much time, or so much has passed. Looks are counted, and not
    the clock asked, so that a break in which nothing runs is none of its time."""
    for _ in range(round(most_s / LOOK_EVERY_S)):
        if connection.poll(LOOK_EVERY_S):
            return connection.recv()
        if _processor_s(pid) > processor_s:
            break
    return "over time", ""


def _processor_s(pid: int | None) -> float:
    """Seconds of processor time that a process has used; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _start(said: Path) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    # Every thread of OpenBLAS takes address space, and pyarrow's own allocator reserves a gigabyte of it.
    # So does every arena of malloc, one a thread.
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    here, there = multiprocessing.get_context("spawn").Pipe()
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(there, said), daemon=True)
    worker.start()
    there.close()
    here.recv()  # what it imports is not the time of a file
    return worker, here


def _work(connection: Connection, said: Path) -> None:
    """Opens what comes and answers with outcome and detail; memory is limited, and warnings are errors.

    What libraries print on stderr goes into a file.
    """
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), 2)
    forbidden: list[str] = []
    sys.addaudithook(lambda event, arguments: _watch(event, arguments, forbidden))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    connection.send("ready")
    while True:
        path, read, names, is_limited = connection.recv()
        forbidden.clear()  # of what came here itself
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + LIMIT_BYTES if is_limited else hard, hard))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error" if is_limited else "ignore")
                read(path)
            answer = "read", ""
        except InputError as e:
            answer = ("refused" if any(name in str(e) for name in names) else "other"), str(e)
        except MemoryError:
            answer = "over memory", traceback.format_exc()
        except Exception:
            answer = "other", traceback.format_exc()
        connection.send(("other", f"did {forbidden}") if forbidden and is_limited else answer)


def _watch(event: str, arguments: tuple[Any, ...], found: list[str]) -> None:
    """Notes what no reader has to do: run what a file says, ask the network, open a file that lies elsewhere."""
    is_elsewhere = event == "open" and str(arguments[0]).endswith(("/etc/passwd", f"{DECOY}/a"))
    if event in FORBIDDEN or is_elsewhere:
        found.append(f"{event} {arguments[:1]}")


def table(found: Sequence[Outcome]) -> str:
    """Markdown."""
    head = ["kind", "inputs", *OUTCOMES, "slowest, s of processor time"]
    lines = [head, ["---"] * len(head)]
    for kind in dict.fromkeys(o.kind for o in found):
        lines.append([kind, *_counts([o for o in found if o.kind == kind])])
    lines.append(["all", *_counts(found)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counts(found: Sequence[Outcome]) -> list[str]:
    counts = collections.Counter(o.outcome for o in found)
    slowest = max((o.seconds for o in found), default=0.0)
    return [str(len(found)), *(str(counts[name]) for name in OUTCOMES), f"{slowest:.2f}"]
