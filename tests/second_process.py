"""A process that takes itself for the second of two."""

from collections.abc import Generator
from contextlib import contextmanager

from torch.distributed import destroy_process_group, init_process_group
from torch.testing._internal.distributed.fake_pg import FakeStore


@contextmanager
def second_process() -> Generator[None]:
    """Have torch say in this block that this is the second of two connected processes; there is no first one."""
    init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        yield
    finally:
        destroy_process_group()
