"""What is imported before a script: what it is sure to import itself, of libraries that take seconds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from probes.trial_preload import preload, slow_imports


def found(script: Path) -> list[str]:
    return [ast.unparse(statement) for statement in slow_imports(script)]


def write(folder: Path, text: str, name: str = "train.py") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_imports_of_slow_libraries_are_taken_in_order_and_others_are_not(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "import os, torch\nimport torch\nimport numpy as np\nfrom peft import LoraConfig\nimport mine\n"
        "if True:\n    import transformers\ntry:\n    import lightning\nexcept ImportError:\n    pass\n",
    )
    assert found(script) == ["import torch", "import numpy as np", "from peft import LoraConfig"]


def test_files_beside_the_script_are_looked_into_once_and_hide_libraries(tmp_path: Path) -> None:
    write(tmp_path, "import train\nfrom transformers import OPTConfig\n", "parts.py")
    write(tmp_path, "", "peft.py")
    script = write(tmp_path, "from parts import model\nimport peft\nimport torch\n")
    assert found(script) == ["from transformers import OPTConfig", "import torch"]


@pytest.mark.parametrize(
    "line", ["os.environ['X'] = '1'", "sys.path.insert(0, 'lib')", "del sys.modules['torch']", "os.putenv('A', 'b')"]
)
def test_a_script_that_changes_what_imports_depend_on_is_left_alone(line: str, tmp_path: Path) -> None:
    assert found(write(tmp_path, f"import os, sys\n{line}\nimport torch\n")) == []


@pytest.mark.parametrize("text", ["import torch\nthis is no Python", "\0", "import torch.no_such_module\n"])
def test_a_script_that_cannot_be_read_or_imported_is_no_error_here(text: str, tmp_path: Path) -> None:
    preload(write(tmp_path, text))
    preload(tmp_path / "gone.py")
