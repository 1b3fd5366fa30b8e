"""`torch.utils`: data loading, checkpointing of activations, hooks."""

from . import _pytree as _pytree, checkpoint as checkpoint, data as data, dlpack as dlpack, hooks as hooks
