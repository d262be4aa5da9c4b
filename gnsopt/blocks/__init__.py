"""Linear models over rows that are held elsewhere: in files larger than memory, or by the workers of a Dask cluster.

``RowBlocks("logistic", shards("part-*.npz"), l2=1e-4)`` is the model of all the rows, for every solver. A block is
anything that can be loaded again; an evaluation is one pass over the blocks, and what comes back are sums.
"""

from gnsopt.blocks.engines import connect
from gnsopt.blocks.problem import RowBlocks
from gnsopt.blocks.sources import Block, Part, Shard, Slice, shards, split
from gnsopt.blocks.survey import Survey

__all__ = ["Block", "Part", "RowBlocks", "Shard", "Slice", "Survey", "connect", "shards", "split"]
