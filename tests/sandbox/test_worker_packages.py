"""Popular packages keep their state between turns, and what they draw is reproducible."""

from pathlib import Path

import pytest

from mtchat.sandbox.checkpoints import clocks
from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.host import execute
from mtchat.sandbox.host.interpreter import make_environment, time_zone
from mtchat.session.program import AttachedFile, Chunk, Program, RunInputs
from mtchat.session.settings import Limits

pytestmark = pytest.mark.sandbox
LIMITS = Limits(seconds=60.0)
THREAD = (
    "import threading\nstopped = threading.Event()\n"
    "threading.Thread(target=stopped.wait, daemon=True).start()\n"
)


def program(*codes: str) -> Program:
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=1)))


@pytest.mark.parametrize(
    ("package", "code", "after"),
    [
        ("pyarrow", "import pyarrow as pa\ncolumn = pa.array([1, 2])", "print(column[1])"),
        ("pyarrow", "import pandas as pd\ntable = pd.DataFrame({'x': ['a']})", "print(table.x[0])"),
        (
            "pyarrow",
            "import pandas as pd\npd.DataFrame({'x': [1, 2]}).to_parquet('a.parquet')\n"
            "table = pd.read_parquet('a.parquet')",
            "print(table.x.sum(), pd.read_parquet('a.parquet').x.sum())",
        ),
        ("tqdm", "from tqdm import tqdm\ntotal = sum(tqdm(range(4)))", "print(total)"),
        (
            "sklearn",
            "from sklearn.ensemble import ExtraTreesRegressor\n"
            "from joblib import Parallel, delayed\nkept = Parallel(n_jobs=2)(delayed(abs)(n) for n in [0])\n"
            "model = ExtraTreesRegressor(3, n_jobs=-1).fit([[0]], kept)",
            "print(model.predict([[1]]))",
        ),
        ("cv2", "import cv2, numpy\nimage = cv2.blur(numpy.ones((400, 400)), (3, 3))", "print(image[0, 0])"),
    ],
)
def test_a_package_keeps_its_state_between_turns(worker: Worker, package: str, code: str, after: str) -> None:
    pytest.importorskip(package)
    worker.run(program(code), LIMITS)
    met = worker.run(program(code, after), LIMITS)
    assert (met.resumed, met.note, met.error) == (1, "", "")
    assert met.outputs[1].strip()


TABLE = "city,sales\\nRome,3.5\\nOslo,4.5\\nRome,7.0\\n"
SESSION = (
    f"open('sales.csv', 'w').write('{TABLE}')\nimport pandas as pd\ntable = pd.read_csv('sales.csv')",
    "import numpy as np\ntable['noise'] = np.random.normal(size=len(table))\nprint(table.noise.tolist())",
    "import matplotlib.pyplot as plt\ntable.plot(y='sales')\nplt.show()",
    "table.to_parquet('out.parquet')\nback = pd.read_parquet('out.parquet')\nprint(len(back))",
    "print(table.groupby('city').sales.sum().to_dict(), table.sample(1).city.tolist())",
    "print(table.noise.tolist())",
)
CHANGED = (*SESSION[:4], "print(table.groupby('city').sales.mean().to_dict())", SESSION[5])


def test_a_conversation_on_a_table_runs_each_turn_once_and_equals_a_run_from_nothing(worker: Worker) -> None:
    for package in ("pandas", "pyarrow", "matplotlib"):
        pytest.importorskip(package)
    worker.close()  # the memory of its snapshots is for this conversation alone
    for turns in range(1, len(SESSION) + 1):
        met = worker.run(program(*SESSION[:turns]), LIMITS)
        assert (met.resumed, met.note, met.error, met.stderr) == (turns - 1, "", "", "")
    assert met.outputs[5] == met.outputs[1]
    changed = worker.run(program(*CHANGED), LIMITS)
    assert (changed.resumed, changed.outputs[5]) == (4, met.outputs[1])
    undone = worker.run(program(*SESSION[:5]), LIMITS)
    assert undone.resumed == 5
    true = execute.run(program(*CHANGED), LIMITS)
    assert (true.outputs, true.files) == (changed.outputs, changed.files)
    assert [file.path for file in true.files] == ["figure-1.png", "out.parquet", "sales.csv"]


CHANCE = {
    "random": "import random\nprint(random.random(), random.Random().random())",
    "generators of one's own": "import random, tempfile\nclass Dice(random.Random): ...\n"
    "tempfile.mktemp()\nprint(Dice().random(), random.Random().random())",
    "numpy": "import numpy as np\nprint(np.random.rand(2), np.random.default_rng().random(2))",
    "a numpy generator": "from numpy.random import RandomState, default_rng\n"
    "print(RandomState().rand(), default_rng().random() == default_rng().random())",
    "pandas": "import pandas as pd\nprint(pd.Series(range(50)).sample(5).tolist())",
    "torch": "import torch\nprint(torch.rand(2))",
    "polars": "import polars as pl\nprint(pl.Series(range(50)).shuffle().to_list())",
}


@pytest.mark.parametrize("name", CHANCE)
def test_chance_repeats_itself_when_a_turn_runs_again_and_in_a_run_from_nothing(
    worker: Worker, tmp_path: Path, name: str
) -> None:
    pytest.importorskip(name.split()[-1] if name in ("pandas", "torch", "polars") else "numpy")
    (tmp_path / "threaded.py").write_text(THREAD)
    given = RunInputs(files=(AttachedFile("threaded.py", tmp_path / "threaded.py"),))
    again = f"import threaded\n{CHANCE[name]}"
    shown = worker.run(program(again), LIMITS, inputs=given)
    met = worker.run(program(again, "x = 1"), LIMITS, inputs=given)
    true = execute.run(program(CHANCE[name]), LIMITS)
    assert (shown.error, met.resumed) == ("", 0)
    assert "keeps a thread running" in met.note
    assert shown.stdout == met.outputs[0] == true.stdout


def test_names_of_temporary_files_use_up_nothing_that_a_program_draws(worker: Worker) -> None:
    codes = ("import random, tempfile", "a = tempfile.mkdtemp()", "b = tempfile.mkdtemp()")
    draw = "print(random.Random().random(), random.random(), a != b)"
    for turns in range(1, 4):
        worker.run(program(*codes[:turns]), LIMITS)
    met = worker.run(program(*codes, draw), LIMITS)
    assert met.resumed == 3
    assert met.stdout == execute.run(program(*codes, draw), LIMITS).stdout


def test_it_is_as_if_the_program_began_with_a_seed_and_one_of_its_own_counts() -> None:
    pytest.importorskip("numpy")
    draws = "import random, numpy\nprint(random.random(), numpy.random.rand())"
    seeded = "import random, numpy\nrandom.seed({0})\nnumpy.random.seed({0})"
    bare = execute.run(program("", draws), LIMITS).stdout
    assert execute.run(program(seeded.format(0), draws), LIMITS).stdout == bare
    assert execute.run(program(seeded.format(1), draws), LIMITS).stdout != bare


def test_who_asks_the_system_for_chance_gets_it() -> None:
    code = (
        "import random, secrets, uuid\n"
        "print(secrets.token_hex(), uuid.uuid4(), random.SystemRandom().random())"
    )
    assert execute.run(program(code), LIMITS).stdout != execute.run(program(code), LIMITS).stdout


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Europe/Berlin", True),
        ("CET-1CEST,M3.5.0,M10.5.0/3", True),
        *((name, False) for name in (":/etc/localtime", "/home/me/zone", "../zone", "")),
    ],
)
def test_the_zone_of_the_host_is_the_programs_unless_it_is_a_path(name: str, kept: bool) -> None:
    assert time_zone({"TZ": name}) == ({"TZ": name} if kept else {})


def test_a_program_knows_its_machine_and_what_it_lacks(worker: Worker) -> None:
    code = (
        "import os, pwd, socket\nprint(socket.gethostbyname(socket.gethostname()))\n"
        "print(pwd.getpwuid(os.getuid()).pw_name, flush=True)\nos.system('clear')"
    )
    met = worker.run(program(code), LIMITS)
    assert (met.stdout.split("\n")[:2], met.stderr) == (["127.0.0.1", "user"], "")
    assert make_environment("/work", "/tmp")["XDG_RUNTIME_DIR"] == "/tmp"


CLOCK = "import time\nstart = time.perf_counter()"
MEASURED = [
    ([CLOCK], "print(time.perf_counter() - start)", "start holds a time from turn 1"),
    ([CLOCK, "x = 1"], "took = time.perf_counter() - start", "start holds a time from turn 1"),
    (
        ["x = 1", "from datetime import datetime as d\nt = d.now()"],
        "print(d.now() - t)",
        "t holds a time from turn 2",
    ),
    ([CLOCK], "start = time.perf_counter()\nprint(time.perf_counter() - start)", ""),
    ([CLOCK, "start = 5"], "print(time.perf_counter() - start)", ""),
    ([CLOCK], "print(start)", ""),
    ([CLOCK], "print(start - 1)", ""),
    (["start = 5"], "import time\nprint(time.time() - start)", ""),
    ([CLOCK], "print(", ""),
]


@pytest.mark.parametrize(("kept", "new", "told"), MEASURED)
def test_a_time_that_an_earlier_turn_noted_is_told(kept: list[str], new: str, told: str) -> None:
    met = clocks.clock_note(program(*kept, new), len(kept))
    assert met.startswith(told)
    assert bool(met) is bool(told)


def test_a_measure_from_an_earlier_turn_is_told_after_the_turn(worker: Worker) -> None:
    worker.run(program(CLOCK), LIMITS)
    assert worker.run(program(CLOCK, "print(time.perf_counter() - start > 0)"), LIMITS).note == (
        "start holds a time from turn 1: durations measured from it include the time between the turns"
    )


def test_values_that_answer_to_any_name_or_have_no_length_now_are_described(worker: Worker) -> None:
    code = (
        "class Soup:\n    def __getattr__(self, name): return None\n    def __repr__(self): return '<a>'\n"
        "class Closed:\n    def __repr__(self): return '<c>'\n"
        "    def __len__(self): raise ValueError('closed')\n"
        "soup, closed = Soup(), Closed()"
    )
    met = worker.run(program(code), LIMITS, with_variables=True)
    found = {each.name: (each.shape, each.value) for each in met.variables}
    assert (found["soup"], found["closed"]) == (("", "<a>"), ("", "<c>"))
