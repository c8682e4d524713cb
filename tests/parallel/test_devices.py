"""One device equals eight, for both learners and every strategy; the work is done by `device_run.py`."""

from pathlib import Path

import numpy as np
import pytest
from processes import run_python

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("devices") / "out.npz"
    # Not the flags of the other tests, under which the code averages of rvq differ by 4e-8.
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    run = run_python(HERE / "device_run.py", out, JAX_ENABLE_X64="1", XLA_FLAGS=flags)
    assert run.returncode == 0, run.stderr[-3000:]
    with np.load(out, allow_pickle=False) as file:
        return dict(file)


def leaves(results: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in results.items() if k.startswith(prefix)}


@pytest.mark.parametrize("other", ["dp/8", "pmap/8"])
@pytest.mark.parametrize("learner", ["vq_ema", "rvq", "decoder"])
def test_the_final_state_equals_that_of_one_device(results, learner, other):
    """Parameters, optimizer, codebook and the metrics of every step."""
    one, found = leaves(results, f"{learner}/dp/1/"), leaves(results, f"{learner}/{other}/")
    assert one.keys() == found.keys()
    assert any(".params" in path for path in one)
    assert any(".opt_state" in path for path in one)
    assert any(".extra.codes" in path for path in one) == (learner != "decoder")
    limit = 1e-6 if learner == "decoder" else 1e-10  # the decoder's norms and softmax are in single precision
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
