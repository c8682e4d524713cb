"""How far a recorded person got."""

import numpy as np

from biomechjax.motion.recording import Recording


def straight_line_speed(recording: Recording) -> float | None:
    """Metres per second from where the root stands in the first frame to where it stands in the last, horizontally.

    For a straight walk this is the walking speed; who turns back or walks on a treadmill gets nowhere. None where the
    format has no root or its position was not recorded.
    """
    root = recording.format.root
    if root is None:
        return None
    columns = [recording.format.indices[n] for n in (root.forward, root.lateral)]
    if not recording.observed[columns].all():
        return None
    gone = recording.values[-1, columns] - recording.values[0, columns]
    return float(np.hypot(*gone)) * recording.rate_hz / (len(recording.values) - 1)
