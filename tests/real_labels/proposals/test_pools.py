"""Pools of models against loops over sets, every search against brute force, and sixty real models."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from real_labels import cli, proposals
from real_labels.answers import Gold
from real_labels.errors import InputError
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions
from real_labels.proposals import ExpertLabels, Pools, Proposals, Rules, front, pool_search
from real_labels.proposals.subset_sums import proposed_by_subset
from tests.real_labels.proposals.worlds import pools_of


def as_sets(original, models, pool, k):
    """{image: proposed classes} by a plain loop, for the images that any model predicts."""
    seen = set(itertools.chain.from_iterable(p.file_names.tolist() for _, p in models))
    of = dict(zip(original.file_names.tolist(), original.classes.tolist()))
    found = {name: {of[name]} for name in seen}
    for name, predictions in models:
        if name in pool:
            for image, classes in zip(
                predictions.file_names.tolist(), predictions.classes.tolist()
            ):
                found[image] |= set(classes[:k])
    return found


@pytest.mark.parametrize("ask_all", [False, True])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("complete", [True, False])
def test_a_pool_is_measured_as_by_loops(k, complete, ask_all):
    original, models, pools = pools_of(3, Rules(k, ask_all=ask_all), complete)
    experts = pools.experts
    truth = {}
    for name, label, is_present in zip(
        experts.questions.file_name().tolist(), experts.questions.label.tolist(), experts.present
    ):
        truth.setdefault(name, {})[label] = bool(is_present)
    names = pools.proposals.models
    of = dict(zip(original.file_names.tolist(), original.classes.tolist()))
    for pool in (("m0",), ("m1", "m4"), names):
        columns = pools.proposals.columns(pool)
        found = as_sets(original, models, pool, k)
        measured = pools.measure(columns)
        assert measured.models == pool
        assert measured.proposals_per_image == pytest.approx(
            np.mean([len(s) for s in found.values()])
        )
        present = [(i, c) for i, labels in truth.items() for c, there in labels.items() if there]
        hits = [c in found[i] for i, c in present]
        assert measured.recall.value == pytest.approx(np.mean(hits)) == pools.recall(columns)
        assert measured.recall.n == len(present)
        assert measured.recall.low < measured.recall.value < measured.recall.high
        judged = [
            truth[i].get(c, False) for i in truth for c in found[i] if complete or c in truth[i]
        ]
        assert measured.precision.n == len(judged)
        assert (
            measured.precision.value == pytest.approx(np.mean(judged)) == pools.precision(columns)
        )
        firsts = {image: [] for image in found}
        for name, predictions in models:
            if name in pool:
                for image, classes in zip(predictions.file_names.tolist(), predictions.classes):
                    firsts[image].append(int(classes[0]))
        unrated = {i for i, first in firsts.items() if first and set(first) == {of[i]}}
        if ask_all:
            unrated = {i for i, s in found.items() if s == {of[i]} and firsts[i]}
        assert measured.unrated == len(unrated)
        delivered = [c in found[i] and (i not in unrated or c == of[i]) for i, c in present]
        assert measured.recall_asked.value == pytest.approx(np.mean(delivered))
        assert not ask_all or measured.recall_asked == measured.recall
        assert measured.questions == sum(len(s) for i, s in found.items() if i not in unrated)


def test_the_interval_is_over_images():
    """The bootstrap draws whole images, with all their labels; here a plain loop draws them."""
    _, _, pools = pools_of(5, num_images=200, num_gold=100)
    columns = [0, 1]
    found, image = pools.found(columns), pools.present_image
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(4_000):
        images = rng.integers(0, pools.num_gold_images, pools.num_gold_images)
        hits = np.bincount(image, found, pools.num_gold_images)[images].sum()
        drawn.append(hits / np.bincount(image, minlength=pools.num_gold_images)[images].sum())
    recall = pools.measure(columns).recall
    np.testing.assert_allclose(
        [recall.low, recall.high], np.quantile(drawn, (0.025, 0.975)), atol=0.01
    )


@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 10_000))
def test_counts_over_all_subsets(num_models, num_pairs, seed):
    rng = np.random.default_rng(seed)
    by, counts = rng.random((num_pairs, num_models)) < 0.3, rng.integers(1, 5, num_pairs)
    found = proposed_by_subset(by, counts, np.int32)
    for subset in range(1 << num_models):
        members = [m for m in range(num_models) if subset >> m & 1]
        assert found[subset] == counts[by[:, members].any(axis=1)].sum()


@pytest.mark.parametrize("ask_all", [False, True])
@pytest.mark.parametrize("complete", [True, False])
def test_tables_of_every_pool_agree_with_single_pools(tmp_path, complete, ask_all):
    _, _, pools = pools_of(8, Rules(2, ask_all=ask_all), complete, num_models=5)
    front.save_every_pool(tmp_path / "p.csv", pools)
    table = pd.read_csv(tmp_path / "p.csv")
    assert len(table) == 31 and table["number"].is_monotonic_increasing
    for row in table.itertuples():
        measured = pools.measure(pools.proposals.columns(row.models.split(";")))
        assert row.number == len(measured.models) and row.unrated == measured.unrated
        assert row.proposals_per_image == pytest.approx(measured.proposals_per_image)
        assert row.recall == pytest.approx(measured.recall.value)
        assert row.precision == pytest.approx(measured.precision.value)
    cheapest = table.groupby("number")["proposals_per_image"].min().tolist()
    sizes = front.cheapest_of_each_size(pools)
    assert [per_image for _, per_image, _ in sizes] == pytest.approx(cheapest)


@pytest.mark.parametrize("num_models", [3, 11, 19])
def test_the_written_proposals_name_their_models(tmp_path, num_models):
    """Holds for any number of models, also if the bits of a pair fill several bytes."""
    original, models, pools = pools_of(4, Rules(2), num_models=num_models)
    names = pools.proposals.models
    for pool in (names, names[1:]):
        columns = pools.proposals.columns(pool)
        pools.proposals.save(tmp_path / "p.csv", columns)
        table = pd.read_csv(tmp_path / "p.csv", keep_default_na=False)
        found = {(row.file_name, row.label): row.models for row in table.itertuples()}
        wanted = {}
        for name in pool:
            proposed = as_sets(original, models, {name}, 2)
            of = dict(zip(original.file_names.tolist(), original.classes.tolist()))
            predictions = dict(models)[name]
            ranked = dict(zip(predictions.file_names.tolist(), predictions.classes.tolist()))
            for image in proposed:
                wanted.setdefault((image, of[image]), [])
                for class_ in ranked.get(image, [])[:2]:
                    wanted.setdefault((image, class_), []).append(name)
        unrated = set(pools.proposals.unrated_labels(columns).file_names.tolist())
        assert found == {
            pair: ";".join(by) for pair, by in wanted.items() if pair[0] not in unrated
        }


def brute_force(pools, recall):
    """The smallest pool and the front, by trying every pool."""
    models = range(len(pools.proposals.models))
    every = [s for size in models for s in itertools.combinations(models, size + 1)]
    hits = {s: int(pools.found(s).sum()) for s in every}
    cost = {s: pools.num_proposals(s) for s in every}
    wanted = min(recall * pools.num_present - 1e-9, max(hits.values()))
    best = min((len(s), cost[s]) for s in every if hits[s] >= wanted)
    front = {
        (hits[s], cost[s])
        for s in every
        if not any(
            hits[o] >= hits[s] and cost[o] <= cost[s] and (hits[o], cost[o]) != (hits[s], cost[s])
            for o in every
        )
    }
    return best, front


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 7), st.sampled_from([0.5, 0.8, 0.97, 1.0]))
def test_the_search_against_brute_force(seed, num_models, recall):
    _, _, pools = pools_of(seed, Rules(2), num_models=num_models)
    found = proposals.search(pools, recall)
    best, front = brute_force(pools, recall)
    assert (len(found.pool), pools.num_proposals(found.pool)) == best and found.is_exact
    ours = [(int(pools.found(s).sum()), pools.num_proposals(s)) for s in found.front]
    assert set(ours) == front and len(ours) == len(front) and ours == sorted(front, reverse=True)
    assert found.is_enough == (pools.recall(found.pool) >= recall - 1e-12)


def test_held_out_recall_is_that_of_pools_chosen_on_other_images():
    _, _, pools = pools_of(11, Rules(1), num_images=120, num_gold=60)
    found = proposals.search(pools, 0.8, seed=4)
    images = np.unique(pools.present_image)
    part = np.zeros(pools.num_gold_images, int)
    part[np.random.default_rng(4).permutation(images)] = np.arange(len(images)) % 10
    fold = part[pools.present_image]
    models = range(len(pools.proposals.models))
    hits = 0
    for held_out in range(10):
        others = fold != held_out
        every = [s for size in models for s in itertools.combinations(models, size + 1)]
        most = pools.found(list(models))[others].sum()
        wanted = min(0.8 * others.sum() - 1e-9, most)
        enough = [s for s in every if pools.found(s)[others].sum() >= wanted]
        pool = min(enough, key=lambda s: (len(s), pools.num_proposals(s), sum(1 << m for m in s)))
        hits += pools.found(pool)[~others].sum()
    assert found.held_out.value == pytest.approx(hits / pools.num_present)
    assert found.held_out.value <= pools.recall(found.pool)


def test_the_greedy_search_comes_close(monkeypatch):
    """In 30 worlds of 9 models, the pool reaches the recall with at most one model more than needed."""
    larger = reached = points = 0
    for seed in range(30):
        _, _, pools = pools_of(seed, Rules(1), num_models=9, num_images=150, num_gold=80)
        exact = proposals.search(pools, 0.9)
        with monkeypatch.context() as patch:
            patch.setattr(pool_search, "GREEDY_ABOVE", 0)
            greedy = proposals.search(pools, 0.9)
        assert not greedy.is_exact and greedy.is_enough == exact.is_enough
        wanted = min(0.9, pools.recall(range(9)))
        assert pools.recall(greedy.pool) >= wanted - 1e-9
        larger += len(greedy.pool) - len(exact.pool)
        assert 0 <= len(greedy.pool) - len(exact.pool) <= 1
        on_front = [(pools.recall(s), pools.num_proposals(s)) for s in greedy.front]
        assert on_front == sorted(on_front, reverse=True)
        assert all(wanted > pools.recall(set(greedy.pool) - {m}) for m in greedy.pool)
        best = [(pools.recall(s), pools.num_proposals(s)) for s in exact.front]
        reached += sum(point in best for point in on_front)
        points += len(best)
    assert larger <= 6 and reached >= 0.8 * points


def test_bad_arguments_of_a_search():
    _, _, pools = pools_of(0)
    for recall in (0, 1.5, float("nan")):
        with pytest.raises(InputError, match="expected a share"):
            proposals.search(pools, recall)
    with pytest.raises(InputError, match="needs the experts' labels"):
        proposals.search(Pools(pools.proposals))
    with pytest.raises(InputError, match=r"no model 'x'; there are m0"):
        pools.proposals.columns(["x"])


def by_name(shared, names):
    archive = np.load(shared / "imagenet_models" / "top5.npz")
    rows = [archive["models"].tolist().index(name) for name in names]
    return archive["classes"][rows]


def test_real_models_agree_with_plain_sets(shared, published, tmp_path, capsys):
    """The first classes of five real models and the original labels find 71.4% of the gold labels."""
    from real_labels.labels import imagenet

    names = ["nasnet_large_tf", "inception_v3", "resnet152", "resnet50", "vgg16"]
    classes = by_name(shared, names)
    np.savez(tmp_path / "five.npz", models=names, classes=classes)
    gold = Gold.load(published / "golden.npz", 3)
    pairs = list(
        zip(gold.questions.file_name().tolist(), gold.questions.label.tolist(), gold.present)
    )
    original = imagenet.original_labels().classes
    for k, wanted in ((1, 0.714), (5, None)):
        proposed = {}
        for name in {name for name, _, _ in pairs}:
            row = imagenet.row_of(name)
            proposed[name] = {int(original[row])} | set(classes[:, row, :k].ravel().tolist())
        hits = np.mean([label in proposed[name] for name, label, there in pairs if there])
        arguments = ["propose", tmp_path / "five.npz", "--gold", published / "golden.npz"]
        arguments += ["--gold-votes", 3, "--pool", "all", "--top-k", k]
        arguments += ["--data-dir", published, "--json", tmp_path / "out.json"]
        cli.main([str(a) for a in arguments])
        record = json.loads((tmp_path / "out.json").read_text())
        assert record["recall"]["value"] == pytest.approx(hits) and record["recall"]["n"] == 248
        assert wanted is None or round(hits, 3) == wanted
        judged = [there for name, label, there in pairs if label in proposed[name]]
        assert record["precision"]["value"] == pytest.approx(np.mean(judged))
        assert record["pool"] == names and record["recall_held_out"] is None
    assert "of 248 labels of 155 gold images" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize("k", [1, 5])
def test_24_real_models_against_brute_force_and_60_greedily(shared, published, k):
    from real_labels.labels import imagenet
    from real_labels.predictions import Predictions

    archive = np.load(shared / "imagenet_models" / "top5.npz")
    names, classes = archive["models"].tolist(), archive["classes"]
    gold = ExpertLabels.load(published / "golden.npz", 3)
    original = imagenet.original_labels()

    def pools(rows):
        models = [(names[r], Predictions(original.file_names, classes[r])) for r in rows]
        return Pools(Proposals.of(original, models, Rules(k)), gold)

    ten = pools(range(0, 60, 6))
    found = proposals.search(ten, 0.97)
    best, front = brute_force(ten, 0.97)
    assert (len(found.pool), ten.num_proposals(found.pool)) == best
    assert len(found.front) == len(front)
    twenty_four = pools(range(0, 48, 2))
    found = proposals.search(twenty_four, 0.9 if k == 5 else 0.7)
    assert found.is_exact and found.is_enough
    smaller = itertools.combinations(range(24), len(found.pool) - 1)
    assert max(map(twenty_four.recall, smaller)) < (0.9 if k == 5 else 0.7)
    sixty = pools(range(60))
    greedy = proposals.search(sixty, 0.97)
    assert not greedy.is_exact and greedy.is_enough == (k == 5)
    if k == 5:
        assert len(greedy.pool) <= 6 and sixty.recall(greedy.pool) >= 0.97


def test_fewest_models_come_before_fewest_proposals():
    """One model with five proposals finds as much as two with one each, and is the smaller pool."""
    names = np.array([f"{i}.png" for i in range(5)])
    original = LabelSets(names, np.arange(6), np.zeros(5, int))
    firsts = {"much": [1, 2, 3, 3, 3], "one": [1, 0, 0, 0, 0], "two": [0, 2, 0, 0, 0]}
    models = [(n, Predictions(names, np.array(c)[:, None])) for n, c in firsts.items()]
    labels = ExpertLabels.of_label_sets(LabelSets.from_lists(names[:2], [[1], [2]]))
    pools = Pools(Proposals.of(original, models, Rules()), labels)
    found = proposals.search(pools, 1.0)
    assert found.pool == (0,) and pools.num_proposals((0,)) > pools.num_proposals((1, 2))
    assert found.front == ((1, 2), (1,))
