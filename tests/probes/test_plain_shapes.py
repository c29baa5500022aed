"""The stand-ins for symbolic shapes: the real module's answers for plain numbers, and the real module for all else."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.fx.experimental import symbolic_shapes as real
from torch.utils._sympy import functions as real_functions

from probes import plain_shapes

SHAPES = st.lists(st.integers(0, 3), max_size=3)


def _rule(name: str, *args: Any, module: str = real.__name__) -> Any:
    is_plain, rule = plain_shapes._RULES[module][name]
    assert is_plain(*args), f"{name}{args} would be handed on"
    return rule(*args)


@pytest.mark.filterwarnings("ignore:guard_size_oblivious:FutureWarning")
@pytest.mark.parametrize(
    "name", ["expect_true", "guard_or_false", "guard_or_true", "guard_size_oblivious", "statically_known_true"]
)
@pytest.mark.parametrize("value", [True, False])
def test_a_plain_condition_is_itself(name: str, value: bool) -> None:
    assert _rule(name, value) is getattr(real, name)(value) is value


@given(st.lists(st.booleans(), min_size=1, max_size=4))
def test_plain_conditions_are_joined_as_the_real_module_joins_them(values: list[bool]) -> None:
    assert _rule("sym_and", *values) is real.sym_and(*values)
    assert _rule("sym_or", *values) is real.sym_or(*values)


@given(SHAPES, SHAPES)
def test_plain_shapes_are_compared_as_the_real_module_compares_them(left: list[int], right: list[int]) -> None:
    assert _rule("sym_eq", left, tuple(right)) == real.sym_eq(left, tuple(right))
    assert _rule("sym_eq", [left, right], [right, left]) == real.sym_eq([left, right], [right, left])


@pytest.mark.parametrize("value", [0, 1, 7])
def test_a_plain_size_has_itself_for_a_hint(value: int) -> None:
    for name in ("is_nested_int", "has_guarding_hint", "guarding_hint_or_throw"):
        if hasattr(real, name):  # two of them are younger than torch 2.11
            assert _rule(name, value) == getattr(real, name)(value)


def test_a_plain_tensor_has_no_free_symbols() -> None:
    tensor = torch.zeros(2, 3, device="meta").t()
    assert not _rule("free_unbacked_symbols", tensor)
    assert not real.free_unbacked_symbols(tensor)
    assert _rule("has_free_unbacked_symbols", tensor) is real.has_free_unbacked_symbols(tensor) is False


def test_the_larger_of_plain_sizes_is_the_real_one() -> None:
    assert _rule("Max", 3, 5, module=real_functions.__name__) == real_functions.Max(3, 5) == 5


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("guard_or_false", ("text",)),
        ("sym_eq", ([1], 1)),
        ("sym_eq", (1.0, 1.0)),
        ("is_nested_int", (None,)),
        ("sym_and", (True, 1)),
        ("free_unbacked_symbols", (3,)),
        ("has_free_unbacked_symbols", (3,)),
    ],
)
def test_anything_else_is_handed_to_the_real_module(name: str, args: tuple[Any, ...]) -> None:
    is_plain, _ = plain_shapes._RULES[real.__name__][name]
    assert not is_plain(*args)


@pytest.mark.parametrize(
    "code",
    [
        "import sympy.core.numbers as n, sympy; assert isinstance(n.Integer(2), sympy.Basic)",
        "import sympy.core.basic as b, sympy; assert sympy.Basic is b.Basic",
        "from sympy.printing.pycode import PythonCodePrinter",
        "import sympy; assert sympy.__version__ and sympy.S(2) + 1 == 3",
        "from torch.utils._sympy.functions import Identity",
        "from torch.fx.experimental.symbolic_shapes import has_free_unbacked_symbols as h; assert not h([3])",
        "import torch.fx.experimental.symbolic_shapes as s; s.ShapeEnv(); assert s.sym_eq.__module__ == s.__name__",
        "f = torch.compile(lambda x: x + 1, dynamic=True, backend='eager'); f(torch.ones(3)); f(torch.ones(4))",
    ],
)
def test_whoever_wants_more_gets_the_real_modules(code: str) -> None:
    program = f"from probes import plain_shapes; plain_shapes.install(); import torch; {code}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("gpu", ["h100", "t4"])
def test_a_step_on_a_virtual_card_needs_no_symbol(gpu: str) -> None:
    program = (
        "import sys; from ilora.config import load_config; from ilora_diag.hardware.gpus import find_gpu\n"
        "from probes.estimate import prepare_imports\n"
        "config = load_config(['llm=opt-125m', 'data.max_seq_len=64']); prepare_imports(config)\n"
        "from probes.estimate_compose import make_setup; from probes.estimate_trace import trace_once\n"
        f"assert trace_once(make_setup(config, find_gpu('{gpu}'), ''), steps=1).num_requests\n"
        "assert 'sympy.core' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
