"""Shards, matrices and records on any fsspec URL."""

from modeldiff_core.store.matrices import MarginMatrix, write_arrays, write_matrix
from modeldiff_core.store.objects import Listed, ObjectStore, StoreSettings
from modeldiff_core.store.records import read_record, write_record
from modeldiff_core.store.shards import Shard, read_shard, read_shards, shard_key, write_shard
from modeldiff_core.store.tensors import TensorObject, read_tensors, write_tensors

__all__ = [
    "Listed",
    "MarginMatrix",
    "ObjectStore",
    "Shard",
    "StoreSettings",
    "TensorObject",
    "read_record",
    "read_shard",
    "read_shards",
    "read_tensors",
    "shard_key",
    "write_arrays",
    "write_matrix",
    "write_record",
    "write_shard",
    "write_tensors",
]
