"""`torch.utils`: data loading, checkpointing of activations, hooks."""

from . import _pytree as _pytree
from . import checkpoint as checkpoint
from . import data as data
from . import hooks as hooks
