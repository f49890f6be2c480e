"""Visits in a real browser: by keyboard and touch, by two raters at once, with a lost connection."""

from __future__ import annotations

import pathlib
import subprocess
import time

import numpy as np
import pytest
import sqlalchemy

from real_labels.rating import database, people, project, results, simulation
from real_labels.rating.database import Settings
from real_labels.rating.simulation import Server
from tests.conftest import PATIENCE
from tests.real_labels.rating.conftest import gold_of, pictures, tasks_of

DESKTOP = {"viewport": {"width": 1280, "height": 850}}
PHONE = {
    "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True,
    "device_scale_factor": 2, "color_scheme": "dark",
}  # fmt: skip


@pytest.fixture
def site(tmp_path):
    """(database, running server, links of two raters and an administrator)."""
    tasks = tasks_of(8)
    folder = pictures(tmp_path / "images", [t.file_name for t in tasks])
    url = f"sqlite:///{tmp_path / 'rating.db'}"
    opened = database.create(url)
    project.store(
        opened, Settings("Fish", raters=2, warm_up=1, gold_share=0.0), "# Rules\n\nBe careful."
    )
    names = {1: ("tench", "a fish"), 2: ("goldfish", "another"), 3: ("shark <b>", "a large one")}
    project.add_tasks(opened, tasks, gold_of(tasks[:1]), project.pictures_of(folder, tasks), names)
    tokens = [people.invite(opened), people.invite(opened), people.invite(opened, is_admin=True)]
    with Server(url) as server:
        yield opened, server, [f"{server.address}/invite/{token}" for token in tokens]


@pytest.fixture
def visit(chromium):
    """Opens a link in a new browser context. Fails on console errors and on requests to other sites."""
    complaints, contexts = [], []

    def begin(link, **settings):
        context = chromium.new_context(**settings or DESKTOP)
        context.set_default_timeout(1_000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        host = link.split("/invite/")[0]
        page.on(
            "request",
            lambda r: None if r.url.startswith((host, "data:")) else complaints.append(r.url),
        )
        page.goto(link)
        return page

    begin.complaints = complaints
    yield begin
    for context in contexts:
        context.close()
    assert complaints == []


def begin_work(page, tap=False):
    page.wait_for_selector("#guidelines[open]")
    (page.tap if tap else page.click)("#close-guidelines")
    page.wait_for_selector("#labels fieldset")


def kept(opened):
    with opened.reading() as connection:
        return len(results.rows(connection, work=True))


def until(page, expression):
    """Waits until an expression is true. (Playwright's own wait uses eval, which the page forbids.)"""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def answered(page, number):
    until(page, f"document.getElementById('progress').textContent.startsWith('{number} done')")


def test_a_whole_visit_by_keyboard(site, visit):
    opened, _, links = site
    page = visit(links[0])
    assert "invite" not in page.url and page.inner_text("#guidelines h1") == "Rules"
    page.keyboard.press("Enter")  # the dialog's button has the focus
    page.wait_for_selector("#labels fieldset")
    assert page.is_visible("#kind")
    for key in ("y", "n", "m"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector(".truth.right")
    assert page.locator(".truth").all_inner_texts() == [
        "Right: yes",
        "Right: no",
        "The experts say: yes",
    ]
    assert kept(opened) == 0
    page.keyboard.press("Enter")
    for number in range(1, 8):
        answered(page, number)
        page.wait_for_selector("#kind", state="hidden")
        until(page, "!document.querySelector('#labels input:checked')")
        page.keyboard.press("Enter")
        assert "Answer every label" in page.inner_text("#missing")
        page.keyboard.press("3")
        page.keyboard.press("m")
        page.keyboard.press("1")
        page.keyboard.press("y")
        page.keyboard.press("n")
        page.keyboard.press("Enter")
    page.wait_for_selector("#over:not([hidden])")
    assert kept(opened) == 7 * 3
    with opened.reading() as connection:
        given = results.answers(connection, opened.settings(connection), work=True)
    by_label = {label: set() for label in (1, 2, 3)}
    for question, answer in zip(given.question.tolist(), given.answer.tolist()):
        by_label[int(given.questions.label[question])].add(answer)
    assert by_label == {1: {2}, 2: {0}, 3: {1}}


def test_by_touch_on_a_phone_beside_another_rater(site, visit):
    opened, _, links = site
    phone, desk = visit(links[0], **PHONE), visit(links[1])
    begin_work(phone, tap=True)
    begin_work(desk)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for page, tap in ((phone, True), (desk, False)):
        for number in range(8):
            answered(page, number)
            for i in range(3):
                choice = page.locator("#labels fieldset").nth(i).locator(".choices label").nth(2)
                choice.tap() if tap else choice.click()
            page.tap("#send") if tap else page.click("#send")
            if number == 0:  # the warm-up's truth
                page.wait_for_selector(".truth:not([hidden])")
                page.tap("#send") if tap else page.click("#send")
                page.wait_for_selector("#kind", state="hidden")
            until(
                page,
                "!document.querySelector('#labels input:checked') || !document.getElementById('over').hidden",
            )
        page.wait_for_selector("#over:not([hidden])")
    assert kept(opened) == 7 * 3 * 2
    with opened.reading() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM tasks WHERE is_open")) == 0


def test_drafts_survive_a_reload_and_the_back_button(site, visit):
    opened, _, links = site
    page = visit(links[0])
    begin_work(page)
    page.keyboard.press("y")
    page.keyboard.press("m")
    page.reload()
    page.wait_for_selector("#labels input:checked")
    assert [i.get_attribute("value") for i in page.locator("#labels input:checked").all()] == [
        "2",
        "1",
    ]
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector("#labels input:checked")
    assert page.locator("#labels input:checked").count() == 2
    assert kept(opened) == 0


def test_a_lost_connection_keeps_the_answers_and_sends_them_once(site, visit):
    opened, server, links = site
    page = visit(links[0])
    begin_work(page)
    for key in "ynn":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector(".truth:not([hidden])")
    page.keyboard.press("Enter")
    page.wait_for_selector("#kind", state="hidden")
    server.kill()
    for key in "ynn":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    until(page, "document.getElementById('said').textContent.includes('kept in this browser')")
    # Answers that wait to be sent cannot be changed: the reply would remove the draft of the change.
    page.keyboard.press("1")
    page.keyboard.press("m")
    assert page.locator("#labels input:checked").first.get_attribute("value") == "2"
    server.start()
    answered(page, 2)
    assert kept(opened) == 3
    with opened.reading() as connection:
        given = results.answers(connection, opened.settings(connection), work=True)
    assert given.answer[np.argsort(given.questions.label[given.question])].tolist() == [2, 0, 0]
    lost = [c for c in visit.complaints if "Failed to load resource" in c]
    visit.complaints[:] = [c for c in visit.complaints if c not in lost]


def test_revising_an_answer_and_skipping_a_task(site, visit):
    opened, _, links = site
    page = visit(links[0])
    begin_work(page)
    for number in (1, 2):
        for key in "yyy":
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        if number == 1:
            page.wait_for_selector(".truth:not([hidden])")
            page.keyboard.press("Enter")
        answered(page, number)
        until(page, "!document.querySelector('#labels input:checked')")
    page.keyboard.press("b")
    page.wait_for_selector("#last[open] li button")
    page.locator("#last-list button").first.click()
    page.wait_for_selector("#back-to-work:not([hidden])")
    page.keyboard.press("1")
    page.keyboard.press("n")
    page.focus("#send")
    page.keyboard.press("Enter")
    page.wait_for_selector("#back-to-work", state="hidden")
    with opened.reading() as connection:
        revisions = connection.scalar(sqlalchemy.text("SELECT max(revision) FROM answers"))
    assert revisions == 2
    page.keyboard.press("s")
    page.wait_for_selector("#skipping[open]")
    page.click("text=I cannot tell")
    until(page, "document.getElementById('said').textContent.startsWith('Skipped')")
    with opened.reading() as connection:
        reason = sqlalchemy.text("SELECT reason FROM assignments WHERE state = 'skipped'")
        assert connection.scalar(reason) == "I cannot tell"


def test_the_administrators_page(site, visit):
    _, _, links = site
    for link, present in ((links[0], 1), (links[1], 2)):
        always_sure = simulation.Skill(1.0, maybe=0.0)
        simulation.Visitor(link).work(
            lambda _, label, shown=present: label == shown, always_sure, 0, most=8
        )
    page = visit(links[2])
    page.wait_for_selector("#raters tr")
    assert page.locator("#raters tr").count() == 2 and "7 of 7" in page.inner_text("#figures")
    assert page.locator("#labels-so-far tr").count() == 7
    rows = [row.inner_text().split("\t") for row in page.locator("#unsure tr").all()]
    assert {(label, votes) for _, _, label, _, votes in rows} == {
        ("tench", "1 no, 0 maybe, 1 yes"),
        ("goldfish", "1 no, 0 maybe, 1 yes"),
        ("shark <b>", "2 no, 0 maybe, 0 yes"),
    }
    image = page.locator("#labels-so-far img").first
    image.scroll_into_view_if_needed()
    until(page, "document.querySelector('#labels-so-far img').naturalWidth === 240")
    assert "000.png" <= image.get_attribute("alt") <= "007.png"
    page.click('button[aria-label="Pause rater-001"]')
    page.wait_for_selector('button[aria-label="Resume rater-001"]')
    assert "paused" in page.inner_text("#raters")


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """Source of axe-core; skips if npm cannot install it."""
    folder = tmp_path_factory.mktemp("axe")
    try:
        done = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "axe-core@4"],
            cwd=folder, capture_output=True, check=False, timeout=300,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("npm is not installed, so axe-core cannot be installed")
    path = pathlib.Path(folder) / "node_modules" / "axe-core" / "axe.min.js"
    if done.returncode or not path.exists():
        pytest.skip("npm could not install axe-core")
    return path.read_text()


@pytest.mark.parametrize("settings", [DESKTOP, PHONE], ids=["desktop", "phone, dark"])
def test_accessibility(site, visit, axe, settings):
    _, _, links = site
    rater, admin = visit(links[0], **settings), visit(links[2], **settings)
    violations = {}
    for name, page in (("guidelines", rater), ("rating", rater), ("admin", admin)):
        if name == "rating":
            begin_work(page)
            page.locator("#labels .choices label").nth(1).click()
            page.wait_for_timeout(500)  # the colours change in a tenth of a second
        if name == "admin":
            page.wait_for_selector("#raters tr")
        page.evaluate(axe)
        for violation in page.evaluate("axe.run().then(r => r.violations)"):
            violations[name, violation["id"]] = [node["html"][:150] for node in violation["nodes"]]
    assert violations == {}
