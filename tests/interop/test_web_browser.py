"""The page in a real browser, headless Chromium: what it shows, what it does, what it looks like.

Skipped where there is no Chromium. Its pictures are kept in build/pictures, to be looked at.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import CHECKOUT, BusEnvironment
from ipcmules.bus.places import places
from ipcmules.snapshot import take
from ipcmules.spooler import pauses
from support import wait_until
from webpage import HOSTILE, Client, Shown

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")

PICTURES = Path(CHECKOUT, "build", "pictures")
#: As HOSTILE is shown: what cannot be seen is written out, the rest is text.
SHOWN = "<script>alert(1)</script>\"'&\\u{202e}"


class Tab:
    """A tab of the browser at the page, and what may not happen in it."""

    def __init__(self, context: sync_api.BrowserContext, client: Client) -> None:
        self.client = client
        self.wrong: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.wrong.append(f"raised: {error}"))
        self.page.on("console", self._said)
        self.page.on("dialog", lambda box: (self.wrong.append(f"script ran: {box.message}"), box.dismiss()))
        self.page.on("request", self._asked)

    def open(self) -> None:
        """By the link that `ipcmules web` prints."""
        self.page.goto(f"http://{self.client.address}/#token={self.client.token}")
        self.page.wait_for_selector("#tabs:visible")
        assert self.client.token not in self.page.url

    def turn(self, name: str) -> None:
        """Go to a page."""
        self.page.locator(f"#tabs a[data-page={name}]").click()
        self.page.wait_for_selector(f"#tabs a[data-page={name}][aria-current=page]")

    def row(self, text: str) -> sync_api.Locator:
        """The rows that have a text."""
        return self.page.locator("tbody tr").filter(has_text=text)

    def press(self, name: str, within: sync_api.Locator | None = None) -> None:
        """Press a button."""
        found = (within or self.page.locator("#content")).get_by_role("button", name=name, exact=True)
        found.click()

    def answer(self, name: str) -> None:
        """Press a button of the dialog that is open."""
        self.press(name, self.page.locator("dialog[open]"))
        self.page.wait_for_selector("dialog[open]", state="detached")

    def toast(self, text: str) -> None:
        """Wait until it says that something was done."""
        self.page.locator("#toast:visible").filter(has_text=text).wait_for()

    def _said(self, message: sync_api.ConsoleMessage) -> None:
        if message.type == "error" and "401" not in message.text:
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: sync_api.Request) -> None:
        if not request.url.startswith((f"http://{self.client.address}/", "data:")):
            self.wrong.append(f"asked for {request.url}")


@contextmanager
def _browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        # Its own sandbox works neither for root nor in most containers; it opens our page alone.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def test_every_action(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    shown = Shown(tmp_path, bus_name)
    with shown.page() as (_launcher, client), _browser() as browser:
        for number in range(3):
            shown.call("fails", f"no good {number}")
        shown.call("quiet", "tomorrow", at=str(time.time() + 86400))
        first, second = shown.letter(b"a letter \xff"), shown.letter(b"another")
        wait_until(lambda: len(client.get("tasks?state=dead")["tasks"]) == 3, what="three dead tasks")
        tab = Tab(browser.new_context(viewport={"width": 1280, "height": 800}), client)
        page = tab.page

        # The token: a wrong one, and the right one in the form.
        page.goto(f"http://{client.address}/")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.locator("#refusal").filter(has_text="missing or wrong").wait_for()
        page.fill("#token", client.token)
        page.keyboard.press("Enter")
        page.wait_for_selector("#tabs:visible")
        assert page.locator("#state").inner_text() == "ready"
        page.locator(".wrong").filter(has_text="3 dead tasks").wait_for()
        assert page.locator("svg.plot").count() == 4

        # Tasks: search, look, run now, retry, drop, in bulk; pause.
        page.keyboard.press("3")
        tab.row("quiet").wait_for()
        page.keyboard.press("/")
        page.keyboard.type("no good 1")
        wait_until(lambda: tab.row("fails").count() == 1, what="one task that matches")
        tab.row("no good 1").get_by_role("button").click()
        shown_dialog = page.locator("dialog[open]")
        shown_dialog.filter(has_text="Traceback").filter(has_text="ValueError: no good 1").wait_for()
        tab.answer("Retry")
        tab.toast("1 to be run")
        wait_until(lambda: shown.ran().count("fails") == 8, what="two more attempts")
        page.get_by_role("searchbox").fill("")
        tab.row("quiet").get_by_role("checkbox").check()
        tab.press("Retry / run now")
        tab.toast("1 to be run")
        tab.row("quiet").wait_for(state="detached")
        page.get_by_label("State").select_option("dead")
        wait_until(lambda: tab.row("no good").count() == 3, what="the task that died again")
        tab.row("no good 0").get_by_role("checkbox").check()
        tab.press("Drop")
        tab.answer("Close")
        tab.press("Drop")
        tab.answer("Drop")
        tab.toast("1 dropped")
        wait_until(lambda: tab.row("no good").count() == 2, what="two tasks")
        tab.press("Drop all that match")
        tab.answer("Drop")
        tab.toast("2 dropped")
        page.get_by_text("No such task.").wait_for()
        tab.press("Pause")
        wait_until(lambda: pauses.read(str(shown.directory)).everything, what="the pause")
        tab.press("Resume")
        wait_until(lambda: not pauses.read(str(shown.directory)).everything, what="the end of the pause")

        # Dead letters: look, send again, drop.
        tab.turn("letters")
        tab.row(first).get_by_role("button").click()
        page.locator("dialog[open] pre").filter(has_text="a letter \\xff").wait_for()
        tab.answer("Send again")
        tab.toast("1 sent again")
        tab.row(first).wait_for(state="detached")
        tab.row(second).get_by_role("checkbox").check()
        tab.press("Drop")
        tab.answer("Drop")
        tab.toast("1 dropped")
        tab.row(second).wait_for(state="detached")

        # Events: now, and not at all.
        tab.turn("events")
        tab.press("Run now", tab.row("every 3600 s"))
        wait_until(lambda: "seldom" in shown.ran(), what="its run")
        tab.press("Pause", tab.row("every 3600 s"))
        tab.row("every 3600 s").filter(has_text="paused").wait_for()
        tab.press("Resume", tab.row("every 3600 s"))
        tab.row("every 3600 s").filter(has_text=re.compile(r"in \d+ min")).wait_for()

        # Processes: stacks, one restart, a reload.
        tab.turn("processes")
        before = take(places(bus_name)).mules
        tab.press("Stacks", tab.row("mule 1"))
        page.locator("dialog[open] pre").filter(has_text="most recent call first").wait_for()
        page.keyboard.press("Escape")
        tab.press("Restart", tab.row("mule 2"))
        tab.answer("Restart")
        tab.toast("mule 2 is replaced")
        wait_until(
            lambda: take(places(bus_name)).mules[1].pid not in (0, before[1].pid), what="the successor"
        )
        assert take(places(bus_name)).mules[0].pid == before[0].pid
        tab.press("Reload the bus")
        tab.answer("Reload")
        tab.toast("the bus runs the new code")
        assert take(places(bus_name)).reloads == 1

        # The log, and the keys.
        tab.turn("log")
        page.locator("#log").filter(has_text="the page was asked for reload").wait_for()
        page.keyboard.press("?")
        page.locator("dialog[open]").filter(has_text="look again").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.wait_for_selector("#tabs a[data-page=overview][aria-current=page]")
        assert tab.wrong == []


def test_what_it_looks_like(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    """Whatever bytes names have, at the widths of a telephone and a desk, by day and by night."""
    shown = Shown(tmp_path, bus_name)
    name = HOSTILE.encode("utf-8", "surrogateescape")
    with shown.page() as (_launcher, client), _browser() as browser:
        shown.put(ud_spool_func=name, hostile=name, at=str(time.time() + 86400))
        shown.put(ud_spool_func=b"x" * 300, at=str(time.time() + 86400))
        shown.call("fails", HOSTILE.replace("\udcff", ""))
        shown.letter(name, reason=HOSTILE.replace("\udcff", ""))
        for each in range(20):
            shown.call("give", each)
        wait_until(lambda: client.get("tasks?state=dead")["tasks"], what="the dead task")
        PICTURES.mkdir(parents=True, exist_ok=True)
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
                tab = Tab(context, client)
                tab.open()
                for page_name in ("overview", "processes", "tasks", "letters", "events", "log"):
                    tab.turn(page_name)
                    if page_name in ("tasks", "letters"):
                        tab.row(SHOWN).first.wait_for()
                    elif page_name == "log":
                        tab.page.locator("#log").filter(has_text="is done").wait_for()
                    else:
                        tab.page.locator("#content tbody tr:visible").first.wait_for()
                    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
                    assert not tab.page.evaluate(wide), f"{page_name} is wider than {width}"
                    picture = PICTURES / f"{page_name}-{width}-{scheme}.png"
                    tab.page.screenshot(path=picture)
                    assert picture.stat().st_size > 5000
                tab.turn("tasks")
                tab.row(SHOWN).first.get_by_role("button").click()
                tab.page.locator("dialog[open] dd").filter(has_text="<script>").first.wait_for()
                tab.page.screenshot(path=PICTURES / f"task-{width}-{scheme}.png")
                assert tab.page.locator("main script, dialog script").count() == 0
                assert tab.wrong == []
                context.close()
