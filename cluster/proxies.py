"""HTTP proxies from the environment: never for this machine, and named in messages."""

import os

_LOOPBACK = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1", "[::1]")
"""Every spelling for ``no_proxy``: only some libraries know networks or brackets."""


def keep_loopback_direct() -> None:
    """Make this process and those that it starts use no proxy for loopback addresses."""
    said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in said.split(",") if host.strip()]
    if hosts != ["*"]:
        hosts += [host for host in _LOOPBACK if host not in hosts]
    # Some programs read only the one, some only the other.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)


def proxy_note(url: str) -> str:
    """Return a sentence about the proxy for a URL, without its credentials.

    Empty if there is none.
    """
    # Imported late: every command imports this module, and urllib.request is most of its start.
    from urllib.parse import urlsplit
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if not host or proxy_bypass_environment(host):
        return ""
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            proxy = os.environ.get(variable)
            if proxy:
                place = urlsplit(proxy if "://" in proxy else f"//{proxy}").netloc
                return (
                    f"the request went through the proxy {place.rpartition('@')[2]} ({variable}); "
                    f"if that is wrong, add {parts.hostname} to no_proxy"
                )
    return ""
