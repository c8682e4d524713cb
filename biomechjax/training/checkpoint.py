"""The folder of a training run: self-contained, and resumable to the bit.

OUT/
  config.json        everything that defines the run: experiment, data hash, git commit, format of the folder; and who
                     trained it, "train_participants" {cohort: [participant]}
  hashes/            of the files of each step, and of all others that are needed (integrity.py)
  steps/<n>/         orbax: state (parameters, optimizer, step, codebook) and data (iterator)
  metrics.jsonl      one line per logged step
  motion_tokenizer/  the tokenizer whose codes the model reads or, in a tokenizer run, the finished tokenizer
  vocabulary/        decoder runs only
  base/              decoder runs with adapters: what they adapt (pretrained.py)
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp

from biomechjax.errors import InputError, Unwritable
from biomechjax.motion.files import read_object
from biomechjax.parallel.processes import first_process, write_once
from biomechjax.provenance import git_commit
from biomechjax.training import integrity
from biomechjax.training.step import TrainState

LAYOUT = 1  # of the folder of a training
KINDS = "tokenizer", "decoder"
# How a run is computed on what there is, and what it does about a bad step, and not which run it is.
OF_DEVICES = ("experiment.train.accumulate", "experiment.train.bad_steps")


def run_config(
    kind: str, experiment: Any, data: Sequence[Path], data_hash: Sequence[str], cohort: Sequence[str], simulated: bool
) -> dict[str, Any]:
    """What `config.json` holds. `kind` is "tokenizer" or "decoder"; `cohort` names the people, of each of `data`."""
    return {
        "layout": LAYOUT,
        "kind": kind,
        "experiment": dataclasses.asdict(experiment),
        "data": ", ".join(str(d.resolve()) for d in data),
        "data_hash": ", ".join(data_hash),
        "cohort": ", ".join(cohort),
        "simulated": simulated,
        "git_commit": git_commit(),
    }


def read_config(folder: Path | str, kind: str | None = None) -> dict[str, Any]:
    """`config.json` of a checkpoint folder.

    Raises:
        InputError: the folder is no checkpoint, or one of another kind.
    """
    path = Path(folder) / "config.json"
    try:
        config = read_object(path)
        found = str(config["kind"])
    except (InputError, KeyError) as e:
        raise InputError(
            f"{folder}: not a checkpoint folder ({path.name}: {e}); give the --out of a training command"
        ) from e
    if kind and found != kind:
        raise InputError(f"{folder}: a {found} checkpoint; expected a {kind} checkpoint")
    if found in KINDS and config.get("layout") != LAYOUT:
        raise InputError(
            f"{path}: layout {config.get('layout')!r}; this version reads {LAYOUT}. Use the version that wrote it "
            f"(commit {config.get('git_commit')}), or train again"
        )
    return config


def by_cohort(people: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """`train_participants` of (cohort, participant)s, who may stand several times."""
    found: dict[str, list[str]] = {}
    for cohort, person in sorted(set(people)):
        found.setdefault(cohort, []).append(person)
    return found


def check_unmet(run: dict[str, Any], data: Path, cohort: str, held_out: Iterable[str]) -> None:
    """Checks that the model of a run was not trained on anybody of a cohort who is to be evaluated.

    Args:
        data: where these people are held out, for errors.

    Raises:
        InputError: it was, or does not say on whom.
    """
    model = f"the {run['kind']}"
    if "train_participants" not in run:
        raise InputError(f"{data}: {model} does not say whom it was trained on (config.json); train it again")
    if met := sorted(set(held_out) & set(run["train_participants"].get(cohort, ()))):
        raise InputError(
            f"{data}: {met[0]} is held out there, but {model} was trained on {len(met)} such of {cohort}; give it "
            "people that it has not met"
        )


def start_or_resume(folder: Path, config: dict[str, Any]) -> None:
    """Writes `config.json`, or checks that the folder holds the same run; right before training, when nothing that was
    given can be refused any more.

    Raises:
        InputError: as `check_run`.
    """
    check_run(folder, config)
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / "config.json").write_text(json.dumps(config, indent=1))


def check_run(folder: Path, config: dict[str, Any]) -> None:
    """Checks that a folder is new or empty, or holds the same run; writes nothing.

    Raises:
        InputError: the folder holds a run with another experiment or data, naming the first field that differs.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    old = read_config(folder)
    for field in ("kind", "data_hash", "base_hash", "experiment"):
        difference = _first_difference(json.loads(json.dumps(config.get(field))), old.get(field), field)
        if difference:
            raise InputError(f"{folder}: holds another run: {difference}; choose another --out or remove it")


def _first_difference(new: Any, old: Any, path: str) -> str:
    if isinstance(new, dict) and isinstance(old, dict):
        for key in [k for k in new | old if f"{path}.{k}" not in OF_DEVICES]:
            found = _first_difference(new.get(key), old.get(key), f"{path}.{key}")
            if found:
                return found
        return ""
    return "" if new == old else f"{path} is {old!r} there and {new!r} here"


class Checkpoints:
    """Saves and restores (state, data iterator) by step. Of several processes all make the same calls.

    The newest step whose files are as they were written counts; newer ones are put aside, into OUT/damaged, and the
    screen says so.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        """Raises InputError: steps were saved, and none is whole."""
        self.folder = folder
        write_once(lambda: _put_aside_damaged(folder))
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self.manager = ocp.CheckpointManager((folder / "steps").resolve(), options=options)
        self._hashing = concurrent.futures.ThreadPoolExecutor(1)
        self._hashed: concurrent.futures.Future[None] | None = None

    def latest(self) -> int | None:
        return self.manager.latest_step()

    def save(self, step: int, state: TrainState, data: Any) -> None:
        """Starts saving all of the state but what is frozen; `close` waits for it.

        Raises:
            Unwritable: this step or the one before it could not be written.
        """
        moved = dataclasses.replace(state, frozen=None)
        args = ocp.args.Composite(state=ocp.args.StandardSave(moved), data=grain.checkpoint.CheckpointSave(data))
        with self._told():
            self.finish()
            self.manager.save(step, args=args)

    def restore(self, step: int, state: Any, data: Any = None) -> TrainState:
        """The state of `step`, as the `jax.ShapeDtypeStruct`s given describe it, but for what is frozen.

        The data iterator, if there is one, is moved in place.

        Raises:
            InputError: another number of processes saved it, each at a place of its own in the data.
        """
        abstract = dataclasses.replace(state, frozen=None)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        moved = self.manager.restore(step, args=args)["state"]
        if data is not None:
            data.set_state(json.loads(_position(self.folder / "steps" / str(step) / "data")))
        return moved

    def finish(self) -> None:
        """Waits until what was saved is whole, and sees to its hashes.

        Raises:
            Unwritable: it could not be written.
        """
        with self._told():
            self.manager.wait_until_finished()
            if self._hashed:
                self._hashed.result()
        if first_process():
            self._hashed = self._hashing.submit(_hash_steps, self.folder, tuple(self.manager.all_steps()))

    def close(self) -> None:
        """Waits for all, as `finish`."""
        self.finish()
        self._hashing.shutdown()
        with self._told():
            if self._hashed:
                self._hashed.result()
            self.manager.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the disk says, in words that help."""
        try:
            yield
        except (OSError, ValueError) as e:
            if not isinstance(e, OSError) and "os_error_code" not in str(e):
                raise
            newest = self.manager.latest_step()
            raise Unwritable(
                f"{self.folder}: could not be written ({_reason(e)}); the newest whole step is {newest}. Make room and "
                "run the same command again, or copy the folder to where there is room and go on with --out there"
            ) from e


def _reason(error: Exception) -> str:
    """The end of what tensorstore says, which is what the disk said; of an OSError that alone."""
    return str(error.strerror or error) if isinstance(error, OSError) else str(error).split(": ")[-1]


def _hash_steps(folder: Path, steps: Sequence[int]) -> None:
    for step in steps:
        if not integrity.recorded(folder, str(step)):
            with contextlib.suppress(FileNotFoundError):  # of an old step that just now gives way to a new one
                integrity.record(folder, str(step), [folder / "steps" / str(step)])
    integrity.forget(folder, [integrity.FILES, *map(str, steps)])


def _put_aside_damaged(folder: Path) -> None:
    found = sorted((int(p.name) for p in (folder / "steps").glob("*") if p.name.isdecimal()), reverse=True)
    for step in found:
        if not (reason := integrity.damage(folder, str(step))):
            return
        (folder / "damaged").mkdir(exist_ok=True)
        for old in (folder / "steps" / str(step), folder / integrity.FOLDER / f"{step}.json"):
            shutil.move(old, folder / "damaged" / f"{old.stem}-{time.time_ns()}{old.suffix}")
        print(f"{folder}: step {step} is damaged: {reason}; it was moved to {folder / 'damaged'}", file=sys.stderr)
    if found:
        raise InputError(f"{folder}: none of the saved steps is whole; see {folder / 'damaged'}, or begin anew")


def _position(folder: Path) -> str:
    """Where this process stood in the data, as grain wrote it: of its own file, or of any if all are the same."""
    own = folder / f"process_{jax.process_index()}-of-{jax.process_count()}.json"
    if own.exists():
        return own.read_text()
    saved = [path.read_text() for path in sorted(folder.glob("process_*-of-*.json"))]
    if len(set(saved)) != 1:
        raise InputError(
            f"{folder}: saved by {len(saved)} processes, each at a place of its own in the data; go on with as many, "
            f"not {jax.process_count()}"
        )
    return saved[0]


def restore_state(folder: Path, shapes: Any = None) -> dict[str, Any]:
    """The newest state of a run as host arrays, whatever devices and processes saved it.

    Args:
        shapes: tree of what has to have a shape, as its parameters; by default they are taken as they are.

    Raises:
        InputError: nothing has been saved there yet, or a file is not as it was written, or parameters have other
            shapes.
    """
    folder = Path(folder)
    steps = folder.resolve() / "steps"
    handlers = {"state": ocp.StandardCheckpointHandler(), "data": grain.checkpoint.CheckpointHandler()}
    try:
        manager = ocp.CheckpointManager(steps, item_handlers=handlers) if steps.is_dir() else None
        step = manager.latest_step() if manager else None
        if manager is None or step is None:
            raise InputError(f"{folder}: no saved step yet; run the training command again to go on")
        integrity.check(folder, str(step))
        found = manager.item_metadata(step)["state"]
        if shapes is not None:
            check_shapes(folder, found["params"], shapes)
        # Of no devices: those that it was saved on may not be here.
        abstract = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), found)
        state = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))["state"]
        manager.close()
    except InputError:
        raise
    # Orbax raises whatever a damaged file leads it into.
    except Exception as e:
        raise InputError(f"{steps}: what was saved last is not readable: {_first_line(e)}; train again") from e
    if "params" not in state:
        raise InputError(f"{steps}: no parameters in what was saved last; train again")
    return state


def restore_params(folder: Path, shapes: Any = None) -> Any:
    """Parameters of the newest step of a run, as host arrays; see `restore_state`."""
    return restore_state(folder, shapes)["params"]


def check_shapes(folder: Path, found: Any, expected: Any) -> None:
    """Raises InputError where two trees have not the same leaves, or leaves not the same shape."""
    of_found, of_expected = (
        {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (found, expected)
    )
    if wrong := sorted(dict(of_found.items() ^ of_expected.items())):
        name = wrong[0]
        raise InputError(
            f"{folder}: parameter {name} is {of_found.get(name)}; config.json calls for {of_expected.get(name)}"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [repr(error)])[0][:300]
