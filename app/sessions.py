"""ONNX Runtime, and nothing else, behind one call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
log = logging.getLogger("vitrine.sessions")

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
# What the libraries write in their messages; ONNX Runtime has no error codes for these.
OUT_OF_MEMORY: Final = ("out of memory", "failed to allocate memory", "status_alloc_failed")
DEVICE_LOST: Final = (
    *("cuda failure", "cuda error", "cudnn failure", "cudnn_fe failure", "cublas failure"),
    *("device lost", "gpu has fallen"),
)
PADDED: Final = (1, 4, 16, 64, 256)
"""Batch sizes on a GPU, with a session each; the last is the most that `Settings` allows. Since 1.20 ONNX Runtime plans
every convolution anew when the shape is not that of the run before (its issue 23006), which takes longer than the run.
"""
# A 1x1 convolution of a (1, 1, 4, 4) picture "x": the least that needs both CUDA and cuDNN.
PROBE: Final = bytes.fromhex(
    "080a3a630a0f0a01780a01771201792204436f6e761201672a13080108010801080110012204000000404201775a1b0a017812160a140801"
    "12100a0208010a0208010a0208040a020804621b0a017912160a14080112100a0208010a0208010a0208040a02080442040a001014"
)


class OutOfMemory(Exception):
    """The device has no memory for a batch of this size; a smaller one may do."""


class DeviceLost(Exception):
    """The device or its context is gone: this session will answer nothing any more."""


def classified(error: Exception) -> Exception:
    """The provider's failure as one of ours, or the error itself when it is the item's fault."""
    text = str(error).lower()
    if any(part in text for part in OUT_OF_MEMORY):
        return OutOfMemory(text)
    if any(part in text for part in DEVICE_LOST):
        return DeviceLost(text)
    return error


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session runs; the defaults are the best of the measurements in docs/worker.md."""

    threads: int = 1
    """Threads within one operator (intra-op); CPU only."""
    spin_us: int = 0
    """How long those threads wait in a loop for the next part of an operator before they sleep."""
    arena: bool = True
    """Whether memory is kept between runs, in one arena for all sessions on the CPU."""
    device: int = 0
    """Which GPU."""
    tensorrt: bool = False
    """Whether TensorRT may take what it can of the graph: builds an engine at load."""
    fp16: bool = False
    """Whether TensorRT may use half precision."""
    tf32: bool = False
    """Whether CUDA may round what it multiplies to ten bits, which is faster and may change a pixel."""


def providers(options: SessionOptions) -> list[tuple[str, dict[str, Any]]]:
    """What this build offers, best first; the CPU takes whatever the others cannot."""
    offered = onnxruntime.get_available_providers()
    found: list[tuple[str, dict[str, Any]]] = []
    if options.tensorrt and TENSORRT in offered:
        found.append((TENSORRT, {"device_id": options.device, "trt_fp16_enable": options.fp16}))
    if CUDA in offered:
        # By need, not by powers of two: several sessions and other programs share the card.
        settings = {"device_id": options.device, "arena_extend_strategy": "kSameAsRequested"}
        settings |= {"use_tf32": int(options.tf32), "cudnn_conv_algo_search": "HEURISTIC"}
        found.append((CUDA, settings))
    return [*found, (CPU, {})]


@cache
def find_libraries() -> None:
    """Load CUDA and cuDNN as installed by pip, where no loader looks for them. Once, since it says what is missing."""
    onnxruntime.preload_dlls()


@cache
def open_arena() -> None:
    """Have one arena of CPU memory for all sessions of this process that ask for it.

    With arenas of their own, as ONNX Runtime has it, every session keeps what its largest batch needed: two sessions a
    model, most of them idle at any moment.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    defaults = onnxruntime.OrtArenaCfg(
        {
            "max_mem": 0,
            "arena_extend_strategy": -1,
            "initial_chunk_size_bytes": -1,
            "max_dead_bytes_per_chunk": -1,
        }
    )
    onnxruntime.create_and_register_allocator(memory, defaults)


class Session:
    """A loaded graph. `run` may be called from several threads at once: the weights exist once a session."""

    def __init__(self, data: bytes, options: SessionOptions = SessionOptions(), *, cpu: bool = False) -> None:
        """`cpu` leaves out every other provider.

        Raises:
            Exception: ONNX Runtime's own, whatever is wrong with the graph.
        """
        try:
            self._open(data, options, cpu)
        except Exception as error:
            if cpu or not options.tensorrt:
                raise
            log.warning("TensorRT cannot be used: %s", one_line(error))
            self._open(data, replace(options, tensorrt=False), cpu)

    def _open(self, data: bytes, options: SessionOptions, cpu: bool) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = options.threads, 1
        settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(options.spin_us > 0)))
        settings.add_session_config_entry("session.intra_op.spin_duration_us", str(options.spin_us))
        settings.enable_cpu_mem_arena = options.arena
        if options.arena:
            open_arena()
            settings.add_session_config_entry("session.use_env_allocators", "1")
        settings.log_severity_level = 3
        chosen: list[tuple[str, dict[str, Any]]] = [(CPU, {})] if cpu else providers(options)
        if any(name == CUDA for name, _ in chosen):
            find_libraries()
        # From bytes, so that a graph cannot refer to files beside it. The fallback would go over to the CPU for good,
        # and say nothing, for a batch that was too large.
        self._session = onnxruntime.InferenceSession(data, settings, providers=chosen, enable_fallback=0)
        self.provider: str = self._session.get_providers()[0]

    def run(self, rows: Arrays) -> NDArray[Any]:
        """Arrays with a leading batch dimension -> the graph's only output.

        Raises:
            OutOfMemory, DeviceLost: as their names say.
            Exception: ONNX Runtime's own: the rows do not fit the graph.
        """
        try:
            output: NDArray[Any] = self._session.run(None, dict(rows))[0]
        except Exception as error:
            failure = classified(error)
            if failure is error:
                raise
            raise failure from error
        return output


def one_line(error: Exception) -> str:
    """What the log is told of a provider's failure."""
    return " ".join(str(error).split())[:300]


def filled(rows: Arrays, size: int) -> Arrays:
    """Batches of this size; what is missing repeats the last row."""
    missing = size - len(next(iter(rows.values())))
    if not missing:
        return rows
    return {name: np.concatenate([values, np.repeat(values[-1:], missing, 0)]) for name, values in rows.items()}


def cuda_works() -> bool:
    """Whether a convolution runs on the GPU: only then are all libraries known to be there."""
    try:
        session = Session(PROBE)
        session.run({"x": np.ones((1, 1, 4, 4), np.float32)})
    except Exception as error:
        log.error("CUDA cannot be used: %s", one_line(error))
        return False
    return session.provider != CPU


class Engine:
    """One graph on this machine: a session for every way in which the worker runs it.

    On CPU many workers share a single-threaded session, which gives the most pictures a second; a second session
    with all cores answers work that is alone there, which gives the shortest wait. On GPUs there are sessions, and with
    them streams, for every worker, worker w on GPU w mod the number of GPUs: one for each batch size that came, up to
    which batches are filled.
    """

    def __init__(self, data: bytes, *, cores: int, gpus: int = 0, options: SessionOptions = SessionOptions()) -> None:
        self._data, self._cores, self._gpus, self._options = data, cores, gpus, options
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._lost = 0
        self._open(cpu=gpus == 0)

    def _open(self, *, cpu: bool) -> None:
        base = self._options
        self._sized: dict[tuple[int, int], Session] = {}
        if cpu:
            narrow = Session(self._data, SessionOptions(1, 0, base.arena), cpu=True)
            self._sessions = [narrow]
            wide = SessionOptions(self._cores, base.spin_us, base.arena)
            self._alone = Session(self._data, wide, cpu=True) if self._cores > 1 else narrow
        else:
            self._sessions = [self._open_on(gpu) for gpu in range(self._gpus)]
            self._alone = self._sessions[0]
        self.provider = self._sessions[0].provider

    def run(self, rows: Arrays, worker: int = 0, *, alone: bool = False) -> NDArray[Any]:
        """As `Session.run`; `alone` says that nothing else wants the processor. The bytes are the same either way.

        On a GPU they may depend on how many rows there are: its libraries have other kernels for other sizes.
        """
        if self.provider == CPU:
            return (self._alone if alone else self._sessions[worker % len(self._sessions)]).run(rows)
        count = len(next(iter(rows.values())))
        size = next(size for size in PADDED if size >= count)
        return self._session(worker % len(self._sessions), size).run(filled(rows, size))[:count]

    def _open_on(self, gpu: int) -> Session:
        return Session(self._data, replace(self._options, threads=1, spin_us=0, arena=True, device=gpu))

    def _session(self, gpu: int, size: int) -> Session:
        """The one for batches of this size."""
        if size == PADDED[0]:
            return self._sessions[gpu]
        with self._opening:
            if (gpu, size) not in self._sized:
                try:
                    self._sized[gpu, size] = self._open_on(gpu)
                except Exception as error:
                    raise classified(error) from error
            return self._sized[gpu, size]

    def reopen(self, seen: int) -> None:
        """Replace lost sessions, once for all workers that found them so; on the CPU when the GPU does not come back.

        `seen` is the value of `losses` when the failed run began.
        """
        with self._lock:
            if self._lost != seen:
                return
            try:
                self._open(cpu=self.provider == CPU)
                return
            except Exception as error:
                log.error("the device did not come back (%s); going on on the CPU", type(error).__name__)
                self._open(cpu=True)
            finally:
                self._lost += 1

    @property
    def losses(self) -> int:
        """How often the sessions have been replaced."""
        return self._lost


def cuda_is_built_in() -> bool:
    """Whether the installed build can use NVIDIA GPUs at all."""
    return CUDA in onnxruntime.get_available_providers()
