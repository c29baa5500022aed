"""Variables that hide devices or name wrong ones (L5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.common import no_card_here
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Scalar

_NO_DEVICE = r"no CUDA-capable device is detected|No CUDA GPUs are available|invalid device ordinal|Invalid device id"
_NAME = "env.CUDA_VISIBLE_DEVICES"
_HIDING = ("", "-1", "none", "void", "NoDevFiles")


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _hidden(case)
    yield from _unknown_name(case)
    yield from _set_late(case)


def _hidden(case: Case) -> Iterator[Claim]:
    """All devices are hidden: by the variable, or by an index that parsing stops at."""
    value = case.text(_NAME)
    if value is None or no_card_here(case):
        return
    first = value.split(",")[0].strip()
    count = case.integer("nvml.device_count")
    if count is None and case.gpus and (case.has_error or case.flag("torch.cuda_available") is False):
        count = len(case.gpus)  # as many as a report lists
    hides = value.strip() in _HIDING or first == "-1"
    beyond = first.isdigit() and count is not None and int(first) >= count > 0
    if not hides and not beyond:
        return
    grounds = [decides(case.seen(_NAME, "unset, or devices that exist"))]
    grounds += [fits(case.seen("nvml.device_count"))] if case.has("nvml.device_count") else []
    if said := case.error_says(_NO_DEVICE, "no_device_100", "invalid_device_101"):
        grounds.append(fits(said))
    yield claim(
        "VIS001",
        grounds,
        variant="hidden" if hides else "beyond",
        params={"value": value, "count": count if count is not None else "?"},
        remedy="unset CUDA_VISIBLE_DEVICES",
    )


def _unknown_name(case: Case) -> Iterator[Claim]:
    """Later entries that do not exist, duplicates, and UUIDs that no device has."""
    value = case.text(_NAME)
    if value is None or no_card_here(case):
        return
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    count = case.integer("nvml.device_count")
    indices = [int(entry) for entry in entries if entry.isdigit()]
    uuids = {case.text(path) for path in case.paths("gpu[") if path.endswith(".uuid")} - {None}
    wrong = ""
    if count and indices and indices[0] < count and any(index >= count for index in indices):
        wrong = "beyond"
    elif len(set(entries)) != len(entries):
        wrong = "twice"
    elif uuids and any(entry.startswith("GPU-") for entry in entries):
        known = [any(str(uuid).startswith(entry) for uuid in uuids) for entry in entries if entry.startswith("GPU-")]
        wrong = "" if all(known) else "uuid"
    if wrong:
        grounds: list[Ground] = [decides(case.seen(_NAME, "devices that exist, each once"))]
        if said := case.error_says(_NO_DEVICE, "no_device_100", "invalid_device_101"):
            grounds.append(fits(said))
        params: dict[str, Scalar] = {"value": value, "count": count if count is not None else "?"}
        yield claim("VIS001", grounds, variant=wrong, params=params, remedy="unset CUDA_VISIBLE_DEVICES")


def _set_late(case: Case) -> Iterator[Claim]:
    """An ordinal that is not there although the variable looks right, or is not known."""
    said = case.error_says(r"invalid device ordinal|Invalid device id", "invalid_device_101")
    note = case.says(r"CUDA_VISIBLE_DEVICES\s*(?:=|was|is|set|had)[^\n]*")
    value = case.text(_NAME)
    if said and value is not None and not re.fullmatch(r"[\s,]*|-1.*", value):
        num = len([entry for entry in value.split(",") if entry.strip()])
        asked = re.search(r"cuda:(\d+)|device=(\d+)|ordinal[^\d\n]*(\d+)", case.error)
        index = next((int(group) for group in asked.groups() if group), None) if asked else None
        if index is None or index >= num:
            told: dict[str, Scalar] = {"value": value, "count": num}
            grounds = [suggests(said), fits(case.seen(_NAME))]
            yield claim("VIS001", grounds, variant="ordinal", params=told, remedy="export CUDA_VISIBLE_DEVICES=0")
    elif said and value is None:
        grounds = [fits(said), *([suggests(note)] if note and "import.notes" in note.path else [])]
        yield claim(
            "VIS001", grounds, variant="ordinal", params={"value": "?", "count": "?"}, decider=decider(_NAME),
            remedy="unset CUDA_VISIBLE_DEVICES",
        )  # fmt: skip
    elif note and value is None and case.error_says(_NO_DEVICE, "no_device_100"):
        yield claim(
            "VIS001", [suggests(note)], variant="hidden", params={"value": "?", "count": "?"}, decider=decider(_NAME),
            remedy="unset CUDA_VISIBLE_DEVICES",
        )  # fmt: skip
