"""One file over HTTP, resumed where a connection dropped, never spliced from two versions, never larger than allowed."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from router.errors import DataError

ATTEMPTS = 6
TIMEOUT_S = 30.0  # to connect, and between two reads
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
CHUNK = 1 << 16
WORTH_SHOWING = 5_000_000  # bytes; less is there before a bar is drawn
DIGITS = re.compile(r"[0-9]{1,6}")
RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})  # a server that may answer the next time
AGAIN = "Type the same command again: it goes on where it stopped."


class _Dropped(Exception):  # noqa: N818 - a reason to try again, not an error a caller sees
    """This attempt has ended; the next may do better."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _HttpsStays(HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new != "https"):
            raise DataError(f"{req.full_url}: redirects from {old} to {new}, which is not followed; wanted https.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    part: Path,
    *,
    max_bytes: int,
    known: bool,
    notify: Callable[[str], None],
    advance: Callable[[int, int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring all of `url` into `part`; what an earlier call left there is continued by a Range request.

    known: whether the caller knows the hash. Without one a part is continued only where the server vouches, by ETag or
    date, that it is still the same file. advance(done, total) counts bytes. Raises DataError for an address that is
    not there, more than `max_bytes`, a length nobody tells, and after six attempts.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    opener = build_opener(_HttpsStays())
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _attempt(opener, url, part, max_bytes=max_bytes, known=known, advance=advance)
            return
        except _Dropped as err:
            if attempt == ATTEMPTS:
                raise DataError(f"{url}: {err}, {ATTEMPTS} times; wanted the whole file. {AGAIN}") from err
            wait_s = min(LONGEST_WAIT_S, max(err.wait_s, FIRST_WAIT_S * 2 ** (attempt - 1)))
            notify(f"{part.stem}: {err}; attempt {attempt + 1} of {ATTEMPTS} in {wait_s:.3g} s")
            sleep(wait_s)


def tag_file(part: Path) -> Path:
    """Where the server's word for the version of a part stands."""
    return part.with_name(part.name + ".version")


def discard(part: Path) -> None:
    """Remove a part and its version."""
    part.unlink(missing_ok=True)
    tag_file(part).unlink(missing_ok=True)


def _attempt(
    opener: OpenerDirector,
    url: str,
    part: Path,
    *,
    max_bytes: int,
    known: bool,
    advance: Callable[[int, int], None],
) -> None:
    tag = tag_file(part).read_text(encoding="utf-8") if tag_file(part).exists() else ""
    if not tag and not known:
        discard(part)
    start = part.stat().st_size if part.exists() else 0
    response = _open(opener, url, start=start, tag=tag, part=part)
    if response is None:
        return
    with response:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DataError(f"{url}: comes compressed though it was not asked for so; its bytes cannot be checked.")
        start, total = _bounds(response, start, part)
        if total is None and not known and not response.chunked:
            raise DataError(
                f"{url}: the server does not say how long the file is, and no hash is known. Get it by hand."
            )
        if total is not None and total > max_bytes:
            raise DataError(f"{url}: {total:,} bytes, wanted at most {max_bytes:,}. Look at what lies there now.")
        _remember(response, part)
        size = _receive(response, part, start=start, total=total, max_bytes=max_bytes, url=url, advance=advance)
    if total is not None and size < total:
        raise _Dropped(f"the connection dropped at {size:,} of {total:,} bytes")


def _open(opener: OpenerDirector, url: str, *, start: int, tag: str, part: Path) -> http.client.HTTPResponse | None:
    """The answer to a request from byte `start` on; None where the server says that the part is whole."""
    headers = {"User-Agent": "weighbridge", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag
    try:
        response: http.client.HTTPResponse = opener.open(Request(url, headers=headers), timeout=TIMEOUT_S)  # noqa: S310 - the scheme was checked
    except HTTPError as err:
        with err:
            if _says_whole(err, start):
                return None
            raise _refusal(err, url, part) from err
    except URLError as err:
        if isinstance(err.reason, ssl.SSLCertVerificationError):
            raise DataError(f"{url}: the server's certificate is not trusted ({err.reason.verify_message}).") from err
        raise _Dropped(f"cannot be reached ({err.reason}); is this machine offline?") from err
    except (OSError, http.client.HTTPException) as err:
        raise _Dropped(f"the connection failed ({type(err).__name__})") from err
    return response


def _says_whole(err: HTTPError, start: int) -> bool:
    """Whether the server has nothing beyond byte `start`, because the file ends there."""
    found = RANGE.fullmatch(err.headers.get("Content-Range", ""))
    return err.code == 416 and start > 0 and found is not None and int(found.group(2)) == start


def _refusal(err: HTTPError, url: str, part: Path) -> Exception:
    """Another try where that may help, else the error for the caller."""
    if err.code == 416:
        discard(part)
        return _Dropped("the part that was here is no part of the file any more")
    if err.code in LATER:
        after = err.headers.get("Retry-After", "")
        return _Dropped(f"the server answered {err.code}", wait_s=float(after) if DIGITS.fullmatch(after) else 0.0)
    return DataError(
        f"{url}: the server answered {err.code} ({err.reason}); wanted the file. It may have moved or need a login:"
        " look at the address in a browser, and see `weighbridge data fetch --list`."
    )


def _bounds(response: http.client.HTTPResponse, start: int, part: Path) -> tuple[int, int | None]:
    """From which byte on the answer goes, and how long the whole file is, None where nobody says."""
    if response.status == 200:  # the whole file, whatever was asked for
        return 0, response.length
    found = RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status != 206 or not found or found.group(1) is None or int(found.group(1)) != start:
        discard(part)
        raise _Dropped(f"the server answered {response.status} with another range than was asked for")
    return start, int(found.group(2))


def _remember(response: http.client.HTTPResponse, part: Path) -> None:
    """Keep the server's word for this version; a weak ETag does not promise equal bytes."""
    etag = response.headers.get("ETag", "")
    tag = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    if tag:
        tag_file(part).write_text(tag, encoding="utf-8")
    else:
        tag_file(part).unlink(missing_ok=True)


def _receive(
    response: http.client.HTTPResponse,
    part: Path,
    *,
    start: int,
    total: int | None,
    max_bytes: int,
    url: str,
    advance: Callable[[int, int], None],
) -> int:
    """Append what comes to the part; returns its size. What had arrived before a failure stays."""
    size = start
    shown = total is not None and total >= WORTH_SHOWING
    with part.open("r+b" if part.exists() else "wb") as file:
        file.truncate(start)
        file.seek(start)
        try:
            while chunk := response.read1(CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    discard(part)
                    raise DataError(f"{url}: more than the {max_bytes:,} bytes that were wanted at most.")
                file.write(chunk)
                if shown and total is not None:
                    advance(size, total)
        except (OSError, http.client.HTTPException) as err:
            raise _Dropped(f"the connection dropped at {size:,} bytes ({type(err).__name__})") from err
        file.flush()
        os.fsync(file.fileno())
    return size
