"""Japanese, of comparisons."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "compare.title": "{a} と {b} の比較",
    "compare.equal": "同等です: 意味のある差はありません（許容差 {percent} %）。",
    "compare.differs": "差があります: 意味のある差が {num} 件。",
    "compare.side": "（{kind}: {name}）",
    "compare.same": "両方で同じ値: {counts}。",
    "compare.count": "{group} {num} 件",
    "compare.not_compared": "比較していないもの: {group}（{reason}）。",
    "compare.more": "ほか {num} 件。すべては --json にあります。",
    "compare.absent": "-",
    "compare.unknown": "不明: {reason}",
    "compare.other": "異なる",
    "compare.column.what": "項目",
    "compare.column.change": "A に対する B",
    "compare.kind.train": "学習",
    "compare.kind.estimate": "見積もり",
    "compare.kind.run": "スクリプトの実行",
    "compare.kind.bisect": "調査",
    "compare.kind.snapshot": "スナップショット",
    "compare.group.outcome": "結果",
    "compare.group.requested": "指定された設定",
    "compare.group.effective": "実際に有効な設定",
    "compare.group.versions": "バージョンとデバイス",
    "compare.group.memory": "ピーク時のメモリ",
    "compare.group.category": "種別ごとのメモリ",
    "compare.group.module": "モジュール別のメモリ",
    "compare.group.operator": "演算別のメモリ",
    "compare.group.metric": "指標",
}
REASONS = (
    (r"(\w+) does not tell it", r"\1 の記録にはありません"),
    (r"(\w+) and (\w+) tell it in different words", r"\1 と \2 では記録の項目が異なります"),
)
