"""English: causes as investigation reports tell them: name, what was found, why it happens, what removes it."""

from __future__ import annotations

MESSAGES = {
    "bisect.cause.oom_other_process": "memory of other processes on the card",
    "bisect.meaning.oom_other_process": "Other processes hold memory of the card, so the rest is too small for a "
    "step that would fit the whole card.",
    "bisect.root.oom_other_process": "Memory that another process holds can be neither seen nor freed from this "
    "one, and no setting of the training makes it smaller. Runs that were aborted, above all ones started with "
    "docker exec, often live on and keep theirs.",
    "bisect.permanent.oom_other_process": "End runs with their whole process group or container, and let only one "
    "process at a time have the card.",
    "bisect.cause.oom_capacity_smaller": "a card, or a slice of one, smaller than the step needs",
    "bisect.meaning.oom_capacity_smaller": "The card is a slice, smaller than the whole one, and the step does "
    "not fit it.",
    "bisect.root.oom_capacity_smaller": "A vGPU or MIG slice has the name of its card and a part of its memory. "
    "The step needs more than the slice has.",
    "bisect.permanent.oom_capacity_smaller": "Ask for the whole card or a larger slice, and read the memory it "
    "really has before planning a run.",
    "bisect.cause.oom_fragmentation": "fragmentation of the allocator's memory",
    "bisect.meaning.oom_fragmentation": "Enough memory is reserved and free, but not in one piece.",
    "bisect.root.oom_fragmentation": "Segments of fixed size are cut into blocks that no later request fits. "
    "Segments that can grow do not have this.",
    "bisect.permanent.oom_fragmentation": "Keep expandable segments on where the driver supports them, and keep "
    "batch shapes alike.",
    "bisect.cause.oom_live_tensors": "live tensors that fill the card",
    "bisect.meaning.oom_live_tensors": "What the step itself keeps alive is more than the card has.",
    "bisect.root.oom_live_tensors": "Weights, gradients, states and activations that the step needs at the same "
    "time add up to more than the card has.",
    "bisect.permanent.oom_live_tensors": "Keep the change that was verified, or use a larger card.",
    "bisect.cause.expandable_unsupported": "expandable segments where the driver refuses virtual memory management",
    "bisect.meaning.expandable_unsupported": "The allocator was told to use expandable segments, which need the "
    "virtual memory management of the driver, and the driver refuses it.",
    "bisect.root.expandable_unsupported": "With expandable segments, PyTorch asks the driver for memory through "
    "calls for virtual memory management (cuMem...). A card whose driver does not offer these, as vGPU profiles "
    "often do not, answers operation not supported at the first tensor, wherever that tensor happens to be placed.",
    "bisect.permanent.expandable_unsupported": "Take the setting out of images, job scripts and docker exec -e "
    "options, or set it only where the card has virtual memory management.",
    "bisect.cause.reentrant_checkpoint": "reentrant gradient checkpointing",
    "bisect.meaning.reentrant_checkpoint": "Reentrant gradient checkpointing runs a part of the model a second "
    "time, with state that belongs to the first.",
    "bisect.root.reentrant_checkpoint": "The part that is run again reads a tensor from shared state whose graph "
    "was already used and freed. Non-reentrant checkpointing keeps the graph in one piece.",
    "bisect.permanent.reentrant_checkpoint": "Set use_reentrant=False in gradient_checkpointing_kwargs, and keep "
    "no tensors with a graph in shared state.",
    "bisect.cause.retained_graph": "results that are kept with their graph",
    "bisect.meaning.retained_graph": "Results are kept together with the graph that made them, so the activations "
    "of a step are never freed.",
    "bisect.root.retained_graph": "A tensor that takes part in the gradient holds the whole graph behind it. As "
    "long as something refers to it, no activation of its step is freed.",
    "bisect.permanent.retained_graph": "Keep numbers instead of tensors: loss.item() or loss.detach(); run "
    "validation under torch.no_grad().",
    "bisect.cause.retained_outputs": "results of earlier steps that are kept on the card",
    "bisect.meaning.retained_outputs": "Results of earlier steps are kept on the card, and each step adds to them.",
    "bisect.root.retained_outputs": "A list, an attribute or a closure still refers to the results of each step, "
    "so memory grows until the card is full, whatever the batch size.",
    "bisect.permanent.retained_outputs": "Write results to disk or move them to the host in each step, and empty "
    "what holds them.",
    "bisect.cause.second_model_copy": "a second copy of weights",
    "bisect.meaning.second_model_copy": "Weights are on the card twice, or were replaced and are still held.",
    "bisect.root.second_model_copy": "A name still refers to the weights that were meant to be replaced or were "
    "only needed for loading.",
    "bisect.permanent.second_model_copy": "Load once, and let the other name go before training (del, then leave "
    "the scope).",
    "bisect.cause.kv_cache_in_training": "a key-value cache in training",
    "bisect.meaning.kv_cache_in_training": "Keys and values of every layer are cached for a generation that never "
    "comes.",
    "bisect.root.kv_cache_in_training": "The model is called with use_cache=True, its default, and keeps keys and "
    "values as long as its output lives.",
    "bisect.permanent.kv_cache_in_training": "Call the model with use_cache=False in training, or set "
    "model.config.use_cache = False.",
    "bisect.cause.hidden_states_output": "hidden states of every layer in the output",
    "bisect.meaning.hidden_states_output": "The hidden states of every layer are asked for and stay alive with "
    "the output.",
    "bisect.root.hidden_states_output": "output_hidden_states=True keeps every layer's output, which "
    "checkpointing would otherwise free.",
    "bisect.permanent.hidden_states_output": "Ask for the last hidden state alone.",
    "bisect.cause.dense_expert_outputs": "the outputs of every expert written out",
    "bisect.meaning.dense_expert_outputs": "The output of every expert is written out before they are mixed.",
    "bisect.root.dense_expert_outputs": "With the experts' outputs separate, memory is (batch, length, width) "
    "once for each expert in every adapted layer. Mixing the weights first needs it once.",
    "bisect.permanent.dense_expert_outputs": "Mix the experts before the second projection, as the adapter of "
    "this project does.",
    "bisect.cause.full_logits": "logits over the vocabulary where no label asks for them",
    "bisect.meaning.full_logits": "Logits over the whole vocabulary are computed for positions that carry no label.",
    "bisect.root.full_logits": "Logits take length times vocabulary, in float32 once more, and their gradient as "
    "much again. Few positions carry a label.",
    "bisect.permanent.full_logits": "Compute logits at labelled positions alone, or use a fused cross-entropy.",
    "bisect.cause.padding_to_max": "padding to the greatest length allowed",
    "bisect.meaning.padding_to_max": "Samples are padded to the longest that is allowed, not to the longest there is.",
    "bisect.root.padding_to_max": "Every activation is as long as max_length, however short the samples are.",
    "bisect.permanent.padding_to_max": "Pad to the longest sample of the batch (padding='longest').",
    "bisect.cause.eager_attention": "attention that writes its scores out",
    "bisect.meaning.eager_attention": "Attention writes out the scores of every head.",
    "bisect.root.eager_attention": "Eager attention keeps a matrix of length times length for each head and "
    "layer, so memory grows with the square of the length.",
    "bisect.permanent.eager_attention": "Load the model with attn_implementation='sdpa'.",
    "bisect.cause.optimizer_states": "optimizer states of too many parameters",
    "bisect.meaning.optimizer_states": "The optimizer keeps states of more parameters than are meant to train.",
    "bisect.root.optimizer_states": "Adam keeps two numbers a parameter, as soon as the parameter has had a "
    "gradient. Parameters that should be frozen are not.",
    "bisect.permanent.optimizer_states": "Freeze the base model, and give the optimizer trainable parameters alone.",
    "bisect.cause.placement_tensor": "a part of the model that cannot be placed",
    "bisect.meaning.placement_tensor": "One part of the model cannot be placed on the card; without it the rest runs.",
    "bisect.root.placement_tensor": "The failure comes with this part and goes without it. Which tensor of it, "
    "bisect-device tells.",
    "bisect.permanent.placement_tensor": "Mend the tensor that bisect-device names: its size, its type, or the "
    "file it comes from.",
    "bisect.cause.batch_too_large": "a batch larger than the card can take",
    "bisect.meaning.batch_too_large": "The batch needs more than the card has.",
    "bisect.root.batch_too_large": "Activations grow in proportion to the batch, and at this size they do not fit.",
    "bisect.permanent.batch_too_large": "Keep the batch that passed and make up for it with gradient "
    "accumulation, or use a larger card.",
    "bisect.cause.sequence_too_long": "samples longer than the card can take",
    "bisect.meaning.sequence_too_long": "The samples are longer than the card can take.",
    "bisect.root.sequence_too_long": "Activations grow with the length, with eager attention with its square, and "
    "at this length they do not fit.",
    "bisect.permanent.sequence_too_long": "Keep the length that passed, or turn on gradient checkpointing.",
    "bisect.permanent.any": "Keep the change that was verified.",
    # factors
    "bisect.factor.alloc_conf": "allocator settings",
    "bisect.factor.other_processes": "memory of other processes on the card",
    "bisect.factor.card_memory": "size of the card or its slice",
    "bisect.factor.attention": "attention implementation",
    "bisect.factor.loop": "the training loop (PyTorch Lightning or plain)",
    "bisect.factor.validation": "validation between steps",
    "bisect.factor.workers": "worker processes that load data",
    "bisect.factor.checkpointing": "gradient checkpointing",
    "bisect.factor.batch_size": "batch size",
    "bisect.factor.seq_len": "sequence length",
    "bisect.factor.precision": "precision",
    "bisect.factor.optimizer": "optimizer",
    "bisect.factor.head": "what the model predicts (titles or items)",
    "bisect.factor.lora_rank": "rank of the adapters",
    "bisect.factor.experts": "number of experts",
    "bisect.factor.target_modules": "layers that get adapters",
    "bisect.factor.components": "parts of the model (both, language model, recommender)",
    "bisect.factor.rec_weights": "weights of the recommender (checkpoint or random)",
    # what trials do to a script from outside
    "bisect.apply.release": "let go of {value} after every step",
    "bisect.apply.drop_copy": "let go of {value} before training",
    "bisect.apply.no_kv_cache": "call models with use_cache=False while they train",
    "bisect.apply.no_hidden_states": "call models with output_hidden_states=False",
    "bisect.apply.trim_padding": "cut columns that are padding in every sample of a batch",
    "bisect.apply.target_logits": "compute logits where a label is, and nowhere else",
    "bisect.apply.sdpa_attention": "use scaled-dot-product attention in place of eager",
    "bisect.apply.nonreentrant_checkpointing": "checkpoint with use_reentrant=False",
    "bisect.apply.no_grad_validation": "run models in eval mode without a graph",
    "bisect.apply.plain_lora": "adapters without a mixture of experts",
    "bisect.apply.freeze_base": "train adapters and heads alone, with the base frozen",
    "bisect.apply.plain_loader": "load data without worker processes and pinned memory",
    "bisect.apply.checkpointing": "turn on gradient checkpointing",
    "bisect.apply.autocast_bf16": "run models under bfloat16 autocast",
    "bisect.apply.stateless_optimizer": "SGD in place of Adam and its kin",
    "bisect.apply.batch_size": "a batch of {value} samples",
    "bisect.apply.seq_len": "samples of {value} tokens, the first ones kept",
    # costs
    "cost.none": "none",
    "cost.somebody_elses": "none to the training; others have to end their work, or a larger slice is needed",
    "cost.little_slower": "a little slower",
    "cost.slower": "slower",
    "cost.rounded_weights": "rounded weights (a narrower type)",
    "cost.fewer_samples_a_step": "fewer samples a step; accumulation makes up for it",
    "cost.no_validation": "no validation",
    "cost.larger_card": "a larger card",
    "cost.less_capacity": "fewer trainable parameters",
    "cost.shorter_history": "a shorter history in the prompt",
    "cost.other_dynamics": "another optimizer, another course of training",
    "cost.other_task": "another task: items instead of titles",
    "cost.not_the_training": "a part is left out: it tells where, and mends nothing",
}
