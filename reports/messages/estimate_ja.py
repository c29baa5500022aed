"""Japanese, of memory estimates."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "estimate.title": "メモリ使用量の見積もり: {subject}（{cards}）",
    "estimate.subject.step": "{name} の学習ステップ",
    "estimate.subject.rec": "推薦モデルの学習ステップ",
    "estimate.subject.any": "学習ステップ",
    "estimate.place": "ステップ {step} の {phase}",
    "estimate.place.before": "最初のステップより前の {phase}",
    "estimate.place.evaluation": "学習後の評価（{phase}）",
    "estimate.span": "{low} 〜 {high}",
    "estimate.with_span": "{value}（{span}）",
    # the first line
    "estimate.headline": "{subject}: {gpu} でのピーク時のデバイスメモリ使用量は {used}"
    "（allocated {allocated}、reserved {reserved}、{what} {outside}）。{verdict}。",
    "estimate.headline.oom": "{subject}: {gpu}（{memory}）には収まりません。{place}、{module} でメモリ不足（OOM）: "
    "{requested} を要求、その時点で allocated {allocated}。",
    "estimate.outside.context": "CUDA コンテキスト",
    "estimate.outside.others": "CUDA コンテキストと他プロセス",
    "estimate.verdict.fits": "収まります（余裕は少なくとも {spare}）",
    "estimate.verdict.exceeds": "収まりません（少なくとも {missing} 超過）",
    "estimate.verdict.no": "収まりません",
    "estimate.verdict.close": "収まるかどうかは僅差のため判定できません",
    "estimate.verdict.unknown": "ここまでの値であり、全体が収まるかどうかは不明です",
    "estimate.cards.yes": "収まる: {cards}。",
    "estimate.cards.close": "僅差のため判定できない: {cards}。",
    "estimate.cards.unknown": "不明: {cards}。",
    "estimate.cards.no": "収まらない: {cards}。",
    # cards
    "estimate.column.card": "GPU",
    "estimate.column.name": "名称",
    "estimate.column.capability": "compute capability",
    "estimate.column.memory": "搭載メモリ",
    "estimate.column.allocated": "allocated",
    "estimate.column.reserved": "reserved",
    "estimate.column.used": "デバイスメモリ使用量",
    "estimate.column.fits": "収まるか",
    "estimate.column.batch": "最大バッチ",
    "estimate.column.attention": "attention",
    "estimate.fits.yes": "はい",
    "estimate.fits.no": "いいえ",
    "estimate.fits.oom": "いいえ（{phase} で OOM）",
    "estimate.fits.close": "僅差で判定不能",
    "estimate.fits.unknown": "不明",
    "estimate.attention.none": "なし",
    "estimate.batch.none": "1 も不可",
    "estimate.not_known": "不明",
    "estimate.note.fits": "{cards}: 収まるかどうか判定できません: {reason}",
    "estimate.note.unfinished": "{cards}: 収まるかどうかは不明です: {reason}",
    "estimate.note.batch": "{cards}: 最大バッチは不明です: {reason}",
    "estimate.note.attention": "{cards}: attention のバックエンドは不明です: {reason}",
    "estimate.note.retries": "{cards}: 続行のため、アロケータがキャッシュ済みセグメントをドライバに返却しました。"
    "そのたびに同期が発生し、遅くなります（num_alloc_retries: {num}）",
    "estimate.oom.where": "{card}: {place}、モジュール {module}、演算 {op} で {requested} を要求してメモリ不足:",
    # the evaluation
    "estimate.evaluation.most": "最も多く使うのは学習後の評価です: {phase} までの reserved は "
    "{reserved}、学習ステップだけなら {training}。{lowers}",
    "estimate.evaluation.oom": "学習は収まります（reserved {training}）が、"
    "学習後の評価（{phase}）でメモリが不足します。{lowers}",
    "estimate.evaluation.lower.baseline": "推薦モデルが 1,024 "
    "ユーザー分のカタログ全体を一度に順位付けするためで、減らす設定はありません。",
    "estimate.evaluation.lower.scoring": "data.num_candidates を減らす、data.max_seq_len "
    "を短くする、または eval.scoring=false にすると減ります。",
    "estimate.evaluation.lower.generation": "eval.batch_size を小さくすると減ります。"
    "次に有効なのは eval.max_new_tokens です。",
    "estimate.evaluation.lower.ranking": "eval.batch_size を小さくすると減ります。",
    "estimate.evaluation.lower.export": "eval.batch_size を小さくすると減ります。",
    # the peak
    "estimate.peak.title": "ピーク時の内訳",
    "estimate.peak.where": "{gpu} でのピーク時の allocated は {allocated}（{place}）です。",
    "estimate.peak.plain": "{gpu} でのピーク時の allocated は {allocated} です。",
    "estimate.peak.oom": "{gpu} のメモリは{place} で尽きました。"
    "以下はそれまでに確保された最大量（{allocated}）の内訳であり、必要量ではありません。",
    "estimate.column.category": "種別",
    "estimate.column.size": "サイズ",
    "estimate.column.share": "割合",
    "estimate.column.module": "モジュール",
    "estimate.column.num_modules": "モジュール数",
    "estimate.column.op": "演算",
    "estimate.category.parameter": "パラメータ",
    "estimate.category.gradient": "勾配",
    "estimate.category.optimizer_state": "オプティマイザ状態",
    "estimate.category.activation": "活性化",
    "estimate.category.buffer": "バッファ",
    "estimate.category.input": "入力",
    "estimate.category.temporary": "一時領域",
    "estimate.category.workspace": "ワークスペース",
    "estimate.category.unknown": "帰属不明",
    "estimate.module.prefix": " は次の名前の略です: ",
    "estimate.module.root": "（モデル本体）",
    "estimate.module.itself": "（配下を除く）",
    "estimate.other": "その他（{num} 件）",
    "estimate.total": "合計",
    "estimate.ops": "演算別: {total} 件中 {num} 件",
    # phases
    "estimate.phases.title": "フェーズ別のピーク",
    "estimate.phases.peak": "ピークの位置: {place}。",
    "estimate.phases.none": "トレースされたフェーズはありません。",
    "estimate.phases.here": "{what} のピーク",
    "estimate.phases.before": "1 より前",
    "estimate.phases.after": "学習後",
    # knobs
    "estimate.knobs.title": "設定変更の効果",
    "estimate.knobs.of_run": "学習と学習後の評価を合わせた値（評価が最も多く使う）。"
    "現在の設定での reserved は {reserved}:",
    "estimate.knobs.of_step": "学習ステップだけの値（評価は含まない）。現在の設定での reserved は {reserved}:",
    "estimate.knobs.best": "の効果が最大です: reserved が {saved}（{percent}）減ります。",
    "estimate.knobs.useless": "reserved を減らす変更はありません。",
    "estimate.knobs.none": "設定変更の計算は行われていません。",
    "estimate.knobs.oom": "現在の設定では {gpu} でメモリ不足になるため、比較の基準となる reserved が分からず、"
    "差は示せません。",
    "estimate.knobs.not_computed": "{cost}（未計算: {reason}）",
    "estimate.column.change": "変更",
    "estimate.column.new_reserved": "reserved（ピーク）",
    "estimate.column.difference": "差",
    "estimate.column.cost": "代償",
    # the chain
    "estimate.chain.title": "要求からデバイスメモリまで",
    "estimate.column.step": "項目",
    "estimate.column.subtotal": "ここまでの合計",
    "estimate.gap.requested": "コードが要求した量",
    "estimate.gap.rounding": "アロケータのブロックサイズへの切り上げ",
    "estimate.gap.cached": "キャッシュ: 再利用のため保持されたセグメントの空き",
    "estimate.gap.context": "CUDA コンテキストとライブラリ（アロケータの外）",
    "estimate.gap.other_processes": "同じ GPU の他プロセス",
    "estimate.level.requested": "requested",
    "estimate.level.allocated": "allocated",
    "estimate.level.reserved": "reserved",
    "estimate.level.used": "デバイスメモリ使用量",
    "estimate.chain.left": "{gpu} の搭載メモリは {memory} で、残りは {left} です。",
    "estimate.chain.short": "{gpu} の搭載メモリは {memory} で、{short} 不足します。",
    "estimate.chain.oom": "{gpu} の搭載メモリは {memory} です。残り {left} の状態で、"
    "さらに {requested} が要求されました。",
    # what it rests on
    "estimate.rests.title": "この見積もりの前提",
    "estimate.rests.traced": "トレース: オプティマイザステップ {steps} 回、メモリ要求 {num} 回。"
    "torch {torch} の規則による。所要時間 {seconds}。",
    "estimate.rests.interval": "区間（{cards}）: {basis}",
    "estimate.rests.context": "CUDA コンテキスト（{cards}）、{span}: {basis}",
    # what else is on the card
    "estimate.observed.title": "残りのメモリの出所",
    "estimate.observed.more": "観測された使用量は {observed} です。学習ステップで説明できるのは {used}"
    "なので、残りの {rest} は別のところから来ています。",
    "estimate.observed.within": "観測された使用量は {observed} です。学習ステップで {used}まで説明"
    "でき、説明のつかないメモリは残りません。",
    "estimate.observed.less": "観測された使用量 {observed} は、学習ステップがピーク時に必要とする {used}"
    "より少ない値です。ピークとピークの間や 2 ステップ目より前の測定では、ピークは見えません。",
    "estimate.observed.oom": "観測された使用量は {observed} です。学習ステップだけで {used}に達した時点で {gpu} が"
    "一杯になっており、他に何があるかにかかわらず搭載メモリを超えます。",
    "estimate.observed.larger": "{observed} は、{gpu} の搭載メモリとして仮定した {memory} を超えています。"
    "別の GPU か、複数の値の合計です。",
    "estimate.observed.look": "調べ方（手間の少ない順）:",
    "estimate.observed.processes": "他のプロセス（終了したはずの実行も含む。"
    "コンテナ内では名前なし、またはホスト側でのみ表示される）",
    "estimate.observed.card": "想定より小さい GPU、またはプログラム開始前から使用中のメモリ",
    "estimate.observed.snapshot": "モデルの二重ロード、またはステップをまたいで保持されたもの: "
    "実機でのモジュール別内訳",
    "estimate.observed.record": "任意のスクリプトで同じ内訳を得る: "
    "先頭に torch.cuda.memory._record_memory_history()、"
    "末尾に torch.cuda.memory._dump_snapshot('snapshot.pickle') を書く",
    "estimate.observed.bisect": "原因を対照試験で 1 つに絞り込む",
    "estimate.settings.title": "設定",
    "estimate.settings.full": "実効設定の全体（{num} キー）",
    # figures
    "estimate.waterfall.title": "ピーク時の {gpu} のメモリ",
    "estimate.waterfall.asked": "要求（拒否）",
    "estimate.waterfall.card": "搭載メモリ: {memory}",
    "estimate.waterfall.beyond": "搭載メモリは {memory}（この軸の外）",
    "estimate.waterfall.gap.cached": "キャッシュ",
    "estimate.waterfall.gap.context": "CUDA コンテキスト",
    "estimate.waterfall.gap.other_processes": "他プロセス",
    "estimate.waterfall.gap.outside": "アロケータの外",
    "estimate.waterfall.alt": "ウォーターフォール図: ピーク時のデバイスメモリの内訳。値は表にあります",
    "estimate.timeline.title": "種別ごとの allocated の推移（トレースしたステップ）",
    "estimate.timeline.axis": "アロケータのイベント",
    "estimate.timeline.step": "ステップ {step}",
    "estimate.timeline.before": "ステップ 1 より前",
    "estimate.timeline.reserved": "reserved",
    "estimate.timeline.peak": "ピーク {size}",
    "estimate.timeline.alt": "積み上げ面グラフ: 種別ごとの allocated の推移（上部はフェーズ）。"
    "ピーク時の値は表にあります",
    "estimate.icicle.title": "ピーク時の allocated（モジュール別）",
    "estimate.icicle.all": "全体",
    "estimate.icicle.own": "（自身）",
    "estimate.icicle.rest": "他 {num} 件",
    "estimate.icicle.alt": "アイシクル図: ピーク時の allocated をモジュールの階層で表したもの。値は表にあります",
}
