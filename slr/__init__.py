"""Selective Layer Restoration: give a post-trained language model its diversity back.

This is the public API. ``__init__.pyi`` lists its names. Each is imported on first use, because importing torch and
transformers takes seconds. From a pair to samples:

>>> import slr
>>> pair = slr.load_pair("testbed-llama")
>>> result = slr.search(pair)
>>> choice = result.select()
>>> hybrid = slr.restore(pair, choice.interval)
>>> answers = slr.sample(hybrid, pair.tokenizer, ["Write a joke about rain."], num_samples=8)
"""

from importlib import metadata

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

try:
    __version__ = metadata.version("slr")
except metadata.PackageNotFoundError:  # the package is used from a source tree
    __version__ = "not installed"
