"""The dashboard and the alert rules name metrics that there are, and the documentation names all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ipcmules.bus.places import places
from ipcmules.exporter import collecting
from ipcmules.exporter.collecting import BusCollector
from ipcmules.snapshot import Snapshot

CHECKOUT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = CHECKOUT / "examples" / "monitoring"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Of all samples, as they are written."""
    nothing = Snapshot("b", "ready", 1.0, "/nowhere")
    monkeypatch.setattr(collecting, "take", lambda _where, events: nothing)
    found = set()
    for family in BusCollector(places("b")).collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {family.name + end for end in ends}
    return found


def test_the_dashboard(names: set[str]) -> None:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for text in texts for name in re.findall(r"\bipcmules_\w+", text)}
    assert len(texts) > 10 and used <= names, used - names
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_alerts(names: set[str]) -> None:
    [group] = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"]
    used = {name for rule in group["rules"] for name in re.findall(r"\bipcmules_\w+", rule["expr"])}
    assert len(group["rules"]) > 5 and used <= names, used - names
    assert all({"alert", "expr", "annotations"} <= set(rule) for rule in group["rules"])


def test_the_documentation_names_all(names: set[str]) -> None:
    text = (CHECKOUT / "docs" / "monitoring.md").read_text()
    words = set(re.findall(r"`(\w+)`", text))
    short = {re.sub(r"^ipcmules_|_(bucket|sum|count)$", "", name) for name in names}
    assert short <= words, short - words
