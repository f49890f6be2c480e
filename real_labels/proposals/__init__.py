"""Proposals: the labels that models propose for images, and the smallest pool of models."""

from real_labels.proposals.expert_labels import ExpertLabels
from real_labels.proposals.pool_search import GREEDY_ABOVE, search
from real_labels.proposals.pools import Pool, Pools
from real_labels.proposals.proposals import Proposals
from real_labels.proposals.rules import Rules

__all__ = ["GREEDY_ABOVE", "ExpertLabels", "Pool", "Pools", "Proposals", "Rules", "search"]
