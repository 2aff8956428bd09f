"""From a picture to the tiles that Llama 4's tower sees, and the tokens around them (Pillow's rule; no torchvision).

Sources: Meta's preprocess.py and chat_format.py, transformers' image_processing_llama4.py. Tiles come row by row, the global
tile (the whole picture, squeezed) last and only when there is more than one.
"""
import math

import numpy
from PIL import Image


def grid(width, height, size, most):
    """(rows, columns): the canvas that enlarges least, else shrinks least; of equals the smallest."""
    scales = {}
    for rows in range(1, most + 1):
        for columns in range(1, most // rows + 1):
            across = numpy.float32(columns * size) / numpy.float32(width)
            down = numpy.float32(rows * size) / numpy.float32(height)
            scales[rows, columns] = min(across, down)
    larger = [s for s in scales.values() if s >= 1]
    best = min(larger) if larger else max(scales.values())
    return min((g for g, s in scales.items() if s == best), key=lambda g: g[0] * g[1])


def fitted(width, height, size, rows, columns):
    """(width, height) inside the canvas: undistorted, and not enlarged past one tile."""
    canvas_w, canvas_h = columns * size, rows * size
    target_w, target_h = min(max(width, size), canvas_w), min(max(height, size), canvas_h)
    across, down = target_w / width, target_h / height
    if across < down:
        return target_w, max(1, min(math.floor(height * across), target_h))
    return max(1, min(math.floor(width * down), target_w)), target_h


def tiles(image, size, most):
    """(tiles [n, 3, size, size] u8, rows, columns) of a Pillow image in RGB."""
    rows, columns = grid(*image.size, size, most)
    inner = fitted(*image.size, size, rows, columns)
    small = image if inner == image.size else image.resize(inner, Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (columns * size, rows * size))
    canvas.paste(small, (0, 0))
    pixels = numpy.asarray(canvas).reshape(rows, size, columns, size, 3).transpose(0, 2, 4, 1, 3)
    pixels = pixels.reshape(rows * columns, 3, size, size)
    if rows * columns > 1:
        whole = numpy.asarray(image.resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        pixels = numpy.concatenate([pixels, whole[None]])
    return pixels, rows, columns


def values(pixels):
    """u8 -> what the tower takes, float32: x / 255, less a half, by a half, each rounded to bfloat16 as in the original."""
    import torch  # here, because those who only write pictures need not have it
    x = (torch.arange(256, dtype=torch.float32) * (1 / 255)).to(torch.bfloat16)
    table = ((x - 0.5) / 0.5).to(torch.float32)
    return table[torch.as_tensor(numpy.ascontiguousarray(pixels)).long()]


def block(token, slots, rows, columns):
    """The picture's tokens; `token` maps the names of control tokens to ids, `slots` are those of one tile."""
    ids = [token["image_start"]]
    if rows * columns > 1:
        for _ in range(rows):
            for column in range(columns):
                ids += [token["patch"]] * slots + [token["tile_x_separator"]] * (column < columns - 1)
            ids.append(token["tile_y_separator"])
    return ids + [token["image"]] + [token["patch"]] * slots + [token["image_end"]]
