"""Execute the notebooks and build the HTML book from them.

    python book/build.py publish                        the published book, from the recorded evidence: _build/html
    python book/build.py replicate --profile smoke      the same book from runs made now: _build/replicate/<profile>/html
    python book/build.py front                          write the verdicts and the figure that stand in README.md
    python book/build.py address                        write pyproject.toml's repository address wherever it stands

Every notebook is executed by papermill into a staging copy of the sources, and the book is built from that copy with
execution off. So a page can never show outputs from older code, pages may include what notebooks' runs gave (Jupyter
Book itself parses pages before it executes), and building never writes into the sources.
"""

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that this works without an installed kdutils too

from kdutils.errors import Parser, UserError, run_command

FRONT = ("<!-- verdicts: written by `python book/build.py front` -->", "<!-- end of verdicts -->")


def replicate(
    profile: str, datasets: list[str], seeds: int | None, device: str, compute: str, build: Path = ROOT / "_build"
) -> Path:
    """Run every notebook with these parameters and return the folder of the book made of them.

    Records go to `<build>/replicate/<profile>/results`, which a second call continues. For the profiles whose records
    are committed it starts as a copy of those; `smoke` starts empty, so that it trains for real.
    """
    folder = build / "replicate" / profile
    results = folder / "results"
    if not results.exists():
        partial = folder / "results.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        committed = ROOT / "book" / "results"
        if profile != "smoke" and committed.exists():
            shutil.copytree(committed, partial, dirs_exist_ok=True)
        partial.rename(results)
    parameters = {
        "profile": profile, "datasets": datasets, "seeds": seeds, "device": device, "compute": compute,
        "results": str(results),
    }  # fmt: skip
    print(f"records: {results}", flush=True)
    source = stage(folder / "source", results)
    execute(source, {name: value for name, value in parameters.items() if value is not None})
    (source / "book" / "_verdicts.md").write_text(verdicts(profile, datasets, results))
    return render(source, folder / "html")


def publish(build: Path = ROOT / "_build") -> Path:
    """Build the published book, every notebook at its own default parameters, and return its folder."""
    source = stage(build / "publish" / "source")
    # Reading records only, notebooks cannot get into each other's way; runs share teachers, so `replicate` is serial.
    execute(source, {}, workers=min(4, os.cpu_count() or 1))
    from kdutils.claims import DATASETS

    (source / "book" / "_verdicts.md").write_text(verdicts("paper", list(DATASETS)))
    return render(source, build / "html")


def stage(source: Path, results: Path | None = None) -> Path:
    """Copy what the book is made of to `source`, with `results` as its records where given."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml", "README.md", "LICENSE", "CITATION.cff"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    for name in ("book", "notebooks"):
        if (ROOT / name).exists():
            ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", *(["results"] if results else []))
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
    if results:
        (source / "book" / "results").symlink_to(results)
    return source


def execute(source: Path, parameters: dict, workers: int = 1) -> None:
    """Execute each notebook of the staged book in place, giving it those of `parameters` that it declares.

    Raises
    ------
    UserError
        If a notebook fails, or did nothing that a reader would see. The message names it.
    """
    from papermill import inspect_notebook

    notebooks = sorted((source / "notebooks").glob("*.ipynb"))
    progress = source.parent / "progress.log"
    progress.write_text("")
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"KDUTILS_PROGRESS": str(progress), "PYTHONPATH": python_path}
    if workers > 1:  # kernels side by side would fight for the cores
        environment.setdefault("OMP_NUM_THREADS", "1")

    def run(number: int, notebook: Path) -> None:
        declared = inspect_notebook(str(notebook))
        given = json.dumps({name: value for name, value in parameters.items() if name in declared})
        started = time.monotonic()
        print(f"[{number}/{len(notebooks)}] {notebook.stem} ...", flush=True)
        command = [
            sys.executable, "-m", "papermill", str(notebook), str(notebook), "--parameters_yaml", given, "--kernel", "python3",
            "--cwd", str(ROOT / "notebooks"), "--no-progress-bar", "--start-timeout", "120",
        ]  # fmt: skip
        for _ in range(2):  # two kernels that start at once may take the same port, and one then waits for ever
            finished = subprocess.run(
                command, check=False, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            if "Kernel didn't respond" not in finished.stdout:
                break
        seconds = time.monotonic() - started
        if finished.returncode:
            print(finished.stdout, file=sys.stderr)
            raise UserError(f"{notebook.name} failed after {seconds:.0f} s; as far as it got: {notebook}")
        check_executed(notebook)
        print(f"[{number}/{len(notebooks)}] {notebook.stem}: {seconds:.0f} s", flush=True)

    with follow(progress), ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(run, number, notebook) for number, notebook in enumerate(notebooks, 1)]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def verdicts(profile: str, datasets: list[str], results: Path | str = "") -> str:
    """The verdict on each claim measured so far, as a Markdown table, from the records in `results`."""
    from kdutils import plots
    from kdutils.experiments import Study

    found = Study(profile, datasets, results=str(results)).verdicts()
    return plots.verdict_matrix(found).markdown() + "\n"


def verdicts_csv(path: Path | None = None) -> str:
    """The verdicts of the published book with all their numbers, as CSV; a test compares the committed file with them."""
    from kdutils.claims import DATASETS
    from kdutils.experiments import Study

    found = Study("paper", list(DATASETS)).verdicts()
    return found.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def write_front() -> None:
    """Bring README.md's verdicts and figure and the table of verdicts up to the records; the book computes its own."""
    import matplotlib

    matplotlib.use("Agg")
    from kdutils import plots, published
    from kdutils.claims import DATASETS

    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(FRONT[0])
    readme.write_text(
        before + FRONT[0] + "\n\n" + verdicts("paper", list(DATASETS)) + "\n" + FRONT[1] + rest.split(FRONT[1])[1]
    )
    verdicts_csv(ROOT / "book" / "_static" / "verdicts.csv")
    plots.use_theme()
    rows = front_rows()
    figure = plots.suppression(rows, published.load("missing_class"), list(DATASETS))
    # A test reads from the picture what it was drawn from.
    about = {"Software": None, "Description": rows.to_csv(index=False, float_format="%.4f")}
    figure.savefig(ROOT / "book" / "_static" / "front.png", dpi=110, bbox_inches="tight", metadata=about)


def front_rows() -> "pd.DataFrame":
    """What the figure on the front page and in README.md shows."""
    from kdutils import records
    from kdutils.variations import named_and_known

    return named_and_known(records.load("variations").query("profile == 'paper'")).query("training == 'equal'")


def check_executed(notebook: Path) -> None:
    """Raise UserError unless some code cell of the notebook was executed and shows something."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    if not any(cell["execution_count"] and cell["outputs"] for cell in cells):
        raise UserError(f"{notebook.name} executed nothing that shows: no code cell has both run and an output")


class follow:
    """While open, copy what is appended to a file to standard error.

    A notebook's own standard error is recorded into the page, so the progress of long work inside one takes this
    route: kdutils writes its bars to the file that the environment variable KDUTILS_PROGRESS names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.copy, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def copy(self) -> None:
        with self.path.open(newline="") as lines:
            last = False
            while not last:
                last = self.done.wait(0.5)
                if text := lines.read():
                    sys.stderr.write(text)
                    sys.stderr.flush()


def render(source: Path, html: Path) -> Path:
    """Build the HTML book from executed sources, replace `html` by it, and return `html`.

    Raises
    ------
    UserError
        If Sphinx warns of anything: a broken reference, a missing page, a figure without its file.
    """
    import yaml

    config = yaml.safe_load((source / "_config.yml").read_text())
    config["execute"]["execute_notebooks"] = "off"
    config.setdefault("html", {})["extra_footer"] = f"<p>{built_with()}</p>"
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    output = source.parent / "output"
    shutil.rmtree(output, ignore_errors=True)
    finished = subprocess.run(
        [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source), "--path-output", str(output),
         "--warningiserror", "--nitpick", "--keep-going", "--quiet"],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    (source.parent / "build.log").write_text(finished.stdout)
    if finished.returncode:
        warnings = [line for line in finished.stdout.splitlines() if re.search("WARNING|ERROR", line)]
        print("\n".join(warnings) or finished.stdout, file=sys.stderr)
        raise UserError(f"the book does not build without warnings; the full log: {source.parent / 'build.log'}")
    built = output / "_build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    html.parent.mkdir(parents=True, exist_ok=True)
    built.rename(html)
    shutil.rmtree(output)
    return html


def built_with() -> str:
    """The line at the foot of every page: when it was built, and with what."""
    from kdutils.records import commit

    versions = [f"Python {platform.python_version()}", f"kdutils {version('kdutils')}"]
    versions += [f"{name} {version(name)}" for name in ("torch", "numpy", "pandas", "matplotlib")]
    if found := commit():
        versions.append(f"commit {found}")
    return f"Built on {datetime.datetime.now(datetime.UTC).date()} with {', '.join(versions)}."


def repository_slug() -> str:
    """`owner/name` of the public repository, from its one place in pyproject.toml."""
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", address)
    if not match:
        raise UserError(f"pyproject.toml: Repository is {address!r}; it must read https://github.com/OWNER/NAME")
    return match[1]


def files_with_address() -> list[Path]:
    """The files that may name the public repository beside pyproject.toml."""
    fixed = [ROOT / name for name in ("_config.yml", "CITATION.cff", "README.md")]
    found = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    return [path for path in fixed + sorted(found) if path.exists()]


def write_address() -> None:
    """Replace the address that `_config.yml` holds by pyproject.toml's, in every file that names it."""
    import yaml

    new = repository_slug()
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    old = config["repository"]["url"].removeprefix("https://github.com/")
    pages = lambda slug: slug.replace("/", ".github.io/", 1)
    for path in files_with_address():
        text = path.read_text()
        changed = text.replace(old, new).replace(pages(old), pages(new))
        if changed != text:
            path.write_text(changed)
            print(f"{path.relative_to(ROOT)}: {old} -> {new}")


def main(arguments: list[str] | None = None) -> None:
    parser = Parser(prog="book/build.py", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    commands.add_parser("publish", help="the published book, from the recorded evidence")
    commands.add_parser("front", help="write the verdicts and the figure that stand in README.md")
    commands.add_parser("address", help="write pyproject.toml's repository address wherever it stands")
    options = commands.add_parser("replicate", help="the same book, from runs made now")
    options.add_argument("--profile", default="smoke", help="smoke, cpu or paper")
    options.add_argument("--datasets", default="digits", help="names, separated by commas")
    options.add_argument("--seeds", default="", help="how many seeds (default: each notebook's own)")
    options.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    options.add_argument("--compute", default="missing", help="never, missing or always")
    asked = parser.parse_args(arguments)

    if asked.command in ("address", "front"):
        write_address() if asked.command == "address" else write_front()
        return
    started = time.monotonic()
    if asked.command == "publish":
        html = publish()
    else:
        from kdutils.experiments import Study  # here, not above: this imports torch, which the others do without

        if asked.seeds and not re.fullmatch("[1-9][0-9]?", asked.seeds):
            raise UserError(f"seeds must be a whole number from 1 to 99; got {asked.seeds!r}")
        seeds = int(asked.seeds) if asked.seeds else None
        datasets = [name.strip() for name in asked.datasets.split(",")]
        Study(asked.profile, datasets, seeds or 0, asked.compute, asked.device)  # which looks them over
        html = replicate(asked.profile, datasets, seeds, asked.device, asked.compute)
    print(f"the book, after {time.monotonic() - started:.0f} s: {html / 'index.html'}")


if __name__ == "__main__":
    run_command(main)
