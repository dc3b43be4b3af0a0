"""Rehearsals: synthetic data suit the readers, partners' synthetic features match, networks are tiny, all jobs run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from ngw import data, encoders
from ngw.cli import main
from ngw.config import Config
from ngw.data._leaks import refuse_leaks
from ngw.errors import InputError
from ngw.rehearsal import config, content, stages
from ngw.rehearsal.data import images_of, make
from ngw.tools.plan import JOBS
from ngw.tools.status import merged_files

ROOT = Path(__file__).parents[1]
FEW = {  # of the paper, one run of each kind
    "run": {
        "seeds": [0], "datasets": ["coco"], "encoder_pairs": [["dinov2-large", "mpnet"]], "pairs": [0, 10000, "all"],
    },
    "tables": {
        "retrieval": {
            "methods": ["ngw", "cca", "random", "joint", "joint-pretrained", "weight-averaging"],
            "only": [{"method": "joint", "pairs": ["all"], "seeds": [0]}],
        },
        "classification": {"methods": ["ngw", "cca", "joint-pretrained"], "sets": ["cifar-100", "eurosat"], "only": []}
        | {"probe": ["cifar-100"]},
        "identifiability": {"methods": ["ngw", "cca"]},
        "ablations": {"vary": [{"method": "ngw", "option": "rounds", "values": [1]}]},
        "generation": {"methods": ["ngw", "joint-pretrained"], "pairs": ["all"]},
        "vqa": {
            "fusions": ["ngw-fusion", "concat", "joint", "prior"], "curve": ["concat"], "labels": [10],
            "examples": ["ngw-fusion"], "only": [{"fusion": "joint", "seeds": [0]}],
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def paper():
    return merged_files([ROOT / "paper.yaml"], ROOT)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is the working one, and few pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(content, "POOL", 2)
    return tmp_path


def test_made_data_are_read_as_the_official_ones(folder, paper):
    made = config.rehearsed(paper, 0.0001)["datasets"]
    chosen = {name: made[name] for name in ("coco", "coco-train2014", "vqa2", "flickr30k", "eurosat", "cifar-100")}
    make(folder, chosen, 0.0001)
    read = {name: data.prepare(spec, folder / name) for name, spec in chosen.items()}
    sizes = {split: len(numbers) for split, numbers in images_of(0.0001).items()}
    assert read["coco"].sizes()["images"]["train"] == sizes["train"] + sizes["restval"]
    assert read["coco-train2014"].sizes()["images"]["train"] == sizes["train"]
    assert read["coco"].sizes()["captions"]["test"] == 5 * sizes["test"]
    assert read["vqa2"].sizes()["questions"]["train"] == 44
    assert read["vqa2"].record["unlabelled_splits"] == ["test"]
    assert read["flickr30k"].sizes()["images"] == {"train": 16, "val": 16, "test": 16}
    assert read["eurosat"].sizes()["labels"] == {"test": 16}
    assert read["cifar-100"].sizes()["labels"] == {"train": 100, "test": 100}
    # As in the published files, images of restval are asked about in the validation split.
    with pytest.raises(InputError, match=f"{sizes['restval']} such images"):
        refuse_leaks(read["vqa2"], read["coco"])
    refuse_leaks(read["vqa2"], read["coco-train2014"])


def test_a_million_pictures_are_names_of_a_few_files(folder):
    assert content.pictures(folder / "train", [f"{k}/{k}.jpg" for k in range(9)], (64, 48), folder / "pool") == 9
    files = {path.stat().st_ino for path in (folder / "train").rglob("*.jpg")}
    assert files == {path.stat().st_ino for path in (folder / "pool").iterdir()}
    assert len(files) == 2


def test_made_features_of_an_image_and_of_its_captions_belong_together():
    vision = encoders.build({"kind": "made", "width": 96, "seed": 1})
    text = encoders.build({"kind": "made", "modality": "text", "width": 64, "seed": 2})
    x = vision.encode([f"train2014/COCO_train2014_{k:012d}.jpg" for k in range(600)]).pooled
    y = text.encode([f"a bade {content.about(k, [5])}" for k in range(600)]).pooled
    assert x.shape == (600, 96)
    assert y.shape == (600, 64)
    to_y = np.linalg.lstsq(x[:500], y[:500], rcond=None)[0]
    nearest = ((x[500:] @ to_y)[:, None] - y[None, 500:]) ** 2
    assert (nearest.sum(2).argmin(1) == np.arange(100)).mean() > 0.9
    assert np.array_equal(text.encode(["a dog 1 7"]).pooled, text.encode(["a dog 1 7"]).pooled)
    assert not np.array_equal(text.encode(["a dog 1 7"]).pooled, text.encode(["a cat 1 7"]).pooled)


@pytest.mark.parametrize(("modality", "items"), [("vision", ["a/1.jpg", "b/2.jpg"]), ("text", ["a 1", "is it a 2 ?"])])
def test_made_tokens_are_as_many_as_are_counted_around_the_pooled_feature(modality, items):
    encoder = encoders.build({"kind": "made", "modality": modality, "width": 12, "grid": 3, "words": 10})
    encoding = encoder.encode(items, tokens=True)
    assert encoding.tokens.shape == (2, encoder.n_tokens, 12)
    assert (encoding.mask.sum(1) == encoder.count_tokens(items)).all()
    assert np.allclose(encoding.tokens.mean(1), encoding.pooled, atol=1e-5)


def test_the_papers_rehearsal_keeps_its_rows_and_widths_at_a_share_of_its_sizes(paper):
    made = config.rehearsed(paper, 0.01)
    Config(made)
    for name, spec in made["encoders"].items():
        real = encoders.build(paper["encoders"][name])
        assert spec["kind"] == "made"
        assert (spec["modality"], spec["width"]) == (real.modality, real.width)
    assert made["run"]["pairs"] == [0, 24, 100, "all"]  # of 0, 100, 1,000, 10,000 and all
    assert made["tables"]["identifiability"]["pairs"] == 100
    assert made["tables"]["generation"]["images"]["count"] == 50
    for section in ("methods", "fusions"):
        assert made[section].keys() == paper[section].keys()
    assert made["methods"]["joint"]["dims"] < paper["methods"]["joint"]["dims"]
    for kept in ("size", "patch", "words", "batch"):  # which decide what memory the data take
        assert made["methods"]["joint"][kept] == paper["methods"]["joint"][kept]
    assert {name: table["methods"] for name, table in made["tables"].items() if "methods" in table} == {
        name: table["methods"] for name, table in paper["tables"].items() if "methods" in table
    }


def test_what_cannot_be_rehearsed_is_told(tmp_path, refused, paper):
    def files(**values):
        path = tmp_path / "over.yaml"
        path.write_text(yaml.safe_dump(values))
        return ["--folder", str(tmp_path / "new"), "--root", str(ROOT), str(ROOT / "paper.yaml"), str(path)]

    own = {"kind": "folder", "root": "photographs", "captions": "captions.csv"}
    refused(["rehearse", *files(datasets={"coco": own})], "datasets.coco", "found 'folder'")
    refused(["rehearse", *files(), "--only", "retreival"], "--only retreival", "Did you mean 'retrieval'?")
    about = {"share": 0.5, "datasets": config.rehearsed(paper, 0.1)["datasets"]}
    (tmp_path / "new").mkdir()
    (tmp_path / "new/rehearsal.json").write_text(json.dumps(about))
    refused(["rehearse", *files(), "--share", "0.1"], "rehearsal.json", "share 0.5", "name a new folder")
    about["datasets"]["flickr30k"]["root"] = "elsewhere"
    (tmp_path / "new/rehearsal.json").write_text(json.dumps(about))
    refused(["rehearse", *files(), "--share", "0.5"], "rehearsal.json", "with another flickr30k; name a new folder")
    with pytest.raises(SystemExit):
        main(["rehearse", *files(), "--share", "1.5"])


@pytest.mark.parametrize("there", ["config.yaml", "data/coco/dataset_coco.json"])
def test_a_folder_of_others_files_stays_as_it_is(there, folder, refused, paper):
    path = folder / "mine" / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    options = ["--root", str(ROOT), str(ROOT / "paper.yaml"), "--share", "0.0001"]
    refused(["rehearse", "--folder", "mine", *options], "mine: expected a new folder, or a rehearsal's", "name a new")
    assert [file for file in (folder / "mine").rglob("*") if file.is_file()] == [path]
    assert path.read_text() == "mine"
    refused(["rehearse", "--folder", f"mine/{there}", *options], f"{there}: expected a new folder")


def test_a_rehearsal_that_was_interrupted_is_made_again(folder, monkeypatch, paper):
    made, calls = config.rehearsed(paper, 0.0001), []

    def make(*_):
        calls.append(sorted(path.name for path in Path("new").iterdir()))
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(stages.data, "make", make)
    monkeypatch.setattr(stages.data, "models", lambda folder: None)
    with pytest.raises(KeyboardInterrupt):
        stages._prepare(Path("new"), made, 0.0001)
    for _ in range(2):
        stages._prepare(Path("new"), made, 0.0001)
    assert calls == [["rehearsal.json"]] * 2
    assert Path("new/Snakefile").is_file()


@pytest.mark.long
def test_the_whole_paper_is_rehearsed_and_its_plan_told_by_it(tmp_path, capsys):
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(FEW))
    configs = [str(ROOT / "paper.yaml"), str(tmp_path / "few.yaml")]
    place = tmp_path / "rehearsal"
    options = ["--root", str(ROOT), "--folder", str(place), "--share", "0.001", "--cores", "2"]
    assert main(["rehearse", *configs, *options]) == 0
    out = capsys.readouterr().out
    rules = {line.split()[0]: line.split() for line in out.partition("longest s")[2].splitlines()[1:]}
    assert {"data", "transport", "joint_vqa", "train_image_decoder", "linear_probe", "score_images"} <= rules.keys()
    assert all(row[1] == row[2] for row in rules.values())  # every job is done
    assert "failed: " not in out
    assert main(["plan", "--root", str(place)]) == 0
    own = capsys.readouterr().out
    assert re.search(r"^transport .*  measured$", own, re.MULTILINE)
    assert re.search(r"^left of it +0 ", own, re.MULTILINE)
    assert main(["plan", *configs, "--root", str(ROOT), "--measured", str(place)]) == 0
    paper = capsys.readouterr().out  # whose jobs are a thousand times as large
    assert re.search(rf"^transport .*  {JOBS['transport'].source}$", paper, re.MULTILINE)
