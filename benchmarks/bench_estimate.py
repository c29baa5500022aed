"""How long `ilora-diag estimate` takes, whole command, and how much memory: the promises are 5 s, 15 s and 2 GiB."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time

from benchmarks.timing import machine

OPT = ("llm=opt-125m", "train.batch_size=2", "data.max_seq_len=128", "lora.target_modules=[q_proj,v_proj]")
SEVEN_B = ("llm=llama-2-7b", "train.precision=bf16", "lora.target_modules=[q_proj,v_proj]")
COMMANDS = {
    "OPT-125m, one card, no changes": (*OPT, "--gpu", "h100", "--no-knobs"),
    "OPT-125m, four cards, no changes": (*OPT, "--gpu", "h100,a100-80gb,l4,t4", "--no-knobs"),
    "OPT-125m, one card, changes and largest batch": (*OPT, "--gpu", "h100"),
    "7B LoRA, one card, no changes": (*SEVEN_B, "--gpu", "h100", "--no-knobs"),
    "7B LoRA, four cards, no changes": (*SEVEN_B, "--gpu", "h100,a100-80gb,l4,t4", "--no-knobs"),
}
REPEATS = 3


def main() -> None:
    print(machine())
    summary = {}
    for name, arguments in COMMANDS.items():
        runs = [measure(arguments) for _ in range(REPEATS)]
        wall, first, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
        summary[name] = {"wall_s": round(wall, 2), "headline_s": round(first, 2), "cpu_s": round(cpu, 2)}
        print(f"{name:48s} {wall:6.2f} s, headline after {first:6.2f} s, {cpu:6.2f} s of CPU")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak:.0f} MiB resident")
    print(json.dumps({**summary, "largest_process_mib": round(peak)}))


def measure(arguments: tuple[str, ...]) -> tuple[float, float, float]:
    """Seconds until the command ended, until its first line, and of CPU in it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    argv = [sys.executable, "-m", "ilora_diag", "estimate", *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as command:
        assert command.stdout is not None
        command.stdout.readline()
        first = time.perf_counter() - begin
        command.stdout.read()
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, first, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
