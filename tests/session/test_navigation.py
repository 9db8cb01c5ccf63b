"""The tree that is drawn: labels that stay, and each turn once below its parent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.errors import MtchatError
from mtchat.session.navigation import label_suffix, tree_rows, turn_labelled, turn_labels
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import Turn


def grown(*chunks: str) -> Session:
    return Session().extend(tuple(Turn(f"do {chunk}", chunk) for chunk in chunks))


def drawn(session: Session) -> list[str]:
    return [f"{row.lines}{row.label} {row.turn.chunk}" for row in tree_rows(session)]


def test_a_conversation_without_branches_is_a_list():
    assert drawn(grown("a", "b", "c")) == ["1 a", "2 b", "3 c"]


def test_alternatives_are_set_apart_and_the_live_one_goes_on_below():
    session = grown("a", "b", "c").undo(2).extend((Turn("do d", "d"), Turn("do e", "e")))
    assert drawn(session) == ["1 a", "├ 2 b", "│ 3 c", "2b d", "3b e"]


def test_a_turn_keeps_its_label_whatever_is_live():
    session = grown("a", "b").undo().extend((Turn("do c", "c"),))
    assert (
        turn_labels(session) == turn_labels(session.undo()) == turn_labels(session.move(session.turns[1].id))
    )
    assert turn_labelled(session, "2b").chunk == "c"


def test_an_unknown_label_is_refused_with_a_way_on():
    with pytest.raises(MtchatError, match="no turn '9z' in this session; /tree"):
        turn_labelled(grown("a"), "9z")


def test_there_are_letters_for_any_number_of_alternatives():
    assert [label_suffix(number) for number in (0, 1, 25, 26, 27)] == ["", "b", "z", "ba", "bb"]


@given(st.lists(st.integers(0, 20), max_size=20))
def test_every_turn_is_drawn_once_below_its_parent_with_a_label_of_its_own(parents: list[int]):
    session = Session()
    for number, parent in enumerate(parents):
        ids = [ROOT, *session.by_id]
        session = session.move(ids[parent % len(ids)]).extend((Turn("do", str(number)),))
    rows = list(tree_rows(session))
    seen = [ROOT]
    for row in rows:
        assert row.turn.parent in seen
        seen.append(row.turn.id)
    assert len({row.label for row in rows}) == len({row.turn.id for row in rows}) == len(session.turns)
