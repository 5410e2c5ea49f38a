"""Following a job of a cluster that keeps silent, tears a connection, or forgets."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus

from reinforce.cluster.errors import ClusterUnreachableError, JobLostError
from reinforce.cluster.submission import jobs
from reinforce.cluster.submission.jobs import RayJobs

SILENCE = object()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(jobs, "_QUIET_S", 0.05)
    monkeypatch.setattr(jobs, "_RETRY_PAUSE_S", 0.0)


class ScriptedCluster:
    """Tells a log anew at each connection, and the status of a job when it is asked.

    A log is a list of texts, errors and silence; the last log and the last answer are repeated.
    """

    def __init__(self, logs, answers):
        self._logs, self._answers = list(logs), list(answers)
        self.num_connections = self.num_asked = 0

    async def tail_job_logs(self, submission_id):
        log = self._logs[min(self.num_connections, len(self._logs) - 1)]
        self.num_connections += 1
        for text in log:
            if text is SILENCE:
                await asyncio.sleep(60)
            if isinstance(text, Exception):
                raise text
            yield text

    def get_job_info(self, submission_id):
        answer = self._answers[min(self.num_asked, len(self._answers) - 1)]
        self.num_asked += 1
        if isinstance(answer, Exception):
            raise answer
        return JobDetails(type="SUBMISSION", status=answer, entrypoint="x")


def follow(cluster):
    """Return what was shown, and the status in the end."""
    shown = []
    job = RayJobs("http://head:8265", cluster).follow("job", shown.append)
    return "".join(shown), job.status


RUNNING, SUCCEEDED = JobStatus.RUNNING, JobStatus.SUCCEEDED
TORN = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


def test_a_job_that_says_nothing_is_asked_after_and_followed_anew():
    cluster = ScriptedCluster([["one ", SILENCE], ["one two"]], [RUNNING, SUCCEEDED])

    assert follow(cluster) == ("one two", SUCCEEDED)
    assert cluster.num_connections == 2


def test_the_end_of_a_log_whose_connection_was_torn_is_shown_though_the_job_is_over():
    cluster = ScriptedCluster([["one ", TORN], ["one two"]], [SUCCEEDED])

    assert follow(cluster) == ("one two", SUCCEEDED)


def test_a_log_that_is_torn_again_and_again_is_given_up_when_the_job_is_over():
    cluster = ScriptedCluster([["one ", TORN]], [RUNNING, SUCCEEDED])

    assert follow(cluster) == ("one ", SUCCEEDED)
    assert cluster.num_connections == 3, "once more after it was over"


def test_a_cluster_that_was_started_anew_no_longer_knows_the_job():
    cluster = ScriptedCluster([[TORN]], [RuntimeError("Request failed with status code 404: no")])

    with pytest.raises(JobLostError, match="no longer knows the job job"):
        follow(cluster)


def test_a_cluster_that_does_not_answer_is_given_up_in_the_end(monkeypatch):
    monkeypatch.setattr(jobs, "_LOST_AFTER_S", 0.2)
    cluster = ScriptedCluster([[TORN]], [requests.ConnectionError("refused")])

    with pytest.raises(JobLostError, match="refused"):
        follow(cluster)
    assert cluster.num_asked > 1


def test_what_nobody_reads_any_more_is_followed_no_further():
    """As in `reinforce submit ... | head`: the command line ends by the pipe."""
    cluster = ScriptedCluster([["one ", "two"]], [RUNNING])

    def write(text):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        RayJobs("http://head:8265", cluster).follow("job", write)
    assert cluster.num_asked == 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (requests.ReadTimeout("no answer within 60 s"), "no answer within 60 s"),
        (AuthenticationError("401"), "rejects our token: "),
        (RuntimeError("Request failed with status code 500: x"), "its head has died or hangs"),
        (RuntimeError("Request failed with status code 418: x"), "status code 418"),
    ],
)
def test_whatever_a_cluster_answers_instead_is_one_clear_message(error, message):
    jobs = RayJobs("http://head:8265", ScriptedCluster([], [error]))

    with pytest.raises(ClusterUnreachableError, match=message):
        jobs.find("job")


class DashboardOfTwoNodes(BaseHTTPRequestHandler):
    """Answers as Ray does; its first node gives an empty file that it never had."""

    def do_GET(self):
        nodes = [{"node_id": "first"}, {"node_id": "second"}]
        answer = json.dumps({"data": {"result": {"result": nodes}}}).encode()
        if "/logs/file" in self.path:
            answer = b"the numbers" if "second" in self.path else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words):
        pass


def test_a_log_is_read_from_the_node_that_has_it():
    job = SimpleNamespace(
        driver_node_id=None, driver_info=SimpleNamespace(node_ip_address="127.0.0.1")
    )
    with HTTPServer(("127.0.0.1", 0), DashboardOfTwoNodes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cluster = RayJobs(f"http://127.0.0.1:{server.server_port}", None)
        try:
            assert cluster.read_log(job, "numbers.json") == b"the numbers"
        finally:
            server.shutdown()


def test_a_cluster_without_an_agent_is_to_be_asked_again_and_its_port_to_be_looked_at():
    answer = RuntimeError(
        "Request failed with status code 500: No available agent to submit job, please try again"
    )

    assert "cannot take jobs yet: no agent of its nodes is ready. Try again" in jobs._refusal(
        answer
    )
    assert jobs._refusal(RuntimeError("no room")) == "refuses the job: no room"
