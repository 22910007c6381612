"""How good answers are: a library asked questions with known answers, and generated tasks at any length by several methods."""

from tscli.evaluation.answer_journal import AnswerJournal, answer_settings
from tscli.evaluation.baselines import run_baselines
from tscli.evaluation.picture import check_picture, draw
from tscli.evaluation.questions import Question, QuestionReport, ScoredAnswer, Tally, ask_all, every_nth, read_questions
from tscli.evaluation.results import Agreement, FidelityResult, Result, agreement_of, fidelity_of, results_of
from tscli.evaluation.run import evaluate_tasks
from tscli.evaluation.trial import Trial

__all__ = [
    "Agreement",
    "AnswerJournal",
    "FidelityResult",
    "Question",
    "QuestionReport",
    "Result",
    "ScoredAnswer",
    "Tally",
    "Trial",
    "agreement_of",
    "answer_settings",
    "ask_all",
    "check_picture",
    "draw",
    "evaluate_tasks",
    "every_nth",
    "fidelity_of",
    "read_questions",
    "results_of",
    "run_baselines",
]
