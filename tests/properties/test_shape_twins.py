"""A text is cut into its literals by the compiled walk exactly as by the two regular expressions."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native_module import built
from ruamel.yaml import YAML

from gateway.sql import template
from gateway.sql.template import cut_python

CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The compiled module of this very source, built for the test."""
    return built(Path(template.__file__).with_name("_shape.pyx"), tmp_path_factory.mktemp("shape"))


pieces = st.sampled_from(
    ["'", '"', "''", "a", "_", "x1", "0", "1", "12", "123456789", "1234567890", ".", "1.", ".5", "e", "1e5", "-", "--",
     "/", "*", "/*", "$", "\\", "\0", "&", "é", " ", "\n", "(", ")", ",", "=", "id = ", "'text'", '"name"', "N'", "U&"]
)  # fmt: skip
texts = st.lists(pieces, max_size=14).map("".join) | st.text(max_size=12)


@settings(max_examples=3_000, deadline=None)
@given(text=texts, most=st.integers(1, 4))
@example("select 1 from t where a = 'b' and c = 5", 60)
@example("x'1", 60)
@example("1'a'2", 60)
@example('"1" 1 " 2', 60)
def test_both_cut_alike(native: ModuleType, text: str, most: int) -> None:
    assert native.cut(text, most) == cut_python(text, most)


def test_both_cut_every_text_of_the_corpora_alike(native: ModuleType) -> None:
    count = 0
    for path in sorted(CORPUS.rglob("*.yaml")):
        for text in strings(YAML(typ="safe").load(path)):
            assert native.cut(text, 60) == cut_python(text, 60), text
            count += 1
    assert count > 2_000


def strings(node: object) -> list[str]:
    if isinstance(node, str):
        return [node]
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for item in items for text in strings(item)]
