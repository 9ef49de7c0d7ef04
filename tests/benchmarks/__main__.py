"""python -m tests.benchmarks [--device cpu|cuda] [--quick] [--results FOLDER] [--only NAME …]

Each row is printed and added to `benchmarks.csv` as soon as it is measured, and all of them again at the end. With
--quick everything runs on scikit-learn's digits with next to no steps, which tries the code and measures nothing.
"""

import contextlib
import os
import tempfile
from unittest.mock import patch

import torch

from kdutils import records
from kdutils.errors import Parser, UserError, check_name, run_command
from kdutils.running import cores, workers
from kdutils.training import resolve_device
from tests.benchmarks.compare import BENCHMARKS, Bench, line, reporting


def main(arguments: list[str] | None = None) -> None:
    parser = Parser(prog="python -m tests.benchmarks", description=__doc__.split("\n\n")[1])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="next to no steps, on the digits: to try the code")
    parser.add_argument("--results", default="", help="folder of benchmarks.csv; default: book/results")
    parser.add_argument("--only", nargs="+", default=list(BENCHMARKS), help=", ".join(BENCHMARKS))
    options = parser.parse_args(arguments)
    for name in options.only:
        check_name("benchmark", name, BENCHMARKS)
    device = resolve_device(options.device)
    if options.quick and not options.results:
        raise UserError("--quick measures nothing worth keeping: give it a folder with --results")
    records.check_writable(options.results)
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(cores())
        stack.enter_context(patch.dict(os.environ, KDUTILS_CACHE=cache))  # before the workers start
        pool = stack.enter_context(workers(2, device))
        bench = Bench(device, options.quick, options.results, pool)
        print(f"{records.device_name(device)}, torch {torch.__version__}, commit {records.commit()}", flush=True)
        bench.matrix_rates()
        for name in (n for n in BENCHMARKS if n in options.only):
            with reporting(name):
                BENCHMARKS[name](bench)
        print("\n" + "\n".join(map(line, bench.rows)))


if __name__ == "__main__":
    run_command(main)
