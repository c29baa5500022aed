"""Patterns that are compiled when something of them is asked for."""

from __future__ import annotations

import copy
import pickle
import re
from types import ModuleType

import pytest

from probes.late_patterns import LatePattern, patterns_compiled_late


def _module() -> ModuleType:
    made = ModuleType("made")
    exec(
        "import re\ndef compiled(text): return re.compile(text)\ndef found(text): return re.search('b', text)",
        vars(made),
    )
    return made


def test_what_is_compiled_inside_the_block_is_compiled_at_its_first_use() -> None:
    module = _module()
    with patterns_compiled_late(module):
        late = module.compiled("(?P<g0>a)b*")
        broken = module.compiled("(")
        assert module.found("abc").group() == "b", "everything else of `re` is as ever"
    assert isinstance(late, LatePattern)
    assert isinstance(module.compiled("a"), re.Pattern)
    assert late.search("xabb").group() == "abb"
    assert late.groupindex["g0"] == 1
    with pytest.raises(re.error, match="unterminated subpattern"):
        broken.search("a")


def test_copies_are_late_too() -> None:
    late = LatePattern("a+", re.IGNORECASE)
    assert copy.deepcopy([late])[0] is late
    assert pickle.loads(pickle.dumps(late)).search("xAA").group() == "AA"
