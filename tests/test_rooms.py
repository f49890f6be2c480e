"""The house: which room may import which, read off the source; see docs/architecture.md."""

from __future__ import annotations

import ast
import collections
import graphlib
import sys

import pytest

from tests.conftest import PROJECT

# Each room of a package, and the rooms that it may import: a room is a folder, a file at the package's door,
# or the package's own face. A room stands below all that it imports.
ALLOWED = {
    "real_labels.errors": "",
    "real_labels.intervals": "errors",
    "real_labels.files": "errors",
    "real_labels.labels": "errors files",
    "real_labels.predictions": "errors intervals files labels",
    "real_labels.answers": "errors files labels",
    "real_labels.accuracy": "errors intervals files labels predictions",
    "real_labels": "errors intervals labels predictions answers accuracy",
    "real_labels.aggregation": "errors intervals files labels answers",
    "real_labels.proposals": "errors intervals files labels predictions answers",
    "real_labels.rating": "errors files labels answers aggregation",
    "real_labels.rating.site": "errors files labels rating",
    "real_labels.analysis.page": "errors intervals files labels",
    "real_labels.analysis": (
        "errors intervals files labels predictions answers accuracy aggregation analysis.page"
    ),
    "real_labels.commands": (
        "errors intervals files labels predictions answers accuracy aggregation analysis analysis.page "
        "proposals rating rating.site"
    ),
    "real_labels.cli": "errors commands",
    "real_labels.__main__": "cli",
    "big_transfer": "",
    "big_transfer.layers": "",
    "big_transfer.losses": "",
    "big_transfer.hyperrule": "",
    "big_transfer.resnet": "layers",
    "big_transfer.family": "resnet hyperrule",
    "big_transfer.run": "real_labels",
    "big_transfer.checkpoint": "family resnet run real_labels",
    "big_transfer.datasets.builders": "",
    # datasets.tfds_source also loads the builders, by the names that TFDS knows them under.
    "big_transfer.datasets": "run real_labels",
    "big_transfer.config": "family hyperrule resnet datasets run real_labels",
    "big_transfer.evaluation": "family losses resnet checkpoint config datasets run real_labels",
    "big_transfer.training": "losses resnet checkpoint config datasets evaluation run real_labels",
}
# Of real_labels, big_transfer takes labels, predictions and accuracy; never its commands.
OF_REAL_LABELS = "errors files labels predictions accuracy"
# What the extra [rating] adds, and the only files that may import it.
RATING = {"starlette", "uvicorn", "sqlalchemy", "markdown_it"}
OF_RATING = (
    "schema", "counting", "database", "queue", "people", "project", "results", "adaptive", "status",
    "current", "replayed_queue", "site",
)  # fmt: skip
BASE = {"numpy", "scipy", "pyarrow", "matplotlib", "PIL", "jinja2", "platformdirs", "tqdm"}
# jaxtyping for type checkers, etils for buckets; neither is needed.
FOREIGN = {
    "real_labels": {*sys.stdlib_module_names, *BASE, "jaxtyping", "etils", "real_labels"},
    "big_transfer": None,  # any package, but nothing of this project that stands above it
}
ABOVE = {"main", "configs", "tests", "benchmarks"}


def sources() -> dict[str, ast.Module]:
    """Module -> its parsed source, of both packages."""
    modules = {}
    for package in ("real_labels", "big_transfer"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            modules[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return modules


def imports(name: str, tree: ast.Module, modules) -> set[str]:
    """The modules that one imports, anywhere in its source; names of a package are its own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in modules else node.module)
    return found


def room_of(module: str) -> str:
    """The innermost folder of ALLOWED that a module lies in, or itself at the door."""
    room = module
    while room not in ALLOWED and "." in room:
        room = room.rpartition(".")[0]
    return room if "." in room else module


def arrows() -> set[tuple[str, str, str]]:
    """(room, room it imports, module that does) of all imports between rooms."""
    modules = sources()
    found = set()
    for name, tree in modules.items():
        for target in imports(name, tree, modules):
            if target.split(".")[0] in ("real_labels", "big_transfer"):
                here, there = room_of(name), room_of(target)
                if here != there:
                    found.add((here, there, name))
    return found


def allowed(room: str) -> set[str]:
    package = room.partition(".")[0]
    rooms = set()
    for short in ALLOWED[room].split():
        if short == "real_labels":
            rooms |= {"real_labels", *(f"real_labels.{r}" for r in OF_REAL_LABELS.split())}
        else:
            rooms.add(f"{package}.{short}")
    return rooms


def forbidden(found) -> list[str]:
    return [
        f"{module} imports from {there}"
        for here, there, module in sorted(found)
        if there not in allowed(here)
    ]


def test_rooms_import_only_what_they_may():
    assert forbidden(arrows()) == []


def test_every_room_has_a_rule_and_no_rule_is_left_over():
    assert {room_of(module) for module in sources()} == set(ALLOWED)
    used = collections.defaultdict(set)
    for here, there, _ in arrows():
        used[here].add(there)
    for room in ALLOWED:
        package = room.partition(".")[0]
        spare = {other for other in allowed(room) if other.startswith(package)} - used[room]
        assert not spare, f"{room} may import {spare}, but does not"


def test_rooms_stand_below_all_they_import():
    order = list(ALLOWED)
    for room in order:
        for other in allowed(room):
            assert order.index(other) < order.index(room), f"{room} stands above {other}"


def test_no_files_import_each_other_in_a_circle():
    modules = sources()
    graph = {
        name: {t for t in imports(name, tree, modules) if t in modules} - {name}
        for name, tree in modules.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())


def strangers(module: str, targets: set[str]) -> set[str]:
    """The packages among the imports that a module's package may not import."""
    roots = {target.split(".")[0] for target in targets}
    known = FOREIGN[module.partition(".")[0]]
    rating = tuple(f"real_labels.rating.{name}" for name in OF_RATING)
    if module.startswith((*rating, "real_labels.commands.rate")) and known is not None:
        known = known | RATING
    return roots & ABOVE if known is None else roots - known


def test_real_labels_needs_the_base_alone():
    modules = sources()
    for name, tree in modules.items():
        found = strangers(name, imports(name, tree, modules))
        assert not found, f"{name} imports {found}"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("real_labels.accuracy.top_k", "import torch"),
        ("real_labels.files.paths", "from sklearn import metrics"),
        ("real_labels.rating.tasks", "import sqlalchemy"),
        ("big_transfer.training.loop", "import main"),
    ],
)
def test_a_strange_package_is_noticed(module, line):
    assert strangers(module, imports(module, ast.parse(line), sources()))


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("real_labels.labels.published", "from real_labels.answers import Answers", "real_labels.answers"),
        ("real_labels.files.tables", "from real_labels.labels import imagenet", "real_labels.labels"),
        ("real_labels", "from real_labels.commands import score", "real_labels.commands"),
        ("big_transfer", "from big_transfer.training import loop", "big_transfer.training"),
        ("big_transfer.run.workdir", "from big_transfer import config", "big_transfer.config"),
        ("big_transfer.config.schema", "import big_transfer.training.optimizer", "big_transfer.training"),
    ],
)  # fmt: skip
def test_a_forbidden_import_is_noticed(module, line, complaint):
    modules = sources()
    targets = imports(module, ast.parse(line), modules)
    found = {(room_of(module), room_of(target), module) for target in targets}
    assert forbidden(found) == [f"{module} imports from {complaint}"]
