"""The visible surface, frozen: a change to it is a deliberate diff here. And what asking for help may cost."""

from __future__ import annotations

import subprocess
import sys

import typer.main
from typer.core import TyperGroup

from ilora_diag.cli.app import build_app
from ilora_diag.cli.exit_codes import ExitCode

SURFACE = {
    "bisect-device": {
        "overrides": ("argument",),
        "config": ("--config",),
        "device": ("--device",),
        "memory": ("--memory",),
        "others": ("--other-processes",),
        "vmm": ("--vmm",),
        "torch": ("--torch",),
        "module": ("-m",),
        "run_dir": ("--run-dir",),
        "deadline": ("--deadline",),
        "as_json": ("--json",),
        "lang": ("--lang",),
    },
    "isolate-rec": {
        "overrides": ("argument",),
        "config": ("--config",),
        "device": ("--device",),
        "memory": ("--memory",),
        "others": ("--other-processes",),
        "vmm": ("--vmm",),
        "torch": ("--torch",),
        "max_steps": ("--max-steps",),
        "run_dir": ("--run-dir",),
        "deadline": ("--deadline",),
        "as_json": ("--json",),
        "lang": ("--lang",),
    },
    "bisect-oom": {
        "overrides": ("argument",),
        "config": ("--config",),
        "device": ("--device",),
        "memory": ("--memory",),
        "others": ("--other-processes",),
        "vmm": ("--vmm",),
        "torch": ("--torch",),
        "is_module": ("-m",),
        "example": ("--example",),
        "mode": ("--mode",),
        "factors": ("--factors",),
        "skip": ("--skip-factors",),
        "factors_file": ("--factors-file",),
        "exact": ("--exact",),
        "alpha": ("--alpha",),
        "budget": ("--budget",),
        "max_steps": ("--max-steps",),
        "trial_deadline_s": ("--trial-deadline",),
        "plan": ("--plan",),
        "run_dir": ("--run-dir",),
        "resume": ("--resume",),
        "as_json": ("--json",),
        "lang": ("--lang",),
    },
    "bundle": {
        "run": ("argument",),
        "out": ("--out",),
        "preview": ("--preview",),
        "hide": ("--hide",),
        "force": ("--force",),
        "as_json": ("--json",),
        "lang": ("--lang",),
    },
    "compare": {
        "a": ("argument",),
        "b": ("argument",),
        "tolerance": ("--tolerance",),
        "top": ("--top",),
        "as_json": ("--json",),
        "as_markdown": ("--md",),
        "lang": ("--lang",),
    },
    "env-check": {
        "as_json": ("--json",),
        "facts": ("--facts",),
        "save_facts": ("--save-facts",),
        "error": ("--error",),
        "deep": ("--deep",),
        "strict": ("--strict",),
        "only": ("--only",),
        "skip": ("--skip",),
        "verbose": ("--verbose", "-v"),
        "lang": ("--lang",),
        "ranks": ("--ranks",),
    },
    "estimate": {
        "overrides": ("argument",),
        "config": ("--config",),
        "gpu": ("--gpu",),
        "memory": ("--memory",),
        "torch": ("--torch",),
        "observed": ("--observed",),
        "knobs": ("--knobs",),
        "as_json": ("--json",),
        "out": ("--out",),
        "lang": ("--lang",),
        "deadline": ("--deadline",),
    },
    "explain": {
        "target": ("argument",),
        "text": ("--text",),
        "facts": ("--facts",),
        "as_json": ("--json",),
        "as_markdown": ("--md",),
        "lang": ("--lang",),
        "list_all": ("--list",),
    },
    "train": {
        "overrides": ("argument",),
        "config": ("--config",),
        "device": ("--device",),
        "run_dir": ("--run-dir",),
        "resume": ("--resume",),
        "lang": ("--lang",),
        "as_json": ("--json",),
        "deadline": ("--deadline",),
    },
    "report": {
        "run": ("argument",),
        "lang": ("--lang",),
        "output": ("--format",),
        "check": ("--check",),
    },
    "run": {
        "command": ("argument",),
        "device": ("--device",),
        "memory": ("--memory",),
        "torch_version": ("--torch",),
        "module": ("-m",),
        "max_steps": ("--max-steps",),
        "as_json": ("--json",),
        "lang": ("--lang",),
        "out": ("--out",),
        "deadline": ("--deadline",),
    },
    "snapshot": {
        "args": ("argument",),
        "config": ("--config",),
        "gpu": ("--gpu",),
        "memory": ("--memory",),
        "dump": ("--dump",),
        "as_json": ("--json",),
        "as_markdown": ("--md",),
        "lang": ("--lang",),
        "device": ("--device",),
        "top": ("--top",),
        "figure": ("--figure",),
        "max_size": ("--max-size",),
        "full_paths": ("--full-paths",),
    },
}
EXIT_CODES = {
    "OK": 0, "FAILURE": 1, "USAGE": 2, "INCONCLUSIVE": 3, "PRECONDITION": 4, "INTERNAL": 70, "DEADLINE": 124,
    "INTERRUPTED": 130,
}  # fmt: skip
HEAVY = ("torch", "transformers", "peft", "lightning", "omegaconf", "matplotlib", "rich", "numpy", "ilora", "yaml")


def test_commands_and_options_are_those_of_the_contract() -> None:
    group = typer.main.get_command(build_app())
    assert isinstance(group, TyperGroup)
    found = {
        name: {
            str(parameter.name): tuple(parameter.opts) if parameter.param_type_name == "option" else ("argument",)
            for parameter in command.params
        }
        for name, command in group.commands.items()
    }
    assert found == SURFACE


def test_exit_codes_are_those_of_the_contract() -> None:
    assert {code.name: code.value for code in ExitCode} == EXIT_CODES


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nsys.argv = ['ilora-diag', *sys.argv[1:]]\nfrom ilora_diag.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        f"heavy = {set(HEAVY)!r} & {{name.partition('.')[0] for name in sys.modules}}\n"
        "sys.stderr.write(','.join(sorted(heavy)))\n"
    )
    for args in (
        ["--help"],
        ["bisect-device", "--help"],
        ["bundle", "--help"],
        ["compare", "--help"],
        ["env-check", "--help"],
        ["bisect-oom", "--help"],
        ["estimate", "--help"],
        ["isolate-rec", "--help"],
        ["train", "--help"],
        ["report", "--help"],
        ["snapshot", "--help"],
        ["run", "--help"],
        ["--version"],
    ):
        result = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stderr) == (0, ""), args
        assert result.stdout
