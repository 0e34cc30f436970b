"""Fetching from a server on this machine that drops connections, ignores ranges, and serves other bytes than it should."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request

import pytest

from eval.download import ATTEMPTS, _HttpsStays, download
from eval.fetch import LOCK, SUMS, fetch, read_sums
from eval.formats import FORMATS
from eval.sources import SOURCES, Source, SourceFile
from router.errors import DataError

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = b"another version " * 640  # as long
pytestmark = pytest.mark.loopback


@dataclass
class Behaviour:
    """What the server does; `asked` is what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"v1"'
    drop_after: list[int] = field(
        default_factory=list
    )  # bytes of the body before a request is cut, one entry a request
    statuses: list[int] = field(default_factory=list)  # refusals to begin with
    ranges: bool = True
    tells_length: bool = True
    shift: int = 0  # added to where a range begins
    encoding: str | None = None
    location: str | None = None
    retry_after: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = Behaviour()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.csv"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        how = self.server.behaviour
        how.asked.append({name.lower(): value for name, value in self.headers.items()})
        if how.location and self.path == "/file.csv":
            self._refuse(302, {"Location": how.location})
            return
        if how.statuses:
            self._refuse(how.statuses.pop(0), {"Retry-After": how.retry_after} if how.retry_after else {})
            return
        start = self._start(how)
        if start is not None and start >= len(how.content):
            self._refuse(416, {"Content-Range": f"bytes */{len(how.content)}"})
            return
        self._answer(how, start)

    def _start(self, how: Behaviour) -> int | None:
        wanted = self.headers.get("Range")
        held = self.headers.get("If-Range")
        if wanted is None or not how.ranges or (held is not None and held != how.etag):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, how: Behaviour, start: int | None) -> None:
        body = how.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            first = start + how.shift
            self.send_header("Content-Range", f"bytes {first}-{len(how.content) - 1}/{len(how.content)}")
        if how.tells_length:
            self.send_header("Content-Length", str(len(body)))
        if how.etag:
            self.send_header("ETag", how.etag)
        if how.encoding:
            self.send_header("Content-Encoding", how.encoding)
        self.end_headers()
        self.wfile.write(body[: how.drop_after.pop(0)] if how.drop_after else body)
        self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@dataclass
class Fetched:
    """One fetch of the source `toy`, with what was said and how long it would have slept."""

    cache: Path
    server: Server
    sha256: str | None = DIGEST
    max_bytes: int = 100_000
    said: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    @property
    def target(self) -> Path:
        return self.cache / "toy" / "a" / "file.csv"

    @property
    def part(self) -> Path:
        return self.target.with_name("file.csv.part")

    def __call__(self) -> Path:
        file = SourceFile(url=self.server.url, path="a/file.csv", max_bytes=self.max_bytes, sha256=self.sha256)
        toy = Source(name="toy", what="a test", licence="none", files=(file,))
        return fetch("toy", cache=self.cache, sources={"toy": toy}, notify=self.said.append, sleep=self.slept.append)


@pytest.fixture
def toy(tmp_path: Path, server: Server) -> Fetched:
    return Fetched(cache=tmp_path, server=server)


def names(toy: Fetched) -> set[str]:
    """Every file in the source's folder."""
    return {path.name for path in (toy.cache / "toy").rglob("*") if path.is_file()}


def test_a_fetched_file_has_its_bytes_its_record_and_no_litter(toy: Fetched) -> None:
    assert toy() == toy.cache / "toy"
    assert toy.target.read_bytes() == CONTENT
    assert (toy.cache / "toy" / SUMS).read_text(encoding="utf-8") == f"{DIGEST}  a/file.csv\n"
    assert names(toy) == {"file.csv", SUMS, LOCK}
    assert toy.slept == []


def test_the_record_is_one_that_sha256sum_checks(toy: Fetched) -> None:
    home = toy()
    done = subprocess.run(["sha256sum", "--check", SUMS], cwd=home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a/file.csv: OK\n")


def test_what_lies_there_whole_is_not_asked_for_again(toy: Fetched) -> None:
    toy()
    toy()
    assert len(toy.server.behaviour.asked) == 1


@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_a_dropped_connection_is_resumed_where_it_broke(toy: Fetched, sha256: str | None) -> None:
    toy.sha256 = sha256
    toy.server.behaviour.drop_after = [1_000, 2_000]
    toy()
    assert toy.target.read_bytes() == CONTENT
    assert [asked.get("range") for asked in toy.server.behaviour.asked] == [None, "bytes=1000-", "bytes=3000-"]
    assert [asked.get("if-range") for asked in toy.server.behaviour.asked] == [None, '"v1"', '"v1"']
    assert toy.slept == [0.5, 1.0]
    assert "dropped at 1,000 of 10,240 bytes; attempt 2 of 6" in toy.said[1]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(toy: Fetched) -> None:
    toy.server.behaviour.drop_after = [100] * ATTEMPTS
    with pytest.raises(DataError, match=r"dropped at 600 of 10,240 bytes, 6 times.*goes on where it stopped"):
        toy()
    assert toy.part.read_bytes() == CONTENT[:600]
    assert not toy.target.exists()
    toy()
    assert toy.server.behaviour.asked[-1]["range"] == "bytes=600-"
    assert toy.target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_starts_over(toy: Fetched) -> None:
    toy.server.behaviour.ranges = False
    toy.server.behaviour.drop_after = [4_000]
    toy()
    assert toy.server.behaviour.asked[-1]["range"] == "bytes=4000-"
    assert toy.target.read_bytes() == CONTENT


def test_two_versions_are_never_spliced_even_where_no_hash_is_known(toy: Fetched) -> None:
    toy.sha256 = None
    toy.server.behaviour.drop_after = [5_000] * ATTEMPTS
    toy.server.behaviour.ranges = False
    with pytest.raises(DataError, match="6 times"):
        toy()
    toy.server.behaviour = Behaviour(content=OTHER, etag='"v2"')
    toy()
    assert toy.target.read_bytes() == OTHER


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_hash_and_a_strong_version_a_part_is_not_continued(toy: Fetched, etag: str | None) -> None:
    toy.sha256 = None
    toy.server.behaviour.etag = etag
    toy.server.behaviour.drop_after = [5_000]
    toy()
    assert [asked.get("range") for asked in toy.server.behaviour.asked] == [None, None]
    assert toy.target.read_bytes() == CONTENT


def test_with_a_hash_a_part_is_continued_without_a_version(toy: Fetched) -> None:
    toy.server.behaviour.etag = None
    toy.server.behaviour.drop_after = [5_000]
    toy()
    assert toy.server.behaviour.asked[-1]["range"] == "bytes=5000-"
    assert toy.target.read_bytes() == CONTENT


def test_a_part_that_was_whole_already_is_taken_when_the_server_says_416(toy: Fetched) -> None:
    toy.part.parent.mkdir(parents=True)
    toy.part.write_bytes(CONTENT)
    toy()
    assert toy.target.read_bytes() == CONTENT
    assert len(toy.server.behaviour.asked) == 1


def test_a_part_longer_than_the_file_is_dropped_after_416(toy: Fetched) -> None:
    toy.part.parent.mkdir(parents=True)
    toy.part.write_bytes(CONTENT + b"more")
    toy()
    assert toy.target.read_bytes() == CONTENT
    assert [asked.get("range") for asked in toy.server.behaviour.asked] == ["bytes=10244-", None]


def test_a_range_that_was_not_asked_for_is_not_appended(toy: Fetched) -> None:
    toy.server.behaviour.drop_after = [5_000]
    toy.server.behaviour.shift = 7
    toy()
    assert toy.target.read_bytes() == CONTENT
    assert "another range than was asked for" in toy.said[2]


def test_wrong_bytes_are_set_aside_and_never_take_the_name(toy: Fetched) -> None:
    toy.server.behaviour.content = OTHER
    wrong = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(DataError, match=rf"the SHA-256 is {wrong}, wanted {DIGEST}; the bytes are set aside"):
        toy()
    assert names(toy) == {"file.csv.wrong", LOCK}
    toy.server.behaviour.content = CONTENT
    toy()
    assert toy.target.read_bytes() == CONTENT


def test_the_first_download_is_the_measure_where_no_hash_is_known(toy: Fetched) -> None:
    toy.sha256 = None
    toy()
    toy.target.unlink()
    toy.server.behaviour = Behaviour(content=OTHER)
    with pytest.raises(DataError, match=r"has changed since the first download.*delete its line in .*SHA256SUMS"):
        toy()
    assert not toy.target.exists()
    (toy.cache / "toy" / SUMS).unlink()
    toy()
    assert toy.target.read_bytes() == OTHER


def test_a_file_that_was_changed_here_is_set_aside_and_fetched_again(toy: Fetched) -> None:
    toy()
    toy.target.write_bytes(b"edited")
    toy()
    assert toy.target.read_bytes() == CONTENT
    assert toy.target.with_name("file.csv.wrong").read_bytes() == b"edited"
    assert any("is not the file that was fetched" in said for said in toy.said)


def test_a_file_that_is_not_there_is_refused_at_once(toy: Fetched) -> None:
    toy.server.behaviour.statuses = [404]
    with pytest.raises(DataError, match=r"answered 404.*weighbridge data fetch --list"):
        toy()
    assert (len(toy.server.behaviour.asked), toy.slept) == (1, [])


def test_a_busy_server_is_asked_again_after_the_time_it_names_within_bounds(toy: Fetched) -> None:
    toy.server.behaviour.statuses = [503, 429]
    toy.server.behaviour.retry_after = "7"
    toy()
    assert toy.slept == [7.0, 7.0]
    toy.target.unlink()
    toy.server.behaviour.statuses = [503]
    toy.server.behaviour.retry_after = "86400"
    toy()
    assert toy.slept[-1] == 30.0


def test_a_server_that_stays_busy_is_given_up_after_six_attempts(toy: Fetched) -> None:
    toy.server.behaviour.statuses = [500] * 20
    with pytest.raises(DataError, match="answered 500, 6 times"):
        toy()
    assert len(toy.server.behaviour.asked) == ATTEMPTS
    assert toy.slept == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_machine_that_cannot_be_reached_is_said_to_be_perhaps_offline(toy: Fetched) -> None:
    toy.server.shutdown()
    toy.server.server_close()
    with pytest.raises(DataError, match=r"cannot be reached.*is this machine offline.*6 times"):
        toy()


@pytest.mark.parametrize("tells_length", [True, False])
def test_more_bytes_than_allowed_are_refused(toy: Fetched, tells_length: bool) -> None:
    toy.max_bytes = 10_000
    toy.server.behaviour.tells_length = tells_length
    with pytest.raises(DataError, match=r"10,240 bytes, wanted at most 10,000|more than the 10,000 bytes"):
        toy()
    assert not toy.target.exists()


def test_without_length_and_hash_an_end_cannot_be_told_from_a_drop(toy: Fetched) -> None:
    toy.server.behaviour.tells_length = False
    toy()  # the hash tells
    assert toy.target.read_bytes() == CONTENT
    toy.sha256 = None
    (toy.cache / "toy" / SUMS).unlink()
    with pytest.raises(DataError, match="does not say how long the file is"):
        toy()


def test_compressed_bytes_that_were_not_asked_for_are_refused(toy: Fetched) -> None:
    toy.server.behaviour.encoding = "gzip"
    with pytest.raises(DataError, match="comes compressed"):
        toy()
    assert toy.server.behaviour.asked[0]["accept-encoding"] == "identity"


def test_a_redirect_is_followed_and_keeps_the_range(toy: Fetched) -> None:
    toy.server.behaviour.location = "/elsewhere.csv"
    toy.server.behaviour.drop_after = [3_000]
    toy()
    assert toy.target.read_bytes() == CONTENT
    assert toy.server.behaviour.asked[-1]["range"] == "bytes=3000-"


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/file.csv"])
def test_a_redirect_away_from_the_web_is_not_followed(toy: Fetched, location: str) -> None:
    toy.server.behaviour.location = location
    with pytest.raises(DataError, match=r"is not allowed|is not followed"):
        toy()
    assert not toy.part.exists()


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    request = Request("https://example.org/a")
    with pytest.raises(DataError, match="redirects from https to http, which is not followed"):
        _HttpsStays().redirect_request(request, None, 302, "", {}, "http://example.org/a")  # type: ignore[arg-type]  # refused before they are looked at


def test_two_fetches_into_one_folder_do_not_mix(toy: Fetched) -> None:
    (toy.cache / "toy").mkdir()
    with (toy.cache / "toy" / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another fetch into this folder is under way"):
            toy()
    toy()
    assert toy.target.read_bytes() == CONTENT


def test_progress_counts_the_bytes_of_a_large_file(server: Server, tmp_path: Path) -> None:
    server.behaviour.content = b"x" * 6_000_000
    counted: list[tuple[int, int]] = []
    download(
        server.url,
        tmp_path / "p",
        max_bytes=10_000_000,
        known=True,
        notify=lambda message: None,
        advance=lambda done, total: counted.append((done, total)),
    )
    assert counted[-1] == (6_000_000, 6_000_000)
    assert [done for done, _ in counted] == sorted(done for done, _ in counted)


def test_a_broken_record_is_refused_rather_than_trusted(toy: Fetched) -> None:
    toy()
    (toy.cache / "toy" / SUMS).write_text("not a hash\n", encoding="utf-8")
    with pytest.raises(DataError, match="'not a hash' is no line of hashes"):
        read_sums(toy.cache / "toy")


def test_an_unknown_source_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'routebench' is no known source; wanted one of routellm-mmlu, "):
        fetch("routebench", cache=tmp_path)


@pytest.mark.parametrize("path", ["../up.csv", "/etc/passwd", "a/../../b", ""])
def test_a_source_cannot_write_outside_its_folder(path: str) -> None:
    with pytest.raises(DataError, match="below the source's folder"):
        SourceFile(url="https://example.org/x", path=path, max_bytes=1)


def test_a_source_is_fetched_over_the_web_or_not_at_all() -> None:
    with pytest.raises(DataError, match="wanted an https address"):
        SourceFile(url="file:///etc/passwd", path="x", max_bytes=1)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_says_its_licence_and_what_comes_next(name: str) -> None:
    source = SOURCES[name]
    assert source.name == name
    assert source.licence
    assert (source.form in FORMATS) != bool(source.then)
    assert len({file.path for file in source.files}) == len(source.files)
    for file in source.files:
        assert file.url.startswith("https://")
        assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))


def test_all_57_subjects_of_mmlu_are_fetched() -> None:
    assert sum(file.path.endswith(".csv") for file in SOURCES["routellm-mmlu"].files) == 57
