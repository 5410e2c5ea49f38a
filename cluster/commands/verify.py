"""``reinforce verify``: computes updates of a run again and compares them with its records."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reinforce.cluster.commands.arguments import Command, Flag, RunDir, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.moments.certificate import Certificate, require_place
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.verification import verify
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.trust import require_mlflow_run
from reinforce.configs.plurals import counted


@dataclass(frozen=True, kw_only=True)
class VerifyCommand(Command):
    """Compute updates of a run again, in this process, and certify that they match its records.

    First compares journal, checkpoints, configuration and summary with each other, then recomputed
    batches and weights with them. The run is not changed. Prints what differs and where, and what
    is missing or torn and could not be checked. The exit code is 1 if anything differs.

    Attributes:
        run: The run directory.
        updates: Number of updates, drawn at random. 'all' also compares every checkpoint and plays
            the final evaluation again.
        seed: Seed of the draw, >= 0. None: a new one, which is printed.
        output: File to write the certificate to, as JSON.
        json: Print the certificate as JSON instead of lines.
        track: Store the certificate as certificate.json with the run in MLflow.
    """

    run: RunDir
    updates: Annotated[str, tyro.conf.arg(metavar="N|all")] = "10"
    seed: int | None = None
    output: Path | None = None
    json: Flag = False
    track: Flag = False
    trust: Trust = False

    def execute(self) -> int:
        run, shown = RunDirectory.open(self.run), PlainConsole(stderr=True)
        past = Reconstruction(run, shown, trust=self.trust)
        if self.output:
            require_place(self.output)
        if self.track:
            require_mlflow_run(run, past.config, trust=self.trust)
        certificate = verify(past, shown, self.updates, self.seed)
        self._print(certificate)
        try:
            self._keep(certificate, past)
        except UsageError as error:
            if certificate.verified:
                raise
            shown.warn(str(error))  # what differs decides the exit code
        return 0 if certificate.verified else 1

    def _print(self, certificate: Certificate) -> None:
        console = PlainConsole()
        if self.json:
            console.say_data(json.dumps(certificate.as_json()))
        else:
            for name, text in _rows(certificate):
                console.say_rows({name: text}, whole=("run", "weights"))

    def _keep(self, certificate: Certificate, past: Reconstruction) -> None:
        """Write the certificate to file and MLflow as requested.

        Raises:
            UsageError: The file cannot be written, or MLflow refuses it.
        """
        if self.output:
            certificate.save(self.output)
        if self.track:
            # Imported late: MLflow takes seconds.
            from reinforce.cluster.tracking.certificates import store_certificate

            store_certificate(past.run, past.config.tracking, certificate.text())


def _rows(certificate: Certificate) -> Iterator[tuple[str, str]]:
    yield "run", certificate.run
    ranges = ", ".join(
        f"{first} to {last}" if last > first else str(first)
        for first, last in certificate.made_again
    )
    number = f"{certificate.num_made_again} of {counted(certificate.updates, 'update')}"
    if certificate.seed is not None and ranges:
        drawn = f"those that --seed {certificate.seed} chose"
        number += f", {drawn}, with those between each and the checkpoint before it"
    yield "recomputed", f"{number}: {ranges}" if ranges else number
    compared = ", ".join(map(str, certificate.checkpoints)) or "none"
    evaluation = ", and the final evaluation" if certificate.evaluated else ""
    yield "compared", f"checkpoints after update: {compared}{evaluation}"
    here = ", ".join(f"{name} {version}" for name, version in certificate.versions.items())
    yield "here", f"{certificate.processor}; {here}"
    for line in _other_versions(certificate):
        yield "recorded", line
    yield "weights", f"sha256 {certificate.weights_sha256}"
    for finding in certificate.findings:
        yield "differs", finding.text
    for text in certificate.unchecked:
        yield "unchecked", text
    yield "verdict", _verdict(certificate)


def _verdict(certificate: Certificate) -> str:
    if not certificate.verified:
        return "not as recorded"
    return "as recorded" + ", as far as it could be checked" * bool(certificate.unchecked)


def _other_versions(certificate: Certificate) -> Iterator[str]:
    """Yield versions and processor of the run that differ from those of the verification."""
    for name, version in certificate.recorded.get("versions", {}).items():
        if certificate.versions.get(name, version) != version:
            yield f"{name} {version}"
    processor = certificate.recorded.get("processor", certificate.processor)
    if processor != certificate.processor:
        yield processor
