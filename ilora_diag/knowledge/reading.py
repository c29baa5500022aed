"""ErrorReading: everything an error text says, before any fact is held against it."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema.explanation import ErrorCode, OomMessage, SignatureMatch
from ilora_diag.schema.known import Known


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReading:
    """A text, read.

    Attributes:
        digest: SHA-256 of the bytes.
        matches: signatures found, in the order of their first occurrence; consequences of an earlier fault are marked.
        leading: the one that explains the text: the first that is neither generic nor a consequence; None: none.
        oom: the first out-of-memory message, masked ones included.
        exception_type: class of the exception that leads, with its modules.
        codes: error codes the text names, each once.
        context: the lines around the leading match, at most a few thousand characters: rules about frames read it.
        garbage: the bytes are no text.
    """

    digest: str
    num_bytes: int
    num_lines: int
    matches: tuple[SignatureMatch, ...]
    leading: SignatureMatch | None
    oom: OomMessage | None
    exception_type: Known[str]
    codes: tuple[ErrorCode, ...]
    context: str
    garbage: bool = False

    def has(self, *ids: str) -> bool:
        """Whether one of these signatures matched."""
        return any(match.id in ids for match in self.matches)

    def match(self, name: str) -> SignatureMatch | None:
        """The match of a signature."""
        return next((match for match in self.matches if match.id == name), None)

    def code(self, space: str, number: int) -> bool:
        """Whether the text names this code."""
        return any(code.space == space and code.number == number for code in self.codes)


def read_error(text: str | bytes) -> ErrorReading:
    """Read a text; any text will do, the empty one and binary garbage too."""
    from ilora_diag.knowledge.scan import scan_text

    return scan_text(text)
