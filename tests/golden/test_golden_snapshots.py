"""Snapshots in every form, against reviewed renders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from ilora_diag.memory.snapshot import analyse
from ilora_diag.memory.snapshot_file import RawSnapshot
from ilora_diag.memory.snapshot_layout import checked_layout
from ilora_diag.schema import Snapshot, to_json
from reports.figures import snapshot_timeline
from reports.markdown import render_document
from reports.terminal import TerminalRenderer
from reports.view.snapshot import snapshot_document

NAMES = ("leak", "oom", "fragmented", "state")


@pytest.fixture(scope="module")
def snapshots(recordings: SimpleNamespace) -> dict[str, Snapshot]:
    contents = {
        "leak": recordings.leaking(4).snapshot(),
        "oom": recordings.failing().snapshot(),
        "fragmented": recordings.failing(fragmented=True).snapshot(),
        "state": recordings.leaking(3).snapshot() | {"device_traces": []},
    }
    return {
        name: analyse(RawSnapshot(path=Path(f"{name}.pickle"), **checked_layout(content)))
        for name, content in contents.items()
    }


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("name", NAMES)
def test_terminal_and_markdown(
    name: str, lang: str, snapshots: dict[str, Snapshot], golden: Callable[[str, str], None]
) -> None:
    document = snapshot_document(snapshots[name], lang, top=4)
    golden(f"snapshot-{name}.{lang}.txt", TerminalRenderer(lang).render_document(document))
    golden(f"snapshot-{name}.{lang}.md", render_document(document))


def test_json(snapshots: dict[str, Snapshot], golden: Callable[[str, str], None]) -> None:
    golden("snapshot-leak.json", to_json(snapshots["leak"], indent=1) + "\n")


def test_several_devices_have_their_names_in_the_titles(snapshots: dict[str, Snapshot]) -> None:
    (first,), (second,) = snapshots["leak"].devices, snapshots["oom"].devices
    both = replace(snapshots["leak"], devices=(first, replace(second, index=1)))
    titles = [section.title for section in snapshot_document(both, "en").sections]
    assert {title.partition(":")[0] for title in titles} == {"Device 0", "Device 1"}


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_course_is_drawn_with_its_words(lang: str, snapshots: dict[str, Snapshot], tmp_path: Path) -> None:
    (device,) = snapshots["leak"].devices
    assert snapshot_timeline.available(device)
    assert not snapshot_timeline.available(snapshots["state"].devices[0])
    path, again = tmp_path / "a.svg", tmp_path / "b.svg"
    snapshot_timeline.write(device, path, lang)
    snapshot_timeline.write(device, again, lang)
    assert path.read_bytes() == again.read_bytes()
    texts = [node.text for node in ElementTree.parse(path).iter() if node.tag.endswith("text")]
    assert "proj/model.py:20 forward" in texts
    assert ("peak 234 MiB" if lang == "en" else "ピーク 234 MiB") in texts


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_blocks_without_a_stack_are_told_of_where_there_are_some_alone(
    lang: str, snapshots: dict[str, Snapshot]
) -> None:
    snapshot = snapshots["state"]
    (device,) = snapshot.devices
    told = tuple(
        replace(part, site="load.py:1 load") if part.site == "(no stack recorded)" else part
        for part in device.before_by_stack
    )
    whole = replace(snapshot, devices=(replace(device, before_by_stack=told),))
    assert "62.9 %" in snapshot_document(snapshot, lang).title  # have no stack
    assert snapshot_document(whole, lang).title.count("%") == 1
