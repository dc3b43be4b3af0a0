"""Names from outside never reach a shell as code, and never leave their folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ngw.config import Config
from ngw.errors import InputError

ROOT = Path(__file__).parents[1]
EVIL = 'it\'s; $(touch hacked) `touch hacked` "x" & touch hacked'


@pytest.mark.workflow
def test_a_folder_whose_name_is_a_command_is_a_folder(tmp_path):
    images = tmp_path / EVIL / "pictures"
    images.mkdir(parents=True)
    names = ["$(touch hacked).png", "a;touch hacked.png", "b c.png", "-rf.png"]
    for name in names:
        Image.new("RGB", (8, 8)).save(images / name)
    lines = "\n".join(f'"{name}","caption; touch hacked $(touch hacked)"' for name in names)
    (tmp_path / EVIL / "captions.csv").write_text(f"image,caption\n{lines}\n")
    entry = {"kind": "folder", "root": EVIL, "images": "pictures", "shares": {"val": 0.25, "test": 0.25}}
    (tmp_path / "hostile.yaml").write_text(yaml.safe_dump({"datasets": {"mine": entry}}))
    for name in ("config.yaml", "ngw", "workflow", "rules", "envs"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    done = subprocess.run(
        [*command, "--configfile", "hostile.yaml", "--", "results/data/mine/images.parquet"],
        cwd=tmp_path, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.rglob("hacked"))


@pytest.mark.parametrize("name", ["a b", "a;b", "$(b)", "../up", "a'b", "UPPER", "a/b"])
def test_names_in_the_config_are_plain(name):
    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    values["datasets"][name] = {"kind": "scenes", "sizes": {"train": 9, "val": 1, "test": 1}}
    with pytest.raises(InputError, match="name"):
        Config(values, ROOT / "workflow/schemas/config.schema.yaml")
