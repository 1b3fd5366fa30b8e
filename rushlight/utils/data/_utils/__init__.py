"""PyTorch's address of the collate functions, which its documentation gives for extending `default_collate`."""

from . import collate as collate
