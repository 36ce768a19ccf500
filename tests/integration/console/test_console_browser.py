"""In a real browser: the strict policy is never violated, and pages do what they promise, with and without script."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
"""
PAGES = [
    "/p/default",
    "/p/default/data",
    "/p/default/data/shuttle",
    "/p/default/data/shuttle?tab=rows",
    "/p/default/runs",
    "/p/default/runs/r_now",
    "/p/default/runs/r_done",
    "/p/default/models",
    "/p/default/models/shuttle",
    "/p/default/rollouts",
    "/p/default/rollouts/r_live",
    "/p/default/rollouts/r_held",
    "/p/default/rollouts/r_back",
    "/p/default/gateways",
]

LIMIT_S = 30

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed: apt-get install chromium"),
    # The driver's own event loop closes its pipes late.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visit(
    chromium: Browser,
    stand: Any,
    *,
    script: bool = True,
    width: int = 1440,
    language: str = "en-US",
    theme: str = "light",
) -> Iterator[Page]:
    """Yield a signed-in page; its console errors and requests elsewhere fail the test."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, locale=language, color_scheme=theme, java_script_enabled=script
    )
    wrong: list[str] = []
    context.add_init_script(WATCH)
    page = context.new_page()
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(stand.url) or wrong.append(request.url))
    code = secrets.token_urlsafe(32)
    stand.fresh_code(code)
    page.goto(f"{stand.url}/login?code={code}")
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def settled(page: Page) -> None:
    """Wait until the page's own module has run."""
    page.wait_for_function("document.querySelector('time[datetime]') === null || document.querySelector('time').title")


@pytest.mark.parametrize(
    ("width", "language", "theme"), [(1440, "zh-CN", "light"), (375, "en-US", "dark"), (320, "zh-CN", "dark")]
)
def test_no_page_violates_the_policy_or_runs_over_its_edge(
    chromium: Browser, stand: Any, width: int, language: str, theme: str
) -> None:
    with visit(chromium, stand, width=width, language=language, theme=theme) as page:
        for path in PAGES:
            page.goto(f"{stand.url}{path}")
            assert page.evaluate("window.violations") == [], path
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, (path, over)
            assert page.locator("h1").count() == 1, path
            assert page.locator("main img:not([alt]), svg[role=img]:not([aria-label])").count() == 0, path


@pytest.mark.parametrize("script", [True, False])
def test_a_release_is_paused_by_two_clicks_with_and_without_script(
    chromium: Browser, stand: Any, plant: Any, script: bool
) -> None:
    with visit(chromium, stand, script=script) as page:
        page.goto(f"{stand.url}/p/default/rollouts/r_live")
        page.get_by_role("button", name="Pause", exact=True).click()
        dialog = page.get_by_role("dialog", name="Pause")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.get_by_role("button", name="Pause", exact=True).press("Enter")
        dialog.get_by_role("textbox").fill("two clicks")
        dialog.get_by_role("button", name="Pause", exact=True).click()
        expect(page.locator(".story")).to_contain_text("Paused by an operator")
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_disabled()
        assert plant.last("PauseRollout").reason == "two clicks"
        page.get_by_role("button", name="Resume", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
        expect(page.locator(".story")).to_contain_text("Running, step")


def tell_listeners(page: Page, stand: Any, topic: str) -> None:
    """Tell a fact once the page's stream is open, and wait until the page has asked for its fresh part."""
    until(lambda: stand.service.streams._listeners)
    with page.expect_response(lambda answer: "part=live" in answer.url):
        stand.service.streams.tell(topic, "fact", {})
        stand.service.streams.tell(topic, "run_finished", {})


def until(reached: Any) -> None:
    end = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.02)


def test_a_fact_refreshes_a_page_that_does_not_ask_by_itself(chromium: Browser, stand: Any, plant: Any) -> None:
    with visit(chromium, stand) as page:
        page.goto(f"{stand.url}/p/default/runs/r_done")
        assert page.locator("[data-every]").count() == 0
        plant.runs["r_done"].test_metrics["fresh_measure"] = 0.5
        tell_listeners(page, stand, "run:r_done")
        expect(page.get_by_text("fresh_measure")).to_be_visible()


def test_a_refresh_never_takes_away_what_a_person_is_doing(chromium: Browser, stand: Any, plant: Any) -> None:
    with visit(chromium, stand) as page:
        page.goto(f"{stand.url}/p/default/rollouts/r_live")
        page.get_by_text("As a table").click()
        plant.rollouts["r_live"].sentence = "changed once"
        tell_listeners(page, stand, "rollout:r_live")
        expect(page.get_by_text("changed once")).to_be_visible()
        expect(page.locator("#evidence-table table")).to_be_visible()
        page.get_by_role("button", name="Roll back").click()
        field = page.get_by_role("dialog").get_by_role("textbox")
        field.fill("half a sen")
        plant.rollouts["r_live"].sentence = "changed twice"
        tell_listeners(page, stand, "rollout:r_live")
        expect(field).to_have_value("half a sen")
        expect(page.get_by_text("changed twice")).to_have_count(0)
        page.keyboard.press("Escape")
        tell_listeners(page, stand, "rollout:r_live")
        expect(page.get_by_text("changed twice")).to_be_visible()
        assert page.evaluate("window.violations") == []


def test_ten_tabs_share_one_stream(chromium: Browser, stand: Any) -> None:
    streams = stand.service.streams
    with visit(chromium, stand) as page:
        tabs = [page.context.new_page() for _ in range(9)]
        for tab in tabs:
            tab.goto(f"{stand.url}/p/default")
            expect(tab.locator("h1")).to_have_text("Overview")
        tell_listeners(tabs[8], stand, "rollout:r_live")
        assert streams._open <= 2


def test_the_chart_tells_its_values_by_keyboard_and_pointer(chromium: Browser, stand: Any) -> None:
    with visit(chromium, stand) as page:
        page.goto(f"{stand.url}/p/default/rollouts/r_back")
        settled(page)
        chart = page.locator("svg.wide-only[data-most]")
        chart.focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("output.readout")).to_contain_text("9,000 candidate requests, step 3: worse")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("output.readout")).to_contain_text("8,850 candidate requests")
        chart.hover(position={"x": 70, "y": 100})
        expect(page.locator("output.readout")).to_contain_text("step 1")
        assert page.evaluate("window.violations") == []


def test_the_reader_chooses_language_and_colours(chromium: Browser, stand: Any) -> None:
    with visit(chromium, stand) as page:
        page.goto(f"{stand.url}/p/default/gateways")
        page.get_by_role("link", name="中文").click()
        expect(page.locator("h1")).to_have_text("网关")
        page.get_by_role("link", name="深色").click()
        page.goto(f"{stand.url}/p/default")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
        page.get_by_role("button", name="退出").click()
        expect(page.locator("h1")).to_have_text("登录")
        page.goto(f"{stand.url}/p/default/runs")
        assert page.url.endswith("/login?next=/p/default/runs")
