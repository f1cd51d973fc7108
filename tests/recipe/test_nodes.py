"""YAML becomes nodes by YAML 1.2's rules, every value with its place, and no text does harm."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganforge.errors import Mark, RecipeError, Source
from ganforge.recipe.nodes import Node, parse, read, scalar
from ganforge.recipe.yaml_writing import dump


def tree(text: str) -> Node:
    return parse(Source("r.yaml", text))


def fault(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        tree(text)
    return str(caught.value)


def carets(node: Node) -> str:
    """What the caret marks."""
    return node.mark.excerpt()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4), ("1e5", 1e5), ("1.5E+3", 1500.0), (".5", 0.5), ("1.", 1.0), ("-0.0", -0.0),
        ("012", 12), ("-7", -7), ("+7", 7), ("0o14", 12), ("0x1F", 31), (".inf", math.inf), ("-.INF", -math.inf),
        ("true", True), ("False", False), ("", None), ("~", None), ("null", None),
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("off", "off"), ("y", "y"), ("tRUE", "tRUE"), ("None", "None"),
        ("1:30", "1:30"), ("1_000", "1_000"), ("2001-01-01", "2001-01-01"), ("0b1", "0b1"), ("-0x1F", "-0x1F"),
        ("1e", "1e"), (".", "."), ("inf", "inf"), ("nan", "nan"), ("+.nan", "+.nan"), ("=", "="), ("\u0661", "\u0661"),
        ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    for found in (scalar(text), tree(f"a: {text}").plain()["a"]):
        assert found == value
        assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(tree("[.nan]").plain()[0])


def test_quotes_make_text() -> None:
    assert tree("""{a: '1', b: "2e-4", c: 'null', '1': x, "<<": y}""").plain() == {
        "a": "1", "b": "2e-4", "c": "null", "1": "x", "<<": "y"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lr: 2e-4   # slow", "lr: 2e-4   # slow\n    ^^^^"),
        ("lr: 'a b' ", "lr: 'a b' \n    ^^^^^"),
        ('lr: &x "a b"', 'lr: &x "a b"\n       ^^^^^'),
        ("lr: &x  # why\n  [1]", "  [1]\n  ^"),
        ("lr: &x\n  b: 1", "  b: 1\n  ^"),
        ("lr: &x {b: 1}", "lr: &x {b: 1}\n       ^"),
        ("lr: |\n  text", "lr: |\n    ^"),
        ("lr: &x >-\n  text", "lr: &x >-\n       ^"),
        ("lr: 'two\n  lines'", "lr: 'two\n    ^^^^"),
        ("lr: two\n  lines", "lr: two\n    ^^^"),
        ("lr:", "lr:\n   ^"),
        ("lr: &x", "lr: &x\n      ^"),
        ("\ufefflr: x\r\nb: y\r\n", "lr: x\n    ^"),
    ],
)
def test_a_caret_stands_under_the_value(text: str, place: str) -> None:
    assert carets(tree(text).mapping()["lr"]) == place


def test_keys_keep_their_places() -> None:
    node = tree("a: 1\n'long key': {inner: 2}\n")
    assert node.keys["long key"].excerpt() == "'long key': {inner: 2}\n^^^^^^^^^^"
    assert node.at(["long key"]).keys["inner"].excerpt() == "'long key': {inner: 2}\n             ^^^^^"


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_places_within_a_text_count_from_inside_its_quotes(quote: str) -> None:
    node = tree(f"rec: {quote}G(fake){quote}").mapping()["rec"]
    mark = node.content_mark.shifted(2, 4)
    assert mark.source.text[mark.column : mark.column + mark.width] == "fake"


def test_at_finds_the_deepest_node_on_a_path() -> None:
    node = tree("phases: [{train: g}, {train: d}]")
    assert node.at(["phases", 1, "train"]).value == "d"
    assert node.at(["phases", 1, "losses", "x"]).plain() == {"train": "d"}
    assert node.at(["phases", 7]).kind == "a list"


def test_accessors_say_what_stands_there_instead() -> None:
    node = tree("a: [1]\n")
    assert node.at(("a", 0)).value == 1
    for ask in (node.text, node.at(["a"]).mapping):
        with pytest.raises(RecipeError):
            ask()
    with pytest.raises(RecipeError) as caught:
        node.at(["a"]).text()
    assert str(caught.value) == "r.yaml:1:4: here stands a list, but text is needed\n  a: [1]\n     ^"


def test_aliases_share_a_node() -> None:
    entries = tree("a: &a {x: 1}\nb: *a\n").mapping()
    assert entries["a"] is entries["b"]


def test_merge_keys_bring_entries_that_explicit_ones_win_over() -> None:
    node = tree("a: &a {x: 1, y: 2}\nb: &b {x: 3, z: 4}\nc:\n  y: 5\n  <<: [*a, *b]\nd: {<<: *b, w: 6}\n")
    assert node.plain()["c"] == {"x": 1, "z": 4, "y": 5}
    assert node.plain()["d"] == {"x": 3, "z": 4, "w": 6}
    assert node.plain()["a"] == {"x": 1, "y": 2}
    assert node.at(["c"]).keys["z"].line == 1
    assert list(node.at(["c"]).keys) == list(node.at(["c"]).mapping())


FAULTS = {
    "a: 1\nb: 2\na: 3": """\
r.yaml:3:1: the key 'a' stands in line 1 too
  a: 3
  ^
  remove or rename one of them""",
    "1: x": """\
r.yaml:1:1: a key must be text, but '1' is a number
  1: x
  ^
  quote it: '1'""",
    "a: {null: 1}": """\
r.yaml:1:5: a key must be text, but 'null' is null
  a: {null: 1}
      ^^^^
  quote it: 'null'""",
    "? [a]\n: b": """\
r.yaml:1:3: a key must be text, not a list or mapping
  ? [a]
    ^
  put text that starts so in quotes""",
    "a: !!python/object/apply:os.system [ls]": """\
r.yaml:1:4: recipes take no tags
  a: !!python/object/apply:os.system [ls]
     ^
  remove the '!...'; put text that starts so in quotes""",
    "a: !env HOME": """\
r.yaml:1:4: recipes take no tags
  a: !env HOME
     ^
  remove the '!...'; put text that starts so in quotes""",
    "a: &adam [1]\nb: *adm": """\
r.yaml:2:4: unknown alias '*adm'
  b: *adm
     ^^^^
  did you mean 'adam'?""",
    "a: &a [1, *a]": """\
r.yaml:1:11: the alias '*a' stands inside its own anchor
  a: &a [1, *a]
            ^^
  write the values out""",
    "a: &a 1\nb: &a 2": """\
r.yaml:2:4: this anchor stands in line 1 too
  b: &a 2
     ^
  give each anchor a name of its own""",
    "a: {<<: [1]}": """\
r.yaml:1:10: '<<' takes mappings, but here stands a number
  a: {<<: [1]}
           ^
  write '<<: *anchor'""",
    "a: 1\n---\nb: 2": """\
r.yaml:2:1: a second document starts here
  ---
  ^
  one file is one recipe""",
    "a:\n\tb: 1": """\
r.yaml:2:1: a tab stands where YAML wants spaces
  \tb: 1
  ^
  indent with spaces""",
    "a: b: c": """\
r.yaml:1:5: a ':' stands where no key can end
  a: b: c
      ^
  put text that holds ': ' in quotes, or check the indentation""",
    "a: 1\nfoo\nb: 2": """\
r.yaml:2:1: this line is neither 'key: value' nor '- value'
  foo
  ^
  write a ': ' after the key""",
    "a: [1, 2\nb: 3": """\
r.yaml:2:2: a ',' or ']' is missing before this
  b: 3
   ^
  close the list that opens in line 1""",
    "a: {x: 1\nb: 3": """\
r.yaml:2:2: a ',' or '}' is missing before this
  b: 3
   ^
  close the mapping that opens in line 1""",
    "a: 'x\nb: 3": """\
r.yaml:1:4: the quote that opens here is never closed
  a: 'x
     ^
  close it""",
    "a:\n  b: 1\n c: 2": """\
r.yaml:3:2: this does not continue the block of line 1
   c: 2
   ^
  check the indentation, and quotes that end too early""",
    "a: @x": """\
r.yaml:1:4: a value cannot start with this character
  a: @x
     ^
  put the value in quotes""",
    "a: [,]": """\
r.yaml:1:5: a value is missing before this
  a: [,]
      ^
  write the value, or null""",
    "a: *": """\
r.yaml:1:5: '&' and '*' name an anchor and its alias
  a: *
      ^
  put text that starts so in quotes""",
    "a: - b": """\
r.yaml:1:4: no list entry can stand here
  a: - b
     ^
  put the entries on lines below the key""",
    'a: "\\d"': """\
r.yaml:1:6: unknown escape in double quotes
  a: "\\d"
       ^
  write \\\\ for a backslash""",
    'a: "\\U00110000"': """\
r.yaml:1:7: the escape ends in no character
  a: "\\U00110000"
        ^
  the last character is \\U0010ffff""",
    "a: !x!y z": """\
r.yaml:1:4: recipes take no tags
  a: !x!y z
     ^
  remove the '!...'; put text that starts so in quotes""",
    "[a] b": """\
r.yaml:1:5: this stands after the end of the value
  [a] b
      ^
  put the whole value in quotes""",
    "a: 1\nb: \x07": """\
r.yaml:2:4: the character U+0007 may not stand in YAML
  b: \x07
     ^
  write it as an escape in double quotes: "\\u1234\"""",
    "%YAML 2.0\n---\na: 1": """\
r.yaml:1:1: not valid YAML: found incompatible YAML document (version 1.* is required)
  %YAML 2.0
  ^""",
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults_are_named_shown_and_cured(text: str) -> None:
    assert fault(text) == FAULTS[text]


def test_all_faults_are_found_at_once() -> None:
    message = fault("a: !x 1\nb: *nope\n1: c\nb: d\ne: f: g\n")
    assert [line.split(":")[1] for line in message.splitlines() if line.startswith("r.yaml")] == ["1", "2", "5"]
    assert len(fault("a: !x 1\nb: *nope\n1: c\nb: d\n").split("\n\n")) == 4


def test_hostile_texts_are_refused_quickly() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)]
    assert "more than 100,000 values, aliases written out" in fault("\n".join(lines))
    chain = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60))])
    wide = f"a: &a {{{', '.join(f'k{i}: 1' for i in range(2000))}}}\n"
    assert "more than 50 levels" in fault(chain)
    assert "more than 50 levels" in fault("[" * 3000)
    assert "more than 50 levels" in fault("- " * 3000)
    assert "100,000 values" in fault(wide + "\n".join(f"b{i}: {{<<: *a}}" for i in range(100)))
    assert "larger than 1 MiB" in fault("a: " + "x" * (1 << 20))


def test_fifty_levels_are_fine() -> None:
    assert tree("[" * 50 + "]" * 50).kind == "a list"


def test_no_text_is_null() -> None:
    assert tree("").value is None
    assert tree("# nothing\n").value is None


def test_parse_may_start_within_a_line() -> None:
    node = parse(Source("command line", "a.b=[x, {y: 1}]"), start=4)
    assert node.plain() == ["x", {"y": 1}]
    assert node.at([1, "y"]).mark == Mark(Source("command line", "a.b=[x, {y: 1}]"), 0, 12)


def test_read_names_the_file_and_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    (tmp_path / "picture.yaml").write_bytes(b"a: \x89PNG")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 20) + b"\n")
    node = read(tmp_path / "small.yaml")
    assert node.plain() == {"a": 1}
    assert str(node.mark) == f"{tmp_path}/small.yaml:1:1"
    messages = {
        "smal.yaml": f"there is no recipe '{tmp_path}/smal.yaml'\n  did you mean 'small.yaml'?",
        "none/a.yaml": f"there is no recipe '{tmp_path}/none/a.yaml'\n  give the path of a YAML file",
        "": f"cannot read '{tmp_path}': Is a directory\n  give the path of a YAML file",
        "picture.yaml": f"'{tmp_path}/picture.yaml' is not UTF-8 text: byte 3 is 0x89\n"
        "  a recipe is a YAML file; save it as UTF-8",
        "large.yaml": f"'{tmp_path}/large.yaml' is larger than 1 MiB\n"
        "  a recipe is a page of YAML; keep data in files of their own",
    }
    for name, message in messages.items():
        with pytest.raises(RecipeError) as caught:
            read(tmp_path / name)
        assert str(caught.value) == message


RECIPE = """\
data: {type: folders, root: ../data, betas: [0.5, 0.999], note: "a, b"}
networks:
  G_ab: {type: resnet, channels: 64, lr: 0.0002}
  G_ba: {type: resnet, channels: 64, lr: 0.0002}
phases:
  - train: generators
    losses:
      adv: {fake: D(G_ab(x)), weight: 1e-07}
  - - - {a: {}}
      - []
requires: [ganforge-cyclegan>=0.1, "yes, no", "1:30", "no: on", "12", "null", "<<", "", " a", "tab\\t"]
"""


def test_dump_writes_leaf_mappings_on_one_line_and_aliases_out() -> None:
    aliased = RECIPE.replace("G_ab: {", "G_ab: &G {").replace(
        "G_ba: {type: resnet, channels: 64, lr: 0.0002}", "G_ba: *G"
    )
    assert dump(tree(aliased)) == RECIPE


def test_dump_breaks_long_lines() -> None:
    text = dump(tree("{a: {b: [" + ", ".join(["word"] * 30) + "], c: d}}"))
    assert text.startswith("a:\n  b:\n    - word\n    - word\n")
    assert text.endswith("    - word\n  c: d\n")


def test_dump_tells_origins() -> None:
    node = tree("a: {b: 1, c: [x, y]}\nd: {e: 1,\n  f: []}\n")
    assert dump(node, origins=True) == (
        "a: {b: 1, c: [x, y]}  # r.yaml:1\nd:\n  e: 1  # r.yaml:2\n  f: []  # r.yaml:3\n"
    )
    assert tree(dump(node, origins=True)).plain() == node.plain()


TEXTS = st.one_of(
    st.text(max_size=12),
    st.text("abc123.-+eExX_:#,[]{}&*!|>'\"%@` ~=<\\\n\t", max_size=8),
    st.sampled_from(["null", "true", "no", "1e5", ".inf", "0x1F", "012", "<<", "", "...", "---", "?", "-", "a" * 200]),
)
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False))
DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def as_node(value: Any) -> Node:
    mark = Mark(Source("data", ""), 0, 0)
    if isinstance(value, dict):
        return Node({name: as_node(child) for name, child in value.items()}, mark)
    return Node([as_node(child) for child in value], mark) if isinstance(value, list) else Node(value, mark)


@settings(deadline=None)
@given(DATA, st.booleans())
def test_dump_and_parse_are_inverse(data: Any, origins: bool) -> None:
    found = tree(dump(as_node(data), origins)).plain()
    assert repr(found) == repr(data)  # types, signs of zero and the order of keys included


@settings(deadline=None)
@given(st.text("ab:-?[]{},&*!#|>'\"% \n\t.\\<0", max_size=30))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(RecipeError):
        tree(text).plain()
