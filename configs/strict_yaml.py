"""YAML as people write it here: plain values, and no key twice."""

from typing import Any

import yaml


def parse_yaml(text: str) -> Any:
    """Return the values that a YAML text holds.

    Raises:
        yaml.YAMLError: It is not valid, or a key stands twice in a mapping, where YAML itself takes
            the last.
    """
    return _StrictLoader(text).get_single_data()


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe reader with another way to read mappings."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if str(key.value) in seen:
            text = f"the key {key.value!r} stands twice in a mapping"
            raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
        seen.add(str(key.value))
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
