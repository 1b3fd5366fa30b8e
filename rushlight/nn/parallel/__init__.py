"""`torch.nn.parallel`: one module in several processes, or on several accelerators, of which there may be none here."""

from .data_parallel import DataParallel as DataParallel, data_parallel as data_parallel
from .distributed import DistributedDataParallel as DistributedDataParallel
