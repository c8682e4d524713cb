"""Training windows for the tokenizer, cut at random from normalised features, with exact resume through grain."""

from collections.abc import Sequence

import grain
import numpy as np

Item = tuple[np.ndarray, np.ndarray]
"""features [F,C] normalised, observed [C]"""


def window_batches(
    groups: Sequence[Sequence[Item]],
    window: int,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator:
    """An endless iterator of batches {features [B,F,C], observed [B,C], valid [B,F]}, F the window.

    Of several processes each gets its rows, [B / process_count,...], of the same batches.

    The groups (as those of each motion format) take turns. Within one a trial comes up in proportion to its length; a
    trial shorter than the window is padded, and `valid` says where.
    """
    windows = [_windows(items, window, seed + number) for number, items in enumerate(groups)]
    dataset = grain.MapDataset.mix(windows).batch(batch_size // process_count, drop_remainder=True)
    dataset = dataset[process_index::process_count]
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=16)))


def _windows(items: Sequence[Item], window: int, seed: int) -> grain.MapDataset:
    """The windows of one group, without end."""
    index = [i for i, (features, _) in enumerate(items) for _ in range(-(-len(features) // window))]

    def cut(i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        features, observed = items[i]
        start = int(rng.integers(0, max(len(features) - window, 0) + 1))
        part = features[start : start + window]
        short = window - len(part)
        return {
            "features": np.pad(part, ((0, short), (0, 0))).astype(np.float32),
            "observed": observed.astype(np.float32),
            "valid": np.pad(np.ones(len(part), np.float32), (0, short)),
        }

    return grain.MapDataset.source(index).seed(seed).shuffle().repeat().random_map(cut)
