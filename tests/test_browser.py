"""The built pages in a real browser that reaches no other host: loaded, with maths, in dark mode and on a phone."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, skip_or_fail

PAGES = [f"{name}.html" for name in re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text())]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def address(published_book: Path) -> Iterator[str]:
    """The built book's address on this machine, served by a process of its own: coverage's trace function at times
    keeps a new thread of this one from starting, and the request that it was for from an answer."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", published_book]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        yield re.search(r"http://[\d.:]+/", server.stdout.readline())[0]
        server.terminate()


@pytest.fixture(scope="module")
def browser():
    """A Chromium of this machine, driven by playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_or_fail("playwright is needed: pip install '.[pinned,book,test]'")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        skip_or_fail(f"a browser is needed on the path: {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


class Visit:
    """A browser window in which everything that went wrong is kept, and no other host answers."""

    def __init__(self, browser, address: str, **options) -> None:
        self.address = address
        self.wrong: list[str] = []
        self.context = browser.new_context(**options)
        self.context.route("**/*", self.refuse_other_hosts)
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", lambda said: said.type == "error" and self.wrong.append(f"console: {said.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("response", lambda got: got.status >= 400 and self.wrong.append(f"{got.status}: {got.url}"))

    def refuse_other_hosts(self, route) -> None:
        if route.request.url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            self.wrong.append(f"request to another host: {route.request.url}")
            route.abort()

    def open(self, path: str):
        """Load a page, wait until its maths is set, and return it."""
        self.page.goto(self.address + path, wait_until="load")
        if self.page.locator(".math").count():
            self.page.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise")
            self.page.evaluate("MathJax.startup.promise.then(() => null)")
        return self.page


@pytest.fixture
def visit(browser, address: str):
    """Make visits that are closed after the test."""
    visits = []

    def make(**options) -> Visit:
        visits.append(Visit(browser, address, **options))
        return visits[-1]

    yield make
    for made in visits:
        made.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_page_loads_without_error_or_other_host(visit, path: str) -> None:
    window = visit()
    page = window.open(path)
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").count() >= 1
    assert window.wrong == []


@pytest.mark.parametrize("path", PAGES)
def test_maths_is_typeset(visit, path: str) -> None:
    page = visit().open(path)
    formulas = page.locator(".math").count()
    assert page.locator(".math mjx-container").count() >= formulas
    assert page.locator("mjx-merror").count() == 0
    assert not re.search(r"\\\(|\\\[|\$\$", page.locator("article").first.inner_text()), "raw LaTeX on the page"


@pytest.mark.parametrize("path", PAGES)
def test_phone_shows_the_page_without_sideways_scrolling(visit, path: str) -> None:
    page = visit(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True).open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    too_wide = page.evaluate(
        """[...document.querySelectorAll('article *')].filter(part => {
            if (part.getBoundingClientRect().right <= 391) return false;
            for (let box = part; box; box = box.parentElement)  // what scrolls within its own box is fine
                if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(box).overflowX)) return false;
            return true;
        }).map(part => part.outerHTML.slice(0, 80))"""
    )
    assert too_wide == []


@pytest.mark.parametrize("path", PAGES)
def test_dark_mode_switches_and_figures_stay_readable(visit, path: str) -> None:
    page = visit(color_scheme="light").open(path)
    theme = lambda: page.evaluate("document.documentElement.dataset.theme")
    assert theme() == "light"
    button = page.locator("button.theme-switch-button:visible").first
    for _ in range(3):  # automatic, light, dark, in the theme's order
        if theme() == "dark":
            break
        button.click()
    assert theme() == "dark"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 150, dark
    for image in page.locator("article img").all():
        style = image.evaluate("image => [getComputedStyle(image).backgroundColor, getComputedStyle(image).filter]")
        assert style == ["rgb(255, 255, 255)", "none"], image.get_attribute("src")


def test_system_setting_for_dark_pages_is_followed(visit) -> None:
    page = visit(color_scheme="dark").open(PAGES[0])
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_search_finds_a_term_without_network(visit) -> None:
    window = visit()
    page = window.open("search.html?q=similarity")
    page.wait_for_selector("#search-results li a")
    assert window.wrong == []
