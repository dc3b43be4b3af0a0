"""The feature cache: streamed, in the order of the ids, readable by anyone, and refused if its content is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from ngw import features, io
from ngw.encoders import Encoder, Encoding
from ngw.errors import InputError

TEXTS = ["5 five", "1 a much longer text", "3", "2 two words", "4 it is"]
IDS, OWNERS = [50, 10, 30, 20, 40], [5, 1, 3, 2, 4]


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def encode(encoder, path, items=TEXTS, ids=IDS, owners=OWNERS, **options):
    features.encode(encoder, items, ids, owners, path, {"encoder": "count", "dataset": "five"}, **options)


@pytest.mark.parametrize("modality", ["text", "vision"])
@pytest.mark.parametrize("batch", [1, 2, 32])
def test_rows_are_in_the_order_of_the_ids_whatever_the_batches(tmp_path, count, modality, batch):
    encode(count(modality), tmp_path / "a", batch=batch)
    cloud = features.read(tmp_path / "a", "count")
    assert cloud.ids.tolist() == IDS
    assert cloud.image_ids.tolist() == OWNERS
    assert cloud.x.tolist() == [[float(text[0]), len(text), 1] for text in TEXTS]


def test_texts_go_by_length_and_images_as_they_stand(tmp_path, count):
    text, vision = count("text"), count("vision")
    encode(text, tmp_path / "a", batch=2)
    encode(vision, tmp_path / "b", batch=2)
    assert text.batches == [["3", "5 five"], ["4 it is", "2 two words"], ["1 a much longer text"]]
    assert vision.batches == [TEXTS[:2], TEXTS[2:4], TEXTS[4:]]


def test_the_file_is_plain_safetensors_and_says_whose_it_is(tmp_path, count):
    encode(count(), tmp_path / "a")
    arrays = load_file(tmp_path / "a")
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items()} == {
        "ids": ("int64", (5,)),
        "image_ids": ("int64", (5,)),
        "pooled": ("float32", (5, 3)),
    }
    with safe_open(tmp_path / "a", framework="np") as file:
        head = file.metadata()
    card = {"modality": "text", "licence": "none", "training_data": "none", "preprocessing": "none", "version": "none"}
    assert {**card, "encoder": "count", "dataset": "five", "schema": features.SCHEMA}.items() <= head.items()
    assert len(head["sha256"]) == 64


def test_equal_features_give_equal_bytes(tmp_path, count):
    encode(count(), tmp_path / "a", batch=1)
    encode(count(), tmp_path / "b", batch=3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory as Linux tells it")
def test_memory_does_not_grow_with_the_data_set(tmp_path):
    class Watch(Encoder):
        modality, width = "vision", 16384
        licence = training_data = preprocessing = version = "none"
        peak = 0

        def encode(self, items, tokens=False):
            self.peak = max(self.peak, resident())
            values = np.array([int(item) for item in items], np.float32)[:, None]
            return Encoding(values * np.ones(self.width, np.float32))

    items = [str(i) for i in range(1024)]
    encode(Watch(), tmp_path / "warm", items[:64], range(64), range(64))
    watch, before = Watch(), resident()
    encode(watch, tmp_path / "a", items, range(1024), range(1024))
    assert (tmp_path / "a").stat().st_size >= 64 << 20
    assert watch.peak - before < 16 << 20


class Stop(Encoder):
    """Stops in the second batch, as a user or a broken image does."""

    modality, width = "vision", 2
    licence = training_data = preprocessing = version = "none"

    def __init__(self, how: type[BaseException]) -> None:
        self.how, self.calls = how, 0

    def encode(self, items, tokens=False):
        self.calls += 1
        if self.calls > 1:
            raise self.how("stop")
        return Encoding(np.ones((len(items), 2), np.float32))


@pytest.mark.parametrize("how", [KeyboardInterrupt, InputError, MemoryError])
def test_an_encoding_that_stops_leaves_no_file(tmp_path, how):
    with pytest.raises(how):
        encode(Stop(how), tmp_path / "a", batch=2)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_an_item_without_finite_features_is_named_and_nothing_is_left(tmp_path, count, text):
    items = [*TEXTS[:4], f"{text} is not a number that fits"]
    words = rf"a: '{text} is not a number that fits': expected finite pooled features, found NaN or infinity; mend"
    with pytest.raises(InputError, match=words):
        encode(count(), tmp_path / "a", items, batch=2)
    assert os.listdir(tmp_path) == []


def test_nothing_to_encode_is_an_error(tmp_path, count):
    with pytest.raises(InputError, match=r"a: expected items to encode, found none; check the split's size"):
        encode(count(), tmp_path / "a", [], [], [])


def test_an_empty_array_can_be_written(tmp_path):
    with features.writer(tmp_path / "a", {"x": ("float32", (0, 3)), "y": ("int64", (2,))}, {}) as out:
        out["x"][:], out["y"][:] = np.empty((0, 3)), [1, 2]
    arrays = load_file(tmp_path / "a")
    assert arrays["x"].shape == (0, 3)
    assert arrays["y"].tolist() == [1, 2]


# Files that are not what they say.


def refused(path, words, encoder=None):
    with pytest.raises(InputError, match=rf"{path.name}: {words}") as caught:
        features.read(path, encoder)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_names_the_stage(tmp_path):
    refused(tmp_path / "a", "no such feature file; run the encode stage")


def test_a_file_that_is_no_feature_file(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.ones(3)}, tmp_path / "a")
    refused(tmp_path / "a", "expected features, found a file without a digest of its content")
    io.write_tensors(tmp_path / "b", {"x": np.ones(3)}, {})
    refused(tmp_path / "b", "expected schema ngw-features-1, found None; delete it and rerun")


def test_features_of_another_encoder(pair):
    assert features.read(pair[0], "vision-encoder").metadata["encoder"] == "vision-encoder"
    words = "expected features of 'effnet-lite0', found those of 'vision-encoder'; delete the file and rerun"
    refused(pair[0], words, "effnet-lite0")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_or_infinity_names_id_and_row(pair, rewrite, value):
    x = features.read(pair[1]).x.copy()
    x[3, 1] = value
    rewrite(pair[1], pooled=x)
    refused(pair[1], r"id 103 \(row 3\): expected finite features, found NaN or infinity; re-encode")


def test_constant_features(pair, rewrite):
    rewrite(pair[0], pooled=np.full((12, 6), 0.1, np.float32))
    refused(pair[0], "expected features that differ, found 12 equal rows; check the encoder")


def test_duplicate_ids(pair, rewrite):
    rewrite(pair[0], ids=np.array([0, 1, 2, 3, 7, 5, 6, 7, 8, 9, 10, 7]))
    refused(pair[0], "expected unique ids, found id 7 3 times; mend the data")


@pytest.mark.parametrize(
    ("pooled", "found"),
    [
        (np.ones((12, 6), np.float16), r"float16 \[12, 6\]"),
        (np.ones((11, 6), np.float32), r"float32 \[11, 6\] with 12"),
    ],
)
def test_other_shapes_and_types(pair, rewrite, pooled, found):
    rewrite(pair[0], pooled=pooled)
    refused(pair[0], rf"expected float32 \[n, d\] with n ids, found {found}")


def shards(folder, encoder, parts=2):
    """The texts in parts, a file each."""
    paths = []
    for k in range(1, parts + 1):
        rows, paths = features.shard(f"{k}/{parts}", 5), [*paths, folder / f"{k}"]
        head = {"encoder": "count", "dataset": "five", "shard": f"{k}/{parts}"}
        features.encode(encoder, TEXTS[rows], IDS[rows], OWNERS[rows], paths[-1], head)
    return paths


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_shards_together_are_the_whole(tmp_path, count, parts):
    features.gather(shards(tmp_path, count(), parts), tmp_path / "gathered")
    encode(count(), tmp_path / "whole")
    gathered, whole = (features.read(tmp_path / name, "count") for name in ("gathered", "whole"))
    assert gathered.metadata == whole.metadata
    for name in ("ids", "image_ids", "x"):
        np.testing.assert_array_equal(getattr(gathered, name), getattr(whole, name))


def test_shards_share_the_items_evenly_and_have_some_each():
    sizes = [features.shard(f"{k}/3", 11) for k in (1, 2, 3)]
    assert [len(range(11)[rows]) for rows in sizes] == [3, 4, 4]
    for wrong in ("0/3", "4/3", "3", "x/2", "1/12"):
        with pytest.raises(InputError, match=rf"expected k/parts, 1/1 to 11/11 of 11 items, found '{wrong}'"):
            features.shard(wrong, 11)


def test_a_shard_out_of_place_or_of_another_encoder_is_refused(tmp_path, count):
    first, second = shards(tmp_path, count())
    with pytest.raises(InputError, match=r"2: expected shard 1/2 of one encoding, found 2/2 of count"):
        features.gather([second, first], tmp_path / "gathered")
    rows = features.shard("2/2", 5)
    features.encode(count(), TEXTS[rows], IDS[rows], OWNERS[rows], second, {"encoder": "other", "shard": "2/2"})
    with pytest.raises(InputError, match=r"2: expected shard 2/2 of one encoding, found 2/2 of other"):
        features.gather([first, second], tmp_path / "gathered")
    assert not (tmp_path / "gathered").exists()
