"""What an epoch is made of: shares, strata, sources, and every part of it by key."""

import collections

import numpy as np
import pytest
import tiny

from biomechjax.data.mixture import Kinds, MixtureConfig
from biomechjax.data.records import Record
from biomechjax.data.schedule import Schedule, Use, generator
from biomechjax.errors import InputError


def schedule(*sources: list[Record], seed: int = 0, **mixture) -> Schedule:
    return Schedule(sources, MixtureConfig(**mixture), tiny.TOKENIZER.codebook_size, 1, seed)


def numbers(found: Schedule, epoch: int) -> list[int]:
    return [e.records[0] for e in found.draw(epoch, 0, found.size)]


WALKS = [tiny.record(i, codes=12 + i) for i in range(20)]
RARE = [tiny.record(100 + i, diagnosis="parkinson's disease", activity="overground walking") for i in range(2)]


def test_an_epoch_holds_each_trial_once_for_three_tasks_in_another_order():
    found = schedule(WALKS)
    epochs = [numbers(found, epoch) for epoch in range(2)]
    for epoch in epochs:
        assert collections.Counter(epoch) == dict.fromkeys(range(20), 2)
    assert epochs[0] != epochs[1]


def test_any_part_is_that_of_the_whole():
    whole = [str(e) for e in schedule(WALKS, code_noise=0.2).draw(5, 0, 40)]
    cuts = ((0, 17), (17, 30), (30, 40))
    parts = [str(e) for start, stop in cuts for e in schedule(WALKS, code_noise=0.2).draw(5, start, stop)]
    assert parts == whole
    assert [str(e) for e in schedule(WALKS, code_noise=0.2, seed=1).draw(5, 0, 40)] != whole


def test_kinds_come_in_their_shares():
    found = schedule(WALKS, kinds=Kinds(trial=2.0, caption=1.0, generation=1.0))
    examples = found.draw(0, 0, found.size)
    generated = sum(not e.context for e in examples)
    described = sum(isinstance(e.turns[0].answer, str) and e.turns[0].answer.startswith("activity:") for e in examples)
    assert (len(examples), generated, described) == (40, 10, 10)


def test_even_makes_the_rare_as_frequent_as_the_common_and_leaves_nobody_out():
    plain = collections.Counter(n >= 20 for n in numbers(schedule(WALKS + RARE), 0))
    assert plain == {False: 40, True: 2}
    found = schedule(WALKS + RARE, even="diagnosis")
    drawn = [n for epoch in range(4) for n in numbers(found, epoch)]
    assert collections.Counter(n >= 20 for n in drawn) == {False: 84, True: 84}
    assert set(drawn) == set(range(22))
    # Each pass of a stratum is over before the next one begins.
    assert set(collections.Counter(n for n in drawn if n >= 20).values()) == {42}


@pytest.mark.parametrize("label, what", [("diagnoses", "is no label of any"), ("walking_speed_m_s", "is a number")])
def test_even_wants_a_label_of_words(label, what):
    with pytest.raises(InputError, match=f"--mixture.even {label}: {what}"):
        schedule(WALKS, even=label)


def test_no_two_draws_share_a_generator():
    keys = [(use, one, other) for use in Use for one in range(4) for other in range(4)]
    drawn = {generator(7, *key).integers(2**63) for key in keys}
    assert len(drawn) == len(keys)


def test_sources_come_in_their_shares():
    many, few = WALKS[:15], WALKS[15:]
    assert collections.Counter(n >= 15 for n in numbers(schedule(many, few), 0)) == {False: 30, True: 10}
    weighed = schedule(many, few, sources=(1.0, 3.0))
    assert collections.Counter(n >= 15 for n in numbers(weighed, 0)) == {False: 10, True: 30}
    with pytest.raises(InputError, match="--mixture.sources: 2 weights for 1 --data"):
        schedule(WALKS, sources=(1.0, 3.0))


def test_a_small_share_is_no_share_of_none():
    found = schedule(WALKS, kinds=Kinds(trial=1.0, generation=0.001))
    assert sum(not e.context for e in found.draw(0, 0, found.size)) == 1


def test_tasks_are_asked_by_their_weights():
    found = schedule(WALKS, turns=1, tasks={"walking speed": 8.0, "diagnosis": 0.0})
    asked = collections.Counter()
    for epoch in range(20):
        asked.update(e.turns[0].answer for e in found.draw(epoch, 0, found.size))
    speeds = sum(count for answer, count in asked.items() if answer.endswith("m/s"))
    assert asked["stroke"] == 0
    assert speeds / asked.total() == pytest.approx(8 / 11, abs=0.05)


@pytest.mark.parametrize(
    "mixture, message",
    [
        ({"tasks": {"speed": 1.0}}, "--mixture.tasks speed: expected one of activity, "),
        ({"tasks": {"diagnosis": -1.0}}, "--mixture.tasks: weights .*none below 0"),
        ({"kinds": Kinds(trial=0.0)}, "--mixture.kinds: weights .*one above"),
        ({"row_examples": 0}, "--mixture.row-examples 0: expected at least 1"),
        ({"turns": 0}, "--mixture.turns 0: expected at least 1"),
    ],
)
def test_weights_that_mean_nothing_are_refused(mixture, message):
    with pytest.raises(InputError, match=message):
        MixtureConfig(**mixture)


def test_a_kind_that_no_record_fits_is_refused():
    with pytest.raises(InputError, match="--mixture.kinds.visit: no training record is fit for it"):
        schedule(WALKS, kinds=Kinds(visit=1.0))  # nobody has two recordings
    np.testing.assert_array_equal([r.participant for r in WALKS], sorted({r.participant for r in WALKS}))
