"""What `ilora-diag explain` says, in Japanese."""

from __future__ import annotations

MESSAGES = {
    "explain.title": "explain: {headline}",
    "explain.headline": "{cause} ({confidence})",
    "explain.headline.nothing": "このテキストに既知のエラーはありません",
    "explain.headline.unread": "何も言えません",
    "explain.headline.unexplained": "ここで知られていない文面のエラー: {exception}",
    "explain.confidence.confirmed": "確定",
    "explain.confidence.strongly_suggested": "強く示唆",
    "explain.confidence.hypothesis": "仮説",
    "explain.confidence.unknown": "未確定",
    "explain.unread.empty": "テキストが空です。",
    "explain.unread.garbage": "テキストではありません: {size} のバイト列に既知のメッセージはありません。",
    "explain.unread.unknown": "既知のメッセージがありません。最初のエラーからログ全体を貼り付けてください。",
    "explain.clean": "{lines} 行を読みました。既知のエラーはありません。",
    "explain.stop": "。",
    "explain.remedy": "対処: ",
    "explain.decide": "確かめるには: ",
    "explain.decide.fact": "{command} ({fact} を読む)",
    "explain.section.text": "テキストの内容",
    "explain.section.memory": "メッセージの数値によるメモリ",
    "explain.section.causes": "原因の候補 (順位順)",
    "explain.section.others": "ほかに見つかったこと",
    "explain.section.signatures": "このテキストにある既知のメッセージ (出現順)",
    "explain.text.exception": "例外: ",
    "explain.text.where": "{line} 行目、出力元: {layer}",
    "explain.text.sticky.yes": "CUDA コンテキストは失われています。新しいプロセスが必要です。",
    "explain.text.sticky.no": "CUDA コンテキストは有効です。呼び出しが失敗しただけで、何も実行されていません。",
    "explain.text.sticky.depends": (
        "CUDA コンテキストの状態は場合によります。torch.cuda.synchronize() が再び失敗すれば失われています。"
    ),
    "explain.text.unverified": "このメッセージの文面または原因は出典で確認されていません。",
    "explain.text.codes": "コード: ",
    "explain.state.confirmed": "確定",
    "explain.state.suggested": "示唆",
    "explain.state.open": "未定",
    "explain.state.refuted": "否定",
    "explain.column.state": "状態",
    "explain.column.cause": "原因",
    "explain.column.because": "根拠、または決め手",
    "explain.column.line": "行",
    "explain.column.count": "回数",
    "explain.column.message": "メッセージ",
    "explain.column.note": "備考",
    "explain.column.what": "項目",
    "explain.column.size": "大きさ",
    "explain.note.follows": "先の障害の結果",
    "explain.note.leads": "主因",
    "explain.note.generic": "一般的",
    "explain.oom.requested_bytes": "要求",
    "explain.oom.capacity_bytes": "カードの容量",
    "explain.oom.free_bytes": "空き",
    "explain.oom.this_process_bytes": "このプロセス全体",
    "explain.oom.allocated_bytes": "生きているテンソル",
    "explain.oom.private_pool_bytes": "うちプライベートプール",
    "explain.oom.unallocated_bytes": "予約済みで未割り当て",
    "explain.oom.limit_bytes": "このプロセスの上限",
    "explain.oom.non_torch_bytes": "PyTorch の外",
    "explain.oom.process": "プロセス {pid}",
    "explain.oom.unknown": "不明 ({reason})",
    "explain.cause.live_tensors": "生きているテンソルがカードを満たしています。",
    "explain.cause.fragmentation": "空きと予約済みを合わせれば足りますが、連続していません。",
    "explain.cause.other_process": "不足したメモリは他の使用者が占有しています。",
    "explain.cause.capacity_smaller": "カードまたは割り当てられた区画が、この要求には小さすぎます。",
    "explain.cause.limit_set": "カードの限界ではなく、このプロセスに設定された上限に達しました。",
    "explain.cause.unknown": "数値からは、何がメモリを占めているか分かりません。",
    "explain.oom.fits": "{fits} までの要求なら通りました。不足は {missing} です。",
    "explain.oom.fits.unknown": "どこまで通ったかは分かりません: {reason}。",
    "explain.advice.offered": (
        "メッセージは {advice} を勧めています。この環境は対応しており、数値上も効果がありえます。"
    ),
    "explain.advice.open": (
        "メッセージは {advice} を勧めています。数値上は効果がありえますが、仮想メモリ管理が拒否される環境 (仮想 GPU、"
        "WSL、Jetson) では別のエラーに変わります。先に確認: ilora-diag env-check --deep"
    ),
    "explain.advice.not_offered": (
        "メッセージは {advice} を勧めていますが、従わないでください。このカードは仮想メモリ管理を提供せず、CUDA driver "
        "error: operation not supported になります。"
    ),
    "explain.advice.vgpu": (
        "メッセージは {advice} を勧めていますが、従わないでください。仮想 GPU では通常 CUDA driver error: operation "
        "not supported になります。"
    ),
    "explain.advice.tegra": (
        "メッセージは {advice} を勧めていますが、従わないでください。Jetson では空きがあっても失敗します。"
    ),
    "explain.advice.sandbox": (
        "メッセージは {advice} を勧めていますが、従わないでください。WSL と gVisor は必要な機能の一部を拒否します。"
    ),
    "explain.advice.not_built": "メッセージは {advice} を勧めていますが、このビルドでは無視されます。",
    "explain.advice.too_old": "メッセージは {advice} を勧めていますが、この torch は設定を知らず、起動を拒否します。",
    "explain.advice.already_on": "メッセージは {advice} を勧めていますが、すでに有効です。有効でも同じ文面が出ます。",
    "explain.advice.no_gain": (
        "メッセージは {advice} を勧めていますが、効果はありませんでした。空きと未割り当てを合わせても要求に足りません。"
    ),
    "explain.advice.max_split": (
        "メッセージは max_split_size_mb を勧めています。大きなブロックが分割される場合に有効です。128 を試してください"
        "。"
    ),
    "explain.advice.mps_watermark": (
        "メッセージは {advice} を勧めていますが、上限を外すとシステム全体が止まることがあります。"
    ),
    "explain.advice.other": (
        "メッセージは {advice} を勧めていますが、解放されるのは使われていないキャッシュだけです。"
    ),
    "explain.advice.none": "",
    "explain.source": "{lines} 行、{size}。SHA-256 {digest}。事実: {facts}",
    "explain.facts.none": "なし (--facts FILE で渡す。作り方: ilora-diag env-check --save-facts FILE)",
    "explain.facts.given": "SHA-256 {digest}",
    "explain.page.kind.signature": "既知のメッセージ",
    "explain.page.kind.finding": "所見",
    "explain.page.kind.code": "エラーコード",
    "explain.page.layer": "出力元: {layer}",
    "explain.page.group": "分類: {group}",
    "explain.page.since": "torch {since} 以降",
    "explain.page.category": "カテゴリ: {category}",
    "explain.page.sample": "実際の文面",
    "explain.page.causes": "原因 (可能性の高い順)",
    "explain.page.fix": "対処",
    "explain.page.source": "出典: {source}",
    "explain.page.related": "関連",
    "explain.page.confirm": "確定する事実",
    "explain.page.refute": "否定する事実",
    "explain.page.decide": "または次で決まる",
    "explain.list.title": "ilora-diag explain のページ一覧",
    "explain.list.hint": (
        "ilora-diag explain CODE でページを表示します。CUDA、NVML、Xid のコードも使えます (801、cudaErrorNotSupported、"
        '"Xid 79")。'
    ),
    "explain.list.finding": "所見",
    "explain.list.signature": "メッセージ",
}
