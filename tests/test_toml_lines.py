"""A line is the one that a person sees: of a key, a header or an element, however the TOML around it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.toml_lines import KeyPath, line_of

ROOT = Path(__file__).resolve().parent.parent
TEXT = '''\
# a comment with [brackets] = "and quotes
name = "one"   # [[not]] = a header
"quoted key" = 1
site.'google.com'.on = true

[table]
list = [  # opens here
    1,
    { low = 2, high = 3 }, [4,
    5],
]
long = """
[fake]
name = 'no key'
""\\""""
after = 6

[[routes]]
name = "a"
[routes.use]
tokens = { value = 500, "off by" = 1.2 }

[[ routes ]]
name = "b"
  [[routes.steps]]
  n = 1
  [[routes.steps]]
  n = 2

[deep.er]
x = 1979-05-27 07:32:00
'''
MARK = 100_000  # the first of the numbers that stand once in a generated text


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("quoted key",), 3),
        (("site", "google.com", "on"), 4),
        (("site",), 4),
        (("table",), 6),
        (("table", "list"), 7),
        (("table", "list", 0), 8),
        (("table", "list", 1, "high"), 9),
        (("table", "list", 2), 9),
        (("table", "list", 2, 1), 10),
        (("table", "long"), 12),
        (("table", "after"), 16),
        (("routes",), 18),
        (("routes", 0, "name"), 19),
        (("routes", 0, "use"), 20),
        (("routes", 0, "use", "tokens", "off by"), 21),
        (("routes", 1), 23),
        (("routes", 1, "name"), 24),
        (("routes", 1, "steps", 0, "n"), 26),
        (("routes", 1, "steps", 1), 27),
        (("deep",), 30),
        (("deep", "er", "x"), 31),
    ],
)
def test_every_way_to_write_a_key_gives_the_line_it_stands_on(path: KeyPath, line: int) -> None:
    assert line_of(TEXT).of(path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [(("routes", 0, "model"), 18), (("routes", 7), 18), (("table", "list", 9, "low"), 7), (("no",), 1)],
)
def test_a_path_that_the_file_lacks_gives_the_line_of_its_longest_known_part(path: KeyPath, line: int) -> None:
    assert line_of(TEXT).of(path) == line


def test_a_tables_own_header_counts_before_one_that_only_names_it_on_the_way() -> None:
    assert line_of("[a.b]\nx = 1\n[a]\ny = 2\n").of(("a",)) == 3


def test_of_a_value_that_may_be_inherited_the_first_path_that_the_file_has_is_said() -> None:
    lines = line_of("[defaults]\nmodel = 1\nn = 2\n[[routes]]\nmodel = 3\n")
    assert lines.said(("routes", 0, "model"), ("defaults", "model")) == ("routes", 0, "model")
    assert lines.said(("routes", 0, "n"), ("defaults", "n")) == ("defaults", "n")
    assert lines.said(("routes", 0, "x"), ("defaults", "x")) == ("routes", 0, "x")


@pytest.mark.parametrize(
    "written", ['"""a"""', '""""a"""""', '""""""', "'''a'''", "''''a'''''", r'"a\"b"', r"'a\'", '""', "''", r'"""\""""']
)
def test_a_string_ends_where_it_ends_whatever_quotes_it_holds(written: str) -> None:
    text = f"a = {written}\nb = [{written}, {written}\n]\nc = 1\n"
    assert tomllib.loads(text)["c"] == 1
    assert [line_of(text).of((key,)) for key in "abc"] == [1, 2, 4]


@pytest.mark.parametrize("path", sorted(ROOT.glob("datasets/**/*.toml")), ids=lambda path: path.name)
def test_every_key_of_the_shipped_files_stands_on_its_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines, rows = line_of(text), text.split("\n")
    for key, _ in _leaves(tomllib.loads(text)):
        assert key in lines.at
        assert not isinstance(key[-1], str) or key[-1] in rows[lines.of(key) - 1]


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:  # Any: what a TOML file holds
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield path, value
    for key, child in inner or ():
        yield from _leaves(child, (*path, key))


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A TOML text in which every leaf holds a number of its own, on the line where the leaf begins."""
    marks, names = count(MARK), count()
    noise = st.sampled_from(["", "  ", "# [x]", '# y = "', "\t# '''"])

    def gap() -> str:
        return draw(st.sampled_from(["", " ", "\n", " # , ] } [z]\n", "\n\n  "]))

    def key() -> str:
        plain = f"k{next(names)}"
        return draw(st.sampled_from([plain, f'"{plain} = #"', f"'{plain}.['", f"d{plain}.{plain}", f'd{plain} . "]]"']))

    def value(depth: int) -> str:
        kind = draw(st.sampled_from(["plain", "string", "literal", "long", "array", "inline"][: 6 if depth else 4]))
        mark = str(next(marks))
        if kind == "array":
            return (
                "["
                + "".join(f"{gap()}{value(depth - 1)}{gap()}," for _ in range(draw(st.integers(0, 3))))
                + gap()
                + "]"
            )
        if kind == "inline":
            pairs = (f"{key()} = {value(0)}" for _ in range(draw(st.integers(0, 3))))
            return "{ " + ", ".join(pairs) + " }"
        return {
            "plain": mark,
            "string": f'"{mark} \\" # ] }}"',
            "literal": f"'{mark} \\'",
            "long": f'"""{mark}\n[fake]\nfake = \'\n\\""""""',
        }[kind]

    def pairs() -> list[str]:
        return [f"{key()} = {value(2)} {draw(noise)}" for _ in range(draw(st.integers(0, 3)))]

    rows = pairs()
    for _ in range(draw(st.integers(0, 4))):
        name = f"t{next(names)}"
        shapes = [[f"[{name}]"], [f"[ {name} . 'a.b' ]"], [f"[[{name}]]"] * 2, [f"[[{name}]]", f"[{name}.sub]"]]
        shapes += [[f"[{name}.sub]", f"[{name}]"], [f"[[{name}]]", f"[[{name}.sub]]", f"[[{name}.sub]]", f"[[{name}]]"]]
        for header in draw(st.sampled_from(shapes)):
            rows += [draw(noise), f"{header} {draw(noise)}", *pairs()]
    return "\n".join(rows)


@settings(deadline=None)
@given(text=documents())
def test_every_leaf_is_where_its_own_number_stands(text: str) -> None:
    lines, rows = line_of(text), text.split("\n")
    for path, leaf in _leaves(tomllib.loads(text)):
        mark = str(leaf)[: len(str(MARK))]
        assert path in lines.at
        assert [number for number, row in enumerate(rows, start=1) if mark in row] == [lines.of(path)]


@settings(deadline=None, max_examples=40)
@given(text=documents(), more=st.integers(1, 5))
def test_comments_in_front_move_every_line_by_as_many(text: str, more: int) -> None:
    before, after = line_of(text).at, line_of("# [x]\n" * more + text).at
    assert after == {path: line + more for path, line in before.items()}
