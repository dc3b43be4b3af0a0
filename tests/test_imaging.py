"""The image decoder learns from images alone to draw a latent; a killed and resumed run equals an unbroken one."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from interrupted import ends_as_unbroken
from PIL import Image

from ngw.errors import InputError
from ngw.tasks.images import codec, decoders, diffusion
from ngw.tasks.images import stages as generation_images
from ngw.tasks.images.diffusion import Options, closed_form

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
TINY = Options(
    size=8, patch=4, dims=16, layers=1, heads=2, epochs=60, batch=16, looks=3, learning_rate=1e-2, held_out=0.1, steps=6
)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """48 pictures, the upper half of one colour and the lower of another, and latents that say which."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    axes = draw.standard_normal((6, 12))
    paths, latents, means = [], [], []
    for k in range(48):
        upper, lower = draw.integers(3, size=2)
        halves = [list(COLOURS.values())[c] for c in (upper, lower)]
        pixels = np.concatenate([np.full((8, 16, 3), halves[0]), np.full((8, 16, 3), halves[1])]).astype(float)
        Image.fromarray((pixels + draw.normal(0, 5, pixels.shape)).clip(0, 255).astype(np.uint8)).save(
            folder / f"{k}.png"
        )
        paths.append(str(folder / f"{k}.png"))
        latents.append(axes[upper] + axes[3 + lower])
        means.append(halves)
    return paths, (2 + np.array(latents)).astype(np.float32), np.array(means)


def fit(painted, options=TINY, **more):
    paths, latents, _ = painted
    return diffusion.fit(paths, latents, np.arange(len(paths)), options, 0, **more)


@pytest.fixture(scope="module")
def trained(painted):
    return fit(painted)


def halves(drawn):
    """The mean colour of both halves, [n, 2, 3]."""
    return np.stack([drawn[:, :4].mean((1, 2)), drawn[:, 4:].mean((1, 2))], 1)


def test_it_draws_what_the_latent_says_whatever_its_length(painted, trained):
    model, told = trained
    _, latents, means = painted
    centre = model.mean.numpy()
    for asked in (latents[:12], centre + 0.3 * (latents[:12] - centre)):  # as a map that shrinks would have it
        drawn = model.draw(asked.astype(np.float32), range(12), 0)
        assert drawn.shape == (12, 8, 8, 3)
        assert drawn.dtype == np.uint8
        assert np.abs(halves(drawn) - means[:12]).mean() < 45  # of 190 between two colours
        assert np.abs(halves(drawn) - means[:12][::-1]).mean() > 60
    assert min(told.curve["held_out"]) < 0.9 * told.curve["held_out"][0]  # the network improves on the closed form


def test_an_items_picture_depends_on_its_id_and_the_seed_alone(painted, trained):
    model, latents = trained[0], painted[1]
    whole = model.draw(latents[:3], [7, 8, 9], 0)
    np.testing.assert_allclose(model.draw(latents[2:3], [9], 0)[0].astype(int), whole[2].astype(int), atol=1)
    assert (model.draw(latents[2:3], [9], 1)[0] != whole[2]).any()
    assert (model.draw(latents[2:3], [10], 0)[0] != whole[2]).any()


def test_guidance_of_one_is_the_conditioned_denoiser_alone(painted, trained):
    model, calls = trained[0], []
    original = model.denoise
    model.denoise = lambda *args: (calls.append(bool(args[-1].any())), original(*args))[1]
    try:
        model.options = replace(TINY, guidance=1.0)
        model.draw(painted[1][:2], [0, 1], 0)
    finally:
        del model.denoise
        model.options = TINY
    assert calls == [False] * TINY.steps


def test_the_closed_form_is_ridge_and_its_leave_one_out_is_what_leaving_out_gives():
    draw = np.random.default_rng(0)
    u, y = draw.standard_normal((9, 3)), draw.standard_normal((9, 2))
    y -= y.mean(0)  # so that the mean is the same with a row left out, but for its own share
    arrays, loo = closed_form(u, y, 0.5)
    penalty = 0.5 * np.trace(u.T @ u) / 3 * np.eye(3)
    np.testing.assert_allclose(arrays["map"], np.linalg.solve(u.T @ u + penalty, u.T @ y))
    for k in range(9):
        rest = np.arange(9) != k
        w = np.linalg.solve(u[rest].T @ u[rest] + penalty, u[rest].T @ y[rest])
        np.testing.assert_allclose(loo[k], u[k] @ w)


def test_a_killed_run_ends_as_an_unbroken_one(painted, tmp_path, monkeypatch):
    short = partial(fit, painted, replace(TINY, epochs=4))
    ends_as_unbroken(short, diffusion, "rng", 10, tmp_path, monkeypatch)


def test_a_saved_imager_draws_the_same(painted, trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "i", {"vision": "made"})
    back, head = decoders.load(tmp_path / "i")
    assert head["vision"] == "made"
    np.testing.assert_array_equal(back.draw(painted[1][:2], [0, 1], 0), model.draw(painted[1][:2], [0, 1], 0))


def test_a_unet_of_diffusers_takes_the_transformers_place(painted):
    options = replace(TINY, network="unet", epochs=0.4, size=16, batch=4)
    model, _ = fit(painted, options)
    assert type(model.denoiser).__name__ == "UNet2DConditionModel"
    assert model.draw(painted[1][:2], [0, 1], 0).shape == (2, 16, 16, 3)


@pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderTiny"])
def test_diffusion_in_the_latents_of_an_autoencoder(painted, tmp_path, kind):
    import diffusers

    channels = {"AutoencoderKL": "block_out_channels", "AutoencoderTiny": "encoder_block_out_channels"}
    sizes = {channels[kind]: (8, 8)}
    if kind == "AutoencoderKL":
        sizes |= {"norm_num_groups": 2, "down_block_types": ["DownEncoderBlock2D"] * 2}
        sizes |= {"up_block_types": ["UpDecoderBlock2D"] * 2, "scaling_factor": 0.5}
    else:
        sizes |= {"decoder_block_out_channels": (8, 8), "num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    torch.manual_seed(0)
    getattr(diffusers, kind)(**sizes).save_pretrained(tmp_path)
    model, _ = fit(painted, replace(TINY, size=16, patch=2, vae=str(tmp_path), epochs=0.7))
    assert model.codec.shape == (4, 8, 8)
    model.save(tmp_path / "i", {})
    drawn = decoders.load(tmp_path / "i")[0].draw(painted[1][:2], [0, 1], 0)
    assert drawn.shape == (2, 16, 16, 3)


def test_bad_input_is_told(painted, trained, tmp_path):
    model = trained[0]
    with pytest.raises(InputError, match=r"expected \[n, 12\], found \[2, 5\]"):
        model.draw(np.zeros((2, 5), np.float32), [0, 1], 0)
    with pytest.raises(InputError, match="48 images and 47 latents"):
        diffusion.fit(painted[0], painted[1][1:], np.arange(48), TINY, 0)
    with pytest.raises(InputError, match="patch that divides size"):
        Options(size=10)
    with pytest.raises(InputError, match="expected transformer, unet or local, found 'mlp'"):
        Options(network="mlp")
    with pytest.raises(InputError, match=r"expected an autoencoder's folder with config.json"):
        codec.codec(16, str(tmp_path))
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(InputError, match="found UNet2DModel"):
        codec.codec(16, str(tmp_path))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken.png: expected a readable image"):
        codec.square(tmp_path / "broken.png", 8)


def test_pictures_are_kept_as_a_zip_of_png_by_id(tmp_path):
    drawn = {3: np.full((4, 4, 3), 7, np.uint8), 1: np.zeros((4, 4, 3), np.uint8)}
    codec.write(tmp_path / "a.zip", drawn)
    codec.write(tmp_path / "b.zip", drawn)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    back = codec.read(tmp_path / "a.zip")
    assert list(back) == [3, 1]
    np.testing.assert_array_equal(np.asarray(Image.open(back[3])), drawn[3])
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:60])
    with pytest.raises(InputError, match=r"a.zip: expected a zip of pictures, found a file without a digest"):
        codec.read(tmp_path / "a.zip")


def test_pictures_are_compared_as_squares_of_256_pixels(tmp_path):
    Image.new("RGB", (40, 20), (9, 8, 7)).save(tmp_path / "wide.png")
    image = codec.prepared([tmp_path / "wide.png"])[0]
    assert image.size == (256, 256)
    assert image.getpixel((128, 128)) == (9, 8, 7)


def test_real_pictures_pass_through_the_size_of_drawn_ones(tmp_path):
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(np.stack([checks] * 3, -1).astype(np.uint8)).save(tmp_path / "checks.png")
    fine, coarse = (np.asarray(codec.prepared([tmp_path / "checks.png"], n)[0]) for n in (256, 8))
    assert fine.shape == coarse.shape == (256, 256, 3)
    assert fine.std() > 50 > 5 > coarse.std()  # what 8 pixels can't show is grey


def test_metrics_bear_the_names_of_their_judges():
    judges = {"network": "effnet-lite0", "axes": 32, "scorer": "scenes-clip"}
    assert generation_images.metric_names("efficientnet-lite", judges) == {
        "fd": "fd[effnet-lite0-pca32]", "kd": "kd[effnet-lite0]", "score": "score[scenes-clip]",
        "nearest_score": "nearest_score[scenes-clip]", "real_score": "real_score[scenes-clip]",
        "cosine": "cosine[scenes-clip]", "nearest_cosine": "nearest_cosine[scenes-clip]",
        "real_cosine": "real_cosine[scenes-clip]",
    }  # fmt: skip
    official = {"network": "inception", "axes": None, "scorer": "clip-vit-b32", "published": True}
    found = generation_images.metric_names("inception", official)
    assert [found[k] for k in ("fd", "kd", "score", "cosine")] == ["fid", "kid", "clip_score", "clip_cosine"]
    assert found["nearest_score"] == "nearest_clip_score"
    assert generation_images.metric_names("inception", {**official, "axes": 64})["fd"] == "fd[inception-pca64]"


def test_distances_between_the_first_axes_and_their_errors():
    real = np.random.default_rng(0).standard_normal((400, 6)) * [9, 5, 1, 1, 1, 1]
    found = generation_images.compared(real + np.array([3, 0, 0, 0, 0, 4]), real, 2)
    assert found["fd"] == pytest.approx(9, rel=0.02)  # the shift along the sixth axis isn't among the first two
    assert found["fd_error"] < 0.5
    assert generation_images.compared(real, real, 2)["fd"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="needs 2049 samples or more, found 20"):
        generation_images.compared(np.ones((20, 2048)), np.ones((20, 2048)), None)


def test_pictures_of_other_images_than_the_real_ones_are_refused(tmp_path):
    from ngw import io

    io.write_tensors(tmp_path / "r", {"ids": np.array([1, 2, 3])}, {"reference": json.dumps({"kind": "clip"})})
    run = tmp_path / "run"
    codec.write(run / "predictions" / "images.zip", dict.fromkeys((1, 2), np.zeros((4, 4, 3), np.uint8)))
    io.write_json(run / "predictions" / "images-nearest.json", [{"image_id": k, "nearest": 1} for k in (1, 2, 3)])
    io.write_record(run / "images.json", {}, [run / "predictions" / "images-nearest.json"])
    with pytest.raises(InputError, match=r"images.zip: expected a picture for each of the 3 real images .* found 2"):
        generation_images.score_images(tmp_path, [run], tmp_path / "r", tmp_path, {})


def test_the_ceiling_draws_own_latents_by_the_decoders_seed(painted, tmp_path, write_cloud):
    from ngw import features, io

    vision, text = write_cloud(tmp_path / "v", "vision"), write_cloud(tmp_path / "t", "text")
    io.write_table(tmp_path / "images.parquet", {"image_id": list(range(12)), "path": painted[0][:12]})
    options = {"size": 8, "dims": 16, "layers": 1, "heads": 2, "epochs": 0.2, "looks": 1, "steps": 2}
    generation_images.train_image_decoder(tmp_path, vision, 3, tmp_path / "i", options)
    out = [tmp_path / name for name in ("p.zip", "n.json", "r.json")]
    generation_images.generate_images(tmp_path / "i", vision, text, vision, 5, *out)
    assert {k: io.read_json(out[2])[k] for k in ("method", "pairs", "unpaired", "seed", "vision")} == {
        "method": "true-latents", "pairs": "all", "unpaired": "none", "seed": 3, "vision": "vision-encoder",
    }  # fmt: skip
    drawn = codec.read(out[0])
    assert len(drawn) == 5
    assert [e["nearest"] for e in io.read_json(out[1])] == list(drawn)  # of the same images, each is its own
    model, latents = decoders.load(tmp_path / "i")[0], features.read(vision).x
    expected = model.draw(latents[list(drawn)], list(drawn), 3)
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(f)) for f in drawn.values()]), expected)
