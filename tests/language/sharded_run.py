"""Loads a Hugging Face folder onto eight simulated devices in several layouts, and compares with the host's.

sharded_run.py FOLDER      prints "equal" and the number of leaves; each device reads its part alone
"""

import sys

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from biomechjax.language.decoder import abstract_params
from biomechjax.language.huggingface import GemmaFolder, load_gemma

folder = sys.argv[1]
config, expected = load_gemma(folder)
mesh = jax.make_mesh((2, 2, 2), ("a", "b", "c"), (AxisType.Auto,) * 3)
_, logical = abstract_params(config)
read = 0
part = GemmaFolder._slice


def count(self, name, index):
    """Counts the elements read from disk."""
    global read
    array = part(self, name, index)
    read += array.size
    return array


GemmaFolder._slice = count  # type: ignore[method-assign]
size = sum(leaf.size for leaf in jax.tree.leaves(expected))
LAYOUTS = {
    "tensor": {"vocab": ("a", "b"), "heads": ("a", "b"), "kv_heads": "c", "mlp": ("a", "b", "c")},
    "within heads": {"embed": "a", "head_dim": ("b", "c"), "norm": "a"},
    "replicated": {},
}
for name, rules in LAYOUTS.items():
    read = 0

    def place(spec: PartitionSpec, rules=rules) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*(rules.get(axis) for axis in spec)))

    shardings = jax.tree.map(place, logical, is_leaf=lambda x: isinstance(x, PartitionSpec))
    _, found = load_gemma(folder, shardings=shardings)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    jax.tree.map(lambda leaf, sharding: sharding == leaf.sharding or sys.exit("another sharding"), found, shardings)
    if name == "tensor":
        # Replicated parts are read once for each device at worst.
        assert read < 8 * size / 2, f"{read} elements read of {size}"
print("equal", len(jax.tree.leaves(found)))
