"""Japanese: causes as investigation reports tell them, what trials do to a script, costs, and common reasons."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "bisect.cause.oom_other_process": "同じ GPU を使う他プロセスのメモリ",
    "bisect.meaning.oom_other_process": "他プロセスが GPU のメモリを占有しており、GPU 全体なら収まるステップに対し"
    "て残りが不足しています。",
    "bisect.root.oom_other_process": "他プロセスが占有するメモリは、このプロセスからは見えず解放もできないため、学"
    "習側のどの設定でも減らせません。中断した実行、特に docker exec で起動したものは、プロセスが残ってメモリを占有し"
    "続けることがよくあります。",
    "bisect.permanent.oom_other_process": "実行を終了するときはプロセスグループまたはコンテナごと終了し、一つの "
    "GPU を同時に使うプロセスを 一つに限る。",
    "bisect.cause.oom_capacity_smaller": "必要量より小さい GPU（またはその区画）",
    "bisect.meaning.oom_capacity_smaller": "割り当てられているのは GPU 全体より小さい区画で、このステップは収まり"
    "ません。",
    "bisect.root.oom_capacity_smaller": "vGPU や MIG の区画は GPU と同じ名称を持ちますが、メモリはその一部です。こ"
    "のステップの必要量は区画の容量を超えています。",
    "bisect.permanent.oom_capacity_smaller": "GPU 全体またはより大きい区画を割り当て、実行を計画する前に実際のメモ"
    "リ容量を確認する。",
    "bisect.cause.oom_fragmentation": "アロケータのメモリの断片化",
    "bisect.meaning.oom_fragmentation": "予約済みで空いているメモリの総量は足りていますが、連続していません。",
    "bisect.root.oom_fragmentation": "固定サイズのセグメントがブロックに分割され、後の要求がどの隙間にも入らなくな"
    "ります。拡張可能なセグメントではこれは起こりません。",
    "bisect.permanent.oom_fragmentation": "ドライバが対応していれば expandable segments を有効にし、バッチの形状を"
    "そろえる。",
    "bisect.cause.oom_live_tensors": "使用中のテンソルによる GPU メモリの不足",
    "bisect.meaning.oom_live_tensors": "ステップ自体が保持するメモリが GPU の容量を超えています。",
    "bisect.root.oom_live_tensors": "ステップが同時に必要とする重み・勾配・オプティマイザ状態・活性化の合計が、"
    "GPU の容量を超えています。",
    "bisect.permanent.oom_live_tensors": "検証済の変更を維持するか、より大きい GPU を使う。",
    "bisect.cause.expandable_unsupported": "仮想メモリ管理を拒否するドライバでの expandable segments の使用",
    "bisect.meaning.expandable_unsupported": "アロケータに expandable segments の使用が指定されています。これには"
    "ドライバの仮想メモリ管理が必要ですが、ドライバがそれを拒否しています。",
    "bisect.root.expandable_unsupported": "expandable segments を有効にすると、PyTorch はドライバの仮想メモリ管理"
    "の呼び出し（cuMem 系）でメモリを要求します。これに対応しないドライバ（vGPU のプロファイルに多い）は、最初のテン"
    "ソルを配置する時点で、それがどのテンソルであっても operation not supported を返します。",
    "bisect.permanent.expandable_unsupported": "イメージ、ジョブスクリプト、docker exec -e からこの設定を取り除く"
    "か、GPU が仮想メモリ管理に対応する場合に限って設定する。",
    "bisect.cause.reentrant_checkpoint": "reentrant 方式の勾配チェックポイント",
    "bisect.meaning.reentrant_checkpoint": "reentrant 方式の勾配チェックポイントは、モデルの一部を、1 回目の実行に"
    "属する状態を使って再実行します。",
    "bisect.root.reentrant_checkpoint": "再実行される部分が、すでに使われて解放された計算グラフに属するテンソルを"
    "共有状態から読み取ります。non-reentrant 方式では計算グラフが 一つに保たれます。",
    "bisect.permanent.reentrant_checkpoint": "gradient_checkpointing_kwargs で use_reentrant=False を指定し、計算"
    "グラフを持つテンソルを共有状態に置かない。",
    "bisect.cause.retained_graph": "計算グラフごと保持された結果",
    "bisect.meaning.retained_graph": "結果がその計算グラフとともに保持されており、ステップの活性化が解放されません。",
    "bisect.root.retained_graph": "勾配の計算に関わるテンソルは、背後の計算グラフ全体を保持します。参照が 一つでも"
    "残っている限り、そのステップの活性化は解放されません。",
    "bisect.permanent.retained_graph": "テンソルではなく数値を保持する（loss.item() または loss.detach()）。検証は"
    " torch.no_grad() の中で行う。",
    "bisect.cause.retained_outputs": "GPU 上に保持された過去のステップの結果",
    "bisect.meaning.retained_outputs": "過去のステップの結果が GPU 上に保持され、ステップごとに増えています。",
    "bisect.root.retained_outputs": "リスト、属性またはクロージャが各ステップの結果を参照し続けているため、バッチ"
    "サイズにかかわらず、GPU が満杯になるまでメモリが増え続けます。",
    "bisect.permanent.retained_outputs": "結果はステップごとにディスクへ書き出すかホストへ移し、保持元を空にする。",
    "bisect.cause.second_model_copy": "重みの二重保持",
    "bisect.meaning.second_model_copy": "重みが GPU 上に二重に存在するか、置き換えられた後も保持されています。",
    "bisect.root.second_model_copy": "置き換えたはずの重み、またはロード時にだけ必要だった重みを、別の名前が参照し"
    "続けています。",
    "bisect.permanent.second_model_copy": "ロードは一度だけにし、学習の前にもう一方の名前を手放す（del を行い、ス"
    "コープを抜ける）。",
    "bisect.cause.kv_cache_in_training": "学習時の KV キャッシュ",
    "bisect.meaning.kv_cache_in_training": "行われることのない生成のために、全層のキーと値がキャッシュされています。",
    "bisect.root.kv_cache_in_training": "モデルが既定の use_cache=True で呼び出されており、出力が残っている間、キー"
    "と値も保持されます。",
    "bisect.permanent.kv_cache_in_training": "学習時は use_cache=False で呼び出すか、model.config.use_cache = "
    "False とする。",
    "bisect.cause.hidden_states_output": "全層の隠れ状態の出力",
    "bisect.meaning.hidden_states_output": "全層の隠れ状態の出力が指定されており、出力とともに保持されます。",
    "bisect.root.hidden_states_output": "output_hidden_states=True により、勾配チェックポイントなら解放されるはず"
    "の各層の出力が保持されます。",
    "bisect.permanent.hidden_states_output": "最後の隠れ状態だけを取得する。",
    "bisect.cause.dense_expert_outputs": "全エキスパートの出力の書き出し",
    "bisect.meaning.dense_expert_outputs": "混合の前に、すべてのエキスパートの出力が書き出されています。",
    "bisect.root.dense_expert_outputs": "エキスパートごとに出力を持つと、アダプタを付けた各層で（バッチ、系列長、"
    "幅）のメモリがエキスパートの数だけ必要になります。先に混合すれば 一つで済みます。",
    "bisect.permanent.dense_expert_outputs": "本プロジェクトのアダプタのように、二番目の射影の前にエキスパートを混"
    "合する。",
    "bisect.cause.full_logits": "ラベルのない位置での全語彙のロジット",
    "bisect.meaning.full_logits": "ラベルのない位置についても、全語彙のロジットが計算されています。",
    "bisect.root.full_logits": "ロジットは系列長 × 語彙数の大きさで、float32 への変換と勾配でさらに同量ずつ必要で"
    "す。ラベルを持つ位置はわずかです。",
    "bisect.permanent.full_logits": "ラベルのある位置だけロジットを計算するか、融合された交差エントロピーを使う。",
    "bisect.cause.padding_to_max": "許容最大長までのパディング",
    "bisect.meaning.padding_to_max": "サンプルが、実際の最大長ではなく許容される最大長までパディングされています。",
    "bisect.root.padding_to_max": "サンプルがどれだけ短くても、すべての活性化が max_length の長さになります。",
    "bisect.permanent.padding_to_max": "バッチ内の最長のサンプルに合わせてパディングする（padding='longest'）。",
    "bisect.cause.eager_attention": "スコア行列を書き出す attention（eager）",
    "bisect.meaning.eager_attention": "attention が全ヘッドのスコアを書き出しています。",
    "bisect.root.eager_attention": "eager 実装の attention は、ヘッドと層ごとに系列長 × 系列長の行列を保持するため、"
    "メモリが系列長の 2 乗で増えます。",
    "bisect.permanent.eager_attention": "モデルを attn_implementation='sdpa' でロードする。",
    "bisect.cause.optimizer_states": "学習対象外のパラメータのオプティマイザ状態",
    "bisect.meaning.optimizer_states": "学習対象として意図した以上のパラメータについて、オプティマイザが状態を保持"
    "しています。",
    "bisect.root.optimizer_states": "Adam は、一度でも勾配を持ったパラメータごとに 2 つの値を保持します。凍結され"
    "るべきパラメータが凍結されていません。",
    "bisect.permanent.optimizer_states": "ベースモデルを凍結し、学習対象のパラメータだけをオプティマイザに渡す。",
    "bisect.cause.placement_tensor": "デバイスに配置できないモデルの一部",
    "bisect.meaning.placement_tensor": "モデルの一部を GPU に配置できません。その部分を除けば動作します。",
    "bisect.root.placement_tensor": "障害はこの部分があるときに起こり、ないときには起こりません。どのテンソルかは "
    "bisect-device で分かります。",
    "bisect.permanent.placement_tensor": "bisect-device が示すテンソル（サイズ、型、または読み込み元のファイル）を"
    "修正する。",
    "bisect.cause.batch_too_large": "GPU の容量に対して大きすぎるバッチ",
    "bisect.meaning.batch_too_large": "バッチの必要量が GPU の容量を超えています。",
    "bisect.root.batch_too_large": "活性化はバッチサイズに比例して増え、このサイズでは収まりません。",
    "bisect.permanent.batch_too_large": "成功したバッチサイズとし、勾配累積で補うか、より大きい GPU を使う。",
    "bisect.cause.sequence_too_long": "GPU の容量に対して長すぎる系列",
    "bisect.meaning.sequence_too_long": "系列が、GPU に収まる長さを超えています。",
    "bisect.root.sequence_too_long": "活性化は系列長とともに（eager 実装の attention では 2 乗で）増え、この長さで"
    "は収まりません。",
    "bisect.permanent.sequence_too_long": "成功した系列長とするか、勾配チェックポイントを有効にする。",
    "bisect.permanent.any": "検証済の変更を維持する。",
    # factors
    "bisect.factor.alloc_conf": "アロケータ設定",
    "bisect.factor.other_processes": "同じ GPU を使う他プロセスのメモリ",
    "bisect.factor.card_memory": "GPU（区画）のメモリ容量",
    "bisect.factor.attention": "attention の実装",
    "bisect.factor.loop": "学習ループ（PyTorch Lightning または素の実装）",
    "bisect.factor.validation": "学習途中の検証",
    "bisect.factor.workers": "データ読み込みのワーカープロセス",
    "bisect.factor.checkpointing": "勾配チェックポイント",
    "bisect.factor.batch_size": "バッチサイズ",
    "bisect.factor.seq_len": "系列長",
    "bisect.factor.precision": "演算精度",
    "bisect.factor.optimizer": "オプティマイザ",
    "bisect.factor.head": "予測対象（タイトルまたはアイテム）",
    "bisect.factor.lora_rank": "LoRA のランク",
    "bisect.factor.experts": "エキスパート数",
    "bisect.factor.target_modules": "アダプタを付ける層",
    "bisect.factor.components": "モデルの構成（両方・言語モデルのみ・推薦モデルのみ）",
    "bisect.factor.rec_weights": "推薦モデルの重み（チェックポイントまたは乱数）",
    # what trials do to a script from outside
    "bisect.apply.release": "ステップごとに {value} を解放する",
    "bisect.apply.drop_copy": "学習の前に {value} を解放する",
    "bisect.apply.no_kv_cache": "学習中のモデルを use_cache=False で呼び出す",
    "bisect.apply.no_hidden_states": "モデルを output_hidden_states=False で呼び出す",
    "bisect.apply.trim_padding": "バッチ内の全サンプルでパディングである列を切り取る",
    "bisect.apply.target_logits": "ラベルのある位置だけでロジットを計算する",
    "bisect.apply.sdpa_attention": "eager の代わりに scaled-dot-product attention を使う",
    "bisect.apply.nonreentrant_checkpointing": "勾配チェックポイントを use_reentrant=False とする",
    "bisect.apply.no_grad_validation": "eval モードのモデルを計算グラフなしで実行する",
    "bisect.apply.plain_lora": "エキスパート混合のないアダプタにする",
    "bisect.apply.freeze_base": "ベースを凍結し、アダプタとヘッドだけを学習する",
    "bisect.apply.plain_loader": "ワーカープロセスとページ固定メモリを使わずにデータを読み込む",
    "bisect.apply.checkpointing": "勾配チェックポイントを有効にする",
    "bisect.apply.autocast_bf16": "モデルを bfloat16 の autocast で実行する",
    "bisect.apply.stateless_optimizer": "Adam 系の代わりに SGD を使う",
    "bisect.apply.batch_size": "バッチを {value} サンプルにする",
    "bisect.apply.seq_len": "サンプルを先頭の {value} トークンにする",
    # costs
    "cost.none": "なし",
    "cost.somebody_elses": "学習内容への影響なし。ただし他者の処理の終了、またはより大きい区画が必要",
    "cost.little_slower": "わずかに遅くなる",
    "cost.slower": "遅くなる",
    "cost.rounded_weights": "重みの丸め（より狭い型）",
    "cost.fewer_samples_a_step": "ステップあたりのサンプル数が減る（勾配累積で補える）",
    "cost.no_validation": "検証を行わない",
    "cost.larger_card": "より大きい GPU が必要",
    "cost.less_capacity": "学習対象のパラメータが減る",
    "cost.shorter_history": "プロンプト中の履歴が短くなる",
    "cost.other_dynamics": "別のオプティマイザとなり、学習の経過が変わる",
    "cost.other_task": "別の課題（タイトルの代わりにアイテム）になる",
    "cost.not_the_training": "一部を除外する。場所の特定用で、対策にはならない",
}

_IDS = r"(: [\w, -]+)?"

# Reasons as the records have them (patterns).
REASONS: tuple[tuple[str, str], ...] = (
    (
        rf"not tried alone; relaxed together with others it failed the same{_IDS}",
        r"単独では未実行。他と同時に緩和しても同じ失敗\1",
    ),
    (rf"not tried alone at every level{_IDS}", r"単独では一部の水準が未実行\1"),
    (rf"not tried alone{_IDS}", r"単独では未実行\1"),
    (rf"relaxed alone it failed in another way{_IDS}", r"単独で緩和すると別の失敗が発生\1"),
    (rf"relaxed alone it passes, too{_IDS}", r"単独で緩和しても成功する\1"),
    (rf"the cause is among these factors{_IDS}", r"原因の候補\1"),
    (
        rf"one of the factors with which it passed; whether it is needed was not shown{_IDS}",
        r"成功した組に含まれるが、必要かどうかは未確認\1",
    ),
    (r"everything else mended: it was not tried", r"他の点をすべて直した試行は未実行"),
    (r"everything else mended: it failed in another way", r"他の点をすべて直すと別の失敗が発生"),
    (r"the search does not know the card", r"探索では GPU の容量が不明"),
    (r"it failed before its peak", r"ピークの前に失敗"),
    (r"the trial (?:measured none|measured no peak|did not measure it)", r"この試行では未測定"),
    (r"no trial told it", r"どの試行からも得られていない"),
    (r"nothing failed", r"失敗なし"),
    (r"no factors were searched", r"要因の探索は行っていない"),
    (r"left out on request", r"指定により除外"),
    (r"the card is virtual: this machine is not the one it stands for", r"仮想 GPU のため、このマシンは対象ではない"),
    (r"a script is not estimated before it runs", r"スクリプトは実行前に見積もれない"),
    (r"which card this is, is known to the trials alone", r"GPU の種類は試行の中でしか分からない"),
    (r"the investigation ended before it was known", r"判明する前に調査が終了"),
    (r"nothing of the kind happens in this script before it fails", r"このスクリプトでは失敗までに該当する処理がない"),
    (
        r"(\d+) trials are of other code or another environment and are run again",
        r"\1 回の試行は別のコードまたは環境のものであるため、再実行した",
    ),
    (r"our trainer calls the model with use_cache=False", r"本トレーナーは use_cache=False でモデルを呼び出す"),
    (r"our trainer asks for the last hidden states alone", r"本トレーナーは最後の隠れ状態だけを取得する"),
    (
        r"our trainer computes logits where a label is, and nowhere else",
        r"本トレーナーはラベルのある位置だけでロジットを計算する",
    ),
    (
        r"our trainer adds no tokens: placeholders are written over embeddings",
        r"本トレーナーはトークンを追加せず、埋め込みを上書きする",
    ),
    (
        r"our trainer keeps no outputs from step to step; eval\.export streams shards",
        r"本トレーナーはステップをまたいで出力を保持しない（eval.export は逐次書き出す）",
    ),
    (r"batches are padded to their longest sample", r"バッチ内の最長サンプルに合わせてパディングしている"),
    (r"one constructor places each weight once", r"重みは 1 か所で 1 回だけ配置される"),
    (r"end the other processes on the card \(nvidia-smi\)", r"GPU を使用中の他プロセスを終了する（nvidia-smi で確認）"),
    (r"use a whole (.+) \((.+)\)", r"\1 全体（\2）を使う"),
    (r"the failure is no matter of memory", r"メモリの問題ではない"),
    (r"nothing was put on the card", r"GPU に何も配置されていない"),
    (r"a virtual card computes no contents", r"仮想 GPU はテンソルの内容を計算しない"),
    (r"no name that the program has leads to it", r"プログラム中のどの名前からもたどれない"),
    (r"no trial told the card's memory and its peak", r"GPU の容量とピークがどの試行からも得られていない"),
    (
        r"the CUDA context of a real card is not measured by a trial",
        r"実物の GPU の CUDA コンテキストは試行では測定しない",
    ),
    (r"the stage did not come to its end", r"その段階が終わりに達していない"),
    (r"the trial did not get to a device", r"試行がデバイスに達していない"),
    (r"the trial ran on no card", r"試行は GPU を使っていない"),
    (r"the trial's process said nothing of it", r"試行のプロセスから得られていない"),
    (r"the unchanged configuration did not fail", r"変更しない設定は失敗していない"),
    (r"not collected", r"未収集"),
    (
        r"other processes held (\d+) MiB more after the trial(?: .*)?; it ended as (\w+)",
        r"試行の前後で他プロセスのメモリが \1 MiB 増えた（試行自体の結果: \2）",
    ),
    (
        r"other processes held (\d+) MiB less after the trial(?: .*)?; it ended as (\w+)",
        r"試行の前後で他プロセスのメモリが \1 MiB 減った（試行自体の結果: \2）",
    ),
    (r"asked from outside", r"外部からの要求"),
    (r"still running after its (\S+) s", r"\1 秒経っても終わらなかった"),
    (r"kept", r"保持"),
    (r"let go", r"解放"),
    (r"as written", r"元のまま"),
)
