"""Where a person goes, in one code for each step of the encoder, chosen so that the errors do not add up.

The networks give back velocities, and where somebody ends up is their sum: an error of a few per cent in the heading's
rate turns a straight walk into an arc. A travel code is a displacement (forward and to the right in metres in the frame
of the pelvis at the start of the step, turn in radians). Encoding chooses the code that leads from where the codes so
far have led nearest to where the person really is (differential coding with the decoder in the loop, Cutler 1952, US
patent 2,605,361), and decoding bends the network's velocities within a step so that they sum up to its code. However
long a trial, it ends within about a code's width of the truth.

Positions are complex numbers x - iz, in which turning by h to the left multiplies with exp(ih) and velocities in the
heading frame are forward - i lateral (see `motion.features`).
"""

import numpy as np

# A turn counts as much as the displacement that it causes in this distance, about a step length.
ARM_M = 0.5


def moves(root: np.ndarray, rate_hz: float, step: int) -> np.ndarray:
    """Displacement [n,3] of each step from root features [n * step, 3]: forward, lateral m/s and heading rad/s.

    The first frame is where the movement starts, so that the first step is a frame shorter.
    """
    place, heading = _poses(root, rate_hz, step)
    forward = np.diff(place) * np.exp(-1j * heading[:-1])
    return np.stack([forward.real, -forward.imag, np.diff(heading)], axis=1)


def fit(displacements: np.ndarray, size: int, seed: int) -> np.ndarray:
    """A table [Q,3] of codes for displacements [n,3] by k-means, with no movement as one of them."""
    from sklearn.cluster import MiniBatchKMeans  # slow to import, and needed in training alone

    means = MiniBatchKMeans(size - 1, n_init=1, batch_size=4096, random_state=seed)
    codes = means.fit(displacements * [1, 1, ARM_M]).cluster_centers_ / [1, 1, ARM_M]
    return np.concatenate([np.zeros((1, 3)), codes]).astype(np.float32)


def choose(table: np.ndarray, root: np.ndarray, rate_hz: float, step: int) -> np.ndarray:
    """Codes int32 [n] for root features [n * step, 3], each chosen from where the ones before it lead."""
    place, heading = _poses(root, rate_hz, step)
    toward = table[:, 0] - 1j * table[:, 1]
    at, facing, out = 0j, 0.0, []
    for goal, goal_heading in zip(place[1:], heading[1:], strict=True):
        missing = (goal - at) * np.exp(-1j * facing)
        error = np.abs(missing - toward) ** 2 + (ARM_M * (goal_heading - facing - table[:, 2])) ** 2
        code = int(np.argmin(error))
        at, facing = at + toward[code] * np.exp(1j * facing), facing + table[code, 2]
        out.append(code)
    return np.array(out, np.int32)


def steer(root: np.ndarray, displacements: np.ndarray, rate_hz: float) -> np.ndarray:
    """Root features [n * step, 3], a constant added in each step so that their `moves` are the displacements [n,3]."""
    steps = len(displacements)
    counts = np.ones((steps, len(root) // steps))  # of the frames, those that move
    counts[0, 0] = 0
    turn = root[:, 2].reshape(steps, -1) * counts
    turn = turn + counts * ((displacements[:, 2] * rate_hz - turn.sum(axis=1)) / counts.sum(axis=1))[:, None]
    before = (np.cumsum(turn, axis=1) - turn) / rate_hz  # heading since the start of the step
    pace = (root[:, 0] - 1j * root[:, 1]).reshape(steps, -1)
    reached = (pace * counts * np.exp(1j * before)).sum(axis=1)
    missing = (displacements[:, 0] - 1j * displacements[:, 1]) * rate_hz - reached
    pace = pace + (missing / counts.sum(axis=1))[:, None] * np.exp(-1j * before)
    out = np.stack([pace.real, -pace.imag, turn], axis=-1).reshape(-1, 3)
    out[0] = out[1]
    return out


def _poses(root: np.ndarray, rate_hz: float, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Place (complex) and heading [n + 1] at the start and at the last frame of each step."""
    turn, pace = root[1:, 2].astype(np.float64) / rate_hz, (root[1:, 0] - 1j * root[1:, 1]) / rate_hz
    heading = np.concatenate([[0.0], np.cumsum(turn)])
    place = np.concatenate([[0j], np.cumsum(pace * np.exp(1j * heading[:-1]))])
    ends = np.r_[0, np.arange(step, len(root) + 1, step) - 1]
    return place[ends], heading[ends]
