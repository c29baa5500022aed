"""Japanese, of the figures of investigations."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "figure.bisect.ended.pass": "成功",
    "figure.bisect.ended.same": "同じ失敗",
    "figure.bisect.ended.other": "別の失敗",
    "figure.bisect.ended.none": "判定なし",
    "figure.bisect.alt.more": "、ほか {num} 件",
    # effects
    "figure.bisect.effects.title": "各要因を単独で緩めたときのピークの変化",
    "figure.bisect.effects.axis": "失敗した試行を基準とした reserved のピークの変化（{unit}）\n"
    "失敗した試行は本来のピークに達する前に終わっている",
    "figure.bisect.effects.untested": "単独では未試行",
    "figure.bisect.effects.unknown": "ピーク不明（{ended}）",
    "figure.bisect.effects.note": "{delta}（{ended}）",
    "figure.bisect.effects.alt": "各要因を単独で緩めたときの reserved のピークの変化: {rows}",
    "figure.bisect.effects.alt.row": "{label} で {note}",
    # trials
    "figure.bisect.trials.title": "全試行: 緩めた要因と結果",
    "figure.bisect.trials.title_cut": "全試行（途中の {num} 件は省略）",
    "figure.bisect.trials.partly": "途中の水準まで緩めた",
    "figure.bisect.trials.wholly": "最も緩い水準まで緩めた",
    "figure.bisect.trials.row": "{trial}  {purpose}",
    "figure.bisect.trials.again": "{trial} を再利用  {purpose}",
    "figure.bisect.trials.alt": "{steps} 試行 × {factors} 要因の表: {rows}",
    "figure.bisect.trials.alt.row": "{ended} {num} 件",
    "figure.bisect.purpose.preflight_fail": "失敗の再現",
    "figure.bisect.purpose.preflight_mild": "すべて緩和",
    "figure.bisect.purpose.first_touch": "最初の接触",
    "figure.bisect.purpose.growth": "増加の追跡",
    "figure.bisect.purpose.repair": "探索",
    "figure.bisect.purpose.effect": "単独の効果",
    "figure.bisect.purpose.level": "水準",
    "figure.bisect.purpose.monotone": "水準の順序",
    "figure.bisect.purpose.certificate": "証明",
    "figure.bisect.purpose.sufficient": "原因のみ",
    "figure.bisect.purpose.control": "対照",
    "figure.bisect.purpose.final": "最終確認",
    # boundary
    "figure.bisect.boundary.title": "境界: {factor} の水準とピーク",
    "figure.bisect.boundary.axis": "{factor} の水準（左が失敗する値、右が最も緩い値）",
    "figure.bisect.boundary.peak": "reserved のピーク（{unit}）",
    "figure.bisect.boundary.trial": "{trial}\n{size}",
    "figure.bisect.boundary.trials": "{trial}（ほか {num} 件）\n{size}",
    "figure.bisect.boundary.alt": "{factor} の水準ごとの reserved のピーク: {failing} では {fail_trial} が "
    "{fail_peak} で失敗し、隣の水準 {passing} では {pass_trial} が {pass_peak} で成功する",
    # peak, modules, timeline
    "figure.bisect.peak.failed": "失敗時のデバイスメモリの内訳",
    "figure.bisect.peak.passed": "成功した試行のピーク時のデバイスメモリの内訳",
    "figure.bisect.peak.alt": "{title}: {rows}",
    "figure.bisect.peak.alt.row": "{label} {size}",
    "figure.bisect.modules.title": "その時点の allocated のモジュール別内訳",
    "figure.bisect.modules.alt": "allocated のモジュール別内訳（大きい順）: {rows}",
    "figure.bisect.timeline.alt": "見積もりのステップにわたる allocated のカテゴリ別推移: "
    "最大で allocated {allocated}、reserved {reserved}",
    # growth
    "figure.bisect.growth.title": "各ステップ後に残っているバイト数",
    "figure.bisect.growth.live": "ステップ後の残存量",
    "figure.bisect.growth.slope": "2 ステップ目以降への当てはめ: {slope}",
    "figure.bisect.growth.per_step": "ステップごとに {size}（標準誤差 {error}）",
    "figure.bisect.growth.alt": "{num} ステップそれぞれの後の残存量は {first} から {last}: {slope}",
}
