"""A YAML document that knows the line of everything in it."""

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True)
class LocatedYaml:
    """`value` is the plain document; `root` is the same as nodes, None for an empty document."""

    value: Any
    root: Node | None

    @classmethod
    def parse(cls, source: bytes) -> "LocatedYaml":
        """Raises YamlProblem. libyaml's parser: a cold start of the light function waits for it."""
        loader = None
        try:
            loader = yaml.CSafeLoader(source)
            root = loader.get_single_node()
            return cls(loader.construct_document(root) if root else None, root)
        except yaml.reader.ReaderError as error:
            line = source[: error.position].count(b"\n") + 1
            raise YamlProblem(line, f"not YAML: {error.reason}") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reason = ", ".join(filter(None, (error.context, error.problem)))
            raise YamlProblem(mark.line + 1 if mark else 1, f"not YAML: {reason}") from error
        finally:
            if loader:
                loader.dispose()

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
