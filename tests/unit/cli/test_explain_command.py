"""`ilora-diag explain` as a shell sees it: exit status, streams, and no traceback whatever it is given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ilora_diag.schema import Fact, Facts, to_json

INCIDENT = "RuntimeError: CUDA driver error: operation not supported\n"


def run(*args: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "ilora_diag", "explain", *args], input=text, capture_output=True, timeout=120
    )
    assert b'Traceback (most recent call last):\n  File "/' not in done.stderr, done.stderr
    return done


def test_an_error_text_is_explained_and_one_line_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(INCIDENT)
    done = run(str(file))
    assert done.returncode == 1
    assert done.stdout.decode().splitlines()[0].startswith("explain: ")
    assert b"\x1b" not in done.stdout
    assert run("-", text=INCIDENT.encode()).stdout == done.stdout
    assert run("--text", INCIDENT).stdout == done.stdout


def test_json_is_one_document_with_the_keys_of_the_contract() -> None:
    done = run("--json", "--text", INCIDENT)
    document = json.loads(done.stdout)
    assert document["schema"] == "ilora-diag/explain"
    assert {"findings", "oom", "signatures", "causes", "facts_digest"} <= set(document)
    keys = {"code", "category", "severity", "confidence", "title", "evidence", "remedy", "decide_by"}
    assert keys <= set(document["findings"][0])


def test_facts_decide(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    values = {"env.PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "gpu[0].virtualization_mode": "vgpu"}
    leaves = tuple(Fact(path=path, value=value, source="test") for path, value in values.items())
    facts.write_text(to_json(Facts(captured_at=1.0, facts=leaves)))
    document = json.loads(run("--json", "--text", INCIDENT, "--facts", str(facts)).stdout)
    first = document["findings"][0]
    assert (first["category"], first["confidence"]) == ("expandable_unsupported", "strongly_suggested")


def test_an_environment_pasted_beside_the_error_counts_as_facts() -> None:
    text = "PyTorch version: 2.0.1+cu117\nCUDA used to build PyTorch: 11.7\nNvidia driver version: 410.48\n" + (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 10000).\n"
    )
    document = json.loads(run("--json", "--text", text).stdout)
    assert document["findings"][0]["category"] == "driver_too_old"
    assert isinstance(document["facts_digest"], str)


@pytest.mark.parametrize(
    ("args", "text", "status"),
    [
        (("-",), b"", 3),
        (("-",), b"all went well\n", 0),
        (("-",), bytes(range(256)) * 100, 3),
        (("-",), b"ValueError: something of our own\n", 3),
        (("ALC001",), b"", 0),
        (("--list",), b"", 0),
        ((), b"", 2),
        (("no_such_code",), b"", 2),
        (("/no/such/file",), b"", 2),
        (("/",), b"", 2),
        (("some words of an error",), b"", 2),
        (("ALC001", "--list"), b"", 2),
        (("-", "--json", "--md"), b"", 2),
        (("-", "--facts", "/no/such/facts"), b"CUDA out of memory", 2),
    ],
)
def test_exit_status(args: tuple[str, ...], text: bytes, status: int) -> None:
    done = run(*args, text=text)
    assert done.returncode == status, done.stderr
    assert bool(done.stdout) is (status != 2)


def test_japanese_and_markdown() -> None:
    assert "原因" in run("--text", INCIDENT, "--lang", "ja").stdout.decode()
    assert run("--text", INCIDENT, "--md").stdout.startswith(b"# explain")
