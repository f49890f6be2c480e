"""The flags that name the processes of a run."""

from __future__ import annotations

import pytest

from big_transfer.run import processes


@pytest.mark.parametrize("flags", [(None, None, None), ("host:1", 1, 0), ("[::1]:65535", 3, 2)])
def test_usable_flags(flags):
    processes.check(*flags)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ((None, 2, None), "--num_processes needs --coordinator_address and --process_id, too"),
        ((None, None, 0), "--process_id needs --coordinator_address and --num_processes"),
        (("host:1", None, None), "--coordinator_address needs --num_processes and --process_id"),
        (("host:1", 2, None), "needs --process_id, too"),
        (("nonsense", 2, 0), "expected HOST:PORT of process 0, .* found 'nonsense'"),
        ((":1234", 2, 0), "expected HOST:PORT"),
        (("host:0", 2, 0), "a port from 1 to 65535"),
        (("host:99999", 2, 0), "a port from 1 to 65535"),
        (("host:²", 2, 0), "a port from 1 to 65535"),
        (("host:1", 2, 2), "expected a number from 0 to 1 with --num_processes=2, found 2"),
        (("host:1", 2, -1), "expected a number from 0 to 1"),
        (("host:1", 0, 0), "--num_processes=0"),
    ],
)
def test_unusable_flags_are_refused(flags, complaint):
    with pytest.raises(processes.ProcessError, match=complaint):
        processes.check(*flags)
