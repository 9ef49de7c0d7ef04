"""The Triton kernels against the plain PyTorch that they stand in for, in Triton's interpreter, without a GPU."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

pytest.importorskip("triton", reason="Triton is needed: it comes with PyTorch's wheels for GPUs on Linux")
from kdutils import fleet, kernels

# The interpreter must be chosen before Triton is imported, hence a process of its own.
CHECK = """
import itertools
import torch
from kdutils import fleet, kernels

generator = torch.Generator().manual_seed(0)
checked = 0
for dtype, stride, size, channels in itertools.product(
    (torch.float32, torch.float64), (1, 2), ((4, 4), (5, 5), (7, 7), (6, 5), (1, 1)), (16, 32, 64)
):
    x = torch.randn(2, 3, *size, channels, dtype=dtype, generator=generator, requires_grad=True)  # E B H W C
    wanted = fleet._Patches.apply(x, stride)
    found = kernels.gather_patches(x.detach().flatten(0, 1), stride)
    assert found.dtype == dtype and torch.equal(found, wanted.detach().flatten(0, 1)), (dtype, stride, size, channels)

    cotangent = torch.randn(wanted.shape, dtype=dtype, generator=generator)
    (gradient,) = torch.autograd.grad(wanted, x, cotangent)
    added = kernels.add_patches(cotangent.flatten(0, 1), (6, *size, channels), stride)
    assert added.dtype == dtype
    torch.testing.assert_close(added, gradient.flatten(0, 1), rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-13)
    # <gather(x), g> = <x, add(g)>
    pairs = ((found.double(), cotangent.flatten(0, 1).double()), (x.detach().flatten(0, 1).double(), added.double()))
    torch.testing.assert_close(*((a * b).sum() for a, b in pairs), rtol=1e-4, atol=1e-3)
    checked += 1

strange = torch.randn(6, 16, 5, 5, generator=generator).permute(0, 2, 3, 1)  # its channels lie apart
assert torch.equal(kernels.gather_patches(strange, 2), kernels.gather_patches(strange.contiguous(), 2))
many = torch.randn(300, 3, 3, 16, generator=generator)  # 2,700 positions: more than one program
assert torch.equal(kernels.gather_patches(many, 1), fleet._Patches.apply(many[None], 1)[0])
print(checked)
"""


def test_kernels_gather_and_add_what_plain_pytorch_does():
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["60"]


def test_kernels_take_powers_of_two_from_16_on():
    fits = lambda *channels: [kernels.fits(torch.zeros(1, 2, 2, c)) for c in channels]
    assert fits(16, 32, 64, 512) == [True] * 4 and fits(1, 3, 8, 24, 48) == [False] * 5


def test_on_a_cpu_a_fleet_does_without_kernels():
    assert fleet._kernels(torch.zeros(1, 2, 2, 16)) is None
