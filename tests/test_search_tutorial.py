"""The tutorial of docs/tutorials/photographs.md, followed from its first command to its last at a tiny size."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from photograph_albums import N, album
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/tutorials/photographs.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_tutorial_is_followed(tmp_path, monkeypatch):
    album(tmp_path / "photos", captioned=20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NGW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    commands = [shlex.split(line)[3:] for line in re.findall(r"^    (python -m ngw .*)$", PAGE, re.MULTILINE)]
    assert [words[0] for words in commands] == ["align", "index", "search", "serve"]
    *others, serve = ([sys.executable, "-m", "ngw", *words] for words in commands)
    printed = []
    for command in others:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert printed[0].startswith("Retrieval in per cent, all known pairs, 4 test images with 8 captions")
    assert f"photos.index: {N} images" in printed[1]
    assert len(printed[2].splitlines()) == 12
    with Image.open("found.png") as sheet:
        assert sheet.format == "PNG"
    ask([*serve, "--port", "0"])
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["u"].shape == (N, names["v"].shape[1])
    assert names["cosines"].shape == (N, 3)
    assert len(names["labels"]) == N
    np.testing.assert_allclose(np.linalg.norm(names["v"], axis=1), 1, atol=1e-5)


def ask(command: list[str]) -> None:
    """The page answers once, then its server is stopped."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    ) as server:
        try:
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", server.stdout.readline())[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/?q=two+dogs+on+a+beach")
            text = connection.getresponse().read().decode()
            assert text.count("/thumbnail/") == N
        finally:
            server.terminate()
