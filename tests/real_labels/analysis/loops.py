"""Reference implementations of the analyses with dicts, sets and loops."""

from __future__ import annotations

import collections
import itertools


def worlds(predictions, original, real):
    """[(name, ranked classes, original label, set of ReaL labels)] of every predicted image."""
    labels = dict(zip(original.file_names.tolist(), original.to_lists()))
    valid = dict(zip(real.file_names.tolist(), real.to_lists()))
    return [
        (name, ranked, labels[name][0], set(valid[name]))
        for name, ranked in zip(predictions.file_names.tolist(), predictions.classes.tolist())
    ]


def triage(predictions, original, real):
    kinds = {}
    for name, ranked, label, valid in worlds(predictions, original, real):
        top = ranked[0]
        if top == label:
            continue
        if not valid:
            kinds[name] = "no_label"
        elif top in valid and label in valid:
            kinds[name] = "both_valid"
        elif top in valid:
            kinds[name] = "label_error"
        elif label in valid:
            kinds[name] = "model_error"
        else:
            kinds[name] = "neither"
    return kinds


def label_errors(original, real):
    """{class: [images, with other labels, without labels]}."""
    valid = dict(zip(real.file_names.tolist(), real.to_lists()))
    classes = collections.defaultdict(lambda: [0, 0, 0])
    for name, (label,) in zip(original.file_names.tolist(), original.to_lists()):
        classes[label][0] += 1
        if not valid[name]:
            classes[label][2] += 1
        elif label not in valid[name]:
            classes[label][1] += 1
    return dict(classes)


def picks_original(predictions, original, real):
    """(picks of the original label, images, expected share of an unbiased oracle)."""
    hits, chances = 0, []
    for _, ranked, label, valid in worlds(predictions, original, real):
        if len(valid) > 1 and label in valid and ranked[0] in valid:
            hits += ranked[0] == label
            chances.append(1 / len(valid))
    return hits, len(chances), sum(chances) / len(chances)


def rank_is_valid(predictions, original, real, rank):
    """((hits, images) with `rank` labels or more, (hits, images) with any label)."""
    enough, every = [], []
    for _, ranked, _, valid in worlds(predictions, original, real):
        hit = ranked[rank - 1] in valid
        if len(valid) >= rank:
            enough.append(hit)
        if valid:
            every.append(hit)
    return (sum(enough), len(enough)), (sum(every), len(every))


def preference(predictions, original, answers):
    """(mean shares for model, neither, original; images; images with common raters)."""
    answered = collections.defaultdict(dict)
    questions = answers.questions
    for question, rater, answer in zip(
        answers.question.tolist(), answers.rater.tolist(), answers.answer.tolist()
    ):
        name = questions.file_names[questions.image[question]]
        answered[name, int(questions.label[question])][rater] = answer
    labels = dict(zip(original.file_names.tolist(), original.to_lists()))
    total, images, same = [0.0, 0.0, 0.0], 0, 0
    for name, ranked in zip(predictions.file_names.tolist(), predictions.classes.tolist()):
        (label,) = labels[name]
        model, old = answered.get((name, ranked[0])), answered.get((name, label))
        if ranked[0] == label or not model or not old:
            continue
        images += 1
        common = [(model[rater], old[rater]) for rater in model if rater in old]
        same += bool(common)
        pairs = common or list(itertools.product(model.values(), old.values()))
        total[0] += sum(a > b for a, b in pairs) / len(pairs)
        total[1] += sum(a == b for a, b in pairs) / len(pairs)
        total[2] += sum(a < b for a, b in pairs) / len(pairs)
    return [t / images for t in total], images, same


def pairs(original, real, at_least):
    """{(a, b): (both valid, swapped, images of either)}."""
    both, swapped, images = (collections.Counter() for _ in range(3))
    valid = dict(zip(real.file_names.tolist(), real.to_lists()))
    shown = collections.defaultdict(set)
    for name, (label,) in zip(original.file_names.tolist(), original.to_lists()):
        if not valid[name]:
            continue
        for class_ in {label, *valid[name]}:
            shown[class_].add(name)
        both.update(itertools.combinations(sorted(valid[name]), 2))
        if label not in valid[name]:
            swapped.update(tuple(sorted((label, other))) for other in valid[name])
    for pair in {*both, *swapped}:
        if both[pair] + swapped[pair] >= at_least:
            images[pair] = len(shown[pair[0]] | shown[pair[1]])
    return {pair: (both[pair], swapped[pair], images[pair]) for pair in images}


def told_apart(models, original, real, pair, by):
    """(balanced accuracy of all models' predictions between the two, number of predictions)."""
    right, decided = dict.fromkeys(pair, 0), dict.fromkeys(pair, 0)
    for predictions in models:
        for _, ranked, label, valid in worlds(predictions, original, real):
            truth = {label} if by == "original" else valid
            among = [c for c in pair if c in truth]
            if len(among) != 1 or ranked[0] not in pair:
                continue
            decided[among[0]] += 1
            right[among[0]] += ranked[0] == among[0]
    if not all(decided.values()):
        return None, sum(decided.values())
    return sum(right[c] / decided[c] for c in pair) / 2, sum(decided.values())


def calibration_error(confidence, right, bins):
    """Σ n_j/n |share right - mean confidence| over bins (j/B, (j+1)/B]."""
    total = 0.0
    for j in range(bins):
        inside = [
            (c, r)
            for c, r in zip(confidence, right)
            if j / bins < c <= (j + 1) / bins or (j == 0 and c == 0)
        ]
        if inside:
            mean = sum(c for c, _ in inside) / len(inside)
            total += abs(sum(r for _, r in inside) / len(inside) - mean) * len(inside)
    return total / len(confidence)
