"""English, of scripts run under the recorder."""

from __future__ import annotations

MESSAGES = {
    "run.title": "{script} on {card}",
    "run.counted.optimizer": "{num} optimizer steps",
    "run.counted.backward": "{num} backward passes",
    "run.end.finished": "{script} ran to its end: {steps}.",
    "run.end.stopped": "{script} was ended after {steps}, as asked.",
    "run.end.interrupted": "{script} was interrupted after {steps}.",
    "run.end.exited": "{script} ended with exit code {code} after {steps}.",
    "run.end.out_of_memory": "{script} ran out of memory after {steps}: {message}",
    "run.end.not_carried": "{script} asked for something outside the virtual device, after {steps}: {message}",
    "run.end.failed": "{script} failed after {steps} with {type}: {message}",
    "run.stood": "Memory then: {allocated} allocated, {reserved} reserved, in {place}, module {module}.",
    "run.started.virtual": "It started other processes, whose memory is not in these figures. Programs among them see "
    "this machine as it is, not the virtual card: {commands}",
    "run.started.cuda": "It started other processes, whose memory is not in these figures: {commands}",
    "run.made_up": "Before that it had read what nobody computed: {values}. If it failed for that, it need not fail "
    "on a card.",
    "run.traceback": "Traceback",
    "run.nothing": "There are no figures: {reason}.",
}
