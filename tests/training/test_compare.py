"""Strategies compared: what is tried, what is recommended, what a stopped command goes on with, and the command."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from processes import run_python

from biomechjax.errors import InputError
from biomechjax.parallel.chips import CHIPS, Topology
from biomechjax.parallel.formula import Work, activations, sent
from biomechjax.parallel.strategies import STRATEGIES
from biomechjax.training import compare as comparing
from biomechjax.training.ahead import Case, Cost, abstract_training
from biomechjax.training.compare import (
    Result,
    Where,
    as_rows,
    compare,
    learned,
    meshes,
    pareto,
    plain_cases,
    recommended,
    search_cases,
)
from biomechjax.training.compare_tables import write_files
from biomechjax.training.config import AdaptConfig, DecoderExperiment, TrainConfig
from biomechjax.training.scaling import markdown, scaling_cases

ROOT = Path(__file__).parents[2]
GIB = 2**30
V5E = CHIPS["v5e"]
EXPERIMENT = DecoderExperiment(
    TrainConfig(10, 16, 1e-3), "gemma3_270m", row_length=64, row_answers=16, compute_dtype="bfloat16"
)


def cost(peak: float = 1.0, flops: float = 1e12, link_s: float = 0.001, fits: bool = True, **more) -> Cost:
    fields = dict(
        mesh={"data": 4}, parameters=GIB // 4, gradients=GIB // 4, optimizer=GIB // 8, frozen=0, peak=peak * GIB,
        wanted=None, fits=fits, flops=flops, sent={"all-reduce": 2e9}, counts={"all-reduce": 3}, link_s=link_s,
        formula_peak={"parameters": 1.0}, formula_sent={"gradients": 1e9}, traffic=1e9, compile_s=1.0,
    )  # fmt: skip
    return Cost(**fields | more)


def result(strategy: str = "dp", batch: int = 16, **fields) -> Result:
    train = dataclasses.replace(EXPERIMENT.train, batch_size=batch)
    return Result(Case(strategy, dataclasses.replace(EXPERIMENT, train=train)), cost(**fields))


def test_a_roofline_by_hand():
    """1 TFLOP at 197 TFLOP/s, 1 GB at 819 GB/s."""
    found = result().predicted(V5E)
    assert (found.compute, found.memory, found.links) == (1e12 / 197e12, 1e9 / 819e9, 0.001)
    assert found.step == found.compute
    slow = dataclasses.replace(EXPERIMENT, compute_dtype="float32")
    assert Result(Case("dp", slow), cost()).predicted(V5E).compute == 2 * found.compute
    assert result().predicted(None) is None


def test_the_fastest_that_fits_is_recommended():
    fast, small, broken = result("fsdp", flops=1e12), result("tp", flops=3e12), result("dp", flops=1e11, fits=False)
    assert recommended([small, broken, fast], V5E) is fast
    assert recommended([broken], V5E) is None and recommended([], V5E) is None
    measured = result("pmap", measured_s=1e-9)
    assert recommended([fast, measured], None) is measured
    talks = result("fsdp_tp", flops=0.999e12, link_s=0.004)
    assert recommended([talks, fast], V5E) is fast  # equal but for what stands behind


def test_a_front_holds_what_no_other_beats_in_both():
    best, lean = result(flops=1e12, peak=4), result(flops=2e12, peak=2)
    beaten, large = result(flops=3e12, peak=3), result(flops=1e12, peak=8, batch=32)
    assert pareto([beaten, lean, best], V5E) == [best, lean]
    # Twice the rows in the same time are faster.
    assert pareto([best, lean, large], V5E) == [large, best, lean]


def test_what_the_peak_has_beside_weights_and_their_kin():
    assert cost(peak=2).activations == 2 * GIB - (GIB // 4 + GIB // 4 + GIB // 8)


def test_meshes_and_words_of_a_search():
    assert meshes("fsdp", 8) == [(8,)] and meshes("fsdp_tp", 8) == [(4, 2), (2, 4), (1, 8)]
    found = search_cases(EXPERIMENT, ["dp", "fsdp_tp"], 8, [16, 32], ["full"], ["full", "qlora"])
    assert len(found) == 2 * 2 * (1 + 3) == len({repr(c) for c in found})
    assert {learned(c.experiment) for c in found} == {"full", "qlora"}
    assert {c.experiment.train.batch_size for c in found} == {16, 32}
    scratch = dataclasses.replace(EXPERIMENT, preset="1m")
    assert len(search_cases(scratch, ["dp"], 8, [16, 32], ["full"], ["full", "lora", "qlora"])) == 2
    with pytest.raises(InputError, match="--learning half: expected full, lora, qlora"):
        search_cases(EXPERIMENT, ["dp"], 8, [16], ["full"], ["half"])
    assert learned(dataclasses.replace(EXPERIMENT, preset="1m")) == "full"  # nothing else is learned from scratch


@pytest.mark.parametrize("text", ["v5e", "v5e:4by4", "v5e:0x4", "v9:4x4", ":4x4", "v5e:"])
def test_topologies_that_are_none(text):
    with pytest.raises(InputError, match="expected CHIP:SHAPE, as v5e:4x4; chips are v4, v5e"):
        Topology.parse(text)


def test_topologies():
    assert (Topology.parse("v5p:8x8x4").size, str(Topology.parse("v5p:8x8x4"))) == (256, "v5p:8x8x4")
    assert Topology.parse("v4:2x2x1").size == 8  # two devices a chip
    assert V5E.rate(1) == 100e9 and V5E.rate(2) == V5E.rate(3) == 200e9  # of 400 GB/s in both directions
    with pytest.raises(InputError, match="--devices 8: expected at least 1, and not beside --topology"):
        Where(Topology.parse("v5e:4x4"), 8)


def test_a_formula_by_hand():
    """Gemma-3-270M over four devices along "data": bytes sent of 268,098,176 parameters."""
    shape = abstract_training(dataclasses.replace(EXPERIMENT, adapt=AdaptConfig("full")))[0]
    work, n = Work(shape, 16, 64, 16, True), 268_098_176
    assert sent(work, STRATEGIES["dp"], {"data": 4}, n, 0) == {"gradients": 2 * n * 2 * 3 / 4}
    assert sent(work, STRATEGIES["fsdp"], {"data": 4}, n, 0) == {
        "gradients": n * 2 * 3 / 4,
        "weights": 2 * n * 2 * 3 / 4,
    }
    assert sent(work, STRATEGIES["zero1"], {"data": 4}, n, 0)["parameters"] == n * 4 * 3 / 4
    found = sent(work, STRATEGIES["cp"], {"data": 1, "context": 4}, n, 0)
    assert found["gradients"] == 2 * n * 4 * 3 / 4
    assert found["keys and values"] == 2 * (16 * 16) * 256 * 2 * 3 * 2 * 18  # 16 rows of 16 own tokens, two passes
    assert activations(work, STRATEGIES["dp"], {"data": 4})["head"] == 262_144 * 4 * 16 * 8 + 262_144 * 640 * 4


def test_a_scaling_study_keeps_the_rows_of_a_chip():
    found = scaling_cases(EXPERIMENT, ["gemma3_1b"], ["full", "qlora"], ["dp", "fsdp"], 4, Topology.parse("v5e:4x4"))
    assert [(c.strategy, learned(c.experiment), c.experiment.train.batch_size) for c in found] == [
        ("dp", "full", 64), ("fsdp", "full", 64), ("dp", "qlora", 64), ("fsdp", "qlora", 64),
    ]  # fmt: skip
    alone = scaling_cases(EXPERIMENT, ["gemma3_1b"], ["full"], ["dp", "fsdp"], 4, Topology.parse("v5e:1x1"))
    assert [c.strategy for c in alone] == ["dp"]


def test_files_say_all(tmp_path):
    where = Where(Topology.parse("v5e:2x2"))
    refused = Result(Case("tp", EXPERIMENT), None, "heads of 4 in output do not divide; choose another")
    large = result("zero1", fits=False, peak=1, flops=None, sent=None, link_s=None, wanted=40.0 * GIB)
    large = dataclasses.replace(large, cost=dataclasses.replace(large.cost, peak=None))
    results = [result(), refused, large]
    write_files(results, where, tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert rows[0]["predicted_s"] == 1e12 / 197e12 and rows[0]["sent_all-reduce"] == 2e9
    assert rows[1]["refused"].startswith("heads of 4") and rows[2]["wanted"] == 40 * GIB
    with (tmp_path / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["strategy"] for line in lines] == ["dp", "tp", "zero1"]
    assert float(lines[0]["activations"]) == results[0].cost.activations and lines[1]["peak"] == ""
    assert (tmp_path / "results.png").stat().st_size > 1000
    page = markdown(as_rows(results, where))
    assert "refused: heads of 4 in output do not divide |" in page and "does not fit (> 40.0) |" in page
    assert page.splitlines()[2].endswith("| 5.08 | 1.22 | 1 | compute |")


def test_what_was_found_is_not_computed_again(tmp_path, monkeypatch):
    seen = []

    def job(case, where, steps):
        seen.append(case.strategy)
        return "it does not fit" if case.strategy == "tp" else dataclasses.asdict(cost())

    monkeypatch.setattr(comparing, "_job", job)
    cases, kept = plain_cases(EXPERIMENT, ["dp", "tp", "fsdp"]), tmp_path / "kept.jsonl"
    stopped = compare(cases, Where(simulated=4), 5, 1, kept)
    assert (next(stopped).cost, next(stopped).refused) == (cost(), "it does not fit")
    stopped.close()
    assert seen == ["dp", "tp"]
    found = list(compare(cases, Where(simulated=4), 5, 1, kept))
    assert seen == ["dp", "tp", "fsdp"] and [r.refused for r in found] == ["", "it does not fit", ""]
    assert len(list(compare(cases, Where(simulated=8), 5, 1, kept))) == 3 and len(seen) == 6  # other devices


@pytest.mark.slow
def test_the_command_on_simulated_devices(tmp_path):
    """What does not fit a mesh is told; of --search the strategies' own meshes are not all."""
    (tmp_path / "small.py").write_text(
        "from biomechjax.training.config import DecoderExperiment, TrainConfig\n"
        "def config(): return DecoderExperiment(TrainConfig(10, 8, 1e-3), row_length=64, row_answers=16)\n"
    )
    command = [
        "scripts/compare_sharding.py",
        "--config",
        tmp_path / "small.py",
        "--devices",
        4,
        "--out",
        tmp_path / "o",
    ]
    run = run_python(*command, "--strategies", "fsdp", "tp", "--steps", 2, cwd=ROOT, XLA_FLAGS="")
    assert run.returncode == 0, run.stderr[-2000:]
    assert "their times say nothing about real ones" in run.stdout and "fastest that fits, as measured" in run.stdout
    rows = json.loads((tmp_path / "o" / "results.json").read_text())
    assert [(r["strategy"], r["mesh"], r["learned"]) for r in rows] == [("fsdp", "4", "full"), ("tp", "1x4", "full")]
    assert all(r["tokens_per_s"] > 0 for r in rows)
    search = ["--search", "--strategies", "tp", "--space.remats", "none", "--space.batches", 8, "--steps", 1]
    run = run_python(*command, *search, "--space.learning", "full", cwd=ROOT, XLA_FLAGS="")
    assert run.returncode == 0, run.stderr[-2000:]
    assert "2 tried: 2 fit, 0 do not, 0 cannot be" in run.stdout
    run = run_python(*command, "--search", "--devices", 0, cwd=ROOT)
    assert (run.returncode, "say for what devices" in run.stderr) == (2, True)
