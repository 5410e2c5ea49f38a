"""``reinforce config`` and ``presets``: what a run would be configured with."""

import sys
from dataclasses import dataclass

from reinforce.cluster.commands.arguments import Command, ConfiguredCommand
from reinforce.configs.loading import preset_names, preset_summary, to_yaml


@dataclass(frozen=True, kw_only=True)
class ConfigCommand(ConfiguredCommand):
    """Print the resolved configuration as YAML."""

    def execute(self, started_s: float) -> int:
        sys.stdout.write(to_yaml(self.config))
        return 0


@dataclass(frozen=True, kw_only=True)
class PresetsCommand(Command):
    """List the presets."""

    def execute(self, started_s: float) -> int:
        for name in preset_names():
            sys.stdout.write(f"{name:<18}{preset_summary(name)}\n")
        return 0
