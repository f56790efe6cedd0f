"""Partitions are chosen as Java's default partitioner chooses them."""

import pytest

from tellonce.model.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_the_one_of_kafka_clients(key: bytes, signed: int) -> None:
    """The hash equals the vectors of Apache Kafka's own test of `Utils.murmur2`."""
    assert murmur2(key) == signed % (1 << 32)


def test_partition_is_never_negative() -> None:
    """A hash with its highest bit set still gives a partition of the topic."""
    assert partition_of(b"21", 4) == (-973932308 & 0x7FFFFFFF) % 4
