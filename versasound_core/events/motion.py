"""Motion in small luma pictures: what the camera does, and how fast each thing changes its velocity.

A strike is a sudden change of velocity. Around each thing that moves a patch of frame t is found again in frames t-1
and t+1; forward and backward displacement cancel in steady motion, and their sum is the change of velocity. An
impact between two frames splits its impulse over both in proportion to its nearness, so that the centroid of the
impulse is its time, finer than the frame rate.
"""

from __future__ import annotations

import attrs
import torch
from torch.nn import functional as nn

_NOISE = 2.0  # mean squared error, in grey levels squared, that coding and the sensor make of a perfect match
_MOVING = 4.0  # grey levels of smoothed change that make a pixel worth a look
_CANDIDATES = 12  # patches looked at in a frame, the most changed first
_PATCH = 11
_REACH = 8  # how far a patch is searched for, in pixels
_STILL = 0.05  # penalty on displacement, in units of the noise per squared pixel: a flat patch stays where it is
_CUT = 0.5  # share of pixels changed beyond what motion explains that makes a cut
_CUT_LEVELS = 8.0


@attrs.frozen(eq=False)
class Changes:
    """How things changed their velocity at `n` frames.

    Args:
        frame: `[K]`, the frame, 0..n-1.
        y: `[K]`, pixel row.
        x: `[K]`, pixel column.
        speed: `[K]`, size of the change of velocity in picture heights per second, weighted by how well the patch
            was found again.
        residual: `[n+1, H, W]`, what is left of the frame differences when the camera's motion is taken out.
        cut: `[n+1]`, whether a cut lies between a frame and the next.
    """

    frame: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor
    speed: torch.Tensor
    residual: torch.Tensor
    cut: torch.Tensor


def velocity_changes(luma: torch.Tensor, times_s: torch.Tensor) -> Changes:
    """Measure frames 1..n of `n + 2` consecutive pictures.

    Args:
        luma: `[n+2, H, W]`, uint8 or float, 0..255.
        times_s: `[n+2]`, their presentation times, rising.
    """
    smooth = _blur(_blur(luma.float()))
    residual, camera = _without_camera(smooth)
    size = residual.abs()
    cut = (size > _CUT_LEVELS).float().mean((1, 2)) > _CUT
    active = torch.maximum(size[1:], size[:-1])
    active[cut[1:] | cut[:-1]] = 0
    frame, y, x = _candidates(_blur(_blur(active)))
    if len(frame) == 0:
        return Changes(frame, y, x, torch.zeros(0), residual, cut)

    half, margin = _PATCH // 2, _PATCH // 2 + _REACH
    padded = nn.pad(smooth[:, None], (margin,) * 4, mode="replicate")[:, 0]
    change = nn.pad(size, (margin,) * 4)
    patch = _cut_out(padded, frame + 1, y + _REACH, x + _REACH, _PATCH)
    weight = (_cut_out(nn.pad(active, (half,) * 4), frame, y, x, _PATCH) / (2 * _MOVING * 2)).clamp(0.1, 1)
    weight = weight * _bell(_PATCH)
    level = patch.mean((1, 2), keepdim=True)
    patch = patch - level
    total = weight.sum((1, 2))
    mean = (weight * patch).sum((1, 2)) / total
    contrast = (weight * (patch - mean[:, None, None]) ** 2).sum((1, 2))

    quality = torch.ones_like(total)
    shifts = []
    for there, difference in ((frame + 2, frame + 1), (frame, frame)):
        search = _cut_out(padded, there, y, x, _PATCH + 2 * _REACH) - level
        shift, error, inside = _find(patch, weight, search)
        found = 1 - 1.5 * (error - _NOISE * total).clamp_min(0) / (contrast + _NOISE * total)
        # Where a moving thing goes the picture changes too: a dark lamp "found" on untouched ground has not moved.
        goal = shift.round().long()
        here = (_cut_out(change, difference, y + _REACH, x + _REACH, _PATCH) * weight).sum((1, 2))
        gone = (_cut_out(change, difference, y + _REACH + goal[:, 0], x + _REACH + goal[:, 1], _PATCH) * weight).sum(
            (1, 2)
        )
        moved = shift.abs().sum(1) >= 1
        found = found * torch.where(moved, (1.2 * gone / (here + total)).clamp(max=1), torch.ones_like(gone))
        quality = torch.minimum(quality, found.clamp_min(0) * inside)
        shifts.append(shift)
    step_s = times_s.diff().float()
    ahead = (shifts[0] - camera[frame + 1]) / step_s[frame + 1, None]
    behind = -(shifts[1] + camera[frame]) / step_s[frame, None]
    speed = _felt(ahead - behind, patch, weight) / luma.shape[1]
    return Changes(frame, y, x, speed * quality, residual, cut)


def _felt(change: torch.Tensor, patch: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The size of changes `[K, 2]` (y, x) as far as the patches can tell.

    Along an edge a patch is found again anywhere (the aperture problem); the structure tensor says how much each
    direction is worth.
    """
    gy, gx = torch.zeros_like(patch), torch.zeros_like(patch)
    gy[:, 1:-1] = patch[:, 2:] - patch[:, :-2]
    gx[:, :, 1:-1] = patch[:, :, 2:] - patch[:, :, :-2]
    yy, xx, xy = ((weight * a * b).sum((1, 2)) for a, b in ((gy, gy), (gx, gx), (gy, gx)))
    largest = (yy + xx) / 2 + (((yy - xx) / 2) ** 2 + xy**2).sqrt()
    y, x = change.unbind(1)
    return ((yy * y * y + 2 * xy * y * x + xx * x * x) / largest.clamp_min(1e-6)).clamp_min(0).sqrt()


def _without_camera(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the motion of the whole picture out of the frame differences.

    Lucas and Kanade's least squares (1981) over all pixels of the picture at half its size, where larger motion can be
    told too, re-weighted twice so that what moves by itself counts little.

    Returns:
        The differences that remain `[n-1, H, W]`, and the displacement from frame to frame `[n-1, 2]` (y, x).
    """
    change, gy, gx = _slopes(nn.avg_pool2d(picture[:, None], 2)[:, 0])
    rest, scale = change, 8.0
    u = v = change.new_zeros(len(change))
    for _ in range(2):
        weight = 1 / (1 + (rest / scale) ** 2)
        wx, wy = weight * gx, weight * gy
        xx, xy, yy = (torch.einsum("nij,nij->n", a, b) for a, b in ((wx, gx), (wx, gy), (wy, gy)))
        tx, ty = torch.einsum("nij,nij->n", wx, change), torch.einsum("nij,nij->n", wy, change)
        xx, yy = xx + 1, yy + 1  # a picture without texture stands still
        determinant = xx * yy - xy * xy
        u, v = (xy * ty - yy * tx) / determinant, (xy * tx - xx * ty) / determinant
        rest = change + gx * u[:, None, None] + gy * v[:, None, None]
        scale = 4.0
    change, twice = picture[1:] - picture[:-1], picture[1:] + picture[:-1]
    # As above, but four times the slopes times a quarter of the motion, and in place: the whole picture takes longest.
    change[:, :, 1:-1].addcmul_(twice[:, :, 2:] - twice[:, :, :-2], u[:, None, None] / 2)
    change[:, 1:-1].addcmul_(twice[:, 2:] - twice[:, :-2], v[:, None, None] / 2)
    return change, 2 * torch.stack([v, u], 1)


def _slopes(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """From frame to frame, down and to the right: differences of `[n, H, W]`, each `[n-1, H, W]`."""
    middle = (picture[1:] + picture[:-1]) / 2
    gx, gy = torch.zeros_like(middle), torch.zeros_like(middle)
    gx[:, :, 1:-1] = (middle[:, :, 2:] - middle[:, :, :-2]) / 2
    gy[:, 1:-1] = (middle[:, 2:] - middle[:, :-2]) / 2
    return picture[1:] - picture[:-1], gy, gx


def _candidates(active: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frame, row and column of the places that changed most, local maxima of `[n, H, W]`."""
    peak = max_around(active)
    score = torch.where((active >= peak) & (active > _MOVING), active, 0).flatten(1)
    value, place = score.topk(min(_CANDIDATES, score.shape[1]), dim=1)
    frame, rank = torch.nonzero(value > 0, as_tuple=True)
    place = place[frame, rank]
    return frame, place // active.shape[2], place % active.shape[2]


def max_around(images: torch.Tensor) -> torch.Tensor:
    """The largest value in the 5x5 square around each pixel of `[n, H, W]`: `max_pool2d`, ten times faster."""
    for axis in (1, 2):
        length = images.shape[axis]
        padding = (2, 2) if axis == 2 else (0, 0, 2, 2)  # noqa: PLR2004
        padded = nn.pad(images, padding, value=-torch.inf)
        two = torch.maximum(padded.narrow(axis, 0, length + 3), padded.narrow(axis, 1, length + 3))
        four = torch.maximum(two.narrow(axis, 0, length), two.narrow(axis, 2, length))
        images = torch.maximum(four, padded.narrow(axis, 4, length))
    return images


def _find(patch: torch.Tensor, weight: torch.Tensor, search: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Find each patch `[K, P, P]` in its search area `[K, P+2R, P+2R]`.

    Returns:
        The displacement `[K, 2]` (y, x) to a fraction of a pixel, the weighted squared error there, and whether it lies
        inside the area (1 or 0).
    """
    count = len(patch)
    error = (
        (weight * patch * patch).sum((1, 2))[:, None, None]
        - 2 * nn.conv2d(search[None], (weight * patch)[:, None], groups=count)[0]
        + nn.conv2d(search[None] ** 2, weight[:, None], groups=count)[0]
    )
    steps = torch.arange(-_REACH, _REACH + 1, dtype=error.dtype)
    error = error + (_STILL * _NOISE * weight.sum((1, 2)))[:, None, None] * (steps[:, None] ** 2 + steps**2)
    side = 2 * _REACH + 1
    best, place = error.flatten(1).min(1)
    row, column = place // side, place % side
    inner_row, inner_column = row.clamp(1, side - 2), column.clamp(1, side - 2)
    index = torch.arange(count)
    rows = error[index[:, None], inner_row[:, None] + torch.arange(-1, 2), inner_column[:, None]]
    columns = error[index[:, None], inner_row[:, None], inner_column[:, None] + torch.arange(-1, 2)]
    shift = torch.stack([inner_row + _vertex(rows), inner_column + _vertex(columns)], 1) - _REACH
    inside = ((row == inner_row) & (column == inner_column)).float()
    return shift, best.clamp_min(0), inside


def _vertex(three: torch.Tensor) -> torch.Tensor:
    """Where the parabola through three neighbours `[K, 3]` is lowest, within half a step."""
    left, middle, right = three.unbind(1)
    bend = left - 2 * middle + right
    return torch.where(bend > 1e-6, (left - right) / (2 * bend.clamp_min(1e-6)), 0).clamp(-0.5, 0.5)  # noqa: PLR2004


def _cut_out(images: torch.Tensor, frame: torch.Tensor, y: torch.Tensor, x: torch.Tensor, side: int) -> torch.Tensor:
    """Squares `[K, side, side]` whose first corners are at `y`, `x` of `images` `[n, H, W]`."""
    height, width = images.shape[1:]
    steps = torch.arange(side)
    corner = (frame * height + y) * width + x
    return images.reshape(-1)[corner[:, None, None] + steps[:, None] * width + steps]


def _bell(side: int) -> torch.Tensor:
    steps = torch.arange(side, dtype=torch.float32) - side // 2
    return torch.exp(-(steps[:, None] ** 2 + steps**2) / (2 * (side / 3) ** 2))


def _blur(images: torch.Tensor) -> torch.Tensor:
    """Smooth `[n, H, W]` with the binomial 3x3 kernel."""
    images = nn.pad(images[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    images = (images[:, :-2] + images[:, 2:]).add_(images[:, 1:-1], alpha=2)
    return (images[:, :, :-2] + images[:, :, 2:]).add_(images[:, :, 1:-1], alpha=2).div_(16)
