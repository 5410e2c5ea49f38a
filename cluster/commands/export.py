"""``reinforce export``: writes a trained policy that runs without this project."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reinforce.cluster.commands.arguments import Command, Flag, RunDir, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import ExportError, UsageError
from reinforce.cluster.export.bundle import write_bundle
from reinforce.cluster.export.drawn_steps import Step, drawn_steps
from reinforce.cluster.export.onnx_graph import check_onnx_support
from reinforce.cluster.export.onnx_replay import different_steps
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.policy_sources import load_policy
from reinforce.configs.plurals import counted

_CHECK_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class ExportCommand(Command):
    """Export a trained policy as a bundle of files that runs without this project.

    The bundle's predict.py needs NumPy and safetensors, or Torch if the network is your own class.
    Before the export succeeds, predict.py acts in a separate process on observations of all kinds,
    and is refused if one action differs from the trained policy's. From the run directory, only
    such a class is imported. Instead of one, zoo:NAME is an agent that `reinforce zoo list` shows.

    Attributes:
        run: A run directory; the run may still be training. With @best or @120 after it, another
            version than the newest: that of the best evaluation, or after update 120.
        output: Folder to make; it must not exist.
        steps: Random observations for the check, >= 1; they are stored in the bundle.
        best: Take the checkpoint of the best evaluation instead of the newest one.
        onnx: Add policy.onnx, checked with ONNX Runtime on the same observations.
    """

    run: RunDir
    output: Path
    steps: int = 1000
    best: Flag = False
    onnx: Flag = False
    trust: Trust = False

    def execute(self) -> int:
        if self.steps < 1:
            raise UsageError(f"steps = {self.steps} must be >= 1")
        policy = load_policy(self.run, best=self.best, trust=self.trust, plays=False)
        export_policy(policy, self.output, onnx=self.onnx, num_steps=self.steps)
        return 0


def export_policy(
    policy: TrainedPolicy, output: Path, *, onnx: bool, num_steps: int = 1000
) -> Path:
    """Write a policy as a bundle into a new folder, report it, and return the folder.

    Raises:
        ExportError, UnexportableNetworkError: As ``write_checked``; nothing was written.
        UsageError: The folder exists, or cannot be written, or ONNX is not installed.
    """
    if onnx:
        check_onnx_support()
    if output.exists():
        raise UsageError(f"{str(output)!r} exists already; choose a new folder")
    steps = drawn_steps(policy, num_steps, policy.config.run.seed)
    parent = output.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".export-") as folder:
            bundle = Path(folder) / "bundle"
            bundle.mkdir()
            write_checked(bundle, policy, steps, onnx=onnx)
            bundle.rename(output)
    except OSError as error:
        raise UsageError(f"cannot write {str(output)!r}: {error.strerror}") from None
    what = "predict.py and policy.onnx act" if onnx else "predict.py acts"
    PlainConsole().say(f"{output}: {what} as the policy does on {num_steps:,} drawn observations")
    return output


def write_checked(bundle: Path, policy: TrainedPolicy, steps: list[Step], *, onnx: bool) -> None:
    """Write all files into an empty folder, and check that they act the same.

    Raises:
        ExportError: An action differs.
        UnexportableNetworkError: The network of a user's own class cannot be exported.
    """
    about = write_bundle(bundle, policy, steps, onnx=onnx)
    if onnx:
        different = different_steps(bundle / "policy.onnx", about, steps)
        if different:
            raise ExportError(
                f"policy.onnx acts differently in {len(different)} of "
                f"{counted(len(steps), 'step')}, first in "
                f"step {different[0]}; nothing was exported"
            )
    # Isolated: neither this project nor what surrounds it can help.
    result = subprocess.run(  # noqa: S603  (the program that was just written)
        [sys.executable, "-I", str(bundle / "predict.py")],
        capture_output=True,
        text=True,
        timeout=_CHECK_TIMEOUT_S,
        check=False,
    )
    shutil.rmtree(bundle / "__pycache__", ignore_errors=True)
    if result.returncode:
        raise ExportError(
            f"predict.py acts differently: {(result.stdout + result.stderr).strip()}\n"
            "nothing was exported"
        )
