"""Files whose time is not seconds but the share of a movement cycle.

OpenSim's tutorial gaits (gait2392 normal and crouch 1 to 4) run from 0 to 1 whatever the stride took. Read as seconds
they would give a wrong speed, cadence and everything that depends on them.
"""

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.recording import Recording

SPANS = (1.0, 100.0)  # a share, or per cent
# The five tutorial gaits end within 2.4 to 6.9 degrees of where they began, in every angle.
CLOSES_RAD = np.deg2rad(10.0)
MOVES_RAD = np.deg2rad(20.0)  # somebody who stands still is everywhere where they began


def check_time_is_seconds(recording: Recording) -> None:
    """Nothing, for a recording whose time may be seconds.

    Raises:
        InputError: it lasts 1 or 100 to a millionth, some angle moves, and all end where they began. A real trial can
            look like that; the message says how to confirm it.
    """
    span = (len(recording.values) - 1) / recording.rate_hz
    if not np.isclose(span, SPANS, rtol=1e-6, atol=0).any():
        return
    angles = recording.values[:, recording.format.angles & recording.observed]
    if angles.size == 0 or np.ptp(angles, axis=0).max() < MOVES_RAD:
        return
    gap = np.abs(angles[-1] - angles[0]).max()
    if gap < CLOSES_RAD:
        raise InputError(
            f"{recording.source}: time spans exactly {span:g} and every angle ends within {np.rad2deg(gap):.1f} "
            "degrees of its start, as in a movement cycle with its time scaled; give the seconds it took as duration_s "
            f"(--duration-s), which are {span:g} if time is right"
        )
