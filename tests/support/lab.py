"""A real JupyterLab, and a real Chromium in front of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    ViewportSize,
    sync_playwright,
)

from tests.support.kernels import WIDGET

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
# No question about news, which would lie over the page.
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
SIZE: ViewportSize = {"width": 1100, "height": 1400}
_LOADS = 5
_UNREAD_SECONDS = 15.0
_QUESTION_SECONDS = 1.0
_CLOSE = 'for (const widget of [...jupyterapp.shell.widgets("main")]) widget.dispose()'
_OPEN = 'path => jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" })'
# A new connection to the kernel of a notebook.
_CONNECT = """async path => {
  const sessions = await (await fetch("/api/sessions")).json();
  const id = sessions.find(session => session.path === path)?.kernel?.id;
  if (!id) return;
  const socket = new WebSocket(`ws://${location.host}/api/kernels/${id}/channels`);
  await new Promise(opened => { socket.onopen = opened; });
  setTimeout(() => socket.close(), 5000);
}"""
_THEME = 'theme => jupyterapp.commands.execute("apputils:change-theme", { theme })'
_COLOUR = "getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor"
_ROOT = Path(__file__).parents[2]
_WITHOUT_PLUGIN = {"disabledExtensions": {"groq-magic": True}}
DARK = {"@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"}}
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


def chromium() -> str:
    """The path of the one that CHROMIUM names, or of one on PATH."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no Chromium: `nox -s tests` installs one"
    return path


@contextmanager
def running_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, launched_browser(playwright) as browser:
        yield browser


@contextmanager
def launched_browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    yield browser
    browser.close()


class Profile:
    """A Chromium whose pages share a profile: it compiles the code of JupyterLab once."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._idle: list[Page] = []

    def new_page(self, viewport: ViewportSize = SIZE) -> Page:
        page = self._context.new_page()
        page.set_viewport_size(viewport)
        return page

    def take(self) -> Page:
        """A page, maybe one that shows JupyterLab."""
        page = self._idle.pop() if self._idle else self.new_page()
        page.set_viewport_size(SIZE)
        return page

    def give_back(self, page: Page) -> None:
        """Keep a page that shows JupyterLab for the next test: it takes seconds to load."""
        if "/lab/" in page.url and page.locator(".jp-Dialog").count() == 0:
            page.mouse.move(0, 0)
            page.evaluate(_CLOSE)
            self._idle.append(page)
        else:
            page.close()


@contextmanager
def running_profile() -> Iterator[Profile]:
    with sync_playwright() as playwright, launched_profile(playwright) as profile:
        yield profile


@contextmanager
def launched_profile(playwright: Playwright) -> Iterator[Profile]:
    with TemporaryDirectory() as folder:
        launch = playwright.chromium.launch_persistent_context
        context = launch(folder, executable_path=chromium(), args=FLAGS)
        yield Profile(context)
        context.close()


class Lab:
    """A JupyterLab server on a folder of its own."""

    def __init__(
        self, folder: Path, env: dict[str, str], settings: dict[str, Any], *, has_plugin: bool
    ) -> None:
        self.folder = folder
        self._numbers = count()
        self._log = folder / "server.log"
        home = folder / "home"
        environment = {
            **os.environ,
            **{f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")},
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_PATH": str(home / "share"),
            **env,
        }
        environment.pop("GROQ_API_KEY", None)
        (folder / "notebooks").mkdir()
        overrides = home / "CONFIG" / "labconfig" / "default_setting_overrides.json"
        overrides.parent.mkdir(parents=True)
        overrides.write_text(json.dumps(SETTINGS | settings))
        if not has_plugin:
            overrides.with_name("page_config.json").write_text(json.dumps(_WITHOUT_PLUGIN))
        _copy_plugin(home / "share" / "labextensions" / "groq-magic")
        options = {
            "ServerApp.root_dir": folder / "notebooks",
            "IdentityProvider.token": "",
            "ServerApp.disable_check_xsrf": True,
            "LabApp.expose_app_in_browser": True,
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
        command += [f"--{name}={value}" for name, value in options.items()]
        self._command, self._environment = command, environment
        self._start()
        self.url = self._until_it_listens()

    def _start(self) -> None:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    def ask(self, base_url: str) -> None:
        """Have the kernels that start from now on ask that server."""
        startup = self.folder / "home" / "ipython" / "profile_default" / "startup" / "server.py"
        startup.parent.mkdir(parents=True, exist_ok=True)
        startup.write_text(f"import os\nos.environ['GROQ_BASE_URL'] = {base_url!r}\n")

    def shut_down_kernels(self) -> None:
        with urlopen(f"{self.url}api/sessions") as response:
            sessions = json.load(response)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._end, [session["id"] for session in sessions]))

    def _end(self, session: str) -> None:
        with suppress(HTTPError):  # its kernel has died, or a page has just ended it
            urlopen(Request(f"{self.url}api/sessions/{session}", method="DELETE")).close()

    def write(self, name: str, *cells: str) -> Path:
        """A notebook of these code cells."""
        path = self.folder / "notebooks" / name
        notebook = new_notebook(
            cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": KERNEL}
        )
        nbformat.write(notebook, path)
        return path

    def add(self, *cells: str) -> Path:
        """A notebook of these code cells under a name, and so with a kernel, of its own."""
        return self.write(f"{next(self._numbers)}.ipynb", *cells)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:  # it has shut down, and waits for a thread of anyio's
            self._process.kill()
            self._process.wait()

    def _until_it_listens(self, timeout: float = 120.0) -> str:
        """Its URL. It prints that before it listens, and ends if the port is taken by then."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(r"http://127\.0\.0\.1:\d+/", self._log.read_text())
            with suppress(OSError):
                if found and urlopen(f"{found[0]}api"):
                    return found[0]
            assert time.monotonic() < deadline, self._log.read_text()
            if self._process.poll() is not None:
                self._start()
            time.sleep(0.05)


def _copy_plugin(folder: Path) -> None:
    """The plugin of this checkout, as the wheel lays it out: an installed one may be older."""
    shutil.copytree(_ROOT / "jupyter-config" / "labextension", folder)
    for name in ("dom.js", "controls.css"):
        shutil.copy(_ROOT / "groq_magic" / "display" / name, folder / "static")


@contextmanager
def running_lab(
    folder: Path,
    env: dict[str, str],
    settings: dict[str, Any] | None = None,
    *,
    has_plugin: bool = True,
) -> Iterator[Lab]:
    lab = Lab(folder, env, settings or {}, has_plugin=has_plugin)
    try:
        yield lab
    finally:
        lab.close()


def errors_of(page: Page) -> list[str]:
    """What the console will say of errors; voila's own plugin logs one."""
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "voila" not in message.text:
            errors.append(f"{message.text} {message.location}")

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


class NotebookPage:
    """A notebook open in JupyterLab."""

    NAME = "JupyterLab"
    ADDRESS = "lab/tree/{}?reset"

    def __init__(self, page: Page, lab: Lab, path: Path) -> None:
        self.page = page
        self.path = path
        self._lab = lab
        self._idle_at = 0.0
        self._url = lab.url + self.ADDRESS.format(path.name)
        if not self._open_in_app():
            self.open()

    def _open_in_app(self) -> bool:
        """Open it in place of the notebook in this JupyterLab, if the page shows one."""
        if not self.page.url.startswith(f"{self._lab.url}lab/"):
            return False
        self.page.evaluate(_CLOSE)
        self.page.evaluate(_OPEN, self.path.name)
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        self.until_idle()
        return True

    def open(self) -> None:
        """Open it, or open it again as after a reload of the page."""
        for _ in range(_LOADS):
            self.load()
            self.until_idle()
            if not self._has_lost_a_widget():
                break

    def close(self) -> None:
        """Close the notebook; its kernel runs on."""
        self.page.evaluate(_CLOSE)

    def in_another_page(self) -> NotebookPage:
        return type(self)(self.page.context.new_page(), self._lab, self.path)

    def load(self) -> None:
        """Open it without waiting for the kernel."""
        self.page.goto(self._url)
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=120_000)

    def _has_lost_a_widget(self) -> bool:
        """Whether the page says "model not found" of a widget that the kernel has.

        The manager of ipywidgets asks for a model during two seconds and then looks whether the
        kernel's models are there: for a model that comes in between, as it does on a busy
        machine, it gives up for good (`get_model` of @jupyter-widgets/base-manager 1.0.13 and
        `renderModel` of jupyterlab-manager 5.0.16). A user reloads the page.
        """
        if WIDGET not in self.path.read_text("utf-8"):
            return False
        outputs = self.page.locator(".jp-OutputArea-output")
        self.until(lambda: outputs.count() > 0)
        self.until(lambda: "Loading widget" not in " ".join(outputs.all_inner_texts()))
        return "model not found" in " ".join(outputs.all_inner_texts())

    def run_all(self) -> None:
        """Run all cells from the menu, without waiting for them."""
        self._choose("Run", "Run All Cells")

    def interrupt(self) -> None:
        """Interrupt the kernel from the menu."""
        self._choose("Kernel", "Interrupt Kernel")

    def clear_outputs(self) -> None:
        self._choose("Edit", "Clear Outputs of All Cells")
        self.until(lambda: self.page.locator(".jp-OutputArea-output").count() == 0)

    def _choose(self, *menu: str) -> None:
        for name in menu:  # behind which its shortcut may stand
            self.page.get_by_role("menuitem", name=re.compile(f"^{name}")).click()

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def answer(self, number: int) -> Locator:
        return self.cell(number).locator(".groq-answer")

    def text(self, number: int) -> str:
        """The text of a cell's output as it is on the screen, empty where there is none."""
        found = self.cell(number).locator(".jp-OutputArea").all_inner_texts()
        return "\n".join(found)

    def run(self, number: int) -> None:
        """Run a cell without waiting for its end."""
        before, self._idle_at = self._prompt(number), time.monotonic()
        self.cell(number).focus()  # a click might miss: an answer above that grows moves it
        self.page.keyboard.press("Shift+Enter")
        try:
            self.until(lambda: self._is_taken(number, before), _UNREAD_SECONDS)
        except AssertionError:
            self.page.evaluate(_CONNECT, self.path.name)

    def _is_taken(self, number: int, before: str) -> bool:
        """Whether the kernel has read the request that runs a cell.

        A kernel of ipykernel 7 can leave a request unread until another connection wakes it:
        https://github.com/ipython/ipykernel/issues/1554
        """
        prompt = self._prompt(number)
        outputs = self.cell(number).locator(".jp-OutputArea-output").count()
        if self.is_idle():
            self._idle_at = time.monotonic()
        # A page's own questions keep a kernel busy, too, though for a moment; and a kernel with
        # subshells may say that it is idle while a cell runs.
        is_busy = time.monotonic() - self._idle_at > _QUESTION_SECONDS
        return prompt != before and ("*" not in prompt or outputs > 0 or is_busy)

    @contextmanager
    def in_dark(self) -> Iterator[None]:
        """Have the dark theme meanwhile."""
        light = self.page.evaluate(_COLOUR)
        self.page.evaluate(_THEME, "JupyterLab Dark")
        self.page.wait_for_function(f"{_COLOUR} !== '{light}'")
        self.page.wait_for_timeout(500)  # the page is painted anew in parts
        yield
        self.page.evaluate(_THEME, "JupyterLab Light")
        self.page.wait_for_function(f"{_COLOUR} === '{light}'")

    def restart_kernel(self) -> None:
        self._choose("Kernel", "Restart Kernel…")
        self.page.locator("button.jp-mod-accept").click()

    def shut_down_kernel(self) -> None:
        self._choose("Kernel", "Shut Down Kernel")

    def is_running(self, number: int) -> bool:
        """Whether a cell runs or is to run, whatever the kernel says of itself meanwhile."""
        return "*" in self._prompt(number)

    def _prompt(self, number: int) -> str:
        return self.cell(number).locator(".jp-InputPrompt").inner_text()

    def is_idle(self) -> bool:
        # Of the status bar; the notebook's own indicator is idle before there is a kernel.
        return self.page.get_by_text(f"{KERNEL['display_name']} | Idle").count() > 0

    def until_idle(self) -> None:
        self.until(self.is_idle)

    def save(self) -> dict[str, Any]:
        """Save with the keyboard; return the notebook as it is in the file."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        self.until(lambda: self.path.stat().st_mtime_ns != before)
        self.until(lambda: self.path.read_text("utf-8").endswith("}\n"))  # written whole
        return dict(nbformat.read(self.path, as_version=4))

    def until(self, met: Callable[[], Any], timeout: float = 120.0) -> None:
        deadline = time.monotonic() + timeout
        while not met():
            assert time.monotonic() < deadline, self._state()
            self.page.wait_for_timeout(50)

    def _state(self) -> str:
        """What the page shows, and what has the focus: for a test that waits in vain."""
        focus = self.page.evaluate("document.activeElement?.outerHTML.slice(0, 200)")
        dialogs = self.page.locator(".jp-Dialog").all_inner_texts()
        texts = self.page.locator(".jp-Notebook").all_inner_texts()
        return f"{texts}, dialogs {dialogs}, focus {focus}"


class Notebook7Page(NotebookPage):
    """A notebook open in Notebook 7, which the same server serves."""

    NAME = "Notebook 7"
    ADDRESS = "notebooks/{}"

    def _open_in_app(self) -> bool:
        return False  # it opens each notebook in a page of its own

    def close(self) -> None:
        self.page.goto("about:blank")

    def is_idle(self) -> bool:
        # There is no status bar; and the indicator is idle before there is a kernel by name.
        toolbar = self.page.locator(".jp-Toolbar").filter(has_text=KERNEL["display_name"])
        return toolbar.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").count() > 0


PAGES = {kind.NAME: kind for kind in (NotebookPage, Notebook7Page)}
