"""`ngw init` and `ngw run`: a new folder is whole or refused, and what stands behind `run` is Snakemake's."""

from __future__ import annotations

import re
import sys

import pytest
import snakemake
import yaml
from tiny_repository import ROOT
from tiny_study import run

from ngw.cli import main


def test_a_study_starts_with_the_default_config_and_the_profile_of_make(tmp_path, capsys):
    assert main(["init", str(tmp_path / "study")]) == 0
    assert "cd " in capsys.readouterr().out
    for name in ("config.yaml", "profiles/local/config.yaml"):
        assert (tmp_path / "study" / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_next_command_is_one_that_a_shell_takes(tmp_path, capsys):
    assert main(["init", str(tmp_path / "my study")]) == 0
    assert f"then: cd '{tmp_path}/my study' && ngw run" in capsys.readouterr().out


@pytest.mark.parametrize("there", ["Snakefile", "config.yaml", "profiles/local/config.yaml"])
def test_a_folder_that_has_one_of_the_files_stays_as_it_is(there, tmp_path, refused):
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_text("mine")
    refused(["init", str(tmp_path)], tmp_path / there, "expected no such file yet")
    assert (tmp_path / there).read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / there]


def test_a_link_that_leads_nowhere_is_no_folder_for_a_study(tmp_path, refused):
    (tmp_path / "link").symlink_to("nowhere")
    refused(["init", str(tmp_path / "link")], "link isn't a folder in which you can write")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_no_folder_for_a_study(tmp_path, refused):
    (tmp_path / "captions.csv").write_text("mine")
    refused(["init", str(tmp_path / "captions.csv")], "captions.csv isn't a folder in which you can write")
    assert (tmp_path / "captions.csv").read_text() == "mine"


def test_what_follows_run_goes_to_snakemake(tmp_path):
    done = run(tmp_path, sys.executable, "-m", "ngw", "run", "--version")
    assert done.stdout.strip() == snakemake.__version__
    done = run(tmp_path, sys.executable, "-m", "ngw", "run", "--profile", "nowhere")
    assert done.returncode != 0
    assert "nowhere" in done.stderr  # the user's profile, not ours


def test_make_takes_its_options_from_the_profile():
    (line,) = re.findall(r"^SNAKEMAKE := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line == "python -m ngw run --cores $(CORES)"
    profile = yaml.safe_load((ROOT / "profiles/local/config.yaml").read_text())
    assert profile["rerun-incomplete"] is profile["show-failed-logs"] is True
    assert profile["scheduler"] == "greedy"
