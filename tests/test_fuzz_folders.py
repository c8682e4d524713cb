"""Damaged folders of every kind are read or refused, in time and in bounds; `soak/fuzz.py` runs thousands of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutate
import numpy as np
import pytest
import sound_folders
from safetensors.numpy import load, save

from biomechjax.data.shards import ENDING
from biomechjax.errors import InputError

DEAR = {"Hugging Face model", "decoder", "decoder with adapters"}  # to open
FEW = 4
DEEP = b"[" * 200_000


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, mutate.Sound]:
    return {s.kind: s for s in sound_folders.write_folders(tmp_path_factory.mktemp("sound"))}


def test_damaged_folders_are_read_or_refused(sources: dict[str, mutate.Sound]):
    all_of = list(sources.values())
    counts = [FEW if s.kind in DEAR else len(mutate.MUTATIONS) for s in all_of]
    damaged = [d for s, n in zip(all_of, counts, strict=True) for d in mutate.mutants([s], n, seed=1)]
    found = list(mutate.outcomes(damaged, all_of))
    assert len(found) == sum(counts)
    assert not [o for o in found if o.outcome not in ("read", "refused")]
    assert {o.kind for o in found if o.outcome == "refused"} >= sources.keys() - DEAR


def test_damage_is_of_every_kind():
    """Each does something to text, to JSON and to a safetensors file."""
    rng = np.random.default_rng(0)
    table = json.dumps({"a": [1, 2.5, "x"], "b": {"c": None}}).encode()
    tensors = save({"w": np.ones((2, 3), np.float32)})
    for mutation in mutate.MUTATIONS:
        for content in (b"a\tb\n1\t2\n3\t4\n" * 9, table, tensors):
            assert any(mutation(content, rng) != content for _ in range(20)), mutation.__name__
    changed = [mutate.odd_value(tensors, rng) for _ in range(50)]
    assert all(len(c) - 8 - int.from_bytes(c[:8], "little") == 24 for c in changed)  # the header's length is right


def json_of(name: str, change: Callable[[Any], Any]) -> Callable[[mutate.Files], None]:
    """Changes what a JSON file holds."""

    def edit(files: mutate.Files) -> None:
        table = json.loads(files[name])
        change(table)
        files[name] = json.dumps(table).encode()

    return edit


def tensors_of(name: str, change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[mutate.Files], None]:
    """Changes what a safetensors file holds."""

    def edit(files: mutate.Files) -> None:
        tensors = load(files[name])
        change(tensors)
        files[name] = save(tensors)

    return edit


def text_of(name: str, old: bytes, new: bytes) -> Callable[[mutate.Files], None]:
    def edit(files: mutate.Files) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new)

    return edit


def to(name: str, content: bytes) -> Callable[[mutate.Files], None]:
    return lambda files: files.update({name: content})


def elsewhere(files: mutate.Files) -> None:
    """The index names a sound file, but not one of the folder: `decoy` lies beside it."""
    files["model.safetensors.index.json"] = b'{"weight_map": {"x": "../decoy/model.safetensors"}}'


def record(**changes: Any) -> Callable[[mutate.Files], None]:
    """The first test record, with other fields."""

    def edit(files: mutate.Files) -> None:
        first, *rest = files["test-00000-of-00001.jsonl"].split(b"\n")
        files["test-00000-of-00001.jsonl"] = b"\n".join([json.dumps(json.loads(first) | changes).encode(), *rest])

    return edit


COHORT, HF, PEFT = "cohort", "Hugging Face model", "adapters of PEFT"
FIT, TOKENIZER, DECODER = "records, hashes made to fit", "tokenizer", "decoder"
TEST = "test-00000-of-00001"
SIDECAR = "sub-03/motion/sub-03_task-walk_tracksys-markers_run-01_motion.json"
TOKENS, CONFIG = "tokenizer.json", "config.json"


@pytest.mark.parametrize(
    ("kind", "damage", "told"),
    [
        ("motion format", to("damaged.toml", b"a = " + DEEP), "damaged.toml: not readable as TOML"),
        (COHORT, text_of("participants.tsv", b"sub-03", b"../sub-03"), "participants.tsv: participant '../sub-03'"),
        (COHORT, json_of("dataset_description.json", lambda t: t.update(Name=[1])), "Name and SplitsBy; expected text"),
        (COHORT, json_of(SIDECAR, lambda t: t.update(SamplingFrequency=True)), "SamplingFrequency is True"),
        (COHORT, json_of(SIDECAR, lambda t: t.update(SamplingFrequency=10**400)), "SamplingFrequency is 1000"),
        (COHORT, text_of("sub-03/sub-03_scans.tsv", b"run-01", b"run-" + b"1" * 5000), "sub-03_scans.tsv: 'motion"),
        ("BIDS folder", json_of("participants.json", lambda t: t.update(split=3)), "participants.json: split is 3"),
        ("table of trials", text_of("trials.csv", b"w", b"w" * 300), "trials.csv: none of 4 lines could be used"),
        (FIT, record(views=[[10**6]], paces=[1.0]), f"{TEST}{ENDING}: trial-05: views that are not of codes"),
        (FIT, record(views=[[0.5]]), f"{TEST}{ENDING}: not a record"),
        (FIT, record(summary=[1.0]), "4 C . 1 numbers of summary"),
        (FIT, record(labels={"a": [1]}), "labels; expected text or numbers"),
        (FIT, record(paces=[1.0, float("nan")]), "finite numbers"),
        (FIT, to(f"{TEST}.jsonl", b'{"participant": "a", "x": ' + DEEP), "not a record"),
        (FIT, to(f"{TEST}.jsonl", b'{"participant": "\\x"}'), "the participant of a record is no text"),
        ("records", to("manifest.json", DEEP), "no token records"),
        ("records", json_of("manifest.json", lambda t: t["splits"]["test"].update(records="2")), "a number of records"),
        ("records", json_of("manifest.json", lambda t: t["tokenizer"].update({"../a": "b"})), "in a folder of its own"),
        (TOKENIZER, to(TOKENS, DEEP), "no finished motion tokenizer"),
        (TOKENIZER, json_of(TOKENS, lambda t: t["config"].update(depth=10**9)), "depth is 1000000000"),
        (TOKENIZER, json_of(TOKENS, lambda t: t["config"].update(rate_hz=0)), "expected hertz above 0"),
        (TOKENIZER, json_of(TOKENS, lambda t: t["config"].update(ema_decay="x")), "ema_decay is 'x'"),
        (TOKENIZER, json_of(TOKENS, lambda t: t["config"].update(width=17)), "its config calls for"),
        (TOKENIZER, tensors_of("tokenizer.safetensors", lambda t: t.update(std=0 * t["std"])), "std above 0"),
        (TOKENIZER, tensors_of("tokenizer.safetensors", lambda t: t.update(codes=t["codes"][:, :9])), "codes is"),
        (
            TOKENIZER,
            tensors_of("tokenizer.safetensors", lambda t: t.update(codes=t["codes"].astype(int))),
            "is of int64",
        ),
        (HF, elsewhere, "expected a weight_map of tensors to names of files beside it"),
        (HF, to("model.safetensors.index.json", b'{"weight_map": {"x": [1]}}'), "expected a weight_map"),
        (HF, to(CONFIG, DEEP), "config.json: not readable as JSON"),
        (HF, json_of(CONFIG, lambda t: t.update(num_hidden_layers=10**12)), "num_hidden_layers=1000000000000"),
        (HF, json_of(CONFIG, lambda t: t.update(query_pre_attn_scalar=0)), "config.json has a setting that no such"),
        (HF, json_of(CONFIG, lambda t: t.update(model_type=[1])), r"a model of type \[1\]"),
        (
            HF,
            tensors_of("model.safetensors", lambda t: t.update({k: v.astype(int) for k, v in t.items()})),
            "is of I64; expected one of F64",
        ),
        (HF, to(TOKENS, DEEP), "holds no tokenizer that transformers can read"),
        (PEFT, json_of("adapter_config.json", lambda t: t.update(r=2.5)), "a whole number, at least 1"),
        (PEFT, json_of("adapter_config.json", lambda t: t.update(lora_alpha=float("nan"))), "alpha is nan"),
        (PEFT, json_of("adapter_config.json", lambda t: t.update(trainable_token_indices=[[3]])), "expected ids of"),
        (
            PEFT,
            tensors_of("adapter_model.safetensors", lambda t: t.update({k: v.astype(int) for k, v in t.items()})),
            "is of int64; expected floats",
        ),
        (DECODER, to(CONFIG, DEEP), "not a checkpoint folder"),
        (DECODER, json_of(CONFIG, lambda t: t["decoder"].update(width=32)), "config.json calls for"),
        (DECODER, json_of(CONFIG, lambda t: t["decoder"].update(num_layers=10**12)), "config.json: not of a decoder"),
        (DECODER, json_of(CONFIG, lambda t: t["decoder"].update(width=16.5)), "width is 16.5"),
        (DECODER, json_of(CONFIG, lambda t: t["experiment"].update(mixture={"longest": "x"})), "mixture.longest 'x'"),
        (DECODER, json_of("vocabulary/vocabulary.json", lambda t: t.update(motion_start=9)), "vocabulary.json"),
        (DECODER, json_of("vocabulary/vocabulary.json", lambda t: t.update(levels=True)), "vocabulary.json is damaged"),
        (DECODER, json_of("vocabulary/vocabulary.json", lambda t: t.update(size=8)), "has no room for 16 codes"),
        (DECODER, json_of("vocabulary/vocabulary.json", lambda t: t.update(codebook_size=8)), "8 of them codes"),
        (DECODER, to("steps/1/state/manifest.ocdbt", b"x" * 99), "what was saved last is not readable"),
        ("decoder with adapters", to("base/decoder.json", b"{}"), "the frozen base is not readable"),
        (
            "decoder with adapters",
            json_of("base/decoder.json", lambda t: t["decoder"].update(sliding_window=9)),
            "it is of another decoder",
        ),
        (
            "decoder with adapters",
            json_of(CONFIG, lambda t: t["experiment"]["adapt"]["lora"].update(rank=3)),
            "config.json calls for",
        ),
    ],
)
def test_what_was_once_not_refused(
    sources: dict[str, mutate.Sound], tmp_path: Path, kind: str, damage: Callable, told: str
):
    source, files = sources[kind], dict(sources[kind].files)
    damage(files)
    one = source.damaged(files=files)
    mutate.lay_out(one.files, tmp_path / "damaged")
    (tmp_path / "decoy").mkdir()
    for name, content in source.files.items():
        if name.endswith(".safetensors"):
            (tmp_path / "decoy" / Path(name).name).write_bytes(content)
    with pytest.raises(InputError, match=told):
        one.read(tmp_path / "damaged" / one.opened)


def test_a_damaged_shard_with_the_right_hash_is_refused(sources: dict[str, mutate.Sound], tmp_path: Path):
    from biomechjax.data.shards import read_shard

    whole = sources["records"].files[f"{TEST}{ENDING}"]
    for content in (b"", b"x" * 500, whole[:200], b"x" * len(whole)):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(InputError, match="a: not readable as a shard"):
            read_shard(tmp_path / "a")


def test_a_name_that_no_file_can_have_is_no_file():
    from biomechjax.motion.readers import read_recording

    for name in ("x" * 5000 + ".mot", "a\0.mot"):
        with pytest.raises(InputError, match="no such file"):
            read_recording(name)
