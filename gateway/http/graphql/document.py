"""A GraphQL document, read within bounds: the one operation that is asked for, and the fragments that it may use.

INVARIANT: what is not an executable document of plain text is not read; tokens and their nesting are counted before
anything is parsed. Of what is read, only names and values go on, printed anew: how a target would have read the text
is of no consequence.

GraphQL (October 2021), sections 2 and 6.1; graphql-core reads.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

from graphql import GraphQLError, parse
from graphql.language import (
    FragmentDefinitionNode,
    Lexer,
    OperationDefinitionNode,
    OperationType,
    Source,
    TokenKind,
    VariableDefinitionNode,
)

from gateway.http.refusing import malformed, not_allowed, too_large

MOST_TOKENS = 4_000
DEEPEST = 64
"""Brackets of all kinds within one another."""

_OPENS = frozenset({TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L})
_CLOSES = frozenset({TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R})
_NO_TEXT = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ufeff\\ud800-\\udfff]")
_KINDS = {OperationType.QUERY: "query", OperationType.MUTATION: "mutation"}


@dataclass(frozen=True, slots=True)
class Document:
    """The operation that is asked for. `kind` is `query` or `mutation`; `name` is empty for one without."""

    kind: str
    name: str
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    variables: dict[str, VariableDefinitionNode]


def read(text: str, wanted: str) -> Document:
    """The operation of that name; `wanted` is empty for the only one. Raises: GatewayError."""
    _check_text(text)
    for count, nesting in enumerate(_nesting(text)):
        if count >= MOST_TOKENS:
            raise too_large(f"the document has more than {MOST_TOKENS} tokens")
        if nesting > DEEPEST:
            raise too_large(f"the document has more than {DEEPEST} brackets within one another")
    try:
        parsed = parse(text, no_location=True)
    except GraphQLError:
        raise malformed("the document is not GraphQL") from None
    except RecursionError:
        raise too_large("the document is nested too deeply") from None
    operations: dict[str, OperationDefinitionNode] = {}
    fragments: dict[str, FragmentDefinitionNode] = {}
    for one in parsed.definitions:
        if isinstance(one, FragmentDefinitionNode):
            _once(one.name.value, fragments, "fragment")
            fragments[one.name.value] = one
        elif isinstance(one, OperationDefinitionNode):
            name = one.name.value if one.name is not None else ""
            _once(name, operations, "operation")
            operations[name] = one
        else:
            raise malformed("the document defines something else than operations and fragments")
    operation = _chosen(operations, wanted)
    variables: dict[str, VariableDefinitionNode] = {}
    for given in operation.variable_definitions or ():
        _once(given.variable.name.value, variables, "variable")
        if given.directives:
            raise not_allowed("a variable of the operation has a directive", "leave it out")
        variables[given.variable.name.value] = given
    return Document(_KINDS[operation.operation], operation.name.value if operation.name else "", operation, fragments,
                    variables)  # fmt: skip


def _check_text(text: str) -> None:
    """Refuse characters that readers of GraphQL treat differently: they are no part of it, or are skipped."""
    if _NO_TEXT.search(text):
        raise malformed("the document has a control character, a byte order mark, or half of a surrogate pair")


def _nesting(text: str) -> Iterator[int]:
    """For each token, how many brackets are open. Raises: GatewayError for what is no token."""
    lexer, depth = Lexer(Source(text)), 0
    while True:
        try:
            token = lexer.advance()
        except GraphQLError:
            raise malformed("the document is not GraphQL") from None
        if token.kind is TokenKind.EOF:
            return
        depth += (token.kind in _OPENS) - (token.kind in _CLOSES)
        yield depth


def _once(name: str, known: Container[str], what: str) -> None:
    if name in known:
        raise malformed(f"the document has two {what}s of one name" if name else "the document has two operations")


def _chosen(operations: dict[str, OperationDefinitionNode], wanted: str) -> OperationDefinitionNode:
    if not operations:
        raise malformed("the document has no operation")
    if len(operations) > 1 and "" in operations:
        raise malformed("an operation without a name stands beside others")
    if not wanted and len(operations) > 1:
        raise malformed("the document has several operations, and `operationName` names none")
    if wanted and wanted not in operations:
        raise malformed("`operationName` is the name of no operation of the document")
    if any(one.operation not in _KINDS for one in operations.values()):
        raise not_allowed("subscriptions are not available here", "ask with a query")
    if len({one.operation for one in operations.values()}) > 1:
        raise not_allowed("the document has queries and mutations", "send what reads and what writes on its own")
    operation = operations[wanted] if wanted else next(iter(operations.values()))
    if operation.directives:
        raise not_allowed("the operation has a directive", "leave it out")
    return operation
