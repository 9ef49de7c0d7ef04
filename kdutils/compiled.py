"""The forward and backward pass of small convolutional networks on a CPU, in C++ (`step.cpp`), compiled on first use.

PyTorch's convolutions reach a fifth of a core's speed on networks this small, and its operations between them move every
activation through memory. Here one image, or a few, pass all layers before the next ones do.
"""

import contextlib
import ctypes
import functools
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdutils.models import SameConv2d, SameMaxPool2d, same_padding

_LETTERS = {SameConv2d: "c", nn.ReLU: "a", nn.LeakyReLU: "a", SameMaxPool2d: "p", nn.Flatten: "f", nn.Linear: "l"}
_FIELDS = (
    *("height", "width", "channels", "in_width", "in_channels", "in_size", "rows", "length", "stride"),
    *("out_width", "out_start", "out_size", "pool", "active", "winograd"),
)


@functools.cache
def shared_object(real: str, widest: int) -> ctypes.CDLL | None:
    """`step.cpp` made for this machine, or None where it cannot be."""
    compiler = shutil.which("c++") if ctypes.sizeof(ctypes.c_long) == 8 else None  # `step.cpp` reads indices as long
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "step.so")
        options = ["-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", f"-DREAL={real}", f"-DWIDEST={widest}"]
        options += ["-o", str(path), str(Path(__file__).with_name("step.cpp"))]
        if compiler and subprocess.run([compiler, *options], capture_output=True, check=False).returncode == 0:
            with contextlib.suppress(OSError):  # as where the folder for temporary files allows no execution
                return ctypes.CDLL(str(path))
    return None


class Network:
    """`step.cpp` for a network of convolutions and one dense layer on images of this (channels, height = width).

    Its weights are those of `fleet._Stacked`, with the dense layer's outputs filled up to `columns`.

    Raises
    ------
    ValueError
        If the network is of other layers or widths, or there is no compiler.
    """

    columns = 16

    def __init__(self, layers: Sequence[nn.Module], images: tuple[int, int], dtype: torch.dtype):
        real = {torch.float32: ("float", ctypes.c_float), torch.float64: ("double", ctypes.c_double)}.get(dtype)
        kinds = "".join(_LETTERS.get(type(layer), "?") for layer in layers)
        if real is None or not re.fullmatch("(ca?p?)+fl", kinds):
            raise ValueError("not a network that is compiled")
        self.dtype, (channels, size) = dtype, images
        found: list[dict[str, Any]] = []
        for layer in layers:
            if isinstance(layer, SameConv2d):
                stride, pads = layer.stride[0], same_padding(size, 3, layer.stride[0])
                padded = size + sum(pads)
                if found:
                    found[-1] |= {"out_width": padded, "out_start": pads[0] * (padded + 1) * channels}
                    found[-1] |= {"out_size": padded**2 * channels}
                taken = (padded, channels, padded**2 * channels, 3, 3 * channels, stride)
                size = -(-size // stride)
                if not found:  # patches, made beforehand
                    self.stride = stride
                    taken = (size, 9 * channels, taken[2], 1, 9 * channels, 1)
                channels = layer.out_channels
                # Until a layer that follows says otherwise.
                values = (size, size, channels, *taken, size, 0, 0, 0, 0, -1, 0.0)
                found.append(dict(zip((*_FIELDS, "slope"), values, strict=True)))
            elif isinstance(layer, SameMaxPool2d):
                found[-1]["pool"] = 1
            elif isinstance(layer, nn.ReLU | nn.LeakyReLU):
                found[-1] |= {"active": 1, "slope": getattr(layer, "negative_slope", 0.0)}
        self.features = size * size * channels
        self.taped = sum(r["height"] * r["width"] * r["channels"] + r["out_size"] for r in found)
        tiled = [r for r in found[1:] if r["stride"] == 1 and r["height"] % 4 == 0]
        block = 8 if tiled else 1  # their weights are large: several images share them, at most MOST of `step.cpp`
        room = 0
        for r in tiled:
            r["winograd"], taken, given = room, r["in_channels"], r["channels"]
            # U, V, their gradients and M, with at most 16 numbers between the parts of each.
            room += 36 * (2 * taken * given + block * (r["height"] // 4) ** 2 * (2 * taken + given) + 5 * 16)
        weights = sum((r["rows"] * r["length"] + 1) * r["channels"] for r in found)
        gradients = sum(r["height"] * r["width"] * r["channels"] + r["in_size"] for r in found)
        self.room = room + weights + self.features * self.columns + block * gradients
        fields = [*((name, ctypes.c_long) for name in _FIELDS), ("slope", real[1])]
        table: type[ctypes.Structure] = type("Layer", (ctypes.Structure,), {"_fields_": fields})
        self._layers = (table * len(found))(*(table(*(r[name] for name, _ in fields)) for r in found))
        numbers = (len(found), self.features, self.columns, block, room, ctypes.addressof(self._layers))
        self._network = (ctypes.c_long * len(numbers))(*numbers)
        self._library = shared_object(real[0], math.gcd(self.columns, *(r["channels"] for r in found)))
        if self._library is None:
            raise ValueError("no compiler")

    def __call__(self, name: str, *arguments: Tensor | int) -> None:
        """Call `forward` or `backward` with pointers to tensors, which must be contiguous, and numbers."""
        given = (ctypes.c_void_p(a.data_ptr()) if isinstance(a, Tensor) else ctypes.c_long(a) for a in arguments)
        getattr(self._library, name)(self._network, *given)

    def patches(self, images: Tensor) -> Tensor:
        """What the first convolution sees, (E, B, pixels · 9 · C), of images (E, B, C, H, W)."""
        x = images.permute(0, 1, 3, 4, 2)
        (top, bottom), (left, right) = (same_padding(n, 3, self.stride) for n in x.shape[2:4])
        x = F.pad(x.to(self.dtype), (0, 0, left, right, top, bottom))
        found = x.flatten(0, 1).flatten(1).index_select(1, _places(*x.shape[2:], self.stride))
        return found.unflatten(0, images.shape[:2])


@functools.cache
def _places(height: int, width: int, channels: int, stride: int) -> Tensor:
    """Where, in a padded and flattened image (height, width, channels), a convolution's neighbourhoods lie."""
    places = torch.arange(height * width * channels).view(height, width, channels)
    return places.unfold(0, 3, stride).unfold(1, 3, stride).permute(0, 1, 3, 4, 2).flatten()
