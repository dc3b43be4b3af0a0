"""The search page: a server on loopback only, which sends images by their rows in the index, and no other file."""

from __future__ import annotations

import html
import io as memory
import re
import secrets
import string
import sys
import threading
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np

from ngw.dual.encoder import DualEncoder
from ngw.dual.encoding import encoded
from ngw.dual.index import Index
from ngw.errors import InputError
from ngw.io.images import read

TEMPLATE = Path(__file__).with_name("page.html")
TOP, MOST = 24, 480  # images on a page: at first, and at most
SIDES = {"thumbnail": 480, "picture": 1920}  # pixels of the longer side, by the name in the address
KEPT = 512  # images cached in memory
ADDRESS = "127.0.0.1"


class Server(ThreadingHTTPServer):
    """Answers this machine only: `/?q=words`, `/?like=row`, `/thumbnail/row` and `/picture/row`."""

    daemon_threads = True

    def __init__(self, index: Index, model: DualEncoder, port: int = 0, nearest: Any = None) -> None:
        self.index, self.model, self.nearest = index, model, nearest or index.nearest
        self.template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
        self.jpeg = lru_cache(KEPT)(self._jpeg)
        self._one = threading.Lock()  # one query goes through the network at a time
        try:
            super().__init__((ADDRESS, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"port {port}: expected a free one, found: {reason}; choose another by --port.") from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has disconnected is no error; other errors are reported as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def hosts(self) -> set[str]:
        """The server's names in a browser of this machine; another name means that a foreign page had it resolved."""
        return {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    def found(self, query: str, like: int | None, top: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, scores) of the best images for words, or for one of the index's images."""
        if like is not None:
            u = self.index.vectors[like : like + 1]
        else:
            with self._one:
                u = self.model.embed(self.model.text, encoded(self.model.text, [query]))
        (rows,), (scores,) = self.nearest(u, top)
        return rows[rows >= 0], scores[rows >= 0]  # a graph may lead to fewer

    def _jpeg(self, row: int, side: int) -> bytes:
        """An image of the index, encoded again as JPEG: no file is sent unchanged."""
        image = read(self.index.path(row))
        image.thumbnail((side, side))
        buffer = memory.BytesIO()
        image.save(buffer, "JPEG", quality=88)
        return buffer.getvalue()

    def page(self, query: str, like: int | None, top: int, nonce: str) -> str:
        """The page for words, for an image, or for neither."""
        title, results = f"{len(self.index):,} images", ""
        if query or like is not None:
            rows, scores = self.found(query, like, top)
            items = "\n".join(self._item(int(row), float(score)) for row, score in zip(rows, scores, strict=True))
            results = f"<ol>\n{items}\n</ol>{self._more(query, like, top)}"
        focus = "" if results else " autofocus"
        fields = {"title": title, "query": query, "note": self._note(query, like, top), "nonce": nonce}
        escaped = {name: html.escape(value) for name, value in fields.items()}
        return self.template.substitute(escaped, results=results, focus=focus)

    def _note(self, query: str, like: int | None, top: int) -> str:
        """A sentence about the images on the page."""
        if like is not None:
            return f"Images like {self.index.names[like]}"
        if not query:
            return f"{len(self.index):,} images of {self.index.folder}. Describe in a few words what you look for."
        cut = ""
        if self.model.cut([query]):
            cut = f" The query is long: the encoder reads its first {self.model.text.n_tokens} tokens only."
        return f"The {min(top, len(self.index)):,} best of {len(self.index):,} images.{cut}"

    def _item(self, row: int, score: float) -> str:
        """An image with its name, its score and a link to similar ones."""
        name = html.escape(self.index.names[row])
        view = f'<img src="/thumbnail/{row}" alt="{name}" loading="lazy" width="480" height="480">'
        if self.index.path(row).is_file():
            view = f'<a href="/picture/{row}">{view}</a>'
        else:
            view = '<div class="gone">gone: index again</div>'
        return (
            f'<li>{view}<div><span title="{name}">{name}</span>{score:.3f}'
            f'<a href="/?like={row}" aria-label="Images like {name}">similar</a></div></li>'
        )

    def _more(self, query: str, like: int | None, top: int) -> str:
        if top >= min(MOST, len(self.index)):
            return ""
        about = f"q={quote(query, safe='')}" if like is None else f"like={like}"
        return f'\n<p class="more"><a href="/?{about}&amp;top={min(MOST, 2 * top)}">more</a></p>'


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    server_version, sys_version = "ngw", ""

    def do_GET(self) -> None:
        """Answer, or explain the error in our own words, not by the library's page."""
        if self.headers.get("Host", "") not in self.server.hosts:
            return self._answer(421, b"Name this server as 127.0.0.1 or localhost, with its port.\n")
        try:
            place = urlsplit(self.path)
            if place.path == "/":
                return self._page(parse_qs(place.query, max_num_fields=8))
            picture = re.fullmatch(r"/(thumbnail|picture)/([0-9]{1,12})", place.path)
            if picture and int(picture[2]) < len(self.server.index):
                return self._picture(int(picture[2]), SIDES[picture[1]])
        except ValueError as error:  # an InputError, or an address that can't be read
            return self._answer(400, f"{error}\n".encode(errors="replace"))
        return self._answer(404, b"No such page.\n")

    def _page(self, fields: dict[str, list[str]]) -> None:
        query = fields.get("q", [""])[0].strip()
        like, top = _number(fields, "like", None), _number(fields, "top", TOP)
        if like is not None and like >= len(self.server.index):
            return self._answer(404, b"No such image.\n")
        nonce = secrets.token_urlsafe(16)
        text = self.server.page(query, like, min(max(1, top or TOP), MOST), nonce)
        return self._answer(
            200, text.encode(errors="replace"), "text/html; charset=utf-8", f"style-src 'nonce-{nonce}'"
        )

    def _picture(self, row: int, side: int) -> None:
        try:
            content = self.server.jpeg(row, side)
        except InputError:
            return self._answer(404, b"This image is gone, or can't be read any more: index again.\n")
        return self._answer(200, content, "image/jpeg")

    def _answer(
        self, status: int, content: bytes, kind: str = "text/plain; charset=utf-8", style: str = "style-src 'none'"
    ) -> None:
        """Send a status and a body, which may load images of this server and nothing else."""
        policy = f"default-src 'none'; img-src 'self'; {style}; form-action 'self'; base-uri 'none'"
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "private, max-age=60" if kind == "image/jpeg" and status == 200 else "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, so that requests don't fill the terminal."""


def _number(fields: dict[str, list[str]], name: str, default: int | None) -> int | None:
    """A whole number in the address, or the default if there is none."""
    text = fields.get(name, [""])[0]
    if not text:
        return default
    if not re.fullmatch("[0-9]{1,12}", text):
        raise InputError(f"{name}: expected a whole number, found {text!r:.80}; mend the address.")
    return int(text)
