"""Makes MoE-LoRA known to PEFT.

PEFT finds a method by a member of the enumeration `PeftType`, which is closed to other packages, and offers no other
way to add one. The member is therefore added here; that this works, and that everything PEFT does with a type works
with it, is what tests/unit/lora/test_moe_lora_peft.py checks.
"""

from __future__ import annotations

from typing import Any, Final

from peft import PeftType
from peft.utils import register_peft_method

METHOD_NAME: Final = "moe_lora"
# Parameters are called lora_A and lora_B as in PEFT's own LoRA; gates and routers share the prefix.
PREFIX: Final = "lora_"


def _peft_type(name: str) -> Any:
    """The member of PeftType called `name`, added if it is not there yet."""
    if name in PeftType.__members__:
        return PeftType[name]
    member = str.__new__(PeftType, name)
    member._name_ = name
    member._value_ = name
    member._sort_order_ = len(PeftType.__members__)
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
    # EnumType refuses ordinary assignment; member access by attribute needs the class to hold it.
    type.__setattr__(PeftType, name, member)
    return member


MOE_LORA: Final = _peft_type(METHOD_NAME.upper())


def register(config_cls: type, model_cls: type) -> None:
    """Enters configuration and tuner into PEFT's tables."""
    register_peft_method(name=METHOD_NAME, config_cls=config_cls, model_cls=model_cls, prefix=PREFIX)
