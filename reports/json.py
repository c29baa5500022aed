"""The report as its own record: what other programs read, and what the other renderers can be run from again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ilora_diag.schema import to_json

if TYPE_CHECKING:
    from ilora_diag.schema import Report


class JsonRenderer:
    """Indented JSON in no language."""

    def render(self, report: Report) -> str:
        """The document, ending in one newline."""
        return to_json(report, indent=2) + "\n"
