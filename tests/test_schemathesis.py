"""What /openapi.json promises is kept, on requests made from it; `python -m fuzz.contract` tries many more."""

from fuzz.contract import checked


def test_the_document_and_the_service_agree():
    assert checked("-n", "6", "--generation-deterministic", "--phases", "fuzzing", "--no-color") == 0
