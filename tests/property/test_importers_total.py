"""Whatever a text holds, it is read or refused by the importers' own error, and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora_diag.collect.importers import ImportFactsError, import_facts, merge_facts
from ilora_diag.collect.store import load_facts, redact_facts, save_facts
from ilora_diag.collect.vocabulary import complaint
from ilora_diag.engine.redact import Identity
from ilora_diag.schema import Facts, Unavailable, from_json, to_json

moderate = settings(max_examples=80, deadline=None)
NOBODY = Identity(home="/home/alice", user="alice", host="gpu-box7")

PIECES = (
    '<?xml version="1.0"?>\n',
    "<!DOCTYPE nvidia_smi_log [",
    "<nvidia_smi_log>",
    "</nvidia_smi_log>\n",
    '<gpu id="0"><product_name>X</product_name><mig_devices><mig_device><index>99999</index></mig_device>',
    "</mig_devices>",
    "<processes><process_info><pid>9</pid></process_info></processes></gpu>",
    "==============NVSMI LOG==============\n",
    "GPU 00000000:0A:00.0\n    Product Name : X\n",
    "    FB Memory Usage\n        Total : 9 MiB\n",
    "    Processes\n        Process ID : 9\n            Name : x\n",
    "| NVIDIA-SMI 9 Driver Version: 9 CUDA Version: 9 |\n",
    "|   0  X  On  | 00000000:0A:00.0 Off |  0 |\n",
    "| N/A 30C P0 9W / 9W | 1MiB / 2MiB | 0% Default |\n",
    "| MIG devices: |\n",
    "|  0    5   0   0  |  2MiB / 4MiB |\n",
    "| Processes: |\n",
    "|    0   N/A  N/A   77   C   p   3MiB |\n",
    "GPU 0: X (UUID: GPU-1)\n",
    "  MIG 1g.10gb Device 0: (UUID: MIG-1)\n",
    "name, driver_version, memory.total [MiB]\n",
    '"X, 9, 9\n',
    "NVIDIA-SMI version  : 9\n",
    "PyTorch version: 2.1.0+cu118\n",
    "GPU models and configuration:\n",
    "  GPU 0: X with MIG instances\n",
    "99x Y\n",
    "Nvidia driver version: kernel module 520.1, userspace 525.1\n",
    "environment variables:\n  A_B=c\n",
    "Versions of relevant libraries:\n[pip3] torch==2\n",
    "* CUDA:\n\t- version: 9\n",
    ">>> torch.__version__\n",
    "observed message (short): CUDA capability sm_9",
    "other facts: Xid 79, /dev/shm is 64M\n",
    "Traceback (most recent call last):\n",
    "[    1.000000] NVRM: Xid (PCI:0000:3b:00): 79, x\n",
    "Failed to initialize NVML: Unknown Error\n",
    "collected_at: 2026-99-99\n# a :: b\n",
    '{"schema": "ilora-diag/facts", ',
    "\n",
    ":",
    "= \t",
    "\ufeff",
    "\ud800",
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=14).map("".join)


def imported(source: str | bytes) -> Facts | None:
    try:
        return import_facts(source)
    except ImportFactsError:
        return None


@moderate
@given(texts)
def test_any_text_gives_sound_facts_or_the_importers_own_error(text: str) -> None:
    facts = imported(text)
    if facts is not None:
        assert [complaint(fact) for fact in facts.facts if complaint(fact)] == []
        assert not isinstance(facts.get("import.kinds"), Unavailable)
        assert from_json(Facts, to_json(facts)) == facts


@moderate
@given(st.binary(max_size=200))
def test_any_bytes_give_facts_or_the_importers_own_error(content: bytes) -> None:
    imported(content)


@moderate
@given(texts)
def test_redaction_keeps_paths_and_types_and_is_done_once(text: str) -> None:
    facts = imported(text)
    if facts is not None:
        clean = redact_facts(facts, NOBODY)
        assert [complaint(fact) for fact in clean.facts if complaint(fact)] == []
        assert {fact.path for fact in facts.facts} <= {fact.path for fact in clean.facts}
        assert redact_facts(clean, NOBODY) == clean


@moderate
@given(texts, texts)
def test_merging_keeps_every_path_and_merging_twice_changes_nothing(first: str, second: str) -> None:
    one, two = imported(first), imported(second)
    if one is not None and two is not None:
        merged = merge_facts(one, two)
        paths = {fact.path for fact in merged.facts}
        assert {fact.path for fact in one.facts} <= paths
        assert merge_facts(merged, two) == merged
        assert merge_facts(one) == one


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(json_values)
def test_any_value_of_a_fact_in_a_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    import json

    path = tmp_path_factory.mktemp("facts") / "f.json"
    fact = {"path": "nvml.status", "value": value, "source": "x"}
    head = {"schema": "ilora-diag/facts", "schema_version": "1.0", "captured_at": 0}
    path.write_text(json.dumps({**head, "facts": [fact]}))
    try:
        facts = load_facts(path)
    except ImportFactsError:
        return
    save_facts(facts, path)
    assert load_facts(path).get("nvml.status") == facts.get("nvml.status")


@pytest.mark.parametrize(
    "line",
    [
        "| " + " " * 60_000 + "|",
        "|   0  " + "X " * 30_000 + "|  |  |",
        "a" + " " * 60_000 + "b",
        "key" + "." * 60_000,
        "GPU 0: " + " " * 60_000,
        "a:" * 30_000,
        "a=" * 30_000,
        "name,uuid," * 6_000,
        "lib" + "a" * 60_000 + ".so",
        "other facts: " + "driver " * 8_000,
        "observed message (short): supports" + " sm_80" * 10_000 + "x",
        "x-1." * 15_000 + " wheel",
        "::" * 30_000,
        "a@" * 30_000,
    ],
)
@pytest.mark.parametrize("before", ["torch: 2.0\n", "| NVIDIA-SMI 9 Driver Version: 9 |\n", "== NVSMI LOG =====\n"])
def test_no_line_is_slow(before: str, line: str) -> None:
    begun = time.monotonic()
    facts = imported(f"{before}{line}\n" * 3)
    if facts is not None:
        redact_facts(facts, NOBODY)
    assert time.monotonic() - begun < 10  # seconds: none needs a tenth of one, an exponential pattern never ends


def test_two_hundred_megabytes_are_streamed(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "train.log"
    line = b"2026-01-05 10:00:00 INFO step 17 loss 2.5 tokens/s 1234 memory 9999 MiB\n"
    block = line * 14_000
    with path.open("wb") as file:
        for _ in range(200):
            file.write(block)
        file.write(b"NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.\n")
    tracemalloc.start()
    try:
        facts = import_facts(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        path.unlink()
    assert facts.get("kernel_log.xid") == (79,)
    assert peak < 32 << 20
