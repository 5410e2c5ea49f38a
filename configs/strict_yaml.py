"""YAML limited to what JSON can express, small and shallow, because its author may be hostile.

An alias counts every time it is used: otherwise, eight lines of ten aliases each would become a
hundred million values. Dates stay text, and no tag creates an object.
"""

from typing import Any, ClassVar

import yaml

from reinforce.configs.quoting import shown

MAX_BYTES = 2**20
"""Largest file in bytes, and longest text in characters."""

_MAX_VALUES = 20_000
_MAX_DEPTH = 50
_MAX_NUMBER = 100
"""Longest number, in characters: more digits mean nothing and take long to parse."""

_TAG = "tag:yaml.org,2002:"
_TAGS = [_TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")]


def parse(text: str) -> Any:
    """Return the values in a YAML text.

    Raises:
        yaml.MarkedYAMLError: It is not valid YAML, or exceeds the limits; ``problem`` says which.
    """
    if len(text) > MAX_BYTES:
        problem = f"it has {len(text):,} characters; at most {MAX_BYTES:,} are read"
        raise yaml.MarkedYAMLError(problem=problem)
    try:
        loader = _StrictLoader(text)
        loader.name = "the text"  # what errors call it
        return loader.get_single_data()
    except yaml.reader.ReaderError as error:
        problem = f"character {error.position} is #x{int(error.character):04x}, which YAML forbids"
        raise yaml.MarkedYAMLError(problem=problem) from None


class _StrictLoader(yaml.SafeLoader):
    """A loader with limits, which also refuses duplicate keys; YAML itself takes the last one."""

    yaml_constructors: ClassVar = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag in _TAGS
    }
    yaml_implicit_resolvers = {  # noqa: RUF012  (as PyYAML declares it)
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_values = self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}  # by node that is complete, with all below it

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        before = self._num_values
        self._num_values += 1
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _refused(f"more than {_MAX_DEPTH} levels", mark)
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if node and is_alias:
            if node not in self._sizes:
                raise _refused("a value that holds itself", mark)
            self._num_values = before + self._sizes[node]
        elif node:
            self._sizes[node] = self._num_values - before
        if self._num_values > _MAX_VALUES:
            what = f"more than {_MAX_VALUES:,} values, counted each time they are used"
            raise _refused(what, mark)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        kind = node.tag.removeprefix(_TAG)
        if kind in ("int", "float") and len(node.value) > _MAX_NUMBER:
            raise _refused(f"a number of {len(node.value):,} characters", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, OverflowError):  # as of `!!int x`
            raise _refused(
                f"{shown(node.value)}, which is not a valid {kind}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = True) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a list or a mapping as a key", key.start_mark)
            if key.value in seen:
                text = f"the key {shown(key.value)} appears twice in a mapping"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=True)  # before a merge could add its keys


def _refused(what: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, f"it holds {what}", mark)
