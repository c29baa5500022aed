"""Japanese, of placements (bisect-device) and of each model alone (isolate-rec)."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "place.title": "{device} への配置: {subject}",
    "place.live.end": "  {mode}: {outcome}",
    "place.live.cell": "{num}/{total}: {cell} ...",
    "place.live.cell_end": "  {cell}: {outcome}",
    "place.answer.nothing_fails": "失敗は起きません: {num} 個のテンソルすべて（{moved}）を GPU に配置できました。",
    "place.answer.first_touch": "最初の割り当てそのものが失敗します: アロケータの設定を変えても、数値一つさえ GPU に"
    "置けません。失敗が報告されるテンソル（{leaf}）は、最初に配置されるテンソルであるにすぎません。",
    "place.answer.allocator": "原因はアロケータの設定です: {before} では {leaf} で失敗し、{after} ならすべて配置"
    "できます。",
    "place.answer.tensor_specific": "このテンソルに固有の失敗です: {leaf}（{size}）は単独でも配置できませんが、同じ"
    "形状と型で新しく作ったテンソルは配置できます。",
    "place.answer.size_or_dtype": "大きさまたは型による失敗です: {leaf} と同じ形状と型のテンソル（{shape}、{dtype}、"
    "{size}）は、単独でも配置できません。",
    "place.answer.cumulative": "合計による失敗です: {leaf} は単独なら配置できますが、{moved} を配置した時点で空きが"
    "なくなります。配置の順序を変えても同じです。",
    "place.answer.undecided": "判定できません: 試行の結果がどの分類にも当てはまらないか、実行できない試行が"
    "ありました。",
    "place.next.nothing_fails": "失敗の原因は配置ではありません。学習ステップは `ilora-diag bisect-oom` で"
    "調べられます。",
    "place.next.first_touch": "ドライバ、コンテナ、デバイスは `ilora-diag env-check --deep` で確認できます。",
    "place.next.allocator": "成功した設定で実行し、もう一方の設定がどこで行われているか（イメージ、ジョブスクリプト、"
    "`docker exec -e`）を確認してください。",
    "place.next.tensor_specific": "このテンソルの由来（ファイル、ストライド、クラス）を確認してください。配置の前に"
    "ホスト上で複製（clone）してみれば、切り分けられます。",
    "place.next.size_or_dtype": "GPU の空き容量と大きさを比べてください。残りを何が占有しているかは "
    "`ilora-diag env-check` で分かります。",
    "place.next.cumulative": "GPU に置く量を減らすか、空きを増やす必要があります。ステップ全体の必要量は "
    "`ilora-diag estimate` で分かります。",
    "place.next.undecided": "実行できなかった理由は下の表にあります。",
    "place.section.table": "配置したものと結果",
    "place.section.culprit": "失敗したテンソル",
    "place.section.error": "エラー",
    "place.section.effective": "プロセス内で実際に有効だった値",
    "place.section.notes": "前提",
    "place.section.again": "再実行の方法",
    "place.column.mode": "配置したもの",
    "place.column.outcome": "結果",
    "place.column.trial": "試行",
    "place.column.leaf": "失敗した箇所",
    "place.column.moved": "配置済みだった量",
    "place.column.reserved": "その時点の予約量",
    "place.column.detail": "詳細",
    "place.column.key": "項目",
    "place.column.value": "値",
    "place.mode.walk": "すべてのテンソル（順番どおり）",
    "place.mode.first_touch": "最初に数値一つだけ",
    "place.mode.alone": "当該テンソルのみ",
    "place.mode.random": "同じ形状と型で新しく作ったテンソル",
    "place.mode.reversed": "すべてのテンソル（逆順）",
    "place.mode.allocator": "すべてのテンソル（アロケータの設定を反転）",
    "place.outcome.passes": "成功",
    "place.outcome.fails": "失敗",
    "place.outcome.unknown": "判定不能",
    "place.outcome.not_needed": "不要",
    "place.moved": "{num} 個、{size}",
    "place.leaf.name": "名前",
    "place.leaf.kind": "種別",
    "place.leaf.dtype": "型",
    "place.leaf.shape": "形状",
    "place.leaf.size": "大きさ",
    "place.leaf.contiguous": "連続した配置か",
    "place.yes": "はい",
    "place.no": "いいえ",
    "place.none_set": "アロケータの設定なし",
    "place.no_leaf": "テンソルなし",
    "isolate.title": "{device} での二つのモデルの切り分け: {subject}",
    "isolate.answer.nothing_fails": "失敗は起きません: それぞれ単独でも、両方でも成功します。",
    "isolate.answer.recommender": "推薦モデル側の失敗です: 単独で失敗し{stage}、言語モデルは単独で成功します。",
    "isolate.answer.recommender_weights": "推薦モデルのチェックポイントによる失敗です: その重みでは失敗し{stage}、同じ"
    "形状の乱数の重みでは成功します。言語モデルも単独で成功します。",
    "isolate.answer.language_model": "言語モデル側の失敗です: 単独で失敗し{stage}、推薦モデルは単独で成功します。",
    "isolate.answer.first_touch": "どちらのモデルの問題でもありません: 先にデバイスへ配置したほうが、どちらであっても"
    "同じ形で失敗します{stage}。rec_model が原因ではありません。",
    "isolate.answer.both_alone": "どちらのモデルも単独で失敗します{stage}: 両者に共通するものが原因です。",
    "isolate.answer.together": "両方を同時に置いたときだけ失敗します{stage}: それぞれ単独では成功します。",
    "isolate.answer.order": "配置の順序による失敗です: 両方を置くとき、一方の順序では失敗し{stage}、もう一方では成功し"
    "ます。",
    "isolate.answer.inconclusive": "判定できません: 実行できない組み合わせがありました。",
    "isolate.in_stage": "（段階: {stage}）",
    "isolate.section.table": "すべての組み合わせ",
    "isolate.section.stages": "各段階の終わりのメモリ（予約量）",
    "isolate.column.components": "モデル",
    "isolate.column.order": "先に配置したもの",
    "isolate.column.weights": "推薦モデルの重み",
    "isolate.column.outcome": "結果",
    "isolate.column.stage_name": "段階",
    "isolate.column.stage": "失敗した段階",
    "isolate.column.peak": "ピーク割り当て量",
    "isolate.column.reserved": "ピーク予約量",
    "isolate.column.trial": "試行",
    "isolate.column.error": "エラー",
    "isolate.components.llm": "言語モデル",
    "isolate.components.rec": "推薦モデル",
    "isolate.components.both": "両方",
    "isolate.order.llm_first": "言語モデル",
    "isolate.order.rec_first": "推薦モデル",
    "isolate.weights.checkpoint": "チェックポイント",
    "isolate.weights.random": "乱数",
    "isolate.none": "-",
    "isolate.fails_here": "失敗",
}
REASONS = (
    (
        r"rec\.checkpoint names no file: the recommender has random weights.*",
        "rec.checkpoint が指定されていないため、推薦モデルの重みは乱数です",
    ),
    (r"nothing was put on the card", "何も配置されていません"),
    (r"the trial did not tell it", "試行からの報告がありません"),
)
