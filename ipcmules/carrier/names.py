"""How what is the cluster's is called in NATS. Specified in docs/formats-cluster.md.

A dot parts a subject and a stream's name cannot have one, and names of clusters and farms may: there it is
'%'.
"""

from __future__ import annotations

#: What our streams say of themselves (their metadata); another number is another version's.
FORMAT_KEY, FORMAT = "ipcmules", "2"
#: Hosts of a signal that are none's name.
ALL, ANY = "all", "any"
#: The consumer that all members of a farm share.
MEMBERS = "members"
#: What subjects of messages end with that are no references to large ones: those end with a name.
WHOLE = "m"


def _plain(name: str) -> str:
    return name.replace(".", "%")


class Names:
    """The names of one cluster."""

    def __init__(self, cluster: str) -> None:
        self._cluster = _plain(cluster)

    def stream(self, farm: str) -> str:
        """The stream of a farm's messages."""
        return f"ipcmules-{self._cluster}-farm-{_plain(farm)}"

    def subject(self, farm: str, name: str = WHOLE) -> str:
        """Where a farm's messages are published. name: of a large one, '*' for all."""
        return f"ipcmules.{self._cluster}.farm.{_plain(farm)}.{name}"

    @property
    def dead_stream(self) -> str:
        """The stream of dead letters."""
        return f"ipcmules-{self._cluster}-dead"

    def dead(self, farm: str, name: str = WHOLE) -> str:
        """Where a farm's dead letters are published; '*' is every farm's. name: as of subject()."""
        return f"ipcmules.{self._cluster}.dead.{farm if farm == '*' else _plain(farm)}.{name}"

    @property
    def pieces(self) -> str:
        """The stream of what is too large for one message."""
        return f"ipcmules-{self._cluster}-large"

    def piece(self, farm: str, name: str) -> str:
        """Where the pieces of a large message to a farm, or address, are published; '*' for all."""
        return f"ipcmules.{self._cluster}.large.{_plain(farm)}.{name}"

    @property
    def broadcasts(self) -> str:
        """The stream of signals for all hosts: each is there until every host that is known has it."""
        return f"ipcmules-{self._cluster}-broadcasts"

    @property
    def signals(self) -> str:
        """The stream of signals for any host or a certain one: each is there until one has it."""
        return f"ipcmules-{self._cluster}-signals"

    def raised(self, hosts: str) -> str:
        """Where signals for 'all', 'any' or a host are published."""
        if hosts in (ALL, ANY):
            return f"ipcmules.{self._cluster}.signal.{hosts}"
        return self.raised_at(hosts)

    def raised_at(self, host: str) -> str:
        """The same of one host, '*' is every host; none has the subject of another."""
        return f"ipcmules.{self._cluster}.signal.host.{host if host == '*' else _plain(host)}"

    @property
    def mules(self) -> str:
        """The stream of messages to mules of certain hosts."""
        return f"ipcmules-{self._cluster}-mules"

    def mule(self, name: str, host: str, large: str = WHOLE) -> str:
        """Where messages to an address, NAME@HOST, are published; '*' is every one. large: see subject()."""
        return f"ipcmules.{self._cluster}.mule.{_plain(host)}.{_plain(name)}.{large}"

    @staticmethod
    def at(name: str, host: str) -> str:
        """The consumer of an address."""
        return f"{_plain(name)}@{_plain(host)}"

    def mule_of(self, consumer: str) -> str:
        """Where all messages to the address of a consumer are published."""
        name, _, host = consumer.partition("@")
        return self.mule(name, host, "*")

    @staticmethod
    def spoken(consumer: str) -> str:
        """The address of a consumer, as people write it."""
        return consumer.replace("%", ".")

    @staticmethod
    def of_host(host: str) -> str:
        """The consumer of a host, on either stream."""
        return f"host-{_plain(host)}"

    def calls(self, host: str) -> str:
        """Where calls of functions of a host are asked for."""
        return f"ipcmules.{self._cluster}.call.{_plain(host)}"

    @property
    def hosts(self) -> str:
        """Where is asked who is there."""
        return f"ipcmules.{self._cluster}.hosts"
