"""Print the first batches of a training of the decoder as a person would read them.

Answers, which alone carry loss, stand in [brackets].
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.data.show import fill, show_row
from biomechjax.errors import InputError
from biomechjax.language.vocabulary import Vocabulary
from biomechjax.training.config import DecoderExperiment
from biomechjax.training.decoder import codes_read, open_sources, text_vocabulary, training_records, training_rows


@dataclasses.dataclass(frozen=True)
class Arguments:
    data: tuple[Path, ...]
    """Token records, from tokenize_data.py."""
    experiment: Annotated[DecoderExperiment, tyro.conf.arg(name="")]
    ckpt: Path | None = None
    """A run of train.py whose vocabulary is to be used, as that of a pretrained Gemma; by default the one that a
    training from scratch would learn."""
    batches: int = 1
    """How many, from the first of a stage."""
    stage: int = 0
    """Which of the `stages` of the config; by default, or when there are none, the first."""
    rows: int = 4
    """Rows to print of each; the fill rate is of all."""


def main() -> None:
    args = parse(Arguments, __doc__)
    if args.batches < 1 or args.rows < 0:
        raise InputError(f"--batches {args.batches} --rows {args.rows}: expected at least 1 batch and 0 rows")
    sources = open_sources(args.data)
    read = codes_read(args.experiment, sources[0])
    tokenizer = sources[0].tokenizer
    try:
        saved = args.ckpt and Vocabulary.load(args.ckpt / "vocabulary")
    except ValueError as e:
        raise InputError(f"{args.ckpt}: {e}") from e
    codes = read * tokenizer.config.codebook_size
    if saved and (saved.levels, saved.codebook_size) != (read, codes):
        raise InputError(
            f"{args.ckpt}: its vocabulary has {saved.codebook_size} codes for {saved.levels} a step, the records as "
            f"read here {codes} for {read}; give the --config and --codes-per-step of its training"
        )
    vocabulary = saved or text_vocabulary(args.experiment, tokenizer, read)
    stages = training_rows(args.experiment, [training_records(s, args.experiment) for s in sources], vocabulary)
    if not 0 <= args.stage < len(stages):
        raise InputError(f"--stage {args.stage}: the training has {len(stages)}, from 0 on")
    stream = stages[args.stage][1]
    rows = itertools.chain.from_iterable(stream.window(*divmod(n, stream.windows)) for n in itertools.count())
    console = Console(highlight=False)
    rates = []
    for number in range(args.batches):
        examples = list(itertools.islice(rows, args.experiment.train.batch_size))
        batch = [stream.render(row) for row in examples]
        for row in range(min(args.rows, len(batch))):
            console.rule(f"batch {number + 1}, row {row + 1}")
            console.print(show_row(batch[row], examples[row], stream.schedule.records, vocabulary))
        rates.append(fill(batch))
    packed, padded = (sum(r) / len(r) for r in zip(*rates, strict=True))
    console.rule()
    console.print(f"{args.batches} batches: {packed:.1%} full; {padded:.1%} if each example were padded to a row")


if __name__ == "__main__":
    run(main)
