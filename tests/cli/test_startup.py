"""How long a command's start took, by the process's own books."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time

import pytest

from tscli.cli.startup import loading

PROGRAM = (
    "import json\nfrom tscli.cli.startup import start_until_now\nimport time\ntime.sleep(0.2)\n"
    "print(json.dumps(vars(start_until_now())))"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked when a process began")


@linux
def test_a_start_is_the_interpreters_and_what_came_since() -> None:
    before = time.perf_counter()
    found = json.loads(subprocess.check_output([sys.executable, "-c", PROGRAM]))
    took = time.perf_counter() - before
    assert found["import_s"] >= 0.2
    assert 0 < found["process_s"] < took - found["import_s"] + 0.02  # the books are kept in hundredths


@linux
def test_what_a_shell_did_before_is_not_taken_for_a_start() -> None:
    command = f'sleep 0.3; exec "{sys.executable}" -c "$0"'
    assert json.loads(subprocess.check_output(["sh", "-c", command, PROGRAM]))["process_s"] is None


def test_nothing_is_collected_while_modules_come_in_and_what_came_stays_out_of_it() -> None:
    try:
        with loading():
            assert not gc.isenabled()
            ring: list[object] = []
            ring.append(ring)
        assert gc.isenabled()
        assert not any(thing is ring for thing in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(thing is ring for thing in gc.get_objects())


def test_collection_goes_on_after_an_error() -> None:
    with pytest.raises(KeyError), loading():
        raise KeyError
    assert gc.isenabled()
