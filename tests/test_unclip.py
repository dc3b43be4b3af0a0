"""A pretrained decoder of image embeddings (Kandinsky's layout, tiny and random) draws mapped latents."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from tiny_encoders import edit

from ngw.errors import InputError
from ngw.tasks.images import decoders
from ngw.tasks.images.diffusion import Options
from ngw.tasks.images.unclip import Unclip


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((48, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def kandinsky(tmp_path_factory):
    """A folder like Kandinsky 2.2's decoder, tiny and random."""
    from diffusers import DDIMScheduler, KandinskyV22Pipeline, UNet2DConditionModel, VQModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=4, out_channels=8, addition_embed_type="image", block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), encoder_hid_dim=12,
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), cross_attention_dim=16,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", encoder_hid_dim_type="image_proj", attention_head_dim=4,
        resnet_time_scale_shift="scale_shift", norm_num_groups=8,
    )  # fmt: skip
    movq = VQModel(
        block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), latent_channels=4, num_vq_embeddings=12,
        norm_num_groups=8, norm_type="spatial", vq_embed_dim=4,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("kandinsky")
    scheduler = DDIMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False)
    KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq).save_pretrained(folder)
    return folder


def test_a_pretrained_decoder_of_image_embeddings_draws_mapped_ones(latents, kandinsky, tmp_path):
    options = Options(unclip=str(kandinsky), size=32, steps=2, guidance=2.0)
    Unclip.of(options, latents).save(tmp_path / "u", {"vision": "made"})
    model, head = decoders.load(tmp_path / "u")
    assert head["vision"] == "made"
    drawn = model.draw(latents[:3].copy(), [4, 5, 6], 0)
    assert drawn.shape == (3, 32, 32, 3)
    shrunk = model.mean + 0.5 * (latents[1:2] - model.mean)
    np.testing.assert_allclose(model.draw(shrunk, [5], 0)[0].astype(int), drawn[1].astype(int), atol=2)
    assert (model.draw(shrunk, [6], 0)[0] != drawn[1]).any()
    with pytest.raises(InputError, match="for embeddings of width 7, found a KandinskyV22Pipeline for 12"):
        Unclip.of(options, np.eye(7, dtype=np.float32))
    with pytest.raises(InputError, match=r"model_index.json: no such file"):
        Unclip.of(Options(unclip=str(tmp_path)), latents)


def test_a_decoder_of_image_embeddings_is_checked(kandinsky, tmp_path):
    shutil.copytree(kandinsky, tmp_path / "k")
    options = Options(unclip=str(tmp_path / "k"), size=32, steps=2)
    Unclip(options, np.zeros(12), 1.0).pipeline  # noqa: B018 (loads)
    edit(
        tmp_path / "k" / "movq",
        lambda weights: {name: value for name, value in weights.items() if "quantize" not in name},
        "diffusion_pytorch_model.safetensors",
    )
    with pytest.raises(
        InputError, match=r"movq: expected the weights of a VQModel, found 1 of its weights missing \(qu"
    ):
        Unclip(options, np.zeros(12), 1.0).pipeline  # noqa: B018
