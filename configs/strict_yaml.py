"""YAML as people write it here: plain values, and no key twice."""

from typing import Any

import yaml

from configs.section import ConfigError


def parse_yaml(text: str) -> Any:
    """Return the values that a YAML text holds.

    Raises:
        yaml.YAMLError: It is not valid, or a key stands twice in a mapping, where YAML itself takes
            the last.
    """
    loader = _StrictLoader(text)
    loader.name = "the text"  # what errors call it
    return loader.get_single_data()


def parse_mapping(text: str, example: str) -> dict[Any, Any]:
    """Return the mapping that the text of a file holds; an empty text is an empty one.

    Args:
        text: The YAML.
        example: What such a file holds, for the message if it holds something else.

    Raises:
        ConfigError: It is not valid, a key stands twice, or it holds something else.
    """
    try:
        values = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"it is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"it holds a {type(values).__name__}, not {example}")
    return values


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
