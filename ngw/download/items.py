"""What can be fetched: files of the official table and models of the hub, and whether they are there already."""

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

TABLE = Path(__file__).with_name("official.yaml")
BESIDE = ".downloads"  # below a root: parts, archives that are being unpacked, digests of what was fetched


class File(NamedTuple):
    """A file of the table, and the folder that what it holds goes to."""

    name: str
    root: Path
    gives: tuple[str, ...]  # below root
    licence: str = "none stated"
    url: str | None = None
    form: str = ""  # where a person asks for it, if there is no url
    size: int | None = None
    digest: str | None = None
    inside: str = ""

    @property
    def place(self) -> str:
        return str(self.root)

    def missing(self) -> int | None:
        """Bytes that are still to be fetched; None where nobody has published how many."""
        if all((self.root / name).exists() for name in self.gives):
            return 0
        part = self.root / BESIDE / f"{self.name}.part"
        have = part.stat().st_size if part.is_file() else 0
        return None if self.size is None else max(self.size - have, 1)

    def room(self, missing: int | None) -> int:
        """Bytes that it wants on its disk, of which so many are to be fetched: images are as large unpacked."""
        return (missing or 0) + (self.size or 0 if self.name.endswith(ENDINGS) else 0)

    def obtain(self, stop: threading.Event) -> str:
        """Fetch, check and unpack it; a line about it.

        Without a published digest, that of the first download counts from then on: it is kept in `.downloads`.
        """
        from ngw.download.http import fetch, verify

        assert self.url is not None
        folder = self.root / BESIDE
        archive, note, unpacked = (folder / f"{self.name}{end}" for end in ("", ".json", ".unpacked"))
        with _alone(folder / f"{self.name}.lock"):
            digest = self.digest
            if digest is None and note.is_file():
                digest = f"sha256:{io.read_json(note)['sha256']}"
                print(f"{self.name}: expected as {note} has it from the first download; delete that to take another.")
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
        """Move what an archive gives below root; what was there stays. An archive that is used, or no use, goes."""
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
            raise  # with some room, it needn't be fetched again
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
        """Bytes that are still to be fetched; None where the hub can't be asked and something is missing."""
        from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

        disable_progress_bars()
        try:
            if _hub_answers():  # which tells more than the cache: that may hold some files alone, and not know it
                return sum(file.file_size or 1 for file in self._snapshot(dry_run=True) if file.will_download)
            self._snapshot(local_files_only=True)
            return 0
        except (OSError, ValueError):  # all of its library's errors are of these classes; `obtain` tells them
            return None
        finally:
            enable_progress_bars()

    def room(self, missing: int | None) -> int:
        """Bytes that it wants on its disk."""
        return missing or 0

    def obtain(self, stop: threading.Event) -> str:
        """Fetch its files, by the library of the hub, which resumes and checks; a line about them."""
        try:
            return f"revision {self.revision}, in {self._snapshot()}"
        except Exception as error:  # of the network's library, which differs from one version of the hub to the next
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{self.model}: expected revision {self.revision} on the hub, found: {reason}; look at {self.url}, "
                "where a licence may have to be accepted, or run again once the network is open."
            ) from None

    def _snapshot(self, **how: Any) -> Any:
        """The files that encoders ask for (`ngw.encoders._huggingface`), at the revision."""
        from huggingface_hub import snapshot_download

        patterns = [*self.patterns, *["pytorch_model.bin"] * self.pickle]
        return snapshot_download(
            self.model, revision=self.revision, allow_patterns=patterns, local_dir=self.into, **how
        )


@cache
def _hub_answers() -> bool:
    """Whether there is a way to the hub, whose library would try for half a minute at each model."""
    import requests
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    with suppress(requests.RequestException):
        return not HF_HUB_OFFLINE and bool(requests.head(ENDPOINT, timeout=10).status_code)
    return False


Item = File | Model


def table(path: Path = TABLE) -> Mapping[str, Any]:
    """The official files: sets and weights by name."""
    return read(path)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """While one process fetches a file no other does. A process that is killed leaves no lock, but its empty file."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{lock.with_suffix('')}: another process fetches it now; wait until it ends.") from None
        yield
