"""Real captures and reports of the shared data folder: all import, and their values equal its index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ilora_diag.collect.importers import ImportFactsError, import_facts
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Facts, Unavailable, from_json, to_json

pytestmark = pytest.mark.data
MODES = {"None": "none", "Pass-Through": "passthrough"}


def index(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def known(facts: Facts, path: str) -> object:
    value = facts.get(path)
    return None if isinstance(value, Unavailable) else value


def size(text: str | None) -> int | None:
    return None if text is None else int(text.split()[0]) << 20


def wanted(row: dict[str, Any]) -> dict[str, object]:
    """What the index says of a file, as paths."""
    cuda = row["cuda"] if row["cuda"] != "Not Found" else None
    paths: dict[str, object] = {"driver.version": row["driver"], "cuda.driver_version": cuda}
    if "attached" in row:
        paths["nvml.device_count"] = row["attached"] and int(row["attached"])
    for number, name in enumerate(row.get("products", ())):
        paths[f"gpu[{number}].name"] = name
    for number, gpu in enumerate(row.get("gpus", ())):
        told = {
            "name": gpu["name"],
            "architecture": gpu["arch"],
            "mig_mode": None if gpu["mig"] in (None, "N/A") else gpu["mig"].lower(),
            "virtualization_mode": MODES.get(gpu["virtualization"]),
            "memory_total_bytes": size(gpu["fb_total"]),
            "memory_reserved_bytes": size(gpu["fb_reserved"]),
            "memory_used_bytes": size(gpu["fb_used"]),
        }
        paths |= {f"gpu[{number}].{name}": value for name, value in told.items()}
        paths[f"gpu[{number}].num_processes"] = gpu["processes"] if row["driver"] else None
    for key in ("kernel", "arch"):
        if "head" in row:
            paths[f"os.{key}"] = row["head"][key]
    return paths


def test_every_capture_says_what_the_index_says(shared_data: Path) -> None:
    rows = index(shared_data / "smi")
    assert len(rows) >= 21
    differences: dict[str, tuple[object, object]] = {}
    for row in rows:
        facts = import_facts(shared_data / "smi" / row["file"])
        found = {path: (known(facts, path), value) for path, value in wanted(row).items()}
        differences |= {f"{row['file']} {path}": pair for path, pair in found.items() if pair[0] != pair[1]}
        mig = [gpu["mig_devices"] for gpu in row.get("gpus", ())]
        assert [known(facts, f"gpu[{number}].num_mig_devices") or 0 for number in range(len(mig))] == mig
    assert differences == {}


def test_every_fact_of_every_file_is_in_the_vocabulary_and_survives_a_file(shared_data: Path) -> None:
    files = [shared_data / "smi" / row["file"] for row in index(shared_data / "smi")]
    files += sorted((shared_data / "incidents").glob("*.txt"))
    assert len(files) >= 34
    for file in files:
        facts = import_facts(file)
        assert [complaint(fact) for fact in facts.facts if complaint(fact)] == [], file.name
        assert not [fact for fact in facts.facts if fact.path.startswith("conflict.")], file.name
        assert from_json(Facts, to_json(facts)) == facts


def test_every_incident_tells_its_environment(shared_data: Path) -> None:
    labels = [json.loads(line) for line in (shared_data / "incidents" / "labels.jsonl").read_text().splitlines()]
    for label in labels:
        facts = import_facts(shared_data / "incidents" / label["file"])
        lines = (shared_data / "incidents" / label["file"]).read_text().splitlines()[1:]
        leaves = [fact for fact in facts.facts if not fact.path.startswith("import.")]
        fields = [line for line in lines if not line.startswith(" ") and not line.endswith(":")]
        assert len(leaves) >= len(fields) - 1, label["file"]


def test_a_real_xml_cut_anywhere_is_refused(shared_data: Path) -> None:
    text = (shared_data / "smi" / "xml" / "telegraf__rtx-3060-v12.xml").read_text()
    for share in range(1, 20):
        with pytest.raises(ImportFactsError, match="cut off"):
            import_facts(text[: len(text) * share // 20])
