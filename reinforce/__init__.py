"""REINFORCE on a Ray cluster in which the number of workers changes only the speed.

The one name under which all of it is installed and imported: ``reinforce.configs``,
``reinforce.learner``, ``reinforce.workers`` and ``reinforce.cluster``.
"""
