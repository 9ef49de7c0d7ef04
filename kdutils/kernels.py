"""Two Triton kernels for stacked fleets on a GPU: PyTorch's strided copies and additions took half of a step there.

Both move between activations (N, H, W, C) and the patches (N·R·Q, 9·C) of a 3x3 convolution with "same" padding, whose
matrix product with a weight (9·C, C_out) is that convolution. `fleet._Patches` does the same in plain PyTorch, and is
what they are tested against.
"""

import triton
import triton.language as tl
from torch import Tensor

from kdutils.models import same_padding

_TILE = 4096  # elements that one program holds


@triton.jit
def _gather(x, out, positions, H, W, R, Q, TOP, LEFT, STRIDE: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr):
    p = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # positions of the output
    known, channel = p < positions, tl.arange(0, C)
    n, r, q = p // (R * Q), p // Q % R, p % Q
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            h, w = r * STRIDE + i - TOP, q * STRIDE + j - LEFT
            inside = known & (h >= 0) & (h < H) & (w >= 0) & (w < W)
            value = tl.load(x + ((n * H + h) * W + w)[:, None] * C + channel[None, :], mask=inside[:, None], other=0.0)
            tl.store(out + (p * 9 + i * 3 + j)[:, None] * C + channel[None, :], value, mask=known[:, None])


@triton.jit
def _add(g, out, positions, H, W, R, Q, TOP, LEFT, STRIDE: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr):
    p = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # positions of the input
    known, channel = p < positions, tl.arange(0, C)
    n, h, w = p // (H * W), p // W % H, p % W
    # Nine terms are summed in float32 whatever the gradient's type (float64 stays).
    total = tl.zeros((BLOCK, C), dtype=tl.float64 if g.dtype.element_ty == tl.float64 else tl.float32)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            down, right = h + TOP - i, w + LEFT - j
            r, q = down // STRIDE, right // STRIDE
            inside = known & (down >= 0) & (right >= 0) & (r < R) & (q < Q)
            inside = inside & (down % STRIDE == 0) & (right % STRIDE == 0)
            row = (((n * R + r) * Q + q) * 9 + i * 3 + j)[:, None] * C
            total += tl.load(g + row + channel[None, :], mask=inside[:, None], other=0.0).to(total.dtype)
    tl.store(out + p[:, None] * C + channel[None, :], total.to(out.dtype.element_ty), mask=known[:, None])


def fits(x: Tensor) -> bool:
    """Whether the kernels take activations of this many channels: a power of two from 16 on."""
    return x.shape[-1] >= 16 and x.shape[-1] & (x.shape[-1] - 1) == 0


def gather_patches(x: Tensor, stride: int) -> Tensor:
    """Patches (N·R·Q, 9·C) of activations (N, H, W, C)."""
    x = x.contiguous()
    n, height, width, channels = x.shape
    rows, columns = -(-height // stride), -(-width // stride)
    out = x.new_empty(n * rows * columns, 9 * channels)
    _launch(_gather, x, out, n * rows * columns, (height, width), (rows, columns), stride, channels)
    return out


def add_patches(gradient: Tensor, shape: tuple[int, int, int, int], stride: int) -> Tensor:
    """The transpose of `gather_patches`: the gradient (N, H, W, C) of the activations from that of their patches."""
    n, height, width, channels = shape
    out = gradient.new_empty(shape)
    size = (-(-height // stride), -(-width // stride))
    _launch(_add, gradient.contiguous(), out, n * height * width, (height, width), size, stride, channels)
    return out


def _launch(kernel, source: Tensor, out: Tensor, positions: int, size: tuple, small: tuple, stride: int, channels: int):
    block = _TILE // channels
    padding = [same_padding(length, 3, stride)[0] for length in size]
    grid = (triton.cdiv(positions, block),)
    kernel[grid](source, out, positions, *size, *small, *padding, STRIDE=stride, C=channels, BLOCK=block)
