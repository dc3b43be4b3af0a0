"""From a folder of images and a csv of captions to a table and a dual encoder, in one command."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from photograph_albums import album

import ngw
from ngw import io
from ngw.cli import main
from ngw.dual import align
from ngw.encoders.efficientnet_lite import EfficientNetLite


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """24 images, 20 with two captions each."""
    monkeypatch.setenv("NGW_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return album(tmp_path / "photos", captioned=20)


WORDS = ["align", "--images", "photos", "--captions", "captions.csv", "--methods", "ridge", "--output", "my-model"]


def test_pictures_and_captions_to_a_table_and_a_model(photos, capsys):
    assert main(WORDS) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "Retrieval in per cent, all known pairs, 4 test images with 8 captions; chance: 25"
    assert lines[1].split()[:4] == ["R@1", "image", "to", "text"]
    assert lines[2].split()[0] == "ridge"
    assert "ngw index photos --model my-model" in lines[-1]
    about = io.read_record("my-model/config.json")["about"]
    assert {k: about[k] for k in ("captioned_pictures", "captions", "known_pairs", "pictures_without_a_caption")} == {
        "captioned_pictures": 20, "captions": 40, "known_pairs": 32, "pictures_without_a_caption": 4
    }  # fmt: skip
    card = (photos.parent / "my-model/README.md").read_text(encoding="utf-8")
    assert "held out: 4 test images with 8 captions, unseen by the fit" in card
    shown = f"{100 * about['metrics']['t2i_recall_1']:.1f}"
    assert f"| text to image | {shown} |" in card
    model = ngw.DualEncoder.load("my-model")
    assert model.warp.x_mean_.shape == (1280,)
    assert model.encode_image(photos).shape == (24, model.width)


def test_a_second_run_encodes_nothing_and_a_new_picture_alone(photos, monkeypatch, capsys):
    seen = []
    encode = EfficientNetLite.encode
    monkeypatch.setattr(
        EfficientNetLite, "encode", lambda self, items, **more: seen.extend(items) or encode(self, items, **more)
    )
    assert main(WORDS) == 0
    first = capsys.readouterr().out
    assert len(seen) == 24
    seen.clear()
    assert main(WORDS) == 0
    assert capsys.readouterr().out == first
    assert not seen
    shutil.copy(photos / "a/000.png", photos / "new.png")
    assert main(WORDS) == 0
    assert seen == ["photos/new.png"]


def test_the_split_is_by_image(photos):
    found = align.album(photos, photos.parent / "captions.csv")
    assert found.captioned == 20
    assert found.owner == [k for k in range(20) for _ in range(2)]
    assert found.lines == list(range(2, 42))
    assert len(found.images) == len(set(found.images)) == 24
    x = np.random.default_rng(0).normal(size=(24, 8)).astype(np.float32)
    y = x[found.owner] @ np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
    y += 0.01 * np.random.default_rng(2).normal(size=y.shape).astype(np.float32)
    how = {"pairs": "all", "test": 5, "methods": ["ridge"], "seed": 0}
    comparison, unpaired = align._compared(found, x, y, how)
    assert (comparison.models["ridge"].n_pairs_, unpaired) == (30, 4)
    assert comparison.repeated == {"x": 0}
    x[3] = np.nan  # an image that could not be read, and its captions with it
    assert align._compared(found, x, y, how)[0].models["ridge"].n_pairs_ == 28


def test_several_seeds_of_pictures_show_a_spread_and_the_card_tells_of_the_first(photos, capsys):
    assert main([*WORDS, "--pairs", "10", "all", "--seeds", "1", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "by number of known pairs, 4 test images with 8 captions, mean ± standard deviation over 2 seeds" in lines[0]
    assert [line.split()[:2] for line in lines[2:4]] == [["ridge", "10"], ["ridge", "all"]]
    assert lines[2].count("±") == 6
    about = io.read_record("my-model/config.json")["about"]
    assert (about["seed"], about["known_pairs"]) == (1, 10)
    assert main([*WORDS, "--pairs", "10", "--seeds", "1"]) == 0
    assert io.read_record("my-model/config.json")["about"] == about


def test_pictures_that_cannot_be_read(photos, refused, capsys):
    (photos / "b/001.png").write_bytes(b"none")
    refused(WORDS, "b/001.png: expected a readable image")
    assert not (photos.parent / "my-model").exists()
    assert main([*WORDS, "--on-error", "skip"]) == 0
    said = capsys.readouterr()
    assert "1 of 24 images left out" in said.err
    assert "4 test images with 8 captions" in said.out


def test_files_of_other_kinds_are_left_out_and_told(photos, refused, capsys):
    (photos / "phone.heic").touch()
    assert main(WORDS) == 0
    assert "ngw align: photos: 1 file of other kinds (.heic) left out\n" in capsys.readouterr().err
    with open(photos.parent / "captions.csv", "a", encoding="utf-8") as file:
        file.write("phone.heic,a cat\n")
    refused(WORDS, "captions.csv: line 42: expected an image of photos (.avif, ", "found 'phone.heic'")


def test_a_folder_whose_name_is_not_utf_8_gives_a_model_too(photos, capfdbinary):
    name = os.fsdecode(b"caf\xe9")
    photos.rename(name)
    assert main(["align", "--images", name, *WORDS[3:]]) == 0
    assert b"Next: ngw index 'caf\xe9' --model my-model --output 'caf\xe9.index'" in capfdbinary.readouterr().out
    assert io.read_record("my-model/config.json")["about"]["data"] == "caf\ufffd, captions.csv"


def test_captions_longer_than_the_encoder_reads_are_counted(photos, capsys):
    assert main(WORDS) == 0
    assert "tokens" not in capsys.readouterr().err
    with open(photos.parent / "captions.csv", "a", encoding="utf-8") as file:
        file.write(f"a/000.png,{'cat ' * 100}\na/000.png,{'incomprehensibilities ' * 3}\n")
    assert main(WORDS) == 0
    said = "captions.csv: 1 of 42 captions fill the encoder's 64 tokens, and the rest of each is not read"
    assert said in capsys.readouterr().err


def test_places_where_nothing_can_be_written_are_told_before_anything_is_encoded(photos, refused, monkeypatch):
    monkeypatch.setattr(EfficientNetLite, "encode", None)
    refused([*WORDS[:-1], "captions.csv/my-model"], "captions.csv/my-model: expected a name that can be written")
    (photos.parent / "listed").mkdir()
    (photos.parent / "listed/config.json").write_text("[]")
    refused(
        [*WORDS[:-1], "listed"], "listed: expected a new folder, or a model's, found another file there, config.json"
    )
    monkeypatch.setenv("NGW_CACHE", "captions.csv")
    refused(WORDS, "the cache of features ($NGW_CACHE): captions.csv/", "isn't a folder in which you can write")


def test_captions_of_pictures_that_are_not_there(photos, refused, tmp_path):
    with open(tmp_path / "captions.csv", "a", encoding="utf-8") as file:
        file.write("a/999.png,a cat\n")
    refused(WORDS, "captions.csv: line 42: expected an image of photos, found 'a/999.png'; mend it")


def test_what_is_given_must_be_of_one_kind(photos, refused, tmp_path):
    refused(
        ["align", "--x", "a.npy", "--captions", "captions.csv"], "expected --x and --y", "or --images and --captions"
    )
    refused(["align"], "expected --x and --y")
    refused(
        ["align", "--images", "photos", "--captions", "captions.csv", "--x-unpaired", "a.npy"], "expected --x and --y"
    )
    refused(
        ["align", "--images", "photos", "--captions", "none.csv"], "none.csv: expected a csv of captions, found no such"
    )
    refused([*WORDS, "--vision", "effnet-lite9"], "Did you mean 'effnet-lite0'")
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model/mine.txt").write_text("precious")
    refused(WORDS, "my-model: expected a new folder, or a model's, found another file there, mine.txt")
