"""Every intervention by its name, as in `ilora_diag.bisect.catalogue.INTERVENTIONS`."""

from __future__ import annotations

from collections.abc import Callable

from probes.interventions.act import Act
from probes.interventions.adapters import plain_lora
from probes.interventions.attention import sdpa_attention
from probes.interventions.batches import batch_size, plain_loader, seq_len, trim_padding
from probes.interventions.logits import target_logits
from probes.interventions.model_outputs import no_hidden_states, no_kv_cache
from probes.interventions.optimizers import freeze_base, stateless_optimizer
from probes.interventions.recomputation import checkpointing, nonreentrant_checkpointing
from probes.interventions.retained import drop_copy, release
from probes.interventions.whole_calls import autocast_bf16, no_grad_validation

INSTALL: dict[str, Callable[[Act], None]] = {
    install.__name__: install
    for install in (
        release,
        drop_copy,
        no_kv_cache,
        no_hidden_states,
        trim_padding,
        target_logits,
        sdpa_attention,
        nonreentrant_checkpointing,
        no_grad_validation,
        plain_lora,
        freeze_base,
        plain_loader,
        checkpointing,
        autocast_bf16,
        stateless_optimizer,
        batch_size,
        seq_len,
    )
}
"""Of those that act on the same call, the one that stands first acts first."""
