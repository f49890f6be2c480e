"""Several processes, several devices, and TPU machines."""

from __future__ import annotations

import importlib.util
import json
import signal
import socket

import jax
import numpy as np
import pytest

from big_transfer.run import processes
from real_labels import Predictions
from tests.conftest import PATIENCE, SMALL
from tests.main.processes import final_state, finish, steps_saved, wait_for_line


def test_a_batch_the_devices_do_not_divide(start, tmp_path):
    output = finish(start(tmp_path / "run", devices=3), code=1)
    assert "a batch of 16 does not split over 3 devices; the nearest that do: 15, 18" in output
    assert "Traceback" not in output


# Hosts: device nodes, (vendor, device) of the PCI devices, and whether the host is a TPU VM.
HOSTS = {
    "v2 to v4": (["accel0", "accel1"], [], True),
    "v5e": (["vfio/0"], [("0x1ae0", "0x0042"), ("0x1ae0", "0x0063")], True),
    "a GPU": (["nvidia0", "nvidiactl"], [("0x10de", "0x2330")], False),
    "a GPU in Google's cloud": (["nvidia0", "vfio/1"], [("0x1ae0", "0x0042")], False),
    "a laptop's NPU": (["accel/accel0"], [("0x8086", "0x7d1d")], False),
    "a CPU": ([], [], False),
}


@pytest.fixture
def joined(monkeypatch, tmp_path):
    """Sets up the program on a simulated host; returns whether it joined a cluster, and its warnings."""
    import main
    from big_transfer.run import hardware, memory

    def join(devices, pci, *, libtpu: bool, platforms=None):
        for name in devices:
            path = tmp_path / "dev" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for i, (vendor, device) in enumerate(pci):
            path = tmp_path / "sys/bus/pci/devices" / f"0000:00:{i:02d}.0"
            path.mkdir(parents=True)
            (path / "vendor").write_text(f"{vendor}\n")
            (path / "device").write_text(f"{device}\n")
        calls, logged = [], []
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: (libtpu or None) if name == "libtpu" else find_spec(name),
        )
        monkeypatch.setattr(hardware, "_ROOT", tmp_path)
        monkeypatch.setattr(memory, "keep_freed_memory", lambda: True)
        monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: calls.append((a, k)))
        monkeypatch.setattr(main.log, "warning", logged.append)
        before = jax.config.jax_platforms
        jax.config.update("jax_platforms", platforms)
        try:
            main.flags.FLAGS.mark_as_parsed()
            main._set_up_jax()
        finally:
            jax.config.update("jax_platforms", before)
        assert [arguments for arguments, _ in calls] in ([], [(None, None, None)])
        return bool(calls), logged

    return join


@pytest.mark.parametrize("host", HOSTS)
def test_a_tpu_machine_is_joined_and_no_other(joined, host):
    """libtpu may be installed on any host, to compile for TPUs; only the devices show a TPU VM."""
    devices, pci, is_tpu = HOSTS[host]
    assert joined(devices, pci, libtpu=True) == (is_tpu, [])


def test_a_tpu_machine_without_libtpu_says_so(joined):
    is_joined, logged = joined(["accel0"], [], libtpu=False)
    assert not is_joined and "pip install .[tpu]" in logged[0]


def test_a_tpu_machine_may_be_kept_to_its_cpu(joined):
    assert joined(["accel0"], [], libtpu=True, platforms="cpu") == (False, [])


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_two(start, workdir, *arguments):
    port = free_port()
    return [
        start(
            workdir,
            f"--coordinator_address=127.0.0.1:{port}",
            "--num_processes=2",
            f"--process_id={i}",
            *arguments,
            devices=2,
        )
        for i in range(2)
    ]


@pytest.mark.parametrize("strategy", ["replicated", "fsdp"])
def test_two_processes_train_and_evaluate_like_one(finished, start, scenes_dir, tmp_path, strategy):
    workdir = tmp_path / "two"
    arguments = () if strategy == "replicated" else ("--config.sharding=fsdp",)
    first, second = start_two(start, workdir, *arguments)
    output, quiet = finish(first), finish(second)
    assert "2 process(es), 4 device(s)" in output
    assert "step 12/12" in output
    assert "step 12/12" not in quiet  # only process 0 logs progress
    ours, theirs = final_state(workdir, scenes_dir, 12), final_state(finished[0], scenes_dir, 12)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    a, b = (Predictions.load(w / "predictions.npz") for w in (workdir, finished[0]))
    np.testing.assert_array_equal(a.file_names, b.file_names)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
    records = [json.loads((w / "results.json").read_text()) for w in (workdir, finished[0])]
    assert records[0]["num_images"] == records[1]["num_images"] == SMALL["validation"]
    for process in start_two(start, workdir, *arguments, "--mode=evaluate"):
        assert "Traceback" not in finish(process)
    again = json.loads((workdir / "results.json").read_text())
    assert again["real"] == records[0]["real"]
    assert again["evaluation"]
    assert records[0]["real"]["top1"]["n"] == records[1]["real"]["top1"]["n"]


def test_sigterm_to_one_of_two_processes_stops_both(start, tmp_path):
    workdir = tmp_path / "two"
    more = ("--config.total_steps=100000", "--config.eval_every_steps=100000")
    first, second = start_two(start, workdir, *more)
    wait_for_line(first, "step  ")
    second.send_signal(signal.SIGTERM)
    output = finish(first)
    finish(second)
    step = steps_saved(workdir)[-1]
    assert f"step {step} is saved" in output


def lose(start, workdir, lost):
    """Kills one of two processes in the middle of a run; returns the output of the other."""
    more = ("--config.total_steps=100000", "--config.eval_every_steps=100000", "--peer_timeout=6")
    both = start_two(start, workdir, *more)
    wait_for_line(both[0], "step  ")
    both[lost].kill()
    output, _ = both[1 - lost].communicate(timeout=PATIENCE)
    assert both[1 - lost].returncode != 0
    return output


def test_a_lost_process_ends_the_others_with_one_line(start, tmp_path):
    output = lose(start, tmp_path / "two", lost=1)
    assert "Error: process 1 has shown no sign of life for 6 seconds. This run ends;" in output
    assert "Traceback" not in output and "Check failure" not in output


@pytest.mark.long
def test_the_loss_of_process_0_is_said_last(start, tmp_path):
    """After the messages of the runtime, which aborts the process before Python can act."""
    output = lose(start, tmp_path / "two", lost=0)
    assert output.rstrip().splitlines()[-1].startswith("Error: JAX's runtime ended this process.")
    assert "Traceback" not in output and "most recent call first" not in output


@pytest.mark.long
@pytest.mark.parametrize("failed", [0, 1])
def test_a_process_that_fails_alone_ends_the_others(start, tmp_path, failed):
    """Only this process cannot read the images."""
    port = free_port()
    flags = [f"--coordinator_address=127.0.0.1:{port}", "--num_processes=2", "--peer_timeout=6"]
    both = [
        start(
            tmp_path / "two",
            *flags,
            f"--process_id={i}",
            *(["--config.input.dataset=./nowhere"] if i == failed else []),
            devices=2,
        )
        for i in range(2)
    ]
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in both]
    assert [process.returncode for process in both] == [1, 1], outputs
    assert "there is no such folder" in outputs[failed]
    assert (
        f"Error: process {failed} failed; its own output gives the reason." in outputs[1 - failed]
    )
    assert "Traceback" not in "".join(outputs) and "Check failure" not in "".join(outputs)


@pytest.mark.long
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_process_that_hangs_ends_the_others(start, tmp_path, stopped):
    more = ("--config.total_steps=100000", "--config.eval_every_steps=100000", "--peer_timeout=6")
    both = start_two(start, tmp_path / "two", *more)
    wait_for_line(both[0], "step  ")
    both[stopped].send_signal(signal.SIGSTOP)
    output, _ = both[1 - stopped].communicate(timeout=PATIENCE)
    assert both[1 - stopped].returncode == 1, output
    reason = "has not answered" if stopped == 0 else "has shown no sign of life"
    assert f"Error: process {stopped} {reason} for 6 seconds. This run ends;" in output
    assert "Traceback" not in output and "Check failure" not in output


@pytest.mark.long
def test_of_three_processes_both_others_name_the_lost_one(start, tmp_path):
    """Process 0 ends last; the runtime would abort process 1 before it could say who was lost."""
    port = free_port()
    more = ("--config.total_steps=100000", "--config.eval_every_steps=100000", "--peer_timeout=6")
    flags = (f"--coordinator_address=127.0.0.1:{port}", "--num_processes=3", *more)
    three = [
        start(tmp_path / "three", *flags, f"--process_id={i}", "--config.input.batch_size=12")
        for i in range(3)
    ]
    wait_for_line(three[0], "step  ")
    three[2].kill()
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in three[:2]]
    for process, output in zip(three, outputs):
        assert process.returncode == 1, output
        assert "Error: process 2 has shown no sign of life for 6 seconds." in output
        assert "Traceback" not in output and "Check failure" not in output


def test_processes_wait_for_each_other_a_limited_time(monkeypatch, caplog):
    monkeypatch.setattr(processes, "_JOIN_SECONDS", 1)
    with pytest.raises(processes.ProcessError, match="process 0 does not answer at 127.0.0.1:"):
        processes.join(f"127.0.0.1:{free_port()}", 2, 1)
    caplog.set_level("INFO")
    with pytest.raises(processes.ProcessError, match="does not answer at no.such.host.invalid:1"):
        processes.join("no.such.host.invalid:1", 2, 1)
    assert "Waiting for process 0 at no.such.host.invalid:1 (" in caplog.text
