"""What the reports say, by language. English and Japanese have the same keys and the same placeholders.

Each family of messages has a module a language; a key stands in one of them only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from reports.messages import (
    bisect_causes_en,
    bisect_causes_ja,
    bisect_en,
    bisect_ja,
    bisect_plan_en,
    bisect_plan_ja,
    bisect_words_en,
    bisect_words_ja,
    bundle_en,
    bundle_ja,
    checks_en,
    checks_ja,
    compare_en,
    compare_ja,
    en,
    estimate_en,
    estimate_ja,
    estimate_reasons_ja,
    explain_en,
    explain_ja,
    figures_en,
    figures_ja,
    ja,
    place_en,
    place_ja,
    run_en,
    run_ja,
    snapshot_en,
    snapshot_ja,
)


def _merged(*families: Mapping[str, str]) -> Mapping[str, str]:
    merged = {key: text for family in families for key, text in family.items()}
    assert len(merged) == sum(map(len, families)), "a key stands in one family only"
    return merged


REASONS = {
    "en": en.REASONS,
    "ja": (
        *ja.REASONS,
        *explain_ja.REASONS,
        *compare_ja.REASONS,
        *snapshot_ja.REASONS,
        *bisect_causes_ja.REASONS,
        *estimate_reasons_ja.REASONS,
    ),
}
LANGUAGES: Mapping[str, Mapping[str, str]] = {
    "en": _merged(
        en.MESSAGES,
        bundle_en.MESSAGES,
        checks_en.MESSAGES,
        compare_en.MESSAGES,
        estimate_en.MESSAGES,
        explain_en.MESSAGES,
        figures_en.MESSAGES,
        place_en.MESSAGES,
        run_en.MESSAGES,
        snapshot_en.MESSAGES,
        bisect_en.MESSAGES,
        bisect_words_en.MESSAGES,
        bisect_causes_en.MESSAGES,
        bisect_plan_en.MESSAGES,
    ),
    "ja": _merged(
        ja.MESSAGES,
        bundle_ja.MESSAGES,
        checks_ja.MESSAGES,
        compare_ja.MESSAGES,
        estimate_ja.MESSAGES,
        explain_ja.MESSAGES,
        figures_ja.MESSAGES,
        place_ja.MESSAGES,
        run_ja.MESSAGES,
        snapshot_ja.MESSAGES,
        bisect_ja.MESSAGES,
        bisect_words_ja.MESSAGES,
        bisect_causes_ja.MESSAGES,
        bisect_plan_ja.MESSAGES,
    ),
}


class Words:
    """The sentences of one language.

    Args:
        lang: "en" or "ja".
    """

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise ValueError(f"lang={lang!r}: allowed is {' or '.join(LANGUAGES)}")
        self.lang = lang
        self._messages = LANGUAGES[lang]

    def __call__(self, key: str, **values: object) -> str:
        """The message of a key with its placeholders filled in."""
        return self._messages[key].format(**values)

    def metric(self, name: str) -> str:
        """A metric's name for people: hr@10 is HR@10, and names we have no word for stay as they are."""
        return self._messages.get(f"metric.{name}", name.upper() if "@" in name else name)

    def named(self, key: str, otherwise: str) -> str:
        """The message of a key made from a record's name, or `otherwise` for a name we have no word for."""
        return self._messages.get(key, otherwise)

    def reason(self, text: str) -> str:
        """A reason of the records, which are written in English, in this language where it is a common one.

        The records' wording stays where it is not: evidence is better in another language than in none.
        """
        for pattern, template in REASONS[self.lang]:
            match = re.fullmatch(pattern, text)
            if match:
                return match.expand(template)
        return text
