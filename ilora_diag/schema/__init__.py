"""The records that cross the borders between collecting, running, judging and rendering, and their JSON form.

Every record is frozen and made of closed types, so that it can be saved, mailed and judged elsewhere. Contradictory
values are refused where a record is built (`LawError`), foreign documents where they are read (`SchemaError`).
Standard library only: probes use these records inside environments that may be broken.

The records of trials, runs, timelines and estimates are loaded when they are first asked for: building all of these
classes takes a tenth of a second, which `ilora-diag explain` and a `--help` have no use for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ilora_diag.schema.codec import SCHEMA_VERSION, Codec, from_data, from_json, to_data, to_json
from ilora_diag.schema.errors import LawError, SchemaError
from ilora_diag.schema.facts import Fact, Facts
from ilora_diag.schema.finding import Confidence, Decider, Evidence, Finding, Severity
from ilora_diag.schema.interval import Interval
from ilora_diag.schema.known import Known, Scalar, Settings, Unavailable, Value, value_or

if TYPE_CHECKING:
    from ilora_diag.schema.estimate import (
        CardEstimate,
        CurvePoint,
        Estimate,
        Gap,
        Knob,
        OomAnswer,
        OpShare,
        PeakBytes,
        PhasePeak,
    )
    from ilora_diag.schema.explanation import Explanation
    from ilora_diag.schema.report import Report, Skipped
    from ilora_diag.schema.script_run import Moment, ScriptEnd, ScriptError, ScriptRun
    from ilora_diag.schema.snapshot import Snapshot
    from ilora_diag.schema.timeline import (
        Block,
        BlockState,
        Category,
        CategoryShare,
        MemorySample,
        MemoryTimeline,
        ModuleShare,
        Peak,
        Segment,
    )
    from ilora_diag.schema.train_run import (
        Artefact,
        BadRow,
        Checkpoint,
        DataSummary,
        DeviceMemory,
        EvalMetric,
        ModelSummary,
        Phase,
        RecEpoch,
        Step,
        TrainerEnvironment,
        TrainError,
        TrainOutcome,
        TrainPlan,
        TrainRun,
        TrainState,
        ValLoss,
    )
    from ilora_diag.schema.trial import (
        OUT_OF_MEMORY,
        ErrorFamily,
        FailureSignature,
        Intent,
        Metric,
        Probe,
        Status,
        Trial,
    )

__all__ = [
    "OUT_OF_MEMORY",
    "SCHEMA_VERSION",
    "Artefact",
    "BadRow",
    "Block",
    "BlockState",
    "CardEstimate",
    "Category",
    "CategoryShare",
    "Checkpoint",
    "Codec",
    "Confidence",
    "CurvePoint",
    "DataSummary",
    "Decider",
    "DeviceMemory",
    "ErrorFamily",
    "Estimate",
    "EvalMetric",
    "Evidence",
    "Explanation",
    "Fact",
    "Facts",
    "FailureSignature",
    "Finding",
    "Gap",
    "Intent",
    "Interval",
    "Knob",
    "Known",
    "LawError",
    "MemorySample",
    "MemoryTimeline",
    "Metric",
    "ModelSummary",
    "ModuleShare",
    "Moment",
    "OomAnswer",
    "OpShare",
    "Peak",
    "PeakBytes",
    "Phase",
    "PhasePeak",
    "Probe",
    "RecEpoch",
    "Report",
    "Scalar",
    "SchemaError",
    "ScriptEnd",
    "ScriptError",
    "ScriptRun",
    "Segment",
    "Settings",
    "Severity",
    "Skipped",
    "Snapshot",
    "Status",
    "Step",
    "TrainError",
    "TrainOutcome",
    "TrainPlan",
    "TrainRun",
    "TrainState",
    "TrainerEnvironment",
    "Trial",
    "Unavailable",
    "ValLoss",
    "Value",
    "from_data",
    "from_json",
    "to_data",
    "to_json",
    "value_or",
]

_LATER = {
    "estimate": (
        "CardEstimate",
        "CurvePoint",
        "Estimate",
        "Gap",
        "Knob",
        "OomAnswer",
        "OpShare",
        "PeakBytes",
        "PhasePeak",
    ),
    "explanation": ("Explanation",),
    "report": (
        "Report",
        "Skipped",
    ),
    "script_run": (
        "Moment",
        "ScriptEnd",
        "ScriptError",
        "ScriptRun",
    ),
    "snapshot": ("Snapshot",),
    "timeline": (
        "Block",
        "BlockState",
        "Category",
        "CategoryShare",
        "MemorySample",
        "MemoryTimeline",
        "ModuleShare",
        "Peak",
        "Segment",
    ),
    "train_run": (
        "Artefact",
        "BadRow",
        "Checkpoint",
        "DataSummary",
        "DeviceMemory",
        "EvalMetric",
        "ModelSummary",
        "Phase",
        "RecEpoch",
        "Step",
        "TrainerEnvironment",
        "TrainError",
        "TrainOutcome",
        "TrainPlan",
        "TrainRun",
        "TrainState",
        "ValLoss",
    ),
    "trial": (
        "OUT_OF_MEMORY",
        "ErrorFamily",
        "FailureSignature",
        "Intent",
        "Metric",
        "Probe",
        "Status",
        "Trial",
    ),
}
"""Module -> the names that are taken from it when first asked for; the same as under TYPE_CHECKING above."""

_HOME = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
