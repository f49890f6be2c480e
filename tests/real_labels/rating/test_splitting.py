"""Splitting proposals into tasks: the published rule, the upper limit, datasets without a hierarchy."""

from __future__ import annotations

import collections
import gzip
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from real_labels.answers import Questions
from real_labels.labels import wordnet
from real_labels.rating import splitting

HIERARCHY = wordnet.hierarchy()


@pytest.fixture(scope="module")
def published_groups(shared):
    path = shared / "published_tasks" / "published_tasks.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def test_the_published_tasks(published_groups):
    equal_sizes = equal = whole = tasks = several = 0
    for groups in published_groups.values():
        labels = list(itertools.chain.from_iterable(groups))
        ours = splitting.published_tasks(labels, HIERARCHY)
        tasks += len(ours)
        equal_sizes += sorted(map(len, ours)) == sorted(map(len, groups))
        equal += sorted(ours) == sorted(groups)
        home = {label: i for i, group in enumerate(ours) for label in group}
        by_category = collections.defaultdict(set)
        for label in labels:
            by_category[HIERARCHY.category(label)].add(home[label])
        several += len(ours) > 1
        whole += len(ours) > 1 and all(len(places) == 1 for places in by_category.values())
    assert (tasks, equal_sizes, equal) == (38_189, 24_887, 23_003)
    assert whole == several > 7_000  # every category stays in one task


def test_tasks_keep_the_limit_and_the_least_size(published_groups):
    for groups in published_groups.values():
        labels = list(itertools.chain.from_iterable(groups))
        uncapped = splitting.published_tasks(labels, HIERARCHY)
        ours = splitting.along_hierarchy(labels, HIERARCHY)
        assert sorted(itertools.chain.from_iterable(ours)) == sorted(labels)
        assert max(map(len, ours)) <= 8 and min(map(len, ours)) >= min(3, len(labels))
        assert [g for g in uncapped if len(g) <= 8] == [g for g in ours if g in uncapped]


@given(st.sets(st.integers(0, 999), min_size=1, max_size=60), st.integers(1, 12))
def test_any_labels_and_any_limit(labels, limit):
    tasks = splitting.along_hierarchy(sorted(labels), HIERARCHY, limit)
    assert sorted(itertools.chain.from_iterable(tasks)) == sorted(labels)
    assert all(task == sorted(task) and len(task) <= limit for task in tasks)
    if limit >= 5:  # every number from 3 on is a sum of numbers from 3 to 5
        assert all(len(task) >= min(3, len(labels)) for task in tasks)
    whole = splitting.published_tasks(sorted(labels), HIERARCHY)
    if all(len(task) <= limit for task in whole) and len(labels) > min(6, limit):
        assert tasks == whole


def compositions(n):
    if not n:
        yield ()
    for first in range(1, n + 1):
        for rest in compositions(n - first):
            yield (first, *rest)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(1, 9))
def test_a_cut_is_as_cheap_as_the_cheapest_of_all_cuts(costs, limit):
    n = len(costs) + 1

    def price(sizes):
        ends = list(itertools.accumulate(sizes))[:-1]
        missing = sum(max(0, min(3, limit) - size) for size in sizes)
        return missing, sum(costs[e - 1] for e in ends), sum(s**2 for s in sizes)

    best = min(price(sizes) for sizes in compositions(n) if max(sizes) <= limit)
    tasks = splitting.cut(list(range(n)), costs, limit)
    assert list(itertools.chain.from_iterable(tasks)) == list(range(n))
    assert price([len(task) for task in tasks]) == best


def test_related_labels_stay_together():
    dogs, cars = list(range(151, 163)), [407, 436, 468, 511, 609, 627]
    tasks = splitting.along_hierarchy([*cars, *dogs], HIERARCHY)
    toy_dogs, hounds = dogs[:8], dogs[8:]
    assert sorted(tasks) == [toy_dogs, hounds, cars]


def confusable(rng, groups, images=300):
    """Questions about images; for each image, most classes of one or two groups are proposed."""
    pairs = set()
    for image in range(images):
        chosen = rng.permutation(len(groups))[: 1 + image % 2]
        for group in chosen:
            for label in rng.permutation(groups[group])[: rng.integers(2, 6)]:
                pairs.add((image, int(label)))
    image, label = np.array(sorted(pairs)).T
    return Questions(np.array([f"{i}.png" for i in range(images)]), image, label)


def test_confusions_replace_a_hierarchy():
    rng = np.random.default_rng(0)
    mixed = rng.permutation(30)
    groups = [mixed[:10], mixed[10:16], mixed[16:30]]
    confusions = splitting.Confusions(confusable(rng, groups))
    together = confusions.similarity(groups[0])
    assert np.allclose(together, together.T) and np.allclose(np.diag(together), 1)
    for size in (3, 5, 6):
        labels = [g[:size].tolist() for g in groups]
        tasks = confusions.tasks(list(itertools.chain.from_iterable(labels)), size)
        assert sorted(tasks) == sorted(map(sorted, labels))
    assert confusions.tasks(groups[0].tolist(), 10) == [sorted(groups[0].tolist())]


def test_the_similarity_equals_a_plain_loop():
    questions = confusable(np.random.default_rng(1), [np.arange(5), np.arange(5, 9)], 40)
    images = [set(questions.image[questions.label == c].tolist()) for c in range(9)]
    wanted = [[len(a & b) / (len(a) * len(b)) ** 0.5 for a in images] for b in images]
    np.testing.assert_allclose(splitting.Confusions(questions).similarity(np.arange(9)), wanted)


def test_large_class_indices_need_no_memory():
    questions = Questions(np.array(["a.png"]), np.zeros(9, int), np.arange(9) + 2_000_000_000)
    tasks = splitting.Confusions(questions).tasks(questions.label.tolist(), 8)
    assert sorted(map(len, tasks)) == [4, 5]


@pytest.mark.parametrize("number", [1, 2, 9, 100])
def test_classes_that_are_never_proposed_together(number):
    questions = Questions(
        np.array([f"{i}.png" for i in range(number)]), np.arange(number), np.arange(number)
    )
    tasks = splitting.Confusions(questions).tasks(list(range(number)), 8)
    assert sorted(itertools.chain.from_iterable(tasks)) == list(range(number))
    assert max(map(len, tasks)) <= 8 and min(map(len, tasks)) >= min(3, number)
