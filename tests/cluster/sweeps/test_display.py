"""How often a sweep says how far its runs are, where no terminal shows it all the time."""

from written_runs import records, write_run

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.sweeps.display import SweepDisplay


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_lines_come_ever_more_rarely_while_the_same_runs_go_on(make_config, tmp_path, capsys):
    run = write_run(make_config(run={"name": "trial-0000-seed-0"}), records(1, 3))
    clock, said_s = Clock(), []
    with SweepDisplay(PlainConsole(), clock) as display:
        for clock.now_s in range(2000):
            display.show([run])
            if capsys.readouterr().out:
                said_s.append(clock.now_s)
        assert said_s == [15, 45, 105, 225, 465, 765, 1065, 1365, 1665, 1965]

        others = [RunDirectory(tmp_path / f"trial-000{number}-seed-0") for number in range(1, 10)]
        for clock.now_s in (2001, 2016):
            display.show([run, *others])

    assert capsys.readouterr().out.split("; ") == [
        "trial-0000-seed-0 at 30 steps, return of the last 10 updates 1.500",
        *(f"trial-000{number}-seed-0 is starting" for number in range(1, 8)),
        "2 others\n",
    ]
