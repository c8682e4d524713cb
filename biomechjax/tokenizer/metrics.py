"""How well a tokenizer keeps a movement, in units a biomechanist reads."""

from collections.abc import Sequence

import numpy as np

from biomechjax.motion.recording import Recording
from biomechjax.tokenizer.tokenizer import MotionTokenizer


def reconstruction(tokenizer: MotionTokenizer, recordings: Sequence[Recording]) -> dict[str, float]:
    """Round-trip error over whole recordings of one format.

    Returns:
        angle_error_deg: mean absolute error of the observed angle channels.
        root_drift_cm_per_10m: distance between the planar end points per 10 m travelled, over trials that travel
            more than 1 m (only for formats with a root).
        code_use: share of the codebook used; perplexity: exp of the entropy of code use, both over all recordings.
    """
    codes = tokenizer.encode(recordings)
    format = recordings[0].format
    angle, root = format.angles, format.root  # the heading drifts like the position, so it is not an angle error
    error, count, drift, travel = 0.0, 0, 0.0, 0.0
    for recording, code in zip(recordings, codes, strict=True):
        truth = recording.resampled(tokenizer.config.rate_hz)
        _, placement = tokenizer.prepare(recording)
        decoded = tokenizer.decode(code, len(truth.values), placement, format.name)
        keep = angle & truth.observed
        error += float(np.abs(decoded.values - truth.values)[:, keep].sum())
        count += len(truth.values) * int(keep.sum())
        if root:
            ground = [truth.format.indices[root.forward], truth.format.indices[root.lateral]]
            path = float(np.linalg.norm(np.diff(truth.values[::6, ground], axis=0), axis=1).sum())
            if path > 1.0:
                drift += float(np.linalg.norm(decoded.values[-1, ground] - truth.values[-1, ground]))
                travel += path
    use = np.bincount(np.concatenate(codes), minlength=tokenizer.config.codes) / sum(map(len, codes))
    entropy = -np.sum(use[use > 0] * np.log(use[use > 0]))
    out = {
        "angle_error_deg": float(np.degrees(error / max(count, 1))),
        "code_use": float(np.mean(use > 0)),
        "perplexity": float(np.exp(entropy)),
    }
    return out | ({"root_drift_cm_per_10m": 1000 * drift / travel} if travel else {})
