"""Pictures as people send them, and as the tower sees them.

`sent` makes of a 64 x 64 picture a JPEG of some size: enlarged, on a longer canvas of its own background, perhaps with the
shape moved. `seen` is the way back that an engine takes: decode, fit into one tile without distortion, pad with black.
"""
import io

import numpy
from PIL import Image

from tiling import tiles

TILE = 64
# Width x height of pictures sent: the tile itself, squares, the shapes that phones and screens have, small ones.
SIZES = [(64, 64), (96, 96), (128, 128), (200, 200), (256, 256), (320, 240), (240, 320), (400, 300), (512, 512),
         (480, 640), (640, 480), (640, 360), (800, 600), (1024, 1024)]
FILTERS = [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS, Image.Resampling.NEAREST]


def background(pixels):
    """The commonest colour: easy-vqa's backgrounds are plain."""
    colours, counts = numpy.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return tuple(int(v) for v in colours[counts.argmax()])


def moved(pixels, rng, tint=None):
    """The shape cut out and laid somewhere else on its background (or on `tint`), at up to a quarter larger or smaller."""
    ground = numpy.array(background(pixels), numpy.int32)
    mask = numpy.abs(pixels.astype(numpy.int32) - ground).sum(2) > 24
    if not mask.any():
        return pixels
    ys, xs = numpy.nonzero(mask)
    box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    cut = Image.fromarray(pixels).crop(box)
    stencil = Image.fromarray((mask * 255).astype(numpy.uint8)).crop(box)
    scale = rng.uniform(0.85, 1.25)
    size = tuple(min(TILE, max(6, round(side * scale))) for side in cut.size)
    out = Image.new("RGB", (TILE, TILE), tint or tuple(int(v) for v in ground))
    at = (rng.randint(0, TILE - size[0]), rng.randint(0, TILE - size[1]))
    out.paste(cut.resize(size, Image.Resampling.NEAREST), at, stencil.resize(size, Image.Resampling.NEAREST))
    return numpy.asarray(out)


def sent(pixels, size, quality, rng):
    """JPEG bytes of the picture enlarged into a canvas of `size` (width, height); what is left has its background."""
    width, height = size
    side = min(width, height)
    picture = Image.fromarray(pixels)
    if side != TILE:
        picture = picture.resize((side, side), rng.choice(FILTERS))
    if (side, side) != size:
        canvas = Image.new("RGB", size, background(pixels))
        canvas.paste(picture, (rng.randint(0, width - side), rng.randint(0, height - side)))
        picture = canvas
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def seen(file):
    """One tile [3, 64, 64] u8 of an encoded picture (bytes or a path)."""
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
        return tiles(image.convert("RGB"), TILE, 1)[0][0]
