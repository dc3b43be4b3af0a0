"""Features of frozen encoders: their files (`store`), tokens and their bases, and the clouds of a run."""

from ngw.features.kept import Kept
from ngw.features.store import SCHEMA, Features, batches, encode, gather, read, shard, writer

__all__ = ["SCHEMA", "Features", "Kept", "batches", "encode", "gather", "read", "shard", "writer"]
