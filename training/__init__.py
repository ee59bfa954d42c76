"""The offline half of Vitrine: curate photos, train networks, evaluate them, export them to `models/`."""

import os

# ONNX Runtime's Linux wheels send the names and hashes of models to their maker, unless told not to before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # noqa: TID251  # written for a library, not read
