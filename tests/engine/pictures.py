#!/usr/bin/env python3
"""Makes the small pictures of tests/fuzz/{jpeg,png,webp,exif}/ and tests/engine/pictures.json: what their tiles must be.

A tool for developers, run by hand from the top of the tree with Pillow and numpy installed; the tests need only what it wrote:

    python3 tests/engine/pictures.py

Expected tiles are made from Pillow's pixels by the steps of Meta's transform (convert_image_to_rgb, then preprocess.py), at a tile of
SIDE pixels and at most MOST tiles, and stored as the CRC-32 of each planar 8-bit tile. Two things are ours: EXIF orientation is
applied before, and alpha is laid over white whichever way the file spells it (Meta's code knows RGBA alone). Grey of 16 bits is
cut to its upper 8, where Pillow would clip.
"""
import io
import json
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, features

SIDE, MOST = 56, 16
FUZZ, EXPECTED = "tests/fuzz", "tests/engine/pictures.json"
f32 = np.float32


# --- the transform -----------------------------------------------------------------------------------------------------

def to_rgb(image):
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.split()[3])
        return white
    return image.convert("RGB")


def grid(width, height):
    scales = {(r, c): min(f32(c * SIDE) / f32(width), f32(r * SIDE) / f32(height))
              for r in range(1, MOST + 1) for c in range(1, MOST // r + 1)}
    enlarging = [s for s in scales.values() if s >= 1]
    best = min(enlarging) if enlarging else max(scales.values())
    return min((g for g, s in scales.items() if s == best), key=lambda g: g[0] * g[1])


def tiles(image):
    width, height = image.size
    rows, cols = grid(width, height)
    w, h = min(max(width, SIDE), cols * SIDE), min(max(height, SIDE), rows * SIDE)
    if w / width < h / height:
        h = min(int(height * (w / width)), h)
    else:
        w = min(int(width * (h / height)), w)
    canvas = Image.new("RGB", (cols * SIDE, rows * SIDE))
    canvas.paste(image.resize((max(w, 1), max(h, 1)), Image.BILINEAR), (0, 0))
    cut = [canvas.crop((c * SIDE, r * SIDE, (c + 1) * SIDE, (r + 1) * SIDE)) for r in range(rows) for c in range(cols)]
    if rows * cols > 1:
        cut.append(image.resize((SIDE, SIDE), Image.BILINEAR))
    return rows, cols, [zlib.crc32(np.asarray(t).transpose(2, 0, 1).tobytes()) for t in cut]


# --- the pictures ------------------------------------------------------------------------------------------------------

def scene(width, height, seed=1):
    """Smooth colour, one hard edge, some noise: no two corners alike."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 12, (height, width, 3))
    rgb = np.stack([x * 230 // width, y * 230 // height, (x + y) * 230 // (width + height)], axis=2) + noise
    rgb[: height // 3, : width // 4] = (240, 20, 30)
    return Image.fromarray(rgb.astype(np.uint8))


def with_alpha(image):
    y, x = np.mgrid[0:image.height, 0:image.width]
    alpha = Image.fromarray(((x * 7 + y * 3) % 256).astype(np.uint8))
    rgba = image.convert("RGBA")
    rgba.putalpha(alpha)
    return rgba


def exif(orientation, order="<"):
    """A TIFF block of three entries: make (ASCII, in place), orientation, resolution unit."""
    entry = order + "HHI"
    body = struct.pack(entry, 0x010F, 2, 4) + b"cam\0"
    body += struct.pack(entry + "HH", 0x0112, 3, 1, orientation, 0) + struct.pack(entry + "HH", 0x0128, 3, 1, 2, 0)
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 3) + body + struct.pack(order + "I", 0)


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, colour, rows, chunks=b"", interlaced=0):
    """A PNG of raw rows (bytes without the filter byte), for forms that Pillow does not write."""
    pixels = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
            + chunks + png_chunk(b"IDAT", zlib.compress(pixels, 9)) + png_chunk(b"IEND", b""))


def interlaced_rows(rgb):
    """The seven passes of Adam7 over an array [height, width, channels]."""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        if x0 < rgb.shape[1]:
            yield from (row.tobytes() for row in rgb[y0::dy, x0::dx])


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def riff_chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def inset(webp, width, height, x, y):
    """An animation whose only frame, a lossless picture of 12 x 8, lies within a larger canvas."""
    def three(n):
        return struct.pack("<I", n)[:3]
    canvas = riff_chunk(b"VP8X", bytes([0x12, 0, 0, 0]) + three(width - 1) + three(height - 1))
    frame = three(x // 2) + three(y // 2) + three(11) + three(7) + three(100) + b"\0" + webp[12:]
    body = b"WEBP" + canvas + riff_chunk(b"ANIM", b"\0" * 6) + riff_chunk(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpegs():
    small, upright = scene(60, 44), scene(48, 32)
    yield "baseline", saved(small, "JPEG", quality=85, subsampling=2)
    yield "full_colour", saved(small, "JPEG", quality=90, subsampling=0)
    yield "half_colour", saved(scene(61, 45), "JPEG", quality=80, subsampling=1)
    yield "progressive", saved(small, "JPEG", quality=80, progressive=True)
    yield "restarts", saved(small, "JPEG", quality=80, restart_marker_blocks=2)
    yield "grey", saved(small.convert("L"), "JPEG", quality=80)
    yield "cmyk", saved(small.convert("CMYK"), "JPEG", quality=90)
    yield "rgb", saved(small, "JPEG", quality=80, keep_rgb=True)
    yield "cmyk_progressive", saved(scene(24, 16).convert("CMYK"), "JPEG", quality=70, progressive=True, subsampling=0)
    yield "several_tiles", saved(scene(150, 90), "JPEG", quality=60)
    yield "tall", saved(scene(23, 190), "JPEG", quality=60)
    for o in range(1, 9):
        yield f"orientation_{o}", saved(upright, "JPEG", quality=80, exif=b"Exif\0\0" + exif(o, "<>"[o % 2]))
    cmyk = saved(small.convert("CMYK"), "JPEG", quality=90)
    at = cmyk.index(b"Adobe\0")
    yield "ycck", cmyk[: at + 11] + b"\2" + cmyk[at + 12 :]  # the transform byte of Adobe's marker: inks as YCC


def pngs():
    small, upright = scene(60, 44), scene(40, 24)
    grey, many = small.convert("L"), scene(37, 29)
    alpha = with_alpha(many)
    palette = many.quantize(16)
    deep = np.asarray(many).astype(np.uint16) * 256 + 131
    yield "colour", saved(small, "PNG")
    yield "grey", saved(grey, "PNG")
    yield "one_bit", saved(grey.convert("1"), "PNG")
    yield "two_bits", png(37, 3, 2, 0, [bytes((i * 37 + r * 11) % 256 for i in range(10)) for r in range(3)])
    yield "four_bits", png(37, 3, 4, 0, [bytes((i * 23 + r * 7) % 256 for i in range(19)) for r in range(3)])
    yield "palette", saved(palette, "PNG")
    yield "palette_alpha", saved(palette, "PNG", transparency=bytes(range(0, 256, 16)))
    yield "one_transparent_colour", saved(many, "PNG", transparency=(240, 20, 30))
    yield "one_transparent_grey", saved(many.convert("L"), "PNG", transparency=many.convert("L").getpixel((3, 3)))
    yield "alpha", saved(alpha, "PNG")
    yield "grey_alpha", saved(alpha.convert("LA"), "PNG")
    yield "deep", png(37, 29, 16, 2, [row.astype(">u2").tobytes() for row in deep])
    yield "deep_grey", png(37, 29, 16, 0, [row[:, 1].astype(">u2").tobytes() for row in deep])
    yield "deep_alpha", png(37, 29, 16, 6, [np.dstack([deep, deep[:, :, ::-1]])[y, :, :4].astype(">u2").tobytes() for y in range(29)])
    yield "interlaced", png(37, 29, 8, 2, interlaced_rows(np.asarray(many)), interlaced=1)
    yield "interlaced_alpha", png(37, 29, 8, 6, interlaced_rows(np.asarray(alpha)), interlaced=1)
    yield "gamma", png(37, 29, 8, 2, [r.tobytes() for r in np.asarray(many)], chunks=png_chunk(b"gAMA", struct.pack(">I", 100000)))
    for o in range(1, 9):
        yield f"orientation_{o}", saved(upright, "PNG", exif=exif(o, "<>"[o % 2]))


def webps():
    small, upright = scene(60, 44), scene(40, 24)
    frames = [with_alpha(scene(30, 20, seed)) for seed in (2, 3)]
    yield "lossy", saved(small, "WEBP", quality=80)
    yield "lossless", saved(small, "WEBP", lossless=True)
    yield "lossy_alpha", saved(with_alpha(small), "WEBP", quality=80)
    yield "lossless_alpha", saved(with_alpha(small), "WEBP", lossless=True, exact=True)
    yield "animated", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100)
    yield "animated_inset", inset(saved(with_alpha(scene(12, 8)), "WEBP", lossless=True, exact=True), 40, 30, 6, 10)
    for o in range(1, 9):
        yield f"orientation_{o}", saved(upright, "WEBP", quality=80, exif=b"Exif\0\0" * (o % 2) + exif(o, "<>"[o % 2]))


def exifs():
    yield "intel", exif(6)
    yield "motorola", exif(8, ">")
    yield "prefixed", b"Exif\0\0" + exif(3)
    yield "nine", exif(9)
    yield "endless", b"II*\0\x08\0\0\0\xff\xff" + exif(6)[22:34]
    yield "outside", b"MM\0*\xff\xff\xff\xff"


def main():
    expected = []
    for form, suffix, made in (("jpeg", ".jpg", jpegs()), ("png", ".png", pngs()), ("webp", ".webp", webps()), ("exif", "", exifs())):
        os.makedirs(f"{FUZZ}/{form}", exist_ok=True)
        for name, data in made:
            path = f"{FUZZ}/{form}/{name}{suffix}"
            with open(path, "wb") as f:
                f.write(data)
            if form == "exif":
                continue
            rows, cols, sums = tiles(to_rgb(Image.open(io.BytesIO(data))))
            expected.append({"file": path, "rows": rows, "cols": cols, "tiles_crc32": sums})
    with open(EXPECTED, "w", encoding="ascii") as f:
        made_by = f"tests/engine/pictures.py, Pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, " \
                  f"libwebp {features.version('webp')}"
        f.write('{"made_by": %s, "side": %d, "most": %d, "pictures": [\n' % (json.dumps(made_by), SIDE, MOST))
        f.write(",\n".join(json.dumps(e) for e in expected) + "\n]}\n")


main()
