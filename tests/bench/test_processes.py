"""What processes use."""

import os
import subprocess
import sys
import time

from bench.processes import OtherLoad, tree, usage

CHILD = "import time; x = b'x' * 40_000_000; time.sleep(9)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_descendants_count_and_the_ended_do_not():
    process = subprocess.Popen([sys.executable, "-c", PARENT])  # noqa: S603
    try:
        until = time.monotonic() + 5
        while (used := usage(tree(process.pid))).rss_mb < 50 and time.monotonic() < until:
            time.sleep(0.05)
        alone = usage([process.pid])

        assert len(tree(process.pid)) == 2
        assert used.rss_mb > alone.rss_mb + 35
        assert used.pss_mb <= used.rss_mb <= used.peak_rss_mb
        assert used.threads == 2
        assert used.files > alone.files > 0
        assert os.getpid() not in tree(process.pid)
    finally:
        for pid in reversed(tree(process.pid)):
            os.kill(pid, 9)
        process.wait()
    assert usage([process.pid]).rss_mb == 0


def test_what_this_process_does_is_not_the_load_of_others():
    load, begun = OtherLoad(), time.monotonic()
    used = time.process_time()
    while time.process_time() - used < 0.4:
        pass
    wall = time.monotonic() - begun

    assert 0 <= load.cores() <= (os.cpu_count() or 1) - 0.3 / wall
