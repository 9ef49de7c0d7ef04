"""The command line: what there is, what is recorded, and running what is not.

python -m kdutils list
python -m kdutils status --profile paper --datasets mnist
python -m kdutils run table4 --profile paper --datasets mnist --seeds 3 --device cuda
"""

import argparse
import sys

from kdutils.errors import UserError, check_name
from kdutils.experiments import ARTEFACTS, Study, status
from kdutils.protocols import PROFILES


class Parser(argparse.ArgumentParser):
    """argparse, with its mistakes reported in one line like all others."""

    def error(self, message: str) -> None:
        raise UserError(f"{message}; see: {self.prog} --help")


def parser() -> Parser:
    """The command line's grammar."""
    top = Parser(prog="python -m kdutils", description="Replicate Vats & Crandall (2021).")
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    commands.add_parser("list", help="name every table and figure")
    for name, text in (
        ("status", "runs recorded and missing, with an estimate of the time"),
        ("run", "run what is missing"),
    ):
        command = commands.add_parser(name, help=text)
        if name == "run":
            command.add_argument("artefacts", nargs="+", metavar="ARTEFACT", help="as `list` names them, or `all`")
            command.add_argument("--afresh", action="store_true", help="run what is recorded too")
        command.add_argument("--profile", default=None if name == "status" else "paper", help=", ".join(PROFILES))
        command.add_argument("--datasets", nargs="+", help="default: all that the artefact is shown for")
        command.add_argument("--seeds", type=int, default=0, help="how many, from 0; default: the profile's own number")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
        command.add_argument("--results", default="", help="folder of the records; default: book/results")
    return top


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; UserError goes through to the caller."""
    options = parser().parse_args(arguments)
    if options.command == "list":
        for name, artefact in ARTEFACTS.items():
            print(f"{name:8s} {artefact.title:55s} {', '.join(artefact.datasets)}")
        return
    datasets = options.datasets or ["mnist", "fashion_mnist", "cifar10"]
    if options.command == "status":
        profiles = [options.profile] if options.profile else list(PROFILES)
        studies = [
            Study(p, options.datasets or _own(p), options.seeds, "never", options.device, options.results)
            for p in profiles
        ]
        print(status(studies).to_string(index=False))
        return
    names = list(ARTEFACTS) if options.artefacts == ["all"] else options.artefacts
    for name in names:
        check_name("table or figure", name, ARTEFACTS)
    compute = "always" if options.afresh else "missing"
    study = Study(options.profile, datasets, options.seeds, compute, options.device, options.results)
    plan = [(name, [d for d in study.datasets if d in ARTEFACTS[name].datasets]) for name in names]
    if options.artefacts != ["all"]:
        for name, wanted in plan:
            if ARTEFACTS[name].datasets and not wanted:
                raise UserError(
                    f"{name} is not shown for {', '.join(datasets)}; allowed: {', '.join(ARTEFACTS[name].datasets)}"
                )
    needed: dict[str, None] = {}
    for name, wanted in plan:
        study.datasets = wanted
        if wanted and (options.afresh or any(map(study.missing, ARTEFACTS[name].groups))):
            needed |= dict.fromkeys(wanted)
    if needed:  # the last data set's absence must show before the first one's hours
        study.datasets = list(needed)
        study.prepare()
    for name, wanted in plan:
        if not wanted:
            if not ARTEFACTS[name].datasets:
                print(f"{name}: exact, nothing to run")
            continue
        study.datasets = wanted
        for group in ARTEFACTS[name].groups:
            study.ensure(group)
        runs = sum(len(study.runs(group)) for group in ARTEFACTS[name].groups)
        print(f"{name}: {runs} runs recorded at profile {study.profile} for {', '.join(wanted)}")


def _own(profile: str) -> list[str]:
    return ["digits"] if profile == "smoke" else ["mnist", "fashion_mnist", "cifar10"]


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except FloatingPointError as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; what was recorded is kept, and the same command continues", file=sys.stderr)
        sys.exit(130)
