"""A login is said to the host that it is for, encrypted, and to nobody else."""

import base64
import threading
from io import BytesIO
from pathlib import Path

import pytest
import requests

from emulator.carbon.errors import SourceError
from emulator.data.fetching.refusals import ForbiddenError
from emulator.data.fetching.session import Session
from emulator.data.fetching.transfer import Patience, fetch, size_of
from tests.data import servers
from tests.data.servers import Server

CONTENT = b"\x89HDF" + bytes(range(256)) * 64
QUICK = Patience(retries=1, backoff_s=0.01, timeout_s=2.0, deadline_s=5.0)
NETRC = """
machine data.example.org login me password hush
machine Login.Example.org login you password hush
machine 127.0.0.1 login here password hush
default login anyone password hush
"""


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "netrc"
    path.write_text(NETRC)
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


@pytest.fixture
def hosts(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that plays all hosts that are asked by https."""
    servers.plays_encrypted(server, monkeypatch)
    return server


def heard(server: Server) -> list[tuple[str, str | None]]:
    """Return which hosts were asked, and the login that was said to each."""
    return [
        (sent["Host"].partition(":")[0], sent.get("Authorization"))
        for sent in server.headers_sent
    ]


# --- logins --------------------------------------------------------------------------


@pytest.mark.usefixtures("netrc")
def test_a_login_is_said_by_https_to_its_host(hosts: Server, tmp_path: Path) -> None:
    hosts.does("a.nc", servers.wants_login(CONTENT, "me:hush"))
    fetch("https://data.example.org/a.nc", tmp_path / "a.nc", patience=QUICK)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    # Names of hosts know no capitals.
    hosts.does("b.nc", servers.wants_login(CONTENT, "you:hush"))
    fetch("https://login.example.ORG/b.nc", tmp_path / "b.nc", patience=QUICK)


@pytest.mark.usefixtures("netrc")
def test_no_login_is_said_where_others_can_read_it(
    server: Server, tmp_path: Path
) -> None:
    url = server.does("a.nc", servers.sends(CONTENT))
    fetch(url, tmp_path / "a.nc", patience=QUICK)
    server.lengths["a.nc"] = 1
    assert size_of(url, QUICK) == 1
    server.does("b.nc", servers.wants_login(CONTENT, "here:hush"))
    with pytest.raises(
        ForbiddenError,
        match=r"401 Unauthorized\..*'machine 127\.0\.0\.1 login USER.*by https:// only",
    ):
        fetch(f"{server.url}/b.nc", tmp_path / "b.nc", patience=QUICK)
    assert heard(server) == [("127.0.0.1", None)] * 2


@pytest.mark.usefixtures("netrc")
def test_the_default_of_netrc_is_for_nobody(hosts: Server, tmp_path: Path) -> None:
    hosts.does("a.nc", servers.sends(CONTENT))
    for host in ("other.example.org", "default"):
        fetch(f"https://{host}/a.nc", tmp_path / host / "a.nc", patience=QUICK)
    assert heard(hosts) == [("other.example.org", None), ("default", None)]


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        # On to a host that it is not for, or by another port.
        ("https://data.example.org", "https://other.example.org", None),
        ("https://data.example.org", "//other.example.org", None),
        ("https://me:hush@other.example.org", "https://other.example.org:8443", None),
        # On to one that has its own.
        ("https://data.example.org", "https://login.example.org", "you:hush"),
        ("https://other.example.org", "https://data.example.org", "me:hush"),
        ("http://127.0.0.1", "https://data.example.org", "me:hush"),
        # On within the host.
        ("https://data.example.org", "", "me:hush"),
        ("https://we:quiet@other.example.org", "", "we:quiet"),
        (
            "https://we:quiet@other.example.org",
            "https://other.example.org",
            "we:quiet",
        ),
    ],
)
def test_a_login_goes_with_nobody_to_another_host(
    hosts: Server, tmp_path: Path, first: str, second: str, said: str | None
) -> None:
    hosts.does("a.nc", servers.redirects(f"{second}/b.nc"))
    hosts.does("b.nc", servers.sends(CONTENT))
    first = hosts.url if first.startswith("http:") else first
    fetch(f"{first}/a.nc", tmp_path / "a.nc", patience=QUICK)
    assert hosts.asked == ["a.nc", "b.nc"]
    assert heard(hosts)[1][1] == (said and basic(said))
    if first == hosts.url:
        assert heard(hosts)[0] == ("127.0.0.1", None)


@pytest.mark.usefixtures("netrc")
def test_a_service_may_lead_to_its_login_and_back(
    hosts: Server, tmp_path: Path
) -> None:
    # As NASA Earthdata: the host of the data knows who comes by a cookie alone, which
    # the login host lets it set.
    def data(handler: servers.Handler) -> None:
        is_known = "known=yes" in handler.headers.get("Cookie", "")
        on = servers.redirects("https://login.example.org/oauth?back=1")
        (servers.sends(CONTENT) if is_known else on)(handler)

    def login(handler: servers.Handler) -> None:
        is_known = handler.headers.get("Authorization") == basic("you:hush")
        back = servers.redirects("https://files.example.org/back?code=1")
        (back if is_known else servers.status(401))(handler)

    cookie = "known=yes; Path=/; Secure; HttpOnly"
    back = servers.status(302, Location="/a.nc", Set_Cookie=cookie)
    hosts.does("a.nc", data)
    hosts.does("oauth", login)
    hosts.does("back", back)
    fetch("https://files.example.org/a.nc", tmp_path / "a.nc", patience=QUICK)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    assert heard(hosts) == [
        ("files.example.org", None),
        ("login.example.org", basic("you:hush")),
        ("files.example.org", None),
        ("files.example.org", None),
    ]


def test_a_login_in_an_address_is_said_by_https_only(
    hosts: Server, tmp_path: Path
) -> None:
    hosts.does("a.nc", servers.wants_login(CONTENT, "me:hu\u00df @"))
    url = "https://me:hu%C3%9F%20%40@data.example.org/a.nc"
    fetch(url, tmp_path / "a.nc", patience=QUICK)
    hosts.asked.clear()
    url = hosts.url.replace("//", "//me:hush@") + "/a.nc"
    with pytest.raises(
        ForbiddenError,
        match=r"127\.0\.0\.1:\d+/a\.nc is asked for with a login, but is",
    ) as caught:
        fetch(url, tmp_path / "b.nc", patience=QUICK)
    assert "hush" not in str(caught.value)
    assert size_of(url, QUICK) is None
    assert hosts.asked == []


@pytest.mark.parametrize(
    "text", ["machine", "machine data.example.org login", "\udcff"]
)
def test_a_netrc_that_cannot_be_read_stops_nothing(
    hosts: Server, tmp_path: Path, netrc: Path, text: str
) -> None:
    netrc.write_bytes(text.encode("utf-8", "surrogateescape"))
    hosts.does("a.nc", servers.sends(CONTENT))
    fetch("https://data.example.org/a.nc", tmp_path / "a.nc", patience=QUICK)
    netrc.unlink()
    fetch("https://data.example.org/a.nc", tmp_path / "b.nc", patience=QUICK)
    assert heard(hosts) == [("data.example.org", None)] * 2


@pytest.mark.usefixtures("netrc")
def test_a_login_is_not_told(
    hosts: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hosts.does("a.nc", servers.status(500))
    with caplog.at_level("DEBUG"), pytest.raises(SourceError) as caught:
        fetch("https://data.example.org/a.nc", tmp_path / "a.nc", patience=QUICK)
    assert heard(hosts)[-1] == ("data.example.org", basic("me:hush"))
    assert "hush" not in caplog.text + str(caught.value)


# --- where a server leads ------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["file:///etc/", "ftp://host.org/", "gopher://h/"])
def test_a_server_cannot_lead_into_another_kind_of_transfer(
    server: Server, tmp_path: Path, scheme: str
) -> None:
    url = server.does("a.nc", servers.redirects(f"{scheme}passwd?token=hush"))
    with pytest.raises(ForbiddenError, match="leads on to an address of the") as caught:
        fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert server.asked == ["a.nc"]
    assert "hush" not in str(caught.value)
    assert size_of(url, QUICK) is None


@pytest.mark.parametrize(
    ("before", "after", "is_refused"),
    [
        ("https://a.org/x", "http://a.org/x", True),
        ("https://a.org/x", "//b.org/x", False),
        ("https://a.org/x", "y", False),
        ("http://a.org/x", "https://a.org/x", False),
    ],
)
def test_encryption_is_not_given_up(before: str, after: str, is_refused: bool) -> None:
    response = requests.Response()
    response.url, response.status_code, response.raw = before, 302, BytesIO()
    response.headers["Location"] = after
    session = Session()
    if is_refused:
        with pytest.raises(ForbiddenError, match="only https may replace it"):
            session.get_redirect_target(response)
    else:
        assert session.get_redirect_target(response) == after


def test_a_server_may_lead_to_another_address(server: Server, tmp_path: Path) -> None:
    there = server.does("b.nc", servers.sends(CONTENT))
    url = server.does("a.nc", servers.redirects(there))
    fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert server.asked == ["a.nc", "b.nc"]
    assert (tmp_path / "a.nc").read_bytes() == CONTENT


def test_what_is_no_address_is_refused(server: Server, tmp_path: Path) -> None:
    url = server.does("a.nc", servers.redirects("https://[hush/"))
    with pytest.raises(ForbiddenError, match="leads on to what is no addr") as caught:
        fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert server.asked == ["a.nc"]
    assert "hush" not in str(caught.value)


def test_what_a_server_says_while_it_leads_on_is_not_read(
    server: Server, tmp_path: Path
) -> None:
    there = server.does("b.nc", servers.sends(CONTENT))

    def leads_on(handler: servers.Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", there)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        try:
            for _ in range(2**12):
                handler.wfile.write(b"4000\r\n%s\r\n" % bytes(2**14))
        except OSError:
            cut.set()

    cut = threading.Event()
    url = server.does("a.nc", leads_on)
    fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert cut.wait(10)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
