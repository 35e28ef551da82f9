"""A YAML document that knows the line of everything in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Loc = Sequence[int | str]


class YamlProblem(Exception):
    """Text that is not YAML. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def place(loc: Loc) -> str:
    """`loc` as a writer would put it: `questions[2].choices[0].id`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")


def top_level(source: bytes, keys: set[str]) -> dict[str, str]:
    """Those of `keys` that the document has, if their values are plain; reads no further than them.

    Raises YamlProblem.
    """
    found, depth = dict[str, str](), 0
    key: str | None = None
    with _located(source):
        for event in yaml.parse(source, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                    break
                depth += 1
                key = None
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif depth == 1 and isinstance(event, yaml.ScalarEvent):
                if key is not None and key in keys:
                    found[key] = event.value
                    if len(found) == len(keys):
                        break
                key = event.value if key is None else None
    return found


@contextmanager
def _located(source: bytes) -> Iterator[None]:
    """Makes a YamlProblem of whatever PyYAML finds wrong with `source`."""
    try:
        yield
    except yaml.reader.ReaderError as error:
        line = source[: error.position].count(b"\n") + 1
        raise YamlProblem(line, f"not YAML: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise YamlProblem(mark.line + 1 if mark else 1, f"not YAML: {reason}") from error


@dataclass(frozen=True)
class LocatedYaml:
    """`value` is the plain document; `root` is the same as nodes, None for an empty document."""

    value: Any
    root: Node | None

    @classmethod
    def parse(cls, source: bytes) -> "LocatedYaml":
        """Raises YamlProblem. libyaml's parser: a cold start of the light function waits for it."""
        with _located(source):
            loader = yaml.CSafeLoader(source)
            try:
                root = loader.get_single_node()
                value = loader.construct_document(root) if root else None
            finally:
                loader.dispose()
        return cls(value, root)

    def line(self, loc: Loc) -> int:
        """The line of what `loc` (keys and positions) names, or of its innermost part that exists."""
        node = self.root
        line = node.start_mark.line if node else 0
        for step in loc:
            key = None
            if isinstance(node, MappingNode):
                key, node = next((pair for pair in node.value if pair[0].value == str(step)), (None, None))
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
            else:
                node = None
            if node is None:
                break
            line = (key or node).start_mark.line
        return line + 1

    def repeated_keys(self) -> Iterator[tuple[int, str]]:
        """(line, key) of each key that its mapping already has; YAML itself would let the last one win."""
        todo, seen = [self.root], set[int]()
        while todo:
            node = todo.pop()
            if node is None or isinstance(node, ScalarNode) or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, SequenceNode):
                todo += node.value
                continue
            keys = set()
            for key, value in node.value:
                if key.value in keys:
                    yield key.start_mark.line + 1, key.value
                elif isinstance(key, ScalarNode):
                    keys.add(key.value)
                todo.append(value)
