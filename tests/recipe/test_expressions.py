"""Expressions are a small part of Python's grammar; any other text is refused at its place, and none does harm."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganforge.recipe.expressions import (
    MAX_DEPTH,
    MAX_LENGTH,
    Attribute,
    Call,
    Constant,
    Expression,
    ExpressionFault,
    Name,
    Negative,
    parse_expression,
)


def place(text: str, piece: Expression) -> str:
    return text[piece.column : piece.column + piece.width]


def fault(text: str) -> tuple[str, str]:
    """The message, and what the caret marks."""
    with pytest.raises(ExpressionFault) as raised:
        parse_expression(text)
    return raised.value.message, text[raised.value.column : raised.value.column + raised.value.width]


def test_an_expression_is_a_tree_of_pieces() -> None:
    text = "D_b(past_b(-fake_b), layers=3).logits"
    tree = parse_expression(text)
    assert isinstance(tree, Attribute)
    assert (tree.attribute, tree.text, place(text, tree)) == ("logits", text, text)
    (call,) = tree.children
    assert isinstance(call, Call)
    assert (call.name, call.method, call.function) == ("D_b", None, "D_b")
    assert [(name, type(value), place(text, value)) for name, value in call.keywords] == [("layers", Constant, "3")]
    (past,) = call.arguments
    assert place(text, past) == "past_b(-fake_b)"
    (negative,) = past.children
    assert isinstance(negative, Negative)
    assert isinstance(negative.operand, Name)
    assert place(text, negative.operand) == "fake_b"
    assert tree.names() == {"D_b", "past_b", "fake_b"}


def test_methods_are_called_by_their_network() -> None:
    call = parse_expression("G.encode(x)")
    assert isinstance(call, Call)
    assert (call.name, call.method, call.function) == ("G", "encode", "G.encode")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("G( real_a )", "G(real_a)"),
        ("(G(a))", "G(a)"),
        ("G(a,)", "G(a)"),
        ("G(a,\n  b)", "G(a, b)"),
        ("f('x')", 'f("x")'),
    ],
)
def test_equal_pieces_have_equal_text(one: str, other: str) -> None:
    assert parse_expression(one) == parse_expression(other)
    assert parse_expression(one).text == parse_expression(other).text


def test_places_count_characters_behind_wide_ones() -> None:
    text = "  f('ü🎨', größe)"
    call = parse_expression(text)
    assert [place(text, child) for child in call.children] == ["'ü🎨'", "größe"]


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("a + 1", "'a + 1' is not allowed in a signal", "a + 1"),
        ("G(a, x[0])", "'x[0]' is not allowed in a signal", "x[0]"),
        ("G(lambda: 1)", "'lambda: 1' is not allowed in a signal", "lambda: 1"),
        ("G(a) > 0", "'G(a) > 0' is not allowed in a signal", "G(a) > 0"),
        ("a,", "'a,' is not allowed in a signal", "a,"),
        ("G(b'x')", "'b'x'' is not allowed in a signal", "b'x'"),
        ("G(f'{a}')", "'f'{a}'' is not allowed in a signal", "f'{a}'"),
        ("G(*a)", "'*' is not allowed in a signal", "G(*a)"),
        ("G(a)(b)", "'G(a)' cannot be called: call a network, one of its methods, or an op", "G(a)"),
        (
            "G.__class__(a)",
            "'__class__' is private: names with a leading underscore are not for recipes",
            "G.__class__",
        ),
        ("D(a)._x", "'_x' is private: names with a leading underscore are not for recipes", "D(a)._x"),
        ("G(x=a, x=b)", "the argument 'x' is given twice", "b"),
        ("G(a", "this '(' is never closed", "("),
        ("G(a))", "nothing is open for this ')' to close", ")"),
        ("a)(b", "nothing is open for this ')' to close", ")"),
        ("G(a])", "nothing is open for this ']' to close", "]"),
        ("G(a b)", "'G(a b)' is not a signal expression", "a"),
        ("f" * 30 + "(a b)" * 10, f"'{'f' * 30}(a b)(a...' is not a signal expression", "a"),
        ("  ", "the expression is empty", " "),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} brackets, one in the other", "("),
        ("a" * (MAX_LENGTH + 1), f"the expression is longer than {MAX_LENGTH:,} characters", "a"),
        ("-" * 1999 + "a", "the expression is nested too deeply", "-" * 1999 + "a"),
    ],
)
def test_other_text_is_refused_at_its_place(text: str, message: str, marked: str) -> None:
    assert fault(text) == (message, marked)


def test_brackets_in_quotes_count_for_nothing() -> None:
    assert parse_expression("f('(', \"[\")").text == "f('(', '[')"


def outcome(text: str) -> Expression | ExpressionFault:
    try:
        return parse_expression(text)
    except ExpressionFault as fault:
        return fault


def check(text: str) -> None:
    """Read or refused with a place inside the text; what is read can be written and read again."""
    found = outcome(text)
    if isinstance(found, ExpressionFault):
        assert 0 <= found.column < max(1, len(text))
        assert found.width >= 1
        return
    assert all(0 <= piece.column < len(text) for piece in found.walk())
    if len(found.text) <= MAX_LENGTH:  # spaces after commas may make it longer
        assert parse_expression(found.text) == found


@settings(deadline=None, max_examples=300)
@given(st.text())
@example("\0")
@example("\ud800")
@example("'\\ud800'")
@example("\ufeffa")
@example("ﬁ(x)")
@example("a\x0cb")
@example("f(x # c\n)")
@example("a\n.b")
@example("0x" + "f" * 1990)
@example("9" * 1999)
@example("a" + ".b" * 999)
@example("f(" * 100_000)
def test_any_text_is_read_or_refused(text: str) -> None:
    check(text)


PIECES = [
    "G",
    "a",
    "_b",
    "1",
    "2e3",
    "'x'",
    "(",
    ")",
    ",",
    "=",
    ".",
    "-",
    "*",
    "[",
    "]",
    " ",
    "\n",
    "True",
    "lambda",
    ":",
    "#",
    "ü",
]


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_of_the_right_characters_is_read_or_refused(text: str) -> None:
    check(text)


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=3).map(", ".join)
    return st.builds("{}({})".format, st.sampled_from(["G", "D.features", "concat"]), arguments) | st.builds(
        "-{}".format, inner
    )


@settings(deadline=None)
@given(st.recursive(st.sampled_from(["a", "real_b", "3", "0.5", "'x'", "None"]), calls, max_leaves=8))
def test_every_expression_of_the_grammar_is_read(text: str) -> None:
    assert parse_expression(text).text == text
    check(text)
