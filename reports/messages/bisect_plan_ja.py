"""What is said of a bisection that has not begun, in Japanese."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "bisect.plan.title": "試行の計画",
    "bisect.plan.numbers": "要因は {factors} 個。そのうちの一つが原因であれば、{least}〜{most} 回の試行で特定と証明"
    "ができる（平均 {expected} 回）。複数の要因が同時に必要な原因では、さらに増える。",
    "bisect.plan.nothing_run": "まだ何も実行していない。fast モードでは要因をまとめて緩和するため、以下の行の多くは"
    "単独では実行されない。並びは優先順である。",
    "bisect.plan.factor": "要因",
    "bisect.plan.levels": "水準（先頭が失敗する水準）",
    "bisect.plan.cost": "最も緩い水準の代償",
    "bisect.plan.factors": "要因",
    "bisect.plan.num": "試行数",
    "bisect.plan.purpose": "目的",
    "bisect.plan.change": "変更",
    "bisect.plan.schedule": "予定",
    "bisect.plan.left_out": "探索しない要因",
    "bisect.plan.none_left_out": "除外した要因はない。",
    "bisect.plan.reason": "理由",
}
