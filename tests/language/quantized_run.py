"""Run by test_adapters with eight simulated devices: a base sharded by its logical axes gives the same logits."""

import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

sys.path.insert(0, str(Path(__file__).parent))
from test_adapters import CONFIG, LORA, OFFSET, adapters, base, logits

from biomechjax.language.adapters import adapt, freeze, frozen_axes

# An axis of inputs may be split between tiles of nf4, not within one.
RULES = {"heads": "x", "kv_heads": "y", "mlp": ("x", "y"), "embed": None, "vocab": ("x", "y")}


def main() -> None:
    assert len(jax.devices()) == 8
    mesh = jax.make_mesh((4, 2), ("x", "y"), (AxisType.Auto,) * 2)
    for weights in ("nf4", "int8", "bfloat16"):
        frozen = freeze(base(), weights)

        def place(spec: PartitionSpec, leaf: jax.Array) -> jax.Array:
            rule = PartitionSpec(*(RULES.get(axis) for axis in spec))
            return jax.device_put(leaf, NamedSharding(mesh, rule))

        axes = frozen_axes(CONFIG, weights)
        leaves = map(place, jax.tree.leaves(axes), jax.tree.leaves(frozen))
        spread = jax.tree.unflatten(jax.tree.structure(frozen), list(leaves))
        query = jax.tree.leaves(spread["layers"]["attention"]["query"])[0]
        assert not query.sharding.is_fully_replicated
        found = jax.jit(lambda p: logits(adapt(p, adapters(), LORA, OFFSET)))(spread)
        expected = logits(adapt(frozen, adapters(), LORA, OFFSET))
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


main()
