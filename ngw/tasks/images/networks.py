"""The networks of `diffusers` that an image decoder trains: from noisy codes and a draft to codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from ngw.tasks.images.codec import Codec
    from ngw.tasks.images.options import ImagerOptions as Options


def denoiser(options: Options, codec: Codec) -> nn.Module:
    """A network of `diffusers` from noisy codes and a draft, 2 c channels, to c channels; its last layer is 0."""
    channels, size, _ = codec.shape
    if options.network == "transformer":
        from diffusers import PixArtTransformer2DModel

        network = PixArtTransformer2DModel(
            num_attention_heads=options.heads, attention_head_dim=options.dims // options.heads,
            in_channels=2 * channels, out_channels=channels, num_layers=options.layers, sample_size=size,
            patch_size=options.patch, cross_attention_dim=options.dims, caption_channels=options.dims,
            norm_num_groups=1, interpolation_scale=1, use_additional_conditions=False,
        )  # fmt: skip
        last = network.proj_out
    else:
        from diffusers import UNet2DConditionModel

        network = UNet2DConditionModel(
            sample_size=size, in_channels=2 * channels, out_channels=channels, layers_per_block=options.layers,
            block_out_channels=tuple(k * options.dims for k in (1, 2, 3)), cross_attention_dim=options.dims,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=options.dims // options.heads, norm_num_groups=options.heads,
        )  # fmt: skip
        last = network.conv_out
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return network
