"""`torch.backends`: which libraries stand behind the ops. Here it is this package alone, so each says that it is absent."""

from __future__ import annotations

from . import cpu as cpu, cuda as cuda, cudnn as cudnn, mkl as mkl, mkldnn as mkldnn, mps as mps, openmp as openmp
