"""Image files of every mode as RGB: their values, their transparency, how they are turned, what is refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from ngw import data, encoders
from ngw.errors import InputError
from ngw.io import images as _images
from ngw.tasks.images import codec

RAMP = np.linspace(0, 65535, 256).astype(np.uint16).reshape(1, 256).repeat(4, 0)  # black to white, column by column


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGB", "LA", "RGBA"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new("L", (8, 6), 200).convert(mode).save(path)
    found = np.asarray(_images.read(str(path)))
    assert found.shape == (6, 8, 3)
    assert np.abs(found.astype(int) - 200).max() <= 2


def test_two_colours_are_black_and_white(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "x.png")
    assert np.asarray(_images.read(tmp_path / "x.png")).tolist() == [[[0, 0, 0], [255, 255, 255]]]


DEEP = {  # the same ramp, in the ways that it can be written
    "16 bits": (RAMP, "x.png"),
    "16 bits, TIFF": (RAMP, "x.tif"),
    "16 bits, high byte first": (RAMP.astype(">u2"), "x.tif"),
    "16 bits, netpbm": (RAMP, "x.pgm"),
    "16 bits, JPEG 2000": (RAMP, "x.jp2"),
    "floats": ((RAMP / 65535).astype(np.float32), "x.tif"),
}


@pytest.mark.parametrize("name", DEEP)
def test_a_ramp_from_black_to_white_stays_one(name, tmp_path):
    values, file = DEEP[name]
    Image.fromarray(values).save(tmp_path / file)
    found = np.asarray(_images.read(tmp_path / file)).astype(int)
    assert found.shape == (4, 256, 3)
    assert np.abs(found - np.arange(256)[:, None]).max() <= 1
    assert data.broken(str(tmp_path / file)) == ""


def test_whoever_reads_an_image_sees_the_ramp(tmp_path):
    # Encoders' views, the image decoder's pixels, and what is compared and shown, all within a resampling's step.
    path = tmp_path / "x.png"
    Image.fromarray(RAMP[:1].repeat(256, 0)).save(path)
    for seen in (encoders.build({"kind": "efficientnet-lite"}).view(str(path)), codec.square(path, 224)):
        middle = np.asarray(seen)[112, :, 0].astype(int)
        assert (np.diff(middle) >= 0).all()
        assert 100 < middle[112] < 155
    pixels = codec.Codec(16).pixels([str(path)]).numpy()
    assert np.abs(pixels[0, :, 8].mean(0) - (2 * np.arange(16) + 1 - 16) / 16).max() < 0.05


def tiff(values: np.ndarray, **tags: int) -> bytes:
    """A 16-bit TIFF whose tags say something else of it; a width is counted in the samples that there are then."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    content = file.getvalue()
    for name, value in tags.items():
        number, kind = {"width": (256, 4), "bits": (258, 3), "white": (262, 3)}[name]
        place = content.index(struct.pack("<HHI", number, kind, 1)) + 8
        content = content[:place] + struct.pack("<I", value) + content[place + 4 :]
    return content


def test_a_tiff_says_how_many_bits_it_has_and_which_end_is_white(tmp_path):
    (tmp_path / "inverted.tif").write_bytes(tiff(RAMP, white=0))
    found = np.asarray(_images.read(tmp_path / "inverted.tif")).astype(int)
    assert np.abs(found - np.arange(255, -1, -1)[:, None]).max() <= 1
    twelve = bytes.fromhex("000 7ff 800 fff".replace(" ", ""))  # four samples of 12 bits in the place of three of 16
    values = np.frombuffer(twelve, np.uint16).reshape(1, 3)
    (tmp_path / "twelve.tif").write_bytes(tiff(values, width=4, bits=12))
    assert np.asarray(_images.read(tmp_path / "twelve.tif"))[0, :, 0].tolist() == [0, 127, 128, 255]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RAMP.astype(np.int32), "whole numbers of 32 bits, whose white isn't known: save it with 16 or 8 bits"),
        (RAMP.astype(np.float32), "values from 0 to 65535, where black is 0 and white 1"),
        (np.full((2, 2), np.nan, np.float32), "values from nan to nan, where"),
        (np.full((2, 2), -0.5, np.float32), "values from -0.5 to -0.5, where"),
    ],
    ids=["32 bits", "floats beyond 1", "NaN", "negative"],
)
def test_a_range_that_nobody_can_know_is_refused_by_data_and_encoders(values, words, tmp_path):
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match=f"x.tif: expected a readable image, found {words}.*; replace it"):
        _images.read(tmp_path / "x.tif")
    with pytest.raises(InputError, match=f"x.tif: expected an image, found .*{words}"):
        data.verify_images([str(tmp_path / "x.tif")])


def test_transparency_shows_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    found = np.asarray(_images.read(str(tmp_path / "x.png")))
    assert found[0, 0].tolist() == [10, 20, 30]
    assert (found[1:] == 255).all()


@pytest.mark.parametrize(
    ("image", "clear"),
    [
        (Image.fromarray(np.array([[0, 65535, 257 * 100]], np.uint16)), 65535),
        (Image.fromarray(np.array([[0, 255, 100]], np.uint8)), 255),
        (Image.fromarray(np.array([[0, 255, 100]], np.uint8)).quantize(), None),
        (Image.merge("LA", [Image.fromarray(np.array([[0, 9, 100]], np.uint8)), Image.new("L", (3, 1), 255)]), None),
    ],
    ids=["16 bits", "L", "P", "LA"],
)
def test_what_is_clear_in_a_grey_image_shows_white(image, clear, tmp_path):
    if image.mode == "LA":
        image.putpixel((1, 0), (9, 0))
    elif image.mode == "P":
        clear = image.getpixel((1, 0))
    image.save(tmp_path / "x.png", **({} if clear is None else {"transparency": clear}))
    assert np.asarray(_images.read(tmp_path / "x.png"))[0, :, 0].tolist() == [0, 255, 100]


@pytest.mark.parametrize("grey", [False, True], ids=["colours", "16 bits"])
def test_a_picture_stands_as_its_camera_was_held(grey, tmp_path):
    image = Image.new("I;16" if grey else "RGB", (10, 6), 0)
    image.putpixel((0, 0), 65535 if grey else (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    image.save(tmp_path / "x.png", exif=exif)
    found = _images.read(str(tmp_path / "x.png"))
    assert found.size == (6, 10)
    assert found.getpixel((5, 0)) == (255, 255, 255)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_camera_holds_a_picture_in_eight_ways(turn, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.arange(0, 240, 40, np.uint8).reshape(2, 3)).save(tmp_path / "x.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "x.png")).convert("RGB")
    np.testing.assert_array_equal(_images.read(tmp_path / "x.png"), expected)


ODD = {  # EXIF's entries: tag, type, count, value
    "a width as text": ([(0x0100, 2, 4, b"256\0"), (0x0112, 3, 1, b"\6\0\0\0")], (6, 10)),
    "a resolution as text": ([(0x0112, 3, 1, b"\6\0\0\0"), (0x011A, 2, 4, b"072\0")], (6, 10)),
    "an orientation as text": ([(0x0112, 2, 2, b"6\0\0\0")], (10, 6)),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_entry_beside_the_orientation_does_no_harm(name, tmp_path):
    entries, size = ODD[name]
    rows = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + rows + bytes(4)
    Image.new("RGB", (10, 6)).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + exif)
    assert data.broken(str(tmp_path / "x.jpg")) == ""
    assert _images.read(tmp_path / "x.jpg").size == size


def test_exif_that_is_none_leaves_a_picture_upright(tmp_path):
    Image.new("RGB", (10, 6)).save(tmp_path / "x.webp", exif=b"Exif\0\0no header")
    assert data.broken(str(tmp_path / "x.webp")) == ""
    assert _images.read(tmp_path / "x.webp").size == (10, 6)


def test_an_offset_that_is_no_whole_number_is_one_sentence(tmp_path):
    content = tiff(np.zeros((2, 2), np.uint16))
    place = content.index(struct.pack("<HHI", 273, 4, 1))  # where the pixels begin, as a fraction
    (tmp_path / "x.tif").write_bytes(content[: place + 2] + struct.pack("<H", 5) + content[place + 4 :])
    with pytest.raises(InputError, match=r"x\.tif: expected a readable image, found "):
        _images.read(tmp_path / "x.tif")
    assert data.broken(str(tmp_path / "x.tif")).startswith("a file that can't be decoded")


def test_an_image_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    Image.new("L", (60, 60)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"huge\.png: expected a readable image, found .*exceeds limit"):
        _images.read(str(tmp_path / "huge.png"))


@pytest.mark.parametrize("name", ["nul\0.png", "folder.png", "\udcff.png"])
def test_a_name_that_opens_nothing_is_one_sentence(name, tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"png: expected a readable image, found .*; replace it"):
        _images.read(str(tmp_path / name))


def test_a_decoder_that_fails_in_its_own_way_is_one_sentence(tmp_path):
    # AVIF's and DDS's decoders raise RuntimeError and NotImplementedError, which are no OSError.
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "DDS")
    content = bytearray(file.getvalue())
    content[80:88] = struct.pack("<I4s", 4, b"none")  # flags and code of the pixels' format
    (tmp_path / "x.dds").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.dds: expected a readable image, found "):
        _images.read(tmp_path / "x.dds")
    with pytest.raises(InputError, match=r"x\.dds: expected an image, found a file that can't be decoded"):
        data.verify_images([str(tmp_path / "x.dds")])
