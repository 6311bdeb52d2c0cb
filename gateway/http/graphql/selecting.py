"""What an operation asks for: its fragments put in their places, each field held to the policy.

INVARIANT: a place in the answer has one rule. Whatever aliases, fragments and types lead to it: two fields that would
come out under one name are the same field of the policy with the same arguments, or the request is refused; so a mask
follows the place, and never the name that the schema has for it.

Directives `@include` and `@skip` are decided here (GraphQL, October 2021, 3.13); what they leave out goes nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from graphql.language import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
)

from gateway.http.graphql import arguments
from gateway.http.graphql.document import DEEPEST, Document
from gateway.http.graphql.printing import CUSTOMER, TYPE, Chosen
from gateway.http.refusing import malformed, not_allowed, shown, too_large
from gateway.policy.graphql_load import typed
from gateway.policy.http_rules import (
    ArrayRule,
    FieldRule,
    GraphqlOperation,
    GraphqlRules,
    JsonPath,
    OwnedRule,
    TypedRule,
)
from gateway.policy.schema import Mask

EVERY = "*"
LONGEST_TEXT = 1 << 18
"""Characters of all arguments together, with the variables in their places."""

_TYPENAME = "__typename"
_ROOTS = {"query": "Query", "mutation": "Mutation"}
_LONGEST_KEY = 100
_CLEAR = Mask("clear")


@dataclass(slots=True)
class Node:
    """A field of the policy. `path` is what leads to it, the root field first; `stars` is how deep its lists are.

    `arrays` are its filtered lists, by how many lists they lie in.
    """

    path: JsonPath = ()
    names: dict[str, Node] = field(default_factory=dict)
    types: dict[str, dict[str, Node]] = field(default_factory=dict)
    stars: int = 0
    rule: FieldRule | None = None
    arguments: arguments.Tree = field(default_factory=arguments.Tree)
    arrays: dict[int, OwnedRule] = field(default_factory=dict)
    object: OwnedRule | None = None
    counts: OwnedRule | None = None
    owners: tuple[JsonPath, ...] = ()


@dataclass(slots=True)
class Asked:
    """What an operation asks for, so far: its fields, and what of the answer leaves.

    Paths begin in the answer's `data`. `values` are the texts of the arguments of root fields, by the field and the
    path.
    """

    fields: dict[tuple[tuple[str, ...], str], Chosen] = field(default_factory=dict)
    rules: dict[JsonPath, FieldRule] = field(default_factory=dict)
    arrays: dict[JsonPath, ArrayRule] = field(default_factory=dict)
    objects: dict[JsonPath, ArrayRule] = field(default_factory=dict)
    typed: dict[JsonPath, TypedRule] = field(default_factory=dict)
    owners: dict[JsonPath, None] = field(default_factory=dict)
    operations: dict[str, GraphqlOperation] = field(default_factory=dict)
    values: dict[JsonPath, list[str]] = field(default_factory=dict)


def select(document: Document, rules: GraphqlRules, variables: arguments.Variables) -> Asked:
    """What the operation asks for. Raises: GatewayError."""
    return _Selecting(document, rules, variables).all()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a selection stands: below which field, on which path of the answer, on objects of which types."""

    node: Node
    path: JsonPath = ()
    within: tuple[str, ...] = ()
    depth: int = 1


class _Selecting:
    """One operation being read."""

    def __init__(self, document: Document, rules: GraphqlRules, variables: arguments.Variables) -> None:
        self._document, self._rules, self._variables = document, rules, variables
        self._asked = Asked()
        self._operations = {one.field: one for one in rules.operations if one.kind == document.kind}
        self._types = {*rules.types, _ROOTS[document.kind]}
        self._root = Node(names=_roots(rules)[document.kind])
        self._counts: list[tuple[JsonPath, OwnedRule]] = []
        self._lists: list[tuple[JsonPath, OwnedRule]] = []
        self._seen: dict[JsonPath, tuple[int, str]] = {}
        self._open: list[str] = []
        self._spent = self._long = self._nested = 0

    def all(self) -> Asked:
        asked = self._asked
        self._select(self._document.operation.selection_set, _Place(self._root), asked.fields)
        if not asked.fields:
            raise not_allowed("nothing is asked for", "name a field")
        if len(asked.fields) > self._rules.root_fields:
            raise too_large(f"the operation has more than {self._rules.root_fields} root fields")
        if self._document.kind == "mutation" and not asked.operations:
            raise not_allowed("the mutation changes nothing", "ask with a query")
        self._count()
        return asked

    def _select(
        self, selected: SelectionSetNode, at: _Place, into: dict[tuple[tuple[str, ...], str], Chosen]
    ) -> None:  # fmt: skip
        self._nested += 1
        if self._nested > DEEPEST:
            raise too_large(f"the operation has more than {DEEPEST} levels of fragments and fields")
        for one in selected.selections:
            self._spent += 1
            if self._spent > self._rules.selections:
                raise too_large(f"the operation asks for more than {self._rules.selections} fields")
            if not self._is_included(one):
                continue
            if isinstance(one, FieldNode):
                self._field(one, at, into)
            elif isinstance(one, InlineFragmentNode):
                condition = one.type_condition.name.value if one.type_condition is not None else ""
                self._select(one.selection_set, self._narrowed(at, condition), into)
            else:
                assert isinstance(one, FragmentSpreadNode)
                self._spread(one, at, into)
        self._nested -= 1

    def _spread(
        self, one: FragmentSpreadNode, at: _Place, into: dict[tuple[tuple[str, ...], str], Chosen]
    ) -> None:  # fmt: skip
        name = one.name.value
        fragment: FragmentDefinitionNode | None = self._document.fragments.get(name)
        if fragment is None:
            raise malformed("a fragment is used that the document does not have")
        if name in self._open:
            raise malformed("a fragment leads back to itself")
        if fragment.directives:
            raise not_allowed("a fragment has a directive", "leave it out")
        self._open.append(name)
        self._select(fragment.selection_set, self._narrowed(at, fragment.type_condition.name.value), into)
        self._open.pop()

    def _narrowed(self, at: _Place, condition: str) -> _Place:
        if not condition or condition in at.within:
            return at
        if condition not in at.node.types and condition not in self._types:
            raise not_allowed("a fragment is on a type that the policy does not name there", "leave it out")
        return replace(at, within=(*at.within, condition))

    def _is_included(self, one: SelectionNode) -> bool:
        included, seen = True, set()
        for directive in one.directives or ():
            name = directive.name.value
            if name not in {"include", "skip"}:
                raise not_allowed(f"{shown('directive', name)} is not available here", "leave it out")
            if name in seen:
                raise malformed("a directive stands twice")
            seen.add(name)
            included = included and self._condition(directive) == (name == "include")
        return included

    def _condition(self, directive: DirectiveNode) -> bool:
        given = directive.arguments
        value = self._variables.of(given[0].value, top=True) if [one.name.value for one in given] == ["if"] else None
        if type(value) is not bool:
            raise malformed(f"`@{directive.name.value}` takes `if`, which is true or false")
        return value

    def _field(self, one: FieldNode, at: _Place, into: dict[tuple[tuple[str, ...], str], Chosen]) -> None:
        name = one.name.value
        key = one.alias.value if one.alias is not None else name
        if at.depth > self._rules.depth:
            raise too_large(f"the operation has more than {self._rules.depth} levels of fields")
        # Relay's compiler asks for `__isNode: __typename`
        is_type = name == _TYPENAME and (key == name or key.startswith("__is"))
        if key in {CUSTOMER, TYPE} or len(key) > _LONGEST_KEY or (key.startswith("__") and not is_type):
            raise not_allowed("an alias is a name that nothing may have here", "choose another")
        path = (*at.path, key)
        if name == _TYPENAME:
            if one.arguments or one.selection_set is not None:
                raise malformed("`__typename` has neither arguments nor fields")
            self._once(path, 0, "")
            self._asked.rules[path] = FieldRule(path, _CLEAR, label=typed((*at.node.path, name)))
            into.setdefault((at.within, key), Chosen(key, name, within=at.within, path=path))
            return
        if name.startswith("__"):
            raise not_allowed("the API's schema is not told here", "ask whoever keeps the policy what there is")
        node, condition = self._found(name, at)
        text, names, values = arguments.judged(node.arguments, one.arguments, self._variables)
        self._long += len(text)
        if self._long > LONGEST_TEXT:
            raise too_large(f"the operation's arguments are longer than {LONGEST_TEXT} characters")
        self._once(path, id(node), text)
        if condition:
            # INVARIANT: the rule of a type is for objects of that type alone, and not for those of an interface
            self._asked.typed[path] = TypedRule(at.path, key, condition)
        if at.node is self._root:
            self._about(name, values)
        chosen = into.setdefault((at.within, key), Chosen(key, name, text, names, at.within))
        self._below(one, node, (*path, *(EVERY,) * node.stars), at, chosen)

    def _found(self, name: str, at: _Place) -> tuple[Node, str]:
        """The field of the policy that such a name is there, and of which type only. Raises: GatewayError."""
        for condition in reversed(at.within):
            found = at.node.types.get(condition, {}).get(name)
            if found is not None:
                return found, condition
        found = at.node.names.get(name)
        if found is None:
            what = self._document.kind if at.node is self._root else "field"
            raise not_allowed(f"{shown(what, name)} is not in the policy", "leave it out")
        return found, ""

    def _once(self, path: JsonPath, node: int, text: str) -> None:
        # INVARIANT: what comes out in one place is one field with the same arguments, whatever its type
        if self._seen.setdefault(path, (node, text)) != (node, text):
            raise not_allowed(
                "two different fields would come out under one name", "give one of them an alias of its own"
            )

    def _below(self, one: FieldNode, node: Node, path: JsonPath, at: _Place, chosen: Chosen) -> None:
        if node.rule is not None:
            if one.selection_set is not None:
                raise not_allowed(f"{shown('field', one.name.value)} is a value, without fields")
            self._asked.rules[path] = replace(node.rule, path=path)
            chosen.path = path
            if node.counts is not None:
                self._counts.append((path, node.counts))
            return
        if one.selection_set is None:
            raise not_allowed(f"{shown('field', one.name.value)} is an object, of which fields are to be named")
        self._select(one.selection_set, _Place(node, path, (), at.depth + 1), chosen.below)
        if not chosen.below:
            raise not_allowed("of an object nothing is asked for", "name a field")
        self._own(node, path, chosen)

    def _own(self, node: Node, path: JsonPath, chosen: Chosen) -> None:
        """Ask for what says whose it is, and have others' left out."""
        bare = path[: len(path) - node.stars]
        owned = list(node.owners)
        for path_of in node.owners:
            self._asked.owners[(*bare, *_answered(path_of))] = None
        for stars, rule in node.arrays.items():
            at = (*bare, *(EVERY,) * stars)
            self._asked.arrays[at] = ArrayRule(at, _answered(rule.customers[0]))
            self._lists.append((at, rule))
            owned += rule.customers
        if node.object is not None:
            self._asked.objects[bare] = ArrayRule(bare, _answered(node.object.customers[0]))
            owned += node.object.customers
        chosen.owned = tuple(dict.fromkeys(owned))
        chosen.typed = bool(node.types)

    def _about(self, name: str, values: dict[JsonPath, list[str]]) -> None:
        operation = self._asked.operations[name] = self._operations[name]
        for customer in operation.customers:
            if not values.get(customer.path):
                # FAIL CLOSED: of an empty list, a target may make everybody's
                raise not_allowed("the argument that says whose data it is about is empty", "name a customer")
        for path, texts in values.items():
            self._asked.values.setdefault((name, *path), []).extend(texts)

    def _count(self) -> None:
        """Have counts tell what is left. Raises: GatewayError when that cannot be known."""
        for path, rule in self._counts:
            beside = 1 + _shared(rule)
            lists = [one for one, of in self._lists if of is rule and one[:beside] == path[:beside]]
            if len(set(lists)) != 1 or self._asked.arrays[lists[0]].count not in {None, path}:
                raise not_allowed(
                    "a count is asked for without its list, or twice", "ask once for the list and for its count"
                )
            self._asked.arrays[lists[0]] = replace(self._asked.arrays[lists[0]], count=path)


def _shared(rule: OwnedRule) -> int:
    """How many steps of an answer's path a list and its count have in common."""
    assert rule.count is not None
    pairs = zip(_plain(rule.path), _plain(rule.count), strict=False)
    return next((number for number, (one, other) in enumerate(pairs) if one != other), 0)


def _plain(path: JsonPath) -> JsonPath:
    return tuple(step for step in path if step[:1] != "<")


def _answered(path: JsonPath) -> JsonPath:
    """Where the answer has what was asked for as the gateway asks."""
    return tuple(CUSTOMER for step in path if step[:1] != "<")


def _roots(rules: GraphqlRules) -> dict[str, dict[str, Node]]:
    """The fields of the policy by kind and root field; made once for as long as the rules live."""
    known = _TREES.get(id(rules))
    if known is None or known[0] is not rules:
        if len(_TREES) >= _MOST_TREES:
            _TREES.clear()
        made: dict[str, dict[str, Node]] = {kind: {} for kind in _ROOTS}
        for one in rules.operations:
            made[one.kind][one.field] = _root(one)
        # the rules are kept beside their trees: their identity cannot become another one's
        known = _TREES[id(rules)] = rules, made
    return known[1]


def _root(operation: GraphqlOperation) -> Node:
    root = Node((operation.field,), owners=operation.owners)
    for rule in operation.fields:
        _at(root, rule.path)[0].rule = rule
    for field_of in operation.arguments:
        _at(root, field_of.path)[0].arguments = arguments.tree(field_of.arguments)
    for owned in operation.arrays:
        node, stars = _at(root, owned.path)
        node.arrays[stars] = owned
        if owned.count is not None:
            _at(root, owned.count)[0].counts = owned
    for owned in operation.objects:
        _at(root, owned.path)[0].object = owned
    return root


def _at(root: Node, path: JsonPath) -> tuple[Node, int]:
    """The field at a path, made where there is none, and how many lists deep the path is in it."""
    node, stars, names, done = root, 0, root.names, root.path
    for step in path:
        done = (*done, step)
        if step == EVERY:
            stars += 1
            node.stars = max(node.stars, stars)
        elif step[:1] == "<":
            names = node.types.setdefault(step[1:-1], {})
        else:
            node = names.setdefault(step, Node(done))
            stars, names = 0, node.names
    return node, stars


_MOST_TREES = 64
_TREES: dict[int, tuple[GraphqlRules, dict[str, dict[str, Node]]]] = {}
