"""Records to JSON and back.

A document is an object with `schema: "ilora-diag/<kind>"`, `schema_version: "<major>.<minor>"` and the record's fields.
Tuples become arrays and enums their values; `Unavailable` becomes `{"unavailable": reason, "source": source}`, and a
number JSON cannot carry becomes `{"float": "nan"}`. Reading is strict about what a field holds and about an unknown
major version; it takes no notice of unknown keys, which is how a newer minor version shows itself.

History of the format: 1.0, the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, dataclass, field, fields, is_dataclass
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from ilora_diag.schema.errors import MISSING, LawError, SchemaError
from ilora_diag.schema.known import Unavailable

JsonObject = dict[str, Any]  # the one place where JSON is loose: between the text and the records
Upgrader = Callable[[JsonObject], JsonObject]
Decoder = Callable[[Any, int], Any]  # (JSON value, major version of the document) -> field value

_PREFIX = "ilora-diag/"
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})")


class Record(Protocol):
    """A record that can stand alone in a document; `SCHEMA` is its kind."""

    SCHEMA: ClassVar[str]


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Codec:
    """One version of the format.

    Attributes:
        major, minor: what it writes. It reads every minor of its major, and older majors through upgraders.
        upgraders: (record class, major) -> function that turns the JSON object of that record from that major into
            the next. They work on records wherever they stand, inside another record too; a class without one did
            not change its shape.
    """

    major: int
    minor: int
    upgraders: Mapping[tuple[type, int], Upgrader]
    _decoders: dict[Any, Decoder] = field(default_factory=dict, repr=False, compare=False)

    def to_data(self, record: Record) -> JsonObject:
        """The document as a JSON object."""
        header = {"schema": _PREFIX + record.SCHEMA, "schema_version": f"{self.major}.{self.minor}"}
        return {**header, **_encode(record)}

    def to_json(self, record: Record, *, indent: int | None = None) -> str:
        """The document as text: one ASCII line, or indented for people."""
        return json.dumps(self.to_data(record), allow_nan=False, indent=indent)

    def from_json(self, cls: type[R], text: str | bytes) -> R:
        """The record a text holds.

        Raises:
            SchemaError: naming the field, what it holds and what was allowed.
        """
        return self.from_data(cls, parse(text))

    def from_data(self, cls: type[R], data: object) -> R:
        """The record a parsed document holds; raises as `from_json`."""
        wanted = _PREFIX + cls.SCHEMA
        if not isinstance(data, dict):
            raise SchemaError("", data, f"an object with schema {wanted!r}")
        if data.get("schema") != wanted:
            raise SchemaError("schema", data.get("schema", MISSING), repr(wanted))
        record = self._decoder(cls)(data, self._major_of(data.get("schema_version", MISSING)))
        assert isinstance(record, cls)
        return record

    def _major_of(self, version: object) -> int:
        match = _VERSION.fullmatch(version) if isinstance(version, str) else None
        if match is None:
            raise SchemaError("schema_version", version, 'MAJOR.MINOR, such as "1.0"')
        major = int(match[1])
        if major > self.major:
            hint = f"at most {self.major}.x; a newer ilora-diag wrote this, update to read it"
            raise SchemaError("schema_version", version, hint)
        if major < 1:
            raise SchemaError("schema_version", version, f"1.0 to {self.major}.x")
        return major

    def _decoder(self, kind: Any) -> Decoder:
        """What reads a value of the given type; made once per type, so that long documents are read quickly."""
        if kind not in self._decoders:
            self._decoders[kind] = self._make_decoder(kind)
        return self._decoders[kind]

    def _make_decoder(self, kind: Any) -> Decoder:
        if get_origin(kind) in (Union, UnionType):
            return self._union(get_args(kind))
        if get_origin(kind) is tuple:
            return self._tuple(get_args(kind))
        if isinstance(kind, type):
            if kind in _SCALARS:
                return _SCALARS[kind]
            if issubclass(kind, Enum):
                return _enum(kind)
            if is_dataclass(kind):
                return self._record(kind)
        raise TypeError(f"no JSON form for {kind!r}")

    def _record(self, cls: type) -> Decoder:
        if cls is Unavailable:
            return _unavailable
        hints = get_type_hints(cls)
        plan = [(spec, self._decoder(hints[spec.name])) for spec in fields(cls) if spec.init]

        def decode(value: Any, major: int) -> Any:
            if not isinstance(value, dict):
                raise SchemaError("", value, "an object")
            for version in range(major, self.major):
                upgrade = self.upgraders.get((cls, version))
                value = upgrade(dict(value)) if upgrade else value
            chosen = {spec.name: _field(spec, decoder, value, major) for spec, decoder in plan if _stands(spec, value)}
            try:
                return cls(**chosen)
            except LawError as error:
                raise SchemaError("", value, str(error)) from error

        return decode

    def _tuple(self, kinds: tuple[Any, ...]) -> Decoder:
        repeated = len(kinds) == 2 and kinds[1] is Ellipsis
        decoders = [self._decoder(kind) for kind in kinds if kind is not Ellipsis]

        def decode(value: Any, major: int) -> tuple[Any, ...]:
            if not isinstance(value, list):
                raise SchemaError("", value, "an array")
            if not repeated and len(value) != len(decoders):
                raise SchemaError("", value, f"an array of {len(decoders)}")
            chosen = decoders * len(value) if repeated else decoders
            return tuple(_item(decoder, value, index, major) for index, decoder in enumerate(chosen))

        return decode

    def _union(self, kinds: tuple[Any, ...]) -> Decoder:
        """The arm is chosen by the form of the JSON value, so a union has at most one arm for each form."""
        arms: dict[str, Decoder] = {}
        for kind in kinds:
            form = _form_of(kind)
            if form in arms:
                raise TypeError(f"two arms of {kinds} are written as {form}")
            arms[form] = self._decoder(kind)
        allowed = " or ".join(arms)
        if "number" in arms:
            arms.setdefault("integer", arms["number"])
            arms.setdefault("special number", arms["number"])

        def decode(value: Any, major: int) -> Any:
            arm = arms.get(_form(value))
            if arm is None:
                raise SchemaError("", value, allowed)
            return arm(value, major)

        return decode


def parse(text: str | bytes) -> object:
    """JSON as the standard has it: no bare NaN, no bytes that are not UTF-8, no nesting that overflows.

    Raises:
        SchemaError: saying where it stops being JSON.
    """
    try:
        return _JSON.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError:
        raise SchemaError("", text[:40], "JSON nested less deeply") from None
    except ValueError as error:
        raise SchemaError("", text[:40], f"JSON ({error})") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _stands(spec: Field[Any], value: JsonObject) -> bool:
    """Whether the field is to be read: it is there, or must be."""
    if _key_of(spec) in value:
        return True
    return spec.default is NO_DEFAULT and spec.default_factory is NO_DEFAULT


def _field(spec: Field[Any], decoder: Decoder, value: JsonObject, major: int) -> Any:
    key = _key_of(spec)
    if key not in value:
        raise SchemaError(key, MISSING, "a value")
    try:
        return decoder(value[key], major)
    except SchemaError as error:
        raise error.under(key) from error.__cause__


def _key_of(spec: Field[Any]) -> str:
    """The key of a field: its name, without the underscore that keeps it apart from a keyword (`pass_`)."""
    return spec.name.removesuffix("_")


def _item(decoder: Decoder, value: list[Any], index: int, major: int) -> Any:
    try:
        return decoder(value[index], major)
    except SchemaError as error:
        raise error.under(f"[{index}]") from error.__cause__


def _encode(value: Any) -> Any:
    if isinstance(value, Unavailable):
        return {"unavailable": value.reason, "source": value.source}
    if is_dataclass(value):
        return {_key_of(spec): _encode(getattr(value, spec.name)) for spec in fields(value)}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _unavailable(value: Any, _major: int) -> Unavailable:
    if not isinstance(value, dict) or not isinstance(value.get("unavailable"), str) or not value["unavailable"]:
        raise SchemaError("", value, '{"unavailable": reason, "source": ...}')
    source = value.get("source", "")
    if not isinstance(source, str):
        raise SchemaError("source", source, "a string")
    return Unavailable(reason=value["unavailable"], source=source)


def _enum(kind: type[Enum]) -> Decoder:
    members = {member.value: member for member in kind}
    allowed = " | ".join(str(value) for value in members)

    def decode(value: Any, _major: int) -> Enum:
        member = members.get(value) if isinstance(value, str) else None
        if member is None:
            raise SchemaError("", value, allowed)
        return member

    return decode


def _scalar(kind: type, form: str) -> Decoder:
    def decode(value: Any, _major: int) -> Any:
        if type(value) is not kind:  # exactly: true is no integer here
            raise SchemaError("", value, form)
        return value

    return decode


def _float(value: Any, _major: int) -> float:
    if type(value) is float:
        return value
    try:
        if type(value) is int:
            return float(value)
    except OverflowError:
        pass
    if _form(value) == "special number" and value["float"] in _SPECIAL_NUMBERS:
        return float(value["float"])
    raise SchemaError("", value, "a number")


_SCALARS: dict[type, Decoder] = {
    str: _scalar(str, "a string"),
    int: _scalar(int, "an integer"),
    bool: _scalar(bool, "true or false"),
    NoneType: _scalar(NoneType, "null"),
    float: _float,
}

_SPECIAL_NUMBERS = ("nan", "inf", "-inf")  # as str() writes them
_FORMS = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null", list: "array"}


def _form(value: object) -> str:
    """The form of a JSON value, by which a union chooses its arm."""
    if isinstance(value, dict):
        return "unavailable" if "unavailable" in value else "special number" if set(value) == {"float"} else "object"
    return _FORMS[type(value)]


def _form_of(kind: Any) -> str:
    """The form that values of a type are written in."""
    if get_origin(kind) is tuple:
        return "array"
    if kind is Unavailable:
        return "unavailable"
    if is_dataclass(kind):
        return "object"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "string"
    return _FORMS[kind]


UPGRADERS: Mapping[tuple[type, int], Upgrader] = {}
CODEC = Codec(major=1, minor=0, upgraders=UPGRADERS)
SCHEMA_VERSION = f"{CODEC.major}.{CODEC.minor}"

to_data = CODEC.to_data
to_json = CODEC.to_json
from_data = CODEC.from_data
from_json = CODEC.from_json
