"""Token records: a cohort after the tokenizer, as ArrayRecord shards of a fixed number of trials.

RECORDS/
  manifest.json                           counts and hashes of the shards, the cohort's name and whether it is simulated
  train-00000-of-00007.arrayrecord        one JSON object per trial, see Record; SHARD trials, in the last one the rest
  train-00000-of-00007.arrayrecord.sha256
  validation-..., test-...                a split without trials has no shard
  motion_tokenizer/                       the tokenizer that wrote them
"""

import concurrent.futures
import dataclasses
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.progress import track

from biomechjax.atomic import resumed_folder
from biomechjax.cohort.folder import SPLITS, Cohort, Trial
from biomechjax.data.shards import ENDING, HASH, read_shard, shard_names, wait_for, whole_hash, write_shard
from biomechjax.data.views import ViewConfig, views
from biomechjax.errors import InputError
from biomechjax.motion.features import to_features
from biomechjax.motion.recording import Recording
from biomechjax.provenance import resume_key, sha256, sha256_of
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Readied
from biomechjax.workers import mapping

LAYOUT = 2  # of the folder; 1 had one file per split
SHARD = 64  # trials; they are encoded together
AT_ONCE = 3  # shards under way in a process: while one is encoded the next are read


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """A tokenized trial.

    Attributes:
        participant, trial: who, and the motion file relative to the cohort.
        labels: what is known of the trial.
        views: codes, int32 [n], of each view of it; the first is the recording itself.
        paces: how much faster each view is played.
        summary: [4 C + 1] mean, standard deviation, minimum and maximum of each feature, and seconds; what the
            classical baselines see.
    """

    participant: str
    trial: str
    labels: dict[str, str | float]
    views: list[np.ndarray]
    paces: list[float]
    summary: list[float]

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self) | {"views": [v.tolist() for v in self.views]}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        fields = json.loads(text)
        return cls(**fields | {"views": [np.array(v, np.int32) for v in fields["views"]]})


_PARTICIPANT = re.compile(rb'\{"participant": ("(?:[^"\\]|\\.)*")')  # how to_json begins


def write_records(
    tokenizer: MotionTokenizer,
    cohort: Cohort,
    out: Path,
    config: ViewConfig,
    seed: int = 0,
    workers: int = 1,
    process: int = 0,
    processes: int = 1,
) -> dict[str, Any]:
    """Tokenizes a cohort into a new folder, which appears whole or not at all, and returns its manifest.

    When it was stopped, a call with the same tokenizer, cohort, views and seed goes on with the shards that are whole,
    in a hidden folder beside `out`. The result depends neither on that nor on workers and processes, to the byte.

    Args:
        workers: processes of this machine that read movements and make views of them.
        process, processes: which of how many such calls this is, each in a process or on a machine of its own, with
            `cohort` and `out` on a disk that all share. Each writes its share of the shards, in turn, and returns when
            all are there; process 0 writes the manifest.

    Raises:
        InputError: `out` exists already, a label names a side and views are mirrored, or a recording is refused.
        Stopped: another process wrote nothing for half an hour.
    """
    sided = [t for t in cohort.trials if {"left", "right"} & set(t.labels.values())]
    if config.mirrored and sided:
        raise InputError(f"{sided[0].path}: its labels name a side, so mirrored views of it would be mislabelled")
    about = {
        "layout": LAYOUT,
        "cohort": cohort.name,
        "simulated": cohort.simulated,
        "cohort_hash": cohort.data_hash(),
        "tokenizer": _file_hashes(tokenizer),
        "views": dataclasses.asdict(config),
        "seed": seed,
    }
    # The hash of the cohort is over its movements alone, and not over how fast and in which channels they are.
    read_as = cohort.format, [sha256(file) for t in cohort.trials for file in (t.channels, t.sidecar)]
    device = jax.local_devices()[0].device_kind
    key = resume_key((about, SHARD, read_as, device), ("motion", "cohort", "tokenizer", "data"))
    shards = plan(cohort)
    write = _Writing(_Reader(tokenizer, cohort, config, seed), shards[process::processes], workers)
    if process:
        return _help(write, shards, out, key, about)
    with resumed_folder(out, key) as work:
        hashes = write(work)

        def missing() -> list[str]:
            others = [s.name for s in shards if s.name not in hashes]
            hashes.update({name: found for name in others if (found := whole_hash(work / name))})
            return [name for name in others if name not in hashes]

        wait_for(missing)
        for left in (*work.glob(".*"), work / "motion_tokenizer"):  # by calls that were killed
            shutil.rmtree(left, ignore_errors=True)
        tokenizer.save(work / "motion_tokenizer")
        splits: dict[str, dict[str, Any]] = {s: {"records": len(cohort.trials_of(s)), "shards": {}} for s in SPLITS}
        for shard in shards:
            splits[shard.split]["shards"][shard.name] = {"records": len(shard.jobs), "sha256": hashes[shard.name]}
        manifest = about | {"splits": splits}
        (work / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return manifest


Job = tuple[int, Trial, bool]
"""Number of the trial in its split, the trial, and whether to make views of it."""
Read = tuple[Record, list[Readied]]
"""A record that lacks the codes of its views, and these before they are encoded."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file to be written."""

    name: str
    split: str
    jobs: list[Job]


def plan(cohort: Cohort) -> list[Shard]:
    """All shards of a cohort, by split."""
    shards = []
    for split in SPLITS:
        jobs = [(i, trial, split == "train") for i, trial in enumerate(cohort.trials_of(split))]
        parts = [jobs[start : start + SHARD] for start in range(0, len(jobs), SHARD)]
        shards += [Shard(name, split, p) for name, p in zip(shard_names(split, len(parts)), parts, strict=True)]
    return shards


@dataclasses.dataclass(frozen=True)
class _Writing:
    """What one process writes."""

    reader: "_Reader"
    shards: Sequence[Shard]
    workers: int
    encoding: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def __call__(self, work: Path) -> dict[str, str]:
        """Writes those shards that are not whole in the folder; returns the hashes of all."""
        hashes = {s.name: found for s in self.shards if (found := whole_hash(work / s.name))}
        todo = [s for s in self.shards if s.name not in hashes]
        with mapping(self.reader, self.workers) as mapped, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
            written = threads.map(lambda shard: self._write(mapped, work, shard), todo)
            progress = track(written, "tokenizing", len(self.shards), len(hashes), transient=True)
            try:
                return hashes | dict(progress)
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise

    def _write(self, mapped: Callable[[list[Job]], Iterable[Read]], work: Path, shard: Shard) -> tuple[str, str]:
        read = list(mapped(shard.jobs))
        with self.encoding:  # of one shard it occupies the device; of several each would compile the same programs
            codes = iter(self.reader.tokenizer.encode_readied([v for _, readied in read for v in readied]))
        records = [dataclasses.replace(record, views=[next(codes) for _ in readied]) for record, readied in read]
        return shard.name, write_shard(work / shard.name, [r.to_json() for r in records])


def _help(write: _Writing, shards: Sequence[Shard], out: Path, key: str, about: dict[str, Any]) -> dict[str, Any]:
    """Writes the share of a process other than the first, and returns the manifest when that one wrote it."""
    try:
        if not out.exists():
            with resumed_folder(out, key, finish=False) as work:
                write(work)
            wait_for(lambda: [] if out.exists() else _not_there(work, shards))
    except FileNotFoundError:
        if not out.exists():
            raise
        # Else this share was whole from an earlier time, and process 0 finished before that was seen here.
    manifest = Records.read_manifest(out)
    if {name: manifest.get(name) for name in about} != about:
        raise InputError(f"{out}: exists already; remove it or choose another --out")
    return manifest


def _not_there(work: Path, shards: Sequence[Shard]) -> list[str]:
    """What is missing of the folder, the manifest last."""
    there = {file.name for file in work.glob("*")}
    return [*(s.name for s in shards if s.name + HASH not in there), "manifest.json"]


def _file_hashes(tokenizer: MotionTokenizer) -> dict[str, str]:
    """Hashes of the files that it is saved as."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder, "motion_tokenizer"))
        return sha256_of(sorted(Path(folder, "motion_tokenizer").iterdir()))


@dataclasses.dataclass(frozen=True)
class _Reader:
    """What a worker needs to read a trial."""

    tokenizer: MotionTokenizer
    cohort: Cohort
    config: ViewConfig
    seed: int

    def __call__(self, job: Job) -> Read:
        number, trial, varied = job
        recording = self.cohort.read(trial)
        rng = np.random.default_rng((self.seed, number))
        made = views(recording, self.config, rng) if varied else [recording]
        record = Record(
            trial.participant,
            str(trial.path.relative_to(self.cohort.path)),
            trial.labels,
            [],
            [v.rate_hz / recording.rate_hz for v in made],
            summary(self.tokenizer, recording),
        )
        return record, [self.tokenizer.ready(v) for v in made]


def summary(tokenizer: MotionTokenizer, recording: Recording) -> list[float]:
    """Simple features [4 C + 1] of a whole trial, as `Record.summary`."""
    at_rate = recording.resampled(tokenizer.config.rate_hz)
    x, _ = to_features(at_rate.format, at_rate.rate_hz, at_rate.values)
    x = x * at_rate.observed
    parts = [x.mean(0), x.std(0), x.min(0), x.max(0), [at_rate.duration_s]]
    return [round(float(v), 5) for v in np.concatenate(parts)]


class Records:
    """A folder of token records, checked when opened.

    Attributes: path, manifest, tokenizer (loaded), hash (of the manifest, which holds the hashes of the files).
    """

    def __init__(self, path: Path | str) -> None:
        """Raises InputError: no records folder or one of another layout; a file missing, too many, or with another
        hash; other counts; a participant in two splits."""
        self.path = Path(path)
        self.manifest = self.read_manifest(self.path)
        self.hash = sha256(self.path / "manifest.json")
        self._splits: dict[str, list[Record]] = {}
        self._check()
        self.tokenizer = MotionTokenizer.load(self.path / "motion_tokenizer")

    @staticmethod
    def read_manifest(path: Path) -> dict[str, Any]:
        """`manifest.json` of a folder of records, whose shards are not looked at.

        Raises:
            InputError: there is none, or one of another layout.
        """
        file = path / "manifest.json"
        try:
            manifest = json.loads(file.read_bytes())
            layout = manifest.get("layout")
        except (OSError, ValueError, AttributeError) as e:
            raise InputError(f"{path}: no token records ({e}); give the --out of tokenize_data.py") from e
        if layout != LAYOUT:
            raise InputError(f"{file}: layout {layout!r}; this version reads {LAYOUT}; run tokenize_data.py again")
        return manifest

    def _check(self) -> None:
        try:
            entries = {
                split: (entry["records"], {name: (s["records"], s["sha256"]) for name, s in entry["shards"].items()})
                for split, entry in self.manifest["splits"].items()
            }
            files = {f"motion_tokenizer/{name}": digest for name, digest in self.manifest["tokenizer"].items()}
        except (KeyError, TypeError, AttributeError) as e:
            raise self._bad("manifest.json", f"not as layout {LAYOUT} has it ({e!r})") from e
        if list(entries) != list(SPLITS):
            raise self._bad("manifest.json", f"splits {', '.join(entries)}; expected {', '.join(SPLITS)}")
        for name, digest in files.items():
            self._check_hash(name, digest)
        known = {name for _, shards in entries.values() for name in shards}
        if strange := sorted(f.name for f in self.path.glob(f"*{ENDING}") if f.name not in known):
            raise self._bad(strange[0], "not one of the shards that the manifest names")
        seen: dict[str, str] = {}
        for split, (count, shards) in entries.items():
            if list(shards) != shard_names(split, len(shards)):
                raise self._bad("manifest.json", f"split {split}: not all of its shards: {', '.join(shards)}")
            if (total := sum(n for n, _ in shards.values())) != count:
                raise self._bad("manifest.json", f"split {split}: {count} records, but {total} in its shards")
            for name, (number, digest) in shards.items():
                self._check_hash(name, digest)
                texts = read_shard(self.path / name)
                if len(texts) != number:
                    raise self._bad(name, f"{len(texts)} records; the manifest says {number}")
                # Only who it is about is parsed of a record here: its codes take longer than all else of opening.
                people = {match[1] if (match := _PARTICIPANT.match(text)) else b"" for text in texts}
                if b"" in people:
                    raise self._bad(name, "its records do not begin with the participant")
                for person in sorted(map(json.loads, people)):
                    if seen.setdefault(person, split) != split:
                        raise InputError(f"{self.path}: participant {person} is in {seen[person]} and in {split}")

    def _check_hash(self, name: str, digest: str) -> None:
        if not (self.path / name).is_file():
            raise self._bad(name, "missing")
        if sha256(self.path / name) != digest:
            raise self._bad(name, "not the file that the manifest describes")

    def _bad(self, name: str, what: str) -> InputError:
        return InputError(f"{self.path / name}: {what}; run tokenize_data.py again")

    def read(self, split: str) -> list[Record]:
        """All records of a split; they are read once and shared by all who ask.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.manifest["splits"]:
            raise InputError(f"{self.path}: split {split!r}; expected one of {list(self.manifest['splits'])}")
        if split not in self._splits:
            shards = (read_shard(self.path / name) for name in self.manifest["splits"][split]["shards"])
            self._splits[split] = [Record.from_json(text) for texts in shards for text in texts]
        return self._splits[split]
