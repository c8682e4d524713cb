"""Losses of places: where normalised features put the body, in metres, by forward kinematics in JAX."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.motion.body import skeleton
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.kinematics import forward_kinematics
from biomechjax.motion.stance import foot_points, horizontal_speed, length, placed, standing

PELVIS = ("pelvis_tx", "pelvis_ty", "pelvis_tz")
Terms = dict[str, Callable[[], Array]]


@dataclasses.dataclass(frozen=True, eq=False)
class Body:
    """A body of 1.7 m that takes the postures of canonical features; channels that are not observed stand at 0.

    Attributes:
        format: canonical.
        rate_hz: of the features.
        mean, std: [C] that they were normalised with.
    """

    format: MotionFormat
    rate_hz: float
    mean: np.ndarray
    std: np.ndarray

    def sums(self, output: Array, batch: dict[str, Array]) -> Terms:
        """The sums of the terms, for output features [B,F,C] and a `losses.Batch`.

        position: distance in metres of each joint from where the batch has it, seen from the pelvis of who faces its
        heading. slip: horizontal speed in metres per second of heels and balls while they stand in the batch. A place
        counts where all that places it is observed, in valid frames.
        """
        observed, valid = batch["observed"], batch["valid"]

        def position() -> Array:
            between = self.joints(output, observed) - self.joints(batch["features"], observed)
            return jnp.sum(length(between) * self._joints_placed(observed)[:, None] * valid[..., None])

        def slip() -> Array:
            return jnp.sum(self._stands(batch) * horizontal_speed(self.feet(output, observed), self.rate_hz))

        return {"position": position, "slip": slip}

    def counts(self, batch: dict[str, Array]) -> Terms:
        """Frames times joints under the position term, and times standing points under that of slip."""
        joints = self._joints_placed(batch["observed"])
        return {
            "position": lambda: jnp.sum(jnp.sum(batch["valid"], axis=1) * jnp.sum(joints, axis=1)),
            "slip": lambda: jnp.sum(self._stands(batch)),
        }

    def joints(self, features: Array, observed: Array) -> Array:
        """Joints [B,F,J,3] from the pelvis's origin of who faces along x; of features [B,F,C], observed [B,C]."""
        channels = self._channels(features, observed).at[..., self._root].set(0.0)
        joints = forward_kinematics(channels, heading_first=True).joints
        return joints - joints[..., :1, :]

    def feet(self, features: Array, observed: Array) -> Array:
        """Heels and balls [B,F,4,3] in a room where the pelvis starts at the origin, facing along x."""
        channels = self._channels(features, observed)
        forward, lateral, turn = (channels[:, 1:, i] / self.rate_hz for i in self._root)

        def running(steps: Array) -> Array:
            return jnp.pad(jnp.cumsum(steps, axis=1), ((0, 0), (1, 0)))

        # as `from_features` does
        heading = running(turn)
        cos, sin = jnp.cos(heading[:, :-1]), jnp.sin(heading[:, :-1])
        place = running(forward * cos + lateral * sin), running(lateral * cos - forward * sin), heading
        channels = channels.at[..., self._root].set(jnp.stack(place, axis=-1))
        return foot_points(forward_kinematics(channels, heading_first=True))

    def _stands(self, batch: dict[str, Array]) -> Array:
        """[B,F-1,4] 1 where a point of the feet is known to stand."""
        observed = batch["observed"]
        columns = np.array([self.format.indices[name] for name in PELVIS])
        known = placed(observed) * jnp.all(observed[:, columns] > 0, axis=-1, keepdims=True)
        return standing(self.feet(batch["features"], observed), self.rate_hz, batch["valid"]) * known[:, None]

    def _joints_placed(self, observed: Array) -> Array:
        """[B,J] 1 where a joint is placed by what is observed; the pelvis is where it is."""
        table = skeleton()
        carried = np.array([s.parent >= 0 for s in table.segments])
        return ((1 - observed) @ table.placing.T == 0) * carried

    def _channels(self, features: Array, observed: Array) -> Array:
        return jnp.asarray((features * self.std + self.mean) * observed[:, None])

    @property
    def _root(self) -> np.ndarray:
        root = self.format.root
        assert root is not None
        return np.array([self.format.indices[n] for n in (root.forward, root.lateral, root.heading)])
