"""Write the corpus to a folder: python -m tests.corpus FOLDER."""

import sys
from pathlib import Path

from tests.corpus import corpus

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for number, item in enumerate(corpus()):
    (folder / f"{number:04d}-{item.expected}-{item.name.replace('/', '-')}").write_bytes(item.data)
