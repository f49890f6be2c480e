"""The flags that name the processes of a run."""

from __future__ import annotations

import importlib.machinery
import sys
import types

import jax
import pytest

from big_transfer.run import processes


@pytest.mark.parametrize(
    "flags", [(None, None, None), (None, 1, None), ("host:1", 1, 0), ("[::1]:65535", 3, 2)]
)
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
        (("host:1", 0, 0), "--num_processes: expected 1 or more, found 0"),
    ],
)
def test_unusable_flags_are_refused(flags, complaint):
    with pytest.raises(processes.ProcessError, match=complaint):
        processes.check(*flags)


SLURM = {
    "SLURM_JOB_ID": "4711", "SLURM_STEP_NODELIST": "node[007-008],other", "SLURM_NTASKS": "16",
    "SLURM_PROCID": "9", "SLURM_LOCALID": "1",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}  # fmt: skip
OPEN_MPI_5 = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "2"}


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables of a launcher, and no others."""
    for name in {**SLURM, **OPEN_MPI, **KUBERNETES}:
        monkeypatch.delenv(name, raising=False)

    def launched(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launched


@pytest.fixture
def clients(monkeypatch):
    """The arguments of JAX's clients, which join nothing."""
    from jax._src import distributed

    made = []

    class Client:
        def connect(self):
            pass

        def shutdown(self):
            pass

    def client(address, process, **options):
        made.append((address, process, options["init_timeout"]))
        return Client()

    state = distributed.State()
    monkeypatch.setattr(state, "initialize_preemption_sync_manager", lambda: None)
    monkeypatch.setattr(distributed, "global_state", state)
    monkeypatch.setattr(distributed._jax, "get_distributed_runtime_client", client)
    monkeypatch.setattr(distributed.xla_bridge, "backends_are_initialized", lambda: False)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    return made


@pytest.fixture
def kubernetes(monkeypatch):
    """The Python client of Kubernetes, in a pod of a JobSet "bit" with a Job "bit-workers" of four pods."""
    from jax._src.clusters import k8s_cluster

    job = "bit-workers"
    metadata = types.SimpleNamespace(
        name=job, labels={"job-name": job, "jobset.sigs.k8s.io/jobset-name": "bit"},
        owner_references=[types.SimpleNamespace(controller=True, kind="Job")],
    )  # fmt: skip
    pod = types.SimpleNamespace(metadata=metadata)
    found = types.SimpleNamespace(metadata=metadata, spec=types.SimpleNamespace(parallelism=4))
    core = types.SimpleNamespace(list_namespaced_pod=lambda **_: types.SimpleNamespace(items=[pod]))
    client = types.SimpleNamespace(
        CoreV1Api=lambda: core,
        BatchV1Api=lambda: types.SimpleNamespace(read_namespaced_job=lambda **_: found),
        exceptions=types.SimpleNamespace(ApiException=OSError),
    )
    package = types.ModuleType("kubernetes")
    package.__dict__.update(
        config=types.SimpleNamespace(load_incluster_config=lambda: None), client=client,
        __spec__=importlib.machinery.ModuleSpec("kubernetes", None),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "kubernetes", package)
    monkeypatch.setattr(k8s_cluster.K8sCluster, "_namespace", lambda: "default")
    monkeypatch.setattr(k8s_cluster.socket, "gethostbyname", lambda name: "10.0.0.7")
    monkeypatch.setenv("HOSTNAME", "bit-workers-2")


@pytest.mark.parametrize(
    ("variables", "address", "process"),
    [  # JAX computes the port from the number of the job
        (SLURM, "node007:62055", 9),
        (OPEN_MPI, "10.96.0.1:62624", 3),
        (KUBERNETES, "bit-workers-0.bit:55527", 2),
    ],
)
def test_the_processes_of_a_launcher_are_found(
    environment, clients, kubernetes, variables, address, process
):
    environment(variables)
    processes.check(None, None, None)
    processes.join(None, None, None)
    assert clients == [(address, process, 300)]


def test_flags_go_before_the_launcher(environment, clients):
    environment(SLURM)
    processes.check("login:1234", None, None)
    processes.join("login:1234", None, None)
    assert clients == [("login:1234", 9, 300)]


@pytest.mark.parametrize(
    ("variables", "launcher"),
    [
        (SLURM, "SLURM"),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "16"}, None),  # a batch script without srun
        (OPEN_MPI, "Open MPI"),
        (OPEN_MPI_5, "Open MPI"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "1"}, None),
        (KUBERNETES, "Kubernetes"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),  # a pod of its own
        ({}, None),
    ],
)
def test_launchers(environment, variables, launcher):
    environment(variables)
    assert processes.launcher() == launcher


def test_open_mpi_5_needs_flags(environment):
    environment(OPEN_MPI_5)
    with pytest.raises(processes.ProcessError, match="does not tell its processes an address"):
        processes.check(None, None, None)
    processes.check("host:1", 4, 3)


def test_a_job_of_kubernetes_needs_its_package(environment, monkeypatch):
    environment(KUBERNETES)
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    for flags in ((None, None, None), (None, 4, None)):
        with pytest.raises(processes.ProcessError, match="pip install kubernetes"):
            processes.check(*flags)
    processes.check(None, 1, None)


def test_one_process_of_a_launcher_may_run_alone(environment, clients):
    """Such as the folds of a cross-validation, each with its own --fold."""
    environment(SLURM)
    processes.check(None, 1, None)
    processes.join(None, 1, None)
    assert not clients


def test_open_mpi_is_asked_before_slurm(environment):
    environment(SLURM | OPEN_MPI)
    assert processes.launcher() == "Open MPI"


def test_open_mpi_5_inside_slurm_needs_flags(environment):
    environment(SLURM | OPEN_MPI_5)
    with pytest.raises(processes.ProcessError, match="does not tell its processes an address"):
        processes.check(None, None, None)


def test_the_runtime_is_more_patient_than_the_watch(environment, clients, monkeypatch):
    environment(SLURM)
    waits = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: waits.append(k))
    for timeout in (6.0, 60.0, 300.0):
        processes.join(None, None, None, timeout)
        assert waits[-1]["heartbeat_timeout_seconds"] > timeout * 11 / 6


def test_a_launcher_that_cannot_be_asked_is_one_line(environment, clients):
    environment(OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "1531576320.0;nothing"})
    with pytest.raises(
        processes.ProcessError, match=r"Open MPI started could not be joined .*parse"
    ):
        processes.join(None, None, None)
