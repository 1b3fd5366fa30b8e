"""`torch.nn.parallel`: one module on several accelerators; this machine's part of it is that there may be none."""

from .data_parallel import DataParallel as DataParallel, data_parallel as data_parallel
