"""The sums: what was accepted against what was handled, kept or saved, every difference charged to a kill.

A ledger balances if nothing is left that no kill explains:

- A killed sender may lose a frame while it clears the queue of a bus that ended under its send; nothing else
  that it accepted.
- A killed mule may lose what was between the kernel's queue and its record: a frame, or one signal. What it
  had in hand it may have handled, and it is kept as well.
- A killed master may lose likewise what it was moving from a queue to the state directory at a takeover, and
  what it was moving back, a frame, may be there twice: queued, and in its file still.

An interrupted receive has returned nothing: what it had taken is returned by a later one, or is once a dead
letter. An interrupted send or raise has told nothing: it happened once or not at all.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from chaos import records
from ipcmules.bus.places import places
from ipcmules.messages import kept

Key = tuple[str, str, int]

#: Python 3.10 looks for signals at more places: the message that a receive is about to return may go.
_EXACT = sys.version_info >= (3, 11)


@dataclass
class Ledger:
    """Rows to print, and what does not balance."""

    rows: list[tuple[str, int, str]] = field(default_factory=list)
    #: What goes into the table of all kinds, by column.
    figures: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    #: What the processes did by themselves, by kind.
    own: Counter[str] = field(default_factory=Counter)

    def row(self, what: str, count: int, remark: str = "") -> None:
        """Add a line."""
        self.rows.append((what, count, remark))

    def fault(self, text: str) -> None:
        """Add something that does not balance."""
        self.faults.append(text)

    def lost(self, count: int, text: str) -> None:
        """Count what is lost and no kill explains."""
        self.figures["lost"] += count
        self.fault(text)

    def doubled(self, count: int, text: str) -> None:
        """Count what was done twice and no kill explains."""
        self.figures["doubled"] += count
        self.fault(text)

    def __str__(self) -> str:
        width = max(len(what) for what, _, _ in self.rows)
        lines = [f"{what:<{width}}  {count:>8}  {remark}".rstrip() for what, count, remark in self.rows]
        lines += [f"DOES NOT BALANCE: {each}" for each in self.faults[:30]]
        return "\n".join([*lines, "" if self.faults else "The ledger balances."])


@dataclass(frozen=True)
class Kills:
    """Who was killed."""

    roles: Counter[str]
    mules: Counter[int]
    senders: set[str]
    pids: set[int]


class Sums:
    """Reads all records, once."""

    def __init__(self, directory: Path, bus: str) -> None:
        self.tried: dict[str, set[Key]] = {word: set() for word in "tari"}
        self.signals: dict[str, Counter[int]] = {word: Counter() for word in "TARI"}
        self.sections = 0
        for path in directory.glob("sent.*"):
            self._read_sender(path.name.removeprefix("sent."), path)
        self.handled: Counter[Key] = Counter()
        self.calls: Counter[int] = Counter()
        self._read_handled(directory / "handled")
        self.dead: Counter[Key] = Counter()
        self.saved: Counter[Key] = Counter()
        #: What is kept and is no message that anybody sent.
        self.strange: list[str] = []
        self.reasons: Counter[str] = Counter()
        self._read_kept(bus)
        self.pending: Counter[int] = Counter()
        self._read_pending(bus)
        #: Interruptions by the kind of call, children of mules by what became of them, refusals by what.
        self.interrupted, self.forked, self.refused = (
            Counter(line.split()[0] for line in records.lines(directory / name))
            for name in ("interrupted", "forked", "refused")
        )

    def _read_sender(self, name: str, path: Path) -> None:
        for line in records.lines(path):
            words = line.split()
            if words[0] in self.tried:
                self.tried[words[0]].add((name, words[1], int(words[2])))
            elif words[0] in self.signals:
                self.signals[words[0]][int(words[1])] += 1
            else:
                self.sections += 1

    def _read_handled(self, path: Path) -> None:
        for line in records.lines(path):
            words = line.split()
            if words[0] == "m":
                self.handled[words[1], words[2], int(words[3])] += 1
            else:
                self.calls[int(words[1])] += 1

    def _read_kept(self, bus: str) -> None:
        for path in kept.listing(places(bus)):
            found = kept.load(path)
            try:
                (self.saved if found.again else self.dead)[records.key(found.data)] += 1
            except ValueError:
                self.strange.append(f"{found.endpoint}, {found.reason}: {found.data[:200]!r}")
            self.reasons["to be queued again" if found.again else _shortened(found.reason)] += 1

    def _read_pending(self, bus: str) -> None:
        path = Path(places(bus).signals)
        if path.exists():
            for life in json.loads(path.read_text()).values():
                for counts in life["pending"].values():
                    for number, count in counts:
                        self.pending[number] += count


def _shortened(reason: str) -> str:
    return " ".join(word for word in reason.split() if not word.isdigit())


def draw_up(sums: Sums, directory: Path, kills: Kills) -> Ledger:
    """Everything but what was left behind."""
    ledger = Ledger()
    charged = _messages(ledger, sums, kills)
    charged += _signals(ledger, sums)
    allowed = kills.roles["mule"] + kills.roles["master"] + kills.roles["sender"]
    if not _EXACT:
        allowed += sums.interrupted["receive"]  # the message that the call was about to return
    ledger.row("losses charged to killed receivers", charged, f"of {allowed} kills")
    ledger.figures["in a kill's window"] += min(charged, allowed)
    if charged > allowed:
        ledger.lost(charged - allowed, f"{charged} losses at receivers, but only {allowed} kills")
    _locks(ledger, sums, directory, kills)
    _interrupted(ledger, sums, kills)
    ledger.own["interrupt"] = sum(sums.interrupted.values())
    ledger.own["fork"] = sums.forked["returns"] + sums.forked["raises"]
    for what, count in sorted(sums.forked.items()):
        ledger.row(f"forked children: {what}", count)
    if sums.forked["handled"]:
        ledger.doubled(sums.forked["handled"], f"{sums.forked['handled']} things were handled by children")
    for what, count in sorted(sums.refused.items()):
        ledger.row(f"refused in words: {what}", count)
    ledger.figures["refused in words"] += sum(sums.refused.values())
    return ledger


def _interrupted(ledger: Ledger, sums: Sums, kills: Kills) -> None:
    for what, count in sorted(sums.interrupted.items()):
        ledger.row(f"interrupted: {what}", count)
    hooks, letters = sums.interrupted["hook"], 0
    for reason, count in sums.reasons.items():
        letters += count * ("raised Interrupted" in reason)
    if not hooks - kills.roles["mule"] <= letters <= hooks:
        ledger.lost(abs(hooks - letters), f"{hooks} hooks were interrupted, {letters} dead letters say so")


# Messages


def _messages(ledger: Ledger, sums: Sums, kills: Kills) -> int:
    accepted, tried, refused = sums.tried["a"], sums.tried["t"], sums.tried["r"]
    found = sums.handled.keys() | sums.dead.keys() | sums.saved.keys()
    ledger.row("messages tried", len(tried))
    ledger.row("messages accepted", len(accepted))
    ledger.row("messages refused", len(refused), "the sender saw that, and sent again")
    ledger.row(
        "messages interrupted", len(sums.tried["i"]), f"{len(sums.tried['i'] & found)} of them were sent"
    )
    ledger.row("messages handled", len(sums.handled))
    for column, keys in (("accepted", accepted), ("handled", sums.handled), ("dead letters", sums.dead)):
        ledger.figures[column] += len(keys)
    ledger.row("dead letters", sum(sums.dead.values()))
    for reason, count in sorted(sums.reasons.items()):
        ledger.row("  " + reason, count)
    _unexpected(ledger, sums, kills, tried, refused)
    lost = accepted - found
    frames = _frames(lost)
    ledger.row("lost between queue and record", len(lost), f"in {len(frames)} frames")
    for route in records.ROUTES:
        if not route.startswith("mule"):
            continue
        count = sum(each[0][1] == route for each in frames)
        allowed = kills.mules[int(route[4:])] + kills.roles["master"] + kills.roles["sender"]
        if count > allowed:
            ledger.fault(f"{count} frames to {route} are lost, {allowed} kills: {frames[:3]}")
    for frame in frames[:20]:
        sender, route, first = frame[0]
        ledger.row(f"    {sender} {route} {first}", len(frame))
    return len(frames)


def _unexpected(ledger: Ledger, sums: Sums, kills: Kills, tried: set[Key], refused: set[Key]) -> None:
    twice = {key: count for key, count in sums.handled.items() if count > 1}
    again = _frames(set(twice))
    masters = kills.roles["master"]
    ledger.row("handled twice", len(twice), f"in {len(again)} frames, requeued by {masters} killed masters")
    if len(again) > masters:
        ledger.doubled(len(again) - masters, f"{len(twice)} messages were handled twice: {sorted(twice)[:5]}")
    both = sums.handled.keys() & (sums.dead.keys() | sums.saved.keys())
    ledger.row("handled, and in hand at a kill", len(both), f"of {kills.roles['mule']} killed mules")
    if len(both) > kills.roles["mule"]:
        ledger.doubled(len(both), f"{len(both)} handled messages are kept as well: {sorted(both)[:5]}")
    ghosts = (sums.handled.keys() | sums.dead.keys() | sums.saved.keys()) - tried
    if ghosts:
        ledger.doubled(len(ghosts), f"{len(ghosts)} messages came that nobody sent: {sorted(ghosts)[:5]}")
    for each in sums.strange:
        ledger.fault(f"kept, and no message of anybody's: {each}")
    back = refused & (sums.handled.keys() | sums.dead.keys() | sums.saved.keys())
    ledger.row("refused, and there nevertheless", len(back))
    if back:
        ledger.doubled(len(back), f"{len(back)} refused messages came nevertheless: {sorted(back)[:5]}")


def _frames(lost: set[Key]) -> list[list[Key]]:
    """Neighbours that may have been in one frame: only a queue with one receiver has frames of many."""
    frames: list[list[Key]] = []
    for key in sorted(lost):
        before = frames[-1][-1] if frames else ("", "", -9)
        if key[1].startswith("mule") and before[:2] == key[:2] and before[2] == key[2] - 1:
            frames[-1].append(key)
        else:
            frames.append([key])
    return frames


# Signals


def _signals(ledger: Ledger, sums: Sums) -> int:
    charged = 0
    for number, (target, each) in records.SIGNALS.items():
        tried, raised, refused = (sums.signals[word][number] * each for word in "TAR")
        there = sums.calls[number] + sums.pending[number]
        missing = max(0, raised - there)
        ledger.row(
            f"signal {number} raised, for {target}",
            raised,
            f"handled {sums.calls[number]}, saved {sums.pending[number]}, missing {missing}, tried {tried}, "
            f"refused {refused}",
        )
        charged += missing
        # A refused raise for all may have reached some; one that a killed sender had begun may count.
        most = tried if each > 1 else tried - refused
        if there > most:
            ledger.doubled(there - most, f"signal {number} was handled {there} times and raised {most} times")
    return charged


# Locks


def _locks(ledger: Ledger, sums: Sums, directory: Path, kills: Kills) -> None:
    sections = broken = across = 0
    for path in sorted(directory.glob("lock.*")):
        holder: tuple[int, int] | None = None
        for line in records.lines(path):
            word, pid, generation = line.split()
            now = (int(pid), int(generation))
            if word == "in":
                if holder is not None and holder[1] != now[1]:
                    across += holder[0] not in kills.pids
                elif holder is not None and holder[0] in kills.pids:
                    broken += 1
                elif holder is not None:
                    ledger.fault(f"{path.name}: {now} came in while {holder} was there")
                holder = now
            else:
                sections += 1
                if now == holder:
                    holder = None
                elif holder is None or holder[1] == now[1]:
                    ledger.fault(f"{path.name}: {now} went out, {holder} was there")
    ledger.row("lock sections", sections, f"{sums.sections} of attached processes, counted by them")
    ledger.row("  ended by the kill of the holder", broken)
    ledger.row(
        "  of a bus that had ended meanwhile", across, "its locks went with it; the next bus's are others"
    )
