"""Published accuracies of other models beside the report's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from real_labels.analysis import other_models
from real_labels.errors import InputError
from tests.conftest import PROJECT
from tests.real_labels.analysis.reports import run, write


@pytest.fixture(scope="session")
def timm():
    folder = PROJECT.parent / "shared" / "data" / "timm_results"
    paths = [folder / f"results-imagenet{kind}.csv" for kind in ("", "-real")]
    if not paths[0].exists():
        pytest.skip("timm's tables of results are not on this machine (../shared/data)")
    return paths


def test_timms_models_give_the_slopes(timm, published, tmp_path, capsys):
    record, _printed, _ = run(
        capsys, "--accuracy-table", *timm, "--out", tmp_path / "out", "--data-dir", published
    )
    section = record["sections"]["real_over_original"]
    found = section["numbers"]["regression"]
    assert found["num_models"] == len(section["numbers"]["models"]) == 1_556
    assert found["median"] == pytest.approx(0.81856)
    assert round(found["lower"]["slope"]["value"], 3) == 0.920
    assert round(found["upper"]["slope"]["value"], 3) == 0.554
    assert found["difference"]["p_value"] < 0.001
    assert round(section["numbers"]["original_labels"]["value"], 8) == 0.90022845
    assert "significantly (p < 0.001)" in section["lead"]
    assert "no predictions" in record["sections"]["triage"]["missing"][0]
    listed = pd.read_csv(tmp_path / "out" / "lists" / "models_real_over_original.csv")
    assert listed["model"].is_unique and len(listed) == 1_556


def test_tables_of_accuracies_need_no_labels(tmp_path, capsys):
    rng = np.random.default_rng(0)
    original = rng.uniform(60, 90, 30)
    table = pd.DataFrame(
        {"Model": [f"m{i}" for i in range(30)], "original": original, "ReaL": original * 0.6 + 40}
    )
    table.to_csv(tmp_path / "all.csv", index=False)
    record, _, _ = run(
        capsys, "--accuracy-table", tmp_path / "all.csv", "--out", tmp_path / "out",
        "--data-dir", tmp_path / "nowhere",
    )  # fmt: skip
    sections = record["sections"]
    found = sections["real_over_original"]["numbers"]["regression"]
    assert found["lower"]["slope"]["value"] == pytest.approx(0.6)
    assert sections["real_over_original"]["numbers"]["original_labels"] is None
    assert "real_labels fetch" in sections["label_errors"]["missing"][0]
    assert (tmp_path / "out" / "index.html").exists()


def test_tables_of_accuracies_that_do_not_fit(tmp_path):
    a = write(
        tmp_path / "a.csv", model=["x", "y", "z"], img_size=[224, 224, 384], top1=[70, 80, 90]
    )
    b = write(tmp_path / "b.csv", model=["y", "x", "w"], img_size=[224, 224, 1], top1=[85, 75, 1],
              top1_diff=[5, 5, 0])  # fmt: skip
    found = other_models.read([a, b])
    assert found.names.tolist() == ["x", "y"] and found.left_out == 2
    np.testing.assert_allclose([found.original, found.by["real"]], [[0.7, 0.8], [0.75, 0.85]])
    twice = write(tmp_path / "c.csv", model=["x", "x"], img_size=[224, 384], top1=[0.70, 0.72])
    assert other_models.read([twice, twice]).names.tolist() == ["x (224)", "x (384)"]
    for paths, says in (
        ([b, a], "b.csv: has a column top1_diff, so it holds the ReaL accuracies"),
        ([a], "a.csv: expected one column of accuracies called original, found none"),
        ([a, write(tmp_path / "d.csv", model=["q"], top1=[1])], "no model in common"),
        ([a, write(tmp_path / "e.csv", model=["x"], accuracy5=[1])], "e.csv: has no column top1"),
        ([a, write(tmp_path / "f.csv", kind=["x"], top1=[1])], "f.csv: has no column model"),
        ([a, write(tmp_path / "g.csv", model=["x", "x"], top1=[1, 2])], "row 2 repeats x"),
        ([a, write(tmp_path / "h.csv", model=["x"], top1=[180])], "row 1 has the top1 180"),
        (
            [a, write(tmp_path / "i.csv", model=["x"], top1=["?"])],
            "i.csv: row 1 has the top1 '.', expected a number",
        ),
        (
            [twice, write(tmp_path / "j.csv", model=["x"], top1=[1])],
            "c.csv: has x at several image sizes, but .*j.csv has no image sizes; add a column "
            "img_size to .*j.csv",
        ),
        ([a, tmp_path / "missing.csv"], "missing.csv: there is no such file"),
        ([a, a, a], "a.csv: expected NAME=FILE for each table after the first two"),
        (
            [f"real={a}", f"shankar={a}"],
            "no table is for the original labels; give one first, or as original=FILE",
        ),
        ([a, f"real={a}", f"real={a}"], "there are two tables of real accuracies"),
        ([a, f"my set={a}"], "a name begins with a letter"),
    ):
        with pytest.raises(InputError, match=says.replace("?", r"\?")):
            other_models.read(paths)


def test_a_table_with_two_columns_of_one_name_but_for_capitals_is_refused(tmp_path):
    (tmp_path / "twice.csv").write_text("Model,model,top1\na,b,70\nc,d,71\n")
    with pytest.raises(InputError, match="twice.csv: has several columns named model"):
        other_models.read([tmp_path / "twice.csv"] * 2)


def test_tables_of_any_number_of_label_sets(tmp_path, capsys):
    """In columns of one table, or in one table each; a model may lack accuracies."""
    original = [70.0, 75, 80]
    values = {"real": [77.0, 82, 86], "shankar": [80.0, 84, 90], "mine": [60.0, 66, 69]}
    one = tmp_path / "one.csv"
    pd.DataFrame(
        {"model": list("abc"), "Original top1": original}
        | {f"{name}_acc1": column for name, column in values.items()}
    ).astype({"mine_acc1": object}).replace({"mine_acc1": {66.0: None}}).to_csv(one, index=False)
    found = other_models.read([one], ["shankar", "mine"])
    assert set(found.by) == set(values)
    np.testing.assert_allclose(found.by["mine"], [0.6, np.nan, 0.69])
    paths = [write(tmp_path / "original.csv", model=list("abc"), top1=original)]
    for name, column in values.items():
        some = slice(0, 2) if name == "shankar" else slice(None)
        path = write(tmp_path / f"{name}.csv", model=list("abc")[some], top1=column[some])
        paths.append(f"{name}={path}")
    found = other_models.read(paths)
    np.testing.assert_allclose(found.by["shankar"], [0.8, 0.84, np.nan])
    np.testing.assert_allclose(found.by["mine"], [0.6, 0.66, 0.69])
    assert found.left_out == 0


def test_each_label_set_has_the_models_of_its_table(small, tmp_path, capsys):
    original, real = small
    original.to_json(tmp_path / "original.json")
    real.to_json(tmp_path / "real.json")
    rng = np.random.default_rng(0)
    x = rng.uniform(40, 80, 20)
    table = {
        "model": [f"m{i}" for i in range(20)],
        "original": x,
        "real": x / 2 + 30,
        "mine": x / 4 + 50,
    }
    write(tmp_path / "all.csv", **table)
    record, _, _ = run(
        capsys, "--accuracy-table", tmp_path / "all.csv", "--out", tmp_path / "out",
        "--labels", f"real={tmp_path / 'real.json'}", "--labels", f"mine={tmp_path / 'real.json'}",
        "--labels", f"third={tmp_path / 'real.json'}", "--original", tmp_path / "original.json",
    )  # fmt: skip
    sections = record["sections"]

    def slope(key):
        return sections[key]["numbers"]["regression"]["lower"]["slope"]["value"]

    assert slope("real_over_original") == pytest.approx(0.5)
    assert slope("real_over_original_mine") == pytest.approx(0.25)
    missing = " ".join(sections["real_over_original_third"]["missing"])
    assert "hold ReaL and mine accuracies only, so this section leaves their models out" in missing
