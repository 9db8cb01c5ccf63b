"""What libraries say, in small letters, when they meet a limit or miss something that the sandbox lacks."""

MEMORY = (
    *("allocate memory", "out of memory", "memory allocation of", "insufficient memory", "bad_alloc"),
    *("unable to allocate", "bad allocation", "failed to allocate", "can't allocate"),
)
THREAD = (
    *("start new thread", "wouldblock", "thread creation failed", "resource temporarily unavailable"),
    *("failed to spawn thread", "pthread_create failed"),
)
DISK = ("no space left on device", "file too large", "disk quota", "disk is full")
GPU = (
    "cuda gpus",
    "nvidia driver",
    "no cuda-capable device",
    "torch not compiled with cuda",
    "cuda_error_no_device",
)
DISPLAY = (
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
TERMINAL = ("error opening terminal", "inappropriate ioctl for device")
ENVIRONMENT = ("environment variable", "declare it as envvar")
NETWORK = (
    *("name or service not known", "name resolution", "failed to resolve", "could not resolve"),
    *("network is unreachable", "connection refused", "cannot connect to host", "failed to lookup address"),
    *("dns error", "no address associated", "outgoing traffic has been disabled", "hf_hub_offline"),
    *("internet connection", "connect to 'http", "to be a python package or a valid path", "[e050]"),
    *(".download(", "offline mode is enabled", "failed to establish a new connection"),
)
FILE = ("no such file or directory", "no files found that match", "can't open/read file")
# In the order in which they are looked for.
KINDS = {"display": DISPLAY, "gpu": GPU, "environment": ENVIRONMENT, "terminal": TERMINAL, "network": NETWORK}
TYPES = {
    "display": ("DisplayConnectionError", "DisplayNameError", "NoSuchDisplayException"),
    "network": ("gaierror", "URLError", "MaxRetryError", "ConnectError", "OfflineModeIsEnabled"),
}
