"""Writes what is made from the table of options: the signature of Bus(), and tables of the documents.

    python tools/options.py            write them (make options)
    python tools/options.py --check    exit with 1 and name the files that are not current

In a document of docs/ they stand between `<!-- options: NAME -->` and `<!-- end of options -->`. NAME is the
title of a group, `all` (each group under a heading), `files` (names that only files have) or `bus` (the
signature). Links in the texts of options are relative to docs/.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from ipcmules.embed.arguments import ARGUMENTS, argument
from ipcmules.options.option import Option
from ipcmules.options.table import GROUPS, TABLE, default_of, default_text

CHECKOUT = Path(__file__).resolve().parents[1]
SIGNATURE = CHECKOUT / "ipcmules" / "embed" / "signature.py"
DOCS = CHECKOUT / "docs"

_MARKED = re.compile(r"(<!-- options: ([\w, ]+) -->\n).*?(<!-- end of options -->)", re.DOTALL)

_HEAD = '''"""The signature of Bus(), for people, editors and type checkers. Made by `make options`.

What it takes, and in which words, is in ipcmules/options.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ipcmules.bus.config import CronCommand
from ipcmules.embed.arguments import MuleSpec


class Signature:
    """What Bus() takes."""

'''


def signature() -> str:
    """The text of embed/signature.py."""
    lines = ["    def __init__(", "        self,", "        name: str | None = None,", "        *,"]
    lines += [f"        {argument(each)}: {each.kind.argument} = {_default(each)}," for each in ARGUMENTS]
    lines += ["    ) -> None:"]
    lines += [*_docstring(), "        self._describe(", "            name,", "            {"]
    lines += [f'                "{argument(each)}": {argument(each)},' for each in ARGUMENTS]
    lines += ["            },", "        )", ""]
    lines += [
        "    def _describe(self, name: str | None, given: dict[str, Any]) -> None:",
        '        """Take what __init__ was given."""',
        "        raise NotImplementedError",
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _default(option: Option) -> str:
    if option.kind.default:
        return option.kind.default
    value = default_of(option)
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _docstring() -> Iterable[str]:
    yield '        """A bus, described; nothing is started yet.'
    yield ""
    yield from _wrapped(
        "name: a named bus can be attached to by name, and keeps what it could not deliver; "
        "without one the bus is unique and keeps nothing."
    )
    for title, _ in GROUPS:
        found = [each for each in ARGUMENTS if each.group == title]
        if found:
            yield ""
            yield f"        {title}:"
        for each in found:
            option = f"--{each.name} {each.kind.metavar}".strip()
            yield from _wrapped(f"{argument(each)}: {each.in_bus or each.help} ({option})")
    yield ""
    yield from _wrapped("Raises ConfigError, which names the argument, for a description that cannot be.")
    yield '        """'


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        104,
        initial_indent=" " * 8,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(name: str) -> str:
    """What stands between the marks of that name."""
    if name == "bus":
        return _signature_in_markdown()
    if name == "files":
        return _files()
    if name != "all":
        return _group(name)
    # A group may have options for files alone: those are in the other table.
    titles = [title for title, _ in GROUPS if any(each.flags for each in TABLE if each.group == title)]
    return "\n".join(f"## {title}\n\n{_group(title)}" for title in titles)


def _group(title: str) -> str:
    lines = ["| option | what it does |", "| --- | --- |"]
    for each in TABLE:
        if each.group == title and each.flags:
            lines.append(f"| {_names(each)} | {_meaning(each)} |")
    return "\n".join(lines) + "\n"


def _names(option: Option) -> str:
    value = option.kind.metavar
    # [=VALUE] may be left out; [ROLE=]LEVEL is a value that begins so.
    joined = value if value.startswith("[=") else f" {value}" if value else ""
    first, *others = sorted(option.flags, key=lambda flag: flag != f"--{option.name}")
    return ", ".join([_cell(f"{first}{joined}"), *(f"`{each}`" for each in others)])


def _cell(code: str) -> str:
    """Code in a cell. A bar would end the cell, and a backslash before it is shown by some readers."""
    return f"<code>{code.replace('|', '&#124;')}</code>" if "|" in code else f"`{code}`"


def _meaning(option: Option) -> str:
    parts = [option.help.replace("|", "\\|")]
    default = default_text(option)
    parts += [f"Default: `{default}`."] if default else []
    parts += ["Repeatable."] if option.kind.many else []
    if argument(option) and option.only != "files":
        parts += [f"Python: `Bus({argument(option)}=)`{', ' if option.in_bus else ''}{option.in_bus}."]
    parts += [option.more] if option.more else []
    return " ".join(parts)


def _files() -> str:
    lines = ["| name | what it does |", "| --- | --- |"]
    for each in TABLE:
        if each.only == "files":
            lines.append(f"| {_code(each.names)} | {_meaning(each)} |")
        elif each.file_names:
            lines.append(f"| {_code(each.file_names)} | As `{each.name}`. |")
    theirs = _code(name for each in TABLE if not each.in_uwsgi and each.only != "line" for name in each.names)
    lines += ["", f"In a `[uwsgi]` section {theirs} mean what they mean in uWSGI; elsewhere they are ours."]
    return "\n".join(lines) + "\n"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)


def _signature_in_markdown() -> str:
    parts = ["name=None", "*", *(f"{argument(each)}={_default(each)}" for each in ARGUMENTS)]
    text = textwrap.fill(
        f"Bus({', '.join(parts)})",
        88,
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return f"```python\n{text}\n```\n"


def document(path: Path) -> str:
    """The text of a document, its tables made anew."""

    def made(found: re.Match[str]) -> str:
        return f"{found[1]}{_linked(table(found[2]), path)}{found[3]}"

    return _MARKED.sub(made, path.read_text(encoding="utf-8"))


def _linked(text: str, path: Path) -> str:
    """The links of a text, which are relative to docs/, for a document that may lie deeper."""
    return re.sub(
        r"\]\(([\w/-]+\.md)", lambda link: f"]({os.path.relpath(DOCS / link[1], path.parent)}", text
    )


def outdated() -> dict[Path, str]:
    """The files that are not as the table of options says, with the text they are to have."""
    wanted = {SIGNATURE: signature()}
    wanted.update({each: document(each) for each in sorted(DOCS.rglob("*.md"))})
    return {
        path: text
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main() -> int:
    """Write what is not current, or with --check only name it."""
    found = outdated()
    for path, text in found.items():
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        print(path.relative_to(CHECKOUT))
    return 1 if found and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
