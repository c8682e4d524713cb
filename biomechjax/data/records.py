"""Token records: a cohort after the tokenizer, one ArrayRecord file per split.

RECORDS/
  manifest.json        counts, hashes, the cohort's name and whether it is simulated
  train.arrayrecord    one JSON object per trial, see Record
  validation.arrayrecord, test.arrayrecord
  motion_tokenizer/    the tokenizer that wrote them
"""

import collections
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from rich.progress import track

from biomechjax.atomic import new_folder
from biomechjax.cohort.folder import SPLITS, Cohort, Trial
from biomechjax.data.views import ViewConfig, views
from biomechjax.errors import InputError
from biomechjax.motion.features import to_features
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Readied
from biomechjax.workers import mapping

CHUNK = 64  # trials encoded together
AHEAD = 2  # chunks that are read while one is encoded


@dataclasses.dataclass(frozen=True)
class Record:
    """A tokenized trial.

    Attributes:
        participant, trial: who, and the motion file relative to the cohort.
        labels: what is known of the trial.
        views: codes of each view of it; the first is the recording itself.
        paces: how much faster each view is played.
        summary: [4 C + 1] mean, standard deviation, minimum and maximum of each feature, and seconds; what the
            classical baselines see.
    """

    participant: str
    trial: str
    labels: dict[str, str | float]
    views: list[list[int]]
    paces: list[float]
    summary: list[float]


def write_records(
    tokenizer: MotionTokenizer, cohort: Cohort, out: Path, config: ViewConfig, seed: int = 0, workers: int = 1
) -> dict[str, Any]:
    """Tokenizes a cohort into a new folder and returns its manifest.

    Args:
        workers: processes that read movements and make views of them; the result does not depend on it.
    """
    sided = [t for t in cohort.trials if {"left", "right"} & set(t.labels.values())]
    if config.mirrored and sided:
        raise InputError(f"{sided[0].path}: its labels name a side, so mirrored views of it would be mislabelled")
    with new_folder(out) as work, mapping(_Reader(tokenizer, cohort, config, seed), workers) as mapped:
        files = {}
        for split in SPLITS:
            trials = cohort.trials_of(split)
            path = work / f"{split}.arrayrecord"
            writer = ArrayRecordWriter(str(path), "group_size:1")
            jobs = [(i, trial, split == "train") for i, trial in enumerate(trials)]
            chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
            for read in track(_ahead(mapped, chunks), f"tokenizing {split} trials", len(chunks), transient=True):
                codes = iter(tokenizer.encode_readied([v for _, readied in read for v in readied]))
                for record, readied in read:
                    found = dataclasses.replace(record, views=[next(codes).tolist() for _ in readied])
                    writer.write(json.dumps(dataclasses.asdict(found)).encode())
            writer.close()
            files[split] = {"records": len(trials), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        tokenizer.save(work / "motion_tokenizer")
        manifest = {
            "cohort": cohort.name,
            "simulated": cohort.simulated,
            "cohort_hash": cohort.data_hash(),
            "views": dataclasses.asdict(config),
            "seed": seed,
            "splits": files,
        }
        (work / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return manifest


Job = tuple[int, Trial, bool]
"""Number of the trial in its split, the trial, and whether to make views of it."""
Read = tuple[Record, list[Readied]]
"""A record that lacks the codes of its views, and these before they are encoded."""


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


def _ahead(mapped: Callable[[list[Job]], Iterable[Read]], chunks: Iterable[list[Job]]) -> Iterator[list[Read]]:
    """Each chunk read, while the next ones are being read already."""
    under_way: collections.deque[Iterable[Read]] = collections.deque()
    for chunk in chunks:
        under_way.append(mapped(chunk))
        if len(under_way) > AHEAD:
            yield list(under_way.popleft())
    while under_way:
        yield list(under_way.popleft())


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
        """Raises InputError: no records folder, a file missing or with another hash, a participant in two splits."""
        self.path = Path(path)
        try:
            text = (self.path / "manifest.json").read_bytes()
            self.manifest = json.loads(text)
            files = self.manifest["splits"]
        except (OSError, ValueError, KeyError) as e:
            raise InputError(f"{path}: no token records ({e}); give the --out of tokenize_data.py") from e
        for split, entry in files.items():
            file = self.path / f"{split}.arrayrecord"
            if not file.is_file():
                raise InputError(f"{file}: missing; run tokenize_data.py again")
            if hashlib.sha256(file.read_bytes()).hexdigest() != entry["sha256"]:
                raise InputError(f"{file}: not the file that the manifest describes; run tokenize_data.py again")
        self.hash = hashlib.sha256(text).hexdigest()
        self.tokenizer = MotionTokenizer.load(self.path / "motion_tokenizer")
        seen: dict[str, str] = {}
        for split in files:
            for record in self.read(split):
                if seen.setdefault(record.participant, split) != split:
                    raise InputError(
                        f"{path}: participant {record.participant} is in {seen[record.participant]} and in {split}"
                    )

    def read(self, split: str) -> list[Record]:
        """All records of a split.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.manifest["splits"]:
            raise InputError(f"{self.path}: split {split!r}; expected one of {list(self.manifest['splits'])}")
        if not self.manifest["splits"][split]["records"]:
            return []
        source = grain.sources.ArrayRecordDataSource([str(self.path / f"{split}.arrayrecord")])
        return [Record(**json.loads(source[i])) for i in range(len(source))]
