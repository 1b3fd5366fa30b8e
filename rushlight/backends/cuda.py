"""`torch.backends.cuda`: flags that programs set; there is no CUDA for them to steer."""

from __future__ import annotations


class _MatmulFlags:
    """How CUDA products may round."""

    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _MatmulFlags()


def is_built() -> bool:
    """False.

    >>> torch.backends.cuda.is_built()
    False
    """
    return False
