"""ONNX Runtime, and nothing else, behind one call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import onnxruntime
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
log = logging.getLogger("vitrine.sessions")

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
# What the libraries write in their messages; ONNX Runtime has no error codes for these.
OUT_OF_MEMORY: Final = ("out of memory", "failed to allocate memory", "cudnn_status_alloc_failed")
DEVICE_LOST: Final = ("cuda failure", "cuda error", "cudnn failure", "cublas failure", "device lost", "gpu has fallen")


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


def providers(options: SessionOptions) -> list[tuple[str, dict[str, Any]]]:
    """What this build offers, best first; the CPU takes whatever the others cannot."""
    offered = onnxruntime.get_available_providers()
    found: list[tuple[str, dict[str, Any]]] = []
    if options.tensorrt and TENSORRT in offered:
        found.append((TENSORRT, {"device_id": options.device, "trt_fp16_enable": options.fp16}))
    if CUDA in offered:
        # By need, not by powers of two: several sessions and other programs share the card.
        settings = {"device_id": options.device, "arena_extend_strategy": "kSameAsRequested"}
        found.append((CUDA, settings | {"cudnn_conv_algo_search": "HEURISTIC"}))
    return [*found, (CPU, {})]


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
            onnxruntime.preload_dlls()  # CUDA and cuDNN as installed by pip, where no loader looks for them
        # From bytes, so that a graph cannot refer to files beside it.
        self._session = onnxruntime.InferenceSession(data, settings, providers=chosen)
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


class Engine:
    """One graph on this machine: a session for every way in which the worker runs it.

    On CPU many workers share a single-threaded session, which gives the most pictures a second; a second session
    with all cores answers work that is alone there, which gives the shortest wait. On GPUs there is a session, and with
    it a stream, for every worker, worker w on GPU w mod the number of GPUs.
    """

    def __init__(self, data: bytes, *, cores: int, gpus: int = 0, options: SessionOptions = SessionOptions()) -> None:
        self._data, self._cores, self._gpus, self._options = data, cores, gpus, options
        self._lock = threading.Lock()
        self._lost = 0
        self._open(cpu=gpus == 0)

    def _open(self, *, cpu: bool) -> None:
        base = self._options
        if cpu:
            narrow = Session(self._data, SessionOptions(1, 0, base.arena), cpu=True)
            self._sessions = [narrow]
            wide = SessionOptions(self._cores, base.spin_us, base.arena)
            self._alone = Session(self._data, wide, cpu=True) if self._cores > 1 else narrow
        else:
            each = [SessionOptions(1, 0, True, gpu, base.tensorrt, base.fp16) for gpu in range(self._gpus)]
            self._sessions = [Session(self._data, one) for one in each]
            self._alone = self._sessions[0]
        self.provider = self._sessions[0].provider

    def run(self, rows: Arrays, worker: int = 0, *, alone: bool = False) -> NDArray[Any]:
        """As `Session.run`; `alone` says that nothing else wants the processor. The bytes are the same either way."""
        session = self._alone if alone and self.provider == CPU else self._sessions[worker % len(self._sessions)]
        return session.run(rows)

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
