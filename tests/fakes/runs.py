"""Training in this process, as the lifecycle does it, for tests that look at what comes out."""

from contextlib import ExitStack

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.bookkeeping import RunContext
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_lifecycle import open_backend
from reinforce.cluster.run_requests import RequestsReader
from reinforce.cluster.run_store.checkpoint import decode
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import Journal, JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.training import Training
from reinforce.workers.environment import inspect_environment


class RecordingDisplay:
    """Keeps what it is shown, and calls a function with each record."""

    def __init__(self, on_record=lambda record: None, *, keep=True):
        self.records = []
        self.warnings = []
        self._on_record = on_record
        self._keep = keep

    def show(self, record):
        if self._keep:
            self.records.append(record)
        self._on_record(record)

    def warn(self, text):
        self.warnings.append(text)


def train(config, display=None, interrupts=None, run=None, open_backend=open_backend):
    """Return the outcome, the records of the journal, and the run directory.

    Given a run directory, it goes on from the newest checkpoint there.
    """
    run = run or RunDirectory.create(config)
    display, interrupts = display or RecordingDisplay(), interrupts or Interrupts()
    spec, requests = inspect_environment(config.environment), RequestsReader(run.control_file)
    checkpoints = Checkpoints(run, config)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(run.journal_file))
        start = checkpoints.newest(display.warn)
        assert journal.cut_back(start.progress.updates if start else 0)
        state = start.learner if start else None
        driver = Driver(interrupts, lambda: requests.current.num_workers, display.warn)
        used = stack.enter_context(open_backend(config, spec, driver, state))
        context = RunContext(journal, checkpoints, display.show, display.warn, interrupts, requests)
        outcome = Training(config, used, context, start).run()
        counts = used.pool.counts
    assert counts.completed == counts.issued or outcome.exit_code
    return outcome, records_of(run), run


def records_of(run):
    return [JournalEntry.parse(line) for line in run.journal_file.read_text().splitlines()]


def load_checkpoint(path):
    return decode(path.read_bytes(), str(path))
