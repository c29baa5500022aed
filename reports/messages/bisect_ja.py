"""Japanese, of investigation reports."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "bisect.title.found": "{subject} の学習時における {error} に関する調査報告書",
    "bisect.title": "{subject} の学習時における {error} に関する調査報告書（原因調査中）",
    "bisect.headline": "{answer}{took}。",
    "bisect.took": "試行 {num} 回、所要時間 {seconds}",
    "bisect.contrast": "{factor} が {failing} では失敗し、{passing} では成功",
    "bisect.contrast.applied": "次の変更だけで成功: {change}",
    "bisect.answer": "原因（{confidence}）: {finding}",
    "bisect.finding": "{cause}（{changes}）。",
    "bisect.finding.detailed": "{cause}。該当箇所: {detail}（{changes}）。",
    "bisect.answer.best": "次の変更で成功することは分かっています: {change}。",
    "bisect.gap": "",
    "bisect.name.example": "実例 {name}",
    "bisect.answer.not_reproduced": "再現しませんでした。{runs} 回実行し、失敗は {failed} 回です。",
    "bisect.answer.fails_differently": "原因は特定できませんでした。{runs} 回の実行のうち失敗は {failed} 回で、失"
    "敗の内容が毎回異なるため、説明すべき一つの障害が定まりません。",
    "bisect.answer.outside_factors": "原因は特定できませんでした。{factors} 個の要因をすべて同時に緩和しても同じ失"
    "敗が起こるため、原因はこれらの要因の外にあります。",
    "bisect.answer.flaky": "原因は特定できませんでした。失敗は {runs} 回中 {failed} 回にとどまり、許された試行回数"
    "では、対策の効果と偶然の成功を区別できません。",
    "bisect.answer.suspects": "原因は {suspects} のいずれかです。失敗は {runs} 回中 {failed} 回で、一つには絞り込"
    "めていません。",
    "bisect.answer.budget_spent": "原因を証明する前に、許された試行回数または時間を使い切りました。これまでに "
    "{factors} 個の要因のうち {ruled_out} 個を排除しています。",
    "bisect.answer.interrupted": "原因を証明する前に中断されました。これまでに {factors} 個の要因のうち "
    "{ruled_out} 個を排除しています。",
    "bisect.answer.cannot_run": "試行を実行できませんでした: {reason}",
    "bisect.nobody": "なし",
    "bisect.open": "調査中です。",
    "bisect.yes": "はい",
    "bisect.no": "いいえ",
    "bisect.not_known": "不明",
    "bisect.no_peak": "-",
    "bisect.untested": "未検証",
    # 0
    "bisect.header.title": "報告書情報",
    "bisect.header.id": "報告書番号",
    "bisect.header.created": "作成日時",
    "bisect.header.status": "区分",
    "bisect.header.confidence": "信頼度",
    "bisect.header.confidence.virtual": "対象のマシンについては{confidence}（仮想 GPU 上では{trials}）",
    "bisect.header.subject": "調査対象",
    "bisect.header.device": "デバイス",
    "bisect.header.virtual": "（仮想 GPU。実物の GPU は使用していません）",
    "bisect.header.example": "同梱の実例",
    "bisect.header.command": "コマンド",
    "bisect.header.tool": "作成ツール",
    "bisect.header.fingerprint": "コードと環境のフィンガープリント",
    "bisect.header.extent": "規模",
    # 1
    "bisect.summary.title": "問題の概要",
    "bisect.summary.symptom": "事象:",
    "bisect.summary.cause": "原因（{confidence}）:",
    "bisect.summary.answer": "結論:",
    "bisect.summary.action": "推奨対処:",
    "bisect.pair.caption": "根拠となる 2 つの試行です。違いは {factor} だけです。",
    "bisect.box.found.confirmed": "{device} 上の試行により確認済です。障害の有無は、この原因の有無だけに従って変わ"
    "りました。",
    "bisect.box.found.strongly_suggested": "{device} 上の試行により強く示唆されますが、確認済ではありません。不足"
    "している点は 8 節に記載しています。",
    "bisect.box.found.hypothesis": "推定の段階です。不足している点は 8 節に記載しています。",
    "bisect.box.found.unknown": "確度を算出できませんでした。",
    "bisect.box.found.confirmed.virtual": "仮想 GPU {device} 上で確認済です。仮想 GPU は実物のアロケータと同じ規則"
    "でメモリを数え、計算は行いません。実物の GPU で同じ調査を行うコマンドは 10 節に記載しています。",
    "bisect.box.found.strongly_suggested.virtual": "仮想 GPU {device} 上の試行により強く示唆されますが、確認済では"
    "ありません。不足している点は 8 節に記載しています。",
    "bisect.box.found.hypothesis.virtual": "仮想 GPU {device} による推定の段階です。不足している点は 8 節に記載し"
    "ています。",
    "bisect.box.found.unknown.virtual": "{device} では確度を算出できませんでした。",
    "bisect.box.found.virtual_driver": "強く示唆されますが、確認済ではありません。仮想 GPU {device} が示すのは、こ"
    "の仕組みがまさにこのエラーを起こすということです。対象のホストが実際にそうであるかは、そのホスト上の試行でしか"
    "確認できません（10 節）。",
    "bisect.box.not_reproduced": "説明すべき障害がまだ観測されていません。本報告書は実行した内容を示すもので、他の"
    "環境で失敗した理由を示すものではありません。",
    "bisect.box.fails_differently": "同じ失敗が 2 回と起こらなかったため、原因は挙げません。",
    "bisect.box.outside_factors": "原因は挙げません。すべての要因を同時に緩和しても失敗することは、試行により確認"
    "済です。",
    "bisect.box.flaky": "誤った原因を挙げることを避け、原因は挙げません。さらに多くの実行が必要です。",
    "bisect.box.suspects": "原因ではなく候補です。いずれも、失敗したすべての実行で失敗時の値のままでした。",
    "bisect.box.budget_spent": "中間報告です。まだ何も証明されていません。これまでの試行はすべて保存され、続きの調"
    "査で使われます。",
    "bisect.box.interrupted": "中間報告です。まだ何も証明されていません。これまでの試行はすべて保存され、続きの調"
    "査で使われます。",
    "bisect.box.cannot_run": "対象の設定は一度も実行されていません。本報告書はその障害について何も示しません。",
    "bisect.action.fix": "{change}（代償: {cost}）。",
    "bisect.action.no_fix": "成功する変更は見つかりませんでした。",
    "bisect.next.not_reproduced": "失敗する環境で、またはより長く実行する: {command}",
    "bisect.next.fails_differently": "それぞれのエラーを調べる: {command}",
    "bisect.next.outside_factors": "マシンの状態を調べる: {command}",
    "bisect.next.flaky": "まず、より長く実行して失敗の頻度を上げる: {command}",
    "bisect.next.suspects": "候補だけを対象に調べる: {command}",
    "bisect.next.budget_spent": "続きから再開する: {command}",
    "bisect.next.interrupted": "続きから再開する: {command}",
    "bisect.next.cannot_run": "マシンの状態を調べる: {command}",
    # 2
    "bisect.symptom.title": "事象と影響",
    "bisect.symptom.line": "{error}。再現率 {failed}/{runs}、発生箇所: {stage}。",
    "bisect.symptom.none": "失敗は観測されませんでした（{reason}）。",
    "bisect.symptom.error": "エラーの原文です。",
    "bisect.symptom.signature": "同一の障害と判定するための特徴と、再現率です。",
    "bisect.symptom.family": "系統",
    "bisect.symptom.stage": "発生箇所",
    "bisect.symptom.frame": "プログラム側の最深フレーム",
    "bisect.symptom.code": "エラー",
    "bisect.symptom.rate": "再現率（変更しない設定）",
    "bisect.symptom.rate.of": "{failed}/{runs}",
    "bisect.symptom.seconds": "失敗までの時間（最初の試行）",
    "bisect.request.caption": "失敗したメモリ要求について、アロケータが伝える値です。",
    "bisect.request.requested": "要求サイズ",
    "bisect.request.capacity": "GPU の容量",
    "bisect.request.free": "GPU の空き",
    "bisect.request.this_process": "本プロセスの使用量",
    "bisect.request.other_processes": "他プロセスの使用量",
    "bisect.request.allocated": "PyTorch の割り当て済みメモリ（allocated）",
    "bisect.request.unallocated": "PyTorch の予約済み・未割り当てメモリ",
    # 3
    "bisect.environment.title": "環境",
    "bisect.environment.caption": "指定値と、失敗した最初の試行がそのプロセス内で読み取った実効値です。異なるもの"
    "は太字で示します。",
    "bisect.environment.unknown": "失敗したプロセス内の実効値は分かりません（{reason}）。",
    "bisect.environment.not_read": "未取得",
    "bisect.environment.no_finding": "マシンの検査では何も見つかりませんでした。",
    "bisect.environment.findings": "マシンの検査で {num} 件見つかりました。",
    "bisect.environment.sure": "（{confidence}）: ",
    "bisect.environment.no_facts": "マシンの検査は行っていません（{reason}）。",
    "bisect.environment.facts": "マシンの事実: {total} 件中 {num} 件を取得",
    "bisect.environment.base": "失敗する設定の全体（{num} キー）",
    "bisect.environment.whole": "失敗した最初の試行での実効値の全体（{num} キー）",
    # 4
    "bisect.course.title": "調査の経緯",
    "bisect.course.no_mitigation": "この障害に対してすでに適用されていた対策は見つかりませんでした。",
    "bisect.course.mitigations": "調査の前からすでに適用されていた対策です。対策そのものが原因になり得るため、いず"
    "れも要因の一つとして扱いました。",
    "bisect.course.mitigation": "{setting}",
    "bisect.course.caption": "ジャーナルに基づく時系列です。",
    "bisect.course.none": "試行は行われていません。",
    "bisect.course.reused": "以前の実行",
    "bisect.course.times": "{result} {num} 回",
    # 5
    "bisect.method.title": "調査方法",
    "bisect.method.trial": "1 回の試行は、設定を単独のプロセスで 1 回実行するものです。各試行は、失敗する設定から、"
    "記載した要因だけを変更しています。変更を試行から試行へ積み重ねることはしません。",
    "bisect.method.oracle": "同一の障害とは {signature} を指します。対策と認めるのは成功した場合だけです。別の障害、"
    "設定の拒否、時間切れは副作用として扱い、対策とは認めません。",
    "bisect.method.search.fast": "探索: 成功する最小の変更の組を求め（QuickXplain、代償の小さい変更を優先）、次に"
    "成功する最小限の水準を求め、最後にそれぞれの変更が必要であることを確かめます。",
    "bisect.method.search.full": "探索: まずすべての要因を一つずつ変更して個別の効果を調べ、次に成功する最小の変更"
    "の組と最小限の水準を求め、最後にそれぞれの変更が必要であることを確かめます。",
    "bisect.method.repeats": "変更しない設定を最初に {runs} 回、対照として {controls} 回実行しました。成功は連続 "
    "{repeats} 回で成功と認めます（誤り確率 {alpha}）。",
    "bisect.method.repeats.once": "変更しない設定を最初に {runs} 回、対照として {controls} 回実行し、毎回失敗しま"
    "した。このため、成功は一度で成功と認めます。",
    "bisect.method.vocabulary": "確度の用語: 「確認済」は対照実行を伴う試行によるもの、「強く示唆」は一部が不足す"
    "る試行によるもの、「推定」はエラー文だけによるもの、「未確認」は試していないものです。確度は試行から算出してい"
    "ます。",
    "bisect.method.virtual": "すべての試行は {device} 上で行いました。実物の GPU は使わず、テンソルはデータを持た"
    "ず、アロケータの規則は実物と同じです。",
    "bisect.method.factors": "調べた要因は {num} 個です。",
    "bisect.method.mitigation": "対策として適用済み",
    "bisect.method.not_applicable": "今回は該当しない要因: {num} 個",
    # 6
    "bisect.findings.title": "調査結果（切り分け）",
    "bisect.findings.overview": "試行 {num} 回の内訳: {results}。",
    "bisect.effects.title": "要因ごとの効果",
    "bisect.effects.caption": "要因を一つだけ変更し、他は失敗する設定のままとした結果です。成功したものを先に示し、"
    "効果のなかった変更も示します。",
    "bisect.boundary.title": "成否の境界",
    "bisect.boundary.text": "{fail} では失敗し、{passing} では成功します。隣り合う水準で、いずれも実際に実行してお"
    "り、他の変更はありません。",
    "bisect.boundary.text.unordered": "{fail} では失敗し、{passing} では成功します。いずれも実際に実行しており、他"
    "の変更はありません。",
    "bisect.matrix.title": "試行と要因の一覧",
    "bisect.matrix.caption": "中黒は、その要因が失敗時の値のままであることを示します。",
    "bisect.matrix.table": "表: 全試行と全要因",
    "bisect.side_effects.title": "副作用と未決定の要因",
    "bisect.side_effect": "{factor} の変更は別の終わり方をしました: {text}",
    "bisect.side_effect.refused": "{factor} の変更は、実行前に設定として拒否されました: {text}",
    "bisect.side_effect.other": "{factor} の変更により別の障害が発生しました: {signature}。",
    "bisect.unsure": "{factor} は、原因とも原因でないとも決まっていません: {reason}",
    "bisect.relaxed.nothing": "変更なし",
    "bisect.peak.title": "メモリの内訳",
    "bisect.peak.unknown": "メモリの内訳は分かりません（{reason}）。",
    "bisect.peak.at_failure": "失敗時（{stage}）: PyTorch の割り当て済みメモリ {allocated}、予約済みメモリ "
    "{reserved}。",
    "bisect.peak.passing": "成功した実行のピーク時（{stage}）: PyTorch の割り当て済みメモリ {allocated}、予約済み"
    "メモリ {reserved}。",
    "bisect.peak.modules": "表: 上位 {num} モジュール",
    "bisect.peak.whole": "{size}",
    "bisect.peak.until_failure": "{size}（失敗まで）",
    "bisect.estimate.title": "本来必要なメモリ（見積もり）",
    "bisect.estimate.unknown": "計算していません（{reason}）。",
    "bisect.estimate.fits": "このステップが本来必要とするのは予約済みメモリ {need}、CUDA コンテキストを含めて "
    "{used} で、{card}（{memory}）に収まります。メモリ不足が起こるなら、その原因は設定自体の必要量の外にあります。",
    "bisect.estimate.close": "このステップが本来必要とするのは予約済みメモリ {need}、CUDA コンテキストを含めて "
    "{used} で、{card}（{memory}）に収まるかどうかは僅差のため判定できません。",
    "bisect.estimate.exceeds": "このステップは本来、予約済みメモリ {need} 以上、CUDA コンテキストを含めて {used} "
    "を必要とし、{card}（{memory}）には収まりません。",
    "bisect.estimate.allocated": "割り当て済みメモリ（allocated）",
    "bisect.estimate.reserved": "予約済みメモリ（reserved）",
    "bisect.estimate.used": "GPU の使用量（コンテキストと他プロセスを含む）",
    "bisect.knobs.title": "設定変更の効果（見積もり）",
    "bisect.knobs.caption": "同じステップで設定を一つだけ変えた場合を計算し、見積もりのピークと比べたものです。",
    "bisect.retention.title": "ステップをまたいで残るメモリ",
    "bisect.retention.grows": "使用中のメモリは 1 ステップごとに {slope} ずつ増えています（標準誤差 {error}、"
    "{steps} ステップ）。何かが保持され続けています。",
    "bisect.retention.steady": "使用中のメモリは増えていません（1 ステップあたり {slope}、標準誤差 {error}、"
    "{steps} ステップ）。",
    "bisect.retention.live": "ステップ終了時の使用中メモリ",
    "bisect.retention.grown": "増えたものと、それを保持しているものです（大きい順）。",
    "bisect.retention.scalar": "スカラー",
    "bisect.retention.graph": "（計算グラフ付き）",
    "bisect.retention.nobody": "見つからず（{reason}）",
    "bisect.retention.copies": "二重に存在する重みです。",
    "bisect.retention.content": "不明（{reason}）",
    "bisect.retention.frozen": "勾配を取らないパラメータのオプティマイザ状態: {size}。",
    # 7
    "bisect.cause_section.title": "原因",
    "bisect.cause_section.found": "原因は探索によって特定したものです。この節に人手で書き加えた記述はありません。",
    "bisect.cause_section.open": "原因は証明されていません。分かっていることを以下に示します。",
    "bisect.direct.title": "直接原因",
    "bisect.direct.fails": "{failing} では失敗します。",
    "bisect.direct.passes": "{passing} とし、他を一切変更しなければ成功します。",
    "bisect.direct.detail": "プログラム中の該当箇所: {detail}",
    "bisect.clue.first_touch.fails": "手がかり: モデルを使わず、デバイスに最初にアクセスするだけで失敗します。",
    "bisect.clue.first_touch.passes": "手がかり: デバイスへの最初のアクセスは成功します。失敗はその後で起こります。",
    "bisect.clue.growth": "手がかり: 使用中のメモリが 1 ステップごとに {slope} ずつ増えています。",
    "bisect.clue.held": "手がかり: 使用中のメモリが 1 ステップごとに {slope} ずつ増えており、{holder} が保持してい"
    "ます。",
    "bisect.root.title": "根本原因",
    "bisect.root.open": "調査中です。原因は証明されていません。",
    "bisect.root.untried": "調査中です。この原因だけで失敗するかどうかは試していません。",
    "bisect.root.insufficient": "調査中です。この原因は障害に必要ですが、それだけでは失敗しません。ほかの条件が必"
    "要です。",
    "bisect.root.virtual": "対象のホストが実際にそうであることは、強く示唆される段階です。証明にはそのホスト上での"
    "試行が必要です。",
    "bisect.conditions.title": "発生条件",
    "bisect.conditions.one": "{failing} のときに失敗します。",
    "bisect.conditions.together": "次の条件がすべてそろったときに失敗します: {failing}。",
    "bisect.conditions.sufficient": "学習内容を変えずに直せる他の点をすべて直しても失敗します。",
    "bisect.conditions.also": "次の変更だけでも成功します: {change}。",
    "bisect.conditions.boundary": "{factor} は、{at} ではまだ失敗し、{gone} では成功します。",
    "bisect.conditions.device": "{device} 上、0 節に示したフィンガープリントの下で観測しました。",
    "bisect.ruled_out.title": "排除した仮説",
    "bisect.ruled_out.none": "排除した仮説はありません。",
    "bisect.ruled_out.caption": "次の {num} 件です。いずれも、単独の変更では障害は解消しませんでした。",
    # 8
    "bisect.conclusion.title": "結論",
    "bisect.conclusion.caption": "すべての記述とその確度です。",
    "bisect.conclusion.grounds": "原因の確度を{confidence}とする根拠です。",
    "bisect.ground.virtual_card": "試行は {device} 上で行いました。示すのは仕組みであり、対象のホストの実態ではあ"
    "りません。",
    "bisect.ground.certificate_complete": "どの要因の変更を外しても失敗は残ります。すなわち、いずれも必要です。",
    "bisect.ground.certificate_incomplete": "不足: それぞれの要因が必要であることは示されていません。",
    "bisect.ground.boundary_executed": "失敗した試行と成功した試行の違いは、一つの要因の隣り合う水準だけです。",
    "bisect.ground.boundary_missing": "不足: 一つの要因の隣り合う水準だけが異なる、失敗と成功の試行がありません。",
    "bisect.ground.finals_passed": "対策は、独立したプロセスで繰り返し成功しました。",
    "bisect.ground.finals_missing": "不足: 独立したプロセスでの対策の再実行が足りません。",
    "bisect.ground.controls_stable": "変更しない設定は、途中でも最後でも失敗し続けました。",
    "bisect.ground.controls_missing": "不足: 変更しない設定の再実行が足りません。",
    "bisect.ground.controls_differ": "反証: 変更しない設定の失敗が終始同じではありませんでした。",
    "bisect.statement.mechanism": "{device} 上では、この仕組みがまさにこのエラーを起こし、取り除くとエラーはなくな"
    "ります。",
    "bisect.statement.sufficient": "この原因があれば失敗します。学習内容を変えずに直せる他の点をすべて直しても失敗"
    "します。",
    "bisect.statement.insufficient": "この原因だけでは失敗しません。学習内容を変えずに直せる他の点をすべて直すと成"
    "功します。",
    "bisect.statement.sufficient.unknown": "この原因だけで失敗するかどうか（{reason}）。",
    "bisect.statement.reproduced": "障害は再現します（{runs} 回中 {failed} 回）。",
    "bisect.statement.not_reproduced": "障害は再現しませんでした（{runs} 回中 {failed} 回）。",
    "bisect.statement.ruled_out": "他の {num} 個の要因は、単独では原因ではありません。",
    "bisect.statement.fix": "対策「{change}」により成功します（{num} 回実行）。",
    "bisect.statement.untested": "水準の組み合わせのうち {num} 通りは実行していません。",
    "bisect.statement.untested.unknown": "実行していない組み合わせの数は分かりません（{reason}）。",
    # 9, 10
    "bisect.actions.title": "対策",
    "bisect.actions.caption": "試行で実行して成功したものを検証済とし、それ以外は未検証と記載します。",
    "bisect.actions.now": "暫定対策",
    "bisect.actions.no_fix": "ありません。成功する変更は見つかりませんでした。",
    "bisect.actions.verified": "いずれも実行し、成功しています（代償の小さい順）。",
    "bisect.actions.permanent": "恒久対策",
    "bisect.actions.permanent.caption": "影響ではなく原因を取り除く対策です。",
    "bisect.actions.open": "原因が証明された後に定めます。",
    "bisect.actions.prevention": "再発防止",
    "bisect.actions.prevention.caption": "事前に気付くための手段です。",
    "bisect.done_when": "失敗していた設定が、この対策だけの適用により成功すること",
    "bisect.prevent.estimate": "実行前に、ステップが収まるかを計算する",
    "bisect.prevent.processes": "実行前に、GPU を使用中のプロセスを確認する",
    "bisect.prevent.env_check": "ジョブの開始時にマシンを検査する",
    "bisect.prevent.record": "実効のアロケータ設定を含むマシンの事実を、実行ごとに記録する",
    "bisect.recommend.title": "今後の推奨事項（未検証）",
    "bisect.recommend.none": "ありません。実行していないものは 11 節に記載しています。",
    "bisect.recommend.not_reproduced": "失敗する環境で、またはより長く実行します。",
    "bisect.recommend.fails_differently": "それぞれのエラーの意味を調べます。",
    "bisect.recommend.outside_factors": "マシンの状態（ドライバ、ビルド、デバイス、上限）を調べます。",
    "bisect.recommend.flaky": "より長く実行して失敗の頻度を上げます。現状のままで必要な試行回数は 11 節に記載して"
    "います。",
    "bisect.recommend.suspects": "候補だけを対象に調べます。",
    "bisect.recommend.budget_spent": "最後の試行の続きから再開します。",
    "bisect.recommend.interrupted": "最後の試行の続きから再開します。",
    "bisect.recommend.cannot_run": "まずマシンの状態を調べます。",
    "bisect.recommend.place": "失敗するのがデバイスへの最初のアクセスか、特定のテンソルか、サイズかを調べます。",
    "bisect.recommend.card": "対象の GPU で同じ調査を行います。",
    "bisect.recommend.driver": "対象のホストで、GPU の仮想メモリ管理の有無を読み取り、expandable segments の有効・"
    "無効の両方で割り当てを試します。",
    "bisect.recommend.full": "すべての要因について、単独の効果を測定します。",
    "bisect.recommend.unsure": "原因とも原因でないとも決まっていない要因を調べます。",
    # 11, appendix
    "bisect.limits.title": "限界",
    "bisect.guarantee.one_minimal": "調べた {num_factors} 個の要因と {num_levels} 個の水準に関する限り、原因の要因"
    "はどれも省けません（1-極小）。",
    "bisect.guarantee.one_minimal_open": "原因の要因のうち、省けるかどうかが示されていないもの: {factors}。",
    "bisect.guarantee.not_smallest": "より少ない要因からなる別の組が存在する可能性はあります。探索が求めるのは、そ"
    "れ以上減らせない組です。",
    "bisect.guarantee.order_holds": "{factor} は、試した {num_levels} 個の水準において、さらに緩和しても失敗に戻る"
    "ことはありませんでした。",
    "bisect.guarantee.order_fails": "{factor} には順序性がありません。より緩和した水準で失敗し、より弱い緩和で成功"
    "しました。すべての水準を試しました。",
    "bisect.guarantee.this_fingerprint": "この結果は、フィンガープリントが示すコードと環境について成り立ちます。",
    "bisect.guarantee.error_probability": "仮に障害が不規則に起こるものだとして、{num_failed} 回中 {num_failed} 回"
    "失敗した後に {num_passed} 回中 {num_passed} 回成功することが偶然起こる確率は、最大で {bound} です（許容値 "
    "{alpha}）。",
    "bisect.guarantee.suspects": "失敗は、{num_suspects} 個の候補だけを失敗時の値とした状態で観測されています。",
    "bisect.guarantee.pass_repeats": "障害は {num_runs} 回中 {num_failed} 回発生したため、連続 {pass_repeats} 回の"
    "成功をもって成功と認めました。偶然により別の候補を見落とした確率は最大で {alpha} です。",
    "bisect.guarantee.flaky_needs": "失敗は {num_runs} 回中 {num_failed} 回でした。決着には約 {num_needed} 回の試"
    "行が必要です。",
    "bisect.guarantee.outside": "{num_factors} 個の要因を、同時に可能な限りすべて緩和しても失敗します。",
    "bisect.guarantee.stopped": "探索は途中で打ち切られました。記載した内容は実際に実行したものであり、それ以上の"
    "ことは主張しません。",
    "bisect.guarantee.untested": "水準の組み合わせのうち {num_untested} 通りは実行していません。",
    "bisect.limits.contaminated": "外部からの影響を受けた試行があり、結果として数えていません: {reason}",
    "bisect.limits.no_result": "有効な結果なしに終わった試行が {num} 回あります。",
    "bisect.limits.flaky": "障害は不規則です（{runs} 回中 {failed} 回失敗）。成功は {repeats} 回繰り返して初めて成"
    "功と認めました（誤り確率 {alpha}）。",
    "bisect.limits.virtual": "実物の GPU は使用していません。{device} はメモリを数え、アロケータと PyTorch の規則"
    "を再現しますが、ホスト、他のソフトウェア、速度については何も分かりません。",
    "bisect.limits.skipped": "含まれていないもの: {what}（{reason}）。",
    "bisect.appendix.trials": "付録 A. 全試行一覧",
    "bisect.appendix.trials.summary": "表: 全 {num} 試行",
    "bisect.appendix.reproduce": "付録 B. 再現手順",
    "bisect.appendix.evidence": "付録 C. 証拠目録",
    "bisect.reproduce.again": "同じ調査を行う",
    "bisect.reproduce.report": "記録からこの報告書を再作成する",
    "bisect.reproduce.check": "この報告書をジャーナル・試行・ファイルと照合する",
    "bisect.evidence.record": "本報告書の数値の記録:",
    "bisect.evidence.files": "本報告書の根拠となるファイル: {num} 件（調査終了時のハッシュ値）",
    "bisect.evidence.none": "試行ファイルのハッシュ値は記録されていません。",
}
