from reinforce.cluster.backends.ray.answer_deadlines import AnswerDeadlines

CAP_S = 600.0


def test_a_deadline_is_a_multiple_of_the_slowest_answer_of_its_kind():
    deadlines = AnswerDeadlines()
    for duration_s in (2.0, 9.0, 0.1):
        deadlines.note("update", duration_s)
    deadlines.note("state", 0.1)

    assert deadlines.allowed_s("update", 1, CAP_S) == 90.0
    assert deadlines.allowed_s("update", 2, CAP_S) == 180.0
    assert deadlines.allowed_s("update", 4, CAP_S) == CAP_S
    assert deadlines.allowed_s("state", 1, CAP_S) == 30.0


def test_without_an_answer_there_is_nothing_to_go_by():
    assert AnswerDeadlines().allowed_s("update", 1, CAP_S) == CAP_S
