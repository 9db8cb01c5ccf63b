"""What is measured of an engine on a CPU: quantities that are taken together, and how."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mtchat.bench.speed.engine import BenchPrompt, MeasuredEngine, Sizes
from mtchat.bench.speed.results import Quantity
from mtchat.bench.speed.workload import TURNS, Workload
from mtchat.errors import UsageError

CONTEXT = 100  # tokens before the decode whose memory bandwidth is measured
LONG = 2000  # a context that is too expensive to prefill again for every run
BATCH = 8
SHOWN = (1, 5, 10, TURNS)
FIRST = "to the first token"

TakeMeasure = Callable[[MeasuredEngine, Workload, Sizes, int], Mapping[str, float]]


@dataclass(frozen=True)
class Measure:
    """`take` gives one value for each quantity that an engine has; its number differs from round to round.

    A `fresh` measure needs an engine that has just been loaded.
    """

    name: str
    quantities: tuple[Quantity, ...]
    take: TakeMeasure
    fresh: bool = False


TURN = {
    turn: Quantity(
        f"ttft_turn_{turn}", "s", FIRST, f"time to the first token at turn {turn} of a session", less=True
    )
    for turn in SHOWN
}
UNDO = Quantity("undo", "s", FIRST, "time to the first token after undoing the last turn", less=True)
BRANCH = Quantity("branch", "s", FIRST, "time to the first token after returning to a branch", less=True)
PREFILL = Quantity("prefill", "tok/s", "prefill", "prefill of a 512-token context")
DECODE = {
    100: Quantity("decode", "tok/s", "decode", "decode after a 100-token context, speculation off"),
    1000: Quantity("decode_1000", "tok/s", "decode", "decode after a 1000-token context, speculation off"),
    4000: Quantity("decode_4000", "tok/s", "decode", "decode after a 4000-token context, speculation off"),
}
SESSION_PLAIN = Quantity(
    "decode_session_plain", "tok/s", "decode", "decode over recorded sessions, speculation off"
)
SESSION = Quantity(
    "decode_session",
    "tok/s",
    "decode",
    "decode over recorded sessions, speculation on (default)",
    like=SESSION_PLAIN.name,
)
BATCH_RATIO = Quantity(
    "candidates_8",
    "ratio",
    "decode",
    "time for 8 completions of 64 tokens / time for 1, speculation off",
    less=True,
)
BATCH_RATE = Quantity(
    "candidates_8_rate", "tok/s", "decode of 8 completions", "tokens per second over all 8 completions"
)
BANDWIDTH = Quantity("bandwidth", "GB/s", "memory", "memory read bandwidth with the same threads")
BANDWIDTH_FRACTION = Quantity(
    "bandwidth_fraction", "ratio", "memory", "weight bytes read per second of decode / memory bandwidth"
)


def measure_first_tokens(
    engine: MeasuredEngine, workload: Workload, sizes: Sizes, number: int
) -> Mapping[str, float]:
    """Between two turns the engine prefills the recorded reply, as if it had written that reply itself."""
    if not workload.steps:
        return {}
    values = {}
    for turn, step in enumerate(workload.steps, start=1):
        if not engine.reuses and turn not in (SHOWN[0], SHOWN[-1]):
            continue
        first = engine.run(step.prompt, 1, True).first_seconds
        if turn in SHOWN:
            values[TURN[turn].name] = first
        if engine.reuses:
            engine.run(step.context, 1, True)
    if engine.reuses:
        values[UNDO.name] = engine.run(workload.undone, 1, True).first_seconds
        for step in workload.branch:
            engine.run(step.context, 1, True)
        values[BRANCH.name] = engine.run(workload.returned, 1, True).first_seconds
    return values


def measure_prefill(
    engine: MeasuredEngine, workload: Workload, sizes: Sizes, number: int
) -> Mapping[str, float]:
    """Each time with another first id, so that no cached prefix matches."""
    other = max(workload.ids) - number
    prompt = BenchPrompt(ids=(other, *workload.ids[1 : sizes.prefill_tokens]))
    return {PREFILL.name: engine.run(prompt, 1, False).prefill}


def decode_after(length: int) -> Measure:
    quantity = DECODE[length]

    def take(engine: MeasuredEngine, workload: Workload, sizes: Sizes, number: int) -> Mapping[str, float]:
        count = sizes.tokens(engine)
        if not engine.fits(length + count) or (length > LONG and not engine.reuses):
            return {}
        prompt = BenchPrompt(ids=workload.ids[:length])
        return {quantity.name: engine.run(prompt, count, False).decode}

    return Measure(quantity.name, (quantity,), take)


def measure_sessions(
    engine: MeasuredEngine, workload: Workload, sizes: Sizes, number: int
) -> Mapping[str, float]:
    if not workload.replies or not engine.reuses:
        return {}
    values = {SESSION_PLAIN.name: session_rate(engine, workload, False)}
    return {SESSION.name: session_rate(engine, workload, True), **values} if engine.speculates else values


def session_rate(engine: MeasuredEngine, workload: Workload, speculate: bool) -> float:
    """Tokens per second, without the first token of each reply, which comes from the prefill.

    The time includes what speculation prefills of a new turn, but not what was prefilled before.
    """
    runs = []
    for reply in workload.replies:
        if reply.before.text:
            engine.run(reply.before, 2, speculate)
        runs.append(engine.run(reply.prompt, max(reply.tokens, 2), speculate))
    return sum(run.completion_tokens - 1 for run in runs) / sum(run.decode_seconds for run in runs)


def measure_batches(
    engine: MeasuredEngine, workload: Workload, sizes: Sizes, number: int
) -> Mapping[str, float]:
    """The context is prefilled before: only decode is compared."""
    if engine.complete_batch is None:
        return {}
    engine.complete_batch(workload.single, 2, 1, 0)
    one = engine.complete_batch(workload.single, sizes.decode_tokens, 1, number)
    eight = engine.complete_batch(workload.single, sizes.decode_tokens, BATCH, number)
    return {BATCH_RATIO.name: eight / one, BATCH_RATE.name: BATCH * sizes.decode_tokens / eight}


def measure_bandwidth(
    engine: MeasuredEngine, workload: Workload, sizes: Sizes, number: int
) -> Mapping[str, float]:
    """How near decode comes to the memory bandwidth, which limits one token at a time."""
    if engine.bandwidth is None:
        return {}
    decode = engine.run(BenchPrompt(ids=workload.ids[:CONTEXT]), sizes.decode_tokens, False).decode
    limit = engine.bandwidth(sizes.memory)
    return {BANDWIDTH.name: limit / 1e9, BANDWIDTH_FRACTION.name: engine.weights * decode / limit}


MEASURES = (
    Measure("session", (*TURN.values(), UNDO, BRANCH), measure_first_tokens, fresh=True),
    Measure("prefill", (PREFILL,), measure_prefill),
    *(decode_after(length) for length in DECODE),
    Measure("replies", (SESSION, SESSION_PLAIN), measure_sessions, fresh=True),
    Measure("candidates", (BATCH_RATIO, BATCH_RATE), measure_batches),
    Measure("bandwidth", (BANDWIDTH, BANDWIDTH_FRACTION), measure_bandwidth),
)


def choose_measures(names: str) -> tuple[Measure, ...]:
    """The measures in a comma-separated list, or all; UsageError if one is unknown."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = [measure.name for measure in MEASURES]
    if odd := next((name for name in wanted if name not in known), ""):
        raise UsageError(f"--only {odd} is unknown; the measures are {', '.join(known)}")
    return tuple(measure for measure in MEASURES if not wanted or measure.name in wanted)


def find_measure(name: str) -> Measure:
    return next(measure for measure in MEASURES if measure.name == name)


def quantities(measures: Iterable[Measure]) -> tuple[Quantity, ...]:
    return tuple(quantity for measure in measures for quantity in measure.quantities)
