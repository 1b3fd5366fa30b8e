"""`torch.utils`: data loading, checkpointing of activations, hooks."""

from . import checkpoint as checkpoint, data as data, hooks as hooks
