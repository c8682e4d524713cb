"""Ask a decoder checkpoint about one recorded movement.

Reads .mot and .sto of OpenSim, .c3d, .trc, .bvh, .npz, .csv, .tsv, .parquet, .mat, DeepMimic .txt, gaitkit .json,
UI-PRMD's _angles.txt and a _motion.tsv in its BIDS folder. Where a file does not say what its columns are or how fast
its frames follow, the flags do.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import tyro

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation.explain import NEAREST, OCCLUSION, nearest_trials
from biomechjax.evaluation.inquiry import (
    DISCLAIMER,
    movement_json,
    movement_lines,
    open_movement,
    reply,
    reply_json,
    reply_lines,
)
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.training.trained import TrainedDecoder


@dataclasses.dataclass(frozen=True)
class Arguments:
    questions: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar='"QUESTION" ...')]
    """About the movement; at least one."""
    ckpt: Path
    """Decoder checkpoint, from train.py."""
    motion: Path
    """The recording."""
    explain: bool = False
    """Also how likely each answer is that the question's task allows, and which seconds of the movement the answer
    depends on: each stretch in turn is replaced by a straight line."""
    task: str | None = None
    """With --explain: the task of questions that are no wording of a task's, such as "diagnosis"."""
    data: Path | None = None
    """Token records, from tokenize_data.py: also the training trials among them that are most like this movement."""
    json: bool = False
    """One JSON object instead of text (docs/asking.md)."""
    read: Annotated[ReadOptions, tyro.conf.arg(name="")] = ReadOptions()


def main() -> None:
    args = parse(Arguments, __doc__)
    if not args.questions or not all(q.strip() for q in args.questions):
        raise InputError('no question to ask; end the command with one in quotation marks: "How fast do they walk?"')
    if args.task and not args.explain:
        raise InputError("--task is for --explain, which shows the answers that the task allows; give both or neither")
    recording = read_recording(args.motion, args.read)
    model = TrainedDecoder.load(args.ckpt)
    movement = open_movement(model, recording)
    near = nearest_trials(Records(args.data), model.tokenizer, movement.recording) if args.data else ()
    if not args.json:
        print("\n".join(movement_lines(movement)))
    replies = reply(model, movement, args.questions, args.explain, args.task)
    if args.json:
        said: dict[str, Any] = {"movement": movement_json(movement), "replies": [reply_json(r) for r in replies]}
        if args.data:
            said |= {"nearest_training_trials": [dataclasses.asdict(n) for n in near], "how_nearest": NEAREST}
        said["model"] = {k: model.run[k] for k in ("cohort", "simulated", "git_commit", "data_hash")}
        print(json.dumps(said | {"disclaimer": DISCLAIMER}, indent=1, allow_nan=False))
        return
    for found in replies:
        print("", *reply_lines(found), sep="\n")
    if args.explain:
        print(f"\n{OCCLUSION}")
    if args.data:
        print("\nmost like this movement among the training trials:")
        for n in near:
            labels = "; ".join(f"{k}: {v}" for k, v in n.labels.items())
            print(f"  {n.distance:.2f} apart: {n.participant} {n.trial} ({labels})")
        print(NEAREST)


if __name__ == "__main__":
    run(main)
