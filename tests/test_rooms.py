"""The house: which room may import which, read off the source; see docs/architecture.md."""

from __future__ import annotations

import ast
import collections
import graphlib

import pytest

from tests.conftest import PROJECT

# Each room of a package, and the rooms of both packages that it may import. A room is a folder, or a
# file at the package's door. Whatever a room imports stands in an earlier line.
ALLOWED = {
    "real_labels.errors": "",
    "real_labels.intervals": "errors",
    "real_labels.files": "errors",
    "real_labels.labels": "errors files",
    "real_labels.predictions": "errors intervals files labels",
    "real_labels.answers": "errors files labels",
    "real_labels.accuracy": "errors intervals files labels predictions",
    "real_labels.aggregation": "errors intervals files labels answers",
    "real_labels.analysis": (
        "errors intervals files labels predictions answers accuracy aggregation analysis.page"
    ),
    "real_labels.analysis.page": "errors files",
    "real_labels.commands": (
        "errors files labels predictions answers accuracy aggregation analysis analysis.page"
    ),
    "real_labels.cli": "errors commands",
    "real_labels.__main__": "cli",
    "big_transfer.layers": "",
    "big_transfer.losses": "",
    "big_transfer.hyperrule": "",
    "big_transfer.resnet": "layers",
    "big_transfer.family": "resnet hyperrule",
    "big_transfer.run": "real_labels",
    "big_transfer.checkpoint": "family resnet run real_labels",
    "big_transfer.datasets": "real_labels",
    "big_transfer.datasets.builders": "",
    "big_transfer.config": "family hyperrule resnet datasets real_labels",
    "big_transfer.evaluation": "family losses resnet checkpoint config datasets run real_labels",
    "big_transfer.training": "losses resnet checkpoint config datasets evaluation run real_labels",
}
# What big_transfer may take of real_labels: its labels, predictions and accuracy, not its commands.
OF_REAL_LABELS = "errors files labels predictions accuracy"
# Imported nowhere in real_labels, which installs without them.
FOREIGN = {"jax", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets", "clu", "grain", "cv2",
           "sklearn", "ml_collections", "big_transfer"}  # fmt: skip


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
    while module not in ALLOWED and "." in module:
        module = module.rpartition(".")[0]
    return module


def arrows() -> set[tuple[str, str, str]]:
    """(room, room it imports, module that does) of all imports between rooms."""
    modules = sources()
    found = set()
    for name, tree in modules.items():
        for target in imports(name, tree, modules):
            if target.split(".")[0] in ("real_labels", "big_transfer"):
                here, there = room_of(name), room_of(target)
                if here != there and name not in ("real_labels", "big_transfer"):
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
    modules = [m for m in sources() if m not in ("real_labels", "big_transfer")]
    assert {room_of(m) for m in modules} == set(ALLOWED)
    used = collections.defaultdict(set)
    for here, there, _ in arrows():
        used[here].add(there)
    for room in ALLOWED:
        spare = {r for r in allowed(room) if not r.startswith("real_labels")} - used[room]
        assert room.startswith("real_labels") or not spare, (
            f"{room} may import {spare}, but does not"
        )


def test_no_rule_runs_in_a_circle():
    graph = {room: allowed(room) - {"real_labels"} for room in ALLOWED}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_no_files_import_each_other_in_a_circle():
    modules = sources()
    graph = {
        name: {t for t in imports(name, tree, modules) if t in modules} - {name}
        for name, tree in modules.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())


def test_real_labels_knows_no_framework():
    modules = sources()
    for name, tree in modules.items():
        if name.startswith("real_labels"):
            roots = {target.split(".")[0] for target in imports(name, tree, modules)}
            assert not roots & FOREIGN, f"{name} imports {roots & FOREIGN}"


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("real_labels.labels.published", "from real_labels.answers import Answers", "real_labels.answers"),
        ("real_labels.files.tables", "from real_labels.labels import imagenet", "real_labels.labels"),
        ("big_transfer.run.workdir", "from big_transfer import config", "big_transfer.config"),
        ("big_transfer.config.schema", "import big_transfer.training.optimizer", "big_transfer.training"),
    ],
)  # fmt: skip
def test_a_forbidden_import_is_noticed(module, line, complaint):
    modules = sources()
    targets = imports(module, ast.parse(line), modules)
    found = {(room_of(module), room_of(target), module) for target in targets}
    assert forbidden(found) == [f"{module} imports from {complaint}"]
