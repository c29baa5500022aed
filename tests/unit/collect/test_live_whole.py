"""The whole of live collection: on this machine, on one without anything, and against damaged answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ilora_diag.collect import live
from ilora_diag.collect.elf_cache import elf_machine, read_cache
from ilora_diag.collect.live import collect_facts
from ilora_diag.collect.merge import Answer, merge
from ilora_diag.collect.sheet import Sheet, attempt, read_text
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Fact, Facts, Unavailable, from_json, to_json


def test_this_machine_is_told_in_the_vocabulary_and_survives_json() -> None:
    facts = collect_facts()
    assert [text for fact in facts.facts if (text := complaint(fact))] == []
    assert from_json(Facts, to_json(facts)) == facts
    assert {facts.get(f"collect.{group}") for group in ("files", "devices", "nvml", "cuda")} == {"ok"}
    assert facts.get("os.family") == "linux"
    assert facts.get("python.executable") == sys.executable
    assert all(fact.source for fact in facts.facts)
    known_devices = {fact.path.split(".")[0] for fact in facts.facts if fact.path.startswith("gpu[")}
    count = facts.get("nvml.device_count")
    assert len(known_devices) == (count if isinstance(count, int) else 0)


def test_a_machine_without_proc_sys_and_dev_has_reasons_everywhere(tmp_path: Path) -> None:
    facts = collect_facts(root=tmp_path, only=("host", "container", "pci", "kernel_driver", "devnodes", "kernel_log"))
    assert [text for fact in facts.facts if (text := complaint(fact))] == []
    assert facts.get("dev.nvidiactl") == "ENOENT"
    for path in (
        "os.kernel",
        "cgroup.memory_max_bytes",
        "pci.num_nvidia_gpus",
        "kernel_log.xid",
        "shm.total_bytes",
        "driver.kmod",
        "module.nvidia",
        "mps.running",
    ):
        value = facts.get(path)
        assert isinstance(value, Unavailable), path
        assert value.reason.startswith("absent:"), path


def test_the_observer_imports_neither_torch_nor_pynvml() -> None:
    import subprocess

    code = (
        "import sys; from ilora_diag.collect.live import collect_facts; collect_facts(only=('host',)); "
        "print([name for name in ('torch', 'pynvml', 'ctypes') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "[]"


def test_a_child_that_cannot_be_started_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "python_argv", lambda *_: ("/nowhere/python",))
    facts = collect_facts(only=("nvml", "host"))
    for path in ("nvml.status", "os.kernel"):
        value = facts.get(path)
        assert isinstance(value, Unavailable)
        assert value.reason.startswith("failed: cannot start /nowhere/python")


def test_a_child_that_answers_garbage_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "child.py"
    program.write_text('import os\nos.write(int(os.environ["ILORA_DIAG_RESULT_FD"]), b\'{"schema": "other"}\')')
    monkeypatch.setattr(live, "python_argv", lambda *_: (sys.executable, "-S", str(program)))
    value = collect_facts(only=("nvml",)).get("nvml.status")
    assert isinstance(value, Unavailable)
    assert value.reason.startswith("failed: its answer is no record of facts")


def test_without_a_folder_for_journals_the_facts_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(live.tempfile, "TemporaryDirectory", refuse)
    assert collect_facts(only=("host",)).get("collect.files") == "ok"


def test_what_one_collector_cannot_cope_with_costs_only_its_own_leaves() -> None:
    sheet = Sheet()
    attempt(sheet, "host", lambda: {}["gone"])  # type: ignore[func-returns-value]
    attempt(sheet, "environ", lambda: sheet.put("env.A", "1", "test"))
    value = sheet.get("collect.host")
    assert isinstance(value, Unavailable)
    assert value.reason == "failed: KeyError: 'gone'"
    assert sheet.get("env.A") == "1"


def test_a_journal_cut_off_in_a_line_gives_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    sheet = Sheet(journal=os.open(path, os.O_WRONLY | os.O_CREAT))
    sheet.put("nvml.status", 0, "nvmlInit")
    sheet.step("nvmlDeviceGetCount_v2")
    sheet.put("nvml.device_count", 2, "nvmlDeviceGetCount_v2")
    assert sheet.journal is not None
    os.close(sheet.journal)
    content = path.read_bytes()
    path.write_bytes(content[:-10] + b"\n[1]\nnull\n" + b'{"fact": {"path": 3}}\n')
    facts, step = live._read_journal(path)
    assert [(fact.path, fact.value) for fact in facts] == [("nvml.status", 0)]
    assert step == "nvmlDeviceGetCount_v2"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=300), magic=st.booleans())
def test_a_damaged_loader_cache_is_a_reason_and_no_crash(tmp_path: Path, noise: bytes, magic: bool) -> None:
    path = tmp_path / "ld.so.cache"
    path.write_bytes((b"glibc-ld.so.cache1.1" if magic else b"") + noise)
    found = read_cache(path)
    assert isinstance(found, Unavailable | tuple)
    elf_machine(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(st.binary(max_size=40), st.just(json.dumps({"step": "x"}).encode())), max_size=8))
def test_any_journal_is_read_without_an_error(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"\n".join(lines))
    facts, step = live._read_journal(path)
    assert facts == []
    assert step in ("", "x")


def test_a_file_that_never_ends_is_read_only_so_far() -> None:
    text = read_text(Path("/dev/zero"), 4096)
    assert text == ""


# --- merging ---


def fact(path: str, value: object, source: str = "test") -> Fact:
    return Fact(path=path, value=value, source=source)  # type: ignore[arg-type]


def merged(**groups: list[Fact]) -> dict[str, object]:
    found = merge([Answer(group=name, facts=tuple(facts)) for name, facts in groups.items()])
    return {one.path: one.value for one in found}


def test_a_known_answer_comes_before_an_unknown_one_of_a_better_witness() -> None:
    missing = Unavailable(reason="failed: 34 stub")
    found = merged(cuda=[fact("cuda.driver_version", missing)], nvml=[fact("cuda.driver_version", "12.4")])
    assert found["cuda.driver_version"] == "12.4"


def test_what_the_loader_really_took_comes_before_what_was_searched() -> None:
    found = merged(files=[fact("driver.libcuda_path", "/a")], cuda=[fact("driver.libcuda_path", "/b")])
    assert found["driver.libcuda_path"] == "/b"


def test_nvml_comes_before_cuda_for_a_device() -> None:
    nvml = [fact("nvml.device_count", 1), fact("gpu[0].bus_id", "0000:01:00.0"), fact("gpu[0].memory_total_bytes", 10)]
    cuda = [fact("ordinal[0].bus_id", "0000:01:00.0"), fact("ordinal[0].memory_total_bytes", 9)]
    found = merged(nvml=nvml, cuda=cuda)
    assert found["gpu[0].memory_total_bytes"] == 10
    assert found["gpu[0].cuda_ordinal"] == 0


def test_the_kernels_cards_count_only_where_nvml_counts_none() -> None:
    kernel = [fact("gpu[0].name", "lost"), fact("gpu[1].name", "there"), fact("gpu[0].bus_id", "x", "/proc/driver")]
    assert merged(devices=kernel)["gpu[0].name"] == "lost"
    nvml = [fact("nvml.device_count", 1), fact("gpu[0].name", "there"), fact("gpu[0].nvml_status", 0)]
    found = merged(devices=kernel, nvml=nvml)
    assert found["gpu[0].name"] == "there"
    assert "gpu[1].name" not in found


def test_a_device_that_nvml_does_not_count_gets_a_number_of_its_own() -> None:
    nvml = [fact("nvml.device_count", 1), fact("gpu[0].bus_id", "0000:01:00.0"), fact("gpu[0].nvml_status", 0)]
    cuda = [fact("cuda.device_count", 1), fact("ordinal[0].bus_id", "0000:09:00.0"), fact("ordinal[0].name", "other")]
    found = merged(nvml=nvml, cuda=cuda)
    assert (found["gpu[1].name"], found["gpu[1].cuda_ordinal"], found["gpu[0].cuda_ordinal"]) == ("other", 0, None)


def test_leaves_are_in_the_order_of_their_numbers() -> None:
    found = merged(nvml=[fact(f"gpu[{index}].name", "x") for index in (10, 9, 1)])
    assert list(found) == ["gpu[1].name", "gpu[9].name", "gpu[10].name"]
