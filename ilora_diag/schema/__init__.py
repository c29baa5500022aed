"""The records that cross the borders between collecting, running, judging and rendering, and their JSON form.

Every record is frozen and made of closed types, so that it can be saved, mailed and judged elsewhere. Contradictory
values are refused where a record is built (`LawError`), foreign documents where they are read (`SchemaError`).
Standard library only: probes use these records inside environments that may be broken.
"""

from ilora_diag.schema.codec import SCHEMA_VERSION, Codec, from_data, from_json, to_data, to_json
from ilora_diag.schema.errors import LawError, SchemaError
from ilora_diag.schema.facts import Fact, Facts
from ilora_diag.schema.finding import Confidence, Decider, Evidence, Finding, Severity
from ilora_diag.schema.known import Known, Scalar, Settings, Unavailable, Value, value_or
from ilora_diag.schema.report import Report, Skipped
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
    "Category",
    "CategoryShare",
    "Checkpoint",
    "Codec",
    "Confidence",
    "DataSummary",
    "Decider",
    "DeviceMemory",
    "ErrorFamily",
    "EvalMetric",
    "Evidence",
    "Fact",
    "Facts",
    "FailureSignature",
    "Finding",
    "Intent",
    "Known",
    "LawError",
    "MemorySample",
    "MemoryTimeline",
    "Metric",
    "ModelSummary",
    "ModuleShare",
    "Peak",
    "Phase",
    "Probe",
    "RecEpoch",
    "Report",
    "Scalar",
    "SchemaError",
    "Segment",
    "Settings",
    "Severity",
    "Skipped",
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
