"""``sink-emulator catalog fetch`` as it is typed, against a server of this machine.

No file of a provider was at hand: the files are generated, the server is ours.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator import cli
from emulator.data.fetching import orders
from emulator.data.fetching.lock import alone, read_lock, text_hash
from emulator.data.fetching.space import gigabytes
from tests.data import servers
from tests.data import tiny_files as tiny
from tests.data.servers import Server

Command = Callable[..., tuple[int, str, str]]

POLICY = "Agree with the coordinators first."
VARIABLES = ("nbp", "gpp", "ra", "rh")
ROUND = "land-round-2025/"
"""What paths in the index begin with; the store of the files leaves it out."""


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return a function that runs the command: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SINK_DATA", raising=False)
    (tmp_path / "catalog").mkdir()

    def run(action: str, *arguments: str) -> tuple[int, str, str]:
        fetches = action == "fetch"
        quick = ["plain_http=true", "backoff_s=0.01", "retries=1"] if fetches else []
        where = ["--catalog-dir", str(tmp_path / "catalog")]
        code = cli.main(["catalog", action, *arguments, *quick, *where])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def offer(root: Path, server: Server) -> dict[str, bytes]:
    """Offer a round of one model, whose prefix is not its folder, with an index."""
    files = {}
    for name in VARIABLES:
        # nbp is what gpp leaves: 4 - 1 - 1 = 2 parts, so that the gate closes.
        parts = {"nbp": 2.0, "gpp": 4.0}.get(name, 1.0)
        path = tiny.write(root / "made.nc", name, parts * tiny.law(24))
        files[f"CLM/S2/CLM6.0_S2_{name}.nc"] = path.read_bytes()
        path.unlink()
    for path, content in files.items():
        server.does(f"bucket/output/{path}", servers.parts(content, ETag=f'"{path}"'))
    index = [[f"{ROUND}{path}", len(content), ""] for path, content in files.items()]
    index += [[f"{ROUND}CLM/S2/keep.txt", 0, ""], ["ocean/a.nc", 7, ""]]
    server.does("index.json", servers.sends(json.dumps(index).encode()))
    said = tiny.entry().to_dict() | {
        "files": "CLM/{simulation}/CLM6.0_{simulation}_{variable}.nc*",
        "root": "round",
        "variables": {name: {} for name in VARIABLES},
        "licence": "as the round's policy says",
        "citation": "Sitch et al. (2024)",
        "policy": POLICY,
        "gates": dict.fromkeys(["units", "coverage", "sign"], "a tiny Earth"),
        "fetch": {
            "base": f"{server.url}/bucket/output/",
            "index": f"{server.url}/index.json",
            "prefix": ROUND,
            "accept": "round_2025",
        },
    }
    del said["name"]
    every = {"name": "round", "every": said, "models": {"clm": {}}}
    (root / "catalog" / "round.yaml").write_text(yaml.safe_dump(every))
    return files


def write_entry(root: Path, **changes: Any) -> None:
    said = tiny.entry().to_dict() | changes
    (root / "catalog" / "tiny.yaml").write_text(yaml.safe_dump(said))


def test_a_round_is_fetched_and_then_checked(
    command: Command, server: Server, tmp_path: Path
) -> None:
    files = offer(tmp_path, server)
    # Not before its policy is accepted by name; its text and licence are shown.
    code, out, err = command("fetch", "round")
    assert code == 1
    assert "licence: as the round's policy says" in out
    assert f"policy: {POLICY}" in out
    assert f"{POLICY} If you agree, say accept=[round_2025]" in err
    assert server.asked == []
    assert not (tmp_path / "data").exists()

    code, out, err = command("fetch", "round", "accept=[round_2025]")
    assert (code, err) == (0, "")
    assert "4 of 4 files to fetch: " in out
    assert " to spare" in out
    assert "files: 4 fetched" in out
    for path, content in files.items():
        assert (tmp_path / "data" / "round" / path).read_bytes() == content
    lock = read_lock(tmp_path / "data")
    assert lock.accepted["round_2025"].sha256 == text_hash(POLICY)
    assert len(lock.files) == 4

    code, out, _ = command("check", "round.clm")
    assert code == 0, out
    assert "2000" in out

    server.asked.clear()
    code, out, _ = command("fetch", "round.clm", "accept=[round_2025]")
    assert code == 0
    assert "0 of 4 files to fetch: 0 bytes" in out
    assert "files: 4 there" in out
    assert server.asked == ["index.json"]


def test_what_would_be_fetched_can_be_seen(
    command: Command, server: Server, tmp_path: Path
) -> None:
    offer(tmp_path, server)
    asked = ["accept=[round_2025]", "variables=[nbp]", "dry_run=true"]
    code, out, _ = command("fetch", "round", *asked)
    assert code == 0
    assert "1 of 1 files to fetch" in out
    assert "round/CLM/S2/CLM6.0_S2_nbp.nc" in out
    assert server.asked == ["index.json"]
    assert not (tmp_path / "data").exists()


def test_each_disk_is_told_of(
    command: Command, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = offer(tmp_path, server)
    (tmp_path / "data" / "round").mkdir(parents=True)
    monkeypatch.setattr(orders, "file_system", lambda folder: len(folder.parts))
    code, out, _ = command("fetch", "round", "accept=[round_2025]", "dry_run=true")
    assert code == 0
    size = gigabytes(sum(map(len, files.values())))
    room = r"[\d.]+ [kMGT]B to spare"
    told = rf"to fetch: {size}; 0 bytes to data, {room}; {size} to data/round, {room}\n"
    assert re.search(told, out)


def test_a_source_that_fails_exits_with_3(
    command: Command, server: Server, tmp_path: Path
) -> None:
    offer(tmp_path, server)
    server.does("bucket/output/CLM/S2/CLM6.0_S2_ra.nc", servers.status(403))
    code, _, err = command("fetch", "round", "accept=[round_2025]")
    assert code == 3
    assert "1 could not be fetched" in err
    assert f"'{ROUND}' of the index" in err
    assert len(read_lock(tmp_path / "data").files) == 3


def test_no_secret_is_told(
    command: Command,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine data.example.org login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    servers.plays_encrypted(server, monkeypatch)
    base = "https://data.example.org/"
    server.does("a.nc", servers.wants_login(b"\x89HDF", "me:hush"))
    server.does("b.nc", servers.status(500))
    server.does("c.nc", servers.redirects(f"{base}a.nc?token=hush"))
    write_entry(tmp_path, fetch={"base": base, "files": ["a.nc", "b.nc", "c.nc"]})
    code, out, err = command("fetch", "tiny", "--debug")
    assert code == 3
    assert "500 Internal Server Error" in err
    lock = (tmp_path / "data" / "checksums.lock").read_text()
    assert "tiny/a.nc" in lock
    assert "tiny/c.nc" in lock
    told = out + err + caplog.text + lock
    assert "Trying again" in told
    assert "hush" not in told
    files = [p for p in (tmp_path / "data").rglob("*") if p.is_file()]
    assert not any(b"hush" in path.read_bytes() for path in files)


def test_debug_does_not_tell_queries(tmp_path: Path) -> None:
    # In a process of its own: pytest has its own way with logging.
    program = (
        "import sys\n"
        "from emulator import cli\n"
        "from emulator.data.fetching.transfer import Patience, size_of\n"
        "cli._set_up_logging(debug=True)\n"
        "size_of(sys.argv[1], Patience())\n"
    )
    with servers.serving() as server:
        done = subprocess.run(
            [sys.executable, "-c", program, f"{server.url}/a.nc?token=hush"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
    assert "hush" not in done.stdout + done.stderr


def test_a_service_with_a_client_of_its_own_is_asked_by_it(
    command: Command, tmp_path: Path
) -> None:
    client = {"service": "cds", "dataset": "era5", "variables": {"nbp": ["tp"]}}
    write_entry(tmp_path, fetch={"client": client})
    code, out, _ = command("fetch", "tiny", "dry_run=true")
    assert code == 0
    assert "its service has a client of its own" in out
    assert "client.retrieve('era5'" in out
    assert not (tmp_path / "data").exists()
    code, out, _ = command("fetch", "tiny")
    assert "request: data/request_tiny.py" in out
    text = (tmp_path / "data" / "request_tiny.py").read_text()
    assert "'variable': ['tp']" in text
    compile(text, "request_tiny.py", "exec")


def test_a_request_waits_for_the_policy_to_be_accepted(
    command: Command, tmp_path: Path
) -> None:
    client = {"service": "cds", "dataset": "era5", "variables": {"nbp": ["tp"]}}
    write_entry(tmp_path, policy="Ask.", fetch={"client": client, "accept": "era5"})
    code, _, err = command("fetch", "tiny")
    assert code == 1
    assert "say accept=[era5]" in err
    assert not (tmp_path / "data").exists()
    assert command("fetch", "tiny", "accept=[era5]")[0] == 0


def test_what_is_read_in_place_is_not_fetched(command: Command, tmp_path: Path) -> None:
    write_entry(tmp_path, fetch={"in_place": "Say root: gs://bucket/a.zarr."})
    code, out, _ = command("fetch", "tiny")
    assert code == 0
    assert "tiny is not fetched: Say root: gs://bucket/a.zarr." in out
    assert "licence: not stated in the catalog" in out


def test_two_fetches_do_not_meet(
    command: Command, server: Server, tmp_path: Path
) -> None:
    offer(tmp_path, server)
    with alone(tmp_path / "data"):
        code, _, err = command("fetch", "round", "accept=[round_2025]")
    assert code == 1
    assert "Another `catalog fetch` is at work in " in err
    assert server.asked == ["index.json"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["tiny", "parallell=3"], "'parallell' is no setting of `catalog`. Did you"),
        (["tiny", "parallel=30"], "parallel must be from 1 to 8, got 30"),
        (["nowhere"], "There is no catalog entry 'nowhere'"),
        (["tiny"], "'tiny' does not say where its files can be had"),
    ],
)
def test_what_cannot_be_asked_is_told(
    command: Command, tmp_path: Path, asked: list[str], message: str
) -> None:
    write_entry(tmp_path)
    code, _, err = command("fetch", *asked)
    assert code == 1
    assert message in err


def test_a_terminal_shows_what_arrives(
    command: Command,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(tmp_path, server)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    code, out, err = command("fetch", "round", "accept=[round_2025]")
    assert code == 0
    assert "Fetching" in err
    assert "Fetching" not in out
