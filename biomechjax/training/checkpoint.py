"""The folder of a training run: self-contained, and resumable to the bit.

OUT/
  config.json        everything that defines the run: experiment, data hash, git commit, format of the folder; and who
                     trained it, "train_participants" {cohort: [participant]}
  steps/<n>/         orbax: state (parameters, optimizer, step, codebook) and data (iterator)
  metrics.jsonl      one line per logged step
  motion_tokenizer/  the tokenizer whose codes the model reads or, in a tokenizer run, the finished tokenizer
  vocabulary/        decoder runs only
  base/              decoder runs with adapters: what they adapt (pretrained.py)
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp

from biomechjax.errors import InputError
from biomechjax.motion.files import read_object
from biomechjax.provenance import git_commit
from biomechjax.training.step import TrainState

OF_DEVICES = ("experiment.train.accumulate",)  # how a run is computed on what there is, and not which run it is


def run_config(
    kind: str, experiment: Any, data: Sequence[Path], data_hash: Sequence[str], cohort: Sequence[str], simulated: bool
) -> dict[str, Any]:
    """What `config.json` holds. `kind` is "tokenizer" or "decoder"; `cohort` names the people, of each of `data`."""
    return {
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
    """Saves and restores (state, data iterator) by step."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self.manager = ocp.CheckpointManager((folder / "steps").resolve(), options=options)

    def latest(self) -> int | None:
        return self.manager.latest_step()

    def save(self, step: int, state: TrainState, data: Any) -> None:
        """Starts saving all of the state but what is frozen; `close` waits for it."""
        moved = dataclasses.replace(state, frozen=None)
        args = ocp.args.Composite(state=ocp.args.StandardSave(moved), data=grain.checkpoint.CheckpointSave(data))
        self.manager.save(step, args=args)

    def restore(self, step: int, state: Any, data: Any) -> TrainState:
        """The state of `step`, as the `jax.ShapeDtypeStruct`s given describe it, but for what is frozen.

        The data iterator is moved in place.

        Raises:
            InputError: another number of processes saved it, each at a place of its own in the data.
        """
        abstract = dataclasses.replace(state, frozen=None)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        moved = self.manager.restore(step, args=args)["state"]
        data.set_state(json.loads(_position(self.folder / "steps" / str(step) / "data")))
        return moved

    def close(self) -> None:
        self.manager.wait_until_finished()
        self.manager.close()


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
        InputError: nothing has been saved there yet, or it is damaged, or its parameters have other shapes.
    """
    steps = Path(folder).resolve() / "steps"
    handlers = {"state": ocp.StandardCheckpointHandler(), "data": grain.checkpoint.CheckpointHandler()}
    try:
        manager = ocp.CheckpointManager(steps, item_handlers=handlers) if steps.is_dir() else None
        step = manager.latest_step() if manager else None
        if manager is None or step is None:
            raise InputError(f"{folder}: no saved step yet; run the training command again to go on")
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
