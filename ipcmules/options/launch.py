"""What the launcher needs before there is a bus: its name, where it runs, as whom, what describes it."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options import kinds
from ipcmules.options.kinds import Kind, Text
from ipcmules.options.option import OTHER, OURS, SAME, WORD, Option, entry


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Launch:
    """The bus and its surroundings. These are no fields of a bus's description: the launcher uses them up."""

    bus: str = entry(
        "",
        Option(
            "bus",
            Kind("bus name", metavar="NAME"),
            "Name the bus.",
            WORD,
            argument="",
            default="$IPCMULES_BUS, else 'default'",
        ),
    )
    chdir: str = entry(
        "",
        Option(
            "chdir",
            kinds.DIRECTORY,
            "Change directory first; other paths are relative to it.",
            SAME,
            argument="",
        ),
    )
    environment: tuple[tuple[str, str], ...] = entry(
        (),
        Option(
            "env",
            Kind("environment", "pair", "KEY=VALUE", many=True),
            "A variable for the environment of the app and of the command.",
            SAME,
            argument="",
            only="files",
        ),
    )
    unset: tuple[str, ...] = entry(
        (),
        Option(
            "unenv",
            Kind("variables", metavar="NAME", many=True),
            "Take a variable out of the environment of the app and of the command.",
            SAME,
            argument="",
            only="files",
        ),
    )
    uid: str = entry(
        "",
        Option(
            "uid",
            Text("user", "USER"),
            "Drop to this user before anything is made (as root).",
            SAME,
            file_names=("immediate-uid",),
            argument="",
            only="files",
        ),
    )
    gid: str = entry(
        "",
        Option(
            "gid",
            Text("group", "GROUP"),
            "The same for a group.",
            SAME,
            file_names=("immediate-gid",),
            argument="",
            only="files",
        ),
    )
    umask: str = entry(
        "",
        Option(
            "umask",
            Text("mode", "MODE"),
            "The umask of all processes, the command's too, in octal.",
            SAME,
            argument="",
            only="files",
        ),
    )
    pidfile: str = entry(
        "",
        Option(
            "pidfile",
            Text("file", "FILE", complete="file"),
            "Write the master's pid to FILE; it is removed at the end.",
            SAME,
            file_names=("pidfile2", "safe-pidfile", "safe-pidfile2"),
            argument="",
        ),
    )
    log_format: str = entry(
        "text",
        Option(
            "log-format",
            kinds.Choice("text", "json"),
            "How events are written to stderr.",
            OTHER,
            argument="",
            more="In `[uwsgi]` it is the format of the web server's lines.",
        ),
    )
    log_file: str = entry(
        "",
        Option(
            "log-file",
            Text("file", "FILE", complete="file"),
            "Write the log, and what the app prints, to FILE; one that is moved away is made again.",
            OURS,
            argument="",
            more="[Logging](reference/logging.md)",
        ),
    )
    log_level: tuple[str, ...] = entry(
        (),
        Option(
            "log-level",
            Kind("log levels", metavar="[ROLE=]LEVEL", many=True),
            "Write events of this level and above: debug, info, warning, error, critical.",
            OURS,
            argument="",
            default="info",
            more="`spooler=warning` is for a role alone.",
        ),
    )
    ini: tuple[str, ...] = entry(
        (), Option("ini", kinds.FILES, "Read options from a uWSGI ini file.", SAME, argument="", only="line")
    )
    xml: tuple[str, ...] = entry(
        (), Option("xml", kinds.FILES, "The same from an XML file.", SAME, argument="", only="line")
    )
    yaml: tuple[str, ...] = entry(
        (),
        Option(
            "yaml",
            kinds.FILES,
            "The same from a YAML file (needs PyYAML).",
            SAME,
            aliases=("yml",),
            argument="",
            only="line",
        ),
    )
    json: tuple[str, ...] = entry(
        (), Option("json", kinds.FILES, "The same from a JSON file.", SAME, argument="", only="line")
    )
    config: tuple[str, ...] = entry(
        (), Option("config", kinds.FILES, "Read options from a TOML file.", OTHER, argument="", only="line")
    )
