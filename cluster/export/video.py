"""Videos for every browser, written atomically, and those at the end of a run."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.self_command import self_command, self_environment
from reinforce.configs.experiment import EnvironmentConfig, EvaluationConfig
from reinforce.configs.quoting import command_line
from reinforce.workers.recording import frames_per_second

_TIMEOUT_S = 300.0
"""Time limit for drawing and encoding one episode, in seconds."""


class VideoFormat(NamedTuple):
    """A suffix, which names the container, and FFmpeg's name of a codec."""

    suffix: str
    container_options: dict[str, str]
    codec: str
    codec_options: dict[str, str]


# faststart: the index stands in front, so that a browser plays before it has everything.
MP4 = VideoFormat(
    ".mp4", {"movflags": "+faststart"}, "libx264", {"crf": "23", "preset": "veryfast"}
)
WEBM = VideoFormat(
    ".webm", {}, "libvpx-vp9", {"crf": "33", "b": "0", "deadline": "realtime", "cpu-used": "8"}
)


class VideoWriter:
    """Context that encodes frames into a temporary file, which ``keep`` renames.

    Without ``keep`` nothing remains.
    """

    def __init__(self, folder: Path, video_format: VideoFormat, frames_per_s: int) -> None:
        import av  # an extra; whoever films has asked for it

        self._folder, self._format, self._frames_per_s = folder, video_format, frames_per_s
        self._temporary = folder / f".recording-{os.getpid()}{video_format.suffix}.tmp"
        self._temporary.unlink(missing_ok=True)
        self._temporary.touch(exist_ok=False)  # exclusively: never through somebody's link
        self._container = av.open(
            str(self._temporary),
            "w",
            format=video_format.suffix[1:],
            container_options=video_format.container_options,
        )
        self._stream: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()
        self._temporary.unlink(missing_ok=True)

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append one [height, width, 3] picture, padded to even sizes by repeating edges."""
        import av

        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._container.add_stream(
                self._format.codec, rate=self._frames_per_s, options=self._format.codec_options
            )
            self._stream.height, self._stream.width = even.shape[:2]
            self._stream.pix_fmt = "yuv420p"  # the one that all browsers know
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

    def keep(self, name: str) -> Path:
        """Finish the file and rename it, replacing an old one; the name is without suffix."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._temporary.replace(self._folder / (name + self._format.suffix))


def prepare_to_film() -> None:
    """Make Pygame draw without a screen.

    Raises:
        UsageError: The packages for videos are not installed.
    """
    check_video_support()
    # It would open a window, where there is a screen; where there is none, it would fail.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")  # it would take SIGTERM for itself
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


def open_films(
    folder: Path, frames_per_s: int, formats: Sequence[VideoFormat]
) -> list[VideoWriter]:
    """Return a film in each format, in a folder that is created if needed.

    Raises:
        UsageError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [VideoWriter(folder, each, frames_per_s) for each in formats]
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(folder)!r} ({error.strerror}); choose another folder"
        ) from None


def check_video_support() -> None:
    """Raise UsageError if the packages for videos are not installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise UsageError(
            "videos need the extra `video`: pip install 'distributed-reinforce[video]'"
        ) from None


def check_filming(config: EnvironmentConfig) -> None:
    """Raise errors about filming before training instead of after hours.

    Raises:
        UsageError: The packages for videos are not installed.
        UnsuitableEnvironmentError: The environment cannot draw pictures.
    """
    check_video_support()
    frames_per_second(config)


def film_last_and_best(
    run: RunDirectory, config: EvaluationConfig, warn: Callable[[str], None]
) -> None:
    """Film the last weights and the best; a failure is reported and does no harm.

    In a separate process, because drawing runs native code, which may crash.
    """
    for options in [[], ["--best"]] if config.every_updates else [[]]:
        try:
            result = subprocess.run(  # noqa: S603  (our own command and an existing folder)
                self_command("record", str(run.path), "--trust", "--episodes", "1", *options),
                env=self_environment(),
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            failure = result.stderr.strip() if result.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"it took longer than {_TIMEOUT_S:.0f} s"
        if failure:
            warn(f"no video was made ({failure}); `{command_line('record', run.path)}` tries again")
