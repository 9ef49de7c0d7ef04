"""The command line: what there is, what is recorded, and running what is not.

python -m kdutils list
python -m kdutils status --profile paper --datasets mnist
python -m kdutils run table4 --profile paper --datasets mnist --seeds 3 --device cuda
python -m kdutils sweetspot --dataset fashion_mnist --student student-baseline --plot map.png
"""

import argparse
import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import torch

from kdutils import many, records, sweetspot
from kdutils.claims import DATASETS
from kdutils.data import data_hash
from kdutils.errors import Parser, UserError, check_name, check_whole, run_command
from kdutils.experiments import ARTEFACTS, Study, status
from kdutils.models import INPUT_SHAPES, ROLES, create_model
from kdutils.protocols import (
    ALPHA_KD,
    FULL_SIZE,
    PROFILES,
    STUDENT_BATCH,
    TABLE_TEMPERATURE,
    TEACHER_RATE,
    VALIDATION_SIZE,
    SearchProtocol,
)
from kdutils.training import load_splits, resolve_device


def parser() -> Parser:
    """The command line's grammar."""
    top = Parser(prog="python -m kdutils", description="Replicate Vats & Crandall (2021).")
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    commands.add_parser("list", help="name every table and figure")
    command = commands.add_parser("seal", help="accept the records as they are, edits by hand included")
    command.add_argument("--results", default="", help="folder of the records; default: book/results")
    for name, text in (
        ("status", "runs recorded and missing, with an estimate of the time"),
        ("run", "run what is missing"),
    ):
        command = commands.add_parser(name, help=text)
        if name == "run":
            command.add_argument("artefacts", nargs="+", metavar="ARTEFACT", help="as `list` names them, or `all`")
            command.add_argument("--afresh", action="store_true", help="run what is recorded too")
            command.add_argument("--dask", metavar="ADDRESS", help="of a dask scheduler, on whose workers it is run")
        command.add_argument("--profile", default=None if name == "status" else "paper", help=", ".join(PROFILES))
        command.add_argument("--datasets", nargs="+", help="default: the paper's; at profile smoke, digits")
        command.add_argument("--seeds", type=int, default=0, help="how many, from 0; default: the profile's own number")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
        command.add_argument("--results", default="", help="folder of the records; default: book/results")
    add_search(commands.add_parser("sweetspot", help="search a teacher's batch size and epochs for a student"))
    return top


def add_search(command: Parser) -> None:
    """The options of `sweetspot`: a search with two networks of Table 7."""
    usual = sweetspot.Settings()
    command.add_argument("--dataset", required=True, help=", ".join(INPUT_SHAPES))
    command.add_argument("--teacher", default="teacher-large", help=", ".join(ROLES))
    command.add_argument("--student", default="student", help="likewise")
    command.add_argument("--batch-sizes", type=int, nargs="+", help="of the teacher; default: those of section 5")
    command.add_argument("--max-epochs", type=int, default=20, help="of the teacher")
    command.add_argument("--temperature", type=float, default=TABLE_TEMPERATURE)
    command.add_argument("--alpha", type=float, default=ALPHA_KD, help="weight of the soft term")
    command.add_argument("--scale-by-t2", action="store_true", help="multiply the soft term by T²; the paper does not")
    command.add_argument("--budget", type=float, help="the most example-passes; default: no limit")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    command.add_argument(
        "--train-size", type=int, help="fewer training images; default batch sizes shrink with it, so that steps stay"
    )
    command.add_argument("--eval-size", type=int, help="fewer validation images, and test images")
    command.add_argument("--student-epochs", type=int, help="of a full distillation; default: the replication's")
    command.add_argument("--probe-examples", type=int, default=usual.probe_examples, help="of each class")
    command.add_argument("--probe-epochs", type=int, default=usual.probe_epochs)
    command.add_argument("--repeats", type=int, default=usual.repeats, help="students for each response")
    command.add_argument("--finalists", type=int, default=usual.finalists, help="distilled in full; 0: all")
    command.add_argument(
        "--unseen", type=int, nargs="+", default=[], help="quality is accuracy on these unseen classes"
    )
    command.add_argument("--no-halving", action="store_true", help="train every batch size to the end")
    command.add_argument("--plot", metavar="FILE", help="draw the map: .png, .pdf or .svg")
    command.add_argument("--csv", metavar="FILE", help="write everything measured")
    command.add_argument("--record", action="store_true", help="add it to the records")
    command.add_argument("--results", default="", help="folder of the records; default: book/results")


def search(options: argparse.Namespace) -> None:
    """Run `sweetspot`: look for mistakes, search, and say, draw and write what was found."""
    dataset = check_name("dataset", options.dataset, INPUT_SHAPES)
    for role in (options.teacher, options.student):
        check_name("role", role, ROLES)
    device = resolve_device(options.device)
    for name, file, allowed in (("--plot", options.plot, (".png", ".pdf", ".svg")), ("--csv", options.csv, (".csv",))):
        if file and Path(file).suffix not in allowed:
            raise UserError(f"{name} {file}: it must end in {' or '.join(allowed)}")
        if file and not _is_writable(Path(file).absolute()):
            raise UserError(f"{name} {file}: no file can be written there")
    if options.record:
        records.check_writable(options.results)
    records.check_cache()
    limits = (("--train-size", options.train_size, FULL_SIZE), ("--eval-size", options.eval_size, VALIDATION_SIZE))
    for name, size, full in limits:
        if size is not None:
            check_whole(name, size, 100, full[dataset])
    share = (options.train_size or FULL_SIZE[dataset]) / FULL_SIZE[dataset]
    shrunk = lambda size: max(1, round(size * share))
    usual, given = PROFILES["paper"], lambda *names: {name: getattr(options, name) for name in names}
    settings = sweetspot.Settings(
        teacher_rate=TEACHER_RATE[dataset],
        student_batch=max(16, shrunk(STUDENT_BATCH[dataset])),  # with fewer, steps cost little but their overhead
        student_epochs=usual.student_epochs[dataset] if options.student_epochs is None else options.student_epochs,
        unseen=tuple(options.unseen),
        halving=not options.no_halving,
        **given("probe_examples", "probe_epochs", "repeats", "finalists", "scale_by_t2"),
    )
    asked: dict[str, Any] = given("max_epochs", "temperature", "alpha", "budget", "seed")
    asked["batch_sizes"] = tuple(options.batch_sizes or map(shrunk, usual.sweep[dataset]))
    sweetspot.check_numbers(**asked, settings=settings)  # before data are downloaded
    named = given("dataset", "teacher", "student", "train_size", "eval_size")
    protocol = SearchProtocol(data=data_hash(dataset), settings=dataclasses.asdict(settings), **named, **asked)
    sets = load_splits(protocol)
    teacher, student = (functools.partial(create_model, dataset, role) for role in (options.teacher, options.student))
    usual_place = records.cache_root() / "searches"
    found = sweetspot.search(
        teacher, student, sets, **asked, device=options.device, settings=settings, checkpoint=usual_place
    )
    outputs: tuple[tuple[object, Callable[[], None]], ...] = (
        (options.csv, lambda: found.table.to_csv(options.csv, index=False)),
        (options.plot, lambda: found.plot().savefig(options.plot, dpi=110, bbox_inches="tight")),
        (options.record, lambda: sweetspot.record(found, protocol, len(sets["train"]), device, options.results)),
    )
    failed: OSError | None = None
    for wanted, write in outputs:  # before anything is said: a closed pipe must not lose what took long
        try:
            if wanted:
                write()
        except OSError as error:
            failed = error
    print(found.summary().replace("**", ""))
    shown = found.cells.dropna(subset="full").round(4)
    print(shown.drop(columns=[c for c in shown if c.startswith("uniform")]).to_string(index=False))
    for size, why in found.stopped.items():
        print(f"batch size {size} stopped {why}")
    print(found.cost.to_string(index=False, float_format="{:,.4g}".format))
    if failed:
        raise failed


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; UserError goes through to the caller."""
    options = parser().parse_args(arguments)
    if options.command == "list":
        width = _width(artefact.title for artefact in ARTEFACTS.values())
        for name, artefact in ARTEFACTS.items():
            print(f"{name:{_width(ARTEFACTS)}s}  {artefact.title:{width}s}  {', '.join(artefact.datasets)}")
        return
    if options.command == "sweetspot":
        search(options)
        return
    if options.command == "seal":
        return records.seal(options.results)
    own = lambda profile: options.datasets or (["digits"] if profile == "smoke" else list(DATASETS))
    if options.command == "status":
        profiles = [options.profile] if options.profile else list(PROFILES)
        rest = (options.seeds, "never", options.device, options.results)
        print(status(Study(p, own(p), *rest) for p in profiles).to_string(index=False))
        return
    everything = "all" in options.artefacts
    names = list(ARTEFACTS) if everything else [check_name("table or figure", n, ARTEFACTS) for n in options.artefacts]
    with many.connect(options.dask) if options.dask else contextlib.nullcontext() as executor:
        run(options, names, own(options.profile), executor)


def run(options: argparse.Namespace, names: list[str], datasets: list[str], executor: Executor | None) -> None:
    """Run what is missing of these artefacts, here or on an executor's workers."""
    compute = "always" if options.afresh else "missing"
    study = Study(options.profile, datasets, options.seeds, compute, options.device, options.results, executor=executor)
    if not executor and resolve_device(options.device).type == "cuda":
        # What is left to the CPU is many small operations. Where several such processes share a machine, as one a data set
        # does, threads that outnumber its cores made measuring a teacher eighty times slower than training it.
        torch.set_num_threads(1)
    plan = [(name, [d for d in study.datasets if d in ARTEFACTS[name].datasets]) for name in names]
    for name, wanted in plan:
        if (allowed := ARTEFACTS[name].datasets) and not wanted and "all" not in options.artefacts:
            raise UserError(f"{name} is not shown for {', '.join(datasets)}; allowed: {', '.join(allowed)}")
    needed: dict[str, None] = {}
    for name, wanted in plan:
        study.datasets = wanted
        if wanted and (options.afresh or any(map(study.missing, ARTEFACTS[name].groups))):
            needed |= dict.fromkeys(wanted)
    if needed:  # the last data set's absence must show before the first one's hours
        study.datasets = list(needed)
        study.prepare()
    total = failed = 0
    for name, wanted in plan:
        if not wanted:
            if not ARTEFACTS[name].datasets:
                print(f"{name}: exact, nothing to run")
            continue
        study.datasets = wanted
        for group in ARTEFACTS[name].groups:
            study.ensure(group)
        runs, bad = (sum(len(of(group)) for group in ARTEFACTS[name].groups) for of in (study.runs, study.failed))
        total, failed = total + runs, failed + bad
        print(f"{name}: {runs - bad} runs recorded at profile {study.profile} for {', '.join(wanted)}")
    if failed:
        where = records.results_folder(options.results) / "failures.csv"
        raise FloatingPointError(f"{failed} of {total} runs diverged or learn from one that did; why: {where}")


def _width(texts: Iterable[str]) -> int:
    return max(map(len, texts))


def _is_writable(file: Path) -> bool:
    try:
        return os.access(file.parent, os.W_OK) and file.parent.is_dir() and not file.is_dir()
    except OSError:  # a name that is too long
        return False


if __name__ == "__main__":
    run_command(main)
