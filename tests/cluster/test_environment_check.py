import time

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.run_lifecycle import told_if_slow


def said(patience_s, lasts_s):
    console = PlainConsole(record=True, width=200)
    with told_if_slow(console, "Maze-v0", patience_s):
        time.sleep(lasts_s)
    return console.export_text()


def test_whoever_waits_is_told_once_for_what_and_how_to_end_it():
    text = said(patience_s=0.01, lasts_s=0.5)

    assert text.count("still trying environment.id = 'Maze-v0' after 0.01 s") == 1
    assert "Ctrl-C ends this" in text


def test_a_check_that_is_soon_over_is_not_mentioned():
    assert said(patience_s=60.0, lasts_s=0.0) == ""
