"""The loop written out: one device, nothing between you and the step."""

from __future__ import annotations

import torch

from ilora.loops.job import StepMeter, TrainJob, Validation, clip_gradients
from ilora.schedule import rate_at, set_rate


def run(job: TrainJob) -> int:
    """Train until `max_steps` or until asked to stop. Returns the optimizer steps done since the very first."""
    config, teacher, optimizer = job.config, job.teacher, job.optimizer
    accumulation = config.gradient_accumulation_steps
    scaler = torch.amp.GradScaler(job.device.type, enabled=config.precision == "fp16")
    meter = StepMeter(job)
    batches = iter(job.train_batches())
    teacher.train()
    for step in range(job.start_step, config.max_steps):
        for micro in range(accumulation):
            batch = next(batches).to(job.device)
            job.seed_micro_batch(step * accumulation + micro)
            loss = teacher(batch)
            scaler.scale(loss / accumulation).backward()
            meter.add(loss, batch)
            del loss, batch
        set_rate(optimizer, rate_at(step, config))
        scaler.unscale_(optimizer)
        meter.grad_norm = clip_gradients(teacher, config.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if job.after_step(step + 1, meter):
            return step + 1
        if config.eval_every and (step + 1) % config.eval_every == 0:
            validate(job, Validation(job, step + 1, meter))
    return config.max_steps


@torch.no_grad()
def validate(job: TrainJob, validation: Validation) -> None:
    """Losses of the validation batches, in eval mode, with the training mode restored."""
    job.teacher.eval()
    for batch in job.val_batches():
        validation.add(job.teacher(batch.to(job.device)), batch)
    job.teacher.train()
    validation.finish()
