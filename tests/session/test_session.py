"""The session tree: a path for each head, nothing ever lost, undo and redo as inverses."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mtchat.errors import MtchatError
from mtchat.session.outcome import Frame, Outcome, Reason
from mtchat.session.program import Location
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import KEPT, Turn, TurnOptions


def grown(*chunks: str) -> Session:
    return Session().extend(tuple(Turn(f"do {chunk}", chunk) for chunk in chunks))


def failing(turn: int) -> Outcome:
    error = f"turn {turn}, line 1: ValueError"
    return Outcome(finished=False, error=error, frames=(Frame(Location(turn, 1), "<module>"),))


def chunks(session: Session) -> str:
    return "".join(turn.chunk for turn in session.path)


def test_an_empty_session_has_an_empty_path_and_program():
    assert Session().path == ()
    assert Session().program.source == ""
    assert Session().outcome is None


def test_adding_a_turn_moves_the_head_to_it():
    session = grown("a", "b")
    assert chunks(session) == "ab"
    assert session.head == session.turns[-1].id


def test_a_turn_below_an_unknown_parent_is_refused():
    with pytest.raises(MtchatError, match="no turn 'gone'"):
        Session().add(Turn("do", "a", parent="gone"))


def test_adding_a_turn_that_is_there_only_moves_to_it():
    session = grown("a", "b")
    again = session.undo().add(session.path[-1])
    assert again.turns == session.turns
    assert again.head == session.head


def test_a_change_gives_a_new_session_and_leaves_the_old_one():
    session = grown("a")
    session.undo()
    session.extend((Turn("do b", "b"),))
    session.with_outcome(Outcome(stdout="1"))
    assert session == grown("a")


@pytest.mark.parametrize(
    ("outcome", "ran"),
    [
        (Outcome(), [True, True, True]),
        (failing(2), [True, False, False]),
        (failing(3), [True, True, False]),
        (Outcome(reason=Reason.SECONDS, finished=False), [None, None, False]),
    ],
)
def test_a_turn_ran_where_a_program_came_through_it_also_with_later_turns(
    outcome: Outcome, ran: list[bool | None]
):
    session = grown("a", "b", "c").with_outcome(outcome)
    assert [session.turn_succeeded(turn.id) for turn in session.path] == ran


def test_a_turn_whose_code_a_later_one_has_ran_where_that_one_did():
    kept = Turn("do a", "", status=KEPT)
    session = Session().extend((kept, Turn("do b", "ab"), Turn("do c", "c")))
    ran = session.with_outcome(failing(2))
    assert [ran.turn_succeeded(turn.id) for turn in ran.path] == [False, False, False]
    assert session.with_outcome(failing(3)).turn_succeeded(session.path[0].id) is True


def test_what_a_turn_did_last_at_the_end_of_a_program_goes_before_all_else():
    session = grown("a").with_outcome(failing(1)).extend((Turn("do b", "b"),)).with_outcome(Outcome())
    assert session.turn_succeeded(session.path[0].id) is False


def test_undo_then_redo_is_where_it_was():
    session = grown("a", "b", "c")
    assert chunks(session.undo(2)) == "a"
    assert session.undo(2).redo(2) == session
    assert session.undo(3).path == ()


@pytest.mark.parametrize("turns", [0, -1, 3])
def test_an_undo_that_cannot_be_names_the_number_of_turns(turns):
    with pytest.raises(MtchatError, match=f"cannot undo {turns}: the program has 2 turns"):
        grown("a", "b").undo(turns)


def test_an_undo_of_nothing_says_so():
    with pytest.raises(MtchatError, match="nothing to undo"):
        Session().undo()


def test_a_redo_past_the_last_turn_says_so():
    with pytest.raises(MtchatError, match="cannot redo 2: only 1 can be restored"):
        grown("a", "b").undo().redo(2)
    with pytest.raises(MtchatError, match="nothing to redo"):
        grown("a", "b").redo()


def test_a_branch_keeps_the_other_one_and_redo_follows_the_last_visited():
    session = grown("a", "b")
    first = session.head
    branched = session.undo().extend((Turn("do c", "c"),))
    assert chunks(branched) == "ac"
    assert [turn.chunk for turn in branched.children(branched.path[0].id)] == ["b", "c"]
    assert chunks(branched.undo().redo()) == "ac"
    assert chunks(branched.move(first).undo(2).redo(2)) == "ab"


def test_numbered_counts_the_live_path_from_one():
    session = grown("a", "b")
    assert session.turn_at(1).chunk == "a"
    with pytest.raises(MtchatError, match="no turn 3; the program has 2 turns"):
        session.turn_at(3)
    with pytest.raises(MtchatError, match=r"no turn 0; the program has 1 turn, and"):
        session.undo().turn_at(0)


def test_an_outcome_belongs_to_the_program_that_gave_it():
    session = grown("a", "b").with_outcome(Outcome(stdout="2"))
    assert session.outcome == Outcome(stdout="2")
    assert session.undo().outcome is None
    assert session.undo().redo().outcome == Outcome(stdout="2")


class Tree(RuleBasedStateMachine):
    """A session beside the plainest model of one: the text of each path by id, and the child last visited."""

    @initialize()
    def begin(self) -> None:
        self.session = Session()
        self.texts = {ROOT: ""}
        self.head = ROOT
        self.last_child: dict[str, str] = {}

    def go(self, head: str) -> None:
        self.head = head
        while head != ROOT:
            parent = self.session.get(head).parent
            self.last_child[parent] = head
            head = parent

    @rule(chunk=st.sampled_from("abc"))
    def add(self, chunk: str) -> None:
        turn = Turn("do", chunk, parent=self.head)
        self.session = self.session.add(turn)
        self.texts[turn.id] = self.texts[self.head] + chunk
        self.go(turn.id)

    @precondition(lambda self: self.head != ROOT)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        turns = data.draw(st.integers(1, len(self.texts[self.head])))
        self.session = self.session.undo(turns)
        for _ in range(turns):
            self.head = self.session.get(self.head).parent

    @precondition(lambda self: self.head in self.last_child)
    @rule()
    def redo(self) -> None:
        self.session = self.session.redo()
        self.go(self.last_child[self.head])

    @precondition(lambda self: self.head not in self.last_child)
    @rule()
    def redo_in_vain(self) -> None:
        with pytest.raises(MtchatError, match="nothing to redo"):
            self.session.redo()

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        head = data.draw(st.sampled_from(sorted(self.texts)))
        self.session = self.session.move(head)
        self.go(head)

    @invariant()
    def agrees(self) -> None:
        assert self.session.head == self.head
        assert {turn.id for turn in self.session.turns} == set(self.texts) - {ROOT}
        assert chunks(self.session) == self.texts[self.head]
        assert dict(self.session.visited) == self.last_child

    @invariant()
    def parents_come_first(self) -> None:
        seen = {ROOT}
        for turn in self.session.turns:
            assert turn.parent in seen
            seen.add(turn.id)


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_named_branch_grows_with_its_turns_and_undo_leaves_its_end():
    session = grown("a").name_branch("main").extend((Turn("do b", "b"),))
    assert session.branches == {"main": session.head}
    assert session.undo().branches == session.branches
    assert chunks(session.undo().go_to_branch("main")) == "ab"


def test_two_named_branches_keep_their_own_ends():
    first = grown("a", "b").name_branch("one")
    second = first.undo().name_branch("two").extend((Turn("do c", "c"),))
    assert chunks(second.go_to_branch("one")) == "ab"
    assert chunks(second.go_to_branch("one").go_to_branch("two")) == "ac"


def test_another_try_for_a_turn_stays_on_its_branch_and_another_turn_leaves_it():
    session = grown("a", "b").name_branch("main")
    again = session.undo().extend((Turn("do b", "b2"),))
    assert (again.branch, again.branches["main"]) == ("main", again.head)
    other = session.undo().extend((Turn("do c", "c"),))
    assert (other.branch, other.branches) == ("", session.branches)


def test_an_unknown_branch_is_refused_with_a_way_on():
    with pytest.raises(MtchatError, match="no branch 'x'; /tree shows them"):
        grown("a").go_to_branch("x")


def test_a_turn_takes_over_the_marks_of_the_one_it_replaces():
    session = grown("a")
    marked = session.with_options(session.head, TurnOptions(("x == 1",)))
    replaced = marked.undo().extend((Turn("do b", "b"),)).inherit_options(session.head)
    assert replaced.options_of(replaced.head).checks == ("x == 1",)
    assert replaced.options_of(session.head).checks == ("x == 1",)


def test_what_was_made_in_a_later_session_lies_beside_the_live_path_and_nothing_moves():
    live = Session().add(Turn("a", "x = 1")).name_branch("main")
    made = live.undo().add(Turn("b", "x = 2")).with_outcome(Outcome())
    made = made.with_options(made.head, TurnOptions(("x == 2",)))
    both = live.with_alternatives(made)
    assert (both.head, both.visited, both.branches, both.branch) == (
        live.head,
        live.visited,
        live.branches,
        "main",
    )
    assert both.turns == made.turns
    assert both.outcomes == made.outcomes
    assert both.options_of(made.head) == TurnOptions(("x == 2",))


def test_sessions_that_grow_out_of_each_other_know_their_own_turns_alone():
    base = Session().extend(tuple(Turn(str(number), f"x = {number}") for number in range(3)))
    left, right = base.add(Turn("l", "l", base.head)), base.add(Turn("r", "r", base.head))
    longer = left.add(Turn("m", "m", left.head))
    for session in (base, left, right, longer, base.undo(), left.undo(2).redo()):
        assert dict(session.by_id) == {turn.id: turn for turn in session.turns}
        assert session.path == replace(session).path
        assert all(turn.id in session.by_id for turn in session.turns)
    assert left.head not in base.by_id
    assert left.head not in right.by_id
    assert right.head not in longer.by_id


def test_a_turn_is_added_to_a_long_session_without_looking_at_all_of_it():
    base = Session().extend(tuple(Turn(str(number), "") for number in range(50)))
    grown = base.add(Turn("one more", "", base.head))
    assert grown.by_id.places is base.by_id.places
