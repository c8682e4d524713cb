"""Movements for a web page: few exact numbers, and HTML that a strict Content-Security-Policy lets through."""

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from walks import pendulum_walk

from biomechjax.motion.player import movement, player_fragment, player_script, player_style
from biomechjax.motion.stick import stick_figure


def unpacked(shown: dict) -> np.ndarray:
    return np.cumsum(shown["mm"], axis=0).reshape(len(shown["mm"]), -1, 3) / 1000


def test_every_nth_frame_in_whole_millimetres():
    figure = stick_figure(pendulum_walk(100.0, 4.0))
    shown = json.loads(json.dumps(movement(figure)))
    assert shown["rate_hz"] == 25.0 and shown["seconds"] == 3.99
    np.testing.assert_allclose(unpacked(shown), figure.places[::4], atol=0.00051)
    assert shown["names"] == list(figure.names) and len(shown["lines"]) == 5
    at_30 = movement(stick_figure(pendulum_walk(30.0, 4.0)))
    assert at_30["rate_hz"] == 30.0 and len(at_30["mm"]) == 120


def test_long_movements_are_cut_and_it_is_told():
    shown = movement(stick_figure(pendulum_walk(60.0, 4.0)), longest_s=2.0)
    assert len(shown["mm"]) == 61 and shown["notes"] == ["Only the first 2 s are shown."]


def test_fragment_holds_the_movement_and_nothing_that_runs():
    shown = movement(stick_figure(pendulum_walk(30.0, 1.0))) | {"notes": ["</script><script>alert(1)</script>"]}
    text = player_fragment(shown, '<img src="x" onerror="alert(1)">')
    assert text.count("<script") == 1 and text.count("</script") == 1 and "<img" not in text
    data = re.search(r'<script type="application/json">(.*)</script>', text)
    assert data and json.loads(data[1]) == shown


def test_script_and_style_can_stand_in_a_page_and_are_in_a_wheel():
    assert not re.search(r"</script|<!--|innerHTML|eval\(|new Function", player_script())
    assert "</style" not in player_style() and "@import" not in player_style() and "url(" not in player_style()
    assert not re.search(r"https?:", player_script() + player_style())
    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["biomechjax"]
    for name in ("motion/player.js", "motion/player.css"):
        assert any(fnmatch(name, pattern) for pattern in patterns)
