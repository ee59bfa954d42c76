"""The service: REST in front of a batching inference worker."""

import os
from importlib.metadata import version

# ONNX Runtime's Linux wheels send the names and hashes of models to their maker, unless told not to before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # noqa: TID251  # written for a library, not read

__version__ = version("vitrine")
