"""What a run is: a typed, frozen, validated configuration, and the presets that ship with it.

The lowest layer: it imports nothing else of this project, and neither Torch, Gymnasium, Ray nor
MLflow.
"""

if __name__ != "reinforce.configs":
    raise ImportError("this package is called reinforce.configs")
