"""Scores of some tokens equal their columns of the scores of all."""

import dataclasses

import numpy as np
import pytest

from biomechjax.language.decoder import Decoder
from biomechjax.language.head import logits_of


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_of_some_tokens(config, params, cap, dtype):
    config = dataclasses.replace(config, logit_soft_cap=cap, compute_dtype=dtype)
    rng = np.random.default_rng(0)
    hidden = np.asarray(rng.normal(0, 1, (3, config.width)), dtype)
    ids = rng.integers(0, config.vocab_size, (3, 7))
    whole = Decoder(config).apply({"params": params}, hidden, method="logits")
    found = logits_of(config, params, hidden, ids)
    assert found.dtype == whole.dtype == np.float32
    np.testing.assert_allclose(found, np.take_along_axis(np.asarray(whole), ids, axis=1), rtol=1e-5, atol=1e-5)
