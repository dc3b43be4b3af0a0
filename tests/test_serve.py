"""The search page, by real requests: what it shows, what it refuses, what it never sends."""

from __future__ import annotations

import html
import http.client
import io as memory
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from photograph_albums import N, album, fitted
from PIL import Image

from ngw.dual import index as indices
from ngw.dual.encoder import DualEncoder
from ngw.dual.serve import Server

HOSTILE = "<script>alert(1)</script>\"'&.png"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, and an index of an album in which one name is markup."""
    folder = tmp_path_factory.mktemp("serve")
    photos = album(folder / "photos")
    model = fitted(photos)
    os.rename(photos / "a/000.png", photos / HOSTILE.replace("/", "∕"))
    (folder / "photos/secret.txt").write_text("secret")
    model.save(folder / "my-model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NGW_CACHE", str(folder / "cache"))
        indices.update(folder / "photos.index", photos, model, folder / "my-model")
    return folder


@pytest.fixture(scope="module")
def server(made):
    index, model = indices.Index.read(made / "photos.index"), DualEncoder.load(made / "my-model")
    with Server(index, model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server, path: str, method: str = "GET", **headers: str):
    """(status, headers, body) of a request as it stands: nothing of it is normalised."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    host = headers.pop("host", f"127.0.0.1:{server.server_port}")
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": host, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def page(server, path: str) -> str:
    status, headers, body = ask(server, path)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    return body.decode()


def shown(text: str) -> list[int]:
    return [int(row) for row in re.findall(r'src="/thumbnail/(\d+)"', text)]


def test_the_first_page_has_a_box_and_no_pictures(server):
    text = page(server, "/")
    assert '<input id="q" name="q" type="search" value=""' in text
    assert '<label class="hidden" for="q">' in text
    assert "24 images of" in text
    assert not shown(text)


def test_a_query_shows_the_best_pictures_with_names(server):
    text = page(server, "/?q=A+red+ball.&top=5")
    (wanted,), _ = server.index.nearest(server.model.encode_text(["A red ball."]), 5)
    assert shown(text) == wanted.tolist()
    for row in wanted:
        assert f'alt="{html.escape(server.index.names[row])}"' in text
    assert 'value="A red ball."' in text
    assert 'href="/?q=A%20red%20ball.&amp;top=10"' in text
    assert len(shown(page(server, "/?q=red&top=9999"))) == N


def test_similar_pictures(server):
    text = page(server, "/?like=3")
    assert shown(text)[0] == 3
    assert f"Images like {html.escape(server.index.names[3])}" in text


def test_a_query_is_text_and_never_markup(server):
    query = "<script>alert(1)</script>\"' onfocus=alert(2) $note ${title} \x00 é 🐕"
    text = page(server, f"/?q={quote(query)}")
    assert "<script" not in text
    assert html.escape(query.strip()) in text
    assert html.unescape(re.search(r'type="search" value="([^"]*)"', text)[1]) == query
    assert "onfocus=alert(2) $note" in html.unescape(text)


def test_a_name_is_text_and_never_markup(server):
    row = next(row for row, name in enumerate(server.index.names) if "script" in name)
    text = page(server, f"/?like={row}")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert ask(server, f"/thumbnail/{row}")[0] == 200


def test_a_long_query_is_cut_and_said_to_be(server):
    text = page(server, f"/?q={quote('red ball ' * 1111)}")
    assert "The query is long: the encoder reads its first 64 tokens only." in text
    assert len(shown(text)) == N
    assert ask(server, "/?q=" + "a" * 70_000)[0] == 414


def test_pictures_are_made_anew_by_their_rows(server):
    status, headers, body = ask(server, "/thumbnail/5")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    with Image.open(memory.BytesIO(body)) as image:
        assert (image.format, image.size) == ("JPEG", (48, 40))
    assert ask(server, "/picture/5")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/thumbnail/24", "/thumbnail/-1", "/thumbnail/99999999999999999999", "/thumbnail/a", "/thumbnail/1/..",
        "/photos/secret.txt", "/../photos/secret.txt", "/thumbnail/../../photos/secret.txt", "/picture/%2e%2e%2fa.txt",
        "//etc/passwd", "/etc/passwd", "/picture/", "/?like=24", "/thumbnail/%31", "/thumbnail/1%00", "/favicon.ico",
        "/thumbnail/١",
    ],
)  # fmt: skip
def test_nothing_else_is_served(path, server):
    status, _, body = ask(server, quote(path, safe="/%?=.&"))
    assert status == 404
    assert b"secret" not in body
    assert len(body) < 100


@pytest.mark.parametrize("path", ["/?like=a", "/?top=-1", "/?like=1.5", "/?" + "&".join(f"a{k}=1" for k in range(20))])
def test_addresses_that_cannot_be_read(path, server):
    assert ask(server, path)[0] == 400


def test_other_methods_are_refused(server):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/", method)[0] == 501


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost.evil.example:{port}", ""]
)
def test_another_host_is_refused(host, server):
    status, _, body = ask(server, "/?q=a", host=host.format(port=server.server_port))
    assert status == 421
    assert b"<" not in body


def test_localhost_is_this_host(server):
    assert ask(server, "/", host=f"localhost:{server.server_port}")[0] == 200
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/?q=red", "/thumbnail/1", "/nothing"])
def test_the_page_may_load_its_own_pictures_alone(path, server):
    _, headers, body = ask(server, path)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src 'self'; style-src ")
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not re.search(rb"https?://", body)
    if path == "/":
        nonce = re.search(r"'nonce-([^']+)'", policy)[1]
        assert f'<style nonce="{nonce}">' in body.decode()
        assert nonce not in ask(server, path)[1]["Content-Security-Policy"]


def test_a_picture_that_is_gone_or_no_picture_any_more(made, server):
    row = next(row for row, name in enumerate(server.index.names) if name == "b/001.png")
    path = server.index.path(row)
    aside = path.with_name("aside")
    path.rename(aside)
    assert ask(server, f"/picture/{row}")[0] == 404
    text = page(server, "/?q=green&top=24")
    assert row not in shown(text)
    assert "gone: index again" in text
    path.symlink_to(made / "photos/secret.txt")
    status, _, body = ask(server, f"/picture/{row}")
    assert status == 404
    assert b"secret" not in body
    path.unlink()
    aside.rename(path)
    assert ask(server, f"/picture/{row}")[0] == 200


def test_many_at_once(server):
    answers = []
    ways = ["/?q=red", "/?q=blue+boat", "/thumbnail/2", "/picture/3"] * 4
    threads = [threading.Thread(target=lambda way=way: answers.append(ask(server, way)[0])) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [200] * len(ways)


def test_the_command_serves_until_it_is_terminated(made, server, tmp_path):
    words = [sys.executable, "-m", "ngw", "serve", str(made / "photos.index"), "--port"]
    taken = subprocess.run([*words, str(server.server_port)], capture_output=True, text=True, check=False)
    assert taken.returncode == 2
    assert f"port {server.server_port}: expected a free one, found: Address already in use" in taken.stderr
    with subprocess.Popen([*words, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        port = int(re.search(r"24 images at http://127.0.0.1:(\d+)/", line)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/?q=red")
        assert connection.getresponse().status == 200
        connection.close()
        process.terminate()
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()
        assert "Traceback" not in process.stderr.read()


def test_approximate_search_without_its_package_or_with_it(made, refused):
    words = ["serve", str(made / "photos.index"), "--port", "-1", "--approximate"]
    try:
        import faiss  # noqa: F401
    except ModuleNotFoundError:
        refused(words, "--approximate: expected the package faiss, found none; pip install 'ngw[approximate]'")
        return
    refused(words, "port -1: expected a free one")
    from ngw.dual.approximate import Approximate

    index = indices.Index.read(made / "photos.index")
    exact, _ = index.nearest(index.vectors, 5)
    near, _ = Approximate(index.vectors).nearest(index.vectors, 5)
    assert (near == exact).mean() > 0.9


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_a_browser_shows_the_pictures_and_has_nothing_to_complain_about(server, tmp_path):
    address = f"http://127.0.0.1:{server.server_port}/?q={quote('A red ball. <b>')}"
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    picture = tmp_path / "page.png"
    for more in (["--dump-dom"], [f"--screenshot={picture}", "--window-size=1000,700"]):
        command = [*browser, f"--user-data-dir={tmp_path / 'profile'}", *more, address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "CONSOLE" not in done.stderr
        if more == ["--dump-dom"]:
            assert len(shown(done.stdout)) == N
            assert "<b>" not in done.stdout
    with Image.open(picture) as image:
        reds = sum(count for count, (r, g, b) in image.convert("RGB").getcolors(1 << 24) if r > 180 > 90 > max(g, b))
        assert reds > 5000  # the images are drawn, not their names


def test_a_page_needs_no_script(server):
    assert "<script" not in page(server, "/?q=red")
    assert not list(Path(__file__).parents[1].glob("ngw/dual/*.js"))
