"""What a run is: a typed, frozen, validated configuration, and the presets that ship with it.

The lowest floor: it imports nothing of ours, and neither Torch, Gymnasium, Ray nor MLflow.
"""

if __name__ != "reinforce.configs":
    raise ImportError("this package is called reinforce.configs")
