import numpy as np
import pytest

from real_labels import LabelSets
from real_labels.errors import InputError
from real_labels.labels import imagenet
from real_labels.predictions import mixups
from tests.real_labels import simulate

ERRORS = ("uniform", "near", "biased", "group")


@pytest.fixture(scope="module")
def validation(published):
    return LabelSets.from_json(published / "real.json"), imagenet.original_labels()


def folder_order(original):
    """Rows in the order of torchvision's ImageFolder: by folder, and by name in each folder."""
    return np.array([i for c in range(1000) for i in np.flatnonzero(original.classes == c)])


def permutation(seed=0):
    return np.random.default_rng(seed).permutation(1000)


MIXUPS = {
    "class-folder-order": lambda top1, original: top1[folder_order(original)],
    "one-based": lambda top1, original: top1 + 1,
    "one-too-low": lambda top1, original: top1 - 1,
    "text-sorted-indices": lambda top1, original: np.argsort(
        np.array(sorted(map(str, range(1000)))).astype(int)
    )[top1],
    "renumbered-classes": lambda top1, original: permutation()[top1],
    "class-folder-order,one-based": lambda top1, original: top1[folder_order(original)] + 1,
    "class-folder-order,renumbered-classes": lambda top1, original: permutation()[
        top1[folder_order(original)]
    ],
    None: lambda top1, original: np.random.default_rng(1).permutation(top1),
}


def diagnose(top1, original):
    return mixups.diagnose(
        top1, original.classes.astype(int), original.file_names, 1000, imagenet.describe
    )


@pytest.mark.parametrize("accuracy", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", MIXUPS)
def test_each_mixup_is_named_and_undone(validation, name, accuracy):
    real, original = validation
    for errors in ERRORS:
        top1 = simulate.model(real, original, accuracy, errors, np.random.default_rng(3))
        mixed = MIXUPS[name](top1, original)
        found = diagnose(mixed, original)
        assert found is not None and found.repair == name, (errors, found)
        if name is None:
            assert "are unrelated to the original labels" in found.evidence
            continue
        undone = mixups.repair(
            mixed[:, None], name.split(","), original.classes.astype(int), original.file_names, 1000
        )[:, 0]
        if "renumbered" in name:  # a rarely predicted class may be taken for another class
            assert (undone == top1).mean() > 0.9
            assert (
                abs((undone == original.classes).mean() - (top1 == original.classes).mean()) < 0.02
            )
        else:
            np.testing.assert_array_equal(undone, top1)
        share = (top1 == original.classes).mean()
        claimed = float(found.evidence.split("% [")[0].rsplit(" ", 1)[1])
        assert claimed == pytest.approx(100 * share, abs=1.0)


def test_honest_models_raise_no_alarm(validation):
    real, original = validation
    rng = np.random.default_rng(0)
    for i in range(200):
        accuracy = rng.uniform(0.05, 0.95)
        top1 = simulate.model(real, original, accuracy, ERRORS[i % 4], rng)
        assert diagnose(top1, original) is None, (accuracy, ERRORS[i % 4])


def test_a_habit_is_no_mixup(validation):
    """A model that takes most images of each class for the next class is bad, not mixed up."""
    _, original = validation
    truth = original.classes.astype(int)
    rng = np.random.default_rng(0)
    for accuracy in (0.35, 0.45, 0.6):
        top1 = np.where(rng.random(50_000) < accuracy, truth, (truth + 1) % 1000)
        assert diagnose(top1, original) is None


def test_honest_models_of_a_part_of_the_images_raise_no_alarm(validation):
    real, original = validation
    rng = np.random.default_rng(1)
    for i in range(60):
        rows = np.sort(rng.choice(50_000, int(10 ** rng.uniform(1, 4)), replace=False))
        top1 = simulate.model(real, original, rng.uniform(0.1, 0.95), ERRORS[i % 4], rng)[rows]
        assert diagnose(top1, original.take(rows)) is None


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_few_classes(num_classes):
    rng = np.random.default_rng(num_classes)
    truth = rng.integers(0, num_classes, 3000)
    names = np.array([f"{i:05d}.png" for i in range(3000)])
    guess = rng.integers(0, num_classes, 3000)
    for accuracy in (0.1, 0.3, 0.6, 0.9):
        top1 = np.where(rng.random(3000) < accuracy, truth, guess)
        assert mixups.diagnose(top1, truth, names, num_classes) is None
        if accuracy < (0.9 if num_classes < 10 else 0.3):
            continue
        ordered = top1[np.argsort(truth, kind="stable")]
        assert mixups.diagnose(ordered, truth, names, num_classes).repair == "class-folder-order"
        assert mixups.diagnose(top1 + 1, truth, names, num_classes).repair == "one-based"
        moved = (
            (top1 * (num_classes - 1)) % num_classes
            if num_classes > 3
            else (top1 + 1) % num_classes
        )
        found = mixups.diagnose(moved, truth, names, num_classes)
        assert found.repair == "renumbered-classes"


def test_known_numberings_are_named(validation):
    """In the devkit, index 1 is kit fox, 2 is English setter, …; the other indices here are made up."""
    real, original = validation
    begins = {1: "n02119789", 2: "n02100735", 3: "n02110185", 4: "n02096294", 5: "n02102040"}
    index = imagenet.class_of_wordnet_id()
    devkit = {i: index[w] for i, w in begins.items()}
    rest = iter(
        np.random.default_rng(0).permutation(sorted(set(range(1000)) - set(devkit.values())))
    )
    to_class = np.array(
        [devkit.get(i, -1) if i in devkit else int(next(rest)) for i in range(1, 1001)]
    )
    from_class = np.argsort(to_class) + 1
    top1 = simulate.model(real, original, 0.7, "uniform", np.random.default_rng(0))
    found = diagnose(from_class[top1], original)
    assert found.repair == "renumbered-classes"
    assert "devkit's ILSVRC2012_ID (" in found.evidence
    assert "1 is 278 (n02119789)" in found.evidence


def test_a_few_classes_that_changed_places_are_found(validation):
    real, original = validation
    top1 = simulate.model(real, original, 0.8, "uniform", np.random.default_rng(0))
    swapped = np.where(top1 < 30, (top1 + 15) % 30, top1)
    found = diagnose(swapped, original)
    assert found.repair == "renumbered-classes" and "30 indices of 1000" in found.evidence


def test_a_weak_renumbered_model_is_not_called_shuffled(validation):
    real, original = validation
    top1 = simulate.model(real, original, 0.06, "uniform", np.random.default_rng(0))
    found = diagnose(permutation()[top1], original)
    assert found.repair is None and "numbered in another way" in found.evidence


def test_numbers_in_names_sorted_as_text():
    rng = np.random.default_rng(0)
    names = np.array(sorted(f"{i}.jpg" for i in range(2000)))
    truth = rng.integers(0, 20, 2000)  # of the images in text order
    top1 = np.where(rng.random(2000) < 0.6, truth, rng.integers(0, 20, 2000))
    by_number = np.argsort([int(n.removesuffix(".jpg")) for n in names])
    mixed = top1[by_number]
    found = mixups.diagnose(mixed, truth, names, 20)
    assert found.repair == "number-order"
    undone = mixups.repair(mixed[:, None], ["number-order"], truth, names, 20)
    np.testing.assert_array_equal(undone[:, 0], top1)


def test_constant_predictions_and_tiny_sets():
    names = np.array([f"{i:04d}" for i in range(5000)])
    truth = np.random.default_rng(0).integers(0, 10, 5000)
    found = mixups.diagnose(np.full(5000, 3), truth, names, 10)
    assert found.repair is None and "Every image is predicted as class 3" in found.evidence
    assert mixups.diagnose(np.full(20, 3), truth[:20], names[:20], 10) is None
    assert mixups.diagnose(truth[:1], truth[:1], names[:1], 10) is None
    assert mixups.diagnose(truth[:0], truth[:0], names[:0], 10) is None


def test_two_classes_that_changed_places_are_renumbered_not_reordered():
    """Agreement as given is below chance; an order that only reaches chance is no explanation."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, accuracy = 4000, rng.uniform(0.84, 0.97)
        truth = rng.integers(0, 2, n)
        names = np.array([f"{i:05d}.png" for i in range(n)])
        top1 = np.where(rng.random(n) < accuracy, truth, 1 - truth)
        assert mixups.diagnose(top1, truth, names, 2) is None
        assert mixups.diagnose(1 - top1, truth, names, 2).repair == "renumbered-classes"


def test_an_order_that_merely_reaches_chance_explains_nothing():
    """Mostly wrong predictions of two classes: any shuffling agrees more, but is no explanation."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, 6000)
        names = np.array([f"{i:05d}.png" for i in range(6000)])
        top1 = np.where(rng.random(6000) < 0.3, truth, 1 - truth)
        found = mixups.diagnose(top1, truth, names, 2)
        assert found is not None and found.repair is None, seed


def test_weak_models_of_few_classes_raise_no_alarm():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        num_classes = int(rng.choice([2, 3, 5, 10]))
        weights = rng.dirichlet(np.full(num_classes, 2.0))  # classes are not equally frequent
        n = int(rng.choice([60, 500, 5000]))
        truth, guess = rng.choice(num_classes, (2, n), p=weights)
        top1 = np.where(rng.random(n) < rng.uniform(0.1, 0.95), truth, guess)
        names = np.array([f"{i:05d}.png" for i in range(n)])
        assert mixups.diagnose(top1, truth, names, num_classes) is None, seed


def test_a_cyclic_shift_is_renumbered_though_most_classes_are_one_off():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, 5000)
    top1 = np.where(rng.random(5000) < 0.8, truth, rng.integers(0, 10, 5000))
    names = np.array([f"{i:05d}.png" for i in range(5000)])
    found = mixups.diagnose((top1 + 1) % 10, truth, names, 10)
    assert found.repair == "renumbered-classes"


def test_one_label_for_all_tells_nothing():
    names = np.array([f"{i:03d}.png" for i in range(500)])
    zeros = np.zeros(500, int)
    assert mixups.diagnose(zeros, zeros, names, 2) is None


def test_repair_of_rankings_keeps_classes_distinct(validation):
    _, original = validation
    rng = np.random.default_rng(0)
    top = np.argsort(rng.random((50_000, 8)), axis=1) + rng.integers(0, 993, (50_000, 1))
    top[::50] = np.arange(8)  # a background class now and then
    for name in mixups.REPAIRS:
        undone = mixups.repair(top, [name], original.classes.astype(int), original.file_names, 1000)
        assert (np.diff(np.sort(undone, axis=1)) > 0).all(), name
    with pytest.raises(InputError, match="Unknown repair 'magic'"):
        mixups.repair(top, ["magic"], original.classes.astype(int), original.file_names, 1000)
