"""Japanese, of what estimates and runs say in English in their records: assumptions, notes, costs, reasons."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

_GIB = r"([\d.]+)"

_COSTS = (
    (
        r"fewer samples a step; train\.gradient_accumulation_steps makes up for them",
        r"1 ステップのサンプル数が減る（train.gradient_accumulation_steps で補える）",
    ),
    (r"older items of the history are left out of the prompt", r"履歴の古いアイテムがプロンプトから外れる"),
    (r"older items of the history are left out", r"履歴の古いアイテムが使われなくなる"),
    (r"more steps a pass", r"1 エポックのステップ数が増える"),
    (r"item vectors half as wide", r"アイテムベクトルの幅が半分になる"),
    (r"another recommender", r"別の推薦モデルになる"),
    (
        r"about a third more time a step: the forward pass is computed again",
        r"forward を再計算するため、1 ステップの時間が約 3 分の 1 延びる",
    ),
    (r"none; a step is faster by about a quarter", r"なし（1 ステップの時間が約 4 分の 1 縮む）"),
    (r"none; it is faster, too", r"なし（速度も上がる）"),
    (r"slower: every head's scores are written out; for comparison", r"遅い（全ヘッドのスコアを書き出す。比較用）"),
    (
        r"other training dynamics; adapters usually need AdamW",
        r"学習の進み方が変わる（アダプタには通常 AdamW が必要）",
    ),
    (r"adapters with less capacity", r"アダプタの表現力が下がる"),
    (r"plain LoRA: no mixture by user", r"通常の LoRA になる（ユーザーごとの混合がなくなる）"),
    (r"adapters on the queries and values only", r"アダプタが query と value だけになる"),
    (r"ranks items instead of writing their titles", r"タイトルを生成せず、アイテムの順位付けになる"),
    (r"writes titles instead of ranking items", r"アイテムの順位付けではなく、タイトルの生成になる"),
    (r"the frozen model's weights are rounded to bfloat16", r"凍結したモデルの重みが bfloat16 に丸められる"),
    (
        r"the frozen model's weights are rounded to float16, whose range is small",
        r"凍結したモデルの重みが、範囲の狭い float16 に丸められる",
    ),
    (r"evaluation takes more batches", r"評価のバッチ数が増える"),
    (r"no HR@1 by the likelihood of titles", r"タイトルの尤度による HR@1 がなくなる"),
    (r"no HR@1 by written answers", r"生成した回答による HR@1 がなくなる"),
    (r"none in quality; matrix products are slower", r"品質への影響なし（行列積は遅くなる）"),
)
_ASSUMPTIONS = (
    (
        r"every batch has samples of data\.max_seq_len = (\d+) tokens \(all but one a token shorter, so that a mask is "
        r"needed\), (\d+) items of history and (\d+) placeholders",
        r"どのバッチのサンプルも data.max_seq_len = \1 トークン（1 件を除き 1 トークン短く、マスクが必要）、"
        r"履歴 \2 アイテム、プレースホルダー \3 個とした",
    ),
    (
        r"every batch has samples of data\.max_seq_len = (\d+) tokens \(all but one a token shorter, so that a mask is "
        r"needed\), (\d+) items of history and (\d+) placeholders, and answers of (\d+) tokens "
        r"\(eval\.max_new_tokens\): the longest batch decides",
        r"どのバッチのサンプルも data.max_seq_len = \1 トークン（1 件を除き 1 トークン短く、マスクが必要）、"
        r"履歴 \2 アイテム、プレースホルダー \3 個、回答 \4 トークン（eval.max_new_tokens）とした。"
        r"最長のバッチで決まる",
    ),
    (
        r"evaluated after the last step: (\d+) prompts of (\d+) tokens at once \(eval\.batch_size\)"
        r"",
        r"最後のステップの後に評価も行った: プロンプト \1 件（eval.batch_size）を各 \2 トークンで同時に処理"
        r"",
    ),
    (
        r"evaluated after the last step: (\d+) prompts of (\d+) tokens at once \(eval\.batch_size\)"
        r", (\d+) candidates of (\d+) tokens \(eval\.scoring\)",
        r"最後のステップの後に評価も行った: プロンプト \1 件（eval.batch_size）を各 \2 トークンで同時に処理"
        r"、候補 \3 件を各 \4 トークン（eval.scoring）",
    ),
    (
        r"evaluated after the last step: (\d+) prompts of (\d+) tokens at once \(eval\.batch_size\)"
        r", answers of (\d+) tokens \(eval\.generation\)",
        r"最後のステップの後に評価も行った: プロンプト \1 件（eval.batch_size）を各 \2 トークンで同時に処理"
        r"、回答 \3 トークン（eval.generation）",
    ),
    (
        r"evaluated after the last step: (\d+) prompts of (\d+) tokens at once \(eval\.batch_size\)"
        r", (\d+) candidates of (\d+) tokens \(eval\.scoring\), answers of (\d+) tokens \(eval\.generation\)",
        r"最後のステップの後に評価も行った: プロンプト \1 件（eval.batch_size）を各 \2 トークンで同時に処理"
        r"、候補 \3 件を各 \4 トークン（eval.scoring）、回答 \5 トークン（eval.generation）",
    ),
    (
        r"weights are random and made on the card \(neither llm\.path nor llm\.name is set\); real ones are read on "
        r"the host, and loading them may take less",
        r"重みは乱数で、カード上に作る（llm.path も llm.name もないため）。実際の重みはホストで読むので、"
        r"読み込み時のメモリはこれより少ないことがある",
    ),
    (
        r"the recommender is trained first, in the same process \(no rec\.checkpoint\): its cache is counted",
        r"推薦モデルは同じプロセスで先に学習する（rec.checkpoint なし）とし、残るキャッシュも含めた",
    ),
    (
        r"one rank's memory; gradient buckets and NCCL of more ranks are not counted",
        r"1 ランク分のメモリ。複数ランクでの勾配バケットと NCCL は含まない",
    ),
    (
        r"operators have the shapes of the installed torch (\S+), all else the rules of (\S+)",
        r"演算の形状はインストール済みの torch \1、それ以外は \2 の規則による",
    ),
    (
        r"torch (\S+) is not in the tables; answered as (\S+)",
        r"torch \1 の規則は表になく、\2 の規則で答えた",
    ),
    (
        r"a card's memory is what CUDA reports of it, less than nvidia-smi shows by what the driver keeps",
        r"搭載メモリは CUDA の報告値で、ドライバの予約分だけ nvidia-smi の表示より小さい",
    ),
    (
        r"the (\d+) rows of the training split lie on the card, and no batch has more; histories have (\d+) places; "
        r"validation ranks (\d+) rows at once",
        r"学習データ \1 行はすべてカード上にあり、バッチがこれを超えることはない。"
        r"履歴は \2 アイテム、検証は一度に \3 行とした",
    ),
    (
        r"the evaluation of stage=rec runs on the host: nothing of it is on the card",
        r"stage=rec の評価はホストで行われ、カードのメモリを使わない",
    ),
    (
        r"the training split has (\d+) rows \(data\.source=(.+) was not read\)",
        r"学習データは \1 行とした（data.source=\2 は読んでいない）",
    ),
    (
        r"the catalogue has (\d+) items \(data\.source=(.+) was not read\)",
        r"カタログは \1 アイテムとした（data.source=\2 は読んでいない）",
    ),
    (
        r"the script was ended after (\d+) steps: what it does later is not in these figures",
        r"スクリプトは \1 ステップで終了させた。それ以降の動作はこの数値に含まれない",
    ),
    (
        r"no torch\.optim optimizer was made: every call of backward \((\d+)\) was counted as a step",
        r"torch.optim の optimizer が作られなかったため、backward の呼び出し（\1 回）をステップと数えた",
    ),
    (r"no step of an optimizer was done", r"optimizer のステップは行われなかった"),
    (
        r"the script caught (\d+) out-of-memory errors and went on",
        r"スクリプトはメモリ不足のエラーを \1 回捕捉して続行した",
    ),
    (
        r"nothing was computed: where the script branches on a loss or another result, it saw a made-up number; "
        r"batches of other sizes than those seen need other memory",
        r"値は計算していない。損失などの結果で分岐する箇所には仮の数値が渡された。"
        r"実行時と異なる大きさのバッチでは必要なメモリも異なる",
    ),
    (r"context at the middle of its interval, (\d+) MiB", r"コンテキストは区間の中央値 \1 MiB とした"),
    (
        r"weights that no optimizer changes are told as what they are only where a model was called",
        r"optimizer が更新しない重みは、モデルが呼び出された場合だけ重みとして分類される",
    ),
)
_NOTES = (
    (
        r"floating-point values read from the card \(such as a loss\) are taken to be 1\.0",
        r"カードから読んだ浮動小数点数（損失など）は 1.0 とした",
    ),
    (r"(\w+) values read from the card are taken to be 0", r"カードから読んだ \1 の値は 0 とした"),
    (
        r"the workspace of cuDNN attention is known to cuDNN alone and not counted",
        r"cuDNN attention のワークスペースは cuDNN にしか分からないため含まない",
    ),
    (
        r"the workspace of (\S+) convolutions is known to \1 alone and not counted",
        r"\1 の畳み込みのワークスペースは \1 にしか分からないため含まない",
    ),
    (
        r"the workspace of (\S+) transforms is known to \1 alone and not counted",
        r"\1 の変換のワークスペースは \1 にしか分からないため含まない",
    ),
    (
        r"the workspace of (\S+) decompositions is known to \1 alone and not counted",
        r"\1 の行列分解のワークスペースは \1 にしか分からないため含まない",
    ),
    (
        r"the scratch of (\S+) is not counted: no measurement of it is known",
        r"\1 の作業領域は測定値がないため含まない",
    ),
    (
        r"fused inference kernels of nn\.TransformerEncoderLayer and nn\.MultiheadAttention are not modelled: "
        r"what they stand for was run and counted",
        r"nn.TransformerEncoderLayer と nn.MultiheadAttention の推論用融合カーネルはモデル化していない。"
        r"代わりに元の演算を実行して数えた",
    ),
    (r"values copied from the card to the host are zeros", r"カードからホストへコピーした値はゼロとした"),
    (r"(\S+) of unknown values is taken at its largest", r"値が不明な \1 は最大の大きさとした"),
    (
        r"torch\.compile was left out: compiled code needs other memory",
        r"torch.compile は適用していない（コンパイル後のコードは必要なメモリが異なる）",
    ),
    (
        r"files with tensors of the card hold none of their values: nobody computed them",
        r"カードのテンソルを保存したファイルに値は含まれない（計算していないため）",
    ),
    (r"lengths that nobody computed are taken at their largest", r"計算されていない長さは最大とした"),
    (r"floating-point values are taken to be finite", r"浮動小数点数は有限とした"),
    (
        r"tensors of unknown values are taken to be equal if their shapes are",
        r"値が不明なテンソルは、形状が同じなら等しいとした",
    ),
    (
        r"arguments that PyTorch checks by their values are taken to be in order",
        r"PyTorch が値を調べる引数（確率分布など）は正しいとした",
    ),
)
_REASONS = (
    (r"not looked for", r"計算していません"),
    (r"at least (\d+): not found within (\d+) traces", r"\1 以上（\2 回の計算では確定せず）"),
    (
        r"at least (\d+) and less than (\d+): not found within (\d+) traces",
        r"\1 以上 \2 未満（\3 回の計算では確定せず）",
    ),
    (r"the script ended before it called any", r"スクリプトは呼び出す前に終わりました"),
    (rf"between {_GIB} and {_GIB} GiB of {_GIB} GiB", r"\3 GiB に対して \1 〜 \2 GiB"),
    (
        r"it fits after (\d+) times giving the cache back, and not with (\d+) % less",
        r"キャッシュを \1 回解放すれば収まるが、メモリが \2 % 少ないと収まらない",
    ),
    (r"the script put nothing on the card", r"スクリプトはカードに何も置いていません"),
    (
        r"a script's batch cannot be changed from outside",
        r"スクリプトのバッチサイズは外部から変更できません",
    ),
    (r"the script did not get to its end \((\w+)\)", r"スクリプトは最後まで実行されていません（\1）"),
    (
        r"memory ran out by less than the CUDA context is uncertain by: it was taken at its largest, and with the "
        r"smallest the script would have got further",
        r"不足した量が CUDA コンテキストの不確かさより小さい。コンテキストを最大とした結果であり、"
        r"最小ならさらに先へ進んでいた",
    ),
)
_BASES = (
    (
        r"\[unverified\] no reading of this card; span of (\d+) messages from others",
        r"［未検証］このカードの実測値はない。他のカードのメッセージ \1 件の範囲",
    ),
    (
        r"\[measured\] process less pool in (.+); \+-(\d+) % for other drivers \[unverified\]",
        r"［実測］プロセスの使用量からプールを引いた値（\1）。他のドライバでは ±\2 %［未検証］",
    ),
    (
        r"\[measured by others\] reserved bytes (\d+) % each way: of (\d+) recorded steps the worst was "
        r"([\d.]+) % off, none of them on Hopper or with expandable segments; and the interval of the CUDA context",
        r"［他者による実測］reserved は上下 \1 %（記録された \2 ステップの最大誤差は \3 %。"
        r"Hopper と expandable segments の記録はない）。これに CUDA コンテキストの区間を加えた",
    ),
)


def _counted(pattern: str, told: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """A note made once, and one made several times, whose record says how often."""
    number = pattern.replace(r"\(", "").count("(") + 1
    return (pattern, told), (rf"{pattern} \((\d+) times\)", rf"{told}（\{number} 回）")


REASONS: tuple[tuple[str, str], ...] = (
    *_COSTS,
    *_ASSUMPTIONS,
    *_REASONS,
    *_BASES,
    *(pair for pattern, told in _NOTES for pair in _counted(pattern, told)),
)
