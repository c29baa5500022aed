"""Japanese, of scripts run under the recorder."""
# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

MESSAGES = {
    "run.title": "{script}（{card}）",
    "run.counted.optimizer": "optimizer ステップ {num} 回",
    "run.counted.backward": "backward {num} 回",
    "run.end.finished": "{script} は最後まで実行されました（{steps}）。",
    "run.end.stopped": "{script} は指定どおり {steps} で終了させました。",
    "run.end.interrupted": "{script} は {steps} の後に中断されました。",
    "run.end.exited": "{script} は {steps} の後、終了コード {code} で終わりました。",
    "run.end.out_of_memory": "{script} は {steps} の後にメモリ不足になりました: {message}",
    "run.end.not_carried": "{script} は {steps} の後、仮想デバイスの範囲外の機能を呼びました: {message}",
    "run.end.failed": "{script} は {steps} の後、{type} で失敗しました: {message}",
    "run.stood": "その時点のメモリ: allocated {allocated}、reserved {reserved}（{place}、モジュール {module}）。",
    "run.started.virtual": "スクリプトは別のプロセスを起動しました。そのメモリはこの数値に含まれません。"
    "起動されたプログラムには仮想カードではなく、実際のマシンがそのまま見えています: {commands}",
    "run.started.cuda": "スクリプトは別のプロセスを起動しました。そのメモリはこの数値に含まれません: {commands}",
    "run.made_up": "その前に、計算されていない値を読んでいます: {values}。"
    "失敗の原因がそれなら、実際のカードでは起こりません。",
    "run.traceback": "トレースバック",
    "run.nothing": "数値はありません: {reason}。",
}
