"""Rules of imports between rooms, checked on the source; see docs/architecture.md."""

from __future__ import annotations

import ast
import collections
import graphlib
import sys

import pytest

from tests.conftest import PROJECT

# Each room of a package, and the rooms that it may import. A room is a folder, a file directly in the
# package, or the package's own `__init__`. In this table, a room comes after all rooms that it imports.
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
    "big_transfer.datasets": "datasets.builders run real_labels",
    "big_transfer.config": "family hyperrule resnet datasets run real_labels",
    "big_transfer.evaluation": "family losses resnet checkpoint config datasets run real_labels",
    "big_transfer.training": "losses resnet checkpoint config datasets evaluation run real_labels",
    "big_transfer.compilation": "resnet config datasets evaluation run training real_labels",
}
# The rooms of real_labels that big_transfer may import; the commands are not among them.
OF_REAL_LABELS = "errors files labels predictions accuracy"
# Packages of the extra [rating], and the only files of real_labels.rating that may import these packages.
RATING = {"starlette", "uvicorn", "sqlalchemy", "markdown_it"}
OF_RATING = (
    "schema", "counting", "database", "queue", "people", "project", "results", "adaptive", "status",
    "current", "replayed_queue", "site",
)  # fmt: skip
BASE = {"numpy", "scipy", "pyarrow", "matplotlib", "PIL", "jinja2", "platformdirs", "tqdm"}
# jaxtyping is for type checkers, etils for buckets; both are optional.
FOREIGN = {
    "real_labels": {*sys.stdlib_module_names, *BASE, "jaxtyping", "etils", "real_labels"},
    "big_transfer": None,  # any package except those in ABOVE
}
ABOVE = {"main", "configs", "tests", "benchmarks"}


def sources() -> dict[str, ast.Module]:
    """Parsed source of every module of both packages, by module name."""
    modules = {}
    for package in ("real_labels", "big_transfer"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            modules[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return modules


def imports(name: str, tree: ast.Module, modules) -> set[str]:
    """Modules that the module `name` imports anywhere in its source; other names count as their package."""
    targets = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import; write an absolute import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                targets.add(full if full in modules else node.module)
    return targets


def room_of(module: str) -> str:
    """The innermost room of ALLOWED that contains the module, else the module itself."""
    room = module
    while room not in ALLOWED and "." in room:
        room = room.rpartition(".")[0]
    return room if "." in room else module


def room_imports() -> set[tuple[str, str, str]]:
    """All imports between rooms, as (importing room, imported room, importing module)."""
    modules = sources()
    between_rooms = set()
    for name, tree in modules.items():
        for target in imports(name, tree, modules):
            if target.split(".")[0] in ("real_labels", "big_transfer"):
                here, there = room_of(name), room_of(target)
                if here != there:
                    between_rooms.add((here, there, name))
    return between_rooms


def allowed(room: str) -> set[str]:
    package = room.partition(".")[0]
    rooms = set()
    for short in ALLOWED[room].split():
        if short == "real_labels":
            rooms |= {"real_labels", *(f"real_labels.{r}" for r in OF_REAL_LABELS.split())}
        else:
            rooms.add(f"{package}.{short}")
    return rooms


def forbidden_imports(between_rooms) -> list[str]:
    return [
        f"{module} imports from {there}"
        for here, there, module in sorted(between_rooms)
        if there not in allowed(here)
    ]


def test_rooms_import_only_allowed_rooms():
    assert forbidden_imports(room_imports()) == []


def test_every_room_has_a_rule_and_no_rule_is_left_over():
    assert {room_of(module) for module in sources()} == set(ALLOWED)
    used = collections.defaultdict(set)
    for here, there, _ in room_imports():
        used[here].add(there)
    for room in ALLOWED:
        package = room.partition(".")[0]
        unused = {other for other in allowed(room) if other.startswith(package)} - used[room]
        assert not unused, f"{room} may import {unused}, but does not"


def test_rooms_come_after_all_rooms_they_import():
    order = list(ALLOWED)
    for room in order:
        for other in allowed(room):
            message = f"ALLOWED lists {room} before {other}, which it may import"
            assert order.index(other) < order.index(room), message


def test_no_files_import_each_other_in_a_circle():
    modules = sources()
    graph = {
        name: {t for t in imports(name, tree, modules) if t in modules} - {name}
        for name, tree in modules.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())


def forbidden_packages(module: str, targets: set[str]) -> set[str]:
    """The top-level packages among the imported modules that `module` may not import."""
    roots = {target.split(".")[0] for target in targets}
    permitted = FOREIGN[module.partition(".")[0]]
    rating = tuple(f"real_labels.rating.{name}" for name in OF_RATING)
    if module.startswith((*rating, "real_labels.commands.rate")) and permitted is not None:
        permitted = permitted | RATING
    return roots & ABOVE if permitted is None else roots - permitted


def test_modules_import_only_permitted_packages():
    modules = sources()
    for name, tree in modules.items():
        packages = forbidden_packages(name, imports(name, tree, modules))
        assert not packages, f"{name} must not import {packages}"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("real_labels.accuracy.top_k", "import torch"),
        ("real_labels.files.paths", "from sklearn import metrics"),
        ("real_labels.rating.tasks", "import sqlalchemy"),
        ("big_transfer.training.loop", "import main"),
    ],
)
def test_a_forbidden_package_is_noticed(module, line):
    assert forbidden_packages(module, imports(module, ast.parse(line), sources()))


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
    between_rooms = {(room_of(module), room_of(target), module) for target in targets}
    assert forbidden_imports(between_rooms) == [f"{module} imports from {complaint}"]
