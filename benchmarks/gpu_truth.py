"""Records what only a CUDA device can tell: the memory a real training run takes, phase by phase.

`python -m benchmarks.gpu_truth` runs short trainings through the ordinary command on the first CUDA device and writes
one file per device and torch version into tests/fixtures/gpu. Without a device it says so and exits with 4.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ilora.files import atomic_write

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "gpu"
EXIT_NO_DEVICE = 4

# Random weights: the bytes are those of the real models and nothing has to be downloaded.
RUNS = {
    "opt-125m-incident": ["--config", "incident"],
    "opt-125m-no-checkpointing": ["--config", "incident", "train.gradient_checkpointing=false"],
    "opt-125m-eager": ["--config", "incident", "llm.attn_implementation=eager"],
    "opt-125m-lm-head": ["--config", "incident", "model.head=lm", "data.max_seq_len=512"],
    "llama-3.2-1b": ["llm=llama-3.2-1b", "train.batch_size=8"],
    "llama-2-7b": ["llm=llama-2-7b", "train.batch_size=8"],
    "llama-2-7b-checkpointing": ["llm=llama-2-7b", "train.batch_size=8", "train.gradient_checkpointing=true"],
}
SHORT = ["data.source=synthetic", "data.prompt=item", "train.max_steps=6", "train.eval_every=3", "eval.max_samples=16",
         "rec.max_epochs=2"]  # fmt: skip


def main() -> int:
    """Run everything and write the recording. Returns the exit code."""
    import torch

    if not torch.cuda.is_available():
        print(f"no CUDA device for torch {torch.__version__} (CUDA build {torch.version.cuda}): nothing was recorded")
        return EXIT_NO_DEVICE
    properties = torch.cuda.get_device_properties(0)
    recording = {
        "device": properties.name,
        "compute_capability": [properties.major, properties.minor],
        "total_memory_bytes": properties.total_memory,
        "torch": torch.__version__,
        "cuda_runtime": torch.version.cuda,
        "runs": {name: record(arguments) for name, arguments in RUNS.items()},
    }
    name = f"{properties.name}-torch-{torch.__version__}".lower().replace(" ", "-").replace("+", "-")
    with atomic_write(FOLDER / f"{name}.json") as file:
        file.write(json.dumps(recording, indent=1).encode() + b"\n")
    print(f"recorded {len(RUNS)} runs in tests/fixtures/gpu/{name}.json")
    return 0


def record(arguments: list[str]) -> dict[str, object]:
    """One run's configuration, outcome and the allocator's statistics at the end of each phase."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [sys.executable, "-m", "ilora_diag", "train", *arguments, *SHORT, "--device", "cuda"]
        outcome = subprocess.run([*command, "--run-dir", str(run_dir)], check=False, capture_output=True, text=True)
        log = run_dir / "runlog.jsonl"
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    phases = [
        {"phase": event["phase"], "device": event["device"]}
        for event in events
        if event["event"] == "phase" and event["status"] == "end"
    ]
    steps = [{"step": event["step"], "device": event["device"]} for event in events if event["event"] == "step"]
    errors = [event["message"] for event in events if event["event"] == "error"]
    return {"arguments": arguments, "exit_code": outcome.returncode, "phases": phases, "steps": steps, "errors": errors}


if __name__ == "__main__":
    sys.exit(main())
