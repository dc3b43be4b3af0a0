"""The image decoder in closed form: each place's posterior mean over a latent's neighbours, and what it composes."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import vision_folder

from ngw import encoders, features, io
from ngw.encoders import Encoder, Encoding
from ngw.errors import InputError
from ngw.methods.base import unit
from ngw.tasks import stages
from ngw.tasks.images import decoders
from ngw.tasks.images import stages as generation_images
from ngw.tasks.images.diffusion import Options
from ngw.tasks.images.local_score import LocalScore, _window_sums

SMALL = Options(network="local", size=8, patch=4, window=3, neighbours=4, steps=8)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Four pictures of two halves each, left and right, dark or bright, and latents that say which."""
    folder, paths, latents = tmp_path_factory.mktemp("halves"), [], []
    for left in (0, 255):
        for right in (0, 255):
            pixels = np.repeat([[left] * 4 + [right] * 4], 8, axis=0).astype(np.uint8)
            Image.fromarray(np.stack([pixels] * 3, -1)).save(folder / f"{left}-{right}.png")
            paths.append(str(folder / f"{left}-{right}.png"))
            latents.append([left / 255, 0.2 * right / 255, 0.5])
    return paths, np.array(latents, np.float32)


class Grid(Encoder):
    """Tokens that are given, a 2 by 2 grid an image."""

    modality, n_tokens = "vision", 4

    def __init__(self, paths, tokens):
        self.known = dict(zip(paths, tokens, strict=True))

    def encode(self, items, tokens=False):
        found = np.stack([self.known[item] for item in items])
        return Encoding(found.mean(1), found, np.ones(found.shape[:2], bool))


def made(seen, encoder=None, **options):
    return LocalScore.of(replace(SMALL, **options), *seen, encoder)


def spread(latents):
    """Tokens [n, 4, d] whose mean the latents are."""
    apart = np.random.default_rng(0).standard_normal((len(latents), 4, latents.shape[1]))
    return (latents[:, None] + apart - apart.mean(1, keepdims=True)).astype(np.float32)


def noisy(codes, level, model):
    """Codes at a noise level, by one fixed noise."""
    clean = float(model.clean[level])
    return clean**0.5 * codes + (1 - clean) ** 0.5 * torch.randn(
        codes.shape, generator=torch.Generator().manual_seed(0)
    )


def whitened(model, seen, x):
    """Directions of x [..., 3] from the mean of four latents, in their damped principal axes."""
    variances, axes = np.linalg.eigh(np.cov(seen[1].T.astype(np.float64), bias=True))
    scale = (variances + model.options.whiten * variances.mean()) ** 0.5  # of four latents of three features
    found = (x - seen[1].mean(0, dtype=np.float64)) @ axes / scale
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def prior(model, seen, latent):
    """The logarithms of the four images' shares before anything is drawn, but for a constant, step by step."""
    directions, u = whitened(model, seen, seen[1]), whitened(model, seen, latent)
    pictures = model.codes.astype(np.float64).reshape(4, -1)  # eight cells of a side are its pixels
    bright = (pictures > 0).mean(1)
    found = directions @ u / model.options.temperature
    for cue in (pictures, np.sqrt(np.stack([1 - bright, bright], 1))):  # there are two colours
        found -= apart(model.options.ridge, directions, u, cue) / 2
    return torch.from_numpy(found)


def apart(ridge, directions, u, cue):
    """Squared distances of cues from what a ridge regression expects at u, in units of its residuals' variance."""

    def predict(at, rows):
        penalty = ridge * np.trace(directions.T @ directions) / 3 * np.eye(3)
        x, y = directions[rows], cue[rows] - cue.mean(0)
        return cue.mean(0) + at @ np.linalg.solve(x.T @ x + penalty, x.T @ y)

    rest = np.stack([cue[k] - predict(directions[k], np.arange(4) != k) for k in range(4)])
    values = np.linalg.eigvalsh(rest.T @ rest / 4)
    variance = values.sum() / (values.sum() ** 2 / (values**2).sum())  # of each of so many residuals
    return ((cue - predict(u, np.arange(4))) ** 2).sum(1) / variance


def test_a_window_over_all_gives_bayes_rule_over_the_neighbours(seen):
    model, level = made(seen, window=99, temperature=0.7), 900
    latents = torch.tensor(seen[1][:1]) + 0.1
    codes = noisy(torch.from_numpy(model.codes[2:3]).float(), level, model)
    found = model._denoiser(latents)(codes, torch.tensor(level))[0]
    clean, images = float(model.clean[level]), torch.from_numpy(model.codes).double()
    apart = (codes.double() - clean**0.5 * images).square().sum((1, 2, 3))
    weights = (prior(model, seen, latents[0].double().numpy()) - apart / (2 * (1 - clean))).softmax(0)
    torch.testing.assert_close(found.double(), (weights[:, None, None, None] * images).sum(0), atol=2e-3, rtol=0)


def test_places_decide_for_themselves_and_compose_what_no_image_shows(seen):
    paths, latents = [seen[0][k] for k in (0, 3)], seen[1][[0, 3]]  # all dark, all bright
    model = LocalScore.of(SMALL, paths, latents)
    wanted = torch.from_numpy(made(seen).codes[1:2]).float()  # left dark, right bright
    found = model._denoiser(torch.tensor(latents.mean(0, keepdims=True)))(noisy(wanted, 300, model), torch.tensor(300))
    sides = found[0].mean((0, 1))
    assert (sides[:3] < -0.9).all()
    assert (sides[5:] > 0.9).all()
    whole = LocalScore.of(replace(SMALL, window=99), paths, latents)
    alike = whole._denoiser(torch.tensor(latents.mean(0, keepdims=True)))(noisy(wanted, 300, whole), torch.tensor(300))
    assert float(alike.std()) < 0.01  # who must choose one image for all places can't


def test_the_picture_of_one_neighbour_is_that_neighbour(seen):
    model = made(seen, neighbours=1)
    drawn = model.draw(seen[1], range(4), 0)
    for picture, path in zip(drawn, seen[0], strict=True):
        np.testing.assert_allclose(picture, np.asarray(Image.open(path)), atol=1)


def test_the_nearer_a_neighbour_is_the_larger_its_share(seen):
    rows, shares = made(seen).neighbours(torch.tensor(seen[1][1:2]))
    assert rows[0, 0] == 1
    assert torch.equal(shares, shares.sort(descending=True).values)
    assert float(shares.exp().sum()) == pytest.approx(1)


def test_shares_are_of_the_latents_cosine_and_of_the_cues_likelihood(seen):
    for latent in (seen[1][1], seen[1][2] + [0.3, -0.2, 0.1]):
        for options in ({}, {"temperature": 1e6}, {"temperature": 0.7, "ridge": 0.1}):
            model = made(seen, **options)
            rows, shares = model.neighbours(torch.tensor(latent[None], dtype=torch.float32))
            wanted = prior(model, seen, latent.astype(np.float64)).softmax(0)
            np.testing.assert_allclose(shares[0].flatten().exp(), wanted[rows[0]], rtol=0.02, atol=1e-6)


def test_a_place_has_shares_by_the_tokens_that_stand_there(seen):
    tokens, latent = spread(seen[1]), (seen[1][1] + [0.3, -0.2, 0.1]).astype(np.float32)
    for neighbours in (4, 1):
        model = made(seen, Grid(seen[0], tokens), temperature=0.7, neighbours=neighbours)
        rows, shares = model.neighbours(torch.tensor(latent[None]))
        near = whitened(model, seen, tokens) @ whitened(model, seen, latent)  # [4 images, 4 places]
        wanted = prior(model, seen, latent.astype(np.float64))[:, None] + torch.from_numpy(near) / 0.7
        assert rows[0].tolist() == wanted.logsumexp(1).argsort(descending=True).tolist()[:neighbours]
        wanted = wanted[rows[0]].softmax(0).reshape(neighbours, 2, 2)
        np.testing.assert_allclose(shares[0].exp(), wanted, rtol=0.02, atol=1e-6)


def test_a_picture_shows_of_each_image_the_side_where_the_token_is_that_is_asked_for(seen, tmp_path):
    dark, bright = seen[0][0], seen[0][3]  # two, and others far away
    paths = [shutil.copy(file, tmp_path / f"{k}") for k, file in enumerate([dark, bright, dark, bright, bright, dark])]
    latents = np.float32([[1, 0, 1], [-1, 0, 1], [0, 5, 1], [0, -5, 1], [0, 5, -1], [0, -5, -1]])
    tokens = np.repeat(latents[:, None], 4, axis=1)  # the grid's rows first: left, right, left, right
    tokens[:2, :, 2] += [[2, -2, 2, -2], [-2, 2, -2, 2]]
    asked = np.repeat([latents.mean(0) + np.float32([0, 0, 1])], 8, axis=0)
    for encoder in (None, Grid(paths, tokens)):
        drawn = LocalScore.of(SMALL, paths, latents, encoder).draw(asked, range(8), 0).mean((1, 3)) / 255
        told = (drawn[:, :3] < 0.1).all(1) & (drawn[:, 5:] > 0.9).all(1)  # left dark, right bright
        assert told.all() if encoder else not told.all()


def test_an_encoder_whose_latents_arent_the_mean_of_a_grid_says_nothing_of_places(seen):
    tokens = spread(seen[1])
    wrong, few = Grid(seen[0], tokens + 0.1), Grid(seen[0], tokens[:, :1])
    few.n_tokens = 1
    plain = made(seen)
    for encoder in (wrong, few):
        model = made(seen, encoder)
        assert model.patch_directions.shape == (4, 1, 3)
        assert not model.patch_directions.any()
        np.testing.assert_array_equal(model.draw(seen[1], range(4), 0), plain.draw(seen[1], range(4), 0))


def test_pictures_that_the_latents_dont_foresee_leave_the_choice_to_the_latents(seen):
    alike = [seen[0][0]] * 4  # nothing to foresee: the regression has no residual
    model = LocalScore.of(SMALL, alike, seen[1])
    assert not model.cues.any()
    assert int(model.neighbours(torch.tensor(seen[1][2:3]))[0][0, 0]) == 2


def test_an_items_picture_depends_on_its_id_and_the_seed_alone(seen):
    model, latents = made(seen), np.repeat(seen[1].mean(0, keepdims=True), 3, axis=0)  # from which all are as far
    whole = model.draw(latents, [7, 8, 9], 0)
    np.testing.assert_array_equal(model.draw(latents[:1], [9], 0)[0], whole[2])
    assert len({picture.tobytes() for picture in model.draw(latents[[0] * 8], range(8), 1)}) > 1


def test_window_sums_end_at_the_pictures_edge():
    x = torch.rand(2, 3, 6, 9)
    plain = torch.nn.functional.conv2d(x.reshape(6, 1, 6, 9), torch.ones(1, 1, 5, 5), padding=2).reshape(x.shape)
    torch.testing.assert_close(_window_sums(x, 5), plain)
    torch.testing.assert_close(_window_sums(x, 99), x.sum((2, 3), keepdim=True).expand(x.shape))


def test_a_stage_makes_it_with_the_encoders_tokens_and_a_saved_one_draws_the_same(seen, tmp_path):
    vision_folder(tmp_path / "vit", "vit")
    spec = {"kind": "transformers-vision", "model": str(tmp_path / "vit"), "width": 16, "pooling": "mean"}
    images = {"image_id": [3, 5, 7, 9], "split": ["train"] * 4, "path": seen[0]}
    io.write_table(tmp_path / "images.parquet", images)
    stages.encode(tmp_path, "train", "halves", "vit", spec, tmp_path / "v")
    options, cloud = {"network": "local", "size": 8, "window": 3, "steps": 4}, features.read(tmp_path / "v")
    generation_images.train_image_decoder(tmp_path, tmp_path / "v", 3, tmp_path / "i", options)
    model, head = decoders.load(tmp_path / "i")
    assert head["seed"] == "3"
    encoder = encoders.build(spec)
    z = (encoder.encode(seen[0], tokens=True).tokens - cloud.x.mean(0)) @ model.white
    np.testing.assert_allclose(model.patch_directions.reshape(64, -1), unit(z.reshape(64, -1)), atol=2e-3)
    again = LocalScore.of(Options(**options), seen[0], cloud.x, encoder)
    np.testing.assert_array_equal(model.draw(cloud.x, range(4), 0), again.draw(cloud.x, range(4), 0))


def test_in_an_autoencoders_latents_cues_are_of_the_pixels_all_the_same(seen, tmp_path):
    from diffusers import AutoencoderTiny

    blocks = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    layers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(latent_channels=4, **blocks, **layers).save_pretrained(tmp_path / "vae")
    model = made(seen, vae=str(tmp_path / "vae"))
    assert model.codes.shape == (4, 4, 4, 4)
    plain = made(seen)
    np.testing.assert_allclose(model.cues, plain.cues, rtol=1e-5)
    np.testing.assert_allclose(model.cue_map, plain.cue_map, rtol=1e-4, atol=1e-4)
    assert model.draw(seen[1][:2], [0, 1], 0).shape == (2, 8, 8, 3)


def test_bad_input_is_told(seen):
    with pytest.raises(InputError, match=r"expected \[n, 3\], found \[2, 5\]"):
        made(seen).draw(np.zeros((2, 5), np.float32), [0, 1], 0)
    with pytest.raises(InputError, match="found 4 images and 3 latents"):
        LocalScore.of(SMALL, seen[0], seen[1][1:])
    with pytest.raises(InputError, match="window: expected an odd number, found 4"):
        Options(window=4)
    for name in ("neighbours", "axes", "whiten"):
        with pytest.raises(InputError, match=f"{name}: expected more than 0, found 0"):
            Options(**{name: 0})
