"""Which partition a record belongs to: the same answer as Java's default partitioner gives.

Source: `org.apache.kafka.common.utils.Utils.murmur2`, `toPositive(murmur2(key)) % partitions`.
librdkafka's own default is CRC32, so the partition is always chosen here and sent explicitly.
"""

__all__ = ["murmur2", "partition_of"]

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """Gives the unsigned 32-bit murmur2 hash that Kafka's Java client computes for a key."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * _MULTIPLIER) & _MASK
        k ^= k >> 24
        k = (k * _MULTIPLIER) & _MASK
        h = ((h * _MULTIPLIER) & _MASK) ^ k
    tail = data[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * _MULTIPLIER) & _MASK
    h ^= h >> 13
    h = (h * _MULTIPLIER) & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Gives the partition, from 0 to `partitions - 1`, that a Kafka key belongs to."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
