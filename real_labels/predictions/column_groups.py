"""Groups the columns of a table that belong together: one ranking, or a score for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from real_labels.files.tables import key_of
from real_labels.predictions import roles
from real_labels.predictions.fields import Content, Field
from real_labels.predictions.roles import Role

# For each column, its content and the number of values in a cell.
Contents = Mapping[str, tuple[Content, int]]
_Groups = dict[str, list[str]]  # the columns of each field, by the key of the field


def by_name(contents: Contents, is_binary: Callable[[str], bool]) -> list[Field]:
    """Returns the fields of a table whose columns have names.

    Args:
      contents: content and width of each column, in the order of the table.
      is_binary: whether a column holds only 0 and 1.
    """
    groups = _numbered_together(contents)
    groups = _templates_together(groups, contents)
    groups = _classes_together(groups, contents, is_binary)
    return [_field(key, names, contents) for key, names in groups.items()]


def by_content(contents: Contents) -> list[Field]:
    """Returns the fields of a table without column names: one field for each kind of numbers."""
    kinds = {Content.WHOLE: "whole", Content.REAL: "score", Content.FLAGS: "flags"}
    groups: _Groups = {}
    for name, (content, _) in contents.items():
        groups.setdefault(kinds.get(content, name), []).append(name)
    return [_field(key, names, contents) for key, names in groups.items()]


def _field(key: str, names: Sequence[str], contents: Contents) -> Field:
    if len(names) == 1:
        return Field(key, tuple(names), roles.role_of(key_of(names[0])), *contents[names[0]])
    # top1, top2, … are a ranking; a single column "top" is the edge of a box.
    role = Role.PREDICTED if key in ("top", "rank") else roles.role_of(key)
    kinds = {contents[name][0] for name in names}
    ordered = (Content.TEXT, Content.REAL, Content.WHOLE, Content.FLAGS)
    content = next((kind for kind in ordered if kind in kinds), Content.NOTHING)
    return Field(key, tuple(names), role, content, sum(contents[name][1] for name in names))


def _numbered_together(contents: Contents) -> _Groups:
    """Groups columns by key; the numbered columns of a ranking or of all classes form one group, in order."""
    parsed = {name: roles.numbered(key_of(name)) for name in contents}
    series: dict[str, list[tuple[int, str]]] = {}
    for name, parts in parsed.items():
        if parts is not None:
            series.setdefault(parts[0], []).append((parts[1], name))
    together = {
        base: [name for _, name in sorted(numbered)]
        for base, numbered in series.items()
        if roles.counts_ranks(base) or _are_all_classes(numbered, contents)
    }
    keys = {key_of(name) for name in contents}
    groups: _Groups = {}
    for name, parts in parsed.items():
        if parts is not None and parts[0] in together:
            base, names = parts[0], together[parts[0]]
            # A single column "class" may stand beside "class 0", "class 1", …, and then has that key.
            groups.setdefault(names[0] if not base or base in keys else base, names)
        else:
            key = key_of(name)
            groups[key if key not in groups else name] = [name]
    return groups


def _are_all_classes(numbered: Sequence[tuple[int, str]], contents: Contents) -> bool:
    """Whether numbered columns are p0, p1, … or p1, p2, … and hold numbers with decimals."""
    numbers = sorted(number for number, _ in numbered)
    kinds = {contents[name][0] for _, name in numbered}
    return (
        len(numbers) > 1
        and numbers[0] in (0, 1)
        and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        and Content.REAL in kinds
        and kinds <= {Content.REAL, Content.WHOLE}
    )


def _templates_together(groups: _Groups, contents: Contents) -> _Groups:
    """Groups single columns whose names differ only in the class: prob_cat, prob_dog, …."""
    alike: dict[str, list[str]] = {}
    for key, names in groups.items():
        template = roles.score_template(key)
        if template and template not in groups and _is_single(names, contents):
            alike.setdefault(template, []).append(key)
    return _merged(groups, {t: keys for t, keys in alike.items() if len(keys) > 1})


def _classes_together(
    groups: _Groups, contents: Contents, is_binary: Callable[[str], bool]
) -> _Groups:
    """Groups single columns of numbers whose names have no role: the names are those of the classes."""
    loose = {
        key: contents[names[0]][0]
        for key, names in groups.items()
        if _is_single(names, contents)
        and roles.role_of(key) is Role.UNKNOWN
        and contents[names[0]][0] in (Content.REAL, Content.FLAGS, Content.WHOLE)
    }
    kinds, keys = set(loose.values()), list(loose)
    if len(keys) < 2 or not (
        Content.REAL in kinds
        or kinds == {Content.FLAGS}
        or all(is_binary(groups[key][0]) for key in keys)
    ):
        return groups
    first, last = (key_of(groups[key][0]) for key in (keys[0], keys[-1]))
    return _merged(groups, {f"{first} … {last}": keys})


def _is_single(names: Sequence[str], contents: Contents) -> bool:
    return len(names) == 1 and contents[names[0]][1] == 1


def _merged(groups: _Groups, together: Mapping[str, Sequence[str]]) -> _Groups:
    """Returns the groups after merging some single columns under new keys, which come last."""
    merged = {key for keys in together.values() for key in keys}
    kept = {key: names for key, names in groups.items() if key not in merged}
    return kept | {new: [groups[key][0] for key in keys] for new, keys in together.items()}
