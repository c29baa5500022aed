"""A training step with SmolLM2-135M on ml-100k: tokens per second, and its share outside the language model.

Three things in turn, on the same batch: the whole step (collation, recommender, gates, projector, language model,
target logits, clipping, optimizer), the language model's blocks with their adapters alone (forward and backward), and
the same blocks without adapters. Needs the two packages of requirements-demo.txt.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.timing import machine, seconds
from ilora.assemble import build_teacher, obtain_llm
from ilora.config import load_config
from ilora.data import load_data
from ilora.device import Placement
from ilora.feed import Feed
from ilora.loops.job import StepMeter, StopFlag, TrainJob, clip_gradients
from ilora.lora import use_users
from ilora.model import positions
from ilora.ranks import Rank
from ilora.rec import build_recommender
from ilora.runlog import RunLog
from ilora.schedule import make_optimizer

REPEATS = 5


def main() -> None:
    placement = Placement(device=torch.device("cpu"), precision="fp32")
    config = load_config(["train.curriculum=false"])
    data = load_data(config.data, compat=config.compat)
    recommender = build_recommender(config.rec, data.catalogue.num_items, config.data.max_history).eval()
    llm = obtain_llm(config, data, placement)
    teacher = build_teacher(config, recommender, llm, placement)
    feed = Feed(config, data, llm.tokenizer, Rank(index=0, world_size=1))
    optimizer = make_optimizer(teacher.trainable_groups(), config.train)
    batches = iter(feed.training(0))
    batch = next(batches)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainJob(teacher=teacher, optimizer=optimizer, config=config.train, train_batches=lambda: batches,
                       val_batches=feed.validation, device=placement.device, log=RunLog(Path(folder) / "log.jsonl"),
                       start_step=0, save=lambda step: None, stop=StopFlag())  # fmt: skip
        meter = StepMeter(job)

        def step() -> None:
            loss = teacher(next(batches))
            loss.backward()
            meter.add(loss, batch)
            meter.grad_norm = clip_gradients(teacher, config.train.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            job.after_step(1, meter)

        embeds = teacher.embed(batch).detach().requires_grad_()
        users = teacher.users(batch)

        def blocks() -> None:
            with use_users(teacher.llm, users):
                hidden = teacher.backbone(inputs_embeds=embeds, attention_mask=batch.attention_mask,
                                          position_ids=positions(batch.attention_mask), use_cache=False)  # fmt: skip
            hidden.last_hidden_state.sum().backward()
            optimizer.zero_grad(set_to_none=True)
            embeds.grad = None

        def bare_blocks() -> None:
            with teacher.llm.disable_adapter():
                blocks()

        for work in (step, blocks, bare_blocks):
            work()
        times = [(seconds(step), seconds(blocks), seconds(bare_blocks)) for _ in range(REPEATS)]
    whole, inside, bare = (statistics.median(column) for column in zip(*times, strict=True))
    outside = statistics.median(1 - i / w for w, i, _ in times)
    adapters = statistics.median((i - b) / w for w, i, b in times)
    print(machine())
    print(f"batch {len(batch)} x {batch.input_ids.shape[1]} ({batch.num_tokens} tokens)")
    print(f"whole step            {whole:6.2f} s   {batch.num_tokens / whole:6.0f} tokens/s")
    print(f"blocks with adapters  {inside:6.2f} s   outside the language model: {outside:6.1%}")
    print(f"blocks without        {bare:6.2f} s   adapters and gates:         {adapters:6.1%}")
    print(json.dumps({"tokens_per_s": round(batch.num_tokens / whole), "outside_share": round(outside, 3),
                      "adapter_share": round(adapters, 3)}))  # fmt: skip


if __name__ == "__main__":
    main()
