"""Which points of a journal become points of MLflow."""

from dataclasses import replace

from mlflow import MlflowClient
from written_runs import BATCH, records, stored_points, write_run

from reinforce.cluster.analysis.comparison import SCORE
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.journal import Journal, JournalEntry
from reinforce.cluster.tracking.shown_metrics import ShownMetrics
from reinforce.cluster.tracking.store import TrackingStore, histories_of
from reinforce.cluster.tracking.views import RUNS, tag_of_view

LOST = "cluster/worker_restarts"


def entry(updates, **metrics):
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    return JournalEntry(updates, 10 * updates, float(updates), 1000 * updates, named, BATCH)


def curves(entries, held=()):
    """By name, (step, value) of what is shown."""
    shown, found = ShownMetrics(held), {}
    for each in (part for given in entries for part in shown.of(given)):
        for name, value in each.metrics.items():
            found.setdefault(name, []).append((each.environment_steps, value))
    return found


def test_a_count_of_losses_is_shown_from_the_point_before_the_first_loss_on():
    lost = [0, 0, 0, 1, 1, 2]

    shown = curves(entry(n, cluster__worker_restarts=count) for n, count in enumerate(lost, 1))

    assert shown == {LOST: [(30, 0), (40, 1), (50, 1), (60, 2)]}


def test_what_never_changes_is_left_out_unless_runs_are_listed_by_it():
    metrics = {"learner__learning_rate": 0.1, "rollout__return_mean": 5.0, "progress__updates": 1}

    shown = curves([entry(1, **metrics), entry(2, **metrics)])

    assert shown.keys() == {"batch/return_mean", "progress/updates"}


def test_an_evaluation_is_shown_even_if_it_is_the_only_one_and_a_result_is_not():
    evaluated = replace(entry(3, evaluation__return_mean=7.0), batch=None)
    confirmed = replace(entry(3, evaluation__confirmed_return_mean=6.5), batch=None)

    assert curves([evaluated, confirmed]) == {"evaluation/return_mean": [(30, 7.0)]}


def test_what_the_first_update_lacks_is_shown_when_it_comes_though_it_stays_as_it_is():
    entries = [entry(1, learner__kl=0.0), *(entry(n, cluster__spilled_bytes=5e9) for n in (2, 3))]

    assert curves(entries) == {"cluster/spilled_bytes": [(20, 5e9), (30, 5e9)]}


def test_an_event_is_shown_even_if_it_is_the_only_one():
    long = replace(entry(1, tickets__longest_s=31.0), batch=None)

    assert curves([long, entry(2, learner__kl=0.0)]) == {"tickets/longest_s": [(10, 31.0)]}


def test_what_mlflow_has_goes_on_though_it_does_not_change():
    entries = [entry(n, cluster__worker_restarts=1) for n in (1, 2)]

    assert curves(entries, held=[LOST]) == {LOST: [(10, 1), (20, 1)]}


def test_a_run_of_version_0_1_goes_on_under_the_names_that_it_has():
    entries = [entry(n, rollout__return_mean=float(n)) for n in (1, 2)]

    shown = curves(entries, held=["rollout/return_mean"])

    assert shown == {"rollout/return_mean": [(10, 1.0), (20, 2.0)]}


def test_a_metric_that_changes_first_after_a_resumption_has_the_point_before_it(
    make_config, store_uri
):
    metrics = {"rollout__return_mean": 1.0}
    entries = [entry(n, **metrics, cluster__worker_restarts=n // 5) for n in range(1, 7)]
    run = write_run(make_config(), entries[:3])
    sync_run_directory(run)
    with Journal(run.journal_file) as journal:
        for each in entries[3:]:
            journal.append(each)

    sync_run_directory(run)

    stored = stored_points(store_uri, read_json(run.tracking_file)["run_id"])
    assert {step: value for (name, step), (value, _) in stored.items() if name == LOST} == {
        40: 0,
        50: 1,
        60: 1,
    }
    assert {step for name, step in stored if name == "batch/return_mean"} == set(range(10, 70, 10))


def test_a_run_of_version_0_1_is_compared_by_the_names_that_it_has(tmp_path, store_uri):
    client = MlflowClient(store_uri)
    run = client.create_run(client.create_experiment("old"))
    for name in ("rollout/return_mean", SCORE):
        client.log_metric(run.info.run_id, name, 5.0, step=10)

    (history,) = histories_of(TrackingStore(store_uri, is_default=False, directory=tmp_path), "old")

    assert history.metrics["rollout/return_mean"] == [(10.0, 5.0)]
    assert history.score == 5.0


def test_an_experiment_that_has_no_view_yet_gets_one(make_config, store_uri):
    client = MlflowClient(store_uri)
    experiment = client.create_experiment("mine")

    sync_run_directory(write_run(make_config(tracking={"experiment": "mine"}), records(1, 2)))

    assert tag_of_view(RUNS) in client.get_experiment(experiment).tags
