"""The formats of uWSGI's configuration files: from a text to its options, in order, repeated keys and all.

Knows the formats and nothing of what an option means. No ini library serves: all of them refuse or fold
repeated keys, which are how uWSGI's lists are written. The rules are those of uWSGI 2.0.31 (core/ini.c,
xmlconf.c, yaml.c, json.c).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ipcmules.errors import ConfigError

#: A YAML value that begins with one of uWSGI's signs; YAML itself has no plain value that does.
_SIGNED = re.compile(r"^(\s*(?:-\s+|[^\s#:][^:#]*:\s+))([%@].*?)\s*$", re.MULTILINE)


class Item(NamedTuple):
    """One option as it stands. line: 0 where the format tells none."""

    section: str
    key: str
    value: str
    line: int


class Parsed(NamedTuple):
    """A file's options, and the sections it has, with or without options in them."""

    items: list[Item]
    sections: list[str]


def kind_of(path: str, option: str = "") -> str:
    """The format of a file: 'ini', 'xml', 'yaml' or 'json'. option: by which it is read, '' for any."""
    by_option = {"xmlconfig": "xml", "yml": "yaml", "js": "json"}.get(option, option)
    if by_option in _PARSERS:
        return by_option
    for kind, endings in (("xml", (".xml",)), ("yaml", (".yaml", ".yml")), ("json", (".json", ".js"))):
        if path.endswith(endings):
            return kind
    return "ini"


def parse(kind: str, path: str, text: str, asked: str = "") -> Parsed:
    """The options of a file's text. asked: the section that is wanted, which XML calls an id.

    Raises ConfigError that names file and line.
    """
    return _PARSERS[kind](path, text, asked)


# ini


def _ini(path: str, text: str, _asked: str) -> Parsed:
    found = Parsed([], [])
    section = None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if "\0" in line:
            raise ConfigError(f"{path}, line {number}: there is a NUL byte in it: is this an ini file?")
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            section = _header(path, number, line)
            found.sections.append(section)
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        if not key:
            raise ConfigError(
                f"{path}, line {number}: {line!r} has no option before '=': write OPTION = VALUE"
            )
        if section is None:
            raise ConfigError(
                f"{path}, line {number}: {line!r} stands before any section: put [ipcmules] above it"
            )
        found.items.append(Item(section, key, value, number))
    return found


def _header(path: str, number: int, line: str) -> str:
    if not line.endswith("]"):
        raise ConfigError(f"{path}, line {number}: section {line!r} is not closed: write [NAME]")
    return line[1:-1].strip()


# XML


class _Xml:
    """Collects options while expat reads. Nothing is expanded: a file that declares entities is refused."""

    def __init__(self, path: str, asked: str) -> None:
        from xml.parsers import expat

        self._path = path
        self._asked = asked
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity
        self._error = expat.ExpatError
        self._open: list[tuple[str, dict[str, str], int]] = []
        self._text = ""
        self._depth = 0  # of <uwsgi>, 0 outside
        self._done = False
        self.found = Parsed([], [])

    def read(self, text: str) -> Parsed:
        # A declaration of another encoding would be wrong by now.
        plain = re.sub(r"\A\s*(<\?xml[^>]*?)\s+encoding=[\"'][^\"']*[\"']", r"\1", text).lstrip()
        try:
            self._parser.Parse(plain.encode("utf-8", "surrogateescape"), True)
        except self._error as error:
            raise ConfigError(f"{self._path} is not valid XML: {error}; correct it there") from error
        return self.found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append((name, attributes, self._parser.CurrentLineNumber))
        self._text = ""
        wanted = not self._asked or attributes.get("id", self._asked) == self._asked
        if not self._depth and name == "uwsgi" and not self._done and wanted:
            self._depth = len(self._open)
            self.found.sections.append(self._asked or "uwsgi")

    def _characters(self, text: str) -> None:
        self._text += text

    def _end(self, name: str) -> None:
        _, attributes, line = self._open.pop()
        level = len(self._open) - self._depth
        text, self._text = self._text.strip(), ""
        if not self._depth:
            return
        if level < 0:
            self._depth, self._done = 0, True
        elif level == 0 and (not self._asked or attributes.get("id", self._asked) == self._asked):
            self._take(name, attributes, text, line)
        elif level == 1 and self._open[-1][0] == "app":
            self._text = text  # <app mountpoint="/x"><script>module</script></app>

    def _take(self, name: str, attributes: dict[str, str], text: str, line: int) -> None:
        if name != "app":
            self._add(name, text or "1", line)
            return
        if text:
            place = f"{attributes['mountpoint']}=" if "mountpoint" in attributes else ""
            place = place or (f"{attributes['domain']}|=" if "domain" in attributes else "")
            self._add("mount", f"{place}{text}", line)
        self._add("app", "", line)

    def _add(self, key: str, value: str, line: int) -> None:
        self.found.items.append(Item(self._asked or "uwsgi", key, value, line))

    def _entity(self, name: str, *_more: Any) -> None:
        raise ConfigError(
            f"{self._path}, line {self._parser.CurrentLineNumber}: entity {name!r}: entities are not "
            "expanded here: write out what it stands for"
        )


def _xml(path: str, text: str, asked: str) -> Parsed:
    return _Xml(path, asked).read(text)


# YAML and JSON


def _yaml(path: str, text: str, _asked: str) -> Parsed:
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            f"{path} is a YAML file, which needs the package PyYAML: pip install 'ipcmules[yaml]'"
        ) from None
    # As composed, not as constructed: 'on' stays a text, and a repeated key is there twice.
    try:
        root = yaml.compose(_SIGNED.sub(_quoted, text), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}; correct it there") from error
    found = Parsed([], [])
    for name, options in root.value if isinstance(root, yaml.MappingNode) else ():
        found.sections.append(str(name.value))
        for key, node in options.value if isinstance(options, yaml.MappingNode) else ():
            for each in node.value if isinstance(node, yaml.SequenceNode) else (node,):
                if not isinstance(each, yaml.ScalarNode):
                    raise _nested(path, each.start_mark.line + 1, str(key.value))
                item = Item(str(name.value), str(key.value), each.value, each.start_mark.line + 1)
                found.items.append(item)
    return found


def _quoted(match: re.Match[str]) -> str:
    return match[1] + "'" + match[2].replace("'", "''") + "'"


def _nested(path: str, line: int, key: str) -> ConfigError:
    where = f"{path}, line {line}" if line else path
    return ConfigError(f"{where}: {key} has a table for its value: give one value, or a list of them")


def _json(path: str, text: str, _asked: str) -> Parsed:
    import json

    try:
        data = json.loads(text, object_pairs_hook=tuple, parse_int=str, parse_float=str)
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}; correct it there") from error
    found = Parsed([], [])
    for name, options in data if isinstance(data, tuple) else ():
        found.sections.append(name)
        for key, value in options if isinstance(options, tuple) else ():
            found.items.extend(Item(name, key, each, 0) for each in _json_values(path, key, value))
    return found


def _json_values(path: str, key: str, value: object) -> Iterator[str]:
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, (tuple, list)):
            raise _nested(path, 0, key)
        yield each if isinstance(each, str) else "1" if each is True else "0"


_PARSERS: dict[str, Callable[[str, str, str], Parsed]] = {
    "ini": _ini,
    "xml": _xml,
    "yaml": _yaml,
    "json": _json,
}
