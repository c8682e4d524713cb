"""Which names of a laboratory are left and right of the same thing."""

from collections.abc import Sequence

_SIDES = (("left", "right"), ("l", "r"))


def partners(names: Sequence[str]) -> dict[str, str]:
    """Each name to its partner on the other side, or to itself.

    A side is `Left` or `Right`, or `L` or `R`, at the beginning of a name, or at its end after `_` or `.`, in any case:
    LASI and RASI, r_knee and L_knee, toe_l and toe_r. It counts only where the partner is there.
    """
    found = {name.lower(): name for name in names}
    partner = {name: next((found[o] for o in _others(name.lower()) if o in found), name) for name in names}
    return {a: b if partner[b] == a else a for a, b in partner.items()}


def _others(name: str) -> list[str]:
    """What a lower-case name may be called on the other side."""
    others = []
    for pair in _SIDES:
        for here, there in (pair, pair[::-1]):
            if name.startswith(here):
                others.append(there + name.removeprefix(here))
            others += [name.removesuffix(m + here) + m + there for m in "_." if name.endswith(m + here)]
    return others
