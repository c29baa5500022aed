"""The shape of the code: who imports whom, how large a piece may grow, what ships."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

PACKAGES = ("ilora_diag", "ilora", "probes", "reports")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_ARGUMENTS = 11  # public records of settings come as keyword arguments; positional ones are counted below
MAX_POSITIONAL = 6


def _modules(root: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py") if "runs" not in path.parts)


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_module_outgrows_its_budget(repo_root: Path) -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _modules(repo_root)}
    assert {str(path): size for path, size in sizes.items() if size > MAX_MODULE_LINES} == {}


def test_no_function_outgrows_its_budget(repo_root: Path) -> None:
    too_long = {
        f"{path.relative_to(repo_root)}:{node.name}": length
        for path in _modules(repo_root)
        for node in _functions(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert too_long == {}


def test_long_argument_lists_become_records(repo_root: Path) -> None:
    crowded = {}
    for path in _modules(repo_root):
        if path.parent.name == "cli" and not path.stem.endswith("_command"):
            continue  # a command's arguments are its options: Typer reads them off the function
        for node in _functions(path):
            positional = len(node.args.posonlyargs) + len(node.args.args)
            if positional > MAX_POSITIONAL + 1 or positional + len(node.args.kwonlyargs) > MAX_ARGUMENTS:
                crowded[f"{path.relative_to(repo_root)}:{node.name}"] = positional + len(node.args.kwonlyargs)
    assert crowded == {}


def test_source_is_ascii_except_for_japanese_messages(repo_root: Path) -> None:
    foreign = [
        str(path.relative_to(repo_root))
        for path in _modules(repo_root)
        if not path.read_text(encoding="utf-8").isascii() and path.stem.rpartition("_")[2] != "ja"
    ]
    assert foreign == []


def test_import_contracts_hold(repo_root: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=repo_root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_contract_on_the_trainer_names_every_module_of_it(repo_root: Path) -> None:
    settings = tomllib.loads((repo_root / "pyproject.toml").read_text())
    contract = next(c for c in settings["tool"]["importlinter"]["contracts"] if "configuration alone" in c["name"])
    folder = repo_root / "ilora"
    modules = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert {f"ilora.{name}" for name in (modules | packages) - {"config"}} <= set(contract["forbidden_modules"])


def test_every_dependency_is_pinned(repo_root: Path) -> None:
    from packaging.requirements import Requirement

    settings = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    extras = [text for group in settings["optional-dependencies"].values() for text in group]
    wanted = {Requirement(text).name.lower() for text in [*settings["dependencies"], *extras]}
    lines = (repo_root / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}
    assert wanted - pinned == set()


def test_the_wheel_takes_the_presets_along(repo_root: Path) -> None:
    settings = tomllib.loads((repo_root / "pyproject.toml").read_text())
    assert settings["tool"]["setuptools"]["package-data"]["ilora"] == ["conf/**/*.yaml"]
    assert len(list((repo_root / "ilora" / "conf" / "llm").glob("*.yaml"))) >= 15
