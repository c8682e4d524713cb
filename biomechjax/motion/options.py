"""What a person says about a file that does not say it itself."""

import dataclasses
import math
from pathlib import Path

from biomechjax.errors import InputError

ANGLE_UNITS = ("rad", "deg")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Every field is for some kinds of files only; `read_recording` refuses one that the file has no use for.

    Attributes:
        format: motion format of the columns, by name or path of a .toml file.
        array: name of the array in a .npz file.
        rate_hz: frames per second, where the file has no time.
        duration_s: seconds from the first frame to the last, for a file whose time is scaled to a movement cycle.
        unit: of the angles, "rad" or "deg".
        unit_m: metres in one unit of length, as 0.001 for millimetres.
    """

    format: str | None = None
    array: str | None = None
    rate_hz: float | None = None
    duration_s: float | None = None
    unit: str | None = None
    unit_m: float | None = None

    def __post_init__(self) -> None:
        """Checks each field by itself.

        Raises:
            InputError: a number is not above 0 and finite, or the unit is unknown.
        """
        for name in ("rate_hz", "duration_s", "unit_m"):
            value = getattr(self, name)
            if value is not None and not (0 < value < math.inf):
                raise InputError(f"{name} is {value}; expected a number above 0")
        if self.unit not in (None, *ANGLE_UNITS):
            raise InputError(f"unit is {self.unit!r}; expected one of {ANGLE_UNITS}, the unit of the angles")

    def refuse_all_but(self, used: tuple[str, ...], path: Path) -> None:
        """Raises InputError where a field is given that is not among `used`."""
        for field in dataclasses.fields(self):
            if getattr(self, field.name) is not None and field.name not in used:
                raise InputError(
                    f"{path}: {field.name} is given, but {path.suffix} files say it themselves or have no use for it; "
                    "leave it out"
                )
