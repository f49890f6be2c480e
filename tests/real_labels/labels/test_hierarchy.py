"""Hierarchies: the published categories, random graphs against a plain loop, and errors."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_labels.errors import InputError
from real_labels.labels import ClassNames, imagenet, wordnet
from real_labels.labels.hierarchy import Hierarchy

GLOSS = 'what {} is; "an example of it"'


def test_categories_are_those_of_the_published_tasks(shared):
    published = json.loads((shared / "published_tasks" / "categories.json").read_text())
    hierarchy = wordnet.hierarchy()
    ids = imagenet.wordnet_ids()
    assert [hierarchy.category(c) for c in range(1000)] == [published[i] for i in ids]
    assert len(set(published.values())) == 127
    plain = dataclasses.replace(hierarchy, exceptions={})
    differ = [c for c in range(1000) if plain.category(c) != published[ids[c]]]
    assert [ids[c] for c in differ] == ["n03602883"]  # joystick, by the tie rule
    assert wordnet.lemmas(plain.category(differ[0]))[0] == "electronic equipment"


def test_the_table_is_wordnets(shared):
    lines = (shared / "wordnet" / "imagenet_wordnet.tsv").read_text().splitlines()
    nodes = [line.split("\t") for line in lines]
    hierarchy = wordnet.hierarchy()
    assert len(nodes) == 1_860 and {node for node, *_ in nodes} == set(hierarchy.names)
    for node, parents, lemmas, _ in nodes:
        assert list(hierarchy.parents[node]) == parents.split()
        assert ", ".join(wordnet.lemmas(node)) == lemmas


def data_noun(folder, shift=0):
    """Writes a data.noun with our nodes at the byte positions given by their ids, plus `shift`."""
    hierarchy = wordnet.hierarchy()
    content = bytearray(b" " * (16 << 20))
    for node in hierarchy.names:
        words = [word.replace(" ", "_") for word in wordnet.lemmas(node)]
        head = f"{node[1:]} 03 n {len(words):02x} {' '.join(f'{w} 0' for w in words)}"
        kinds = ["@i" if i else "@" for i in range(len(hierarchy.parents[node]))]
        pointers = [f"{k} {p[1:]} n 0000" for k, p in zip(kinds, hierarchy.parents[node])]
        pointers.insert(0, "~ 00000001 n 0000")
        line = f"{head} {len(pointers):03d} {' '.join(pointers)} | {GLOSS.format(words[0])}  \n"
        start = int(node[1:]) + shift
        content[start : start + len(line.encode())] = line.encode()
    folder.mkdir()
    (folder / "data.noun").write_bytes(content)
    return folder


def test_table_and_glosses_come_from_a_wordnet_folder(tmp_path):
    folder = data_noun(tmp_path / "wordnet")
    wordnet.build_table(folder, tmp_path / "table.tsv")
    assert (tmp_path / "table.tsv").read_bytes() == wordnet.TABLE.read_bytes()
    glosses = wordnet.glosses(folder)
    assert len(glosses) == 1_000 and glosses[0] == GLOSS.format("tench")


def test_another_wordnet_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"data.noun: is not WordNet 3\.0.*begins at byte"):
        wordnet.glosses(data_noun(tmp_path / "shifted", shift=1))
    with pytest.raises(InputError, match=r"has no data\.noun.*wordnet-base"):
        wordnet.glosses(tmp_path)


@st.composite
def graphs(draw):
    """(parents of each node, classes); parents have lower numbers, so there is no cycle."""
    n = draw(st.integers(2, 14))
    parents = {
        str(node): [str(p) for p in draw(st.sets(st.integers(0, node - 1), max_size=3))]
        for node in range(1, n)
    }
    classes = draw(st.sets(st.integers(1, n - 1), min_size=1))
    return parents, {c: str(c) for c in classes}


@given(graphs())
def test_categories_of_any_graph_are_those_of_a_plain_loop(graph):
    parents, node_of = graph
    hierarchy = Hierarchy(parents, node_of)

    def up(node):
        named = sorted(parents.get(node, []))
        return [node, *(up(named[0]) if named else [])]

    candidates = {up(node)[1] for node in node_of.values() if len(up(node)) > 1}
    kept = set()
    for node in node_of.values():
        for above in up(node)[1:]:
            if above in candidates:
                nearest_root = above
        if any(above in candidates for above in up(node)[1:]):
            kept.add(nearest_root)

    def links(node, target):
        """Fewest links, over all paths."""
        if node == target:
            return 0
        return min((1 + links(p, target) for p in parents.get(node, [])), default=float("inf"))

    for class_, node in node_of.items():
        reach = [
            (links(node, k), -len(up(k)), k)
            for k in kept
            if k != node and links(node, k) < float("inf")
        ]
        assert hierarchy.category(class_) == (min(reach)[2] if reach else node)
        path = hierarchy.path(class_)
        assert path[-1] == node and not parents.get(path[0])
        assert all(above in parents[below] for above, below in itertools.pairwise(path))
        assert hierarchy.category(class_) in path


def write(path, *links):
    path.write_text("child,parent\n" + "".join(f"{c},{p}\n" for c, p in links))
    return path


def test_a_file_of_child_and_parent(tmp_path):
    path = write(
        tmp_path / "h.csv", (0, "cat"), (1, "cat"), (2, "dog"), ("cat", "pet"), (2, "wolf")
    )
    hierarchy = Hierarchy.load(path)
    assert hierarchy.node_of == {0: "0", 1: "1", 2: "2"}
    assert [hierarchy.category(c) for c in (0, 1, 2, 7)] == ["cat", "cat", "dog", "class 7"]
    assert hierarchy.path(0) == ("pet", "cat", "0") and hierarchy.path(7) == ("class 7",)
    names = ClassNames(("Tabby", "pug"))
    by_name = write(tmp_path / "n.csv", ("tabby", "cat"), ("Pug", "dog"))
    assert Hierarchy.load(by_name, names).node_of == {0: "tabby", 1: "Pug"}
    numbered = write(tmp_path / "g.csv", (0, 10), (1, 10), (2, 11), (10, "top"), (11, "top"))
    assert set(Hierarchy.load(numbered).node_of) == {0, 1, 2}
    assert set(Hierarchy.load(numbered, labels={0, 11}).node_of) == {0, 1, 2, 11}
    ids = write(tmp_path / "w.csv", ("n01440764", "fish"), ("n00000001", ""))
    assert Hierarchy.load(ids).node_of == {0: "n01440764"}


def test_files_that_are_no_hierarchy(tmp_path):
    for links, says in (
        (
            [(0, "x"), ("x", "y"), ("y", "x")],
            r"is not a hierarchy: its links form a cycle, x -> y -> x\.$",
        ),
        (
            [(3, 3)],
            "form a cycle, 3 -> 3. If parents have numbers that are not class indices, rename",
        ),
        ([("", "x")], "row 1 has no child"),
        ([("cat", "pet")], r"none of its nodes \(cat, pet, …\) is a class"),
        ([(1, "x"), ("1.0", "y")], "names class 1 twice, as 1 and as 1.0"),
    ):
        path = write(tmp_path / "h.csv", *links)
        with pytest.raises(InputError, match=says) as error:
            Hierarchy.load(path)
        assert str(error.value).startswith(f"{path}: ")
    (tmp_path / "h.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="expected the columns child and parent; found a, b"):
        Hierarchy.load(tmp_path / "h.csv")
