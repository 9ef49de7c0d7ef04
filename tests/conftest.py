"""Help that several test files share."""

import os
from pathlib import Path
from typing import NoReturn

import pytest


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test for a stated reason; where everything must run (KDUTILS_REQUIRE_ALL=1), fail it instead."""
    if os.environ.get("KDUTILS_REQUIRE_ALL") == "1":
        pytest.fail(f"KDUTILS_REQUIRE_ALL=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the data root with the three downloaded datasets in it, from KDUTILS_DATA."""
    if not os.environ.get("KDUTILS_DATA"):
        skip_or_fail("real data is needed: set KDUTILS_DATA to a folder that has it")
    root = Path(os.environ["KDUTILS_DATA"]).expanduser()
    for folders in (("MNIST/raw",), ("FashionMNIST/raw",), ("cifar-10-batches-bin", "cifar-10-batches-py")):
        if not any((root / folder).is_dir() for folder in folders):
            skip_or_fail(f"real data is needed: KDUTILS_DATA={root} lacks {' or '.join(folders)}")
    return root
