"""The signature of Bus(), for people, editors and type checkers. Made by `make options`.

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

    def __init__(
        self,
        name: str | None = None,
        *,
        mules: int | Sequence[MuleSpec] = (),
        farms: Mapping[str, Iterable[int]] | None = None,
        processes: int = 0,
        harakiri: float = 0.0,
        max_messages: int = 0,
        imports: Sequence[str] = (),
        lazy_apps: bool = False,
        settings: Mapping[str, str] | None = None,
        pyargv: Sequence[str] = (),
        on_mule_death: str = "dead-letter",
        max_requeues: int = 3,
        on_hook_error: str = "log",
        queue_share: float = 0.5,
        queue_messages: int = 16384,
        queue_bytes: int = 16777216,
        crons: Sequence[str | CronCommand] = (),
        cron_harakiri: float = 0.0,
        spoolers: Sequence[str | os.PathLike[str]] = (),
        spoolers_external: Sequence[str | os.PathLike[str]] = (),
        spooler_processes: int = 1,
        spooler_frequency: float = 30.0,
        spooler_ordered: bool = False,
        spooler_chdir: str | os.PathLike[str] = "",
        spooler_imports: Sequence[str] = (),
        spooler_quiet: bool = False,
        spooler_max_tasks: int = 0,
        spooler_async: int = 1,
        spooler_signal_as_task: bool = False,
        spooler_harakiri: float = 0.0,
        spooler_cheap: bool = False,
        spooler_nice: int = 19,
        spooler_fsync: bool = False,
        spooler_max_attempts: int = 25,
        mercy: float = 60.0,
        touch_reload: Sequence[str | os.PathLike[str]] = (),
        daemons: Sequence[str] = (),
        locks: int = 0,
        caches: Sequence[str] = (),
        metrics: Sequence[str] = (),
        cluster: str | Sequence[str] = (),
        cluster_name: str = "default",
        host: str = "",
        cluster_farms: Mapping[str, Iterable[int]] | None = None,
        cluster_mules: Iterable[int] = (),
        cluster_spoolers: Mapping[str, int] | None = None,
        cluster_max_deliveries: int = 5,
        cluster_deadline: float = 30.0,
        cluster_replicas: int = 1,
        cluster_credentials: str | os.PathLike[str] = "",
        cluster_ca: str | os.PathLike[str] = "",
        cluster_cert: str | os.PathLike[str] = "",
        cluster_key: str | os.PathLike[str] = "",
    ) -> None:
        """A bus, described; nothing is started yet.

        name: a named bus can be attached to by name, and keeps what it could not deliver; without one
            the bus is unique and keeps nothing.

        Mules, farms, workers:
        mules: a number of signal-only mules, or a list with one entry a mule: None (signal-only),
            'path.py', 'package.module:callable', or any callable (functions and lambdas travel by dill)
            (--mule [=PROGRAM])
        farms: name to the numbers of its mules, from 1 (--farm NAME:1,2)
        processes: Start N workers that load the app and serve signals. (--processes N)
        harakiri: Kill a mule whose message hook or signal handler takes longer. (--mule-harakiri
            SECONDS)
        max_messages: Replace a mule after N messages. (--mule-max-msgs N)

        Application:
        imports: Load a part of the app, once for all processes. (--import MODULE|FILE)
        lazy_apps: Load the app in each process instead of once. (--lazy-apps)
        settings: values that the app can read, by their names (--set KEY=VALUE)
        pyargv: arguments of mule programs (sys.argv[1:]), as a list (--pyargv ARGS)

        Messages:
        on_mule_death: What becomes of a message in the hands of a mule that died. (--on-mule-death
            dead-letter|requeue|drop)
        max_requeues: With requeue: a dead letter after N requeues. (--max-requeues N)
        on_hook_error: What becomes of a message whose hook raised: keep makes it a dead letter.
            (--on-hook-error log|keep)
        queue_share: Share of RLIMIT_MSGQUEUE that this bus may take. (--queue-share SHARE)
        queue_messages: So many messages may wait behind a queue that is full; 0: none.
            (--queue-messages N)
        queue_bytes: So many bytes of messages may wait there, in shared memory as they come.
            (--queue-bytes N)

        Signals and events:
        crons: commands to run at certain times, each as --cron has it, or a config.CronCommand (--cron
            'MIN HOUR DAY MONTH WDAY COMMAND')
        cron_harakiri: Kill a --cron command that takes longer. (--cron-harakiri SECONDS)

        Spooler:
        spoolers: Run the tasks of a spool directory; NAME:N is the queue NAME with N spoolers
            (NAME:N,path=DIR). (--spooler DIR|NAME:N)
        spoolers_external: Enqueue to a directory whose tasks somebody else runs. (--spooler-external
            DIR)
        spooler_processes: Spoolers of each directory. (--spooler-processes N)
        spooler_frequency: How often to look into the directories; tasks of the bus start at once,
            whatever it is. (--spooler-frequency SECONDS)
        spooler_ordered: Take tasks by priority, lowest first, then by time, even while no task has a
            priority. (--spooler-ordered)
        spooler_chdir: Run tasks in DIR instead of their own directory. (--spooler-chdir DIR)
        spooler_imports: Load a part of the app in spoolers alone. (--spooler-import MODULE|FILE)
        spooler_quiet: Write no line in the log for each task. (--spooler-quiet)
        spooler_max_tasks: Replace a spooler after N tasks. (--spooler-max-tasks N)
        spooler_async: Run up to N coroutines (`async def` tasks) at once in each spooler.
            (--spooler-async N)
        spooler_signal_as_task: With --spooler-max-tasks: a signal that is handled counts as a task.
            (--spooler-signal-as-task)
        spooler_harakiri: Kill a spooler whose task takes longer; that is a failed attempt.
            (--spooler-harakiri SECONDS)
        spooler_cheap: Have spoolers only while there is something to do. (--spooler-cheap)
        spooler_nice: Niceness of spoolers, as nice(1). (--spooler-nice N)
        spooler_fsync: A call that enqueues returns when its task is on the disk. (--spooler-fsync)
        spooler_max_attempts: A task is dead after so many failed attempts; 0: never.
            (--spooler-max-attempts N)

        Processes, reload, locks:
        mercy: How long a stop may take, and a mule that is reloaded. (--mule-reload-mercy SECONDS)
        touch_reload: Reload when FILE is touched, replaced or made; the web server keeps its code.
            (--touch-mules-reload FILE)
        daemons: Run COMMAND beside the mules, and again whenever it ends. (--attach-daemon COMMAND)
        locks: Have locks 0 to N. (--locks N)

        Shared state:
        caches: Have a cache: items, size, full=evict|refuse, store=FILE, expires=SECONDS. (--cache
            name=NAME,KEY=VALUE,...)
        metrics: Have a counter from the start; initial_value says what it begins with. (--metric
            NAME|name=NAME,...)

        Cluster:
        cluster: URLs of the NATS servers of the cluster to join, nats://HOST:PORT or tls://HOST:PORT
            (--cluster URL)
        cluster_name: The cluster's name: it keeps two on the same servers apart. (--cluster-name NAME)
        host: This host's name in the cluster. (--host NAME)
        cluster_farms: name to the numbers of its mules here, none where this host only sends to it
            (--cluster-farm NAME:1,2)
        cluster_mules: numbers of mules to which other hosts can send (--cluster-mules 1,2)
        cluster_spoolers: name to the number of its processes here, 0 where this host only enqueues
            (--cluster-spooler NAME[:N])
        cluster_max_deliveries: After N deliveries that nobody has finished a message is a dead letter.
            (--cluster-max-deliveries N)
        cluster_deadline: A host that is not heard of for so long has died: others get what it had.
            (--cluster-deadline SECONDS)
        cluster_replicas: So many servers store each message; 3 where there are three servers.
            (--cluster-replicas N)
        cluster_credentials: What to log in with: a line, USER:PASSWORD or a token; or a .creds file, or
            an nkey's seed. (--cluster-credentials FILE)
        cluster_ca: Certificates that the servers' are verified by; all is encrypted then. (--cluster-ca
            FILE)
        cluster_cert: This host's certificate, for servers that verify it. (--cluster-cert FILE)
        cluster_key: The key of that certificate. (--cluster-key FILE)

        Raises ConfigError, which names the argument, for a description that cannot be.
        """
        self._describe(
            name,
            {
                "mules": mules,
                "farms": farms,
                "processes": processes,
                "harakiri": harakiri,
                "max_messages": max_messages,
                "imports": imports,
                "lazy_apps": lazy_apps,
                "settings": settings,
                "pyargv": pyargv,
                "on_mule_death": on_mule_death,
                "max_requeues": max_requeues,
                "on_hook_error": on_hook_error,
                "queue_share": queue_share,
                "queue_messages": queue_messages,
                "queue_bytes": queue_bytes,
                "crons": crons,
                "cron_harakiri": cron_harakiri,
                "spoolers": spoolers,
                "spoolers_external": spoolers_external,
                "spooler_processes": spooler_processes,
                "spooler_frequency": spooler_frequency,
                "spooler_ordered": spooler_ordered,
                "spooler_chdir": spooler_chdir,
                "spooler_imports": spooler_imports,
                "spooler_quiet": spooler_quiet,
                "spooler_max_tasks": spooler_max_tasks,
                "spooler_async": spooler_async,
                "spooler_signal_as_task": spooler_signal_as_task,
                "spooler_harakiri": spooler_harakiri,
                "spooler_cheap": spooler_cheap,
                "spooler_nice": spooler_nice,
                "spooler_fsync": spooler_fsync,
                "spooler_max_attempts": spooler_max_attempts,
                "mercy": mercy,
                "touch_reload": touch_reload,
                "daemons": daemons,
                "locks": locks,
                "caches": caches,
                "metrics": metrics,
                "cluster": cluster,
                "cluster_name": cluster_name,
                "host": host,
                "cluster_farms": cluster_farms,
                "cluster_mules": cluster_mules,
                "cluster_spoolers": cluster_spoolers,
                "cluster_max_deliveries": cluster_max_deliveries,
                "cluster_deadline": cluster_deadline,
                "cluster_replicas": cluster_replicas,
                "cluster_credentials": cluster_credentials,
                "cluster_ca": cluster_ca,
                "cluster_cert": cluster_cert,
                "cluster_key": cluster_key,
            },
        )

    def _describe(self, name: str | None, given: dict[str, Any]) -> None:
        """Take what __init__ was given."""
        raise NotImplementedError
