"""The report's page in a real browser: Chromium, without a window."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from real_labels import cli
from real_labels.analysis import report
from tests.conftest import PATIENCE
from tests.real_labels.analysis import worlds

MODELS = [f"model{i:02d}" for i in range(25)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report of 25 models with answers and thumbnails."""
    folder = tmp_path_factory.mktemp("page")
    original, real = worlds.labels(images=400)
    original.to_json(folder / "original.json")
    real.to_json(folder / "real.json")
    worlds.rated(original, real)[0].save(folder / "answers.csv")
    for i, name in enumerate(MODELS):
        one = worlds.model(original, real, accuracy=0.5 + 0.018 * i, seed=i)
        one.save(folder / f"{name}.npz")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for name in real.file_names.tolist():
        image = Image.fromarray(rng.integers(0, 255, (30, 50, 3), np.uint8))
        image.save(folder / "images" / name.split("/")[-1])
    cli.main(
        ["report", *(str(folder / f"{name}.npz") for name in MODELS), "--out", str(folder / "report"),
         "--labels", str(folder / "real.json"), "--original", str(folder / "original.json"),
         "--answers", str(folder / "answers.csv"), "--images", str(folder / "images")]
    )  # fmt: skip
    return folder / "report"


@pytest.fixture
def opened(chromium, written):
    """Opens the page with the given settings; collects console messages, errors and outside requests."""
    pages = []

    def open_page(**settings):
        page = chromium.new_page(**settings)
        page.set_default_timeout(1_000 * PATIENCE)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                page.complaints.append(request.url)
                if not request.url.startswith((written.as_uri(), "data:"))
                else None
            ),
        )
        page.goto((written / "index.html").as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_figures_are_there_and_nothing_goes_wrong(opened, written, width, scheme):
    page = opened(viewport={"width": width, "height": 800}, color_scheme=scheme)
    keys = json.loads((written / "report.json").read_text())["sections"]
    assert set(keys) == {one.key for one in report.ANALYSES} - {"agreement", "reviewed_mistakes"}
    for key in keys:
        box = page.locator(f"#{key} figure svg").bounding_box()
        assert min(width - 80, 500) < box["width"] <= width and box["height"] > 100
    # The page itself never scrolls sideways, and every letter of a figure can be read.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.eval_on_selector_all(
        "figure svg text", "all => all.map(t => t.getBoundingClientRect().height)"
    )
    assert min(heights) > 10
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 24)"
    assert dark == (scheme == "dark")
    # The figures' ink contrasts with the paper.
    ink, paper = page.evaluate(
        "['ink', 'paper'].map(n => getComputedStyle(document.documentElement)"
        ".getPropertyValue('--' + n).trim())"
    )
    brightness = [int(colour[1:3], 16) for colour in (ink, paper)]
    assert abs(brightness[0] - brightness[1]) > 150
    fills = page.eval_on_selector_all(
        "figure svg text", "all => [...new Set(all.map(t => getComputedStyle(t).fill))]"
    )
    colours = [
        f"rgb({int(c[1:3], 16)}, {int(c[3:5], 16)}, {int(c[5:7], 16)})" for c in (ink, paper)
    ]
    assert colours[0] in fills and set(fills) <= set(colours)  # on paper, and inside bars
    images = page.eval_on_selector_all(".card img", "all => all.map(i => i.naturalWidth)")
    assert len(images) > 30 and min(images) > 0
    assert page.complaints == []


def column(page, table, number):
    return page.eval_on_selector_all(
        f"#{table} tbody tr:not([hidden])",
        f"rows => rows.map(row => row.cells[{number}].firstChild.textContent.trim())",
    )


def test_tables_are_sorted_and_filtered(opened, written):
    page = opened()
    numbers = json.loads((written / "report.json").read_text())
    models = numbers["sections"]["accuracy"]["numbers"]["models"]
    table = page.locator("#accuracy-models")
    box = page.locator(".table", has=table)
    assert len(column(page, "accuracy-models", 0)) == 20
    box.get_by_role("button", name="Show all 25 rows").click()
    head = table.locator("th").nth(1)
    for order, reverse in (("descending", True), ("ascending", False)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        values = {name: one["original"]["top1"]["value"] for name, one in models.items()}
        shown = [values[name] for name in column(page, "accuracy-models", 0)]
        assert shown == sorted(values.values(), reverse=reverse)
    table.locator("th").first.locator("button").click()
    assert column(page, "accuracy-models", 0) == MODELS
    assert head.get_attribute("aria-sort") is None
    box.get_by_role("searchbox").fill("model1")
    assert column(page, "accuracy-models", 0) == MODELS[10:20]
    # The p-values of the pairs are sorted as numbers, not as text.
    page.locator("#accuracy-pairs th").nth(3).locator("button").click()
    largest = max(
        p["p_holm"]["original"] for p in numbers["sections"]["accuracy"]["numbers"]["pairs"]
    )
    assert column(page, "accuracy-pairs", 3)[0] == f"{largest:.3f}"
    assert page.complaints == []


def test_figures_and_tables_light_each_other_up(opened, written):
    page = opened(viewport={"width": 1280, "height": 900})
    row = page.locator("#triage-models tr", has_text="model07")
    link = row.get_attribute("data-link")
    row.hover()
    marks = page.locator(f"figure [data-link~='{link}']")
    assert marks.count() > 10
    assert page.locator("#triage figure .lit").count() == 5  # a mark for each of five kinds
    assert page.locator(f"#accuracy figure [data-link='{link}'].lit").count() == 1
    # Each mark belongs to the row that it highlights: marks further right and up have higher accuracy.
    numbers = json.loads((written / "report.json").read_text())["sections"]["accuracy"]["numbers"]
    for side, key, sign in (("x", "original", 1), ("y", "real", -1)):
        across = {}
        for name in MODELS:
            link = f"model-{MODELS.index(name)}"
            mark = page.locator(f"#accuracy figure [data-link='{link}']").first
            across[name] = sign * mark.bounding_box()[side]
        values = {name: numbers["models"][name][key]["top1"]["value"] for name in MODELS}
        ordered = sorted(MODELS, key=values.get)
        assert [across[name] for name in ordered] == pytest.approx(sorted(across.values()), abs=0.5)
        named = page.locator("#accuracy-models tr", has_text=MODELS[3])
        assert named.get_attribute("data-link") == "model-3"
    # The mark of a model whose row is hidden: pointing at it shows a tip, a click shows the row.
    worst = column(page, "accuracy-models", 0)
    hidden = next(name for name in MODELS if name not in worst)
    hidden_row = page.locator("#accuracy-models tr", has_text=hidden)
    assert hidden_row.is_hidden()
    mark = page.locator(
        f"#accuracy figure [data-link='{hidden_row.get_attribute('data-link')}']"
    ).first
    mark.scroll_into_view_if_needed()
    mark.hover()
    tip = page.locator("#tip")
    assert tip.is_visible() and hidden in tip.text_content() and "ReaL top-1" in tip.text_content()
    mark.click()
    assert hidden_row.is_visible() and "found" in hidden_row.get_attribute("class")
    pair = page.locator("#confusable_pairs tbody tr").first
    pair.hover()
    assert page.locator("#confusable_pairs figure .lit").count() >= 2
    assert page.complaints == []


def test_images_come_with_their_labels_in_colour(opened, written):
    page = opened(color_scheme="light")
    listed = pd.read_csv(written / "lists" / f"mistakes_{MODELS[0]}.csv").fillna("")
    seen = set()
    for kind in listed["kind"].unique():
        first = listed[listed["kind"] == kind].iloc[0]  # the surest
        card = page.locator(f"#kind-{kind} .card").first
        for role, name, colour in (
            ("original", first["original_name"], "rgb(185, 58, 42)"),
            ("real", first["real_names"] or "none", "rgb(23, 119, 74)"),
            ("model", first["predicted_name"], "rgb(45, 108, 184)"),
        ):
            text = card.locator(f"dd.{role}")
            assert text.text_content().strip(" ✓✗") == name
            assert text.evaluate("e => getComputedStyle(e).color") == colour
        valid = {"both_valid": "✓✓", "label_error": "✗✓", "model_error": "✓✗"}.get(kind, "✗✗")
        marks = [card.locator(f"dd.{role}").text_content()[-1] for role in ("original", "model")]
        assert "".join(marks) == valid
        assert card.locator("img").get_attribute("alt") == first["file_name"]
        seen.add(card.locator("img").get_attribute("src"))
    assert len(seen) == listed["kind"].nunique() == 5  # of different images


def test_it_prints_without_controls_for_the_screen(opened, tmp_path):
    page = opened(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator("button.more").first.is_hidden()
    colour = page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    )
    assert colour == "#20242b"  # dark ink on paper, whatever the screen's scheme
    page.set_viewport_size({"width": 700, "height": 1000})  # A4 between its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert "20 of 25 rows." in page.locator(".cut").first.text_content()
    assert page.locator(".cut").first.is_visible()
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    assert page.complaints == []
