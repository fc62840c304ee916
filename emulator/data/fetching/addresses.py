"""Addresses of files, and how they are shown to people."""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def is_remote(url: str) -> bool:
    """Return whether an address is one of the network."""
    return urlsplit(url).scheme in ("http", "https")


def local_path(url: str) -> Path:
    """Return the path that a ``file://`` address or a path means."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(url)


def shown(url: str) -> str:
    """Return an address without what may be secret: user, password, query."""
    if not is_remote(url):
        return str(local_path(url))
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
