"""The token that a cluster asks for: where Ray looks for it, and what to say when it is wrong."""

import os
from functools import reduce
from operator import and_
from pathlib import Path

DEFAULT_FILE = Path("~/.ray/auth_token")


def token_is_expected() -> bool:
    """Return whether this process shows a token: unless the user has switched that off."""
    return os.environ.get("RAY_AUTH_MODE") == "token"


def token_source() -> str | None:
    """Return where this process takes its token from, in Ray's order; None if there is none."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if path:
        return f"RAY_AUTH_TOKEN_PATH={path}" if Path(path).is_file() else None
    return str(DEFAULT_FILE) if DEFAULT_FILE.expanduser().is_file() else None


def token_file_for_all() -> Path | None:
    """Return the file that the token is in if other users of this machine can read it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or DEFAULT_FILE).expanduser()
    if not file.is_file() or file.is_relative_to("/run/secrets"):  # of a container's only user
        return None
    real = file.resolve()
    # The group, or all others, read a file if each folder above lets them pass: x, << 2 makes it r.
    modes = (real.stat().st_mode, *(folder.stat().st_mode << 2 for folder in real.parents))
    return file if reduce(and_, modes) & 0o044 else None


def request_headers() -> dict[str, str]:
    """Return the headers that carry the token to Ray's HTTP servers."""
    if not token_is_expected():
        return {}
    token = os.environ.get("RAY_AUTH_TOKEN")
    if not token:
        path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or DEFAULT_FILE).expanduser()
        try:
            token = path.read_text(encoding="utf-8")
        except OSError:
            return {}
    return {"Authorization": f"Bearer {token.strip()}"}


def missing_token_advice() -> str:
    """Say which token was shown, if any, and how to get the right one. Never the token itself."""
    source = token_source() if token_is_expected() else None
    shown = f"the token of {source} is not the cluster's" if source else "it asks for a token"
    return (
        f"{shown}. The cluster and this machine must share a token: copy ~/.ray/auth_token of the "
        "head node here, or set RAY_AUTH_TOKEN_PATH to a file that holds it, with "
        "RAY_AUTH_MODE=token or unset"
    )
