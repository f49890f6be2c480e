"""The role that the name of a column or an array suggests: all rules in one place.

The rules are compared with the key of the name (see `files.tables.key_of`); the first rule that matches
decides. The content of the column can overrule its name: see `fields` and `choice`.
"""

from __future__ import annotations

import enum
import re

from real_labels.files.tables import FILE_COLUMNS


class Role(enum.Enum):
    """The content of a column, as its name suggests."""

    FILE_NAME = "file names"
    ABOUT_PREDICTION = "a property of a prediction, such as whether it is right"
    METADATA = "other data about the image"
    TRUTH = "the true labels"
    SCORE = "scores"
    PREDICTED = "predictions"
    CLASS = "classes, predicted or true"
    UNKNOWN = "unknown"


_SCORE_WORDS = (
    r"(scores?|logits?|probs?|probabilit(?:y|ies)|conf|confidences?|softmax|smx|sigmoids?|votes?|maxprob|msp"
    r"|dists?|distributions?|likelihoods?)"
)
_RULES = (
    (Role.FILE_NAME, "|".join(FILE_COLUMNS)),
    (
        Role.ABOUT_PREDICTION,
        r"correct|is_correct.*|hits?"
        r"|(pred|predictions?|predicted|top_?\d*)_(is_)?(correct|right|hit|time|date|ms|model|loss|error)",
    ),
    (
        Role.METADATA,
        r"|unnamed(:_\d+)?|row|rows|split|fold|subset|width|height|size|area|loss|losses|entropy|margin"
        r"|uncertainty|is_.*|count|n|num_.*|time|timestamp|date|seed|model|dataset|epoch"
        r"|batch|source|url|md5|sha\d*|hash|comments?|notes?|mock"
        r"|b?box(es)?(_.*)?|[xy]_?(min|max)|[xy][12]|x|w|h|left|top|right|bottom",
    ),
    (
        Role.TRUTH,
        r"(true|truth|gt|targets?|ground|actual|original|orig|y_true)(_.*)?|.*_(true|truth|gt)",
    ),
    (Role.SCORE, rf"(.*_)?{_SCORE_WORDS}(_.*)?"),
    (Role.UNKNOWN, r"predictions?_id"),  # the id of the row, or of the class
    (
        Role.PREDICTED,
        r"(pred|preds|prediction|predictions|predicted|predictionstring|top\d+|topk|y_?hat|guess|argmax"
        r"|ranking|ranked)(_.*)?|top_(class|label|index|idx|id|wnid|synset)|.*_(pred|preds|predicted|predictions?)"
        r"|outputs?",
    ),
    (
        Role.CLASS,
        r"y|(.*_)?(index|indices|idx|class|classes|label|labels|category|categories|wnid|wordnet_id|synset"
        r"|class_?id|label_?id)(_(id|idx|index|val|test|name|names))?",
    ),
)
_COMPILED = tuple((role, re.compile(pattern)) for role, pattern in _RULES)
# Numbers after these names count ranks or classes, not models or runs: index_0, top1, class_3.
_RANKED = re.compile(
    r"(pred|prediction|predicted|top|rank)s?(_(class|label|index|idx|id|wnid|synset))?"
    r"|index|indices|class|classes|class_id|class_index|class_idx|topk_indices|wnid|wordnet_id|synset|labels?"
)
_NUMBERED = re.compile(r"(.*?)[_ ]?(\d+)")  # pred_1
_NUMBERED_INSIDE = re.compile(r"(top|pred|prediction|rank)_?(\d+)_(.+)")  # top1_class


def role_of(key: str) -> Role:
    """Returns the role that the key of a column suggests."""
    return next((role for role, rule in _COMPILED if rule.fullmatch(key)), Role.UNKNOWN)


def numbered(key: str) -> tuple[str, int] | None:
    """Returns (name without its number, number) of a name with a number; None for other names."""
    if match := _NUMBERED_INSIDE.fullmatch(key):
        return f"{match[1]}_{match[3]}", int(match[2])
    match = _NUMBERED.fullmatch(key)
    return (match[1], int(match[2])) if match else None


def counts_ranks(base: str) -> bool:
    """Whether numbers after this name count ranks or classes, whatever the columns hold."""
    return not base or bool(_RANKED.fullmatch(base)) or role_of(base) is Role.SCORE


def score_template(key: str) -> str | None:
    """Returns the common pattern of score columns named after classes, "prob_*" for prob_cat; or None."""
    for pattern, template in (
        (rf"{_SCORE_WORDS}_(.+)", "{}_*"),
        (rf"(?:.+)_{_SCORE_WORDS}", "*_{}"),
    ):
        if match := re.fullmatch(pattern, key):
            return template.format(match[1])
    return None
