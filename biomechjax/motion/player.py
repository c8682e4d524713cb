"""Movements as stick figures that play in a web page: what `player.js` is given, and the pieces of the page.

A page with players needs, once, the text of `player_script` as a script and that of `player_style` as a style, and a
`player_fragment` for each movement. Nothing else is loaded. No handler and no style stands in an attribute, so that
they run under a Content-Security-Policy that allows only this script and this style, by hash, by nonce or as files.
"""

import html
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.motion.figure import StickFigure


def movement(figure: StickFigure, fastest_hz: float = 30.0, longest_s: float = 120.0) -> dict[str, Any]:
    """A figure as few JSON values: every n-th frame, so that there are at most `fastest_hz`, for at most `longest_s`.

    Returns:
        rate_hz, seconds (from the first to the last frame of the recording), facing (radians), names of the P points,
        lines (a list of point indices, a side "r", "l" or "m", and whether it was recorded, for each), notes, and mm:
        for each frame a list of 3 P whole numbers, x, y, z of each point in millimetres over the floor, in all frames
        but the first as differences to the one before.
    """
    step = math.ceil(figure.rate_hz / fastest_hz - 1e-9)
    most = int(longest_s * figure.rate_hz) + 1
    shown = figure.places[:most:step]
    mm = np.round(shown.reshape(len(shown), -1) * 1000).astype(int)
    notes = list(figure.notes)
    if len(figure.places) > most:
        notes.append(f"Only the first {longest_s:g} s are shown.")
    return {
        "rate_hz": figure.rate_hz / step,
        "seconds": (len(figure.places) - 1) / figure.rate_hz,
        "facing": round(figure.facing, 3),
        "names": list(figure.names),
        "lines": [[list(line.points), line.side, line.recorded] for line in figure.lines],
        "notes": notes,
        "mm": np.diff(mm, axis=0, prepend=np.zeros_like(mm[:1])).tolist(),
    }


def player_fragment(shown: dict[str, Any], title: str) -> str:
    """HTML of one player of a `movement`, which `player.js` brings to life; without scripts only its title is seen."""
    data = json.dumps(shown, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<figure class="motion-player"><figcaption>{html.escape(title)}</figcaption>'
        f'<script type="application/json">{data}</script></figure>'
    )


def player_script() -> str:
    """The text of `player.js`. In a page it mounts every `.motion-player`; see its first lines for more."""
    return _text("player.js")


def player_style() -> str:
    """The text of `player.css`."""
    return _text("player.css")


def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
