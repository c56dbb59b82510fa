"""Shards behind a URL: range reads, copies, and servers that cannot seek."""

from __future__ import annotations

import http.server
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator

import pytest

from anyclip.errors import BadSample, DataError
from anyclip.readers import remote, tarindex
from anyclip.readers.options import TarOptions
from anyclip.readers.tar import TarReader

fsspec = pytest.importorskip("fsspec")


def archive(n: int = 4, size: int = 300_000) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for i in range(n):
            for suffix, data in (("bin", bytes([i]) * size), ("txt", f"caption {i}".encode())):
                info = tarfile.TarInfo(f"{i:04d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def reader(path: str, **options) -> TarReader:
    return TarReader(TarOptions(path=path, **options))


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one archive; `server.ranges` says whether it sends parts."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        data: bytes = self.server.data  # type: ignore[attr-defined]
        if self.path != "/s.tar":
            return self.send_error(404)
        asked = self.headers.get("Range")
        if asked and self.server.ranges:  # type: ignore[attr-defined]
            first, last = asked.removeprefix("bytes=").split("-")
            part = data[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        else:
            part = data
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if body:
            self.server.sent += len(part)  # type: ignore[attr-defined]
            self.wfile.write(part)
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    pytest.importorskip("aiohttp")
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.data, made.ranges, made.sent = archive(), True, 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def url(server: http.server.ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/s.tar"


def test_ranges_over_http(server, monkeypatch):
    made = reader(url(server))
    assert [made.value(i, "txt") for i in (3, 0)] == ["caption 3", "caption 0"]
    assert made.value(2, "bin").data == b"\2" * 300_000
    assert made.sample_id(2) == "s.tar/0002"
    monkeypatch.setattr(tarindex, "build", None)  # the index is in the cache
    server.sent = 0
    again = pickle.loads(pickle.dumps(reader(url(server))))
    assert again.value(1, "bin").data == b"\1" * 300_000
    assert again.value(1, "txt") == "caption 1"
    assert server.sent < 350_000  # one sample, not the shard


def test_a_server_without_ranges_is_refused_with_the_reason(server):
    server.ranges = False
    with pytest.raises(
        DataError, match=r"s.tar: no random access: the server does not send parts of a file.*remote: copy"
    ):
        reader(url(server))
    made = reader(url(server), remote="copy")
    assert made.value(3, "txt") == "caption 3"
    server.sent = 0
    assert reader(url(server), remote="copy").value(2, "txt") == "caption 2"
    assert server.sent == 0  # the copy is used again


def test_a_missing_remote_shard(server):
    with pytest.raises(DataError, match=r"none.tar: not found"):
        reader(url(server).replace("s.tar", "none.tar"))


@pytest.fixture
def memory() -> Iterator[str]:
    filesystem = fsspec.filesystem("memory")
    for k in range(2):
        filesystem.pipe(f"/set/s-{k}.tar", archive(2, size=100))
    yield "memory://set"
    filesystem.rm("/set", recursive=True)


@pytest.mark.parametrize("path", ["s-{0..1}.tar", "s-*.tar"])
@pytest.mark.parametrize("how", ["range", "copy"])
def test_memory_file_system(memory, path, how):
    made = reader(f"{memory}/{path}", remote=how)
    assert [made.value(i, "txt") for i in range(4)] == ["caption 0", "caption 1"] * 2
    assert made.sample_id(3) == "s-1.tar/0001"


def test_local_and_remote_shards_have_one_fingerprint(memory, tmp_path):
    for k in range(2):
        (tmp_path / f"s-{k}.tar").write_bytes(archive(2, size=100))
    assert reader(f"{memory}/s-*.tar").fingerprint() == reader(str(tmp_path)).fingerprint()


def test_a_dropped_connection_is_tried_again(memory, monkeypatch):
    made = reader(f"{memory}/s-0.tar")
    monkeypatch.setattr(remote, "PAUSES", (0, 0))
    filesystem = type(fsspec.filesystem("memory"))
    whole, tries = filesystem.cat_file, []

    def shaky(self, path, start=None, end=None, **kwargs):
        tries.append(path)
        if len(tries) < 3:
            raise ConnectionError("reset")
        return whole(self, path, start=start, end=end, **kwargs)

    monkeypatch.setattr(filesystem, "cat_file", shaky)
    assert made.value(1, "txt") == "caption 1"
    monkeypatch.setattr(filesystem, "cat_file", lambda self, path, **kw: b"short")
    with pytest.raises(BadSample, match=r"memory://set/s-0.tar: bytes .* cannot be read: 5 bytes came instead of"):
        made.value(0, "txt")


def test_an_unknown_protocol():
    with pytest.raises(DataError, match="cannot be opened"):
        reader("nosuch://host/s.tar")
