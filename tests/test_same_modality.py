"""Two encoders of one modality: partners, what the config accepts, and both stages on feature files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngw import config, encoders, io
from ngw.cli import main
from ngw.errors import InputError
from ngw.features import Features
from ngw.features.clouds import clouds, owners
from ngw.methods import build
from ngw.tasks import retrieval

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


def side(modality: str, encoder: str, n: int = 12, captions: int = 3, order=None) -> Features:
    """Items whose only feature is their own id: n images, or the captions of n images."""
    ids = image_ids = np.arange(n)
    if modality == "text":
        ids, image_ids = 100 + np.arange(n * captions), np.arange(n).repeat(captions)
    order = np.arange(len(ids)) if order is None else order
    x = ids[order, None].astype(np.float32)
    return Features(ids[order], image_ids[order], x, {"modality": modality, "encoder": encoder})


@given(modality=st.sampled_from(["vision", "text"]), drawn=st.integers(1, 4), seed=st.integers(0, 9))
def test_each_item_is_its_own_partner_and_both_encoders_see_the_same_draw(modality, drawn, seed):
    a = side(modality, "one")
    b = side(modality, "other", order=np.random.default_rng(seed).permutation(len(a.ids)))
    c = clouds(a, b, "all", seed, drawn)
    size = 12 if modality == "vision" else 12 * min(drawn, 3)
    assert len(c.x) == len(c.y) == len(c.truth) == size
    assert sorted(c.x[:, 0]) == sorted(c.y[:, 0])
    assert np.array_equal(c.x[c.truth[:, 0]], c.y[c.truth[:, 1]])
    if modality == "text":
        assert np.bincount((c.x[:, 0].astype(int) - 100) // 3).tolist() == [min(drawn, 3)] * 12


def test_a_caption_of_the_same_image_is_not_a_partner():
    a, b = side("text", "one"), side("text", "other")
    assert owners(a, b).tolist() == list(range(36))
    assert owners(side("vision", "one"), b).tolist() == np.arange(12).repeat(3).tolist()


def test_retrieval_of_captions_by_captions_counts_each_caption_and_names_its_image():
    a, b = side("text", "one"), side("text", "other")
    x = np.random.default_rng(0).standard_normal((36, 8)).astype(np.float32)
    a, b = Features(a.ids, a.image_ids, x, a.metadata), Features(b.ids, b.image_ids, 2 * x, b.metadata)
    method = build({"kind": "procrustes"}).fit(a.x, b.x, np.arange(36), seed=0)
    result = retrieval.evaluate(method, a, b)
    assert result.metrics["mean_recall_1"] == 1
    assert len(result.table["rank"]) == 72
    assert np.array_equal(result.table["image_id"], np.tile(np.arange(12).repeat(3), 2))


def test_items_that_only_one_encoder_saw():
    a, b = side("vision", "one"), side("vision", "other", n=13)
    with pytest.raises(InputError, match="image 12: the same image is not in the test split; encode both sides"):
        owners(a, b)
    with pytest.raises(InputError, match="image 12: expected the same image on the other side, found none; drop the"):
        owners(b, a)


@pytest.mark.parametrize(("name", "modality"), [("same-modality", "vision"), ("text-text", "text")])
def test_the_examples_are_configs_of_one_modality_that_differ_in_nothing_else(name, modality):
    values = config.read(ROOT / f"examples/{name}.yaml")
    checked = config.Config(values, SCHEMA)
    ((one, other),) = checked.run["encoder_pairs"]
    assert [encoders.build(values["encoders"][side]).modality for side in (one, other)] == [modality] * 2
    first = config.read(ROOT / "examples/same-modality.yaml")
    for part in ("datasets", "methods", "tables"):
        assert values[part] == first[part]


def example(pair: list[str]) -> dict:
    """The example's config with another pair of encoders."""
    values = config.read(ROOT / "examples/same-modality.yaml")
    values["encoders"]["minilm"] = {"kind": "transformers-text"}
    values["encoders"]["minilm-short"] = {"kind": "transformers-text", "max_length": 16}
    values["run"]["encoder_pairs"] = [pair]
    return values


@pytest.mark.parametrize("pair", [["effnet-lite0", "effnet-lite1"], ["minilm", "minilm-short"]])
def test_a_config_takes_two_encoders_of_one_modality(pair):
    assert config.Config(example(pair), SCHEMA).run["encoder_pairs"] == [pair]


@pytest.mark.parametrize("pair", [["minilm", "minilm"], ["minilm", "effnet-lite0"]])
def test_a_config_refuses_one_encoder_twice_and_the_wrong_order(pair):
    with pytest.raises(InputError, match=r"expected \[vision, text\], or two encoders of one modality, found 'minilm'"):
        config.Config(example(pair), SCHEMA)


@pytest.mark.parametrize("modality", ["vision", "text"])
def test_the_stages_fit_and_rank_two_encoders_of_one_modality(tmp_path, write_cloud, rewrite, modality):
    one, other = (write_cloud(tmp_path / name, modality, encoder=name) for name in ("one", "other"))
    rewrite(other, pooled=np.random.default_rng(0).standard_normal((12 if modality == "vision" else 24, 7), np.float32))
    files = ["--vision", str(one), "--text", str(other)]
    model, record = tmp_path / "model", tmp_path / "record.json"
    spec = json.dumps({"kind": "ridge"})
    fit = ["fit", *files, "--method", "ridge", "--spec", spec, "--pairs", "all", "--seed", "0", "--captions", "2"]
    assert main([*fit, "--output", str(model)]) == 0
    rank = ["retrieval", "--model", str(model), *files, "--predictions", str(tmp_path / "p"), "--record", str(record)]
    assert main(rank) == 0
    found = io.read_json(record)
    assert (found["vision"], found["text"]) == ("one", "other")
    assert found["n_images"] == found["n_captions"] == (12 if modality == "vision" else 24)
