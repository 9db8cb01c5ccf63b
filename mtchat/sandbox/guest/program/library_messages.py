"""What libraries print, in lower case, if they reach a limit or need something that the sandbox lacks."""

from mtchat.sandbox.guest.wire import DISPLAY, ENVIRONMENT, GPU, NETWORK, TERMINAL

MEMORY_WORDS = (
    *("allocate memory", "out of memory", "memory allocation of", "insufficient memory", "bad_alloc"),
    *("unable to allocate", "bad allocation", "failed to allocate", "can't allocate"),
)
THREAD_WORDS = (
    *("start new thread", "wouldblock", "thread creation failed", "resource temporarily unavailable"),
    *("failed to spawn thread", "pthread_create failed"),
)
DISK_WORDS = ("no space left on device", "file too large", "disk quota", "disk is full")
GPU_WORDS = (
    "cuda gpus",
    "nvidia driver",
    "no cuda-capable device",
    "torch not compiled with cuda",
    "cuda_error_no_device",
)
DISPLAY_WORDS = (
    *("$display", "connect to display", "open display", "access the x display"),
    *(
        "display environment variable",
        "acquire x connection",
        "no available video device",
        "video system not init",
    ),
    *("runnable browser", "copy/paste mechanism", "'showimage", "'cvshowimage", "'cvnamedwindow"),
    *("'namedwindow", "'waitkey"),
)
TERMINAL_WORDS = ("error opening terminal", "inappropriate ioctl for device")
ENVIRONMENT_WORDS = ("environment variable", "declare it as envvar")
NETWORK_WORDS = (
    *("name or service not known", "name resolution", "failed to resolve", "could not resolve"),
    *("network is unreachable", "connection refused", "cannot connect to host", "failed to lookup address"),
    *("dns error", "no address associated", "outgoing traffic has been disabled", "hf_hub_offline"),
    *("internet connection", "connect to 'http", "to be a python package or a valid path", "[e050]"),
    *(".download(", "offline mode is enabled", "failed to establish a new connection"),
)
FILE_WORDS = ("no such file or directory", "no files found that match", "can't open/read file")
# In the order of the search.
WORDS_BY_REASON = {
    DISPLAY: DISPLAY_WORDS,
    GPU: GPU_WORDS,
    ENVIRONMENT: ENVIRONMENT_WORDS,
    TERMINAL: TERMINAL_WORDS,
    NETWORK: NETWORK_WORDS,
}
TYPES_BY_REASON = {
    DISPLAY: ("DisplayConnectionError", "DisplayNameError", "NoSuchDisplayException"),
    NETWORK: ("gaierror", "URLError", "MaxRetryError", "ConnectError", "OfflineModeIsEnabled"),
}
