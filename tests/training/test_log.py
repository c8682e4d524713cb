"""The log of a run and its picture."""

import json

from biomechjax.training.log import Log, draw_curves, read_log


def test_a_log_that_goes_on_keeps_what_was_before(tmp_path):
    with Log(tmp_path, 0, 9) as log:
        assert not log.reported
        for row in ({"step": 2, "loss": 1.0, "seconds_per_step": 1.0}, {"step": 2, "held_out": 3.0}, {"step": 4}):
            log.write(row)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1')
    with Log(tmp_path, 2, 9) as log:
        assert log.reported
    assert [row["step"] for row in read_log(tmp_path)] == [2, 2]
    with Log(tmp_path, 0, 9):
        assert read_log(tmp_path) == []


def test_the_screen_shows_numbers_and_the_log_everything(tmp_path, capsys):
    row = {"step": 3, "loss": 0.123456, "seconds_per_step": 2.0, "kept": {"channels": {"hip": 1.0}}}
    with Log(tmp_path, 0, 9) as log:
        log.write(row)
    assert capsys.readouterr().err.split("  ") == ["step 3/9", "loss 0.1235", "seconds_per_step 2", "0.2 min left\n"]
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == row


def test_curves_of_training_and_of_reports_are_apart():
    rows = [{"step": s, "loss": 10.0**-s, "perplexity": 5.0, "seconds_per_step": 1.0} for s in range(4)]
    figure = draw_curves([*rows, {"step": 3, "perplexity": 7.0, "kept": {"more": 1.0}}])
    panels = {a.get_title(): a for a in figure.axes if a.get_title()}
    assert list(panels) == ["loss", "perplexity", "seconds_per_step", "held out: perplexity"]
    assert panels["loss"].get_yscale() == "log" and panels["perplexity"].get_yscale() == "linear"
    assert panels["held out: perplexity"].lines[0].get_xydata().tolist() == [[3, 7]]
