"""One device equals eight, for both learners and every strategy; the work is done by `device_run.py`."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from processes import PATIENT, run_python

from biomechjax.parallel.strategies import STRATEGIES

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("devices") / "out.npz"
    # Not the flags of the other tests, under which the code averages of rvq differ by 4e-8.
    flags = f"{PATIENT} --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    run = run_python(HERE / "device_run.py", out, JAX_ENABLE_X64="1", XLA_FLAGS=flags)
    assert run.returncode == 0, run.stderr[-3000:]
    with np.load(out, allow_pickle=False) as file:
        return dict(file)


def leaves(results: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in results.items() if k.startswith(prefix)}


TOKENIZERS = ("vq_ema", "rvq", "rvq_parts")
RUNS = [
    *(("vq_ema", s) for s in ("dp", "pmap")),
    *(("rvq", s) for s in ("dp", "pmap", "zero1")),
    *(("rvq_parts", s) for s in ("dp", "pmap")),
    *(("decoder", s) for s in STRATEGIES),
    ("adapters", "fsdp_tp"),
]


@pytest.mark.parametrize(("learner", "other"), RUNS)
def test_the_final_state_equals_that_of_one_device(results, learner, other):
    """Parameters, optimizer, codebook and the metrics of every step; of batches in parts, that of whole ones."""
    one, found = leaves(results, f"{learner.removesuffix('_parts')}/dp/1/"), leaves(results, f"{learner}/{other}/8/")
    assert one.keys() == found.keys()
    assert any(".params" in path for path in one)
    assert any(".opt_state" in path for path in one)
    assert any(".extra.codes" in path for path in one) == (learner in TOKENIZERS)
    if learner in TOKENIZERS:
        # Split sums are rounded otherwise, which Adam makes 1e-10 of in parameters, and so 1e-9 in sums of their codes.
        limit = 1e-8 if other == "zero1" else 1e-10
    else:
        limit = 1e-6  # the decoder's norms and softmax are in single precision
    for path, leaf in one.items():
        assert leaf.shape == found[path].shape, path
        np.testing.assert_allclose(found[path], leaf, rtol=limit, atol=limit, err_msg=path)


@pytest.mark.parametrize("learner", ["vq_ema", "rvq"])
def test_the_tokenizers_compared_reset_codes_and_learned(results, learner):
    metrics = leaves(results, f"{learner}/dp/1/metrics/")
    assert metrics["resets"][1:].sum() > 3
    assert metrics["resets"][-1] < 16
    assert len(set(metrics["reconstruction"].tolist())) == 20


def test_the_decoder_compared_learned(results):
    answer = leaves(results, "decoder/dp/1/metrics/")["answer"]
    assert answer[-1] < answer[0] - 0.1


@pytest.mark.parametrize("strategy", ["dp", "pmap"])
def test_a_batch_that_does_not_divide_is_refused(results, strategy):
    assert str(results[f"refusal/{strategy}"]).startswith("batch of 12 rows (tokens) on 8 devices; choose a")


def test_parts_without_a_row_of_every_device_are_refused(results):
    said = "--train.batch-size 16: expected a multiple of 32, for 8 devices that share it and --train.accumulate 4"
    assert results["refusal/parts"] == said


def test_a_device_holds_what_the_table_says(results):
    """Bytes of the tiny decoder's weights, D = 32, L = 2, N = 4, K = 2, H = 8, M = 48, in double precision."""
    vocab = tiny.vocabulary().size
    embedding, queries, keys, mlp = vocab * 32, 2 * 2 * 32 * 32, 2 * 2 * 32 * 16, 2 * 3 * 32 * 48
    norms = 2 * (4 * 32 + 2 * 8) + 32
    whole = embedding + queries + keys + mlp + norms
    rows = {n: 1 if vocab % n else n for n in (2, 4)}  # a vocabulary that does not divide stays whole
    expected = {
        "dp": whole,
        "pmap": whole,
        "zero1": whole,
        "fsdp": (whole - norms) / 8 + norms,
        "tp": embedding / rows[4] + queries / 4 + keys + mlp / 4 + norms,  # 2 x 4: two key heads stay whole
        "fsdp_tp": embedding / 4 / rows[2] + (queries + keys + mlp) / 8 + norms,  # 4 x 2
    }
    found = {s: results[f"bytes/decoder/{s}"][0] / 8 for s in STRATEGIES}
    assert found == expected
    moments = {s: results[f"bytes/decoder/{s}"][1] / 8 for s in STRATEGIES}
    for strategy in set(STRATEGIES) - {"zero1"}:  # two of each weight, and the counts of steps
        assert 2 * expected[strategy] <= moments[strategy] <= 2 * expected[strategy] + 4
    assert 2 * whole / 8 <= moments["zero1"] <= 2 * whole / 8 + 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_checkpoint_is_restored_under_any_strategy_on_other_devices(results, strategy):
    assert results[f"restored/{strategy}"] == 0
