"""Facts files: what is written, what is refused, and what leaves the machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ilora_diag.collect.importers import ImportFactsError, import_facts
from ilora_diag.collect.store import load_facts, redact_facts, save_facts
from ilora_diag.engine.redact import Identity, Pseudonyms
from ilora_diag.schema import Fact, Facts, Unavailable, Value

ALICE = Identity(home="/home/alice", user="alice", host="gpu-box7")
CARD, OTHER = "GPU-01234567-89ab-cdef-0123-456789abcdef", "GPU-fedcba98-89ab-cdef-0123-456789abcdef"


def facts_of(**values: Value | Unavailable) -> Facts:
    return Facts(
        captured_at=1.5,
        facts=tuple(Fact(path=path.replace("__", "."), value=value, source="a test") for path, value in values.items()),
    )


def one(path: str, value: Value | Unavailable) -> Facts:
    return Facts(captured_at=1.5, facts=(Fact(path=path, value=value, source="a test"),))


def hidden(path: str, value: Value) -> object:
    return redact_facts(one(path, value), ALICE).get(path)


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    facts = facts_of(driver__kmod="999.1", torch__archs=("sm_80",), nvml__status=Unavailable(reason="timed out: 5 s"))
    assert save_facts(facts, tmp_path / "f.json", redact=False) == facts
    assert load_facts(tmp_path / "f.json") == facts
    assert import_facts(tmp_path / "f.json") == facts
    assert (tmp_path / "f.json").stat().st_mode & 0o077 == 0


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        save_facts(facts_of(), tmp_path / "absent" / "f.json")
    assert list(tmp_path.iterdir()) == []


def document(facts: object, **changes: object) -> str:
    whole = {"schema": "ilora-diag/facts", "schema_version": "1.0", "captured_at": 1.0, "facts": facts}
    return json.dumps({**whole, **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no facts file"),
        ("[" * 100_000, "nested less deeply"),
        ('{"a":' * 100_000, "nested less deeply"),
        (document([], schema_version="2.0"), "newer ilora-diag"),
        (document([], schema="ilora-diag/report"), "ilora-diag/facts"),
        (document({}), "array"),
        (document([{"path": "driver.kmod", "value": {"deep": {}}, "source": "x"}]), "facts"),
        (document([{"path": "driver.kmod", "value": 5, "source": "x"}]), "driver.kmod is 5, not version"),
        (document([{"path": "nvml.status", "value": True, "source": "x"}]), "not integer"),
        (document([{"path": "gpu[0].memory_total_bytes", "value": -1, "source": "x"}]), "not bytes"),
        (document([{"path": "nvml.status", "value": 10**30, "source": "x"}]), "beyond 64 bits"),
        (document([{"path": "torch.archs", "value": ["sm_80", 3], "source": "x"}]), "not texts"),
        (document([{"path": "nvml.status", "value": 1, "source": "x"}] * 2), "stands once"),
        ('{"schema": "ilora-diag/facts", "n": ' + "9" * 10_000 + "}", "no facts file"),
        ('{"schema": "ilora-diag/facts", "n": NaN}', "no facts file"),
        ("\x00\x01", "no facts file"),
    ],
)
def test_a_hostile_file_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(ImportFactsError, match=message) as caught:
        load_facts(path)
    assert "f.json" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_paths_of_a_newer_minor_version_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(document([{"path": "future.leaf", "value": 5, "source": "x"}], schema_version="1.7"))
    assert load_facts(path).get("future.leaf") == 5


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "absent", "does not exist"), (tmp_path, "is no file")):
        with pytest.raises(ImportFactsError, match=message):
            load_facts(path)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("env.LD_LIBRARY_PATH", "/home/alice/lib:/home/bob/lib:/usr/lib", "~/lib:~/lib:/usr/lib"),
        ("torch.import_error", r"C:\Users\Carol\x.py", r"~\x.py"),
        ("host.id", "gpu-box7", "host-1"),
        ("host.user", "alice", "user-1"),
        ("gpu[0].serial", "1234567890", "serial-1"),
        ("gpu[0].uuid", CARD, "GPU-uuid-1"),
        ("env.MASTER_ADDR", "10.1.2.3", "ip-1"),
        ("env.MASTER_ADDR", "127.0.0.1", "127.0.0.1"),
        ("error.text", "connect to [fe80::1:2] and 2001:db8:0:1:2:3:4:5", "connect to [ip-1] and ip-2"),
        ("error.text", "eth0 aa:bb:cc:dd:ee:ff", "eth0 mac-1"),
        ("error.text", "mail alice@example.org", "mail mail-1"),
        ("env.HF_TOKEN", "anything", "<secret>"),
        ("env.WANDB_API_KEY", "anything", "<secret>"),
        ("error.text", "token hf_abcdefghijklmnopqrst used", "token <secret> used"),
        ("error.text", "Authorization: Bearer abcdefgh12345", "Authorization: Bearer <secret>"),
        ("error.text", "https://me:pw@example.org/x", "https://<secret>@example.org/x"),
        ("error.text", "API_KEY=abcdef123456", "API_KEY=<secret>"),
        ("gpu[0].process[0].name", "/home/bob/secret-project/python3", "python3"),
        ("kernel_log.xid_lines", ("Jan  2 03:04:05 node17 kernel: NVRM",), ("Jan  2 03:04:05 host-1 kernel: NVRM",)),
    ],
)
def test_what_identifies_somebody_is_replaced(path: str, value: Value, expected: object) -> None:
    assert hidden(path, value) == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("driver.kmod", "535.104.12"),
        ("package.nvidia-cudnn-cu12.version", "8.9.2.26"),
        ("gpu[0].vbios", "94.02.71.00.69"),
        ("error.text", "cudnn 8.9.2.26, nvidia-cudnn-cu12==8.9.2.26, libcudnn.so.8.9.2.26, version 1.2.3.4"),
        ("error.text", "c10::Error at::native::add_ 00000000:0A:00.0 12:30:45 std::exception"),
        ("gpu[0].bus_id", "00000000:0A:00.0"),
        ("env.PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),
        ("env.CUDA_VISIBLE_DEVICES", "0,1"),
        ("torch.archs", ("sm_80", "compute_90")),
        ("error.text", "tokenizers 0.19, max_tokens: 4096"),
    ],
)
def test_what_identifies_nobody_stays(path: str, value: Value) -> None:
    assert hidden(path, value) == value


def test_bus_ids_are_redacted_on_request() -> None:
    facts = one("gpu[0].bus_id", "00000000:0A:00.0")
    assert redact_facts(facts, ALICE, bus_ids=True).get("gpu[0].bus_id") == "bus-1"


def test_equal_values_get_equal_names_and_different_ones_different_names() -> None:
    facts = Facts(
        captured_at=1.0,
        facts=(
            Fact(path="env.CUDA_VISIBLE_DEVICES", value=f"{OTHER},GPU-0123", source="x"),
            Fact(path="gpu[0].uuid", value=CARD, source="x"),
            Fact(path="gpu[1].uuid", value=OTHER, source="x"),
            Fact(path="kernel_log.nvrm_lines", value=(f"NVRM: GPU at PCI:0000:0a:00: {CARD}",), source="x"),
        ),
    )
    clean = redact_facts(facts, ALICE)
    assert clean.get("env.CUDA_VISIBLE_DEVICES") == "GPU-uuid-2,GPU-uuid-1"
    assert (clean.get("gpu[0].uuid"), clean.get("gpu[1].uuid")) == ("GPU-uuid-1", "GPU-uuid-2")
    assert clean.get("kernel_log.nvrm_lines") == ("NVRM: GPU at PCI:0000:0a:00: GPU-uuid-1",)
    assert clean.get("collect.redacted") == ("uuid",)
    assert redact_facts(clean, ALICE) == clean


def test_owners_named_in_the_facts_are_hidden_elsewhere_too() -> None:
    facts = facts_of(host__id="calc17", host__user="carol", error__text="carol@calc17: job of carol died on calc17.")
    text = redact_facts(facts, ALICE).get("error.text")
    assert isinstance(text, str)
    assert "carol" not in text
    assert "calc17" not in text


def test_reasons_and_sources_are_redacted() -> None:
    facts = Facts(
        captured_at=1.0,
        facts=(
            Fact(
                path="driver.libcuda",
                value=Unavailable(reason="denied: /home/alice/lib", source="/home/alice/lib"),
                source="/home/alice/lib",
            ),
        ),
    )
    assert "alice" not in str(redact_facts(facts, ALICE))


def test_saving_redacts_unless_told_otherwise(tmp_path: Path) -> None:
    facts = one("gpu[0].uuid", CARD)
    save_facts(facts, tmp_path / "f.json", identity=ALICE)
    assert CARD not in (tmp_path / "f.json").read_text()
    assert load_facts(tmp_path / "f.json").get("gpu[0].uuid") == "GPU-uuid-1"


def test_pseudonyms_say_what_they_replaced() -> None:
    hider = Pseudonyms(ALICE)
    assert hider.text("nothing here") == "nothing here"
    assert hider.kinds == set()
    hider.text("10.1.2.3 and /home/alice/x")
    assert hider.kinds == {"ip", "people"}
