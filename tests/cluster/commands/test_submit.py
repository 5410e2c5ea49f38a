"""What `reinforce submit` refuses before anything is sent, and how a job's end becomes a code."""

import pytest
from ray.job_submission import JobDetails, JobStatus

from reinforce.cluster.cli import main
from reinforce.cluster.commands.arguments import parse_command
from reinforce.cluster.commands.submit import SubmitCommand, _submit
from reinforce.cluster.submission.jobs import exit_code_of
from reinforce.cluster.submission.working_directory import WorkingDirectory


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)


REFUSED = {
    "no address": (["cartpole"], "needs the address of a cluster's dashboard"),
    "no URL": (
        ["cartpole", "--address", "ray://127.0.0.1:6379"],
        "--address 'ray://127.0.0.1:6379' is not the URL of a Ray dashboard",
    ),
    "no scheme": (
        ["cartpole", "--address", "127.0.0.1:9"],
        "--address 'http://127.0.0.1:9' does not answer (",
    ),
    "nobody there": (
        ["cartpole", "--address", "http://127.0.0.1:9"],
        "--address 'http://127.0.0.1:9' does not answer (",
    ),
    "another cluster": (
        ["cartpole", "--address", "http://127.0.0.1:9", "--cluster.address", "head:6379"],
        "a job runs on its own cluster",
    ),
    "bad setting": (
        ["cartpole", "--address", "http://127.0.0.1:9", "--learner.learning_rate", "-1"],
        "learner.learning_rate = -1.0 is refused",
    ),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_submitted_is_said_once(words, message, capsys):
    assert main(["submit", *words]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("reinforce: ") == 1
    assert "Traceback" not in said.err


def test_a_configuration_outside_of_the_directory_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.yaml").write_text("run: {seed: 1}")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")

    assert main(["submit", "../mine.yaml", "--address", "http://127.0.0.1:9"]) == 2
    assert "../mine.yaml is outside the current directory" in capsys.readouterr().err


def test_help_explains_what_is_sent_and_when_it_is_run_again(capsys):
    assert main(["submit", "--help"]) == 0
    assert "The same command with the same files is the same job" in capsys.readouterr().out


@pytest.mark.parametrize(("named", "goes_on"), [(["--run.name", "mine"], True), ([], False)])
def test_a_job_goes_on_with_the_run_of_its_name_if_one_is_there(tmp_path, named, goes_on):
    """A new cluster knows no job, and may have the disk of the one before."""
    (tmp_path / "mine.yaml").write_text("run: {seed: 1}")
    cluster, words = EmptyCluster(), ["./mine.yaml", "--address", "http://x", "--detach", *named]
    submitted = parse_command("submit", SubmitCommand, words)

    _submit(cluster, submitted, WorkingDirectory.of(tmp_path), tmp_path / "x.zip")

    (command,) = cluster.commands
    assert f"train {' '.join(['./mine.yaml', *named])}" in command
    assert "--address" not in command
    assert "--detach" not in command
    assert ("--resume auto" in command) == goes_on
    assert "export REINFORCE_SUBMITTED_FILES=x; " in command, "so that it goes on with no others'"


class EmptyCluster:
    """Takes jobs, and knows none."""

    address = "http://head:8265"

    def __init__(self):
        self.commands = []

    def find(self, submission_id):
        return None

    def all(self):
        return []

    def submit(self, submission_id, entrypoint, package):
        self.commands.append(entrypoint)


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 2, 2),
        (JobStatus.FAILED, -9, 137),
        (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, None, 143),
    ],
)
def test_the_exit_code_of_a_job_is_that_of_its_command(status, driver, code):
    job = JobDetails(type="SUBMISSION", status=status, entrypoint="x", driver_exit_code=driver)

    assert exit_code_of(job) == code
