"""``disentangle invert``: pictures from people, and the latents found for them."""

import io
import logging
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from disentangle.apps import invert, render
from disentangle.apps.edit import Edit
from disentangle.apps.kept import load_picture
from disentangle.apps.pictures import PIXELS, fit_image, load_image
from disentangle.apps.studio import Studio, picture
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil, to_uint8
from tests.runs import gan_run, vae_run


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF", "JPEG"])
def test_every_kind_of_picture_is_read(kind: str, tmp_path: Path) -> None:
    image = Image.linear_gradient("L").resize((40, 30))
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "picture").write_bytes(saved(image, kind, **options))  # what counts is what is in it, not its name
    read = load_image(tmp_path / "picture")
    assert read.size == (40, 30)
    assert np.abs(np.asarray(read.convert("L")).astype(int) - np.asarray(image).astype(int)).max() <= (
        2 * (kind == "JPEG")
    )


def test_first_frames_alpha_depth_and_orientation() -> None:
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    assert load_image(saved(red, "GIF", save_all=True, append_images=[blue])).getpixel((0, 0)) == (255, 0, 0)
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 255, 128))
    over = load_image(saved(clear, "PNG"))
    assert (over.mode, over.getpixel((0, 0)), over.getpixel((1, 0))) == ("RGB", (255, 255, 255), (127, 127, 255))
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert load_image(saved(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    deep = Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16))
    read = load_image(saved(deep, "PNG"))
    assert (read.mode, [read.getpixel((x, 0)) for x in range(3)]) == ("L", [0, 1, 255])
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    wide = Image.new("RGB", (8, 4), "white")
    wide.paste("black", (0, 0, 4, 4))
    turned = load_image(saved(wide, "PNG", exif=exif))
    assert (turned.size, turned.getpixel((0, 0)), turned.getpixel((0, 7))) == ((4, 8), (0, 0, 0), (255, 255, 255))


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that says it is that large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bomb(10_000, PIXELS // 10_000 + 1), "10,000 × 5,001 pixels: possible: 50,000,000"),
        (bomb(60_000, 60_000), "too many pixels"),
        (bomb(20, 20), "damaged"),
        (saved(noise((64, 64)), "PNG")[:-2000], "damaged"),
        (saved(noise((64, 64)), "JPEG")[:600], "damaged"),
        (saved(noise((8, 8)), "TIFF"), "no picture that can be read: possible: PNG, JPEG, WebP, GIF and BMP"),
        (saved(noise((8, 8)), "PPM"), "no picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that can be read"),
        (b"", "no picture that can be read"),
        (bytes(2**25 + 1), "more than 32 MB"),
    ],
    ids=["bomb", "large bomb", "empty bomb", "cut PNG", "cut JPEG", "TIFF", "PPM", "SVG", "nothing", "large"],
)
def test_what_is_no_picture_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words) as told:
        load_image(data)
    assert "\n" not in str(told.value)
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UserError, match=words):
        load_image(tmp_path / "x.png")


def test_paths_that_are_no_files() -> None:
    for path, words in (("/dev/zero", "is no file"), ("/", "is no file"), ("/none.png", "there is no picture")):
        with pytest.raises(UserError, match=words):
            load_image(Path(path))


def test_pictures_are_fitted() -> None:
    image = noise((64, 64))
    exact = fit_image(image, 3, 64)
    assert np.array_equal(exact.permute(1, 2, 0).numpy(), np.asarray(image)), "its own pixels"
    wide = Image.new("RGB", (90, 30), "white")
    wide.paste("red", (30, 0, 60, 30))
    fitted = fit_image(wide, 3, 30)
    assert bool((fitted == torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]).all()), "the middle square"
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (64, 32)))
    small = fit_image(stripes, 1, 16)
    assert (small.shape, small.dtype) == ((1, 16, 16), torch.uint8)
    assert abs(small[:, 2:-2, 2:-2].float() - 127.5).max() < 8, "antialiased"
    assert fit_image(Image.new("L", (5, 7), 9), 3, 8).unique().tolist() == [9]


def test_a_checkpoint_that_comes_meanwhile_changes_nothing(tmp_path: Path) -> None:
    run = gan_run(tmp_path / "grey")
    before = run.weights_hash()

    def late(share: float, words: str) -> None:
        if run.step == 10:
            gan_run(run.path, seed=1, step=20)

    image = Image.new("L", (32, 32), 90)
    found = invert.search(run, run.load_generator(), image, steps=2, perceptual=False, progress=late)
    assert (found.kept.weights, run.step) == (before, 20)


def test_a_generated_picture_is_inverted_back(tmp_path: Path) -> None:
    run = gan_run(tmp_path / "grey")
    generator = run.load_generator()
    latents = 0.5 * generator.sample_latents(1, torch.Generator().manual_seed(11))
    image = to_pil(to_uint8(generator.synthesize(latents))[0])
    shares: list[float] = []
    kept = invert.search(
        run, generator, image, steps=80, perceptual=False, progress=lambda share, words: shares.append(share)
    ).kept
    begun = invert.search(run, generator, image, steps=0).kept
    assert kept.error < 0.4 * begun.error
    assert kept.latents.shape == (1, generator.latent_size)
    assert np.array_equal(kept.original[0].numpy(), np.asarray(image))
    assert kept.weights == run.weights_hash()
    assert shares[-1] == 1.0
    made = generator.synthesize(kept.latents)
    error = (made - (kept.original[None].float() / 127.5 - 1)).square().mean().sqrt()
    assert kept.error == pytest.approx(error.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("known", "begun"), [(None, "best draw"), (slice(1), "encoder, the rest drawn"), (slice(None), "encoder alone")]
)
def test_it_says_where_the_search_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: slice | None, begun: str
) -> None:
    run = gan_run(tmp_path / "gan")
    generator = run.load_generator()

    def encode(images: torch.Tensor) -> torch.Tensor:
        codes = torch.full((len(images), generator.latent_size), torch.nan)
        codes[:, known] = 0.5
        return codes

    monkeypatch.setattr(invert, "encoder_of", lambda *_: None if known is None else encode)
    assert invert.search(run, generator, noise((32, 32)), steps=0).begun == begun


def test_the_command_keeps_what_it_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = vae_run(tmp_path / "colour")
    noise((50, 40)).save(tmp_path / "a.png")
    noise((20, 20), "L").save(tmp_path / "b.webp")
    with caplog.at_level(logging.INFO):
        invert.main([str(run.path), str(tmp_path / "a.png"), str(tmp_path / "b.webp"), "--steps", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    for said, drawing, query in (lines[:3], lines[3:]):
        edit = Edit.from_query(query)
        kept = load_picture(run, edit.picture)
        words = said.split()
        assert words[words.index("->") + 1] == f"{kept.error:.4f}"
        assert "encoder alone" in said
        assert Path(drawing) == run.path / "pictures" / f"{edit.picture}.png"
        drawn = np.asarray(Image.open(drawing).convert("RGB"))
        made = picture(Studio(run.path).open("colour", "auto"), edit).permute(1, 2, 0).numpy()
        for i, tile in ((0, kept.original.permute(1, 2, 0).numpy()), (2, made)):
            left = 3 + i * (6 * 32 + 3)
            shown = drawn[34 + 3 : 34 + 3 + 192, left : left + 192][2::6, 2::6]
            assert np.abs(shown.astype(int) - tile.astype(int)).max() <= 1
        render.main([query, "--runs", str(tmp_path), "--out", str(tmp_path / f"{edit.picture}.png")])
        view = Studio(run.path).open("colour", "auto")
        expected = png_bytes(to_pil(picture(view, edit)))
        assert (tmp_path / f"{edit.picture}.png").read_bytes() == expected
        assert capsys.readouterr().out.splitlines()[1].count(f"picture={edit.picture}") == 1


def test_refusals(tmp_path: Path) -> None:
    run = vae_run(tmp_path / "colour")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    for arguments, words in (
        ([], "name at least one picture"),
        ([str(tmp_path / "a.png"), "--steps", "-1"], "--steps must lie between 0 and 5000"),
        ([str(tmp_path / "a.png"), str(tmp_path / "b.png")], "b.png is no picture"),
    ):
        with pytest.raises(UserError, match=words):
            invert.main([str(run.path), *arguments])
    assert not (run.path / "pictures").exists(), "one bad picture, and no minute is spent on the others"
