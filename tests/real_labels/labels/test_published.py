import contextlib
import hashlib
import http.server
import shutil
import threading
import time

import pytest

from real_labels.errors import InputError
from real_labels.labels import download
from real_labels.labels import published as files

CONTENT = {"real.json": b"[[1]]" * 5000, "scores.npz": bytes(range(256)) * 2000}


class Server(http.server.ThreadingHTTPServer):
    """Serves bytes with ranges, as GitHub does; may close the connection early; records the requests."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.asked, self.hang_up_after, self.ranges = content, [], None, True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/commit"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/commit/")
        self.server.asked.append((name, self.headers.get("Range")))
        body = self.server.content.get(name)
        if body is None:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if self.server.ranges else 0
        if start >= len(body) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body) if self.server.hang_up_after is None else start + self.server.hang_up_after
        self.wfile.write(body[start:end])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    served = tuple(
        files.PublishedFile(n, "a/b/c", hashlib.sha256(b).hexdigest(), len(b))
        for n, b in CONTENT.items()
    )
    monkeypatch.setattr(files, "FILES", {"real": served})
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    serving = Server(dict(CONTENT))
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()


def test_files_are_fetched_once(tmp_path, server, capfd):
    folder = tmp_path / "data"
    paths = files.fetch(folder, mirror=server.url)
    assert {p.name: p.read_bytes() for p in paths} == CONTENT
    assert sorted(p.name for p in folder.iterdir()) == sorted(CONTENT)
    assert "real.json" in capfd.readouterr().err  # the progress bar
    before = len(server.asked)
    assert files.fetch(folder, mirror=server.url) == paths
    assert len(server.asked) == before


def test_an_interrupted_download_goes_on_where_it_was(tmp_path, server):
    server.hang_up_after = 60_000
    with pytest.raises(
        InputError, match=r"scores.npz: cannot be downloaded .*Fetch again"
    ) as error:
        files.fetch(tmp_path, mirror=server.url)
    assert "scores.npz.part holds the bytes received so far" in str(error.value)
    assert (tmp_path / "real.json").read_bytes() == CONTENT["real.json"]
    assert not (tmp_path / "scores.npz").exists()
    assert (tmp_path / "scores.npz.part").stat().st_size == 180_000  # three tries
    server.hang_up_after, before = None, len(server.asked)
    files.fetch(tmp_path, mirror=server.url)
    assert server.asked[before:] == [("scores.npz", "bytes=180000-")]
    assert (tmp_path / "scores.npz").read_bytes() == CONTENT["scores.npz"]
    assert not (tmp_path / "scores.npz.part").exists()


def test_a_server_without_ranges_sends_all_again(tmp_path, server):
    (tmp_path / "scores.npz.part").write_bytes(CONTENT["scores.npz"][:1000])
    server.ranges = False
    files.fetch(tmp_path, mirror=server.url)
    assert (tmp_path / "scores.npz").read_bytes() == CONTENT["scores.npz"]


def test_a_damaged_part_is_fetched_anew(tmp_path, server):
    (tmp_path / "scores.npz.part").write_bytes(b"nonsense" * 100)
    files.fetch(tmp_path, mirror=server.url)
    assert (tmp_path / "scores.npz").read_bytes() == CONTENT["scores.npz"]


def test_a_whole_part_is_only_renamed(tmp_path, server):
    (tmp_path / "scores.npz.part").write_bytes(CONTENT["scores.npz"])
    files.fetch(tmp_path, mirror=server.url)
    assert (tmp_path / "scores.npz").read_bytes() == CONTENT["scores.npz"]


def test_what_is_not_the_published_file_is_refused(tmp_path, server):
    server.content["scores.npz"] = b"<html>Please log in</html>"
    with pytest.raises(InputError, match="is not the published file"):
        files.fetch(tmp_path, mirror=server.url)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["real.json"]
    (tmp_path / "real.json").write_bytes(b"[]")
    with pytest.raises(InputError, match=r"real.json: is not the published file"):
        files.fetch(tmp_path, mirror=server.url)
    assert (tmp_path / "real.json").read_bytes() == b"[]"  # left as it was


def test_errors_of_the_server_and_of_the_way_there(tmp_path, server):
    del server.content["scores.npz"]
    with pytest.raises(InputError, match="scores.npz: the server answered 404"):
        files.fetch(tmp_path, mirror=server.url)
    with pytest.raises(InputError, match="begins with http"):
        files.fetch(tmp_path, mirror="nonsense")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is a file; name a folder"):
        files.fetch(tmp_path / "file", mirror=server.url)
    with pytest.raises(InputError, match=r"cannot be downloaded .*by hand"):
        files.fetch(tmp_path / "other", mirror="http://127.0.0.1:9/commit")


def test_where_the_files_are(tmp_path, monkeypatch):
    monkeypatch.setenv("REAL_LABELS_DIR", str(tmp_path / "set"))
    assert files.data_dir() == tmp_path / "set"
    assert files.data_dir(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("REAL_LABELS_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert files.data_dir() == tmp_path / "cache" / "real_labels"
    with pytest.raises(InputError, match=r"real.json: .*python -m real_labels fetch"):
        files.locate("real.json")


def test_published_files_that_are_there_are_used_without_network(tmp_path, published):
    names = [one.name for one in files.FILES["real"]]
    for name in names:
        shutil.copy(published / name, tmp_path / name)
    paths = files.fetch(tmp_path, mirror="http://127.0.0.1:9/nowhere")
    assert [p.name for p in paths] == names
    assert files.FILES["real"][0].url == (
        "https://raw.githubusercontent.com/google-research/reassessed-imagenet/"
        "bcd006fe12e929f055e0ec7fe39dbf4d64a6881a/real.json"
    )


def test_a_server_that_never_ends_is_given_up_and_the_bytes_are_kept(monkeypatch, tmp_path):
    """It sends a byte now and then, so that no single read times out."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.05)

        def log_message(self, *arguments):
            pass

    monkeypatch.setattr(download, "_PATIENCE", 0.5)
    monkeypatch.setattr(download, "_TRIES", 1)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as slow:
        slow.daemon_threads = True
        threading.Thread(target=slow.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match="the server sends less than 10,000 bytes a second"):
            download.download(
                f"http://127.0.0.1:{slow.server_port}/f", tmp_path / "f", "0" * 64, 1_000
            )
        slow.shutdown()
    assert (tmp_path / "f.part").stat().st_size > 1
