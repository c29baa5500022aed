"""`autocast("cuda")`: the casts of CUDA's operator lists, and the cache of cast weights.

PyTorch's own kernels ask the C++ device, which is `meta` here, and cast nothing. The lists are the documented ones
(torch.amp, "CUDA Op-Specific Behavior"; aten/src/ATen/autocast_mode.h). A cast is kept until the outermost autocast
block ends if it is a float32 leaf that requires a gradient, is no view, and goes to the lower-precision type; so frozen
weights are cast again at every use. Newer versions keep nothing under `inference_mode` (`torch_versions`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from ilora_diag.hardware.torch_versions import torch_facts
from probes.virtual.keys import is_virtual
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches


def _words(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_LOWER = _words("""
conv1d conv2d conv3d conv1d.padding conv2d.padding conv3d.padding conv_tbc conv_transpose1d conv_transpose2d.input
conv_transpose3d.input convolution _convolution prelu addmm addmv addr matmul einsum mm mv linalg_vecdot linear addbmm
baddbmm bmm chain_matmul linalg_multi_dot lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell scaled_dot_product_attention
""")
_FLOAT32 = _words("""
acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow.Tensor_Scalar pow.Tensor_Tensor
pow.Scalar softplus layer_norm native_layer_norm group_norm frobenius_norm.dim cosine_similarity poisson_nll_loss
cosine_embedding_loss nll_loss nll_loss2d hinge_embedding_loss kl_div l1_loss smooth_l1_loss huber_loss mse_loss
margin_ranking_loss multilabel_margin_loss soft_margin_loss triplet_margin_loss multi_margin_loss
binary_cross_entropy_with_logits dist pdist cdist renorm logsumexp
""")
_FLOAT32_OUT = _words("""
prod prod.dim_int softmax.int log_softmax.int cumprod cumsum linalg_vector_norm linalg_matrix_norm
linalg_matrix_norm.str_ord sum sum.dim_IntList
""")
_WIDEST = _words("addcdiv addcmul atan2 bilinear cross dot vdot grid_sampler index_put tensordot scatter_add")

_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCUDA)
_LOWER_TYPES = (torch.float16, torch.bfloat16)
_Library: Any = torch.library.Library


class WeightCache:
    """Cast copies of trainable weights, kept until the outermost autocast block ends.

    Args:
        in_inference: whether they are kept under `inference_mode` too.
    """

    def __init__(self, *, in_inference: bool) -> None:
        self._in_inference = in_inference
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def cast(self, value: Any, dtype: torch.dtype) -> Any:
        """The value in `dtype` if it is a floating-point tensor of the card; lists member by member."""
        if isinstance(value, (list, tuple)):
            return type(value)(self.cast(member, dtype) for member in value)
        if not is_virtual(value) or not value.is_floating_point() or value.dtype in (dtype, torch.float64):
            return value
        keep = (
            value.dtype is torch.float32
            and dtype is torch.get_autocast_dtype("cuda")
            and value.requires_grad
            and value.is_leaf
            and not value._is_view()
            and torch.is_autocast_cache_enabled()
            and (self._in_inference or not torch.is_inference_mode_enabled())
        )
        if not keep:
            return value.to(dtype)
        found = self._kept.get(id(value))
        if found is None:
            found = self._kept[id(value)] = (value, value.to(dtype))
        return found[1]

    def clear(self) -> None:
        """Let go of every copy."""
        self._kept.clear()


@contextmanager
def autocast_kernels(machine: Machine, patches: Patches) -> Iterator[None]:
    """Register the casting kernels for the block."""
    cache = WeightCache(in_inference=torch_facts(machine.torch_version).autocast_cache_in_inference)
    clear = torch.clear_autocast_cache

    def clear_both() -> None:
        cache.clear()
        clear()

    patches.replace(torch, "clear_autocast_cache", clear_both)
    library: Any = _Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, make in _LISTED.items():
                operator = _overload(name)
                if operator is not None:
                    library.impl(name, make(operator, cache), "AutocastCUDA", allow_override=True)
        yield
    finally:
        cache.clear()
        library._destroy()


def _overload(name: str) -> OpOverload | None:
    base, _, overload = name.partition(".")
    packet = getattr(torch.ops.aten, base, None)
    return getattr(packet, overload or "default", None)


def _call(operator: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with torch._C._ExcludeDispatchKeyGuard(_KEYS):
        return operator(*args, **kwargs)


def _cast_all(
    cache: WeightCache, dtype: torch.dtype, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    with torch._C._ExcludeDispatchKeyGuard(_KEYS):
        return (
            tuple(cache.cast(value, dtype) for value in args),
            {name: cache.cast(value, dtype) for name, value in kwargs.items()},
        )


def _lower(operator: OpOverload, cache: WeightCache) -> Callable[..., Any]:
    def kernel(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _cast_all(cache, torch.get_autocast_dtype("cuda"), args, kwargs)
        return _call(operator, args, kwargs)

    return kernel


def _float32(operator: OpOverload, cache: WeightCache) -> Callable[..., Any]:
    def kernel(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _cast_all(cache, torch.float32, args, kwargs)
        return _call(operator, args, kwargs)

    return kernel


def _float32_out(operator: OpOverload, cache: WeightCache) -> Callable[..., Any]:
    """Operators with a `dtype` argument: float32 unless the caller named one."""

    def kernel(*args: Any, **kwargs: Any) -> Any:
        value = args[0]
        position = next((at for at, arg in enumerate(operator._schema.arguments) if arg.name == "dtype"), None)
        given = kwargs.get("dtype") is not None or (position is not None and len(args) > position and args[position])
        if not given and value.dtype in _LOWER_TYPES:
            if position is not None and len(args) > position:
                args = (*args[:position], torch.float32, *args[position + 1 :])
            else:
                kwargs = {**kwargs, "dtype": torch.float32}
        return _call(operator, args, kwargs)

    return kernel


def _widest(operator: OpOverload, cache: WeightCache) -> Callable[..., Any]:
    def kernel(*args: Any, **kwargs: Any) -> Any:
        values = [member for value in args for member in (value if isinstance(value, (list, tuple)) else (value,))]
        types = {value.dtype for value in values if isinstance(value, Tensor) and value.is_floating_point()}
        if torch.float32 in types and len(types) > 1:
            args, kwargs = _cast_all(cache, torch.float32, args, kwargs)
        return _call(operator, args, kwargs)

    return kernel


_LISTED: dict[str, Callable[[OpOverload, WeightCache], Callable[..., Any]]] = {
    **dict.fromkeys(_LOWER, _lower),
    **dict.fromkeys(_FLOAT32, _float32),
    **dict.fromkeys(_FLOAT32_OUT, _float32_out),
    **dict.fromkeys(_WIDEST, _widest),
}
