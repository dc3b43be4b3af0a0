"""Items to download: files of the official table and models of the hub, what of them is missing, how to fetch it."""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ngw import io
from ngw.config import read
from ngw.download.unpack import ENDINGS, unpack
from ngw.encoders._huggingface import PATTERNS
from ngw.errors import FullDisk, InputError
from ngw.schema import check_schema

TABLE = Path(__file__).with_name("official.yaml")
TEXT, OBJECT = {"type": "string"}, {"type": "object"}
FILE = OBJECT | {
    "properties": {"url": TEXT, "form": TEXT, "digest": {"type": ["string", "null"]}, "licence": TEXT, "inside": TEXT}
    | {"name": TEXT, "size": {"type": ["integer", "null"]}, "gives": {"type": "array", "items": TEXT}}
}
SET = OBJECT | {
    "required": ["root", "files"],
    "properties": {"root": TEXT, "files": {"type": "array", "items": FILE | {"required": ["name", "gives"]}}},
}
FORM = OBJECT | {  # of a table
    "required": ["sets", "weights"],
    "properties": {"sets": OBJECT | {"additionalProperties": SET}, "weights": OBJECT | {"additionalProperties": FILE}},
}
BESIDE = ".downloads"  # below a root: parts, archives being unpacked, digests of the fetched files


class File(NamedTuple):
    """A file of the table, and the folder for its content."""

    name: str
    root: Path
    gives: tuple[str, ...]  # paths below root
    licence: str = "none stated"
    url: str | None = None
    form: str = ""  # the page to request it on, if there is no url
    size: int | None = None
    digest: str | None = None
    inside: str = ""

    @property
    def place(self) -> str:
        return str(self.root)

    def missing(self) -> int | None:
        """Bytes still to fetch; None if the size isn't published."""
        if all((self.root / name).exists() for name in self.gives):
            return 0
        part = self.root / BESIDE / f"{self.name}.part"
        have = part.stat().st_size if part.is_file() else 0
        return None if self.size is None else max(self.size - have, 1)

    def room(self, missing: int | None) -> int:
        """Bytes that it needs on its disk: the missing ones, and for an archive its size again, since images don't
        shrink by packing."""
        return (missing or 0) + (self.size or 0 if self.name.endswith(ENDINGS) else 0)

    def obtain(self, stop: threading.Event) -> str:
        """Fetch, check and unpack the file; returns a line about it.

        Without a published digest, the digest of the first download is kept in `.downloads` and expected from then on.
        """
        from ngw.download.http import fetch, verify

        assert self.url is not None
        folder = self.root / BESIDE
        archive, note, unpacked = (folder / f"{self.name}{end}" for end in ("", ".json", ".unpacked"))
        with _alone(folder / f"{self.name}.lock"):
            digest = self.digest
            if digest is None and note.is_file():
                digest = f"sha256:{io.read_json(note)['sha256']}"
                print(f"{self.name}: expected the first download's digest, in {note}; delete it to accept another.")
            if archive.is_file():  # put there by a person, or by a run that was killed
                sha256 = verify(archive, self.url, self.size, digest)
            else:
                sha256 = fetch(self.url, archive, self.size, digest, stop=stop)
            size = archive.stat().st_size
            self._place(archive, unpacked)
            io.write_json(note, {"url": self.url, "size": size, "sha256": sha256})
        against = "as published" if self.digest else "as before" if digest else f"not published, kept in {note}"
        return f"sha256 {sha256}, {self.digest.partition(':')[0] + ' ' if self.digest else ''}{against}"

    def _place(self, archive: Path, unpacked: Path) -> None:
        """Move an archive's content below root, where existing paths stay, and remove the archive, broken or not."""
        shutil.rmtree(unpacked, ignore_errors=True)  # what a killed run left
        try:
            if self.name.endswith(ENDINGS):
                unpack(archive, unpacked, self.inside, self.gives)
            else:
                unpacked.mkdir()
                archive.replace(unpacked / self.gives[0])
            for name in self.gives:
                if not (self.root / name).exists():
                    (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                    (unpacked / name).rename(self.root / name)
        except FullDisk:
            raise  # the archive stays: once there is room, it need not be fetched again
        except InputError:
            archive.unlink()
            raise
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        archive.unlink(missing_ok=True)


class Model(NamedTuple):
    """A model of the hub, which goes to the hub's cache or to a folder."""

    model: str
    revision: str
    pickle: bool = False
    into: Path | None = None
    licence: str = ""
    form: str = ""
    patterns: tuple[str, ...] = PATTERNS  # of its files

    @property
    def name(self) -> str:
        return f"{self.model}@{self.revision[:12]}"

    @property
    def url(self) -> str:
        return f"https://huggingface.co/{self.model}"

    @property
    def root(self) -> Path:
        from huggingface_hub.constants import HF_HUB_CACHE

        return self.into or Path(HF_HUB_CACHE)

    @property
    def place(self) -> str:
        return "the hub's cache" if self.into is None else str(self.into)

    def missing(self) -> int | None:
        """Bytes still to fetch; None if files are missing and the hub can't be reached."""
        from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

        disable_progress_bars()
        try:
            if _hub_answers():  # the hub knows all files; the cache doesn't know which ones it lacks
                return sum(file.file_size or 1 for file in self._snapshot(dry_run=True) if file.will_download)
            self._snapshot(local_files_only=True)
            return 0
        except (OSError, ValueError):  # all errors of the hub's library are of these classes; `obtain` reports them
            return None
        finally:
            enable_progress_bars()

    def room(self, missing: int | None) -> int:
        """Bytes that it needs on its disk."""
        return missing or 0

    def obtain(self, stop: threading.Event) -> str:
        """Fetch its files by the hub's library, which resumes and checks; returns a line about them."""
        try:
            return f"revision {self.revision}, in {self._snapshot()}"
        except Exception as error:  # of the network's library, which differs between versions of huggingface_hub
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{self.model}: expected revision {self.revision} on the hub, found: {reason}; see {self.url}, "
                "where you may have to accept a licence, or run again with a network."
            ) from None

    def _snapshot(self, **how: Any) -> Any:
        """The files that encoders need (`ngw.encoders._huggingface`), at the revision."""
        from huggingface_hub import snapshot_download

        patterns = [*self.patterns, *["pytorch_model.bin"] * self.pickle]
        return snapshot_download(
            self.model, revision=self.revision, allow_patterns=patterns, local_dir=self.into, **how
        )


@cache
def _hub_answers() -> bool:
    """Whether the hub can be reached; asked once, since the hub's library would try half a minute for each model."""
    import requests
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    with suppress(requests.RequestException):
        return not HF_HUB_OFFLINE and bool(requests.head(ENDPOINT, timeout=10).status_code)
    return False


Item = File | Model


def table(path: Path = TABLE) -> Mapping[str, Any]:
    """The official files: sets and weights by name."""
    found = read(path)
    check_schema(found, FORM, str(path))
    return found


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """A lock: only one process fetches a file at a time. A killed process leaves no lock, only its empty file."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{lock.with_suffix('')}: another process is fetching it; wait until it ends.") from None
        yield
