"""Requests that follow a server, and to whom they say the user's login.

A login is sent only by https and only to the host that it is for: that of a ``machine``
line of ``~/.netrc`` (or of the file that ``NETRC`` names), or that of the address which
holds it. So a service may lead to its login host and back (NASA Earthdata does so), and
no other host learns anything. ``requests`` alone would send the lines of ``~/.netrc``
by plain http, too, and those of its ``default`` to every host.
"""

import os
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from emulator.data.fetching.addresses import shown
from emulator.data.fetching.refusals import ForbiddenError


class Session(requests.Session):
    """Follows a server to another address, but into no other kind of transfer."""

    def __init__(self) -> None:
        """Begin without cookies."""
        super().__init__()
        # In place of what requests itself looks up; its proxies stay.
        self.auth = _Login()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a response leads to.

        Raises:
            ForbiddenError: If that is neither encrypted nor of the same scheme.
        """
        target: str | None = super().get_redirect_target(resp)
        if target is None:
            return None
        # What else it says is of no use, and may have no end.
        resp.close()
        before = urlsplit(resp.url).scheme
        try:
            after = urlsplit(urljoin(resp.url, target)).scheme
        except ValueError:
            raise ForbiddenError(
                f"{shown(resp.url)} leads on to what is no address. Give the address "
                f"that the file has by now, or ask the source."
            ) from None
        if after not in ("https", before):
            raise ForbiddenError(
                f"{shown(resp.url)} leads on to an address of the scheme '{after}', "
                f"but '{before}' was asked for and only https may replace it. Give the "
                f"address that the file has by now."
            )
        return target

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take the login out of a request that was led on, unless it is for its host.

        Raises:
            ForbiddenError: If the new address holds a login, but is not encrypted.
        """
        before, after = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(before, after):
            prepared_request.headers.pop("Authorization", None)
        prepared_request.prepare_auth(_Login())


class _Login(AuthBase):
    """Says the login that is for the host of a request, if there is one."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        url = r.url or ""
        parts = urlsplit(url)
        login = _of_address(parts)
        if parts.scheme != "https":
            if login is not None:
                raise ForbiddenError(
                    f"{shown(url)} is asked for with a login, but is not encrypted: "
                    f"anybody between here and there could read it. Give an address "
                    f"of https://, or leave the login out."
                )
            return r
        login = login or _of_netrc(parts)
        if login is None:
            return r
        user, password = (word.encode() for word in login)  # RFC 7617
        said: requests.PreparedRequest = HTTPBasicAuth(user, password)(r)
        return said


def _of_address(parts: SplitResult) -> tuple[str, str] | None:
    """Return the user and password that an address holds."""
    if not parts.username and not parts.password:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")


def _of_netrc(parts: SplitResult) -> tuple[str, str] | None:
    """Return the user and password that the user's file has for a host by its name.

    One that cannot be read holds none: files that need no login are had all the same.
    """
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        hosts = netrc(path).hosts
    except (OSError, UnicodeDecodeError, NetrcParseError):
        return None
    # The "default" of old, for anonymous FTP, would go to any host.
    named = {host.lower(): said for host, said in hosts.items() if host != "default"}
    if parts.hostname not in named:
        return None
    user, _, password = named[parts.hostname]
    return (user, password or "") if user else None
