"""Ask a decoder checkpoint about one recorded movement.

Reads .mot and .sto of OpenSim, .c3d, .trc, .bvh, .npz, .csv, .tsv, .parquet, .mat, DeepMimic .txt, gaitkit .json,
UI-PRMD's _angles.txt and a _motion.tsv in its BIDS folder. Where a file does not say what its columns are or how fast
its frames follow, the flags do.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.data.tokenizing import summary
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import ask
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.travel import straight_line_speed
from biomechjax.training.trained import TrainedDecoder


@dataclasses.dataclass(frozen=True)
class Arguments:
    questions: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar='"QUESTION" ...')]
    """About the movement; at least one."""
    ckpt: Path
    """Decoder checkpoint, from train.py."""
    motion: Path
    """The recording."""
    read: Annotated[ReadOptions, tyro.conf.arg(name="")] = ReadOptions()


def main() -> None:
    args = parse(Arguments, __doc__)
    if not args.questions or not all(q.strip() for q in args.questions):
        raise InputError('no question to ask; end the command with one in quotation marks: "How fast do they walk?"')
    recording = read_recording(args.motion, args.read)
    model = TrainedDecoder.load(args.ckpt)
    recording = model.tokenizer.readable(recording)
    codes = model.tokenizer.encode([recording])[0]
    for note in recording.notes:
        print(f"note: {note}")
    channels = f"{recording.observed.sum()} of {recording.format.size} channels"
    length = f"{recording.duration_s:.2f} s at {recording.rate_hz:.4g} Hz"
    print(f"{recording.source}: format {recording.format.name}, {length}, {channels}, {len(codes)} tokens")
    speed = straight_line_speed(recording)
    if speed is not None:
        print(f"measured from the file, not by the model: {speed:.2f} m/s in a straight line from first to last frame")
    step_s = model.tokenizer.config.frames_per_step / model.tokenizer.config.rate_hz
    if not model.reads_text and recording.duration_s > (read_s := model.longest * step_s):
        print(f"note: the model reads only the first {read_s:.1f} s")
    movement = model.movement(codes, summary(model.tokenizer, recording))
    if isinstance(movement, str):
        print(f"the model reads no tokens, but: {movement}")
    answers = ask(model, [movement] * len(args.questions), args.questions)
    for question, answer in zip(args.questions, answers, strict=True):
        print(f"\nQ: {question}\nA: {answer}")


if __name__ == "__main__":
    run(main)
