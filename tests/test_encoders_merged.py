"""Weight averaging across modalities: two encoders' trunks of one shape become one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_encoders import SHAPE, vision_folder, words

from ngw import encoders
from ngw.errors import InputError


@pytest.fixture
def twins(tmp_path):
    """Folders of a ViT and of a BERT of one shape, and one of another depth."""
    import transformers

    vision_folder(tmp_path / "vit", "vit")
    (tmp_path / "bert").mkdir()
    words(tmp_path / "bert")
    for name, layers in (("bert", 2), ("deep", 3), ("flat", 0)):
        torch.manual_seed(layers)
        shape = {**SHAPE, "num_hidden_layers": layers, "max_position_embeddings": 80}
        transformers.BertModel(transformers.BertConfig(vocab_size=8, **shape)).save_pretrained(tmp_path / name)
    return tmp_path


def test_the_mean_of_two_trunks_is_one_trunk_for_both_sides(twins):
    from ngw.encoders._merge import trunk

    sides = {"vit": {"kind": "transformers-vision"}, "bert": {"kind": "transformers-text"}}
    specs = {name: {**spec, "model": str(twins / name), "width": 16} for name, spec in sides.items()}
    plain = {name: encoders.build(spec) for name, spec in specs.items()}
    other = {"vit": str(twins / "bert"), "bert": str(twins / "vit")}
    merged = {
        name: encoders.build({**spec, "merged_with": other[name], "merge_weight": 0.25 if name == "vit" else 0.75})
        for name, spec in specs.items()
    }
    own = [trunk(plain["vit"].network), trunk(plain["bert"].loaded[1])]
    both = [trunk(merged["vit"].network), trunk(merged["bert"].loaded[1])]
    assert len(own[0]) == 2 * 6 * 2  # layers, linear maps, weight and bias
    for key, value in own[0].items():
        wanted = 0.75 * value + 0.25 * own[1][key]
        torch.testing.assert_close(both[0][key], wanted)
        torch.testing.assert_close(both[1][key], wanted)
    assert "merged with 0.25 of" in merged["vit"].version


def test_no_weight_of_the_other_changes_nothing_and_some_does(twins, photographs):
    spec = {"kind": "transformers-vision", "model": str(twins / "vit"), "width": 16}
    plain = encoders.build(spec).encode(photographs).pooled
    merged = {**spec, "merged_with": str(twins / "bert")}
    np.testing.assert_array_equal(encoders.build({**merged, "merge_weight": 0.0}).encode(photographs).pooled, plain)
    assert not np.allclose(encoders.build(merged).encode(photographs).pooled, plain, atol=1e-3)


def test_trunks_of_other_shapes_are_refused(twins, photographs):
    spec = {"kind": "transformers-vision", "model": str(twins / "vit"), "width": 16, "merged_with": str(twins / "deep")}
    with pytest.raises(InputError, match=r"layer 2, query weight: expected one shape, found None in .*vit and"):
        encoders.build(spec).encode(photographs)
    words(twins / "flat")
    spec = {"kind": "transformers-text", "model": str(twins / "flat"), "width": 16, "merged_with": str(twins / "vit")}
    with pytest.raises(InputError, match="flat: expected a transformer's layers, found none"):
        encoders.build(spec).encode(["a cat"])
