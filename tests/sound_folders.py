"""A small sound folder of every kind that is opened, to be damaged (`mutate.py`), and how each is opened.

Each reader here also uses what it read: a tree of the wrong shape that nobody refused fails here.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tiny
from mutate import Files, Sound

from biomechjax.cohort.bids_source import prepare_bids
from biomechjax.cohort.folder import Cohort
from biomechjax.cohort.table_source import prepare_table
from biomechjax.command import parse
from biomechjax.data.records import LAYOUT, Records
from biomechjax.data.shards import ENDING, write_shard
from biomechjax.errors import InputError
from biomechjax.language.adapters import freeze
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Decoder, Params, abstract_params
from biomechjax.language.hf_adapters import export_adapters, import_adapters
from biomechjax.language.hf_export import export_full
from biomechjax.language.lora import LoraConfig
from biomechjax.motion.format import MotionFormat, load_format
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Statistics
from biomechjax.training.config import AdaptConfig, DecoderExperiment, TrainConfig
from biomechjax.training.pretrained import save_frozen
from biomechjax.training.trained import TrainedDecoder

LORA = LoraConfig(rank=2, alpha=4.0, targets=("query", "down"))
WIDTH = 16
FLAGS = "--data\na\nb\n--out\nc\n--train.steps\n7\n--row-length\n256\n--strategy\nfsdp\n--mesh\n4\n2\n--base\nNone\n"


def write_folders(folder: Path) -> list[Sound]:
    """All kinds; what they hold is random and small."""
    shape = _shape()
    export_full(folder / "hf", shape, _random(abstract_params(shape)[0]), tiny.vocabulary().tokenizer)
    _adapters(folder / "adapters", shape)
    _tokenizer().save(folder / "tokenizer")
    write_checkpoint(folder / "decoder")
    write_checkpoint(folder / "adapted", adapted=True)
    cohort = tiny.write_people(folder / "cohort", tiny.PEOPLE[2:5])
    records = _record_texts(folder / "tokenizer")
    of_adapters = functools.partial(read_adapters, config=shape)
    return [
        Sound("motion format", {"damaged.toml": TOML}, read_format, "damaged.toml"),
        Sound("flags", {"damaged.txt": FLAGS.encode()}, read_flags, "damaged.txt"),
        Sound.of_folder("cohort", cohort.path, read_cohort),
        Sound.of_folder("BIDS folder", cohort.path, read_bids),
        Sound("table of trials", _table(), read_table, "trials.csv"),
        Sound("records", seal_records(records), read_records),
        Sound("records, hashes made to fit", records, read_records, seal=seal_records),
        Sound.of_folder("tokenizer", folder / "tokenizer", read_tokenizer),
        Sound.of_folder("adapters of PEFT", folder / "adapters", of_adapters),
        Sound.of_folder("Hugging Face model", folder / "hf", read_base_folder),
        Sound.of_folder("decoder", folder / "decoder", read_decoder),
        Sound.of_folder("decoder with adapters", folder / "adapted", read_decoder),
    ]


def read_format(path: Path) -> object:
    load_format.cache_clear()
    return load_format(str(path)).to_dict()


def read_flags(path: Path) -> object:
    """What a person says to a command, one word a line; that tyro exits with status 2 is its way to refuse."""
    words = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ["--none"]
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        before, sys.argv = sys.argv, ["train.py", *words]
        try:
            return parse(_Flags, "")
        except SystemExit as e:
            if e.code == 2:
                raise InputError(f"{path}: refused") from e
            if e.code:
                raise ValueError(e.code) from e
        finally:
            sys.argv = before
    return None


@dataclasses.dataclass(frozen=True)
class _Flags:
    """Like those of train.py; a config file is code of the user's own, and so is none of this."""

    data: tuple[Path, ...]
    out: Path
    train: TrainConfig = TrainConfig(steps=3, batch_size=2, learning_rate=0.1)
    row_length: int = 128
    strategy: str = "dp"
    mesh: tuple[int, ...] = ()
    base: Path | None = None


def read_cohort(path: Path) -> object:
    cohort = Cohort.load(path)
    recordings = [cohort.read(t) for t in cohort.trials]
    assert all(np.isfinite(r.values).all() and r.duration_s > 0 for r in recordings)
    assert cohort.held_out is not None and isinstance(cohort.name, str)
    return cohort.data_hash(), recordings


def read_bids(path: Path) -> object:
    prepare_bids(path, path / "made")
    return read_cohort(path / "made")


def read_table(path: Path) -> object:
    prepare_table(path, path.parent / "made")
    return read_cohort(path.parent / "made")


def read_records(path: Path) -> object:
    records = Records(path)
    codes, summary = records.tokenizer.config.codes, 4 * records.tokenizer.format.size + 1
    for split in records.manifest["splits"]:
        for record in records.read(split):
            assert isinstance(record.trial, str) and len(record.views) == len(record.paces) > 0
            assert all(v.ndim == 1 and v.size and 0 <= v.min() and v.max() < codes for v in record.views)
            assert all(isinstance(v, str | float | int) for v in record.labels.values())
            assert np.isfinite(record.paces).all() and np.isfinite(record.summary).all()
            assert len(record.summary) == summary
    return records.hash


def read_tokenizer(path: Path) -> object:
    tokenizer = MotionTokenizer.load(path)
    config, size = tokenizer.config, tokenizer.format.size
    frames = 4 * config.frames_per_step
    features = jax.ShapeDtypeStruct((1, frames, size), np.float32)
    observed, valid = jax.ShapeDtypeStruct((1, 1, size), np.float32), jax.ShapeDtypeStruct((1, frames), np.float32)
    encode = functools.partial(tokenizer.model.apply, method="encode")
    latents = jax.eval_shape(encode, tokenizer.params, features, observed, valid)
    assert latents.shape == (1, 4, config.code_width)
    assert tokenizer.table.shape == (config.levels, config.codebook_size, config.code_width)
    for format in tokenizer.formats:
        statistics = tokenizer.statistics[format.name]
        assert statistics.mean.shape == statistics.std.shape == (format.size,)
        assert np.isfinite(statistics.mean).all() and (statistics.std > 0).all()
    return config


def read_adapters(path: Path, config: DecoderConfig) -> object:
    lora, adapters, rows, ids = import_adapters(path, config)
    assert all(np.issubdtype(leaf.dtype, np.floating) for leaf in jax.tree.leaves(adapters))
    assert 0 < lora.scale < float("inf") and (rows is None or rows.shape == (len(ids), config.width))
    return lora


def read_base_folder(path: Path) -> object:
    from biomechjax.language.base import load_base

    config, params, tokenizer = load_base(path)
    _forward(config, params)
    return tokenizer.decode(tokenizer.encode("Is there an impairment?"))


def read_decoder(path: Path) -> object:
    model = TrainedDecoder.load(path)
    _forward(model.config, model.params)
    assert model.vocabulary.size <= model.config.vocab_size and 0 < model.longest
    return model.vocabulary.decode(model.vocabulary.encode_text("Is there an impairment?"))


def _forward(config: DecoderConfig, params: Params) -> None:
    tokens = jax.ShapeDtypeStruct((1, 5), np.int32)
    hidden, _ = jax.eval_shape(lambda p, t: Decoder(config).apply({"params": p}, t, t, t), params, tokens)
    assert hidden.shape == (1, 5, config.width)


def _shape() -> DecoderConfig:
    return DecoderConfig(tiny.vocabulary().text_size, WIDTH, 2, 2, 1, 8, 24, sliding_window=8, global_every=2)


def _random(shapes: Any) -> Any:
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32), shapes)


def _tokenizer(format: MotionFormat = tiny.FORMAT) -> MotionTokenizer:
    config, size = tiny.TOKENIZER, format.size
    features, observed, valid = (np.zeros(s, np.float32) for s in ((1, 8, size), (1, 1, size), (1, 8)))
    shapes = jax.eval_shape(Autoencoder(config, size).init, jax.random.key(0), features, observed, valid)
    table = _random(jax.ShapeDtypeStruct((config.levels, config.codebook_size, config.code_width), np.float32))
    statistics = Statistics(np.zeros(size, np.float32), np.ones(size, np.float32))
    return MotionTokenizer(config, (format,), {format.name: statistics}, _random(shapes), table)


def _adapters(folder: Path, shape: DecoderConfig) -> None:
    rng = np.random.default_rng(0)
    sizes = {"query": ("attention", WIDTH, 2 * 8), "down": ("mlp", 24, WIDTH)}
    layers: dict[str, Any] = {}
    for target, (block, inputs, outputs) in sizes.items():
        pair = {"a": (2, inputs, LORA.rank), "b": (2, LORA.rank, outputs)}
        layers.setdefault(block, {})[target] = {k: rng.normal(size=s).astype(np.float32) for k, s in pair.items()}
    rows = rng.normal(size=(2, WIDTH)).astype(np.float32)
    export_adapters(folder, shape, LORA, {"layers": layers}, "base", rows, (3, 5))


def write_checkpoint(folder: Path, format: MotionFormat = tiny.FORMAT, adapted: bool = False) -> Path:
    """What train.py leaves, as far as it is opened for asking; returns the folder."""
    vocabulary = tiny.vocabulary()
    config = dataclasses.replace(_shape(), vocab_size=vocabulary.size)
    adapt = AdaptConfig(lora=LORA, row_start="covariance")
    experiment = DecoderExperiment(TrainConfig(1, 2, 0.1), row_length=256, adapt=adapt)
    about = {"decoder": dataclasses.asdict(config), "experiment": dataclasses.asdict(experiment)}
    run = {
        "layout": 1,
        "kind": "decoder",
        "cohort": "nobody",
        "simulated": True,
        "train_participants": {"nobody": []},
        **about,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(run))
    vocabulary.save(folder / "vocabulary")
    _tokenizer(format).save(folder / "motion_tokenizer")
    params = _random(abstract_params(config)[0])
    if adapted:
        frozen = {"base": freeze(params, "float32"), "size": np.float32(1.0)}
        save_frozen(folder / "base", config, dataclasses.replace(adapt, weights="float32"), frozen)
        pairs = {"query": ("attention", WIDTH, 2 * 8), "down": ("mlp", 24, WIDTH)}
        params = {"layers": {}, "rows": np.zeros((vocabulary.codebook_size + 2, WIDTH), np.float32)}
        for target, (block, inputs, outputs) in pairs.items():
            a, b = np.zeros((2, inputs, 2), np.float32), np.zeros((2, 2, outputs), np.float32)
            params["layers"].setdefault(block, {})[target] = {"a": a, "b": b}
    with ocp.CheckpointManager((folder / "steps").resolve()) as manager:
        state = {"step": np.int32(1), "params": params}
        manager.save(1, args=ocp.args.Composite(state=ocp.args.StandardSave(state)))
    return folder


def _record_texts(tokenizer: Path) -> Files:
    """Records as lines of JSON, which `seal_records` packs."""
    files = {f"motion_tokenizer/{p.name}": p.read_bytes() for p in sorted(tokenizer.iterdir())}
    splits = {"train": (1, 2, 3), "validation": (4,), "test": (5, 6)}
    for split, numbers in splits.items():
        lines = [tiny.record(number).to_json() for number in numbers]
        files[f"{split}-00000-of-00001.jsonl"] = b"\n".join(lines)
    return files


def seal_records(files: Files) -> Files:
    """Packs lines into shards, and writes the manifest of whatever is there."""
    packed = {name: content for name, content in files.items() if not name.endswith(".jsonl")}
    splits: dict[str, Any] = {}
    for split in ("train", "validation", "test"):
        name, lines = f"{split}-00000-of-00001", files.get(f"{split}-00000-of-00001.jsonl", b"").split(b"\n")
        with tempfile.TemporaryDirectory() as folder:
            digest = write_shard(Path(folder, name + ENDING), lines)
            packed |= {p.name: p.read_bytes() for p in Path(folder).iterdir()}
        shards = {name + ENDING: {"records": len(lines), "sha256": digest}}
        splits[split] = {"records": len(lines), "shards": shards}
    own = "motion_tokenizer/"
    digests = {n.removeprefix(own): hashlib.sha256(c).hexdigest() for n, c in files.items() if n.startswith(own)}
    about = {"layout": LAYOUT, "cohort": "nobody", "simulated": True, "tokenizer": digests, "splits": splits}
    return packed | {"manifest.json": json.dumps(about).encode()}


TOML = b"""name = "leg"
description = "a leg and a hip"
reference = "anatomical"
channels = [
["x", "m", "x", 1],
["z", "m", "z", -1],
["turn", "rad", "turn", -1, -9.0, 9.0],
["r", "rad", "l", 1],
["l", "rad", "r", 1],
]
[joints]
names = ["LeftKnee", "RightKnee", "Back"]
axes = ["X", "Y"]
unit = "rad"
[root]
forward = "x"
lateral = "z"
heading = "turn"
[canonical]
knee_angle_r = "-r"
"""


def _table() -> Files:
    """Four recordings of three people, and what is known of them."""
    t = np.arange(40) / 30
    files = {}
    for i in range(4):
        rows = [f"{x:.3f},{20 * np.sin(3 * x + i):.3f},{x * (1 + i):.3f}" for x in t]
        files[f"w{i}.csv"] = ("time,knee_angle_r,pelvis_tx\n" + "\n".join(rows) + "\n").encode()
    lines = ["file,participant,task,unit,diagnosis,walking_speed_m_s,split"]
    lines += [f"w{i}.csv,P{i % 3},walk,deg,none,{1 + i},{'test' if i % 3 else 'train'}" for i in range(4)]
    return {"trials.csv": "\n".join(lines).encode(), **files}
