"""The portal's first page in a real browser. What is looked for is what people see: roles and names, no class names."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from support.require import require

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"

pytestmark = pytest.mark.browser

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
LOOKS: list[dict[str, Any]] = [
    {"viewport": WIDE, "color_scheme": "light"},
    {"viewport": WIDE, "color_scheme": "dark"},
    {"viewport": NARROW, "color_scheme": "light", "contrast": "more"},
    {"viewport": NARROW, "color_scheme": "dark", "contrast": "more"},
    {"viewport": NARROW, "color_scheme": "dark", "forced_colors": "active"},
]


def open_page(watched: Any) -> Page:
    page = watched.page
    page.goto(watched.origin)
    expect(page.get_by_role("table", name="Roles")).to_be_visible()
    return page


def axe_violations(page: Page) -> list[str]:
    require("axe-core", AXE.exists(), "npm ci in web/, or uv sync --reinstall-package genescale")
    page.evaluate(AXE.read_text())
    rules = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    return [f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]]


def test_it_shows_what_runs_and_says_what_does_not(watched: Any):
    page = open_page(watched)

    expect(page).to_have_title("Genescale")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    gateway = page.get_by_role("table", name="Roles").get_by_role("row", name="gateway")
    expect(gateway).to_contain_text("running")
    expect(gateway).to_contain_text("process 40213")
    results = page.get_by_role("table", name="Event log").get_by_role("row", name="genescale-results")
    expect(results.get_by_role("cell").first).to_have_text("24")
    expect(page.get_by_role("table", name="Consumer groups").get_by_role("row", name="annotate")).to_be_visible()
    panels = page.get_by_role("region", name="Not there yet").get_by_role("listitem")
    assert [panel.get_by_role("heading").text_content() for panel in panels.all()] == [
        "analysis",
        "scaling",
        "cost",
        "healing",
        "models",
    ]
    for panel in panels.all():
        expect(panel).to_contain_text("unavailable")
    expect(panels.filter(has_text="cost")).to_contain_text("No price sheet is loaded")


def test_the_figures_follow_the_platform(watched: Any):
    page = open_page(watched)
    requests = page.get_by_role("table", name="Event log").get_by_role("row", name="genescale-requests")
    before = requests.text_content()

    expect(requests).not_to_have_text(before or "")
    expect(page.get_by_role("img", name="per second now")).to_be_visible()


def test_a_lost_connection_is_said_calmly_and_comes_back_by_itself(watched: Any, portal: Any):
    page = open_page(watched)

    portal.stop()
    expect(page.get_by_role("banner")).to_contain_text("Connection lost")
    expect(page.get_by_role("status")).to_contain_text("asks again by itself")
    expect(page.get_by_role("table", name="Roles")).to_be_visible()  # what was known stays on the screen
    assert axe_violations(page) == []
    portal.start()
    expect(page.get_by_role("banner")).to_contain_text("Live", timeout=20_000)
    expect(page.get_by_role("status")).to_contain_text("Connected again")

    assert all("ERR_" in problem or "/api/v1/platform" in problem for problem in watched.problems)
    watched.problems.clear()


def test_a_hidden_tab_asks_nothing_and_a_shown_one_asks_at_once(watched: Any):
    page = open_page(watched)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_load_state("networkidle")
    asked = len(watched.requests)

    page.wait_for_timeout(2500)  # longer than the pause between two questions; "nothing came" is no state to wait for
    assert len(watched.requests) == asked
    with page.expect_request("**/api/v1/platform"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("watched", LOOKS, indirect=True, ids=lambda look: "-".join(map(str, look.values())))
def test_axe_finds_nothing_and_nothing_leaves_the_screen(watched: Any):
    page = open_page(watched)

    assert axe_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("watched", [{"viewport": {"width": 320, "height": 640}}], indirect=True)
def test_the_narrowest_screen_needs_no_sideways_scrolling(watched: Any):
    page = open_page(watched)

    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("watched", [{"viewport": WIDE}, {"viewport": NARROW}], indirect=True, ids=["wide", "narrow"])
def test_nothing_jumps_when_the_first_answer_arrives(watched: Any):
    watched.page.add_init_script(
        "window.shifts = 0; new PerformanceObserver(list => list.getEntries().forEach(e => window.shifts += e.value))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    page = open_page(watched)
    for _ in range(2):
        with page.expect_response("**/api/v1/platform"):
            pass

    assert page.evaluate("window.shifts") < 0.01


def test_the_keyboard_reaches_everything(watched: Any):
    page = open_page(watched)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the live state")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "state"
    for name in ["health", "ready", "metrics", "this page as JSON"]:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name=name)).to_be_focused()


def test_a_real_platform_shows_its_roles_and_their_restarts(watched_platform: Any, platform: Any):
    page = open_page(watched_platform)
    expect(page.get_by_role("banner")).to_contain_text("Live")
    keeper = page.get_by_role("table", name="Roles").get_by_role("row", name="keeper")
    expect(keeper).to_contain_text("running")
    expect(keeper.get_by_role("cell").last).to_have_text("0")
    expect(page.get_by_role("table", name="Event log").get_by_role("row", name="genetic-data-raw")).to_be_visible()
    assert axe_violations(page) == []

    os.kill(platform.role("keeper")["pid"], signal.SIGKILL)
    expect(keeper.get_by_role("cell").last).to_have_text("1", timeout=20_000)
    expect(keeper).to_contain_text("running", timeout=20_000)
