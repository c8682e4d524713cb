"""Small signals the simulation is made of: smooth noise, smooth ramps, soft limits."""

import numpy as np
from scipy import fft

from biomechjax.motion.format import MotionFormat

RATE_HZ = 30.0  # of every simulated recording, as phone video (PBL, arXiv:2507.08268)


def smooth_noise(rng: np.random.Generator, frames: int, columns: int, cutoff_hz: float) -> np.ndarray:
    """Gaussian noise [frames, columns] of standard deviation 1 with the spectrum exp(-(f / cutoff)^2 / 2).

    Stationary and bounded in practice: no random walk, so integrals of it do not drift.
    """
    size = fft.next_fast_len(frames + int(2 * RATE_HZ / cutoff_hz), real=True)  # longer, so that the ends do not meet
    gain = np.exp(-0.5 * (fft.rfftfreq(size, 1 / RATE_HZ) / cutoff_hz) ** 2)
    # A bin of two normals is a cosine of variance (2 gain / size)^2; the bin at zero keeps its real part only.
    gain *= size / np.sqrt(4 * (gain**2).sum() - 3 * gain[0] ** 2)
    spectrum = rng.standard_normal((2, len(gain), columns))
    return fft.irfft((spectrum[0] + 1j * spectrum[1]) * gain[:, None], size, axis=0)[:frames]


def ramp(t: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 before `start`, 1 after `end`, in between the minimum-jerk course of human reaching (Flash & Hogan 1985)."""
    u = np.clip((t - start) / max(end - start, 1e-6), 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def limit_softly(values: np.ndarray, format: MotionFormat, width: float = 0.02) -> np.ndarray:
    """Bends [F, C] values that near a joint limit so that they approach but never pass it.

    `width` is in the channel's unit; values further inside than a few widths stay as they are.
    """
    out = values.copy()
    for i, c in enumerate(format.channels):
        if np.isfinite(c.upper):
            out[:, i] = c.upper - width * np.logaddexp(0, (c.upper - out[:, i]) / width)
        if np.isfinite(c.lower):
            out[:, i] = c.lower + width * np.logaddexp(0, (out[:, i] - c.lower) / width)
    return out
