"""The encoder with heads: that it learns what only the movement says, from most people, and never from others."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from biomechjax.data.mixture import MixtureConfig
from biomechjax.errors import InputError
from biomechjax.evaluation.baselines.encoder import Encoder, EncoderConfig
from biomechjax.evaluation.baselines.heads import Heads
from biomechjax.evaluation.baselines.neural import (
    CHOSEN_BY,
    HELD_OUT,
    ON_LATENTS,
    ON_TOKENS,
    ON_VECTORS,
    Neural,
    NeuralConfig,
)
from biomechjax.evaluation.baselines.registry import Setting, make_baselines
from biomechjax.evaluation.baselines.steps import CodeVectors, Latents, Steps, Tokens
from biomechjax.evaluation.kept import Kept
from biomechjax.tasks.registry import BY_NAME, TASKS
from biomechjax.training.decoder import share_of_people
from biomechjax.training.log import read_log

SIDE, SPEED, CADENCE = (BY_NAME[name] for name in ("affected side", "walking speed", "cadence"))
SIZE = tiny.TOKENIZER.codebook_size
CONFIG = NeuralConfig(width=32, layers=1, epochs=12, batch_size=16, mixture=MixtureConfig(crop=0.0))
SMALL = dataclasses.replace(CONFIG, width=8, heads=2, epochs=4)


def walkers(count: int, first: int = 0):
    """Half of a step's codes say the side; how often code 15 comes says the speed; summaries say nothing."""
    out = []
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        speed, side = float(rng.uniform(0.3, 1.6)), str(rng.choice(["left", "right"]))
        codes = rng.integers(0, 4, 24) + {"left": 0, "right": 8}[side]
        codes[rng.random(24) < (speed - 0.3) / 1.5] = 15
        labels = {"activity": "overground walking", "affected_side": side, "walking_speed_m_s": speed}
        out.append(dataclasses.replace(tiny.record(i), labels=labels, views=[codes.astype(np.int32)], paces=[1.0]))
    return out


def encoder(folder: Path | None, config: NeuralConfig = SMALL, steps: Steps = Tokens(SIZE, 1, 1)) -> Neural:
    return Neural("encoder", steps, folder, config)


@pytest.fixture(scope="module")
def fitted():
    return encoder(None, CONFIG).fit(TASKS, walkers(240))


def learns(model: Neural) -> None:
    test = walkers(60, 1000)
    sides = [a == r.labels["affected_side"] for a, r in zip(model.predict(SIDE, test), test, strict=True)]
    assert np.mean(sides) > 0.9
    truth = np.array([r.labels["walking_speed_m_s"] for r in test])
    given = np.array(model.predict(SPEED, test))
    assert np.corrcoef(given, truth)[0, 1] > 0.9
    assert np.abs(given - truth).mean() < 0.6 * truth.std()


def test_it_learns_a_label_and_a_number_together(fitted):
    learns(fitted)


@pytest.mark.slow
def test_it_learns_from_code_vectors():
    learns(encoder(None, CONFIG, CodeVectors(tiny.tokenizer())).fit(TASKS, walkers(240)))


def test_neither_labels_nor_people_of_what_is_predicted_matter(fitted):
    test = walkers(20, 1000)
    others = [dataclasses.replace(r, participant="x", trial="y", labels={}, summary=[]) for r in test]
    fresh = dataclasses.replace(fitted, outputs={})
    for task in (SIDE, SPEED):
        assert fresh.predict(task, others) == dataclasses.replace(fitted, outputs={}).predict(task, test)


def test_an_answer_is_the_same_alone_and_beside_longer_movements(fitted):
    (short,) = walkers(1, 1000)
    long = dataclasses.replace(short, views=[np.tile(short.views[0], 7)])
    alone = dataclasses.replace(fitted, outputs={}).predict(SPEED, [short])
    beside = dataclasses.replace(fitted, outputs={}).predict(SPEED, [long, short, *walkers(20, 1100)])
    assert beside[1] == pytest.approx(alone[0], abs=1e-5)
    assert beside[0] != pytest.approx(alone[0], abs=1e-5)


def test_a_task_that_no_training_record_is_asked_has_no_answer(fitted):
    assert fitted.predict(CADENCE, walkers(3)) == [None] * 3
    nothing = encoder(None).fit([CADENCE], walkers(3))
    assert nothing.predict(SPEED, walkers(2)) == [None] * 2


def test_a_label_that_fits_no_answer_is_refused():
    wrong = [dataclasses.replace(r, labels=r.labels | {"affected_side": "up"}) for r in walkers(3)]
    with pytest.raises(InputError, match="task affected side, column affected_side: label 'up'"):
        encoder(None).fit(TASKS, wrong)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """A training whose loss of those left out is least after the second of four epochs, what it was trained towards,
    and the parameters after each."""
    losses, towards, after = iter([3.0, 1.0, 2.0, 1.0]), [], []
    folder = tmp_path_factory.mktemp("chosen")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Heads, "loss", lambda self, outputs, records: next(losses))
        real = Heads.targets

        def targets(self, record, pace=1.0):
            towards.append(record.participant)
            return real(self, record, pace)

        patch.setattr(Heads, "targets", targets)
        run = Neural._run
        patch.setattr(
            Neural,
            "_run",
            lambda self, model, params, some: (after.append((params, some)), run(self, model, params, some))[1],
        )
        model = encoder(folder).fit(TASKS, walkers(80))
    return model, towards, after, folder


def test_nobody_who_was_left_out_is_trained_on(chosen):
    _, towards, after, _ = chosen
    left_out = share_of_people({r.participant for r in walkers(80)}, "", HELD_OUT, 0)
    assert len(left_out) == 12
    assert {r.participant for _, some in after for r in some} == left_out
    assert not left_out & set(towards)
    assert len(set(towards)) == 68


def test_the_epoch_is_kept_that_is_best_on_those_left_out(chosen):
    model, _, after, folder = chosen
    assert len(after) == 4
    same = [jax.tree.all(jax.tree.map(np.array_equal, params, model.params)) for params, _ in after]
    assert same == [False, True, False, False]
    (log,) = [read_log(f) for f in folder.iterdir()]
    assert [row[CHOSEN_BY] for row in log if CHOSEN_BY in row] == [3, 1, 2, 1]


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_same_answers(chosen, tmp_path, monkeypatch):
    """Killed in the third epoch; and a training that is done is not trained again."""
    losses = [3.0, 1.0, KeyboardInterrupt(), 2.0, 1.0]

    def loss(self, outputs, records):
        found = losses.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(Heads, "loss", loss)
    with pytest.raises(KeyboardInterrupt):
        encoder(tmp_path).fit(TASKS, walkers(80))
    first = encoder(tmp_path).fit(TASKS, walkers(80))
    expected = chosen[0].predict(SPEED, walkers(9, 1000))
    assert first.predict(SPEED, walkers(9, 1000)) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(Heads, "loss", None)
    again = encoder(tmp_path).fit(TASKS, walkers(80))
    assert again.predict(SPEED, walkers(9, 1000)) == first.predict(SPEED, walkers(9, 1000))
    assert len(list(tmp_path.iterdir())) == 1


def test_other_records_are_another_training(tmp_path):
    model = encoder(tmp_path)
    keys = {model._key(TASKS, walkers(5)), model._key(TASKS, walkers(5, 1)), model._key([SIDE], walkers(5))}
    other = dataclasses.replace(model, config=dataclasses.replace(SMALL, epochs=5))
    assert len(keys | {other._key(TASKS, walkers(5))}) == 4
    assert model._key(TASKS, walkers(5)) in keys


def test_targets_are_of_the_pace_and_of_what_is_asked():
    labels = {"activity": "overground walking", "cadence_steps_min": 100.0, "walking_speed_m_s": 1.0}
    walk = dataclasses.replace(tiny.record(0), labels=labels | {"affected_side": "right"})
    faster = dataclasses.replace(walk, labels=labels | {"cadence_steps_min": 120.0})
    tug = dataclasses.replace(walk, labels=labels | {"activity": "timed up and go"})
    heads = Heads.of(TASKS, [walk, faster])
    assert [t.name for t in heads.tasks] == ["activity", "affected side", "walking speed", "cadence"]
    assert (heads.size, heads.places["walking speed"]) == (6 + 4 + 1 + 1, slice(10, 11))
    assert heads.scales["cadence"] == (110, 10)
    found = heads.targets(walk, 1.1)
    assert found["labels"].tolist() == [0, 2]
    assert found["numbers"] == pytest.approx([0.1, 0.0])  # of speeds that are all the same, and 110 steps a minute
    assert heads.targets(tug)["labels"].tolist() == [1, -1]
    assert heads.targets(tug)["known"].tolist() == [0, 0]


def test_losses_are_means_over_what_is_asked():
    """Against the formulas, by hand, of a batch in which nobody is asked everything."""
    heads = Heads.of([SIDE, SPEED], walkers(4))
    outputs = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    batch = {
        "labels": np.array([[2], [-1], [1]]),
        "numbers": np.array([[0.5], [0.25], [9.0]], np.float32),
        "known": np.array([[1.0], [1.0], [0.0]], np.float32),
    }
    sums = heads.sums(outputs, batch)
    chances = np.exp(outputs[:, :4]) / np.exp(outputs[:, :4]).sum(1, keepdims=True)
    assert float(sums["labels"]) == pytest.approx(-np.log(chances[0, 2]) - np.log(chances[2, 1]), rel=1e-5)
    assert float(sums["numbers"]) == pytest.approx((outputs[0, 4] - 0.5) ** 2 + (outputs[1, 4] - 0.25) ** 2, rel=1e-5)
    assert {k: float(v) for k, v in heads.counts(batch).items()} == {"labels": 2, "numbers": 2}


def test_an_answer_is_an_option_or_a_plausible_number():
    train = walkers(4)
    heads = Heads.of([SIDE, SPEED], train)
    output = np.array([0.1, 3.0, 0.2, 0.3, 0.0])
    speeds = [r.labels["walking_speed_m_s"] for r in train]
    assert heads.answer(SIDE, output) == "left"
    assert heads.answer(SPEED, output) == pytest.approx(np.mean(speeds))
    output[4] = 1.0
    assert heads.answer(SPEED, output) == pytest.approx(np.mean(speeds) + np.std(speeds))
    output[4] = -100
    assert heads.answer(SPEED, output) == 0


def test_order_and_length_of_the_steps_can_be_told():
    model = Encoder(EncoderConfig(3, codes=SIZE, width=16, layers=1, heads=2))
    steps = np.random.default_rng(0).integers(0, SIZE, (1, 12, 2))
    valid = np.ones((1, 12), np.float32)
    params = jax.jit(model.init)(jax.random.key(0), steps, valid)
    out = lambda steps, valid: np.asarray(jax.jit(model.apply)(params, steps, valid))  # noqa: E731
    base = out(steps, valid)
    assert np.abs(out(steps[:, ::-1], valid) - base).max() > 1e-4
    np.testing.assert_allclose(out(steps[:, :, ::-1], valid), base, atol=1e-5)  # codes of a step are summed
    padded, short = steps.copy(), valid.copy()
    short[0, 8:] = 0
    padded[0, 8:] = 0
    before = out(padded, short)
    padded[0, 8:] = 5
    np.testing.assert_allclose(out(padded, short), before, atol=1e-6)
    # The same step again and again: only how many there are is new.
    same = np.full((1, 12, 2), 3)
    assert np.abs(out(same, short) - out(same, valid)).max() > 1e-4


def deep_tokenizer():
    """A travel code and two levels, untrained."""
    flat = tiny.tokenizer()
    config = dataclasses.replace(flat.config, quantizer="rvq", levels=2, travel=True)
    moves = np.random.default_rng(1).normal(size=(SIZE, 3)).astype(np.float32)
    return dataclasses.replace(
        flat, config=config, table=np.concatenate([flat.table, 0.5 * flat.table[:, ::-1]]), displacements=moves
    )


def test_tokens_are_the_first_codes_and_vectors_the_sum_of_all():
    tokenizer, rng = deep_tokenizer(), np.random.default_rng(0)
    ids = rng.integers(0, SIZE, (5, 3))
    record = dataclasses.replace(tiny.record(0), views=[(ids + np.arange(3) * SIZE).reshape(-1)], paces=[1.0])
    tokens, vectors = Tokens.of(tokenizer, 2), CodeVectors(tokenizer)
    assert (tokens.codes, tokens.levels, Tokens.of(tokenizer).codes) == (2 * SIZE, 2, 3 * SIZE)
    read = tokens.read(record, tokens.views(record)[0].reshape(-1, 2))
    np.testing.assert_array_equal(read, (ids + np.arange(3) * SIZE)[:, :2])
    found = vectors.read(record, vectors.views(record)[0].reshape(-1, 3))
    for row, (move, first, second) in zip(found, ids, strict=True):
        assert row == pytest.approx(
            [*(tokenizer.table[0, first] + tokenizer.table[1, second]), *tokenizer.displacements[move]], abs=1e-6
        )


def test_latents_are_what_the_codes_were_chosen_for(cohort, records):
    tokenizer = records.tokenizer
    test = records.read("test")
    readied = {str(t.path.relative_to(cohort.path)): tokenizer.ready(cohort.read(t)) for t in cohort.trials_of("test")}
    latents = Latents(tokenizer, lambda: readied)
    for record in test:
        read = latents.read(record, latents.views(record)[0].reshape(-1, 1))
        distances = ((read[:, None] - tokenizer.table[0]) ** 2).sum(-1)
        np.testing.assert_array_equal(distances.argmin(1), record.views[0])
    record = test[0]
    np.testing.assert_array_equal(latents.read(record, np.array([[3], [1]])), latents.of_trial[record.trial][[3, 1]])


def test_movements_of_one_length_are_not_taken_for_one_another(cohort, records):
    """Latents are read by the number of the step, which is the same in both."""
    of_trial = {"a": np.zeros((6, 4), np.float32), "b": np.ones((6, 4), np.float32)}
    one, other = (dataclasses.replace(tiny.record(i), trial=name) for i, name in enumerate("ab"))
    steps = Latents(tiny.tokenizer(), dict)
    steps.__dict__["of_trial"] = of_trial
    model = dataclasses.replace(encoder(None, steps=steps), heads=Heads.of([SPEED], [one, other]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Neural, "_run", lambda self, m, p, some: np.array([[of_trial[r.trial].sum()] for r in some]))
        first, second = model.predict(SPEED, [one, other])
    assert first != second


def test_a_movement_is_read_as_far_as_the_decoder_reads_it():
    model = encoder(None, dataclasses.replace(SMALL, mixture=MixtureConfig(longest=7)))
    assert len(model._movement(walkers(1)[0])) == 7
    assert Neural.of("x", Tokens(SIZE, 1, 1), tiny.tokenizer(), None, 7).config.mixture.longest == 7


def test_rows_of_codes_start_as_projections_of_what_they_mean():
    meaning = np.random.default_rng(0).normal(size=(SIZE, 40))
    model = dataclasses.replace(encoder(None), embedding=meaning)
    train = walkers(2)
    rows = model._start(model._model(Heads.of(TASKS, train)), train[0])["embedding"]
    assert rows.shape == (SIZE, SMALL.width)
    assert np.linalg.matrix_rank(np.concatenate([rows, meaning], axis=1)) == np.linalg.matrix_rank(meaning)
    assert (rows**2).sum(1).mean() == pytest.approx((meaning**2).mean(), rel=0.6)


def test_the_registry_reads_what_the_decoder_reads(records, cohort, tmp_path):
    made, absent = make_baselines(Setting(records, Kept(tmp_path), None, 1, 9), [ON_TOKENS, ON_VECTORS, ON_LATENTS])
    tokens, vectors = (next(b for b in made if b.name == name) for name in (ON_TOKENS, ON_VECTORS))
    assert list(absent) == [ON_LATENTS]
    assert (tokens.steps.levels, tokens.config.mixture.longest, tokens.folder) == (1, 9, tmp_path / "encoders")
    assert len(tokens.embedding) == SIZE
    assert vectors.embedding is None
    made, absent = make_baselines(Setting(records, Kept(), cohort.path), [ON_LATENTS])
    latents = next(b for b in made if b.name == ON_LATENTS)
    assert not absent and latents.folder is None
    record = records.read("test")[1]
    trial = next(t for t in cohort.trials if str(t.path.relative_to(cohort.path)) == record.trial)
    expected = records.tokenizer.latents([records.tokenizer.ready(cohort.read(trial))])[0]
    np.testing.assert_allclose(latents._movement(record), expected, atol=1e-5)
