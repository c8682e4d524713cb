"""Results that are kept: taken again only where nothing that they depend on has changed."""

import pytest

from biomechjax import provenance
from biomechjax.evaluation import kept as keeping
from biomechjax.evaluation.kept import Kept


def counted(made: list, value):
    def make():
        made.append(value)
        return value

    return make


def test_what_was_found_is_found_again(tmp_path):
    made: list = []
    value = {"cadence": [1.5, None, 2.0], "diagnosis": ["none"]}
    for _ in range(2):
        assert (
            Kept(tmp_path / "a" / "kept")("answers of x/y", ("hash", "test"), ("tasks",), counted(made, value)) == value
        )
    assert len(made) == 1
    assert Kept()("answers of x/y", ("hash", "test"), ("tasks",), counted(made, value)) == value
    assert len(made) == 2


def test_other_settings_names_and_code_make_it_anew(tmp_path, monkeypatch):
    made: list = []
    kept = Kept(tmp_path)

    def ask(name="a", settings=(1,), rooms=("tasks",)):
        kept(name, settings, rooms, counted(made, len(made)))
        return len(made)

    assert (ask(), ask()) == (1, 1)
    assert ask(name="b") == 2
    assert ask(settings=(2,)) == 3
    assert ask(settings=(2,), rooms=("tasks", "evaluation/kept.py")) == 4
    monkeypatch.setattr(keeping, "resume_key", lambda *_: "other-code")
    assert ask(settings=(2,)) == 5
    # Of each name the newest alone stays.
    assert sorted(f.name.split(".")[0] for f in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_of_code_counts_as_a_room_does(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOMS", tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "one.py").write_text("1")
    (tmp_path / "other.py").write_text("1")
    first = provenance.resume_key((), ("tasks", "other.py"))
    assert first == provenance.resume_key((), ("tasks", "other.py"))
    (tmp_path / "other.py").write_text("2")
    second = provenance.resume_key((), ("tasks", "other.py"))
    (tmp_path / "tasks" / "one.py").write_text("2")
    assert len({first, second, provenance.resume_key((), ("tasks", "other.py"))}) == 3


def test_a_stop_in_the_middle_leaves_nothing_half(tmp_path):
    kept = Kept(tmp_path)

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept("a", (), (), stopped)
    (tmp_path / "a.unfinished").write_text("[1,")  # of one that was killed while it wrote
    assert kept("a", (), (), lambda: [1, 2]) == [1, 2]
    assert kept("a", (), (), stopped) == [1, 2]
