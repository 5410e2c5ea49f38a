import io
import json
import logging
import re
import sys
from dataclasses import replace

import pytest
from rich.text import Text

from reinforce.cluster.console import PlainConsole, console_of_a_run
from reinforce.cluster.display import LiveDisplay, PlainDisplay, RunPanel, make_display
from reinforce.cluster.run_store.journal import BatchEntry, JournalEntry
from reinforce.configs.config import Config

METRICS = {
    "rollout/return_mean": 123.4,
    "rollout/return_min": 9.0,
    "rollout/return_max": 200.0,
    "time/environment_steps_per_s": 50_000.0,
    "time/sampling_s": 0.3,
    "time/learning_s": 0.1,
    "cluster/workers_alive": 2.0,
    "cluster/worker_restarts": 1.0,
    "tickets/completed": 24.0,
    "tickets/reissued": 1.0,
}
UPDATE = JournalEntry(12, 6_000, 1.5, 0, METRICS, BatchEntry("", [1.0], [1]))
EVALUATION = JournalEntry(
    12,
    6_000,
    1.6,
    0,
    {
        "evaluation/return_mean": 432.1,
        "evaluation/return_ci_low": 420.0,
        "evaluation/return_ci_high": 444.2,
        "time/evaluation_s": 0.1,
    },
)


def console(*, terminal):
    return PlainConsole(file=io.StringIO(), force_terminal=terminal, width=100)


def test_a_terminal_gets_the_panel_and_a_pipe_gets_lines():
    assert isinstance(make_display(console(terminal=True), Config(), "x"), LiveDisplay)
    assert isinstance(make_display(console(terminal=False), Config(), "x"), PlainDisplay)


def test_plain_lines_come_at_most_every_second_but_for_every_evaluation():
    out = console(terminal=False)
    with PlainDisplay(out, Config()) as display:
        for record in (UPDATE, UPDATE, EVALUATION, EVALUATION):
            display.show(record)

    lines = out.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "update    12  0:00:02  steps 6,000  return 123.4  50,000 steps/s  workers 2"
    assert lines[1] == "update    12  evaluation: return 432.1 (95 %: 420.0 to 444.2)"


def test_a_program_reads_updates_evaluations_and_messages_as_json(capsys):
    with console_of_a_run("json") as out, make_display(out, Config(), "my-run") as display:
        print("an environment's own words")  # noqa: T201
        for record in (UPDATE, UPDATE, EVALUATION):
            display.show(record)
        display.warn("an\nenvironment [red] failed")
    shown = capsys.readouterr()

    update, evaluation, message = map(json.loads, shown.out.splitlines())
    assert update["event"] == "update"
    assert update["metrics"] == METRICS
    assert (evaluation["event"], evaluation["updates"]) == ("evaluation", 12)
    assert message == {"event": "message", "text": "an\nenvironment [red] failed"}
    assert shown.err == "an environment's own words\n"


def test_a_terminal_keeps_each_evaluation_and_the_last_panel():
    out = console(terminal=True)
    with LiveDisplay(out, Config(), "my-run") as display:
        display.show(UPDATE)
        display.show(EVALUATION)
        display.show(replace(UPDATE, updates=13))

    text = Text.from_ansi(out.file.getvalue()).plain
    assert text.count("evaluation: return 432.1 (95 %: 420.0 to 444.2)") == 1
    last = text[text.rindex("my-run") :]
    assert "update 13 of 1,000" in last
    assert " left" not in last
    assert out.file.getvalue().rstrip().endswith("\x1b[?25h")


@pytest.mark.parametrize("width", [80, 40])
def test_the_panel_fits_the_terminal(width):
    out = PlainConsole(file=io.StringIO(), width=width, color_system=None)
    panel = RunPanel(Config.model_validate({"stop": {"target_return": 475.0}}), "my-run")
    panel.note(EVALUATION)
    panel.note(UPDATE)
    out.print(panel.drawn())

    lines = out.file.getvalue().splitlines()
    assert {len(line) for line in lines} == {width}
    assert (len(lines) == 10) == (width == 80)
    words = " ".join(line.strip("│ ") for line in lines)
    assert "…" not in words
    for word in ("432.1", "420.0", "target", "sampling", "stop.max_updates"):
        assert word in words


def test_time_left_is_that_until_the_limit_that_comes_first():
    def left(**stop):
        panel = RunPanel(Config.model_validate({"stop": stop}), "my-run")
        panel.note(replace(UPDATE, training_time_s=60.0))
        out = console(terminal=False)
        out.print(panel.drawn())
        return re.search(r"(\d+)% of stop\.(\w+), about (\S+) left", out.file.getvalue()).groups()

    assert left(max_updates=24) == ("50", "max_updates", "0:01:00")
    assert left(max_environment_steps=60_000) == ("10", "max_environment_steps", "0:09:00")
    assert left(max_wall_time_s=240.0) == ("25", "max_wall_time_s", "0:03:00")


def test_at_the_end_no_bar_looks_as_if_something_was_left_to_do():
    out, panel = console(terminal=False), RunPanel(Config(), "my-run")
    panel.note(UPDATE)
    out.print(panel.drawn())
    during = out.file.getvalue()
    panel.close()
    out.print(panel.drawn())
    at_the_end = out.file.getvalue().removeprefix(during)

    assert ("━" in during, "━" in at_the_end) == (True, False)
    assert "% of stop.max_updates used" in at_the_end


def test_no_colour_is_unreadable_on_white():
    out = PlainConsole(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    display = LiveDisplay(out, Config(), "my-run")
    display.warn("a worker was lost")
    display.show(UPDATE)
    out.print(display._panel.drawn())
    out.print(out.render_str("[status.spinner]*"))
    out.print(*(f"[{name}]*" for name in ("bar.finished", "progress.remaining")), markup=True)

    codes = {
        code
        for found in re.findall(r"\x1b\[([\d;]+)m", out.file.getvalue())
        for code in found.split(";")
    }
    assert codes & {"32", "33", "36", "92", "93", "96"} == set()  # green, yellow, cyan


def test_the_panel_shows_progress_returns_speed_time_and_workers():
    out = console(terminal=True)
    config = Config.model_validate({"stop": {"max_updates": 24, "target_return": 475.0}})
    with LiveDisplay(out, config, "my-run") as display:
        display.show(UPDATE)
        display.show(EVALUATION)
        out.print(display._panel.drawn())

    shown = out.file.getvalue()
    for word in (
        *("my-run", "6,000", "123.4", "9.0 to 200.0; last 10 updates 1.000", "475", "50,000"),
        *(
            "432.1 (95 %: 420.0 to 444.2) at update 12",
            "2 (1 replaced)",
            "24 played",
            "50% of stop.max_updates",
        ),
        *("sampling 60%", "learning 20%", "evaluating 20%"),
    ):
        assert word in shown


def test_a_goal_from_info_or_else_the_rate_of_success_stands_beside_the_return():
    said = {"energy": 3.25, "is_success": 0.4, "x": 9.0}
    means = {f"rollout/{name}_mean": mean for name, mean in said.items()}
    update = replace(UPDATE, metrics=METRICS | means)
    evaluation = {f"evaluation/{name}_mean": 2 * mean for name, mean in said.items()}
    evaluation = replace(EVALUATION, metrics=EVALUATION.metrics | evaluation)
    goal = {
        "environment": {"info_metrics": {"energy": "sum"}},
        "stop": {"target_metric": "energy", "target_return": 8.0},
    }
    shown = {}
    for sections in ({}, goal):
        lines, panel = console(terminal=False), console(terminal=True)
        config = Config.model_validate(sections)
        with make_display(lines, config, "") as display:
            display.show(update)
            display.show(evaluation)
        with make_display(panel, config, "") as display:
            display.show(update)
            display.show(evaluation)
            panel.print(display._panel.drawn())
        shown[bool(sections)] = lines.file.getvalue(), panel.file.getvalue()

    assert "return 123.4, is_success 0.400  50,000" in shown[False][0]
    assert "444.2), is_success 0.800" in shown[False][0]
    assert "123.4; single episodes" in shown[False][1]
    assert "is_success 0.400" in shown[False][1]
    assert "444.2), is_success 0.800" in shown[False][1]
    assert "return 123.4, energy 3.250, is_success 0.400  50,000" in shown[True][0]
    for words in ("energy 3.250, is_success 0.400", "444.2), energy 6.500", "energy 8"):
        assert words in shown[True][1]


def test_after_the_last_update_the_final_evaluation_is_awaited_and_no_further_update():
    panel = RunPanel(Config.model_validate({"stop": {"max_updates": 13}}), "my-run")

    panel.note(UPDATE)
    assert panel._stage == "update 13"
    panel.note(replace(UPDATE, updates=13))
    assert panel._stage == "evaluating"


def test_lines_of_a_terminal_break_between_words_and_leave_paths_and_commands_whole():
    out = PlainConsole(file=io.StringIO(), force_terminal=True, width=40, color_system=None)
    with PlainDisplay(out, Config()) as display:
        display.show(EVALUATION)
    run = "/home/me/experiments/of/a/thesis/runs/acrobot"
    rows = {"run": run, "status": "finished", "evaluation": "return 1.000, greedy " * 2}
    out.say_rows({**rows, "here": "17,771 steps/s on x86_64 / arm, Python 3.11"}, whole=["run"])

    assert out.file.getvalue().splitlines() == [
        "update    12  evaluation: return 432.1",
        "              (95 %: 420.0 to 444.2)",
        "run",
        run,
        "status      finished",
        "evaluation  return 1.000, greedy return",
        "            1.000, greedy",
        "here        17,771 steps/s on x86_64 /",
        "            arm, Python 3.11",
    ]


def test_before_the_first_batch_the_panel_says_what_it_waits_for():
    out = console(terminal=True)
    with LiveDisplay(out, Config(), "my-run") as display:
        out.print(display._panel.drawn())

    assert "playing the first episodes" in out.file.getvalue()


def test_what_users_write_is_shown_as_it_is():
    shown = PlainConsole(file=io.StringIO())
    PlainDisplay(shown, Config()).warn("an environment failed (KeyError: 'envs:ok:' [red])")

    assert shown.file.getvalue() == "an environment failed (KeyError: 'envs:ok:' [red])\n"


def test_a_title_and_a_cell_are_a_user_s_text_without_markup_and_control_characters():
    shown = console(terminal=False)
    with LiveDisplay(console(terminal=True), Config(), "[red]\x1b[31m") as display:
        shown.print(display._panel.drawn())
    shown.print(shown.cell("[red]\x1b[31m"))

    assert shown.file.getvalue().count(r"[red]\x1b[31m") == 2


def test_messages_are_cut_and_data_is_not():
    shown = console(terminal=False)
    shown.say("x" * 9999)
    shown.say_data("x" * 9999)

    first, second = shown.file.getvalue().splitlines()
    assert " ... (9,999 characters) ... " in first
    assert second == "x" * 9999


def test_a_debugger_stops_where_it_was_called_and_the_panel_is_out_of_its_way(monkeypatch):
    seen, out, streams = [], console(terminal=True), (sys.stdout, sys.stderr)

    def debugger(*arguments, **options):
        frame = sys._getframe(1).f_code.co_name
        seen.append((frame, arguments, options, (sys.stdout, sys.stderr) == streams))

    monkeypatch.setattr(sys, "breakpointhook", debugger)
    with LiveDisplay(out, Config(), "my-run") as display:
        assert sys.stdout is not streams[0]
        breakpoint(1, header="here")
        shown = len(out.file.getvalue())
        display.show(UPDATE)

    name = test_a_debugger_stops_where_it_was_called_and_the_panel_is_out_of_its_way.__name__
    assert seen == [(name, (1,), {"header": "here"}, True)]
    assert out.file.getvalue()[shown:].startswith("update    12  0:00:02  steps 6,000")
    assert sys.breakpointhook is debugger


def test_what_is_printed_and_logged_comes_above_the_panel(monkeypatch):
    out, streams = console(terminal=True), (io.StringIO(), io.StringIO())
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        with LiveDisplay(out, Config(), "my-run"):
            print("printed [red]", flush=True)  # noqa: T201
            logging.getLogger("mine").warning("logged")
        logging.getLogger("mine").warning("afterwards")
    finally:
        logging.getLogger().removeHandler(handler)

    assert "printed [red]\n" in out.file.getvalue()
    assert "logged\n" in out.file.getvalue()
    assert [stream.getvalue() for stream in streams] == ["", "afterwards\n"]
