"""A cohort through the tokenizer: token records, written shard by shard, by one process or many, and gone on with."""

import concurrent.futures
import dataclasses
import json
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
from biomechjax.data.records import LAYOUT, Record, Records
from biomechjax.data.shards import HASH, shard_names, wait_for, whole_hash, write_shard
from biomechjax.data.views import ViewConfig, views
from biomechjax.errors import InputError
from biomechjax.motion.features import to_features
from biomechjax.motion.recording import Recording
from biomechjax.provenance import resume_key, sha256, sha256_of
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Readied
from biomechjax.workers import mapping

SHARD = 64  # trials, in the last one the rest; they are encoded together
AT_ONCE = 3  # shards under way in a process: while one is encoded the next are read


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
        "splits_by": cohort.splits_by,
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
