"""Questions, raters' answers, gold questions and scores."""

from real_labels.answers.answers import CATEGORIES, Answers
from real_labels.answers.gold import Gold, load_truth
from real_labels.answers.questions import Questions
from real_labels.answers.scores import Scores

__all__ = ["CATEGORIES", "Answers", "Gold", "Questions", "Scores", "load_truth"]
