"""Damaged files for fuzzing: valid files with a few changes that their format may not notice."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile

from hypothesis import strategies as st

_NUMBER = re.compile(rb"\d+(\.\d+)?")
_NUMBERS = st.sampled_from([
    b"-1", b"0", b"1", b"2", b"16", b"99999", b"2147483648", b"9223372036854775808", b"1" * 400,
    b"1e400", b"1e-9", b"NaN", b"nan", b"0.5", b"true", b"null", b'""', b"[]", b"{}", b"",
])  # fmt: skip
_VALUES = st.sampled_from([
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "a", "0", "1e9", "\x00", "\ud800", "../x", "\x1b[2J", "é", [], [[]], [1, 2], {}, {"a": 1}, [None],
])  # fmt: skip
_BYTES = st.sampled_from([b"\0", b"\xff", b"\n", b",", b'"', b"[", b"\x1b", b"\xef\xbb\xbf"])


class Seed(bytes):
    """A valid file. Its `repr` is short: hypothesis prints the arguments of strategies."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@st.composite
def changed(draw, content: bytes) -> bytes:
    """Content with one to three changes: bytes cut, changed, put in, taken out, repeated; other numbers."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([1, 2, 4, 8, 64, 512])))
        kind = draw(st.sampled_from(["cut", "bits", "in", "out", "twice", "number", "number"]))
        if kind == "cut":
            content = content[:start]
        elif kind == "bits" and start < end:
            bits = draw(st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128, 255]))
            content = content[:start] + bytes([content[start] ^ bits]) + content[start + 1 :]
        elif kind == "in":
            content = content[:start] + draw(_BYTES | st.binary(max_size=4)) + content[start:]
        elif kind == "out":
            content = content[:start] + content[end:]
        elif kind == "twice":
            content = content[:end] + content[start:]
        elif kind == "number" and (numbers := list(_NUMBER.finditer(content))):
            found = draw(st.sampled_from(numbers))
            content = content[: found.start()] + draw(_NUMBERS) + content[found.end() :]
    return content


@st.composite
def changed_json(draw, value):
    """A JSON value with one part replaced, removed or moved under another name."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 3)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        copy = dict(value) if isinstance(value, dict) else list(value)
        what = draw(st.sampled_from(["part", "part", "part", "removed", "renamed"]))
        if what == "part":
            copy[key] = draw(changed_json(value[key]))
        elif what == "removed":
            del copy[key]
        elif isinstance(copy, dict):
            copy[draw(st.sampled_from(["", "a", "0", "-1", "\ud800", str(key) + " "]))] = copy.pop(
                key
            )
        else:
            copy.insert(0, copy.pop(key))
        return copy
    return draw(_VALUES)


def json_files(value):
    """Files of a JSON value: damaged as values, or as bytes."""
    text = Seed(json.dumps(value).encode())
    return st.one_of(changed_json(value).map(lambda v: json.dumps(v).encode()), changed(text))


def members(content: bytes) -> dict[str, bytes]:
    """The members of a zip file, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@st.composite
def zip_files(draw, content: bytes) -> bytes:
    """A zip file with a changed, removed or renamed member and right checksums; or with changed bytes."""
    kind = draw(st.sampled_from(["member", "member", "member", "removed", "renamed", "bytes"]))
    if kind == "bytes":
        return draw(changed(Seed(content)))
    found = members(content)
    name = draw(st.sampled_from(sorted(found)))
    if kind == "member":
        # The header of an array is in its first bytes.
        head = draw(st.sampled_from([128, len(found[name])]))
        found[name] = draw(changed(Seed(found[name][:head]))) + found[name][head:]
    else:
        member = found.pop(name)
        if kind == "renamed":
            found[draw(st.sampled_from(["a", "a.npy", "../a.npy", f"{name}.npy", name[:-4]]))] = (
                member
            )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", draw(st.sampled_from([0, 8]))) as archive:
        for member_name, member in found.items():
            archive.writestr(member_name, member)
    return packed.getvalue()


@st.composite
def safetensors_files(draw, content: bytes) -> bytes:
    """A safetensors file with a changed header of the length that it states; or with changed bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = content[8 : 8 + length], content[8 + length :]
    if draw(st.booleans()):
        header = draw(json_files(json.loads(header)))
        return struct.pack("<Q", len(header)) + header + data
    return draw(changed(Seed(content[: 8 + length]))) + data
