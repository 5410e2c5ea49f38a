"""The parent run of a sweep: complete in the end, whatever MLflow missed meanwhile."""

from contextlib import contextmanager

import pytest
from mlflow import MlflowClient
from written_runs import records, write_end, write_run

from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.files import read_json, write_json
from reinforce.cluster.run_store.trial_limit import configuration_file
from reinforce.cluster.sweeps.ledger import SweepLedger, run_name, sweep_lock
from reinforce.cluster.sweeps.tracking import SweepTracking
from reinforce.cluster.tracking.follower import close_stale_runs
from reinforce.cluster.tracking.store import TrackingStore, histories_of
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.loading import to_yaml
from reinforce.configs.sweep import SweepConfig

SWEEP = SweepConfig(base="cartpole", settings={"learner.discount": [0.9]}, seeds=[3])


class WrittenSweep:
    """A sweep whose runs are written without training."""

    def __init__(self, folder, make_config, store_uri):
        self.folder, self.warnings, self.about = folder, [], SWEEP
        self.ledger = SweepLedger(folder, SWEEP)
        self.client = MlflowClient(store_uri)
        self.now_s = 0.0
        self._make_config = make_config

    @contextmanager
    def tracking(self):
        config = self._make_config(tracking={"enabled": True})
        with sweep_lock(self.folder):
            yield SweepTracking(
                self.folder,
                self.about,
                config,
                self.ledger,
                self.warnings.append,
                lambda: self.now_s,
            )

    def end_run(self, trial, **sections):
        """Add a trial that has ended to the ledger; return its run, which is not in MLflow yet."""
        name = run_name(trial, 3)
        directory = str(self.folder / "runs")
        run = write_run(
            self._make_config(run={"name": name, "directory": directory}, **sections),
            records(1, 2),
        )
        write_end(run)
        self.ledger.begin(trial, {"learner.discount": "0.9"})
        self.ledger.finish(trial, [10.0 + trial], {})
        return run

    def parent(self):
        return self.client.get_run(read_json(self.folder / "tracking.json")["run_id"])

    def children(self):
        parent = self.parent().info
        query = f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
        found = self.client.search_runs([parent.experiment_id], query)
        return sorted(found, key=lambda child: child.data.tags["trial"])

    def trials(self):
        return [child.data.tags["trial"] for child in self.children()]

    def scores(self):
        """(step, value) of the score of each trial: a single point at 0 is a bar."""
        return [
            (point.step, point.value)
            for child in self.children()
            for point in self.client.get_metric_history(child.info.run_id, "sweep/score")
        ]


@pytest.fixture
def sweep(tmp_path, make_config, store_uri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweeps" / "mine"
    folder.mkdir(parents=True)
    return WrittenSweep(folder, make_config, store_uri)


def test_a_child_that_is_not_in_mlflow_yet_is_no_error_and_is_noted_later(sweep):
    late = sweep.end_run(0)
    write_json(late.tracking_file, {"key": "k", "directory": str(sweep.folder)})  # no run_id
    with sweep.tracking() as tracking:
        tracking.keep_up()
        sync_run_directory(sweep.end_run(1))
        tracking.keep_up()
        assert sweep.trials() == ["1"]

        sync_run_directory(late)
        tracking.finish("FINISHED")

    assert sweep.warnings == []
    assert sweep.trials() == ["0", "1"]
    assert sweep.scores() == [(0, 10.0), (0, 11.0)]
    assert sweep.parent().info.status == "FINISHED"


def test_an_outage_is_told_once_and_what_it_missed_is_noted_afterwards(sweep, tmp_path):
    store, aside = tmp_path / "mlflow.db", tmp_path / "aside.db"
    for trial in range(3):
        sync_run_directory(sweep.end_run(trial))
    store.rename(aside)
    store.mkdir()
    with sweep.tracking() as tracking:
        tracking.keep_up()
        sweep.now_s = 60.0
        tracking.keep_up()
        assert len(sweep.warnings) == 1
        assert "unable to open database file" in sweep.warnings[0]
        store.rmdir()
        aside.rename(store)

        tracking.finish("FINISHED")

    assert sweep.trials() == ["0", "1", "2"]


def test_a_server_that_is_away_is_asked_ever_more_rarely_and_normally_once_it_is_back(
    sweep, monkeypatch
):
    """The sweep waits for each answer, and starts no run meanwhile."""
    asked_s = []

    def find_no_run(*_):
        asked_s.append(sweep.now_s)
        raise OSError("no answer")

    sync_run_directory(sweep.end_run(0))
    with sweep.tracking() as tracking:
        with monkeypatch.context() as away:
            away.setattr("reinforce.cluster.sweeps.tracking.find_or_create_run", find_no_run)
            for now_s in range(0, 2400, 10):
                sweep.now_s = now_s
                tracking.keep_up()
                if now_s == 100:
                    sync_run_directory(sweep.end_run(1))
        assert asked_s == [0, 60, 180, 420, 900, 1500, 2100]

        sweep.now_s = 2700
        tracking.keep_up()
        assert sweep.trials() == ["0", "1"]
        sync_run_directory(sweep.end_run(2))
        tracking.keep_up()
        assert sweep.trials() == ["0", "1", "2"]


def test_called_again_it_notes_what_is_missing_and_doubles_nothing(sweep):
    sync_run_directory(sweep.end_run(0))
    with sweep.tracking() as tracking:
        tracking.finish("KILLED")
    sync_run_directory(sweep.end_run(1))

    for _ in range(2):
        with sweep.tracking() as tracking:
            tracking.finish("FINISHED")

    assert sweep.scores() == [(0, 10.0), (0, 11.0)]
    parent = sweep.parent()
    assert parent.data.metrics == {}
    note = parent.data.tags["mlflow.note.content"]
    assert "`trial-0001`: score 11.00, with learner.discount 0.9" in note
    assert parent.info.status == "FINISHED"
    runs = sweep.client.search_runs([parent.info.experiment_id], "tags.kind = 'sweep'")
    assert len(runs) == 1


def test_a_trial_at_a_rung_is_compared_by_its_own_limit(sweep, store_uri, make_config):
    run = sweep.end_run(0, stop={"max_environment_steps": 50})
    own = configuration_file(sweep.folder, run.name)
    own.parent.mkdir()
    own.write_text(to_yaml(make_config()))
    sync_run_directory(run)
    with sweep.tracking() as tracking:
        tracking.finish("FINISHED")
    sync_run_directory(run)  # again, as after an outage

    store = TrackingStore.of(TrackingConfig(uri=store_uri), sweep.folder)
    (history,) = histories_of(store, "reinforce")

    assert history.settings["stop.max_environment_steps"] == "None"


def test_a_sweep_that_lives_is_left_alone_and_one_that_was_killed_gets_a_status(sweep):
    child = sweep.end_run(0)
    sync_run_directory(child)
    state = read_json(child.tracking_file)
    with sweep.tracking() as tracking:
        tracking.keep_up()
        assert sweep.parent().data.tags["heartbeat"]

        close_stale_runs(tracking._store, state)
        assert sweep.parent().info.status == "RUNNING"

    close_stale_runs(tracking._store, state)

    assert sweep.parent().info.status == "FAILED"
    assert "reinforce sweep" in sweep.parent().data.tags["tracking.incomplete"]
