"""The paper's own numbers (Vats & Crandall 2021, arXiv 2112.10047), and one reference's, typed once, as printed."""

from importlib import resources

import pandas as pd

from kdutils.errors import check_name

NAMES = ("missing_class", "soft_labels", "networks", "statements", "tutorial")


def load(name: str) -> pd.DataFrame:
    """Load one of the paper's tables in tidy form: one row per printed number (`networks`: per network).

    Datasets are ``"mnist"``, ``"fashion_mnist"``, ``"cifar10"``; classes are 0 to 9 in the datasets' own order.

    ``"missing_class"`` : Tables 4-6, 360 rows
        `dataset`; `missing_class` (0-9), left out of the transfer set; `teacher` (``"small"`` or ``"large"``);
        `temperature` (3, 6, 9, 12, 15, 20); `accuracy` of the student on that class, in percent.
    ``"soft_labels"`` : Tables 1-3, 130 rows
        `table` (1-3); `source` (``"label smoothing"`` at alpha_LS = 0.6, or the ``"small"`` or ``"large"`` teacher on
        MNIST at T = 9); `example` (0-4; Table 1 prints three), each an image of the digit 6; `class` (0-9);
        `probability` (0 to 1, printed to two or three decimals; the second row of Table 2 sums to 0.975 as printed).
    ``"networks"`` : Table 7, 12 rows
        `dataset`; `role` (as in `kdutils.models`); numbers of `conv` and `dense` layers; `dropout` and `batch_norm`
        (bool); `parameters`, the printed total.
    ``"statements"`` : numbers in the text and captions
        `name`, which may have several rows; `dataset`, empty where the paper names none or all; `value`: a ratio, count
        or setting, never percent; `section` that states it (or the figure or table). "Around 5 times" is 5.
    ``"tutorial"`` : PyTorch's knowledge distillation tutorial on CIFAR-10 (see `kdutils.tutorial`), 3 rows
        `network` (``"teacher"``, ``"student"``, ``"distilled"``); `parameters`; `accuracy` on the test set in percent, of
        one seed, as a rendered copy of the page shows it.

    Returns
    -------
    pandas.DataFrame
        A new one at each call.

    Raises
    ------
    UserError
        If the name is unknown.
    """
    check_name("published table", name, NAMES)
    with (resources.files("kdutils") / "published" / f"{name}.csv").open(encoding="utf-8") as file:
        types = {"temperature": float, "accuracy": float, "value": float, "section": str}
        return pd.read_csv(file, dtype=types, keep_default_na=False)
