"""The evidence: tidy tables under `book/results`, and the rebuildable cache of weights and logits outside it."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kdutils.errors import UserError


def cache_root() -> Path:
    """Where weights and logits are kept: the environment variable KDUTILS_CACHE, else ~/.cache/kdutils."""
    return Path(os.environ.get("KDUTILS_CACHE") or "~/.cache/kdutils").expanduser()


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a temporary sibling of `path` and rename it, so that a kill never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_tensors(path: Path) -> dict[str, torch.Tensor] | None:
    """The tensors of `path`, or None if it is absent or damaged; a damaged file is removed, to be built again."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        return None
    except (SafetensorError, EOFError):
        path.unlink(missing_ok=True)
        return None
