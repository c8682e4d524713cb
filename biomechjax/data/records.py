"""Token records: a cohort after the tokenizer, as ArrayRecord shards of a fixed number of trials.

RECORDS/
  manifest.json                           counts and hashes of the shards, the cohort's name and whether it is simulated
  train-00000-of-00007.arrayrecord        one JSON object per trial, see Record
  train-00000-of-00007.arrayrecord.sha256
  validation-..., test-...                a split without trials has no shard
  motion_tokenizer/                       the tokenizer that wrote them
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.cohort.folder import SPLITS
from biomechjax.data.shards import ENDING, read_shard, shard_names
from biomechjax.errors import InputError
from biomechjax.motion.files import read_object
from biomechjax.provenance import sha256
from biomechjax.tokenizer.tokenizer import MotionTokenizer

LAYOUT = 2  # of the folder; 1 had one file per split


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
        words: what a decoder reads instead of codes, if it reads text (see `data/words.py`); not written.
    """

    participant: str
    trial: str
    labels: dict[str, str | float]
    views: list[np.ndarray]
    paces: list[float]
    summary: list[float]
    words: str = ""

    def to_json(self) -> bytes:
        fields = dataclasses.asdict(self) | {"views": [v.tolist() for v in self.views]}
        del fields["words"]
        return json.dumps(fields).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """Inverts `to_json`.

        Raises:
            ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError: it is something else.
        """
        fields = json.loads(text)
        views = [np.array(v) for v in fields["views"]]
        if not all(v.ndim == 1 and v.dtype.kind == "i" for v in views):
            raise ValueError("views; expected lists of whole numbers")
        record = cls(**fields | {"views": [v.astype(np.int32) for v in views]})
        if not all(isinstance(t, str) for t in (record.participant, record.trial, record.words, *record.labels)):
            raise ValueError("participant, trial and the names of labels; expected text")
        if not all(isinstance(v, str | float | int) for v in record.labels.values()):
            raise ValueError("labels; expected text or numbers")
        if not np.isfinite(np.array([*record.paces, *record.summary], np.float64)).all():
            raise ValueError("paces and summary; expected finite numbers")
        return record


_PARTICIPANT = re.compile(rb'\{"participant": ("(?:[^"\\]|\\.)*")')  # how to_json begins


class Records:
    """A folder of token records, checked when opened.

    Attributes: path, manifest, tokenizer (loaded), hash (of the manifest, which holds the hashes of the files),
    participants (each with the split they are in).
    """

    def __init__(self, path: Path | str) -> None:
        """Raises InputError: no records folder or one of another layout; a file missing, too many, or with another
        hash; other counts; a participant in two splits."""
        self.path = Path(path)
        self.manifest = self.read_manifest(self.path)
        self.hash = sha256(self.path / "manifest.json")
        self._splits: dict[str, list[Record]] = {}
        self.participants = self._check()
        self.tokenizer = MotionTokenizer.load(self.path / "motion_tokenizer")

    @staticmethod
    def read_manifest(path: Path) -> dict[str, Any]:
        """`manifest.json` of a folder of records, whose shards are not looked at.

        Raises:
            InputError: there is none, or one of another layout.
        """
        file = path / "manifest.json"
        try:
            manifest = read_object(file)
        except InputError as e:
            raise InputError(f"{path}: no token records ({e}); give the --out of tokenize_data.py") from e
        if (layout := manifest.get("layout")) != LAYOUT:
            raise InputError(f"{file}: layout {layout!r}; this version reads {LAYOUT}; run tokenize_data.py again")
        return manifest

    def _check(self) -> dict[str, str]:
        try:
            entries = {
                split: (entry["records"], {name: (s["records"], s["sha256"]) for name, s in entry["shards"].items()})
                for split, entry in self.manifest["splits"].items()
            }
            files = dict(self.manifest["tokenizer"].items())
        except (KeyError, TypeError, AttributeError) as e:
            raise self._bad("manifest.json", f"not as layout {LAYOUT} has it ({e!r})") from e
        if list(entries) != list(SPLITS):
            raise self._bad("manifest.json", f"splits {', '.join(entries)}; expected {', '.join(SPLITS)}")
        counts = [n for count, shards in entries.values() for n in (count, *(number for number, _ in shards.values()))]
        if not all(type(n) is int for n in counts) or not all(name == Path(name).name for name in files):
            raise self._bad("manifest.json", "a number of records is none, or a file lies in a folder of its own")
        for name, digest in files.items():
            self._check_hash(f"motion_tokenizer/{name}", digest)
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
                for person in sorted(self._people(name, people)):
                    if seen.setdefault(person, split) != split:
                        raise InputError(f"{self.path}: participant {person} is in {seen[person]} and in {split}")
        return seen

    def _people(self, name: str, texts: set[bytes]) -> list[str]:
        try:
            return [json.loads(text) for text in texts]
        except ValueError as e:
            raise self._bad(name, f"the participant of a record is no text ({e})") from e

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
            InputError: there is no such split, or what stands for a record is none.
        """
        if split not in self.manifest["splits"]:
            raise InputError(f"{self.path}: split {split!r}; expected one of {list(self.manifest['splits'])}")
        if split not in self._splits:
            shards = ((name, read_shard(self.path / name)) for name in self.manifest["splits"][split]["shards"])
            self._splits[split] = [self._record(name, text) for name, texts in shards for text in texts]
        return self._splits[split]

    def _record(self, name: str, text: bytes) -> Record:
        """A record whose codes the tokenizer has."""
        try:
            record = Record.from_json(text)
        # Of JSON of any shape.
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as e:
            raise self._bad(name, f"not a record: {e!r}") from e
        codes = self.tokenizer.config.codes
        if not all(v.size and 0 <= v.min() and v.max() < codes for v in record.views) or not record.views:
            raise self._bad(name, f"{record.trial}: views that are not of codes from 0 to {codes - 1}")
        if len(record.paces) != len(record.views) or len(record.summary) % 4 != 1 or len(record.summary) < 5:
            raise self._bad(name, f"{record.trial}: expected a pace for each view, and 4 C + 1 numbers of summary")
        return record
