"""What the sandbox, and not the code, kept from a program: other code would fare no better."""

POOLS, SCRATCH, GPU, OUTSIDE = "pools", "scratch", "gpu", "outside"
FILE, INPUT, ARGUMENTS, PACKAGE, NETWORK = "file", "input", "arguments", "package", "network"
DISPLAY, TERMINAL, ENVIRONMENT, COMMAND, SYSTEM = "display", "terminal", "environment", "command", "system"
GIVEN = "given"  # the subject of ARGUMENTS where there were some, but not the right ones
NOTES = {
    FILE: "the sandbox has none of your files",
    INPUT: "the sandbox has no keyboard input",
    ARGUMENTS: "the program got no arguments",
    PACKAGE: "",  # Python says it
    NETWORK: "the sandbox has no network",
    DISPLAY: "the sandbox has no display",
    TERMINAL: "the sandbox has no terminal",
    ENVIRONMENT: "the sandbox has none of your environment variables",
    COMMAND: "the sandbox has no such program",
    POOLS: "this reduced sandbox has no shared memory, which pools of processes need",
    SCRATCH: "temporary files have 64 MiB in all; the work folder has more",
    GPU: "the sandbox has no graphics processor",
    OUTSIDE: "a program writes in its work folder only, by names without a / at the front",
    SYSTEM: "the sandbox shows little of the system's files",
}
# What to install for a module, where the package has another name.
INSTALLS = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "GitPython",
    "jwt": "PyJWT",
    "magic": "python-magic",
    "odf": "odfpy",
    "OpenSSL": "pyOpenSSL",
    "PIL": "pillow",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "telegram": "python-telegram-bot",
    "usb": "pyusb",
    "wx": "wxPython",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}


def installs(module: str) -> str:
    """The package that brings a module."""
    return INSTALLS.get(module, module)
