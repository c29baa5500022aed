"""Japanese, of recorded memory snapshots."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    # the first line
    "snapshot.headline": "デバイス {device} のピーク: allocated {allocated}（reserved {reserved}）。"
    "最大の内訳は {part} の "
    "{size}（{share}）。",
    "snapshot.headline.before": "デバイス {device} のピーク: allocated {allocated}（reserved {reserved}）。"
    "うち {share}"
    "（{size}）は最初のイベント以前からの確保分で、記録中の最大の内訳は {part} の {part_size}（{part_share}）。",
    "snapshot.headline.state": "デバイス {device} の確保量: allocated {allocated}（reserved {reserved}）。"
    "推移を示すイベントはファイルにありません。うち {unknown} はスタックの記録がなく、"
    "記録のあるもののうち最大は {part} の {size}（{share}）。",
    "snapshot.headline.state.told": "デバイス {device} の確保量: allocated {allocated}（reserved {reserved}）。"
    "推移を示すイベントはファイルにありません。最大の内訳は {part} の {size}（{share}）。",
    "snapshot.headline.plain": "デバイス {device} の確保量: allocated {allocated}（reserved {reserved}）。"
    "用途はファイルからは分かりません。",
    "snapshot.headline.empty": "スナップショットにはメモリもイベントも含まれていません。",
    "snapshot.headline.oom": "デバイス {device} でメモリ不足（OOM）: {requested} を確保できませんでした。"
    "その時点で allocated "
    "{allocated}（reserved {reserved}）。最大の保持箇所は {part} の {size}（{share}）。",
    "snapshot.device": "デバイス {index}",
    # moments
    "snapshot.moments.title": "アロケータの状態",
    "snapshot.quantity.requested": "requested",
    "snapshot.quantity.internal": "ブロック内部の損失（切り上げ、分割残り）",
    "snapshot.quantity.allocated": "allocated",
    "snapshot.quantity.reserved": "reserved",
    "snapshot.quantity.external": "reserved のうち空き",
    "snapshot.quantity.split": "うち使用中セグメント内",
    "snapshot.quantity.largest": "最大の空きブロック",
    "snapshot.moment.before": "開始前",
    "snapshot.moment.peak": "ピーク",
    "snapshot.moment.end": "終了時",
    "snapshot.moment.only": "取得時",
    "snapshot.moment.events": "記録されたイベント: {num} 件。allocated のピークはイベント {event} の後です。",
    "snapshot.moment.first": "-1（最初のイベント以前）",
    "snapshot.moment.reserved": "reserved のピークは {size}（イベント {event} の後）です。",
    # what to know about the recording
    "snapshot.note.dropped": "失われたイベント: {reason}。",
    "snapshot.note.dropped.none": "失われたイベント: その形跡はありません。",
    "snapshot.note.without_stack": "{total} 件の確保のうち {num} 件にはスタックがありません。C++ "
    "フレームが記録されておらず、"
    "autograd のスレッドには Python フレームがないためです。",
    "snapshot.note.rest": "アロケータの規則によれば、ピーク時にはさらに {size} が確保されていました。"
    "記録に解放だけが現れるブロックの末尾にあたり、サイズがファイルにないため、ここでは数えていません。",
    "snapshot.note.unmatched": "{num} 件のイベントが互いに、または最終状態と矛盾します。その分だけサイズは不確かです。",
    "snapshot.note.settings": "アロケータの設定: {settings}。",
    "snapshot.note.unread": "このバージョンが知らない項目は読んでいません: {keys}。",
    "snapshot.note.figure": "図: {path}",
    "snapshot.note.reading": "読み込み中 {file}: {size} の {percent} %",
    # the peak
    "snapshot.peak.title": "ピーク時の内訳",
    "snapshot.peak.title.state": "内訳",
    "snapshot.column.site": "確保した箇所（PyTorch 外の最初のフレーム）",
    "snapshot.column.op": "演算または関数",
    "snapshot.column.size": "サイズ",
    "snapshot.column.share": "割合",
    "snapshot.column.blocks": "ブロック数",
    "snapshot.part.before": "最初のイベント以前に確保",
    "snapshot.part.no_stack": "スタックの記録なし",
    "snapshot.part.rest": "その他 {num} 件",
    "snapshot.part.total": "合計",
    "snapshot.frames": "{site} のスタック:",
    "snapshot.before.title": "うち最初のイベント以前の確保分",
    "snapshot.before.unknown": "記録中に解放された開始前のブロックと、"
    "記録が無効な間に確保されたブロックにはスタックがありません。",
    # growth
    "snapshot.growth.title": "ステップごとの増加",
    "snapshot.growth.annotation": "{num} ステップ（オプティマイザが記録に残した印による）。",
    "snapshot.growth.optimizer": "{num} ステップ（スタック中のオプティマイザのフレームによる）。",
    "snapshot.growth.repeat": "{num} 回の繰り返し（最初の確保と同じスタックがほぼ等間隔で現れる）。",
    "snapshot.growth.thirds": "ステップを識別できないため、記録を三等分しました。",
    "snapshot.growth.none": "毎ステップ、ブロックを残していく箇所はありません。",
    "snapshot.growth.none.thirds": "継続的にブロックを残していく箇所はありません。",
    "snapshot.growth.unknown": "増加の有無は判定できません: {reason}。",
    "snapshot.growth.suspects": "次の箇所のブロックはステップごとに残り続けます。リークか、"
    "意図して成長するキャッシュです。",
    "snapshot.growth.suspects.inferred": "次の箇所のブロックは継続的に確保され、残っています。"
    "実行途中の順伝播の活性値も同じ形になるため、"
    "リークと区別するにはオプティマイザの 3 ステップ以上を記録してください。",
    "snapshot.growth.ends": "各終了時の allocated: {sizes}。",
    "snapshot.column.per_step": "残ったブロック数（ステップ別）",
    # failures
    "snapshot.oom.title": "メモリ不足（OOM）、イベント {event}",
    "snapshot.oom.asked": "要求は {requested}。デバイスの空きは {free}、アロケータの保持量は {reserved} で、"
    "うち {unallocated} "
    "は未割り当てでした（最大の空きブロックは {largest}）。",
    "snapshot.oom.fragmentation": "断片化: reserved の空きは、連続していれば足りました。対処: "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True を設定してください。",
    "snapshot.oom.full": "メモリは満杯でした。空きをすべて合わせても足りません。",
    "snapshot.oom.limit": "デバイスには十分な空きがありました。プロセスへの上限により失敗しています"
    "（set_per_process_memory_fraction、または PYTORCH_CUDA_ALLOC_CONF の per_process_memory_fraction）。",
    "snapshot.oom.unknown": "失敗の理由は判定できません: {reason}。",
    "snapshot.oom.missing": "不足は {size}。保持箇所を大きい順に足してこの量に達するまで: {parts}。",
    "snapshot.oom.missing.none": "不足は {size} で、割り当て済みの全量を超えています。",
    "snapshot.oom.part": "{site}（{size}）",
    # figure
    "snapshot.timeline.title": "記録されたイベントに沿った allocated の推移（デバイス {device}）",
    "snapshot.timeline.axis": "イベント",
    "snapshot.timeline.other": "その他",
    "snapshot.timeline.reserved": "reserved",
    "snapshot.timeline.peak": "ピーク {size}",
}

REASONS: tuple[tuple[str, str], ...] = (
    (r"no events were recorded", r"イベントが記録されていません"),
    (
        r"the window frees (\d+) blocks that were allocated before it: before recording began, or in events "
        r"that were "
        r"dropped; the file does not tell",
        r"記録中に、それ以前に確保された \1 個のブロックが解放されています。最初のイベント以前の確保か、"
        r"失われたイベントでの確保かは"
        r"ファイルからは分かりません",
    ),
    (
        r"exactly (\d+) events were kept, which looks like the length of a full buffer",
        r"イベントはちょうど \1 件で、満杯のバッファの長さのように見えます",
    ),
    (
        r"at least (\d+) events are missing: .*",
        r"少なくとも \1 件のイベントが欠けています。バッファ（max_entries）が満杯だったか、"
        r"記録が再度有効にされたためで、"
        r"正確な件数はファイルからは分かりません",
    ),
    (
        r"the window holds (\d+) of the (\d+) steps that growth shows in",
        r"増加の判定には \2 ステップが必要ですが、記録には \1 ステップしかありません",
    ),
    (r"the event does not say what the device had free", r"デバイスの空き容量がイベントに記録されていません"),
)
