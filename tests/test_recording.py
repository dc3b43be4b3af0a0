"""A terminal's recording: each screen in its colours, the last one where motion is unwanted, no place of a machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyte") is None, reason="pyte isn't installed: pip install '.[recording]'"
)
ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"
BARS = r"""
import sys, time
for k in range(4):
    print(f"\r\33[32mjob {k}\33[0m", end="", flush=True)
    time.sleep(0.2)
print("\n\33[1mall <done>\33[0m")
"""


def record(folder: Path, code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "docs/recording.py"), "out.svg", "python", "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_each_screen_is_drawn_and_the_last_one_stands_still(tmp_path):
    done = record(tmp_path, BARS)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out.svg").read_text(encoding="utf-8")
    drawn = [(" ".join(t.text.split()), float(t.get("y"))) for t in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert {"job 0", "job 1", "job 2", "job 3", "all <done>"} <= {words for words, _ in drawn}
    still, *moves = map(float, re.findall(r"translateY\(-([\d.]+)px\)", text))
    assert moves == sorted(moves)
    assert moves[0] == 0
    assert still == moves[-1]
    assert [y > still for words, y in drawn if words == "all <done>"] == [True]
    assert re.search(r"\.t-r\d+ \{ fill: #98a84b", text)  # Rich's green


def test_of_a_command_that_fails_nothing_is_drawn(tmp_path):
    done = record(tmp_path, "print('so far'); raise SystemExit(3)")
    assert done.returncode == 1
    assert "so far" in done.stderr
    assert "ended with 3" in done.stderr
    assert not (tmp_path / "out.svg").exists()


def test_a_place_of_this_machine_is_refused(tmp_path):
    done = record(tmp_path, "import os; print(os.getcwd())")
    assert done.returncode == 1
    assert "this machine's own" in done.stderr
    assert not (tmp_path / "out.svg").exists()
