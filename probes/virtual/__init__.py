"""The virtual CUDA device: `with virtual_cuda("h100"):` puts a modelled card behind `torch.cuda`."""

from probes.virtual.device import virtual_cuda
from probes.virtual.errors import NotCarriedError, VirtualDeviceError
from probes.virtual.keys import is_virtual
from probes.virtual.machine import Card, Machine

__all__ = ["Card", "Machine", "NotCarriedError", "VirtualDeviceError", "is_virtual", "virtual_cuda"]
