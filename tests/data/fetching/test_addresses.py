"""Addresses are shown without what may be secret."""

import pytest

from emulator.data.fetching.addresses import shown


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "https://me:pass@host.org:8443/a/b.nc?key=1#x",
            "https://host.org:8443/a/b.nc",
        ),
        ("file:///data/a%20b.nc", "/data/a b.nc"),
        ("data/a.nc", "data/a.nc"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, words: str) -> None:
    assert shown(url) == words
