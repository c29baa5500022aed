"""Threads of a script on the virtual card: what makes tensors virtual is a thread's own, so each must be told."""

from __future__ import annotations

import threading
from typing import Any

import torch

from probes.virtual.patches import Patches


def install(patches: Patches) -> None:
    """Let every thread begun from here on see the card; call inside the device's block."""
    mode = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
    begin = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def bootstrap(thread: Any) -> None:
        with mode:
            begin(thread)

    patches.replace(threading.Thread, "_bootstrap_inner", bootstrap)
