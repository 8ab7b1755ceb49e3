"""load_pixels returns the same upright RGB pixels for every file format, or raises an error with the reason."""
from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pillow_heif
import PIL
import pytest
from PIL import Image, ImageCms, ImageFile

from tfpoets.data.decode import load_pixels, load_pixels_at_sizes
from tfpoets.data.photo_gate import MAX_PIXELS
from tfpoets.errors import PhotoError

pillow_heif.register_heif_opener()

ROOT = Path(__file__).resolve().parents[2]

CUT_SHORT = "the file is cut short"
DAMAGED = "the file is damaged or in an unsupported format"
NOT_A_PHOTO = "not a photo in a supported format"

REFUSED = {
    "corrupt/badwidth.bmp": "it has 274,878 million pixels, more than the 250 million allowed",
    "corrupt/broken.png": DAMAGED,
    "corrupt/broken_data_stream.png": DAMAGED,
    "corrupt/crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif": DAMAGED,
    "corrupt/decompression_bomb.gif": "it has 4,365 million pixels, more than the 250 million allowed",
    "corrupt/decompression_bomb.ico": "it has 4,295 million pixels, more than the 250 million allowed",
    "corrupt/shortfile.bmp": CUT_SHORT,
    "corrupt/truncated_end_chunk.png": CUT_SHORT,
    "corrupt/truncated_image.png": CUT_SHORT,
    "corrupt/truncated_jpeg.jpg": CUT_SHORT,
    "heif/corrupted.heic": DAMAGED,
    "heif/empty.heic": "the file is empty",
    "pillow/hopper_webp.tif": DAMAGED,  # WebP inside TIFF: Pillow's wheels have a libtiff without it
    "pillow/rgb24jpeg.bmp": DAMAGED,
    "pillow/ultrahdr.jpg": CUT_SHORT,
}

# pytest replaces the warning filters of the command line. That Pillow's warnings are not printed is tested below, in a
# separate process.
pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:PIL.TiffImagePlugin", "ignore::UserWarning:PIL.JpegImagePlugin",
    "ignore::PIL.Image.DecompressionBombWarning")


@pytest.fixture(scope="module")
def messy(shared_data) -> Path:
    """119 awkward image files, from the tests of Pillow, pillow-heif, libavif and others."""
    return shared_data / "photos" / "messy"


def encode(photo: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    photo.save(file, format, **options)
    return file.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    """Return a smooth image that changes with every rotation and reflection."""
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]
    return Image.fromarray(np.stack([255 * x, 255 * y, 255 * x * (1 - y)], axis=2).round().astype(np.uint8))


def orientation_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


# For each EXIF orientation, how to turn an upright photo into the pixels that a camera stores.
STORED = {
    1: lambda photo: photo,
    2: lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda photo: photo.transpose(Image.Transpose.ROTATE_180),
    4: lambda photo: photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda photo: photo.transpose(Image.Transpose.TRANSPOSE),
    6: lambda photo: photo.transpose(Image.Transpose.ROTATE_90),
    7: lambda photo: photo.transpose(Image.Transpose.TRANSVERSE),
    8: lambda photo: photo.transpose(Image.Transpose.ROTATE_270),
}


def distance(pixels: np.ndarray, others: np.ndarray) -> float:
    """Return the mean absolute difference, 0 to 255."""
    return float(np.abs(pixels.astype(int) - others).mean())


def reason(source: str | os.PathLike[str] | bytes) -> str:
    with pytest.raises(PhotoError) as raised:
        load_pixels(source, 8, 8)
    return str(raised.value)


def png(width: int, height: int, bit_depth: int, colour_type: int, rows: bytes) -> bytes:
    """Return a PNG file (ISO/IEC 15948) of a kind that Pillow cannot write."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# Every photo gives pixels or a reason

def test_every_unusual_photo_gives_pixels_or_the_expected_reason(messy):
    refused = {}
    for path in sorted(path for path in messy.rglob("*") if path.is_file()):
        name = path.relative_to(messy).as_posix()
        try:
            pixels = load_pixels(path, 48, 64)
        except PhotoError as error:
            refused[name] = str(error)
        else:
            assert pixels.shape == (48, 64, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous, name
    assert refused == REFUSED


def test_damaged_photos_give_pixels_or_a_reason_and_no_other_error(messy):
    rng = random.Random(20)
    paths = sorted(path for path in messy.rglob("hopper*") if 0 < path.stat().st_size < 60_000)
    for _ in range(400):
        path = rng.choice(paths)
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice([1, 5, 30])):
            data[int(len(data) * rng.random() ** 2)] = rng.choice([0, 255, rng.randrange(256)])
        try:
            assert load_pixels(bytes(data), 8, 8).shape == (8, 8, 3), path.name
        except PhotoError as error:
            assert "object at" not in str(error) and path.name not in str(error)


def test_photos_that_are_cut_short_are_refused_in_every_format():
    photo = gradient(80, 60)
    for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000"):
        whole = encode(photo, format)
        load_pixels(whole, 8, 8)
        for fraction in (0.1, 0.5, 0.9):
            assert reason(whole[:int(fraction * len(whole))]) in (CUT_SHORT, DAMAGED), (format, fraction)


@pytest.mark.parametrize("source, expected", [
    (b"", "the file is empty"),
    (b"Dear diary, this is no photo at all.\n", NOT_A_PHOTO),
    (b"P", NOT_A_PHOTO),
    (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00 a video, not a photo", NOT_A_PHOTO),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", NOT_A_PHOTO),
    (png(20_000, 20_000, 8, 2, b""), "it has 400 million pixels, more than the 250 million allowed"),
    (png(20_000, 10_000, 8, 2, b""), CUT_SHORT),  # 200 million pixels are allowed, as phones take such photos
], ids=["empty", "text", "one letter", "video", "PostScript", "bomb", "200 million"])
def test_the_reason_is_in_plain_words(source, expected):
    assert reason(source) == expected


def test_the_limit_on_pixels_is_250_million():
    assert MAX_PIXELS == 250_000_000
    assert "million" not in reason(png(25_000, 10_000, 8, 2, b""))
    assert "it has 251 million pixels" in reason(png(25_001, 10_000, 8, 2, b""))


def test_a_path_that_cannot_be_opened_gives_a_reason(tmp_path):
    assert reason(tmp_path / "missing.jpg") == "there is no such file"
    (tmp_path / "file").touch()
    assert reason(tmp_path / "file" / "photo.jpg") == "there is no such file"
    assert reason("zero\0byte.jpg") == "there is no such file"
    assert reason(tmp_path) == "it is a folder"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read every file")
def test_a_photo_without_permission_gives_a_reason(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(encode(gradient(8, 8), "PNG"))
    path.chmod(0)
    assert reason(path) == "no permission to read it"


def test_a_size_below_1_is_a_value_error():
    with pytest.raises(ValueError, match="0 x 8"):
        load_pixels(encode(gradient(8, 8), "PNG"), 0, 8)


def test_nothing_is_printed_about_unusual_photos(messy, tmp_path):
    unusual = [messy / "corrupt/hopper_bad_exif.jpg", messy / "corrupt/sugarshack_bad_mpo_header.jpg",
               messy / "pillow/p_trns_single.png", messy / "corrupt/invalid-exif.jpg"]
    large, many_bands = tmp_path / "200_million.png", tmp_path / "32_bands.tif"
    large.write_bytes(png(20_000, 10_000, 8, 2, b""))
    samples_per_pixel = struct.pack("<HHI", 277, 3, 1)
    three_bands = encode(gradient(8, 8), "TIFF")
    many_bands.write_bytes(three_bands.replace(samples_per_pixel + b"\3", samples_per_pixel + b" "))
    script = ("import sys\nfrom tfpoets.cli.messages import configure_messages\nconfigure_messages()\n"
              "from tfpoets.data.decode import load_pixels\nfrom tfpoets.errors import PhotoError\n"
              "for path in sys.argv[1:]:\n"
              "    try: load_pixels(path, 8, 8)\n"
              "    except PhotoError: pass\n")
    run = subprocess.run([sys.executable, "-W", "always::UserWarning", "-W", "always::RuntimeWarning", "-c", script,
                          *map(str, [*unusual, large, many_bands])],
                         cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout + run.stderr == ""


# The same pixels in every case

def test_a_path_and_the_bytes_of_the_file_give_the_same_pixels(messy):
    for name in ("exif/Portrait_6.jpg", "avif/hopper.heif", "avif/hopper.avif", "pillow/hopper_lzw.tif"):
        path = messy / name
        pixels = load_pixels(path, 56, 72)
        assert np.array_equal(pixels, load_pixels(str(path), 56, 72)), name
        assert np.array_equal(pixels, load_pixels(path.read_bytes(), 56, 72)), name


def test_a_damaged_photo_gives_the_same_reason_by_path_and_by_bytes(messy, tmp_path):
    data = bytearray((messy / "pillow/hopper.ico").read_bytes())
    data[27] = 128  # the width of the embedded image: Pillow seeks to a position before the start of the file
    (tmp_path / "photo.ico").write_bytes(data)
    assert reason(tmp_path / "photo.ico") == reason(bytes(data)) == DAMAGED


def test_many_threads_get_the_same_pixels_as_one(messy):
    paths = [messy / name for name in ("exif/Portrait_8.jpg", "avif/hopper.heif", "avif/rot1mir0.avif",
                                       "pillow/hopper.Lab.tif", "pillow/p_trns_single.png", "pillow/iss634.webp",
                                       "pillow/hopper_16bit.pgm", "corrupt/hopper_bad_exif.jpg")] * 4
    alone = [load_pixels(path, 40, 40) for path in paths]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda path: load_pixels(path, 40, 40), paths))
    for path, pixels, others in zip(paths, alone, together):
        assert np.array_equal(pixels, others), path.name


def test_the_pixels_can_be_modified_without_modifying_the_photo():
    data = encode(gradient(8, 8), "PNG")
    load_pixels(data, 8, 8)[:] = 0
    assert load_pixels(data, 8, 8).max() == 255


def test_the_format_does_not_depend_on_the_file_name(messy):
    assert load_pixels(messy / "corrupt/gif_1x1_with_jpg_suffix.jpg", 8, 8).shape == (8, 8, 3)


# Size: the whole photo, antialiased, decoded at a reduced scale

@pytest.mark.parametrize("height, width", [(224, 224), (300, 400), (190, 250), (1000, 1000)])
def test_a_photo_that_is_not_reduced_while_decoding_is_resized_like_pillow(messy, height, width):
    path = messy / "pillow/flower.jpg"  # 480 x 360
    with Image.open(path) as photo:
        expected = np.asarray(photo.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    assert np.array_equal(load_pixels(path, height, width), expected)


def test_the_whole_photo_is_resized_not_cropped():
    wide = Image.new("RGB", (400, 100), "red")
    wide.paste("blue", (200, 0, 400, 100))
    pixels = load_pixels(encode(wide, "PNG"), 10, 10)
    assert (pixels[:, :4] == [255, 0, 0]).all() and (pixels[:, 6:] == [0, 0, 255]).all()


def test_shrinking_averages_pixels():
    checks = np.indices((200, 200)).sum(axis=0) % 2 * 255
    pixels = load_pixels(encode(Image.fromarray(checks.astype(np.uint8)), "PNG"), 20, 20)
    assert np.abs(pixels.astype(int) - 127.5).max() < 4


def open_draft(data: bytes, size: tuple[int, int]) -> ImageFile.ImageFile:
    photo = Image.open(io.BytesIO(data))
    assert isinstance(photo, ImageFile.ImageFile)
    photo.draft(None, size)
    return photo


@pytest.fixture(scope="module")
def large(messy: Path) -> tuple[Image.Image, bytes]:
    """A photo of 28 million pixels whose sides are not multiples of 8, and the same photo as JPEG."""
    with Image.open(messy / "exif/Portrait_5.jpg") as original:
        photo = original.convert("RGB").resize((5403, 5203))
    return photo, encode(photo, "JPEG", quality=95)


@pytest.mark.parametrize("side, decoded", [
    (1301, (5403, 5203)), (1300, (2702, 2602)), (650, (1351, 1301)), (320, (676, 651)), (40, (676, 651)),
])
def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_covers_twice_the_size(large, side, decoded):
    photo, data = large
    small = open_draft(data, (max(640, 2 * side), max(640, 2 * side)))
    assert small.size == decoded
    scale = round(5403 / small.size[0])
    expected = small.resize((side, side), Image.Resampling.BILINEAR, box=(0, 0, 5403 / scale, 5203 / scale))
    pixels = load_pixels(data, side, side)
    assert np.array_equal(pixels, np.asarray(expected))
    assert distance(pixels, np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR))) < 1


def test_several_sizes_at_once_are_the_same_as_each_alone(large):
    small = gradient(90, 60)
    for data in (large[1], encode(small, "PNG"), encode(small, "JPEG", exif=orientation_exif(6))):
        sizes = [(700, 500), (32, 48), (320, 320)]
        for (height, width), pixels in zip(sizes, load_pixels_at_sizes(data, sizes)):
            assert np.array_equal(pixels, load_pixels(data, height, width))


def test_the_scale_of_a_sideways_photo_covers_its_upright_size():
    data = encode(gradient(2600, 1400), "JPEG", exif=orientation_exif(6), quality=95)
    upright = open_draft(data, (1300, 640)).transpose(Image.Transpose.ROTATE_270)
    assert upright.size == (700, 1300)
    expected = np.asarray(upright.resize((100, 650), Image.Resampling.BILINEAR))
    assert distance(load_pixels(data, 650, 100), expected) < 0.1


def test_a_scale_that_does_not_divide_the_sides_does_not_shift_the_photo():
    data = encode(gradient(1281, 1281), "JPEG", quality=100, subsampling=0)
    full = np.asarray(Image.open(io.BytesIO(data)).resize((320, 320), Image.Resampling.BILINEAR))
    assert distance(load_pixels(data, 320, 320), full) < 0.3  # more if the padding were included


# Upright

@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_all_eight_orientations_are_turned_upright_in_every_format(format):
    if format == "HEIF" and not pillow_heif.libheif_info()["HEIF"]:
        pytest.skip("this pillow-heif cannot write HEIC")
    upright = gradient(96, 64)
    expected = np.asarray(upright.resize((36, 24), Image.Resampling.BILINEAR))
    for orientation, store in STORED.items():
        pixels = load_pixels(encode(store(upright), format, exif=orientation_exif(orientation), quality=95), 24, 36)
        assert distance(pixels, expected) < 3, orientation


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_photos_from_a_rotated_camera_are_similar_to_the_upright_one(messy, orientation):
    upright = load_pixels(messy / "pillow/hopper.jpg", 128, 128)
    assert distance(load_pixels(messy / f"exif/hopper_orientation_{orientation}.jpg", 128, 128), upright) < 6


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_large_portraits_are_similar_to_the_upright_one(messy, orientation):
    upright = load_pixels(messy / "exif/Portrait_1.jpg", 180, 120)
    # The photos differ in the number that is written on them.
    assert distance(load_pixels(messy / f"exif/Portrait_{orientation}.jpg", 180, 120), upright) < 2


@pytest.mark.parametrize("name", ["avif/hopper.heif", "avif/hopper.avif", "pillow/hopper_orientation_2.webp"])
def test_heic_avif_and_webp_are_similar_to_the_jpeg(messy, name):
    assert distance(load_pixels(messy / name, 96, 96), load_pixels(messy / "pillow/hopper.jpg", 96, 96)) < 6


def test_an_avif_that_its_container_rotates_and_mirrors_has_the_sky_at_the_top(messy):
    red, _, blue = np.moveaxis(load_pixels(messy / "avif/rot1mir0.avif", 60, 40).astype(int), 2, 0)
    assert (blue - red)[:15].mean() > 25 > 0 > (blue - red)[-20:].mean()


def test_an_orientation_in_xmp_is_used_if_exif_has_none(messy):
    turned = load_pixels(messy / "pillow/xmp_tags_orientation.png", 40, 40)
    with Image.open(messy / "pillow/xmp_tags_orientation.png") as stored:
        upside_down = stored.convert("RGB").resize((40, 40), Image.Resampling.BILINEAR)
    assert distance(turned, np.asarray(upside_down)[::-1, ::-1]) < 1
    assert distance(turned, load_pixels(messy / "avif/xmp_tags_orientation.avif", 40, 40)) < 5


@pytest.mark.parametrize("exif", [
    b"Exif\0\0", b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0",
], ids=["nothing", "rubbish", "past the end", "cut off"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_means_upright_not_an_error(format, exif):
    photo = gradient(64, 48)
    plain = load_pixels(encode(photo, format), 24, 32)
    assert np.array_equal(load_pixels(encode(photo, format, exif=exif), 24, 32), plain)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_upright(orientation):
    photo = gradient(64, 48)
    pixels = load_pixels(encode(photo, "JPEG", exif=orientation_exif(orientation)), 24, 32)
    assert np.array_equal(pixels, load_pixels(encode(photo, "JPEG"), 24, 32))


# Frames

@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO", "HEIF"])
def test_the_first_frame_is_used(format):
    if format == "HEIF" and not pillow_heif.libheif_info()["HEIF"]:
        pytest.skip("this pillow-heif cannot write HEIC")
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "lime")]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(load_pixels(data, 4, 4).astype(int) - [255, 0, 0]).max() < 8


# Colours

def translucent_row(mode: str, alphas: tuple[int, ...]) -> Image.Image:
    """Return one row of red pixels (black in mode LA) with these alpha values."""
    pixels = [(255, 0, 0, alpha) if mode == "RGBA" else (0, alpha) for alpha in alphas]
    return Image.fromarray(np.array([pixels], np.uint8))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "ICO", "WEBP"])
def test_transparent_colours_are_blended_with_white(format):
    photo = translucent_row("RGBA", (0, 51, 128, 255)).resize((64, 16), Image.Resampling.NEAREST)
    options = {"lossless": True} if format == "WEBP" else {"sizes": [(64, 16)]} if format == "ICO" else {}
    pixels = load_pixels(encode(photo, format, **options), 16, 64)
    assert pixels[8, 8::16].tolist() == [[255, 255, 255], [255, 204, 204], [255, 127, 127], [255, 0, 0]]


def test_transparent_gray_is_blended_with_white():
    pixels = load_pixels(encode(translucent_row("LA", (0, 51, 255)), "PNG"), 1, 3)
    assert pixels[0, :, 0].tolist() == [255, 204, 0]


def test_premultiplied_gray_is_not_darkened_twice():
    pytest.importorskip("PIL", minversion="13", reason="Pillow 11.3 does not read it")
    straight = Image.fromarray(np.array([[(100, 51), (100, 255)]], np.uint8))
    premultiplied = Image.fromarray(np.array([[(20, 51), (100, 255)]], np.uint8))
    unmarked = encode(premultiplied, "TIFF")
    extra_samples = struct.pack("<HHI", 338, 3, 1)  # TIFF 6.0, section 18: 1 if alpha is premultiplied, 2 if not
    marked = unmarked.replace(extra_samples + b"\2", extra_samples + b"\1")
    assert Image.open(io.BytesIO(marked)).mode == "La"
    assert np.array_equal(load_pixels(marked, 1, 2), load_pixels(encode(straight, "TIFF"), 1, 2))


@pytest.mark.parametrize("photo, transparency", [
    (Image.fromarray(np.array([[7, 200]], np.uint8)), 7),
    (Image.fromarray(np.array([[7, 200 * 257]], np.uint16)), 7),
    (Image.fromarray(np.array([[[9, 8, 7], [200, 200, 200]]], np.uint8)), (9, 8, 7)),
    (Image.fromarray(np.array([[0, 200]], np.uint8)).convert("P"), 0),
    (Image.fromarray(np.array([[0, 200]], np.uint8)).convert("P"), b"\0\xff"),
], ids=["gray", "16-bit gray", "RGB", "palette entry", "palette alphas"])
def test_a_colour_that_a_png_defines_as_transparent_is_white(photo, transparency):
    if photo.mode == "P":
        photo = Image.fromarray(np.array([[0, 1]], np.uint8))
        photo.putpalette([0, 0, 0, 200, 200, 200])
    pixels = load_pixels(encode(photo, "PNG", transparency=transparency), 1, 2)
    assert pixels[0].tolist() == [[255, 255, 255], [200, 200, 200]]


def test_transparent_pixels_do_not_bleed_into_their_neighbours():
    photo = np.zeros((64, 64, 4), np.uint8)  # black, but fully transparent
    assert load_pixels(encode(Image.fromarray(photo), "PNG"), 8, 8).min() == 255


def test_the_transparent_background_of_a_gif_and_a_webp_is_white(messy):
    for name in ("pillow/transparent.gif", "pillow/transparent.webp"):
        pixels = load_pixels(messy / name, 60, 80)
        assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all(), name
        assert pixels.min() < 30, name


SIXTEEN_BIT = [0, 128, 129, 257, 385, 386, 32767, 32768, 65406, 65407, 65535]
EIGHT_BIT = [0, 0, 1, 1, 1, 2, 127, 128, 254, 255, 255]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bits_are_rounded_to_the_nearest_8_bit_value(format):
    gray = Image.fromarray(np.tile(np.array(SIXTEEN_BIT, np.uint16), (11, 1)))
    pixels = load_pixels(encode(gray, format), 11, 11)
    assert (pixels == np.array(EIGHT_BIT)[:, None]).all()


def test_16_bits_are_read_in_either_byte_order():
    rows = np.tile(np.array(SIXTEEN_BIT, ">u2"), (3, 1))
    big_endian = Image.frombytes("I;16B", (11, 3), rows.tobytes())
    assert load_pixels(encode(big_endian, "TIFF"), 3, 11)[0, :, 0].tolist() == EIGHT_BIT


def test_a_16_bit_photo_is_similar_to_its_8_bit_version(messy):
    gray = load_pixels(messy / "pillow/hopper_gray.jpg", 128, 128)
    assert distance(load_pixels(messy / "pillow/hopper_16bit.pgm", 128, 128), gray) < 4


def test_16_bits_per_channel_are_read():
    row = b"\0" + struct.pack(">6H", 0, 0x8000, 0xFFFF, 0x1234, 0xABCD, 0x00FF)
    assert load_pixels(png(2, 1, 16, 2, row), 1, 2)[0].tolist() == [[0, 0x80, 0xFF], [0x12, 0xAB, 0x00]]


def test_photos_without_a_fixed_white_level_are_refused():
    assert "floating point" in reason(encode(Image.new("F", (9, 9), 0.5), "TIFF"))
    assert "32 bits" in reason(encode(Image.new("I", (9, 9), 65536), "TIFF"))
    assert "32 bits" in reason(encode(Image.new("I", (9, 9), -1), "TIFF"))


@pytest.mark.parametrize("name, tolerance", [
    ("hopper.Lab.tif", 4), ("hopper.gif", 8), ("hopper.png", 3), ("hopper.bmp", 3), ("hopper.ppm", 3),
    ("hopper_bigtiff.tif", 3), ("hopper_lzw.tif", 3), ("hopper_jpg.tif", 4), ("hopper_16bit_qtables.jpg", 10),
])
def test_a_photo_is_similar_in_every_encoding(messy, name, tolerance):
    expected = load_pixels(messy / "pillow/hopper.tif", 64, 64)
    assert distance(load_pixels(messy / "pillow" / name, 64, 64), expected) < tolerance


@pytest.mark.parametrize("name", ["pil_sample_cmyk.jpg", "tiff_strip_cmyk_jpeg.tif", "tiff_strip_cmyk_16l_jpeg.tif"])
def test_cmyk_is_similar_to_the_rgb_version_of_a_photo(messy, name):
    expected = load_pixels(messy / "pillow/pil_sample_rgb.jpg", 50, 50)
    assert distance(load_pixels(messy / "pillow" / name, 50, 50), expected) < 8


@pytest.mark.parametrize("mode, colour, expected", [
    ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
    pytest.param("YCbCr", (76, 85, 255), (254, 0, 0), marks=pytest.mark.skipif(
        PIL.__version__ < "13", reason="Pillow before 13 cannot read uncompressed YCbCr TIFF files")),
    ("L", 77, (77, 77, 77)),
    ("1", 255, (255, 255, 255)),
])
def test_plain_colours_of_every_mode_become_the_expected_rgb(mode, colour, expected):
    pixels = load_pixels(encode(Image.new(mode, (20, 20), colour), "TIFF"), 5, 5)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_lab_is_converted_to_srgb():
    photo = gradient(32, 32)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(photo, to_lab)
    assert lab is not None and lab.mode == "LAB"
    assert distance(load_pixels(encode(lab, "TIFF"), 32, 32), np.asarray(photo)) < 2


def test_a_palette_is_applied_before_resizing():
    photo = Image.fromarray(np.tile(np.array([0, 2], np.uint8), (64, 32)))
    photo.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])  # entry 1, the mean of 0 and 2, is green
    red, green, blue = load_pixels(encode(photo, "PNG"), 4, 4)[2, 2]
    assert green == 0 and 100 < red < 156 and 100 < blue < 156
