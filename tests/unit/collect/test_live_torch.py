"""The probes that import torch: as children where torch is broken, behind the virtual device where cards differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ilora_diag.collect.vocabulary import complaint
from ilora_diag.engine.outcome import ChildSpec, ChildStatus, python_argv
from ilora_diag.engine.runner import run_child
from ilora_diag.schema import Facts, Unavailable, from_json
from probes import allocator, cuda_init
from probes.virtual import virtual_cuda

ON = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
OFF = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False"}


@pytest.mark.parametrize(
    ("vmm", "environ", "step", "outcome"),
    [
        (False, ON, "expandable_on", "RuntimeError: CUDA driver error: operation not supported"),
        (False, OFF, "expandable_off", "ok"),
        (True, ON, "expandable_on", "ok"),
        (True, OFF, "expandable_off", "ok"),
    ],
)
def test_the_pair_of_settings_proves_what_the_machine_refuses(
    vmm: bool, environ: dict[str, str], step: str, outcome: str
) -> None:
    with virtual_cuda(gpu="a40", vmm=vmm, environ=environ):
        assert allocator._outcome(torch, 0, step) == outcome


def test_a_setting_that_did_not_take_effect_proves_nothing() -> None:
    with virtual_cuda(gpu="a40", vmm=False, environ=OFF):
        value = allocator._outcome(torch, 0, "expandable_on")
    assert isinstance(value, Unavailable)
    assert "expandable segments off all the same" in value.reason


def test_a_setting_that_torch_heard_and_did_not_follow_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # given: what a build without the driver API does, which warns and takes plain segments
    with virtual_cuda(gpu="a40", environ=OFF):
        real = torch.cuda.memory._snapshot()
        told = {**real, "allocator_settings": {**real["allocator_settings"], "expandable_segments": True}}
        told["segments"] = [{"is_expandable": False}]
        monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda *_: told)
        value = allocator._outcome(torch, 0, "expandable_on")
        monkeypatch.undo()
    assert isinstance(value, Unavailable)
    assert value.reason.endswith("the outcome was ok")


def child(module: str, *args: str, path: Path | None = None) -> Facts:
    env = (("PYTHONPATH", str(path)),) if path is not None else ()
    outcome = run_child(ChildSpec(argv=python_argv(module, *args), deadline_s=120, env=env))
    assert outcome.status is ChildStatus.OK, outcome.stderr.text
    facts = from_json(Facts, outcome.document or "")
    assert [text for fact in facts.facts if not fact.path.startswith("ordinal[") and (text := complaint(fact))] == []
    return facts


def test_a_torch_that_cannot_be_imported_is_told_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "raise ImportError('libcudnn.so.9: cannot open shared object file: No such file or directory')"
    )
    facts = child("probes.cuda_init", path=tmp_path)
    assert facts.get("torch.import_error") == (
        "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory"
    )
    assert child("probes.allocator", "--step", "expandable_on", path=tmp_path).get("torch.cuda_available") == (
        Unavailable(reason="not collected", source="torch.cuda_available")
    )


@pytest.mark.slow
@pytest.mark.skipif(torch.version.cuda is not None, reason="about a torch built without CUDA")
def test_a_build_without_cuda_says_so_in_its_own_words() -> None:
    facts = child("probes.cuda_init")
    source = next(fact.source for fact in facts.facts if fact.path == "torch.cuda_available")
    assert facts.get("torch.cuda_available") is False
    assert "not compiled with CUDA enabled" in source
    assert facts.get("torch.version") == torch.__version__


@pytest.mark.parametrize(
    ("number", "text"), [(8907, "8.9.7"), (8500, "8.5.0"), (90100, "9.1.0"), (91002, "9.10.2"), (92000, "9.20.0")]
)
def test_cudnns_number_is_read_as_its_version(number: int, text: str) -> None:
    assert cuda_init._cudnn(number) == text
