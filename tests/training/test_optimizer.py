"""The optimizers: what decays, and what muon does to which weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from biomechjax.errors import InputError
from biomechjax.training.config import OPTIMIZERS, TrainConfig
from biomechjax.training.optimizer import RMS, make_optimizer

TRAIN = TrainConfig(steps=10, batch_size=1, learning_rate=1e-2, warmup_steps=0, clip_norm=1e9)


def update(config, params, grads):
    optimizer = make_optimizer(config)
    return jax.jit(optimizer.update)(grads, optimizer.init(params), params)[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_spares_norms_and_biases(name):
    """With a gradient of zero, only decay moves a parameter."""
    params = {"layer": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}, "norm": {"scale": jnp.ones((4, 3))}}
    config = dataclasses.replace(TRAIN, weight_decay=0.5, optimizer=name)
    updates = update(config, params, jax.tree.map(jnp.zeros_like, params))
    assert float(updates["layer"]["kernel"].max()) == pytest.approx(-0.5 * 1e-2, rel=1e-5)
    assert float(jnp.abs(updates["layer"]["bias"]).max()) == 0
    assert float(jnp.abs(updates["norm"]["scale"]).max()) == 0


def test_muon_orthogonalises_every_matrix_of_a_layer_by_itself():
    """Newton and Schulz bring all singular values near 1; then the update has the root mean square of AdamW's."""
    params = tiny.decoder_params()
    leaves, tree = jax.tree.flatten(params)
    grads = tree.unflatten([jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(leaves)])
    config = dataclasses.replace(TRAIN, optimizer="muon")
    updates = update(config, params, grads)
    inputs = {"query": 1, "key": 1, "value": 1, "output": 2, "gate": 1, "up": 1, "down": 1}
    seen = set()
    for path, x in jax.tree_util.tree_flatten_with_path(updates)[0]:
        name = path[-1].key
        if name not in inputs:
            continue
        seen.add(name)
        for layer in np.asarray(x):
            matrix = layer.reshape(int(np.prod(layer.shape[: inputs[name]])), -1)
            singular = np.linalg.svd(matrix, compute_uv=False)
            high, low = np.quantile(singular, [0.9, 0.1])  # 5 or more apart in the gradient of a square one
            assert high / low < 2
            assert np.sqrt(np.mean(matrix**2)) == pytest.approx(RMS * TRAIN.learning_rate, rel=0.25)
    assert seen == set(inputs)

    other = jax.tree_util.tree_map_with_path(lambda p, g: g.at[0].mul(3) if p[-1].key in inputs else g, grads)
    for path, (one, two) in jax.tree_util.tree_flatten_with_path(
        jax.tree.map(lambda a, b: (a, b), updates, update(config, params, other)),
        is_leaf=lambda x: isinstance(x, tuple),
    )[0]:
        np.testing.assert_allclose(one, two, atol=1e-6, err_msg=jax.tree_util.keystr(path))


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(InputError, match="expected one of adamw, muon"):
        make_optimizer(dataclasses.replace(TRAIN, optimizer="lion"))
